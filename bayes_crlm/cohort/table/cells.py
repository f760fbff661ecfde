"""Columns of which the type alone does not say what they hold: texts, and cells of any type.

What a cell is decides, and each different cell is looked at once. In a text file numbers have no
other way to be written, so that texts that are numbers are numbers. In any other file or table
whoever writes a number as text means a level, unless numbers that are none stand beside it.
"""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    DASH,
    DATE,
    EXACT_WHOLE,
    MARKS,
    WHOLE,
    ColumnRead,
    as_float,
    column_kind,
    column_like,
    is_number,
    kind_of_type,
    level_text,
)
from bayes_crlm.cohort.table.text_columns import (
    missing_in_words,
    mixture_in_words,
    number_levels,
    same_numbers_in_words,
    written_numbers,
)
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import count_of, shown_names

if TYPE_CHECKING:
    import pandas as pd

NUMBERS = {"number", "number text"}
LEVELS = {*NUMBERS, "text", "truth"}


def kind_of_cell(cell: object) -> str:
    """Say what one cell holds."""
    if isinstance(cell, str):
        text = cell.strip()
        known = "mark" if text in MARKS else "dash" if text == DASH else "text"
        return "number text" if is_number(text) else known
    return kind_of_type(type(cell))


@record(eq=False)
class Cells:
    """The different cells of a column.

    Attributes
    ----------
    values : pandas.Series, (n_rows,)
        The column.
    codes : (n_rows,) int
        Each row's cell; -1 where there is none.
    cells : list
        As they are; of those of no known kind one for each type.
    kinds : list of str
        "number", "number text", "text", "truth", "date", "other", or "mark" of a missing value.
    """

    values: "pd.Series"
    codes: NDArray[np.intp]
    cells: list[Any]
    kinds: list[str]

    @classmethod
    def of(cls, values: "pd.Series") -> "Cells":
        """Find the cells of a column; a dash is missing where all others are numbers."""
        import pandas as pd

        if column_kind(values) == "text":
            codes, found = pd.factorize(values)
            cells = [str(each) for each in found]
        else:
            codes, cells = different_cells(values)
        kinds = [kind_of_cell(each) for each in cells]
        others = set(kinds) - {"mark", "dash"}
        of_dash = "mark" if others and others <= NUMBERS else "text"
        kinds = [of_dash if each == "dash" else each for each in kinds]
        return cls(values, codes, cells, kinds)

    @property
    def texts(self) -> list[str | None]:
        """Each cell as the level that it is; None for marks of missing."""
        pairs = zip(self.cells, self.kinds, strict=True)
        return [None if kind == "mark" else level_text(cell) for cell, kind in pairs]

    @property
    def has_gaps(self) -> bool:
        """Whether a row has no value."""
        return "mark" in self.kinds or bool((self.codes < 0).any())

    def rows_with(self, which: list[int]) -> int:
        """Count the rows that have some of the cells."""
        return int(np.isin(self.codes, which).sum())

    def places(self, kind: str) -> list[int]:
        """Where cells of a kind stand among the cells."""
        return [k for k, each in enumerate(self.kinds) if each == kind]

    @property
    def notes(self) -> tuple[str, ...]:
        """How many rows are missing, in words."""
        marked: Counter[str] = Counter()
        for k in self.places("mark"):
            marked[self.cells[k].strip()] += self.rows_with([k])
        return missing_in_words(marked)

    def column(self, of_cell: Any) -> "pd.Series":
        """Give every row its cell's value."""
        import pandas as pd

        each = pd.Series(of_cell)
        if (self.codes < 0).any():
            each = pd.concat([each, each.iloc[:0].reindex([-1])])
        return each.take(self.codes).set_axis(self.values.index).rename(self.values.name)


def different_cells(values: "pd.Series") -> tuple[NDArray[np.intp], list[Any]]:
    """Find the different cells of a column of any types: 1, 1.0 and true are three."""
    codes, cells = np.full(len(values), -1), []
    place: dict[tuple[type, Any], int] = {}
    missing = values.isna().to_numpy(dtype=bool).tolist()
    for row, (cell, is_gap) in enumerate(zip(values.to_list(), missing, strict=True)):
        if is_gap:
            continue
        if isinstance(cell, bytes):
            cell = _decoded(cell)
        kind = type(cell)
        # cells of no known kind may be lists, which cannot be looked up
        key = (kind, None if kind_of_type(kind) == "other" else cell)
        codes[row] = place.setdefault(key, len(cells))
        if codes[row] == len(cells):
            cells.append(cell)
    return codes, cells


def _decoded(cell: bytes) -> str | bytes:
    """Give bytes that are text as text; a NUL is in none, but in numbers packed into bytes."""
    if b"\0" in cell:
        return cell
    try:
        return cell.decode("utf-8")
    except UnicodeDecodeError:
        return cell


