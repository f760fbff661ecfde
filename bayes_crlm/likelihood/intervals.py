"""Choosing the intervals on which hazards are constant.

Interval j (0-based in code) is (cutpoints[j], cutpoints[j + 1]]: an event that
falls on a cutpoint belongs to the interval that ends there.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import (
    FollowUp,
    cut_follow_up,
    events_per_cell,
    exposure_per_cell,
)
from bayes_crlm.likelihood.quantiles import quantiles_of_ordered
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.words.errors import CutpointError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import count_of

# under a walk pieces are cheap: so many follow any curve, and fewer only blur it
AUTO_EVENTS_PER_INTERVAL, AUTO_MOST = 2, 20

Cutpoints = Literal["auto"] | int | Sequence[float]


@record
class Intervals(Stacked):
    """The intervals a model is fitted on; of many cohorts their axis comes first.

    Attributes
    ----------
    cutpoints : (intervals + 1,) ndarray
        0 and the upper end of every interval, in the cohort's time unit.
    events : (intervals,) ndarray of int
        Events in every interval.
    exposure : (intervals,) ndarray
        Time at risk spent in every interval.
    notes : tuple of str
        What was changed of what was asked for, and where nobody is at risk.
    """

    cutpoints: NDArray[np.float64]
    events: NDArray[np.int64]
    exposure: NDArray[np.float64]
    notes: tuple[str, ...] = ()

    shared: ClassVar[tuple[str, ...]] = ("notes",)

    @property
    def n_intervals(self) -> int:
        """Number of intervals."""
        return self.cutpoints.shape[-1] - 1

    @property
    def width(self) -> NDArray[np.float64]:
        """Width of every interval, shape (intervals,)."""
        return np.diff(self.cutpoints)

    @property
    def labels(self) -> list[str]:
        """Every interval in words, such as ``(6, 12]``."""
        # labels name entries of the posterior, so cutpoints that are close get more digits
        for digits in (6, 9, 12, 17):
            ends = [as_written(value, digits) for value in self.cutpoints]
            if len(set(ends)) == len(ends):
                break
        return [f"({low}, {high}]" for low, high in pairwise(ends)]


def automatic_number(n_events: int) -> int:
    """Number of intervals that "auto" stands for, before any is dropped."""
    return max(1, min(AUTO_MOST, n_events // AUTO_EVENTS_PER_INTERVAL))


def coarse_number(n_events: int) -> int:
    """Number of intervals with some twelve events each: as many as independent hazards bear.

    It is what "auto" stood for before version 0.3.
    """
    return min(max(round(n_events / 12), 3), 12, n_events)


def choose_intervals(
    entry: NDArray, time: NDArray, event: NDArray, cutpoints: Cutpoints = "auto"
) -> Intervals:
    """Cut follow-up as asked.

    Intervals without an event stay: every prior of their hazards is proper, and to join them with
    a neighbour would spread its events over a time in which there were none. Intervals of no
    width, and those that end before anybody is at risk, are dropped, and that is said.

    Parameters
    ----------
    entry, time : (rows,) ndarray
        Begin and end of each row's follow-up.
    event : (rows,) ndarray of 0 and 1
        Whether the row ends with the event.
    cutpoints : "auto", int or sequence of float
        ``"auto"``: one interval for two events, at least 1 and at most 20.
        A number J: J intervals whose inner ends are the k/J quantiles (linear
        interpolation, Hyndman & Fan's type 7) of the event times. A sequence: the
        inner cutpoints; a leading 0 and a final largest time may be given too.

    Returns
    -------
    Intervals

    Raises
    ------
    CutpointError
        When cutpoints are unsorted, negative, not finite, beyond follow-up, or more
        numerous than events allow.

    References
    ----------
    Friedman (1982), Ann Stat 10:101-113; Hyndman & Fan (1996), Am Stat 50:361-365.
    """
    entry, time = np.asarray(entry, dtype=float), np.asarray(time, dtype=float)
    is_event = np.asarray(event).astype(bool)
    ((_, intervals, _),) = cut_cohorts(entry[None], time[None], is_event[None], cutpoints)
    return intervals.part(0)


def cut_cohorts(
    entry: NDArray, time: NDArray, event: NDArray, cutpoints: Cutpoints
) -> list[tuple[NDArray[np.intp], Intervals, FollowUp]]:
    """Cut the follow-up of cohorts as asked; see `choose_intervals`, which does so for one.

    Parameters
    ----------
    entry, time : (cohorts, rows) ndarray
        Begin and end of each row's follow-up.
    event : (cohorts, rows) ndarray of bool
        Whether the row ends with the event.
    cutpoints : "auto", int or sequence of float
        The same for all.

    Returns
    -------
    list of ((some,) ndarray of int, Intervals, FollowUp)
        Cohorts with equally many intervals, none dropped and all reached; each other cohort by
        itself, with notes. Cohorts whose events or follow-up do not allow what is asked are left
        out.

    Raises
    ------
    CutpointError
        When they allow it for none.
    """
    check_cutpoints(cutpoints, float(time.max()), int(event.sum(axis=1).max()))
    found = []
    for cohorts, edges in edges_of_cohorts(cutpoints, time, event):
        begin, end = some_of(entry, cohorts), some_of(time, cohorts)
        earliest = begin.min(axis=1, keepdims=True)
        is_usual = (np.maximum(edges[:, :-1], earliest) < edges[:, 1:]).all(axis=1)
        is_usual &= at_risk_in(begin, end, edges).all(axis=1)
        for some in (np.flatnonzero(is_usual), *np.flatnonzero(~is_usual)[:, None]):
            if len(some):
                rows = (some_of(each, cohorts[some]) for each in (entry, time, event))
                found.append((cohorts[some], *intervals_between(*rows, edges[some])))
    return found


def intervals_between(
    entry: NDArray, time: NDArray, event: NDArray, edges: NDArray
) -> tuple[Intervals, FollowUp]:
    """Cut the follow-up of cohorts at their edges, shape (cohorts, intervals + 1).

    Of one cohort alone edges may be dropped, and intervals need not be reached.
    """
    notes: tuple[str, ...] = ()
    is_reached = at_risk_in(entry, time, edges)
    if len(edges) == 1:
        kept, notes = drop_impossible(edges[0], float(entry.min()))
        edges, is_reached = kept[None], at_risk_in(entry, time, kept[None])
        notes += nobody_at_risk_in_words(kept, is_reached[0])
    follow_up = cut_follow_up(entry, time, edges)
    cohort, count = np.arange(len(edges))[:, None], len(edges)
    exposure = exposure_per_cell(follow_up, None, cohort, count)
    intervals = Intervals(
        cutpoints=edges,
        events=events_per_cell(follow_up, event, cohort, count).astype(np.int64),
        # sums of late entries leave rounding behind
        exposure=np.where(is_reached, exposure, 0.0),
        notes=notes,
    )
    return intervals, follow_up


def some_of(values: NDArray, which: NDArray[np.intp]) -> NDArray:
    """Those of some cohorts in order; all of them without a copy, which may be of many rows."""
    return values if len(which) == len(values) else values[which]


def check_cutpoints(cutpoints: Cutpoints, last: float, n_events: int) -> None:
    """Refuse what is no way to cut follow-up to `last` with so many events.

    Raises
    ------
    CutpointError
        As `choose_intervals` does.
    """
    if n_events == 0:
        raise CutpointError(
            "cutpoints: no events, so no hazard can be estimated; "
            "give a cohort with at least one event"
        )
    if isinstance(cutpoints, str):
        if cutpoints != "auto":
            raise CutpointError(
                f"cutpoints: {cutpoints!r} is not understood; give 'auto', a number of intervals, "
                "or a list of times"
            )
    elif isinstance(cutpoints, bool):
        raise CutpointError(f"cutpoints: {cutpoints} is not a number of intervals")
    elif isinstance(cutpoints, (int, np.integer)):
        if cutpoints < 1:
            raise CutpointError(f"cutpoints: {cutpoints} intervals is impossible; give at least 1")
        check_number(int(cutpoints), n_events)
    else:
        check_given_cutpoints(cutpoints, last, n_events)


def check_given_cutpoints(cutpoints: Sequence[float], last: float, n_events: int) -> None:
    """Refuse a list of times that does not cut follow-up; see `check_cutpoints`."""
    values = np.asarray(list(cutpoints), dtype=float)
    if values.ndim != 1 or not np.all(np.isfinite(values)):
        raise CutpointError(f"cutpoints: {list(cutpoints)} must be a list of finite times")
    if np.any(values < 0):
        raise CutpointError(
            f"cutpoints: {as_written(values[values < 0][0])} is negative; give times after 0"
        )
    if np.any(np.diff(values) <= 0):
        first = int(np.flatnonzero(np.diff(values) <= 0)[0])
        raise CutpointError(
            f"cutpoints: {as_written(values[first + 1])} follows {as_written(values[first])}; "
            "give each time once, in increasing order"
        )
    if len(values) and values[-1] > last:
        raise CutpointError(
            f"cutpoints: {as_written(values[-1])} lies beyond the last follow-up time "
            f"{as_written(last)}; "
            f"give cutpoints below {as_written(last)}"
        )
    check_number(int(np.sum((values > 0) & (values < last))) + 1, n_events)


def check_number(number: int, n_events: int) -> None:
    """Refuse more intervals than events."""
    if number > n_events:
        raise CutpointError(
            f"cutpoints: {count_of(number, 'interval')} for {count_of(n_events, 'event')}; "
            f"give at most {count_of(n_events, 'interval')}"
        )


def edges_of_cohorts(
    cutpoints: Cutpoints, time: NDArray, event: NDArray
) -> list[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Cut the follow-up of cohorts as asked, before any interval is dropped.

    Parameters
    ----------
    cutpoints : "auto", int or sequence of float
        As `choose_intervals` has them, and `check_cutpoints` allows them.
    time, event : (cohorts, rows) ndarray
        Ends of follow-up, and whether it ends with the event.

    Returns
    -------
    list of ((some,) ndarray of int, (some, intervals + 1) ndarray)
        For every number of intervals the cohorts that have it, and their edges from 0 to the
        largest time. Cohorts whose events or follow-up do not allow what is asked are left out.
    """
    n_events, last = event.sum(axis=1).astype(np.intp), time.max(axis=1)
    given: NDArray | None = None
    if isinstance(cutpoints, str):
        number = np.array([automatic_number(each) for each in n_events.tolist()])
    elif isinstance(cutpoints, (int, np.integer)):
        number = np.full(len(time), int(cutpoints))
    else:
        values = np.asarray(list(cutpoints), dtype=float)
        given = values[values > 0]
        number = 1 + (given < last[:, None]).sum(axis=1)
        number[(given > last[:, None]).any(axis=1)] = 0
    number[number > n_events] = 0
    ordered = None if given is not None else np.sort(np.where(event, time, np.inf), axis=1)
    found = []
    for count in np.unique(number[number > 0]).tolist():
        which = np.flatnonzero(number == count)
        if given is not None:
            inner = np.tile(given[: count - 1], (len(which), 1))
        elif ordered is not None:
            shares = np.arange(1, count) / count
            inner = quantiles_of_ordered(ordered[which], n_events[which], shares)
        found.append((which, np.column_stack([np.zeros(len(which)), inner, last[which]])))
    return found


def drop_impossible(edges: NDArray, earliest: float) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Drop intervals of no width, and those that end before anybody is at risk.

    Parameters
    ----------
    edges : (intervals + 1,) ndarray
        From 0 to the largest time.
    earliest : float
        When the first row enters.

    Returns
    -------
    (kept + 1,) ndarray, tuple of str
        Edges that increase, and what was dropped.
    """
    asked = len(edges) - 1
    distinct = np.unique(edges)
    kept = distinct[(distinct == 0) | (distinct > earliest)]
    notes = []
    for count, why in (
        (len(edges) - len(distinct), "no width, since cutpoints fall on the same time,"),
        (
            len(distinct) - len(kept),
            f"an end before anybody is at risk (from {as_written(earliest)})",
        ),
    ):
        if count:
            left = len(kept) - 1
            notes.append(
                f"{count} of {count_of(asked, 'interval')} had {why} and "
                f"{'was' if count == 1 else 'were'} dropped: {count_of(left, 'interval')} "
                f"{'is' if left == 1 else 'are'} fitted"
            )
    return kept, tuple(notes)


def at_risk_in(entry: NDArray, time: NDArray, edges: NDArray) -> NDArray[np.bool]:
    """Whether anybody of each cohort is at risk in each interval, shape (cohorts, intervals).

    Parameters
    ----------
    entry, time : (cohorts, rows) ndarray
        Follow-up.
    edges : (cohorts, intervals + 1) ndarray
        Interval ends.
    """
    is_reached = np.ones((len(edges), edges.shape[1] - 1), dtype=bool)
    if not entry.any():
        # all begin at 0: whoever has the last time is at risk throughout
        return is_reached
    for k, ends in enumerate(edges):
        entered = np.searchsorted(np.sort(entry[k]), ends[1:], side="left")
        gone = np.searchsorted(np.sort(time[k]), ends[:-1], side="right")
        is_reached[k] = entered > gone
    return is_reached


def nobody_at_risk_in_words(edges: NDArray, is_reached: NDArray[np.bool]) -> tuple[str, ...]:
    """Name the intervals of which the data say nothing."""
    empty = [
        f"({as_written(edges[k])}, {as_written(edges[k + 1])}]" for k in np.flatnonzero(~is_reached)
    ]
    if not empty:
        return ()
    return (
        f"nobody is at risk in {', '.join(empty)}: the survival curve there follows the baseline "
        "prior alone",
    )
