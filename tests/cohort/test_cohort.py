"""Tables to cohorts: what the numbers add up to, and one sentence for all that is wrong."""

import datetime
import subprocess
import sys
import time as clock
from decimal import Decimal
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyreadstat
import pytest
from hypothesis import HealthCheck, given, settings

from bayes_crlm.cohort.arguments import CohortArguments
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.outcome.follow_up import events_of, numbers_of
from bayes_crlm.cohort.outcome.outcome import read_outcome
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import BayesCRLMError, CohortError

ROLES = {"time": "months", "event": "death"}
ROWS = {**ROLES, "entry": "start", "id": "patient"}


def table(n=10):
    """One row per patient."""
    return pd.DataFrame(
        {
            "patient": [f"P{k}" for k in range(n)],
            "months": np.arange(1, n + 1) / 2,
            "death": [0, 1] * (n // 2),
            "age": np.arange(50.0, 50 + n),
            "arm": ["local", "systemic"] * (n // 2),
        }
    )


def several_rows():
    """Patient A has three rows with a gap, in no order; B enters late."""
    return pd.DataFrame(
        {
            "patient": ["A", "B", "A", "C", "A"],
            "start": [5.0, 2, 0, 0, 2],
            "months": [9.0, 7, 2, 4, 4],
            "death": [1, 0, 0, 1, 0],
            "arm": ["local", "local", "none", "none", "none"],
        }
    )


def refusal(source, **options):
    """Give the one line with which a table is refused."""
    with pytest.raises(CohortError) as caught:
        read_cohort(source, **{**ROLES, **options})
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 4000
    return message


def with_cell(column, row, value, frame=None):
    """Give a table with one cell changed, whatever its column's type."""
    frame = table() if frame is None else frame
    cells = frame[column].astype(object).tolist()
    cells[row - 1] = value
    return frame.assign(**{column: pd.Series(cells, dtype=object)})


# --- what is read -----------------------------------------------------------------------------


def test_one_row_per_patient():
    cohort = read_cohort(table(), **ROLES, unit="months")
    assert (cohort.n_patients, cohort.n_rows, cohort.n_events) == (10, 10, 5)
    assert cohort.exposure == 27.5
    assert cohort.patients.tolist() == list(range(1, 11))
    assert cohort.row_number.tolist() == list(range(1, 11))
    assert cohort.patient_index.tolist() == list(range(10))
    assert not cohort.entry.any()
    assert (cohort.event.dtype, cohort.time.dtype) == (np.int8, np.float64)
    assert (cohort.source, cohort.is_synthetic, cohort.unit) == ("DataFrame", False, "months")
    assert len(cohort.sha256) == 64


def test_several_rows_per_patient():
    cohort = read_cohort(several_rows(), **ROWS)
    assert cohort.patients.tolist() == ["A", "B", "C"]
    assert cohort.patient_index.tolist() == [0, 1, 0, 2, 0]
    assert cohort.exposure == 4 + 5 + 2 + 4 + 2
    assert cohort.n_events == 2
    assert cohort.time.tolist() == [9, 7, 2, 4, 4]


def test_a_cohort_does_not_change():
    frame = table()
    cohort = read_cohort(frame, **ROLES)
    for array in (cohort.time, cohort.entry, cohort.event, cohort.patients, cohort.patient_index):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        cohort.unit = "days"
    frame.loc[0, "months"] = 99
    assert cohort.table.loc[0, "months"] == 0.5
    assert cohort.time[0] == 0.5


def test_repr_is_one_line_with_the_counts():
    text = repr(read_cohort(several_rows(), **ROWS, unit="months"))
    assert text == "<Cohort DataFrame: 3 patients in 5 rows, 2 events in 17 months of follow-up>"


def test_synthetic_data_set_is_labelled_also_under_another_name(tmp_path):
    from importlib.resources import files

    options = {"time": "os_months", "event": "death", "id": "patient"}
    cohort = read_cohort("crlm-synthetic", **options)
    assert cohort.is_synthetic
    assert cohort.unit == "months"
    assert "synthetic, not patient data" in repr(cohort)
    [shipped] = [
        each
        for each in files("bayes_crlm.datasets").iterdir()
        if each.name.replace("_", "-") == "crlm-synthetic.csv"
    ]
    (tmp_path / "mine.csv").write_bytes(shipped.read_bytes())
    copy = read_cohort(tmp_path / "mine.csv", **options)
    assert copy.is_synthetic
    assert copy.sha256 == cohort.sha256


@pytest.mark.parametrize(
    "events",
    [
        [True, False, True],
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["1", "0", "1"],
        ["TRUE", "false", " True "],
        [True, 0, "1"],
        pd.array([1, 0, 1], dtype="Int64"),
        pd.array([True, False, True], dtype="boolean"),
        pd.array(["true", "false", "true"], dtype="string"),
        pd.Categorical([1, 0, 1]),
        pd.Categorical(["1", "0", "1"]),
        [Decimal(1), Decimal(0), Decimal(1)],
        pd.array([1, 0, 1], dtype="int64[pyarrow]"),
        pd.array([True, False, True], dtype="bool[pyarrow]"),
    ],
)
def test_events_may_be_written_in_many_ways(events):
    cohort = read_cohort(pd.DataFrame({"months": [1, 2, 3], "death": events}), **ROLES)
    assert cohort.event.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "times",
    [
        [1, 2.5, 3],
        ["1", "2.5", "3"],
        [1, "2.5", Decimal(3)],
        pd.array([1, 2.5, 3], dtype="Float64"),
        pd.array([1, 2.5, 3], dtype="float32"),
        pd.Categorical([1, 2.5, 3]),
        pd.array([1, 2.5, 3], dtype="double[pyarrow]"),
    ],
)
def test_times_may_be_of_many_types(times):
    cohort = read_cohort(pd.DataFrame({"months": times, "death": [1, 0, 1]}), **ROLES)
    assert cohort.time.tolist() == [1, 2.5, 3]


def test_every_format_gives_the_same_cohort(tmp_path):
    frame = several_rows().assign(patient=[101, 102, 101, 103, 101])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "rows.csv.gz", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_excel(tmp_path / "rows.xlsx", index=False)
    frame.to_stata(tmp_path / "rows.dta", write_index=False)
    labels = {"death": {0: "alive", 1: "dead"}, "patient": {101: "a", 102: "b", 103: "c"}}
    pyreadstat.write_sav(frame, tmp_path / "rows.sav", variable_value_labels=labels)
    pyreadstat.write_xport(frame, tmp_path / "rows.xpt")
    read = [read_cohort(path, **ROWS) for path in sorted(tmp_path.iterdir())]
    assert len(read) == 8
    for cohort in [*read, read_cohort(frame, **ROWS)]:
        assert cohort.entry.tolist() == frame["start"].tolist()
        assert cohort.time.tolist() == frame["months"].tolist()
        assert cohort.event.tolist() == frame["death"].tolist()
        assert cohort.patients.tolist() == [101, 102, 103]
        assert cohort.patient_index.tolist() == [0, 1, 0, 2, 0]
        assert cohort.table["arm"].tolist() == frame["arm"].tolist()


def test_rows_that_touch_within_rounding_do_not_overlap():
    frame = pd.DataFrame(
        {
            "patient": [1, 1, 2],
            "start": [0, 0.3, 0],
            "months": [0.1 + 0.2, 1, 2],
            "death": [0, 0, 1],
        }
    )
    assert frame.loc[0, "months"] > frame.loc[1, "start"]
    assert read_cohort(frame, **ROWS).n_rows == 3


# --- what is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "is zero or negative in row 4 (0)"),
        (-1.5, "is zero or negative in row 4 (-1.5)"),
        (np.nan, "is missing in row 4"),
        (None, "is missing in row 4"),
        (pd.NA, "is missing in row 4"),
        (np.inf, "is infinite in row 4 (inf)"),
        (10**400, "is infinite in row 4"),
        ("twelve", "is text in row 4 ('twelve')"),
        (
            "12,5",
            "is text in row 4 ('12,5'); every time must be a finite number above 0 with a dec",
        ),
        ("2019-03-01", "is text in row 4 ('2019-03-01')"),
        (True, "is true/false in row 4 (True)"),
        (datetime.date(2019, 3, 1), "is a date in row 4"),
        (pd.Timestamp(2019, 3, 1), "is a date in row 4"),
        (pd.Timedelta(days=3), "is not a number in row 4"),
        ([1], "is not a number in row 4 ([1])"),
        (1j, "is not a number in row 4 (1j)"),
        ("\x1b[31m\nx", r"is text in row 4 ('\x1b[31m\nx')"),
    ],
)
def test_a_bad_time_is_named_with_its_row(value, words):
    message = refusal(with_cell("months", 4, value))
    assert message.startswith("DataFrame: column 'months' (time) ")
    assert words in message
    assert "every time must be a finite number above 0" in message


