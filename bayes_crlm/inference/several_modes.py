"""Modes of a posterior that may have several, because a Student t prior can be outvoted.

A normal prior and the likelihood have one mode between them. A Student t prior far from the
likelihood is not moved to it but competes with it: one mode at the prior's place, one at the
likelihood's, each with its share of the probability. Newton's method finds whichever is nearer
to its start, so that it has to start at both.

References
----------
O'Hagan (1979), J R Stat Soc B 41:358-367 (outlier-prone priors); Gelman et al. (2013), Bayesian
Data Analysis, section 13.2 (modes by starts at several points).
"""

import math
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import (
    RISE_TOLERANCE,
    Modes,
    find_modes,
)
from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.matrices import inverses
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import Normal, StudentT
from bayes_crlm.words.records import record

# in place of a Student t: next to no prior, and still a mode where covariates separate the events
VAGUE_SD = 10.0
# a prior and a likelihood this many standard deviations apart disagree
DISAGREEMENT = 2.0
# as a share of the curvature that a t prior takes away from a likelihood of one mode at most
LEAST_SHARE_OF_CURVATURE = 0.5
# columns whose every combination of prior and likelihood is tried, and how many at all
MOST_COMBINED, MOST_COLUMNS = 4, 12
# two climbs came to one mode when they end within so many standard deviations
SAME_MODE = 0.3
# a mode of less than this share, by Laplace's approximation, is not drawn from
LEAST_SHARE = 1e-4
# of the likelihood's spread in some direction: a mode this much narrower leaves a shelf beside it
NARROW = 0.5
# a mode that only says where to start need not be known to more digits
FIRST_RISE_TOLERANCE = 1e-3
# of the prior's scale of a walk's step scale: where it is not known yet, and where chains start
FIRST_STEP_SCALE, CHAIN_STEP_SCALE = 0.5, 1.0
# a mode of less than this share gets no chain
LEAST_CHAIN_SHARE = 1e-3


@record(eq=False)
class Component:
    """A place that holds a share of one cohort's posterior.

    Attributes
    ----------
    mode : Modes
        The one mode.
    spread : (terms, terms) ndarray
        Covariance of the effects that the information there implies.
    share : float
        Of the posterior, by Laplace's approximation; those of all components add up to 1.
    is_vague : bool
        Whether it is the likelihood's mode without the Student t priors: no mode of the posterior,
        but where a prior's tail lies over the likelihood.
    """

    mode: Modes
    spread: NDArray[np.float64]
    share: float
    is_vague: bool

    @property
    def effect(self) -> NDArray[np.float64]:
        """Effects at the mode, shape (terms,)."""
        return self.mode.effect[0]


@record
class StudentColumns:
    """Columns with a Student t prior: places in the design, and priors.

    Attributes
    ----------
    column : (columns,) ndarray of int
        Their places in the design.
    location, scale, degrees_of_freedom : (columns,) ndarray
        Of each column's prior.
    """

    column: NDArray[np.intp]
    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]

    @classmethod
    def of(cls, targets: Targets) -> "StudentColumns":
        """Take them from the priors of posteriors."""
        found = [
            (k, prior)
            for prior, part in targets.priors
            if isinstance(prior, StudentT)
            for k in range(part.start, part.stop)
        ]
        return cls(
            np.array([k for k, _ in found], dtype=np.intp),
            np.array([each.location for _, each in found]),
            np.array([each.scale for _, each in found]),
            np.array([each.degrees_of_freedom for _, each in found]),
        )

    def competing(self, effect: NDArray, variance: NDArray) -> NDArray[np.bool]:
        """Whether prior and likelihood may each have a mode, or the prior a tail of its own.

        Parameters
        ----------
        effect, variance : (..., terms) ndarray
            Mode of the likelihood, and what its information says of the spread.

        Returns
        -------
        (..., columns) ndarray of bool
        """
        variance = variance[..., self.column]
        distance = np.abs(effect[..., self.column] - self.location)
        nu = self.degrees_of_freedom
        # a t density bends up most at a distance of sqrt(3 nu) scales, by this much
        bend = (nu + 1) / (8 * nu * self.scale**2)
        with np.errstate(invalid="ignore"):
            is_narrow = ~(bend * variance < LEAST_SHARE_OF_CURVATURE)
            is_apart = distance > DISAGREEMENT * np.sqrt(variance + self.scale**2)
        return is_narrow | is_apart


def has_student_t(targets: Targets) -> bool:
    """Whether any effect has a Student t prior."""
    return any(isinstance(prior, StudentT) for prior, _ in targets.priors)


def vague_targets(targets: Targets) -> Targets:
    """Put a vague normal prior in the place of every Student t."""
    return targets.with_priors({StudentT: Normal(0.0, VAGUE_SD)})


