"""A walk's step scale: its posterior on a grid of cells, and walks drawn with it.

References
----------
Rue, Martino & Chopin (2009), J R Stat Soc B 71:319-392 (a grid over the scale).
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.conditional_walks import (
    Redraw,
    WalkCases,
    fit_walk,
    redraw_from,
    walk_log_target,
)
from bayes_crlm.model.baseline_priors import WalkPrior

if TYPE_CHECKING:
    from bayes_crlm.likelihood.risk_sums import CohortSums
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "DRAW_STEPS",
    "SEARCH_STEPS",
    "StepScales",
    "draw_walks",
    "step_scale_edges",
    "step_scale_shares",
    "step_scales",
    "walks_given",
]

# below the smallest share of its prior's scale, steps cannot be told from none
SMALLEST_STEP_SCALE, LARGEST_STEP_SCALE = 0.001, 4.5
SCALE_CELLS = 64
# of a cell's share, so that none in reach is left out
DEFENSIVE_SHARE = 0.02
SEARCH_STEPS, DRAW_STEPS = 12, 1


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


def step_scale_edges(prior: WalkPrior) -> NDArray[np.float64]:
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
        normal, redraw = np.zeros((weighted.shape[1], pairs)), None
    else:
        log_scale, cell, log_density = scales.draw(pairs, rng)
        steps = DRAW_STEPS
        normal, redraw = rng.standard_normal((weighted.shape[1], pairs)), redraw_from(rng)
    log_scale, log_density = np.tile(log_scale, 2), np.tile(log_density, 2)
    cell = np.tile(cell, 2)
    normal = np.concatenate([normal, -normal], axis=1)
    log_hazard, log_ratio = walk_draws(
        weighted, log_scale, cell, normal, redraw, steps, scales, inputs, sums
    )
    return log_hazard, log_scale, log_ratio - log_density


def walks_given(
    weighted: NDArray,
    log_scale: NDArray,
    scales: StepScales,
    inputs: "PreparedCohort",
    sums: "CohortSums",
    rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw walks of log-hazards given the effects and the step scales.

    Parameters
    ----------
    weighted : (draws, intervals) ndarray
        Exposures weighted by relative hazards.
    log_scale : (draws,) ndarray
        Within the cells of `scales`.
    scales : StepScales
        Whose modes the walks are near.
    inputs, sums
        The cohort.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    log_hazard : (draws, intervals) ndarray
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood of the hazards' part / density of the walk).
    """
    cell = np.searchsorted(scales.edges[1:-1], log_scale)
    normal, redraw = rng.standard_normal(weighted.T.shape), redraw_from(rng)
    return walk_draws(weighted, log_scale, cell, normal, redraw, DRAW_STEPS, scales, inputs, sums)


def walk_draws(
    weighted: NDArray,
    log_scale: NDArray,
    cell: NDArray[np.intp],
    normal: NDArray,
    redraw: Redraw | None,
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
    log_hazard, log_walk = walk.draw(normal, redraw)
    log_ratio = walk_log_target(log_hazard, transposed, log_scale, cases)
    return log_hazard.T, log_ratio - log_walk
