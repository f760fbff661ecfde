"""Models built by hand of blocks: approximate draws against NUTS, groups against quadrature."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad

from bayes_crlm.inference.importance import sample_model
from bayes_crlm.inference.layout import why_not_approximated
from bayes_crlm.inference.native.coordinates import plain_coordinates
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.groups import log_integrals, sample_effects
from bayes_crlm.inference.native.nutpie_part import SamplerSettings
from bayes_crlm.inference.nuts import sample_coordinates
from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.density import BlockModel, constrain, log_hazards_of
from bayes_crlm.model.families import HalfCauchy, HalfNormal, HalfStudentT, Normal, StudentT
from bayes_crlm.model.terms.baseline import event_shares
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.model.terms.walks import Level, Walk

CUTPOINTS = np.array([0.0, 3.0, 8.0, 15.0, 40.0])
LOG_RATE = -2.3


def rows(*, strata=(0,), group_counts=(), n=110, seed=1, is_delayed=False):
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.arange(n) % 2 - 0.5, rng.normal(size=n)])
    group = tuple(rng.integers(count, size=n) for count in group_counts)
    row_class = rng.integers(len(strata), size=n)
    log_relative = -0.5 * design[:, 0] + 0.3 * design[:, 1]
    for each, count in zip(group, group_counts, strict=True):
        log_relative += 0.6 * rng.normal(size=count)[each]
    begin = rng.exponential(2.0, n) * is_delayed
    death, stop = begin + rng.exponential(10 / np.exp(log_relative)), begin + rng.uniform(5, 40, n)
    time = np.minimum(np.minimum(death, stop), 40.0)
    return SurvivalData(
        follow_up=cut_follow_up(np.minimum(begin, 0.9 * time), time, CUTPOINTS),
        event=(death <= np.minimum(stop, 40.0)).astype(float),
        design=design,
        patient_index=np.arange(n),
        n_patients=n,
        row_class=row_class,
        stratum_of_class=np.array(strata),
        groups=group,
        group_counts=tuple(group_counts),
    )


def effects(prior=UNIT):
    return Block("effect", Columns(0, 2), (prior,) * 2)


def walk(data):
    cells = Cells.of_strata(data.stratum_of_class)
    share = event_shares(cells.loading.T @ data.events_per_cell)
    steps = (UNIT,) * (3 * cells.copies)
    level = Level(1, LOG_RATE, 2.0)
    return Block(
        "log_hazard", cells, steps, HalfNormal(1.0), Walk(np.array([0.5, 0.3, 0.2]), share, level)
    )


def over_time(data, loading):
    share = event_shares(data.events_per_interval[None])
    variances = np.array([0.5, 0.3, 0.2])
    steps = (UNIT,) * 3
    return Block("over_time", Cells(loading), steps, HalfStudentT(3.0, 0.5), Walk(variances, share))


def changing_effect():
    data = rows(strata=(0, 0), is_delayed=True)
    return BlockModel((effects(), walk(data), over_time(data, np.array([[-0.5], [0.5]]))), data)


def strata_beside_shrunk_columns():
    data = rows(strata=(0, 1, 2))
    pooled = Block("subgroup", Columns(1, 2), (UNIT,), HalfCauchy(0.4))
    return BlockModel((Block("effect", Columns(0, 1), (UNIT,)), pooled, walk(data)), data)


def gamma_hazards_of_strata():
    data = rows(strata=(0, 0, 1, 1))
    cells = Cells.of_strata(data.stratum_of_class)
    hazards = GammaHazards("hazard", cells, 3.0, LOG_RATE, np.diff(CUTPOINTS))
    loading = np.array([[-0.5], [0.5], [-0.5], [0.5]])
    return BlockModel((effects(), hazards, over_time(data, loading)), data)


def groups_beside_a_walk():
    data = rows(group_counts=(15,))
    block = Block("centre_effect", Grouping(0), (UNIT,) * 15, HalfNormal(0.8))
    return BlockModel((effects(StudentT(5.0, 0.0, 1.0)), walk(data), block), data)


def groups_of_known_spread():
    data = rows(group_counts=(15, 4))
    known = Block("centre_effect", Grouping(0), (UNIT,) * 15)
    pooled = Block("ward_effect", Grouping(1), (UNIT,) * 4)
    return BlockModel((effects(), independent(), known, pooled), data)


def independent():
    return Block("log_hazard", Cells(np.ones((1, 1))), (Normal(LOG_RATE, 2.0),) * 4)


def two_groupings_of_unknown_spread():
    data = rows(group_counts=(15, 4))
    groups = [
        Block(f"group_{k}", Grouping(k), (UNIT,) * count, HalfNormal(0.5))
        for k, count in enumerate((15, 4))
    ]
    return BlockModel((effects(), independent(), *groups), data)


def groups_beside_strata():
    data = rows(strata=(0, 1), group_counts=(15,), is_delayed=True)
    block = Block("centre_effect", Grouping(0), (UNIT,) * 15, HalfNormal(0.8))
    return BlockModel((effects(), walk(data), block), data)


def groups_beside_a_changing_effect():
    data = rows(strata=(0, 0), group_counts=(15,))
    block = Block("centre_effect", Grouping(0), (UNIT,) * 15, HalfNormal(0.8))
    hazards = replace(independent(), enters=Cells(np.ones((2, 1))))
    changing = over_time(data, np.array([[-0.5], [0.5]]))
    return BlockModel((effects(), hazards, block, changing), data)


MODELS = (
    changing_effect,
    strata_beside_shrunk_columns,
    gamma_hazards_of_strata,
    groups_beside_a_walk,
    groups_of_known_spread,
    two_groupings_of_unknown_spread,
    groups_beside_strata,
    groups_beside_a_changing_effect,
)


@pytest.mark.parametrize("make", MODELS)
def test_draws_from_models_built_by_hand_are_those_of_nuts(make):
    model = make()
    assert why_not_approximated(model) is None
    drawn = sample_model(model, 8000, np.random.default_rng(3))
    assert drawn.pareto_k < 0.7 and drawn.ess > 0.2 * 8000
    possible = drawn.weight > 0
    weight, vectors = drawn.weight[possible] / drawn.weight[possible].sum(), drawn.vectors[possible]
    settings = SamplerSettings(
        draws=5000, tune=1000, chains=4, seed=5, target_accept=0.98, start_spread=0.1,
        progress=False,
    )  # fmt: skip
    coordinates = plain_coordinates(weight @ vectors)
    sampled, _ = sample_coordinates(native_density(model.data, model.blocks), coordinates, settings)
    sampled = sampled.reshape(-1, sampled.shape[-1])
    quick, slow = (values_of(each, model) for each in (vectors, sampled))
    mean, sd = slow.mean(axis=0), slow.std(axis=0)
    own = weight @ quick
    # of 20,000 draws of NUTS at least 2,000 count: 4 combined errors of means are 0.13 sd
    assert np.abs((own - mean) / sd).max() < 0.13
    np.testing.assert_allclose(np.sqrt(weight @ (quick - own) ** 2), sd, rtol=0.12)


def values_of(vectors, model):
    """Hazard table, effects, groups and log scales, one row a draw."""
    named = constrain(vectors, model.parameters)
    at = log_hazards_of(named, model)
    scales = [
        np.log(named[block.scale_name])
        for block in model.blocks
        if isinstance(block, Block) and block.scale is not None
    ]
    cells = at.cells.reshape(len(vectors), -1)
    return np.concatenate([cells, at.effect, *at.groups, *scales], axis=1)


def test_groups_are_integrated_and_drawn_as_quadrature_says():
    rng = np.random.default_rng(1)
    events, scale = np.array([0.0, 1.0, 7.0]), np.array([0.02, 0.3, 2.5])
    hazards = rng.gamma(2.0, 1.0, (3, 3)) + 0.01
    found = log_integrals(hazards, events, scale)
    draws = 20_000
    for k in range(3):
        many = sample_effects(
            np.tile(hazards[k], (draws, 1)), events, np.full(draws, scale[k]), rng
        )
        for g in range(3):

            def density(u, k=k, g=g):
                log_density = events[g] * u - hazards[k, g] * math.exp(u)
                return math.exp(log_density - 0.5 * (u / scale[k]) ** 2) / (
                    scale[k] * math.sqrt(2 * math.pi)
                )

            reach = 9 * scale[k]
            mass = quad(density, -reach, reach, limit=300)[0]
            assert found[k, g] == pytest.approx(math.log(mass), abs=2e-3)
            mean = quad(lambda u: u * density(u), -reach, reach, limit=300)[0] / mass
            second = quad(lambda u: u**2 * density(u), -reach, reach, limit=300)[0] / mass
            sd = math.sqrt(second - mean**2)
            assert many[:, g].mean() == pytest.approx(mean, abs=4.5 * sd / math.sqrt(draws))
            assert many[:, g].std() == pytest.approx(sd, rel=0.03)


def test_models_beyond_the_grid_go_to_nuts():
    data = rows(group_counts=(6, 4))
    groups = [
        Block(f"group_{k}", Grouping(k), (UNIT,) * count, HalfNormal(0.5))
        for k, count in enumerate((6, 4))
    ]
    three = BlockModel((effects(), walk(data), *groups), data)
    assert "at most 2 unknown scales, and there are 3" in why_not_approximated(three)
    pooled = Block("pooled", Columns(0, 2), (UNIT,) * 2, HalfNormal(0.5))
    two = BlockModel((pooled, independent(), groups[1], replace(groups[0], scale=None)), data)
    assert "and there are 2" in why_not_approximated(two)
    shrunk = Shrunk("effect", Columns(0, 2), HalfCauchy(0.5), "term")
    assert "horseshoe" in why_not_approximated(BlockModel((shrunk, walk(data)), data))


@pytest.mark.parametrize("scale", [HalfCauchy(0.5), HalfStudentT(3.0, 0.5)])
def test_walks_of_another_step_scale_than_half_normal_go_to_nuts_and_say_so(scale):
    data = rows()
    heavy = replace(walk(data), scale=scale)
    why = why_not_approximated(BlockModel((effects(), heavy), data))
    assert why == "engine laplace serves walks whose step scale has a half-normal prior"
    assert why_not_approximated(BlockModel((effects(), walk(data)), data)) is None
