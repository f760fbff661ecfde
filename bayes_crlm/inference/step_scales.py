"""Walks' step scales: their posteriors on a grid of cells, and draws from ranges of these.

Effects depend a little on the step scale, so that small and large ones each have a mode of their
own: each mode is a part of the proposal, with a range of the step scale.

References
----------
Rue, Martino & Chopin (2009), J R Stat Soc B 71:319-392 (a grid over the scale).
"""

import math
from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.hazards_given_effects import walks_at_scales
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.words.records import record

# below the smallest share of its prior's scale, steps cannot be told from none
SMALLEST_STEP_SCALE, LARGEST_STEP_SCALE = 0.001, 4.5
SCALE_CELLS = 64
# of a cell's share, so that none in reach is left out
DEFENSIVE_SHARE = 0.02
# the ranges below and above this probability have modes of their own
RANGE_ENDS = (0.2,)


@record(eq=False)
class StepScales(Stacked):
    """Approximate posteriors of log step scales, constant within narrow cells.

    Attributes
    ----------
    edges : (cells + 1,) ndarray
        Ends of the cells, the same for all cohorts.
    share : (cohorts, parts, cells) ndarray
        Probabilities of the cells within each part's range, which add up to 1; 0 outside of it, and
        not a number where there is no approximation.
    probability : (cohorts, parts) ndarray
        Of each part's range; 0 where it is empty.
    log_hazard : (cohorts, modes, cells, intervals) ndarray
        Log-hazards that belong to the cells' middles, effects held at each of some modes.
    mode_of : (parts,) ndarray of int
        Which of the modes each part belongs to.
    log_evidence : (cohorts, modes) ndarray
        Log of the density of events and of the effects of each mode, hazards and step scale summed
        out.
    """

    edges: NDArray[np.float64]
    share: NDArray[np.float64]
    probability: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    mode_of: NDArray[np.intp]
    log_evidence: NDArray[np.float64]

    shared: ClassVar[tuple[str, ...]] = ("edges", "mode_of")

    def parts(self, which: NDArray[np.intp]) -> "StepScales":
        """Some of the parts, each with a mode of its own."""
        modes = self.mode_of[which]
        return replace(
            self,
            share=self.share[:, which],
            probability=self.probability[:, which],
            log_hazard=self.log_hazard[:, modes],
            mode_of=np.arange(len(which)),
            log_evidence=self.log_evidence[:, modes],
        )

    @classmethod
    def side_by_side(cls, parts: "list[StepScales]") -> "StepScales":
        """Put parts with a mode each side by side."""
        return replace(cls.concatenated(parts, axis=1), mode_of=np.arange(len(parts)))

    @property
    def width(self) -> float:
        """Of every cell."""
        return float(self.edges[1] - self.edges[0])

    @property
    def typical(self) -> NDArray[np.float64]:
        """The step scale at the mean of its log in every range, shape (cohorts, parts)."""
        return np.exp(self.share @ ((self.edges[:-1] + self.edges[1:]) / 2))

    def cell_of(self, log_scale: NDArray) -> NDArray[np.intp]:
        """Find the cells of log step scales."""
        return np.searchsorted(self.edges[1:-1], log_scale)

    def log_densities(self, log_scale: NDArray) -> NDArray[np.float64]:
        """Log densities of log step scales (cohorts, draws) under every part's range.

        Returns
        -------
        (cohorts, parts, draws) ndarray
        """
        cell = self.cell_of(log_scale)[:, None]
        with np.errstate(divide="ignore"):
            return np.log(np.take_along_axis(self.share, cell, axis=2) / self.width)


def step_scale_edges(prior: WalkPrior) -> NDArray[np.float64]:
    """Ends of the cells of a walk's log step scale, shape (cells + 1,)."""
    sd = prior.step_scale_sd
    return np.linspace(
        math.log(SMALLEST_STEP_SCALE * min(1.0, sd)),
        math.log(LARGEST_STEP_SCALE * sd),
        SCALE_CELLS + 1,
    )


def step_scales(targets: Targets, effect: NDArray) -> StepScales:
    """Approximate the posteriors of walks' step scales, effects held at some values.

    Parameters
    ----------
    targets : Targets
        With walks.
    effect : (cohorts, modes, terms) ndarray
        Where effects are held.

    Returns
    -------
    StepScales
        Of each mode all ranges, one part each.
    """
    count, modes, _ = effect.shape
    if not isinstance(targets.baseline, WalkPrior):
        raise TypeError("the log-hazards are not a walk")
    edges = step_scale_edges(targets.baseline)
    log_scale = np.broadcast_to((edges[:-1] + edges[1:]) / 2, (count, modes, SCALE_CELLS))
    shape = (count, modes, SCALE_CELLS, -1)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        walk, evidence = walks_at_scales(
            targets,
            np.repeat(effect, SCALE_CELLS, axis=1)[:, None],
            log_scale.reshape(count, -1),
        )
        walk, evidence = walk.reshape(shape), evidence.reshape(shape[:-1])
        evidence = np.where(np.isfinite(evidence), evidence, -np.inf)
        top = evidence.max(axis=-1, keepdims=True)
        share = np.exp(evidence - top)
        log_evidence = top[..., 0] + np.log(share.sum(axis=-1) * (edges[1] - edges[0]))
        is_possible = share > 0
        share = (1 - DEFENSIVE_SHARE) * share / share.sum(axis=-1, keepdims=True)
        share += DEFENSIVE_SHARE / is_possible.sum(axis=-1, keepdims=True)
        share = np.where(is_possible, share, 0.0)
        share /= share.sum(axis=-1, keepdims=True)
        # ranges that end near given probabilities
        middle = np.cumsum(share, axis=-1) - share / 2
        range_of = sum((middle >= end).astype(int) for end in RANGE_ENDS)
        is_in = range_of[..., None, :] == np.arange(len(RANGE_ENDS) + 1)[:, None]
        within = np.where(is_in, share[..., None, :], 0.0).reshape(count, -1, SCALE_CELLS)
        probability = within.sum(axis=-1)
        # an empty range, in which nothing will be drawn, is given all cells
        ranges = len(RANGE_ENDS) + 1
        is_empty = (probability == 0)[..., None]
        within = np.where(is_empty, np.repeat(share, ranges, axis=1), within)
        within /= within.sum(axis=-1, keepdims=True)
    mode_of = np.repeat(np.arange(modes), ranges)
    return StepScales(edges, within, probability, walk, mode_of, log_evidence)
