"""The analysis of credibility: published examples, its definition, and any posterior."""

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.model.priors import LIMITS, Normal, parse_prior
from bayes_crlm.sensitivity.credibility import (
    critical_prior,
    intrinsic_credibility,
    judge_evidence,
)
from bayes_crlm.sensitivity.priors.critical_scale import quantile_mcse, reverse_bayes
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import any_ratio

Z95 = 1.959963984540054


def conjugate_limits(estimate, error, prior, level=0.95):
    """Limits of the posterior of a normal likelihood, from the textbook's formula."""
    precision = 1 / error**2 + 1 / prior.sd**2
    mean = (estimate / error**2 + prior.mean / prior.sd**2) / precision
    half = stats.norm.ppf((1 + level) / 2) / math.sqrt(precision)
    return mean - half, mean + half


@pytest.mark.parametrize(
    ("low", "high", "limit", "digits"),
    [
        # the GREAT trial, odds ratio 0.24 to 0.97: L0 = 0.10 (Spiegelhalter, Abrams & Myles 2004,
        # section 3.11, after Matthews 2001; read in a summary of that section)
        (0.24, 0.97, 0.10, 2),
        # a Salmonella outbreak, odds ratio 1.03 to 4.00: 10 (Matthews 2019, Am Stat
        # 73(S1):202-212; read in a summary of that paper)
        (1.03, 4.00, 10, 0),
    ],
)
def test_published_scepticism_limits(low, high, limit, digits):
    found = critical_prior(low, high)
    assert found.kind == "sceptical"
    assert round(found.limit, digits) == limit
    assert found.low * found.high == pytest.approx(1, rel=1e-12)


def test_published_thresholds_of_intrinsic_credibility():
    # Held (2019), abstract: a finding at 5% is intrinsically credible from a ratio of limits of 5.8
    # on, which is p = 0.0056; here 3 + 2 sqrt(2) and 2 Phi(-1.96 sqrt(2))
    ratio = 3 + 2 * math.sqrt(2)
    assert round(ratio, 1) == 5.8
    at = intrinsic_credibility(math.exp(0.1), math.exp(0.1 * ratio))
    assert at.p_intrinsic == pytest.approx(0.05, rel=1e-9)
    assert at.credibility_ratio == pytest.approx(ratio, rel=1e-12)
    assert at.prob_replication == pytest.approx(0.975, rel=1e-9)
    assert round(at.p, 4) == 0.0056
    assert intrinsic_credibility(math.exp(0.1), math.exp(0.1 * 5.8)).is_credible
    assert not intrinsic_credibility(math.exp(0.1), math.exp(0.1 * 5.9)).is_credible


def test_matthews_condition_is_an_estimate_at_the_scepticism_limit():
    # Matthews (2018): the golden ratio; p is 0.0127 there
    z = Z95 * math.sqrt((1 + math.sqrt(5)) / 2)
    low, high = math.exp((z - Z95) * 0.2), math.exp((z + Z95) * 0.2)
    assert critical_prior(low, high).limit == pytest.approx(math.exp(z * 0.2), rel=1e-9)
    found = intrinsic_credibility(low, high)
    assert found.p_intrinsic_matthews == pytest.approx(0.05, rel=1e-9)
    assert round(found.p, 4) == 0.0127


@given(
    estimate=st.floats(-3, 3),
    error=st.floats(0.05, 2),
    level=st.sampled_from([0.8, 0.9, 0.95, 0.99]),
)
def test_the_critical_prior_takes_the_nearer_limit_to_no_effect(estimate, error, level):
    z = stats.norm.ppf((1 + level) / 2)
    assume(abs(abs(estimate) / error - z) > 1e-3)
    assume(abs(estimate) > 1e-3)
    found = critical_prior(math.exp(estimate - z * error), math.exp(estimate + z * error), level)
    assert found.kind == ("sceptical" if abs(estimate) > z * error else "advocacy")
    assert found.side == ("below" if estimate < 0 else "above")
    assert found.prior is not None
    low, high = conjugate_limits(estimate, error, found.prior, level)
    assert min(abs(low), abs(high)) < 1e-8
    # the interval said is that of the prior
    ends = found.prior.mean + np.array([-z, z]) * found.prior.sd
    np.testing.assert_allclose([found.low, found.high], np.exp(ends), rtol=1e-6)
    assert found.limit in (found.low, found.high)
    assert (found.limit < 1) == (estimate < 0)


