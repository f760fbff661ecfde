"""Posterior modes by Newton's method, all steps of all cohorts at once.

Everything is NumPy: no PyMC, no compilation. Unknowns are the log-hazards and the effects, given
a walk's step scale. In these coordinates the mode of the effects is, but for the prior of the
log-hazards, that of their posterior with the hazards integrated out, as Cox's profile is.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Opper & Archambeau (2009), Neural Comput
21:786-792 (the normal nearest to a posterior).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.slopes import posterior_slopes
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.matrices import inverses
from bayes_crlm.model.families import Laplace

if TYPE_CHECKING:
    from bayes_crlm.likelihood.risk_sums import RiskSums
    from bayes_crlm.model.prepared import PreparedCohort

MOST_STEPS = 100
SMALLEST_SHARE = 1e-10
# a whole Newton step from a mode raises twice the log density by less than this
RISE_TOLERANCE = 1e-6
MOST_ROUNDS = 20
SPREAD_TOLERANCE = 0.01
# of any log hazard or effect: a longer step from another mode may lead too far
LONGEST_START = 1.0

Start = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class PosteriorMode:
    """Mode of one cohort's posterior; as `Modes`, without the cohorts' axis."""

    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    log_density: float
    information: NDArray[np.float64]
    converged: bool


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of posteriors, stacked over cohorts.

    Attributes
    ----------
    log_hazard : (cohorts, intervals) ndarray
        At the covariates' means.
    effect : (cohorts, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_density : (cohorts,) ndarray
        Log prior plus log-likelihood there.
    information : (cohorts, intervals + terms, intervals + terms) ndarray
        Minus the second derivatives there.
    converged : (cohorts,) ndarray of bool
        Whether the gradient vanished; where it did not, the numbers are no mode.
    """

    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    log_density: NDArray[np.float64]
    information: NDArray[np.float64]
    converged: NDArray[np.bool]

    def part(self, which: NDArray[np.intp]) -> "Modes":
        """Those of some cohorts."""
        return Modes(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @classmethod
    def concatenated(cls, some: "list[Modes]") -> "Modes":
        """Put modes of several searches one after the other."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(each, name) for each in some]) for name in names))

    def spread(self) -> NDArray[np.float64]:
        """Covariances of the effects that the information implies, (cohorts, terms, terms)."""
        n_intervals = self.log_hazard.shape[1]
        found = inverses(self.information)[:, n_intervals:, n_intervals:]
        found[~self.converged] = np.nan
        return (found + found.transpose(0, 2, 1)) / 2


def find_modes(
    targets: Targets,
    step_scale: NDArray | None = None,
    start: Start | None = None,
    rise_tolerance: float = RISE_TOLERANCE,
) -> Modes:
    """Find the mode of every cohort's posterior of log-hazards and effects.

    Newton steps with the full second-derivative matrix, halved until the density rises. Under
    vague priors this is the maximum-likelihood estimate, the one a Poisson regression with the
    exposure as offset gives.

    The double-exponential prior has a kink, at which Newton steps go back and forth and the
    curvature says nothing. Its log density is therefore averaged over a normal with the
    posterior's own standard deviation, found by repetition: centre and information are then
    those of the normal nearest to the posterior (Opper & Archambeau).

    Parameters
    ----------
    targets : Targets
        The posteriors.
    step_scale : (cohorts,) ndarray, optional
        Of walks: the modes are conditional on it.
    start : (cohorts, intervals) ndarray and (cohorts, terms) ndarray, optional
        Where to start; at every interval's own rate and no effects without it.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise the log density by less.

    Raises
    ------
    TypeError
        For a horseshoe prior.
    ValueError
        For a walk without its step scale.
    """
    if targets.has_walk and step_scale is None:
        raise ValueError("a walk's log density needs its step scale")
    count, n_intervals = len(targets), targets.n_intervals
    start = first_start(targets) if start is None else start
    spread = np.ones((count, targets.n_effects))
    kinks = [(prior, part) for prior, part in targets.simple_priors if isinstance(prior, Laplace)]
    for prior, part in kinks:
        spread[:, part] = prior.scale
    at = np.concatenate(start, axis=1)
    at, value, information, converged = climb(at, targets, step_scale, spread, rise_tolerance)
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
        given = None if step_scale is None else step_scale[searching]
        again = climb(at[searching], targets.part(searching), given, found, rise_tolerance)
        at[searching], value[searching], information[searching], converged[searching] = again
        searching = searching[converged[searching]]
    return Modes(at[:, :n_intervals], at[:, n_intervals:], value, information, converged)


def posterior_mode(
    inputs: "PreparedCohort",
    *,
    step_scale: float | None = None,
    start: Start | None = None,
    sums: "RiskSums | None" = None,
    rise_tolerance: float = 1e-14,
) -> PosteriorMode:
    """Find the mode of one cohort's posterior; see `find_modes`.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it; no horseshoe.
    step_scale : float, optional
        Of a walk: the mode is conditional on it.
    start : (intervals,) ndarray and (terms,) ndarray, optional
        Where to start.
    sums : RiskSums, optional
        In place of those of `inputs`.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise the log density by less.
    """
    targets = Targets.of_cohort(inputs, sums)
    given = None if step_scale is None else np.array([step_scale])
    first = None if start is None else (start[0][None], start[1][None])
    found = find_modes(targets, given, first, rise_tolerance)
    return PosteriorMode(
        log_hazard=found.log_hazard[0],
        effect=found.effect[0],
        log_density=float(found.log_density[0]),
        information=found.information[0],
        converged=bool(found.converged[0]),
    )


def first_start(targets: Targets) -> Start:
    """Every interval's own rate, and no effects: (cohorts, intervals), (cohorts, terms)."""
    sums = targets.sums
    none = np.zeros((len(sums), targets.n_effects))
    # as if each interval had one event more, at the overall rate
    pooled = sums.weighted_exposure(none) + np.exp(-targets.log_rate)[:, None]
    return np.log((sums.events + 1) / pooled), none


def start_nearby(near: Modes, before: Targets, targets: Targets) -> Start:
    """Take a Newton step from modes under other priors, whose slopes there are 0.

    Parameters
    ----------
    near : Modes
        Of the same cohorts.
    before : Targets
        With the priors of these modes.
    targets : Targets
        With their own priors of the same effects.

    Returns
    -------
    (cohorts, intervals) ndarray, (cohorts, terms) ndarray
        For `find_modes`; without a mode the first start of all.
    """
    n_intervals = targets.n_intervals
    log_hazard, effect = first_start(targets)
    at = np.concatenate([near.log_hazard, near.effect], axis=1)
    gradient, information = np.zeros_like(at), near.information.copy()
    for (old, part), (new, _) in zip(before.simple_priors, targets.simple_priors, strict=True):
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
    start: NDArray,
    targets: Targets,
    step_scale: NDArray | None,
    spread: NDArray,
    rise_tolerance: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.bool]]:
    """Take Newton steps, halved where the density falls, until the next would change nothing.

    Returns
    -------
    at, log_density, information, converged
        All with the cohorts' axis first.
    """
    at = start.copy()
    value, gradient, information = posterior_slopes(at, targets, step_scale, spread)
    share = np.ones(len(at))
    converged = np.zeros(len(at), dtype=bool)
    active = np.flatnonzero(np.isfinite(value))

    def some(which: NDArray) -> tuple[Targets, NDArray | None, NDArray]:
        given = None if step_scale is None else step_scale[which]
        return targets.part(which), given, spread[which]

    given = (targets, step_scale, spread) if len(active) == len(at) else some(active)
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
            given = some(active)
        candidate = at[active] + share[active, None] * step
        new = posterior_slopes(candidate, *given)
        # at the mode rounding decides the last digits, so equal counts as risen
        risen = new[0] >= value[active] - 1e-10 * (1 + np.abs(value[active]))
        share[active] = np.where(risen, 1.0, share[active] / 2)
        moved = active[risen]
        at[moved], value[moved] = candidate[risen], new[0][risen]
        gradient[moved], information[moved] = new[1][risen], new[2][risen]
    return at, value, information, converged


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
                steps[k] = damped_step(matrix, slope)
        return steps


def climbing_step(information: NDArray, gradient: NDArray) -> NDArray[np.float64]:
    """Solve for steps that climb, which is where a triangular root exists."""
    np.linalg.cholesky(information)
    return np.linalg.solve(information, gradient)


def damped_step(information: NDArray, gradient: NDArray) -> NDArray[np.float64]:
    """Solve for one Newton step with the smallest ridge that makes it climb."""
    scale = np.sqrt(np.maximum(np.abs(np.diag(information)), 1e-300))
    scaled = information / np.outer(scale, scale)
    slope = (gradient / scale)[:, None]
    ridge, identity = 0.0, np.eye(len(scaled))
    for _ in range(30):
        try:
            return climbing_step(scaled + ridge * identity, slope)[:, 0] / scale
        except np.linalg.LinAlgError:
            ridge = max(1e-8, 10 * ridge)
    return np.full_like(gradient, np.nan)
