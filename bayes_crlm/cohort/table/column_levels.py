"""What a user says of a column: its levels, their order, a number, what is missing."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import ColumnRead, is_number, level_text, sorted_levels
from bayes_crlm.words.wording import in_rows, shown

if TYPE_CHECKING:
    import pandas as pd


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
    said = [(shown(each), n) for each, n in counts.items() if n]
    notes = (*read.notes, f"missing by data.missing_values: {in_rows(said)}")
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
        Rows whose value is not a level.

    Raises
    ------
    ValueError
        When `first` is not a level.
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
        Rows whose value is not a number.
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
