"""Posterior mode by Newton's method, and importance-sampled draws around it.

Everything is NumPy: no PyMC, no compilation. Unknowns are the log-hazards (or, for the
proposal, their cube roots, whose posterior is nearly normal) and the effects. A random
walk's step scale is a third kind of unknown: the proposal is a mixture over a grid of
scales, each with its own conditional mode.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Vehtari, Simpson, Gelman, Yao & Gabry
(2024), JMLR 25(72); Wilson & Hilferty (1931), PNAS 17:684-688; Rue, Martino & Chopin (2009),
J R Stat Soc B 71:319-392 (the grid over a hyperparameter).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood import (
    log_likelihood,
    log_likelihood_gradient,
    log_likelihood_hessian,
)
from bayes_crlm.priors import GammaProcess, Independent, Normal, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model import ModelInputs

__all__ = ["PosteriorMode", "newton_step", "posterior_mode", "posterior_slope"]

MOST_STEPS = 100
GRADIENT_TOLERANCE = 1e-9


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
    log_hazard: NDArray, inputs: "ModelInputs", step_scale: float | None
) -> tuple[float, NDArray, NDArray]:
    """Log prior density of log-hazards with gradient and second derivatives.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        Log-hazards.
    inputs : ModelInputs
        Which prior, and its centre.
    step_scale : float or None
        Of a random walk: the standard deviation of its steps.

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
        raise ValueError("a random walk's log density needs its step scale")
    precision = np.zeros((n_intervals, n_intervals))
    precision[0, 0] = prior.start_sd**-2
    if n_intervals > 1 and step_scale is not None:
        difference = np.diff(np.eye(n_intervals), axis=0)
        precision += difference.T @ difference / step_scale**2
    centred = log_hazard - inputs.log_rate
    value = -0.5 * centred @ precision @ centred - 0.5 * n_intervals * math.log(2 * math.pi)
    value -= math.log(prior.start_sd)
    if n_intervals > 1 and step_scale is not None:
        value -= (n_intervals - 1) * math.log(step_scale)
    return float(value), -precision @ centred, -precision


def effect_log_prior(effect: NDArray, inputs: "ModelInputs") -> tuple[float, NDArray, NDArray]:
    """Log prior density of effects with gradient and second derivatives (all elementwise)."""
    split = inputs.n_treatment_terms
    value, gradient, curvature = 0.0, np.empty_like(effect), np.empty_like(effect)
    for prior, part in (
        (inputs.treatment_prior, slice(0, split)),
        (inputs.covariate_prior, slice(split, None)),
    ):
        if len(effect[part]) == 0:
            continue
        simple = simple_prior(prior)
        value += float(simple.log_density(effect[part]).sum())
        gradient[part] = simple.gradient(effect[part])
        curvature[part] = simple.curvature(effect[part])
    return value, gradient, curvature


def posterior_mode(
    inputs: "ModelInputs",
    *,
    step_scale: float | None = None,
    start: tuple[NDArray, NDArray] | None = None,
) -> PosteriorMode:
    """Find the mode of the posterior density of log-hazards and effects.

    Newton steps with the full second-derivative matrix, halved until the density rises.
    Under vague priors this is the maximum-likelihood estimate, the one a Poisson
    regression with the exposure as offset gives.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it; no horseshoe.
    step_scale : float, optional
        Of a random walk: the mode is conditional on it.
    start : (intervals,) ndarray and (terms,) ndarray, optional
        Where to start; at the overall rate and no effects without it.

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
    n_intervals, n_terms = inputs.intervals.n_intervals, len(inputs.design.terms)
    if start is None:
        log_hazard = np.full(n_intervals, inputs.log_rate)
        effect = np.zeros(n_terms)
    else:
        log_hazard, effect = start[0].copy(), start[1].copy()

    def density(log_hazard: NDArray, effect: NDArray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            value = (
                log_likelihood(log_hazard, effect, inputs.data)
                + baseline_log_prior(log_hazard, inputs, step_scale)[0]
                + effect_log_prior(effect, inputs)[0]
            )
        return value if math.isfinite(value) else -math.inf

    value = density(log_hazard, effect)
    converged = False
    information = np.eye(n_intervals + n_terms)
    for _ in range(MOST_STEPS):
        _, gradient, information = posterior_slope(log_hazard, effect, inputs, step_scale)
        step = newton_step(information, gradient)
        if not np.all(np.isfinite(step)):
            break
        if np.max(np.abs(step)) < GRADIENT_TOLERANCE:
            converged = True
            break
        share = 1.0
        while share > 1e-10:
            candidate = density(
                log_hazard + share * step[:n_intervals], effect + share * step[n_intervals:]
            )
            # at the mode rounding decides the last digits, so equal counts as risen
            if candidate >= value - 1e-10 * (1 + abs(value)):
                break
            share /= 2
        else:
            break
        log_hazard = log_hazard + share * step[:n_intervals]
        effect = effect + share * step[n_intervals:]
        value = candidate
    return PosteriorMode(log_hazard, effect, value, information, converged)


def posterior_slope(
    log_hazard: NDArray, effect: NDArray, inputs: "ModelInputs", step_scale: float | None
) -> tuple[float, NDArray, NDArray]:
    """Log posterior density of log-hazards and effects, its gradient, and its information.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        At the covariates' means.
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    inputs : ModelInputs
        A cohort as the model sees it.
    step_scale : float or None
        Of a random walk, on which all is conditional.

    Returns
    -------
    float, (intervals + terms,) ndarray, (intervals + terms, intervals + terms) ndarray
        The information is minus the matrix of second derivatives.
    """
    gradient_hazard, gradient_effect = log_likelihood_gradient(log_hazard, effect, inputs.data)
    diagonal, crossed, block = log_likelihood_hessian(log_hazard, effect, inputs.data)
    value, prior_gradient, prior_hessian = baseline_log_prior(log_hazard, inputs, step_scale)
    effect_value, effect_gradient, effect_curvature = effect_log_prior(effect, inputs)
    value += effect_value + log_likelihood(log_hazard, effect, inputs.data)
    gradient = np.concatenate([gradient_hazard + prior_gradient, gradient_effect + effect_gradient])
    information = -np.block(
        [
            [np.diag(diagonal) + prior_hessian, crossed],
            [crossed.T, block + np.diag(effect_curvature)],
        ]
    )
    return value, gradient, information


def newton_step(information: NDArray, gradient: NDArray) -> NDArray:
    """Solve for the Newton step, with a ridge where the density is not concave."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    scaled = information / np.outer(scale, scale)
    ridge = 0.0
    for _ in range(30):
        try:
            factor = np.linalg.cholesky(scaled + ridge * np.eye(len(scaled)))
        except np.linalg.LinAlgError:
            ridge = max(1e-8, 10 * ridge)
            continue
        half = np.linalg.solve(factor, gradient / scale)
        return np.linalg.solve(factor.T, half) / scale
    return np.full_like(gradient, np.nan)
