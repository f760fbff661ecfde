"""What a cohort's rows, units and covariates may mean for the results, in a sentence each."""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.coarse_times import rounded_times
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.outcome.time_scale import days_in
from bayes_crlm.model.design import Design
from bayes_crlm.model.repeated_patients import repeated_patients
from bayes_crlm.model.treatment_functions import treatment_functions, treatment_products
from bayes_crlm.words.shown import whole
from bayes_crlm.words.wording import count_of

MOST_YEARS = 60
"""A longer follow-up of one patient is days taken for months, say."""


def cautions(cohort: Cohort, design: Design) -> tuple[str, ...]:
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
        A sentence when the unit makes a follow-up longer than lives are, when rows look like those
        of patients whom no column names, for each covariate that looks like a part of the
        treatment, when times are rounded, and when the treatment changes during follow-up.
    """
    phrases = [
        *unit_in_words(cohort),
        *repeated_patients(cohort, design),
        *treatment_functions(cohort, design),
        *treatment_products(design),
    ]
    rounded = rounded_times(cohort)
    if rounded is not None:
        phrases.append(rounded.in_words(cohort.unit))
    n_changing = patients_whose_level_changes(cohort.patient_index, design.treatment_level)
    if n_changing:
        phrases.append(
            f"the treatment changes during the follow-up of {count_of(n_changing, 'patient')}; "
            "standardised curves are those of a cohort that stays on one level from where the "
            "curves begin"
        )
    return tuple(phrases)


def longest_in_years(cohort: Cohort) -> float | None:
    """The longest follow-up of a patient in years; None where the unit is not a known one."""
    days = days_in(cohort.unit)
    if days is None:
        return None
    last = np.full(cohort.n_patients, -np.inf)
    first = np.full(cohort.n_patients, np.inf)
    np.maximum.at(last, cohort.patient_index, cohort.time)
    np.minimum.at(first, cohort.patient_index, cohort.entry)
    return float((last - first).max()) * days / 365.25


def unit_in_words(cohort: Cohort) -> list[str]:
    """Doubt the unit where a patient is followed for longer than people are."""
    years = longest_in_years(cohort)
    if years is None or years <= MOST_YEARS:
        return []
    return [
        f"one patient is followed for {whole(years)} years if times are in {cohort.unit}: are they "
        'in another unit? write it as data.time_unit, such as "days", and they are converted'
    ]


def patients_whose_level_changes(patient_index: NDArray, level: NDArray) -> int:
    """Count patients with rows on different treatment levels."""
    order = np.argsort(patient_index, kind="stable")
    patient, level = patient_index[order], level[order]
    changes = (patient[1:] == patient[:-1]) & (level[1:] != level[:-1])
    return len(np.unique(patient[1:][changes]))
