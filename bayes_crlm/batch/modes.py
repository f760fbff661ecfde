"""Posterior modes of many cohorts by Newton's method, all steps of all cohorts at once.

`bayes_crlm.laplace` does it for one cohort, and for a random walk. Here log-hazards are independent
under their prior: normal, or a gamma process.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.laplace import newton_step
from bayes_crlm.priors import (
    GammaProcess,
    Independent,
    Laplace,
    SimplePrior,
    baseline_prior,
    parse_prior,
    simple_prior,
)

if TYPE_CHECKING:
    from bayes_crlm.batch.blocks import CohortBlock
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["BlockSums", "Modes", "baseline_prior_sd", "effect_priors", "find_modes"]

MOST_STEPS = 100
SMALLEST_SHARE = 1e-10
RISE_TOLERANCE = 1e-6
MOST_ROUNDS = 20
SPREAD_TOLERANCE = 0.01


@dataclass(frozen=True, eq=False)
class BlockSums:
    """What densities need of a block of cohorts.

    Attributes
    ----------
    design : (cohorts, rows, terms) ndarray
    exposure : (cohorts, rows, intervals) ndarray
    events, width : (cohorts, intervals) ndarray
    event_design : (cohorts, terms) ndarray
        Sum of the design's rows over events.
    log_rate : (cohorts, 1) ndarray
    """

    design: NDArray[np.float64]
    exposure: NDArray[np.float64]
    events: NDArray[np.float64]
    width: NDArray[np.float64]
    event_design: NDArray[np.float64]
    log_rate: NDArray[np.float64]

    @classmethod
    def of(cls, block: "CohortBlock") -> "BlockSums":
        """Take the sums of a block."""
        design = block.design
        return cls(
            design=design,
            exposure=block.exposure,
            events=block.interval_events,
            width=block.width,
            event_design=(block.event[:, None, :] @ design)[:, 0],
            log_rate=block.log_rate[:, None],
        )

    def part(self, which: NDArray[np.intp]) -> "BlockSums":
        """Those of some cohorts."""
        return BlockSums(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    def weighted_exposure(self, effect: NDArray) -> NDArray[np.float64]:
        """Exposures weighted by relative hazards, shape (cohorts, intervals)."""
        relative = np.exp(self.design @ effect[:, :, None])
        return (relative.transpose(0, 2, 1) @ self.exposure)[:, 0]


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of many posteriors.

    Attributes
    ----------
    log_hazard : (cohorts, intervals) ndarray
    effect : (cohorts, terms) ndarray
        On the sampling scale.
    information : (cohorts, intervals + terms, intervals + terms) ndarray
        Minus the second derivatives.
    converged : (cohorts,) ndarray of bool
        Where it is false, the numbers are no mode.
    """

    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    information: NDArray[np.float64]
    converged: NDArray[np.bool]


def effect_priors(
    model: "PiecewiseExponential", n_treatment: int, n_terms: int
) -> list[tuple[SimplePrior, slice]]:
    """Say which prior which columns have.

    Raises
    ------
    TypeError
        For a horseshoe, which has no density without its scales.
    """
    parts = [(model.treatment_prior, slice(0, n_treatment))]
    if n_terms > n_treatment:
        parts.append((model.covariate_prior, slice(n_treatment, n_terms)))
    return [(simple_prior(parse_prior(prior)), part) for prior, part in parts]


def baseline_prior_sd(model: "PiecewiseExponential") -> float:
    """Standard deviation of a log-hazard under its normal prior."""
    prior = baseline_prior(model.baseline)
    if isinstance(prior, GammaProcess):
        raise TypeError("hazards have no normal prior under a gamma process")
    return prior.sd if isinstance(prior, Independent) else prior.start_sd


