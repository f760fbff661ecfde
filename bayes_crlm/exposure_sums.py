"""Sums over rows that the likelihood and its gradient need, in one pass over the design.

Rows come sorted by interval, column by column, so that a block of rows is read once, stays
in cache and is worked on with vector instructions. A row that enters late is two: one that
counts up to its stop, one that counts negatively up to its entry.

The exponential is Cody & Waite's: x = n log 2 + r, a polynomial in r, and n into the exponent's
bits; `numpy.exp` in a Numba loop is a call for every row instead. Its largest relative error is
that of the last bit.

References
----------
Cody & Waite (1980), Software Manual for the Elementary Functions, chapter 6.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numba
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayes_crlm.likelihood import SurvivalData

__all__ = ["SortedRows", "exposure_sums", "sort_rows"]

BLOCK_ROWS = 256
LOG2_E = math.log2(math.e)
# log 2 in two parts, the first with trailing zeros, so that n times it is exact
LOG_2_HIGH, LOG_2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
# adding 1.5 x 2^52 leaves a number's nearest whole number in its lowest bits
TO_LOWEST_BITS = 1.5 * 2.0**52
EXPONENT_BIAS, MANTISSA_BITS = 1023, 52
SMALLEST, LARGEST = -708.0, 709.0


@dataclass(frozen=True)
class SortedRows:
    """A cohort's rows, sorted by interval.

    Attributes
    ----------
    columns : (terms, rows) ndarray
        Design on the sampling scale, each term contiguous.
    bounds : (intervals + 1,) ndarray of int
        Where each interval's rows begin and end.
    within : (rows,) ndarray
        Time since the interval's start, times the row's count; negative for an entry.
    count : (rows,) ndarray
        How many rows of the cohort (or what weight) it stands for; negative for an entry.
    """

    columns: NDArray[np.float64]
    bounds: NDArray[np.int64]
    within: NDArray[np.float64]
    count: NDArray[np.float64]


def sort_rows(data: "SurvivalData") -> SortedRows:
    """Sort a cohort's rows by the interval in which they stop (or enter).

    Parameters
    ----------
    data : SurvivalData
        The cohort in compact form.
    """
    follow_up = data.follow_up
    row = np.arange(follow_up.n_rows)
    interval, within, count = follow_up.stop_interval, follow_up.stop_within, follow_up.count
    if follow_up.is_delayed:
        late = (follow_up.entry_interval > 0) | (follow_up.entry_within > 0)
        row = np.concatenate([row, row[late]])
        interval = np.concatenate([interval, follow_up.entry_interval[late]])
        within = np.concatenate([within, -follow_up.entry_within[late]])
        count = np.concatenate([count, -count[late]])
    order = np.argsort(interval, kind="stable")
    columns = np.empty((data.design.shape[1], len(order)))
    for term in range(len(columns)):
        columns[term] = data.design[row[order], term]
    edges = np.arange(len(follow_up.width) + 1)
    return SortedRows(
        columns=columns,
        bounds=np.searchsorted(interval[order], edges).astype(np.int64),
        within=within[order],
        count=count[order],
    )


# said for itself: a function inherits `fastmath` from whoever makes Numba compile it, and with
# reordered sums no lowest bits would be left
@numba.njit(cache=True, error_model="numpy", fastmath=False)
def exponentiate(values: Any) -> None:
    """Replace values by their exponentials; beyond the range of floats, by its ends."""
    for k in range(values.size):
        x = min(max(values[k], SMALLEST), LARGEST)
        shifted = x * LOG2_E + TO_LOWEST_BITS
        whole = shifted - TO_LOWEST_BITS
        r = (x - whole * LOG_2_HIGH) - whole * LOG_2_LOW
        p = 1 / 6227020800
        p = p * r + 1 / 479001600
        p = p * r + 1 / 39916800
        p = p * r + 1 / 3628800
        p = p * r + 1 / 362880
        p = p * r + 1 / 40320
        p = p * r + 1 / 5040
        p = p * r + 1 / 720
        p = p * r + 1 / 120
        p = p * r + 1 / 24
        p = p * r + 1 / 6
        p = p * r + 0.5
        p = p * r + 1.0
        p = p * r + 1.0
        bits = (np.float64(shifted).view(np.int64) + EXPONENT_BIAS) << MANTISSA_BITS
        values[k] = p * np.int64(bits).view(np.float64)


# sums may be taken in any order, so that they can be taken four at a time
@numba.njit(cache=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz"})
def add_block(
    effect: Any,
    columns: Any,
    first: int,
    within: Any,
    count: Any,
    reached: float,
    hazard: float,
    work: Any,
    by_effect: Any,
) -> tuple[float, float]:
    """Add one block of one interval's rows to the sums; returns its counts and times."""
    n = work.size
    for term in range(effect.size):
        column, slope = columns[term, first : first + n], effect[term]
        if term == 0:
            for k in range(n):
                work[k] = slope * column[k]
        else:
            for k in range(n):
                work[k] += slope * column[k]
    exponentiate(work)
    counted = time = 0.0
    for k in range(n):
        counted += work[k] * count[k]
        time += work[k] * within[k]
        work[k] *= reached * count[k] + hazard * within[k]
    for term in range(effect.size):
        column, total = columns[term, first : first + n], 0.0
        for k in range(n):
            total += work[k] * column[k]
        by_effect[term] += total
    return counted, time


@numba.njit(cache=True, error_model="numpy", fastmath=False)
def exposure_sums(
    effect: Any, hazard: Any, columns: Any, bounds: Any, within: Any, count: Any, width: Any
) -> tuple[Any, Any, Any]:
    """Cumulative hazard of the cohort, its exposure by interval, its slope in the effects.

    Parameters
    ----------
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    hazard : (intervals,) ndarray
        Hazard (or any weight) of every interval.
    columns, bounds, within, count : ndarray
        Of `SortedRows`.
    width : (intervals,) ndarray
        Interval widths.

    Returns
    -------
    () ndarray
        Sum over intervals of hazard times weighted exposure: the cohort's cumulative hazard.
    (intervals,) ndarray
        Time at risk weighted by relative hazards: its derivative in the hazards.
    (terms,) ndarray
        Its derivative in the effects.
    """
    n_intervals = hazard.size
    by_effect, exposure = np.zeros(effect.size), np.empty(n_intervals)
    counted, work = np.zeros(n_intervals), np.empty(BLOCK_ROWS)
    reached, total = 0.0, 0.0
    for j in range(n_intervals):
        time = 0.0
        for first in range(bounds[j], bounds[j + 1], BLOCK_ROWS):
            last = min(first + BLOCK_ROWS, bounds[j + 1])
            more_counted, more_time = add_block(
                effect,
                columns,
                first,
                within[first:last],
                count[first:last],
                reached,
                hazard[j],
                work[: last - first],
                by_effect,
            )
            counted[j] += more_counted
            time += more_time
        exposure[j] = time
        total += reached * counted[j] + hazard[j] * time
        reached += hazard[j] * width[j]
    past = 0.0
    for j in range(n_intervals - 1, -1, -1):
        # who stops in a later interval has spent all of this one at risk
        exposure[j] += past * width[j]
        past += counted[j]
    result = np.empty(())
    result[()] = total
    return result, exposure, by_effect
