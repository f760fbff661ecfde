"""Many cohorts at once: the same numbers as one by one, and failures that say so."""

import doctest
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from one_mode import posterior_mode
from scipy.stats import multivariate_t, t

from bayes_crlm import fit_many, read_cohort, stack_cohorts
from bayes_crlm.cohort.stack import batches_of
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.many_cox import fit_block_cox
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood
from bayes_crlm.inference.effect_proposals import (
    DEGREES_OF_FREEDOM,
    WIDE_EVERY,
    WIDE_SCALE,
    EffectProposals,
)
from bayes_crlm.inference.importance import (
    sample_batch,
    weighted_draws,
)
from bayes_crlm.inference.mode import (
    Modes,
    find_modes,
)
from bayes_crlm.inference.native.draws import SEED_WORDS
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.proposal import modes_of_parts
from bayes_crlm.inference.several_modes import first_modes
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weighted import weighted_quantiles
from bayes_crlm.inference.weights import allotted
from bayes_crlm.likelihood.matrices import inverses, triangular_roots
from bayes_crlm.likelihood.risk_sums import row_exposures
from bayes_crlm.model.baseline_priors import RandomWalk
from bayes_crlm.model.preparing_many import blocks_of_rows, prepare_batch
from bayes_crlm.words.errors import BayesCRLMError, CohortError, PriorError

ARRAYS = ("stop_interval", "stop_within", "entry_interval", "entry_within", "count", "width")


def simulate(seed, rows=80, digits=None):
    rng = np.random.default_rng(seed)
    arm, x, z = rng.integers(2, size=rows), rng.normal(size=rows), rng.uniform(1, 9, size=rows)
    death = rng.exponential(np.exp(0.5 * arm - 0.4 * x) * 10)
    end = rng.uniform(5, 30, size=rows)
    time = np.minimum(death, end)
    table = pd.DataFrame({"time": time, "death": (death <= end).astype(int), "arm": arm})
    if digits is not None:
        table["time"] = np.maximum(table["time"].round(digits), 0.5)
    table["start"] = np.where(rng.uniform(size=rows) < 0.3, 0.4 * table["time"], 0.0)
    table["group"] = rng.choice(list("abc"), size=rows)
    return table.assign(x=x, z=z, cohort=seed)


def stacked(seeds, entry=None, **settings):
    tables = [simulate(seed, **settings) for seed in seeds]
    return stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry=entry
    )


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


MODEL = PiecewiseExponential("arm", 0, "x + log(z)", cutpoints=4, baseline="independent")


def prepared(model, cohorts):
    (batch,) = batches_of(cohorts)
    return prepare_batch(model, batch)


@pytest.mark.parametrize("cutpoints", [5, "auto", [3.0, 8.0], [3.0, 29.9]])
@pytest.mark.parametrize(
    "covariates", ["", "x", "x + log(z) + x:z", "center(x) + scale(z)", "x + group", "bs(x, df=4)"]
)
@pytest.mark.parametrize("digits", [None, 0])
def test_cohorts_prepared_together_are_those_prepared_one_by_one(cutpoints, covariates, digits):
    tables = [simulate(seed, rows=60 + 7 * (seed % 3), digits=digits) for seed in range(12)]
    cohorts = stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry="start"
    )
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=cutpoints)
    together = prepared(model, cohorts)
    assert sum(len(block) for block in together.blocks) + len(together.failures) == 12
    for block in together.blocks:
        for k in range(len(block)):
            one = model.prepare(cohorts[int(block.position[k])])
            assert one.design.terms == block.terms and one.design.levels == block.levels
            np.testing.assert_array_equal(one.intervals.cutpoints, block.cutpoints[k])
            np.testing.assert_array_equal(one.intervals.events, block.interval_events[k])
            np.testing.assert_array_equal(one.design.matrix, block.matrix[k])
            np.testing.assert_array_equal(one.design.scaled, block.design[k])
            np.testing.assert_array_equal(one.data.event, block.event[k])
            follow_up = block.sums.follow_up
            for name in ARRAYS:
                np.testing.assert_array_equal(
                    getattr(one.data.follow_up, name), getattr(follow_up, name)[k]
                )
            np.testing.assert_allclose(
                row_exposures(one.data.follow_up, slice(None)),
                row_exposures(follow_up, slice(None))[k],
                rtol=0,
            )
            assert one.log_rate == block.log_rate[k]


