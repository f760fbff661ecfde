"""Tables of Stata, SPSS and SAS, with what their metadata say of the columns."""

import io
from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from bayes_crlm.cohort.table.column_values import column_kind, column_like, level_text
from bayes_crlm.cohort.table.separated_text import check_header, unreadable
from bayes_crlm.words.wording import listed_first, shown

if TYPE_CHECKING:
    import pandas as pd

STATISTICS = {
    ".dta": ("Stata", "read_dta"),
    ".sav": ("SPSS", "read_sav"),
    ".zsav": ("SPSS", "read_sav"),
    ".por": ("SPSS", "read_por"),
    ".sas7bdat": ("SAS", "read_sas7bdat"),
    ".xpt": ("SAS", "read_xport"),
}
WITH_REASONS = ("read_dta", "read_sav", "read_sas7bdat")
"""Readers that tell one missing value from another."""


def read_statistics(
    data: bytes,
    name: str,
    suffix: str,
    numbers: Collection[str],
    levels: Mapping[str, Any],
) -> "tuple[pd.DataFrame, dict[str, str], dict[str, tuple[str, ...]]]":
    """Read a file of a statistics program.

    Parameters
    ----------
    data : bytes
        The file.
    name : str
        How messages name it.
    suffix : str
        Of `STATISTICS`.
    numbers : collection of str
        Columns whose codes are kept although they have value labels.
    levels : mapping
        Levels that the user names, by column: codes stay where they are codes.

    Returns
    -------
    pandas.DataFrame
    dict
        By column, its label and its reasons for missing values, in words.
    dict
        By column, notes on codes that became their labels.
    """
    import pyreadstat

    program, reader = STATISTICS[suffix]
    options = {"user_missing": True} if reader in WITH_REASONS else {}
    try:
        table, metadata = getattr(pyreadstat, reader)(io.BytesIO(data), **options)
    except Exception as error:
        raise unreadable(f"a {program} {suffix}", name, error) from None
    check_header(table.columns, name)
    labels = getattr(metadata, "variable_value_labels", None) or {}
    ranges = getattr(metadata, "missing_ranges", None) or {}
    letters = getattr(metadata, "missing_user_values", None) or {}
    titles = getattr(metadata, "column_names_to_labels", None) or {}
    said: dict[str, str] = {}
    notes: dict[str, tuple[str, ...]] = {}
    for column in table.columns:
        values = table[column]
        of_codes = labels.get(column, {})
        values, reasons = _without_reasons(
            values, of_codes, ranges.get(column, ()), letters.get(column, ())
        )
        values = _whole_numbers(values)
        if column_kind(values) in ("text", "objects"):
            # These programs have no other missing text than the empty one.
            values = values.mask(values == "")
        if of_codes and column not in numbers:
            values, note = _labelled(values, of_codes, levels.get(column), column)
            notes[column] = note
        table[column] = values
        words = [str(titles[column]).strip()] if titles.get(column) else []
        if reasons:
            words.append(f"missing: {reasons}")
        if words:
            said[column] = "; ".join(words)
    return table.reset_index(drop=True), said, {each: note for each, note in notes.items() if note}


def _without_reasons(
    values: "pd.Series", labels: Mapping[Any, str], ranges: Any, letters: Any
) -> "tuple[pd.Series, str]":
    """Make cells missing that the file says are, and say why in words."""
    if not ranges and not letters:
        return values, ""
    cells = values.to_list()
    is_reason = [_is_reason(cell, ranges, letters) for cell in cells]
    counted = Counter(cell for cell, is_one in zip(cells, is_reason, strict=True) if is_one)
    phrases = [
        f"{labels.get(cell) or level_text(cell)} in {n}"
        for cell, n in sorted(counted.items(), key=lambda pair: str(pair[0]))
    ]
    kept = [None if is_one else cell for cell, is_one in zip(cells, is_reason, strict=True)]
    are_numbers = all(isinstance(each, int | float) or each is None for each in kept)
    dtype = "float64" if are_numbers else object
    return column_like(values, kept, dtype), ", ".join(phrases)


def _is_reason(cell: object, ranges: Any, letters: Any) -> bool:
    """Whether a cell holds a reason for a missing value."""
    if cell is None or cell != cell:
        return False
    if isinstance(cell, str) and cell in letters:
        return True
    for span in ranges:
        low, high = (span["lo"], span["hi"]) if isinstance(span, dict) else (span, span)
        same_type = isinstance(cell, str) == isinstance(low, str)
        if same_type and low <= cell <= high:
            return True
    return False


def _whole_numbers(values: "pd.Series") -> "pd.Series":
    """Make whole numbers integers: SPSS and SAS keep every number as a double."""
    if values.dtype.kind != "f" or len(values) == 0:
        return values
    if ((values % 1 == 0) & (values.abs() < 2**53)).all():
        return values.astype("int64")
    return values


def _labelled(
    values: "pd.Series", labels: Mapping[Any, str], asked: Any, column: str
) -> "tuple[pd.Series, tuple[str, ...]]":
    """Replace codes by their labels, in the codes' order, when every code has its own."""
    import pandas as pd

    codes = sorted(
        values.dropna().unique().tolist(), key=lambda each: (isinstance(each, str), each)
    )
    names = [labels.get(code) for code in codes]
    if not codes or None in names or len(set(names)) < len(names):
        return values, ()
    if asked is not None and {level_text(each) for each in asked} >= {level_text(c) for c in codes}:
        return values, ()
    named = values.map(dict(zip(codes, names, strict=True)))
    pairs = [f"{level_text(c)} {shown(n)}" for c, n in zip(codes[:6], names, strict=False)]
    note = f"codes are read as their labels: {listed_first(pairs, len(codes) - 6)}"
    if len(codes) > 2 and not any(isinstance(code, str) for code in codes):
        note += f'; these are {len(codes)} levels, and data.levels = {{{column} = "number"}} '
        note += "takes the codes as a number"
    category = pd.Categorical(named, categories=names, ordered=True)
    return column_like(values, category), (note,)
