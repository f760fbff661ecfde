"""How numbers are written for people: the one place that decides on digits and commas.

Numbers of 1,000 and more are never written with an exponent; nobody reads 1.02e+03 as 1,020.
"""

import math
from collections.abc import Sequence
from typing import Any

# a number beyond this is not a result but a sign that there is none; its digits would fill the line
LARGEST = 1e15
# a hazard ratio from here on is not known to its decimals
WHOLE_FROM = 1e7
# decimals of a number that nearly meets a limit
MOST_DIGITS = 8


def is_missing(value: Any) -> bool:
    """Whether there is no number to write."""
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def beyond(value: float) -> str | None:
    """Say that a number is larger than anyone reads; None where it is not."""
    if abs(value) <= LARGEST:
        return None
    return f"{'below -' if value < 0 else 'above '}{LARGEST:,.0f}"


def number(value: Any, digits: int = 2) -> str:
    """Write a number with fixed decimals; a dash where there is none."""
    if is_missing(value):
        return "–"
    if value and abs(value) < 0.5 * 10.0**-digits:
        return f"{'> -' if value < 0 else '<'}{10.0**-digits:.{digits}f}"
    return beyond(value) or f"{value:,.{digits if abs(value) < WHOLE_FROM else 0}f}"


def beside_limit(value: Any, limit: float, digits: int = 2) -> str:
    """Write a number with decimals enough to tell it from the limit that it misses.

    1.01003 is "1.0100" with four decimals, and beside the limit of 1.01 "1.01003".
    """
    text = number(value, digits)
    while text == number(limit, digits) and value != limit and digits < MOST_DIGITS:
        digits += 1
        text = number(value, digits)
    return text


def span(low: float, high: float) -> str:
    """Write two limits with two decimals."""
    return f"{number(low)} to {number(high)}"


def whole(value: float) -> str:
    """Write a count, or a number without its decimals."""
    return f"{value:,.0f}"


def whole_percent(value: float) -> str:
    """Write a share in whole percent."""
    return f"{value:.0%}"


def percent(share: float) -> str:
    """Write a share that somebody chose, in percent with the digits that were given."""
    return f"{as_written(100 * share, 4)}%"


def duration(value: Any) -> str:
    """Write an estimated time with three significant digits, whole from 100 on."""
    return "–" if is_missing(value) else estimate(value, 3)


def significant(value: float, digits: int = 3) -> str:
    """Write a number with so many significant digits; all digits before the point are kept.

    Parameters
    ----------
    value : float
        Finite.
    digits : int
        At least 1. A number below 0.0001 may have an exponent, one of 1,000 or more has none.
    """
    return _rounded(value, digits, "")


def estimate(value: float, digits: int = 3) -> str:
    """Write a number as `significant` does, with the zeros at its end: 0.50 beside 0.52.

    What was estimated has the digits of the other estimates of its row or sentence; what somebody
    chose has those that were given.

    Parameters
    ----------
    value, digits
        As of `significant`.
    """
    return _rounded(value, digits, "#")


def _rounded(value: float, digits: int, flag: str) -> str:
    """Write so many significant digits; the flag "#" keeps zeros at the end."""
    if abs(value) >= 10.0 ** (digits - 1):
        return beyond(value) or f"{value:,.0f}"
    text = f"{value:{flag},.{digits}g}"
    # 9.996 has become 10.0, or 1e+01; with zeros kept 99.96 is 100.
    return f"{float(text):,.0f}" if "e+" in text else text.removesuffix(".")


def as_written(value: float, digits: int = 6) -> str:
    """Write a number as a spec would: its digits alone, without commas or exponents.

    So many significant digits, or all of those before the point where there are more.
    """
    text = f"{value:.{digits}g}"
    return f"{value:.0f}" if "e+" in text and abs(value) <= LARGEST else text


def p_value(value: Any) -> str:
    """Write a P value with two significant digits, and "below 0.0001" under that."""
    if is_missing(value):
        return "–"
    return "below 0.0001" if value < 1e-4 else f"{value:#.2g}"


def p_value_after_p(value: float) -> str:
    """Write a P value after the letter p: "= 0.03" or "below 0.0001"."""
    text = p_value(value)
    return text if text.startswith("below") else f"= {text}"


def probability_in_words(probability: float | None, effective_draws: float | None = None) -> str:
    """Write a probability with no more digits than draws support.

    Parameters
    ----------
    probability : float or None
        Share of draws.
    effective_draws : float, optional
        Effective sample size: a share of 0 or 1 becomes "below" or "above" one over it.
    """
    if probability is None:
        return "not available"
    digits = math.floor(math.log10(max(effective_draws or 1000.0, 10.0)))
    least = 10.0**-digits
    if probability < least:
        return f"below {least:.{digits}f}"
    if probability > 1 - least:
        return f"above {1 - least:.{digits}f}"
    if 0.01 <= probability <= 0.99:
        return f"{probability:.2f}"
    # three decimals are enough where they are not 0.000 or 1.000
    return f"{probability:.{3 if 0.001 <= probability <= 0.999 else digits}f}"


def ratio_in_words(ratio: float | None, limits: Sequence[float | None] | None) -> str:
    """Write a ratio with its limits; "not estimable" where there is none."""
    if ratio is None or not math.isfinite(ratio):
        return "not estimable"
    low, high = (plain_ratio(each) for each in limits or (None, None))
    return f"{plain_ratio(ratio)} (95% interval {low} to {high})"


def any_ratio(ratio: float) -> str:
    """Write a hazard ratio that may be tiny or huge."""
    if ratio < 0.001:
        return "less than 0.001"
    if ratio > 1000:
        return "more than 1,000"
    if ratio < 0.095:
        return significant(ratio, 2)
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"


def prior_ratio(value: Any) -> str:
    """Write a hazard ratio of a prior: two decimals, or two or three digits of an extreme one."""
    if is_missing(value) or 0.1 <= value < 10:
        return number(value)
    return estimate(value, 2 if value < 1 else 3)


def plain_ratio(value: float | None) -> str:
    """Write one ratio with two decimals; a hyphen where there is none."""
    return "-" if value is None or not math.isfinite(value) else beyond(value) or f"{value:,.2f}"
