"""Conditions on rows: who is in a cohort, and who is counted as left out."""

import datetime
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from cohort_tables import ROLES, condition, refusal, table, with_cell

from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.reading import read_cohort


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


def test_a_row_without_a_patient_is_not_dropped_with_another_one():
    data = table().assign(patient=[f"p{k}" for k in range(10)])
    data.loc[[2, 5], "patient"] = None
    data["age"] = data["age"].astype(float)
    data.loc[2, "age"] = None
    where = [condition("age", ">", 0)]
    message = refusal(data, id="patient", where=where, missing="drop")
    assert "column 'patient' (id) is missing in row 6" in message
    assert "row 3" not in message
