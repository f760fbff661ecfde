"""Lists of values in the tables of `[sensitivity]`, and sentences that refuse wrong ones.

A validator takes a value as TOML gives it and makes a tuple of it, or raises `ValueError`.
"""

import math
from collections.abc import Sequence
from typing import Any

from pydantic import PlainValidator

from bayes_crlm.specification.values import MOST_INTERVALS, check_number
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import did_you_mean, shown

MOST_VALUES = 100


def check_list(value: object, what: str) -> tuple[Any, ...]:
    """Take a list of different values that is neither empty nor endless."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of {what}")
    if not value:
        raise ValueError(f"[] is an empty list; give at least one of {what}")
    if len(value) > MOST_VALUES:
        raise ValueError(f"{len(value)} values are given; give at most {MOST_VALUES}")
    for k, each in enumerate(value):
        if each in value[:k]:
            raise ValueError(f"{shown(each)} is given twice; give each value once")
    return tuple(value)


def number_list(
    what: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    is_open: bool = True,
) -> PlainValidator:
    """Make the validator of a list of different finite numbers.

    Parameters
    ----------
    what : str
        What they are called in messages.
    low, high : float
        Limits.
    is_open : bool
        Whether the limits themselves are refused.
    """

    def check(value: object) -> tuple[float, ...]:
        numbers = tuple(check_number(each) for each in check_list(value, what))
        for number in numbers:
            is_inside = low < number < high if is_open else low <= number <= high
            if not is_inside:
                raise ValueError(f"{as_written(number)} is impossible; give {what} {limits}")
        return numbers

    if math.isinf(high):
        limits = f"above {as_written(low)}" if is_open else f"of at least {as_written(low)}"
    else:
        limits = (
            f"between {as_written(low)} and {as_written(high)}"
            if is_open
            else f"from {as_written(low)} to {as_written(high)}"
        )
    if math.isinf(low):
        limits = "that are finite"
    return PlainValidator(check)


def ratios(what: str) -> PlainValidator:
    """Make the validator of a list of ratios above 0."""
    return number_list(what, 0.0)


def some_of(what: str, choices: Sequence[str]) -> PlainValidator:
    """Make the validator of a list of names out of some."""

    def check(value: object) -> tuple[str, ...]:
        names = check_list(value, what)
        for name in names:
            if name not in choices:
                raise ValueError(f"{shown(name)} is unknown; {did_you_mean(name, choices)}")
        return names

    return PlainValidator(check)


def interval_numbers() -> PlainValidator:
    """Make the validator of "auto" or a list of different numbers of intervals."""

    def check(value: object) -> str | tuple[int, ...]:
        if value == "auto":
            return "auto"
        numbers = check_list(value, "numbers of intervals")
        for number in numbers:
            is_whole = isinstance(number, int) and not isinstance(number, bool)
            if not is_whole or not 1 <= number <= MOST_INTERVALS:
                raise ValueError(
                    f"{shown(number)} is not a number of intervals; give from 1 to {MOST_INTERVALS}"
                )
        return numbers

    return PlainValidator(check)
