"""Cohorts: patients with follow-up and an event, read from a table and checked.

A row is a stretch of follow-up (entry, time] that ends with the event or without it. A patient
has one row, or with `id` and `entry` several that follow one another (time-dependent
treatment, delayed entry); gaps between them are allowed, overlaps are not.

Everything wrong with a file is reported at once, as one sentence.
"""

import dataclasses
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.eligibility import Dropped, select
from bayes_crlm.errors import CohortError, join_problems
from bayes_crlm.follow_up import check_ends, check_follow_up, check_starts, numbers_of, patients_of
from bayes_crlm.tied_times import distinct_times, onto
from bayes_crlm.wording import no_column, shown, shown_name, shown_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Cohort", "Dropped", "read_cohort"]

# rows of a table that are turned into text at a time, for its hash
ROWS_HASHED = 2**16
OPTIONAL_ROLES = ("entry", "id", "treatment_start", "censoring_end")


@dataclass(frozen=True, eq=False, repr=False)
class Cohort:
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
        Where `censoring_end` comes from.
    """

    table: "pd.DataFrame"
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    patient_index: NDArray[np.intp]
    patients: NDArray[Any]
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
    start: NDArray[np.float64] | None = None
    start_column: str | None = None
    censoring_end: NDArray[np.float64] | None = None
    censoring_end_column: str | None = None

    def __post_init__(self) -> None:
        for name, dtype in (
            ("entry", np.float64),
            ("time", np.float64),
            ("event", np.int8),
            ("patient_index", np.intp),
            ("patients", None),
            ("row_number", np.int64),
        ):
            array = np.asarray(getattr(self, name), dtype=dtype).view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        if self.start is not None:
            start = np.asarray(self.start, dtype=np.float64).view()
            start.flags.writeable = False
            object.__setattr__(self, "start", start)
        if self.censoring_end is not None:
            end = np.asarray(self.censoring_end, dtype=np.float64).view()
            end.flags.writeable = False
            object.__setattr__(self, "censoring_end", end)

    def __repr__(self) -> str:
        rows = f" in {self.n_rows} rows" if self.n_rows != self.n_patients else ""
        synthetic = "; synthetic, not patient data" if self.is_synthetic else ""
        return (
            f"<Cohort {shown_name(self.source)}: {self.n_patients} patients{rows}, "
            f"{self.n_events} events in {self.exposure:.6g} {self.unit or 'time units'} "
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

    def times_of(self, column: str) -> NDArray[np.float64]:
        """Take a column as times of this cohort: the start of treatment, for example.

        Times that differ by rounding alone are one time (`bayes_crlm.tied_times`), also between
        this column and `entry` and `time`.

        Parameters
        ----------
        column : str
            A column of `table`.

        Returns
        -------
        (n_rows,) float64
            On the scale of `time`; NaN where a cell is missing or no number.
        """
        numbers, _ = numbers_of(self.table[column])
        return onto(numbers, distinct_times(self.entry, self.time))

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
        columns = list(dict.fromkeys(columns))
        problems = _unknown_columns(columns, self.table)
        if problems:
            raise CohortError(join_problems(shown_name(self.source), problems))
        gaps = {column: self.table[column].isna().to_numpy(dtype=bool) for column in columns}
        gaps = {column: gap for column, gap in gaps.items() if gap.any()}
        if not gaps:
            return self
        any_gap = np.logical_or.reduce(list(gaps.values()))
        incomplete = np.zeros(self.n_patients, dtype=bool)
        incomplete[self.patient_index[any_gap]] = True
        if self.missing == "error":
            counts = [f"{shown(column)} in {int(gap.sum())}" for column, gap in gaps.items()]
            rest = f" and {len(counts) - 20} more columns" if len(counts) > 20 else ""
            raise CohortError(
                f"{shown_name(self.source)}: values are missing, of {self.n_rows} rows: "
                f"{', '.join(counts[:20])}{rest} ({int(incomplete.sum())} of {self.n_patients} "
                'patients); fill them in, or set missing = "drop" to leave these patients out'
            )
        reason = "missing " + shown_names(list(gaps))
        left_out = incomplete[self.patient_index]
        entry = Dropped(reason, int(incomplete.sum()), int(left_out.sum()))
        smaller = self._subset(~left_out)
        smaller = dataclasses.replace(smaller, dropped=(*self.dropped, entry))
        _check_enough(smaller, f"after leaving out {entry.n_patients} patients with {reason}")
        return smaller

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
        smaller = dataclasses.replace(
            self._subset(keep),
            excluded=(*self.excluded, *excluded),
            dropped=(*self.dropped, *dropped),
        )
        _check_enough(smaller, "after where")
        return smaller

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
        smaller = self._subset(~left_out)
        _check_enough(smaller, f"after leaving out {self.n_patients - smaller.n_patients} patients")
        return smaller

    def _subset(self, keep: NDArray[np.bool]) -> "Cohort":
        """Keep some rows, and the patients that have one of them."""
        kept_patients, patient_index = np.unique(self.patient_index[keep], return_inverse=True)
        return dataclasses.replace(
            self,
            table=_rows_of(self.table, keep),
            entry=self.entry[keep],
            time=self.time[keep],
            event=self.event[keep],
            patient_index=patient_index,
            patients=self.patients[kept_patients],
            row_number=self.row_number[keep],
            start=None if self.start is None else self.start[keep],
            censoring_end=None if self.censoring_end is None else self.censoring_end[keep],
        )


def read_cohort(
    source: "str | Path | pd.DataFrame",
    *,
    time: str,
    event: str,
    entry: str | None = None,
    id: str | None = None,
    unit: str | None = None,
    where: Iterable[object] = (),
    missing: Literal["error", "drop"] = "error",
    treatment_start: str | int | None = None,
    censoring_end: str | None = None,
    name: str | None = None,
) -> Cohort:
    """Read a table and check that it is a cohort.

    Parameters
    ----------
    source : str, Path or pandas.DataFrame
        A file (`bayes_crlm.reading` lists the formats), the name of a data set, or a table.
    time : str
        The column that says when follow-up ends: finite numbers above 0.
    event : str
        The column that says whether it ends with the event: 0/1 or true/false.
    entry : str, optional
        The column that says when a row's follow-up begins: finite numbers, 0 or more, before
        `time`. Without it follow-up begins at 0.
    id : str, optional
        The column that names the patient. Without it every row is a patient.
    unit : str, optional
        The time unit, for labels; a data set brings its own.
    where : iterable
        Conditions that rows must meet, see `Cohort.where`; rows that do not are not checked.
    missing : {"error", "drop"}
        What to do with missing values of covariates and of `where` columns. Time, event, entry
        and id must never be missing.
    treatment_start : str or 0, optional
        The column that says when treatment started, on the scale of `time`: finite numbers, 0 or
        more, empty for patients who never started. 0 says that treatment started at time 0.
    censoring_end : str, optional
        The column that says when a patient would have been censored because the study ended, on
        the scale of `time`: not before `time`, empty where it is not known. Whoever is censored
        then did not drop out.
    name : str, optional
        What messages and reports call the source.

    Returns
    -------
    Cohort
        With at least two patients and one event.

    Raises
    ------
    DataFileError
        When the file cannot be read as a table.
    CohortError
        When it is not a cohort; the message tells every problem found.
    """
    label = name if name is not None else _label(source)
    roles = {"time": time, "event": event, "entry": entry, "id": id}
    start_column = treatment_start if isinstance(treatment_start, str) else None
    roles |= {"treatment_start": start_column, "censoring_end": censoring_end}
    problems = _option_problems(roles, unit, missing, name)
    is_said = start_column is not None or treatment_start is None
    if not is_said and (isinstance(treatment_start, bool) or treatment_start != 0):
        problems.append(
            "treatment_start must be a column's name in text, or 0 where treatment started at "
            f"time 0, not {shown(treatment_start)}"
        )
    if problems:
        raise CohortError(join_problems(shown_name(label), problems))
    columns = list(dict.fromkeys(column for column in roles.values() if column is not None))
    table, sha256, is_synthetic, own_unit = _load(source, columns, id)
    shared = _shared_columns(roles)
    problems = shared + _unknown_columns(columns, table)
    row_number = np.arange(1, len(table) + 1)
    patient_of_row = patients_of(table[id])[1] if id in table.columns else row_number - 1
    keep, excluded, dropped, where_problems = select(
        table, where, missing, patient_of_row, row_number
    )
    problems += where_problems
    kept, row_number = _rows_of(table, keep), row_number[keep]
    if not where_problems and not shared:
        follow_up, row_problems = check_follow_up(
            kept, row_number, time=time, event=event, entry=entry, id=id
        )
        problems += row_problems
        start, row_problems = check_starts(kept, row_number, start_column, id, treatment_start)
        problems += row_problems
        end, row_problems = check_ends(kept, row_number, censoring_end, follow_up.time)
        problems += row_problems
    if problems:
        raise CohortError(join_problems(shown_name(label), problems))
    if start is not None:
        start = onto(start, distinct_times(follow_up.entry, follow_up.time))
    return Cohort(
        table=kept,
        entry=follow_up.entry,
        time=follow_up.time,
        event=follow_up.event,
        patient_index=follow_up.patient_index,
        patients=follow_up.patients,
        source=str(label),
        is_synthetic=is_synthetic,
        sha256=sha256,
        unit=unit if unit is not None else own_unit,
        time_column=time,
        event_column=event,
        entry_column=entry,
        id_column=id,
        missing=missing,
        dropped=dropped,
        row_number=row_number,
        excluded=excluded,
        start=start,
        start_column=start_column,
        censoring_end=end,
        censoring_end_column=censoring_end,
    )


def _label(source: object) -> str:
    """Name the source as the user did."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def _option_problems(
    roles: dict[str, Any], unit: object, missing: object, name: object
) -> list[str]:
    """Check the options' types."""
    problems = [
        f"{role} must be a column's name in text, not {shown(column)}"
        for role, column in roles.items()
        if not isinstance(column, str) and not (column is None and role in OPTIONAL_ROLES)
    ]
    for option, value in (("unit", unit), ("name", name)):
        if value is not None and not isinstance(value, str):
            problems.append(f"{option} must be text, not {shown(value)}")
    if not isinstance(missing, str) or missing not in ("error", "drop"):
        problems.append(f'missing must be "error" or "drop", not {shown(missing)}')
    return problems


