"""Follow-up that starts and stops within a patient: what coarse intervals do to its hazard ratio.

Where a column of the design changes during follow-up, patients spend the time before the change
in the first intervals. A baseline hazard that is constant or smoothed there stands above or below
the true one just while they wait, and the hazard ratio moves with it. How far is found by
fitting again with three times as many intervals, at most one an event.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.shown import ratio_in_words
from bayes_crlm.words.wording import count_of

TIMES_AS_MANY = 3
REFIT_DRAWS = 4000
# beyond so many rows the refit would cost more than a twentieth of the main job
MOST_ROWS = 20_000


def patients_whose_columns_change(inputs: PreparedCohort) -> int:
    """Count patients whose rows differ in a column of the design."""
    cohort = inputs.cohort
    if inputs.has_row_per_patient:
        return 0
    order = np.argsort(cohort.patient_index, kind="stable")
    patient, matrix = cohort.patient_index[order], inputs.design.matrix[order]
    changes = (patient[1:] == patient[:-1]) & (matrix[1:] != matrix[:-1]).any(axis=1)
    return len(np.unique(patient[1:][changes]))


def finer_rows(fit: PosteriorDraws) -> list[dict[str, Any]]:
    """Fit again with three times as many intervals where columns change within patients.

    There is at most one interval an event.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    list of dict
        For each level against the reference: treatment, reference, n_changing (patients),
        n_intervals, hazard_ratio, eti95_low, eti95_high, then finer_intervals and
        finer_hazard_ratio, finer_low, finer_high (None where the fast engine has no draws).
        Empty where no column changes.
    """
    from bayes_crlm.fit.fitting import refitted_ratios

    inputs = fit.inputs
    changing = patients_whose_columns_change(inputs)
    if not changing:
        return []
    n_treatment = inputs.n_treatment_terms
    wanted = min(TIMES_AS_MANY * inputs.intervals.n_intervals, inputs.cohort.n_events)
    n_finer, found = None, [(None, None, None)] * n_treatment
    if inputs.cohort.n_rows <= MOST_ROWS and wanted > inputs.intervals.n_intervals:
        finer = replace(fit.model, cutpoints=wanted).prepare(inputs.cohort)
        n_finer = finer.intervals.n_intervals
        found = refitted_ratios(finer, REFIT_DRAWS, fit.seed)
    own = fit.treatment_ratios.ratios
    return [
        {
            "treatment": level,
            "reference": inputs.design.reference,
            "n_changing": changing,
            "n_intervals": inputs.intervals.n_intervals,
            **dict(zip(("hazard_ratio", "eti95_low", "eti95_high"), own[k], strict=True)),
            "finer_intervals": n_finer,
            **dict(zip(("finer_hazard_ratio", "finer_low", "finer_high"), found[k], strict=True)),
        }
        for k, level in enumerate(inputs.design.levels[1:])
    ]


def changing_sentence(
    rows: Sequence[Mapping[str, Any]], withdrawn: Collection[Any] = ()
) -> str | None:
    """Say what rows that change within patients mean for the hazard ratios; None without rows.

    Parameters
    ----------
    rows : sequence of mapping
        Of `finer_rows`.
    withdrawn : collection
        Levels against the reference of which there is no answer: no number is said of them.
    """
    if not rows:
        return None
    first = rows[0]
    n = first["n_changing"]
    text = (
        f"columns change during the follow-up of {count_of(n, 'patient')}, "
        f"who {'waits' if n == 1 else 'wait'} in the first intervals: a hazard that is smoothed "
        "there pulls the hazard ratio, so the baseline must be able to follow the wait"
    )
    if first["finer_hazard_ratio"] is None:
        return f"{text}; how far more intervals would change it could not be found"
    phrases = [
        f"{ratio_in_words(row['finer_hazard_ratio'], (row['finer_low'], row['finer_high']))} "
        f"for {row['treatment']}"
        for row in rows
        if row["treatment"] not in withdrawn
    ]
    if not phrases:
        return text
    return (
        f"{text}; with {count_of(first['finer_intervals'], 'interval')} instead of "
        f"{first['n_intervals']} the hazard ratio is {' and '.join(phrases)}"
    )
