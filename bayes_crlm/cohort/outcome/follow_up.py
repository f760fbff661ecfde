"""Follow-up columns to numbers, with everything that can be wrong with them.

All checks are vectorised: their time and memory grow linearly with the rows, but for one sort
of the rows within patients.
"""

import datetime
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    MARKS,
    as_float,
    column_kind,
    kind_of_type,
    level_text,
    number_in,
    plain_values,
)
from bayes_crlm.likelihood.tied_times import one_time_each
from bayes_crlm.words.shown import significant
from bayes_crlm.words.wording import SHOWN, listed_first, rows_where, shown, shown_rows

if TYPE_CHECKING:
    import pandas as pd

NUMBER, MISSING, TEXT, TRUTH, DATE, OTHER = range(6)
KINDS = {
    MISSING: "is missing",
    TEXT: "is text",
    TRUTH: "is true/false",
    DATE: "is a date",
    OTHER: "is not a number",
}
MUST_BE = {
    "time": "every time must be a finite number above 0",
    "entry": "every entry must be a finite number, 0 or more",
    "event": "every event must be 0 or 1, or true or false",
    "id": "every row must name its patient",
    "treatment_start": "every start must be a finite number, 0 or more, or empty for patients who "
    "never started",
    "censoring_end": "every end must be a finite number above 0, or empty where none is known",
}
FAR = 1e6
"""A time of so many medians is a mistake, not a follow-up."""

ROUNDING = 1e-9
"""Rows of one patient may overlap by this share of the time: sums of decimals are rounded."""


Times = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FollowUp:
    """The follow-up of n rows and their patients, as `bayes_crlm.cohort.cohort.Cohort` has it."""

    entry: Times
    time: Times
    event: NDArray[np.int8]
    patient_index: NDArray[np.intp]
    patients: NDArray[Any]
    start: Times | None = None
    censoring_end: Times | None = None

    def rows(self, keep: NDArray[np.bool]) -> Self:
        """Keep some rows, and the patients that have one of them."""
        index = self.patient_index[keep]
        left = np.unique(index[index >= 0])
        place = np.full(len(self.patients) + 1, -1)
        place[left] = np.arange(len(left))
        return replace(
            self,
            entry=self.entry[keep],
            time=self.time[keep],
            event=self.event[keep],
            patient_index=place[index],
            patients=self.patients[left],
            start=None if self.start is None else self.start[keep],
            censoring_end=None if self.censoring_end is None else self.censoring_end[keep],
        )


