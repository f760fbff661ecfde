"""Draws of many cohorts at once: proposals, step scales, and the same draws as of each alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from many_cohorts import MODEL, WALKS, prepared, stacked
from one_mode import posterior_mode
from scipy.stats import multivariate_t, t

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
from bayes_crlm.inference.weighted import sums_of_draws
from bayes_crlm.inference.weights import allotted
from bayes_crlm.likelihood.matrices import inverses, triangular_roots


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


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


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_draws_of_a_batch_are_those_of_each_cohort_alone(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    (block,) = prepared(model, stack).blocks
    rngs = [np.random.default_rng(k) for k in range(len(block))]
    drawn = sample_batch(Targets.of_block(block), 1000, rngs)
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
    targets = Targets.of_block(block)
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
    before = Targets.of_block(block)
    targets = Targets.of_block(replace(block, **vague.priors))
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
        :, block.intervals.n_intervals :
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


def test_quantiles_of_equal_weights_are_numpys():
    value = np.random.default_rng(1).normal(size=(2, 200, 3))
    found = sums_of_draws(value, np.full((2, 200), 1 / 200))
    np.testing.assert_allclose(found.tail_size, 200, rtol=1e-9)
    expected = np.quantile(value, [0.025, 0.5, 0.975], axis=1)
    np.testing.assert_allclose(found.quantile, np.moveaxis(expected, 0, 2), rtol=1e-12)


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
