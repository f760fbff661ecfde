"""Which rows of a table enter the analysis: the conditions of ``where``.

A condition compares one column with a value. A row whose value is missing meets no condition
and fails none: it is unknown, and the cohort decides (`missing`) whether that is an error.
"""

import datetime
import re
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import column_kind, plain_values, sorted_levels
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import SHOWN, count_of, did_you_mean, no_column, shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,9})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})?)?"
)
PARTS = ("column", "op", "value")
EQUALITY = ("==", "!=", "in", "not in")
METHODS = {"==": "eq", "!=": "ne", "<": "lt", "<=": "le", ">": "gt", ">=": "ge"}
"""Of a column of pandas, by operator."""
OPERATORS = (*METHODS, "in", "not in")
"""What a condition may ask."""
INFERRED = {
    "text": ("string",),
    "true/false": ("boolean",),
    "numbers": ("integer", "floating", "mixed-integer-float", "decimal"),
    "dates": ("date", "datetime", "datetime64"),
    "nothing": ("empty",),
}
"""What pandas calls the cells of a column that holds each kind."""
RIGHT = {
    "numbers": "a number",
    "true/false": "true or false",
    "text": "text in quotation marks",
    "dates": "a date as YYYY-MM-DD, such as 2015-12-31",
}
"""What each kind is compared with."""


@record
class Dropped:
    """Patients and rows that were left out, and why."""

    reason: str
    n_patients: int
    n_rows: int


@record
class Condition:
    """One condition: a column, an operator and what the column is compared with."""

    column: str
    op: str
    value: Any

    def __str__(self) -> str:
        is_plain = self.column.isidentifier() and len(self.column) <= 40
        value = self.value
        if isinstance(value, datetime.date):
            said = value.isoformat()
        elif isinstance(value, list | tuple) and any(isinstance(v, datetime.date) for v in value):
            said = f"[{', '.join(map(str, value))}]"
        else:
            said = shown(value)
        return f"{self.column if is_plain else shown(self.column)} {self.op} {said}"

    @classmethod
    def of(cls, given: object) -> "Condition":
        """Take a condition from a mapping or an object with column, op and value.

        Raises
        ------
        CohortError
            When a part is missing or unknown.
        """
        if isinstance(given, Mapping):
            parts = dict(given)
            for part in PARTS:
                if part not in parts:
                    raise CohortError(f"where: {shown(given)} has no {part!r}")
            for key in parts:
                if key not in PARTS:
                    raise CohortError(
                        f"where: {shown(key)} is not a part of a condition; "
                        f"{did_you_mean(key, PARTS)}"
                    )
        elif all(hasattr(given, part) for part in PARTS):
            parts = {part: getattr(given, part) for part in PARTS}
        else:
            raise CohortError(
                f"where: {shown(given)} is not a condition; it must have 'column', 'op' and 'value'"
            )
        if not isinstance(parts["column"], str):
            raise CohortError(f"where: the column must be text, not {shown(parts['column'])}")
        if not isinstance(parts["op"], str) or parts["op"] not in OPERATORS:
            raise CohortError(
                f"where: unknown op {shown(parts['op'])} for column {shown(parts['column'])}; "
                f"it must be one of {', '.join(OPERATORS)}"
            )
        return cls(**parts)


