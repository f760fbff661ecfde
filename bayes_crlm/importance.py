"""Draws around the posterior mode, weighted to the exact posterior: `engine = "laplace"`.

Hazards enter the proposal as cube roots, whose posterior is nearly normal (Wilson &
Hilferty); the proposal is a multivariate t around the mode in those coordinates. A random
walk's step scale is proposed first, from narrow cells of its log with weights by Laplace's
approximation, and then the rest around the mode that belongs to the cell. Pareto-smoothed
weights correct what is left; their shape k says whether that worked.

References
----------
Wilson & Hilferty (1931), PNAS 17:684-688; Tierney & Kadane (1986), J Am Stat Assoc
81:82-86; Rue, Martino & Chopin (2009), J R Stat Soc B 71:319-392; Vehtari, Simpson, Gelman,
Yao & Gabry (2024), JMLR 25(72).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.intervals import row_cumulative_hazard
from bayes_crlm.laplace import PosteriorMode, newton_step, posterior_mode, posterior_slope
from bayes_crlm.parameters import (
    constrain,
    effects,
    log_hazards,
    log_jacobian,
    log_prior,
    model_parameters,
)
from bayes_crlm.priors import Horseshoe, RandomWalk

if TYPE_CHECKING:
    from bayes_crlm.likelihood import SurvivalData
    from bayes_crlm.model import ModelInputs

__all__ = ["PARETO_K_MOST", "ImportanceDraws", "sample_importance"]

DEGREES_OF_FREEDOM = 20.0
# above it importance weights cannot be trusted: Vehtari et al. (2024)
PARETO_K_MOST = 0.7
# cells of log step scale: from 0.003, below which steps cannot be told from none, to 5
LOG_SCALE_EDGES = np.linspace(math.log(0.003), math.log(5.0), 51)
BLOCK = 4_000_000


@dataclass(frozen=True)
class ImportanceDraws:
    """Equally weighted draws made by importance resampling.

    Attributes
    ----------
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `bayes_crlm.parameters.model_parameters`.
    pareto_k : float
        Shape of the weights' tail; above 0.7 the draws are not to be used.
    ess : float
        Importance effective sample size, 1 / sum of squared normalised weights.
    converged : bool
        Whether the mode was found.
    """

    vectors: NDArray[np.float64]
    pareto_k: float
    ess: float
    converged: bool


def sample_importance(inputs: "ModelInputs", draws: int, seed: int) -> ImportanceDraws:
    """Draw from the posterior by importance resampling around its mode.

    Parameters
    ----------
    inputs : ModelInputs
        A cohort as the model sees it.
    draws : int
        Number of proposals, and of draws.
    seed : int
        Fixes them.

    Returns
    -------
    ImportanceDraws

    Raises
    ------
    ValueError
        For a horseshoe prior, which has no useful mode.
    """
    if inputs.n_covariate_terms and isinstance(inputs.covariate_prior, Horseshoe):
        raise ValueError("a horseshoe's posterior has no useful mode; use engine 'nuts'")
    from arviz_stats.base import array_stats

    rng = np.random.default_rng([seed, 2])
    has_walk = isinstance(inputs.baseline, RandomWalk) and inputs.intervals.n_intervals > 1
    proposed = propose_walk(inputs, draws, rng) if has_walk else propose(inputs, draws, rng)
    if proposed is None:
        return ImportanceDraws(np.empty((0, 0)), math.inf, 0.0, converged=False)
    vectors, log_proposal = proposed
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        ratio = log_target(vectors, inputs) - log_proposal
    ratio = np.where(np.isfinite(ratio), ratio, -np.inf)
    possible = np.isfinite(ratio)
    if possible.sum() < max(10, draws // 10):
        return ImportanceDraws(np.empty((0, 0)), math.inf, 0.0, converged=False)
    vectors, ratio = vectors[possible], ratio[possible]
    # psislw takes minus the log weights, as log-likelihoods come to it in LOO
    smoothed, pareto_k = array_stats.psislw(-(ratio - ratio.max()), r_eff=1.0)
    weight = np.exp(smoothed - smoothed.max())
    weight /= weight.sum()
    chosen = systematic(weight, draws, rng)
    return ImportanceDraws(
        vectors=vectors[chosen],
        pareto_k=float(pareto_k),
        ess=float(1 / np.sum(weight**2)),
        converged=True,
    )


def systematic(weight: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Resample by equally spaced points with one random start, in random order."""
    points = (np.arange(draws) + rng.uniform()) / draws
    chosen = np.searchsorted(np.cumsum(weight), points * (1 - 1e-12))
    return rng.permutation(np.minimum(chosen, len(weight) - 1))