def _shared_columns(roles: dict[str, str | None]) -> list[str]:
    """Say which columns are asked to be two things."""
    users: dict[str, list[str]] = {}
    for role, column in roles.items():
        if column is not None:
            users.setdefault(column, []).append(role)
    return [
        f"column {shown(column)} is used for {' and '.join(several)}; "
        "each needs a column of its own"
        for column, several in users.items()
        if len(several) > 1
    ]


def _load(
    source: object, columns: Sequence[str], id: str | None
) -> "tuple[pd.DataFrame, str, bool, str | None]":
    """Give the table, its sha256, whether it is synthetic, and its own time unit."""
    import pandas as pd

    from bayes_crlm.reading import data_sets, read_table

    datasets, load = data_sets()

    if isinstance(source, pd.DataFrame):
        table = _plain(source)
        return table, _sha256_of_csv(table), False, None
    if not isinstance(source, str | Path):
        raise CohortError(
            f"the source must be a path, a data set's name or a DataFrame, not {shown(source)}"
        )
    table, sha256 = read_table(source, numbers=columns, identifier=id)
    if isinstance(source, str) and source in datasets:
        dataset = datasets[source]
        return table, sha256, dataset.is_synthetic, dataset.unit
    # A copy of a synthetic data set is as synthetic under any other name.
    synthetic = [each for each, dataset in datasets.items() if dataset.is_synthetic]
    return table, sha256, any(load(each)[1] == sha256 for each in synthetic), None


