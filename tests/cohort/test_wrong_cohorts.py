"""Tables that are no cohort: one sentence for all that is wrong."""

import datetime

import numpy as np
import pandas as pd
import pytest
from cohort_tables import ROWS, refusal, several_rows, table, with_cell

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import CohortError


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
        (np.timedelta64(3, "D"), "is not a number in row 4"),
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
        (np.timedelta64(1, "D"), "is not 0 or 1 in row 3"),
    ],
)
def test_a_bad_event_is_named_with_its_row(value, words):
    message = refusal(with_cell("death", 3, value))
    assert words in message
    assert "every event must be 0 or 1, or true or false" in message


@pytest.mark.parametrize(("column", "role"), [("months", "time"), ("death", "event")])
@pytest.mark.parametrize("whole", ["int8", "int64", "uint16"])
def test_a_missing_cell_among_categories_that_are_whole_numbers(column, role, whole):
    cells = pd.Categorical(np.arange(10, dtype=whole) % 2 + (column == "months"))
    cells[2] = np.nan
    message = refusal(table().assign(**{column: cells}))
    assert f"column {column!r} ({role}) is missing in row 3; " in message


@pytest.mark.parametrize("value", [10**400, np.timedelta64(1, "D"), np.inf, [1, pd.NA]])
def test_a_code_that_is_none(value):
    message = refusal(table(), event={"column": "death", "value": value})
    assert "is not a code; give a number, text or true/false" in message


def test_digits_with_underscores_are_text_among_codes():
    frame = table().assign(death=["1_0", "10"] * 5)
    cohort = read_cohort(frame, time="months", event={"column": "death", "value": 10})
    assert cohort.event.tolist() == [0, 1] * 5


def test_a_column_without_any_code():
    frame = table().assign(death=[None] * 10)
    message = refusal(frame, event={"column": "death", "value": 1})
    assert "has no event: no row holds 1; it holds no code" in message


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
    twice = table().assign(patient=["P0", "P1"] * 2 + [f"P{k}" for k in range(4, 10)])
    assert "in rows 1 and 3 (and 1 more patient); give `entry`" in refusal(twice, id="patient")


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


def test_a_missing_time_column_is_the_only_problem():
    table = pd.DataFrame({"t": [1.0, 2.0], "e": [1, 0]})
    with pytest.raises(CohortError) as caught:
        read_cohort(table, time="months", event="e")
    assert "no column 'months'" in str(caught.value)
    assert "infinite" not in str(caught.value)
