"""Columns of which every cell is a text: numbers, true and false, dates, or levels.

In a text file numbers have no other way to be written, so that they are numbers. In any other
file or table whoever writes a number as text means a level.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    DASH,
    DATE,
    MARKS,
    PLAIN,
    WHOLE,
    ColumnRead,
    column_like,
    is_number,
)
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import count_of, in_rows, listed_first, shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

NO_DECIMALS = re.compile(r"(?<=[0-9])\.0+$")


@record
class Texts:
    """The different texts of a column.

    Attributes
    ----------
    values : pandas.Series, (n_rows,)
        The column.
    codes : (n_rows,) int
        Each row's text; -1 where there is none.
    raw, stripped : list of str
        As they are written, and without outer spaces.
    gaps : (texts,) bool
        Which are marks of missing.
    """

    values: "pd.Series"
    codes: NDArray[np.intp]
    raw: list[str]
    stripped: list[str]
    gaps: NDArray[np.bool]

    @classmethod
    def of(cls, values: "pd.Series") -> "Texts":
        """Find the texts of a column; a dash is missing where all others are numbers."""
        import pandas as pd

        codes, found = pd.factorize(values)
        raw = [str(each) for each in found]
        stripped = [each.strip() for each in raw]
        given = {each for each in stripped if each not in MARKS}
        is_numbers = given != {DASH} and all(is_number(each) for each in given - {DASH})
        marks = MARKS | {DASH} if is_numbers else MARKS
        gaps = np.array([each in marks for each in stripped], dtype=bool)
        return cls(values, codes, raw, stripped, gaps)

    def unless_missing(self, texts: list[str]) -> list[str | None]:
        """Give a list of one text each, with None for those that are missing."""
        return [None if gap else t for t, gap in zip(texts, self.gaps.tolist(), strict=True)]

    @property
    def given(self) -> list[str]:
        """Texts that are not missing."""
        return [each for each in self.unless_missing(self.stripped) if each is not None]

    @property
    def numbers(self) -> list[str]:
        """Those of them that are numbers."""
        return [each for each in self.given if is_number(each)]

    @property
    def notes(self) -> tuple[str, ...]:
        """How many rows are missing, in words."""
        counts = np.bincount(self.codes[self.codes >= 0], minlength=len(self.raw)).tolist()
        marked: Counter[str] = Counter()
        for text, count, gap in zip(self.stripped, counts, self.gaps.tolist(), strict=True):
            if gap:
                marked[text] += count
        return missing_in_words(marked)

    def column(self, of_text: Any) -> "pd.Series":
        """Give every row its text's value."""
        import pandas as pd

        each = pd.Series(of_text)
        if (self.codes < 0).any():
            each = pd.concat([each, each.iloc[:0].reindex([-1])])
        return each.take(self.codes).set_axis(self.values.index).rename(self.values.name)

    def as_levels(self, named: list[str], notes: tuple[str, ...]) -> ColumnRead:
        """Give texts as levels of some names, or as dates where every one is an ISO date."""
        import pandas as pd

        clean = self.unless_missing(named)
        given = [text for text in clean if text is not None]
        if given and all(DATE.fullmatch(text) for text in given):
            try:
                dates = pd.to_datetime(pd.Series(clean, dtype=object), format="ISO8601")
                return ColumnRead(self.column(dates), notes)
            except (ValueError, OverflowError):
                pass  # a day that no calendar has stays a text; it is refused where a date is asked
        pairs = enumerate(self.unless_missing(self.raw))
        spaced = [k for k, raw in pairs if raw is not None and raw != raw.strip()]
        if spaced:
            n = int(np.isin(self.codes, spaced).sum())
            cells = shown_names(sorted(self.raw[k] for k in spaced), 3)
            notes = (*notes, f"spaces around values are removed in {count_of(n, 'row')} ({cells})")
        return ColumnRead(self.column(pd.Series(clean, dtype="str")), notes)


def column_from_texts(values: "pd.Series") -> ColumnRead:
    """Read a column of a text file, of which every cell is a text.

    Parameters
    ----------
    values : pandas.Series of str, (n_rows,)
        Cells as they are written; an empty one is missing.

    Returns
    -------
    ColumnRead
        Whole numbers as int64 when none is missing, other numbers as float64.
    """
    import pandas as pd

    found = Texts.of(values)
    given, numbers, notes = found.given, found.numbers, found.notes
    texts = found.unless_missing(found.stripped)
    if not given:
        return ColumnRead(column_like(values, np.nan), notes)
    if len(numbers) == len(given):
        is_whole = None not in texts and all(WHOLE.fullmatch(each) for each in given)
        as_number = int if is_whole else float
        parsed = np.array([np.nan if each is None else as_number(each) for each in texts])
        phrases, written = written_numbers(texts)
        of_row = None if written is None else written[found.codes]
        return ColumnRead(found.column(parsed), (*notes, *phrases), of_row)
    if {each.lower() for each in given} <= {"true", "false"}:
        truth = [None if each is None else each.lower() == "true" for each in texts]
        dtype = "boolean" if None in texts else "bool"
        return ColumnRead(found.column(pd.array(truth, dtype="boolean")).astype(dtype), notes)
    return found.as_levels(found.stripped, (*notes, *mixture_in_words(given, numbers)))


