"""Landmark analysis: arms are formed by what had happened at a time fixed in advance.

Patients who died or were censored before the landmark are left out, those who started treatment
up to it are treated, all others are not, and time counts from the landmark on. No patient's arm
depends on what comes after the time from which it is compared, so that none is immortal.

References
----------
Anderson, Cain & Gelber (1983), J Clin Oncol 1:710-719; Dafni (2011), Circ Cardiovasc Qual
Outcomes 4:363-371.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.late_start import landmark_times

__all__ = ["Landmark", "landmark_times", "take_landmark"]


@dataclass(frozen=True, eq=False)
class Landmark:
    """Patients still at risk at a landmark.

    Attributes
    ----------
    patient : (kept,) ndarray of int
        Their places in the cohort.
    time : (kept,) ndarray
        From the landmark to the end of follow-up.
    event : (kept,) ndarray
    is_treated : (kept,) ndarray of bool
        Whether treatment had started by the landmark.
    n_dead, n_censored : int
        Patients left out because their follow-up ended up to the landmark, with the event
        or without.
    n_later : int
        Kept patients who started later and count as untreated.
    """

    patient: NDArray[np.intp]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    is_treated: NDArray[np.bool]
    n_dead: int
    n_censored: int
    n_later: int


def take_landmark(start: NDArray, time: NDArray, event: NDArray, landmark: float) -> Landmark:
    """Form the arms at a landmark.

    Parameters
    ----------
    start : (patients,) ndarray
        When treatment started, infinity for never, on the scale of `time`.
    time, event : (patients,) ndarray
        End of follow-up and whether it is the event.
    landmark : float
        On the scale of `time`.
    """
    is_at_risk = time > landmark
    patient = np.flatnonzero(is_at_risk)
    started = start[patient]
    return Landmark(
        patient=patient,
        time=time[patient] - landmark,
        event=event[patient],
        is_treated=started <= landmark,
        n_dead=int(np.sum(event[~is_at_risk])),
        n_censored=int(np.sum(1 - event[~is_at_risk])),
        n_later=int(np.sum((started > landmark) & np.isfinite(started))),
    )
