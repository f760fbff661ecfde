"""Immortal time: the wait for treatment, during which the treated could not have died.

Who is to get treatment has to live until it starts. Counting that time as treated makes any
treatment look good. The same cohort is analysed as treated (naive) and in three ways that
give nobody time in which they could not have died: landmarks, treatment as it changes over time,
and clones that are censored and weighted. Time zero of all but the landmarks is that of the
cohort's follow-up, on whose scale the start of treatment is measured.
"""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from bayes_crlm.sensitivity.clone_censor_weight import Clones, WeightModel, weight_model
from bayes_crlm.sensitivity.comparison_rows import (
    draw_rows,
    fit_row,
    rows_table,
    try_row,
    weighted_row,
)
from bayes_crlm.sensitivity.landmark import landmark_times, take_landmark
from bayes_crlm.sensitivity.parts import (
    Context,
    NotRunError,
    PartResult,
    conclusion,
    moves_conclusion,
)
from bayes_crlm.sensitivity.treatment_switch import split_at_start
from bayes_crlm.sensitivity.two_arms import TwoArms, start_of_treatment, two_arms
from bayes_crlm.sensitivity.weighted_posterior import effective_sample_size
from bayes_crlm.spec import Table

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan
    from bayes_crlm.cohort import Cohort
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["Settings", "analyse", "check", "choose_times", "compare_methods"]

