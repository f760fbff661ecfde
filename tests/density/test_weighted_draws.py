"""The library's weighted draws: formulas written down here, and the model's density."""

import itertools
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from scipy.special import gammaln, logsumexp
from test_product_models import BASELINES, COHORTS, PRIORS, prepared

from bayes_crlm.inference.hazards_given_effects import (
    ScaleDraws,
    walks_at_scales,
)
from bayes_crlm.inference.mode import find_modes
from bayes_crlm.inference.native.draws import SEED_WORDS, HazardDraws
from bayes_crlm.inference.native.library import AVX2, AVX512, BASELINE, kernels
from bayes_crlm.inference.proposal_draws import hazards_and_density
from bayes_crlm.inference.step_scales import step_scales
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.baseline_priors import RandomWalk
from bayes_crlm.model.density import log_density
from bayes_crlm.model.prepared import PreparedCohort

PAIRS, FAR, LEAST_POWER, THIN = 301, 6.0, 1e-12, 0.75
CASES = list(itertools.product(COHORTS, BASELINES, PRIORS[:3]))


@dataclass
class Drawn:
    """Draws of one cohort: effects, log step scales, exposures, log-hazards and log ratios."""

    inputs: PreparedCohort
    targets: Targets
    near: SimpleNamespace | None
    effect: np.ndarray
    log_scale: np.ndarray | None
    weighted: np.ndarray
    log_hazard: np.ndarray
    log_ratio: np.ndarray


def draws_of(inputs, seed=3, log_scales=(-1.5, 0.5)):
    targets, rng = Targets.of_cohort(inputs), np.random.default_rng(seed)
    effect = rng.normal(0.1, 0.3, (1, 2, PAIRS, targets.n_effects))
    modes = scales = log_scale = None
    if targets.has_walk:
        scales = step_scales(targets, np.full((1, 1, targets.n_effects), 0.1))
        log_scale = rng.uniform(*log_scales, (1, PAIRS))
    else:
        modes = find_modes(targets)
    near = SimpleNamespace(
        targets=targets,
        modes=modes,
        scales=scales,
        keeps_hazards=True,
        pairs=np.ones((1, 1)),
        walk_steps=1,
    )
    seeds = rng.integers(2**64, size=(1, SEED_WORDS), dtype=np.uint64)
    part = np.zeros((1, 1, PAIRS), dtype=np.intp)
    log_hazard, log_ratio = hazards_and_density(near, effect, part, ScaleDraws(log_scale), seeds)
    each = effect[0].reshape(2 * PAIRS, -1)
    several = targets.sums.part(np.zeros(len(each), dtype=np.intp))
    weighted = several.weighted_exposure(each)
    log_scale = None if log_scale is None else np.tile(log_scale[0], 2)
    log_hazard = log_hazard.reshape(2 * PAIRS, -1)
    return Drawn(inputs, targets, near, each, log_scale, weighted, log_hazard, log_ratio.ravel())


def log_target(drawn):
    """The model's log density of the draws; that of walks in log-hazards, as they are drawn."""
    log_scale, model = drawn.log_scale, drawn.inputs.block_model
    if log_scale is None:
        return log_density(np.concatenate([drawn.effect, drawn.log_hazard], axis=1), model)
    sd = np.sqrt(drawn.targets.step_variances[0])
    step = np.diff(drawn.log_hazard, axis=1) / (np.exp(log_scale)[:, None] * sd)
    events = drawn.targets.sums.events[0]
    level = drawn.log_hazard @ (events / events.sum())
    vectors = [drawn.effect, log_scale[:, None], step, level[:, None]]
    found = log_density(np.concatenate(vectors, axis=1), model)
    return found - len(sd) * log_scale - np.log(sd).sum()


def walk_fit(start, weighted, log_scale, targets, steps):
    """Centre, power, and precision (cases, intervals, intervals) of a walk's powers."""
    n, prior = start.shape[1], targets.baseline
    level, events = prior.level_interval(n), targets.sums.events[0]
    difference = np.diff(np.eye(n), axis=0)
    unit = difference.T / targets.step_variances[0] @ difference
    prior_precision = np.exp(-2 * log_scale)[:, None, None] * unit
    prior_precision[:, level, level] += prior.level_sd**-2
    mean, at = targets.log_rate[0], start
    for _ in range(steps):
        expected = weighted * np.exp(at)
        precision = prior_precision + expected[:, None] * np.eye(n)
        power = np.maximum(expected / 3 / np.diagonal(precision, axis1=1, axis2=2), LEAST_POWER)
        slope = events - expected - power - (prior_precision @ (at - mean)[:, :, None])[:, :, 0]
        move = np.linalg.solve(precision, slope[:, :, None])[:, :, 0]
        at = at + np.log1p(np.maximum(power * move, -0.5)) / power
    return at, power, precision


