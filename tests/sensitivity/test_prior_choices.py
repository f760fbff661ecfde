"""Sceptics, enthusiasts and the literature: their priors."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.model.priors import Normal, StudentT
from bayes_crlm.sensitivity.prior_choices import (
    enthusiastic_prior,
    prior_choices,
    sceptical_prior,
    vague_prior,
)
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
    # "the probability of HR<1 was 0.95", said without more digits
    assert stats.norm.cdf(0, centre, precision**-0.5) == pytest.approx(0.95, abs=0.01)


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