def read_cells(values: "pd.Series", *, is_text_file: bool = False) -> ColumnRead:
    """Read a column by its cells.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        Texts, or cells of any types.
    is_text_file : bool
        Whether texts that are numbers, true or false can be written in no other way.

    Returns
    -------
    ColumnRead
        Whole numbers as int64 when none is missing, other numbers as float64.
    """
    import pandas as pd

    found = Cells.of(values)
    kinds, notes = set(found.kinds) - {"mark"}, found.notes
    is_text = column_kind(values) == "text"
    if not kinds and (is_text_file or not is_text):
        return ColumnRead(column_like(values, np.nan), notes)
    if kinds and kinds <= NUMBERS and (is_text_file or "number" in kinds):
        return as_numbers(found, is_text_file=is_text_file)
    if kinds <= LEVELS:
        lower = [None if each is None else each.lower() for each in found.texts]
        is_file_truth = is_text_file and set(lower) <= {"true", "false", None}
        if kinds != {"truth"} and not is_file_truth:
            return as_levels(found)
        truth = pd.array([None if each is None else each == "true" for each in lower], "boolean")
        dtype = "boolean" if found.has_gaps else "bool"
        return ColumnRead(found.column(truth).astype(dtype), notes)
    if kinds == {"date"}:
        pairs = zip(found.cells, found.kinds, strict=True)
        dates = pd.Series([None if kind == "mark" else cell for cell, kind in pairs], dtype=object)
        try:
            return ColumnRead(pd.to_datetime(found.column(dates)), notes)
        except (ValueError, TypeError, OverflowError):
            return ColumnRead(values, notes)
    return ColumnRead(values, notes)


def as_numbers(found: Cells, *, is_text_file: bool) -> ColumnRead:
    """Give cells that are numbers as numbers: whole ones as int64 where none is missing."""
    notes, written = found.notes, None
    n_stored = 0 if is_text_file else found.rows_with(found.places("number text"))
    if n_stored:
        notes += (f"numbers stored as text in {count_of(n_stored, 'row')} are numbers",)
    if n_stored or is_text_file:
        phrases, levels = written_numbers(found.texts)
        notes += phrases
        if levels is not None:
            written = np.array([*levels, None], dtype=object)[found.codes]
    are_whole = not found.has_gaps and all(map(is_whole, found.cells))
    number = int if are_whole else as_float
    pairs = zip(found.cells, found.kinds, strict=True)
    parsed = np.array([np.nan if kind == "mark" else number(cell) for cell, kind in pairs])
    return ColumnRead(found.column(parsed), notes, written)


def is_whole(cell: Any) -> bool:
    """Whether a number is whole, and can be kept so without loss."""
    if isinstance(cell, str):
        return WHOLE.fullmatch(cell.strip()) is not None
    return isinstance(cell, int | np.integer) and abs(int(cell)) < EXACT_WHOLE


def as_levels(found: Cells) -> ColumnRead:
    """Give cells as levels, or as dates where every one is an ISO date."""
    import pandas as pd

    names, notes = found.texts, found.notes
    given = [each for each in names if each is not None]
    numbers = sorted({each for each in given if is_number(each)})
    if numbers and len(numbers) == len(set(given)):
        levels, several = number_levels(numbers)
        names = [None if each is None else levels[each] for each in names]
        notes += (
            f"numbers written as text are {count_of(len(set(levels.values())), 'level')}, not a "
            f'number (data.levels = {{{found.values.name} = "number"}} makes them one)',
            *same_numbers_in_words(several),
        )
    else:
        notes += mixture_in_words(given, numbers)
    are_dates = [DATE.fullmatch(each) is not None for each in given]
    if given and all(are_dates):
        try:
            dates = pd.to_datetime(pd.Series(names, dtype=object), format="ISO8601")
            return ColumnRead(found.column(dates), notes)
        except (ValueError, OverflowError):
            pass  # a day that no calendar has stays a text; it is refused where a date is asked
    usual = pd.StringDtype(na_value=np.nan)
    if found.values.dtype == usual and found.cells == names and not any(are_dates):
        return ColumnRead(found.values, notes)
    spaced = [
        k
        for k in found.places("text") + found.places("number text")
        if found.cells[k] != found.cells[k].strip()
    ]
    if spaced:
        said = shown_names(sorted(found.cells[k] for k in spaced), 3)
        n_spaced = count_of(found.rows_with(spaced), "row")
        notes += (f"spaces around values are removed in {n_spaced} ({said})",)
    return ColumnRead(found.column(pd.Series(names, dtype="str")), notes)
