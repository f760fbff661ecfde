"""What a user says of columns: their levels, a reference, marks of missing."""

import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    ColumnRead,
    column_kind,
    column_like,
    few_levels,
    is_number,
    level_text,
    sorted_levels,
)
from bayes_crlm.cohort.table.columns import is_short_float, read_column
from bayes_crlm.likelihood.tied_times import short_times_once
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import (
    did_you_mean,
    in_rows,
    listed_first,
    no_column,
    rows_where,
    shown,
)

if TYPE_CHECKING:
    import pandas as pd

Value = str | int | float | bool


@record
class ColumnSettings:
    """What is said of columns, by column.

    Attributes
    ----------
    levels : mapping
        Every level of a column in order, the reference first, or ``"number"``.
    references : mapping
        The reference level of a covariate.
    missing_values : mapping
        Values that mean that a value is missing.
    """

    levels: Mapping[str, "tuple[Value, ...] | str"] = field(default_factory=dict)
    references: Mapping[str, Value] = field(default_factory=dict)
    missing_values: Mapping[str, tuple[Value, ...]] = field(default_factory=dict)

    @property
    def numbers(self) -> frozenset[str]:
        """Columns said to be numbers."""
        return frozenset(name for name, said in self.levels.items() if said == "number")

    @classmethod
    def of(
        cls, levels: object = None, references: object = None, missing_values: object = None
    ) -> "tuple[ColumnSettings, list[str]]":
        """Take them from Python's arguments, with what is wrong with them."""
        problems: list[str] = []
        taken: dict[str, dict[str, Any]] = {}
        given = {"levels": levels, "references": references, "missing_values": missing_values}
        for name, said in given.items():
            taken[name] = {}
            if said is None:
                continue
            if not isinstance(said, Mapping) or not all(isinstance(each, str) for each in said):
                problems.append(f"{name} must be a mapping by column, not {shown(said)}")
                continue
            for column, value in said.items():
                checked = _checked(name, value)
                if checked is None:
                    problems.append(f"{name} of column {shown(column)} {_right(name, value)}")
                else:
                    taken[name][column] = checked
        for column in taken["references"]:
            if taken["levels"].get(column) == "number":
                problems.append(
                    f"references and levels contradict each other for column {shown(column)}: a "
                    "number has no reference; leave one of them out"
                )
        return cls(**taken), problems


def _is_value(value: object) -> bool:
    return isinstance(value, str | int | float | bool | np.generic) and value == value


def _checked(name: str, value: object) -> Any:
    """Give a setting's value as it is kept; None when it is wrong."""
    if name == "references":
        return value if _is_value(value) else None
    if name == "levels" and value == "number":
        return value
    if isinstance(value, str) or not isinstance(value, Iterable):
        return None
    values = tuple(value)
    if not values or not all(_is_value(each) for each in values):
        return None
    texts = [level_text(each) for each in values]
    if name == "levels" and (len(set(texts)) < len(texts) or len(texts) < 2):
        return None
    return values


def _right(name: str, value: object) -> str:
    """Say what a setting's value should be."""
    return {
        "levels": f"must be 'number' or a list of at least 2 different levels, not {shown(value)}",
        "references": f"must be one level, not {shown(value)}",
        "missing_values": f"must be a list of values, not {shown(value)}",
    }[name]


@record
class TypedTable:
    """A table whose columns are of plain types.

    Attributes
    ----------
    table : pandas.DataFrame
        With the same rows and columns.
    notes : dict
        By column, what was done to it.
    texts : dict
        By column, (n_rows,) how numbers are written, where that matters for levels.
    problems : list of str
        What does not fit the settings.
    """

    table: "pd.DataFrame"
    notes: dict[str, tuple[str, ...]]
    texts: dict[str, NDArray[np.object_]]
    problems: list[str]


def typed_table(
    table: "pd.DataFrame",
    settings: ColumnSettings,
    *,
    kept: Collection[str | None] = (),
    outcome: Collection[str] = (),
    known: Mapping[str, ColumnRead] | None = None,
) -> TypedTable:
    """Read every column of a table, and apply what is said of some.

    Parameters
    ----------
    table : pandas.DataFrame
        Any columns.
    settings : ColumnSettings
        What the user says.
    kept : collection of str
        Columns that stay as they are: the patients' names.
    outcome : collection of str
        Columns whose cells are checked one by one elsewhere, and stay as they are where they are
        not of one type.
    known : mapping, optional
        Columns that were read already, from a text file.
    """
    known = known or {}
    problems = []
    for name, said in vars(settings).items():
        problems += [
            f"data.{name}: {no_column(each, table.columns)}"
            for each in said
            if each not in table.columns
        ]
    changed: dict[str, Any] = {}
    notes: dict[str, tuple[str, ...]] = {}
    texts: dict[str, NDArray[np.object_]] = {}
    for name in table.columns:
        if name in kept:
            continue
        values = table[name]
        is_mixed = column_kind(values) in ("text", "objects")
        if name in outcome and is_mixed and name not in known:
            continue
        read = known[name] if name in known else read_column(values)
        read, found = _applied(str(name), read, settings)
        problems += found
        if read.values is not values:
            changed[name] = read.values
        phrases = (*read.notes, *alike_in_words(read.values))
        if phrases:
            notes[str(name)] = phrases
        if read.texts is not None:
            texts[str(name)] = read.texts
    short = [name for name in outcome if name in changed and is_short_float(table[name].dtype)]
    changed |= tied_short_floats([changed[name] for name in short])
    return TypedTable(table.assign(**changed) if changed else table, notes, texts, problems)


