"""Cohorts of one shape, stacked: what densities need of them.

Cohorts with the same number of rows are stacked; one cohort is a stack of one. A row's time at risk
is never spread over a rows x intervals table but where a few rows are asked for.
"""

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import FollowUp, exposure_per_cell
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.words.records import record


@record(eq=False)
class RiskSums(Stacked):
    """What densities need of cohorts with the same number of rows, intervals and terms.

    Attributes
    ----------
    design : (cohorts, rows, terms) ndarray
        Columns on the sampling scale.
    follow_up : FollowUp
        Time at risk; the first axis of all its arrays is the cohorts'.
    events : (cohorts, strata x intervals) ndarray
        Events in every interval of every stratum.
    event_design : (cohorts, effects) ndarray
        Slope of the events' log hazards with regard to the effects, summed.
    stop_of_class : tuple of int
        Where the rows of each class end, which follow one another.
    stratum_of_class : tuple of int
        Whose hazards each class has.
    loading : (classes, intervals, effects - terms) ndarray or None
        How much of the effects that come after the design's terms is added to the log-hazards of a
        class in an interval.
    """

    design: NDArray[np.float64]
    follow_up: FollowUp
    events: NDArray[np.float64]
    event_design: NDArray[np.float64]
    stop_of_class: tuple[int | None, ...] = (None,)
    stratum_of_class: tuple[int, ...] = (0,)
    loading: NDArray[np.float64] | None = None

    shared: ClassVar[tuple[str, ...]] = ("stop_of_class", "stratum_of_class", "loading")

    @classmethod
    def of(cls, data: SurvivalData, loading: NDArray | None = None) -> "RiskSums":
        """Take one cohort; rows of one class may lie apart there."""
        if data.n_classes > 1:
            data = data.rows(np.argsort(data.row_class, kind="stable"))
        cells, strata = data.events_per_cell, data.stratum_of_class
        events = np.zeros((int(strata.max()) + 1, data.n_intervals))
        np.add.at(events, strata, cells)
        event_design = data.event_design
        if loading is not None:
            of_cells = np.einsum("cj,cjm->m", cells, loading)
            event_design = np.concatenate([event_design, of_cells])
        stops = np.cumsum(np.bincount(data.row_class, minlength=data.n_classes)).tolist()
        return cls(
            data.design[None],
            data.follow_up.as_stack(),
            events.reshape(1, -1),
            event_design[None],
            tuple(stops),
            tuple(strata.tolist()),
            loading,
        )

    @classmethod
    def stacked(cls, cohorts: "Sequence[RiskSums]") -> "RiskSums":
        """Put cohorts of one shape, of one class each, one after the other."""

        def joined(*arrays: NDArray) -> NDArray:
            # of the same cohort each is a view of one array
            if all(np.may_share_memory(each, arrays[0]) for each in arrays):
                return np.broadcast_to(arrays[0], (len(cohorts), *arrays[0].shape[1:]))
            return np.concatenate(arrays)

        return cls.combined(joined, cohorts)

    def __len__(self) -> int:
        return len(self.events)

    def repeated(self, which: NDArray[np.intp]) -> "RiskSums":
        """Those of some cohorts, which may be repeated."""
        return self.combined(lambda values: taken_cohorts(values, which), [self])

    @property
    def n_terms(self) -> int:
        """Columns of each design."""
        return self.design.shape[2]

    @property
    def n_strata(self) -> int:
        """Strata, each with hazards of its own."""
        return self.events.shape[1] // self.follow_up.width.shape[1]

    def weighted_exposure(self, effect: NDArray) -> NDArray[np.float64]:
        """Exposures weighted by relative hazards, shape (cohorts, strata x intervals).

        Effects that change with time are relative hazards too.

        Parameters
        ----------
        effect : (cohorts, terms) ndarray
            One value for each cohort.
        """
        n_rows, n_classes = self.design.shape[1], len(self.stop_of_class)
        ends = [n_rows if end is None else end for end in self.stop_of_class]
        row_class = np.searchsorted(ends, np.arange(n_rows), side="right")
        total = np.zeros((len(self), self.n_strata, self.follow_up.width.shape[1]))
        for k, each in enumerate(effect):
            relative = np.exp(self.design[k] @ each[: self.n_terms])
            cells = exposure_per_cell(self.follow_up.part(k), relative, row_class, n_classes)
            if self.loading is not None:
                cells = cells * np.exp(self.loading @ each[self.n_terms :])
            np.add.at(total[k], np.array(self.stratum_of_class), cells)
        return total.reshape(len(self), -1)


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
