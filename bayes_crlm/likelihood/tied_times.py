"""One rule of ties: times that differ by rounding alone are one time.

Follow-up computed by subtraction differs in its last digits: 0.1 + 0.2 is not 0.3, and ages with
one decimal differ by 0.19999999999998863 or by 0.20000000000000284. Left alone, such times break
ties by chance in Cox regression, cut intervals of no width, and put a patient who started
treatment at 0.2 beyond a landmark at 0.2. So the rule is applied when a cohort is made, to all
that is a time in it, and every number after that sees the same times.

References
----------
Therneau, "Tied survival times" (vignette of R's `survival`): ``timefix`` and ``aeqSurv``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.words.errors import CohortError

Floats = NDArray[np.float64]

TOLERANCE = float(np.sqrt(np.finfo(float).eps))
"""Times closer than this share of the mean time are one time, as in R."""
NOISE = 2.0**12 * float(np.finfo(float).eps)
"""What a subtraction of numbers a thousand times as large leaves behind, of the largest time."""
SHORT_NOISE = 2.0**6 * float(np.finfo(np.float32).eps)
"""The same of numbers of 32 bits, a dozen times as large: their day may not be lost in it."""
DIGITS = 7
"""A decimal of more digits may lie within the noise of a time by chance."""


def one_time_each(*times: ArrayLike, tolerance: float = TOLERANCE) -> list[Floats]:
    """Give times that differ by rounding alone the same value, in all arrays together.

    That value is the shortest decimal among them or within rounding error of them (0.2 for
    0.19999999999998863), so that a time which a user writes is the time of the data; where there
    is not a short one, it is the earliest of them. The order of the rows does not matter.

    Parameters
    ----------
    *times : (n,) float
        Arrays of any lengths; what is not finite stays as it is.
    tolerance : float
        Times closer than this share of the mean of the distinct times are one time.

    Returns
    -------
    list of (n,) float
        As many arrays, of the same lengths.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in times]
    together = np.concatenate([each[np.isfinite(each)] for each in arrays])
    distinct = np.unique(together)
    if not distinct.size:
        return arrays
    # divided by the count first: a sum of the largest numbers that there are has no end
    mean = float(np.sum(np.abs(distinct) / distinct.size))
    starts = np.concatenate([[True], np.diff(distinct) > tolerance * mean])
    first = np.flatnonzero(starts)
    low, high = distinct[first], distinct[np.append(first[1:], distinct.size) - 1]
    chosen = shortest_decimals(low, high, min(NOISE * high[-1], tolerance * mean / 4))
    if len(chosen) == len(distinct) and np.array_equal(chosen, distinct):
        return arrays
    value = chosen[np.cumsum(starts) - 1]

    def merged(values: Floats) -> Floats:
        place = np.minimum(np.searchsorted(distinct, values), distinct.size - 1)
        return np.where(np.isfinite(values), value[place], values)

    return [merged(each) for each in arrays]


def short_times_once(*times: ArrayLike) -> list[Floats]:
    """Apply `one_time_each` to times that were computed in 32 bits.

    A difference of ages is 0.20000076 or 0.19999886 there for two tenths of a year.

    Parameters
    ----------
    *times : (n,) float
        Arrays of any lengths.

    Returns
    -------
    list of (n,) float
        The times themselves where so many lie so close that those which differ by rounding cannot
        be told from those which do not.
    """
    arrays = [np.asarray(each, dtype=np.float64) for each in times]
    together = np.concatenate([each[np.isfinite(each)] for each in arrays])
    distinct = np.abs(np.unique(together))
    largest = float(distinct.max(initial=0.0))
    if largest == 0:
        return arrays
    tolerance = SHORT_NOISE * largest
    tied = one_time_each(*arrays, tolerance=tolerance / float(np.sum(distinct / distinct.size)))
    moved = [np.abs(one - other) for one, other in zip(tied, arrays, strict=True)]
    is_told_apart = all(not (each > tolerance).any() for each in moved)
    return tied if is_told_apart else arrays


