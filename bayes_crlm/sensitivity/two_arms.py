"""A cohort as two arms, from which cohorts with other rows are made.

Follow-up that is split without a change of treatment or covariates is one follow-up.

Landmarks, split follow-up and clones all keep the patients' covariates and change the rows:
who is at risk from when to when, and counted in which arm.
"""

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.covariates import with_written_levels
from bayes_crlm.model.design import columns_needed
from bayes_crlm.model.formula import parse_formula
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import did_you_mean, shown

if TYPE_CHECKING:
    import pandas as pd

# of a cohort: what is said of the rows of its file
NOT_OF_ROWS: dict[str, Any] = {
    **dict.fromkeys(("start", "start_column", "censoring_end", "censoring_end_column", "rounded")),
    **dict.fromkeys(("dropped", "excluded", "remarks"), ()),
    **{key: {} for key in ("column_notes", "column_said", "number_texts")},
}


@record(eq=False)
class TwoArms:
    """Patients of two arms, one row each.

    Attributes
    ----------
    model : PiecewiseExponential
        The base model with the arm, 1 or 0, as its treatment.
    source : Cohort
        Where the patients come from.
    covariates : pandas.DataFrame
        The columns that the model's formula uses, a row per patient.
    design : (patients, columns) ndarray
        Covariate columns on the sampling scale.
    terms : tuple of str
        Their names.
    entry, time : (patients,) ndarray
        Follow-up, in the cohort's unit.
    event : (patients,) ndarray of int
        1 where follow-up ends in an event, else 0.
    is_treated : (patients,) ndarray of bool
        Who is on the level that is examined.
    row_number : (patients,) ndarray of int
        1-based rows in the file.
    effect : float
        The hazard ratio that the success rule is about.
    """

    model: PiecewiseExponential
    source: Cohort
    covariates: "pd.DataFrame"
    design: NDArray[np.float64]
    terms: tuple[str, ...]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    is_treated: NDArray[np.bool]
    row_number: NDArray[np.int64]
    effect: float = 1.0

    @property
    def n_patients(self) -> int:
        """Number of patients."""
        return len(self.time)

    @cached_property
    def whole(self) -> Cohort:
        """The patients on the arm that they end up in, one row each."""
        entry = self.entry if np.any(self.entry > 0) else None
        every = np.arange(self.n_patients)
        return self.cohort(every, self.time, self.event, self.is_treated, entry=entry)

    @cached_property
    def as_treated(self) -> PreparedCohort:
        """The same as the model sees it."""
        return self.model.prepare(self.whole)

    def cohort(
        self,
        patient: NDArray[np.intp],
        time: NDArray,
        event: NDArray,
        is_treated: NDArray,
        *,
        entry: NDArray | None = None,
        stretch_of: NDArray | None = None,
    ) -> Cohort:
        """Make a cohort of other rows.

        Parameters
        ----------
        patient : (rows,) ndarray of int
            Whose covariates a row has.
        time, event, is_treated : (rows,) ndarray
            The end of a row, whether it is a death, and the arm it counts in.
        entry : (rows,) ndarray, optional
            When a row begins; 0 without it.
        stretch_of : (rows,) ndarray, optional
            Rows with the same value follow one another in one follow-up.
        """
        import pandas as pd

        count = len(patient)
        table = self.covariates.iloc[patient].reset_index(drop=True)
        table[self.model.treatment] = np.asarray(is_treated).astype(int)
        index, patients = pd.factorize(np.arange(count) if stretch_of is None else stretch_of)
        return dataclasses.replace(
            self.source,
            table=table,
            entry=np.zeros(count) if entry is None else entry,
            time=time,
            event=event,
            patient_index=index,
            patients=patients,
            row_number=np.arange(1, count + 1),
            **NOT_OF_ROWS,
        )


