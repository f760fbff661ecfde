"""Standardised survival, median survival and restricted mean survival time.

Every estimand is marginal: the survival curve that the whole cohort would have if all its
patients were on one treatment level, averaged over the covariates as observed (each
patient's baseline row). Hazards are piecewise constant, so nothing is integrated numerically.

References
----------
Hernan & Robins (2020), Causal Inference: What If, chapter 13 (standardisation);
Royston & Parmar (2013), BMC Med Res Methodol 13:152 (restricted mean survival time).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.errors import EstimandError

if TYPE_CHECKING:
    from bayes_crlm.model import ModelInputs

__all__ = [
    "Population",
    "cumulative_hazard_at",
    "median_survival",
    "population",
    "relative_hazard",
    "restricted_mean_survival",
    "standardised_survival",
    "time_of_cumulative_hazard",
]

# numbers in one block of draws x patterns, 64 MiB of float64
BLOCK = 8_000_000


@dataclass(frozen=True)
class Population:
    """The covariate patterns that estimands average over.

    Attributes
    ----------
    covariates : (patterns, covariate terms) ndarray
        Distinct baseline patterns on the sampling scale.
    share : (patterns,) ndarray
        Share of patients with each.
    """

    covariates: NDArray[np.float64]
    share: NDArray[np.float64]


def population(inputs: "ModelInputs") -> Population:
    """Pool the patients' baseline covariates into distinct patterns."""
    covariates = inputs.design.scaled_baseline()[:, inputs.n_treatment_terms :]
    if covariates.shape[1] == 0:
        return Population(np.zeros((1, 0)), np.ones(1))
    patterns, count = np.unique(covariates, axis=0, return_counts=True)
    return Population(patterns, count / count.sum())


def relative_hazard(effect: NDArray, contrast: NDArray, patterns: NDArray) -> NDArray:
    """Hazard of every pattern on one treatment level, relative to the covariates' means.

    Parameters
    ----------
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale, treatment first.
    contrast : (treatment terms,) ndarray
        The level's treatment columns on the sampling scale.
    patterns : (patterns, covariate terms) ndarray
        Covariates on the sampling scale.

    Returns
    -------
    (draws, patterns) ndarray
    """
    split = len(contrast)
    return np.exp((effect[:, :split] @ contrast)[:, None] + effect[:, split:] @ patterns.T)


def cumulative_hazard_at(log_hazard: NDArray, cutpoints: NDArray, times: NDArray) -> NDArray:
    """Cumulative baseline hazard at given times.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    times : (times,) ndarray
        Between 0 and the last cutpoint.

    Returns
    -------
    (draws, times) ndarray

    Raises
    ------
    EstimandError
        When a time lies beyond the last cutpoint: the model has no hazard there.
    """
    times = np.asarray(times, dtype=float)
    if len(times) and (times.max() > cutpoints[-1] or times.min() < 0):
        worst = times.max() if times.max() > cutpoints[-1] else times.min()
        raise EstimandError(
            f"time {worst:g} lies outside follow-up; give times between 0 and {cutpoints[-1]:g}"
        )
    spent = np.clip(times[None, :] - cutpoints[:-1, None], 0.0, np.diff(cutpoints)[:, None])
    return np.exp(log_hazard) @ spent


