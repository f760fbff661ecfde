"""Informative censoring: the censored may die faster, or slower, than the others.

The analysis takes it that patients who leave follow-up have from then on the hazard of like
patients who stay. Here their hazard after censoring is multiplied by delta, one for each arm. For
draws of the posterior the rest of every such patient's follow-up is drawn from the multiplied
hazard, up to a horizon, and the completed cohort is fitted anew with the priors of the spec; the
posterior is the mixture over the completions. With delta = 1 in both arms it is that of the spec.

References
----------
Jackson, White, Seaman, Evans, Baisley & Carpenter (2014), Stat Med 33:4681-4694 (delta-adjusted
imputation); Leacy, Floyd, Yates & White (2017), Am J Epidemiol 185:304-315; Tanner & Wong (1987),
J Am Stat Assoc 82:528-540 (a posterior as a mixture over completed data).
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.errors import SensitivityError
from bayes_crlm.intervals import cut_follow_up
from bayes_crlm.sensitivity.grids import ratios
from bayes_crlm.sensitivity.parts import (
    CREDIBLE,
    Context,
    NotRunError,
    PartResult,
    conclusion,
)
from bayes_crlm.sensitivity.refit import (
    DRAWS,
    Shared,
    changed_inputs,
    draw_posterior,
    treatment_effect,
    weighted_quantiles,
)
from bayes_crlm.spec import Table
from bayes_crlm.tasks import Task
from bayes_crlm.wording import did_you_mean, shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayes_crlm.analysis import Plan
    from bayes_crlm.cohort import Cohort
    from bayes_crlm.model import ModelInputs

__all__ = ["Settings", "analyse", "check", "complete_follow_up", "refit_completed"]

PROBABILITIES = (0.025, 0.5, 0.975)
# of the refits of each completed cohort, of which there are many
COMPLETED_DRAWS = 1000


class Settings(Table):
    """The table `[sensitivity.informative_censoring]`."""

    deltas: Annotated[Any, ratios("deltas")] = (0.25, 0.5, 1.0, 2.0, 4.0)
    plausible: Annotated[
        float, Field(ge=1, description="the largest plausible delta, of at least 1")
    ] = 2.0
    completions: Annotated[
        int, Field(ge=10, le=1000, description="a whole number from 10 to 1000")
    ] = 40
    lost: Annotated[
        str | None,
        Field(min_length=1, description="the column that is 1 for patients lost to follow-up"),
    ] = None
    horizon: Annotated[
        float | None, Field(gt=0, description="the time up to which follow-up is completed")
    ] = None


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse cohorts without censored patients, and impossible settings.

    Raises
    ------
    SensitivityError
    """
    horizon = horizon_of(plan.inputs.cohort, settings.horizon)
    leavers = leaving_rows(plan.inputs, settings.lost, horizon)
    if not len(leavers):
        raise NotRunError(
            f"{plan.inputs.cohort.source}: nobody is censored before {horizon:g}, so no follow-up "
            "is to be completed"
        )


def horizon_of(cohort: "Cohort", asked: float | None) -> float:
    """Where completed follow-up ends: the end of the longest one, unless the user says."""
    last = float(cohort.time.max())
    if asked is not None and asked > last:
        raise SensitivityError(
            f"sensitivity.informative_censoring.horizon: {asked:g} lies beyond the last follow-up "
            f"time {last:g}, where no hazard is estimated; give at most {last:g}"
        )
    return asked or last


def leaving_rows(inputs: "ModelInputs", lost: str | None, horizon: float) -> NDArray[np.intp]:
    """Last rows of the patients whose follow-up is to be completed.

    Raises
    ------
    SensitivityError
        When the column of those lost to follow-up is not there, or is not of 0 and 1.
    """
    from bayes_crlm.follow_up import numbers_of

    cohort, rows = inputs.cohort, inputs.final_row
    is_leaving = (cohort.event[rows] == 0) & (cohort.time[rows] < horizon)
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


