"""What the cells of columns mean: marks of missing, numbers written as text, levels.

Levels are their text: 1 for the number 1.0, text without its outer spaces.
"""

import datetime
import re
from collections.abc import Iterable
from decimal import Decimal
from functools import cache
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.limits import MOST_LEVELS
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pandas as pd

MARKS = frozenset({"", ".", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null"})
"""Texts that are no value, as they are written; ``None`` and ``none`` are levels."""
DASH = "-"
"""No value either, in a column whose other values are numbers."""

NUMBER = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity)", re.IGNORECASE
)
WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
PLAIN = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?")
DATE = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,9})?)?)?"
)
EXACT_WHOLE = 2**53


@record
class ColumnRead:
    """A column as it was read.

    Attributes
    ----------
    values : pandas.Series
        Numbers, true/false, dates, text or categories; what is none of these as it came.
    notes : tuple of str
        What was done that a reader should know, a phrase each.
    texts : (n_rows,) ndarray of object, or None
        How numbers are written where that tells apart what the numbers do not (01 and 1).
    """

    values: "pd.Series"
    notes: tuple[str, ...] = ()
    texts: NDArray[np.object_] | None = None


KINDS_OF_TYPES = {
    **dict.fromkeys("iuf", "numbers"),
    **{"b": "true/false", "M": "dates", "m": "durations"},
}
"""What a column holds, by its type's letter."""


def column_kind(values: "pd.Series") -> str:
    """Say what a column's type holds.

    Returns
    -------
    str
        "numbers", "true/false", "dates", "durations", "text", "categories", "objects" (cells of any
        type), or "others".
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return "categories"
    if isinstance(values.dtype, pd.StringDtype):
        return "text"
    is_object = values.dtype == object
    return "objects" if is_object else KINDS_OF_TYPES.get(values.dtype.kind, "others")


def column_like(values: "pd.Series", cells: Any, dtype: Any = None) -> "pd.Series":
    """Make a column of the rows and the name of another."""
    import pandas as pd

    return pd.Series(cells, index=values.index, name=values.name, dtype=dtype)


def plain_values(values: "pd.Series") -> "pd.Series":
    """Give a type of categories as what its categories are; other columns as they come."""
    if column_kind(values) != "categories":
        return values
    dtype = values.cat.categories.dtype
    # whole numbers of NumPy have no place for a missing one
    has_no_place = dtype.kind in "iu" and values.isna().any()
    return values.astype(object if has_no_place else dtype)


def few_levels(values: "pd.Series") -> set[Any]:
    """Give the levels of a column of text or categories; none where they are too many to be any."""
    if column_kind(values) not in ("text", "categories"):
        return set()
    levels = values.dropna().unique()
    return set(levels) if len(levels) <= MOST_LEVELS else set()


@cache
def kind_of_type(kind: type) -> str:
    """Say what cells of a type hold: "text", "truth", "number", "date" or "other"."""
    if issubclass(kind, str):
        return "text"
    if issubclass(kind, bool | np.bool):
        return "truth"
    if issubclass(kind, np.timedelta64):  # NumPy's durations call themselves whole numbers
        return "other"
    if issubclass(kind, Real | Decimal):
        return "number"
    is_date = issubclass(kind, datetime.datetime | datetime.date | np.datetime64)
    return "date" if is_date else "other"


def is_number(text: str) -> bool:
    """Whether a text is wholly a number, with a decimal point."""
    return NUMBER.fullmatch(text) is not None


def level_text(value: object) -> str:
    """Write a value as the level that it is: 1 for 1.0, text without its outer spaces."""
    if isinstance(value, str):
        return value.strip()
    kind = kind_of_type(type(value))
    if kind == "truth":
        return str(bool(value))
    if kind == "number":
        number = as_float(value)
        if isinstance(value, int | np.integer) or not number.is_integer():
            return str(value) if isinstance(value, int | np.integer) else repr(number)
        return str(int(number))
    if isinstance(value, datetime.date):
        return value.isoformat()
    return str(value)


def sorted_levels(levels: Iterable[Any]) -> list[Any]:
    """Sort levels: by number where all of them are numbers, else as text."""
    levels = list(levels)
    if all(is_number(level_text(each)) for each in levels):
        return sorted(levels, key=lambda each: (float(level_text(each)), level_text(each)))
    return sorted(levels, key=level_text)


def number_in(text: str) -> float:
    """Give the number that a text is, as Python reads it; NaN where it is none."""
    try:
        return float(text) if "_" not in text else np.nan
    except ValueError:
        return np.nan


def as_float(cell: Any) -> float:
    """Give a number of any type as a float; infinity where it is too large for one."""
    try:
        return float(str(cell) if isinstance(cell, (np.float32, np.float16)) else cell)
    except OverflowError:
        return np.inf