def time_of_cumulative_hazard(log_hazard: NDArray, cutpoints: NDArray, target: NDArray) -> NDArray:
    """Time at which the cumulative baseline hazard reaches a target.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    target : (draws, ...) ndarray
        Cumulative hazards to be reached.

    Returns
    -------
    (draws, ...) ndarray
        Infinite where the target is not reached by the last cutpoint.
    """
    hazard = np.exp(log_hazard)
    ends = np.cumsum(hazard * np.diff(cutpoints), axis=1)
    shape = target.shape
    target = target.reshape(len(target), -1)
    interval = (target[:, :, None] > ends[:, None, :]).sum(axis=2)
    reached = interval < ends.shape[1]
    interval = np.minimum(interval, ends.shape[1] - 1)
    starts = np.concatenate([np.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
    within = (target - np.take_along_axis(starts, interval, axis=1)) / np.take_along_axis(
        hazard, interval, axis=1
    )
    return np.where(reached, cutpoints[interval] + within, np.inf).reshape(shape)


def blocks(draws: int, patterns: int) -> list[slice]:
    """Slices of draws whose tables of draws x patterns stay small."""
    step = max(1, BLOCK // max(1, patterns))
    return [slice(start, start + step) for start in range(0, draws, step)]


def standardised_survival(cumulative: NDArray, relative: NDArray, share: NDArray) -> NDArray:
    """Mean over patterns of exp(-cumulative hazard x relative hazard).

    Parameters
    ----------
    cumulative : (draws, times) ndarray
        Cumulative baseline hazard.
    relative : (draws, patterns) ndarray
        Relative hazards.
    share : (patterns,) ndarray
        Weight of each pattern, adding up to 1.

    Returns
    -------
    (draws, times) ndarray
    """
    result = np.empty(cumulative.shape)
    for rows in blocks(*relative.shape):
        for time in range(cumulative.shape[1]):
            result[rows, time] = np.exp(-cumulative[rows, time, None] * relative[rows]) @ share
    return result


def restricted_mean_survival(
    log_hazard: NDArray, cutpoints: NDArray, relative: NDArray, share: NDArray, horizon: float
) -> NDArray:
    """Area under the standardised survival curve up to a horizon.

    Exact for a piecewise-constant hazard: within an interval each pattern's survival
    curve is an exponential, so its integral has a closed form.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    cutpoints : (intervals + 1,) ndarray
        Interval ends in the cohort's time unit, the first 0.
    relative : (draws, patterns) ndarray
        Relative hazards.
    share : (patterns,) ndarray
        Weight of each pattern, adding up to 1.
    horizon : float
        In the cohort's time unit.

    Returns
    -------
    (draws,) ndarray

    Raises
    ------
    EstimandError
        When `horizon` is not above 0 or lies beyond the last cutpoint.
    """
    if not 0 < horizon <= cutpoints[-1]:
        raise EstimandError(
            f"rmst horizon {horizon:g} lies outside follow-up; "
            f"give one above 0 and at most {cutpoints[-1]:g}"
        )
    width = np.clip(horizon - cutpoints[:-1], 0.0, np.diff(cutpoints))
    hazard = np.exp(log_hazard)
    start = np.cumsum(hazard * width, axis=1) - hazard * width
    area = np.zeros(len(log_hazard))
    for rows in blocks(*relative.shape):
        ratio = relative[rows]
        for interval in np.flatnonzero(width > 0):
            rate = hazard[rows, interval, None] * ratio
            lost = -np.expm1(-rate * width[interval])
            area[rows] += (np.exp(-start[rows, interval, None] * ratio) * lost / rate) @ share
    return area


def median_survival(
    log_hazard: NDArray, cutpoints: NDArray, relative: NDArray, share: NDArray
) -> NDArray:
    """Time at which the standardised survival curve falls to one half.

    The cumulative baseline hazard c at which mean exp(-c x relative) = 1/2 does not depend on
    the intervals; Newton steps from ln 2 / mean(relative), which lies left of the root by
    Jensen's inequality, rise to it without overshoot since the curve is convex.

    Parameters
    ----------
    log_hazard, cutpoints, relative, share
        As for `restricted_mean_survival`.

    Returns
    -------
    (draws,) ndarray
        Infinite where the median is not reached within follow-up.
    """
    needed = np.empty(len(log_hazard))
    for rows in blocks(*relative.shape):
        ratio = relative[rows]
        c = math.log(2) / (ratio @ share)
        for _ in range(60):
            alive = np.exp(-c[:, None] * ratio)
            step = (alive @ share - 0.5) / ((alive * ratio) @ share)
            c = c + step
            if np.all(np.abs(step) <= 1e-12 * c):
                break
        needed[rows] = c
    return time_of_cumulative_hazard(log_hazard, cutpoints, needed)
