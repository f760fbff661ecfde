"""Diagnostics of chains are ArviZ's, which are not imported for them."""

import warnings

import arviz_stats as azs
import numpy as np
import pytest
import xarray as xr
from arviz_stats.base import array_stats
from scipy.stats import norm

from bayes_crlm.inference import chains
from bayes_crlm.inference.chains import normal_quantile, worst_mixing

PAIRS = {
    "r_hat": array_stats.rhat,
    "ess_bulk": lambda values: array_stats.ess(values, method="bulk"),
    "ess_tail": lambda values: float(azs.ess(labelled(values), method="tail")),
    "ess_mean": lambda values: array_stats.ess(values, method="mean"),
    "mcse_mean": array_stats.mcse,
}


def labelled(values):
    return xr.DataArray(values, dims=("chain", "draw"))


def chain_of(n_chains, n_draws, correlation, rng):
    noise = rng.standard_normal((n_chains, n_draws))
    values = noise.copy()
    for t in range(1, n_draws):
        moved = np.sqrt(1 - correlation**2) * noise[:, t]
        values[:, t] = correlation * values[:, t - 1] + moved
    return values


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("n_draws", [3, 4, 5, 6, 7, 10, 33, 100, 500])
@pytest.mark.parametrize("kind", ["smooth", "rounded", "two values", "constant"])
def test_every_diagnostic_is_that_of_arviz(name, n_draws, kind):
    rng = np.random.default_rng(n_draws)
    for correlation in (-0.9, 0.0, 0.5, 0.95):
        values = chain_of(int(rng.integers(1, 5)), n_draws, correlation, rng)
        values = {
            "smooth": values,
            "rounded": np.round(values, 1),
            "two values": (values > 0).astype(float),
            "constant": np.ones_like(values),
        }[kind]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            expected = float(PAIRS[name](values))
            found = float(getattr(chains, name)(values))
        assert found == pytest.approx(expected, rel=1e-8, nan_ok=True)


def test_bfmi_is_that_of_arviz():
    energy = np.random.default_rng(1).standard_normal((4, 200)).cumsum(axis=1)
    np.testing.assert_allclose(chains.bfmi(energy), array_stats.bfmi(energy))


def test_quantities_are_taken_one_by_one_and_one_without_numbers_spoils_the_worst_only():
    rng = np.random.default_rng(2)
    draws = rng.standard_normal((4, 100, 3))
    each = [float(chains.ess_bulk(draws[:, :, k])) for k in range(3)]
    np.testing.assert_allclose(chains.ess_bulk(draws), each)
    draws[0, 0, 1] = np.nan
    found = chains.ess_bulk(draws)
    assert np.isnan(found).tolist() == [False, True, False]
    assert np.isnan(worst_mixing([draws]).ess_bulk)


def test_normal_quantiles_are_right():
    probability = np.concatenate([np.linspace(1e-6, 1 - 1e-6, 1001), [0.5, 1e-10]])
    np.testing.assert_allclose(normal_quantile(probability), norm.ppf(probability), atol=1e-14)
