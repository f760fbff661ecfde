"""Log-hazards drawn given the effects, nearly or exactly from their posterior.

Given the effects, interval j holds D_j events and a weighted exposure S_j. Under the gamma process
its hazard has a gamma posterior. Under an independent normal prior a gamma distribution with the
same mode and nearly the same curvature is close to it. Under a random walk neighbours depend on
each other: cube roots of hazards, nearly normal, are drawn together from a tridiagonal precision.

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221; Wilson & Hilferty (1931), PNAS 17:684-688;
Rue (2001), J R Stat Soc B 63:325-338 (draws from a banded precision); Rue, Martino & Chopin
(2009), J R Stat Soc B 71:319-392 (a grid over the step scale).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.priors import GammaProcess, Independent, RandomWalk
from bayes_crlm.model.unknowns import LEAST_LOG_HAZARD, draw_log_gamma

if TYPE_CHECKING:
    from bayes_crlm.inference.mode import PosteriorMode
    from bayes_crlm.likelihood.risk_sums import CohortSums
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "DRAW_STEPS",
    "THIN",
    "TINY",
    "StepScales",
    "WalkCases",
    "draw_hazards",
    "draw_thin",
    "draw_walks",
    "fit_walk",
    "has_walk",
    "step_scale_edges",
    "step_scale_shares",
    "step_scales",
    "walk_log_target",
    "walks_given",
]

LOG_2PI = math.log(2 * math.pi)
TINY = np.finfo(float).tiny
# with fewer events expected in an interval, a gamma distribution lacks the right tail
THIN = 0.75
# below the smallest share of its prior's scale, steps cannot be told from none
SMALLEST_STEP_SCALE, LARGEST_STEP_SCALE = 0.001, 4.5
SCALE_CELLS = 64
# of a cell's share, so that none in reach is left out
DEFENSIVE_SHARE = 0.02
SEARCH_STEPS, DRAW_STEPS = 12, 1
# a cube root may not shrink by more than this share in one step
MOST_SHRINKAGE = 0.5


def has_walk(inputs: "PreparedCohort") -> bool:
    """Whether the log-hazards are a random walk with a step scale to be drawn."""
    return isinstance(inputs.baseline, RandomWalk) and inputs.intervals.n_intervals > 1


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
    sd = prior.sd if isinstance(prior, Independent) else prior.start_sd
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


@dataclass(frozen=True)
class WalkCases:
    """What the density of a walk is made of in many cases, but for exposures and step scales.

    A case is a draw, a cell of step scales, or one of those of one of many cohorts: cases may
    have several axes, over which the arrays here are broadcast.

    Attributes
    ----------
    prior : RandomWalk
        The same for all.
    events : (intervals, ...) ndarray
        Events in every interval.
    log_rate : float or (...) ndarray
        Where the walk's prior is centred.
    """

    prior: RandomWalk
    events: NDArray[np.float64]
    log_rate: float | NDArray[np.float64]

    @classmethod
    def of(cls, inputs: "PreparedCohort", sums: "CohortSums") -> "WalkCases":
        """Cases of one cohort that has a random walk."""
        prior = inputs.baseline
        if not isinstance(prior, RandomWalk):
            raise TypeError(f"hazards are no random walk: {prior.describe()}")
        return cls(prior, sums.events[:, None], inputs.log_rate)


@dataclass(frozen=True)
class Walk:
    """Nearly normal conditional distribution of a walk's cube-root hazards, in many cases at once.

    With p the relative distance of a cube root from its mode, log hazard = centre +
    3 log(1 + p), and p is normal with precision L D L', L a unit bidiagonal matrix.

    Attributes
    ----------
    centre : (intervals, ...) ndarray
        Modes, as log-hazards.
    pivot : (intervals, ...) ndarray
        Diagonal of D.
    below : (intervals, ...) ndarray
        Entries of L below its diagonal; entry j belongs to intervals j - 1 and j.
    """

    centre: NDArray[np.float64]
    pivot: NDArray[np.float64]
    below: NDArray[np.float64]

    @property
    def log_density_at_centre(self) -> NDArray[np.float64]:
        """Log density of the log-hazards at their centre, shape (...)."""
        constant = len(self.pivot) * (0.5 * LOG_2PI + math.log(3))
        return 0.5 * np.log(self.pivot).sum(axis=0) - constant

    def draw(self, normal: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn standard normals into log-hazards and their log density.

        Parameters
        ----------
        normal : (intervals, ...) ndarray

        Returns
        -------
        (intervals, ...) ndarray, (...) ndarray
            Not a number where a cube root would be negative.
        """
        relative = normal / np.sqrt(self.pivot)
        for j in range(len(relative) - 2, -1, -1):
            relative[j] -= self.below[j + 1] * relative[j + 1]
        log_root = np.log1p(relative)
        log_density = (
            self.log_density_at_centre - 0.5 * (normal**2).sum(axis=0) + log_root.sum(axis=0)
        )
        return self.centre + 3 * log_root, log_density


