"""What the approximate engine evaluates on stacked arrays is the model's own log density."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from one_mode import posterior_slopes
from scipy import stats
from test_native import LEVELS
from test_product_models import BASELINES, COHORTS, PRIORS, prepared

from bayes_crlm.inference.draws import BatchDraws
from bayes_crlm.inference.layout import GroupedRows, Layout, why_not_approximated
from bayes_crlm.inference.native.groups import weigh_without_groups
from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.risk_sums import RiskSums, row_exposures
from bayes_crlm.model.baseline_priors import Independent, RandomWalk
from bayes_crlm.model.density import log_density
from bayes_crlm.model.families import HalfNormal, Normal, StudentT
from bayes_crlm.model.terms.blocks import Block
from models import LOG_RATE, MODELS

LOG_SCALE = -0.4


@pytest.mark.parametrize(
    ("rows", "baseline", "prior"), list(itertools.product(COHORTS, BASELINES, PRIORS[:3]))
)
def test_the_engines_density_is_the_models(rows, baseline, prior):
    inputs = prepared(rows, baseline, prior)
    targets, model = Targets.of_cohort(inputs), inputs.block_model
    rng = np.random.default_rng(7)
    log_hazard = inputs.log_rate + rng.normal(0, 0.5, targets.n_intervals)
    effect = rng.normal(0, 0.4, targets.n_effects)
    both = np.concatenate([log_hazard, effect])[None]
    n_treatment = inputs.n_treatment_terms
    named = {"treatment_effect": effect[:n_treatment], "covariate_effect": effect[n_treatment:]}
    if targets.has_walk:
        value = walk_value(both, inputs, targets)
        named |= walk_unknowns(log_hazard, inputs)
    else:
        value = posterior_slopes(both, targets, None)[0][0]
        named["log_hazard"] = named["hazard"] = log_hazard
    vector = np.concatenate([named[each.name] for each in model.parameters])
    assert value == pytest.approx(log_density(vector, model), rel=1e-10)


def walk_of(inputs):
    return next(
        block.walk for block in inputs.blocks if isinstance(block, Block) and block.walk is not None
    )


def walk_unknowns(log_hazard, inputs):
    walk = walk_of(inputs)
    return {
        "step_scale": np.array([LOG_SCALE]),
        "unit_step": np.diff(log_hazard) / walk.step_sds / np.exp(LOG_SCALE),
        "log_hazard_level": walk.centre @ log_hazard,
    }


def walk_value(both, inputs, targets):
    """The engine's density given the step scale, that of the scale, and the change of unknowns."""
    n_intervals = targets.n_intervals
    value = posterior_slopes(both, targets, np.exp([LOG_SCALE]))[0][0]
    prior = HalfNormal(inputs.baseline.step_scale_sd)
    value += prior.log_density(np.exp(LOG_SCALE)) + LOG_SCALE
    return value + (n_intervals - 1) * LOG_SCALE + np.log(walk_of(inputs).step_sds).sum()


SERVED = [name for name, build in MODELS.items() if why_not_approximated(build()) is None]


