"""Any column of any table as numbers, true and false, dates, or levels, with what was done to it.

The same rules hold for every file format and for tables made in Python:

- A column is numbers when every value is one, whatever type its cells have (Stata's integers
  with a blank, decimals, a cell of a spreadsheet stored as text beside numbers).
- Marks of missing count as missing, and are counted.
- Levels are their text. Outer spaces are taken off; nothing else makes two texts one.
- Levels of a type of categories keep an order that its maker declared; any other order may be
  that of the rows, and means nothing, so that levels are sorted.

Whoever uses a column says what it may be: `bayes_crlm.model.covariates` what a covariate may.
"""

import datetime
from collections import Counter
from collections.abc import Callable
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    DASH,
    EXACT_WHOLE,
    MARKS,
    ColumnRead,
    as_float,
    column_kind,
    column_like,
    is_number,
    level_text,
    sorted_levels,
)
from bayes_crlm.cohort.table.text_columns import (
    missing_in_words,
    mixture_in_words,
    number_levels,
    read_texts,
    same_numbers_in_words,
    written_numbers,
)
from bayes_crlm.words.wording import count_of, shown_names

if TYPE_CHECKING:
    import pandas as pd


def read_column(values: "pd.Series") -> ColumnRead:
    """Read a column of any type, from any other source than a text file.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        A column of any type, as the file or the table has it.

    Returns
    -------
    ColumnRead
        With the series itself where nothing is to be done.
    """
    import pandas as pd

    dtype, kind = values.dtype, column_kind(values)
    if kind in READERS:
        return READERS[kind](values)
    if isinstance(dtype, pd.SparseDtype):
        return read_column(values.sparse.to_dense())
    if isinstance(dtype, pd.ArrowDtype):
        plain = _without_arrow(values)
        return ColumnRead(values) if plain is None else read_column(plain)
    if kind == "numbers":
        narrow = _narrowed(values)
        return ColumnRead(decimals_of(narrow) if is_short_float(dtype) else narrow)
    is_whole = kind == "true/false" and not values.isna().any()
    return ColumnRead(values.astype(bool) if is_whole else values)


def _narrowed(values: "pd.Series") -> "pd.Series":
    """Give numbers of a nullable type NumPy's type."""
    if isinstance(values.dtype, np.dtype):
        return values
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
    found, codes = np.unique(values.to_numpy(), return_inverse=True)
    numbers = found.astype(str).astype(np.float64)
    return column_like(values, numbers[codes])


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
        notes.append(f"levels that occur in no row are dropped: {shown_names(forgotten, 5)}")
    is_text = any(isinstance(each, str) for each in categories)
    new: list[Any] = [level_text(each) if is_text else each for each in categories]
    new = [None if isinstance(each, str) and each in MARKS else each for each in new]
    changed = [
        each
        for each, text, is_used in zip(categories, new, used, strict=True)
        if is_used and isinstance(each, str) and each != text
    ]
    if changed:
        notes.append(
            "spaces around values and marks of missing values are removed: "
            f"{shown_names(changed, 5)}"
        )
    several, has = "", {each for each, is_used in zip(new, used, strict=True) if is_used} - {None}
    if is_text and all(map(is_number, has)):
        levels, several = number_levels(sorted(has))
        new = [levels.get(each, each) for each in new]
    kept = list(
        dict.fromkeys(
            text for text, is_used in zip(new, used, strict=True) if is_used and text is not None
        )
    )
    written = [level_text(each) for each in kept]
    numbers = [each for each in written if is_number(each)]
    if len(numbers) < len(written):
        notes += mixture_in_words(written, numbers)
    elif not set(numbers) <= {"0", "1"}:
        notes.append(
            f"numbers written as categories are {count_of(len(kept), 'level')}, not a number "
            f'(data.levels = {{{values.name} = "number"}} makes them one)'
        )
        notes += same_numbers_in_words(several)
    order = kept if values.cat.ordered else sorted_levels(kept)
    place = {level: k for k, level in enumerate(order)}
    of_code = np.array([place.get(each, -1) for each in new] + [-1])
    column = pd.Categorical.from_codes(of_code[codes], categories=pd.Index(order), ordered=True)
    return ColumnRead(column_like(values, column), tuple(notes))


