"""Student t priors far from the likelihood: two modes, weighed as quadrature weighs them."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, fit_many, read_cohort
from bayes_crlm.inference.importance import sample_importance
from bayes_crlm.inference.several_modes import find_components, first_step_scales
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weighted import tail_effective_sizes
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.priors import parse_prior

# (patients, true log hazard ratio, prior): at the prior's place lies a tenth to nine tenths
CASES = [
    (48, 1.9, "student_t(3, 0.1, 0.012)"),
    (66, -0.2, "student_t(4, -1.9, 0.01)"),
    (90, 0.6, "student_t(2, -0.7, 0.02)"),
    (60, 0.0, "student_t(5, 1.4, 0.03)"),
    (70, 0.4, "student_t(3, 0.3, 0.01)"),
]


def trial(n, effect, seed):
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    time = rng.exponential(10 / np.exp(effect * arm))
    stop = rng.exponential(25, n)
    table = pd.DataFrame(
        {"t": np.minimum(time, stop).round(3) + 0.001, "e": (time < stop).astype(int), "arm": arm}
    )
    return read_cohort(table, time="t", event="e")


def exact(inputs):
    """Grid of the effect with its posterior probabilities, by quadrature.

    Given the effect the intervals are independent: gamma hazards integrate out in closed form, and
    normal log-hazards one by one on a grid. Dense around the prior's place and wide over the
    likelihood.
    """
    prior = parse_prior(inputs.treatment_prior)
    near = prior.location + prior.scale * np.sinh(np.linspace(-9, 9, 3001)) / 10
    grid = np.unique(np.concatenate([near, np.linspace(-6, 6, 6001)]))
    grid = grid[np.abs(grid) < 8]
    events, follow_up = inputs.intervals.events, inputs.cohort
    edges = inputs.intervals.cutpoints
    spent = np.clip(np.minimum(follow_up.time[:, None], edges[1:]) - edges[:-1], 0, None)
    x = inputs.design.scaled[:, 0]
    weighted = np.exp(grid[:, None] * x) @ spent
    log_density = prior.log_density(grid) + grid * (x @ follow_up.event)
    if isinstance(inputs.baseline, GammaProcess):
        rate = inputs.baseline.weight * inputs.intervals.width
        shape = rate * math.exp(inputs.log_rate)
        log_density = log_density - np.log(rate + weighted) @ (shape + events)
    else:
        a = np.linspace(inputs.log_rate - 14, inputs.log_rate + 8, 1201)
        for j, count in enumerate(events):
            value = count * a - np.exp(a) * weighted[:, j : j + 1]
            value = value - 0.5 * ((a - inputs.log_rate) / inputs.baseline.sd) ** 2
            top = value.max(axis=1)
            log_density = log_density + top + np.log(np.exp(value - top[:, None]).sum(axis=1))
    mass = np.exp(log_density - log_density.max()) * np.gradient(grid)
    return grid, mass / mass.sum()


def exact_limits(inputs):
    grid, mass = exact(inputs)
    return np.interp([0.025, 0.5, 0.975], np.cumsum(mass) - mass / 2, grid), grid, mass


def probability_below(value, grid, mass):
    return np.interp(value, grid, np.cumsum(mass) - mass / 2)


@pytest.mark.parametrize("baseline", ["independent", "gamma"])
@pytest.mark.parametrize(("n", "effect", "prior"), CASES, ids=str)
def test_laplace_weighs_modes_as_quadrature_does(n, effect, prior, baseline):
    for seed in range(3):
        model = PiecewiseExponential(
            "arm", 0, cutpoints=3, baseline=baseline, treatment_prior=prior
        )
        inputs = model.prepare(trial(n, effect, seed))
        _, grid, mass = exact_limits(inputs)
        drawn = sample_importance(inputs, 4000, seed)
        assert drawn.converged and drawn.pareto_k < 0.7
        value, weight = drawn.weighted.effect[:, 0], drawn.weighted.weight
        # the exact distribution's probabilities at its own quantiles and between its modes
        for p in (0.025, 0.1, 0.3, 0.5, 0.7, 0.9, 0.975):
            at = np.interp(p, np.cumsum(mass) - mass / 2, grid)
            ess = drawn.weighted.ess
            found = weight[value < at].sum()
            assert found == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / ess) + 0.003)


def test_many_fits_weigh_modes_as_quadrature_does():
    n, effect, prior = CASES[1]
    model = PiecewiseExponential("arm", 0, cutpoints=3, baseline="gamma", treatment_prior=prior)
    cohorts = [trial(n, effect, seed) for seed in range(4)]
    many = fit_many(model, cohorts, 1, draws=4000, cox=False)
    for k, cohort in enumerate(cohorts):
        grid, mass = exact(model.prepare(cohort))
        below = probability_below(0.0, grid, mass)
        assert many.terms["prob_below_1.0"][k] == pytest.approx(below, abs=0.02)
        mean = mass @ grid
        sd = math.sqrt(mass @ (grid - mean) ** 2)
        assert many.terms["mean_log"][k] == pytest.approx(mean, abs=0.1 * sd)
    assert many.cohorts["is_trustworthy"].all()


def test_nuts_starts_at_both_modes_and_says_when_chains_do_not_exchange():
    n, effect, prior = CASES[0]  # too far apart for a chain to cross while it warms up
    model = PiecewiseExponential(
        "arm", 0, cutpoints=3, baseline="independent", treatment_prior=prior
    )
    fit = model.fit(trial(n, effect, 0), seed=1, engine="nuts")
    modes = find_components(Targets.of_cohort(fit.inputs))
    assert len(modes) == 2
    starts = fit.vectors[:, 0, 0]
    assert {int(np.argmin([abs(each.effect[0] - at) for each in modes])) for at in starts} == {
        0,
        1,
    }
    found = fit.diagnose()
    assert not found.is_trustworthy
    assert "chains started at 2 modes of the posterior" in found.failures[0]
    assert "engine 'laplace' weighs both" in found.failures[0]


def test_nuts_is_trusted_where_a_t_prior_and_the_likelihood_agree():
    model = PiecewiseExponential(
        "arm", 0, cutpoints=3, baseline="gamma", treatment_prior="student_t(4, 0, 1)"
    )
    fit = model.fit(trial(80, 0.3, 1), seed=1, engine="nuts")
    grid, mass = exact(fit.inputs)
    assert fit.diagnose().is_trustworthy
    assert fit.effect_draws[:, 0].mean() == pytest.approx(mass @ grid, abs=0.03)


@pytest.mark.parametrize("prior", ["normal(-2, 0.1)", "laplace(-2, 0.05)", "student_t(4, 0, 1)"])
def test_priors_that_leave_one_mode_are_drawn_around_one(prior):
    inputs = PiecewiseExponential("arm", 0, treatment_prior=prior).prepare(trial(80, 0.3, 1))
    targets = Targets.of_cohort(inputs)
    assert find_components(targets, first_step_scales(targets)) == []


def test_columns_that_disagree_each_have_their_modes():
    """Two covariates far from a tight prior of both: four places, of which each is found."""
    rng = np.random.default_rng(4)
    n = 160
    table = pd.DataFrame(
        {"arm": np.arange(n) % 2, "a": rng.normal(size=n), "b": rng.normal(size=n)}
    )
    time = rng.exponential(10 * np.exp(0.5 * table["a"] - 0.5 * table["b"]))
    table = table.assign(t=time + 0.01, e=1)
    model = PiecewiseExponential(
        "arm", 0, covariates="a + b", baseline="gamma", covariate_prior="student_t(3, 0, 0.0003)"
    )
    inputs = model.prepare(read_cohort(table, time="t", event="e"))
    found = [each for each in find_components(Targets.of_cohort(inputs)) if not each.is_vague]
    at_zero = {tuple(np.abs(each.effect[1:]) < 0.01) for each in found}
    drawn = sample_importance(inputs, 4000, 1)
    assert drawn.converged and drawn.pareto_k < 0.7
    assert len(at_zero) == len(found)


def test_tail_effective_sizes_are_the_variance_of_a_tails_share():
    """Over many repetitions, for draws whose weights are known to be poor in one tail."""
    rng = np.random.default_rng(1)
    draws, shares, sizes = 2000, [], []
    for _ in range(400):
        value = rng.normal(0.4, 1.0, draws)
        log_ratio = -0.5 * value**2 + 0.5 * (value - 0.4) ** 2
        weight = np.exp(log_ratio)
        weight /= weight.sum()
        shares.append([weight[value < -1.96].sum(), weight[value > 1.96].sum()])
        sizes.append(tail_effective_sizes(value[:, None], weight)[0])
    true = 0.025
    poorest = (true * (1 - true) / np.var(shares, axis=0)).min()
    assert np.mean(sizes) == pytest.approx(poorest, rel=0.25)


def test_equal_weights_count_every_draw():
    value = np.random.default_rng(1).normal(size=(1000, 3))
    assert tail_effective_sizes(value, np.full(1000, 1e-3)) == pytest.approx([1000] * 3)


def three_arms(seed):
    """Two levels that both lie far from a precise prior of their hazard ratios."""
    rng = np.random.default_rng(seed)
    n = 112
    arm = rng.choice(3, n, p=[0.4, 0.4, 0.2])
    time = rng.exponential(10 / np.exp(np.array([0.0, 0.9, 1.1])[arm]))
    stop = rng.exponential(30, n)
    table = pd.DataFrame(
        {"t": np.minimum(time, stop) + 0.01, "e": (time < stop).astype(int), "arm": arm}
    )
    return read_cohort(table, time="t", event="e")


@pytest.mark.parametrize("seed", range(4))
def test_one_of_two_columns_leaves_its_prior_as_often_as_quadrature_says(seed):
    """Where one stays at its prior, the other has a shelf and no mode of its own."""
    model = PiecewiseExponential(
        "arm", 0, cutpoints=1, baseline="gamma", treatment_prior="student_t(4, 0.14, 0.031)"
    )
    inputs = model.prepare(three_arms(seed))
    prior = parse_prior(inputs.treatment_prior)
    near = prior.location + prior.scale * np.sinh(np.linspace(-6, 6, 500)) / 5
    grid = np.unique(np.concatenate([near, np.linspace(-3, 4, 700)]))
    grid = grid[(grid > -3) & (grid < 4)]
    x, follow_up = inputs.design.scaled, inputs.cohort
    rate = inputs.baseline.weight * inputs.intervals.width[0]
    shape = rate * math.exp(inputs.log_rate) + follow_up.event.sum()
    patterns, place = np.unique(x, axis=0, return_inverse=True)
    spent = np.bincount(place.ravel(), weights=follow_up.time)
    first, second = (np.exp(np.outer(grid, patterns[:, k])) for k in range(2))
    log_density = -shape * np.log(rate + (first * spent) @ second.T)
    each = [grid * (x[:, k] @ follow_up.event) + prior.log_density(grid) for k in range(2)]
    log_density += each[0][:, None] + each[1]
    width = np.gradient(grid)
    mass = np.exp(log_density - log_density.max()) * np.outer(width, width)
    drawn = [sample_importance(inputs, 4000, sampler) for sampler in range(4)]
    assert all(each.converged and each.pareto_k < 0.7 for each in drawn)
    ess = sum(each.weighted.ess for each in drawn)
    for k in range(2):
        share = mass.sum(axis=1 - k) / mass.sum()
        for p in (0.025, 0.5, 0.9, 0.95, 0.975):
            at = np.interp(p, np.cumsum(share) - share / 2, grid)
            found = np.mean(
                [each.weighted.weight[each.weighted.effect[:, k] < at].sum() for each in drawn]
            )
            assert found == pytest.approx(p, abs=4.5 * math.sqrt(p * (1 - p) / ess) + 0.002)
