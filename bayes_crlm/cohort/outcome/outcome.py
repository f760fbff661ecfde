"""From the columns of a table to follow-up: what `time`, `event`, `entry` and `id` mean there.

The steps, in this order: dates and other units become times in the cohort's unit; times that were
rounded are drawn within their unit, where that is asked for; times of zero are dropped or
replaced, where that is said; times that differ by rounding alone become one time; what is wrong
is said of rows of the file.
"""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.outcome.event_codes import (
    EventCodes,
    doubted_name,
    events_by_code,
    read_events,
)
from bayes_crlm.cohort.outcome.follow_up import (
    DATE,
    KINDS,
    MISSING,
    MUST_BE,
    OTHER,
    TEXT,
    TRUTH,
    FollowUp,
    check_follow_up,
    patients_of,
    wrong_rows,
)
from bayes_crlm.cohort.outcome.rounded_times import Rounding, sample_within_unit
from bayes_crlm.cohort.outcome.time_scale import StudyEnd, TimeColumns, TimeScale
from bayes_crlm.cohort.outcome.zero_times import settle_zeros
from bayes_crlm.likelihood.tied_times import distinct_times, onto
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import count_of, rows_where, shown

if TYPE_CHECKING:
    import pandas as pd


MUST_HAVE = ("time", "time.start", "entry")
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


@record
class Outcome:
    """How the outcome's columns are read, checked.

    Attributes
    ----------
    time : TimeColumns
        Where follow-up ends, and from which date it counts.
    event : EventCodes
        The event column and what its codes mean.
    entry, id : str or None
        The columns of delayed entry and of the patients' names.
    start : str, 0 or None
        `treatment_start` as it is given.
    censoring_end : StudyEnd or None
        When the study ended: a column for every patient, or a date for all.
    scale : TimeScale
        How numbers and dates of the file become times.
    zero_times : "error", "drop" or float
        What becomes of rows without width; a number is their width, in the cohort's unit.
    rounded : Rounding or None
        How times were rounded, where they are to be drawn within their unit.
    seed : int or None
        Of the draws of rounded times.
    """

    time: TimeColumns
    event: EventCodes
    entry: str | None
    id: str | None
    start: str | int | None
    censoring_end: StudyEnd | None
    scale: TimeScale
    zero_times: str | float
    rounded: Rounding | None
    seed: int | None

    @property
    def start_column(self) -> str | None:
        """The column of starts of treatment."""
        return self.start if isinstance(self.start, str) else None

    @property
    def roles(self) -> dict[str, str | None]:
        """Which column is used for what."""
        return {
            "time": self.time.end,
            "time.start": self.time.start,
            "event": self.event.column,
            "entry": self.entry,
            "id": self.id,
            "treatment_start": self.start_column,
            "censoring_end": None if self.censoring_end is None else self.censoring_end.column,
        }

    @property
    def columns(self) -> list[str]:
        """Columns that are used for anything."""
        return [column for column in self.roles.values() if column is not None]


@record
class OutcomeRead:
    """What became of the outcome's columns.

    Attributes
    ----------
    follow_up : FollowUp
        Of the rows kept; meaningful only when there are no problems.
    keep : (rows of the table,) bool
        Rows that were not dropped for a time of zero.
    dropped : tuple of Dropped
        Patients left out because they have no time at risk.
    remarks : tuple of str
        What was read as what, with counts.
    problems : list of str
        What is wrong, one sentence each; empty where nothing is.
    """

    follow_up: FollowUp
    keep: NDArray[np.bool]
    dropped: tuple[Dropped, ...]
    remarks: tuple[str, ...]
    problems: list[str]


