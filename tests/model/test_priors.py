"""Priors as they are written, in words, as densities and as draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from slopes import prior_slope

from bayes_crlm.model.baseline_priors import (
    GammaProcess,
    Independent,
    LogTimeWalk,
    RandomWalk,
    baseline_prior,
)
from bayes_crlm.model.priors import (
    Horseshoe,
    Laplace,
    Normal,
    StudentT,
    hazard_ratio_prior,
    parse_prior,
    simple_prior,
)
from bayes_crlm.words.errors import PriorError

SIMPLE = {
    "normal": (Normal(0.2, 0.7), stats.norm(0.2, 0.7)),
    "student_t": (StudentT(4, -0.3, 1.2), stats.t(4, -0.3, 1.2)),
    "laplace": (Laplace(0.1, 0.5), stats.laplace(0.1, 0.5)),
}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("normal(0, 1)", Normal(0, 1)),
        (" normal ( -0.5 ,2e-1 ) ", Normal(-0.5, 0.2)),
        ("student_t(3, 0, 2.5)", StudentT(3, 0, 2.5)),
        ("laplace(0, 0.5)", Laplace(0, 0.5)),
        ("horseshoe(1)", Horseshoe(1)),
    ],
)
def test_priors_are_read_as_the_spec_writes_them(text, expected):
    assert parse_prior(text) == expected
    assert parse_prior(expected.describe()) == expected
    assert parse_prior(expected) is expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("normal(0, -1)", "its standard deviation -1 must be above 0"),
        ("normal(0, 0)", "its standard deviation 0 must be above 0"),
        ("student_t(0, 0, 1)", "its degrees of freedom 0 must be above 0"),
        ("student_t(3, 0, -1)", "its scale -1 must be above 0"),
        ("laplace(0, 0)", "its scale 0 must be above 0"),
        ("horseshoe(-1)", "its scale -1 must be above 0"),
        ("normal(0)", "has 1 number; write normal(mean, sd)"),
        ("normal()", "has 0 numbers; write normal(mean, sd)"),
        ("horseshoe(1, 2)", "has 2 numbers; write horseshoe(scale)"),
        ("normal(0, one)", "'one' is not a finite number"),
        ("normal(0, inf)", "'inf' is not a finite number"),
        ("normal(nan, 1)", "'nan' is not a finite number"),
        ("normal(0, 1_0)", "'1_0' is not a finite number"),
        ("cauchy(0, 1)", "unknown family 'cauchy'; give one of normal, student_t, laplace"),
        ("normal", "is not understood; write for example 'normal(0, 1)'"),
        ("", "is not understood"),
        ("normal(0, 1) + 1", "is not understood"),
        ("normal(abs(0), 1)", "is not understood"),
        ("hr(0.5, 0.9, 0.7)", "hr(0.5, 0.9, 0.7)"),
        ("hr(0.5, -0.2, 0.7)", "hr(0.5, -0.2, 0.7)"),
        ("hr(0.5, 0.6, 0.7)", "with 0 < low < median < high"),
        ("hr(0.8, 0.6, 0.7)", "with 0 < low < median < high"),
    ],
)
def test_impossible_priors_are_refused_in_one_sentence(text, sentence):
    with pytest.raises(PriorError) as caught:
        parse_prior(text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_horseshoe_is_for_covariates_only():
    with pytest.raises(PriorError, match="for covariates only"):
        parse_prior("horseshoe(1)", "treatment")
    with pytest.raises(PriorError, match="for covariates only"):
        parse_prior(Horseshoe(1.0), "treatment")
    with pytest.raises(TypeError, match="no density without its scales"):
        simple_prior(Horseshoe(1.0))


def test_a_long_prior_is_not_repeated_at_length():
    with pytest.raises(PriorError) as caught:
        parse_prior("n" * 10_000)
    assert len(str(caught.value)) < 300


@given(st.floats(0.05, 20), st.floats(1.01, 20))
def test_hr_means_a_median_and_95_percent_limits(median, factor):
    prior = parse_prior(f"hr({median!r}, {median / factor!r}, {median * factor!r})")
    assert isinstance(prior, Normal)
    limits = np.exp(stats.norm(prior.mean, prior.sd).ppf([0.025, 0.5, 0.975]))
    np.testing.assert_allclose(limits, [median / factor, median, median * factor], rtol=1e-6)
    assert prior.note is None


def test_hr_with_lopsided_limits_is_said():
    prior = hazard_ratio_prior(0.5, 0.2, 2.0)
    assert prior.note
    limits = stats.norm(prior.mean, prior.sd).ppf([0.025, 0.975])
    # the normal's width is that of the limits
    assert np.diff(limits)[0] == pytest.approx(np.log(2.0) - np.log(0.2), rel=1e-6)


@pytest.mark.parametrize("family", SIMPLE)
def test_densities_are_those_of_scipy(family):
    prior, expected = SIMPLE[family]
    at = np.linspace(-6, 6, 50).reshape(5, 10)
    np.testing.assert_allclose(prior.log_density(at), expected.logpdf(at), rtol=1e-12)


@pytest.mark.parametrize("family", SIMPLE)
def test_slope_and_curvature_are_those_of_finite_differences(family):
    prior, _ = SIMPLE[family]
    at, step = np.linspace(-3, 3, 26) + 0.013, 1e-5  # away from Laplace's kink
    slope = (prior.log_density(at + step) - prior.log_density(at - step)) / (2 * step)
    np.testing.assert_allclose(prior_slope(prior, at), slope, rtol=1e-6, atol=1e-8)
    bend = (prior_slope(prior, at + step) - prior_slope(prior, at - step)) / (2 * step)
    np.testing.assert_allclose(prior.curvature(at), bend, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("family", SIMPLE)
@pytest.mark.parametrize("seed", range(3))
def test_draws_follow_the_density(family, seed):
    prior, expected = SIMPLE[family]
    drawn = prior.draw(np.random.default_rng(seed), (5000, 4))
    assert drawn.shape == (5000, 4)
    assert stats.kstest(drawn.ravel(), expected.cdf).pvalue > 1e-4


def test_baseline_priors_by_name():
    assert baseline_prior("independent") == Independent(2.0)
    assert baseline_prior("random_walk") == RandomWalk(2.0, 1.0)
    assert baseline_prior("log_time_walk") == LogTimeWalk(2.0, 2.0)
    assert baseline_prior("gamma", 3.0) == GammaProcess(3.0)
    assert baseline_prior(Independent(5.0)) == Independent(5.0)
    for prior in (Independent(), RandomWalk(), LogTimeWalk(), GammaProcess()):
        assert prior.name in ("independent", "random_walk", "log_time_walk", "gamma")
        assert "\n" not in prior.describe()
    for name, weight in (("spline", 1.0), ("gamma", 0.0), ("gamma", -1.0)):
        with pytest.raises(PriorError):
            baseline_prior(name, weight)