def fit_walk(
    start: NDArray,
    weighted: NDArray,
    log_scale: NDArray,
    cases: WalkCases,
    steps: int,
) -> Walk:
    """Find the conditional distribution of a walk given effects and step scale, in many cases.

    Parameters
    ----------
    start : (intervals, ...) ndarray
        Log-hazards to start from.
    weighted : (intervals, ...) ndarray
        Exposures weighted by relative hazards.
    log_scale : (...) ndarray
        Logs of the step scale.
    cases : WalkCases
        Prior, events and level.
    steps : int
        Newton steps; any number makes a proper distribution.

    Returns
    -------
    Walk
    """
    precision = np.exp(-2 * log_scale)
    start_precision = cases.prior.start_sd**-2
    # the mode of cube roots: their density has one third of an event less in every interval
    events = cases.events - 1 / 3
    below = np.empty_like(weighted)
    pivot = np.empty_like(weighted)
    off = -9 * precision
    at = start
    for step in range(steps + 1):
        expected = weighted * np.exp(at)
        diagonal = 9 * expected
        diagonal[0] += 9 * (start_precision + precision)
        diagonal[-1] -= off
        diagonal[1:-1] -= 2 * off
        pivot[0], below[0] = diagonal[0], 0.0
        for j in range(1, len(pivot)):
            below[j] = off / pivot[j - 1]
            pivot[j] = diagonal[j] - off * below[j]
        if step == steps:
            break
        change = np.diff(at, axis=0)
        change *= precision
        # in place from here on: the arrays of many draws are large
        move = np.subtract(events, expected, out=expected)
        move[0] -= start_precision * (at[0] - cases.log_rate)
        move[:-1] += change
        move[1:] -= change
        move *= 3
        for j in range(1, len(move)):
            move[j] -= below[j] * move[j - 1]
        move /= pivot
        for j in range(len(move) - 2, -1, -1):
            move[j] -= below[j + 1] * move[j + 1]
        np.maximum(move, -MOST_SHRINKAGE, out=move)
        np.log1p(move, out=move)
        move *= 3
        at = at + move
    return Walk(at, pivot, below)


def walk_log_target(
    log_hazard: NDArray, weighted: NDArray, log_scale: NDArray, cases: WalkCases
) -> NDArray[np.float64]:
    """Log of prior x likelihood of walks and their log step scale, shape (...)."""
    prior, steps = cases.prior, len(log_hazard) - 1
    scale = np.exp(log_scale)
    total = (cases.events * log_hazard - weighted * np.exp(log_hazard)).sum(axis=0)
    total -= 0.5 * ((log_hazard[0] - cases.log_rate) / prior.start_sd) ** 2
    total -= 0.5 * (np.diff(log_hazard, axis=0) ** 2).sum(axis=0) / scale**2
    total -= steps * log_scale + math.log(prior.start_sd) + 0.5 * (steps + 1) * LOG_2PI
    # half-normal, and the Jacobian of the logarithm
    total += math.log(2 / prior.step_scale_sd) - 0.5 * LOG_2PI
    return total - 0.5 * (scale / prior.step_scale_sd) ** 2 + log_scale