def walk_start(drawn):
    """The cell's walk, at the level where as many events are expected as there were."""
    scales, events = drawn.near.scales, drawn.targets.sums.events[0].sum()
    cell = np.searchsorted(scales.edges[1:-1], drawn.log_scale)
    start = scales.log_hazard[0, 0, cell]
    expected = (drawn.weighted * np.exp(start)).sum(axis=1)
    return start + np.log(events / expected)[:, None]


def standard_normals(drawn):
    """What walks were made of: normals in the order of intervals, and the log density of walks."""
    fit = walk_fit(walk_start(drawn), drawn.weighted, drawn.log_scale, drawn.targets, steps=1)
    centre, power, precision = fit
    log_power = power * (drawn.log_hazard - centre)
    x = np.expm1(log_power) / power
    # each interval given the next
    lower = np.linalg.cholesky(precision)
    pivot_root = np.diagonal(lower, axis1=1, axis2=2)
    standard = (np.swapaxes(lower, 1, 2) @ x[:, :, None])[:, :, 0]
    mean = x - standard / pivot_root
    room = (1 / power + mean) * pivot_root
    cut = np.where(room < FAR, stats.norm.logcdf(room), 0.0)
    of_normal = stats.norm.logpdf(standard) + np.log(pivot_root) - cut
    return standard, (of_normal + log_power).sum(axis=1), room


def gamma_variables(drawn):
    """Logs of the gamma variables of independent hazards, their shapes, and events expected."""
    modes, sd = drawn.near.modes, drawn.targets.baseline.sd
    expected = np.exp(modes.log_hazard) * drawn.targets.sums.weighted_exposure(modes.effect)
    shape = expected + sd**-2
    share = expected / shape
    # the mode follows the log of the weighted exposure by the data's share
    away = np.log(drawn.weighted * np.exp(modes.log_hazard) / expected)
    centre = modes.log_hazard - share * away
    return drawn.log_hazard - centre + np.log(shape), shape[0], expected[0]


def independent_density(drawn):
    """Log density of independent hazards: gamma, or where they are thin half of it and a normal."""
    value, shape, expected = gamma_variables(drawn)
    sd = drawn.targets.baseline.sd
    of_gamma = shape * value - np.exp(value) - gammaln(shape)
    of_normal = stats.norm.logpdf(value, np.log(shape), sd)
    mixed = np.logaddexp(of_gamma, of_normal) - np.log(2)
    return value, np.where(expected < THIN, mixed, of_gamma).sum(axis=1)


def gamma_density(drawn):
    """Log density of a gamma process's hazards given the effects, in log-hazards."""
    targets = drawn.targets
    shape, rate = targets.process
    shape = shape + targets.sums.events
    value = drawn.log_hazard + np.log(rate + drawn.weighted)
    return (shape * value - np.exp(value) - gammaln(shape)).sum(axis=1)


def has_steps(baseline):
    return baseline.endswith("walk")


@pytest.mark.parametrize(("rows", "baseline", "prior"), CASES)
def test_ratios_are_the_models_density_over_that_of_the_draws(rows, baseline, prior):
    drawn = draws_of(prepared(rows, baseline, prior))
    if has_steps(baseline):
        _, log_proposal, _ = standard_normals(drawn)
    elif baseline == "gamma":
        log_proposal = gamma_density(drawn)
    else:
        log_proposal = independent_density(drawn)[1]
    assert np.isfinite(drawn.log_ratio).all()
    np.testing.assert_allclose(drawn.log_ratio, log_target(drawn) - log_proposal, atol=1e-9)


def test_walks_of_few_events_keep_their_powers_positive():
    """Where a power could well be negative it is drawn again, and the density is cut off there."""
    inputs = prepared(1, RandomWalk(5.0, 20.0), PRIORS[0], cutpoints=12)
    drawn = draws_of(inputs, log_scales=(2.0, 3.0))
    _, log_proposal, room = standard_normals(drawn)
    assert (room < FAR).any(axis=1).mean() > 0.5 and (room < 3.5).any()
    assert np.isfinite(drawn.log_hazard).all()
    np.testing.assert_allclose(drawn.log_ratio, log_target(drawn) - log_proposal, atol=1e-8)


