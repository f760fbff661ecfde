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
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import PosteriorMode, posterior_mode, posterior_slope
from bayes_crlm.likelihood.risk_sums import CohortSums
from bayes_crlm.model.priors import EffectPrior, Horseshoe, Normal, StudentT

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "Component",
    "effect_spread",
    "find_components",
    "has_student_t",
    "modes_for_chains",
    "needs_components",
    "places_between",
    "vague_inputs",
]

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
RISE_TOLERANCE = 1e-3
# a mode of less than this share gets no chain
LEAST_CHAIN_SHARE = 1e-3
# of a walk, as a share of its prior's scale; its own is sampled with the rest
CHAIN_STEP_SCALE = 1.0


@dataclass(frozen=True)
class Component:
    """A place that holds a share of the posterior.

    Attributes
    ----------
    mode : PosteriorMode
        With the information that its spread is taken from.
    share : float
        Of the posterior, by Laplace's approximation; those of all components add up to 1.
    is_vague : bool
        Whether it is the likelihood's mode without the Student t priors: no mode of the posterior,
        but where a prior's tail lies over the likelihood.
    """

    mode: PosteriorMode
    share: float
    is_vague: bool


@dataclass(frozen=True)
class StudentColumns:
    """Columns with a Student t prior: places in the design, and priors.

    Attributes
    ----------
    column : (columns,) ndarray of int
    location, scale, degrees_of_freedom : (columns,) ndarray
    """

    column: NDArray[np.intp]
    location: NDArray[np.float64]
    scale: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: "PreparedCohort") -> "StudentColumns":
        """Take them from a model's priors."""
        n_treatment, n_covariates = inputs.n_treatment_terms, inputs.n_covariate_terms
        priors: list[EffectPrior] = [inputs.treatment_prior] * n_treatment
        priors += [inputs.covariate_prior] * n_covariates
        found = [(k, each) for k, each in enumerate(priors) if isinstance(each, StudentT)]
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


def has_student_t(inputs: "PreparedCohort") -> bool:
    """Whether any effect has a Student t prior."""
    has_covariates = inputs.n_covariate_terms > 0
    return isinstance(inputs.treatment_prior, StudentT) or (
        has_covariates and isinstance(inputs.covariate_prior, StudentT)
    )


def vague_inputs(inputs: "PreparedCohort") -> "PreparedCohort":
    """Put a vague normal prior in the place of every Student t."""

    def vague(prior: EffectPrior) -> EffectPrior:
        return Normal(0.0, VAGUE_SD) if isinstance(prior, StudentT) else prior

    return replace(
        inputs,
        treatment_prior=vague(inputs.treatment_prior),
        covariate_prior=vague(inputs.covariate_prior),
    )


def without_horseshoe(inputs: "PreparedCohort") -> "PreparedCohort":
    """Put a normal prior in the place of a horseshoe, which has no useful mode."""
    if isinstance(inputs.covariate_prior, Horseshoe):
        return replace(inputs, covariate_prior=Normal(0.0, 1.0))
    return inputs


def find_components(
    inputs: "PreparedCohort", sums: CohortSums, step_scale: float | None = None
) -> list[Component]:
    """Find the modes of a posterior under Student t priors, and the shelf beside a narrow one.

    Newton's method starts at the likelihood's mode, at all Student t priors' places, and at the
    places of those that compete with the likelihood, in every combination where they are few.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it; a normal prior stands in for a horseshoe.
    sums : CohortSums
        Of `inputs`.
    step_scale : float, optional
        Of a random walk, on which the modes are conditional.

    Returns
    -------
    list of Component
        Empty where one mode is certain to be near the likelihood's: no Student t prior, or none
        that competes with the likelihood. The largest share first.
    """
    if not has_student_t(inputs):
        return []
    inputs = without_horseshoe(inputs)

    def climb(
        target: "PreparedCohort", start: tuple[NDArray, NDArray] | None = None
    ) -> PosteriorMode:
        return posterior_mode(
            target, step_scale=step_scale, start=start, sums=sums, rise_tolerance=RISE_TOLERANCE
        )

    vague = climb(vague_inputs(inputs))
    columns, n_intervals = StudentColumns.of(inputs), len(vague.log_hazard)
    covariance = covariance_of(vague.information)
    if not vague.converged or covariance is None:
        return []
    variance = np.diag(covariance)[n_intervals:]
    competing = np.flatnonzero(columns.competing(vague.effect, variance))
    if not len(competing):
        return []
    found: list[PosteriorMode] = []
    for chosen in chosen_columns(columns, competing, vague.effect):
        mode = climb(inputs, conditional_start(vague, covariance, columns, chosen))
        if mode.converged and not any(is_same(mode, other) for other in found):
            found.append(mode)
    shelf = shelf_beside(found, vague, inputs, step_scale, sums)
    masses = [log_mass(each) for each in (*found, *shelf)]
    largest = max(masses, default=-math.inf)
    if not math.isfinite(largest):
        return []
    kept = [
        (mode, math.exp(mass - largest), k >= len(found))
        for k, (mode, mass) in enumerate(zip((*found, *shelf), masses, strict=True))
        if k >= len(found) or mass > largest + math.log(LEAST_SHARE)
    ]
    total = sum(share for _, share, _ in kept)
    components = [Component(mode, share / total, is_vague) for mode, share, is_vague in kept]
    return sorted(components, key=lambda each: -each.share)