def complete_follow_up(
    inputs: "ModelInputs",
    log_hazard: NDArray,
    effect: NDArray,
    rows: NDArray[np.intp],
    delta: NDArray,
    horizon: float,
    uniform: NDArray,
) -> "ModelInputs":
    """Draw the rest of some patients' follow-up, and put it into the cohort.

    Parameters
    ----------
    inputs : ModelInputs
    log_hazard : (intervals,) ndarray
        One draw of the hazards at the covariates' means.
    effect : (terms,) ndarray
        The same draw's log hazard ratios on the sampling scale.
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
    ModelInputs
        With `data` completed; intervals, priors and their centre stay.
    """
    data, edges = inputs.data, inputs.intervals.cutpoints
    relative = np.exp(data.design[rows] @ effect) * delta
    hazard = np.exp(log_hazard)
    at_edges = np.concatenate([[0.0], np.cumsum(hazard * np.diff(edges))])
    left = inputs.cohort.time[rows]
    # cumulative hazards are piecewise linear, and so is their inverse
    target = np.interp(left, edges, at_edges) - np.log(uniform) / relative
    died = target < np.interp(horizon, edges, at_edges)
    time, event = inputs.cohort.time.copy(), data.event.copy()
    time[rows] = np.where(died, np.interp(target, at_edges, edges), horizon)
    event[rows] = died
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
    deltas : (reference, treated)
        Factors of the hazards of censored patients of the reference level and of the level in
        question; 1 on other levels.
    completions : int
    lost : str or None
        Column of those whose follow-up is completed; all the censored without it.
    horizon : float
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
    posterior = draw_posterior(model, inputs, seed, DRAWS)
    rng = np.random.default_rng([seed, 7])
    chosen = rng.choice(len(posterior.weight), size=completions, p=posterior.weight)
    log_ratios, weights, means, fits, events = [], [], [], [], []
    for number, place in enumerate(chosen):
        completed = complete_follow_up(
            inputs,
            posterior.log_hazard[place],
            posterior.effect[place],
            rows,
            delta,
            horizon,
            1.0 - rng.random(len(rows)),
        )
        drawn = draw_posterior(model, completed, seed + number, COMPLETED_DRAWS)
        log_ratio = treatment_effect(drawn, completed, shared.level)
        log_ratios.append(log_ratio)
        weights.append(drawn.weight / completions)
        means.append(float(drawn.weight @ log_ratio))
        fits.append(drawn)
        events.append(float(completed.data.event[rows].sum()))
    value, weight = np.concatenate(log_ratios), np.concatenate(weights)
    mean = float(weight @ value)
    low, median, high = np.exp(weighted_quantiles(value, weight, PROBABILITIES))
    k = [each.pareto_k for each in fits if each.pareto_k is not None]
    r_hat = [each.r_hat for each in fits if each.r_hat is not None]
    n_nuts = sum(each.engine == "nuts" for each in fits)
    return {
        "median": float(median),
        "eti95": [float(low), float(high)],
        "prob_below_1": float(min(weight[value < 0].sum(), 1.0)),
        "mean_log": mean,
        "sd_log": math.sqrt(float(weight @ (value - mean) ** 2)),
        "mcse": float(np.std(means, ddof=1) / math.sqrt(completions)),
        "engine": "nuts" if n_nuts == completions else "laplace",
        "pareto_k": max(k) if k else None,
        "r_hat": max(r_hat) if r_hat else None,
        "is_reliable": all(each.is_reliable for each in fits),
        "note": f"{n_nuts} of {completions} completions by NUTS" if n_nuts else None,
        "completions": completions,
        "n_completed": len(rows),
        "mean_added_events": float(np.mean(events)),
    }


