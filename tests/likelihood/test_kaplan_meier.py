"""Kaplan-Meier: R's numbers, the product-limit by hand, and what splitting must not change."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_crlm.likelihood.kaplan_meier import kaplan_meier


def bundled(name, time, event):
    from survival import datasets

    columns = getattr(datasets, f"load_{name}")()
    return np.asarray(columns[time]), np.asarray(columns[event])


def test_the_first_leukemia_arm_by_hand():
    # Acute myelogenous leukemia, maintained arm (Miller 1997, table 1.1; R: survfit on aml):
    # 9, 13, 13+, 18, 23, 28+, 31, 34, 45+, 48, 161+; survival .909 .818 .716 .614 .491 .368 .184,
    # median 31 (18, not reached).
    time = np.array([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161.0])
    event = np.array([1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0])
    curve = kaplan_meier(np.zeros(11), time, event)
    at_events = curve.survival[curve.n_event > 0]
    assert np.allclose(at_events, [0.909, 0.818, 0.716, 0.614, 0.491, 0.368, 0.184], atol=5e-4)
    assert curve.median()[:2] == (31, 18) and np.isnan(curve.median()[2])
    # R's log-scale limits at 9 and 13: (0.7541, 1) and (0.6192, 1).
    assert np.allclose(curve.lower[:2], [0.7541, 0.6192], atol=5e-5)
    assert np.array_equal(curve.number_at_risk([0, 9, 13, 14, 161, 162]), [11, 11, 10, 8, 1, 0])


def test_ovarian_median_agrees_with_r():
    # R: survfit(Surv(futime, fustat) ~ 1, ovarian): 26 patients, 12 events, median 638, 464 to NA.
    time, event = bundled("ovarian", "futime", "fustat")
    curve = kaplan_meier(np.zeros_like(time), time, event)
    assert curve.median()[:2] == (638, 464) and np.isnan(curve.median()[2])
    assert (curve.n_event.sum(), curve.n_censor.sum()) == (12, 14)


@st.composite
def follow_up(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 40))
    time = rng.integers(1, 20, n).astype(float)
    entry = np.floor(time * rng.random(n)) * draw(st.booleans())
    return entry, time, rng.integers(0, 2, n)


@settings(max_examples=80, deadline=None)
@given(rows=follow_up())
def test_equals_the_product_limit_and_greenwoods_variance(rows):
    entry, time, event = rows
    curve = kaplan_meier(entry, time, event)
    assert np.array_equal(curve.times, np.unique(time))
    survival, greenwood = 1.0, 0.0
    for k, now in enumerate(curve.times):
        if survival == 0:
            # all have died: the curve starts again, given survival to the next entry
            survival, greenwood = 1.0, 0.0
        at_risk = np.sum((entry < now) & (time >= now))
        died = np.sum((time == now) & (event == 1))
        survival *= 1 - died / at_risk
        greenwood += died / (at_risk * (at_risk - died)) if at_risk > died else np.inf
        assert curve.n_risk[k] == curve.number_at_risk([now])[0] == at_risk
        assert curve.n_event[k] == died
        assert curve.n_censor[k] == np.sum((time == now) & (event == 0))
        assert curve.survival[k] == pytest.approx(survival, abs=1e-12)
        if survival > 0:
            width = np.exp(1.959963984540054 * np.sqrt(greenwood))
            assert curve.lower[k] == pytest.approx(survival / width, rel=1e-9)
            assert curve.upper[k] == pytest.approx(min(1.0, survival * width), rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(rows=follow_up(), cut=st.integers(0, 19))
def test_splitting_follow_up_changes_nothing(rows, cut):
    entry, time, event = rows
    cut = cut + 0.37
    inside = (entry < cut) & (cut < time)
    patient = np.arange(time.size)
    split = (
        np.concatenate([entry, np.full(inside.sum(), cut)]),
        np.concatenate([np.where(inside, cut, time), time[inside]]),
        np.concatenate([np.where(inside, 0, event), event[inside]]),
        np.concatenate([patient, patient[inside]]),
    )
    curve, other = kaplan_meier(*rows), kaplan_meier(*split)
    times = np.unique(time)
    assert np.allclose(other.at(times), curve.at(times), atol=1e-12)
    assert np.array_equal(other.median(), curve.median(), equal_nan=True)
    assert np.array_equal(other.number_at_risk(times), curve.number_at_risk(times))


def test_a_row_that_the_patient_continues_is_not_a_censoring():
    rows = [0.0, 2.0, 0.0], [2.0, 5.0, 4.0], [0, 1, 1]
    by_patient = kaplan_meier(*rows, patient_index=[0, 0, 1])
    by_row = kaplan_meier(*rows)
    assert by_patient.n_censor.sum() == 0 and by_row.n_censor.sum() == 1
    assert np.allclose(by_patient.at([2, 4, 5]), [1, 0.5, 0])
    assert np.allclose(by_row.at([2, 4, 5]), [1, 0.5, 0])


def test_a_curve_at_one_half_has_its_median_in_the_middle():
    curve = kaplan_meier(np.zeros(4), [1.0, 2.0, 3.0, 4.0], [1, 1, 1, 1])
    assert curve.median()[0] == 2.5


def test_a_median_that_is_not_reached_is_nan_and_the_curve_ends_with_follow_up():
    curve = kaplan_meier(np.zeros(5), [1.0, 2, 3, 4, 5], [1, 0, 0, 0, 0])
    assert np.isnan(curve.median()[0])
    assert np.allclose(curve.at([0, 0.9, 1, 5]), [1, 1, 0.8, 0.8])
    assert np.isnan(curve.at([5.1])[0])
    ended = kaplan_meier(np.zeros(2), [1.0, 2.0], [1, 1])
    assert ended.at([3.0])[0] == 0


def test_a_curve_that_died_out_early_starts_again_after_the_gap():
    entry, time = [0.0, 0.0, 3.0, 3.0, 4.0], [1.0, 2.0, 6.0, 5.0, 8.0]
    curve = kaplan_meier(entry, time, [1, 1, 1, 0, 0])
    assert curve.restarts == (3.0,)
    # two at risk at 6, one dies: one half of those who were alive at 3
    assert np.allclose(curve.at([0, 1, 2, 2.5, 3, 5, 6, 8]), [1, 0.5, 0, 0, 1, 1, 0.5, 0.5])
    late = kaplan_meier(entry[2:], time[2:], [1, 0, 0])
    assert np.allclose(curve.survival[2:], late.survival)
    assert np.allclose(curve.lower[2:], late.lower) and np.allclose(curve.upper[2:], late.upper)
    assert np.array_equal(curve.n_risk, [2, 1, 3, 2, 1])
    # the median is that of those who were there first, as in R
    assert curve.median()[0] == 1.5


@settings(max_examples=60, deadline=None)
@given(rows=follow_up(), origin=st.integers(0, 12))
def test_a_curve_given_survival_to_an_origin_is_the_ratio_of_the_curve_from_0(rows, origin):
    time = rows[1]
    if not np.any(time > origin):
        return
    whole, given = kaplan_meier(*rows), kaplan_meier(*rows, origin=float(origin))
    at_origin = whole.at([origin])[0]
    if whole.restarts or given.restarts or not at_origin > 0:
        return
    times = np.unique(time[time > origin])
    assert np.allclose(given.at(times), whole.at(times) / at_origin, atol=1e-12)
    assert given.at([origin])[0] == 1 and np.isnan(given.at([origin - 0.5])[0])
    after = times[times > origin]
    assert np.array_equal(given.number_at_risk(after), whole.number_at_risk(after))


def test_times_that_differ_by_rounding_are_one_time():
    curve = kaplan_meier(np.zeros(3), [0.1 + 0.2, 0.3, 1.0], [1, 1, 1])
    assert np.array_equal(curve.n_event, [2, 1])