def test_thin_intervals_are_drawn_from_a_mixture():
    inputs = prepared(1, "independent", PRIORS[0], cutpoints=[0.05, 0.1, 5.0, 10.0])
    drawn = draws_of(inputs)
    _, log_proposal = independent_density(drawn)
    assert (gamma_variables(drawn)[2] < THIN).any()
    np.testing.assert_allclose(drawn.log_ratio, log_target(drawn) - log_proposal, atol=1e-9)


def test_standard_numbers_have_their_distributions():
    drawn = draws_of(prepared(1, "log_time_walk", PRIORS[0]))
    standard, _, room = standard_normals(drawn)
    first, second = standard.reshape(2, PAIRS, -1)
    is_far = (room.reshape(2, PAIRS, -1) > FAR).all(axis=0)
    assert is_far.mean() > 0.5
    np.testing.assert_allclose(first[is_far], -second[is_far], atol=1e-7)
    assert stats.kstest(first[is_far], "norm").pvalue > 0.01
    drawn = draws_of(prepared(1, "independent", PRIORS[0]))
    value, shape, expected = gamma_variables(drawn)
    for j in np.flatnonzero(expected >= THIN):
        assert stats.kstest(value[:, j], stats.loggamma(shape[j]).cdf).pvalue > 0.01


@pytest.mark.parametrize("baseline", ["log_time_walk", "random_walk"])
def test_walks_at_scales_are_centred_where_newtons_method_ends(baseline):
    inputs = prepared(3, baseline, PRIORS[0], cutpoints=6)
    targets, log_scale = Targets.of_cohort(inputs), np.linspace(-4.0, 1.5, 19)
    effect = np.full((1, 1, 19, targets.n_effects), 0.2)
    walk, log_density = walks_at_scales(targets, effect, log_scale[None])
    weighted = np.repeat(targets.sums.weighted_exposure(effect[0, 0, :1]), 19, axis=0)
    start = np.log((targets.sums.events + 1) / (weighted + np.exp(-targets.log_rate)))
    centre, _, precision = walk_fit(start, weighted, log_scale, targets, steps=12)
    np.testing.assert_allclose(walk[0, 0], centre, atol=1e-10)
    drawn = Drawn(inputs, targets, None, effect[0, 0], log_scale, weighted, walk[0, 0], log_density)
    summed_out = log_target(drawn) + 0.5 * (centre.shape[1] * np.log(2 * np.pi))
    expected = summed_out - 0.5 * np.linalg.slogdet(precision)[1]
    np.testing.assert_allclose(log_density[0, 0], expected, atol=1e-9)


@pytest.mark.parametrize("baseline", BASELINES)
def test_instruction_sets_draw_alike(baseline, monkeypatch):
    inputs = prepared(3, baseline, PRIORS[1])
    expected, sample = draws_of(inputs), HazardDraws.run
    for level in (BASELINE, AVX2, AVX512):
        try:
            kernels(level)
        except ValueError:
            continue
        monkeypatch.setattr(HazardDraws, "run", lambda each, level=level: sample(each, level))
        found = draws_of(inputs)
        np.testing.assert_allclose(found.log_hazard, expected.log_hazard, atol=1e-9)
        np.testing.assert_allclose(found.log_ratio, expected.log_ratio, atol=1e-9)


@pytest.mark.parametrize("baseline", BASELINES)
def test_without_random_numbers_hazards_are_where_their_distributions_are_centred(baseline):
    """What is left is Laplace's approximation: near what many draws say of the same effects."""
    inputs = prepared(1, baseline, PRIORS[0])
    drawn = draws_of(inputs)
    effect = np.zeros((1, 2, PAIRS, drawn.targets.n_effects))
    log_scale = None if drawn.log_scale is None else np.zeros((1, PAIRS))
    part, scales = np.zeros((1, 1, PAIRS), dtype=np.intp), ScaleDraws(log_scale)
    seeds = np.random.default_rng(1).integers(2**64, size=(1, SEED_WORDS), dtype=np.uint64)
    _, centred = hazards_and_density(drawn.near, effect, part, scales, None)
    _, log_ratio = hazards_and_density(drawn.near, effect, part, scales, seeds)
    assert np.ptp(centred) < 1e-9
    expected = logsumexp(log_ratio) - np.log(log_ratio.size)
    assert centred[0, 0, 0] == pytest.approx(expected, abs=0.1)
