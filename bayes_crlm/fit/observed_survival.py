"""Kaplan-Meier of each arm beside the model's curve, with the largest distance between them.

Kaplan-Meier is of the patients as treated and adjusts for nothing; the model's curve is that of all
patients on one level. They lie apart where covariates differ between arms, and where the model is
wrong: hazards that cross show here.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.estimand_draws import survival_draws
from bayes_crlm.likelihood.kaplan_meier import KaplanMeier
from bayes_crlm.model.arm_follow_up import CURVE_DRAWS, arm_kaplan_meier
from bayes_crlm.model.origin import AT_RISK_LEAST, default_origin
from bayes_crlm.words.arguments import times_of
from bayes_crlm.words.shown import as_written

if TYPE_CHECKING:
    from bayes_crlm.fit.draws import PosteriorDraws
    from bayes_crlm.model.prepared import PreparedCohort

# points equally spaced, and at the quantiles of the rows' ends: one patient who is followed ten
# times as long as the others leaves few equally spaced points where the curve falls
EQUAL_POINTS, QUANTILE_POINTS = 61, 60


def model_curves(fit: "PosteriorDraws") -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Times from the origin on, and draws of standardised survival at them.

    Returns
    -------
    times : (times,) ndarray
    survival : (draws, levels, times) ndarray
    """
    end, ends = float(fit.inputs.intervals.cutpoints[-1]), fit.inputs.cohort.time
    equal = np.linspace(fit.begin, end, EQUAL_POINTS)
    later = ends[(ends > fit.begin) & (ends < end)]
    shares = np.linspace(0, 1, QUANTILE_POINTS)
    often = np.quantile(later, shares) if len(later) else later
    times = np.unique(np.concatenate([equal, often]))
    return times, survival_draws(fit, times, most_draws=CURVE_DRAWS).values


def kaplan_meier_rows(fit: "PosteriorDraws", times: Sequence[float]) -> list[dict[str, Any]]:
    """Kaplan-Meier of every arm at given times beside the model's survival.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    times : sequence of float
        From the origin to the end of follow-up.

    Returns
    -------
    list of dict
        treatment, time, n_at_risk, kaplan_meier (missing beyond the arm's last patient), model
        (posterior mean of standardised survival), difference (Kaplan-Meier minus model), given:
        the time to which both are given survival, the origin, where the arm's first patient comes
        under observation, or where Kaplan-Meier starts again.
    """
    times = times_of(times, "times")
    model = survival_draws(fit, times).values.mean(axis=0)
    rows = []
    for k, level in enumerate(fit.inputs.design.levels):
        curve = arm_kaplan_meier(fit.inputs, k, fit.begin)
        if curve is None:
            continue
        at_risk, survival = curve.number_at_risk(times), curve.at(times)
        for j, time in enumerate(times):
            starts = (fit.begin, curve.origin, *curve.restarts)
            given = max(start for start in starts if start <= time)
            expected = float(model[k, j])
            if given > fit.begin:
                expected /= float(survival_draws(fit, [given]).values[:, k].mean())
            rows.append(
                {
                    "treatment": level,
                    "time": float(time),
                    "n_at_risk": int(at_risk[j]),
                    "kaplan_meier": float(survival[j]),
                    "model": expected,
                    "difference": float(survival[j]) - expected,
                    "given": float(given),
                }
            )
    return rows