@pytest.mark.parametrize(
    ("times", "words"),
    [
        ([True, False, True], "is true/false in rows 1 (True), 2 (False) and 3 (True)"),
        (pd.to_datetime(["2019-01-01"] * 3), "is a date in rows 1 (2019-01-01)"),
        (pd.to_timedelta([1, 2, 3], unit="D"), "is not a number in rows 1"),
        ([1 + 1j, 2, 3], "is not a number in rows 1"),
        (pd.period_range("2019-01", periods=3, freq="M"), "is not a number in rows 1"),
    ],
)
def test_a_time_column_of_another_type(times, words):
    assert words in refusal(pd.DataFrame({"months": times, "death": [1, 0, 1]}))


def test_many_bad_rows_are_counted_not_listed():
    message = refusal(table(1000).assign(months=-1.0))
    assert "rows 1 (-1.0), 2 (-1.0), 3 (-1.0), 4 (-1.0), 5 (-1.0) and 995 more" in message
    assert len(message) < 300


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (2, "column 'death' (event) is not 0 or 1 in row 3 (2)"),
        (0.5, "is not 0 or 1 in row 3 (0.5)"),
        ("yes", "is not 0 or 1 in row 3 ('yes')"),
        (np.nan, "column 'death' (event) is missing in row 3"),
        ([1], "is not 0 or 1 in row 3 ([1])"),
    ],
)
def test_a_bad_event_is_named_with_its_row(value, words):
    message = refusal(with_cell("death", 3, value))
    assert words in message
    assert "every event must be 0 or 1, or true or false" in message


