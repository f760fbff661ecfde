"""Rows of a table of hazard ratios by several methods, each fitted to a cohort of its own.

Weighted rows have a calibrated posterior (`bayes_crlm.sensitivity.weighted_posterior`), and are not
reliable where an arm has few weighted events; a row that cannot be fitted says why.
"""

import dataclasses
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.sensitivity.parts import unreliable_note
from bayes_crlm.sensitivity.posterior_draws import ENGINE, NUMBERS, sample_posterior
from bayes_crlm.sensitivity.refit import cox_row
from bayes_crlm.sensitivity.two_arms import TwoArms
from bayes_crlm.sensitivity.verdicts import Values, reliable
from bayes_crlm.sensitivity.weighted_posterior import calibrate
from bayes_crlm.words.errors import BayesCRLMError

OF_FIT = (
    *(*NUMBERS, *ENGINE[:-1], "chains", "is_reliable", "note", "cox_hr", "cox_ci95"),
    *("n_patients", "n_events", "n_treated"),
)
# of weighted fits, and the most that a model takes
FINER, MOST_INTERVALS = 3, 200
FIRST = ("label", "method", "at", "median", "eti95", "prob_below_1")
"""Columns that a table of such rows begins with."""


def or_failure(fit: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    """Let a row that cannot be fitted say why."""

    @wraps(fit)
    def fit_or_say(*arguments: Any, **more: Any) -> dict[str, Any]:
        try:
            return fit(*arguments, **more)
        except BayesCRLMError as problem:
            return dict.fromkeys(OF_FIT) | {"failure": str(problem)}

    return fit_or_say


@or_failure
def fit_row(
    model: ModelDefinition, cohort: Cohort, seed: int, effect: float = 1.0
) -> dict[str, Any]:
    """Fit a cohort and summarise the treatment's hazard ratio, with Cox's beside it.

    Parameters
    ----------
    model : ModelDefinition
        With a treatment of two levels.
    cohort : Cohort
        Whose rows are used.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    effect : float
        The hazard ratio that the success rule is about.
    """
    inputs = model.prepare(cohort)
    treated = inputs.design.treatment_level == 1
    return (
        sample_posterior(model, inputs, seed).row(1, effect)
        | cox_row(inputs, 1)
        | {
            "n_patients": inputs.cohort.n_patients,
            "n_events": inputs.cohort.n_events,
            "n_treated": len(np.unique(inputs.cohort.patient_index[treated])),
            "failure": None,
        }
    )


def cut_finely(
    model: PiecewiseExponential, arms: TwoArms, cohort: Cohort, weight: NDArray
) -> PiecewiseExponential:
    """Give a model three times as many intervals, at most one an event, of equal weighted deaths.

    Weights let some deaths count several times, just where intervals chosen by the number of
    deaths are coarse. Cut finely, and at times of death, where Cox regression takes its risk sets,
    a weighted hazard ratio is that of weighted Cox regression.

    Parameters
    ----------
    model : PiecewiseExponential
        What is fitted.
    arms : TwoArms
        By whose follow-up the model's own intervals are chosen.
    cohort : Cohort
        The rows that are fitted.
    weight : (rows,) ndarray
        Of them.
    """
    from bayes_crlm.likelihood.intervals import choose_intervals
    from bayes_crlm.likelihood.quantiles import values_reached

    own = choose_intervals(arms.entry, arms.time, arms.event, model.cutpoints).n_intervals
    number = min(FINER * own, len(np.unique(arms.time[arms.event == 1])), MOST_INTERVALS)
    is_death = (cohort.event == 1) & (weight > 0)
    share = weight[is_death] / weight[is_death].sum()
    at = np.arange(1, number) / number
    cutpoints = np.unique(values_reached(cohort.time[is_death], share, at))
    inner = tuple(float(each) for each in cutpoints[cutpoints < cohort.time.max()])
    return dataclasses.replace(model, cutpoints=inner or 1)


def weighted_cox_row(
    inputs: PreparedCohort, row_weight: NDArray, cluster: NDArray
) -> dict[str, Any]:
    """Cox's hazard ratio of weighted rows, with the robust limits of their patients.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    row_weight : (rows,) ndarray
        How much each row counts.
    cluster : (rows,) ndarray of int
        Whose rows they are.
    """
    from bayes_crlm.frequentist.weighted_cox import fit_weighted_cox

    cohort = inputs.cohort
    coef, se = fit_weighted_cox(
        cohort.entry, cohort.time, cohort.event, inputs.design.matrix, row_weight, cluster
    )
    if not np.isfinite(coef[0]):
        return {"cox_hr": None, "cox_ci95": [None, None]}
    limits = np.exp(coef[0] + HALF_WIDTH_95 * se[0] * np.array([-1.0, 1.0]))
    return {"cox_hr": float(np.exp(coef[0])), "cox_ci95": limits.tolist()}


@or_failure
def weighted_row(
    model: PiecewiseExponential,
    arms: TwoArms,
    cohort: Cohort,
    weigh: Callable[[NDArray], NDArray],
    groups: int,
    seed: int,
    *,
    is_own: NDArray | None = None,
    cluster: NDArray | None = None,
) -> dict[str, Any]:
    """Fit weighted rows, finely cut by their weighted deaths.

    The width of the posterior is calibrated over the arms' patients.

    Parameters
    ----------
    model : PiecewiseExponential
        What is fitted.
    arms : TwoArms
        The patients of the two levels that are compared.
    cohort : Cohort
        Rows of its patients.
    weigh, groups, is_own
        As of `bayes_crlm.sensitivity.weighted_posterior.calibrate`.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    cluster : (rows,) ndarray of int, optional
        Whose rows they are; every row is a patient without it.

    Returns
    -------
    dict
        A row with `calibration`, a dict, and weighted Cox regression beside it.
    """
    number = arms.n_patients
    finely = cut_finely(model, arms, cohort, weigh(np.ones((1, number)))[0])
    inputs = finely.prepare(cohort)
    calibration = calibrate(inputs, weigh, number, groups, seed, is_own=is_own)
    weighted = inputs.data.weighted(calibration.learning_rate * calibration.row_weight)
    scaled = dataclasses.replace(inputs, data=weighted)
    cluster = np.arange(inputs.cohort.n_rows) if cluster is None else cluster
    row = (
        sample_posterior(finely, scaled, seed).row(1, arms.effect)
        | weighted_cox_row(inputs, calibration.row_weight, cluster)
        | {"failure": None, "calibration": calibration.to_dict()}
    )
    return add_problems(row, [calibration.problem] if calibration.problem else [])


def add_problems(row: dict[str, Any], problems: Sequence[str]) -> dict[str, Any]:
    """Mark a row as not reliable, for reasons beside its own; as it is without any."""
    if not problems or row["failure"] is not None:
        return row
    return row | {
        "is_reliable": False,
        "note": "; ".join(each for each in (row["note"], *problems) if each),
    }


def fitted_rows(rows: Sequence[Values]) -> list[Values]:
    """Rows that could be fitted."""
    return [row for row in rows if row["failure"] is None]


def usable(rows: Sequence[Values]) -> list[Any]:
    """Rows that were fitted and do not fail their diagnostics: those that may decide anything."""
    return reliable(fitted_rows(rows))


def failure_notes(rows: Sequence[Values]) -> list[str]:
    """Say which rows could not be fitted, and which fail their diagnostics."""
    failed = [f"{row['label']}: {row['failure']}" for row in rows if row["failure"]]
    return failed + unreliable_note(rows)
