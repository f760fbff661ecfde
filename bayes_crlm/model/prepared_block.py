"""Prepared cohorts of the same shape as stacked arrays: designs, intervals and follow-up."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.records import record


@record(eq=False)
class CohortBlock(Stacked):
    """Prepared cohorts with the same number of rows, intervals and terms.

    Attributes
    ----------
    position : (cohorts,) ndarray of int
        Their numbers among all cohorts.
    terms, levels : tuple
        Names of the columns; the treatment's levels, the reference first.
    treatment, formula : str
        As in `bayes_crlm.model.design.Design`.
    matrix : (cohorts, rows, terms) ndarray
        Columns in original units.
    center, scale : (cohorts, terms) ndarray
        Of each cohort's columns.
    entry, time, event : (cohorts, rows) ndarray
        Follow-up.
    cutpoints : (cohorts, intervals + 1) ndarray
        Interval ends.
    interval_events : (cohorts, intervals) ndarray
        Events in every interval.
    patient_index : (cohorts, rows) ndarray of int
        Whose row it is.
    log_rate : (cohorts,) ndarray
        log(events / exposure).
    is_from_start : bool
        Whether treatment counts from its start on: rows are split there, and the baseline follows
        the wait (`bayes_crlm.fit.late_start`).
    alone : PreparedCohort or None
        The only cohort, where its model has terms of other kinds.
    """

    position: NDArray[np.intp]
    terms: tuple[str, ...]
    levels: tuple[Any, ...]
    treatment: str
    formula: str
    matrix: NDArray[np.float64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.float64]
    cutpoints: NDArray[np.float64]
    interval_events: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    log_rate: NDArray[np.float64]
    is_from_start: bool = False
    alone: PreparedCohort | None = None

    shared: ClassVar[tuple[str, ...]] = (
        "terms", "levels", "treatment", "formula", "is_from_start", "alone",
    )  # fmt: skip

    def __len__(self) -> int:
        return len(self.position)

    @property
    def n_rows(self) -> int:
        """Rows of each cohort."""
        return self.time.shape[1]

    @property
    def n_intervals(self) -> int:
        """Intervals of each cohort."""
        return self.interval_events.shape[1]

    @property
    def n_treatment_terms(self) -> int:
        """Number of treatment contrasts: the first columns."""
        return len(self.levels) - 1

    @property
    def shape(self) -> tuple[Any, ...]:
        """What cohorts must share to be in one block."""
        columns = (self.terms, self.levels, self.treatment, self.formula)
        apart = None if self.alone is None else int(self.position[0])
        return (self.n_rows, self.n_intervals, *columns, self.is_from_start, apart)

    @property
    def design(self) -> NDArray[np.float64]:
        """Columns on the sampling scale, shape (cohorts, rows, terms)."""
        return (self.matrix - self.center[:, None, :]) / self.scale[:, None, :]

    @property
    def sums(self) -> RiskSums:
        """What densities need of the cohorts."""
        follow_up = cut_follow_up(self.entry, self.time, self.cutpoints)
        design = self.design
        event_design = (self.event[:, None, :] @ design)[:, 0]
        return RiskSums(design, follow_up, self.interval_events, event_design)


def block_of_inputs(
    inputs: PreparedCohort, position: int, *, is_from_start: bool = False
) -> CohortBlock:
    """Make a block of one prepared cohort."""
    design, data, cohort = inputs.design, inputs.data, inputs.cohort
    arrays = {
        "matrix": design.matrix,
        "center": design.center,
        "scale": design.scale,
        "entry": cohort.entry,
        "time": cohort.time,
        "event": data.event,
        "cutpoints": inputs.intervals.cutpoints,
        "interval_events": data.events_per_interval,
        "patient_index": data.patient_index,
        "log_rate": np.asarray(inputs.log_rate),
    }
    return CohortBlock(
        position=np.array([position]),
        terms=design.terms,
        levels=design.levels,
        treatment=design.treatment,
        formula=design.formula,
        is_from_start=is_from_start,
        alone=inputs if inputs.terms else None,
        **{name: np.asarray(each, order="C")[None] for name, each in arrays.items()},
    )
