"""Treatment that starts late: rows from its start on, at landmarks, and the models of them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.intervals import Cutpoints, choose_intervals, coarse_number
from bayes_crlm.likelihood.quantiles import sample_quantiles
from bayes_crlm.model.baseline_priors import Independent
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.wording import count_of, shown, shown_name, shown_rows

NOT_STATED = (
    "when treatment started is not stated: if it began after time zero, the wait for it counts for "
    "the treatment (immortal time), so give data.treatment_start, the column of starts, or 0 where "
    "treatment began at time zero"
)
STARTS_PER_INTERVAL, FEWEST, MOST = 12, 3, 12


def is_start_stated(inputs: PreparedCohort) -> bool:
    """Whether the cohort says when treatment started: by its column, or by rows that change."""
    from bayes_crlm.model.cautions import patients_whose_level_changes

    cohort, level = inputs.cohort, inputs.design.treatment_level
    return cohort.start is not None or patients_whose_level_changes(cohort.patient_index, level) > 0


def starts_of_treatment(inputs: PreparedCohort) -> NDArray[np.float64] | None:
    """When every patient's treatment started, on the scale of follow-up.

    Parameters
    ----------
    inputs : PreparedCohort
        Whose cohort may say when treatment started.

    Returns
    -------
    (patients,) ndarray or None
        Infinity for patients on the reference level, whatever their column says. None where
        nothing is said of starts, or that all of them were at time zero.
    """
    cohort = inputs.cohort
    if cohort.start is None or cohort.start_column is None:
        return None
    return np.where(inputs.design.treatment_level > 0, cohort.start, np.inf)


def waited(inputs: PreparedCohort) -> NDArray[np.bool]:
    """Whether a patient's treatment started after follow-up did, shape (rows,).

    Parameters
    ----------
    inputs : PreparedCohort
        As treated.
    """
    start = starts_of_treatment(inputs)
    if start is None:
        return np.zeros(inputs.cohort.n_rows, dtype=bool)
    return np.isfinite(start) & (start > inputs.cohort.entry)


def waiting_cautions(inputs: PreparedCohort) -> list[str]:
    """Say of which analysis all but the headline is, where patients waited for treatment."""
    n_waited = int(waited(inputs).sum())
    if not n_waited:
        return []
    return [
        f"{count_of(n_waited, 'treated patient')} waited for treatment (column "
        f"{shown(inputs.cohort.start_column)}): curves, estimands and coefficients are of patients "
        "as treated from time zero on, which credits treatment with the wait; the hazard ratio "
        "from its start on stands beside them"
    ]


def check_late_starts(inputs: PreparedCohort) -> None:
    """Refuse treated patients without a start, and those who start when follow-up is over.

    Raises
    ------
    CohortError
        One sentence that names the rows.
    """
    start, cohort = starts_of_treatment(inputs), inputs.cohort
    if start is None:
        return
    where = f"{shown_name(cohort.source)}: column {shown(cohort.start_column)} (treatment_start)"
    treatment, reference = inputs.design.treatment, inputs.design.reference
    for bad, what in (
        (np.isnan(start), "is missing"),
        (np.isfinite(start) & (start >= cohort.time), "is not before the end of follow-up"),
    ):
        if bad.any():
            raise CohortError(
                f"{where} {what} in {shown_rows(cohort.row_number[bad])}, of patients whose "
                f"{treatment} is not {shown(reference)}; every treated patient needs a start "
                "before follow-up ends, and whoever was never treated belongs to the reference"
            )


def start_edges(start: NDArray) -> NDArray[np.float64]:
    """Intervals on which the hazard of starting is constant: quantiles of the starting times.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started.

    Returns
    -------
    (intervals + 1,) ndarray
        From 0 to the last start, after which nobody deviates any more.
    """
    started = start[np.isfinite(start)]
    count = min(max(round(len(started) / STARTS_PER_INTERVAL), FEWEST), MOST)
    inner = sample_quantiles(started, np.arange(1, count) / count)
    return np.unique(np.concatenate([[0.0], inner[inner > 0], [started.max()]]))


def landmark_times(start: NDArray, shares: Sequence[float]) -> list[float]:
    """Times by which given shares of the treated had started, rounded up to two digits.

    They depend on when treatment started and on no outcome.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started.
    shares : sequence of float
        Between 0 and 1.

    Returns
    -------
    list of float
        Increasing, each once.
    """
    started = np.sort(start[np.isfinite(start)])
    times = set()
    for share in shares:
        value = float(started[max(0, math.ceil(share * len(started)) - 1)])
        if value > 0:
            unit = 10.0 ** (math.floor(math.log10(value)) - 1)
            # counted in hundredths of the unit: 0.3 / 0.1 is a little less than 3
            times.add(float(f"{math.ceil(round(value / unit, 9)) * unit:.2g}"))
    return sorted(times)


def waiting_cutpoints(
    entry: NDArray, time: NDArray, event: NDArray, cutpoints: Cutpoints, start: NDArray
) -> tuple[float, ...]:
    """Cut follow-up also where treatment starts, so that the baseline follows the wait.

    Nearly all waiting falls into the first of the spec's intervals. A hazard that is constant or
    smoothed there stands above the true one just when patients wait, if few die early; they
    die less than it says, and treatment looks bad.

    Parameters
    ----------
    entry, time, event : (patients,) ndarray
        Follow-up, and whether it ends with the event.
    cutpoints
        The model's own, as of `bayes_crlm.likelihood.intervals.choose_intervals`; "auto" is here
        one interval per twelve events.
    start : (patients,) ndarray
        Infinity for never; at least one finite, and before `time`.

    Returns
    -------
    tuple of float
        Inner cutpoints, of no more intervals than there are events.
    """
    # the hazards will be independent, which so many intervals as of a walk would leave unknown
    if cutpoints == "auto":
        cutpoints = coarse_number(int(event.sum()))
    chosen = choose_intervals(entry, time, event, cutpoints).cutpoints
    # every treated patient is followed beyond the start, so that no edge lies after the last time
    starts = np.setdiff1d(start_edges(start), chosen)
    room = int(event.sum()) - (len(chosen) - 1)
    if len(starts) > room:
        starts = starts[np.linspace(0, len(starts) - 1, max(room, 0)).round().astype(int)]
    return tuple(float(each) for each in np.union1d(chosen, starts)[1:-1])


def diluted(ratio: float, share: float) -> float:
    """Hazard ratio of treatment against patients who are on it for a share of their follow-up."""
    return ratio / (1 - share + share * ratio)


def waiting_model(
    model: ModelDefinition, inputs: PreparedCohort, start: NDArray
) -> ModelDefinition:
    """Let the baseline follow the wait: independent hazards, cut also where treatment starts.

    Parameters
    ----------
    model : ModelDefinition
        Of the analysis as treated.
    inputs : PreparedCohort
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.
    """
    cohort, baseline = inputs.cohort, model.baseline
    return dataclasses.replace(
        model,
        reference=inputs.design.reference,
        cutpoints=waiting_cutpoints(
            cohort.entry, cohort.time, cohort.event, model.cutpoints, start
        ),
        baseline=baseline if isinstance(baseline, Independent) else "independent",
    )


def time_dependent(
    model: ModelDefinition, inputs: PreparedCohort
) -> tuple[ModelDefinition, PreparedCohort] | None:
    """Model and rows in which treatment counts from its start on.

    Parameters
    ----------
    model : ModelDefinition
        Of patients as treated from time zero on.
    inputs : PreparedCohort
        The cohort as treated.

    Returns
    -------
    (ModelDefinition, PreparedCohort) or None
        None where nobody waited for treatment, or nothing is said of it.

    Raises
    ------
    CohortError
        When a treated patient has no start, or one that is not before the end of follow-up.
    """
    start = starts_of_treatment(inputs)
    if start is None:
        return None
    check_late_starts(inputs)
    if not waited(inputs).any():
        return None
    waiting = waiting_model(model, inputs, start)
    return waiting, waiting.prepare(rows_from_start(inputs, start))


def rows_from_start(inputs: PreparedCohort, start: NDArray) -> Cohort:
    """Split every patient's follow-up where treatment starts: before it, the reference level.

    Parameters
    ----------
    inputs : PreparedCohort
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.

    Returns
    -------
    Cohort
        A patient's time at risk and events add up to what they were.
    """
    cohort = inputs.cohort
    has_before, has_after = start > cohort.entry, start < cohort.time
    before, after = np.flatnonzero(has_before), np.flatnonzero(has_after)
    patient = np.concatenate([before, after])
    return rows_on_levels(
        inputs,
        patient,
        np.concatenate([np.zeros(len(before), dtype=bool), np.ones(len(after), dtype=bool)]),
        entry=np.concatenate([cohort.entry[before], np.maximum(start, cohort.entry)[after]]),
        time=np.concatenate([np.minimum(start, cohort.time)[before], cohort.time[after]]),
        event=np.concatenate([np.where(has_after, 0, cohort.event)[before], cohort.event[after]]),
        patient_index=cohort.patient_index[patient],
    )


def rows_on_levels(
    inputs: PreparedCohort, rows: NDArray[np.intp], is_treated: NDArray[np.bool], **changes: NDArray
) -> Cohort:
    """Take rows of a cohort, on their own level of treatment or else on the reference.

    Parameters
    ----------
    inputs : PreparedCohort
        As treated.
    rows : (n,) ndarray of int
        Which rows, each as often as it is wanted.
    is_treated : (n,) ndarray of bool
        Whether each is on its own level.
    **changes
        Follow-up of the rows, and whose they are.
    """
    cohort, treatment = inputs.cohort, inputs.design.treatment
    reference_row = int(np.flatnonzero(inputs.design.treatment_level == 0)[0])
    level_from = np.where(is_treated, rows, reference_row)
    table = cohort.table.iloc[rows].reset_index(drop=True)
    table[treatment] = cohort.table[treatment].iloc[level_from].reset_index(drop=True)
    known = {"row_number": cohort.row_number[rows], "start": None, "start_column": None}
    return dataclasses.replace(cohort, table=table, **(known | changes))


def rows_at_landmark(inputs: PreparedCohort, start: NDArray, landmark: float) -> Cohort:
    """Take those at risk at a landmark, from there on, on the level that they had begun by then.

    Parameters
    ----------
    inputs : PreparedCohort
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.
    landmark : float
        In the cohort's unit.
    """
    cohort = inputs.cohort
    kept = np.flatnonzero((cohort.time > landmark) & (cohort.entry <= landmark))
    return rows_on_levels(
        inputs,
        kept,
        start[kept] <= landmark,
        entry=np.zeros(len(kept)),
        time=cohort.time[kept] - landmark,
        event=cohort.event[kept],
        patient_index=np.arange(len(kept)),
        patients=cohort.patients[cohort.patient_index[kept]],
    )


def at_landmark(
    model: ModelDefinition, inputs: PreparedCohort, start: NDArray, landmark: float
) -> tuple[ModelDefinition, Cohort, dict[str, Any]]:
    """Model and rows of those at risk at a landmark, from there on, and what that leaves out.

    Parameters
    ----------
    model : ModelDefinition
        Of the analysis as treated.
    inputs, start, landmark
        As of `rows_at_landmark`.

    Returns
    -------
    model : ModelDefinition
        Its own cutpoints are counted from the landmark on.
    rows : Cohort
    about : dict
        at, n_dead_before, n_censored_before, n_untreated, n_started_later, share_on_treatment (of
        their follow-up, that the landmark's untreated patients are on treatment after all).
    """
    cohort, cutpoints = inputs.cohort, model.cutpoints
    if not isinstance(cutpoints, str | int):
        cutpoints = tuple(each - landmark for each in cutpoints if each > landmark) or 1
    is_over = cohort.time <= landmark
    untreated = ~is_over & (start > landmark)
    total = float((cohort.time[untreated] - landmark).sum())
    treated = float(np.maximum(cohort.time[untreated] - start[untreated], 0.0).sum())
    own = dataclasses.replace(model, reference=inputs.design.reference, cutpoints=cutpoints)
    about = {
        "at": landmark,
        "n_dead_before": int(cohort.event[is_over].sum()),
        "n_censored_before": int(np.sum(cohort.event[is_over] == 0)),
        "n_untreated": int(untreated.sum()),
        "n_started_later": int(np.sum(untreated & np.isfinite(start))),
        "share_on_treatment": treated / total if total > 0 else 0.0,
    }
    return own, rows_at_landmark(inputs, start, landmark), about