@given(st.floats(0.3, 3), st.floats(1.05, 2))
def test_benefit_and_harm_are_mirror_images(estimate, factor):
    assume(abs(estimate - 1) > 1e-3 and abs(abs(math.log(estimate)) - math.log(factor)) > 1e-3)
    benefit = critical_prior(estimate / factor, estimate * factor)
    harm = critical_prior(1 / (estimate * factor), factor / estimate)
    assert harm.kind == benefit.kind
    assert harm.limit * benefit.limit == pytest.approx(1, rel=1e-6)


def test_a_limit_at_one_is_overturned_by_any_scepticism():
    for low, high, limit in ((0.5, 1.0, 0.0), (1.0, 2.0, math.inf)):
        found = critical_prior(low, high)
        assert (found.kind, found.limit, found.prior) == ("sceptical", limit, None)
    verdict = judge_evidence(critical_prior(0.5, 1.0), parse_prior("hr(0.1, 0.05, 0.2)"))
    assert verdict.verdict == "not credible"
    assert verdict.sentence.startswith("Every sceptical prior")
    assert verdict.mass_for == 0


def test_an_estimate_known_for_sure_is_overturned_by_no_scepticism():
    found = critical_prior(0.5, 0.5)
    assert (found.kind, found.side, found.limit, found.prior) == ("sceptical", "below", 1, None)
    verdict = judge_evidence(found, parse_prior("hr(0.8, 0.7, 0.9)"))
    assert verdict.verdict == "credible"
    assert verdict.sentence == "No sceptical prior overturns the finding."


def test_an_estimate_of_exactly_one_has_no_advocate():
    found = critical_prior(0.5, 2.0)
    assert (found.kind, found.limit, found.prior) == ("advocacy", 1, None)
    verdict = judge_evidence(found, parse_prior("hr(0.8, 0.7, 0.9)"))
    assert verdict.verdict == "not credible"
    assert "exactly 1" in verdict.sentence


@pytest.mark.parametrize(
    ("low", "high"),
    [(0.0, 0.5), (-0.1, 0.5), (0.5, math.inf), (0.8, 0.5), (math.nan, 0.5), (0.5, math.nan)],
)
def test_impossible_intervals_are_refused_in_one_sentence(low, high):
    for ask in (critical_prior, intrinsic_credibility):
        with pytest.raises(SensitivityError, match="0 < low <= high"):
            ask(low, high)


def test_questions_without_an_answer_are_refused():
    with pytest.raises(SensitivityError, match="not a finding"):
        critical_prior(1.0, 1.0)
    with pytest.raises(SensitivityError, match="no p-value"):
        intrinsic_credibility(0.5, 0.5)
    for level in (0.0, 1.0, math.nan):
        with pytest.raises(SensitivityError, match="level"):
            critical_prior(0.5, 0.8, level)


def test_an_interval_that_touches_one_has_an_infinite_credibility_ratio():
    assert intrinsic_credibility(0.5, 1.0).credibility_ratio == math.inf
    assert intrinsic_credibility(0.5, 2.0).credibility_ratio < 0


# --- earlier evidence ---


@pytest.mark.parametrize(
    ("evidence", "verdict", "phrase"),
    [
        # Cox's published 0.42 (0.25 to 0.72) has its scepticism limit at 0.66
        ("hr(0.4, 0.3, 0.55)", "credible", "lies wholly beyond 0.66"),
        ("hr(0.6, 0.4, 0.9)", "debatable", "median beyond 0.66 but reaches back"),
        ("hr(0.8, 0.7, 0.9)", "not credible", "median short of 0.66"),
        ("hr(2.0, 1.5, 2.6)", "not credible", "such scepticism is reasonable"),
    ],
)
def test_evidence_for_and_against_scepticism(evidence, verdict, phrase):
    critical = critical_prior(0.25, 0.72)
    assert round(critical.limit, 2) == 0.66
    prior = parse_prior(evidence)
    found = judge_evidence(critical, prior)
    assert found.verdict == verdict
    assert phrase in found.sentence
    assert "0.66 and 1.51" in found.sentence
    belief = stats.norm(prior.mean, prior.sd)
    assert found.mass_for == pytest.approx(belief.cdf(math.log(critical.limit)), rel=1e-9)
    # the prior-predictive distribution of the evidence's estimate under the sceptic's prior
    predictive = stats.norm(0, math.sqrt(critical.prior.sd**2 + prior.sd**2))
    assert found.p_conflict == pytest.approx(2 * predictive.cdf(-abs(prior.mean)), rel=1e-9)


