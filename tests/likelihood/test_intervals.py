"""Intervals and compact follow-up against a rows x intervals table made the long way."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.likelihood.follow_up import (
    cumulative_hazard,
    cut_follow_up,
    exposure_per_interval,
    locate,
    row_cumulative_hazard,
)
from bayes_crlm.likelihood.intervals import (
    Intervals,
    automatic_number,
    choose_intervals,
    coarse_number,
)
from bayes_crlm.words.errors import CutpointError

REFERENCE = Path(__file__).parents[1] / "reference"


def long_table(entry, time, cutpoints):
    low, high = cutpoints[:-1], cutpoints[1:]
    return np.clip(np.minimum(time[:, None], high) - np.maximum(entry[:, None], low), 0.0, None)


@st.composite
def cohorts(draw):
    n = draw(st.integers(2, 25))
    whole = st.integers(1, 12)
    # whole times, so that many fall on cutpoints and tie
    time = np.array(draw(st.lists(whole, min_size=n, max_size=n)), dtype=float)
    share = draw(st.lists(st.sampled_from([0.0, 0.0, 0.25, 0.5]), min_size=n, max_size=n))
    event = np.array(draw(st.lists(st.integers(0, 1), min_size=n, max_size=n)))
    event[draw(st.integers(0, n - 1))] = 1
    return np.floor(time * np.array(share)), time, event


@given(cohorts(), st.sampled_from(["auto", 1, (3.0,), (2.0, 5.0)]))
def test_exposures_and_events_are_those_of_the_long_table(cohort, cutpoints):
    entry, time, event = cohort
    try:
        intervals = choose_intervals(entry, time, event, cutpoints)
    except CutpointError:
        assert not isinstance(cutpoints, str)
        return
    table = long_table(entry, time, intervals.cutpoints)
    np.testing.assert_allclose(intervals.exposure, table.sum(axis=0), atol=1e-12)
    assert intervals.exposure.sum() == pytest.approx((time - entry).sum())
    assert intervals.events.sum() == event.sum()
    assert np.all(intervals.width > 0)
    in_interval = (time[:, None] > intervals.cutpoints[:-1]) & (
        time[:, None] <= intervals.cutpoints[1:]
    )
    np.testing.assert_array_equal(intervals.events, (in_interval * event[:, None]).sum(axis=0))


@given(cohorts(), st.integers(0, 2**32 - 1))
def test_weighted_exposure_and_cumulative_hazard_are_those_of_the_long_table(cohort, seed):
    entry, time, event = cohort
    cutpoints = choose_intervals(entry, time, event).cutpoints
    follow_up = cut_follow_up(entry, time, cutpoints)
    rng = np.random.default_rng(seed)
    weights, log_hazard = rng.uniform(0.1, 3, len(time)), rng.normal(size=(3, len(cutpoints) - 1))
    table = long_table(entry, time, cutpoints)
    np.testing.assert_allclose(
        exposure_per_interval(follow_up, weights), weights @ table, atol=1e-10
    )
    np.testing.assert_allclose(
        row_cumulative_hazard(log_hazard[:, None], follow_up),
        np.exp(log_hazard) @ table.T,
        atol=1e-10,
    )


@pytest.mark.parametrize("name", ["veteran", "colon_early_recurrence", "ovarian"])
def test_a_number_of_intervals_cuts_at_event_time_quantiles(name):
    wanted = json.loads((REFERENCE / f"{name}.json").read_text())
    table = pd.read_csv(REFERENCE / f"{name}.csv")
    intervals = choose_intervals(
        np.zeros(len(table)), table["time"], table["event"], len(wanted["breaks"]) - 1
    )
    # the reference prints six digits
    np.testing.assert_allclose(intervals.cutpoints, wanted["breaks"], rtol=5e-6)
    assert intervals.events.tolist() == wanted["events_per_interval"]
    np.testing.assert_allclose(intervals.exposure, wanted["exposure_per_interval"], rtol=5e-6)


@pytest.mark.parametrize(
    ("events", "expected"), [(1, 1), (2, 1), (3, 1), (4, 2), (21, 10), (40, 20), (500, 20)]
)
def test_auto_gives_an_interval_for_two_events_and_at_most_20(events, expected):
    time = np.arange(1.0, events + 1)
    intervals = choose_intervals(np.zeros(events), time, np.ones(events), "auto")
    assert intervals.n_intervals == automatic_number(events) == expected


@pytest.mark.parametrize(
    ("events", "expected"), [(1, 1), (2, 2), (20, 3), (66, 6), (96, 8), (500, 12)]
)
def test_auto_gave_an_interval_per_twelve_events(events, expected):
    assert coarse_number(events) == expected


def test_intervals_without_events_stay():
    time = np.array([1.0, 2.0, 3.0, 9.0, 10.0])
    event = np.array([1, 1, 0, 0, 1])
    intervals = choose_intervals(np.zeros(5), time, event, (5.0, 8.0))
    assert intervals.cutpoints.tolist() == [0.0, 5.0, 8.0, 10.0]
    assert intervals.events.tolist() == [2, 0, 1]
    assert intervals.notes == ()


def test_intervals_that_end_before_anybody_is_at_risk_are_dropped_and_said():
    entry, time = np.array([4.0, 5.0, 6.0]), np.array([8.0, 9.0, 10.0])
    intervals = choose_intervals(entry, time, np.ones(3), (4.0, 9.0))
    assert intervals.cutpoints.tolist() == [0.0, 9.0, 10.0]
    assert intervals.notes == (
        "1 of 3 intervals had an end before anybody is at risk (from 4) and was dropped: "
        "2 intervals are fitted",
    )


def test_a_gap_in_which_nobody_is_at_risk_is_named_and_has_no_exposure():
    entry = np.array([0.0, 0.1, 5.3, 5.7])
    time = np.array([0.7, 1.1, 6.1, 7.0])
    intervals = choose_intervals(entry, time, np.array([1, 1, 1, 1]), (1.1, 3.3, 5.3))
    assert intervals.exposure[1:3].tolist() == [0.0, 0.0]
    assert intervals.events.tolist() == [2, 0, 0, 2]
    assert intervals.notes == (
        "nobody is at risk in (1.1, 3.3], (3.3, 5.3]: the survival curve there follows the "
        "baseline prior alone",
    )


@given(cohorts(), st.lists(st.floats(0.01, 11.99), max_size=3, unique=True))
def test_the_intervals_with_somebody_at_risk_are_those_with_exposure(cohort, inner):
    entry, time, event = cohort
    inner = sorted(each for each in inner if each < time.max())[: int(event.sum()) - 1]
    chosen = choose_intervals(entry, time, event, inner)
    edges = chosen.cutpoints
    spent = np.clip(
        np.minimum(time[:, None], edges[1:]) - np.maximum(entry[:, None], edges[:-1]), 0, None
    ).sum(axis=0)
    np.testing.assert_allclose(chosen.exposure, spent, atol=1e-9)
    assert ((chosen.exposure == 0) == (spent == 0)).all()
    assert np.any(spent == 0) == any("nobody is at risk in" in note for note in chosen.notes)


@pytest.mark.parametrize(
    ("cutpoints", "words"),
    [
        ((5.0, 3.0), "3 follows 5"),
        ((3.0, 3.0), "3 follows 3"),
        ((-1.0, 3.0), "-1 is negative"),
        ((3.0, 99.0), "99 lies beyond the last follow-up time 10"),
        ((float("nan"),), "finite"),
        (6, "6 intervals for 5 events"),
        (0, "at least 1"),
        (True, "not a number of intervals"),
        ("many", "'many' is not understood"),
        ((1.0, 2.0, 3.0, 4.0, 5.0), "6 intervals for 5 events"),
    ],
)
def test_impossible_cutpoints_are_refused(cutpoints, words):
    time = np.array([2.0, 4.0, 6.0, 8.0, 10.0])
    with pytest.raises(CutpointError, match=words):
        choose_intervals(np.zeros(5), time, np.ones(5), cutpoints)


@given(cohorts(), st.integers(1, 6))
def test_fewer_intervals_than_asked_for_are_never_fitted_in_silence(cohort, asked):
    entry, time, event = cohort
    asked = min(asked, int(event.sum()))
    chosen = choose_intervals(entry, time, event, asked)
    assert chosen.cutpoints[0] == 0
    assert chosen.cutpoints[-1] == time.max()
    assert np.all(chosen.width > 0)
    assert (chosen.n_intervals < asked) == any("dropped" in note for note in chosen.notes)


@given(cohorts())
def test_a_time_on_a_cutpoint_belongs_to_the_interval_that_ends_there(cohort):
    _, time, _ = cohort
    cutpoints = np.array([0.0, 2.0, 3.0, 7.0, 12.0])
    interval, within = locate(time, cutpoints)
    assert np.all(time > cutpoints[interval])
    assert np.all(time <= cutpoints[interval + 1])
    np.testing.assert_array_equal(cutpoints[interval] + within, time)
    follow_up = cut_follow_up(np.zeros(len(time)), time, cutpoints)
    np.testing.assert_array_equal(follow_up.stop_interval, interval)


def test_quantiles_that_tied_event_times_make_equal_are_dropped_and_said():
    time = np.array([5.0, 5.0, 5.0, 5.0, 8.0])
    chosen = choose_intervals(np.zeros(5), time, np.ones(5), 4)
    assert chosen.cutpoints.tolist() == [0, 5, 8]
    assert chosen.notes == (
        "2 of 4 intervals had no width, since cutpoints fall on the same time, and were dropped: "
        "2 intervals are fitted",
    )


def test_a_given_list_may_spell_out_both_ends():
    time, event = np.arange(1.0, 11.0), np.ones(10)
    for given_list in ([3, 6], [0, 3, 6], [3, 6, 10], (0.0, 3.0, 6.0, 10.0), np.array([3, 6])):
        chosen = choose_intervals(np.zeros(10), time, event, given_list)
        assert chosen.cutpoints.tolist() == [0, 3, 6, 10]
        assert chosen.labels == ["(0, 3]", "(3, 6]", "(6, 10]"]
        assert chosen.width.tolist() == [3, 3, 4]
        assert chosen.notes == ()
    assert choose_intervals(np.zeros(10), time, event, []).cutpoints.tolist() == [0, 10]


def test_without_events_there_is_nothing_to_cut():
    with pytest.raises(CutpointError, match="no events"):
        choose_intervals(np.zeros(3), np.ones(3), np.zeros(3), "auto")


def test_cumulative_hazard_starts_at_zero_and_adds_up():
    hazard, width = np.array([[1.0, 2.0, 3.0], [0.5, 0.0, 1.0]]), np.array([2.0, 1.0, 4.0])
    np.testing.assert_array_equal(cumulative_hazard(hazard, width), [[0, 2, 4], [0, 1, 1]])


def test_labels_differ_however_close_the_cutpoints():
    time = np.array([86_400_000.3, 86_400_000.6, 86_400_001.0])
    chosen = choose_intervals(np.zeros(3), time, np.ones(3), [86_400_000.3, 86_400_000.6])
    assert chosen.labels == [
        "(0, 86400000.3]",
        "(86400000.3, 86400000.6]",
        "(86400000.6, 86400001]",
    ]


def test_labels_of_long_times_have_no_exponents_and_are_told_apart():
    times = np.array([1_000_000.0, 1_000_000.5, 36_500_000.0])
    found = Intervals(np.concatenate([[0.0], times]), np.ones(3, dtype=np.int64), np.ones(3)).labels
    assert found == ["(0, 1000000]", "(1000000, 1000000.5]", "(1000000.5, 36500000]"]