def analyse(context: Context, settings: Settings) -> PartResult:
    """Refit over the grid of deltas, and find where the conclusion tips."""
    inputs = context.plan.inputs
    horizon = horizon_of(inputs.cohort, settings.horizon)
    # where nothing is changed is the base, and every tipping point is looked for from there
    deltas = sorted({1.0, *settings.deltas})
    cells = [(reference, treated) for reference in deltas for treated in deltas]
    tasks = [
        Task(
            f"informative_censoring: {reference:g} {treated:g}",
            refit_completed,
            {
                "deltas": [reference, treated],
                "completions": settings.completions,
                "lost": settings.lost,
                "horizon": horizon,
                "seed": context.seed,
            },
        )
        for reference, treated in cells
    ]
    rows, failures = [], []
    for (reference, treated), done in zip(
        cells, context.run("informative_censoring", tasks), strict=True
    ):
        if done.value is None:
            failures.append(f"deltas {reference:g} and {treated:g}: {done.failure}")
        else:
            rows.append({"delta_reference": reference, "delta_treated": treated} | done.value)
    if not rows:
        raise SensitivityError(f"sensitivity.informative_censoring: {failures[0]}")
    tipping = {
        arm: tipping_delta([row for row in rows if row[f"delta_{other}"] == 1.0], f"delta_{arm}")
        for arm, other in (("treated", "reference"), ("reference", "treated"))
    }
    unchanged = next(
        (row for row in rows if row["delta_reference"] == row["delta_treated"] == 1.0), None
    )
    # nothing is changed there, and completion's Monte Carlo error alone turns nothing
    held = {conclusion(context.base)} | ({conclusion(unchanged)} if unchanged else set())
    for row in rows:
        row["is_plausible"] = is_plausible(row, settings.plausible)
        row["turns_conclusion"] = row is not unchanged and conclusion(row) not in held
    turned = [row for row in rows if row["turns_conclusion"]]
    unlikely = sum(not row["is_plausible"] for row in turned)
    unreliable = sum(not row["is_reliable"] for row in rows)
    levels, unit = inputs.design.levels, inputs.cohort.unit or "time units"
    notes = [
        f"Follow-up of {rows[0]['n_completed']} censored patients is completed up to {horizon:g} "
        f"{unit}, {settings.completions} times for each pair of deltas; mcse has the completions' "
        "share in it.",
        f"Delta multiplies the hazard after censoring: delta_reference on {levels[0]}, "
        f"delta_treated on {levels[context.level]}.",
        "Tipping deltas are interpolated between those of the grid.",
        f"The part moves the conclusion when a pair of deltas does that are both between "
        f"{1 / settings.plausible:.3g} and {settings.plausible:.3g}; others are the edges of what "
        "was examined.",
    ]
    if len(held) > 1:
        notes.append(
            "With deltas of 1 the completed cohorts conclude otherwise than the spec as it stands, "
            "by Monte Carlo error: ask for more completions."
        )
    if settings.lost is None:
        notes.append(
            "All censored patients count as leaving for a reason, those at the end of the study "
            "too, unless a column names those who were lost to follow-up."
        )
    if unreliable:
        notes.append(f"{unreliable} pairs of deltas fail their diagnostic and are marked.")
    notes += [f"Not fitted: {each}" for each in failures]
    return PartResult(
        result={"rows": rows, "tipping_delta": tipping, "horizon": horizon},
        sentence=sentence(context, rows, tipping),
        moves=len(turned) > unlikely,
        tables={"informative_censoring": table_of(rows)},
        figures=figures_of(context, rows, deltas, failures),
        notes=tuple(notes),
        would_move=say_would_move(unlikely),
    )


def is_plausible(row: Mapping[str, Any], most: float) -> bool:
    """Whether both deltas of a pair are within a factor that is thought possible."""
    deltas = (row["delta_reference"], row["delta_treated"])
    return all(1 / most - 1e-9 <= delta <= most + 1e-9 for delta in deltas)


def say_would_move(unlikely: int) -> str | None:
    """Name the pairs of deltas at the edges that turn the conclusion."""
    if not unlikely:
        return None
    pairs = "one pair" if unlikely == 1 else f"{unlikely} pairs"
    return f"{pairs} of larger deltas of the hazard after censoring"


