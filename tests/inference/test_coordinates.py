"""The sampler's coordinates: an exact change of variables in which posteriors are near-normal."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native.coordinates import (
    gaussian_of,
    parts_of,
    sampler_coordinates,
    shifted,
)
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import lay_target
from bayes_crlm.inference.nuts import sample_nuts
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import constrain, log_hazards_of

INTEGRATED = GammaProcess(1.0, is_integrated=True)
BASELINES = ("independent", "random_walk", "log_time_walk", "gamma", INTEGRATED)
PRIORS = ("normal(0, 1)", "horseshoe(0.5)")
CASES = list(itertools.product(BASELINES, PRIORS))


def name(case):
    return case if isinstance(case, str) else "integrated"


def prepared(cohort, baseline, prior="normal(0, 1)", **settings):
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=4, baseline=baseline, covariate_prior=prior, **settings
    )
    return model.prepare(cohort)


def model_vector(point, coordinates):
    vector, log_jacobian = coordinates.lay_out().to_model(point)
    return vector, log_jacobian + coordinates.log_determinant


def central_difference(function, point, step=1e-6):
    columns = []
    for k in range(len(point)):
        shift = np.zeros(len(point))
        shift[k] = step
        columns.append((function(point + shift) - function(point - shift)) / (2 * step))
    return np.array(columns)


@pytest.mark.parametrize(("baseline", "prior"), CASES, ids=name)
@pytest.mark.parametrize("plain", [False, True])
def test_the_log_jacobian_is_that_of_the_map(simulated_cohorts, baseline, prior, plain):
    inputs = prepared(simulated_cohorts[1], baseline, prior)
    coordinates = sampler_coordinates(inputs)
    if plain:
        n_scales = len(parts_of(inputs).scales)
        coordinates = shifted(inputs, parts_of(inputs), np.zeros(n_scales))
    rng = np.random.default_rng(2)
    for _ in range(3):
        point = rng.normal(size=coordinates.size)
        slopes = central_difference(lambda each: model_vector(each, coordinates)[0], point)
        _, expected = np.linalg.slogdet(slopes)
        assert model_vector(point, coordinates)[1] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("baseline", "prior"),
    [*((baseline, PRIORS[0]) for baseline in BASELINES), ("random_walk", PRIORS[1])],
    ids=name,
)
def test_the_callbacks_gradient_is_that_of_their_density(simulated_cohorts, baseline, prior):
    inputs = prepared(simulated_cohorts[3], baseline, prior)
    coordinates = sampler_coordinates(inputs)
    density = native_density(inputs.density_data, inputs.blocks)
    target = lay_target(density, coordinates.lay_out())

    def log_density(point):
        value, _, code = target.value_and_gradient(point)
        assert code == 0
        return value

    point = np.random.default_rng(3).normal(size=coordinates.size)
    value, gradient, _ = target.value_and_gradient(point)
    np.testing.assert_allclose(gradient, central_difference(log_density, point), atol=1e-5)
    # and the density is the model's own, moved
    vector, log_jacobian = model_vector(point, coordinates)
    expected = density.value(vector) + log_jacobian
    assert value + coordinates.log_determinant == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("baseline", ["independent", "random_walk", "log_time_walk", "gamma"])
def test_draws_are_near_standard_normal_in_the_samplers_coordinates(simulated_cohorts, baseline):
    """All but the step scale, of which the map only moves the centre."""
    inputs = prepared(simulated_cohorts[1], baseline)
    coordinates, parts = sampler_coordinates(inputs), parts_of(inputs)
    drawn = sample_nuts(inputs, draws=500, tune=500, chains=2, seed=4).vectors
    # invert the linear part: whitened unknowns given the scaled ones
    flat = drawn.reshape(-1, coordinates.size)
    away = np.zeros((len(flat), len(parts.scaled)))
    if len(parts.scaled):
        away = flat[:, parts.scaled] * np.exp(flat[:, parts.scales]) - coordinates.pivot
    moved = flat[:, parts.rest] - coordinates.centre - away @ coordinates.gain.T
    whitened = np.linalg.solve(coordinates.root, moved.T)
    # a dozen events an interval: skewness leaves the moments of a normal only roughly
    assert np.all(np.abs(whitened.mean(axis=1)) < 0.5)
    assert np.all(np.abs(np.log(whitened.std(axis=1))) < 0.35)


@pytest.mark.parametrize("baseline", BASELINES, ids=name)
def test_plain_coordinates_start_at_no_effects_and_the_overall_rate(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[1], baseline)
    parts = parts_of(inputs)
    coordinates = shifted(inputs, parts, np.zeros(len(parts.scales)))
    vector, _ = model_vector(np.zeros(coordinates.size), coordinates)
    values = constrain(vector, inputs.block_model.sampled_parameters)
    assert np.all(log_hazards_of(values, inputs.block_model).effect == 0)
    if not inputs.is_baseline_integrated:
        np.testing.assert_allclose(
            log_hazards_of(values, inputs.block_model).log_hazard, inputs.log_rate
        )


def test_without_a_mode_the_sampler_moves_in_plain_coordinates(simulated_cohorts, monkeypatch):
    inputs = prepared(simulated_cohorts[1], "random_walk")
    parts = parts_of(inputs)
    n = inputs.intervals.n_intervals + len(inputs.design.terms)
    zeros = np.zeros(inputs.intervals.n_intervals), np.zeros(len(inputs.design.terms))
    assert gaussian_of(*zeros, -np.eye(n), inputs, parts) is None
    import bayes_crlm.inference.native.coordinates as room

    found = room.posterior_mode(inputs, step_scale=1.0)
    monkeypatch.setattr(room, "posterior_mode", lambda *_, **__: replace(found, converged=False))
    coordinates = sampler_coordinates(inputs)
    expected = shifted(inputs, parts, room.log_scale_centre(inputs, 1))
    np.testing.assert_array_equal(coordinates.centre, expected.centre)
    np.testing.assert_array_equal(coordinates.root, np.eye(len(parts.rest)))
    drawn = sample_nuts(inputs, draws=200, tune=500, chains=2, seed=4)
    assert np.all(np.isfinite(drawn.vectors))
