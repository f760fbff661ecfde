"""E-values against published examples, against their definition, and at their edges."""

import doctest
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.sensitivity.e_values import (
    e_value,
    hazard_ratio_e_value,
    risk_ratio_of_hazard_ratio,
)
from bayes_crlm.words.errors import SensitivityError

RATIO = st.floats(0.05, 20)


def by_hand(ratio):
    """The formula of VanderWeele & Ding (2017), table 1, for a ratio above 1."""
    return ratio + math.sqrt(ratio * (ratio - 1))


def bounding_factor(treatment, death):
    """Ding & VanderWeele (2016): the most by which such a confounder moves a risk ratio."""
    return treatment * death / (treatment + death - 1)


@pytest.mark.parametrize(
    ("ratio", "low", "high", "point", "limit", "digits"),
    [
        # VanderWeele & Ding (2017): Victora's breast-feeding study; the limit is 1.8 + 1.2 by hand
        (3.9, 1.8, 8.7, 7.26, 3.00, 2),
        # VanderWeele & Ding (2017), further examples: leukaemia; 1.25 + sqrt(0.3125) and
        # 1/0.91 + sqrt((1/0.91) (1/0.91 - 1)) by hand
        (0.80, 0.71, 0.91, 1.81, 1.43, 2),
        # Ding & VanderWeele (2016): Hammond & Horn's smoking study; as printed in the vignette
        # "unmeasured-confounding" of R's EValue 4.1
        (10.73, 8.02, 14.36, 20.94777, 15.52336, 5),
    ],
)
def test_published_examples(ratio, low, high, point, limit, digits):
    found = hazard_ratio_e_value(ratio, low, high, is_common=False)
    assert round(found.e_value, digits) == point
    assert round(found.e_value_limit, digits) == limit


def test_a_common_outcome_goes_through_the_risk_ratio():
    # the example of R's EValue::evalues.HR (hazard ratio 0.56, 0.46 to 0.69), by hand
    found = hazard_ratio_e_value(0.56, 0.46, 0.69)
    risk_ratio = {
        hr: (1 - 0.5 ** math.sqrt(hr)) / (1 - 0.5 ** math.sqrt(1 / hr)) for hr in (0.56, 0.69)
    }
    assert found.risk_ratio == pytest.approx(risk_ratio[0.56], rel=1e-12)
    assert found.e_value == pytest.approx(by_hand(1 / risk_ratio[0.56]), rel=1e-12)
    assert found.e_value_limit == pytest.approx(by_hand(1 / risk_ratio[0.69]), rel=1e-12)
    assert found.nearest_limit == 0.69
    assert round(found.risk_ratio, 2) == 0.67
    assert round(found.e_value, 2) == 2.35
    assert round(found.e_value_limit, 2) == 1.91


@pytest.mark.parametrize(
    ("ratio", "low", "high", "shifted_to", "point", "limit"),
    [
        # the cases of the test suite of R's EValue, "various true values"
        (1.3, 1.1, 1.4, 1.05, 1.3 / 1.05, 1.1 / 1.05),
        (1.3, 1.1, 1.4, 1.1, 1.3 / 1.1, 1),
        (1.3, 1.1, 1.4, 1.2, 1.3 / 1.2, 1),
        (1.3, 1.1, 1.4, 1.35, 1.35 / 1.3, 1),
        (1.3, 1.1, 1.4, 1.5, 1.5 / 1.3, 1.5 / 1.4),
        (0.6, 0.5, 0.7, 0.4, 0.6 / 0.4, 0.5 / 0.4),
        (0.6, 0.5, 0.7, 0.5, 0.6 / 0.5, 1),
        (0.6, 0.5, 0.7, 0.65, 0.65 / 0.6, 1),
        (0.6, 0.5, 0.7, 0.75, 0.75 / 0.6, 0.75 / 0.7),
    ],
)
def test_shifts_to_another_value(ratio, low, high, shifted_to, point, limit):
    found = hazard_ratio_e_value(ratio, low, high, shifted_to, is_common=False)
    assert found.e_value == pytest.approx(by_hand(point), rel=1e-12)
    assert found.e_value_limit == pytest.approx(by_hand(limit), rel=1e-12)


