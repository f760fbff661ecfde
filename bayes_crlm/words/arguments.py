"""What people give to models and fits in Python: taken, or refused in the words of a spec."""

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np

from bayes_crlm.words.errors import CutpointError, EstimandError, FormulaError
from bayes_crlm.words.wording import shown


def cutpoints_of(given: Any) -> Any:
    """Take "auto", a whole number of any kind, or times.

    Raises
    ------
    CutpointError
        For anything else.
    """
    if isinstance(given, str) or (isinstance(given, Integral) and not isinstance(given, bool)):
        return given if isinstance(given, str) else int(given)
    if not isinstance(given, bytes | Real) and (times := numbers_of(given)) is not None:
        return tuple(times)
    raise CutpointError(
        f"cutpoints: {shown(given)} is not understood; give 'auto', a whole number of intervals, "
        "or a list of times"
    )


def covariates_of(given: Any) -> str:
    """Take a formula.

    Raises
    ------
    FormulaError
        For what is not a text.
    """
    if isinstance(given, str):
        return given
    hint = "'' for none"
    if isinstance(given, list | tuple) and all(isinstance(each, str) for each in given):
        hint = repr(" + ".join(given))
    raise FormulaError(
        f"covariates: {shown(given)} is not a formula in text; give for example {hint}"
    )


def times_of(given: Any, key: str) -> list[float]:
    """Take a time or a list of times.

    Raises
    ------
    EstimandError
        For what is not a finite number.
    """
    times = numbers_of(given)
    if times is None:
        raise EstimandError(f"{key}: {shown(given)} must be a list of finite times")
    return times


def horizon_of(given: Any, key: str) -> float:
    """Take one time.

    Raises
    ------
    EstimandError
        For what is not a finite number.
    """
    if is_number(given):
        return float(given)
    raise EstimandError(f"{key}: {shown(given)} must be one finite time")


def thresholds_of(given: Any) -> tuple[float, ...]:
    """Take hazard ratios above 0.

    Raises
    ------
    EstimandError
        For what is none.
    """
    ratios = numbers_of(given)
    if ratios is None or min(ratios, default=1.0) <= 0:
        raise EstimandError(f"thresholds: {shown(given)} must be a list of hazard ratios above 0")
    return tuple(ratios)


def numbers_of(given: Any) -> list[float] | None:
    """Take a number or several; None where anything else is among them."""
    several = [given] if isinstance(given, str | Real) else given
    numbers: list[Any] = list(several) if isinstance(several, Iterable) else [None]
    return [float(each) for each in numbers] if all(map(is_number, numbers)) else None


def is_number(value: Any) -> bool:
    """Whether a value is a finite number, and neither true nor false."""
    is_real = isinstance(value, Real) and not isinstance(value, bool | np.bool)
    return is_real and bool(np.isfinite(float(value)))