def test_no_event_at_all():
    assert "column 'death' (event) has no event in 10 rows" in refusal(table().assign(death=0))


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_patients(n):
    assert "a cohort needs at least 2" in refusal(table().assign(death=1).head(n))


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (0.5, "entry (column 'start') is not before time (column 'months') in row 1 (0.5 and 0.5)"),
        (7, "is not before time"),
        (-1, "column 'start' (entry) is negative in row 1 (-1)"),
        (np.nan, "column 'start' (entry) is missing in row 1"),
        (np.inf, "column 'start' (entry) is infinite in row 1"),
        ("soon", "column 'start' (entry) is text in row 1 ('soon')"),
    ],
)
def test_a_bad_entry(start, words):
    frame = with_cell("start", 1, start, table().assign(start=0))
    assert words in refusal(frame, entry="start")


def test_unknown_column_suggests_the_nearest():
    message = refusal(table(), time="month", event="dead")
    assert "there is no column 'month'; did you mean 'months'?" in message
    assert "there is no column 'dead'; did you mean 'death'?" in message


def test_unknown_column_without_a_near_one_lists_the_columns():
    message = refusal(table(), time="xyzzy")
    assert "there are 'patient', 'months', 'death', 'age', 'arm'" in message


def test_one_column_for_two_roles():
    assert "column 'months' is used for time and entry" in refusal(table(), entry="months")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": 12}, "unit must be text, not 12"),
        ({"missing": "ignore"}, 'missing must be "error" or "drop", not \'ignore\''),
        ({"missing": ["drop"]}, 'missing must be "error" or "drop"'),
        ({"time": 3}, "time must be a column's name in text, not 3"),
        ({"event": None}, "event must be a column's name in text, not None"),
        ({"id": 7}, "id must be a column's name in text, not 7"),
    ],
)
def test_options_of_another_type(options, words):
    assert words in refusal(table(), **options)


def test_a_source_of_another_type():
    assert "a path, a data set's name, a DataFrame or another table" in refusal(12)


def test_duplicate_columns_of_a_frame():
    frame = pd.concat([table(), table()[["age"]]], axis=1)
    assert "column name 'age' occurs more than once" in refusal(frame)


def test_missing_ids():
    for blank in (None, np.nan, "", "  "):
        message = refusal(with_cell("patient", 2, blank), id="patient")
        assert "column 'patient' (id) is missing in row 2" in message