def test_cohorts_of_one_shape_are_one_block(stack):
    assert [len(block) for block in prepared(MODEL, stack).blocks] == [40]


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_a_row_depends_on_cohort_and_seed_alone(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    everything = fit_many(model, stack, seeds=3, jobs=1)
    seeds = everything.cohorts["seed"].tolist()
    chosen = [17, 4, 30]
    some = fit_many(model, [stack[k] for k in chosen], [seeds[k] for k in chosen], jobs=2)
    numbers = [name for name in everything.terms if name not in ("cohort", "number", "term")]
    for place, k in enumerate(chosen):
        one = some.terms[some.terms["number"] == place][numbers]
        other = everything.terms[everything.terms["number"] == k][numbers]
        np.testing.assert_array_equal(one.to_numpy(), other.to_numpy())
        for name in ("pareto_k", "importance_ess"):
            assert some.cohorts[name][place] == everything.cohorts[name][k]


def test_a_matrix_without_a_root_leaves_the_digits_of_others_alone():
    drawn = np.random.default_rng(1).normal(size=(5, 6, 4))
    matrices = drawn.transpose(0, 2, 1) @ drawn
    broken = matrices.copy()
    broken[2] = np.diag([1.0, 0.0, -1.0, 0.0])
    others = [0, 1, 3, 4]
    for function in (inverses, triangular_roots):
        found, expected = function(broken), function(matrices)
        np.testing.assert_array_equal(found[others], expected[others])
        assert np.isnan(found[2]).all()


def test_the_same_seed_gives_the_same_result_and_another_one_does_not(stack):
    first, again, other = (fit_many(MODEL, stack, seeds=seed, cox=False) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.terms, again.terms)
    assert (first.terms["mean_log"] != other.terms["mean_log"]).all()
    assert first.cohorts["seed"].is_unique


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
@pytest.mark.parametrize("prior", ["normal(0.2, 0.5)", "student_t(3, 0, 1)", "laplace(0, 0.4)"])
def test_summaries_are_those_of_single_fits(baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x + z", cutpoints=4, baseline=baseline,
        treatment_prior=prior, covariate_prior=prior,
    )  # fmt: skip
    stack = stacked(range(6), entry="start")
    many = fit_many(model, stack, seeds=5, thresholds=(1.0, 0.9))
    assert many.cohorts["is_trustworthy"].all()
    for k in range(6):
        inputs = model.prepare(stack[k])
        single = weighted_draws(inputs, 20_000, np.random.default_rng(99 + k))
        value = single.effect / inputs.design.scale
        mean = single.weight @ value
        sd = np.sqrt(single.weight @ (value - mean) ** 2)
        rows = many.terms[many.terms["number"] == k]
        # of independent draws; mirrored pairs only make it smaller
        error = np.sqrt(1 / many.cohorts["importance_ess"][k] + 1 / single.ess)
        assert np.all(np.abs(rows["mean_log"] - mean) < 5 * sd * error)
        assert np.all(np.abs(rows["sd_log"] / sd - 1) < 5 * error)
        for threshold in (1.0, 0.9):
            share = single.weight @ (value < math.log(threshold))
            told = rows[f"prob_below_{threshold}"]
            assert np.all(np.abs(told - share) < 5 * 0.5 * error)
        for name, probability in (("eti95_low", 0.025), ("median", 0.5), ("eti95_high", 0.975)):
            reached = [single.weight @ (value[:, j] < limit) for j, limit in enumerate(rows[name])]
            spread = math.sqrt(probability * (1 - probability)) * error
            assert np.all(np.abs(np.array(reached) - probability) < 5 * spread)


def assert_same_posterior(inputs, many, number, seed):
    """A row agrees with many draws of the engine for one cohort, within Monte Carlo error."""
    single = weighted_draws(inputs, 20_000, np.random.default_rng(seed))
    value = single.effect / inputs.design.scale
    mean = single.weight @ value
    sd = np.sqrt(single.weight @ (value - mean) ** 2)
    rows = many.terms[many.terms["number"] == number]
    error = np.sqrt(1 / many.cohorts["importance_ess"][number] + 1 / single.ess)
    assert np.all(np.abs(rows["mean_log"] - mean) < 5 * sd * error)
    assert np.all(np.abs(rows["sd_log"] / sd - 1) < 5 * error)


def late_and_lone(table):
    """One event alone, at the end of somebody's follow-up."""
    return table.assign(death=(np.arange(len(table)) == 7).astype(int))


WALKS = PiecewiseExponential("arm", 0, "x", cutpoints=4)
ODD_WALKS = {
    "one interval is not a walk": (replace(WALKS, cutpoints=1), lambda table: table),
    "two intervals": (replace(WALKS, cutpoints=2), lambda table: table),
    "many intervals": (replace(WALKS, cutpoints=16), lambda table: table),
    "ties": (replace(WALKS, cutpoints=[4.0, 8.0]), lambda t: t.assign(time=np.ceil(t["time"]))),
    "one event": (replace(WALKS, cutpoints=1), late_and_lone),
    "an arm without events": (WALKS, lambda t: t.assign(death=t["death"] * (1 - t["arm"]))),
    "huge times": (WALKS, lambda t: t.assign(time=1e6 * t["time"], start=1e6 * t["start"])),
    "tiny times": (WALKS, lambda t: t.assign(time=1e-6 * t["time"], start=1e-6 * t["start"])),
    "heavy tails": (replace(WALKS, treatment_prior="student_t(2, 0, 1)"), lambda table: table),
    "a kink": (replace(WALKS, treatment_prior="laplace(0, 0.3)"), lambda table: table),
    "steps nearly none": (replace(WALKS, baseline=RandomWalk(2.0, 0.01)), lambda table: table),
    "steps without bound": (replace(WALKS, baseline=RandomWalk(5.0, 20.0)), lambda table: table),
}


@pytest.mark.parametrize("case", ODD_WALKS)
@pytest.mark.parametrize("entry", [None, "start"])
def test_random_walks_of_odd_cohorts_are_those_of_single_fits(case, entry):
    model, change = ODD_WALKS[case]
    tables = [change(simulate(seed)) for seed in range(3)]
    cohorts = stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry=entry
    )
    many = fit_many(model, cohorts, seeds=8)
    assert many.cohorts["is_trustworthy"].all()
    for k in range(3):
        assert_same_posterior(model.prepare(cohorts[k]), many, k, seed=40 + k)


