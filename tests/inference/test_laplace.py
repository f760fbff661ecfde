"""The posterior's slope and mode: densities of the definitions, and what a maximum must obey."""

import numpy as np
import pytest
from one_mode import posterior_mode, posterior_slopes
from scipy import stats
from scipy.optimize import minimize

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.baseline_priors import GammaProcess

BASELINES = {"independent": None, "random_walk": 0.4, "log_time_walk": 0.8, "gamma": None}


def prepared(cohort, baseline, **settings):
    model = PiecewiseExponential("arm", 0, "x + group", cutpoints=4, baseline=baseline, **settings)
    return model.prepare(cohort)


def slope_at(vector, inputs, step_scale):
    given = None if step_scale is None else np.array([step_scale])
    found = posterior_slopes(vector[None], Targets.of_cohort(inputs), given)
    return tuple(each[0] for each in found)


def random_point(inputs, seed):
    rng = np.random.default_rng(seed)
    log_hazard = inputs.log_rate + rng.normal(0, 0.5, inputs.intervals.n_intervals)
    return log_hazard, rng.normal(0, 0.4, len(inputs.design.terms))


@pytest.mark.parametrize("seed", range(3))
def test_baseline_densities_are_those_of_their_definitions(simulated_cohorts, seed):
    def density(baseline, step_scale=None):
        inputs = prepared(simulated_cohorts[3], baseline)
        at, _ = random_point(inputs, seed)
        targets, none = Targets.of_cohort(inputs), np.zeros(len(inputs.design.terms))
        value = slope_at(np.concatenate([at, none]), inputs, step_scale)[0]
        exposure = targets.sums.weighted_exposure(none[None])[0]
        value -= targets.sums.events[0] @ at - exposure @ np.exp(at)
        return value - targets.log_effect_prior(none), at, inputs

    value, at, inputs = density("independent")
    assert value == pytest.approx(stats.norm(inputs.log_rate, 2).logpdf(at).sum(), rel=1e-10)
    value, at, inputs = density("random_walk", 0.4)
    expected = stats.norm(inputs.log_rate, 2).logpdf(at[0])
    expected += stats.norm(0, 0.4).logpdf(np.diff(at)).sum()
    assert value == pytest.approx(expected, rel=1e-10)
    value, at, inputs = density("log_time_walk", 0.8)
    expected = stats.norm(inputs.log_rate, 2).logpdf(at[1])
    expected += stats.norm(0, 0.8 * np.sqrt(inputs.step_variances)).logpdf(np.diff(at)).sum()
    assert value == pytest.approx(expected, rel=1e-10)
    value, at, inputs = density(GammaProcess(1.5))
    width = 1.5 * inputs.intervals.width
    prior = stats.gamma(width * np.exp(inputs.log_rate), scale=1 / width)
    # the density of the log-hazard has the hazard as its Jacobian
    assert value == pytest.approx((prior.logpdf(np.exp(at)) + at).sum(), rel=1e-10)


@pytest.mark.parametrize("priors", ["normal(0.1, 0.7)", "student_t(4, 0, 1)"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_slope_and_information_are_those_of_finite_differences(simulated_cohorts, baseline, priors):
    inputs = prepared(
        simulated_cohorts[3], baseline, treatment_prior=priors, covariate_prior=priors
    )
    step_scale = BASELINES[baseline]

    def at(vector):
        return slope_at(vector, inputs, step_scale)

    centre = np.concatenate(random_point(inputs, 1))
    _, gradient, information = at(centre)
    step = 1e-5
    for k, shift in enumerate(step * np.eye(len(centre))):
        up, down = at(centre + shift), at(centre - shift)
        assert gradient[k] == pytest.approx((up[0] - down[0]) / (2 * step), rel=1e-6, abs=1e-6)
        np.testing.assert_allclose(
            -information[k], (up[1] - down[1]) / (2 * step), rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_mode_is_where_a_general_optimiser_stops(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[3], baseline, treatment_prior="student_t(3, 0, 0.5)")
    n_intervals, step_scale = inputs.intervals.n_intervals, BASELINES[baseline]

    def minus(vector):
        value, gradient, _ = slope_at(vector, inputs, step_scale)
        return -value, -gradient

    start = np.concatenate([np.full(n_intervals, inputs.log_rate), np.zeros(4)])
    expected = minimize(minus, start, jac=True, method="BFGS", options={"gtol": 1e-8})
    mode = posterior_mode(inputs, step_scale=step_scale)
    assert mode.converged
    assert mode.log_density == pytest.approx(-expected.fun, rel=1e-10)
    np.testing.assert_allclose(
        np.concatenate([mode.log_hazard, mode.effect]), expected.x, atol=1e-5
    )
    assert np.all(np.linalg.eigvalsh(mode.information) > 0)
    far = (np.full(n_intervals, inputs.log_rate + 3), np.full(4, 1.5))
    again = posterior_mode(inputs, step_scale=step_scale, start=far)
    assert again.converged
    np.testing.assert_allclose(again.effect, mode.effect, atol=1e-7)


def test_what_has_no_mode_is_refused(simulated_cohorts):
    with pytest.raises(ValueError, match="step scale"):
        posterior_mode(prepared(simulated_cohorts[3], "random_walk"))
    shrunken = prepared(simulated_cohorts[3], "independent", covariate_prior="horseshoe(1)")
    with pytest.raises(TypeError, match="no density without its scales"):
        posterior_mode(shrunken)


def test_steps_climb_where_the_density_is_not_concave(simulated_cohorts):
    # a narrow Student t prior bends up most at sqrt(3 nu) scales from its place
    inputs = prepared(simulated_cohorts[3], "independent", treatment_prior="student_t(1, 0, 0.01)")
    log_hazard, effect = np.full(4, inputs.log_rate), np.zeros(4)
    effect[0] = 0.01 * np.sqrt(3)
    _, gradient, information = slope_at(np.concatenate([log_hazard, effect]), inputs, None)
    assert np.linalg.eigvalsh(information)[0] < 0 < np.abs(gradient).max()
    mode = posterior_mode(inputs, start=(log_hazard, effect))
    assert mode.converged and np.linalg.eigvalsh(mode.information)[0] > 0
    np.testing.assert_allclose(mode.effect, posterior_mode(inputs).effect, atol=1e-6)