def test_a_shift_to_another_hazard_ratio_of_a_common_outcome_converts_both():
    # the test "Common HR" of R's EValue: 1.3 (1.2 to 1.4) shifted to 1.1
    risk = {
        hr: (1 - 0.5 ** math.sqrt(hr)) / (1 - 0.5 ** math.sqrt(1 / hr)) for hr in (1.3, 1.2, 1.1)
    }
    found = hazard_ratio_e_value(1.3, 1.2, 1.4, 1.1)
    assert found.e_value == pytest.approx(by_hand(risk[1.3] / risk[1.1]), rel=1e-12)
    assert found.e_value_limit == pytest.approx(by_hand(risk[1.2] / risk[1.1]), rel=1e-12)


@given(RATIO)
def test_harm_and_benefit_are_mirror_images(ratio):
    assert e_value(1 / ratio) == pytest.approx(e_value(ratio), rel=1e-9)
    inverse = risk_ratio_of_hazard_ratio(1 / ratio)
    assert inverse * risk_ratio_of_hazard_ratio(ratio) == pytest.approx(1, rel=1e-12)


@given(RATIO)
def test_risk_ratios_of_common_outcomes_lie_between_no_effect_and_the_hazard_ratio(ratio):
    risk_ratio = risk_ratio_of_hazard_ratio(ratio)
    assert min(ratio, 1) - 1e-12 <= risk_ratio <= max(ratio, 1) + 1e-12
    assert e_value(risk_ratio) <= e_value(ratio) + 1e-9


@given(RATIO)
def test_two_associations_of_the_e_value_just_bound_the_effect(ratio):
    strength = e_value(ratio)
    assert bounding_factor(strength, strength) == pytest.approx(max(ratio, 1 / ratio), rel=1e-9)


@given(
    risks=st.lists(st.floats(0.01, 0.9), min_size=3, max_size=3),
    shares=st.lists(st.floats(0.05, 1), min_size=6, max_size=6),
)
def test_no_confounder_moves_a_risk_ratio_beyond_the_bounding_factor(risks, shares):
    # three levels of a confounder, no effect of treatment: all of the risk ratio is confounding
    risks = np.array(risks)
    treated, reference = (np.array(part) / np.sum(part) for part in (shares[:3], shares[3:]))
    observed = (treated @ risks) / (reference @ risks)
    bound = bounding_factor(max(treated / reference), max(risks) / min(risks))
    assert observed <= bound * (1 + 1e-12)


def test_no_effect_needs_no_confounding():
    found = hazard_ratio_e_value(1.0, 0.8, 1.25)
    assert found.e_value == 1
    assert found.e_value_limit == 1
    assert e_value(1.0) == 1


def test_infinite_limits_need_infinite_confounding_or_none():
    assert hazard_ratio_e_value(0.4, 0.0, 0.8).e_value_limit < math.inf
    assert hazard_ratio_e_value(0.4, 0.1, math.inf).e_value_limit == 1
    assert e_value(0.0) == e_value(math.inf) == math.inf
    assert risk_ratio_of_hazard_ratio(0.0) == 0
    assert risk_ratio_of_hazard_ratio(math.inf) == math.inf


def test_an_interval_of_no_width_is_its_estimate():
    found = hazard_ratio_e_value(0.5, 0.5, 0.5)
    assert found.e_value_limit == found.e_value > 1


@pytest.mark.parametrize(
    "arguments",
    [
        (0.5, 0.6, 0.8),  # estimate outside its limits
        (0.9, 0.6, 0.8),
        (0.7, 0.8, 0.6),  # limits the wrong way round
        (0.5, -0.1, 0.8),
        (0.0, 0.0, 0.8),
        (math.inf, 0.5, math.inf),
        (math.nan, 0.5, 0.8),
        (0.5, math.nan, 0.8),
    ],
)
def test_impossible_intervals_are_refused_in_one_sentence(arguments):
    with pytest.raises(SensitivityError, match="give 0 <= low <= hazard ratio <= high"):
        hazard_ratio_e_value(*arguments)


def test_impossible_ratios_are_refused():
    for wrong in (-1.0, math.nan):
        with pytest.raises(SensitivityError, match="0 or more"):
            e_value(wrong)
        with pytest.raises(SensitivityError, match="0 or more"):
            risk_ratio_of_hazard_ratio(wrong)
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(SensitivityError, match="above 0"):
            e_value(2.0, wrong)


def test_the_examples_of_the_page_print_what_it_says():
    page = Path(__file__).parents[2] / "docs" / "sensitivity_methods.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 15
    assert found.failed == 0
