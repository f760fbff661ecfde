"""Any column of any table as numbers, true and false, dates, or levels, with what was done to it.

The same rules hold for every file format and for tables made in Python:

- A column is numbers when every value is one, whatever type its cells have (Stata's integers
  with a blank, decimals, a cell of a spreadsheet stored as text beside numbers).
- Marks of missing count as missing, and are counted.
- Levels are their text. Outer spaces are taken off; nothing else makes two texts one.
- Levels of a type of categories keep an order that its maker declared; any other order may be
  that of the rows, and means nothing, so that levels are sorted.

Whoever uses a column says what it may be: `bayes_crlm.covariates` what a covariate may.
"""

import datetime
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.wording import shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "MARKS",
    "ColumnRead",
    "column_from_texts",
    "decimals_of",
    "is_number",
    "is_short_float",
    "level_text",
    "read_column",
    "sorted_levels",
]

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


@dataclass(frozen=True)
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


def is_number(text: str) -> bool:
    """Whether a text is wholly a number, with a decimal point."""
    return NUMBER.fullmatch(text) is not None


def level_text(value: object) -> str:
    """Write a value as the level that it is: 1 for 1.0, text without its outer spaces."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool | np.bool):
        return str(bool(value))
    if isinstance(value, Real | Decimal):
        number = _as_float(value)
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


def column_from_texts(values: "pd.Series") -> ColumnRead:
    """Read a column of a text file, of which every cell is a text.

    Parameters
    ----------
    values : pandas.Series of str, (n_rows,)

    Returns
    -------
    ColumnRead
        Whole numbers as int64 when none is missing, other numbers as float64.
    """
    import pandas as pd

    codes, found = pd.factorize(values)
    raw = [str(each) for each in found]
    texts = [each.strip() for each in raw]
    counts = np.bincount(codes, minlength=len(raw))
    gaps = np.array([each in MARKS for each in texts], dtype=bool)
    given = [each for each in texts if each not in MARKS]
    numbers = [each for each in given if is_number(each)]
    if numbers and all(each == DASH or is_number(each) for each in given):
        gaps |= np.array([each == DASH for each in texts], dtype=bool)
        given = numbers
    notes = _marks_told(texts, counts, gaps)
    if not given:
        return ColumnRead(pd.Series(np.nan, index=values.index, name=values.name), notes)
    if len(numbers) == len(given):
        parsed = np.array([np.nan if gap else float(t) for t, gap in zip(texts, gaps, strict=True)])
        is_whole = not gaps.any() and all(WHOLE.fullmatch(each) for each in given)
        if is_whole:
            parsed = np.array([int(each) for each in texts], dtype=np.int64)
        told, written = _written_numbers(texts, gaps, parsed)
        of_row = None if written is None else written[codes]
        column = pd.Series(parsed[codes], index=values.index, name=values.name)
        return ColumnRead(column, (*notes, *told), of_row)
    if {each.lower() for each in given} <= {"true", "false"}:
        truth = [None if gap else t.lower() == "true" for t, gap in zip(texts, gaps, strict=True)]
        dtype = "boolean" if gaps.any() else bool
        column = pd.Series(pd.array(truth, dtype="boolean"))[codes].astype(dtype)
        return ColumnRead(column.set_axis(values.index).rename(values.name), notes)
    read = _levels_of(raw, texts, gaps, codes, values)
    told = _mixture_told(given, numbers)
    return ColumnRead(read.values, (*notes, *told, *read.notes))


def _mixture_told(given: list[str], numbers: list[str]) -> tuple[str, ...]:
    """Say that a column holds numbers and text, which makes its numbers levels."""
    if not numbers:
        return ()
    texts = sorted(set(given) - set(numbers))
    return (
        f"it holds numbers ({shown_names(sorted(set(numbers)), 3)}) and text "
        f"({shown_names(texts, 3)}), so that every value is a level",
    )


def read_column(values: "pd.Series") -> ColumnRead:
    """Read a column of any type, from any other source than a text file.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)

    Returns
    -------
    ColumnRead
        With the series itself where nothing is to be done.
    """
    import pandas as pd

    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind != "O":
        return ColumnRead(decimals_of(values) if is_short_float(dtype) else values)
    if isinstance(dtype, pd.CategoricalDtype):
        return _read_categories(values)
    if isinstance(dtype, pd.StringDtype):
        return _read_texts(values)
    if isinstance(dtype, pd.SparseDtype):
        return read_column(values.sparse.to_dense())
    if isinstance(dtype, pd.ArrowDtype):
        plain = _without_arrow(values)
        return ColumnRead(values) if plain is None else read_column(plain)
    if pd.api.types.is_bool_dtype(dtype):
        return ColumnRead(values if values.isna().any() else values.astype(bool))
    if pd.api.types.is_numeric_dtype(dtype):
        narrow = _narrowed(values)
        return ColumnRead(decimals_of(narrow) if is_short_float(dtype) else narrow)
    return _read_objects(values) if pd.api.types.is_object_dtype(dtype) else ColumnRead(values)


def _narrowed(values: "pd.Series") -> "pd.Series":
    """Give numbers of a nullable type NumPy's type."""
    if values.dtype.kind == "f":
        return values.astype(values.dtype.name.lower())
    if values.isna().any():
        return values.astype("float64")
    return values.astype("int64" if values.dtype.kind == "i" else values.dtype.name.lower())


