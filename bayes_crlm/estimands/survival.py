"""Standardised survival, median survival and restricted mean survival time.

Every estimand is marginal: the survival curve that a population would have if all its patients were
on one treatment level, averaged over their covariates (`bayes_crlm.estimands.population`), given
survival to an origin (`bayes_crlm.model.origin`). Times are those of the data's scale. Hazards are
piecewise constant, so nothing is integrated numerically.

References
----------
Hernan & Robins (2020), Causal Inference: What If, chapter 13 (standardisation);
Royston & Parmar (2013), BMC Med Res Methodol 13:152 (restricted mean survival time).
"""

import math

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import cumulative_hazard
from bayes_crlm.likelihood.hazard_table import blocks_of_draws
from bayes_crlm.words.errors import EstimandError
from bayes_crlm.words.shown import as_written


def cumulative_hazard_at(
    log_hazard: NDArray, cutpoints: NDArray, times: NDArray, origin: float = 0.0
) -> NDArray:
    """Cumulative baseline hazard from the origin to given times.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    times : (times,) ndarray
        Between the origin and the last cutpoint.
    origin : float
        Where hazard begins to be counted.

    Returns
    -------
    (draws, times) ndarray

    Raises
    ------
    EstimandError
        When a time lies before the origin, or beyond the last cutpoint: the model has no hazard
        there.
    """
    times = np.asarray(times, dtype=float)
    check_times(times, origin, float(cutpoints[-1]))
    low = np.maximum(cutpoints[:-1], origin)[:, None]
    spent = np.clip(np.minimum(times, cutpoints[1:, None]) - low, 0.0, None)
    return np.exp(log_hazard) @ spent


def check_times(times: NDArray, origin: float, end: float) -> None:
    """Refuse times before the origin and beyond follow-up.

    Raises
    ------
    EstimandError
        For the first such time.
    """
    outside = times[(times > end) | (times < origin)]
    if len(outside):
        worst = times.max() if times.max() > end else times.min()
        raise EstimandError(
            f"time {as_written(worst)} lies outside follow-up; give times between "
            f"{as_written(origin)} and {as_written(end)}"
        )


def mean_over_patterns(values: NDArray, share: NDArray) -> NDArray:
    """Average over patterns by one set of weights, or by one for each draw.

    Parameters
    ----------
    values : (draws, patterns) ndarray
        What is averaged.
    share : (patterns,) or (draws, patterns) ndarray
        Weights that add up to 1.

    Returns
    -------
    (draws,) ndarray
    """
    return values @ share if share.ndim == 1 else np.einsum("dp,dp->d", values, share)


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
    flat = target.reshape(len(target), -1)
    draw = np.repeat(np.arange(len(flat)), flat.shape[1])
    when, is_reached = times_of_hazards(log_hazard, cutpoints, draw, flat.ravel())
    return np.where(is_reached, when, np.inf).reshape(target.shape)


def times_of_hazards(
    log_hazard: NDArray, cutpoints: NDArray, draw: NDArray[np.intp], target: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.bool]]:
    """Times at which single draws' cumulative hazards reach single targets.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means; of several classes, those of each draw together.
    cutpoints : (intervals + 1,) ndarray
        Interval ends, the first 0.
    draw : (n,) ndarray of int
        Of which draw.
    target : (n,) ndarray
        Cumulative hazards.

    Returns
    -------
    time : (n,) ndarray
        Where the last interval's hazard went on for ever.
    is_reached : (n,) ndarray of bool
        Whether that is within follow-up.
    """
    hazard, width = np.exp(log_hazard), np.diff(cutpoints)
    starts = cumulative_hazard(hazard, width)
    interval = np.zeros(len(target), dtype=np.intp)
    for end in starts.T[1:]:
        interval += target > end[draw]
    within = (target - starts[draw, interval]) / hazard[draw, interval]
    last = starts[:, -1] + hazard[:, -1] * width[-1]
    return cutpoints[interval] + within, target <= last[draw]


