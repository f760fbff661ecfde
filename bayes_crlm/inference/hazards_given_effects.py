"""Log-hazards that are independent given the effects, drawn nearly or exactly from their posterior.

Given the effects, interval j holds D_j events and a weighted exposure S_j. Under the gamma process
its hazard has a gamma posterior. Under an independent normal prior a gamma distribution with the
same mode and nearly the same curvature is close to it. Walks: `bayes_crlm.inference.step_scales`.

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.conditional_walks import LOG_2PI
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.unknowns import LEAST_LOG_HAZARD, draw_log_gamma

if TYPE_CHECKING:
    from bayes_crlm.inference.mode import PosteriorMode
    from bayes_crlm.likelihood.risk_sums import CohortSums
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["THIN", "TINY", "draw_hazards", "draw_thin"]

TINY = np.finfo(float).tiny
# with fewer events expected in an interval, a gamma distribution lacks the right tail
THIN = 0.75


def draw_hazards(
    weighted: NDArray,
    mode: "PosteriorMode",
    inputs: "PreparedCohort",
    sums: "CohortSums",
    rng: np.random.Generator | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw log-hazards that are independent given the effects.

    Parameters
    ----------
    weighted : (draws, intervals) ndarray
        Exposures weighted by relative hazards.
    mode : PosteriorMode
        Of the cohort's posterior.
    inputs : PreparedCohort
        With independent log-hazards, a gamma process, or a random walk over one interval.
    sums : CohortSums
        Of `inputs`.
    rng : numpy.random.Generator or None
        Source of randomness; without it, every hazard is put where its distribution is centred.

    Returns
    -------
    log_hazard : (draws, intervals) ndarray
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood of the hazards' part / density of the draw).
    """
    prior = inputs.baseline

    if isinstance(prior, GammaProcess):
        rate = prior.weight * inputs.intervals.width
        shape = rate * math.exp(inputs.log_rate)
        total, rate_after = shape + sums.events, np.log(rate + weighted)
        if rng is None:
            log_gamma_draw = np.broadcast_to(np.log(total), weighted.shape)
        else:
            log_gamma_draw = draw_log_gamma(total, weighted.shape, rng)
        log_hazard = np.maximum(log_gamma_draw - rate_after, LEAST_LOG_HAZARD)
        constant = shape @ np.log(rate) + log_gamma(total) - log_gamma(shape)
        return log_hazard, constant - rate_after @ total
    sd = prior.sd if isinstance(prior, Independent) else prior.level_sd
    # at the mode: events expected, and the gamma distribution's shape with the same curvature
    expected = np.exp(mode.log_hazard) * sums.weighted_exposure(mode.effect)
    shape = expected + sd**-2
    # where nobody is at risk the logarithm has no share
    expected, weighted = np.maximum(expected, TINY), np.maximum(weighted, TINY)
    # to first order the conditional mode follows the logarithm of the weighted exposure
    share = expected / shape
    centre = mode.log_hazard - share * (np.log(weighted) - np.log(expected) + mode.log_hazard)
    if rng is None:
        gamma = np.broadcast_to(shape, weighted.shape)
    else:
        gamma = rng.standard_gamma(shape, weighted.shape)
    log_gamma_draw = np.log(gamma)
    is_thin = expected < THIN
    constant = log_gamma(shape) - len(shape) * (math.log(sd) + 0.5 * LOG_2PI)
    if is_thin.any():
        log_gamma_draw[:, is_thin], log_share = draw_thin(
            log_gamma_draw[:, is_thin], shape[is_thin], sd, rng
        )
        gamma = np.exp(log_gamma_draw)
        constant = constant + log_share.sum(axis=1)
    log_hazard = centre + log_gamma_draw - np.log(shape)
    log_target = log_hazard @ sums.events - (weighted * np.exp(centre) * (gamma / shape)).sum(
        axis=1
    )
    standard = (log_hazard - inputs.log_rate) / sd
    log_target -= 0.5 * (standard**2).sum(axis=1)
    log_proposal = log_gamma_draw @ shape - gamma.sum(axis=1)
    return log_hazard, log_target - log_proposal + constant


def draw_thin(
    log_gamma_draw: NDArray, shape: NDArray, sd: float, rng: np.random.Generator | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Replace every other draw of intervals with hardly an event expected by the prior's spread.

    There the posterior is nearly the normal prior, whose right tail no gamma distribution has.

    Parameters
    ----------
    log_gamma_draw : (..., intervals) ndarray
        Logarithms of gamma variables of the shapes given.
    shape : (intervals,) ndarray
    sd : float
        Of the prior.
    rng : numpy.random.Generator or None
        Without it, nothing is replaced.

    Returns
    -------
    log_draw : (..., intervals) ndarray
        Half of them normal around the logarithm of the shape.
    log_share : (..., intervals) ndarray
        Log density of the gamma variables over that of the mixture.
    """
    if rng is not None:
        size = log_gamma_draw.shape
        normal = np.log(shape) + sd * rng.standard_normal(size)
        log_gamma_draw = np.where(rng.random(size) < 0.5, normal, log_gamma_draw)
    constant = np.array([math.lgamma(each) for each in shape.tolist()])
    of_gamma = shape * log_gamma_draw - np.exp(log_gamma_draw) - constant
    of_normal = -0.5 * ((log_gamma_draw - np.log(shape)) / sd) ** 2
    of_normal -= math.log(sd) + 0.5 * LOG_2PI
    return log_gamma_draw, of_gamma - np.logaddexp(of_gamma, of_normal) + math.log(2)


def log_gamma(values: NDArray) -> float:
    """Sum of the log gamma function over entries."""
    return sum(math.lgamma(value) for value in values.tolist())
