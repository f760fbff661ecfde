"""The rest of censored patients' follow-up, drawn from a hazard that is multiplied by delta.

For draws of the posterior the rest of every such patient's follow-up is drawn from the multiplied
hazard, up to a horizon, and the completed cohort is fitted again; the posterior is the mixture over
the completions. With delta = 1 in both arms it is that of the cohort as it is.

References
----------
Jackson, White, Seaman, Evans, Baisley & Carpenter (2014), Stat Med 33:4681-4694 (delta-adjusted
imputation); Tanner & Wong (1987), J Am Stat Assoc 82:528-540 (a posterior as a mixture over
completed data).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.profiles import profiles_of
from bayes_crlm.sensitivity.posterior_draws import (
    DRAWS,
    sample_posterior,
    sample_posteriors,
    summarise_weighted,
)
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.tasks.streams import Stream, random_stream
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import did_you_mean, shown

# of the refits of each completed cohort, of which there are many
COMPLETED_DRAWS = 1000


def horizon_of(cohort: Cohort, asked: float | None) -> float:
    """Where completed follow-up ends: the end of the longest one, unless the user says."""
    last = float(cohort.time.max())
    if asked is not None and asked > last:
        raise SensitivityError(
            f"sensitivity.informative_censoring.horizon: {as_written(asked)} lies beyond the "
            "last follow-up "
            f"time {as_written(last)}, where no hazard is estimated; give at most "
            f"{as_written(last)}"
        )
    return asked or last


def leaving_rows(inputs: PreparedCohort, lost: str | None, horizon: float) -> NDArray[np.intp]:
    """Last rows of the patients whose follow-up is to be completed.

    Raises
    ------
    SensitivityError
        When the column of those lost to follow-up is not there, or is not of 0 and 1.
    """
    from bayes_crlm.cohort.outcome.follow_up import numbers_of

    cohort, rows = inputs.cohort, inputs.final_row
    is_leaving = (cohort.event[rows] == 0) & (cohort.time[rows] < horizon)
    is_leaving &= ~cohort.is_administrative[rows]
    if lost is not None:
        if lost not in cohort.table.columns:
            raise SensitivityError(
                f"{cohort.source} has no column {shown(lost)} that says who was lost to follow-up; "
                f"{did_you_mean(lost, list(cohort.table.columns))}"
            )
        numbers, _ = numbers_of(cohort.table[lost])
        given = np.asarray(numbers, dtype=float)[rows]
        if not np.all(np.isin(given, (0.0, 1.0))):
            first = int(np.flatnonzero(~np.isin(given, (0.0, 1.0)))[0])
            raise SensitivityError(
                f"{cohort.source}: {shown(lost)} is neither 0 nor 1 in row "
                f"{cohort.row_number[rows[first]]}"
            )
        is_leaving &= given == 1
    return rows[is_leaving]


def horizon_of_rows(cohort: Cohort, rows: NDArray[np.intp], horizon: float) -> NDArray[np.float64]:
    """Where the completed follow-up of some rows ends: never after the study ended for them."""
    if cohort.censoring_end is None:
        return np.full(len(rows), horizon)
    return np.fmin(cohort.censoring_end[rows], horizon)


def complete_follow_up(
    inputs: PreparedCohort,
    at: LogHazards,
    rows: NDArray[np.intp],
    delta: NDArray,
    horizon: float,
    uniform: NDArray,
) -> PreparedCohort:
    """Draw the rest of some patients' follow-up, and put it into the cohort.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    at : LogHazards
        One draw, with a leading index.
    rows : (leaving,) ndarray of int
        Last rows of those patients.
    delta : (leaving,) ndarray
        What multiplies their hazards after censoring.
    horizon : float
        Where completed follow-up ends.
    uniform : (leaving,) ndarray
        Between 0 and 1.

    Returns
    -------
    PreparedCohort
        With `data` completed; intervals, priors and their centre stay.
    """
    data, edges = inputs.data, inputs.intervals.cutpoints
    profiles = profiles_of(data, rows)
    relative = profiles.relative_hazard(at)[0] * delta
    ends = horizon_of_rows(inputs.cohort, rows, horizon)
    time, event = inputs.cohort.time.copy(), data.event.copy()
    for of_class, places in profiles.by_class():
        hazard = np.exp(at.cells[0, of_class])
        at_edges = np.concatenate([[0.0], np.cumsum(hazard * np.diff(edges))])
        own, end = rows[places], ends[places]
        # cumulative hazards are piecewise linear, and so is their inverse
        target = np.interp(inputs.cohort.time[own], edges, at_edges)
        target -= np.log(uniform[places]) / relative[places]
        died = target < np.interp(end, edges, at_edges)
        time[own] = np.where(died, np.interp(target, at_edges, edges), end)
        event[own] = died
    completed = dataclasses.replace(
        data, follow_up=cut_follow_up(inputs.cohort.entry, time, edges), event=event
    )
    return dataclasses.replace(inputs, data=completed)


def refit_completed(
    shared: Shared,
    *,
    deltas: Sequence[float],
    completions: int,
    lost: str | None,
    horizon: float,
    seed: int,
) -> dict[str, Any]:
    """Complete the cohort again and again, and refit each completion, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    deltas : (reference, treated)
        Factors of the hazards of censored patients of the reference level and of the level in
        question; 1 on other levels.
    completions : int
        How often follow-up is completed.
    lost : str or None
        Column of those whose follow-up is completed; all the censored without it.
    horizon : float
        Up to when, in the cohort's unit.
    seed : int
        The same draws and random numbers serve all deltas, so that their results differ by delta
        alone.

    Returns
    -------
    dict
        A row: median, eti95, prob_below_1, mean_log, sd_log, mcse (of the mean, completions
        included), engine, pareto_k (the largest), r_hat, is_reliable, note, completions,
        n_completed, mean_added_events.
    """
    model, inputs = changed_inputs(shared, {})
    rows = leaving_rows(inputs, lost, horizon)
    level = inputs.design.treatment_level[rows]
    delta = np.where(level == 0, deltas[0], np.where(level == shared.level, deltas[1], 1.0))
    posterior = sample_posterior(model, inputs, seed, DRAWS)
    rng = random_stream(seed, Stream.COMPLETED_FOLLOW_UP)
    chosen = rng.choice(len(posterior.weight), size=completions, p=posterior.weight)
    completed = [
        complete_follow_up(
            inputs,
            posterior.at.draws(slice(place, place + 1)),
            rows,
            delta,
            horizon,
            1.0 - rng.random(len(rows)),
        )
        for place in chosen
    ]
    fits = sample_posteriors(model, completed, range(seed, seed + completions), COMPLETED_DRAWS)
    log_ratios = [each.log_hazard_ratio(shared.level) for each in fits]
    means = [float(each.weight @ own) for each, own in zip(fits, log_ratios, strict=True)]
    value = np.concatenate(log_ratios)
    weight = np.concatenate([each.weight / completions for each in fits])
    n_nuts = sum(each.engine == "nuts" for each in fits)
    return {
        **summarise_weighted(value, weight, shared.effect),
        "mcse": float(np.std(means, ddof=1) / math.sqrt(completions)),
        "engine": "nuts" if n_nuts == completions else "laplace",
        "pareto_k": max(
            (each.pareto_k for each in fits if each.pareto_k is not None), default=None
        ),
        "r_hat": max((each.r_hat for each in fits if each.r_hat is not None), default=None),
        "is_reliable": all(each.is_reliable for each in fits),
        "note": f"{n_nuts} of {completions} completions by NUTS" if n_nuts else None,
        "completions": completions,
        "n_completed": len(rows),
        "mean_added_events": float(np.mean([each.data.event[rows].sum() for each in completed])),
    }
