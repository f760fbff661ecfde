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

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.cohort.table.cells import kind_of_cell, read_cells
from bayes_crlm.cohort.table.column_values import (
    ColumnRead,
    column_kind,
    column_like,
    is_number,
    level_text,
    sorted_levels,
)
from bayes_crlm.cohort.table.text_columns import (
    mixture_in_words,
    number_levels,
    same_numbers_in_words,
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
    # a type of sparse columns says how wide its numbers are only by its subtype
    return dtype.kind == "f" and getattr(dtype, "subtype", dtype).itemsize < 8


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
    if not is_interval and {"date", "other"} & {kind_of_cell(each) for each in categories}:
        return read_column(_without_categories(values))
    codes = values.cat.codes.to_numpy()
    used = np.unique(codes[codes >= 0]).tolist()
    notes: list[str] = []
    forgotten = [each for k, each in enumerate(categories) if k not in set(used)]
    if forgotten:
        notes.append(f"levels that occur in no row are dropped: {shown_names(forgotten, 5)}")
    cells = [categories[k] for k in used]
    is_text = any(isinstance(each, str) for each in categories)
    names: list[Any] = [
        None if kind_of_cell(each) == "mark" else level_text(each) if is_text else each
        for each in cells
    ]
    changed = [
        cell
        for cell, name in zip(cells, names, strict=True)
        if isinstance(cell, str) and cell != name
    ]
    if changed:
        notes.append(
            "spaces around values and marks of missing values are removed: "
            f"{shown_names(changed, 5)}"
        )
    several, has = "", {each for each in names if each is not None}
    if is_text and all(map(is_number, has)):
        levels, several = number_levels(sorted(has))
        names = [levels.get(each, each) for each in names]
    kept = list(dict.fromkeys(each for each in names if each is not None))
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
    of_code = np.full(len(categories) + 1, -1)
    of_code[used] = [place.get(each, -1) for each in names]
    column = pd.Categorical.from_codes(of_code[codes], categories=pd.Index(order), ordered=True)
    return ColumnRead(column_like(values, column), tuple(notes))


def _without_categories(values: "pd.Series") -> "pd.Series":
    """Give categories that are no levels (dates, durations, tuples) as what they stand for."""
    categories = values.cat.categories
    if categories.dtype.kind in "mM":
        return values.astype(categories.dtype)
    cells = [None if code < 0 else categories[code] for code in values.cat.codes.tolist()]
    return column_like(values, cells, object)


READERS: dict[str, Callable[["pd.Series"], ColumnRead]] = {
    "categories": _read_categories,
    "text": read_cells,
    "objects": read_cells,
}
"""What reads a column of which the type alone does not say what its values are."""