def tipping_delta(rows: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """Delta nearest to 1 at which the conclusion is another than at 1; None within the grid.

    Between two deltas of the grid log delta is interpolated in the probit of the probability.
    """
    from statistics import NormalDist

    normal = NormalDist()
    ordered = sorted(rows, key=lambda row: row[name])
    start = next((k for k, row in enumerate(ordered) if row[name] == 1.0), None)
    if start is None:
        return None
    held = conclusion(ordered[start])
    found = []
    for step in (1, -1):
        before = start
        while 0 <= before + step < len(ordered):
            here, there = ordered[before], ordered[before + step]
            if conclusion(there) != held:
                probabilities = [here["prob_below_1"], there["prob_below_1"]]
                limit = min((CREDIBLE, 1 - CREDIBLE), key=lambda each: abs(each - probabilities[0]))
                ends = [normal.inv_cdf(min(max(p, 1e-6), 1 - 1e-6)) for p in probabilities]
                share = (normal.inv_cdf(limit) - ends[0]) / (ends[1] - ends[0])
                logs = [math.log(here[name]), math.log(there[name])]
                found.append(logs[0] + share * (logs[1] - logs[0]))
                break
            before += step
    return math.exp(min(found, key=abs)) if found else None


def sentence(
    context: Context, rows: Sequence[Mapping[str, Any]], tipping: Mapping[str, float | None]
) -> str:
    """Say how much faster the censored would have to die."""
    levels = context.plan.inputs.design.levels
    named = {"treated": levels[context.level], "reference": levels[0]}
    medians = [row["median"] for row in rows]
    said = [
        f"on {named[arm]} alone at a delta of {delta:.2f}"
        for arm, delta in tipping.items()
        if delta is not None
    ]
    text = (
        "When the hazard of the censored is multiplied by up to "
        f"{max(row['delta_treated'] for row in rows):g} or down to "
        f"{min(row['delta_treated'] for row in rows):g} in each arm, the hazard ratio lies between "
        f"{min(medians):.2f} and {max(medians):.2f}"
    )
    if said:
        return f"{text}; the conclusion turns {' and '.join(said)}."
    turned = sum(row["turns_conclusion"] for row in rows)
    if turned:
        return f"{text}; the conclusion turns only with both arms changed, in {turned} pairs."
    return f"{text}; the conclusion never turns."


def table_of(rows: Sequence[Mapping[str, Any]]) -> Any:
    """One row for every pair of deltas."""
    import pandas as pd

    return pd.DataFrame(
        [
            {key: value for key, value in row.items() if key != "eti95"}
            | {"eti95_low": row["eti95"][0], "eti95_high": row["eti95"][1]}
            for row in rows
        ]
    )


def figures_of(
    context: Context,
    rows: Sequence[Mapping[str, Any]],
    deltas: Sequence[float],
    failures: Sequence[str],
) -> dict[str, Any]:
    """Median hazard ratio over both deltas; none where the grid has holes."""
    from bayes_crlm.figures.drawing import plain_text
    from bayes_crlm.sensitivity.figures import plot_surface

    if failures or len(deltas) < 2:
        return {}
    below = np.array([row["prob_below_1"] for row in rows]).reshape(len(deltas), len(deltas))
    thick = CREDIBLE if conclusion(context.base) != "above" else 1 - CREDIBLE
    levels = context.plan.inputs.design.levels
    treatment = plain_text(context.plan.model.treatment)

    def draw() -> "Figure":
        return plot_surface(
            context,
            deltas,
            deltas,
            below,
            xlabel=f"delta with {treatment} = {plain_text(levels[context.level])}",
            ylabel=f"delta with {treatment} = {plain_text(levels[0])}",
            levels=sorted({0.05, 0.2, 0.5, 0.8, 0.9, 0.99, thick}),
            thick=thick,
            label=lambda each: f"{each:.2f}",
            log_x=True,
            log_y=True,
        )

    return {
        "informative_censoring": (
            "P(HR < 1) when the hazard of the censored is multiplied by delta; beyond the thick "
            "line the conclusion is another.",
            draw,
        )
    }