def test_random_walks_with_several_rows_a_patient_are_those_of_single_fits(simulated_cohorts):
    many = fit_many(WALKS, [simulated_cohorts[3], simulated_cohorts[1]], seeds=8)
    for number, rows in enumerate((3, 1)):
        assert_same_posterior(WALKS.prepare(simulated_cohorts[rows]), many, number, seed=rows)


def test_random_walks_agree_with_nuts(colon_fit):
    many = fit_many(colon_fit.model, [colon_fit.inputs.cohort] * 3, seeds=[1, 2, 3], draws=4000)
    nuts = colon_fit.coefficients()
    for number in range(3):
        rows = many.terms[many.terms["number"] == number].set_index("term")
        ess = many.cohorts["importance_ess"][number]
        mean, sd = rows.loc[nuts["term"], ["mean_log", "sd_log"]].to_numpy().T
        error = np.hypot(nuts["mcse_mean_log"], nuts["sd_log"] / math.sqrt(ess))
        assert np.all(np.abs(mean - nuts["mean_log"]) < 5 * error)
        np.testing.assert_allclose(sd, nuts["sd_log"], rtol=0.1)


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_draws_of_a_batch_are_those_of_each_cohort_alone(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    (block,) = prepared(model, stack).blocks
    rngs = [np.random.default_rng(k) for k in range(len(block))]
    drawn = sample_batch(Targets.of_block(block, model), 1000, rngs)
    assert drawn.converged.all()
    for k in (0, 17):
        one = weighted_draws(model.prepare(stack[k]), 1000, np.random.default_rng(k))
        for name in ("effect", "log_hazard", "log_ratio", "weight"):
            np.testing.assert_allclose(getattr(one, name), getattr(drawn, name)[k], rtol=1e-6)


@pytest.mark.parametrize("pairs", [[[7, 30], [20, 17]], [[0, 400], [150, 250]]])
def test_deviations_have_the_density_of_their_mixture(pairs):
    rng = np.random.default_rng(2)
    factor = np.tril(rng.uniform(0.2, 2.0, size=(2, 2, 3, 3)))
    nu = np.full((2, 2), DEGREES_OF_FREEDOM)
    proposal = EffectProposals(rng.normal(size=(2, 2, 3)), factor, nu, 3.0)
    seeds = rng.integers(2**64, size=(2, SEED_WORDS), dtype=np.uint64)
    drawn = proposal.draw(np.array(pairs), seeds)
    effect, log_density = drawn.effect, drawn.log_density
    centre = at_draw_pairs(proposal.centre, np.array(pairs))
    deviation = effect[:, 0] - centre
    np.testing.assert_allclose(centre - effect[:, 1], deviation, atol=1e-12)
    for k in range(2):
        first = pairs[k][0]
        for r, here in enumerate((slice(0, first), slice(first, None))):
            if not pairs[k][r]:
                continue
            scale = factor[k, r] @ factor[k, r].T
            core = multivariate_t(shape=scale, df=DEGREES_OF_FREEDOM).pdf(deviation[k, here])
            standard = np.linalg.solve(factor[k, r], deviation[k, here].T)
            wide = t(3.0, scale=WIDE_SCALE).pdf(standard).prod(axis=0) / np.linalg.det(factor[k, r])
            share = (pairs[k][r] // WIDE_EVERY) / pairs[k][r]
            expected = np.log((1 - share) * core + share * wide)
            np.testing.assert_allclose(log_density[k, here], expected, atol=1e-10)
            effect = proposal.centre[k, r] + deviation[k, here]
            of_all = proposal.log_densities(np.stack([effect, effect]), np.array(pairs))
            np.testing.assert_allclose(of_all[k, r], expected, atol=1e-10)


def modes_and_scales(block):
    targets = Targets.of_block(block, WALKS)
    return modes_of_parts(targets, first_modes(targets))


def test_modes_of_step_scales_ranges_are_modes(stack):
    (block,) = prepared(WALKS, stack).blocks
    modes, scales = modes_and_scales(block)
    pairs = allotted(scales.probability, 500)
    assert (pairs.sum(axis=1) == 500).all() and (pairs > 0).any(axis=0).all()
    assert modes.converged.all()
    np.testing.assert_allclose(scales.probability.sum(axis=1), 1)
    np.testing.assert_allclose(scales.share.sum(axis=2), 1)
    for k in range(0, len(block), 8):
        inputs = WALKS.prepare(stack[k])
        for part in range(2):
            mode = posterior_mode(inputs, step_scale=scales.typical[k, part])
            spread = np.sqrt(np.diag(np.linalg.inv(mode.information)))
            found = np.concatenate([modes.log_hazard[2 * k + part], modes.effect[2 * k + part]])
            away = (found - np.concatenate([mode.log_hazard, mode.effect])) / spread
            # a whole Newton step raises twice the log density by at most 1e-6
            assert np.abs(away).max() < 1e-3


@pytest.mark.parametrize("prior", ["student_t(3, 0, 1)", "student_t(3, 2, 0.1)"])
def test_likelihoods_modes_are_the_same_from_posteriors_modes(stack, prior):
    model = replace(MODEL, treatment_prior=prior, covariate_prior="laplace(0, 0.5)")
    vague = replace(model, treatment_prior="normal(0, 10)")
    (block,) = prepared(model, stack).blocks
    before, targets = Targets.of_block(block, model), Targets.of_block(block, vague)
    near = find_modes(before)
    # a cohort whose posterior gave no mode begins where all do
    values = [each.copy() for each in (near.at, near.log_density, near.information)]
    for each in values:
        each[3] = np.nan
    converged = near.converged & (np.arange(len(block)) != 3)
    near = Modes(*values, converged, near.n_intervals)
    found, expected = find_modes(targets, start=near.as_start()), find_modes(targets)
    assert found.converged.all() and expected.converged.all()
    spread = np.sqrt(np.diagonal(inverses(expected.information), axis1=1, axis2=2))[
        :, block.n_intervals :
    ]
    assert np.abs((found.effect - expected.effect) / spread).max() < 1e-3


def test_step_scales_are_drawn_evenly_over_each_range(stack):
    (block,) = prepared(WALKS, stack).blocks
    modes, scales = modes_and_scales(block)
    pairs = allotted(scales.probability, 20_000)
    shape = len(block), 2, modes.effect.shape[1]
    spread = modes.spread().reshape(*shape, -1)
    proposal = EffectProposals.around(modes.effect.reshape(shape), spread, 4.0)
    seeds = np.random.default_rng(1).integers(2**64, size=(len(block), SEED_WORDS), dtype=np.uint64)
    drawn, without = proposal.draw(pairs, seeds, scales), proposal.draw(pairs, seeds)
    np.testing.assert_array_equal(drawn.effect, without.effect)
    log_density, log_scale = drawn.log_density - without.log_density, drawn.log_step_scale
    part = np.array([np.repeat([0, 1], row) for row in pairs])
    own = np.take_along_axis(scales.log_densities(log_scale), part[:, None], axis=1)[:, 0]
    np.testing.assert_allclose(log_density, own, atol=1e-9)
    cell = scales.cell_of(log_scale)
    for k in range(len(block)):
        for each in range(2):
            own, scramble = cell[k, part[k] == each], drawn.scramble[k, part[k] == each]
            # narrow pairs of every scramble, then wide ones
            for run in np.split(own, np.flatnonzero(np.diff(scramble)) + 1):
                count = np.bincount(run, minlength=scales.share.shape[2])
                # one of the stratified draws may fall on either side of a cell's end
                assert np.all(np.abs(count - len(run) * scales.share[k, each]) <= 2)


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_a_list_of_cohorts_gives_the_numbers_of_their_stack(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    from_list = fit_many(model, list(stack)[:5], seeds=1).terms
    from_stack = fit_many(model, stack, seeds=1).terms[: len(from_list)]
    np.testing.assert_array_equal(from_list["mean_log"], from_stack["mean_log"])
    np.testing.assert_array_equal(from_list["cox_log_hr"], from_stack["cox_log_hr"])


@pytest.mark.parametrize("covariates", ["x + group", "x + C(digit)", "C(group) + x:z + I(z**2)"])
def test_cohorts_with_levels_and_ids_are_prepared_together(covariates):
    tables = [simulate(seed, digits=0).assign(id=np.arange(80) + seed) for seed in range(12)]
    for table in tables:
        table["digit"] = (3 * table["x"]).round().clip(-1, 1).astype(int)
    # of these cohorts there is something to say, or they lack a level
    tables[3]["group"] = tables[3]["group"].replace("b", "a")
    tables[3]["digit"] = tables[3]["digit"].replace(0, 1)
    tables[5].loc[1, "id"] = tables[5].loc[0, "id"]
    cohorts = stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death", id="id")
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=2)
    (batch,) = batches_of(cohorts)
    blocks = blocks_of_rows(model, batch.rows, batch.first)
    together = sorted(np.concatenate([block.position for block in blocks]).tolist())
    assert together == [k for k in range(12) if k not in (3, 5)]
    for block in blocks:
        for k in range(len(block)):
            one = model.prepare(cohorts[int(block.position[k])])
            assert one.design.terms == block.terms
            np.testing.assert_array_equal(one.design.scaled, block.design[k])
            np.testing.assert_array_equal(one.data.patient_index, block.patient_index[k])


def test_the_page_on_batches_is_true():
    page = Path(__file__).parents[2] / "docs" / "batches.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("baseline", ["independent", "random_walk"])
def test_summaries_agree_with_long_stan_runs_and_cox_with_r(references, baseline):
    reference = references["colon_early_recurrence"]
    model = PiecewiseExponential(
        "rx", "Lev", "age + sex + nodes + extent", cutpoints=8, baseline=baseline
    )
    many = fit_many(model, [reference.cohort] * 2, seeds=[1, 2], draws=4000)
    stan = reference.results[f"posterior_{baseline}"]["beta_scaled"]
    scale = np.array(reference.results["scaling"]["scale"])
    for number in range(2):
        rows = many.terms[many.terms["number"] == number]
        error = np.array(stan["sd"]) / math.sqrt(many.cohorts["importance_ess"][number])
        combined = np.hypot(error, stan["mcse_mean"])
        assert np.all(np.abs(rows["mean_log"] * scale - stan["mean"]) < 4 * combined)
        np.testing.assert_allclose(rows["sd_log"] * scale, stan["sd"], rtol=0.05)
        cox = reference.results["cox_efron"]
        np.testing.assert_allclose(rows["cox_log_hr"], cox["coef"], atol=1e-5)
        np.testing.assert_allclose(rows["cox_se"], cox["se"], atol=1e-5)


@pytest.mark.parametrize("digits", [None, 1, 0, -1])
def test_batched_cox_is_at_the_maximum_with_efron_ties(digits):
    (block,) = prepared(
        PiecewiseExponential("arm", 0, "x + z", cutpoints=[6.0]), stacked(range(20), digits=digits)
    ).blocks
    cox = fit_block_cox(block)
    assert cox.method == ["partial likelihood"] * len(block)
    for k in range(len(block)):
        scale = block.matrix[k].std(axis=0)
        likelihood = PartialLikelihood(
            block.entry[k], block.time[k], block.event[k], block.matrix[k] / scale
        )
        there = likelihood.at(cox.coef[k] * scale)
        assert np.abs(there.score).max() < 1e-6
        expected = np.sqrt(np.diag(np.linalg.inv(there.information))) / scale
        np.testing.assert_allclose(cox.se[k], expected, rtol=1e-8)


@pytest.mark.parametrize("entry", [None, "start"])
def test_batched_cox_equals_single_cox(entry):
    (block,) = prepared(MODEL, stacked(range(20), entry=entry, digits=1)).blocks
    cox = fit_block_cox(block)
    for k in range(len(block)):
        one = fit_cox(block.entry[k], block.time[k], block.event[k], block.matrix[k], block.terms)
        np.testing.assert_allclose(cox.coef[k], one.coef, atol=1e-8)
        np.testing.assert_allclose(cox.se[k], one.se, atol=1e-8)
        np.testing.assert_allclose(np.exp(cox.low[k]), one.ci95[:, 0], rtol=1e-7)
        np.testing.assert_allclose(np.exp(cox.high[k]), one.ci95[:, 1], rtol=1e-7)


def test_batched_cox_has_the_digits_of_a_cohort_alone():
    rng = np.random.default_rng(3)
    tables = []
    # the stronger the effect, the more Newton steps
    for k, effect in enumerate((0.0, 1.0, 2.0, 3.0)):
        x, arm = rng.normal(size=60), np.arange(60) % 2
        time = rng.exponential(np.exp(-effect * x))
        tables.append(pd.DataFrame({"k": k, "arm": arm, "x": x, "t": time, "d": 1}))
    cohorts = stack_cohorts(pd.concat(tables), cohort="k", time="t", event="d")
    (block,) = prepared(PiecewiseExponential("arm", 0, "x", cutpoints=3), cohorts).blocks
    together = fit_block_cox(block)
    for k in range(len(block)):
        alone = fit_block_cox(block.part(slice(k, k + 1)))
        for name in ("coef", "se", "low", "high"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[k])


def test_cox_of_a_separated_cohort_is_firths():
    table = simulate(1)
    table.loc[table["arm"] == 1, "death"] = 0
    cohort = read_cohort(table.drop(columns="cohort"), time="time", event="death")
    many = fit_many(MODEL, [stacked([2])[0], cohort], seeds=1)
    assert many.cohorts["cox_method"].tolist() == ["partial likelihood", "Firth"]
    one = fit_cox(
        cohort.entry, cohort.time, cohort.event,
        MODEL.prepare(cohort).design.matrix, MODEL.prepare(cohort).design.terms,
    )  # fmt: skip
    row = many.of_term().iloc[1]
    assert row["cox_log_hr"] == pytest.approx(one.coef[0], rel=1e-12)
    assert "arm[T.1]" in row["cox_note"]


def test_cohorts_that_cannot_be_fitted_say_why_and_leave_the_others_alone(stack):
    good = simulate(0)
    broken = {
        "no event": good.assign(death=0),
        "negative time": good.assign(time=-1.0),
        "constant": good.assign(x=1.0),
        "one arm": good.assign(arm=0),
        "missing": good.assign(x=np.nan),
        "log of nothing": good.assign(z=0.0),
    }
    tables = [good.assign(cohort="first")]
    tables += [table.assign(cohort=name) for name, table in broken.items()]
    tables.append(simulate(1).assign(cohort="last"))
    cohorts = stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death")
    many = fit_many(MODEL, cohorts, seeds=[5] * len(tables))
    assert many.cohorts["cohort"].tolist() == ["first", *broken, "last"]
    assert many.cohorts["is_fitted"].tolist() == [True, *[False] * len(broken), True]
    for name, words in (
        ("no event", "at least one must be 1"), ("negative time", "zero or negative"),
        ("constant", "constant"), ("one arm", "only the level 0"), ("missing", "missing"),
        ("log of nothing", "not finite"),
    ):  # fmt: skip
        row = many.cohorts.set_index("cohort").loc[name]
        assert words in row["reason"] and math.isnan(row["pareto_k"])
    of_term = many.of_term("arm[T.1]")
    assert of_term["mean_log"].notna().tolist() == many.cohorts["is_fitted"].tolist()
    alone = fit_many(MODEL, [read_cohort(good, time="time", event="death")], seeds=[5])
    assert of_term["mean_log"][0] == alone.of_term()["mean_log"][0]
    assert "2 fitted" in repr(many) and "6 not fitted" in repr(many)


def draw_cohort(draw):
    rows = draw(st.integers(6, 14))
    times = st.sampled_from([1e-6, 0.5, 1.0, 2.0, 3.0, 7.0, 1e6])
    columns = {
        "time": draw(st.lists(times, min_size=rows, max_size=rows)),
        "death": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "arm": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "x": draw(st.lists(st.sampled_from([-1e3, 0.0, 1.0, 2.0]), min_size=rows, max_size=rows)),
    }
    return pd.DataFrame(columns)


small_cohorts = st.composite(draw_cohort)()
# Newton's first step in Cox's likelihood leaves nobody at risk with any weight
LONG_STEP = pd.DataFrame(
    {
        "time": [1e-6, 1e-6, 1e-6, 0.5, 1e-6, 1e-6],
        "death": [0, 0, 0, 1, 1, 0],
        "arm": [0, 0, 1, 0, 0, 1],
        "x": [-1e3, -1e3, -1e3, 0.0, 1.0, -1e3],
    }
)


@given(
    table=small_cohorts,
    baseline=st.sampled_from(["independent", "gamma", "random_walk", "log_time_walk"]),
    prior=st.sampled_from(["normal(0, 1)", "normal(0, 100)", "laplace(0, 1)"]),
)
@example(table=LONG_STEP, baseline="independent", prior="normal(0, 1)")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_number_comes_without_its_flag(table, baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=2, baseline=baseline, treatment_prior=prior
    )
    both = pd.concat([table.assign(cohort=1), simulate(3, rows=30).assign(cohort=2)])
    cohorts = stack_cohorts(both, cohort="cohort", time="time", event="death")
    many = fit_many(model, cohorts, seeds=1, draws=400)
    assert many.cohorts["is_fitted"][1]
    row = many.cohorts.iloc[0]
    assert bool(row["reason"]) == (not row["is_trustworthy"])
    numbers = many.terms[many.terms["number"] == 0][["mean_log", "sd_log", "median", "eti95_low"]]
    if row["is_fitted"]:
        assert np.isfinite(numbers.to_numpy()).all() and len(numbers)
        assert (numbers["sd_log"] > 0).all()
        assert not row["is_trustworthy"] or row["pareto_k"] <= 0.7
    else:
        assert numbers.isna().all(axis=None)


def test_quantiles_of_equal_weights_are_hazens():
    value = np.random.default_rng(1).normal(size=(2, 3, 200))
    found, ess_tail = weighted_quantiles(value, np.full((2, 200), 1 / 200))
    np.testing.assert_allclose(ess_tail, 200, rtol=1e-9)
    expected = np.quantile(value, [0.025, 0.5, 0.975], axis=2, method="hazen")
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, 2), rtol=1e-12)


