"""Exposures weighted by relative hazards, for many draws at once, as matrix products.

Given the effects, the likelihood knows a cohort only by the exposure of every interval weighted by
relative hazards. Rows come in blocks of bounded size, each with its own rows x intervals table of
exposures: a small cohort is one block that is kept, a large one is never spread as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayes_crlm.likelihood.follow_up import FollowUp
    from bayes_crlm.likelihood.survival_data import SurvivalData

__all__ = ["CohortSums", "RiskBlock", "row_exposures"]

# entries of a block's table of exposures, and of a table of draws x rows that stays in cache
BLOCK_ENTRIES = 2**20
# of a cohort that takes several blocks: a block's table stays in cache while draws go by
ENTRIES_IN_CACHE = 2**16
DRAW_ENTRIES = 2**17


@dataclass(frozen=True)
class RiskBlock:
    """Some rows of a cohort.

    Attributes
    ----------
    design : (rows, terms) ndarray
        Columns on the sampling scale.
    exposure : (rows, intervals) ndarray
        Time at risk in every interval, of all rows of the cohort that stand behind a row.
    """

    design: NDArray[np.float64]
    exposure: NDArray[np.float64]


@dataclass(frozen=True)
class CohortSums:
    """What the posterior's density needs of a cohort.

    Attributes
    ----------
    data : SurvivalData
        The cohort in compact form, pooled where that saves rows.
    """

    data: "SurvivalData"

    @cached_property
    def events(self) -> NDArray[np.float64]:
        """Events in every interval, shape (intervals,)."""
        return self.data.events_per_interval

    @cached_property
    def event_design(self) -> NDArray[np.float64]:
        """Sum of the design's rows over events, shape (terms,)."""
        return self.data.event_design

    @cached_property
    def only_block(self) -> RiskBlock | None:
        """The whole cohort as one block, where it is small enough to be kept."""
        n_intervals = len(self.data.follow_up.width)
        if self.data.follow_up.n_rows * n_intervals > BLOCK_ENTRIES:
            return None
        return RiskBlock(self.data.design, row_exposures(self.data.follow_up, slice(None)))

    def blocks(self) -> Iterator[RiskBlock]:
        """Go through all rows in blocks."""
        if self.only_block is not None:
            yield self.only_block
            return
        size = max(1, ENTRIES_IN_CACHE // len(self.data.follow_up.width))
        for first in range(0, self.data.follow_up.n_rows, size):
            rows = slice(first, first + size)
            yield RiskBlock(self.data.design[rows], row_exposures(self.data.follow_up, rows))

    def weighted_exposure(self, effect: NDArray) -> NDArray[np.float64]:
        """Exposure of every interval weighted by relative hazards, shape (intervals,)."""
        total = np.zeros(len(self.data.follow_up.width))
        for block in self.blocks():
            total += np.exp(block.design @ effect) @ block.exposure
        return total

    def weighted_exposures(self, effect: NDArray) -> NDArray[np.float64]:
        """Weighted exposures of many draws of the effects, shape (draws, intervals).

        Parameters
        ----------
        effect : (draws, terms) ndarray
        """
        total = np.zeros((len(effect), len(self.data.follow_up.width)))
        for block in self.blocks():
            size = max(1, DRAW_ENTRIES // len(block.design))
            for first in range(0, len(effect), size):
                relative = effect[first : first + size] @ block.design.T
                np.exp(relative, out=relative)
                total[first : first + len(relative)] += relative @ block.exposure
        return total

    def paired_exposures(self, centre: NDArray, deviation: NDArray) -> NDArray[np.float64]:
        """Weighted exposures at a centre plus, and at the centre minus, each deviation.

        One exponential serves both, since exp(-x) = 1 / exp(x).

        Parameters
        ----------
        centre : (terms,) ndarray
            Effects.
        deviation : (pairs, terms) ndarray
            What is added and subtracted.

        Returns
        -------
        (2 x pairs, intervals) ndarray
            First all sums, then all differences.
        """
        pairs = len(deviation)
        total = np.zeros((2 * pairs, len(self.data.follow_up.width)))
        for block in self.blocks():
            weighted = block.exposure * np.exp(block.design @ centre)[:, None]
            size = max(1, DRAW_ENTRIES // len(weighted))
            for first in range(0, pairs, size):
                relative = deviation[first : first + size] @ block.design.T
                np.exp(relative, out=relative)
                last = first + len(relative)
                total[first:last] += relative @ weighted
                np.reciprocal(relative, out=relative)
                total[pairs + first : pairs + last] += relative @ weighted
        return total


def row_exposures(follow_up: "FollowUp", rows: slice | NDArray[np.intp]) -> NDArray[np.float64]:
    """Time at risk of some rows in every interval, shape (rows, intervals).

    Summed over the rows of the cohort that stand behind a row.
    """
    interval = np.arange(len(follow_up.width))

    def time_up_to(position: NDArray, within: NDArray) -> NDArray:
        position, within = position[rows, None], within[rows, None]
        # a pooled row's times within its interval are sums already
        before = np.where(interval < position, follow_up.count[rows, None] * follow_up.width, 0.0)
        return np.where(interval == position, within, before)

    total = time_up_to(follow_up.stop_interval, follow_up.stop_within)
    if follow_up.is_delayed:
        total -= time_up_to(follow_up.entry_interval, follow_up.entry_within)
    return total