def two_arms(
    model: PiecewiseExponential,
    inputs: PreparedCohort,
    level: int | None = None,
    effect: float = 1.0,
) -> TwoArms:
    """See a prepared cohort as two arms.

    Parameters
    ----------
    model, inputs
        The base model and its cohort.
    level : int, optional
        Place in `design.levels` of the level to compare with the reference; patients of other
        levels are left out. Without it, all levels but the reference are one arm.
    effect : float
        The hazard ratio that the success rule is about.

    Raises
    ------
    SensitivityError
        When treatment or covariates change during follow-up, or follow-up has gaps.
    """
    cohort, design = inputs.cohort, inputs.design
    kept, end, event = whole_follow_up(inputs)
    if level is not None:
        first = design.treatment_level[kept]
        own = (first == 0) | (first == level)
        kept, end, event = kept[own], end[own], event[own]
    split = design.n_treatment_terms
    columns = list(columns_needed(model.treatment, model.covariates, model.terms)[1:])
    table = with_written_levels(cohort, parse_formula(model.covariates))
    return TwoArms(
        model=dataclasses.replace(model, reference=0),
        source=cohort,
        covariates=table[columns].iloc[kept].reset_index(drop=True),
        design=design.scaled[kept][:, split:],
        terms=design.terms[split:],
        entry=cohort.entry[kept],
        time=end,
        event=event,
        is_treated=design.treatment_level[kept] > 0,
        row_number=cohort.row_number[kept],
        effect=effect,
    )


def whole_follow_up(
    inputs: PreparedCohort,
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.int8]]:
    """Join the rows of every patient, in which nothing may change.

    Returns
    -------
    row : (patients,) ndarray of int
        Every patient's first row.
    end : (patients,) ndarray
        When the last row ends.
    event : (patients,) ndarray of int
        Whether it ends with the event.

    Raises
    ------
    SensitivityError
        When a patient's treatment or covariates change, or a row does not begin where the one
        before it ends.
    """
    cohort, columns = inputs.cohort, inputs.design.matrix
    patient = cohort.patient_index
    order = np.lexsort((cohort.entry, patient))
    before, after = order[:-1], order[1:]
    is_same = patient[before] == patient[after]
    goes_on = (cohort.entry[after] == cohort.time[before]) & (
        columns[after] == columns[before]
    ).all(axis=1)
    changes = np.unique(patient[after[is_same & ~goes_on]])
    if len(changes):
        raise SensitivityError(
            f"{cohort.source}: treatment or covariates change during follow-up, or it has gaps, "
            f"in {len(changes)} patients, {shown(cohort.patients[changes[0]])} for example; arms "
            "are compared here by what patients are at the start of an unbroken follow-up"
        )
    last = order[np.append(~is_same, True)]
    return order[np.append(True, ~is_same)], cohort.time[last], cohort.event[last]


def start_of_treatment(arms: TwoArms, column: str) -> NDArray[np.float64]:
    """Read when the treated patients started their treatment.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    column : str
        Times on the scale of follow-up, from the same time zero.

    Returns
    -------
    (patients,) ndarray
        Infinity for patients who never started.

    Raises
    ------
    SensitivityError
        When the column is not there, a treated patient has no time in it, or one that lies
        before time zero or not before the end of the patient's follow-up; and under delayed
        entry.
    """
    cohort = arms.source
    if column not in cohort.table.columns:
        raise SensitivityError(
            f"{cohort.source} has no column {shown(column)} with the time at which treatment "
            f"starts; {did_you_mean(column, list(cohort.table.columns))}"
        )
    if np.any(arms.entry > 0):
        raise SensitivityError(
            f"{cohort.source}: patients enter after time zero, where strategies can no longer be "
            "compared from the decision on; give follow-up from time zero"
        )
    # rows of the file are numbered; the arms' patients are some of the source's
    by_number = np.argsort(cohort.row_number, kind="stable")
    own = by_number[np.searchsorted(cohort.row_number, arms.row_number, sorter=by_number)]
    start = np.where(arms.is_treated, cohort.times_of(column)[own], np.inf)
    with np.errstate(invalid="ignore"):
        is_wrong = arms.is_treated & ~((start >= 0) & (start < arms.time))
    if is_wrong.any():
        first = int(np.flatnonzero(is_wrong)[0])
        given = (
            "is missing or not a number"
            if np.isnan(start[first])
            else f"is {as_written(start[first])}"
        )
        raise SensitivityError(
            f"{cohort.source}: {shown(column)} {given} in row {arms.row_number[first]}, a treated "
            f"patient followed to {as_written(arms.time[first])} ({int(is_wrong.sum())} such "
            "rows); "
            "treatment must start at 0 or later, and before follow-up ends"
        )
    return start