def test_a_generator_of_cohorts_will_do(stack):
    from_generator = fit_many(MODEL, (stack[k] for k in range(3)), seeds=1)
    np.testing.assert_array_equal(
        from_generator.terms["mean_log"],
        fit_many(MODEL, stack, seeds=1).terms["mean_log"][: 3 * 3],
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": 50}, "too few"),
        ({"draws": 10**9}, "whole number from 100 to 1000000"),
        ({"draws": 1000.5}, "whole number"),
        ({"draws": "1000"}, "whole number"),
        ({"jobs": 1.5}, "whole number"),
        ({"engine": "fast"}, "unknown"),
        ({"jobs": 0}, "impossible"),
        ({"thresholds": [0.0]}, "above 0"),
        ({"seeds": -1}, "negative"),
        ({"seeds": [1, 2]}, "2 seeds for 40 cohorts"),
        ({"seeds": 1.5}, "whole number"),
        ({"seeds": [1.7] * 40}, "whole number"),
        ({"seeds": "abc"}, "whole number"),
        ({"seeds": True}, "whole number"),
        ({"seeds": list(range(41))}, "41 seeds for 40 cohorts"),
    ],
)
def test_arguments_that_cannot_be_are_refused(stack, change, words):
    with pytest.raises(BayesCRLMError, match=words):
        fit_many(MODEL, stack, **change)


