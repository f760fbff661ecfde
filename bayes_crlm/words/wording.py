"""How error messages name values, rows and columns: on one line, and never at length."""

import datetime
import difflib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

SYNTHETIC = "synthetic, not patient data"
"""What is said of data that were made up, wherever a number of them is shown."""
SHOWN = 5
"""How many rows, columns or problems a message names before it counts the rest."""


def shown(value: object, length: int = 40) -> str:
    """Write a value as Python would, on one line of bounded length.

    Parameters
    ----------
    value : object
        A cell of a table, a column name or an option's value.
    length : int
        The most characters; a longer text is cut and ends in an ellipsis.
    """
    if isinstance(value, datetime.date | datetime.time):
        return _dated(value)
    if type(value).__name__ == "datetime64":  # of nanoseconds: `item` would be a number
        return str(value)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", None) == 0:
        # A NumPy scalar writes itself as np.float64(1.0), which is not what the file says.
        value = item()
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def _dated(value: datetime.date | datetime.time) -> str:
    """Write a date or a time as YYYY-MM-DD and hh:mm do, without a midnight that nobody wrote."""
    text = value.isoformat() if value == value else "no date"  # pandas' NaT is unlike itself
    return text.replace("T", " ").removesuffix(" 00:00:00")


def shown_name(name: object, length: int = 200) -> str:
    """Write a file's or data set's name plainly; quoted and escaped only where it is odd.

    Parameters
    ----------
    name : object
        A path or a name.
    length : int
        The most characters; the middle of a longer name is left out.
    """
    text = str(name)
    if not text.isprintable() or not text.strip():
        text = ascii(text)
    if len(text) > length:
        half = (length - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return text


def shown_names(names: Sequence[object], most: int = 8) -> str:
    """List names with commas, at most `most` of them, then how many more there are."""
    return listed_first([shown(name) for name in names[:most]], len(names) - most)


def listed_first(
    phrases: Sequence[str], rest: int, separator: str = ", ", what: str = "more"
) -> str:
    """List some phrases, then how many more there are, if there are: "a, b and 3 more"."""
    text = separator.join(phrases)
    return f"{text} and {rest} {what}" if rest > 0 else text


def shown_rows(
    rows: "Sequence[int] | NDArray[np.integer]",
    notes: Iterable[str] | None = None,
    most: int = SHOWN,
) -> str:
    """Name rows of a table, each with a note: ``rows 3 ('x') and 8 (-1)``.

    Parameters
    ----------
    rows : sequence or (n,) array of int
        1-based row numbers, at least one.
    notes : iterable of str, optional
        What is said of each row, its value for example; at least `most` of them, or all.
    most : int
        How many rows are named before the rest are counted.
    """
    first = [str(int(row)) for row in rows[:most]]
    if notes is not None:
        first = [f"{row} ({note})" for row, note in zip(first, notes, strict=False)]
    rest = len(rows) - most
    if rest > 0:
        return f"rows {listed_first(first, rest)}"
    if len(first) == 1:
        return f"row {first[0]}"
    return f"rows {', '.join(first[:-1])} and {first[-1]}"


def rows_where(
    bad: "NDArray[np.bool]",
    row_number: "NDArray[np.integer]",
    *cells: "NDArray | pd.Series",
    between: str = " and ",
) -> str:
    """Name the rows of a file in which something is wrong, each with what its cells hold.

    Parameters
    ----------
    bad : (rows,) array of bool
        Which they are.
    row_number : (rows,) array of int
        1-based row numbers in the file.
    *cells : (rows,) array or pandas.Series
        Columns whose values are said of each row.
    between : str
        Stands between the values of a row.

    Returns
    -------
    str
        As of `shown_rows`; empty where nothing is wrong.
    """
    (rows,) = bad.nonzero()
    if not len(rows):
        return ""
    first = zip(*(each.take(rows[:SHOWN]) for each in cells), strict=True)
    notes = [between.join(map(shown, of_row)) for of_row in first]
    return shown_rows(row_number[rows], notes or None)


def count_of(number: int, one: str, many: str | None = None) -> str:
    """Write a number with its noun in the right number: "1 event", "2 events"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def in_rows(counts: Sequence[tuple[str, int]]) -> str:
    """Say in how many rows each of several things is: "'NA' in 3, '.' in 1 row"."""
    said = [f"{name} in {n:,}" for name, n in counts[:-1]]
    name, n = counts[-1]
    return ", ".join([*said, f"{name} in {count_of(n, 'row')}"])


def nearest(name: object, known: Iterable[object]) -> str | None:
    """Give the nearest known name; None when none is near."""
    by_lower = {str(each)[:200].lower(): str(each) for each in reversed(list(known))}
    near = difflib.get_close_matches(str(name)[:200].lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def did_you_mean(name: object, known: Iterable[object], most: int = 8) -> str:
    """Suggest the nearest known name, or list the names when none is near.

    Parameters
    ----------
    name : object
        What was asked for.
    known : iterable
        What there is.
    most : int
        So many names are listed.

    Returns
    -------
    str
        ``did you mean 'os_months'?`` or ``there are 'a', 'b' and 3 more``.
    """
    names = [str(each) for each in known]
    near = nearest(name, names)
    if near is not None:
        return f"did you mean {shown(near)}?"
    return f"there are {shown_names(names, most)}" if names else "there are none"


def no_column(column: object, columns: Iterable[object]) -> str:
    """Say that a table has no such column, and which it may be instead."""
    return f"there is no column {shown(column, 200)}; {did_you_mean(column, columns)}"


def one_line(error: object) -> str:
    """Give an error's own words on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= 160 else text[:159] + "…"
