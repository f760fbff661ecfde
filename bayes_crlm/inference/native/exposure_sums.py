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

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.machine_code import compiled, inlined

if TYPE_CHECKING:
    from bayes_crlm.likelihood.survival_data import SurvivalData

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


@inlined
def exponentiate(values: Any) -> None:
    """Replace values by their exponentials: infinity, or next to nothing, out of floats' range."""
    for k in range(values.size):
        is_too_large = values[k] > LARGEST
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
        found = p * np.int64(bits).view(np.float64)
        values[k] = np.inf if is_too_large else found


@inlined
def relative_hazards(effect: Any, columns: Any, first: int, n_rows: int, work: Any) -> None:
    """Relative hazards of a block of rows."""
    n, at = work.size, first
    for k in range(n):
        work[k] = 0.0
    for term in range(0, effect.size - effect.size % 2, 2):
        x, y = effect[term], effect[term + 1]
        left, right = columns[at : at + n], columns[at + n_rows : at + n_rows + n]
        for k in range(n):
            work[k] += x * left[k] + y * right[k]
        at += 2 * n_rows
    if effect.size % 2:
        x, left = effect[effect.size - 1], columns[at : at + n]
        for k in range(n):
            work[k] += x * left[k]
    exponentiate(work)


@inlined
def dot(left: Any, right: Any) -> float:
    """Sum of products, taken in eight parts side by side."""
    a = b = c = d = e = f = g = h = 0.0
    whole = left.size - left.size % 8
    for k in range(0, whole, 8):
        a += left[k] * right[k]
        b += left[k + 1] * right[k + 1]
        c += left[k + 2] * right[k + 2]
        d += left[k + 3] * right[k + 3]
        e += left[k + 4] * right[k + 4]
        f += left[k + 5] * right[k + 5]
        g += left[k + 6] * right[k + 6]
        h += left[k + 7] * right[k + 7]
    for k in range(whole, left.size):
        a += left[k] * right[k]
    return ((a + e) + (c + g)) + ((b + f) + (d + h))


@compiled
def exposure_sums(
    effect: Any,
    hazard: Any,
    columns: Any,
    bounds: Any,
    within: Any,
    count: Any,
    width: Any,
    exposure: Any,
    by_effect: Any,
) -> float:
    """Cumulative hazard of the cohort, its exposure by interval, its slope in the effects.

    Parameters
    ----------
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    hazard : (intervals,) ndarray
        Hazard (or any weight) of every interval.
    columns : (terms x rows,) ndarray
        Those of `SortedRows`, one after the other.
    bounds, within, count : ndarray
        Of `SortedRows`.
    width : (intervals,) ndarray
        Interval widths.
    exposure : (intervals,) ndarray
        Filled with the time at risk weighted by relative hazards: the result's derivative in the
        hazards.
    by_effect : (terms,) ndarray
        Filled with its derivative in the effects.

    Returns
    -------
    float
        Sum over intervals of hazard times weighted exposure: the cohort's cumulative hazard.
    """
    n_intervals, n_rows = hazard.size, within.size
    counted, work = np.empty(n_intervals), np.empty(BLOCK_ROWS)
    for j in range(n_intervals):
        counted[j] = exposure[j] = 0.0
    for term in range(effect.size):
        by_effect[term] = 0.0
    reached, total, j = 0.0, 0.0, 0
    for first in range(0, n_rows, BLOCK_ROWS):
        last = min(first + BLOCK_ROWS, n_rows)
        block = work[: last - first]
        relative_hazards(effect, columns, first, n_rows, block)
        at = first
        while at < last:
            while bounds[j + 1] <= at:
                reached += hazard[j] * width[j]
                j += 1
            end = min(bounds[j + 1], last)
            here, of_count, of_time = hazard[j], 0.0, 0.0
            part, count_part, within_part = (
                block[at - first : end - first],
                count[at:end],
                within[at:end],
            )
            for k in range(part.size):
                each, time = part[k] * count_part[k], part[k] * within_part[k]
                of_count += each
                of_time += time
                part[k] = reached * each + here * time
            counted[j] += of_count
            exposure[j] += of_time
            total += reached * of_count + hazard[j] * of_time
            at = end
        for term in range(effect.size):
            start = term * n_rows + first
            by_effect[term] += dot(columns[start : start + last - first], block)
    past = 0.0
    for j in range(n_intervals - 1, -1, -1):
        # who stops in a later interval has spent all of this one at risk
        exposure[j] += past * width[j]
        past += counted[j]
    return total
