"""Why a comparison of two treatment levels has no answer: no trust in the draws, or no events."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bayes_crlm.model.prepared import PreparedCohort

NO_ANSWER = "no answer is given, "


def levels_without_events(inputs: PreparedCohort) -> tuple[int, ...]:
    """Treatment levels on which no event happened, by their place among the levels."""
    level, event = inputs.design.treatment_level, inputs.cohort.event
    events = np.bincount(level, weights=event, minlength=len(inputs.design.levels))
    return tuple(np.flatnonzero(events == 0).tolist())


def withdrawal(
    inputs: PreparedCohort, failures: Sequence[str], levels: tuple[int, int]
) -> str | None:
    """Say why the comparison of two levels has no answer; None where it has one.

    Parameters
    ----------
    inputs : PreparedCohort
        The cohort as the model sees it.
    failures : sequence of str
        Diagnostics that fail.
    levels : (int, int)
        The two treatment levels, by their place among all.
    """
    if failures:
        return no_trust(failures)
    empty = [each for each in levels_without_events(inputs) if each in levels]
    if not empty:
        return None
    design, cohort = inputs.design, inputs.cohort
    return no_bound(
        design.treatment,
        [
            (
                design.levels[each],
                len(set(cohort.patient_index[design.treatment_level == each].tolist())),
            )
            for each in empty
        ],
    )


def no_trust(failures: Sequence[str]) -> str:
    """Say that nothing is concluded from draws whose diagnostics fail."""
    return f"{NO_ANSWER}because a diagnostic fails: {'; '.join(failures)}"


def no_bound(treatment: str, levels: Sequence[tuple[Any, int]]) -> str:
    """Say that nothing is concluded about levels, with their patients, on which no event happened.

    Parameters
    ----------
    treatment : str
        The treatment's column.
    levels : sequence of (level, int)
        Levels without events, and how many patients are on each.
    """
    phrases = [
        f"none of the {patients} patients on {treatment} {level} had an event"
        for level, patients in levels
    ]
    return (
        f"{NO_ANSWER}because {' and '.join(phrases)}: the data do not bound the hazard "
        "ratio on one side, so the prior decides how far from 1 it lies"
    )
