"""Follow-up that the model predicts for the patients as they were observed, row by row.

A patient's predicted event falls somewhere along the patient's own rows, each with its covariates,
or the patient leaves without it where the own last row ends. What would have come later is not
predicted: after a row's end its covariates are no longer known, and carrying the last ones forward
predicts the wrong curve where they change.

References
----------
Gelman, Meng & Stern (1996), Statistica Sinica 6:733-760 (predictive checks).
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.standardised import cumulative_hazards_of_profiles
from bayes_crlm.estimands.survival import times_of_hazards
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.groups import Group
from bayes_crlm.likelihood.hazard_table import LogHazards, blocks_of_draws
from bayes_crlm.model.profiles import Profiles, profiles_of

# all draws, as ArviZ's leave-one-out wants them, up to so many draws x patients; else a few hundred
MOST_PREDICTIONS = 2**22
PREDICTIVE_DRAWS = 200


def events_along_rows(
    at: LogHazards,
    rows: Profiles,
    entry: NDArray,
    time: NDArray,
    first: NDArray,
    cutpoints: NDArray,
    target: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.bool]]:
    """Follow every patient along the own rows until a cumulative hazard is used up.

    Parameters
    ----------
    at : LogHazards
        Of the draws.
    rows : Profiles
        Rows as they are, sorted by patient and by entry.
    entry, time : (rows,) ndarray
        Begin and end of each row.
    first : (patients,) ndarray of int
        Where each patient's rows begin, increasing.
    cutpoints : (intervals + 1,) ndarray
        Interval ends.
    target : (draws, patients) ndarray
        Cumulative hazard at which a patient has the event: standard exponential.

    Returns
    -------
    time : (draws, patients) ndarray
        When the event happens, or the end of the patient's last row.
    event : (draws, patients) ndarray of bool
        Whether it happens.
    """
    n_rows = np.diff(np.append(first, len(entry)))
    relative = rows.relative_hazard(at)
    spent = cumulative_hazards_of_profiles(at, rows.row_class, cutpoints, time)
    if np.any(entry > 0):
        begun = cumulative_hazards_of_profiles(at, rows.row_class, cutpoints, entry)
        spent -= begun
    else:
        begun = np.broadcast_to(0.0, spent.shape)
    spent *= relative
    if np.all(n_rows == 1):
        event = target <= spent
        draw, patient = np.nonzero(event)
        row, left = patient, target[event]
        reached = np.repeat(time[None], len(target), axis=0)
    else:
        of_row = np.repeat(np.arange(len(first)), n_rows)
        before = np.cumsum(spent, axis=1) - spent
        before -= before[:, first[of_row]]
        passed = np.add.reduceat(before + spent < target[:, of_row], first, axis=1, dtype=np.intp)
        event = passed < n_rows
        draw, patient = np.nonzero(event)
        row = first[patient] + passed[event]
        left = target[event] - before[draw, row]
        reached = np.repeat(time[None, first + n_rows - 1], len(target), axis=0)
    n_classes, needed = at.cells.shape[1], begun[draw, row] + left / relative[draw, row]
    when, _ = times_of_hazards(
        at.cells.reshape(-1, at.cells.shape[2]),
        cutpoints,
        draw * n_classes + rows.row_class[row],
        needed,
    )
    # rounding may put an event a hair outside its row
    reached[event] = np.clip(when, entry[row], time[row])
    return reached, event


def predicted_follow_up(
    fit: PosteriorDraws, kept: NDArray[np.intp], rng: np.random.Generator
) -> Group:
    """Predicted events of the kept patients; of large cohorts for a few hundred draws.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    kept : (patients,) ndarray of int
        Places in the cohort's patients, increasing.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    Group
        `event` (chain, draw, patient), 0 or 1, and as a coordinate the `time` at which the
        patient has the event or leaves.
    """
    inputs = fit.inputs
    chains, draws, _ = fit.vectors.shape
    is_large = chains * draws * len(kept) > MOST_PREDICTIONS
    per_chain = min(draws, max(1, PREDICTIVE_DRAWS // chains)) if is_large else draws
    chosen = np.linspace(0, draws - 1, per_chain).astype(int)
    flat = (np.arange(chains)[:, None] * draws + chosen).ravel()
    patient, entry = inputs.cohort.patient_index, inputs.cohort.entry
    rows = np.lexsort((entry, patient))
    rows = rows[np.isin(patient[rows], kept)]
    first = np.searchsorted(patient[rows], kept)
    profiles = profiles_of(inputs.data, rows)
    target = rng.standard_exponential((len(flat), len(kept)))
    time, event = np.empty(target.shape), np.empty(target.shape, dtype=np.int8)
    for block in blocks_of_draws(len(flat), len(rows)):
        some = flat[block]
        time[block], event[block] = events_along_rows(
            fit.hazards.draws(some),
            profiles,
            entry[rows],
            inputs.cohort.time[rows],
            first,
            inputs.intervals.cutpoints,
            target[block],
        )
    dims, shape = ("chain", "draw", "patient"), (chains, per_chain, len(kept))
    return Group(
        {"event": (dims, event.reshape(shape))},
        {
            "chain": (("chain",), np.arange(chains)),
            "draw": (("draw",), chosen),
            "patient": (("patient",), inputs.cohort.patients[kept]),
            "time": (dims, time.reshape(shape)),
        },
    )
