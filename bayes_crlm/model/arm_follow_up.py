"""What was observed of each arm: how long it was followed, Kaplan-Meier, and what lies beyond.

A model with proportional hazards has a curve for every arm up to the end of all follow-up. Beyond
an arm's own last patient that curve is the other arms' hazard times the hazard ratio, and nothing
that was seen. So it is where nobody of an arm is at risk before its last patient: in an arm that
people enter late, or between two groups of its patients.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.kaplan_meier import KaplanMeier, kaplan_meier
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.withdrawn import levels_without_events
from bayes_crlm.words.shown import as_written, significant

MODEL_ONLY = "model only; no patient of this arm was followed so long"
# enough for a mean curve and the width of a line; tables of estimands use every draw
CURVE_DRAWS = 1000
TOO_EARLY = "model only; nobody of this arm was at risk so early"
NO_EVENT = "no event on this arm: the prior decides how high its curve lies"
# of the time from the origin to the end of follow-up: a shorter one changes little
SHORTEST_GAP = 0.1


def last_follow_up(inputs: PreparedCohort) -> NDArray[np.float64]:
    """Longest follow-up on each treatment level, on the data's scale, shape (levels,)."""
    level, time = inputs.design.treatment_level, inputs.cohort.time
    return np.array([time[level == k].max() for k in range(len(inputs.design.levels))])


def arm_kaplan_meier(inputs: PreparedCohort, level: int, origin: float) -> KaplanMeier | None:
    """Kaplan-Meier of the rows on one treatment level, given survival to the origin.

    An arm whose first patient comes under observation later begins there: until then nobody of it
    could have been seen to die.

    Returns
    -------
    KaplanMeier or None
        None where no row of the level goes on beyond the origin.
    """
    cohort = inputs.cohort
    rows = (inputs.design.treatment_level == level) & (cohort.time > origin)
    if not rows.any():
        return None
    return kaplan_meier(
        cohort.entry[rows],
        cohort.time[rows],
        cohort.event[rows],
        patient_index=cohort.patient_index[rows],
        origin=max(origin, float(cohort.entry[rows].min())),
        longest_gap=SHORTEST_GAP * (float(inputs.intervals.cutpoints[-1]) - origin),
    )


def note_for(inputs: PreparedCohort, levels: Sequence[int], time: float) -> str | None:
    """Say that a number at a time is the model's only, or of an arm on which no event happened.

    Parameters
    ----------
    inputs : PreparedCohort
        The cohort as the model sees it.
    levels : sequence of int
        One treatment level, or both of a difference.
    time : float
        On the data's scale.

    Returns
    -------
    str or None
        None where every one of the levels has events, and patients who were followed so long.
    """
    empty = [k for k in levels if k in levels_without_events(inputs)]
    phrases = [without_event(inputs, levels, empty)] if empty else []
    unobserved = unobserved_note(inputs, levels, time)
    return "; ".join([*phrases, *([unobserved] if unobserved else [])]) or None


def named_levels(inputs: PreparedCohort, levels: Sequence[int]) -> str:
    """Name levels of the treatment: "repeat_local 0 or 1"."""
    names = " or ".join(str(inputs.design.levels[k]) for k in levels)
    return f"{inputs.design.treatment} {names}"


def without_event(inputs: PreparedCohort, levels: Sequence[int], empty: Sequence[int]) -> str:
    """Say of an arm, or of a difference between two, that events are lacking."""
    if len(levels) == 1:
        return NO_EVENT
    arms = named_levels(inputs, empty)
    return f"no event on {arms}: the prior decides how large the difference is"