def read_texts(values: "pd.Series") -> ColumnRead:
    """Read a column of texts that is no text file's: numbers written in it are levels."""
    import pandas as pd

    found = Texts.of(values)
    given, numbers, notes = found.given, sorted(set(found.numbers)), found.notes
    named = {each: each for each in found.stripped}
    if numbers and len(numbers) == len(set(given)):
        levels, several = number_levels(numbers)
        named |= levels
        n = len(set(levels.values()))
        notes = (
            *notes,
            f"numbers written as text are {count_of(n, 'level')}, not a number "
            f'(data.levels = {{{values.name} = "number"}} makes them one)',
            *same_numbers_in_words(several),
        )
    else:
        notes = (*notes, *mixture_in_words([each for each in given if each != DASH], numbers))
    names = [named[each] for each in found.stripped]
    usual = pd.StringDtype(na_value=np.nan)
    if not found.gaps.any() and found.raw == names and not any(map(DATE.fullmatch, given)):
        return ColumnRead(values if values.dtype == usual else values.astype(usual), notes)
    return found.as_levels(names, notes)


def mixture_in_words(given: list[str], numbers: list[str]) -> tuple[str, ...]:
    """Say that a column holds numbers and text, which makes its numbers levels."""
    if not numbers:
        return ()
    texts = sorted(set(given) - set(numbers))
    return (
        f"it holds numbers ({shown_names(sorted(set(numbers)), 3)}) and text "
        f"({shown_names(texts, 3)}), so that every value is a level",
    )


def missing_in_words(marked: Mapping[str, int]) -> tuple[str, ...]:
    """Say how many cells are missing, by how they are marked."""
    if not marked:
        return ()
    said = [("empty" if mark == "" else shown(mark), n) for mark, n in sorted(marked.items())]
    return (f"missing values: {in_rows(said)}",)


def number_levels(texts: Iterable[str]) -> tuple[dict[str, str], str]:
    """Name the levels of texts each of which is a number, alike in every format.

    Plain numbers, of which no two are the same, are levels by number: 0 and 0.0 are one, and 1.50
    is 1.5. 01 is not written as numbers are, and 1.10 beside 1.1 is the same number in another
    text: with either, levels are the texts.

    Parameters
    ----------
    texts : iterable of str
        Different texts.

    Returns
    -------
    dict of str
        The level of each text.
    str
        Which texts are the same number, quoted; empty without any.
    """
    written = {text: NO_DECIMALS.sub("", text) if text[-1:] == "0" else text for text in texts}
    by_number: dict[float, set[str]] = {}
    for text in written.values():
        by_number.setdefault(float(text), set()).add(text)
    several = [sorted(same) for _, same in sorted(by_number.items()) if len(same) > 1]
    if not several and all(PLAIN.fullmatch(text) for text in written.values()):
        return {text: plain_number(each) for text, each in written.items()}, ""
    pairs = [" and ".join(map(shown, same)) for same in several[:3]]
    return written, listed_first(pairs, len(several) - 3, "; ")


def plain_number(text: str) -> str:
    """Write a plain number as the level that it is as a number."""
    if "." not in text:
        return str(int(text))
    number = float(text)
    return str(int(number)) if number.is_integer() else repr(number)


def written_numbers(
    texts: list[str | None],
) -> tuple[tuple[str, ...], NDArray[np.object_] | None]:
    """Give numbers as they are written, where levels by number would not be their texts.

    Returns
    -------
    tuple of str
        What has to be said of it.
    (texts,) ndarray of object, or None
        None where levels are those of the numbers.
    """
    levels, several = number_levels(each for each in texts if each is not None)
    if not several and all(PLAIN.fullmatch(each) for each in levels.values()):
        return (), None
    written = np.array([None if each is None else levels[each] for each in texts], dtype=object)
    if not several:
        return (), written
    phrase = (
        f"the same number written in several ways: {several}; as the treatment and in C() they are "
        "levels of their own, elsewhere one number"
    )
    return (phrase,), written


def same_numbers_in_words(several: str) -> tuple[str, ...]:
    """Say which levels are the same number in several texts."""
    if not several:
        return ()
    return (f"the same number written in several ways: {several}; they are levels of their own",)
