"""Standardised estimands of profiles, whatever their classes.

Profiles of one class share their baseline hazards: what is averaged over them is a function of
cumulative hazards of that class and of relative hazards (`bayes_crlm.estimands.survival`). Averages
over several classes are the sums of their parts.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.survival import (
    cumulative_hazard_at,
    median_survival,
    restricted_mean_survival,
    standardised_survival,
)
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model.profiles import Profiles

Floats = NDArray[np.float64]
# halvings until a median between classes is exact to the last digits
HALVINGS = 60


def cumulative_hazards_of_profiles(
    at: LogHazards,
    row_class: NDArray[np.intp],
    cutpoints: NDArray,
    times: NDArray,
    origin: float = 0.0,
) -> Floats:
    """Cumulative baseline hazard of each profile's class from the origin to the profile's own time.

    Parameters
    ----------
    at : LogHazards
        Of the draws.
    row_class : (profiles,) ndarray of int
        Class of each.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    times : (profiles,) ndarray
        From the origin to the last cutpoint.
    origin : float
        Where hazard begins to be counted.

    Returns
    -------
    (draws, profiles) ndarray
    """
    if at.cells.shape[1] == 1:
        return cumulative_hazard_at(at.log_hazard, cutpoints, times, origin)
    total = np.empty((len(at.cells), len(times)))
    for each in np.unique(row_class):
        here = row_class == each
        log_hazard = at.cells[:, each]
        total[:, here] = cumulative_hazard_at(log_hazard, cutpoints, times[here], origin)
    return total


def mean_survival(
    at: LogHazards,
    profiles: Profiles,
    weight: NDArray,
    cutpoints: NDArray,
    times: NDArray,
    origin: float,
) -> Floats:
    """Mean survival of profiles at given times, given survival to the origin.

    Parameters
    ----------
    at : LogHazards
        Of the draws.
    profiles : Profiles
        Whom to average over.
    weight : (profiles,) or (draws, profiles) ndarray
        Adding up to 1.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    times : (times,) ndarray
        From the origin to the last cutpoint.
    origin : float
        Where survival is 1.

    Returns
    -------
    (draws, times) ndarray
    """
    relative = profiles.relative_hazard(at)
    total = np.zeros((len(relative), len(times)))
    for each, places in profiles.by_class():
        cumulative = cumulative_hazard_at(at.cells[:, each], cutpoints, times, origin)
        total += standardised_survival(cumulative, relative[:, places], weight[..., places])
    return total


def restricted_mean(
    at: LogHazards,
    profiles: Profiles,
    weight: NDArray,
    cutpoints: NDArray,
    horizon: float,
    origin: float,
) -> Floats:
    """Area under `mean_survival` from the origin to a horizon, shape (draws,).

    Raises
    ------
    EstimandError
        When `horizon` is not above the origin or lies beyond the last cutpoint.
    """
    relative = profiles.relative_hazard(at)
    total = np.zeros(len(relative))
    for each, places in profiles.by_class():
        log_hazard, share = at.cells[:, each], weight[..., places]
        total += restricted_mean_survival(
            log_hazard, cutpoints, relative[:, places], share, horizon, origin
        )
    return total


def median_time(
    at: LogHazards, profiles: Profiles, weight: NDArray, cutpoints: NDArray, origin: float
) -> Floats:
    """Time at which `mean_survival` falls to one half, shape (draws,); infinite where it does not.

    Within one class the cumulative hazard at that time depends on no interval; between classes the
    time is found by halving the follow-up.
    """
    relative, classes = profiles.relative_hazard(at), list(profiles.by_class())
    if len(classes) == 1:
        log_hazard = at.cells[:, classes[0][0]]
        return median_survival(log_hazard, cutpoints, relative, weight, origin)

    def alive(times: NDArray) -> Floats:
        """Mean survival of every draw at its own time."""
        low = np.maximum(cutpoints[:-1], origin)
        spent = np.clip(np.minimum(times[:, None], cutpoints[1:]) - low, 0.0, None)
        total = np.zeros(len(times))
        for each, places in classes:
            cumulative = (np.exp(at.cells[:, each]) * spent).sum(axis=1, keepdims=True)
            survival = np.exp(-cumulative * relative[:, places])
            total += (survival * weight[..., places]).sum(axis=1)
        return total

    low = np.full(len(relative), origin)
    high = np.full(len(relative), float(cutpoints[-1]))
    is_reached = alive(high) <= 0.5
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        is_later = alive(middle) > 0.5
        low, high = np.where(is_later, middle, low), np.where(is_later, high, middle)
    return np.where(is_reached, high, np.inf)
