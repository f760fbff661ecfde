"""Pareto smoothing: against ArviZ's, against known tails, and what it does with odd weights."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.inference.native.library import AVX2, AVX512, BASELINE, kernels
from bayes_crlm.inference.psis import pareto_smooth


@given(
    seed=st.integers(0, 10_000),
    draws=st.sampled_from([25, 60, 225, 226, 1000, 4000]),
    spread=st.floats(0.01, 8),
    share_impossible=st.sampled_from([0.0, 0.3]),
)
@settings(max_examples=60, deadline=None)
def test_weights_and_shape_are_those_of_arviz(seed, draws, spread, share_impossible):
    rng = np.random.default_rng(seed)
    log_ratio = rng.normal(0, spread, draws) + rng.normal(0, 300)
    log_ratio[rng.random(draws) < share_impossible] = -np.inf
    log_weight, pareto_k = pareto_smooth(log_ratio)
    # ArviZ takes minus the log ratios, as log-likelihoods come to it in leave-one-out
    expected, expected_k = array_stats.psislw(-log_ratio, r_eff=1.0)
    np.testing.assert_allclose(np.exp(log_weight), np.exp(expected), rtol=1e-8, atol=1e-15)
    assert pareto_k == pytest.approx(float(expected_k), abs=1e-8, nan_ok=True)


def test_leading_axes_are_smoothed_one_by_one():
    log_ratio = np.random.default_rng(1).standard_t(3, (3, 2, 400))
    together, pareto_k = pareto_smooth(log_ratio)
    assert together.shape == log_ratio.shape
    assert pareto_k.shape == (3, 2)
    for place in np.ndindex(3, 2):
        alone, k = pareto_smooth(log_ratio[place])
        np.testing.assert_array_equal(together[place], alone)
        assert pareto_k[place] == k


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.6, 1.0])
def test_a_known_tail_gets_its_shape_back(shape):
    rng = np.random.default_rng(5)
    # above a threshold the tail of a Pareto distribution is one of the same shape
    rows, draws, n = 200, 17_778, 400
    excess = np.expm1(-shape * np.log(rng.random((rows, draws)))) / shape
    _, fitted = pareto_smooth(np.log(excess + 1))
    # the maximum-likelihood estimate's standard error is (1 + shape) / sqrt(n); the prior counts as
    # 10 draws
    error = 4 * (1 + shape) / np.sqrt(rows * n) + 0.003
    of_draws = ((n + 10) * fitted - 10 * 0.5) / n
    assert of_draws.mean() == pytest.approx(shape, abs=error)


def test_ratios_without_a_number_or_all_impossible_have_no_weights():
    log_ratio = np.random.default_rng(2).normal(size=(3, 100))
    log_ratio[0, 5], log_ratio[1] = np.nan, -np.inf
    log_weight, pareto_k = pareto_smooth(log_ratio)
    assert np.isnan(log_weight[:2]).all()
    assert np.isnan(pareto_k[:2]).all()
    assert np.exp(log_weight[2]).sum() == pytest.approx(1)


@pytest.mark.parametrize("level", [BASELINE, AVX2, AVX512])
def test_every_instruction_set_smooths_alike(level):
    log_ratio = np.random.default_rng(3).standard_t(4, (5, 1003))
    try:
        kernels(level)
    except ValueError:
        pytest.skip("this processor does not have it")
    for found, expected in zip(
        pareto_smooth(log_ratio, level=level), pareto_smooth(log_ratio), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_equal_ratios_stay_equal_weights():
    log_weight, pareto_k = pareto_smooth(np.full(100, -3.0))
    np.testing.assert_allclose(np.exp(log_weight), 0.01, rtol=1e-12)
    assert pareto_k == 0


@pytest.mark.parametrize("share_impossible", [0.0, 0.5, 0.95])
def test_ratios_many_of_which_are_equal_are_smoothed_as_arviz_does(share_impossible):
    rng = np.random.default_rng(7)
    log_ratio = np.round(rng.normal(size=2000), 1)
    log_ratio[rng.random(2000) < share_impossible] = -np.inf
    log_weight, pareto_k = pareto_smooth(log_ratio)
    expected, expected_k = array_stats.psislw(-log_ratio, r_eff=1.0)
    # which of equal ratios has which weight is no one's business
    np.testing.assert_allclose(
        np.sort(np.exp(log_weight)), np.sort(np.exp(expected)), rtol=1e-8, atol=1e-15
    )
    assert pareto_k == pytest.approx(float(expected_k), abs=1e-8, nan_ok=True)


def test_a_single_ratio_that_outweighs_all_others_is_never_called_good():
    log_ratio = np.zeros(1000)
    log_ratio[3] = 50.0
    _, pareto_k = pareto_smooth(log_ratio)
    assert not pareto_k <= 0.7


@pytest.mark.parametrize("scale", [0.0167131, 0.0169071, 0.0171034])
def test_ratios_that_span_hundreds_of_orders_of_magnitude_get_weights(scale):
    # a normal far narrower than the proposal: most of its largest ratios are as small as numbers
    # can be, and the Pareto distribution fitted to them has no scale
    draws = stats.norm(-1, 0.28).ppf((np.arange(400) + 0.5) / 400)
    log_weight, pareto_k = pareto_smooth(((draws + 1) / 0.45) ** 2 / 2 - (draws / scale) ** 2 / 2)
    assert np.exp(log_weight).sum() == pytest.approx(1)
    assert np.isnan(pareto_k)


def test_few_draws_are_refused():
    with pytest.raises(ValueError, match="at least 25"):
        pareto_smooth(np.zeros(24))
