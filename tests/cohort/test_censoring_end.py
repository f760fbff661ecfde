"""Administrative censoring: who is censored because the study ended did not drop out."""

import datetime
import tomllib

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cli.terminal import censoring_in_words
from bayes_crlm.likelihood.follow_up import exposure_per_interval
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.sensitivity.missing.completed_follow_up import complete_follow_up, leaving_rows
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import CohortError, SpecError


def table_of(n=40):
    rng = np.random.default_rng(5)
    end = rng.uniform(20, 40, n).round(1)
    death, leave = rng.exponential(30, n).round(1) + 0.1, rng.exponential(60, n).round(1) + 0.1
    time = np.minimum.reduce([death, leave, end])
    return pd.DataFrame(
        {"time": time, "dead": (time == death).astype(int), "end": end, "arm": np.arange(n) % 2}
    )


def cohort_of(table, **options):
    return read_cohort(table, time="time", event="dead", **options)


def test_only_those_censored_before_the_end_are_dropouts():
    table = table_of()
    inputs = PiecewiseExponential("arm", 0, cutpoints=2).prepare(
        cohort_of(table, censoring_end="end")
    )
    leaving = leaving_rows(inputs, None, float(table["time"].max()))
    is_lost = (table["dead"] == 0) & (table["time"] < table["end"])
    assert leaving.tolist() == np.flatnonzero(is_lost).tolist()
    at_end = (table["dead"] == 0) & (table["time"] == table["end"])
    assert inputs.cohort.is_administrative.tolist() == at_end.tolist()
    assert at_end.any() and is_lost.any()


def test_follow_up_is_completed_to_the_end_of_the_study_at_most():
    table = table_of()
    inputs = PiecewiseExponential("arm", 0, cutpoints=2).prepare(
        cohort_of(table, censoring_end="end")
    )
    rows = leaving_rows(inputs, None, float(table["time"].max()))
    few = LogHazards(np.full((1, 1, inputs.intervals.n_intervals), -9.0), np.zeros((1, 1)))
    completed = complete_follow_up(
        inputs, few, rows, np.ones(len(rows)), float(table["time"].max()),
        np.full(len(rows), 0.5),
    )  # fmt: skip
    is_completed = np.isin(np.arange(len(table)), rows).astype(float)
    exposure = exposure_per_interval(completed.data.follow_up, is_completed).sum()
    expected = np.minimum(table["end"].to_numpy()[rows], table["time"].max())
    assert exposure == pytest.approx(expected.sum())


def test_a_subtraction_does_not_hide_that_the_study_ended():
    table = table_of()
    shifted = table.assign(end=(table["end"] + 0.1) - 0.1)
    expected = cohort_of(table, censoring_end="end").is_administrative
    assert cohort_of(shifted, censoring_end="end").is_administrative.tolist() == expected.tolist()


def test_follow_up_beyond_the_end_is_refused_by_row():
    table = table_of()
    table.loc[3, "end"] = table.loc[3, "time"] - 1
    with pytest.raises(CohortError, match=r"time lies after censoring_end .* row 4"):
        cohort_of(table, censoring_end="end")


def test_an_empty_end_is_not_known():
    table = table_of()
    table["end"] = np.nan
    assert not cohort_of(table, censoring_end="end").is_administrative.any()


def test_a_missing_column_is_named():
    with pytest.raises(CohortError, match="did you mean 'end'"):
        cohort_of(table_of(), censoring_end="ende")


def test_the_key_is_one_of_the_spec():
    tables = {
        "title": "t",
        "data": {"source": "a.csv", "time": "t", "event": "e", "censoring_end": "end"},
        "model": {"treatment": "x", "reference": 0},
    }
    assert 'censoring_end = "end"' in Spec.from_mapping(tables).to_toml()
    tables["data"]["censoring_end"] = "t"
    with pytest.raises(SpecError, match="time and censoring_end are both 't'"):
        Spec.from_mapping(tables)


# --- a date -------------------------------------------------------------------------------------


def dated(hour=0):
    """Five patients with dates; the study ended on 2020-12-31."""
    begin = pd.to_datetime(["2020-01-01", "2020-03-01", "2020-05-01", "2020-07-01", "2020-09-01"])
    stop = pd.to_datetime(["2020-12-31", "2020-06-01", "2020-12-30", "2020-12-31", "2020-12-31"])
    return pd.DataFrame(
        {"from": begin, "to": stop + pd.Timedelta(hours=hour), "dead": [0, 0, 0, 1, 0],
         "arm": [0, 1, 0, 1, 1]}
    )  # fmt: skip


def dated_cohort(table, end, **options):
    return read_cohort(
        table, time={"start": "from", "end": "to"}, event="dead", unit="days", censoring_end=end,
        **options,
    )  # fmt: skip


@pytest.mark.parametrize(
    "end",
    [
        "2020-12-31", datetime.date(2020, 12, 31), datetime.datetime(2020, 12, 31),
        pd.Timestamp("2020-12-31"), np.datetime64("2020-12-31"),
    ],
)  # fmt: skip
def test_a_date_is_the_end_of_the_study_for_everybody(end):
    cohort = dated_cohort(dated(), end)
    assert cohort.is_administrative.tolist() == [True, False, False, False, True]
    column = dated_cohort(dated().assign(end=pd.Timestamp("2020-12-31")), "end")
    assert cohort.censoring_end.tolist() == column.censoring_end.tolist()
    assert cohort.censoring_end_column == "2020-12-31"


def test_the_last_day_belongs_to_the_study_unless_an_hour_is_given():
    cohort = dated_cohort(dated(hour=15), "2020-12-31")
    assert cohort.is_administrative.tolist() == [True, False, False, False, True]
    with pytest.raises(CohortError, match=r"censoring_end \(2020-12-31 12:00:00\) in rows 1"):
        dated_cohort(dated(hour=15), "2020-12-31 12:00")


def test_follow_up_after_the_date_is_refused_by_row():
    with pytest.raises(CohortError, match=r"censoring_end \(2020-12-30\) in rows 1"):
        dated_cohort(dated(), "2020-12-30")


@pytest.mark.parametrize("end", ["2020-02-30", 7, True, pd.NaT, float("nan")])
def test_what_is_no_date_is_refused(end):
    with pytest.raises(CohortError, match="censoring_end"):
        dated_cohort(dated(), end)


def test_a_date_needs_times_that_are_dates():
    with pytest.raises(CohortError, match=r"censoring_end is a date \(2020-12-31\), but time is"):
        cohort_of(table_of(), censoring_end="2020-12-31")


@pytest.mark.parametrize("end", ["2020-12-31", datetime.date(2020, 12, 31)])
def test_a_spec_keeps_the_date(tmp_path, end):
    table = pd.concat([dated()] * 3)
    table.to_csv(tmp_path / "cohort.csv", index=False)
    spec = Spec.from_mapping(
        {
            "title": "Dates",
            "data": {
                "source": str(tmp_path / "cohort.csv"),
                "time": {"start": "from", "end": "to"},
                "event": "dead",
                "unit": "days",
                "censoring_end": end,
            },
            "model": {"treatment": "arm", "reference": 0},
        }
    )
    plan = plan_analysis(spec)
    assert "censoring_end = 2020-12-31" in plan.spec.to_toml()
    again = plan_analysis(Spec.from_mapping(tomllib.loads(plan.spec.to_toml())))
    assert again.inputs.cohort.is_administrative.sum() == 6
    assert ("censored", "6 at the end of the study (2020-12-31), 6 before it") in (
        censoring_in_words(again)
    )