def read_outcome(
    table: "pd.DataFrame", row_number: NDArray[np.int64], outcome: Outcome
) -> OutcomeRead:
    """Turn the outcome's columns into follow-up and find everything wrong with them.

    Columns that the table does not have are left out; the caller reports them.

    Parameters
    ----------
    table : pandas.DataFrame
        The rows of the cohort.
    row_number : (n_rows,) int
        1-based row numbers in the file, for the messages.
    outcome : Outcome
        Which columns are read, and how.

    Returns
    -------
    OutcomeRead
    """
    n, scale = len(table), outcome.scale
    problems: list[str] = []
    may_be_zero = outcome.zero_times != "error" or outcome.rounded is not None

    def times_of(role: str, absent: Any = None, *, may_be_zero: bool = False) -> Any:
        column = outcome.roles[role]
        if column is None or column not in table.columns:
            return absent
        times, found = check_times(table, column, role, row_number, scale, may_be_zero=may_be_zero)
        problems.extend(found)
        return times

    unknown = np.full(n, np.nan)
    times = times_of("time", unknown, may_be_zero=may_be_zero)
    if scale.start in table.columns:
        times_of("time.start")
    entries = times_of("entry", np.zeros(n) if outcome.entry is None else unknown)
    is_from_zero = outcome.start is not None and outcome.start_column is None
    start = np.zeros(n) if is_from_zero else times_of("treatment_start")
    end, study_end = times_of("censoring_end"), outcome.censoring_end
    if study_end is not None and study_end.date and scale.start in table.columns:
        end = scale.ends_at(table, study_end, times)
    patients, patient_index, found = check_patient_column(
        table, outcome.id, row_number, outcome.start_column
    )
    events, remarks, wrong = check_events(table, outcome.event, row_number)
    problems += found + wrong
    follow_up = FollowUp(entries, times, events, patient_index, patients, start, end)
    if outcome.rounded is not None and not problems and outcome.seed is not None:
        follow_up, moved = sample_within_unit(outcome.rounded, outcome.seed, follow_up, table)
        remarks.append(
            f"the times of {moved} patients were drawn once within "
            f"{as_written(outcome.rounded.unit)} of "
            f"what the file says, which is rounded ({outcome.rounded.to}), from seed "
            f"{outcome.seed}"
        )
    keep = np.ones(n, dtype=bool)
    dropped: tuple[Dropped, ...] = ()
    if outcome.zero_times != "error":
        follow_up, keep, dropped, said = settle_zeros(outcome.zero_times, follow_up)
        remarks += said
    if not keep.all():
        follow_up, row_number = follow_up.rows(keep), row_number[keep]
    follow_up, found = check_follow_up(follow_up, row_number, outcome.roles)
    problems += found
    if not problems:
        follow_up, found = on_its_times(follow_up, row_number, study_end)
        problems += found
    return OutcomeRead(follow_up, keep, dropped, tuple(remarks), problems)


def on_its_times(
    follow_up: FollowUp, row_number: NDArray[np.int64], study_end: StudyEnd | None
) -> tuple[FollowUp, list[str]]:
    """Put starts of treatment and ends of the study onto the times of follow-up."""
    start, end, problems = follow_up.start, follow_up.censoring_end, []
    if start is not None:
        start = onto(start, distinct_times(follow_up.entry, follow_up.time))
    if end is not None and study_end is not None:
        end, problems = check_ends(end, follow_up.time, row_number, study_end.in_words)
    return replace(follow_up, start=start, censoring_end=end), problems


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
    role : {"time", "time.start", "entry", "treatment_start", "censoring_end"}
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
    may_be_numbers = role not in ("time", "time.start")
    numbers, kinds, are_dates = scale.read(table, column, may_be_numbers=may_be_numbers)
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
    rows = rows_where(times > end, row_number, times, end)
    if not rows:
        return end, []
    return end, [
        f"time lies after censoring_end ({where}) in {rows}; nobody is followed beyond the end of "
        "the study"
    ]


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
    events, is_said, missing = events_by_code(values, codes)
    problems = wrong_rows(values, "event", "is missing", missing, row_number)
    if codes.value:
        events, remarks, found = read_events(values, codes, row_number)
        return events, remarks, problems + found
    wrong = ~is_said & ~missing
    code = '"dead"' if any(isinstance(each, str) for each in values[wrong].head(1)) else "2"
    hint = f'; say which code is the event, such as event = {{column = "{column}", value = {code}}}'
    right = MUST_BE["event"] + (hint if n and wrong.mean() > 0.2 else "")
    problems += wrong_rows(values, "event", "is not 0 or 1", wrong, row_number, right)
    if n and not missing.any() and not wrong.any() and not events.any():
        problems.append(
            f"column {shown(column)} (event) has no event in {count_of(n, 'row')}; at least one "
            "must be 1"
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
