"""Posterior mode by Newton's method.

Everything is NumPy: no PyMC, no compilation. Unknowns are the log-hazards and the effects, given
a random walk's step scale. In these coordinates the mode of the effects is, but for the prior of
the log-hazards, that of their posterior with the hazards integrated out, as Cox's profile is.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Opper & Archambeau (2009), Neural Comput
21:786-792 (the normal nearest to a posterior).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.risk_sums import CohortSums
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.priors import Laplace, Normal, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["PosteriorMode", "newton_step", "posterior_mode", "posterior_slope"]

MOST_STEPS = 100
SMALLEST_SHARE = 1e-10
RISE_TOLERANCE = 1e-14
MOST_ROUNDS = 20
SPREAD_TOLERANCE = 0.01


@dataclass(frozen=True)
class PosteriorMode:
    """Mode of the posterior density of log-hazards and effects.

    Attributes
    ----------
    log_hazard : (intervals,) ndarray
        At the covariates' means.
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    log_density : float
        Log prior plus log-likelihood there.
    information : (intervals + terms, intervals + terms) ndarray
        Minus the matrix of second derivatives there.
    converged : bool
        Whether the gradient vanished; where it did not, the numbers are no mode.
    """

    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    log_density: float
    information: NDArray[np.float64]
    converged: bool


def baseline_log_prior(
    log_hazard: NDArray, inputs: "PreparedCohort", step_scale: float | None
) -> tuple[float, NDArray, NDArray]:
    """Log prior density of log-hazards with gradient and second derivatives.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        Log-hazards.
    inputs : PreparedCohort
        Which prior, and its centre.
    step_scale : float or None
        Of a walk.

    Returns
    -------
    float, (intervals,) ndarray, (intervals, intervals) ndarray
    """
    prior, n_intervals = inputs.baseline, len(log_hazard)
    if isinstance(prior, GammaProcess):
        rate = prior.weight * inputs.intervals.width
        shape = rate * math.exp(inputs.log_rate)
        hazard = np.exp(log_hazard)
        # the density of the log-hazard, Jacobian included
        value = shape * np.log(rate) + shape * log_hazard - rate * hazard
        value = float(value.sum() - sum(math.lgamma(each) for each in shape))
        return value, shape - rate * hazard, np.diag(-rate * hazard)
    if isinstance(prior, Independent):
        normal = Normal(inputs.log_rate, prior.sd)
        return (
            float(normal.log_density(log_hazard).sum()),
            normal.gradient(log_hazard),
            np.diag(normal.curvature(log_hazard)),
        )
    if n_intervals > 1 and step_scale is None:
        raise ValueError("a walk's log density needs its step scale")
    precision = np.zeros((n_intervals, n_intervals))
    precision[inputs.level_interval, inputs.level_interval] = prior.level_sd**-2
    centred = log_hazard - inputs.log_rate
    value = -math.log(prior.level_sd) - 0.5 * n_intervals * math.log(2 * math.pi)
    if n_intervals > 1 and step_scale is not None:
        # steps in units of their standard deviations
        deviation = step_scale * np.sqrt(inputs.step_variances)
        difference = np.diff(np.eye(n_intervals), axis=0) / deviation[:, None]
        precision += difference.T @ difference
        value -= np.log(deviation).sum()
    value -= 0.5 * centred @ precision @ centred
    return float(value), -precision @ centred, -precision


def effect_log_prior(
    effect: NDArray, inputs: "PreparedCohort", spread: NDArray | None = None
) -> tuple[float, NDArray, NDArray]:
    """Log prior density of effects with gradient and second derivatives (all elementwise).

    Parameters
    ----------
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    inputs : PreparedCohort
        Which priors.
    spread : (terms,) ndarray, optional
        Average a double-exponential log density, which has a kink, over normals of these
        standard deviations around `effect`.
    """
    split = inputs.n_treatment_terms
    value, gradient, curvature = 0.0, np.empty_like(effect), np.empty_like(effect)
    for prior, part in (
        (inputs.treatment_prior, slice(0, split)),
        (inputs.covariate_prior, slice(split, None)),
    ):
        if len(effect[part]) == 0:
            continue
        simple = simple_prior(prior)
        if isinstance(simple, Laplace) and spread is not None:
            averaged = averaged_laplace(simple, effect[part], spread[part])
            value += averaged[0]
            gradient[part], curvature[part] = averaged[1], averaged[2]
        else:
            value += float(simple.log_density(effect[part]).sum())
            gradient[part] = simple.gradient(effect[part])
            curvature[part] = simple.curvature(effect[part])
    return value, gradient, curvature


def averaged_laplace(
    prior: Laplace, effect: NDArray, spread: NDArray
) -> tuple[float, NDArray, NDArray]:
    """Mean of a double-exponential log density over normals, with its two derivatives."""
    ratio = (effect - prior.location) / spread
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    centred = np.array([math.erf(each / math.sqrt(2)) for each in ratio])
    distance = spread * (2 * density + ratio * centred)
    value = -distance / prior.scale - math.log(2 * prior.scale)
    return float(value.sum()), -centred / prior.scale, -2 * density / (spread * prior.scale)


def posterior_mode(
    inputs: "PreparedCohort",
    *,
    step_scale: float | None = None,
    start: tuple[NDArray, NDArray] | None = None,
    sums: CohortSums | None = None,
    rise_tolerance: float = RISE_TOLERANCE,
) -> PosteriorMode:
    """Find the mode of the posterior density of log-hazards and effects.

    Newton steps with the full second-derivative matrix, halved until the density rises.
    Under vague priors this is the maximum-likelihood estimate, the one a Poisson
    regression with the exposure as offset gives.

    The double-exponential prior has a kink, at which Newton steps go back and forth and the
    curvature says nothing. Its log density is therefore averaged over a normal with the
    posterior's own standard deviation, found by repetition: centre and information are then
    those of the normal nearest to the posterior (Opper & Archambeau).

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it; no horseshoe.
    step_scale : float, optional
        Of a random walk: the mode is conditional on it.
    start : (intervals,) ndarray and (terms,) ndarray, optional
        Where to start; at every interval's own rate and no effects without it.
    sums : CohortSums, optional
        Of `inputs`, when there already.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise the log density by less.

    Returns
    -------
    PosteriorMode

    Raises
    ------
    TypeError
        For a horseshoe prior.
    ValueError
        For a random walk without its step scale.
    """
    sums = CohortSums(inputs.density_data) if sums is None else sums
    n_intervals, n_terms = inputs.intervals.n_intervals, len(inputs.design.terms)
    if start is None:
        # as if each interval had one event more, at the overall rate
        pooled = sums.weighted_exposure(np.zeros(n_terms)) + math.exp(-inputs.log_rate)
        start = (np.log((sums.events + 1) / pooled), np.zeros(n_terms))
    spread = kink_spread(inputs)
    if spread is None:
        return climb(inputs, step_scale, start, sums, None, rise_tolerance)
    for _ in range(MOST_ROUNDS):
        mode = climb(inputs, step_scale, start, sums, spread, rise_tolerance)
        if not mode.converged:
            break
        before, spread = spread, np.sqrt(np.diag(np.linalg.inv(mode.information))[n_intervals:])
        if np.max(np.abs(spread / before - 1)) < SPREAD_TOLERANCE:
            break
        start = (mode.log_hazard, mode.effect)
    return mode


def kink_spread(inputs: "PreparedCohort") -> NDArray[np.float64] | None:
    """First guess of the posterior's standard deviations where a prior has a kink."""
    split, n_terms = inputs.n_treatment_terms, len(inputs.design.terms)
    spread = np.ones(n_terms)
    has_kink = False
    for prior, part in (
        (inputs.treatment_prior, slice(0, split)),
        (inputs.covariate_prior, slice(split, n_terms)),
    ):
        if isinstance(prior, Laplace) and len(spread[part]):
            spread[part] = prior.scale
            has_kink = True
    return spread if has_kink else None