def engine_of(name, rng):
    """Posteriors given scales, a point of theirs, and the model's log density there."""
    model = MODELS[name]().complete()  # hazards that are integrated out among its unknowns
    layout = Layout.of(model)
    targets = Targets.of_layout(layout)
    scales = {"step": -0.4, "effect": 0.3, "group": -0.2}
    one = {each: np.array([value]) for each, value in scales.items()}
    is_scaled, groups = targets.is_scaled is not None, targets.grouped
    targets = replace(targets, effect_scale=np.exp(one["effect"]) if is_scaled else None)
    ends = np.cumsum([targets.n_intervals, targets.n_effects])
    at = rng.normal(0, 0.4, (1, ends[1] + targets.stack.n_groups))
    at[:, : ends[0]] += targets.log_rate
    log_hazard, effect, of_groups = np.split(at, ends, axis=1)
    drawn = BatchDraws.none(1, 1, targets.n_effects, targets.n_intervals, True, is_scaled)
    drawn = replace(
        drawn, log_hazard=log_hazard[None], effect=effect[None],
        log_step_scale=one["step"][None] if targets.has_walk else None,
        log_effect_scale=one["effect"][None] if is_scaled else None,
        groups=of_groups[None], log_group_scale=one["group"][None],
    )  # fmt: skip
    expected = float(log_density(layout.vectors(drawn, 0), model)[0])
    # densities of the scales, and of unknowns that are multiplied by these
    if targets.has_walk:
        walk, prior = layout.hazards.walk, layout.hazards.scale
        expected -= prior.log_density(np.exp(one["step"]))[0] + scales["step"]
        expected -= len(layout.hazards.priors) * scales["step"]
        expected -= len(walk.centre) * np.log(walk.step_sds).sum()
    if is_scaled:
        expected -= targets.log_scale_prior(one["effect"])[0]
        expected -= targets.is_scaled.sum() * scales["effect"]
    if groups is not None:
        expected -= groups.scale.log_density(np.exp(one["group"]))[0] + scales["group"]
        expected -= targets.stack.n_groups * scales["group"]
    given = np.exp(one["step"]) if targets.has_walk else None
    return targets.posteriors(given, np.exp(one["group"])), at, expected


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", SERVED)
def test_the_kernel_of_modes_has_the_density_of_models_built_by_hand(name, level):
    posteriors, at, expected = engine_of(name, np.random.default_rng(4))
    found = climb(posteriors, at, 1e-6, 0, level)
    assert found.log_density[0] == pytest.approx(expected, rel=1e-10)
    if posteriors.cases.n_groups:
        return  # eliminated: the next test
    step, size = 1e-5, at.shape[1]
    for k in range(size):
        shift = step * np.eye(size)[k]
        up, down = (climb(posteriors, at + sign * shift, 1e-6, 0, level) for sign in (1, -1))
        change = (up.log_density[0] - down.log_density[0]) / (2 * step)
        assert found.gradient[0, k] == pytest.approx(change, rel=1e-6, abs=1e-6)
        bend = (down.gradient[0] - up.gradient[0]) / (2 * step)
        np.testing.assert_allclose(found.information[0, k], bend, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", LEVELS)
def test_groups_that_are_eliminated_are_columns_of_their_own(level):
    model = MODELS["two groupings"]()
    data, scale = model.data, 0.6
    rng, size = np.random.default_rng(5), data.group_counts[0]
    events = data.events_per_group[0]
    apart = RiskSums.of(replace(data, groups=(), group_counts=()))
    design = np.concatenate([data.design, np.eye(size)[data.groups[0]]], axis=1)
    columns = RiskSums.of(replace(data, design=design, groups=(), group_counts=()))
    n_terms, steps = data.design.shape[1], np.array([0.5])
    common = {
        "baseline": RandomWalk(),
        "log_rate": np.array([LOG_RATE]),
        "step_variances": np.ones((1, 4)),
    }
    own = ((StudentT(4.0, 0.0, 1.0), slice(0, n_terms)),)
    with_groups = Targets(
        sums=apart, priors=own, grouped=GroupedRows(data.groups[0], events, None), **common
    )
    groups = (Normal(0.0, scale), slice(n_terms, n_terms + size))
    as_columns = Targets(sums=columns, priors=(*own, groups), **common)
    posteriors = with_groups.posteriors(steps, np.array([scale]))
    start = np.append(rng.normal(-2, 0.3, 5), rng.normal(0, 0.3, n_terms + size))[None]
    for found, expected in (
        [climb(each, start, 1e-6, 0, level) for each in (posteriors, as_columns.posteriors(steps))],
        [
            climb(each, None, 1e-20, level=level)
            for each in (posteriors, as_columns.posteriors(steps))
        ],
    ):
        n = 5 + n_terms
        np.testing.assert_allclose(found.at, expected.at, atol=1e-8)
        assert found.log_density[0] == pytest.approx(expected.log_density[0], rel=1e-10)
        whole = expected.information[0]
        left = whole[:n, n:] @ np.linalg.inv(whole[n:, n:])
        np.testing.assert_allclose(
            found.information[0], whole[:n, :n] - left @ whole[n:, :n], rtol=1e-9, atol=1e-9
        )
        slope = expected.gradient[0]
        np.testing.assert_allclose(
            found.gradient[0], slope[:n] - left @ slope[n:], rtol=1e-9, atol=1e-7
        )
        log_determinant = np.linalg.slogdet(whole[n:, n:])[1]
        assert found.log_determinant_of_groups[0] == pytest.approx(log_determinant, rel=1e-9)


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_left_when_groups_are_integrated_out_is_its_definition(level):
    model = MODELS["two groupings"]()
    data = model.data
    sums = RiskSums.of(replace(data, groups=(), group_counts=()))
    targets = Targets(
        sums=sums, baseline=Independent(2.0), priors=((Normal(0.1, 0.7), slice(0, 4)),),
        log_rate=np.array([LOG_RATE]), step_variances=None,
        grouped=GroupedRows(data.groups[0], data.events_per_group[0], None),
    )  # fmt: skip
    rng = np.random.default_rng(3)
    at = np.append(rng.normal(LOG_RATE, 0.3, 5), rng.normal(0, 0.3, 4))[None]
    value, hazards = weigh_without_groups(targets.posteriors(), at, level)
    of_rows = row_exposures(data.follow_up, slice(None)) @ np.exp(at[0, :5])
    of_rows *= np.exp(data.design @ at[0, 5:])
    np.testing.assert_allclose(hazards[0], np.bincount(data.groups[0], of_rows), rtol=1e-12)
    prior = (
        stats.norm(LOG_RATE, 2).logpdf(at[0, :5]).sum()
        + stats.norm(0.1, 0.7).logpdf(at[0, 5:]).sum()
    )
    assert value[0] == pytest.approx(
        prior + sums.events[0] @ at[0, :5] + sums.event_design[0] @ at[0, 5:], rel=1e-12
    )


@pytest.mark.parametrize("prior", ["normal(0.1, 0.7)", "student_t(4, 0, 1)", "laplace(0, 0.5)"])
def test_a_mode_has_the_same_bits_alone_and_among_others(prior):
    targets = Targets.of_cohort(prepared(3, "log_time_walk", prior))
    several = targets.part(np.zeros(5, dtype=np.intp))
    scales = np.array([0.1, 0.3, 0.5, 1.0, 2.0])
    start = np.zeros((5, several.n_intervals + several.n_effects))
    # too far for any number
    start[2] = 1e6
    together = climb(several.posteriors(scales), start, 1e-6)
    np.testing.assert_array_equal(together.converged, [True, True, False, True, True])
    for k in range(5):
        which = np.array([k])
        alone = climb(several.part(which).posteriors(scales[which]), start[which], 1e-6)
        for each in ("at", "log_density", "information"):
            np.testing.assert_array_equal(getattr(alone, each)[0], getattr(together, each)[k])
