"""The Kaplan-Meier estimate: what the data say of survival before any model.

With late entry all who are at risk early may die before the next come in. The product is then 0
for ever, and says nothing of those who come later: the curve starts again at 1 when they enter,
given survival to there, and `restarts` says where. So it does, if asked to, after a time at which
nobody was at risk, in which nobody could have been seen to die.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.likelihood.tied_times import merge_tied_times
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record(eq=False)
class KaplanMeier:
    """A Kaplan-Meier curve: it steps at `times` and holds until the next.

    Attributes
    ----------
    times : (n_times,) float
        Distinct times of events and censorings, increasing.
    survival, lower, upper : (n_times,) float
        Survival from each time on, with its 95% limits; NaN limits once survival is 0.
    n_risk, n_event, n_censor : (n_times,) float
        At risk just before each time; events and censorings at it.
    entries, exits : (n_rows,) float
        Sorted starts and ends of the rows at risk; minus infinity for a start at the origin or
        before.
    half_times : (float, float, float)
        Where the curve, its lower and its upper limit reach one half.
    origin : float
        Where the curve begins: it is given survival to there.
    restarts : tuple of float
        Where it starts again at 1, after all who were at risk had died or, if asked for, left.
    """

    times: Floats
    survival: Floats
    lower: Floats
    upper: Floats
    n_risk: Floats
    n_event: Floats
    n_censor: Floats
    entries: Floats
    exits: Floats
    half_times: tuple[float, float, float]
    origin: float = 0.0
    restarts: tuple[float, ...] = ()

    @property
    def steps(self) -> tuple[Floats, Floats]:
        """Where the curve steps and what it steps to: the origin, `times` and `restarts`.

        Returns
        -------
        times, survival : (1 + n_times + n_restarts,) float
        """
        times = np.concatenate([[self.origin], self.times, self.restarts])
        survival = np.concatenate([[1.0], self.survival, np.ones(len(self.restarts))])
        # at one time a curve falls to 0 before it starts again
        order = np.argsort(times, kind="stable")
        return times[order], survival[order]

    def median(self) -> tuple[float, float, float]:
        """Median survival time with its 95% limits; NaN where a curve does not reach one half.

        A curve that runs exactly at one half has its median in the middle of that stretch, as in R.
        The limits are the medians of the limits' curves (Brookmeyer & Crowley, 1982).

        Returns
        -------
        (float, float, float)
            Median, lower limit, upper limit.
        """
        return self.half_times

    def number_at_risk(self, times: ArrayLike) -> NDArray[np.intp]:
        """Rows at risk just before each time (at 0: those who enter there); 0 before the origin.

        Parameters
        ----------
        times : (n,) float
            In the cohort's unit.

        Returns
        -------
        (n,) int
        """
        times = np.asarray(times, dtype=np.float64)
        entered = np.searchsorted(self.entries, times, side="left")
        left = np.searchsorted(self.exits, times, side="left")
        return np.where(times < self.origin, 0, entered - left)

    def at(self, times: ArrayLike) -> Floats:
        """Survival at given times, since the last restart where there is one.

        NaN before the origin, beyond the last time of a curve that has not reached 0, and between
        the last who left and a restart.

        Parameters
        ----------
        times : (n,) float
            In the cohort's unit.

        Returns
        -------
        (n,) float
        """
        times = np.asarray(times, dtype=np.float64)
        step_times, steps = self.steps
        place = np.searchsorted(step_times, times, side="right") - 1
        survival = steps[np.maximum(place, 0)]
        is_unknown = (times > self.times[-1]) & (self.survival[-1] > 0) | (place < 0)
        for restart in self.restarts:
            place = np.searchsorted(self.times, restart, side="right") - 1
            if self.survival[place] > 0:
                is_unknown |= (times > self.times[place]) & (times < restart)
        return np.where(is_unknown, np.nan, survival)


def kaplan_meier(
    entry: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    patient_index: ArrayLike | None = None,
    origin: float = 0.0,
    longest_gap: float = math.inf,
) -> KaplanMeier:
    """Kaplan-Meier estimate with Greenwood limits on the log scale, R's default.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk over (entry, time].
    event : (n_rows,) 0 or 1
        Whether a row ends with the event.
    patient_index : (n_rows,) int, optional
        Whose row it is. The end of a row that the patient's next row continues is then not counted
        as a censoring; nothing else changes.
    origin : float
        The curve is given survival to there; rows that end before it do not count.
    longest_gap : float
        After a time without anybody at risk that is as long the curve starts again at 1.

    Returns
    -------
    KaplanMeier

    Raises
    ------
    CohortError
        When a row is at risk for no longer than the rounding of the times.

    References
    ----------
    Kaplan & Meier (1958), JASA 53:457-481.
    Therneau & Grambsch (2000), Modeling Survival Data, section 2.2.
    """
    # The package binds its names at run time, where a type checker cannot see them.
    from survival.surv_analysis import (
        quantile_survfit,  # ty: ignore[missing-module-member]
    )

    entry, time = merge_tied_times(entry, time)
    event = np.asarray(event).astype(np.float64)
    patient = None if patient_index is None else np.asarray(patient_index)
    rows = time > origin
    if not rows.all():
        entry, time, event = entry[rows], time[rows], event[rows]
        patient = None if patient is None else patient[rows]
    entry = np.where(entry <= origin, 0.0, entry)
    curve = product_limit(entry, time, event, patient)
    halves = quantile_survfit(curve, probs=[0.5])
    survival, lower, upper = (np.asarray(each) for each in (curve.surv, curve.lower, curve.upper))
    times, restarts = np.asarray(curve.time), []
    is_emptied = gaps_after(times, entry, time) >= longest_gap
    died_out = first_died_out(survival, is_emptied, 0)
    while died_out is not None:
        rows = time > times[died_out]
        restarts.append(float(entry[rows].min()))
        rest = product_limit(
            entry[rows], time[rows], event[rows], None if patient is None else patient[rows]
        )
        for whole, part in ((survival, rest.surv), (lower, rest.lower), (upper, rest.upper)):
            whole[died_out + 1 :] = part
        died_out = first_died_out(survival, is_emptied, died_out + 1)
    return KaplanMeier(
        times=times,
        survival=survival,
        lower=lower,
        upper=upper,
        n_risk=np.asarray(curve.n_risk, dtype=np.float64),
        n_event=np.asarray(curve.n_event, dtype=np.float64),
        n_censor=np.asarray(curve.n_censor, dtype=np.float64),
        entries=np.sort(np.where(entry <= 0, -np.inf, entry)),
        exits=np.sort(time),
        half_times=(halves.quantile[0][0], halves.lower[0][0], halves.upper[0][0]),
        origin=float(origin),
        restarts=tuple(restarts),
    )


def reaches_zero(entry: Floats, time: Floats, event: NDArray) -> bool:
    """Whether the curve is 0 somewhere: all who are at risk at some time have the event there.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk over (entry, time].
    event : (n_rows,) 0 or 1
        Whether a row ends with the event.
    """
    times, deaths = np.unique(time[np.asarray(event) == 1], return_counts=True)
    entered = np.searchsorted(np.sort(entry), times, side="left")
    left = np.searchsorted(np.sort(time), times, side="left")
    return bool((deaths >= entered - left).any())


def gaps_after(times: Floats, entry: Floats, time: Floats) -> Floats:
    """How long nobody is at risk after each time; 0 where somebody is, and after the last."""
    entries = np.sort(entry)
    entered = np.searchsorted(entries, times, side="right")
    left = np.searchsorted(np.sort(time), times, side="right")
    following = np.append(entries, np.nan)[entered]
    return np.where((entered == left) & (entered < len(entries)), following - times, 0.0)


def first_died_out(survival: Floats, is_emptied: NDArray, start: int) -> int | None:
    """Place of the first time from `start` on after which the curve starts again."""
    zeros = np.flatnonzero((survival[start:-1] <= 0) | is_emptied[start:-1])
    return start + int(zeros[0]) if len(zeros) else None


def product_limit(entry: Floats, time: Floats, event: Floats, patient: NDArray | None) -> Any:
    """Kaplan-Meier of the `survival` package, with limits on the log scale."""
    from survival.surv_analysis import survfitkm  # ty: ignore[missing-module-member]

    return survfitkm(
        time,
        event,
        start=entry if np.any(entry > 0) else None,
        id=None if patient is None else [int(each) for each in patient],
        conf_type="log",
        timefix=False,
    )
