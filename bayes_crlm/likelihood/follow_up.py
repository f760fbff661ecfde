"""Time at risk of rows in intervals, in compact form, and its sums in linear time.

A row's time at risk is never spread over a rows x intervals table. It is kept as two positions,
where the row enters and where it stops, each an interval and the time since that interval's start.
Both the cumulative hazard of every row and the exposure of every interval follow from those. Rows
may belong to classes with hazards of their own: sums are then of cells, a class by an interval.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.words.records import record


@record
class FollowUp(Stacked):
    """Time at risk of every row in compact form; of many cohorts their axis comes first.

    Attributes
    ----------
    width : (intervals,) ndarray
        Interval widths.
    stop_interval, stop_within : (rows,) ndarray
        The interval in which a row's follow-up ends and the time since its start.
    entry_interval, entry_within : (rows,) ndarray
        The same for where the row's follow-up begins.
    is_delayed : bool
        Whether any row enters after time 0.
    count : (rows,) ndarray
        How many rows of the cohort stand behind each row, or with what weight: 1 unless rows
        were pooled or weighted. The `within` times of such a row are sums over those rows.
    """

    width: NDArray[np.float64]
    stop_interval: NDArray[np.intp]
    stop_within: NDArray[np.float64]
    entry_interval: NDArray[np.intp]
    entry_within: NDArray[np.float64]
    is_delayed: bool
    count: NDArray[np.float64]

    shared: ClassVar[tuple[str, ...]] = ("is_delayed",)

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.stop_interval)

    def rows(self, kept: NDArray[np.intp]) -> "FollowUp":
        """Keep some rows, in the order of their numbers `kept`."""
        return replace(
            self,
            stop_interval=self.stop_interval[kept],
            stop_within=self.stop_within[kept],
            entry_interval=self.entry_interval[kept],
            entry_within=self.entry_within[kept],
            count=self.count[kept],
        )


def locate(times: NDArray, cutpoints: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the interval of every time and the time since the interval's start.

    Parameters
    ----------
    times : (n,) ndarray or (cohorts, n) ndarray
        Times between 0 and the last cutpoint.
    cutpoints : (intervals + 1,) ndarray or (cohorts, intervals + 1) ndarray
        Interval ends, the first 0.

    Returns
    -------
    interval : ndarray of int, the shape of `times`
        0-based; a time on a cutpoint belongs to the interval that ends there.
    within : ndarray, the shape of `times`
        Time since the start of that interval.
    """
    if times.ndim == 1:
        interval = np.searchsorted(cutpoints[1:-1], times, side="left")
        return interval, times - cutpoints[interval]
    interval = np.zeros(times.shape, dtype=np.intp)
    for edge in cutpoints[:, 1:-1].T:
        interval += edge[:, None] < times
    return interval, times - np.take_along_axis(cutpoints, interval, axis=1)


def cut_follow_up(entry: NDArray, time: NDArray, cutpoints: NDArray) -> FollowUp:
    """Put every row's time at risk (entry, time] into compact form.

    Parameters
    ----------
    entry, time : (rows,) ndarray or (cohorts, rows) ndarray
        Begin and end of each row's follow-up.
    cutpoints : (intervals + 1,) ndarray or (cohorts, intervals + 1) ndarray
        Interval ends, the first 0, the last no earlier than any `time`.

    Returns
    -------
    FollowUp
        Of many cohorts all its arrays have the cohorts' axis first.
    """
    cutpoints = np.asarray(cutpoints, dtype=float)
    stop_interval, stop_within = locate(np.asarray(time, dtype=float), cutpoints)
    entry_interval, entry_within = locate(np.asarray(entry, dtype=float), cutpoints)
    return FollowUp(
        width=np.diff(cutpoints),
        stop_interval=stop_interval,
        stop_within=stop_within,
        entry_interval=entry_interval,
        entry_within=entry_within,
        is_delayed=bool(np.any(np.asarray(entry) > 0)),
        count=np.ones(stop_interval.shape),
    )


def exposure_per_interval(
    follow_up: FollowUp, weights: NDArray | None = None
) -> NDArray[np.float64]:
    """Sum (weighted) time at risk over rows in every interval, in linear time.

    Parameters
    ----------
    follow_up : FollowUp
        Rows and intervals.
    weights : (rows,) ndarray, optional
        A weight for each row; 1 without it.

    Returns
    -------
    (intervals,) ndarray
        Sum over rows of weight times time spent in the interval.
    """
    return exposure_per_cell(follow_up, weights)[0]


