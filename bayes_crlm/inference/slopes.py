"""Log posterior densities of log-hazards and effects, with slopes and information, many at once."""

import math

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.model.baseline_priors import GammaProcess, Independent, WalkPrior
from bayes_crlm.model.families import Family, Laplace


def posterior_slopes(
    at: NDArray,
    targets: Targets,
    step_scale: NDArray | None,
    spread: NDArray | None = None,
    offset: NDArray | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log posterior densities of log-hazards and effects, gradients and information.

    Parameters
    ----------
    at : (cohorts, intervals + terms) ndarray
        Log-hazards, then effects.
    targets : Targets
        The posteriors.
    step_scale : (cohorts,) ndarray or None
        Of walks, on which all is conditional.
    spread : (cohorts, terms) ndarray, optional
        Average double-exponential log densities, which have a kink, over normals of these standard
        deviations around the effects.
    offset : (cohorts, rows) ndarray, optional
        What is added to the rows' log hazards; of cohorts that are one block.

    Returns
    -------
    (cohorts,), (cohorts, intervals + terms), (cohorts, intervals + terms, intervals + terms)
        A density that is not finite is minus infinity. The information is minus the matrix of
        second derivatives.
    """
    sums, n_intervals = targets.sums, targets.n_intervals
    log_hazard, effect = at[:, :n_intervals], at[:, n_intervals:]
    with np.errstate(over="ignore", invalid="ignore"):
        expected, at_risk, crossed, of_effects = expected_events(log_hazard, effect, sums, offset)
        value, slope, curvature = baseline_slopes(log_hazard, targets, step_scale)
        value += (sums.events * log_hazard - expected).sum(axis=1)
        value += (sums.event_design * effect).sum(axis=1)
        gradient = np.concatenate(
            [sums.events - expected + slope, sums.event_design - at_risk], axis=1
        )
        information = np.empty((len(at), at.shape[1], at.shape[1]))
        information[:, n_intervals:, n_intervals:] = of_effects
        information[:, :n_intervals, n_intervals:] = crossed
        information[:, n_intervals:, :n_intervals] = crossed.transpose(0, 2, 1)
        information[:, :n_intervals, :n_intervals] = -curvature
        diagonal = np.concatenate([expected, np.zeros_like(effect)], axis=1)
        for prior, part in targets.simple_priors:
            here = slice(n_intervals + part.start, n_intervals + part.stop)
            width, scale = None if spread is None else spread[:, part], targets.scale_of(part)
            density, prior_slope, bend = prior_slopes(prior, effect[:, part] / scale, width)
            value += (density - np.log(scale)).sum(axis=1)
            gradient[:, here] += prior_slope / scale
            diagonal[:, here] -= bend / scale**2
        places = np.arange(at.shape[1])
        information[:, places, places] += diagonal
    is_finite = np.isfinite(value) & np.isfinite(information).all(axis=(1, 2))
    return np.where(is_finite, value, -np.inf), gradient, information


def expected_events(
    log_hazard: NDArray, effect: NDArray, sums: RiskSums, offset: NDArray | None
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Expected events in every interval, with what their slopes are made of.

    Returns
    -------
    expected : (cohorts, intervals) ndarray
    at_risk : (cohorts, effects) ndarray
        Slope of all expected events with regard to the effects.
    crossed : (cohorts, intervals, effects) ndarray
        Second derivatives between log-hazards and effects.
    of_effects : (cohorts, effects, effects) ndarray
    """
    expected, at_risk = np.zeros_like(log_hazard), np.zeros_like(effect)
    crossed = np.zeros((*log_hazard.shape, effect.shape[1]))
    of_effects = np.zeros((*effect.shape, effect.shape[1]))
    terms, cells = slice(0, sums.n_terms), slice(sums.n_terms, None)
    for block in sums.blocks():
        here, loading = sums.stratum(block), sums.loading
        factors = sums.log_factors(block, effect)
        log_of_class = log_hazard[:, here]
        hazard = np.exp(log_of_class if factors is None else log_of_class + factors)
        log_relative = block.design @ effect[:, terms, None]
        if offset is not None:
            log_relative += offset[:, :, None]
        relative = np.exp(log_relative)
        by_interval = block.exposure.transpose(0, 2, 1)
        events = hazard * (by_interval @ relative)[:, :, 0]
        between = hazard[:, :, None] * (by_interval @ (block.design * relative))
        scaled = block.design * (relative * (block.exposure @ hazard[:, :, None]))
        expected[:, here] += events
        at_risk[:, terms] += scaled.sum(axis=1)
        crossed[:, here, terms] += between
        of_effects[:, terms, terms] += block.design.transpose(0, 2, 1) @ scaled
        if loading is not None:
            load = loading[block.of_class]
            at_risk[:, cells] += events @ load
            crossed[:, here, cells] += events[:, :, None] * load
            of_effects[:, cells, cells] += load.T @ (events[:, :, None] * load)
            mixed = between.transpose(0, 2, 1) @ load
            of_effects[:, terms, cells] += mixed
            of_effects[:, cells, terms] += mixed.transpose(0, 2, 1)
    return expected, at_risk, crossed, of_effects


def baseline_slopes(
    log_hazard: NDArray, targets: Targets, step_scale: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Log prior density of log-hazards with gradient and second derivatives.

    Returns
    -------
    (cohorts,), (cohorts, intervals), (cohorts, intervals, intervals) ndarray
    """
    prior, n_intervals = targets.baseline, log_hazard.shape[1]
    identity = np.eye(n_intervals)
    if isinstance(prior, GammaProcess):
        rate = prior.weight * targets.widths
        shape = rate * np.exp(targets.log_rate)[:, None]
        hazard = np.exp(log_hazard)
        # the density of the log-hazard, Jacobian included
        value = targets.baseline_constant + (shape * log_hazard - rate * hazard).sum(axis=1)
        return value, shape - rate * hazard, -identity * (rate * hazard)[:, None, :]
    distance = log_hazard - targets.log_rate[:, None]
    if isinstance(prior, Independent) or not isinstance(prior, WalkPrior):
        level, sd = np.ones(n_intervals), prior.sd
    else:
        level, sd = np.zeros(n_intervals), prior.level_sd
        level[targets.level_intervals] = 1.0
    precision = level / sd**2
    value = -0.5 * (precision * distance**2).sum(axis=1)
    value -= level.sum() * math.log(sd) + 0.5 * n_intervals * math.log(2 * math.pi)
    slope, curvature = -precision * distance, -precision * identity
    if targets.step_variances is None or step_scale is None:
        return value, slope, np.broadcast_to(curvature, (len(value), *identity.shape))
    per_step = 1 / (step_scale[:, None] ** 2 * targets.step_variances)
    step = np.diff(log_hazard, axis=1)
    # there is no step from one stratum to the next
    log_precision = np.log(np.where(per_step > 0, per_step, 1.0))
    value += 0.5 * (log_precision - per_step * step**2).sum(axis=1)
    slope[:, :-1] += per_step * step
    slope[:, 1:] -= per_step * step
    difference = np.diff(identity, axis=0)
    return value, slope, curvature - (difference.T * per_step[:, None]) @ difference


def prior_slopes(
    prior: Family, effect: NDArray, spread: NDArray | None
) -> tuple[NDArray, NDArray, NDArray]:
    """Log prior density of effects, its gradient and curvature, all elementwise."""
    if not isinstance(prior, Laplace) or spread is None:
        return prior.log_density(effect), prior.gradient(effect), prior.curvature(effect)
    ratio = (effect - prior.location) / spread
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    centred = np.array([math.erf(each) for each in (ratio / math.sqrt(2)).ravel().tolist()])
    centred = centred.reshape(ratio.shape)
    distance = spread * (2 * density + ratio * centred)
    value = -distance / prior.scale - math.log(2 * prior.scale)
    return value, -centred / prior.scale, -2 * density / (spread * prior.scale)
