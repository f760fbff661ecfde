"""The Kaplan-Meier estimate: what the data say of survival before any model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.tied_times import merge_tied_times

__all__ = ["KaplanMeier", "kaplan_meier"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
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
        Sorted starts and ends of the rows at risk; minus infinity for a start at 0 or before.
    half_times : (float, float, float)
        Where the curve, its lower and its upper limit reach one half.
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
        """Rows at risk just before each time (at 0: those who enter there).

        Parameters
        ----------
        times : (n,) float

        Returns
        -------
        (n,) int
        """
        times = np.asarray(times, dtype=np.float64)
        entered = np.searchsorted(self.entries, times, side="left")
        left = np.searchsorted(self.exits, times, side="left")
        return entered - left

    def at(self, times: ArrayLike) -> Floats:
        """Survival at given times; NaN beyond the last time of a curve that has not reached 0.

        Parameters
        ----------
        times : (n,) float

        Returns
        -------
        (n,) float
        """
        times = np.asarray(times, dtype=np.float64)
        steps = np.concatenate([[1.0], self.survival])
        survival = steps[np.searchsorted(self.times, times, side="right")]
        is_unknown = (times > self.times[-1]) & (self.survival[-1] > 0)
        return np.where(is_unknown, np.nan, survival)


def kaplan_meier(
    entry: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    patient_index: ArrayLike | None = None,
) -> KaplanMeier:
    """Kaplan-Meier estimate with Greenwood limits on the log scale, R's default.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk over (entry, time].
    event : (n_rows,) 0 or 1
    patient_index : (n_rows,) int, optional
        Whose row it is. The end of a row that the patient's next row continues is then not counted
        as a censoring; nothing else changes.

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
        survfitkm,  # ty: ignore[missing-module-member]
    )

    entry, time = merge_tied_times(entry, time)
    curve = survfitkm(
        time,
        np.asarray(event).astype(np.float64),
        start=entry if np.any(entry > 0) else None,
        id=None
        if patient_index is None
        else [int(patient) for patient in np.asarray(patient_index)],
        conf_type="log",
        timefix=False,
    )

    halves = quantile_survfit(curve, probs=[0.5])

    def values(numbers: list[float] | None) -> Floats:
        return np.asarray(numbers, dtype=np.float64)

    return KaplanMeier(
        times=values(curve.time),
        survival=values(curve.surv),
        lower=values(curve.lower),
        upper=values(curve.upper),
        n_risk=values(curve.n_risk),
        n_event=values(curve.n_event),
        n_censor=values(curve.n_censor),
        entries=np.sort(np.where(entry <= 0, -np.inf, entry)),
        exits=np.sort(time),
        half_times=(halves.quantile[0][0], halves.lower[0][0], halves.upper[0][0]),
    )
