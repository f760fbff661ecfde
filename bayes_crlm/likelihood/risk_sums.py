"""Exposures weighted by relative hazards, for many cohorts and many draws, as matrix products.

Given the effects, the likelihood knows a cohort only by the exposure of every interval weighted by
relative hazards. Cohorts with the same number of rows are stacked; one cohort is a stack of one.
Rows come in blocks of bounded size, each with its own rows x intervals table of exposures: tables
of small cohorts are kept, a large one is never spread as a whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import FollowUp

if TYPE_CHECKING:
    from bayes_crlm.likelihood.survival_data import SurvivalData

__all__ = ["RiskBlock", "RiskSums", "row_exposures", "taken_cohorts"]

# entries of a table of exposures that is kept, and of a table of draws x rows that stays in cache
BLOCK_ENTRIES = 2**20
# of a cohort that takes several blocks: a block's table stays in cache while draws go by
ENTRIES_IN_CACHE = 2**16
DRAW_ENTRIES = 2**17


@dataclass(frozen=True, eq=False)
class RiskBlock:
    """Some rows of every cohort.

    Attributes
    ----------
    design : (cohorts, rows, terms) ndarray
        Columns on the sampling scale.
    exposure : (cohorts, rows, intervals) ndarray
        Time at risk in every interval, of all rows of the cohort that stand behind a row.
    """

    design: NDArray[np.float64]
    exposure: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RiskSums:
    """What densities need of cohorts with the same number of rows, intervals and terms.

    Attributes
    ----------
    design : (cohorts, rows, terms) ndarray
        Columns on the sampling scale.
    follow_up : FollowUp
        Time at risk; the first axis of all its arrays is the cohorts'.
    events : (cohorts, intervals) ndarray
        Events in every interval.
    event_design : (cohorts, terms) ndarray
        Sum of the design's rows over events.
    """

    design: NDArray[np.float64]
    follow_up: FollowUp
    events: NDArray[np.float64]
    event_design: NDArray[np.float64]

    @classmethod
    def of(cls, data: "SurvivalData") -> "RiskSums":
        """Take one cohort, pooled where that saves rows."""
        follow_up = data.follow_up
        arrays = {name: getattr(follow_up, name)[None] for name in FOLLOW_UP_ARRAYS}
        return cls(
            data.design[None],
            replace(follow_up, **arrays),
            data.events_per_interval[None],
            data.event_design[None],
        )

    def __len__(self) -> int:
        return len(self.events)

    def part(self, which: NDArray[np.intp]) -> "RiskSums":
        """Those of some cohorts, which may be repeated."""
        arrays = {
            name: taken_cohorts(getattr(self.follow_up, name), which) for name in FOLLOW_UP_ARRAYS
        }
        found = RiskSums(
            taken_cohorts(self.design, which),
            replace(self.follow_up, **arrays),
            taken_cohorts(self.events, which),
            taken_cohorts(self.event_design, which),
        )
        if self.only_block is not None:
            exposure = taken_cohorts(self.only_block.exposure, which)
            found.__dict__["only_block"] = RiskBlock(found.design, exposure)
        else:
            found.__dict__["only_block"] = None
        return found

    @cached_property
    def only_block(self) -> RiskBlock | None:
        """All rows as one block, where a cohort is small enough for that to be kept."""
        n_rows, n_intervals = self.design.shape[1], self.events.shape[1]
        if n_rows * n_intervals > BLOCK_ENTRIES:
            return None
        return RiskBlock(self.design, row_exposures(self.follow_up, slice(None)))

    def blocks(self) -> Iterator[RiskBlock]:
        """Go through all rows in blocks."""
        if self.only_block is not None:
            yield self.only_block
            return
        size = max(1, ENTRIES_IN_CACHE // self.events.shape[1])
        for first in range(0, self.design.shape[1], size):
            rows = slice(first, first + size)
            yield RiskBlock(self.design[:, rows], row_exposures(self.follow_up, rows))

    def weighted_exposure(self, effect: NDArray) -> NDArray[np.float64]:
        """Exposure of every interval weighted by relative hazards, shape (cohorts, intervals).

        Parameters
        ----------
        effect : (cohorts, terms) ndarray
            One value for each cohort.
        """
        total = np.zeros((len(effect), self.events.shape[1]))
        for block in self.blocks():
            relative = np.exp(block.design @ effect[:, :, None])
            total += (relative.transpose(0, 2, 1) @ block.exposure)[:, 0]
        return total

    def paired_exposures(
        self, centre: NDArray, deviation: NDArray, pairs: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Weighted exposures at centres plus, and at centres minus, each deviation.

        One exponential serves both, since exp(-x) = 1 / exp(x). Cohort by cohort, and some pairs at
        a time, so that the table of rows x pairs stays in a processor's cache.

        Parameters
        ----------
        centre : (cohorts, parts, terms) ndarray
            Effects.
        deviation : (cohorts, pairs, terms) ndarray
            What is added and subtracted, part after part.
        pairs : (cohorts, parts) ndarray of int
            How many belong to each part.

        Returns
        -------
        (intervals, cohorts, 2, pairs) ndarray
        """
        count, n_pairs, _ = deviation.shape
        total = np.empty((self.events.shape[1], count, 2, n_pairs))
        ends = np.cumsum(pairs, axis=1).tolist()
        for number, block in enumerate(self.blocks()):
            size = max(1, DRAW_ENTRIES // block.design.shape[1])
            table = np.empty((block.design.shape[1], min(size, n_pairs)))
            for k in range(count):
                at_centre = np.exp(block.design[k] @ centre[k].T)
                weighted = [(block.exposure[k] * each[:, None]).T for each in at_centre.T]
                for first in range(0, n_pairs, size):
                    here = slice(first, min(first + size, n_pairs))
                    relative = table[:, : here.stop - first]
                    np.matmul(block.design[k], deviation[k, here].T, out=relative)
                    np.exp(relative, out=relative)
                    found = total[:, k, 0, here]
                    multiply(weighted, relative, ends[k], first, found, number > 0)
                    np.reciprocal(relative, out=relative)
                    found = total[:, k, 1, here]
                    multiply(weighted, relative, ends[k], first, found, number > 0)
        return total


def multiply(
    weighted: list[NDArray[np.float64]],
    relative: NDArray,
    ends: list[int],
    start: int,
    total: NDArray,
    is_added: bool,
) -> None:
    """Multiply each part's weighted exposures by the relative hazards of its own pairs.

    Parameters
    ----------
    weighted : list of (intervals, rows) ndarray
        Of every part.
    relative : (rows, pairs) ndarray
        Of some pairs.
    ends : list of int
        Where the pairs of each part end among all.
    start : int
        The first of these pairs among all.
    total : (intervals, pairs) ndarray
        Where the products go.
    is_added : bool
        Whether they are added to what is there.
    """
    first = 0
    for each, end in zip(weighted, ends, strict=True):
        last = min(end - start, relative.shape[1])
        if last <= first:
            continue
        if is_added:
            total[:, first:last] += each @ relative[:, first:last]
        else:
            np.matmul(each, relative[:, first:last], out=total[:, first:last])
        first = last


FOLLOW_UP_ARRAYS = (
    "width",
    "stop_interval",
    "stop_within",
    "entry_interval",
    "entry_within",
    "count",
)


def taken_cohorts(values: NDArray, which: NDArray[np.intp]) -> NDArray:
    """Take some cohorts along the first axis; of a single one, without a copy."""
    if len(values) == 1 or values.strides[0] == 0:
        return np.broadcast_to(values[:1], (len(which), *values.shape[1:]))
    return values[which]


def row_exposures(follow_up: FollowUp, rows: slice | NDArray[np.intp]) -> NDArray[np.float64]:
    """Time at risk of some rows in every interval, shape (..., rows, intervals).

    Summed over the rows of the cohort that stand behind a row.
    """
    interval, width = np.arange(follow_up.width.shape[-1]), follow_up.width[..., None, :]

    def time_up_to(position: NDArray, within: NDArray) -> NDArray:
        position, within = position[..., rows, None], within[..., rows, None]
        count = follow_up.count[..., rows, None]
        # a pooled row's times within its interval are sums already
        before = np.where(interval < position, count * width, 0.0)
        return np.where(interval == position, within, before)

    total = time_up_to(follow_up.stop_interval, follow_up.stop_within)
    if follow_up.is_delayed:
        total -= time_up_to(follow_up.entry_interval, follow_up.entry_within)
    return total