def climb(
    inputs: "PreparedCohort",
    step_scale: float | None,
    start: tuple[NDArray, NDArray],
    sums: CohortSums,
    spread: NDArray | None,
    rise_tolerance: float,
) -> PosteriorMode:
    """Take Newton steps until the next one would change nothing."""
    n_intervals = len(start[0])

    def slope(vector: NDArray) -> tuple[float, NDArray, NDArray]:
        with np.errstate(over="ignore", invalid="ignore"):
            value, gradient, information = posterior_slope(
                vector[:n_intervals],
                vector[n_intervals:],
                inputs,
                step_scale,
                sums=sums,
                spread=spread,
            )
        is_finite = math.isfinite(value) and np.isfinite(information).all()
        return (value if is_finite else -math.inf), gradient, information

    at = np.concatenate(start)
    value, gradient, information = slope(at)
    converged = False
    for _ in range(MOST_STEPS):
        if not math.isfinite(value):
            break
        step = newton_step(information, gradient)
        rise = float(gradient @ step)
        if not (math.isfinite(rise) and np.isfinite(step).all()):
            break
        # twice what a whole step would gain
        if abs(rise) < rise_tolerance:
            converged = True
            break
        share = 1.0
        while share > SMALLEST_SHARE:
            candidate = slope(at + share * step)
            # at the mode rounding decides the last digits, so equal counts as risen
            if candidate[0] >= value - 1e-10 * (1 + abs(value)):
                break
            share /= 2
        else:
            break
        at = at + share * step
        value, gradient, information = candidate
    return PosteriorMode(at[:n_intervals], at[n_intervals:], value, information, converged)


