"""Posterior modes of many cohorts by Newton's method, all steps of all cohorts at once.

`bayes_crlm.inference.mode` does it for one cohort. Modes under a random walk are those given a step
scale.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import newton_step
from bayes_crlm.inference.proposal_parts import FIRST_STEP_SCALE
from bayes_crlm.likelihood.matrices import inverses
from bayes_crlm.model.baseline_priors import (
    GammaProcess,
    Independent,
    WalkPrior,
    baseline_prior,
)
from bayes_crlm.model.priors import Laplace, SimplePrior, parse_prior, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared_block import CohortBlock

__all__ = [
    "BlockSums",
    "Modes",
    "Targets",
    "baseline_prior_sd",
    "effect_priors",
    "find_modes",
    "start_nearby",
]

MOST_STEPS = 100
SMALLEST_SHARE = 1e-10
# a whole Newton step from a mode raises twice the log density by less than this
RISE_TOLERANCE = 1e-6
MOST_ROUNDS = 20
SPREAD_TOLERANCE = 0.01
# of any log hazard or effect: a longer step from another mode may lead too far
LONGEST_START = 1.0


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
    cutpoints : (cohorts, intervals + 1) ndarray
    earliest : (cohorts,) ndarray
        When each cohort's first row enters.
    """

    design: NDArray[np.float64]
    exposure: NDArray[np.float64]
    events: NDArray[np.float64]
    width: NDArray[np.float64]
    event_design: NDArray[np.float64]
    log_rate: NDArray[np.float64]
    cutpoints: NDArray[np.float64]
    earliest: NDArray[np.float64]

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
            cutpoints=block.cutpoints,
            earliest=block.entry.min(axis=1),
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

    def part(self, which: NDArray[np.intp]) -> "Modes":
        """Those of some cohorts."""
        return Modes(*(getattr(self, name)[which] for name in self.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Targets:
    """The posteriors whose modes are looked for.

    Attributes
    ----------
    sums : BlockSums
        The cohorts.
    model : ModelDefinition
        With its baseline prior.
    priors : list of (SimplePrior, slice)
        Of the effects, from `effect_priors`.
    step_scale : (cohorts,) ndarray or None
        Of random walks over more than one interval, on which the modes are conditional.
    spread : (cohorts, terms) ndarray or None
        Standard deviations of the normals over which a double-exponential prior is averaged.
    """

    sums: BlockSums
    model: "ModelDefinition"
    priors: list[tuple[SimplePrior, slice]]
    step_scale: NDArray[np.float64] | None = None
    spread: NDArray[np.float64] | None = None

    @property
    def walk_prior(self) -> WalkPrior:
        """The baseline prior, where it is a walk.

        Raises
        ------
        TypeError
            For another.
        """
        if not isinstance(self.model.baseline, WalkPrior):
            raise TypeError("the hazards are not a walk")
        return self.model.baseline

    @property
    def has_walk(self) -> bool:
        """Whether the log-hazards are walks with a step scale to be drawn."""
        return isinstance(self.model.baseline, WalkPrior) and self.sums.events.shape[1] > 1

    def given_first_step_scale(self) -> "Targets":
        """The posteriors given the step scale that the search for it starts with."""
        scale = FIRST_STEP_SCALE * self.walk_prior.step_scale_sd
        return replace(self, step_scale=np.full(len(self.sums.events), scale))

    def part(self, which: NDArray[np.intp]) -> "Targets":
        """Those of some cohorts, which may be repeated."""
        return replace(
            self,
            sums=self.sums.part(which),
            step_scale=None if self.step_scale is None else self.step_scale[which],
            spread=None if self.spread is None else self.spread[which],
        )


def effect_priors(
    model: "ModelDefinition", n_treatment: int, n_terms: int
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


def baseline_prior_sd(model: "ModelDefinition") -> float:
    """Standard deviation of a log-hazard under its normal prior."""
    prior = baseline_prior(model.baseline)
    if isinstance(prior, GammaProcess):
        raise TypeError("hazards have no normal prior under a gamma process")
    return prior.sd if isinstance(prior, Independent) else prior.level_sd


def find_modes(
    targets: Targets,
    start: tuple[NDArray, NDArray] | None = None,
    rise_tolerance: float = RISE_TOLERANCE,
) -> Modes:
    """Find the mode of every cohort's posterior of log-hazards and effects.

    A double-exponential prior's log density, which has a kink, is averaged over a normal with the
    posterior's own standard deviation, as `bayes_crlm.inference.mode.posterior_mode` explains.

    Parameters
    ----------
    targets : Targets
        The posteriors; their `spread` is found here.
    start : (cohorts, intervals) ndarray and (cohorts, terms) ndarray, optional
        Where to start; at every interval's own rate and no effects without it.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise the log density by less.
    """
    sums = targets.sums
    count, n_terms = sums.event_design.shape
    n_intervals = sums.events.shape[1]
    start = first_start(sums) if start is None else start
    spread = np.ones((count, n_terms))
    kinks = [(prior, part) for prior, part in targets.priors if isinstance(prior, Laplace)]
    for prior, part in kinks:
        spread[:, part] = prior.scale
    targets = replace(targets, spread=spread)
    at, information, converged = climb(np.concatenate(start, axis=1), targets, rise_tolerance)
    searching = np.flatnonzero(converged) if kinks else np.empty(0, dtype=np.intp)
    for _ in range(MOST_ROUNDS):
        if not len(searching):
            break
        variance = np.diagonal(inverses(information[searching]), axis1=1, axis2=2)[:, n_intervals:]
        # no standard deviation, from information that has no inverse, is not a mode
        with np.errstate(invalid="ignore"):
            found = np.sqrt(variance)
        converged[searching] = np.isfinite(found).all(axis=1)
        change = np.abs(found / spread[searching] - 1).max(axis=1)
        goes_on = change >= SPREAD_TOLERANCE
        searching, found = searching[goes_on], found[goes_on]
        if not len(searching):
            break
        spread[searching] = found
        at[searching], information[searching], converged[searching] = climb(
            at[searching], replace(targets, spread=spread).part(searching), rise_tolerance
        )
        searching = searching[converged[searching]]
    return Modes(at[:, :n_intervals], at[:, n_intervals:], information, converged)


def first_start(sums: BlockSums) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Every interval's own rate, and no effects: (cohorts, intervals), (cohorts, terms)."""
    none = np.zeros_like(sums.event_design)
    # as if each interval had one event more, at the overall rate
    pooled = sums.weighted_exposure(none) + np.exp(-sums.log_rate)
    return np.log((sums.events + 1) / pooled), none


def start_nearby(
    near: Modes, priors: list[tuple[SimplePrior, slice]], targets: Targets
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take a Newton step from modes under other priors, whose slopes there are 0.

    Parameters
    ----------
    near : Modes
        Of the same cohorts.
    priors : list of (SimplePrior, slice)
        Of the effects, at these modes.
    targets : Targets
        With their own priors of the same effects.

    Returns
    -------
    (cohorts, intervals) ndarray, (cohorts, terms) ndarray
        For `find_modes`; without a mode the first start of all.
    """
    n_intervals = near.log_hazard.shape[1]
    log_hazard, effect = first_start(targets.sums)
    at = np.concatenate([near.log_hazard, near.effect], axis=1)
    gradient, information = np.zeros_like(at), near.information.copy()
    for (old, part), (new, _) in zip(priors, targets.priors, strict=True):
        if old == new:
            continue
        here = np.arange(n_intervals + part.start, n_intervals + part.stop)
        there = near.effect[:, part]
        gradient[:, here] = new.gradient(there) - old.gradient(there)
        information[:, here, here] += old.curvature(there) - new.curvature(there)
    is_near = near.converged
    step = np.zeros_like(at)
    step[is_near] = newton_steps(information[is_near], gradient[is_near])
    is_short = np.abs(step).max(axis=1, keepdims=True) < LONGEST_START
    at = np.where(is_short, at + step, at)
    return (
        np.where(is_near[:, None], at[:, :n_intervals], log_hazard),
        np.where(is_near[:, None], at[:, n_intervals:], effect),
    )


def climb(
    start: NDArray, targets: Targets, rise_tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool]]:
    """Take Newton steps, halved where the density falls, until the next would change nothing."""
    at = start.copy()
    value, gradient, information = slopes(at, targets)
    share = np.ones(len(at))
    converged = np.zeros(len(at), dtype=bool)
    active = np.flatnonzero(np.isfinite(value))
    part = targets if len(active) == len(at) else targets.part(active)
    for _ in range(MOST_STEPS):
        if not len(active):
            break
        step = newton_steps(information[active], gradient[active])
        rise = np.abs((gradient[active] * step).sum(axis=1))
        is_stuck = ~np.isfinite(rise) | (share[active] < SMALLEST_SHARE)
        converged[active[(rise < rise_tolerance) & ~is_stuck]] = True
        goes_on = ~(converged[active] | is_stuck)
        if not goes_on.all():
            active, step = active[goes_on], step[goes_on]
            if not len(active):
                break
            part = part.part(np.flatnonzero(goes_on))
        candidate = at[active] + share[active, None] * step
        new = slopes(candidate, part)
        # at the mode rounding decides the last digits, so equal counts as risen
        risen = new[0] >= value[active] - 1e-10 * (1 + np.abs(value[active]))
        share[active] = np.where(risen, 1.0, share[active] / 2)
        moved = active[risen]
        at[moved], value[moved] = candidate[risen], new[0][risen]
        gradient[moved], information[moved] = new[1][risen], new[2][risen]
    return at, information, converged


def newton_steps(information: NDArray, gradient: NDArray) -> NDArray[np.float64]:
    """Solve for the Newton steps; with a ridge where a density is not concave."""
    try:
        return climbing_step(information, gradient[:, :, None])[:, :, 0]
    except np.linalg.LinAlgError:
        steps = np.empty_like(gradient)
        for k, (matrix, slope) in enumerate(zip(information, gradient, strict=True)):
            try:
                # the digits that it has among cohorts that are all concave
                steps[k] = climbing_step(matrix, slope[:, None])[:, 0]
            except np.linalg.LinAlgError:
                steps[k] = newton_step(matrix, slope)
        return steps


def climbing_step(information: NDArray, gradient: NDArray) -> NDArray[np.float64]:
    """Solve for steps that climb, which is where a triangular root exists."""
    np.linalg.cholesky(information)
    return np.linalg.solve(information, gradient)


def slopes(
    at: NDArray, targets: Targets
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Log posterior densities but for constants, gradients and information.

    Parameters
    ----------
    at : (cohorts, intervals + terms) ndarray
        Log-hazards, then effects.
    targets : Targets
        With their `spread`.

    Returns
    -------
    (cohorts,), (cohorts, intervals + terms), (cohorts, intervals + terms, intervals + terms)
        A density that is not finite is minus infinity.
    """
    sums, spread = targets.sums, targets.spread
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
        value, slope, curvature = baseline_slopes(log_hazard, hazard, targets)
        value += (sums.events * log_hazard - expected).sum(axis=1)
        value += (sums.event_design * effect).sum(axis=1)
        gradient = np.concatenate(
            [sums.events - expected + slope, sums.event_design - scaled.sum(axis=1)], axis=1
        )
        information = np.empty((len(at), at.shape[1], at.shape[1]))
        information[:, n_intervals:, n_intervals:] = by_term @ scaled
        information[:, :n_intervals, n_intervals:] = crossed
        information[:, n_intervals:, :n_intervals] = crossed.transpose(0, 2, 1)
        information[:, :n_intervals, :n_intervals] = -curvature
        diagonal = np.concatenate([expected, np.zeros_like(effect)], axis=1)
        for prior, part in targets.priors:
            here = slice(n_intervals + part.start, n_intervals + part.stop)
            width = np.ones_like(effect[:, part]) if spread is None else spread[:, part]
            density, prior_slope, bend = prior_slopes(prior, effect[:, part], width)
            value += density.sum(axis=1)
            gradient[:, here] += prior_slope
            diagonal[:, here] -= bend
        places = np.arange(at.shape[1])
        information[:, places, places] += diagonal
    is_finite = np.isfinite(value) & np.isfinite(information).all(axis=(1, 2))
    return np.where(is_finite, value, -np.inf), gradient, information


def baseline_slopes(
    log_hazard: NDArray, hazard: NDArray, targets: Targets
) -> tuple[NDArray, NDArray, NDArray]:
    """Baseline prior's log density (but for constants), gradient and second derivatives.

    Returns
    -------
    (cohorts,), (cohorts, intervals), (cohorts, intervals, intervals) ndarray
    """
    prior, sums = targets.model.baseline, targets.sums
    identity = np.eye(log_hazard.shape[1])
    if isinstance(prior, GammaProcess):
        rate = prior.weight * sums.width
        shape = rate * np.exp(sums.log_rate)
        value = (shape * log_hazard - rate * hazard).sum(axis=1)
        return value, shape - rate * hazard, -identity * (rate * hazard)[:, None, :]
    precision = baseline_prior_sd(targets.model) ** -2
    distance = log_hazard - sums.log_rate
    if targets.step_scale is None:
        value = -0.5 * precision * (distance**2).sum(axis=1)
        slope, curvature = -precision * distance, -precision * identity
        return value, slope, np.broadcast_to(curvature, (len(value), *identity.shape))
    walk, level = targets.walk_prior, targets.walk_prior.level_interval(len(identity))
    variance = walk.step_variances(sums.cutpoints, sums.earliest)
    per_step = 1 / (targets.step_scale[:, None] ** 2 * variance)
    step = np.diff(log_hazard, axis=1)
    value = -0.5 * (precision * distance[:, level] ** 2 + (per_step * step**2).sum(axis=1))
    slope = np.zeros_like(log_hazard)
    slope[:, level] = -precision * distance[:, level]
    slope[:, :-1] += per_step * step
    slope[:, 1:] -= per_step * step
    difference = np.diff(identity, axis=0)
    curvature = -(difference.T * per_step[:, None]) @ difference
    curvature[:, level, level] -= precision
    return value, slope, curvature


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
