"""How a cell of a table is written, by what its column holds."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from bayes_crlm.words.section import Column
from bayes_crlm.words.shown import (
    duration,
    is_missing,
    number,
    prior_ratio,
    probability_in_words,
    significant,
)

Write = Callable[[Any], str]


def percent(value: Any) -> str:
    """Write a share in percent with one decimal."""
    return "–" if is_missing(value) else f"{number(100 * value, 1)}%"


def points(value: Any) -> str:
    """Write a difference of shares in percentage points, its sign first."""
    return "–" if is_missing(value) else f"{100 * value:+.1f}"


def estimable(value: Any) -> str:
    """Write a ratio, or that there is none."""
    return "not estimable" if is_missing(value) else number(value)


def reached(value: Any) -> str:
    """Write a time that is infinite where it lies beyond follow-up."""
    return "not reached" if is_missing(value) else duration(value)


def level(value: Any) -> str:
    """Write a level, or the value of a covariate."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return significant(value) if is_number else str(value)


def one(write: Write) -> Callable[[Mapping[str, Any], str], str]:
    """Write a column's own value."""
    return lambda row, name: write(row[name])


def both(write: Write) -> Callable[[Mapping[str, Any], str], str]:
    """Write two limits."""

    def limits(row: Mapping[str, Any], name: str) -> str:
        if f"{name}_low" in row:
            low, high = row[f"{name}_low"], row[f"{name}_high"]
        else:
            low, high = row[name] or (None, None)
        return f"{write(low)} to {write(high)}"

    return limits


def ratio_with_limits(row: Mapping[str, Any], name: str) -> str:
    """Write a ratio and its limits in one cell."""
    if is_missing(row[name]):
        return "not estimable"
    return f"{number(row[name])} ({both(number)(row, name)})"


def comparison(row: Mapping[str, Any], name: str = "treatment") -> str:
    """Name a level and what it is compared with, and that there is no answer."""
    why = " (no answer)" if row.get("withdrawn") else ""
    return f"{row[name]} against {row['reference']}{why}"


def probability(row: Mapping[str, Any], name: str) -> str:
    """Write a probability with the digits that a row's effective draws support."""
    effective = row.get("ess_bulk")
    is_unknown = "ess_bulk" in row and (is_missing(effective) or not effective)
    return probability_in_words(row[name], 10 if is_unknown else effective)


def interval(row: Mapping[str, Any], name: str) -> str:
    """Write an interval of time from one column to another."""
    return f"({significant(row['from'], 4)}, {significant(row['to'], 4)}]"


def difference_of(row: Mapping[str, Any], value: Any) -> str:
    """Write a difference of times, its sign first, with as many decimals as others of its row."""
    if is_missing(value):
        return "–"
    beside: list[Any] = [value, *(row.get(each) for each in ("mean", "eti95_low", "eti95_high"))]
    largest = max(abs(each) for each in beside if not is_missing(each))
    decimals = min(max(2 - math.floor(math.log10(largest)), 0), 4) if largest else 2
    return f"{value:+,.{decimals}f}"


def difference(row: Mapping[str, Any], name: str) -> str:
    """Write a difference of mean survival times."""
    return difference_of(row, row[name])


def difference_limits(row: Mapping[str, Any], name: str) -> str:
    """Write the limits of a difference of mean survival times."""
    return both(partial(difference_of, row))(row, name)


KINDS: dict[str, Callable[[Mapping[str, Any], str], str]] = {
    "text": one(str),
    "reason": one(str),
    "count": one(str),
    "level": one(level),
    "comparison": comparison,
    "ratio": one(number),
    "estimable": one(estimable),
    "limits": both(number),
    "ratio_with_limits": ratio_with_limits,
    "prior_limits": both(prior_ratio),
    "probability": probability,
    "percent": one(percent),
    "percent_limits": both(percent),
    "points": one(points),
    "points_limits": both(points),
    "difference": difference,
    "difference_limits": difference_limits,
    "duration": one(duration),
    "duration_limits": both(duration),
    "reached": one(reached),
    "reached_limits": both(reached),
    "time": one(partial(significant, digits=6)),
    "interval": interval,
    "number": one(number),
    "tenths": one(partial(number, digits=1)),
    "whole_limits": both(partial(number, digits=0)),
}
"""From the kind of a column to how a cell of a row is written."""


def cell(row: Mapping[str, Any], column: Column) -> str:
    """Write one cell for people.

    Parameters
    ----------
    row : mapping
        Of `bayes_crlm.words.section.Rows`.
    column : Column
        Which cell of the row, and what kind of value it holds.
    """
    kind = column.kind
    if kind.startswith("_"):
        name = kind.removesuffix("_limits")
        kind = f"{row[name]}{kind.removeprefix(name)}"
    return KINDS[kind](row, column.name)


def heading(column: Column) -> str:
    """Write a column's heading, with its unit."""
    return f"{column.heading} ({column.unit})" if column.unit else column.heading
