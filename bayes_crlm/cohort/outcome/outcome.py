"""From the columns of a table to follow-up: what `time`, `event`, `entry` and `id` mean there.

The steps, in this order: dates and other units become times in the cohort's unit; times that were
rounded are drawn within their unit, where that is asked for; times of zero are dropped or
replaced, where that is said; times that differ by rounding alone become one time; what is wrong
is said of rows of the file.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from bayes_crlm.cohort.outcome.rounded_times import Rounding, order_of_patients, sample_within_unit
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
        Meaningful only when there are no problems.
    start, censoring_end : (rows,) float or None
        Of the rows kept, in the cohort's unit; None where no column says them.
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
    start: NDArray[np.float64] | None
    censoring_end: NDArray[np.float64] | None
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
    n = len(table)
    problems: list[str] = []
    remarks: list[str] = []
    may_be_zero = outcome.zero_times != "error" or outcome.rounded is not None
    times, entries, start, end = np.full(n, np.nan), np.zeros(n), None, None
    scale, ends = outcome.scale, outcome.time.end
    if ends in table.columns:
        times, found = check_times(table, ends, "time", row_number, scale, may_be_zero=may_be_zero)
        problems += found
    if scale.start in table.columns:
        problems += check_start_column(table[scale.start], row_number, scale)
    if outcome.entry is not None:
        entries = np.full(n, np.nan)
        if outcome.entry in table.columns:
            entries, found = check_times(table, outcome.entry, "entry", row_number, scale)
            problems += found
    column = outcome.start_column
    if column is not None and column in table.columns:
        start, found = check_times(table, column, "treatment_start", row_number, scale)
        problems += found
    elif column is None and outcome.start is not None:
        start = np.zeros(n)
    study_end = outcome.censoring_end
    if study_end is not None and study_end.column in table.columns:
        end, found = check_times(table, str(study_end.column), "censoring_end", row_number, scale)
        problems += found
    elif study_end is not None and study_end.date and scale.start in table.columns:
        end = scale.ends_at(table, study_end, times)
    patients, patient_index, found = check_patient_column(table, outcome.id, row_number, column)
    problems += found
    events, said, found = check_events(table, outcome.event, row_number)
    problems += found
    remarks += said
    if outcome.rounded is not None and not problems and outcome.seed is not None:
        keys = [each for each in (times, events, entries) if each is not None]
        entries, times, (start, end), moved = sample_within_unit(
            outcome.rounded,
            outcome.seed,
            entries,
            times,
            (start, end),
            patient_index,
            order_of_patients(table, patient_index, keys),
        )
        remarks.append(
            f"the times of {moved} patients were drawn once within "
            f"{as_written(outcome.rounded.unit)} of "
            f"what the file says, which is rounded ({outcome.rounded.to}), from seed "
            f"{outcome.seed}"
        )
    keep = np.ones(n, dtype=bool)
    dropped: tuple[Dropped, ...] = ()
    if outcome.zero_times != "error":
        times, events, keep, dropped, said = settle_zeros(
            outcome.zero_times, entries, times, events, patient_index
        )
        remarks += said
    follow_up = FollowUp(entries, times, events, patient_index, patients)
    if not keep.all():
        left = np.unique(patient_index[keep & (patient_index >= 0)])
        place = np.full(len(patients) + 1, -1)
        place[left] = np.arange(len(left))
        follow_up = FollowUp(
            entries[keep], times[keep], events[keep], place[patient_index[keep]], patients[left]
        )
        row_number = row_number[keep]
        start = None if start is None else start[keep]
        end = None if end is None else end[keep]
    follow_up, found = check_follow_up(follow_up, row_number, outcome.roles)
    problems += found
    if start is not None and not problems:
        start = onto(start, distinct_times(follow_up.entry, follow_up.time))
    if end is not None and study_end is not None and not problems:
        end, found = check_ends(end, follow_up.time, row_number, study_end.in_words)
        problems += found
    return OutcomeRead(follow_up, start, end, keep, dropped, tuple(remarks), problems)
