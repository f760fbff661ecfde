"""Columns of which every cell is a text: numbers, true and false, dates, or levels.

In a text file numbers have no other way to be written, so that they are numbers. In any other
file or table whoever writes a number as text means a level.
"""

import re
from collections import Counter
from collections.abc import Iterable
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
    is_number,
)
from bayes_crlm.words.wording import count_of, in_rows, shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

NO_DECIMALS = re.compile(r"(?<=[0-9])\.0+$")


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
    notes = missing_in_words(texts, counts, gaps)
    if not given:
        return ColumnRead(pd.Series(np.nan, index=values.index, name=values.name), notes)
    if len(numbers) == len(given):
        parsed = np.array([np.nan if gap else float(t) for t, gap in zip(texts, gaps, strict=True)])
        is_whole = not gaps.any() and all(WHOLE.fullmatch(each) for each in given)
        if is_whole:
            parsed = np.array([int(each) for each in texts], dtype=np.int64)
        phrases, written = written_numbers(texts, gaps)
        of_row = None if written is None else written[codes]
        column = pd.Series(parsed[codes], index=values.index, name=values.name)
        return ColumnRead(column, (*notes, *phrases), of_row)
    if {each.lower() for each in given} <= {"true", "false"}:
        truth = [None if gap else t.lower() == "true" for t, gap in zip(texts, gaps, strict=True)]
        dtype = "boolean" if gaps.any() else bool
        column = pd.Series(pd.array(truth, dtype="boolean"))[codes].astype(dtype)
        return ColumnRead(column.set_axis(values.index).rename(values.name), notes)
    read = _levels_of(raw, texts, gaps, codes, values)
    phrases = mixture_in_words(given, numbers)
    return ColumnRead(read.values, (*notes, *phrases, *read.notes))


def read_texts(values: "pd.Series") -> ColumnRead:
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
    notes = missing_in_words(texts, np.bincount(known, minlength=len(raw)), gaps)
    numbers = sorted({each for each in given if is_number(each)})
    named = {each: each for each in texts}
    if numbers and len(numbers) == len(set(given) - {DASH}):
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
    is_plain = not gaps.any() and raw == [named[each] for each in texts]
    usual = pd.StringDtype(na_value=np.nan)
    if is_plain and not any(map(DATE.fullmatch, given)):
        return ColumnRead(values if values.dtype == usual else values.astype(usual), notes)
    read = _levels_of(raw, [named[each] for each in texts], gaps, codes, values)
    return ColumnRead(read.values, (*notes, *read.notes))


def mixture_in_words(given: list[str], numbers: list[str]) -> tuple[str, ...]:
    """Say that a column holds numbers and text, which makes its numbers levels."""
    if not numbers:
        return ()
    texts = sorted(set(given) - set(numbers))
    return (
        f"it holds numbers ({shown_names(sorted(set(numbers)), 3)}) and text "
        f"({shown_names(texts, 3)}), so that every value is a level",
    )


def missing_in_words(texts: list[str], counts: NDArray[np.intp], gaps: NDArray[np.bool]) -> Any:
    """Say how many cells are missing, by how they are marked."""
    marked: Counter[str] = Counter()
    for text, count, gap in zip(texts, counts.tolist(), gaps.tolist(), strict=True):
        if gap:
            marked[text] += count
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
    pairs = "; ".join(" and ".join(map(shown, same)) for same in several[:3])
    return written, pairs + (f" and {len(several) - 3} more" if len(several) > 3 else "")


def plain_number(text: str) -> str:
    """Write a plain number as the level that it is as a number."""
    if "." not in text:
        return str(int(text))
    number = float(text)
    return str(int(number)) if number.is_integer() else repr(number)


def written_numbers(
    texts: list[str], gaps: NDArray[np.bool]
) -> tuple[tuple[str, ...], NDArray[np.object_] | None]:
    """Give numbers as they are written, where levels by number would not be their texts.

    Returns
    -------
    tuple of str
        What has to be said of it.
    (texts,) ndarray of object, or None
        None where levels are those of the numbers.
    """
    given = [text for text, gap in zip(texts, gaps.tolist(), strict=True) if not gap]
    levels, several = number_levels(given)
    if not several and all(PLAIN.fullmatch(each) for each in levels.values()):
        return (), None
    written: NDArray[np.object_] = np.array(
        [None if gap else levels[t] for t, gap in zip(texts, gaps.tolist(), strict=True)],
        dtype=object,
    )
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
        cells = shown_names(sorted(spaced), 3)
        notes = (f"spaces around values are removed in {count_of(n, 'row')} ({cells})",)
    return ColumnRead(column, notes)


def _taken(of_code: "pd.Series", codes: NDArray[np.intp]) -> "pd.Series":
    """Give every row its code's value; a negative code has none."""
    import pandas as pd

    padded = pd.concat([of_code, of_code.iloc[:0].reindex([-1])]) if (codes < 0).any() else of_code
    return padded.take(codes)