def first_step_scales(
    targets: Targets, share: float = FIRST_STEP_SCALE
) -> NDArray[np.float64] | None:
    """Step scales to start with, as a share of the prior's scale; None where there is no walk."""
    if not targets.has_walk or not isinstance(targets.baseline, WalkPrior):
        return None
    return np.full(len(targets), share * targets.baseline.step_scale_sd)


def first_modes(targets: Targets) -> Modes:
    """Find modes; of walks those for a first guess of the step scale, which say where to start."""
    tolerance = FIRST_RISE_TOLERANCE if targets.has_walk else RISE_TOLERANCE
    return find_modes(targets, first_step_scales(targets), None, tolerance)


def may_have_several_modes(targets: Targets, near: Modes) -> NDArray[np.bool]:
    """Which cohorts' likelihoods compete with a Student t prior, shape (cohorts,).

    Parameters
    ----------
    targets : Targets
        The posteriors.
    near : Modes
        Of the posteriors, for a first guess of the step scale. The likelihood has one mode, a few
        steps from these where it does not compete.
    """
    if not has_student_t(targets):
        return np.zeros(len(targets), dtype=bool)
    vague = vague_targets(targets)
    modes = find_modes(vague, first_step_scales(targets), near.as_start(), FIRST_RISE_TOLERANCE)
    variance = np.diagonal(modes.spread(), axis1=1, axis2=2)
    return StudentColumns.of(targets).competing(modes.effect, variance).any(axis=-1)


def find_components(targets: Targets, step_scale: NDArray | None = None) -> list[Component]:
    """Find the modes of one posterior under Student t priors, and the shelf beside a narrow one.

    Newton's method starts at the likelihood's mode, at all Student t priors' places, and at the
    places of those that compete with the likelihood, in every combination where they are few.

    Parameters
    ----------
    targets : Targets
        One cohort's; a normal prior stands in for a horseshoe.
    step_scale : (1,) ndarray, optional
        Of a walk, on which the modes are conditional.

    Returns
    -------
    list of Component
        Empty where one mode is certain to be near the likelihood's: no Student t prior, or none
        that competes with the likelihood. The largest share first.
    """
    if not has_student_t(targets):
        return []
    targets = targets.without_horseshoe()
    tolerance = FIRST_RISE_TOLERANCE if targets.has_walk else RISE_TOLERANCE
    vague = find_modes(vague_targets(targets), step_scale, None, tolerance)
    columns, n_intervals = StudentColumns.of(targets), targets.n_intervals
    covariance = inverses(vague.information)[0]
    variance = np.diag(covariance)[n_intervals:]
    # a mode of nothing, or of information without a root, has no spread to compare
    if not vague.converged[0] or not (np.linalg.eigvalsh(vague.information[0]) > 0).all():
        return []
    competing = np.flatnonzero(columns.competing(vague.effect[0], variance))
    if not len(competing):
        return []
    starts = np.stack(
        [
            conditional_start(vague.at[0], covariance, columns, chosen, n_intervals)
            for chosen in chosen_columns(columns, competing, vague.effect[0])
        ]
    )
    several = targets.part(np.zeros(len(starts), dtype=np.intp))
    given = None if step_scale is None else np.repeat(step_scale, len(starts))
    climbed = find_modes(several, given, starts, tolerance)
    found = climbed.part(distinct(climbed))
    modes, masses = found, log_masses(found)
    if is_narrower(found, vague):
        at_likelihood = climb(targets.posteriors(step_scale), vague.at, 0.0, 0).log_density
        if math.isfinite(at_likelihood[0]):
            modes = Modes.concatenated([found, replace(vague, log_density=at_likelihood)])
            masses = log_masses(modes)
    largest = masses.max(initial=-math.inf)
    if not math.isfinite(largest):
        return []
    is_vague = np.arange(len(masses)) >= len(found.converged)
    kept = np.flatnonzero(is_vague | (masses > largest + math.log(LEAST_SHARE)))
    share = np.exp(masses[kept] - largest)
    share /= share.sum()
    spread = modes.part(kept).spread()
    components = [
        Component(modes.part(np.array([k])), spread[place], float(share[place]), bool(is_vague[k]))
        for place, k in enumerate(kept.tolist())
    ]
    return sorted(components, key=lambda each: -each.share)