def find_modes(
    sums: BlockSums, model: "PiecewiseExponential", priors: list[tuple[SimplePrior, slice]]
) -> Modes:
    """Find the mode of every cohort's posterior of log-hazards and effects.

    A double-exponential prior's log density, which has a kink, is averaged over a normal with the
    posterior's own standard deviation, as `bayes_crlm.laplace.posterior_mode` explains.

    Parameters
    ----------
    sums : BlockSums
        The cohorts.
    model : PiecewiseExponential
        With its baseline prior: independent, gamma, or a random walk over one interval.
    priors : list of (SimplePrior, slice)
        From `effect_priors`.
    """
    count, n_terms = sums.event_design.shape
    n_intervals = sums.events.shape[1]
    none = np.zeros((count, n_terms))
    pooled = sums.weighted_exposure(none) + np.exp(-sums.log_rate)
    start = np.concatenate([np.log((sums.events + 1) / pooled), none], axis=1)
    spread = np.ones((count, n_terms))
    kinks = [(prior, part) for prior, part in priors if isinstance(prior, Laplace)]
    for prior, part in kinks:
        spread[:, part] = prior.scale
    at, information, converged = climb(start, sums, model, priors, spread)
    searching = np.flatnonzero(converged) if kinks else np.empty(0, dtype=np.intp)
    for _ in range(MOST_ROUNDS):
        if not len(searching):
            break
        found = np.sqrt(
            np.diagonal(np.linalg.inv(information[searching]), axis1=1, axis2=2)[:, n_intervals:]
        )
        change = np.abs(found / spread[searching] - 1).max(axis=1)
        searching, found = searching[change >= SPREAD_TOLERANCE], found[change >= SPREAD_TOLERANCE]
        if not len(searching):
            break
        spread[searching] = found
        at[searching], information[searching], converged[searching] = climb(
            at[searching], sums.part(searching), model, priors, found
        )
        searching = searching[converged[searching]]
    return Modes(at[:, :n_intervals], at[:, n_intervals:], information, converged)


def climb(
    start: NDArray,
    sums: BlockSums,
    model: "PiecewiseExponential",
    priors: list[tuple[SimplePrior, slice]],
    spread: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool]]:
    """Take Newton steps, halved where the density falls, until the next would change nothing."""
    at = start.copy()
    value, gradient, information = slopes(at, sums, model, priors, spread)
    share = np.ones(len(at))
    converged = np.zeros(len(at), dtype=bool)
    active, part, part_spread = np.flatnonzero(np.isfinite(value)), sums, spread
    if len(active) < len(at):
        part, part_spread = sums.part(active), spread[active]
    for _ in range(MOST_STEPS):
        if not len(active):
            break
        step = newton_steps(information[active], gradient[active])
        rise = np.abs((gradient[active] * step).sum(axis=1))
        is_stuck = ~np.isfinite(rise) | (share[active] < SMALLEST_SHARE)
        converged[active[(rise < RISE_TOLERANCE) & ~is_stuck]] = True
        goes_on = ~(converged[active] | is_stuck)
        if not goes_on.all():
            active, step = active[goes_on], step[goes_on]
            part, part_spread = part.part(np.flatnonzero(goes_on)), part_spread[goes_on]
            if not len(active):
                break
        candidate = at[active] + share[active, None] * step
        new = slopes(candidate, part, model, priors, part_spread)
        # at the mode rounding decides the last digits, so equal counts as risen
        risen = new[0] >= value[active] - 1e-10 * (1 + np.abs(value[active]))
        share[active] = np.where(risen, 1.0, share[active] / 2)
        moved = active[risen]
        at[moved], value[moved] = candidate[risen], new[0][risen]
        gradient[moved], information[moved] = new[1][risen], new[2][risen]
    return at, information, converged


def newton_steps(information: NDArray, gradient: NDArray) -> NDArray[np.float64]:
    """Solve for the Newton steps; one by one, with a ridge, where a density is not concave."""
    try:
        # a factor exists only where steps climb
        np.linalg.cholesky(information)
        return np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        pairs = zip(information, gradient, strict=True)
        return np.stack([newton_step(each, slope) for each, slope in pairs])