def events_per_cell(
    follow_up: FollowUp,
    event: NDArray,
    row_class: NDArray[np.intp] | int = 0,
    n_classes: int = 1,
) -> NDArray[np.float64]:
    """Sum events over the rows of every class in every interval, shape (classes, intervals).

    Parameters
    ----------
    follow_up : FollowUp
        Rows and intervals; many cohorts are classes.
    event : (rows,) ndarray
        Events of each row, or their weights.
    row_class : (rows,) ndarray of int, or int
        Which class each row belongs to.
    n_classes : int
        Number of classes.
    """
    n_intervals = follow_up.width.shape[-1]
    cell = row_class * n_intervals + follow_up.stop_interval
    count = np.bincount(cell.ravel(), event.ravel(), n_classes * n_intervals)
    return count.reshape(n_classes, n_intervals)


def exposure_per_cell(
    follow_up: FollowUp,
    weights: NDArray | None = None,
    row_class: NDArray[np.intp] | int = 0,
    n_classes: int = 1,
) -> NDArray[np.float64]:
    """Sum (weighted) time at risk over the rows of every class in every interval.

    A delayed entry is time taken off the same class. Time is linear in rows + cells.

    Parameters
    ----------
    follow_up : FollowUp
        Rows and intervals; many cohorts are classes.
    weights : (rows,) ndarray, optional
        A weight for each row; 1 without it.
    row_class : (rows,) ndarray of int, or int
        Which class each row belongs to.
    n_classes : int
        Number of classes.

    Returns
    -------
    (classes, intervals) ndarray
    """
    shape = (n_classes, follow_up.width.shape[-1])
    first_cell = row_class * shape[1]
    row_weight = follow_up.count if weights is None else weights * follow_up.count

    def time_up_to(interval: NDArray, within: NDArray) -> NDArray:
        def summed(values: NDArray) -> NDArray:
            cell = (first_cell + interval).ravel()
            return np.bincount(cell, values.ravel(), n_classes * shape[1]).reshape(shape)

        count = summed(row_weight)
        inside = summed(within if weights is None else weights * within)
        went_past = np.cumsum(count[:, ::-1], axis=1)[:, ::-1] - count
        return went_past * follow_up.width + inside

    total = time_up_to(follow_up.stop_interval, follow_up.stop_within)
    if follow_up.is_delayed:
        total = total - time_up_to(follow_up.entry_interval, follow_up.entry_within)
    return total


def cumulative_hazard(hazard: NDArray, width: NDArray) -> NDArray[np.float64]:
    """Cumulative baseline hazard at the start of every interval.

    Parameters
    ----------
    hazard : (..., intervals) ndarray
        Hazards, one leading index per draw.
    width : (intervals,) ndarray
        Interval widths.

    Returns
    -------
    (..., intervals) ndarray
        0 for the first interval.
    """
    ends = np.cumsum(hazard * width, axis=-1)
    return np.concatenate([np.zeros_like(ends[..., :1]), ends[..., :-1]], axis=-1)


def row_cumulative_hazard(
    cells: NDArray, follow_up: FollowUp, row_class: NDArray[np.intp] | int = 0
) -> NDArray[np.float64]:
    """Cumulative baseline hazard over every row's time at risk.

    Parameters
    ----------
    cells : (..., classes, intervals) ndarray
        Log-hazards at the covariates' means, one leading index per draw.
    follow_up : FollowUp
        Rows and intervals.
    row_class : (rows,) ndarray of int, or int
        Which class each row belongs to.

    Returns
    -------
    (..., rows) ndarray
        Summed over the rows of the cohort that stand behind a row.
    """
    hazard = np.exp(cells)
    start = cumulative_hazard(hazard, follow_up.width)
    start, hazard = (each.reshape(*each.shape[:-2], -1) for each in (start, hazard))
    first_cell = row_class * cells.shape[-1]

    def hazard_up_to(interval: NDArray, within: NDArray) -> NDArray:
        cell = first_cell + interval
        total = start[..., cell]
        total *= follow_up.count
        total += hazard[..., cell] * within
        return total

    total = hazard_up_to(follow_up.stop_interval, follow_up.stop_within)
    if follow_up.is_delayed:
        total -= hazard_up_to(follow_up.entry_interval, follow_up.entry_within)
    return total
