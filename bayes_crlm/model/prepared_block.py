"""Prepared cohorts of the same shape as stacked arrays: designs, intervals and follow-up."""

import math
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.follow_up import FollowUp
from bayes_crlm.likelihood.intervals import Cutpoints, Intervals, cut_cohorts, some_of
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.baseline_priors import BaselinePrior
from bayes_crlm.model.design import Design, shares_of
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import EffectPrior
from bayes_crlm.words.records import record


@record(eq=False)
class CohortBlock(Stacked):
    """Prepared cohorts with the same number of rows, intervals and terms.

    Attributes
    ----------
    position : (cohorts,) ndarray of int
        Their numbers among all cohorts.
    design : Design
        Columns of each cohort.
    intervals : Intervals
        Of each cohort.
    follow_up : FollowUp
        Time at risk in them.
    entry, time, event : (cohorts, rows) ndarray
        Follow-up as it is.
    patient_index : (cohorts, rows) ndarray of int
        Whose row it is.
    log_rate : (cohorts,) ndarray
        log(events / exposure).
    baseline, treatment_prior, covariate_prior
        Prior values.
    is_from_start : bool
        Whether treatment counts from its start on: rows are split there, and the baseline follows
        the wait (`bayes_crlm.fit.late_start`).
    alone : PreparedCohort or None
        The only cohort, where its model has terms of other kinds.
    """

    position: NDArray[np.intp]
    design: Design
    intervals: Intervals
    follow_up: FollowUp
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    log_rate: NDArray[np.float64]
    baseline: BaselinePrior
    treatment_prior: EffectPrior
    covariate_prior: EffectPrior
    is_from_start: bool = False
    alone: PreparedCohort | None = None

    shared: ClassVar[tuple[str, ...]] = (
        "baseline", "treatment_prior", "covariate_prior", "is_from_start", "alone",
    )  # fmt: skip

    def __len__(self) -> int:
        return len(self.position)

    @property
    def n_rows(self) -> int:
        """Rows of each cohort."""
        return self.time.shape[1]

    @property
    def shape(self) -> tuple[Any, ...]:
        """What cohorts must share to be in one block."""
        return (
            self.n_rows,
            self.design.first_row.shape[1],
            self.intervals.n_intervals,
            self.intervals.notes,
            self.follow_up.is_delayed,
            self.design.terms,
            self.design.levels,
            self.is_from_start,
            None if self.alone is None else int(self.position[0]),
        )

    @property
    def sums(self) -> RiskSums:
        """What densities need of the cohorts."""
        design = self.design.scaled
        event_design = (self.event[:, None, :] @ design)[:, 0]
        return RiskSums(design, self.follow_up, self.intervals.events.astype(float), event_design)


def prepared_blocks(
    cohort: Cohort,
    design: Design,
    cutpoints: Cutpoints,
    priors: dict[str, Any],
    rows: NDArray[np.intp] | None = None,
) -> list[CohortBlock]:
    """Prepare cohorts with the same number of rows, one block a number of intervals.

    Parameters
    ----------
    cohort : Cohort
        The rows of all of them.
    design : Design
        Its columns in original units.
    cutpoints : "auto", int or sequence of float
        As `bayes_crlm.likelihood.intervals.choose_intervals` has them.
    priors : dict
        `baseline`, `treatment_prior` and `covariate_prior`.
    rows : (cohorts, rows) ndarray of int, optional
        Which rows each cohort has, the next one's after its own; without it all are one cohort's,
        and nothing is copied.

    Returns
    -------
    list of CohortBlock
        `position` counts the cohorts from 0. Those whose events or follow-up do not allow the
        cutpoints are left out.

    Raises
    ------
    CutpointError
        When they allow them for none.
    """
    start = 0 if rows is None else rows[:, :1]

    def stacked(values: NDArray) -> NDArray:
        return values[None] if rows is None else values[rows]

    columns = replace(
        design,
        matrix=stacked(design.matrix),
        treatment_level=stacked(design.treatment_level),
        first_row=stacked(design.first_row) - start,
    ).standardised(shares_of(cohort))
    entry, time, event = (stacked(each) for each in (cohort.entry, cohort.time, cohort.event))
    patient_index = stacked(cohort.patient_index) - start
    rates = event.sum(axis=1) / (time - entry).sum(axis=1)
    blocks = []
    for which, intervals, follow_up in cut_cohorts(entry, time, event == 1, cutpoints):
        blocks.append(
            CohortBlock(
                position=which,
                design=columns if len(which) == len(rates) else columns.part(which),
                intervals=intervals,
                follow_up=follow_up,
                entry=some_of(entry, which),
                time=some_of(time, which),
                event=some_of(event, which).astype(float),
                patient_index=some_of(patient_index, which),
                log_rate=np.array([math.log(rate) for rate in rates[which].tolist()]),
                **priors,
            )
        )
    return blocks


def block_of_one(
    inputs: PreparedCohort, position: int, *, is_from_start: bool = False
) -> CohortBlock:
    """Make a block of one prepared cohort."""
    cohort, data = inputs.cohort, inputs.data
    return CohortBlock(
        np.array([position]),
        inputs.design.as_stack(),
        inputs.intervals.as_stack(),
        data.follow_up.as_stack(),
        cohort.entry[None],
        cohort.time[None],
        data.event[None],
        data.patient_index[None],
        np.array([inputs.log_rate]),
        inputs.baseline,
        inputs.treatment_prior,
        inputs.covariate_prior,
        is_from_start,
        inputs if inputs.terms else None,
    )
