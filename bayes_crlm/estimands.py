"""Standardised survival, median survival and restricted mean survival time.

Every estimand is marginal: the survival curve that the whole cohort would have if all its
patients were on one treatment level, averaged over the covariates as observed (each
patient's baseline row; a sample of the patients when there are many thousands). Hazards are
piecewise constant, so nothing is integrated numerically.

References
----------
Hernan & Robins (2020), Causal Inference: What If, chapter 13 (standardisation);
Royston & Parmar (2013), BMC Med Res Methodol 13:152 (restricted mean survival time).
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.errors import EstimandError
from bayes_crlm.likelihood import blocks_of_draws, equal_rows

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

# distinct covariate patterns that are averaged over one by one; of more, as many patients are
PATTERNS_MOST = 4_000
# of a sample, as many are enough for a line's width
PICTURED_PATTERNS = 400
# times at which a sample of patients is held against all of them
COMPARED_TIMES = 25


@dataclass(frozen=True)
class Population:
    """The covariate patterns that estimands average over.

    Attributes
    ----------
    covariates : (patterns, covariate terms) ndarray
        Distinct baseline patterns on the sampling scale.
    share : (patterns,) ndarray
        Share of patients with each.
    n_patterns : int
        Distinct patterns in the cohort; more than there are here when patients were sampled.
    error : float
        Of a sample: the largest difference of its standardised survival curves to those of all
        patients, at the posterior mean; 0 when nothing was sampled.
    """

    covariates: NDArray[np.float64]
    share: NDArray[np.float64]
    n_patterns: int
    error: float = 0.0

    @property
    def is_sampled(self) -> bool:
        """Whether a sample of the patients stands for all."""
        return self.n_patterns > len(self.share)

    def thinned(self) -> "Population":
        """A smaller sample for pictures, evenly spaced in the sample; all where none was taken."""
        if not self.is_sampled:
            return self
        kept = self.covariates[:: max(1, len(self.share) // PICTURED_PATTERNS)]
        return Population(kept, np.full(len(kept), 1 / len(kept)), self.n_patterns, self.error)


def population(inputs: "ModelInputs", log_hazard: NDArray, effect: NDArray) -> Population:
    """Pool the patients' baseline covariates into distinct patterns.

    Of more than `PATTERNS_MOST` patterns a systematic sample of so many patients is taken: those
    at equally spaced ranks of the linear predictor at the posterior mean. A standardised curve is
    the mean of a smooth function of the linear predictor, which such a sample follows closely.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it.
    log_hazard : (intervals,) ndarray
        Posterior mean of the log-hazards.
    effect : (terms,) ndarray
        Posterior mean of the log hazard ratios, on the sampling scale.

    Returns
    -------
    Population

    References
    ----------
    Madow & Madow (1944), Ann Math Stat 15:1-24 (systematic sampling).
    """
    split = inputs.n_treatment_terms
    covariates = inputs.data.design[inputs.design.first_row, split:]
    if covariates.shape[1] == 0:
        return Population(np.zeros((1, 0)), np.ones(1), 1)
    order, first = equal_rows(list(covariates.T))
    share = np.diff(np.append(first, len(order))) / len(order)
    patterns = covariates[order[first]]
    everyone = Population(patterns, share, len(share))
    if len(share) <= PATTERNS_MOST:
        return everyone
    by_predictor = np.argsort(patterns @ effect[split:], kind="stable")
    middle = (np.arange(PATTERNS_MOST) + 0.5) / PATTERNS_MOST
    chosen = by_predictor[np.searchsorted(np.cumsum(share[by_predictor]), middle)]
    sample = Population(patterns[chosen], np.full(PATTERNS_MOST, 1 / PATTERNS_MOST), len(share))
    return replace(
        sample,
        error=float(
            np.abs(
                mean_curves(inputs, log_hazard, effect, sample)
                - mean_curves(inputs, log_hazard, effect, everyone)
            ).max()
        ),
    )


def mean_curves(
    inputs: "ModelInputs", log_hazard: NDArray, effect: NDArray, people: Population
) -> NDArray[np.float64]:
    """Standardised survival of every treatment level at one value of the unknowns.

    Returns
    -------
    (levels, times) ndarray
        At equally spaced times up to the end of follow-up.
    """
    cutpoints = inputs.intervals.cutpoints
    times = np.linspace(0, cutpoints[-1], COMPARED_TIMES)
    cumulative = cumulative_hazard_at(log_hazard[None], cutpoints, times)
    curves = []
    for level in range(len(inputs.design.levels)):
        contrast = inputs.design.treatment_contrast(level)
        relative = relative_hazard(effect[None], contrast, people.covariates)
        curves.append(standardised_survival(cumulative, relative, people.share)[0])
    return np.stack(curves)


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
    for rows in blocks_of_draws(*relative.shape):
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
    for rows in blocks_of_draws(*relative.shape):
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
    for rows in blocks_of_draws(*relative.shape):
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
