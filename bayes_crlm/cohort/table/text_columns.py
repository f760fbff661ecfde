"""What texts are as levels and as numbers, and what is said of them."""

import re
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import PLAIN
from bayes_crlm.words.wording import in_rows, listed_first, shown, shown_names

NO_DECIMALS = re.compile(r"(?<=[0-9])\.0+$")


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