def unobserved_note(inputs: PreparedCohort, levels: Sequence[int], time: float) -> str | None:
    """Say that a time lies after a level's last patient, or before its first; None otherwise."""
    last, level = last_follow_up(inputs), inputs.design.treatment_level
    beyond = [k for k in levels if time > last[k]]
    first = np.array([inputs.cohort.entry[level == k].min() for k in range(len(last))])
    early = [k for k in levels if first[k] > 0 and time <= first[k]]
    if not beyond and not early:
        return None
    if len(levels) == 1:
        return MODEL_ONLY if beyond else TOO_EARLY
    arms = named_levels(inputs, beyond or early)
    if beyond:
        return f"model only; no patient of {arms} was followed so long"
    return f"model only; nobody of {arms} was at risk so early"


def without_patients(
    inputs: PreparedCohort, level: int, origin: float
) -> list[tuple[float, float]]:
    """Stretches from the origin to a level's last patient in which nobody on it is at risk.

    Returns
    -------
    list of (float, float)
        From and to, increasing.
    """
    cohort = inputs.cohort
    rows = np.flatnonzero((inputs.design.treatment_level == level) & (cohort.time > origin))
    rows = rows[np.argsort(cohort.entry[rows], kind="stable")]
    reached = np.maximum.accumulate(np.concatenate([[origin], cohort.time[rows]]))[:-1]
    entry = cohort.entry[rows]
    return [
        (float(low), float(high)) for low, high in zip(reached, entry, strict=True) if high > low
    ]


def gap_cautions(inputs: PreparedCohort, origin: float) -> list[str]:
    """Say where nobody of an arm is at risk for a tenth of the time or more.

    Parameters
    ----------
    inputs : PreparedCohort
        The cohort as the model sees it.
    origin : float
        Where curves begin.
    """
    unit, design = inputs.cohort.unit or "time units", inputs.design
    least = SHORTEST_GAP * (float(inputs.intervals.cutpoints[-1]) - origin)
    return [
        f"{design.treatment} {level}: nobody on it is at risk from {as_written(low)} to "
        f"{as_written(high)} {unit}; its survival there, and every later number that depends on "
        "it, comes from the model alone"
        for k, level in enumerate(design.levels)
        for low, high in without_patients(inputs, k, origin)
        if high - low >= least
    ]


def median_note(inputs: PreparedCohort, level: int, median: float, upper: float) -> str | None:
    """Say of a median, or of its upper limit, that it is the model's only, or its arm's events."""
    if level in levels_without_events(inputs) and not np.isfinite(median):
        return NO_EVENT
    of_median = note_for(inputs, [level], median) if np.isfinite(median) else None
    of_upper = note_for(inputs, [level], upper) if np.isfinite(upper) else None
    if of_median is None and of_upper is not None:
        return f"upper limit: {of_upper}"
    return of_median


def eventless_cautions(inputs: PreparedCohort) -> list[str]:
    """Say of every arm on which no event happened what its survival is worth."""
    design = inputs.design
    return [
        f"{design.treatment} {design.levels[k]}: no event happened on it, so the prior decides how "
        "high its survival curve lies, and with it its median, restricted mean and differences"
        for k in levels_without_events(inputs)
    ]


def beyond_follow_up(inputs: PreparedCohort, times: dict[str, Any]) -> list[str]:
    """Say in a sentence for each arm which numbers lie beyond its last patient.

    Parameters
    ----------
    inputs : PreparedCohort
        The cohort as the model sees it.
    times : dict of str to list of float
        What is estimated, such as "survival at", and at which times.
    """
    unit, design = inputs.cohort.unit or "time units", inputs.design
    phrases = []
    for k, last in enumerate(last_follow_up(inputs)):
        beyond = {name: [t for t in each if t > last] for name, each in times.items()}
        parts = [
            f"{name} {', '.join(f'{as_written(t)}' for t in each)}"
            for name, each in beyond.items()
            if each
        ]
        if parts:
            phrases.append(
                f"{design.treatment} {design.levels[k]}, {' and '.join(parts)} {unit}: "
                f"{MODEL_ONLY} (the longest: {significant(float(last), 4)})"
            )
    return phrases