def posterior_slope(
    log_hazard: NDArray,
    effect: NDArray,
    inputs: "PreparedCohort",
    step_scale: float | None,
    *,
    sums: CohortSums | None = None,
    spread: NDArray | None = None,
) -> tuple[float, NDArray, NDArray]:
    """Log posterior density of log-hazards and effects, its gradient, and its information.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        At the covariates' means.
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    inputs : PreparedCohort
        A cohort as the model sees it.
    step_scale : float or None
        Of a random walk, on which all is conditional.
    sums : CohortSums, optional
        Of `inputs`, when there already.
    spread : (terms,) ndarray, optional
        See `effect_log_prior`.

    Returns
    -------
    float, (intervals + terms,) ndarray, (intervals + terms, intervals + terms) ndarray
        The information is minus the matrix of second derivatives.
    """
    sums = CohortSums(inputs.density_data) if sums is None else sums
    n_intervals, n_terms = len(log_hazard), len(effect)
    hazard = np.exp(log_hazard)
    weighted, at_risk = np.zeros(n_intervals), np.zeros(n_terms)
    crossed, block_of_effects = np.zeros((n_intervals, n_terms)), np.zeros((n_terms, n_terms))
    for block in sums.blocks():
        relative = np.exp(block.design @ effect)
        weighted += relative @ block.exposure
        scaled = block.design * relative[:, None]
        crossed += block.exposure.T @ scaled
        scaled *= (block.exposure @ hazard)[:, None]
        at_risk += scaled.sum(axis=0)
        block_of_effects += block.design.T @ scaled
    value, prior_gradient, prior_hessian = baseline_log_prior(log_hazard, inputs, step_scale)
    effect_value, effect_gradient, effect_curvature = effect_log_prior(effect, inputs, spread)
    expected = hazard * weighted
    value += effect_value + float(
        sums.events @ log_hazard + sums.event_design @ effect - expected.sum()
    )
    gradient = np.empty(n_intervals + n_terms)
    gradient[:n_intervals] = sums.events - expected + prior_gradient
    gradient[n_intervals:] = sums.event_design - at_risk + effect_gradient
    information = np.empty((n_intervals + n_terms, n_intervals + n_terms))
    information[:n_intervals, :n_intervals] = np.diag(expected) - prior_hessian
    information[:n_intervals, n_intervals:] = hazard[:, None] * crossed
    information[n_intervals:, :n_intervals] = information[:n_intervals, n_intervals:].T
    information[n_intervals:, n_intervals:] = block_of_effects - np.diag(effect_curvature)
    return value, gradient, information


def newton_step(information: NDArray, gradient: NDArray) -> NDArray:
    """Solve for the Newton step, with a ridge where the density is not concave."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    scaled = information / np.outer(scale, scale)
    ridge, identity = 0.0, np.eye(len(scaled))
    for _ in range(30):
        damped = scaled + ridge * identity
        try:
            # a factor exists only where the step climbs
            np.linalg.cholesky(damped)
            return np.linalg.solve(damped, gradient / scale) / scale
        except np.linalg.LinAlgError:
            ridge = max(1e-8, 10 * ridge)
    return np.full_like(gradient, np.nan)
