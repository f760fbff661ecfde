"""Times of a cohort that are rounded to a unit which is long beside its median survival."""

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from bayes_crlm.cohort.outcome.rounded_times import (
    CAUTION,
    RoundedTimes,
    Rounding,
    sample_within_unit,
    unit_of_times,
)

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort


def rounded_times(cohort: "Cohort") -> RoundedTimes | None:
    """Say to which unit a cohort's times are rounded, where that is worth a thought.

    Parameters
    ----------
    cohort : Cohort
        Whose entry, time and patients are looked at.

    Returns
    -------
    RoundedTimes or None
        None where times have no common unit, where the unit is short beside the median survival,
        and where times were drawn within their unit.
    """
    if cohort.rounded is not None:
        return None
    # the last rows of patients: a cut where treatment starts may be to another unit
    last = np.zeros(cohort.n_patients)
    np.maximum.at(last, cohort.patient_index, cohort.time)
    unit = unit_of_times(last)
    if unit is None:
        return None
    if not cohort.entry.any() and unit < CAUTION * np.median(last):
        # censored patients live longer than they were seen, so the true median is later still
        return None
    from bayes_crlm.likelihood.kaplan_meier import kaplan_meier

    median = kaplan_meier(cohort.entry, cohort.time, cohort.event).median()[0]
    found = RoundedTimes(unit, float(median if np.isfinite(median) else last.max()))
    return found if found.is_coarse else None


def sampled_once(cohort: "Cohort", rounding: Rounding, seed: int) -> "Cohort":
    """Draw the times of a cohort once within their unit, as when it is read with `rounded`.

    Parameters
    ----------
    cohort : Cohort
        Read without `rounded`.
    rounding : Rounding
        The unit, and how times were rounded to it.
    seed : int
        Of the draws: the same seed gives the same times.
    """
    drawn, _ = sample_within_unit(rounding, seed, cohort, cohort.table)
    return replace(drawn, rounded=rounding)
