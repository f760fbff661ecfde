"""Follow-up of many cohorts, cut into intervals as `bayes_crlm.likelihood.intervals` does it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.intervals import automatic_number

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition

__all__ = ["are_reached", "candidate_cutpoints", "located"]


def candidate_cutpoints(
    model: "ModelDefinition", time: NDArray, event: NDArray
) -> list[tuple[int, NDArray[np.float64], NDArray[np.bool]]]:
    """Cut the follow-up of many cohorts as `choose_intervals` does before it drops intervals.

    Parameters
    ----------
    model : ModelDefinition
        With its cutpoints.
    time, event : (cohorts, rows) ndarray
        Follow-up.

    Returns
    -------
    list of (intervals, (cohorts, intervals + 1) ndarray, (cohorts,) ndarray of bool)
        For every number of intervals: the edges, and which cohorts have that number.
    """
    n_events, last = event.sum(axis=1).astype(np.intp), time.max(axis=1)
    asked = model.cutpoints
    if isinstance(asked, bool):
        return []
    if isinstance(asked, (str, int, np.integer)):
        if isinstance(asked, str):
            if asked != "auto":
                return []
            n_intervals = np.array([automatic_number(each) for each in n_events.tolist()])
            n_intervals[n_events == 0] = 0
        else:
            n_intervals = np.full(len(time), int(asked))
            n_intervals[n_events < asked] = 0
        event_times = np.sort(np.where(event > 0, time, np.inf), axis=1)
        return [
            (
                number,
                quantile_edges(event_times, n_events, number, last),
                n_intervals == number,
            )
            for number in np.unique(n_intervals[n_intervals > 0]).tolist()
        ]
    inner = np.asarray(asked, dtype=float)
    is_proper = np.isfinite(inner).all() and (inner > 0).all() and (np.diff(inner) > 0).all()
    if not is_proper:
        return []
    number = len(inner) + 1
    edges = np.column_stack([np.zeros(len(time)), np.tile(inner, (len(time), 1)), last])
    fits = (n_events >= number) & (inner[-1] < last if len(inner) else True)
    return [(number, edges, fits)]


def quantile_edges(
    event_times: NDArray, n_events: NDArray[np.intp], number: int, last: NDArray
) -> NDArray[np.float64]:
    """Edges at quantiles (type 7) of sorted event times, computed as for one cohort."""
    place = (n_events[:, None] - 1) * (np.arange(1, number) / number)
    # as `event_quantiles`: a place that is a whole number but for rounding is that number
    near = np.round(place)
    place = np.where(np.abs(place - near) <= 1e-9 * np.maximum(1.0, near), near, place)
    below = np.minimum(np.floor(place).astype(np.intp), event_times.shape[1] - 1)
    above = np.minimum(below + 1, np.maximum(n_events[:, None] - 1, 0))
    low = np.take_along_axis(event_times, below, axis=1)
    high = np.take_along_axis(event_times, above, axis=1)
    share, gap = place - below, high - low
    inner = np.where(share >= 0.5, high - gap * (1 - share), low + gap * share)
    return np.column_stack([np.zeros(len(last)), inner, last])


def located(times: NDArray, edges: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find every time's interval in its cohort; see `bayes_crlm.likelihood.intervals.locate`."""
    interval = np.zeros(times.shape, dtype=np.intp)
    for edge in edges[:, 1:-1].T:
        interval += edge[:, None] < times
    return interval, times - np.take_along_axis(edges, interval, axis=1)


def are_reached(entry: NDArray, time: NDArray, edges: NDArray) -> NDArray[np.bool]:
    """Whether somebody is at risk in every interval of each cohort, shape (cohorts,).

    Parameters
    ----------
    entry, time : (cohorts, rows) ndarray
        Follow-up.
    edges : (cohorts, intervals + 1) ndarray
        Interval ends.
    """
    reached = np.ones(len(edges), dtype=bool)
    if not entry.any():
        # all begin at 0: whoever has the last time is at risk throughout
        return reached
    for low, high in zip(edges[:, :-1].T, edges[:, 1:].T, strict=True):
        reached &= ((entry < high[:, None]) & (time > low[:, None])).any(axis=1)
    return reached
