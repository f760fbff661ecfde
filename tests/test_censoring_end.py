"""Administrative censoring: who is censored because the study ended did not drop out."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.errors import CohortError, SpecError
from bayes_crlm.intervals import exposure_per_interval
from bayes_crlm.sensitivity.completed_follow_up import complete_follow_up, leaving_rows
from bayes_crlm.spec import Spec


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
    few = np.full(inputs.intervals.n_intervals, -9.0)
    completed = complete_follow_up(
        inputs, few, np.zeros(1), rows, np.ones(len(rows)), float(table["time"].max()),
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