@dataclass(frozen=True)
class StepScales:
    """Approximate posterior of a walk's log step scale, constant within narrow cells.

    Attributes
    ----------
    edges : (cells + 1,) ndarray
        Ends of the cells.
    share : (cells,) ndarray
        Their probabilities.
    log_hazard : (intervals, cells) ndarray
        Modes that belong to the cells' middles.
    """

    edges: NDArray[np.float64]
    share: NDArray[np.float64]
    log_hazard: NDArray[np.float64]

    def log_density(self, log_scale: NDArray) -> NDArray[np.float64]:
        """Log density of log step scales; minus infinity outside the cells."""
        cell = np.searchsorted(self.edges[1:-1], log_scale)
        is_inside = (log_scale >= self.edges[0]) & (log_scale <= self.edges[-1])
        with np.errstate(divide="ignore"):
            log_density = np.log(self.share / (self.edges[1] - self.edges[0]))
        return np.where(is_inside, log_density[cell], -np.inf)

    @property
    def typical(self) -> float:
        """The step scale at the posterior mean of its log."""
        return math.exp(float(self.share @ (self.edges[:-1] + self.edges[1:]) / 2))

    def ranges(self, ends: tuple[float, ...]) -> "list[tuple[float, StepScales]]":
        """Split into ranges that end near given probabilities, each with its own probability."""
        middle = np.cumsum(self.share) - self.share / 2
        bounds = [0, *np.searchsorted(middle, ends).tolist(), len(self.share)]
        split = []
        for first, last in pairwise(bounds):
            if last > first:
                share = self.share[first:last]
                part = StepScales(
                    self.edges[first : last + 1],
                    share / share.sum(),
                    self.log_hazard[:, first:last],
                )
                split.append((float(share.sum()), part))
        return split

    def draw(
        self, draws: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
        """Draw log step scales, evenly over probability, in random order.

        Returns
        -------
        log_scale, cell, log_density : (draws,) ndarray
        """
        points = (np.arange(draws) + rng.uniform(size=draws)) / draws
        reached = np.concatenate([[0.0], np.cumsum(self.share)])
        cell = np.minimum(np.searchsorted(reached[1:], points), len(self.share) - 1)
        width = self.edges[1] - self.edges[0]
        within = np.clip((points - reached[cell]) / self.share[cell], 0.0, 1.0)
        order = rng.permutation(draws)
        log_density = np.log(self.share / width)
        return (self.edges[cell] + width * within)[order], cell[order], log_density[cell[order]]


def step_scale_edges(prior: RandomWalk) -> NDArray[np.float64]:
    """Ends of the cells of a walk's log step scale, shape (cells + 1,)."""
    sd = prior.step_scale_sd
    return np.linspace(
        math.log(SMALLEST_STEP_SCALE * min(1.0, sd)),
        math.log(LARGEST_STEP_SCALE * sd),
        SCALE_CELLS + 1,
    )


def step_scale_shares(
    weighted: NDArray, cases: WalkCases
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Approximate probabilities of the cells of the log step scale, effects held at one value.

    Parameters
    ----------
    weighted : (intervals, ...) ndarray
        Exposures weighted by relative hazards.
    cases : WalkCases
        With a last axis of length 1, for the cells.

    Returns
    -------
    share : (..., cells) ndarray
        Adding up to 1; not a number where no cell has a finite density.
    log_hazard : (intervals, ..., cells) ndarray
        Modes that belong to the cells' middles.
    """
    edges = step_scale_edges(cases.prior)
    log_scale = (edges[:-1] + edges[1:]) / 2
    weighted = weighted[..., None]
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        start = np.log((cases.events + 1) / (weighted + np.exp(-cases.log_rate)))
        start, weighted = (np.repeat(each, SCALE_CELLS, axis=-1) for each in (start, weighted))
        walk = fit_walk(start, weighted, log_scale, cases, SEARCH_STEPS)
        # Laplace's approximation of the density of the step scale
        evidence = walk_log_target(walk.centre, weighted, log_scale, cases)
        evidence -= walk.log_density_at_centre
        evidence = np.where(np.isfinite(evidence), evidence, -np.inf)
        share = np.exp(evidence - evidence.max(axis=-1, keepdims=True))
        is_possible = share > 0
        share = (1 - DEFENSIVE_SHARE) * share / share.sum(axis=-1, keepdims=True)
        share += DEFENSIVE_SHARE / is_possible.sum(axis=-1, keepdims=True)
        share = np.where(is_possible, share, 0.0)
        return share / share.sum(axis=-1, keepdims=True), walk.centre


def step_scales(
    weighted: NDArray, inputs: "PreparedCohort", sums: "CohortSums"
) -> StepScales | None:
    """Approximate the posterior of a random walk's step scale, effects held at one value.

    Parameters
    ----------
    weighted : (intervals,) ndarray
        Exposures weighted by relative hazards.
    inputs : PreparedCohort
        With a random walk.
    sums : CohortSums
        Of `inputs`.

    Returns
    -------
    StepScales or None
        None where no cell has a finite density.
    """
    cases = WalkCases.of(inputs, sums)
    share, log_hazard = step_scale_shares(weighted, cases)
    if not np.isfinite(share).all():
        return None
    return StepScales(step_scale_edges(cases.prior), share, log_hazard)


def draw_walks(
    weighted: NDArray,
    scales: StepScales,
    inputs: "PreparedCohort",
    sums: "CohortSums",
    rng: np.random.Generator | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Draw step scales and walks of log-hazards given the effects, in mirrored pairs.

    Parameters
    ----------
    weighted : (2 x pairs, intervals) ndarray
        Exposures weighted by relative hazards; draw i and draw pairs + i make a pair.
    scales : StepScales
        Approximate posterior of the step scale.
    inputs, sums
        The cohort.
    rng : numpy.random.Generator or None
        Source of randomness; without it, the step scale is the typical one and every walk is put
        where its distribution is centred.

    Returns
    -------
    log_hazard : (draws, intervals) ndarray
    log_scale : (draws,) ndarray
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood of the hazards' part / density of the draw).
    """
    pairs = len(weighted) // 2
    if rng is None:
        log_scale = np.full(pairs, math.log(scales.typical))
        cell = np.searchsorted(scales.edges[1:-1], log_scale)
        log_density, steps = np.zeros(pairs), SEARCH_STEPS
        normal = np.zeros((weighted.shape[1], pairs))
    else:
        log_scale, cell, log_density = scales.draw(pairs, rng)
        steps = DRAW_STEPS
        normal = rng.standard_normal((weighted.shape[1], pairs))
    log_scale, log_density = np.tile(log_scale, 2), np.tile(log_density, 2)
    cell = np.tile(cell, 2)
    normal = np.concatenate([normal, -normal], axis=1)
    log_hazard, log_ratio = walk_draws(
        weighted, log_scale, cell, normal, steps, scales, inputs, sums
    )
    return log_hazard, log_scale, log_ratio - log_density


def walks_given(
    weighted: NDArray,
    log_scale: NDArray,
    normal: NDArray,
    scales: StepScales,
    inputs: "PreparedCohort",
    sums: "CohortSums",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw walks of log-hazards given the effects and the step scales.

    Parameters
    ----------
    weighted : (draws, intervals) ndarray
        Exposures weighted by relative hazards.
    log_scale : (draws,) ndarray
        Within the cells of `scales`.
    normal : (intervals, draws) ndarray
        Standard normals.
    scales : StepScales
        Whose modes the walks are near.
    inputs, sums
        The cohort.

    Returns
    -------
    log_hazard : (draws, intervals) ndarray
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood of the hazards' part / density of the walk).
    """
    cell = np.searchsorted(scales.edges[1:-1], log_scale)
    return walk_draws(weighted, log_scale, cell, normal, DRAW_STEPS, scales, inputs, sums)


def walk_draws(
    weighted: NDArray,
    log_scale: NDArray,
    cell: NDArray[np.intp],
    normal: NDArray,
    steps: int,
    scales: StepScales,
    inputs: "PreparedCohort",
    sums: "CohortSums",
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw walks as `walks_given` does, the cells being known."""
    transposed = np.ascontiguousarray(weighted.T)
    # the cell's mode, moved to the level at which as many events are expected as there were
    expected = (transposed * np.exp(scales.log_hazard)[:, cell]).sum(axis=0)
    start = scales.log_hazard[:, cell] + np.log(sums.events.sum() / expected)
    cases = WalkCases.of(inputs, sums)
    walk = fit_walk(start, transposed, log_scale, cases, steps)
    log_hazard, log_walk = walk.draw(normal)
    log_ratio = walk_log_target(log_hazard, transposed, log_scale, cases)
    return log_hazard.T, log_ratio - log_walk