def test_evidence_of_harm_is_judged_on_its_own_side():
    critical = critical_prior(1 / 0.72, 1 / 0.25)
    assert judge_evidence(critical, parse_prior("hr(2.5, 1.8, 3.4)")).verdict == "credible"
    assert judge_evidence(critical, parse_prior("hr(0.4, 0.3, 0.55)")).verdict == "not credible"


@pytest.mark.parametrize(
    ("evidence", "verdict"),
    [
        ("hr(0.7, 0.55, 0.9)", "credible"),
        ("hr(0.7, 0.40, 1.2)", "debatable"),
        ("hr(1.2, 0.90, 1.6)", "not credible"),
        ("hr(0.03, 0.02, 0.045)", "not credible"),
    ],
)
def test_evidence_for_an_advocate(evidence, verdict):
    critical = critical_prior(0.5, 1.1)
    assert critical.kind == "advocacy"
    assert critical.low < 0.55 < critical.high == 1
    prior = parse_prior(evidence)
    found = judge_evidence(critical, prior)
    assert found.verdict == verdict
    assert found.p_conflict is None
    belief = stats.norm(prior.mean, prior.sd)
    expected = belief.cdf(0) - belief.cdf(math.log(critical.low))
    assert found.mass_for == pytest.approx(expected, rel=1e-9)
    assert f"{critical.low:.2f} and 1.00" in found.sentence


# --- posteriors that need not be normal ---


@given(
    estimate=st.floats(-2, 2),
    error=st.floats(0.1, 0.8),
    level=st.sampled_from([0.9, 0.95]),
)
@settings(deadline=None, max_examples=50)
def test_solving_finds_the_closed_form_of_a_normal_likelihood(estimate, error, level):
    z = stats.norm.ppf((1 + level) / 2)
    assume(abs(abs(estimate) / error - z) > 0.05)
    assume(abs(estimate) > 0.01)
    exact = critical_prior(math.exp(estimate - z * error), math.exp(estimate + z * error), level)
    # priors that there are
    assume(exact.prior.sd < 100 and abs(exact.prior.mean) < LIMITS["mean"][1])
    priors = []

    def limits(prior):
        priors.append(prior)
        return conjugate_limits(estimate, error, prior, level)

    found = reverse_bayes(limits, widest=1000.0, level=level)
    assert found.critical.kind == exact.kind
    assert found.critical.prior.sd == pytest.approx(exact.prior.sd, rel=2e-3)
    assert found.critical.prior.mean == pytest.approx(exact.prior.mean, rel=2e-3)
    assert min(abs(math.log(found.posterior_low)), abs(math.log(found.posterior_high))) < 2e-3
    # few refits: the closed form is where the search begins
    assert len(priors) <= 8


# 8 deaths in 60 patient-years with the treatment, 20 in 55 without it: the share of deaths with it
# is binomial given their sum, and the log hazard ratio's likelihood is not normal
GRID = np.linspace(-6, 4, 20_001)


def few_deaths(prior):
    """Cumulative posterior of the log hazard ratio on the grid."""
    odds = np.exp(GRID) * 60 / 55
    density = stats.binom.logpmf(8, 28, odds / (1 + odds)) + stats.norm.logpdf(
        GRID, prior.mean, prior.sd
    )
    cumulative = np.cumsum(np.exp(density - density.max()))
    return cumulative / cumulative[-1]


def few_deaths_limits(prior):
    return tuple(np.interp([0.025, 0.975], few_deaths(prior), GRID))


def few_deaths_draws(prior, seed, n=4000):
    return np.interp(np.random.default_rng(seed).random(n), few_deaths(prior), GRID)