# without times of the user's: by when these shares of the treated had started
LANDMARK_SHARES, GRACE_SHARE = (0.5, 0.75, 0.9), 0.9
WEIGHT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def increasing(times: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Refuse landmarks that are not in order."""
    if times is not None and any(b <= a for a, b in pairwise(times)):
        raise ValueError("give increasing times, each once")
    return times


class Settings(Table):
    """The table `[sensitivity.immortal_time]`."""

    start: Annotated[
        str, Field(min_length=1, description="the column with the time at which treatment starts")
    ] = "decision_months"
    landmarks: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(strict=False, min_length=1, description="a list of increasing times after 0"),
        AfterValidator(increasing),
    ] = None
    grace: Annotated[
        float | None,
        Field(gt=0, description="the time within which treatment has to start, a number above 0"),
    ] = None
    groups: Annotated[
        int, Field(ge=50, le=10_000, description="a whole number from 50 to 10000")
    ] = 200


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse what the cohort does not allow.

    Parameters
    ----------
    plan : Plan
    settings : Settings

    Raises
    ------
    NotRunError
        Without the start of treatment, or with times that leave nobody.
    """
    arms = two_arms(plan.model, plan.inputs)
    choose_times(arms, start_of_treatment(arms, settings.start), settings)


def analyse(context: Context, settings: Settings) -> PartResult:
    """Compare the naive analysis with three that have no immortal time.

    Parameters
    ----------
    context : Context
    settings : Settings

    Returns
    -------
    PartResult

    Raises
    ------
    NotRunError
        As `check`.
    """
    plan = context.plan
    found = compare_methods(two_arms(plan.model, plan.inputs), settings, context.seed)
    rows, unit = found["rows"], plan.inputs.cohort.unit or "time units"
    naive, others = rows[0], [row for row in rows[1:] if row["failure"] is None]
    levels = plan.inputs.design.levels
    notes = [
        f"Time zero is that of {plan.spec.data.time}, and {settings.start} is measured from it. "
        f"Before it, a treated patient counts as {plan.model.treatment} = {levels[0]}.",
        f"Grace period: {found['grace']:g} {unit}; landmarks at "
        f"{', '.join(f'{each:g}' for each in found['landmarks'])} {unit}.",
    ]
    if len(levels) > 2:
        notes.append(
            f"All levels but {levels[0]} count as one treatment here, because a patient's level "
            "is not known before it starts."
        )
    notes += [f"{row['label']}: {row['failure']}" for row in rows if row["failure"]]
    import pandas as pd

    return PartResult(
        result=found | {"start": settings.start, "time_zero": plan.spec.data.time},
        sentence=sentence(naive, others),
        moves=moves_conclusion(naive, others) if others else None,
        tables={
            "immortal_time": rows_table(rows),
            "clone_censor_weights": pd.DataFrame(found["weights"]),
        },
        figures={
            "immortal_time": (
                "The treatment's hazard ratio as treated, and without immortal time.",
                lambda: draw_rows(context, rows),
            )
        },
        notes=tuple(notes),
    )


def sentence(naive: dict[str, Any], others: Sequence[dict[str, Any]]) -> str:
    """Say how far the hazard ratio moves when nobody has immortal time."""
    if not others:
        return "Immortal time could not be examined: no other method gave a hazard ratio."
    least = min(others, key=lambda row: row["median"])
    most = max(others, key=lambda row: row["median"])
    moved = [row["label"] for row in others if conclusion(row) != conclusion(naive)]
    verdict = (
        f"the conclusion changes with {', '.join(moved)}"
        if moved
        else "no method changes the conclusion"
    )
    return (
        f"As treated, the hazard ratio is {naive['median']:.2f}; without immortal time it is "
        f"{least['median']:.2f} ({least['label']}) to {most['median']:.2f} ({most['label']}): "
        f"{verdict}."
    )


def choose_times(
    arms: TwoArms, start: NDArray, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """Take landmarks and grace period as given, or from when the treated started.

    Parameters
    ----------
    arms : TwoArms
    start : (patients,) ndarray
        Infinity for patients who never started.
    settings : Settings

    Returns
    -------
    (landmarks, grace)

    Raises
    ------
    NotRunError
        When nobody waited for treatment, or a time is not before the end of follow-up.
    """
    landmarks = settings.landmarks or tuple(landmark_times(start, LANDMARK_SHARES))
    own_grace = landmark_times(start, (GRACE_SHARE,))
    if not landmarks or not (settings.grace or own_grace):
        raise NotRunError(
            f"every treated patient started at 0 by column {settings.start!r}: nobody waited for "
            "treatment, so there is no immortal time"
        )
    grace = settings.grace or own_grace[-1]
    last = float(arms.time.max())
    for name, value in (("landmarks", max(landmarks)), ("grace", grace)):
        if value >= last:
            raise NotRunError(
                f"sensitivity.immortal_time.{name}: {value:g} is not before the end of follow-up "
                f"at {last:g}; give less"
            )
    return landmarks, grace


def compare_methods(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the cohort as treated, at landmarks, with split follow-up, and as weighted clones.

    Parameters
    ----------
    arms : TwoArms
    settings : Settings
    seed : int

    Returns
    -------
    dict
        `landmarks`, `grace`, `rows` (label, method, at, n_patients, n_events, n_treated, the
        columns of `bayes_crlm.sensitivity.refit.summarise_draws`, Cox's estimate where rows are
        not weighted, calibration where they are, failure) and `weights` (their distribution in
        each arm).

    Raises
    ------
    NotRunError
        As `check`.
    """
    start = start_of_treatment(arms, settings.start)
    landmarks, grace = choose_times(arms, start, settings)
    every = np.arange(arms.n_patients)
    naive = arms.cohort(every, arms.time, arms.event, arms.is_treated)
    rows = [
        fit_row(arms.model, naive, seed)
        | {"label": "as treated (naive)", "method": "naive", "at": None}
    ]
    rows += [landmark_row(arms, start, each, seed) for each in landmarks]
    rows.append(split_row(arms, start, seed))
    weighing = weight_model(start, arms.time, arms.event, arms.design, grace)
    rows += clone_rows(arms, start, weighing, settings.groups, seed)
    weights = weighing.weights(np.ones(arms.n_patients))
    return {
        "landmarks": list(landmarks),
        "grace": grace,
        "rows": rows,
        "weights": weight_rows(weighing.clones, weights, grace),
    }


def landmark_row(arms: TwoArms, start: NDArray, landmark: float, seed: int) -> dict[str, Any]:
    """Fit the patients still at risk at a landmark, from there on."""
    taken = take_landmark(start, arms.time, arms.event, landmark)
    cutpoints = arms.model.cutpoints
    if not isinstance(cutpoints, str | int):
        cutpoints = tuple(each - landmark for each in cutpoints if each > landmark)
    model = dataclasses.replace(arms.model, cutpoints=cutpoints)

    def fit() -> dict[str, Any]:
        cohort = arms.cohort(taken.patient, taken.time, taken.event, taken.is_treated)
        return fit_row(model, cohort, seed)

    return try_row(fit) | {
        "label": f"landmark at {landmark:g}",
        "method": "landmark",
        "at": landmark,
        "n_dead_before": taken.n_dead,
        "n_censored_before": taken.n_censored,
        "n_started_later": taken.n_later,
    }


def split_row(arms: TwoArms, start: NDArray, seed: int) -> dict[str, Any]:
    """Fit follow-up that is untreated before treatment starts."""
    split = split_at_start(start, arms.time, arms.event)

    def fit() -> dict[str, Any]:
        cohort = arms.cohort(
            split.patient,
            split.time,
            split.event,
            split.is_treated,
            entry=split.entry,
            stretch_of=split.patient,
        )
        return fit_row(arms.model, cohort, seed)

    labels = {"label": "time-dependent treatment", "method": "time_dependent", "at": None}
    return try_row(fit) | labels


def clone_rows(
    arms: TwoArms, start: NDArray, weighing: WeightModel, groups: int, seed: int
) -> list[dict[str, Any]]:
    """Fit weighted clones: the strategy alone, and the covariates beside it."""
    clones, grace = weighing.clones, weighing.grace
    rows = []

    def weigh(patient_weight: NDArray) -> NDArray:
        return patient_weight[clones.patient] * weighing.weights(patient_weight)

    for suffix, covariates in (("", ""), (", adjusted too", arms.model.covariates)):
        if suffix and not covariates:
            continue

        def fit(covariates: str = covariates) -> dict[str, Any]:
            model = dataclasses.replace(arms.model, covariates=covariates)
            model, cohort = clone_model(model, arms, clones)
            inputs = model.prepare(cohort)
            return weighted_row(model, inputs, weigh, arms.n_patients, groups, seed)

        rows.append(
            try_row(fit)
            | {
                "label": f"clone-censor-weight, grace {grace:g}{suffix}",
                "method": "clone_censor_weight" + ("_adjusted" if suffix else ""),
                "at": grace,
                "n_patients": arms.n_patients,
                "n_events": int(arms.event.sum()),
                "n_treated": int(np.sum(start <= grace)),
                "n_started_later": int(np.sum((start > grace) & np.isfinite(start))),
            }
        )
    return rows


def clone_model(
    model: "PiecewiseExponential", arms: TwoArms, clones: Clones
) -> "tuple[PiecewiseExponential, Cohort]":
    """Make a cohort of the clones, and cut its follow-up as that of the patients.

    Deaths count twice while both clones of a patient are followed, so that intervals chosen by
    the clones' deaths would be too many.
    """
    from bayes_crlm.intervals import choose_intervals

    cohort = arms.cohort(
        clones.patient,
        clones.time,
        clones.event,
        clones.arm,
        entry=clones.entry,
        stretch_of=2 * clones.patient + clones.arm,
    )
    entry, longest = np.zeros(arms.n_patients), float(cohort.time.max())
    chosen = choose_intervals(entry, arms.time, arms.event, model.cutpoints).cutpoints
    inner = tuple(float(each) for each in chosen[1:-1] if each < longest)
    return dataclasses.replace(model, cutpoints=inner), cohort


def weight_rows(clones: Clones, weights: NDArray, grace: float) -> list[dict[str, Any]]:
    """Distribution of the weights of clones followed beyond the grace period, by arm."""
    rows = []
    for arm, name in ((1, "start within the grace period"), (0, "never start")):
        is_followed = (clones.arm == arm) & (clones.entry <= grace) & (clones.time > grace)
        weight = weights[is_followed]
        if not len(weight):
            continue
        quantiles = np.quantile(weight, WEIGHT_QUANTILES)
        rows.append(
            {"strategy": name, "n_clones": len(weight), "min": float(weight.min())}
            | {
                f"q{100 * probability:g}": float(value)
                for probability, value in zip(WEIGHT_QUANTILES, quantiles, strict=True)
            }
            | {
                "max": float(weight.max()),
                "mean": float(weight.mean()),
                "effective_sample_size": effective_sample_size(weight),
            }
        )
    return rows