def standardised_survival(cumulative: NDArray, relative: NDArray, share: NDArray) -> NDArray:
    """Mean over patterns of exp(-cumulative hazard x relative hazard).

    Parameters
    ----------
    cumulative : (draws, times) ndarray
        Cumulative baseline hazard since the origin.
    relative : (draws, patterns) ndarray
        Relative hazards.
    share : (patterns,) or (draws, patterns) ndarray
        Weight of each pattern, adding up to 1.

    Returns
    -------
    (draws, times) ndarray
    """
    result = np.empty(cumulative.shape)
    for rows in blocks_of_draws(*relative.shape):
        weight, falling = of_draws(share, rows), -relative[rows]
        for time in range(cumulative.shape[1]):
            alive = cumulative[rows, time, None] * falling
            np.exp(alive, out=alive)
            result[rows, time] = mean_over_patterns(alive, weight)
    return result


def of_draws(share: NDArray, rows: slice) -> NDArray:
    """Weights of some draws: the same for all, or those of each draw."""
    return share if share.ndim == 1 else share[rows]


def restricted_mean_survival(
    log_hazard: NDArray,
    cutpoints: NDArray,
    relative: NDArray,
    share: NDArray,
    horizon: float,
    origin: float = 0.0,
) -> NDArray:
    """Area under the standardised survival curve from the origin to a horizon.

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
    share : (patterns,) or (draws, patterns) ndarray
        Weight of each pattern, adding up to 1.
    horizon : float
        A time on the data's scale, in the cohort's time unit.
    origin : float
        Where the curve is 1.

    Returns
    -------
    (draws,) ndarray

    Raises
    ------
    EstimandError
        When `horizon` is not above the origin or lies beyond the last cutpoint.
    """
    if not origin < horizon <= cutpoints[-1]:
        raise EstimandError(
            f"rmst horizon {as_written(horizon)} lies outside follow-up; "
            f"give one above {as_written(origin)} and at most {as_written(cutpoints[-1])}"
        )
    low, high = np.clip(cutpoints[:-1], origin, None), np.clip(cutpoints[1:], None, horizon)
    width = np.clip(high - low, 0.0, None)
    hazard = np.exp(log_hazard)
    area = np.zeros(len(log_hazard))
    for rows in blocks_of_draws(*relative.shape):
        ratio, weight = relative[rows], of_draws(share, rows)
        alive = np.ones_like(ratio)
        for interval in np.flatnonzero(width > 0):
            rate = hazard[rows, interval, None] * ratio
            lost = -np.expm1(-rate * width[interval])
            lost *= alive
            alive -= lost
            area[rows] += mean_over_patterns(lost / rate, weight)
    return area


def median_survival(
    log_hazard: NDArray,
    cutpoints: NDArray,
    relative: NDArray,
    share: NDArray,
    origin: float = 0.0,
) -> NDArray:
    """Time on the data's scale at which the standardised survival curve falls to one half.

    The cumulative baseline hazard c since the origin at which mean exp(-c x relative) = 1/2 does
    not depend on the intervals; Newton steps from ln 2 / mean(relative), which lies left of the
    root by Jensen's inequality, rise to it without overshoot since the curve is convex.

    Parameters
    ----------
    log_hazard, cutpoints, relative, share, origin
        As for `restricted_mean_survival`.

    Returns
    -------
    (draws,) ndarray
        Infinite where the median is not reached within follow-up.
    """
    needed = np.empty(len(log_hazard))
    for rows in blocks_of_draws(*relative.shape):
        ratio, weight = relative[rows], of_draws(share, rows)
        c = math.log(2) / mean_over_patterns(ratio, weight)
        for _ in range(60):
            alive = np.exp(-c[:, None] * ratio)
            step = (mean_over_patterns(alive, weight) - 0.5) / mean_over_patterns(
                alive * ratio, weight
            )
            c = c + step
            if np.all(np.abs(step) <= 1e-12 * c):
                break
        needed[rows] = c
    needed += cumulative_hazard_at(log_hazard, cutpoints, np.array([origin]))[:, 0]
    return time_of_cumulative_hazard(log_hazard, cutpoints, needed)
