"""Sceptics, enthusiasts and the literature: their priors, and what they make of one fit."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.model.priors import Laplace, Normal, StudentT
from bayes_crlm.sensitivity.prior_choices import (
    enthusiastic_prior,
    normal_likelihood,
    prior_choices,
    prob_below_normal,
    prob_below_over_priors,
    sceptical_prior,
    vague_prior,
)
from bayes_crlm.sensitivity.reweighting import reliable_pareto_k, reweight, weighted_quantile
from bayes_crlm.words.errors import PriorError, SensitivityError

BENEFIT = st.one_of(st.floats(0.1, 0.95), st.floats(1.05, 10))


@given(BENEFIT, st.floats(0.01, 0.2))
def test_the_sceptic_gives_little_to_effects_beyond_the_benefit(benefit, tail):
    prior = sceptical_prior(benefit, tail)
    assert prior.mean == 0
    beyond = stats.norm(prior.mean, prior.sd).cdf(-abs(math.log(benefit)))
    assert beyond == pytest.approx(tail, rel=1e-9)


@given(BENEFIT, st.floats(0.01, 0.2))
def test_the_enthusiast_gives_little_to_no_effect(benefit, tail):
    prior = enthusiastic_prior(benefit, tail)
    assert math.exp(prior.mean) == pytest.approx(benefit)
    below_none = stats.norm(prior.mean, prior.sd).cdf(0)
    assert (below_none if benefit > 1 else 1 - below_none) == pytest.approx(tail, rel=1e-9)
    # one distance between the two centres, so one width
    assert prior.sd == sceptical_prior(benefit, tail).sd


def test_a_reanalysis_of_a_trial_under_a_sceptical_prior():
    # ANDROMEDA-SHOCK, hazard ratio 0.75 (0.55 to 1.02), planned for a fall of mortality from 45% to
    # 30% of 420 patients; D Lane's reanalysis (datamethods.org, topic 1349): HR 0.78, 0.59 to 1.04.
    # The planned benefit is an odds ratio there, with half a patient added to each count.
    benefit = (126.5 * 231.5) / (189.5 * 294.5)
    prior = sceptical_prior(benefit)
    trial = Normal(math.log(0.75), math.log(1.02 / 0.75) / stats.norm.ppf(0.975))
    precision = 1 / prior.sd**2 + 1 / trial.sd**2
    centre = trial.mean / trial.sd**2 / precision
    limits = np.exp(stats.norm(centre, precision**-0.5).ppf([0.5, 0.025, 0.975]))
    np.testing.assert_array_equal(np.round(limits, 2), [0.78, 0.59, 1.04])
    found = prob_below_normal(trial, prior.mean, prior.sd)
    assert found == pytest.approx(stats.norm.cdf(0, centre, precision**-0.5), rel=1e-12)
    # "the probability of HR<1 was 0.95", said without more digits
    assert float(found) == pytest.approx(0.95, abs=0.01)


def test_choices_by_name():
    # the enthusiastic prior of Laptook et al. (2017), JAMA 318:1550: 0.72, half of it to twice,
    # standard deviation 0.35 on the log scale
    found = prior_choices(0.6, {"earlier trial": "hr(0.72, 0.36, 1.44)", "t": "student_t(4, 0, 1)"})
    assert list(found) == ["sceptical", "enthusiastic", "vague", "earlier trial", "t"]
    assert found["vague"] == Normal(0.0, 10.0)
    assert round(found["earlier trial"].sd, 2) == 0.35
    assert math.exp(found["earlier trial"].mean) == pytest.approx(0.72)
    assert found["t"] == StudentT(4, 0, 1)
    assert list(prior_choices(0.6)) == ["sceptical", "enthusiastic", "vague"]


def test_impossible_choices_are_refused_in_one_sentence():
    for benefit in (1.0, 0.0, -0.5, math.inf, math.nan):
        for make in (sceptical_prior, enthusiastic_prior):
            with pytest.raises(SensitivityError, match="not a benefit to doubt"):
                make(benefit)
    for tail in (0.0, 0.5, math.nan):
        with pytest.raises(SensitivityError, match="tail"):
            sceptical_prior(0.6, tail)
    for scale in (0.0, math.inf, math.nan):
        with pytest.raises(SensitivityError, match="scale"):
            vague_prior(scale)
    with pytest.raises(SensitivityError, match="'vague' has the name"):
        prior_choices(0.6, {"vague": "normal(0, 1)"})
    with pytest.raises(PriorError, match="0 < low < median < high"):
        prior_choices(0.6, {"trial": "hr(0.7, 0.8, 0.9)"})
    with pytest.raises(PriorError, match="horseshoe"):
        prior_choices(0.6, {"trial": "horseshoe(1)"})


# --- one fit under many priors ---

LIKELIHOOD = Normal(math.log(0.6), 0.3)
FITTED = Normal(0.0, 1.0)


def posterior(prior):
    """Posterior of a normal likelihood under a normal prior, by the textbook."""
    precision = 1 / prior.sd**2 + 1 / LIKELIHOOD.sd**2
    centre = (prior.mean / prior.sd**2 + LIKELIHOOD.mean / LIKELIHOOD.sd**2) / precision
    return stats.norm(centre, precision**-0.5)


def draws_under(prior, seed, n=4000):
    return posterior(prior).rvs(n, random_state=np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("threshold", [1.0, 0.8])
def test_reweighting_gives_the_closed_form(seed, threshold):
    means, scales = [-0.6, -0.3, 0.0, 0.3], [0.1, 0.2, 0.4, 0.8, 2.0]
    found = prob_below_over_priors(
        draws_under(FITTED, seed), FITTED, means, scales, threshold=threshold
    )
    exact = prob_below_normal(LIKELIHOOD, np.array(means)[:, None], scales, threshold)
    assert found.prob_below.shape == exact.shape == (4, 5)
    assert not found.is_refitted.any()
    error = np.abs(found.prob_below - exact) / found.mcse
    # 20 correlated cells: 4.5 standard errors are beyond chance
    assert error[found.is_reliable].max() < 4.5
    assert found.mcse[found.is_reliable].max() <= 0.01
    # scales of 0.4 and more, unless the prior pulls the other way, are within one fit's reach
    assert found.is_reliable[:3, 2:].all()
    assert not found.is_reliable.all()


def test_unreliable_cells_are_refitted():
    asked = []

    def refit(prior):
        asked.append(prior)
        return draws_under(prior, 7)

    found = prob_below_over_priors(
        draws_under(FITTED, 1), FITTED, [-2.0, 0.0], [0.05, 1.0], refit=refit
    )
    exact = prob_below_normal(LIKELIHOOD, np.array([[-2.0], [0.0]]), [0.05, 1.0])
    assert asked == [Normal(-2.0, 0.05), Normal(0.0, 0.05)]
    np.testing.assert_array_equal(found.is_refitted, [[True, False], [True, False]])
    assert found.is_reliable.all()
    assert np.isnan(found.pareto_k[found.is_refitted]).all()
    np.testing.assert_allclose(found.prob_below, exact, atol=0.04)
    without = prob_below_over_priors(draws_under(FITTED, 1), FITTED, [-2.0, 0.0], [0.05, 1.0])
    np.testing.assert_array_equal(without.is_reliable, [[False, True], [False, True]])


def test_the_same_prior_changes_nothing():
    draws = draws_under(FITTED, 2)
    found = reweight(draws, FITTED, FITTED)
    np.testing.assert_allclose(found.weight, 1 / draws.size, rtol=1e-12)
    assert found.pareto_k == 0
    assert found.ess == pytest.approx(draws.size)
    assert found.prob_below(0.7) == pytest.approx(np.mean(draws < math.log(0.7)))


@pytest.mark.parametrize("wanted", [StudentT(3, 0.0, 0.5), Laplace(0.0, 0.4), Normal(-0.2, 0.5)])
def test_any_prior_with_a_density_can_be_wanted(wanted):
    found = reweight(draws_under(FITTED, 3, 40_000), FITTED, wanted)
    grid = np.linspace(-4, 3, 70_001)
    density = stats.norm(LIKELIHOOD.mean, LIKELIHOOD.sd).pdf(grid) * np.exp(
        wanted.log_density(grid)
    )
    exact = density[grid < 0].sum() / density.sum()
    assert found.prob_below() == pytest.approx(exact, abs=4 * found.mcse_prob_below())
    assert found.is_reliable()


def test_the_monte_carlo_error_is_not_zero_when_no_draw_lies_beyond():
    draws = draws_under(Normal(-1.0, 0.1), 4)
    assert (draws < 0).all()
    near = reweight(draws, Normal(-1.0, 0.1), Normal(-1.0, 0.12))
    far = reweight(draws, Normal(-1.0, 0.1), Normal(0.0, 0.4))
    assert near.prob_below() == pytest.approx(far.prob_below()) == pytest.approx(1)
    assert not far.is_reliable()
    assert far.mcse_prob_below() > 0.1


def test_weights_stay_numbers_when_priors_lie_worlds_apart():
    draws = stats.norm(-1, 0.28).ppf((np.arange(400) + 0.5) / 400)
    for scale in [*np.geomspace(1e-6, 1, 31), 0.0167131, 0.0169071, 0.0171034]:
        found = reweight(draws, Normal(-1.0, 0.45), Normal(0.0, float(scale)))
        assert found.weight.sum() == pytest.approx(1)
        assert 0 <= found.prob_below() <= 1 + 1e-12
        if scale < 0.01:
            assert not found.is_reliable()


def test_fewer_draws_need_a_smaller_k():
    # Vehtari et al. (2024): 1 - 1/log10(S), at most 0.7
    assert reliable_pareto_k(100) == pytest.approx(0.5)
    assert reliable_pareto_k(1000) == pytest.approx(2 / 3)
    assert reliable_pareto_k(10_000) == 0.7


def test_weighted_quantiles_are_those_of_repeated_values():
    values, counts = np.array([3.0, 1.0, 2.0]), np.array([1, 2, 5])
    repeated = np.repeat(values, counts)
    weight = counts / counts.sum()
    assert weighted_quantile(values, weight, 0.5) == pytest.approx(
        np.interp(0.5, [0.125, 0.5625, 0.9375], [1, 2, 3])
    )
    equal = np.full(repeated.size, 1 / repeated.size)
    assert weighted_quantile(repeated, equal, 0.4) == np.quantile(repeated, 0.4, method="hazen")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"mean": []}, "means"),
        ({"mean": [math.nan]}, "means"),
        ({"scale": []}, "scales"),
        ({"scale": [0.5, 0.0]}, "scale 0 is impossible"),
        ({"scale": [math.inf]}, "scales"),
        ({"threshold": 0.0}, "threshold"),
        ({"log_hazard_ratio": np.zeros(10)}, "at least 25"),
        ({"log_hazard_ratio": np.full(100, np.nan)}, "finite"),
    ],
)
def test_impossible_grids_are_refused_in_one_sentence(changes, sentence):
    arguments = {
        "log_hazard_ratio": draws_under(FITTED, 0, 100),
        "fitted": FITTED,
        "mean": [0.0],
        "scale": [1.0],
    }
    with pytest.raises(SensitivityError, match=sentence) as caught:
        prob_below_over_priors(**(arguments | changes))
    assert "\n" not in str(caught.value)


@given(st.floats(-2, 2), st.floats(0.05, 1), st.floats(-1, 1), st.floats(0.2, 3))
def test_the_likelihood_comes_back_out_of_the_posterior(estimate, error, mean, scale):
    precision = 1 / error**2 + 1 / scale**2
    centre = (estimate / error**2 + mean / scale**2) / precision
    found = normal_likelihood(centre, precision**-0.5, Normal(mean, scale))
    assert found.mean == pytest.approx(estimate, rel=1e-6, abs=1e-6)
    assert found.sd == pytest.approx(error, rel=1e-6)


def test_a_posterior_as_wide_as_its_prior_has_no_likelihood():
    with pytest.raises(SensitivityError, match="data say nothing"):
        normal_likelihood(0.0, 1.0, Normal(0.0, 1.0))


def test_a_vaguer_sceptic_is_easier_to_convince():
    found = prob_below_normal(LIKELIHOOD, 0.0, np.geomspace(0.01, 10, 30))
    assert (np.diff(found) > 0).all()
    assert found[0] == pytest.approx(0.5, abs=0.03)
    assert found[-1] == pytest.approx(stats.norm.cdf(0, LIKELIHOOD.mean, LIKELIHOOD.sd), abs=1e-3)