def shortest_decimals(low: Floats, high: Floats, noise: float) -> Floats:
    """Find the decimal with the fewest digits from `low` to `high`, give or take the noise.

    Parameters
    ----------
    low, high : (n,) float
        Increasing ranges, each of one time.
    noise : float
        Rounding error of the times.

    Returns
    -------
    (n,) float
        `low` where no decimal of few digits lies there. 0 only where `low` is 0: a short time is
        not none.
    """
    chosen, largest = low.copy(), float(high[-1])
    if not 1e-200 < largest < 1e200:
        return chosen
    most = DIGITS - int(np.floor(np.log10(largest)))
    decimal = np.round(low, most)
    is_short = (np.abs(decimal - low) <= noise) & (decimal >= high - noise)
    # of a range wider than the noise the decimal may lie above the earliest time
    wide = np.flatnonzero(~is_short & (high > low))
    for digits in range(most, most - DIGITS - 1, -1):
        above = np.round(high[wide], digits)
        is_inside = (above >= low[wide] - noise) & (above <= high[wide] + noise)
        decimal[wide[is_inside]] = above[is_inside]
        is_short[wide[is_inside]] = True
    is_short &= (decimal > 0) | (low <= 0)
    chosen[is_short] = decimal[is_short]
    return chosen


def may_have_ties(times: Floats, cohort: NDArray[np.intp], count: int) -> NDArray[np.bool]:
    """Say of many cohorts at once in which `one_time_each` may change a time.

    Parameters
    ----------
    times : (n,) float
        All times of all cohorts.
    cohort : (n,) int
        Whose time each is, from 0.
    count : int
        Number of cohorts.

    Returns
    -------
    (count,) bool
        False where certainly no time would change.
    """
    order = np.lexsort((times, cohort))
    times, cohort = times[order], cohort[order]
    largest = np.full(count, -np.inf)
    np.maximum.at(largest, cohort, np.abs(times))
    of_cohort = largest[cohort]
    with np.errstate(all="ignore"):
        scale = 10.0 ** (DIGITS - np.floor(np.log10(of_cohort)))
        off = np.abs(np.round(times * scale) / scale - times)
        may = ~((off == 0) | (off > 2 * NOISE * of_cohort))
        gap = np.diff(times)
        may[1:] |= (gap != 0) & ~(gap > TOLERANCE * of_cohort[1:]) & (np.diff(cohort) == 0)
    found = np.zeros(count, dtype=bool)
    found[cohort[may]] = True
    return found


def merge_tied_times(entry: ArrayLike, time: ArrayLike) -> tuple[Floats, Floats]:
    """Give the ends of rows at risk that differ by rounding alone the same value.

    Where no row enters late, the origin is not a time of its own: a follow-up of one second is
    short beside one of years, and still no rounding of nothing.

    Parameters
    ----------
    entry, time : (n_rows,) float
        Start and end of each row at risk.

    Returns
    -------
    entry, time : (n_rows,) float

    Raises
    ------
    CohortError
        When a row is at risk for no longer than the rounding of the times.
    """
    entry = np.asarray(entry, dtype=np.float64)
    time = np.asarray(time, dtype=np.float64)
    if not entry.any():
        return entry, one_time_each(time)[0]
    merged_entry, merged_time = one_time_each(entry, time)
    vanished = np.flatnonzero(merged_entry >= merged_time)
    if vanished.size:
        row = int(vanished[0])
        start, end = float(entry[row]), float(time[row])
        raise CohortError(
            f"row {row + 1} is at risk from {start!r} to {end!r}, which is shorter than the "
            "rounding of the times; remove it or give the times in another unit"
        )
    return merged_entry, merged_time


def distinct_times(entry: Floats, time: Floats) -> Floats:
    """Times of a cohort, each once and in increasing order; the origin only with late entry."""
    return np.unique(np.concatenate([entry, time]) if entry.any() else time)


def onto(times: ArrayLike, known: Sequence[float] | Floats) -> Floats:
    """Put times onto known ones that they differ from by rounding alone.

    Parameters
    ----------
    times : (n,) float
        A column used as a time, or times of the user's; what is not finite stays as it is.
    known : (m,) float
        Times of a cohort, each once and in increasing order, at least one.

    Returns
    -------
    (n,) float
        Of times that lie near no known one, those that differ by rounding alone are one time.
    """
    known = np.asarray(known, dtype=np.float64)
    (merged,) = one_time_each(times)
    last = len(known) - 1
    after = np.minimum(np.searchsorted(known, merged), last)
    before = np.maximum(after - 1, 0)
    is_nearer = np.abs(merged - known[before]) < np.abs(known[after] - merged)
    nearest = known[np.where(is_nearer, before, after)]
    with np.errstate(invalid="ignore"):
        is_known = np.abs(merged - nearest) <= TOLERANCE * np.mean(np.abs(known))
    return np.where(is_known, nearest, merged)