def is_short_float(dtype: Any) -> bool:
    """Whether numbers have fewer than 64 bits: Stata's, Parquet's and SAS's float."""
    return dtype.kind == "f" and dtype.itemsize < 8


def decimals_of(values: "pd.Series") -> "pd.Series":
    """Give numbers of 32 bits as the decimals that were stored in them.

    1.2 in 32 bits is 1.2000000476837158 in 64: beyond a landmark at 1.2, and no tie of 1.2 in
    another column. The shortest decimal that 32 bits hold as this number is what was stored.
    """
    import pandas as pd

    found, codes = np.unique(values.to_numpy(), return_inverse=True)
    numbers = found.astype(str).astype(np.float64)
    return pd.Series(numbers[codes], index=values.index, name=values.name)


def _without_arrow(values: "pd.Series") -> "pd.Series | None":
    """Give an Arrow column as a plain one; None for types that pandas cannot hold."""
    import pandas as pd
    import pyarrow as pa

    try:
        plain = pa.chunked_array(pa.array(values.array)).to_pandas()
    except (pa.ArrowException, TypeError, ValueError):
        return None
    if isinstance(plain.dtype, pd.ArrowDtype):
        return None
    return plain.set_axis(values.index).rename(values.name)


def _marks_told(texts: list[str], counts: NDArray[np.intp], gaps: NDArray[np.bool]) -> Any:
    """Say how many cells are missing, by how they are marked."""
    marked: Counter[str] = Counter()
    for text, count, gap in zip(texts, counts.tolist(), gaps.tolist(), strict=True):
        if gap:
            marked[text] += count
    if not marked:
        return ()
    said = [
        f"{'empty' if mark == '' else shown(mark)} in {n}" for mark, n in sorted(marked.items())
    ]
    return (f"marks of missing: {', '.join(said)} rows",)


def _written_numbers(
    texts: list[str], gaps: NDArray[np.bool], parsed: NDArray[Any]
) -> tuple[tuple[str, ...], NDArray[np.object_] | None]:
    """Give numbers as they are written, where levels by number would not be their texts.

    0 and 0.0 are one level. 01 is not written as numbers are, and 1.10 beside 1.1 is the same
    number in another text: with either, levels are texts.
    """
    if len(set(parsed[~gaps].tolist())) == len(texts) - gaps.sum() and all(
        gap or PLAIN.fullmatch(text) for text, gap in zip(texts, gaps.tolist(), strict=True)
    ):
        return (), None
    written: NDArray[np.object_] = np.array(
        [
            None if gap else re.sub(r"(?<=[0-9])\.0+$", "", text)
            for text, gap in zip(texts, gaps, strict=True)
        ],
        dtype=object,
    )
    by_number: dict[float, set[str]] = {}
    for text in written:
        if text is not None:
            by_number.setdefault(float(text), set()).add(text)
    several = [sorted(same) for _, same in sorted(by_number.items()) if len(same) > 1]
    is_plain = all(text is None or PLAIN.fullmatch(text) for text in written)
    if is_plain and not several:
        return (), None
    if not several:
        return (), written
    pairs = "; ".join(" and ".join(map(shown, same)) for same in several[:3])
    more = f" and {len(several) - 3} more" if len(several) > 3 else ""
    told = (
        f"the same number in several texts: {pairs}{more}; as the treatment and in C() they are "
        "levels of their own, elsewhere one number"
    )
    return (told,), written


