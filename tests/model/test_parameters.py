"""The model's unknowns: order, transforms, prior densities and prior draws."""

import numpy as np
import pytest
from scipy import stats

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.baseline_priors import LogTimeWalk
from bayes_crlm.model.density import (
    constrain,
    log_hazards_of,
    log_jacobian,
    log_prior,
    sample_prior,
)

BASELINES = ("independent", "random_walk", "log_time_walk", "gamma")


def prepared(cohort, baseline="random_walk", cutpoints=4, **priors):
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=cutpoints, baseline=baseline, **priors
    )
    return model.prepare(cohort)


def random_vector(inputs, seed=0, draws=5):
    size = sum(parameter.size for parameter in inputs.block_model.parameters)
    return np.random.default_rng(seed).normal(0, 0.6, (draws, size))


@pytest.mark.parametrize("covariates", ["normal(0, 1)", "horseshoe(0.5)"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_jacobian_is_that_of_the_transforms(simulated_cohorts, baseline, covariates):
    inputs = prepared(simulated_cohorts[1], baseline, covariate_prior=covariates)
    parameters = inputs.block_model.parameters
    vector = random_vector(inputs)

    def natural(vectors):
        return np.concatenate(list(constrain(vectors, parameters).values()), axis=-1)

    step = 1e-6
    size = vector.shape[1]
    columns = [
        (natural(vector + shift) - natural(vector - shift)) / (2 * step)
        for shift in step * np.eye(size)
    ]
    jacobian = np.stack(columns, axis=-1)
    _, expected = np.linalg.slogdet(jacobian)
    np.testing.assert_allclose(log_jacobian(vector, parameters), expected, rtol=1e-6, atol=1e-7)


def test_random_walk_densities_are_those_of_its_definition(simulated_cohorts):
    """log_hazard_1 ~ Normal(log_rate, 2), steps ~ Normal(0, scale), scale ~ HalfNormal(1)."""
    inputs = prepared(simulated_cohorts[1])
    values = constrain(random_vector(inputs), inputs.block_model.parameters)
    density = log_prior(values, inputs.block_model)
    log_hazard, scale = log_hazards_of(values, inputs.block_model).log_hazard, values["step_scale"]
    # the level and the first log-hazard differ by a constant given the steps, and a unit
    # step is a step over the scale
    first = stats.norm(inputs.log_rate, 2).logpdf(log_hazard[:, :1])
    np.testing.assert_allclose(density["log_hazard_level"], first, rtol=1e-10)
    steps = np.diff(log_hazard, axis=1)
    expected = stats.norm(0, scale).logpdf(steps) + np.log(scale)
    np.testing.assert_allclose(density["unit_step"], expected, rtol=1e-9)
    np.testing.assert_allclose(
        density["step_scale"], stats.halfnorm(scale=1).logpdf(scale), rtol=1e-10
    )


def test_log_time_walk_densities_are_those_of_its_definition(simulated_cohorts):
    """The middle one of four is the second; variances are shares of log time between midpoints."""
    inputs = prepared(simulated_cohorts[1], "log_time_walk")
    values = constrain(random_vector(inputs), inputs.block_model.parameters)
    density = log_prior(values, inputs.block_model)
    log_hazard, scale = log_hazards_of(values, inputs.block_model).log_hazard, values["step_scale"]
    second = stats.norm(inputs.log_rate, 2).logpdf(log_hazard[:, 1:2])
    np.testing.assert_allclose(density["log_hazard_level"], second, rtol=1e-10)
    edges = inputs.intervals.cutpoints.copy()
    edges[0] = inputs.cohort.entry.min()
    middle = (edges[1:] + edges[:-1]) / 2
    share = np.log(middle[1:] / middle[:-1]) / np.log(middle[-1] / middle[0])
    np.testing.assert_allclose(inputs.step_variances, share, rtol=1e-12)
    deviation = scale * np.sqrt(share)
    expected = stats.norm(0, deviation).logpdf(np.diff(log_hazard, axis=1)) + np.log(deviation)
    np.testing.assert_allclose(density["unit_step"], expected, rtol=1e-9)
    np.testing.assert_allclose(
        density["step_scale"], stats.halfnorm(scale=2).logpdf(scale), rtol=1e-10
    )


@pytest.mark.parametrize("factor", [0.01, 30.4])
def test_a_log_time_walk_knows_no_unit_of_time(factor):
    prior, cutpoints = LogTimeWalk(), np.array([0.0, 1.0, 4.0, 10.0, 60.0])
    in_unit = prior.step_variances(cutpoints, 0.5)
    np.testing.assert_allclose(prior.step_variances(factor * cutpoints, factor * 0.5), in_unit)
    assert in_unit.sum() == pytest.approx(1.0)
    assert in_unit[0] == pytest.approx(np.log(2.5 / 0.75) / np.log(35 / 0.75))


@pytest.mark.parametrize(("n_intervals", "position"), [(1, 0), (2, 0), (3, 1), (4, 1), (20, 9)])
def test_the_level_of_a_log_time_walk_is_the_middle_interval(n_intervals, position):
    assert LogTimeWalk().level_interval(n_intervals) == position


def test_other_densities_are_those_of_their_definitions(simulated_cohorts):
    cohort = simulated_cohorts[1]
    inputs = prepared(cohort, "gamma", covariate_prior="horseshoe(0.5)")
    values = constrain(random_vector(inputs), inputs.block_model.parameters)
    density = log_prior(values, inputs.block_model)
    width = inputs.intervals.width
    rate = cohort.n_events / cohort.exposure
    expected = stats.gamma(rate * width, scale=1 / width).logpdf(values["hazard"])
    np.testing.assert_allclose(density["hazard"], expected, rtol=1e-10)
    for name, scale in (("shrinkage_global", 0.5), ("shrinkage_local", 1.0)):
        expected = stats.halfcauchy(scale=scale).logpdf(values[name])
        np.testing.assert_allclose(density[name], expected, rtol=1e-10)
    np.testing.assert_allclose(
        log_hazards_of(values, inputs.block_model).effect[:, 1:],
        values["shrinkage_global"] * values["shrinkage_local"] * values["covariate_unit_effect"],
    )
    independent = prepared(cohort, "independent")
    values = constrain(random_vector(independent), independent.block_model.parameters)
    np.testing.assert_allclose(
        log_prior(values, independent)["log_hazard"],
        stats.norm(np.log(rate), 2).logpdf(values["log_hazard"]),
        rtol=1e-10,
    )


@pytest.mark.parametrize("seed", range(3))
def test_prior_draws_follow_the_definitions(simulated_cohorts, seed):
    cohort, draws = simulated_cohorts[1], 3000
    log_rate = np.log(cohort.n_events / cohort.exposure)
    found = {}
    for baseline in BASELINES:
        inputs = prepared(cohort, baseline, covariate_prior="horseshoe(0.5)")
        values = sample_prior(inputs.block_model, np.random.default_rng(seed), draws)
        expected = {each.name: (draws, each.size) for each in inputs.block_model.parameters}
        assert {name: value.shape for name, value in values.items()} == expected
        found[baseline] = (values, log_hazards_of(values, inputs.block_model).log_hazard, inputs)

    def follows(values, distribution):
        return stats.kstest(values, distribution.cdf).pvalue > 1e-5

    start = stats.norm(log_rate, 2)
    values, log_hazard, _ = found["independent"]
    assert follows(values["treatment_effect"][:, 0], stats.norm(0, 1))
    assert follows(values["shrinkage_global"][:, 0], stats.halfcauchy(scale=0.5))
    assert follows(values["shrinkage_local"][:, 1], stats.halfcauchy(scale=1))
    assert all(follows(log_hazard[:, j], start) for j in range(log_hazard.shape[1]))
    values, log_hazard, _ = found["random_walk"]
    assert follows(values["step_scale"][:, 0], stats.halfnorm(scale=1))
    assert follows(log_hazard[:, 0], start)
    # the walk says nothing about where it starts
    walk = (log_hazard - log_hazard[:, :1])[:, 1:].mean(axis=1)
    assert abs(np.corrcoef(walk, log_hazard[:, 0])[0, 1]) < 4.5 / np.sqrt(draws)
    for j in range(log_hazard.shape[1] - 1):
        step = np.diff(log_hazard, axis=1)[:, j] / values["step_scale"][:, 0]
        assert follows(step, stats.norm(0, 1))
    values, log_hazard, inputs = found["log_time_walk"]
    assert follows(values["step_scale"][:, 0], stats.halfnorm(scale=2))
    assert follows(log_hazard[:, 1], start)
    steps = np.diff(log_hazard, axis=1) / (values["step_scale"] * np.sqrt(inputs.step_variances))
    assert all(follows(step, stats.norm(0, 1)) for step in steps.T)
    _, log_hazard, inputs = found["gamma"]
    for j, width in enumerate(inputs.intervals.width):
        gamma = stats.gamma(np.exp(log_rate) * width, scale=1 / width)
        assert follows(np.exp(log_hazard[:, j]), gamma)


@pytest.mark.parametrize("baseline", ["random_walk", "log_time_walk"])
def test_one_interval_has_no_walk(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[1], baseline, cutpoints=1)
    names = [parameter.name for parameter in inputs.block_model.parameters]
    assert "step_scale" not in names
    values = sample_prior(inputs.block_model, np.random.default_rng(0), 2000)
    log_hazard = log_hazards_of(values, inputs.block_model).log_hazard
    assert log_hazard.shape == (2000, 1)
    assert stats.kstest(log_hazard[:, 0], stats.norm(inputs.log_rate, 2).cdf).pvalue > 1e-4
    np.testing.assert_allclose(
        log_prior(values, inputs.block_model)["log_hazard_level"],
        stats.norm(inputs.log_rate, 2).logpdf(log_hazard),
    )