def kaplan_meier_distances(fit: "PosteriorDraws") -> list[dict[str, Any]]:
    """Largest distance of each arm's Kaplan-Meier curve from the model's, and where it is.

    It is taken over the times at which at least ten patients of the arm are at risk, or as many as
    ever are. Both curves are given survival to the first of them: while few of an arm that is
    entered late are at risk, a single death or none moves its curve far, and for good.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.

    Returns
    -------
    list of dict
        treatment, distance, time, kaplan_meier, model, given (the time to which both are given
        survival); one for each arm with rows after the origin.
    """
    times, draws = model_curves(fit)
    mean, rows = draws.mean(axis=0), []
    for k, level in enumerate(fit.inputs.design.levels):
        curve = arm_kaplan_meier(fit.inputs, k, enough_from(fit.inputs, k, fit.begin))
        if curve is None:
            continue
        step_times, after = curve.steps
        before = np.concatenate([[1.0], after[:-1]])
        at_risk = curve.number_at_risk(step_times)
        is_enough = at_risk >= min(AT_RISK_LEAST, int(at_risk.max()))
        model = between(step_times, times, mean[k])
        given = since_restart(step_times, curve, times, mean[k])
        sizes = np.where(is_enough, np.abs(after - model / given), -1.0)
        # a curve is farthest from a falling one just before or just after one of its steps
        given_before = np.concatenate([given[:1], given[:-1]])
        sizes_before = np.where(is_enough, np.abs(before - model / given_before), -1.0)
        place = int(np.argmax(np.maximum(sizes, sizes_before)))
        is_before = sizes_before[place] > sizes[place]
        observed, scale = (before, given_before) if is_before else (after, given)
        rows.append(
            {
                "treatment": level,
                "distance": float(max(sizes[place], sizes_before[place])),
                "time": float(step_times[place]),
                "kaplan_meier": float(observed[place]),
                "model": float(model[place] / scale[place]),
                "given": max(
                    start for start in (curve.origin, *curve.restarts) if start <= step_times[place]
                ),
            }
        )
    return rows


def enough_from(inputs: "PreparedCohort", level: int, origin: float) -> float:
    """Earliest time from the origin on at which ten of an arm are at risk, or as many as ever."""
    cohort = inputs.cohort
    rows = (inputs.design.treatment_level == level) & (cohort.time > origin)
    if not rows.any():
        return origin
    return max(origin, default_origin(np.maximum(cohort.entry[rows], origin), cohort.time[rows]))


def since_restart(
    step_times: NDArray, curve: "KaplanMeier", times: NDArray, mean: NDArray
) -> NDArray[np.float64]:
    """The model's survival where Kaplan-Meier began, or last started again."""
    given = np.ones(len(step_times))
    for start in (curve.origin, *curve.restarts):
        given[step_times >= start] = between(start, times, mean)
    return given


def between(when: NDArray | float, times: NDArray, mean: NDArray) -> NDArray[np.float64]:
    """Read a curve between its points, where its hazard is taken as constant."""
    return np.exp(np.interp(when, times, np.log(np.maximum(mean, np.finfo(float).tiny))))


def kaplan_meier_cautions(inputs: "PreparedCohort", origin: float) -> list[str]:
    """Say where an arm's Kaplan-Meier curve starts again: it fell to 0, or nobody was at risk."""
    unit, design = inputs.cohort.unit or "time units", inputs.design
    phrases = []
    for k, level in enumerate(design.levels):
        # of rows that begin together none is left after all who were at risk
        if np.ptp(np.maximum(inputs.cohort.entry[design.treatment_level == k], origin)) == 0:
            continue
        curve = arm_kaplan_meier(inputs, k, origin)
        if curve is None:
            continue
        for restart in curve.restarts:
            place = np.searchsorted(curve.times, restart, side="right") - 1
            if curve.survival[place] > 0:
                phrases.append(
                    f"Kaplan-Meier of {design.treatment} {level} ends at "
                    f"{as_written(curve.times[place])} {unit}, from when on nobody is at risk, and "
                    f"starts again at {as_written(restart)}: from there on it is given survival "
                    "to there"
                )
                continue
            # the last time at which the curve stood at 0 before it
            fell = curve.times[(curve.survival <= 0) & (curve.times <= restart)].max()
            phrases.append(
                f"Kaplan-Meier of {design.treatment} {level} falls to 0 at {as_written(fell)} "
                f"{unit}, when "
                f"all who were at risk had had the event, and starts again at "
                f"{as_written(restart)}: from "
                "there on it is given survival to there"
            )
    return phrases