def numbers_of(values: "pd.Series") -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Turn a column into numbers, and say of every cell what it is.

    Text that is wholly a number, "12.5" for example, is that number.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        A column of any type.

    Returns
    -------
    numbers : (n_rows,) float64
        NaN where a cell is not a number.
    kinds : (n_rows,) int8
        NUMBER, MISSING, TEXT, TRUTH, DATE or OTHER.
    """
    import pandas as pd

    values = plain_values(values)
    kind = column_kind(values)
    missing = values.isna().to_numpy(dtype=bool)
    kinds = np.where(missing, MISSING, NUMBER).astype(np.int8)
    numbers = np.full(len(values), np.nan)
    if kind == "true/false":
        kinds[~missing] = TRUTH
    elif kind == "numbers":
        numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
    elif kind == "dates":
        kinds[~missing] = DATE
    elif kind == "text":
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        kinds[np.isnan(numbers) & ~missing] = TEXT
    else:
        cells = values.astype(object).to_numpy()
        for row in np.flatnonzero(~missing):
            numbers[row], kinds[row] = _number_of(cells[row])
    return numbers, kinds


def _number_of(cell: object) -> tuple[float, int]:
    """Turn one cell of a column of mixed values into a number."""
    if isinstance(cell, str):
        number = number_in(cell)
        return number, TEXT if np.isnan(number) else NUMBER
    kind = kind_of_type(type(cell))
    if kind == "number":
        return as_float(cell), NUMBER
    if kind == "truth":
        return np.nan, TRUTH
    is_date = kind == "date" or isinstance(cell, datetime.time)
    return np.nan, DATE if is_date else OTHER


def patients_of(values: "pd.Series") -> tuple[NDArray[Any], NDArray[np.intp]]:
    """Number the patients in order of appearance.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        The id column. Texts are names without their outer spaces; marks of missing are none.

    Returns
    -------
    patients : (n_patients,)
        Their labels.
    patient_index : (n_rows,) intp
        Each row's place in `patients`, -1 where the id is missing.
    """
    import pandas as pd

    values = plain_values(values)
    kind = column_kind(values)
    if kind == "text":
        names = values.str.strip()
        values = names.mask(names.isin(MARKS))
    elif kind == "objects":
        missing = values.isna().to_numpy(dtype=bool).tolist()
        cells = [
            None if gap or (isinstance(cell, str) and cell.strip() in MARKS) else cell
            for cell, gap in zip(values.to_list(), missing, strict=True)
        ]
        if not all(cell is None or type(cell) is int for cell in cells):
            cells = [None if cell is None else _name_of(cell) for cell in cells]
        values = pd.Series(cells, dtype=object)
    elif kind not in ("numbers", "true/false"):
        names = values.map(_name_of, na_action="ignore").astype(object)
        values = names.where(values.notna(), None)
    patient_index, patients = pd.factorize(values)
    return np.asarray(patients), patient_index.astype(np.intp)


def _name_of(cell: object) -> str:
    """Write a patient's name as text, of whatever type it is: files of results hold one type."""
    if isinstance(cell, bytes):
        return cell.decode("utf-8", errors="backslashreplace")
    if isinstance(cell, list | tuple | set | dict | frozenset | np.ndarray):
        return shown(cell, 1000)
    return level_text(cell)


def check_follow_up(
    follow_up: FollowUp, row_number: NDArray[np.int64], roles: dict[str, str | None]
) -> tuple[FollowUp, list[str]]:
    """Apply the rule of ties, and find everything wrong with rows and patients.

    Parameters
    ----------
    follow_up : FollowUp
        NaN where a column is not there or a cell is wrong, which is said already.
    row_number : (n_rows,) int
        1-based row numbers in the file, for the messages.
    roles : dict
        The columns of time, entry and id.

    Returns
    -------
    follow_up : FollowUp
        Meaningful only when there are no problems.
    problems : list of str
        One for each kind of problem, with the first rows that have it.
    """
    entries, times = follow_up.entry, follow_up.time
    time, entry, id = roles["time"], roles["entry"], roles["id"]
    problems: list[str] = []
    late = entries >= times
    if late.any():
        problems.append(
            f"column {shown(time)} (time) is zero in {rows_where(late, row_number, times)} after "
            "rounded times were drawn; say what becomes of such rows with zero_times"
            if entry is None
            else f"entry (column {shown(entry)}) is not before time (column {shown(time)}) in "
            f"{rows_where(late, row_number, entries, times)}; every entry must be before its time"
        )
    problems += _far_times(times, str(time), row_number)
    follow_up, found = _tied(follow_up, row_number)
    problems += found
    if id is not None:
        problems += _check_patients(follow_up, entry, f"column {shown(id)} (id)", row_number)
    n_patients = len(follow_up.patients)
    if n_patients < 2:
        problems.append(
            f"there {'is 1 patient' if n_patients else 'are no patients'}; a cohort needs at "
            "least 2"
        )
    with np.errstate(over="ignore"):
        exposure = (follow_up.time - follow_up.entry).sum()
    if not problems and np.isinf(exposure):
        problems.append(
            f"column {shown(time)} (time) has values so large that the total follow-up is "
            "infinite; use a larger time unit"
        )
    return follow_up, problems


def _far_times(times: Times, column: str, row_number: NDArray[np.int64]) -> list[str]:
    """Refuse times that cannot be of the same study as the others.

    The longest of real follow-ups is some hundreds of times the median; one of a million
    times as long would take every digit from the others.
    """
    known = times[np.isfinite(times)]
    if not len(known):
        return []
    median = float(np.median(known))
    rows = rows_where(times / FAR > median, row_number, times)
    if not rows:
        return []
    return [
        f"column {shown(column)} (time) is more than a million times its median "
        f"{significant(median, 4)} in {rows}; correct it, or leave the row out with where"
    ]