def test_repeated_id_without_entry_asks_for_entry():
    message = refusal(with_cell("patient", 5, "P1"), id="patient")
    assert "names patient 'P1' in rows 2 and 5; give `entry`" in message


def test_overlapping_rows_of_one_patient():
    frame = with_cell("start", 5, 1.5, several_rows())
    message = refusal(frame, **ROWS)
    assert "column 'patient' (id) has overlapping rows: rows 3 and 5 (patient 'A')" in message


def test_identical_rows_of_one_patient_overlap():
    frame = pd.concat([several_rows(), several_rows().tail(1)], ignore_index=True)
    assert "overlapping rows: rows 5 and 6 (patient 'A')" in refusal(frame, **ROWS)


def test_an_event_before_the_patients_last_row():
    frame = with_cell("death", 3, 1, several_rows())
    message = refusal(frame, **ROWS)
    assert "has an event before the patient's last row in row 3 (patient 'A')" in message


def test_follow_up_beyond_every_number():
    assert "use a larger time unit" in refusal(table().assign(months=1e308))


def test_all_problems_of_a_file_are_told_together(tmp_path):
    frame = with_cell("months", 4, "twelve", with_cell("death", 2, 3))
    frame = with_cell("patient", 7, "", with_cell("months", 5, -1, frame))
    frame.to_csv(tmp_path / "cohort.csv", index=False)
    message = refusal(tmp_path / "cohort.csv", id="patient", entry="begin")
    assert f"{tmp_path / 'cohort.csv'}: 5 problems: (1) " in message
    for words in (
        "no column 'begin'",
        "is text in row 4 ('twelve')",
        "is zero or negative in row 5 ('-1')",
        "is not 0 or 1 in row 2 (3)",
        "is missing in row 7",
    ):
        assert words in message


def test_odd_names_stay_on_one_line():
    frame = table().rename(columns={"months": "mo\nnths\u2028" + "x" * 500})
    message = refusal(frame, time="mo\nnths", event="\x07" * 1000)
    assert r"there is no column 'mo\nnths'" in message


# --- where ------------------------------------------------------------------------------------


def condition(column, op, value):
    return {"column": column, "op": op, "value": value}


@pytest.mark.parametrize(
    ("column", "op", "value", "rows"),
    [
        ("age", "==", 53, [4]),
        ("age", "!=", 53, [1, 2, 3, 5, 6, 7, 8, 9, 10]),
        ("age", "<", 52, [1, 2]),
        ("age", "<=", 52, [1, 2, 3]),
        ("age", ">", 57, [9, 10]),
        ("age", ">=", 57.5, [9, 10]),
        ("age", "in", [50, 51.0, 99], [1, 2]),
        ("age", "not in", (50, 51), [3, 4, 5, 6, 7, 8, 9, 10]),
        ("arm", "==", "local", [1, 3, 5, 7, 9]),
        ("arm", "not in", ["local"], [2, 4, 6, 8, 10]),
        ("grade", "==", "high", [1, 2, 3, 4, 5]),
        ("grade", "in", ["high", "none"], [1, 2, 3, 4, 5]),
        ("early", "==", True, [1, 2]),
        ("early", "==", 1, [1, 2]),
        ("early", "in", [0], [3, 4, 5, 6, 7, 8, 9, 10]),
        ("death", "==", True, [2, 4, 6, 8, 10]),
        ("seen", "<", "2019-01-03", [1, 2]),
        ("seen", ">=", datetime.date(2019, 1, 9), [9, 10]),
    ],
)
def test_where_keeps_the_rows_that_meet_a_condition(column, op, value, rows):
    frame = table().assign(
        grade=pd.Categorical(["high"] * 5 + ["low"] * 5),
        early=[True] * 2 + [False] * 8,
        seen=pd.date_range("2019-01-01", periods=10),
        death=[0, 1] * 5,
    )
    kept = read_cohort(frame, **ROLES).table.index[np.array(rows) - 1]
    expected = frame.loc[kept]
    if len(rows) < 2 or not expected["death"].any():
        assert "at least" in refusal(frame, where=[condition(column, op, value)])
        return
    cohort = read_cohort(frame, **ROLES, where=[condition(column, op, value)])
    assert cohort.row_number.tolist() == rows
    assert cohort.time.tolist() == expected["months"].tolist()
    assert cohort.table.index.tolist() == list(range(len(rows)))
    later = read_cohort(frame, **ROLES).where([SimpleNamespace(column=column, op=op, value=value)])
    assert later.row_number.tolist() == rows
    assert later.patients.tolist() == cohort.patients.tolist()
    assert later.excluded == cohort.excluded
    assert sum(each.n_rows for each in later.excluded) == 10 - len(rows)