def kind_of(values: "pd.Series") -> str:
    """Say in plain words what a column holds, missing values aside.

    Returns
    -------
    str
        "numbers", "true/false", "text", "dates", "nothing", or "mixed values".
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.cat.categories.to_series()
    if (kind := column_kind(values)) in ("numbers", "true/false"):
        return kind
    try:
        inferred = pd.api.types.infer_dtype(values, skipna=True)
    except (TypeError, ValueError):
        return "mixed values"
    found = [kind for kind, names in INFERRED.items() if inferred in names]
    return found[0] if found else "mixed values"


def _is_of(kind: str, value: object) -> bool:
    """Whether a value can be compared with a column of this kind."""
    is_day = isinstance(value, str) and DATE.fullmatch(value) is not None
    return {
        "numbers": isinstance(value, Real) and value == value,
        "true/false": isinstance(value, Real) and value in (0, 1),
        "text": isinstance(value, str),
        "dates": isinstance(value, datetime.date) or is_day,
    }.get(kind, True)


def _checked(condition: Condition, value: Any, kind: str) -> Any:
    """Give the value as it compares with a column of this kind, or say why it does not."""
    import pandas as pd

    phrase = (
        f"where: column {shown(condition.column)} holds {kind}, but the value is {shown(value)}"
    )
    if not _is_of(kind, value):
        raise CohortError(f"{phrase}; it must be {RIGHT[kind]}")
    if kind != "dates":
        return value
    try:
        return pd.Timestamp(value)
    except (TypeError, ValueError, OverflowError):
        raise CohortError(f"{phrase}, which is not a day of the calendar") from None


def compare(condition: Condition, values: "pd.Series") -> tuple[NDArray[np.bool], NDArray[np.bool]]:
    """Compare a column with a condition's value.

    Parameters
    ----------
    condition : Condition
        What is asked.
    values : pandas.Series, (n_rows,)
        The condition's column.

    Returns
    -------
    met, unknown : (n_rows,) bool
        Rows that meet the condition, and rows whose value is missing.

    Raises
    ------
    CohortError
        When the value is not comparable with what the column holds.
    """
    kind = kind_of(values)
    unknown = values.isna().to_numpy(dtype=bool)
    met = np.zeros(len(values), dtype=bool)
    column, op = shown(condition.column), condition.op
    if kind == "mixed values":
        raise CohortError(
            f"where: column {column} holds values of several types; it must hold only numbers, "
            "only text, only true/false or only dates"
        )
    if op in ("in", "not in"):
        if not isinstance(condition.value, list | tuple | set | frozenset):
            raise CohortError(
                f"where: op {op!r} for column {column} needs a list, not {shown(condition.value)}"
            )
        value: Any = [_checked(condition, each, kind) for each in condition.value]
    else:
        value = _checked(condition, condition.value, kind)
        if kind == "text" and op not in EQUALITY:
            raise CohortError(
                f"where: column {column} holds text, which op {op!r} cannot put in order; use one "
                f"of {', '.join(EQUALITY)}"
            )
    if kind == "nothing":
        return met, unknown
    known = plain_values(values[~unknown])
    try:
        met[~unknown] = _answer(op, known, value, kind)
    except (TypeError, ValueError, OverflowError):
        hint = ""
        if kind == "dates":
            zone = getattr(known.dt, "tz", None) if hasattr(known, "dt") else None
            hint = (
                "; its dates have a time zone, so give one, as in 2015-12-31T00:00+00:00"
                if zone is not None
                else "; give a date without a time zone, such as 2015-12-31"
            )
        raise CohortError(
            f"where: column {column} holds {kind} that cannot be compared with "
            f"{shown(condition.value)}{hint}"
        ) from None
    return met, unknown


def _answer(op: str, known: "pd.Series", value: Any, kind: str) -> NDArray[np.bool]:
    """Compare values that are all there with a value of their kind."""
    import pandas as pd

    if kind == "dates":
        known = pd.to_datetime(known)
    if op in ("in", "not in"):
        if kind in ("numbers", "true/false"):
            # Equality by value, so that true is 1 and 2.0 is 2.
            found = np.zeros(len(known), dtype=bool)
            array = known.to_numpy()
            for each in value:
                found |= np.asarray(array == each, dtype=bool)
        else:
            found = known.isin(value).to_numpy(dtype=bool)
        return found if op == "in" else ~found
    return getattr(known, METHODS[op])(value).to_numpy(dtype=bool)


def select(
    table: "pd.DataFrame",
    conditions: Iterable[object],
    missing: str,
    patient_of_row: NDArray[np.intp],
    row_number: NDArray[np.int64],
) -> tuple[NDArray[np.bool], tuple[Dropped, ...], tuple[Dropped, ...], list[str]]:
    """Find the rows that meet every condition, and count those that do not, in turn."""
    keep = np.ones(len(table), dtype=bool)
    unknown = np.zeros(len(table), dtype=bool)
    excluded: list[Dropped] = []
    dropped: tuple[Dropped, ...] = ()
    problems: list[str] = []
    asked: list[Condition] = []
    gaps: list[tuple[str, NDArray[np.bool]]] = []
    if isinstance(conditions, str | bytes) or not isinstance(conditions, Iterable):
        return keep, (), (), [f"where must be a list of conditions, not {shown(conditions)}"]
    for given in conditions:
        try:
            condition = Condition.of(given)
            if condition.column not in table.columns:
                raise CohortError(f"where: {no_column(condition.column, table.columns)}")
            met, gap = compare(condition, table[condition.column])
        except CohortError as error:
            problems.append(str(error))
            continue
        asked.append(condition)
        before = keep
        keep = keep & (met | gap)
        unknown |= gap
        gaps.append((condition.column, gap))
        excluded.append(_left_out(f"not {condition}", before, keep, patient_of_row))
    if problems:
        rest = len(problems) - SHOWN
        return keep, (), (), problems[:SHOWN] + ([f"where: {rest} more"] if rest > 0 else [])
    unknown &= keep
    if unknown.any():
        columns = list(dict.fromkeys(column for column, gap in gaps if (gap & unknown).any()))
        if missing == "error":
            n = int(unknown.sum())
            phrase = f"where: values are missing in {shown_names(columns)}, so that it is unknown"
            phrase += f" whether {count_of(n, 'row')} {'belongs' if n == 1 else 'belong'} to the "
            phrase += f"cohort (the first is row {row_number[unknown][0]}); "
            phrase += 'fill them in, or set missing = "drop"'
            return keep, (), (), [phrase]
        before = keep
        # rows that name no patient are not one patient's
        is_named = patient_of_row >= 0
        keep = keep & ~unknown & ~(np.isin(patient_of_row, patient_of_row[unknown]) & is_named)
        dropped = (_left_out(f"missing {shown_names(columns)}", before, keep, patient_of_row),)
    if asked and not keep.any():
        phrase = " and ".join(str(condition) for condition in asked[:SHOWN])
        problems.append(f"where: no row is left that meets {phrase}; loosen the conditions")
    return keep, tuple(each for each in excluded if each.n_rows), dropped, problems


def _left_out(
    reason: str,
    before: NDArray[np.bool],
    after: NDArray[np.bool],
    patient_of_row: NDArray[np.intp],
) -> Dropped:
    """Count the rows that went, and the patients that lost all their rows."""
    n_patients = len(np.unique(patient_of_row[before])) - len(np.unique(patient_of_row[after]))
    return Dropped(reason, n_patients, int(before.sum() - after.sum()))


def unmatched_values(table: "pd.DataFrame", conditions: Iterable[object]) -> list[str]:
    """Name values of conditions that no row of the table holds: a word spelt otherwise, perhaps.

    Parameters
    ----------
    table : pandas.DataFrame
        All rows, before any is left out.
    conditions : iterable
        As of `select`, without anything wrong with them.

    Returns
    -------
    list of str
        A sentence for each condition with such a value.
    """
    phrases = []
    for given in conditions:
        condition = Condition.of(given)
        if condition.op not in EQUALITY:
            continue
        is_list = condition.op in ("in", "not in")
        values = condition.value if is_list else [condition.value]
        column = table[condition.column]
        absent = [
            each
            for each in values
            if not compare(Condition(condition.column, "==", each), column)[0].any()
        ]
        if absent:
            phrases.append(
                f"where: no row holds {shown_names(absent)} in column {shown(condition.column)}; "
                f"it holds {shown_names(sorted_levels(column.dropna().unique()))}"
            )
    return phrases
