"""The sampler's coordinates: an exact change of variables in which posteriors are near-normal."""

import itertools

import numpy as np
import pytest
from density.models import MODELS

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference import block_coordinates
from bayes_crlm.inference.block_coordinates import (
    Unknowns,
    sampler_coordinates,
    shifted,
)
from bayes_crlm.inference.chains import ess_bulk, r_hat
from bayes_crlm.inference.native.coordinates import START_SPREAD
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import lay_target
from bayes_crlm.inference.nuts import sample_blocks, sample_nuts
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
    coordinates = sampler_coordinates(inputs.block_model)
    if plain:
        unknowns = Unknowns(inputs.block_model)
        coordinates = shifted(unknowns, unknowns.parts())
    check_jacobian(coordinates)


@pytest.mark.parametrize("name", MODELS)
def test_the_log_jacobian_is_that_of_the_map_for_models_built_by_hand(name):
    coordinates = sampler_coordinates(MODELS[name]())
    # a mode was found
    assert coordinates.start_spread == START_SPREAD
    check_jacobian(coordinates)


def check_jacobian(coordinates):
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
    coordinates = sampler_coordinates(inputs.block_model)
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
    coordinates = sampler_coordinates(inputs.block_model)
    parts = coordinates.parts
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
    unknowns = Unknowns(inputs.block_model)
    coordinates = shifted(unknowns, unknowns.parts())
    vector, _ = model_vector(np.zeros(coordinates.size), coordinates)
    values = constrain(vector, inputs.block_model.sampled_parameters)
    assert np.all(log_hazards_of(values, inputs.block_model).effect == 0)
    if not inputs.is_baseline_integrated:
        np.testing.assert_allclose(
            log_hazards_of(values, inputs.block_model).log_hazard, inputs.log_rate
        )


def test_without_a_mode_the_sampler_moves_in_plain_coordinates(simulated_cohorts, monkeypatch):
    inputs = prepared(simulated_cohorts[1], "random_walk")
    monkeypatch.setattr(block_coordinates, "find_mode", lambda *_: None)
    coordinates = sampler_coordinates(inputs.block_model)
    assert coordinates.start_spread < START_SPREAD
    np.testing.assert_array_equal(coordinates.root, np.eye(len(coordinates.parts.rest)))
    drawn = sample_nuts(inputs, draws=200, tune=500, chains=2, seed=4)
    assert np.all(np.isfinite(drawn.vectors))


def test_an_information_that_is_no_such_thing_gives_no_approximation(simulated_cohorts):
    unknowns = Unknowns(prepared(simulated_cohorts[1], "random_walk").block_model)
    n = unknowns.size
    assert block_coordinates.whiten(unknowns, unknowns.parts(), np.zeros(n), -np.eye(n)) is None


@pytest.mark.parametrize("name", MODELS)
def test_a_vector_of_given_values_has_them(name):
    model = MODELS[name]().complete()
    rng = np.random.default_rng(5)
    vector = rng.normal(0, 0.5, sum(parameter.size for parameter in model.parameters))
    named = constrain(vector, model.parameters)
    unknowns = Unknowns(model)
    values = tuple(block.values(named) for block in unknowns.model.blocks)
    found = constrain(unknowns.vector_of(values), unknowns.model.parameters)
    for block, expected in zip(unknowns.model.blocks, values, strict=True):
        np.testing.assert_allclose(block.values(found), expected, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_models_built_by_hand_are_sampled_well(name):
    """At most one divergence in a thousand draws, and a tenth of the draws in the worst unknown."""
    drawn = sample_blocks(MODELS[name](), [(None, 4)], draws=1000, tune=1000, seed=1)
    assert drawn.statistics["diverging"].sum() <= 4
    assert ess_bulk(drawn.vectors).min() >= 400
    assert r_hat(drawn.vectors).max() < 1.02
