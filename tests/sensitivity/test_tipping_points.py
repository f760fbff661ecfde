"""Bias factors of a binary confounder, and where they turn a conclusion."""

import importlib.util
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.sensitivity.tipping_points import (
    bias_factor,
    confounder_that_tips,
    tipping_bias,
    tipping_surface,
)
from bayes_crlm.words.errors import SensitivityError

SHARE = st.floats(0, 1)
# quantiles of a normal in place of random draws: Cox's published 0.42 (0.25 to 0.72)
MEAN, SD = math.log(0.42), (math.log(0.72) - math.log(0.25)) / (2 * 1.959963984540054)
DRAWS = stats.norm(MEAN, SD).ppf((np.arange(20_000) + 0.5) / 20_000)


def test_by_hand():
    # the examples of R's tipr: adjust_hr_with_binary(0.8, 0.1, 0.5, 1.8), tip_hr_with_binary(0.9,
    # 0.9, 0.1); here (0.9 + 1.8 x 0.1) / (0.5 + 1.8 x 0.5) = 1.08 / 1.4 and 1 - 0.1 / 0.81
    assert 0.8 / bias_factor(1.8, 0.1, 0.5) == pytest.approx(0.8 * 1.4 / 1.08, rel=1e-12)
    assert confounder_that_tips(0.9, 0.9, 0.1) == pytest.approx(1 - 0.1 / 0.81, rel=1e-12)


@given(st.floats(0.1, 10), SHARE, SHARE, st.floats(0.2, 5))
def test_it_is_the_ratio_of_the_mixed_hazards_at_the_start(strength, treated, reference, effect):
    # survival of a mixture of carriers and others with constant hazards; its hazard at 0 by
    # a central difference of the log survival
    def hazard_at_start(rate, share):
        def log_survival(time):
            return np.log(
                share * np.exp(-rate * strength * time) + (1 - share) * np.exp(-rate * time)
            )

        return -(log_survival(1e-5) - log_survival(-1e-5)) / 2e-5

    observed = hazard_at_start(effect, treated) / hazard_at_start(1.0, reference)
    corrected = observed / bias_factor(strength, treated, reference)
    assert corrected == pytest.approx(effect, rel=1e-6)


@given(st.floats(1, 20), st.floats(0.01, 1), st.floats(0.01, 1))
def test_it_is_within_the_bounding_factor(strength, treated, reference):
    bias = float(bias_factor(strength, treated, reference))
    association = max(treated / reference, reference / treated)
    # Ding & VanderWeele (2016)
    bound = association * strength / (association + strength - 1)
    assert max(bias, 1 / bias) <= bound * (1 + 1e-9)


@given(st.floats(0.3, 3), SHARE, SHARE)
def test_the_confounder_that_tips_has_that_bias(bias, treated, reference):
    assume(abs(treated - reference) > 1e-6)
    strength = float(confounder_that_tips(bias, treated, reference))
    if 0 < strength < math.inf:
        assert bias_factor(strength, treated, reference) == pytest.approx(bias, rel=1e-6)
        if bias != 1:
            assert (strength > 1) == ((treated > reference) == (bias > 1))
    else:
        # not even an extreme confounder goes as far
        extreme = float(bias_factor(1e9 if strength > 1 else 1e-9, treated, reference))
        assert abs(math.log(max(extreme, 1e-300))) <= abs(math.log(bias)) + 1e-3


def test_equal_prevalences_tip_nothing():
    assert np.isnan(confounder_that_tips(0.8, 0.3, 0.3))
    assert confounder_that_tips(1.0, 0.3, 0.3) == 1
    np.testing.assert_array_equal(bias_factor([0.5, 1, 9], 0.3, 0.3), 1)


def test_tipping_biases_are_the_quantiles_of_the_hazard_ratio():
    found = tipping_bias(DRAWS)
    assert found.side == "below"
    assert found.median == pytest.approx(0.42, rel=1e-4)
    assert found.limit == pytest.approx(math.exp(MEAN + 1.959964 * SD), rel=1e-3)
    assert found.probability == pytest.approx(math.exp(MEAN + 1.644854 * SD), rel=1e-3)
    # against another threshold
    assert tipping_bias(DRAWS, 0.84).median == pytest.approx(0.5, rel=1e-4)


def surface(**changes):
    arguments = {
        "log_hazard_ratio": DRAWS,
        "confounder_hazard_ratio": [1, 1.5, 2, 3, 5, 10],
        "prevalence_difference": [-0.4, -0.2, 0, 0.2],
        "prevalence_reference": 0.5,
    }
    return tipping_surface(**(arguments | changes))


def test_without_confounding_the_surface_is_the_posterior():
    found = surface()
    for part in ((2, slice(None)), (slice(None), 0)):  # no difference; a confounder without effect
        np.testing.assert_allclose(found.median[part], 0.42, rtol=1e-4)
        np.testing.assert_allclose(found.low[part], math.exp(MEAN - 1.959964 * SD), rtol=1e-3)
        np.testing.assert_allclose(found.high[part], math.exp(MEAN + 1.959964 * SD), rtol=1e-3)
        np.testing.assert_array_equal(found.prob_below[part], np.mean(DRAWS < 0))
        assert not found.tips_probability[part].any()
        assert not found.tips_limit[part].any()


def test_corrected_probabilities_are_those_of_the_shifted_normal():
    found = surface()
    expected = stats.norm.cdf(np.log(found.bias), MEAN, SD)
    np.testing.assert_allclose(found.prob_below, expected, atol=1 / 20_000)
    np.testing.assert_allclose(found.median, 0.42 / found.bias, rtol=1e-4)