def modes_for_chains(inputs: PreparedCohort) -> list[Component]:
    """Find the modes that chains have to start at; none where one start serves all.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    targets = Targets.of_cohort(inputs)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = find_components(targets, first_step_scales(targets, CHAIN_STEP_SCALE))
    return [each for each in found if not each.is_vague and each.share >= LEAST_CHAIN_SHARE]


def chosen_columns(
    columns: StudentColumns, competing: NDArray[np.intp], effect: NDArray
) -> list[tuple[int, ...]]:
    """Which columns start at their priors' places: none, all, and the competing ones.

    Parameters
    ----------
    columns : StudentColumns
        All columns with a Student t prior.
    competing : (n,) ndarray of int
        Places among `columns`.
    effect : (terms,) ndarray
        The likelihood's mode.

    Returns
    -------
    list of tuple of int
        Places among `columns`; every combination where `competing` are few.
    """
    full_cohort = tuple(range(len(columns.column)))
    distance = np.abs(effect[columns.column] - columns.location) / columns.scale
    order = [int(k) for k in competing[np.argsort(-distance[competing], kind="stable")]]
    if len(order) <= MOST_COMBINED:
        some = [each for size in range(len(order) + 1) for each in combinations(order, size)]
    else:
        listed = order[:MOST_COLUMNS]
        singles = [(k,) for k in listed]
        others = [tuple(each for each in full_cohort if each != k) for k in listed]
        some = [(), *singles, *others]
    found = [tuple(sorted(each)) for each in (*some, full_cohort)]
    return list(dict.fromkeys(found))


def conditional_start(
    at: NDArray,
    covariance: NDArray,
    columns: StudentColumns,
    chosen: tuple[int, ...],
    n_intervals: int,
) -> NDArray[np.float64]:
    """Move some columns to their priors' places, and the rest to where they then are likeliest."""
    places = n_intervals + columns.column[list(chosen)]
    if not len(places):
        return at
    away = columns.location[list(chosen)] - at[places]
    found = at + covariance[:, places] @ np.linalg.solve(covariance[np.ix_(places, places)], away)
    found[places] = columns.location[list(chosen)]
    return found


def distinct(modes: Modes) -> NDArray[np.intp]:
    """Leave out climbs that came to no mode, or to one that another came to before."""
    at = modes.at
    kept: list[int] = []
    for k in np.flatnonzero(modes.converged).tolist():
        away = at[k] - at[kept]
        squared = [
            max(float(each @ modes.information[j] @ each) for j in (k, other))
            for each, other in zip(away, kept, strict=True)
        ]
        if all(each >= SAME_MODE**2 for each in squared):
            kept.append(k)
    return np.array(kept, dtype=np.intp)


def log_masses(modes: Modes) -> NDArray[np.float64]:
    """Laplace's approximation of the logs of modes' shares, but for a constant, shape (modes,)."""
    sign, log_determinant = np.linalg.slogdet(modes.information)
    return np.where(sign > 0, modes.log_density - 0.5 * log_determinant, -np.inf)


def is_narrower(found: Modes, vague: Modes) -> bool:
    """Whether every mode is much narrower than the likelihood's spread, or far from it.

    A narrow Student t prior's tail lies over all of the likelihood, also where that is too near to
    the prior, or says too little, to have a mode of its own: the likelihood's spread is then a
    component.
    """
    spread = vague.spread()[0]
    for effect, own in zip(found.effect, found.spread(), strict=True):
        # the smallest ratio of spreads over all directions
        ratio = np.linalg.eigvals(np.linalg.solve(spread, own))
        away = effect - vague.effect[0]
        is_near = float(away @ np.linalg.solve(spread, away)) < 1
        if is_near and ratio.real.min() > NARROW**2:
            return False
    return True


def places_between(
    targets: Targets, effect: NDArray, covariance: NDArray
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Find where some Student t priors hold their columns, and the likelihood has the others.

    One of two columns may leave its prior while the other stays. That has no mode where the
    likelihood, given the column that stays, is near the other's prior: a shelf of its tail.

    Parameters
    ----------
    targets : Targets
        One cohort's.
    effect, covariance : (terms,) ndarray, (terms, terms) ndarray
        The likelihood's mode without the Student t priors, and its spread.

    Returns
    -------
    list of (terms,) ndarray and (terms, terms) ndarray
        Means and covariances; none with fewer than two columns that compete with the likelihood.
    """
    columns = StudentColumns.of(targets)
    variance = np.diag(covariance)
    competing = [int(k) for k in np.flatnonzero(columns.competing(effect, variance))]
    if len(competing) < 2:
        return []
    stays = [tuple(each for each in competing if each != k) for k in competing[:MOST_COLUMNS]]
    if len(competing) <= MOST_COMBINED:
        stays += [(k,) for k in competing]
    precision = np.linalg.inv(covariance)
    found = []
    for chosen in dict.fromkeys(stays):
        held, here = precision.copy(), list(chosen)
        place = columns.column[here]
        held[place, place] += columns.scale[here] ** -2
        pull = precision @ effect
        pull[place] += columns.location[here] * columns.scale[here] ** -2
        spread = np.linalg.inv(held)
        found.append((spread @ pull, spread))
    return found