def _levels_of(
    raw: list[str],
    texts: list[str],
    gaps: NDArray[np.bool],
    codes: NDArray[np.intp],
    values: "pd.Series",
) -> ColumnRead:
    """Give texts as levels, or as dates where every one is an ISO date."""
    import pandas as pd

    clean = [None if gap else text for text, gap in zip(texts, gaps.tolist(), strict=True)]
    given = [text for text in clean if text is not None]
    index, name = values.index, values.name
    if given and all(DATE.fullmatch(text) for text in given):
        try:
            dates = pd.Series(pd.to_datetime(pd.Series(clean, dtype=object), format="ISO8601"))
            return ColumnRead(_taken(dates, codes).set_axis(index).rename(name))
        except (ValueError, OverflowError):
            pass  # a day that no calendar has stays a text, and is refused where a date is asked
    column = _taken(pd.Series(clean, dtype="str"), codes).set_axis(index).rename(name)
    spaced = [r for r, gap in zip(raw, gaps.tolist(), strict=True) if not gap and r != r.strip()]
    notes: tuple[str, ...] = ()
    if spaced:
        n = int(np.isin(codes, [raw.index(each) for each in spaced]).sum())
        notes = (f"outer spaces are taken off in {n} rows ({shown_names(sorted(spaced), 3)})",)
    return ColumnRead(column, notes)


def _taken(of_code: "pd.Series", codes: NDArray[np.intp]) -> "pd.Series":
    """Give every row its code's value; a negative code has none."""
    import pandas as pd

    padded = pd.concat([of_code, of_code.iloc[:0].reindex([-1])]) if (codes < 0).any() else of_code
    return padded.take(codes)


def _read_texts(values: "pd.Series") -> ColumnRead:
    """Read a column of texts that is no text file's: numbers written in it are levels."""
    import pandas as pd

    codes, found = pd.factorize(values)
    raw = [str(each) for each in found]
    texts = [each.strip() for each in raw]
    known = codes[codes >= 0]
    gaps = np.array([each in MARKS for each in texts], dtype=bool)
    given = [each for each in texts if each not in MARKS]
    if len(given) > 1 and all(each == DASH or is_number(each) for each in given):
        gaps |= np.array([each == DASH for each in texts], dtype=bool)
    notes = _marks_told(texts, np.bincount(known, minlength=len(raw)), gaps)
    numbers = [each for each in given if is_number(each)]
    if numbers and len(numbers) == len(set(given) - {DASH}):
        notes = (
            *notes,
            f"numbers written as text are {len(set(numbers))} levels, not a number "
            f'(data.levels = {{{values.name} = "number"}} makes them one)',
        )
    else:
        notes = (*notes, *_mixture_told([each for each in given if each != DASH], numbers))
    is_plain = not gaps.any() and raw == texts and not any(map(DATE.fullmatch, given))
    usual = pd.StringDtype(na_value=np.nan)
    if is_plain:
        return ColumnRead(values if values.dtype == usual else values.astype(usual), notes)
    read = _levels_of(raw, texts, gaps, codes, values)
    return ColumnRead(read.values, (*notes, *read.notes))


def _read_categories(values: "pd.Series") -> ColumnRead:
    """Read a type of categories: its levels that rows have, in an order that does not follow rows.

    An order that was declared counts; others are those of first appearance in some programs.
    """
    import pandas as pd

    categories = list(values.cat.categories)
    is_interval = isinstance(values.cat.categories.dtype, pd.IntervalDtype)
    if not is_interval and {"date", "other"} & {_kind(each) for each in categories}:
        return read_column(_without_categories(values))
    used = np.zeros(len(categories), dtype=bool)
    codes = values.cat.codes.to_numpy()
    used[np.unique(codes[codes >= 0])] = True
    notes: list[str] = []
    forgotten = [each for each, is_used in zip(categories, used, strict=True) if not is_used]
    if forgotten:
        notes.append(f"levels that no row has are forgotten: {shown_names(forgotten, 5)}")
    new: list[Any] = []
    is_text = any(isinstance(each, str) for each in categories)
    for each in categories:
        text = level_text(each) if is_text else each
        new.append(None if text in MARKS else text)
    changed = [
        each
        for each, text, is_used in zip(categories, new, used, strict=True)
        if is_used and isinstance(each, str) and each != text
    ]
    if changed:
        notes.append(f"outer spaces and marks of missing are taken off: {shown_names(changed, 5)}")
    kept = list(
        dict.fromkeys(
            text for text, is_used in zip(new, used, strict=True) if is_used and text is not None
        )
    )
    written = [level_text(each) for each in kept]
    numbers = [each for each in written if is_number(each)]
    if len(numbers) < len(written):
        notes += _mixture_told(written, numbers)
    elif not set(numbers) <= {"0", "1"}:
        notes.append(
            f"numbers written as categories are {len(kept)} levels, not a number "
            f'(data.levels = {{{values.name} = "number"}} makes them one)'
        )
    order = kept if values.cat.ordered else sorted_levels(kept)
    place = {level: k for k, level in enumerate(order)}
    of_code = np.array([place.get(each, -1) for each in new] + [-1])
    column = pd.Categorical.from_codes(of_code[codes], categories=pd.Index(order), ordered=True)
    return ColumnRead(pd.Series(column, index=values.index, name=values.name), tuple(notes))


