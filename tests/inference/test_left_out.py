"""Patients left out of draws: against ArviZ."""

import numpy as np
import pytest
import xarray as xr

from bayes_crlm.inference.left_out import influence_on_mean, left_out


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