def alike_in_words(values: "pd.Series") -> tuple[str, ...]:
    """Name levels that differ by capitals, or by how Unicode writes a letter, alone.

    They stay levels of their own: which of them is a slip only the user knows.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        A column of any type; others than text and categories have no such levels.
    """
    by_letters: dict[str, list[str]] = {}
    for text in sorted(map(level_text, few_levels(values))):
        by_letters.setdefault(unicodedata.normalize("NFKC", text).casefold(), []).append(text)
    alike = [" and ".join(map(shown, same)) for same in by_letters.values() if len(same) > 1]
    if not alike:
        return ()
    return (
        "levels that differ only in capital letters or in how a letter is stored are kept apart: "
        f"{listed_first(alike[:3], len(alike) - 3, '; ')}",
    )


def tied_short_floats(columns: "list[pd.Series]") -> dict[str, "pd.Series"]:
    """Make one time of times of 32 bits that differ by their rounding alone, in all columns.

    The rule of ties that comes later, when a cohort is made, is for 64 bits. Whole numbers, codes
    of events for example, have no such rounding.

    Parameters
    ----------
    columns : list of pandas.Series, (n_rows,)
        Numbers that came in 32 bits, as decimals.

    Returns
    -------
    dict
        By name, those that are not whole numbers.
    """
    parts = [each for each in columns if (each.dropna() % 1 != 0).any()]
    if not parts:
        return {}
    tied = short_times_once(*(each.to_numpy(dtype=np.float64) for each in parts))
    return {
        str(each.name): each.where(each.isna(), values)
        for each, values in zip(parts, tied, strict=True)
    }


def _applied(name: str, read: ColumnRead, settings: ColumnSettings) -> tuple[ColumnRead, list[str]]:
    """Apply what is said of one column."""
    problems: list[str] = []
    if name in settings.missing_values:
        read, counts = without_values(read, settings.missing_values[name])
        nowhere = [each for each, n in counts.items() if not n]
        if nowhere:
            phrase = f"data.missing_values has {', '.join(map(shown, nowhere))}, which no row has"
            read = ColumnRead(read.values, (*read.notes, phrase), read.texts)
    said, first = settings.levels.get(name), settings.references.get(name)
    number = np.arange(1, len(read.values) + 1)
    if said == "number":
        values, wrong = as_number(read)
        if wrong.any():
            problems.append(
                f"column {shown(name)} is declared a number (data.levels), but is not one in "
                f"{rows_where(wrong, number, read.values)}; correct these cells, or name them in "
                "data.missing_values"
            )
            # nothing is missing here: a number in its place, so that no gap is told besides
            values = values.mask(wrong, values.median() if values.notna().any() else 0.0)
        without = tuple(each for each in read.notes if not each.startswith("numbers written as"))
        return ColumnRead(values, without), problems
    if said is None and first is None:
        return read, problems
    try:
        values, wrong = as_levels(read, said, first)
    except ValueError as missing:
        has = sorted(set(read.values.dropna().map(level_text)))
        problems.append(
            f"data.references: column {shown(name)} has no level {shown(str(missing))}; "
            f"{did_you_mean(str(missing), has)}"
        )
        return read, problems
    if wrong.any():
        problems.append(
            f"column {shown(name)} has levels that data.levels does not name, in "
            f"{rows_where(wrong, number, read.values)}; name every level, or correct these cells"
        )
        # nothing is missing here, and no gap is told besides
        values, _ = as_levels(read, None)
    notes = read.notes
    unused = [each for each in values.cat.categories if not (values == each).any()]
    if unused:
        names = ", ".join(shown(each) for each in unused[:5])
        notes = (*notes, f"levels that occur in no row are dropped: {names}")
        values = values.cat.remove_unused_categories()
    without = tuple(each for each in notes if not each.startswith("numbers written as text"))
    return ColumnRead(values, without), problems


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
    elif column_kind(values) == "categories":
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
    return column_like(values, column), wrong


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
    return column_like(values, numbers), wrong
