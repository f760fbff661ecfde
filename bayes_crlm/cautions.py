"""What follow-up in several rows may mean for the results, in a sentence each."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayes_crlm.cohort import Cohort
    from bayes_crlm.design import Design

__all__ = ["cautions"]

# fewer rows that begin where another ends may do so by chance
FEWEST_SPLIT_ROWS = 3


def cautions(cohort: "Cohort", design: "Design") -> tuple[str, ...]:
    """Say what a reader of the results should know of the cohort's rows.

    Parameters
    ----------
    cohort : Cohort
        The rows used.
    design : Design
        With the treatment level of every row.

    Returns
    -------
    tuple of str
        A sentence when rows look like stretches of patients whom no column names, and one when the
        treatment changes during follow-up.
    """
    told = []
    n_split = split_rows(cohort.entry, cohort.time, cohort.event)
    if cohort.id_column is None and n_split >= FEWEST_SPLIT_ROWS:
        told.append(
            f"each of the {n_split} rows that begin after 0 begins just where another row ends "
            "without the event, as if they were stretches of the same patients; each row counts as "
            "a patient here, so give data.id if a column names the patients"
        )
    n_changing = patients_whose_level_changes(cohort.patient_index, design.treatment_level)
    if n_changing:
        told.append(
            f"the treatment changes during the follow-up of {n_changing} patients; standardised "
            "curves are those of a cohort that stays on one level from where the curves begin"
        )
    return tuple(told)


def split_rows(entry: NDArray, time: NDArray, event: NDArray) -> int:
    """Count rows that begin after 0 if each continues an eventless row of its own, else 0."""
    begins, number = np.unique(entry[entry > 0], return_counts=True)
    ends, available = np.unique(time[event == 0], return_counts=True)
    if not len(begins) or not len(ends):
        return 0
    place = np.minimum(np.searchsorted(ends, begins), len(ends) - 1)
    is_continued = (ends[place] == begins) & (available[place] >= number)
    return int(number.sum()) if is_continued.all() else 0


def patients_whose_level_changes(patient_index: NDArray, level: NDArray) -> int:
    """Count patients with rows on different treatment levels."""
    order = np.argsort(patient_index, kind="stable")
    patient, level = patient_index[order], level[order]
    changes = (patient[1:] == patient[:-1]) & (level[1:] != level[:-1])
    return len(np.unique(patient[1:][changes]))
