"""Times that differ by rounding alone are one time, in everything that sees them."""

from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest
from hypothesis import given

from bayes_crlm import fit_many, stack_cohorts
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.tied_times import one_time_each, onto, short_times_once
from bayes_crlm.words.errors import CohortError


def differences(n=130, seed=1):
    """Years as differences of ages with one decimal, and the same rounded."""
    rng = np.random.default_rng(seed)
    diagnosis = np.round(rng.uniform(40, 80, n), 1)
    years = np.round(np.maximum(rng.exponential(0.6, n), 0.1), 1)
    death = np.round(diagnosis + years, 1)
    table = pd.DataFrame({"years": death - diagnosis, "death": 1, "arm": np.arange(n) % 2})
    return table, table.assign(years=table["years"].round(1))


@pytest.mark.parametrize("seed", range(3))
def test_differences_of_decimals_are_the_decimals(seed):
    raw, exact = differences(seed=seed)
    assert (raw["years"] != exact["years"]).any()
    cohorts = [read_cohort(each, time="years", event="death") for each in (raw, exact)]
    assert cohorts[0].time.tolist() == cohorts[1].time.tolist()
    inputs = [PiecewiseExponential("arm", 0, cutpoints=11).prepare(each) for each in cohorts]
    assert inputs[0].intervals.cutpoints.tolist() == inputs[1].intervals.cutpoints.tolist()
    assert (inputs[0].intervals.width > 0.09).all()


@given(
    st.lists(st.integers(1, 400), min_size=2, max_size=30),
    st.integers(0, 3),
    st.sampled_from([1.0, 30.0, 2000.0]),
)
def test_sums_of_decimals_are_the_decimal_whatever_they_were_added_to(steps, digits, far):
    unit = Decimal(1).scaleb(-digits)
    right = np.array([float(step * unit) for step in steps])
    noisy = (far + right) - far
    (merged,) = one_time_each(noisy)
    # a million times as large as the largest, and the noise is a digit
    if far <= 1000 * right.max():
        assert merged.tolist() == right.tolist()


@given(st.lists(st.floats(1e-3, 1e3), min_size=1, max_size=40), st.randoms())
def test_merging_keeps_the_order_and_ignores_the_order_of_rows(values, random):
    shuffled = list(values)
    random.shuffle(shuffled)
    (one,), (other,) = one_time_each(values), one_time_each(shuffled)
    assert sorted(one) == sorted(other)
    order = np.argsort(values, kind="stable")
    assert (np.diff(one[order]) >= 0).all()
    assert np.allclose(one, values, rtol=0, atol=40 * 1.5e-8 * np.mean(np.abs(values)))


@given(st.lists(st.floats(0.1, 100), min_size=2, max_size=30))
def test_times_that_are_apart_keep_every_digit_or_lose_rounding_error_alone(values):
    values = np.unique(values)
    if (np.diff(values) > 1e-5).all():
        (merged,) = one_time_each(values)
        assert np.abs(merged - values).max() <= 1e-12 * values.max()


def test_what_is_not_finite_stays():
    (merged,) = one_time_each([0.1 + 0.2, np.nan, np.inf, 0.3])
    assert merged[0] == merged[3] == 0.3
    assert np.isnan(merged[1])
    assert np.isinf(merged[2])


def test_entries_tie_with_the_ends_of_rows():
    table = pd.DataFrame(
        {"patient": [1, 1, 2, 3], "start": [0, 0.3, 0, 0.1 + 0.2], "stop": [0.1 + 0.2, 1, 2, 1.5],
         "death": [0, 1, 1, 0]}
    )  # fmt: skip
    cohort = read_cohort(table, time="stop", event="death", entry="start", id="patient")
    assert cohort.entry.tolist() == [0, 0.3, 0, 0.3]
    assert cohort.time.tolist() == [0.3, 1, 2, 1.5]


def test_a_row_that_rounding_leaves_without_width_is_refused_by_its_row_in_the_file():
    table = pd.DataFrame(
        {"centre": list("ABBBB"), "start": [0, 0, 0.3, 0, 0], "stop": [5, 4, 0.1 + 0.2, 3, 2],
         "death": [1, 1, 1, 1, 0]}
    )  # fmt: skip
    where = [{"column": "centre", "op": "==", "value": "B"}]
    with pytest.raises(CohortError, match=r"DataFrame: .*rounding of the times in row 3 "):
        read_cohort(table, time="stop", event="death", entry="start", where=where)


def test_a_very_short_first_day_is_a_time_where_no_row_enters_late():
    rng = np.random.default_rng(1)
    time = np.append(np.round(rng.exponential(900, 59)) + 1, 0.000001)
    table = pd.DataFrame({"time": time, "event": 1, "arm": np.arange(60) % 2})
    fit = PiecewiseExponential("arm", 0).fit(
        read_cohort(table, time="time", event="event"), engine="laplace", seed=1, draws=250
    )
    # R's coxph takes such a time for a time: here it ranks first, as any short one would
    ranked = PiecewiseExponential("arm", 0).fit(
        read_cohort(table.assign(time=np.maximum(time, 0.5)), time="time", event="event"),
        engine="laplace", seed=1, draws=250,
    )  # fmt: skip
    assert fit.cox.coef == pytest.approx(ranked.cox.coef, abs=1e-10)
    assert np.isfinite(fit.hazard_ratios()["median"]).all()


