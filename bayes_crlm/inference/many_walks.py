"""Random walks of many cohorts given the effects, and the ranges of their step scales.

The method is that of `bayes_crlm.inference.step_scales`, with the same functions: cases
are cohorts x cells of the step scale, then cohorts x draws. Effects depend a little on the step
scale, so that small and large ones each have a mode of their own.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.conditional_walks import Redraw, WalkCases, fit_walk, walk_log_target
from bayes_crlm.inference.many_modes import Modes, Targets, find_modes
from bayes_crlm.inference.many_proposals import of_pairs
from bayes_crlm.inference.proposal_parts import FIRST_RISE_TOLERANCE, RANGE_ENDS
from bayes_crlm.inference.step_scales import (
    DRAW_STEPS,
    SEARCH_STEPS,
    step_scale_edges,
    step_scale_shares,
)

__all__ = ["BlockStepScales", "BlockWalks", "find_step_scales", "modes_of_ranges"]


@dataclass(frozen=True, eq=False)
class BlockStepScales:
    """Approximate posteriors of many log step scales, constant within narrow cells.

    Attributes
    ----------
    edges : (cells + 1,) ndarray
        Ends of the cells, the same for all cohorts.
    share : (cohorts, cells) ndarray
        Probabilities of the cells; not a number where there is no approximation.
    log_hazard : (intervals, cohorts, cells) ndarray
        Modes that belong to the cells' middles.
    bounds : (cohorts, ranges + 1) ndarray of int
        Where each range's cells begin and the last one's end. Ranges may be empty.
    """

    edges: NDArray[np.float64]
    share: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    bounds: NDArray[np.intp]

    def part(self, which: NDArray[np.intp]) -> "BlockStepScales":
        """Those of some cohorts."""
        log_hazard = self.log_hazard[:, which]
        return BlockStepScales(self.edges, self.share[which], log_hazard, self.bounds[which])

    @property
    def exists(self) -> NDArray[np.bool]:
        """Whether there is an approximation, shape (cohorts,)."""
        return np.isfinite(self.share).all(axis=1)

    @property
    def reached(self) -> NDArray[np.float64]:
        """Probability below each end of a cell, shape (cohorts, cells + 1)."""
        below = np.zeros((len(self.share), len(self.edges)))
        np.cumsum(self.share, axis=1, out=below[:, 1:])
        return below

    @property
    def probability(self) -> NDArray[np.float64]:
        """Of every range, shape (cohorts, ranges)."""
        return np.diff(np.take_along_axis(self.reached, self.bounds, axis=1), axis=1)

    @property
    def typical(self) -> NDArray[np.float64]:
        """The step scale at the mean of its log in every range, shape (cohorts, ranges).

        An empty range, in which nothing will be drawn, is given that of all cells.
        """
        middle = (self.edges[:-1] + self.edges[1:]) / 2
        cell, first, last = np.arange(len(middle)), self.bounds[:, :-1], self.bounds[:, 1:]
        is_here = (cell >= first[:, :, None]) & (cell < last[:, :, None])
        is_here |= (first == last)[:, :, None]
        share = np.where(is_here, self.share[:, None], 0.0)
        return np.exp((share * middle).sum(axis=2) / share.sum(axis=2))

    def pairs(self, total: int) -> NDArray[np.intp]:
        """Share out pairs of draws to the ranges, shape (cohorts, ranges)."""
        left = np.full(len(self.share), total)
        found = np.zeros((len(self.share), self.bounds.shape[1] - 1), dtype=np.intp)
        for r, probability in enumerate(self.probability[:, :-1].T):
            is_there = self.bounds[:, r + 1] > self.bounds[:, r]
            # not a number: a cohort without an approximation
            wanted = np.rint(total * np.where(np.isfinite(probability), probability, 0.0))
            here = np.minimum(left, np.maximum(wanted.astype(np.intp), 1))
            found[:, r] = np.where(is_there, here, 0)
            left -= found[:, r]
        found[:, -1] = left
        return found

    def draw(
        self, pairs: NDArray[np.intp], rngs: list[np.random.Generator]
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
        """Draw log step scales, evenly over the probability of every range.

        Parameters
        ----------
        pairs : (cohorts, ranges) ndarray of int
            How many in each range; their sum is the same for all cohorts.
        rngs : list of numpy.random.Generator
            One for each cohort.

        Returns
        -------
        log_scale, cell, log_density : (cohorts, all pairs) ndarray
            The density is that within the draw's range. Draws of a range increase: they are
            paired with effects that have no order.
        """
        count, total = len(pairs), int(pairs[0].sum())
        reached = self.reached
        points = np.empty((count, total))
        for k, rng in enumerate(rngs):
            rng.random(out=points[k])
        points += np.arange(total) - of_pairs(np.cumsum(pairs, axis=1) - pairs, pairs)
        points /= of_pairs(pairs, pairs)
        bounds = np.take_along_axis(reached, self.bounds, axis=1)
        probability = of_pairs(np.diff(bounds, axis=1), pairs)
        points *= probability
        points += of_pairs(bounds[:, :-1], pairs)
        cell = np.empty((count, total), dtype=np.intp)
        for k in range(count):
            cell[k] = np.searchsorted(reached[k, 1:], points[k])
        # rounding may reach over a range's ends
        first, last = of_pairs(self.bounds[:, :-1], pairs), of_pairs(self.bounds[:, 1:], pairs) - 1
        cell = np.minimum(np.maximum(cell, first), last)
        share, width = taken(self.share, cell), self.edges[1] - self.edges[0]
        within = (points - taken(reached, cell)) / share
        log_scale = self.edges[cell] + width * np.clip(within, 0.0, 1.0)
        return log_scale, cell, np.log(share / (width * probability))


def taken(values: NDArray, place: NDArray[np.intp]) -> NDArray:
    """Take each cohort's values at its own places: (..., cohorts, n) to (..., cohorts, places)."""
    count, size = values.shape[-2:]
    flat = values.reshape(*values.shape[:-2], count * size)
    return flat.take(place + size * np.arange(count)[:, None], axis=-1)