def test_solving_a_skewed_posterior_takes_its_limit_to_one():
    found = reverse_bayes(few_deaths_limits, tolerance=1e-6)
    assert found.critical.kind == "sceptical"
    assert found.critical.side == "below"
    limits = few_deaths_limits(found.critical.prior)
    assert abs(limits[1]) < 1e-5
    assert found.posterior_high == pytest.approx(1, abs=1e-5)
    assert found.posterior_low == pytest.approx(math.exp(limits[0]), rel=1e-4)
    # and the closed form, which takes the likelihood for normal, is not the same
    closed = critical_prior(*np.exp(few_deaths_limits(Normal(0, 10.0))))
    assert abs(math.log(closed.prior.sd / found.critical.prior.sd)) > 0.03


def test_the_error_of_a_quantile_is_its_spread_over_seeds():
    found, errors = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        value = rng.standard_normal(4000)
        # weights of a normal of standard deviation 0.8
        weight = np.exp(-0.5 * value**2 * (1 / 0.64 - 1))
        weight /= weight.sum()
        errors.append(quantile_mcse(value, weight, 0.975))
        order = np.argsort(value)
        found.append(value[order][np.searchsorted(np.cumsum(weight[order]), 0.975)])
    assert np.mean(found) == pytest.approx(0.8 * Z95, abs=0.01)
    # 200 seeds know a standard deviation to 5%
    assert np.mean(errors) == pytest.approx(np.std(found, ddof=1), rel=0.2)


def test_the_error_of_the_critical_limit_is_its_spread_over_seeds():
    """Refits that draw 4,000 times each, with common random numbers."""
    limits, errors = [], []
    for seed in range(60):

        def refit(prior, seed=seed):
            return few_deaths_draws(prior, seed)

        def refit_limits(prior, refit=refit):
            return tuple(np.quantile(refit(prior), [0.025, 0.975]))

        found = reverse_bayes(refit_limits)
        limits.append(found.critical.limit)
        draws = refit(found.critical.prior)
        even = np.full(len(draws), 1 / len(draws))
        errors.append(found.limit_mcse(quantile_mcse(draws, even, 0.975)))
    exact = reverse_bayes(few_deaths_limits, tolerance=1e-6).critical.limit
    assert np.mean(limits) == pytest.approx(exact, abs=4 * np.std(limits) / math.sqrt(60) + 0.01)
    # 60 seeds know a standard deviation to 9%; each error has one of its own
    assert np.median(errors) == pytest.approx(np.std(limits, ddof=1), rel=0.35)


def test_a_limit_that_jumps_over_no_effect_is_not_called_critical():
    """As where some posteriors are drawn in one way and some in another."""

    def limits(prior):
        low, high = few_deaths_limits(prior)
        return low, high + (0.05 if high > 0 else -0.05)

    smooth, jumping = (reverse_bayes(each, tolerance=1e-6) for each in (few_deaths_limits, limits))
    assert smooth.is_at_no_effect(0.0) and smooth.is_at_no_effect(0.01)
    assert not jumping.is_at_no_effect(0.01)
    # an error that explains the distance
    assert jumping.is_at_no_effect(0.05)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (1e-9, "less than 0.001"),
        (0.0034, "0.0034"),
        (0.0712, "0.071"),
        (0.66, "0.66"),
        (151.4, "151"),
        (1e7, "more than 1,000"),
    ],
)
def test_limits_of_every_size_can_be_read(ratio, said):
    assert any_ratio(ratio) == said


def test_an_advocate_as_wide_as_the_widest_prior_has_no_limit():
    # just not significant, so that every advocate's prior up to the widest makes it credible
    def limits(prior):
        return conjugate_limits(-Z95 * 0.3 + 1e-6, 0.3, prior)

    found = reverse_bayes(limits)
    assert found.critical.kind == "advocacy"
    assert found.critical.limit == 0
    assert found.critical.prior is None
    assert (found.posterior_low, found.posterior_high) == pytest.approx(
        np.exp(limits(Normal(0.0, 10.0)))
    )


def test_a_finding_that_a_wide_prior_just_overturns_has_a_critical_prior_below_the_widest():
    def limits(prior):
        return conjugate_limits(-Z95 * 0.3 - 1e-4, 0.3, prior)

    found = reverse_bayes(limits, widest=20.0)
    assert found.critical.kind == "sceptical"
    exact = critical_prior(*np.exp(limits(Normal(0, 1e6))))
    assert found.critical.prior.sd == pytest.approx(exact.prior.sd, rel=0.02)