def test_cohorts_that_are_none_or_not_several_are_refused(simulated_cohorts):
    with pytest.raises(BayesCRLMError, match="no cohorts"):
        fit_many(MODEL, [])
    with pytest.raises(BayesCRLMError, match="not several"):
        fit_many(MODEL, simulated_cohorts[1])
    # an iterator's length shows only when it is through
    with pytest.raises(BayesCRLMError, match="more cohorts"):
        fit_many(MODEL, iter([simulated_cohorts[1]] * 3), seeds=[1, 2])


def test_models_wrong_for_every_cohort_are_refused_at_once(stack):
    horseshoe = PiecewiseExponential("arm", 0, "x", covariate_prior="horseshoe(1)")
    with pytest.raises(PriorError, match="needs NUTS"):
        fit_many(horseshoe, stack)
    with pytest.raises(BayesCRLMError, match="open"):
        fit_many(PiecewiseExponential("arm", 0, "open(x)"), stack)
    with pytest.raises(ValueError, match="no cohort has a term"):
        fit_many(MODEL, stack, seeds=1).of_term("age")


def test_a_table_without_the_cohorts_column_is_refused():
    with pytest.raises(CohortError, match="did you mean"):
        stack_cohorts(simulate(1), cohort="cohrt", time="time", event="death")
    missing = simulate(1).assign(cohort=np.nan)
    with pytest.raises(CohortError, match="missing in row 1"):
        stack_cohorts(missing, cohort="cohort", time="time", event="death")


