"""The piecewise-exponential likelihood as functions of arrays.

Row i has hazard exp(log_hazard_j + x_i'effect) in interval j. Its log-likelihood is
event_i x (log_hazard at its stop + x_i'effect) minus its cumulative hazard. Time is linear
in rows, and no rows x intervals table is made.

References
----------
Holford (1980), Biometrics 36:299-305; Friedman (1982), Ann Stat 10:101-113.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.intervals import (
    FollowUp,
    exposure_per_interval,
    log_hazard_at_stop,
    row_cumulative_hazard,
)

__all__ = [
    "SurvivalData",
    "log_likelihood",
    "log_likelihood_gradient",
    "log_likelihood_hessian",
    "patient_log_likelihood",
]


@dataclass(frozen=True)
class SurvivalData:
    """What the likelihood needs of a cohort, intervals and a design.

    Attributes
    ----------
    follow_up : FollowUp
        Each row's time at risk.
    event : (rows,) ndarray
        1 where a row ends with the event, otherwise 0.
    design : (rows, terms) ndarray
        Columns on the sampling scale (centred, scaled).
    patient_index : (rows,) ndarray of int
        Which patient each row belongs to.
    n_patients : int
        Number of patients.
    """

    follow_up: FollowUp
    event: NDArray[np.float64]
    design: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    n_patients: int

    @property
    def events_per_interval(self) -> NDArray[np.float64]:
        """Events in every interval, shape (intervals,)."""
        return np.bincount(
            self.follow_up.stop_interval,
            weights=self.event,
            minlength=len(self.follow_up.width),
        )

    @property
    def event_design(self) -> NDArray[np.float64]:
        """Sum of the design's rows over events, shape (terms,)."""
        return self.event @ self.design


def log_likelihood(log_hazard: NDArray, effect: NDArray, data: SurvivalData) -> float:
    """Log-likelihood of all rows together.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        Log-hazards at the covariates' means.
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    data : SurvivalData
        The cohort in compact form.
    """
    linear_predictor = data.design @ effect
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * np.exp(linear_predictor)
    return float(
        data.events_per_interval @ log_hazard + data.event_design @ effect - cumulative.sum()
    )


def log_likelihood_gradient(
    log_hazard: NDArray, effect: NDArray, data: SurvivalData
) -> tuple[NDArray, NDArray]:
    """Gradient of `log_likelihood` in log-hazards and in effects.

    Returns
    -------
    (intervals,) ndarray, (terms,) ndarray
    """
    relative = np.exp(data.design @ effect)
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * relative
    weighted = exposure_per_interval(data.follow_up, relative)
    return (
        data.events_per_interval - np.exp(log_hazard) * weighted,
        data.event_design - cumulative @ data.design,
    )


def log_likelihood_hessian(
    log_hazard: NDArray, effect: NDArray, data: SurvivalData
) -> tuple[NDArray, NDArray, NDArray]:
    """Second derivatives of `log_likelihood`.

    Returns
    -------
    (intervals,) ndarray
        Diagonal of the log-hazards' block (its other entries are 0).
    (intervals, terms) ndarray
        Block between log-hazards and effects.
    (terms, terms) ndarray
        Block of the effects.
    """
    relative = np.exp(data.design @ effect)
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * relative
    hazard = np.exp(log_hazard)
    weighted = exposure_per_interval(data.follow_up, relative)
    crossed = np.empty((len(hazard), data.design.shape[1]))
    for term in range(data.design.shape[1]):
        crossed[:, term] = exposure_per_interval(data.follow_up, relative * data.design[:, term])
    return (
        -hazard * weighted,
        -hazard[:, None] * crossed,
        -(data.design * cumulative[:, None]).T @ data.design,
    )


def patient_log_likelihood(log_hazard: NDArray, effect: NDArray, data: SurvivalData) -> NDArray:
    """Log-likelihood of every patient for every draw.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    (draws, patients) ndarray
        Rows of one patient are summed.
    """
    linear_predictor = effect @ data.design.T
    rows = data.event * (log_hazard_at_stop(log_hazard, data.follow_up) + linear_predictor)
    rows -= row_cumulative_hazard(log_hazard, data.follow_up) * np.exp(linear_predictor)
    if data.n_patients == rows.shape[1]:
        order = np.argsort(data.patient_index, kind="stable")
        return rows[:, order]
    order = np.argsort(data.patient_index, kind="stable")
    starts = np.searchsorted(data.patient_index[order], np.arange(data.n_patients))
    return np.add.reduceat(rows[:, order], starts, axis=1)
