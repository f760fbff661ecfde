"""Prepared cohorts of the same shape as stacked arrays: designs, intervals and follow-up."""

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.follow_up import FollowUp
from bayes_crlm.likelihood.intervals import Intervals
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.design import Design
from bayes_crlm.model.prepared import PreparedCohort

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition

__all__ = ["CohortBlock", "block_of_inputs", "joined"]


@dataclass(frozen=True, eq=False)
class CohortBlock:
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
    stop_interval, stop_within, entry_interval, entry_within : (cohorts, rows) ndarray
        As in `bayes_crlm.likelihood.intervals.FollowUp`.
    patient_index : (cohorts, rows) ndarray of int
        Whose row it is.
    log_rate : (cohorts,) ndarray
        log(events / exposure).
    is_from_start : bool
        Whether treatment counts from its start on: rows are split there, and the baseline follows
        the wait (`bayes_crlm.fit.late_start`).
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
    stop_interval: NDArray[np.intp]
    stop_within: NDArray[np.float64]
    entry_interval: NDArray[np.intp]
    entry_within: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    log_rate: NDArray[np.float64]
    is_from_start: bool = False

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
        return (self.n_rows, self.n_intervals, *columns, self.is_from_start)

    @property
    def width(self) -> NDArray[np.float64]:
        """Interval widths, shape (cohorts, intervals)."""
        return np.diff(self.cutpoints, axis=1)

    @property
    def design(self) -> NDArray[np.float64]:
        """Columns on the sampling scale, shape (cohorts, rows, terms)."""
        return (self.matrix - self.center[:, None, :]) / self.scale[:, None, :]

    @property
    def exposure(self) -> NDArray[np.float64]:
        """Time at risk of every row in every interval, shape (cohorts, rows, intervals)."""
        interval, width = np.arange(self.n_intervals), self.width[:, None, :]

        def time_up_to(position: NDArray, within: NDArray) -> NDArray:
            position, within = position[:, :, None], within[:, :, None]
            return np.where(interval < position, width, np.where(interval == position, within, 0.0))

        total = time_up_to(self.stop_interval, self.stop_within)
        if self.entry.any():
            total -= time_up_to(self.entry_interval, self.entry_within)
        return total

    def part(self, which: NDArray[np.intp] | slice) -> "CohortBlock":
        """Some of the cohorts."""
        return replace(self, **{name: getattr(self, name)[which] for name in ARRAYS})

    def inputs(self, k: int, model: "ModelDefinition") -> PreparedCohort:
        """Cohort k as the engines for one cohort take it; of its table, only the follow-up."""
        import pandas as pd

        n_patients = int(self.patient_index[k].max()) + 1
        delayed = bool(self.entry[k].any())
        follow_up = FollowUp(
            width=np.diff(self.cutpoints[k]),
            stop_interval=self.stop_interval[k],
            stop_within=self.stop_within[k],
            entry_interval=self.entry_interval[k],
            entry_within=self.entry_within[k],
            is_delayed=delayed,
            count=np.ones(self.n_rows),
        )
        level = self.matrix[k, :, : self.n_treatment_terms] @ np.arange(1, len(self.levels))
        design = Design(
            terms=self.terms,
            matrix=self.matrix[k],
            center=self.center[k],
            scale=self.scale[k],
            treatment=self.treatment,
            levels=self.levels,
            treatment_level=level.astype(np.intp),
            first_row=np.unique(self.patient_index[k], return_index=True)[1],
            formula=self.formula,
        )
        cohort = Cohort(
            table=pd.DataFrame(index=pd.RangeIndex(self.n_rows)),
            entry=self.entry[k],
            time=self.time[k],
            event=self.event[k],
            patient_index=self.patient_index[k],
            patients=np.arange(n_patients),
            source="batch",
            is_synthetic=False,
            sha256="",
            unit=None,
            time_column="time",
            event_column="event",
            entry_column="entry" if delayed else None,
            id_column=None,
            missing="error",
            dropped=(),
            row_number=np.arange(1, self.n_rows + 1),
        )
        data = SurvivalData(
            follow_up, self.event[k], design.scaled, self.patient_index[k], n_patients
        )
        exposure = self.exposure_of(k)
        events = self.interval_events[k].astype(np.int64)
        return PreparedCohort(
            cohort=cohort,
            intervals=Intervals(self.cutpoints[k], events, exposure),
            design=design,
            data=data,
            log_rate=float(self.log_rate[k]),
            **priors_of(model),
        )

    def exposure_of(self, k: int) -> NDArray[np.float64]:
        """Time at risk of cohort k in every interval."""
        return self.part(slice(k, k + 1)).exposure[0].sum(axis=0)


NOT_ARRAYS = ("terms", "levels", "treatment", "formula", "is_from_start")
ARRAYS = tuple(each.name for each in fields(CohortBlock) if each.name not in NOT_ARRAYS)


def priors_of(model: "ModelDefinition") -> dict[str, Any]:
    """Prior values of a model, which reads them when it is made."""
    return {
        "baseline": model.baseline,
        "treatment_prior": model.treatment_prior,
        "covariate_prior": model.covariate_prior,
    }


def joined(blocks: list[CohortBlock]) -> CohortBlock:
    """Make one block of several of the same shape."""
    stacked = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in ARRAYS}
    return replace(blocks[0], **stacked)


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
        "stop_interval": data.follow_up.stop_interval,
        "stop_within": data.follow_up.stop_within,
        "entry_interval": data.follow_up.entry_interval,
        "entry_within": data.follow_up.entry_within,
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
        **{name: np.asarray(each, order="C")[None] for name, each in arrays.items()},
    )