def log_target(vectors: NDArray, inputs: "ModelInputs") -> NDArray:
    """Log posterior density of unconstrained vectors, shape (draws,)."""
    parameters = model_parameters(inputs)
    values = constrain(vectors, parameters)
    total = log_jacobian(vectors, parameters)
    for each in log_prior(values, inputs).values():
        total = total + each.sum(axis=-1)
    return total + cohort_log_likelihood(
        log_hazards(values, inputs), effects(values, inputs), inputs.data
    )


def cohort_log_likelihood(log_hazard: NDArray, effect: NDArray, data: "SurvivalData") -> NDArray:
    """Log-likelihood of the cohort for every draw, shape (draws,), in blocks of draws."""
    total = log_hazard @ data.events_per_interval + effect @ data.event_design
    step = max(1, BLOCK // len(data.event))
    for start in range(0, len(total), step):
        rows = slice(start, start + step)
        cumulative = row_cumulative_hazard(log_hazard[rows], data.follow_up)
        cumulative *= np.exp(effect[rows] @ data.design.T)
        total[rows] -= cumulative.sum(axis=1)
    return total


@dataclass(frozen=True)
class CubeRootMode:
    """Mode and scale of the posterior in (cube-root hazards, effects).

    Attributes
    ----------
    centre : (intervals + terms,) ndarray
        Mode.
    factor : (intervals + terms, intervals + terms) ndarray
        Cholesky factor of the information there.
    log_density : float
        Log posterior there, the coordinates' Jacobian included.
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    log_density: float

    @property
    def log_determinant(self) -> float:
        """Log determinant of the information."""
        return 2 * float(np.log(np.diag(self.factor)).sum())


def cube_root_mode(
    mode: PosteriorMode, inputs: "ModelInputs", step_scale: float | None
) -> CubeRootMode | None:
    """Move a mode from log-hazards to cube-root hazards by a few Newton steps."""
    n_intervals = len(mode.log_hazard)
    root, effect = np.exp(mode.log_hazard / 3), mode.effect

    def slope(root: NDArray, effect: NDArray) -> tuple[float, NDArray, NDArray]:
        value, gradient, information = posterior_slope(3 * np.log(root), effect, inputs, step_scale)
        change = np.concatenate([3 / root, np.ones(len(effect))])
        bend = np.concatenate([(3 * gradient[:n_intervals] - 1) / root**2, np.zeros(len(effect))])
        gradient = gradient * change
        gradient[:n_intervals] -= 1 / root
        information = information * np.outer(change, change) + np.diag(bend)
        return value + float(np.log(3 / root).sum()), gradient, information

    value, gradient, information = slope(root, effect)
    for _ in range(20):
        step = newton_step(information, gradient)
        if not np.all(np.isfinite(step)):
            return None
        # a root may not cross zero: at most halve it in one step
        share = min(
            1.0,
            float(
                np.min(
                    np.where(
                        step[:n_intervals] < 0,
                        -0.5 * root / np.minimum(step[:n_intervals], -1e-300),
                        1.0,
                    )
                )
            ),
        )
        root = root + share * step[:n_intervals]
        effect = effect + share * step[n_intervals:]
        value, gradient, information = slope(root, effect)
        if np.max(np.abs(step / np.concatenate([root, np.ones(len(effect))]))) < 1e-6:
            break
    try:
        factor = np.linalg.cholesky(information)
    except np.linalg.LinAlgError:
        return None
    if not math.isfinite(value):
        return None
    return CubeRootMode(np.concatenate([root, effect]), factor, value)


def draw_t(mode: CubeRootMode, draws: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw from a multivariate t around a mode, with its log density."""
    size, nu = len(mode.centre), DEGREES_OF_FREEDOM
    normal = rng.standard_normal((draws, size))
    mixing = rng.chisquare(nu, draws) / nu
    standard = normal / np.sqrt(mixing)[:, None]
    points = mode.centre + np.linalg.solve(mode.factor.T, standard.T).T
    log_density = (
        math.lgamma((nu + size) / 2)
        - math.lgamma(nu / 2)
        - 0.5 * size * math.log(nu * math.pi)
        + 0.5 * mode.log_determinant
        - 0.5 * (nu + size) * np.log1p((standard**2).sum(axis=1) / nu)
    )
    return points, log_density


def propose(
    inputs: "ModelInputs", draws: int, rng: np.random.Generator
) -> tuple[NDArray, NDArray] | None:
    """Propose unconstrained vectors of a model without a sampled scale."""
    mode = posterior_mode(inputs)
    moved = cube_root_mode(mode, inputs, None) if mode.converged else None
    if moved is None:
        return None
    points, log_density = draw_t(moved, draws, rng)
    return from_cube_roots(points, log_density, inputs, None)


def propose_walk(
    inputs: "ModelInputs", draws: int, rng: np.random.Generator
) -> tuple[NDArray, NDArray] | None:
    """Propose unconstrained vectors of a random walk, its step scale first."""
    sd = inputs.baseline.parameters["step_scale_sd"]
    width = LOG_SCALE_EDGES[1] - LOG_SCALE_EDGES[0]
    centres = LOG_SCALE_EDGES[:-1] + width / 2
    modes: list[CubeRootMode | None] = []
    log_weight = np.full(len(centres), -np.inf)
    start = None
    for cell in range(len(centres))[::-1]:
        scale = math.exp(centres[cell])
        mode = posterior_mode(inputs, step_scale=scale, start=start)
        moved = cube_root_mode(mode, inputs, scale) if mode.converged else None
        modes.insert(0, moved)
        if moved is None:
            continue
        start = (mode.log_hazard, mode.effect)
        # Laplace's approximation of the cell's posterior mass, HalfNormal prior and the
        # Jacobian of the logarithm included
        log_weight[cell] = (
            moved.log_density - 0.5 * moved.log_determinant - 0.5 * (scale / sd) ** 2
        ) + centres[cell]
    if not np.any(np.isfinite(log_weight)):
        return None
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    # a little of the prior's own spread keeps every cell within reach
    weight = np.where(np.isfinite(log_weight), 0.98 * weight + 0.02 / len(weight), 0.0)
    weight /= weight.sum()
    count = np.bincount(systematic(weight, draws, rng), minlength=len(weight))
    vectors, densities = [], []
    for cell, number in enumerate(count):
        mode_here = modes[cell]
        if number == 0 or mode_here is None:
            continue
        points, log_density = draw_t(mode_here, int(number), rng)
        log_scale = rng.uniform(LOG_SCALE_EDGES[cell], LOG_SCALE_EDGES[cell + 1], number)
        log_density = log_density + math.log(weight[cell] / width)
        part, density = from_cube_roots(points, log_density, inputs, log_scale)
        vectors.append(part)
        densities.append(density)
    return np.concatenate(vectors), np.concatenate(densities)


def from_cube_roots(
    points: NDArray, log_density: NDArray, inputs: "ModelInputs", log_scale: NDArray | None
) -> tuple[NDArray, NDArray]:
    """Turn (cube-root hazards, effects) into unconstrained vectors and their log density."""
    n_intervals = inputs.intervals.n_intervals
    with np.errstate(invalid="ignore", divide="ignore"):
        root = points[:, :n_intervals]
        log_hazard = np.where(root > 0, 3 * np.log(root), np.nan)
        # density of log-hazards: that of the roots times |d root / d log-hazard| = root / 3
        log_density = log_density + np.log(root / 3).sum(axis=1)
    effect = points[:, n_intervals:]
    if log_scale is None:
        return np.concatenate([effect, log_hazard], axis=1), log_density
    share = inputs.intervals.events / inputs.intervals.events.sum()
    steps = np.diff(log_hazard, axis=1) / np.exp(log_scale)[:, None]
    level = (log_hazard * share).sum(axis=1, keepdims=True)
    # steps in units of the scale: each has a factor of the scale in its density; the map from
    # log-hazards to (steps, level) has determinant one, since the shares add up to one
    log_density = log_density + (n_intervals - 1) * log_scale
    return np.concatenate([effect, log_scale[:, None], steps, level], axis=1), log_density