def slopes(
    at: NDArray,
    sums: BlockSums,
    model: "PiecewiseExponential",
    priors: list[tuple[SimplePrior, slice]],
    spread: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log posterior densities but for constants, gradients and information.

    Parameters
    ----------
    at : (cohorts, intervals + terms) ndarray
        Log-hazards, then effects.

    Returns
    -------
    (cohorts,), (cohorts, intervals + terms), (cohorts, intervals + terms, intervals + terms)
        A density that is not finite is minus infinity.
    """
    n_intervals = sums.events.shape[1]
    log_hazard, effect = at[:, :n_intervals], at[:, n_intervals:]
    with np.errstate(over="ignore", invalid="ignore"):
        hazard = np.exp(log_hazard)
        relative = np.exp(sums.design @ effect[:, :, None])
        by_interval = sums.exposure.transpose(0, 2, 1)
        by_term = sums.design.transpose(0, 2, 1)
        expected = hazard * (by_interval @ relative)[:, :, 0]
        crossed = hazard[:, :, None] * (by_interval @ (sums.design * relative))
        scaled = sums.design * (relative * (sums.exposure @ hazard[:, :, None]))
        value, slope, curvature = baseline_slopes(log_hazard, hazard, sums, model)
        value += (sums.events * log_hazard - expected).sum(axis=1)
        value += (sums.event_design * effect).sum(axis=1)
        gradient = np.concatenate(
            [sums.events - expected + slope, sums.event_design - scaled.sum(axis=1)], axis=1
        )
        information = np.empty((len(at), at.shape[1], at.shape[1]))
        information[:, n_intervals:, n_intervals:] = by_term @ scaled
        information[:, :n_intervals, n_intervals:] = crossed
        information[:, n_intervals:, :n_intervals] = crossed.transpose(0, 2, 1)
        information[:, :n_intervals, :n_intervals] = 0.0
        diagonal = np.concatenate([expected - curvature, np.zeros_like(effect)], axis=1)
        for prior, part in priors:
            here = slice(n_intervals + part.start, n_intervals + part.stop)
            density, prior_slope, bend = prior_slopes(prior, effect[:, part], spread[:, part])
            value += density.sum(axis=1)
            gradient[:, here] += prior_slope
            diagonal[:, here] -= bend
        places = np.arange(at.shape[1])
        information[:, places, places] += diagonal
    is_finite = np.isfinite(value) & np.isfinite(information).all(axis=(1, 2))
    return np.where(is_finite, value, -np.inf), gradient, information


def baseline_slopes(
    log_hazard: NDArray, hazard: NDArray, sums: BlockSums, model: "PiecewiseExponential"
) -> tuple[NDArray, NDArray, NDArray]:
    """Baseline prior's log density (but for constants), gradient and curvature (elementwise)."""
    prior = model.baseline
    if isinstance(prior, GammaProcess):
        rate = prior.weight * sums.width
        shape = rate * np.exp(sums.log_rate)
        value = (shape * log_hazard - rate * hazard).sum(axis=1)
        return value, shape - rate * hazard, -rate * hazard
    precision = baseline_prior_sd(model) ** -2
    distance = log_hazard - sums.log_rate
    value = -0.5 * precision * (distance**2).sum(axis=1)
    return value, -precision * distance, np.full_like(distance, -precision)


def prior_slopes(
    prior: SimplePrior, effect: NDArray, spread: NDArray
) -> tuple[NDArray, NDArray, NDArray]:
    """Prior log density of effects, its gradient and curvature, all elementwise."""
    if not isinstance(prior, Laplace):
        return prior.log_density(effect), prior.gradient(effect), prior.curvature(effect)
    ratio = (effect - prior.location) / spread
    density = np.exp(-0.5 * ratio**2) / math.sqrt(2 * math.pi)
    centred = np.array([math.erf(each) for each in (ratio / math.sqrt(2)).ravel().tolist()])
    centred = centred.reshape(ratio.shape)
    distance = spread * (2 * density + ratio * centred)
    value = -distance / prior.scale - math.log(2 * prior.scale)
    return value, -centred / prior.scale, -2 * density / (spread * prior.scale)