def test_where_forgets_categories_that_no_row_has():
    frame = table().assign(grade=pd.Categorical(["high"] * 5 + ["low"] * 5))
    cohort = read_cohort(frame, **ROLES, where=[condition("grade", "==", "low")])
    assert cohort.table["grade"].cat.categories.tolist() == ["low"]


def test_where_counts_each_condition_in_turn():
    conditions = [condition("age", ">", 52), condition("arm", "==", "systemic")]
    cohort = read_cohort(table(), **ROLES, where=conditions)
    assert cohort.excluded == (
        Dropped("not age > 52", 3, 3),
        Dropped("not arm == 'systemic'", 3, 3),
    )
    assert cohort.dropped == ()


def test_rows_that_where_leaves_out_are_not_checked():
    frame = with_cell("months", 1, "unknown")
    cohort = read_cohort(frame, **ROLES, where=[condition("age", ">", 50)])
    assert cohort.n_rows == 9
    assert cohort.row_number[0] == 2


def test_row_numbers_are_those_of_the_file_after_where():
    message = refusal(with_cell("months", 7, -3), where=[condition("age", ">", 52)])
    assert "in row 7 (-3)" in message


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (condition("agee", "<", 60), "there is no column 'agee'; did you mean 'age'?"),
        (condition("age", "=<", 60), "unknown op '=<' for column 'age'; it must be one of =="),
        (condition("age", "<", "60"), "column 'age' holds numbers, but the value is '60'"),
        (condition("age", "<", float("nan")), "it must be a number"),
        (condition("age", "in", 60), "op 'in' for column 'age' needs a list, not 60"),
        (condition("age", "==", [60]), "column 'age' holds numbers, but the value is [60]"),
        (condition("arm", "==", 1), "column 'arm' holds text, but the value is 1"),
        (condition("arm", "<", "local"), "holds text, which op '<' cannot put in order"),
        (condition("seen", "<", "soon"), "holds dates, but the value is 'soon'"),
        (condition("seen", "<", 2019), "must be a date as YYYY-MM-DD, such as 2015-12-31"),
        (condition("mixed", "==", 1), "holds text, but the value is 1"),
        (condition("early", "==", "yes"), "holds true/false, but the value is 'yes'"),
        (condition("age", "in", []), "no row is left that meets age in []"),
        (condition("age", ">", 99), "no row is left that meets age > 99"),
        ({"column": "age", "op": "<"}, "has no 'value'"),
        (
            {"column": "age", "op": "<", "value": 1, "valu": 2},
            "'valu' is not a part of a condition",
        ),
        ({"column": 3, "op": "<", "value": 1}, "the column must be text, not 3"),
        (12, "12 is not a condition"),
    ],
)
def test_a_wrong_condition(wrong, words):
    frame = table().assign(
        mixed=[1, "a"] * 5, early=True, seen=pd.date_range("2019-01-01", periods=10)
    )
    message = refusal(frame, where=[wrong])
    assert "where" in message
    assert words in message


def test_where_that_is_no_list():
    assert "where must be a list of conditions" in refusal(table(), where="age < 60")
    assert "where must be a list of conditions" in refusal(table(), where=5)


def test_a_missing_value_neither_meets_nor_fails_a_condition():
    frame = with_cell("age", 3, None).astype({"age": float})
    for op in ("<", "!="):
        message = refusal(frame, where=[condition("age", op, 1000)])
        assert "values are missing in 'age'" in message
        assert "(the first is row 3)" in message
    cohort = read_cohort(frame, **ROLES, missing="drop", where=[condition("age", "!=", 1000)])
    assert cohort.dropped == (Dropped("missing 'age'", 1, 1),)
    assert 3 not in cohort.row_number
    # What another condition leaves out need not be known.
    both = [condition("age", "!=", 1000), condition("months", ">", 1.5)]
    assert read_cohort(frame, **ROLES, where=both).n_rows == 7


# --- complete ---------------------------------------------------------------------------------