def modes_for_chains(inputs: "PreparedCohort") -> list[Component]:
    """Find the modes that chains have to start at; none where one start serves all.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    if not has_student_t(inputs):
        return []
    sums = CohortSums(inputs.density_data)
    step_scale = CHAIN_STEP_SCALE * inputs.walk_prior.step_scale_sd if inputs.has_walk else None
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        found = find_components(inputs, sums, step_scale)
    return [each for each in found if not each.is_vague and each.share >= LEAST_CHAIN_SHARE]


def needs_components(
    inputs: "PreparedCohort", effect: NDArray, variance: NDArray
) -> NDArray[np.bool]:
    """Whether posteriors may have several modes, from many modes of the likelihood.

    Parameters
    ----------
    inputs : PreparedCohort
        Any with the priors in question.
    effect, variance : (cohorts, terms) ndarray
        Modes under `vague_inputs`, and the spread that their information implies.

    Returns
    -------
    (cohorts,) ndarray of bool
    """
    return StudentColumns.of(inputs).competing(effect, variance).any(axis=-1)


def covariance_of(information: NDArray) -> NDArray[np.float64] | None:
    """Invert information; None where it is not positive definite."""
    try:
        np.linalg.cholesky(information)
        return np.linalg.inv(information)
    except np.linalg.LinAlgError:
        return None


def chosen_columns(
    columns: StudentColumns, competing: NDArray[np.intp], effect: NDArray
) -> list[tuple[int, ...]]:
    """Which columns start at their priors' places: none, all, and the competing ones.

    Parameters
    ----------
    columns : StudentColumns
    competing : (n,) ndarray of int
        Places among `columns`.
    effect : (terms,) ndarray
        The likelihood's mode.

    Returns
    -------
    list of tuple of int
        Places among `columns`; every combination where `competing` are few.
    """
    everyone = tuple(range(len(columns.column)))
    distance = np.abs(effect[columns.column] - columns.location) / columns.scale
    order = [int(k) for k in competing[np.argsort(-distance[competing], kind="stable")]]
    if len(order) <= MOST_COMBINED:
        some = [each for size in range(len(order) + 1) for each in combinations(order, size)]
    else:
        listed = order[:MOST_COLUMNS]
        singles = [(k,) for k in listed]
        others = [tuple(each for each in everyone if each != k) for k in listed]
        some = [(), *singles, *others]
    found = [tuple(sorted(each)) for each in (*some, everyone)]
    return list(dict.fromkeys(found))


def conditional_start(
    vague: PosteriorMode,
    covariance: NDArray,
    columns: StudentColumns,
    chosen: tuple[int, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Move some columns to their priors' places, and the rest to where they then are likeliest."""
    n_intervals = len(vague.log_hazard)
    places = columns.column[list(chosen)]
    at = np.concatenate([vague.log_hazard, vague.effect])
    if len(places):
        moved = n_intervals + places
        away = columns.location[list(chosen)] - vague.effect[places]
        at = at + covariance[:, moved] @ np.linalg.solve(covariance[np.ix_(moved, moved)], away)
        at[moved] = columns.location[list(chosen)]
    return at[:n_intervals], at[n_intervals:]


def is_same(mode: PosteriorMode, other: PosteriorMode) -> bool:
    """Whether two climbs came to one mode."""
    away = np.concatenate([mode.log_hazard - other.log_hazard, mode.effect - other.effect])
    squared = max(float(away @ each.information @ away) for each in (mode, other))
    return squared < SAME_MODE**2


def log_mass(mode: PosteriorMode) -> float:
    """Laplace's approximation of the log of a mode's share, but for a constant."""
    sign, log_determinant = np.linalg.slogdet(mode.information)
    return mode.log_density - 0.5 * float(log_determinant) if sign > 0 else -math.inf


def shelf_beside(
    found: list[PosteriorMode],
    vague: PosteriorMode,
    inputs: "PreparedCohort",
    step_scale: float | None,
    sums: CohortSums,
) -> list[PosteriorMode]:
    """Take the likelihood's spread as a component, where every mode is much narrower.

    A narrow Student t prior's tail lies over all of the likelihood, also where that is too near to
    the prior, or says too little, to have a mode of its own.
    """
    n_intervals = len(vague.log_hazard)
    spread = effect_spread(vague.information, n_intervals)
    for mode in found:
        # the smallest ratio of spreads over all directions
        ratio = np.linalg.eigvals(
            np.linalg.solve(spread, effect_spread(mode.information, n_intervals))
        )
        away = mode.effect - vague.effect
        is_near = float(away @ np.linalg.solve(spread, away)) < 1
        if is_near and ratio.real.min() > NARROW**2:
            return []
    value, *_ = posterior_slope(vague.log_hazard, vague.effect, inputs, step_scale, sums=sums)
    return [replace(vague, log_density=value)] if math.isfinite(value) else []


def places_between(
    inputs: "PreparedCohort", effect: NDArray, covariance: NDArray
) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Find where some Student t priors hold their columns, and the likelihood has the others.

    One of two columns may leave its prior while the other stays. That has no mode where the
    likelihood, given the column that stays, is near the other's prior: a shelf of its tail.

    Parameters
    ----------
    inputs : PreparedCohort
    effect, covariance : (terms,) ndarray, (terms, terms) ndarray
        The likelihood's mode without the Student t priors, and its spread.

    Returns
    -------
    list of (terms,) ndarray and (terms, terms) ndarray
        Means and covariances; none with fewer than two columns that compete with the likelihood.
    """
    columns = StudentColumns.of(inputs)
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


def effect_spread(information: NDArray, n_intervals: int) -> NDArray[np.float64]:
    """Covariance of the effects that the information implies, shape (terms, terms)."""
    return np.linalg.inv(information)[n_intervals:, n_intervals:]