def _without_categories(values: "pd.Series") -> "pd.Series":
    """Give categories that are no levels (dates, durations, tuples) as what they stand for."""
    import pandas as pd

    categories = values.cat.categories
    if categories.dtype.kind in "mM":
        return values.astype(categories.dtype)
    cells = [None if code < 0 else categories[code] for code in values.cat.codes.tolist()]
    return pd.Series(pd.array(cells, dtype=object), index=values.index, name=values.name)


# --- columns whose cells are of several types ---------------------------------------------------


def _kind(cell: object) -> str:
    """Say what one cell holds."""
    if isinstance(cell, str):
        return "number text" if is_number(cell.strip()) else "text"
    if isinstance(cell, bool | np.bool):
        return "truth"
    if isinstance(cell, np.timedelta64):  # NumPy's durations call themselves whole numbers
        return "other"
    if isinstance(cell, Real | Decimal):
        return "number"
    if isinstance(cell, datetime.datetime | datetime.date | np.datetime64):
        return "date"
    return "other"


def _decoded(cell: object) -> object:
    """Give bytes that are text as text; a NUL is in none, but in numbers packed into bytes."""
    if not isinstance(cell, bytes) or b"\0" in cell:
        return cell
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell


def _read_objects(values: "pd.Series") -> ColumnRead:
    """Read a column whose cells may be of any type."""
    import pandas as pd

    cells: list[Any] = [_decoded(cell) for cell in values.to_list()]
    missing = values.isna().to_numpy(dtype=bool)
    marks = [
        not gap and isinstance(cell, str) and cell.strip() in MARKS
        for cell, gap in zip(cells, missing.tolist(), strict=True)
    ]
    gap = missing | np.array(marks, dtype=bool)
    kinds = [None if is_gap else _kind(cell) for cell, is_gap in zip(cells, gap, strict=True)]
    found = {kind for kind in kinds if kind is not None}
    is_dash = [isinstance(cell, str) and cell.strip() == DASH for cell in cells]
    if any(is_dash) and {k for k, d in zip(kinds, is_dash, strict=True) if not d} - {None} <= {
        "number",
        "number text",
    }:
        marks = [mark or dash for mark, dash in zip(marks, is_dash, strict=True)]
        gap |= np.array(is_dash)
        found.discard("text")
    marked = [cell.strip() for cell, mark in zip(cells, marks, strict=True) if mark]
    notes = _marks_told(marked, np.ones(len(marked), dtype=np.intp), np.ones(len(marked), bool))

    def column(of_cell: Callable[[Any], Any], dtype: Any) -> "pd.Series":
        read = [None if is_gap else of_cell(c) for c, is_gap in zip(cells, gap, strict=True)]
        return pd.Series(read, index=values.index, name=values.name, dtype=dtype)

    if not found:
        return ColumnRead(pd.Series(np.nan, index=values.index, name=values.name), notes)
    if "number" in found and found <= {"number", "number text"}:
        n = kinds.count("number text")
        told = (f"numbers stored as text in {n} rows are numbers",) if n else ()
        return ColumnRead(_numbers(column(_as_float, "float64"), cells, gap), (*notes, *told))
    if found == {"truth"}:
        return ColumnRead(column(bool, "boolean" if gap.any() else bool), notes)
    if found <= {"text", "number text"}:
        read = _read_texts(column(str, "str"))
        return ColumnRead(read.values, (*notes, *read.notes))
    if found <= {"text", "number text", "number", "truth"}:
        read = _read_texts(column(_cell_text, "str"))
        return ColumnRead(read.values, (*notes, *read.notes))
    if found == {"date"}:
        try:
            return ColumnRead(pd.to_datetime(column(lambda cell: cell, object)), notes)
        except (ValueError, TypeError, OverflowError):
            return ColumnRead(values, notes)
    return ColumnRead(values, notes)


def _cell_text(cell: object) -> str:
    """Write a cell as the level that it is, outer spaces of text kept to be counted."""
    return cell if isinstance(cell, str) else level_text(cell)


