"""Follow-up split where treatment starts: a patient is untreated before and treated after.

References
----------
Suissa (2008), Am J Epidemiol 167:492-499; Mantel & Byar (1974), J Am Stat Assoc 69:81-86.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Stretches", "split_at_start"]


@dataclass(frozen=True, eq=False)
class Stretches:
    """Stretches of follow-up (entry, time] in one arm; at most two of a patient.

    Attributes
    ----------
    patient : (rows,) ndarray of int
    entry, time : (rows,) ndarray
    event : (rows,) ndarray
    is_treated : (rows,) ndarray of bool
    """

    patient: NDArray[np.intp]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    is_treated: NDArray[np.bool]


def split_at_start(start: NDArray, time: NDArray, event: NDArray) -> Stretches:
    """Split every patient's follow-up where treatment starts.

    Parameters
    ----------
    start : (patients,) ndarray
        When treatment started, infinity for never; 0 for patients treated from time zero on.
    time, event : (patients,) ndarray
        End of follow-up and whether it is the event.

    Returns
    -------
    Stretches
        Untreated stretches first. A patient's time at risk and events add up to what they were.
    """
    number = np.arange(len(time))
    has_before, has_after = start > 0, start < time
    before, after = number[has_before], number[has_after]
    ends_before = np.minimum(start, time)[before]
    return Stretches(
        patient=np.concatenate([before, after]),
        entry=np.concatenate([np.zeros(len(before)), np.maximum(start[after], 0.0)]),
        time=np.concatenate([ends_before, time[after]]),
        event=np.concatenate([np.where(has_after[before], 0, event[before]), event[after]]),
        is_treated=np.concatenate([np.zeros(len(before), bool), np.ones(len(after), bool)]),
    )