def _tied(follow_up: FollowUp, row_number: NDArray[np.int64]) -> tuple[FollowUp, list[str]]:
    """Make times that differ by rounding one time, and refuse rows that this leaves no width."""
    entries, times = follow_up.entry, follow_up.time
    if entries.any():
        entry, time = one_time_each(entries, times)
    else:
        # without late entry the origin is not a time of its own, as in R
        entry, (time,) = entries, one_time_each(times)
    gone = (entries < times) & (entry >= time)
    if not gone.any():
        return replace(follow_up, entry=entry, time=time), []
    return follow_up, [
        "the follow-up is shorter than the rounding of the times in "
        f"{rows_where(gone, row_number, entries, times, between=' to ')}; leave such rows out, or "
        "join them to the patient's row before or after"
    ]


def wrong_rows(
    values: "pd.Series",
    role: str,
    what: str,
    bad: NDArray[np.bool],
    row_number: NDArray[np.int64],
    right: str | None = None,
) -> list[str]:
    """Say what is wrong with a column and in which rows; nothing when no row is bad."""
    rows = rows_where(bad, row_number, *([] if what == "is missing" else [values]))
    if not rows:
        return []
    right = MUST_BE[role] if right is None else right
    if what == "is text" and any("," in shown(cell) for cell in values[bad].head(SHOWN)):
        right += " with a decimal point"
    return [f"column {shown(values.name)} ({role}) {what} in {rows}; {right}"]


def _check_patients(
    follow_up: FollowUp, entry: str | None, phrase: str, row_number: NDArray[np.int64]
) -> list[str]:
    """Check that the rows of each patient follow one another and only the last has the event."""
    patients, patient_index = follow_up.patients, follow_up.patient_index
    entries, times = follow_up.entry, follow_up.time
    if entry is None:
        counts = np.bincount(patient_index[patient_index >= 0], minlength=len(patients))
        several = np.flatnonzero(counts > 1)
        if not len(several):
            return []
        first = several[0]
        rows = shown_rows(row_number[patient_index == first])
        n_more = len(several) - 1
        others = f" (and {n_more} more patient{'s' * (n_more > 1)})" if n_more else ""
        problem = (
            f"{phrase} names patient {shown(patients[first])} in {rows}{others}; give `entry`, the "
            "column that says when each row begins, or one row per patient"
        )
        return [problem]
    # Rows with another problem have no interval yet; they are left out here, not guessed at.
    usable = np.flatnonzero((patient_index >= 0) & np.isfinite(entries) & np.isfinite(times))
    usable = usable[entries[usable] < times[usable]]
    order = usable[np.lexsort((times[usable], entries[usable], patient_index[usable]))]
    before, after = order[:-1], order[1:]
    same = patient_index[before] == patient_index[after]
    problems = []
    # Sorted by entry, any two rows that overlap make two neighbours overlap.
    overlap = same & (entries[after] < times[before] * (1 - ROUNDING))
    if overlap.any():
        k = np.flatnonzero(overlap)
        pairs = [
            f"{row_number[before[j]]} and {row_number[after[j]]} (patient "
            f"{shown(patients[patient_index[after[j]]])})"
            for j in k[:5].tolist()
        ]
        problems.append(
            f"{phrase} has overlapping rows: rows {listed_first(pairs, len(k) - 5)}; each row of a "
            "patient must begin when or after the one before ends"
        )
    early = same & (follow_up.event[before] == 1) & ~overlap
    if early.any():
        k = before[early]
        names = patients[patient_index[k[:5]]]
        problems.append(
            f"{phrase} has an event before the patient's last row in "
            f"{shown_rows(row_number[k], [f'patient {shown(p)}' for p in names])}; only "
            "the last row of a patient may end with the event"
        )
    return problems