def test_complete_returns_the_cohort_when_nothing_is_missing():
    cohort = read_cohort(table(), **ROLES)
    assert cohort.complete(["age", "arm"]) is cohort


def test_complete_counts_what_is_missing_per_column():
    frame = table()
    frame.loc[[1, 2], "age"] = np.nan
    frame.loc[2, "arm"] = None
    with pytest.raises(CohortError, match="'age' in 2, 'arm' in 1 .2 of 10 patients.; fill them"):
        read_cohort(frame, **ROLES).complete(["age", "arm"])


def test_complete_drops_whole_patients_and_says_so():
    frame = several_rows().assign(age=[60, 70, np.nan, 50, 60])
    frame = pd.concat(
        [frame, frame.assign(patient=[f"{p}2" for p in frame["patient"]], age=55.0)],
        ignore_index=True,
    )
    cohort = read_cohort(frame, **ROWS, missing="drop")
    smaller = cohort.complete(["age"])
    assert smaller.dropped == (Dropped("missing 'age'", 1, 3),)
    assert smaller.patients.tolist() == ["B", "C", "A2", "B2", "C2"]
    assert smaller.n_rows == 7
    assert smaller.row_number.tolist() == [2, 4, 6, 7, 8, 9, 10]
    assert cohort.n_patients == 6
    assert cohort.dropped == ()


def test_complete_refuses_when_too_few_are_left():
    frame = table().assign(age=[50.0] + [np.nan] * 9)
    with pytest.raises(CohortError, match="1 patient with 0 events is left"):
        read_cohort(frame, **ROLES, missing="drop").complete(["age"])


def test_complete_of_an_unknown_column():
    with pytest.raises(CohortError, match="no column 'agee'; did you mean 'age'"):
        read_cohort(table(), **ROLES).complete(["agee"])


# --- properties -------------------------------------------------------------------------------


@st.composite
def follow_up_tables(draw):
    """Draw valid rows: every patient's rows follow one another, only the last has the event."""
    rows = []
    for patient in range(draw(st.integers(2, 6))):
        n = draw(st.integers(1, 4))
        widths = draw(st.lists(st.integers(1, 50), min_size=2 * n, max_size=2 * n))
        gaps = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
        ends = draw(st.booleans()) or patient == 0
        now = 0
        for k in range(n):
            now += gaps[k] * widths[2 * k]
            rows.append((f"P{patient}", now / 4, (now + widths[2 * k + 1]) / 4, 0))
            now += widths[2 * k + 1]
        rows[-1] = (*rows[-1][:3], int(ends))
    order = draw(st.permutations(range(len(rows))))
    columns = ["patient", "start", "months", "death"]
    return pd.DataFrame([rows[k] for k in order], columns=columns)


@given(follow_up_tables())
@settings(max_examples=60, deadline=None)
def test_rows_patients_and_follow_up_add_up(frame):
    cohort = read_cohort(frame, **ROWS)
    assert cohort.patients[cohort.patient_index].tolist() == frame["patient"].tolist()
    assert cohort.n_patients == frame["patient"].nunique()
    assert cohort.n_events == frame["death"].sum()
    assert cohort.exposure == (frame["months"] - frame["start"]).sum()
    per_patient = np.bincount(cohort.patient_index, cohort.time - cohort.entry)
    assert per_patient.sum() == cohort.exposure
    assert np.bincount(cohort.patient_index, cohort.event).max() <= 1