def test_a_harmful_confounder_rarer_among_the_treated_weakens_the_benefit():
    found = surface()
    assert (np.diff(found.median[0]) > 0).all()
    assert (np.diff(found.prob_below[0]) <= 0).all()
    assert (np.diff(found.median[3]) < 0).all()
    assert found.tips_probability[0].any()
    assert not found.tips_probability[3].any()


def test_the_surface_tips_where_the_bias_passes_the_tipping_bias():
    found, tipping = surface(), tipping_bias(DRAWS)
    np.testing.assert_array_equal(found.tips_probability, found.bias < tipping.probability)
    np.testing.assert_array_equal(found.tips_limit, found.bias < tipping.limit)
    np.testing.assert_array_equal(found.tips_median, found.bias < tipping.median)
    # the limit goes first, the median last
    assert found.tips_limit.sum() >= found.tips_probability.sum() > found.tips_median.sum()


def test_the_line_of_tipping_confounders_divides_the_surface():
    found, tipping = surface(), tipping_bias(DRAWS)
    reference = np.full(4, 0.5)
    line = confounder_that_tips(tipping.limit, reference + found.prevalence_difference, reference)
    tips = found.confounder_hazard_ratio[None, :] > line[:2, None]
    np.testing.assert_array_equal(found.tips_limit[:2], tips)
    assert np.isnan(line[2])
    assert line[3] < 1  # commoner among the treated: only a protective one weakens the benefit


def test_harm_is_the_mirror_image_of_benefit():
    benefit = surface()
    harm = surface(
        log_hazard_ratio=-DRAWS,
        confounder_hazard_ratio=1 / benefit.confounder_hazard_ratio,
        prevalence_reference=0.5,
    )
    assert harm.side == "above"
    # the inverse of the strength does not invert the bias, so compare by the bias each one has
    tipping = tipping_bias(-DRAWS)
    np.testing.assert_array_equal(harm.tips_probability, harm.bias > tipping.probability)
    np.testing.assert_array_equal(harm.tips_limit, harm.bias > tipping.limit)
    np.testing.assert_array_equal(harm.tips_median, harm.bias > tipping.median)
    assert harm.tips_limit.any()
    assert not harm.tips_limit.all()
    np.testing.assert_allclose(
        [tipping.probability, tipping.median, tipping.limit],
        1 / np.array([getattr(tipping_bias(DRAWS), k) for k in ("probability", "median", "limit")]),
        rtol=1e-9,
    )


def test_a_conclusion_that_fails_already_tips_without_confounding():
    weak = DRAWS - MEAN + 0.1
    found = surface(log_hazard_ratio=weak)
    assert found.side == "above"
    assert found.tips_probability[2].all()
    assert tipping_bias(weak).probability < 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"prevalence_difference": [-0.6]}, "with the treatment would be -0.1"),
        ({"prevalence_difference": [0.6]}, "with the treatment would be 1.1"),
        ({"prevalence_difference": [math.nan]}, "between 0 and 1"),
        ({"prevalence_reference": 1.5}, "between 0 and 1"),
        ({"prevalence_difference": []}, "at least one value"),
        ({"confounder_hazard_ratio": []}, "at least one value"),
        ({"confounder_hazard_ratio": [0.0]}, "above 0"),
        ({"confounder_hazard_ratio": [math.inf]}, "above 0"),
        ({"log_hazard_ratio": []}, "draws"),
        ({"log_hazard_ratio": [0.1, math.nan]}, "draws"),
        ({"threshold": 0.0}, "threshold"),
        ({"level": 0.4}, "level"),
        ({"level": 1.0}, "level"),
    ],
)
def test_impossible_grids_are_refused_in_one_sentence(changes, sentence):
    with pytest.raises(SensitivityError, match=sentence) as caught:
        surface(**changes)
    assert "\n" not in str(caught.value)


def test_an_impossible_bias_is_refused():
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(SensitivityError, match="bias factor"):
            confounder_that_tips(wrong, 0.2, 0.4)


@pytest.fixture(scope="module")
def confounding_bias():
    """`benchmarks/confounding_bias.py`: what Cox's model tends to without the confounder."""
    path = Path(__file__).parents[2] / "benchmarks" / "confounding_bias.py"
    spec = importlib.util.spec_from_file_location("confounding_bias", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("effect", [0.5, 1.0, 1.5])
@pytest.mark.parametrize("confounder", [(3.0, 0.2, 0.5), (0.4, 0.6, 0.3), (2.0, 0.7, 0.5)])
def test_cox_without_the_confounder_is_off_by_the_bias_factor_when_few_die(
    confounding_bias, effect, confounder
):
    observed = confounding_bias.cox_limit(effect, *confounder, deaths=0.01)
    assert observed / bias_factor(*confounder) == pytest.approx(effect, rel=0.01)


def test_when_many_die_the_correction_goes_too_far(confounding_bias):
    strength, treated, reference = 3.0, 0.2, 0.5
    bias = bias_factor(strength, treated, reference)
    corrected = [
        confounding_bias.cox_limit(1.0, strength, treated, reference, deaths) / bias
        for deaths in (0.05, 0.3, 0.6, 0.9)
    ]
    assert corrected[0] > 1
    assert (np.diff(corrected) > 0).all()


def test_the_page_shows_the_table_that_the_benchmark_writes(confounding_bias):
    page = confounding_bias.PAGE.read_text(encoding="utf-8")
    assert f"{confounding_bias.BEGIN}\n{confounding_bias.table()}\n{confounding_bias.END}" in page