def find_step_scales(targets: Targets) -> tuple[BlockStepScales, Modes]:
    """Approximate the posterior of every cohort's step scale, effects held near their modes.

    Parameters
    ----------
    targets : Targets
        With a random walk over more than one interval.

    Returns
    -------
    BlockStepScales, Modes
        The modes at one step scale, which the effects were held at.
    """
    sums = targets.sums
    modes = find_modes(targets.given_first_step_scale(), rise_tolerance=FIRST_RISE_TOLERANCE)
    cases = walk_cases(targets, cell_axes=1)
    weighted = np.ascontiguousarray(sums.weighted_exposure(modes.effect).T)
    share, log_hazard = step_scale_shares(weighted, cases)
    share[~modes.converged] = np.nan
    middle = np.cumsum(share, axis=1) - share / 2
    inner = [(middle < end).sum(axis=1) for end in RANGE_ENDS]
    none = np.zeros(len(share), dtype=np.intp)
    bounds = np.stack([none, *inner, none + share.shape[1]], axis=1)
    edges = step_scale_edges(cases.prior)
    return BlockStepScales(edges, share, log_hazard, bounds), modes


def modes_of_ranges(targets: Targets, scales: BlockStepScales, near: Modes) -> Modes:
    """Find the mode for the typical step scale of every range of every cohort.

    Parameters
    ----------
    targets : Targets
        The cohorts.
    scales : BlockStepScales
        Of all of them.
    near : Modes
        Where to start.

    Returns
    -------
    Modes
        The ranges of the first cohort, then of the next.
    """
    typical = scales.typical
    of_range = np.repeat(np.arange(len(typical)), typical.shape[1])
    given = replace(targets.part(of_range), step_scale=typical.ravel())
    return find_modes(given, start=(near.log_hazard[of_range], near.effect[of_range]))


def walk_cases(targets: Targets, cell_axes: int) -> WalkCases:
    """Cases of many cohorts, with axes of length 1 for cells or draws."""
    sums, prior, axes = targets.sums, targets.walk_prior, (1,) * cell_axes

    def by_interval(values: NDArray) -> NDArray[np.float64]:
        return np.ascontiguousarray(values.T).reshape(*values.T.shape, *axes)

    return WalkCases(
        prior=prior,
        events=by_interval(sums.events),
        log_rate=sums.log_rate.reshape(len(sums.events), *axes),
        step_variances=by_interval(prior.step_variances(sums.cutpoints, sums.earliest)),
    )


def redraw_from_each(rngs: list[np.random.Generator]) -> Redraw:
    """Draw further normals of every cohort from its own source."""

    def redraw(places: NDArray[np.bool]) -> NDArray[np.float64]:
        counts = places.reshape(len(rngs), -1).sum(axis=1).tolist()
        return np.concatenate(
            [rng.standard_normal(count) for rng, count in zip(rngs, counts, strict=True)]
        )

    return redraw


@dataclass(frozen=True, eq=False)
class BlockWalks:
    """Walks of log-hazards and their step scales, drawn given the effects.

    Attributes
    ----------
    scales : BlockStepScales
        Approximate posteriors of the step scales.
    targets : Targets
        The cohorts, with a walk of their log-hazards.
    """

    scales: BlockStepScales
    targets: Targets

    def part(self, which: NDArray[np.intp]) -> "BlockWalks":
        """Those of some cohorts."""
        return BlockWalks(self.scales.part(which), self.targets.part(which))

    def log_ratio(
        self, weighted: NDArray, pairs: NDArray[np.intp], rngs: list[np.random.Generator] | None
    ) -> NDArray[np.float64]:
        """Draw walks in mirrored pairs, with the log of (prior x likelihood / their density).

        As `bayes_crlm.inference.many_hazards.HazardsGivenEffects` says.
        """
        n_intervals, count, _, total = weighted.shape
        if rngs is None:
            log_scale = of_pairs(np.log(self.scales.typical), pairs)
            cell = np.searchsorted(self.scales.edges[1:-1], log_scale)
            log_density, steps = np.zeros((count, total)), SEARCH_STEPS
            normal, redraw = np.zeros((count, n_intervals, total)), None
        else:
            log_scale, cell, log_density = self.scales.draw(pairs, rngs)
            steps = DRAW_STEPS
            normal = np.empty((count, n_intervals, total))
            for k, rng in enumerate(rngs):
                rng.standard_normal(out=normal[k])
            redraw = redraw_from_each(rngs)
        normal = normal.transpose(1, 0, 2)
        cases = walk_cases(self.targets, cell_axes=2)
        start = taken(self.scales.log_hazard, cell)[:, :, None, :]
        # the cell's mode, moved to the level at which as many events are expected as there were
        expected = (weighted * np.exp(start)).sum(axis=0)
        start = start + np.log(cases.events.sum(axis=0) / expected)
        log_scale = log_scale[:, None, :]
        walk = fit_walk(start, weighted, log_scale, cases, steps)
        log_hazard, log_walk = walk.draw(np.stack([normal, -normal], axis=2), redraw)
        log_ratio = walk_log_target(log_hazard, weighted, log_scale, cases)
        log_ratio -= log_walk
        return log_ratio - log_density[:, None, :]