def test_cohorts_whose_rows_are_mixed_keep_their_rows():
    tables = pd.concat([simulate(seed) for seed in (5, 6)])
    mixed = tables.sample(frac=1, random_state=1)
    stack = stack_cohorts(mixed, cohort="cohort", time="time", event="death")
    for k, label in enumerate(stack.labels):
        expected = mixed[mixed["cohort"] == label]["time"].to_numpy()
        np.testing.assert_array_equal(stack[k].time, expected)


def test_several_rows_a_patient_go_through_the_usual_path(simulated_cohorts):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline="gamma")
    cohort = simulated_cohorts[3]
    many = fit_many(model, [cohort] * 2, seeds=[1, 1])
    assert many.cohorts["n_patients"].tolist() == [cohort.n_patients] * 2
    single = weighted_draws(model.prepare(cohort), 20_000, np.random.default_rng(1))
    row, scale = many.of_term().iloc[0], model.prepare(cohort).design.scale[0]
    error = 5 * row["sd_log"] / math.sqrt(row["importance_ess"])
    assert abs(row["mean_log"] - single.weight @ single.effect[:, 0] / scale) < error


@pytest.mark.slow
def test_escalated_cohorts_are_fitted_by_nuts(monkeypatch):
    # no weights are good enough: the engine has draws to trust of any small cohort tried here
    monkeypatch.setattr("bayes_crlm.inference.draws.LEAST_ESS", 2.0)
    table = simulate(1, rows=24)
    model = PiecewiseExponential("arm", 0, "x", cutpoints=2, baseline="independent")
    cohort = read_cohort(table, time="time", event="death")
    plain = fit_many(model, [cohort], seeds=1)
    assert not plain.cohorts["is_trustworthy"][0]
    many = fit_many(model, [cohort], seeds=1, escalate=True)
    assert many.cohorts["engine"][0] == "nuts" and "NUTS was used" in many.cohorts["reason"][0]
    fit = model.fit(cohort, seed=2)
    row, expected = many.of_term().iloc[0], fit.coefficients().iloc[0]
    error = 5 * math.sqrt(2) * expected["mcse_mean_log"]
    assert abs(row["mean_log"] - expected["mean_log"]) < error


@given(
    share=st.lists(st.sampled_from([0.0, 1e-9, 0.01, 0.3, 1.0]), min_size=1, max_size=30),
    pairs=st.integers(1, 40),
)
def test_pairs_are_shared_out_whole(share, pairs):
    share = np.array([share])
    if not share.any():
        share[0, 0] = np.nan
    found = allotted(share / share.sum(), pairs)
    assert found.sum() == pairs and (found >= 0).all()
    if np.isfinite(share).all():
        assert (found[share == 0] == 0).all()
        assert pairs < (share > 0).sum() or (found[share > 0] > 0).all()
