"""Patients left out of draws: against ArviZ."""

import numpy as np
import pytest
import xarray as xr
from scipy.stats import norm

from bayes_crlm.inference.left_out import influence_on_mean, left_out
from bayes_crlm.inference.native.library import AVX2, AVX512, BASELINE, kernels
from bayes_crlm.inference.psis import pareto_smooth


def chains(seed, draws=500):
    """Two chains of one effect, and log-likelihoods of 40 patients that depend on it."""
    rng = np.random.default_rng(seed)
    effect = rng.normal(-0.5, 0.3, (2, draws))
    slope = rng.normal(0, 1.5, 40)
    log_likelihood = effect[..., None] * slope + rng.normal(0, 0.2, (2, draws, 40))
    return effect, log_likelihood


def tree_of(effect, log_likelihood):
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"effect": (("chain", "draw"), effect)}),
            "log_likelihood": xr.Dataset({"event": (("chain", "draw", "patient"), log_likelihood)}),
        }
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.filterwarnings("ignore")
def test_influence_and_its_pareto_k_are_those_of_arviz(seed):
    import arviz_stats as azs

    effect, log_likelihood = chains(seed)
    tree = tree_of(effect, log_likelihood)
    size, pareto_k = azs.loo_influence(tree, var_names="effect", group="posterior")
    share = float(azs.ess(tree["posterior"].to_dataset(), method="mean")["effect"]) / effect.size
    found = influence_on_mean(effect.ravel(), log_likelihood.reshape(-1, 40), share)
    for values, expected in zip(found, (size, pareto_k), strict=True):
        expected = expected["effect"] if hasattr(expected, "data_vars") else expected
        np.testing.assert_allclose(values, expected.values, rtol=1e-7, atol=1e-9)


def test_draws_of_a_proposal_are_smoothed_once():
    """With the ratio of the posterior to the proposal on top: that of the draws' own posterior."""
    _, log_likelihood = (each.reshape(1000, *each.shape[2:]) for each in chains(4))
    log_ratio = np.random.default_rng(5).normal(0, 0.3, 1000)
    found = left_out(log_likelihood, log_ratio=log_ratio)
    weight = np.exp(log_ratio[:, None] - log_likelihood)
    exact = weight.sum(axis=0) ** -1 * np.exp(log_ratio).sum()
    # smoothing moves the largest few ratios only
    assert found.elpd == pytest.approx(np.log(exact), abs=0.1)


def test_draws_of_a_proposal_give_what_a_conjugate_posterior_gives():
    """Normal patients with a known sd and a flat prior of their mean: all is known."""
    n, rng = 10, np.random.default_rng(8)
    patients = rng.normal(0, 1, n)
    mean, sd = patients.mean(), n**-0.5
    proposed = rng.normal(mean + 0.5 * sd, 1.5 * sd, 100_000)
    log_ratio = norm.logpdf(proposed, mean, sd)
    log_ratio -= norm.logpdf(proposed, mean + 0.5 * sd, 1.5 * sd)
    found = left_out(norm.logpdf(patients, proposed[:, None]), log_ratio=log_ratio)
    without = (n * mean - patients) / (n - 1)
    elpd = norm.logpdf(patients, without, np.sqrt(1 + 1 / (n - 1)))
    assert found.elpd == pytest.approx(elpd, abs=0.01)
    assert found.lpd == pytest.approx(norm.logpdf(patients, mean, np.sqrt(1 + 1 / n)), abs=0.01)


@pytest.mark.parametrize("level", [BASELINE, AVX2, AVX512])
@pytest.mark.parametrize(("draws", "patients"), [(25, 1), (226, 7), (1003, 17)])
@pytest.mark.parametrize("spread", [1e-3, 0.5, 60.0])
def test_sums_of_smoothed_weights_are_those_written_out(level, draws, patients, spread):
    try:
        kernels(level)
    except ValueError:
        pytest.skip("this processor does not have it")
    rng = np.random.default_rng(draws)
    log_likelihood = rng.normal(-3, spread, (draws, patients))
    log_ratio = rng.normal(0, 0.3, draws)
    found = left_out(log_likelihood, 0.7, log_ratio, level)
    log_weight, pareto_k = pareto_smooth(log_ratio - log_likelihood.T, 0.7)
    elpd = np.logaddexp.reduce(log_weight + log_likelihood.T, axis=1)
    lpd = np.logaddexp.reduce(pareto_smooth(log_ratio, 0.7)[0] + log_likelihood.T, axis=1)
    np.testing.assert_allclose(found.elpd, elpd, rtol=1e-11)
    np.testing.assert_allclose(found.lpd, lpd, rtol=1e-11)
    np.testing.assert_allclose(found.pareto_k, pareto_k, rtol=1e-9, atol=1e-11)


def test_a_patient_whose_likelihood_is_no_number_has_no_result():
    log_likelihood = np.random.default_rng(6).normal(-3, 0.5, (100, 3))
    log_likelihood[4, 1] = np.nan
    found = left_out(log_likelihood)
    for each in vars(found).values():
        assert np.isnan(each).tolist() == [False, True, False]