@given(follow_up_tables(), st.data())
@settings(max_examples=60, deadline=None)
def test_one_row_made_to_overlap_is_always_found(frame, data):
    ends = frame.groupby("patient")["months"].max()
    patient = data.draw(st.sampled_from(sorted(ends.index)))
    again = frame[frame["patient"] == patient].sample(1, random_state=0).assign(death=0)
    wider = pd.concat([frame, again], ignore_index=True)
    assert "overlapping rows" in refusal(wider, **ROWS)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["0", "1", "true", "12,5", "NA", "", "1e999", '"', "a\nb", ";", "=1+1"]),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),  # pandas itself fails on a signalling NaN
    st.just(Decimal("NaN")),
    st.complex_numbers(),
    st.binary(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.just(pd.NA),
    st.just(pd.NaT),
)
CONDITIONS = st.fixed_dictionaries(
    {
        "column": st.sampled_from(["age", "arm", "months", "death", "patient", "none"]),
        "op": st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "~"]),
        "value": st.one_of(CELLS, st.lists(CELLS, max_size=2)),
    }
)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_table_is_a_cohort_or_refused_in_one_line(data):
    frame = several_rows().assign(age=[60.0, 70, 50, 40, 60]).astype(object)
    for _ in range(data.draw(st.integers(0, 3))):
        column = data.draw(st.sampled_from(list(frame.columns)))
        row = data.draw(st.integers(1, len(frame)))
        frame = with_cell(column, row, data.draw(CELLS), frame)
    if data.draw(st.booleans()):
        frame = frame.infer_objects()
    roles = st.sampled_from(["patient", "start", "months", "death", "arm", "age", "nothing"])
    options = {
        role: data.draw(st.one_of(st.just(column), st.just(column), roles))
        for role, column in ROWS.items()
    }
    for role in ("entry", "id"):
        if data.draw(st.booleans()):
            options[role] = None
    options["where"] = data.draw(st.lists(CONDITIONS, max_size=1))
    options["missing"] = data.draw(st.sampled_from(["error", "drop"]))
    try:
        cohort = read_cohort(frame, **options)
        cohort = cohort.complete(["age", "arm"])
    except BayesCRLMError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 5000
        return
    assert isinstance(cohort, Cohort)
    assert (cohort.entry >= 0).all()
    assert (cohort.entry < cohort.time).all()
    assert np.isfinite(cohort.time).all()
    assert set(cohort.event.tolist()) <= {0, 1}
    assert cohort.n_events >= 1
    assert len(set(cohort.patient_index.tolist())) == cohort.n_patients >= 2
    assert repr(cohort).isprintable()


@given(st.data())
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_mutated_file_is_a_cohort_or_refused_in_one_line(tmp_path, data):
    content = bytearray(several_rows().to_csv(index=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, max(len(content) - 1, 0)))
        length = data.draw(st.integers(0, 6))
        new = data.draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b",", b";", b'"', b"\n", b"\r", b"-"])
            )
        )
        content[where : where + length] = new
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    try:
        cohort = read_cohort(path, **ROWS)
    except BayesCRLMError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 5000
        return
    assert (cohort.entry < cohort.time).all()


@given(st.lists(CELLS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_every_cell_is_a_number_or_has_a_kind(cells):
    values = pd.Series(cells, dtype=object)
    numbers, kinds = numbers_of(values)
    event, missing, wrong = events_of(values)
    assert len(numbers) == len(kinds) == len(event) == len(cells)
    assert (np.isnan(numbers) == (kinds != 0)).all()
    assert not (missing & wrong).any()
    assert not event[missing | wrong].any()


# --- cost -------------------------------------------------------------------------------------


def test_reading_a_cohort_imports_no_sampler(tmp_path):
    path = tmp_path / "cohort.csv"
    table().to_csv(path, index=False)
    program = (
        "import sys; from bayes_crlm.cohort.reading import read_cohort; "
        f"assert 'pandas' not in sys.modules; read_cohort({str(path)!r}, time='months', "
        "event='death'); heavy = {'pymc', 'arviz', 'matplotlib', 'scipy', 'pandera', "
        "'pyreadstat', 'openpyxl', 'formulaic'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_time_grows_linearly_with_the_rows():
    outcome, _, _ = CohortArguments(**ROWS).checked()

    def seconds(n):
        frame = pd.DataFrame(
            {
                "patient": np.repeat(np.arange(n // 2), 2),
                "start": np.tile([0.0, 1.0], n // 2),
                "months": np.tile([1.0, 2.5], n // 2),
                "death": np.tile([0, 1], n // 2),
            }
        )
        started = clock.perf_counter()
        problems = read_outcome(frame, np.arange(1, n + 1), outcome).problems
        assert not problems
        return clock.perf_counter() - started

    seconds(1000)
    # Per-patient Python work on 200,000 patients takes many seconds; this takes a tenth.
    assert seconds(400_000) < 3


def test_a_missing_time_column_is_the_only_problem():
    table = pd.DataFrame({"t": [1.0, 2.0], "e": [1, 0]})
    with pytest.raises(CohortError) as caught:
        read_cohort(table, time="months", event="e")
    assert "no column 'months'" in str(caught.value)
    assert "infinite" not in str(caught.value)