def _without_categories(values: "pd.Series") -> "pd.Series":
    """Give categories that are no levels (dates, durations, tuples) as what they stand for."""
    categories = values.cat.categories
    if categories.dtype.kind in "mM":
        return values.astype(categories.dtype)
    cells = [None if code < 0 else categories[code] for code in values.cat.codes.tolist()]
    return column_like(values, cells, object)


# --- columns whose cells are of several types ---------------------------------------------------


def _kind(cell: object) -> str:
    """Say what one cell holds."""
    if isinstance(cell, str):
        text = cell.strip()
        known = "mark" if text in MARKS else "dash" if text == DASH else "text"
        return "number text" if is_number(text) else known
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
    missing = values.isna().to_numpy(dtype=bool).tolist()
    kinds = [None if gap else _kind(cell) for cell, gap in zip(cells, missing, strict=True)]
    # a dash beside numbers only is a mark of missing
    is_numbers = set(kinds) <= {"number", "number text", "mark", "dash", None}
    kinds = [("mark" if is_numbers else "text") if each == "dash" else each for each in kinds]
    found = set(kinds) - {None, "mark"}
    gap = np.array([each in (None, "mark") for each in kinds], dtype=bool)
    marked = [cell.strip() for cell, each in zip(cells, kinds, strict=True) if each == "mark"]
    notes = missing_in_words(Counter(marked))

    def column(of_cell: Callable[[Any], Any], dtype: Any) -> "pd.Series":
        read = [None if is_gap else of_cell(c) for c, is_gap in zip(cells, gap, strict=True)]
        return column_like(values, read, dtype)

    if not found:
        return ColumnRead(column_like(values, np.nan), notes)
    if "number" in found and found <= {"number", "number text"}:
        n = kinds.count("number text")
        phrases = (f"numbers stored as text in {count_of(n, 'row')} are numbers",) if n else ()
        texts = None
        if n:
            as_written, texts = written_numbers_of(cells, gap)
            phrases = (*phrases, *as_written)
        numbers = _numbers(column(as_float, "float64"), cells, gap)
        return ColumnRead(numbers, (*notes, *phrases), texts)
    if found == {"truth"}:
        return ColumnRead(column(bool, "boolean" if gap.any() else bool), notes)
    if found <= {"text", "number text", "number", "truth"}:
        read = read_texts(column(_cell_text, "str"))
        return ColumnRead(read.values, (*notes, *read.notes))
    if found == {"date"}:
        try:
            return ColumnRead(pd.to_datetime(column(lambda cell: cell, object)), notes)
        except (ValueError, TypeError, OverflowError):
            return ColumnRead(values, notes)
    return ColumnRead(values, notes)


def written_numbers_of(
    cells: list[Any], gap: NDArray[np.bool]
) -> tuple[tuple[str, ...], NDArray[np.object_] | None]:
    """Give every row's number as it is written, as `written_numbers` does for a text each."""
    written = [None if is_gap else level_text(c) for c, is_gap in zip(cells, gap, strict=True)]
    place = {text: k for k, text in enumerate(dict.fromkeys(written))}
    phrase, levels = written_numbers(list(place))
    return phrase, None if levels is None else levels[[place[each] for each in written]]


def _cell_text(cell: object) -> str:
    """Write a cell as the level that it is, outer spaces of text kept to be counted."""
    return cell if isinstance(cell, str) else level_text(cell)


def _numbers(numbers: "pd.Series", cells: list[Any], gap: NDArray[np.bool]) -> "pd.Series":
    """Give whole numbers as integers where none is missing and the cells were integers."""
    if gap.any() or not all(isinstance(each, int | np.integer) for each in cells):
        return numbers
    small = (numbers.abs() < EXACT_WHOLE).all()
    return numbers.astype("int64") if small else numbers


READERS: dict[str, Callable[["pd.Series"], ColumnRead]] = {
    "categories": _read_categories,
    "text": read_texts,
    "objects": _read_objects,
}
"""What reads a column of which the type alone does not say what its values are."""
