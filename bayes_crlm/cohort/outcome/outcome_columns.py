"""The outcome's columns one by one: what each holds, and everything wrong with it."""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.outcome.event_codes import EventCodes, doubted_name, read_events
from bayes_crlm.cohort.outcome.follow_up import (
    DATE,
    KINDS,
    MISSING,
    MUST_BE,
    OTHER,
    TEXT,
    TRUTH,
    events_of,
    patients_of,
    wrong_rows,
)
from bayes_crlm.cohort.outcome.time_scale import TimeScale
from bayes_crlm.likelihood.tied_times import onto
from bayes_crlm.words.wording import shown, shown_rows

if TYPE_CHECKING:
    import pandas as pd

MUST_HAVE = ("time", "entry")
DATE_KINDS = {
    MISSING: "is missing",
    TEXT: "is text that is not a date",
    TRUTH: "is true/false",
    OTHER: "is not a date",
}
MUST_BE_DATE = (
    "dates are dates in the file, text as YYYY-MM-DD, or text as date_format says, such as "
    '"%d/%m/%Y"'
)
NO_DATES = "; for dates give time = {start, end}"


def check_times(
    table: "pd.DataFrame",
    column: str,
    role: str,
    row_number: NDArray[np.int64],
    scale: TimeScale,
    *,
    may_be_zero: bool = False,
) -> tuple[NDArray[np.float64], list[str]]:
    """Read a column of times, and find everything wrong with it.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of the cohort.
    column : str
        One of its columns.
    role : {"time", "entry", "treatment_start", "censoring_end"}
        What it is for. A start of treatment may be missing: the patient never started.
    row_number : (n_rows,) int
        1-based row numbers in the file, for the messages.
    scale : TimeScale
        How the column becomes times.
    may_be_zero : bool
        Whether a time of 0 is settled later.

    Returns
    -------
    times : (n_rows,) float64
        In the cohort's unit; NaN where something is wrong.
    problems : list of str
    """
    values = table[column]
    numbers, kinds, are_dates = scale.read(table, column, may_be_numbers=role != "time")
    problems: list[str] = []
    right = MUST_BE_DATE if are_dates else MUST_BE[role]
    for kind, what in (DATE_KINDS if are_dates else KINDS).items():
        if kind != MISSING or role in MUST_HAVE:
            hint = NO_DATES if kind == DATE and role == "time" else ""
            problems += wrong_rows(values, role, what, kinds == kind, row_number, right + hint)
    problems += wrong_rows(values, role, "is infinite", np.isinf(numbers), row_number, right)
    is_strict = role in ("time", "censoring_end") and not may_be_zero
    low = np.isfinite(numbers) & (numbers <= 0 if is_strict else numbers < 0)
    what = "is zero or negative" if is_strict else "is negative"
    if are_dates:
        what = (
            f"is {'not after' if is_strict else 'before'} the start (column {shown(scale.start)})"
        )
        right = "every patient is followed from the start on"
    if role == "time" and is_strict and (numbers[low] == 0).any():
        right += "; zero_times says what becomes of times of 0"
    problems += wrong_rows(values, role, what, low, row_number, right)
    return np.where(np.isfinite(numbers) & ~low, numbers, np.nan), problems


def check_ends(
    end: NDArray[np.float64],
    times: NDArray[np.float64],
    row_number: NDArray[np.int64],
    where: str,
) -> tuple[NDArray[np.float64], list[str]]:
    """Put ends of the study onto the times of follow-up, and refuse follow-up beyond them.

    Parameters
    ----------
    end : (n_rows,) float64
        When patients would have been censored because the study ended; NaN where it is not known.
    times : (n_rows,) float64
        The ends of follow-up.
    row_number : (n_rows,) int
        1-based row numbers in the file, for the messages.
    where : str
        What says the ends: a column, or a date.

    Returns
    -------
    end : (n_rows,) float64
        On the times of follow-up where they differ by rounding.
    problems : list of str
    """
    end = onto(end, np.unique(times))
    late = np.flatnonzero(times > end)
    if not len(late):
        return end, []
    pairs = [f"{shown(times[k])} and {shown(end[k])}" for k in late[:5].tolist()]
    return end, [
        f"time lies after censoring_end ({where}) in "
        f"{shown_rows(row_number[late], pairs)}; nobody is followed beyond the end of the study"
    ]


def check_start_column(
    values: "pd.Series", row_number: NDArray[np.int64], scale: TimeScale
) -> list[str]:
    """Find what is wrong with the dates at which follow-up begins."""
    _, kinds, _ = scale.read(values.to_frame(), str(values.name), may_be_numbers=False)
    problems: list[str] = []
    for kind, what in DATE_KINDS.items():
        problems += wrong_rows(values, "time.start", what, kinds == kind, row_number, MUST_BE_DATE)
    return problems


def check_events(
    table: "pd.DataFrame", codes: EventCodes, row_number: NDArray[np.int64]
) -> tuple[NDArray[np.int8], list[str], list[str]]:
    """Read the event column, and find everything wrong with it.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of the cohort; without the column everything is left to the caller.
    codes : EventCodes
        The column, and what its codes mean.
    row_number : (n_rows,) int
        1-based row numbers in the file, for the messages.

    Returns
    -------
    event : (n_rows,) int8
    remarks : list of str
        Which codes were taken for what.
    problems : list of str
    """
    n, column = len(table), codes.column
    if column not in table.columns:
        return np.zeros(n, dtype=np.int8), [], []
    values = table[column]
    if codes.value:
        problems = wrong_rows(
            values, "event", "is missing", values.isna().to_numpy(bool), row_number
        )
        events, remarks, found = read_events(values, codes, row_number)
        return events, remarks, problems + found
    events, missing, wrong = events_of(values)
    problems = wrong_rows(values, "event", "is missing", missing, row_number)
    code = '"dead"' if any(isinstance(each, str) for each in values[wrong].head(1)) else "2"
    hint = f'; say which code is the event, such as event = {{column = "{column}", value = {code}}}'
    right = MUST_BE["event"] + (hint if n and wrong.mean() > 0.2 else "")
    problems += wrong_rows(values, "event", "is not 0 or 1", wrong, row_number, right)
    if n and not missing.any() and not wrong.any() and not events.any():
        problems.append(
            f"column {shown(column)} (event) has no event in {n} row{'s' * (n != 1)}; at least "
            "one must be 1"
        )
    return events, doubted_name(column, events), problems


def check_patient_column(
    table: "pd.DataFrame",
    id: str | None,
    row_number: NDArray[np.int64],
    start_column: str | None = None,
) -> tuple[NDArray[Any], NDArray[np.intp], list[str]]:
    """Number the patients, and find rows that name none.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of the cohort.
    id : str or None
        The column that names the patient; without it every row is one.
    row_number : (n_rows,) int
        1-based row numbers in the file.
    start_column : str or None
        That of starts of treatment, which rows of several stretches say themselves.

    Returns
    -------
    patients : (n_patients,)
        Their labels.
    patient_index : (n_rows,) intp
        -1 where the id is missing.
    problems : list of str
    """
    if id is None or id not in table.columns:
        return row_number, np.arange(len(table)), []
    patients, patient_index = patients_of(table[id])
    problems = wrong_rows(table[id], "id", "is missing", patient_index < 0, row_number)
    if start_column in table.columns and table[id].duplicated().any():
        problems.append(
            f"treatment_start (column {shown(start_column)}) is given, but column {shown(id)} (id) "
            "names some patients in several rows, which say when treatment starts themselves; "
            "leave treatment_start out, or give one row per patient"
        )
    return patients, patient_index, problems
