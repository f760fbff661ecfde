"""Cohorts: patients with follow-up and an event.

A row is a stretch of follow-up (entry, time] that ends with the event or without it. A patient
has one row, or with `id` and `entry` several that follow one another (time-dependent
treatment, delayed entry); gaps between them are allowed, overlaps are not.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.eligibility import Dropped, select
from bayes_crlm.cohort.outcome.follow_up import FollowUp
from bayes_crlm.cohort.outcome.rounded_times import Rounding
from bayes_crlm.cohort.outcome.time_scale import TimeScale
from bayes_crlm.cohort.source import (
    emptied_levels,
    gap_problems,
    rows_of,
    unknown_columns,
)
from bayes_crlm.cohort.table.sources import with_notes
from bayes_crlm.likelihood.tied_times import distinct_times, onto
from bayes_crlm.words.errors import CohortError, join_problems
from bayes_crlm.words.shown import significant
from bayes_crlm.words.wording import SYNTHETIC, count_of, shown, shown_name, shown_names

if TYPE_CHECKING:
    import pandas as pd

FILE_SCALE = TimeScale()
"""Columns hold times in the cohort's unit."""


ARRAYS_OF_ROWS = {
    **dict.fromkeys(("entry", "time", "start", "censoring_end"), np.float64),
    **{"event": np.int8, "patient_index": np.intp, "row_number": np.int64},
}
"""Attributes of a cohort that hold a value for each row."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cohort(FollowUp):
    """A checked cohort; made by `read_cohort`, never changed afterwards.

    Attributes
    ----------
    table : pandas.DataFrame
        The kept rows in the file's order, with all columns of the file; not to be changed.
    entry, time : (n_rows,) float64
        When a row's follow-up begins (0 unless the file says) and ends, in `unit`.
    event : (n_rows,) int8
        1 when the row ends with the event, else 0.
    patient_index : (n_rows,) intp
        Each row's place in `patients`.
    patients : (n_patients,)
        The patients' labels in order of appearance: values of the id column, or row numbers.
    source : str
        The path, the data set's name, or "DataFrame".
    is_synthetic : bool
        Whether the data are simulated, not patients'.
    sha256 : str
        Of the file's bytes.
    unit : str or None
        The time unit, "months" for example.
    time_column, event_column : str
        Where `time` and `event` come from.
    entry_column, id_column : str or None
        Where `entry` and `patients` come from.
    missing : {"error", "drop"}
        What `complete` and `where` do with missing values.
    dropped : tuple of Dropped
        Patients left out for missing values.
    excluded : tuple of Dropped
        Patients left out because they do not meet a condition of `where`.
    row_number : (n_rows,) int64
        1-based row number in the file, the header not counted.
    start : (n_rows,) float64 or None
        When treatment started, on the scale of `time`; NaN where the column is empty. None where
        it is not said.
    start_column : str or None
        Where `start` comes from; None as well when all are said to have started at time 0.
    censoring_end : (n_rows,) float64 or None
        When a patient would have been censored because the study ended, on the scale of `time`;
        NaN where the column is empty. None where it is not said.
    censoring_end_column : str or None
        Where `censoring_end` comes from: a column, or a date as YYYY-MM-DD.
    remarks : tuple of str
        What was read as what, and what was drawn or replaced, with counts.
    scale : TimeScale
        How columns of the table become times in `unit`.
    rounded : Rounding or None
        Where times were drawn within their unit.
    column_notes : mapping of str to tuple of str
        What was done to columns when they were read: marks of missing, spaces taken off.
    column_said : mapping of str to str
        What the file says of columns: labels, units, reasons for missing values.
    number_texts : mapping of str to array
        How numbers are written in columns where that tells levels apart (01 and 1), for every
        row of the file: that of row r is at r - 1.
    """

    table: "pd.DataFrame"
    source: str
    is_synthetic: bool
    sha256: str
    unit: str | None
    time_column: str
    event_column: str
    entry_column: str | None
    id_column: str | None
    missing: Literal["error", "drop"]
    dropped: tuple[Dropped, ...]
    row_number: NDArray[np.int64]
    excluded: tuple[Dropped, ...] = ()
    start_column: str | None = None
    censoring_end_column: str | None = None
    remarks: tuple[str, ...] = ()
    scale: TimeScale = FILE_SCALE
    rounded: Rounding | None = None
    column_notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    column_said: Mapping[str, str] = field(default_factory=dict)
    number_texts: Mapping[str, NDArray[np.object_]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, dtype in (ARRAYS_OF_ROWS | {"patients": None}).items():
            if (values := getattr(self, name)) is not None:
                array = np.asarray(values, dtype=dtype).view()
                array.flags.writeable = False
                object.__setattr__(self, name, array)

    def __repr__(self) -> str:
        rows = f" in {count_of(self.n_rows, 'row')}" if self.n_rows != self.n_patients else ""
        synthetic = f"; {SYNTHETIC}" if self.is_synthetic else ""
        return (
            f"<Cohort {shown_name(self.source)}: {count_of(self.n_patients, 'patient')}{rows}, "
            f"{count_of(self.n_events, 'event')} in {significant(self.exposure, 4)} "
            f"{self.unit or 'time units'} "
            f"of follow-up{synthetic}>"
        )

    @property
    def is_administrative(self) -> NDArray[np.bool]:
        """Whether a row ends without the event because the study ended, shape (n_rows,)."""
        if self.censoring_end is None:
            return np.zeros(len(self.time), dtype=bool)
        return (self.event == 0) & (self.time >= self.censoring_end)

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(self.patients)

    @property
    def n_rows(self) -> int:
        """Number of rows: as many as patients, or more."""
        return len(self.time)

    @property
    def n_events(self) -> int:
        """Number of events."""
        return int(self.event.sum())

    @property
    def exposure(self) -> float:
        """Total follow-up at risk: the sum of time - entry, in `unit`."""
        return float((self.time - self.entry).sum())

    @property
    def outcome_columns(self) -> list[str]:
        """Columns that say how follow-up goes, and whose it is."""
        columns = (self.time_column, self.event_column, self.entry_column, self.id_column)
        more = (self.scale.start, self.start_column, self.censoring_end_column)
        return [each for each in (*columns, *more) if each is not None]

    def notes_on(self, columns: Iterable[str]) -> list[str]:
        """Say what was done to some columns when they were read; of the file first."""
        return [
            f"column {shown(column)}: {note}" if column else note
            for column in ["", *columns]
            for note in self.column_notes.get(column, ())
        ]

    def times_of(self, column: str) -> NDArray[np.float64]:
        """Take a column as times of this cohort: the start of treatment, for example.

        Times that differ by rounding alone are one time (`bayes_crlm.likelihood.tied_times`), also
        between this column and `entry` and `time`.

        Parameters
        ----------
        column : str
            A column of `table`.

        Returns
        -------
        (n_rows,) float64
            In `unit`, from the same time zero as `time`; NaN where a cell is missing or no time.
        """
        if self.start is not None and column == self.start_column:
            # read already, and drawn within its unit with the patient's other times
            return self.start
        times, _, _ = self.scale.read(self.table, column)
        return onto(times, distinct_times(self.entry, self.time))

    def complete(self, columns: Sequence[str]) -> "Cohort":
        """Keep patients whose rows have a value in every one of these columns.

        Parameters
        ----------
        columns : sequence of str
            Columns of `table` that the analysis needs.

        Returns
        -------
        Cohort
            This cohort when nothing is missing. When ``missing == "drop"``, the cohort without
            the patients (all their rows) that miss a value; `dropped` counts them.

        Raises
        ------
        CohortError
            When a column does not exist, when values are missing and ``missing == "error"``,
            or when too few patients are left.
        """
        if isinstance(columns, str) or not isinstance(columns, Iterable):
            raise CohortError(
                f"{shown_name(self.source)}: columns must be a list of columns' names, not "
                f"{shown(columns)}"
            )
        columns = list(dict.fromkeys(columns))
        problems = unknown_columns(columns, self.table)
        if problems:
            raise CohortError(join_problems(shown_name(self.source), problems))
        gaps = {column: self.table[column].isna().to_numpy(dtype=bool) for column in columns}
        gaps = {column: gap for column, gap in gaps.items() if gap.any()}
        if not gaps:
            return self
        incomplete = np.zeros(self.n_patients, dtype=bool)
        incomplete[self.patient_index[np.logical_or.reduce(list(gaps.values()))]] = True
        if self.missing == "error":
            of_all = f" ({int(incomplete.sum())} of {count_of(self.n_patients, 'patient')})"
            problems = gap_problems(self.table, columns, of_all)
            raise CohortError(join_problems(shown_name(self.source), problems))
        reason = "missing " + shown_names(list(gaps))
        left_out = incomplete[self.patient_index]
        entry = Dropped(reason, int(incomplete.sum()), int(left_out.sum()))
        when = f"after leaving out {count_of(entry.n_patients, 'patient')} with {reason}"
        return self._used(~left_out, when, dropped=(entry,))

    def where(self, conditions: Iterable[object]) -> "Cohort":
        """Keep the rows that meet every condition.

        Parameters
        ----------
        conditions : iterable
            Mappings or objects with ``column``, ``op`` (==, !=, <, <=, >, >=, in, not in) and
            ``value``.

        Returns
        -------
        Cohort
            `excluded` counts the patients and rows that do not meet each condition. A row whose
            value is missing is an error when ``missing == "error"``; when "drop", its patient is
            left out and counted in `dropped`.

        Raises
        ------
        CohortError
            When a condition is wrong, or too few patients are left.
        """
        keep, excluded, dropped, problems = select(
            self.table, conditions, self.missing, self.patient_index, self.row_number
        )
        if problems:
            raise CohortError(join_problems(shown_name(self.source), problems))
        return self._used(keep, "after where", excluded, dropped)

    def without(self, patients: Sequence[int] | NDArray[np.intp]) -> "Cohort":
        """Leave out some patients with all their rows.

        Parameters
        ----------
        patients : sequence of int
            Their places in `patients`, from 0.

        Raises
        ------
        CohortError
            When too few patients or no events are left.
        """
        left_out = np.isin(self.patient_index, np.asarray(patients, dtype=np.intp))
        smaller = self.rows(~left_out)
        n_left_out = self.n_patients - smaller.n_patients
        _check_enough(smaller, f"after leaving out {count_of(n_left_out, 'patient')}")
        return smaller

    def _used(
        self,
        keep: NDArray[np.bool],
        when: str,
        excluded: tuple[Dropped, ...] = (),
        dropped: tuple[Dropped, ...] = (),
    ) -> "Cohort":
        """Keep some rows, and say who was left out and which levels are no more there."""
        smaller = self.rows(keep)
        _check_enough(smaller, when)
        gone = emptied_levels(self.table, smaller.table, self.outcome_columns)
        return dataclasses.replace(
            smaller,
            column_notes=with_notes(self.column_notes, gone),
            excluded=(*self.excluded, *excluded),
            dropped=(*self.dropped, *dropped),
        )

    def rows(self, keep: NDArray[np.bool]) -> Self:
        """Keep some rows, and the patients that have one of them."""
        table, row_number = rows_of(self.table, keep), self.row_number[keep]
        return dataclasses.replace(super().rows(keep), table=table, row_number=row_number)


def _check_enough(cohort: Cohort, when: str) -> None:
    """Refuse a cohort from which too much was left out."""
    if cohort.n_patients < 2 or cohort.n_events == 0:
        raise CohortError(
            f"{shown_name(cohort.source)}: {when}, {count_of(cohort.n_patients, 'patient')} with "
            f"{count_of(cohort.n_events, 'event')} {'is' if cohort.n_patients == 1 else 'are'} "
            "left; there must be at least 2 patients and 1 event"
        )