def _as_float(cell: Any) -> float:
    try:
        return float(str(cell) if isinstance(cell, (np.float32, np.float16)) else cell)
    except OverflowError:
        return np.inf


def _numbers(numbers: "pd.Series", cells: list[Any], gap: NDArray[np.bool]) -> "pd.Series":
    """Give whole numbers as integers where none is missing and the cells were integers."""
    if gap.any() or not all(isinstance(each, int | np.integer) for each in cells):
        return numbers
    small = (numbers.abs() < EXACT_WHOLE).all()
    return numbers.astype("int64") if small else numbers


# --- what a spec says of columns ----------------------------------------------------------------


def without_values(
    read: ColumnRead, unwanted: Iterable[object]
) -> tuple[ColumnRead, dict[str, int]]:
    """Make some values of a column missing.

    Parameters
    ----------
    read : ColumnRead
        The column.
    unwanted : iterable of str, int, float or bool
        Numbers for columns of numbers; else texts.

    Returns
    -------
    ColumnRead
    dict
        How many rows had each value, by its text.
    """
    values, texts = read.values, read.texts
    wanted = {level_text(each) for each in unwanted}
    written = level_texts(values)
    counts = {each: int((written == each).sum()) for each in sorted(wanted)}
    hit = np.isin(written.astype(str), sorted(wanted)) & values.notna().to_numpy(dtype=bool)
    if not hit.any():
        return read, counts
    if texts is not None:
        texts = texts.copy()
        texts[hit] = None
    if values.dtype.kind in "iu":
        values = values.astype("float64")
    elif values.dtype.kind == "b":
        values = values.astype("boolean")
    said = ", ".join(f"{shown(each)} in {n}" for each, n in counts.items() if n)
    notes = (*read.notes, f"missing by data.missing_values: {said} rows")
    return ColumnRead(values.mask(hit), notes, texts), counts


def level_texts(
    values: "pd.Series", written: NDArray[np.object_] | None = None
) -> NDArray[np.object_]:
    """Give every row's value as the text of a level; missing ones as an empty text."""
    import pandas as pd

    if written is not None:
        return np.array(["" if each is None else each for each in written], dtype=object)
    codes, found = pd.factorize(values)
    texts = np.array([*(level_text(each) for each in found), ""], dtype=object)
    return texts[codes]


def as_levels(read: ColumnRead, levels: Iterable[object] | None, first: object = None) -> Any:
    """Make a column a type of levels in an order.

    Parameters
    ----------
    read : ColumnRead
        The column.
    levels : iterable or None
        Every level that it may have, the reference first; None for those it has, in order.
    first : object, optional
        The level that goes first.

    Returns
    -------
    pandas.Series of categories, ordered
    NDArray[np.bool]
        Rows whose value is no level.

    Raises
    ------
    ValueError
        When `first` is no level.
    """
    import pandas as pd

    values = read.values
    texts = level_texts(values, read.texts)
    known = values.notna().to_numpy(dtype=bool)
    if levels is not None:
        order = list(dict.fromkeys(level_text(each) for each in levels))
    elif isinstance(values.dtype, pd.CategoricalDtype):
        order = [level_text(each) for each in values.cat.categories]
    else:
        order = sorted_levels(sorted(set(texts[known].tolist())))
    if first is not None:
        reference = level_text(first)
        if reference not in order:
            raise ValueError(reference)
        order = [reference, *(each for each in order if each != reference)]
    place = {level: k for k, level in enumerate(order)}
    codes = np.array([place.get(each, -1) for each in texts.tolist()], dtype=np.intp)
    codes[~known] = -1
    column = pd.Categorical.from_codes(codes, categories=pd.Index(order, dtype="str"), ordered=True)
    wrong = known & (codes < 0)
    return pd.Series(column, index=values.index, name=values.name), wrong


def as_number(read: ColumnRead) -> tuple["pd.Series", NDArray[np.bool]]:
    """Make a column numbers.

    Returns
    -------
    pandas.Series of float64
    NDArray[np.bool]
        Rows whose value is no number.
    """
    import pandas as pd

    values = read.values
    if values.dtype.kind in "iuf":
        return values, np.zeros(len(values), dtype=bool)
    codes, found = pd.factorize(values)
    texts = [level_text(each) for each in found]
    parsed = np.array([*(float(t) if is_number(t) else np.nan for t in texts), np.nan])
    numbers = parsed[codes]
    wrong = np.isnan(numbers) & values.notna().to_numpy(dtype=bool)
    return pd.Series(numbers, index=values.index, name=values.name), wrong
