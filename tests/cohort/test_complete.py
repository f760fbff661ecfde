"""Patients without a value that is needed: refused, or left out and counted."""

import numpy as np
import pandas as pd
import pytest
from cohort_tables import ROLES, ROWS, several_rows, table

from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import CohortError


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


@pytest.mark.parametrize("columns", [None, 3, "age", np.nan])
def test_complete_of_what_is_no_list(columns):
    with pytest.raises(CohortError, match="columns must be a list of columns' names, not "):
        read_cohort(table(), **ROLES).complete(columns)
