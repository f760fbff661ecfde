"""Hazards of a gamma process drawn given all else, against its posterior in NumPy and SciPy."""

import numpy as np
import pytest
from scipy import stats
from slopes import log_density_slope
from test_native import LEVELS

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.process import complete_hazards
from bayes_crlm.likelihood.follow_up import exposure_per_interval
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import constrain, log_hazards_of
from bayes_crlm.model.integrated_hazards import posterior_of_hazards
from models import MODELS

MODEL = MODELS["integrated gamma process"]()
SIZE = sum(parameter.size for parameter in MODEL.sampled_parameters)
DRAWS = 20_000
INTEGRATED = GammaProcess(2.0, is_integrated=True)


def complete(vectors, level=0, seed=8):
    density = native_density(MODEL.data, MODEL.blocks, level)
    return complete_hazards(vectors, MODEL, density, np.random.default_rng(seed))


@pytest.mark.parametrize("level", LEVELS)
def test_each_hazard_is_the_conjugate_gamma(level):
    """Moments of their logarithms too, where a shape below 1 has a long tail to the left."""
    vector = np.random.default_rng(7).normal(0, 0.3, SIZE)
    drawn = complete(np.tile(vector, (2, DRAWS // 2, 1)), level)
    named, given = constrain(drawn, MODEL.parameters), constrain(vector, MODEL.sampled_parameters)
    hazards = named.pop("hazard").reshape(DRAWS, -1)
    assert set(named) == set(given)
    for name, values in given.items():
        assert np.all(named[name] == values)
    at = log_hazards_of(given, MODEL)
    _, shapes, rates = posterior_of_hazards(at, MODEL.data, MODEL.integrated)
    assert hazards.shape[1] == shapes.size
    assert shapes.min() < 1 < shapes.max()
    for hazard, shape, rate in zip(hazards.T, shapes.ravel(), rates.ravel(), strict=True):
        gamma, log_gamma = stats.gamma(shape, scale=1 / rate), stats.loggamma(shape)
        assert stats.kstest(hazard, gamma.cdf).pvalue > 1e-5
        assert hazard.mean() == pytest.approx(gamma.mean(), abs=5 * gamma.std() / DRAWS**0.5)
        logs = np.log(hazard * rate)
        assert logs.mean() == pytest.approx(log_gamma.mean(), abs=5 * log_gamma.std() / DRAWS**0.5)
        assert logs.std() == pytest.approx(log_gamma.std(), rel=0.05)


def test_the_posterior_mean_of_a_hazard_is_where_the_slope_in_its_logarithm_is_0():
    vector = np.random.default_rng(7).normal(0, 0.3, SIZE)
    named = constrain(complete(np.tile(vector, (1, DRAWS, 1)))[0], MODEL.parameters)
    whole = MODEL.complete()
    at = np.log(named["hazard"].mean(axis=0))
    parts = {name: values[0] for name, values in named.items()} | {"hazard": np.exp(at)}
    ordered = [
        np.log(parts[each.name]) if each.transform == "log" else parts[each.name]
        for each in whole.parameters
    ]
    _, slope = log_density_slope(np.concatenate(ordered), whole)
    position = sum(each.size for each in whole.parameters[:1])
    on_hazard = slope[position : position + len(at)]
    error = named["hazard"].std(axis=0) / np.sqrt(DRAWS) / named["hazard"].mean(axis=0)
    shape = 1 / (named["hazard"].std(axis=0) / named["hazard"].mean(axis=0)) ** 2
    assert np.all(np.abs(on_hazard) < 5 * error * shape)


def test_every_chain_has_a_stream_of_its_own():
    vectors = np.random.default_rng(3).normal(0, 0.3, (3, 50, SIZE))
    drawn = complete(vectors)
    np.testing.assert_array_equal(complete(vectors), drawn)
    np.testing.assert_array_equal(complete(vectors[:2]), drawn[:2])
    same = complete(np.tile(vectors[:1], (2, 1, 1)))
    assert np.all(np.any(same[0] != same[1], axis=-1))
    assert np.any(complete(vectors, seed=9) != drawn)


def test_vectors_without_integrated_hazards_are_complete():
    model = MODEL.complete()
    vectors = np.zeros((1, 2, SIZE + MODEL.integrated.size))
    density = native_density(model.data, model.blocks)
    assert complete_hazards(vectors, model, density, np.random.default_rng(1)) is vectors


def test_a_cohort_of_one_stratum(simulated_cohorts):
    """Gamma(a + D, b + S): a and b the prior's, D events and S exposure at relative hazards."""
    model = PiecewiseExponential("arm", 0, "x + group", cutpoints=4, baseline=INTEGRATED)
    inputs = model.prepare(simulated_cohorts[3])
    density = native_density(inputs.data, inputs.block_model.blocks)
    effect = np.array([1.4, -0.9, 1.3, 0.8])
    vectors = np.tile(effect, (2, 5000, 1))
    rng = np.random.default_rng(8)
    named = constrain(
        complete_hazards(vectors, inputs.block_model, density, rng), inputs.block_model.parameters
    )
    relative = np.exp(inputs.data.design @ effect)
    weighted = exposure_per_interval(inputs.data.follow_up, relative)
    prior_rate = 2.0 * inputs.intervals.width
    shape = prior_rate * np.exp(inputs.log_rate) + inputs.intervals.events
    for j in range(inputs.intervals.n_intervals):
        expected = stats.gamma(shape[j], scale=1 / (prior_rate[j] + weighted[j]))
        assert stats.kstest(named["hazard"][..., j].ravel(), expected.cdf).pvalue > 1e-5