def _sha256_of_csv(table: "pd.DataFrame") -> str:
    """Hash a table's text as CSV, without holding all of it."""
    digest = hashlib.sha256()
    for start in range(0, max(1, len(table)), ROWS_HASHED):
        rows = table.iloc[start : start + ROWS_HASHED]
        text = rows.to_csv(index=False, header=start == 0, lineterminator="\n")
        digest.update(text.encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()


def _plain(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Give the frame with a RangeIndex and unique column names."""
    import pandas as pd

    from bayes_crlm.reading import plain_index

    if isinstance(frame.columns, pd.MultiIndex):
        raise CohortError("DataFrame: its columns have several levels; they must have one")
    if not frame.columns.is_unique:
        twice = list(frame.columns[frame.columns.duplicated()].unique())
        raise CohortError(
            f"DataFrame: the column name {shown(twice[0])} occurs more than once; every column "
            "needs a name of its own"
        )
    return plain_index(frame)


def _unknown_columns(columns: Iterable[str], table: "pd.DataFrame") -> list[str]:
    """Say which columns the table does not have."""
    return [no_column(each, table.columns) for each in columns if each not in table.columns]


def _rows_of(table: "pd.DataFrame", keep: NDArray[np.bool]) -> "pd.DataFrame":
    """Keep some rows; categories that none of them has are forgotten."""
    if keep.all():
        return table
    table = table[keep].reset_index(drop=True)
    for column in table.columns[(table.dtypes == "category").to_numpy()]:
        table[column] = table[column].cat.remove_unused_categories()
    return table


def _check_enough(cohort: Cohort, when: str) -> None:
    """Refuse a cohort from which too much was left out."""
    if cohort.n_patients < 2 or cohort.n_events == 0:
        raise CohortError(
            f"{shown_name(cohort.source)}: {when}, {cohort.n_patients} patients with "
            f"{cohort.n_events} events are left; there must be at least 2 patients and 1 event"
        )
