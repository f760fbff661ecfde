"""Follow-up of many cohorts, cut into intervals as `bayes_crlm.likelihood.intervals` does it."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.intervals import at_risk_in, automatic_number
from bayes_crlm.likelihood.tied_times import quantiles_of_ordered

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition


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
    """Edges at quantiles of sorted event times."""
    inner = quantiles_of_ordered(event_times, n_events, np.arange(1, number) / number)
    return np.column_stack([np.zeros(len(last)), inner, last])


def are_reached(entry: NDArray, time: NDArray, edges: NDArray) -> NDArray[np.bool]:
    """Whether somebody is at risk in every interval of each cohort, shape (cohorts,).

    Parameters
    ----------
    entry, time : (cohorts, rows) ndarray
        Follow-up.
    edges : (cohorts, intervals + 1) ndarray
        Interval ends.
    """
    if not entry.any():
        # all begin at 0: whoever has the last time is at risk throughout
        return np.ones(len(edges), dtype=bool)
    rows = zip(entry, time, edges, strict=True)
    return np.array([at_risk_in(*each).all() for each in rows], dtype=bool)