def test_a_column_used_as_a_time_ties_with_the_cohort():
    raw, _ = differences()
    raw["started"] = raw["years"].to_numpy()[::-1]
    cohort = read_cohort(raw, time="years", event="death")
    started = cohort.times_of("started")
    assert set(started) == set(cohort.time)
    table = raw.assign(started=raw["started"] / 2, arm=1)
    table.loc[0, "started"] = table.loc[1, "years"] + 1e-13
    start = read_cohort(table, time="years", event="death", treatment_start="started").start
    assert start[0] == cohort.time[1]
    assert onto([0.2 + 1e-12, 7.5], [0.1, 0.2, 0.3]).tolist() == [0.2, 7.5]


NARROW = {
    "time": "float32",
    "entry": "float32",
    "start": "float32",
    "all": "float32",
    "nullable": "Float32",
    "arrow": "float[pyarrow]",
}


def late_starts(n=80, seed=5):
    """Tenths of a year: entries, starts of treatment and ends that often tie."""
    rng = np.random.default_rng(seed)
    end = rng.integers(2, 60, n)
    arm = np.arange(n) % 2
    start = np.where(arm == 1, np.minimum(rng.integers(1, 20, n), end - 1) / 10, np.nan)
    entry = np.where(np.arange(n) % 3 == 0, np.minimum(end - 1, 7), 0) / 10
    event = rng.integers(0, 2, n)
    return pd.DataFrame(
        {"time": end / 10, "entry": entry, "start": start, "event": event, "arm": arm}
    )


@pytest.mark.parametrize("kind", NARROW)
def test_numbers_of_32_bits_are_the_decimals_that_were_stored(kind):
    """Stata's and Parquet's float: 1.2 is 1.2000000476837158 there, no time after 1.2."""
    table = late_starts()
    columns = [kind] if kind in table.columns else ["time", "entry", "start"]
    narrow = table.astype(dict.fromkeys(columns, NARROW[kind]))
    one, other = (
        read_cohort(each, time="time", event="event", entry="entry", treatment_start="start")
        for each in (table, narrow)
    )
    assert other.time.tolist() == one.time.tolist()
    assert other.entry.tolist() == one.entry.tolist()
    np.testing.assert_array_equal(other.start, one.start)
    np.testing.assert_array_equal(other.times_of("start"), one.times_of("start"))
    assert len(other.where([{"column": "time", "op": "<=", "value": 1.2}]).table) == len(
        one.where([{"column": "time", "op": "<=", "value": 1.2}]).table
    )


def test_many_fits_take_numbers_of_32_bits_for_their_decimals():
    table = late_starts()
    narrow = table.astype(dict.fromkeys(("time", "entry"), "float32"))
    model = PiecewiseExponential("arm", 0, cutpoints=[1.2, 3.6], baseline="gamma")
    stacks = [
        stack_cohorts(
            each.assign(cohort=0), cohort="cohort", time="time", event="event", entry="entry"
        )
        for each in (table, narrow)
    ]
    found = [fit_many(model, each, 1, draws=500) for each in stacks]
    cohorts = [
        read_cohort(each, time="time", event="event", entry="entry") for each in (table, narrow)
    ]
    found += [fit_many(model, cohorts[k : k + 1], 1, draws=500) for k in range(2)]
    pd.testing.assert_frame_equal(found[2].terms, found[3].terms, check_exact=True)
    pd.testing.assert_frame_equal(found[0].terms, found[1].terms, check_exact=True)


@pytest.mark.parametrize("seed", range(3))
def test_differences_in_32_bits_are_the_decimals(seed):
    rng = np.random.default_rng(seed)
    n = 120
    birth = np.round(rng.uniform(40, 80, n), 1)
    years = np.round(np.maximum(rng.exponential(0.6, n), 0.1), 1)
    death = np.round(birth + years, 1)
    short = death.astype("float32") - birth.astype("float32")
    assert np.abs(short - years).max() > 1e-6
    table = pd.DataFrame({"years": short, "death": 1, "arm": np.arange(n) % 2})
    cohorts = [
        read_cohort(each, time="years", event="death")
        for each in (table, table.assign(years=years))
    ]
    assert len(np.unique(cohorts[0].time)) == len(np.unique(cohorts[1].time))
    assert cohorts[0].time == pytest.approx(cohorts[1].time, abs=1e-5)
    inputs = [PiecewiseExponential("arm", 0).prepare(each) for each in cohorts]
    assert inputs[0].intervals.n_intervals == inputs[1].intervals.n_intervals


def test_many_times_in_32_bits_stay_apart():
    times = np.random.default_rng(1).uniform(0, 10, 200_000).astype("float32")
    (found,) = short_times_once(times)
    assert found.tolist() == times.astype(float).tolist()


def test_days_on_the_age_scale_stay_apart_in_32_bits():
    days = np.arange(14_000, 36_600)
    (found,) = short_times_once((days / 365.25).astype("float32"))
    assert len(np.unique(found)) == len(days)
