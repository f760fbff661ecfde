"""From the columns of a table to follow-up: what `time`, `event`, `entry` and `id` mean there.

The steps, in this order: dates and other units become times in the cohort's unit; times that were
rounded are drawn within their unit, where that is asked for; times of zero are dropped or
replaced, where that is said; times that differ by rounding alone become one time; what is wrong
is said of rows of the file.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.eligibility import Dropped
from bayes_crlm.cohort.outcome.event_codes import EventCodes
from bayes_crlm.cohort.outcome.follow_up import FollowUp, check_follow_up
from bayes_crlm.cohort.outcome.outcome_columns import (
    check_ends,
    check_events,
    check_patient_column,
    check_start_column,
    check_times,
)
from bayes_crlm.cohort.outcome.rounded_times import Rounding, sample_within_unit
from bayes_crlm.cohort.outcome.time_scale import StudyEnd, TimeColumns, TimeScale
from bayes_crlm.cohort.outcome.zero_times import settle_zeros
from bayes_crlm.likelihood.tied_times import distinct_times, onto
from bayes_crlm.words.shown import as_written

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
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


@dataclass(frozen=True)
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
        problems += check_start_column(table[scale.start], row_number, scale)
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
