"""What is found, as a value: every output loops over sections and knows none of them by name.

A term, an estimand, a check or a part of the sensitivity analysis gives sections. `summary.json`,
`tables/`, `figures/`, the report, the terminal and the tables of a fit are made from them: every
number that a person reads stands in the rows of a section.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.frames import frame_of, in_files
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pandas as pd

# what a summary calls two limits, and what tables call them
LIMITS = {
    "eti95": ("eti95_low", "eti95_high"),
    "cox_ci95": ("cox_low", "cox_high"),
    "finer_eti95": ("finer_low", "finer_high"),
}
THRESHOLD = re.compile(r"prob_below_(\d.*)")


@record
class Column:
    """A column of rows as a person reads it.

    Attributes
    ----------
    name : str
        Key of the rows. Of two limits the name before ``_low`` and ``_high``.
    heading : str
        What stands above it.
    kind : str
        What it holds and so how it is written: a name of `bayes_crlm.words.cells.KINDS`, or, where
        rows differ in that, the key of the rows (before ``_limits``) that names it.
    unit : str or None
        Of its numbers, after the heading; None where they have none.
    strong : str
        Key of the rows that is true where the cell is to stand out.
    small : str
        Key of the rows with what stands beneath the cell in small print, or nothing.
    """

    name: str
    heading: str
    kind: str = "text"
    unit: str | None = None
    strong: str = ""
    small: str = ""


@record
class Rows:
    """A small table.

    Attributes
    ----------
    name : str
        Of its file in ``tables/``, without ending; empty for rows that are in no file.
    rows : sequence of mapping
        From a column's name to a plain value. Two limits of a number are keys that end on
        ``_low`` and ``_high``, or a pair under `eti95` or `cox_ci95`. Keys that begin with ``_``
        are for people alone: they stand in no file.
    columns : tuple of Column
        Those that a person sees, in this order; none where the rows are for files alone.
    at : tuple of str
        Where they stand in the summary, such as ``("estimands", "survival")``; empty for
        nowhere.
    group : str
        Key of the rows that is true where a new group begins.
    marks : mapping of str to str
        Columns of the file that say the same in every row.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    columns: tuple[Column, ...] = ()
    at: tuple[str, ...] = ()
    group: str = ""
    marks: Mapping[str, str] = field(default_factory=dict)

    def to_frame(self) -> "pd.DataFrame":
        """Make a data frame with one column for every number."""
        return frame_of(self.rows).assign(**self.marks)

    def to_json(self) -> list[dict[str, Any]]:
        """Make plain rows as `summary.json` has them, two limits in one value."""
        return [gathered(row) for row in self.rows]


@record
class Figure:
    """A figure that is drawn when it is asked for.

    Attributes
    ----------
    name : str
        Of its file in ``figures/``, without ending.
    caption : str
        Says what is drawn, for who reads the report.
    plot : callable
        Of `bayes_crlm.figures`: what kind of figure it is. Gives axes or a figure, or None where
        there is nothing to draw.
    numbers : mapping
        The arguments of `plot`: what is drawn.
    """

    name: str
    caption: str
    plot: Callable[..., Any]
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def draw(self) -> Any:
        """Draw it."""
        return self.plot(**self.numbers)


@record
class Note:
    """A paragraph of a section.

    Attributes
    ----------
    text : str
        A sentence, or what a list begins with.
    kind : str
        How it is set: "muted", "caution", "answer", "withdrawn", or nothing for plain text.
    name : str
        By which a page can be linked to it; empty for none.
    lead : str
        Its first words, which are to stand out.
    is_first : bool
        Whether it stands before the figures and tables, and not after them.
    items : tuple of str
        Of a list in the place of a paragraph.
    """

    text: str = ""
    kind: str = ""
    name: str = ""
    lead: str = ""
    is_first: bool = False
    items: tuple[str, ...] = ()


@record
class Lines:
    """Lines of the terminal: a heading, and names with what is said of them.

    Attributes
    ----------
    heading : str
        Empty for none.
    items : tuple of (str, str)
        Name and value; an empty name goes on with the one before.
    """

    heading: str
    items: tuple[tuple[str, str], ...] = ()


@record
class Section:
    """One thing that was found.

    Attributes
    ----------
    key : str
        Its name in files.
    title : str
        Its heading; empty where it goes on with what stands before it.
    sentence : str
        What was found, a function of the rows. A page shows it where no note stands first.
    verdict : str or None
        What it comes to in a word, such as "agree" or "changes"; None where nothing is judged.
    rows : tuple of Rows
        Tables of the finding, the only source of its numbers.
    figures : tuple of Figure
        What `bayes_crlm.figures` draws of it.
    notes : tuple of Note
        What has to be read with it.
    chapter : str
        Of the report: where it stands.
    lines : tuple of Lines
        What the terminal says of it, where that is not the sentence.
    summary : mapping
        What stands in the summary beside the rows, by the summary's keys.
    """

    key: str
    title: str = ""
    sentence: str = ""
    verdict: str | None = None
    rows: tuple[Rows, ...] = ()
    figures: tuple[Figure, ...] = ()
    notes: tuple[Note, ...] = ()
    chapter: str = ""
    lines: tuple[Lines, ...] = ()
    summary: Mapping[str, Any] = field(default_factory=dict)

    @property
    def said(self) -> tuple[Lines, ...]:
        """What the terminal says: its lines, else the sentence; nothing of what has neither."""
        if self.lines or not self.sentence:
            return self.lines
        return (Lines(self.title, (("", self.sentence),)),)

    def put_into(self, summary: dict[str, Any]) -> None:
        """Add the section to a summary, every value where it belongs."""
        merge(summary, self.summary)
        for rows in self.rows:
            if rows.at:
                nested: Any = rows.to_json()
                for key in reversed(rows.at):
                    nested = {key: nested}
                merge(summary, nested)


def for_files(
    key: str, rows: Sequence[Mapping[str, Any]], marks: Mapping[str, str] | None = None
) -> Section:
    """Make a section of rows that stand in files alone, under its key."""
    return Section(key, rows=(Rows(key, rows, at=(key,), marks=marks or {}),))


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Put nested values into a mapping, table by table."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def gathered(row: Mapping[str, Any]) -> dict[str, Any]:
    """Gather each pair of limits of a row into one value, and probabilities at thresholds."""
    found = in_files(row)
    for name, (low, high) in LIMITS.items():
        if low in found:
            found[name] = [found.pop(low), found.pop(high)]
    below = {key: phrase[1] for key in found if (phrase := THRESHOLD.fullmatch(key))}
    if below:
        found["prob_below"] = {threshold: found.pop(key) for key, threshold in below.items()}
    return found
