"""Informative censoring: the censored may die faster, or slower, than the others.

The analysis takes it that patients who leave follow-up have from then on the hazard of like
patients who stay. Here their hazard after censoring is multiplied by delta, one for each arm
(`bayes_crlm.sensitivity.missing.completed_follow_up`), over a grid of deltas, and the tipping delta
is found at which the conclusion changes.

References
----------
Jackson, White, Seaman, Evans, Baisley & Carpenter (2014), Stat Med 33:4681-4694 (delta-adjusted
imputation); Leacy, Floyd, Yates & White (2017), Am J Epidemiol 185:304-315.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.drawing import plain_text
from bayes_crlm.figures.surfaces import plot_surface
from bayes_crlm.sensitivity.missing.completed_follow_up import (
    horizon_of,
    leaving_rows,
    refit_completed,
)
from bayes_crlm.sensitivity.parts import Beliefs, Context, Finding, Variant, finding, rows_of
from bayes_crlm.sensitivity.verdicts import Judge, Values, failing, range_in_words, reliable
from bayes_crlm.specification.lists import ratios
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import as_written, number, significant
from bayes_crlm.words.wording import count_of


class Settings(Beliefs):
    """The table `[sensitivity.informative_censoring]`."""

    BELIEFS: ClassVar[tuple[str, ...]] = ("deltas", "plausible", "lost")

    deltas: Annotated[Any, ratios("deltas")] = (0.25, 0.5, 1.0, 2.0, 4.0)
    plausible: float = Field(2.0, ge=1, description="the largest plausible delta, of at least 1")
    completions: int = Field(40, ge=10, le=1000, description="a whole number from 10 to 1000")
    lost: str | None = Field(
        None, min_length=1, description="the column that is 1 for patients lost to follow-up"
    )
    horizon: float | None = Field(
        None, gt=0, description="the time up to which follow-up is completed"
    )


def check(plan: Plan, settings: Settings) -> None:
    """Refuse cohorts without censored patients, and impossible settings.

    Raises
    ------
    SensitivityError
    """
    horizon = horizon_of(plan.inputs.cohort, settings.horizon)
    leavers = leaving_rows(plan.inputs, settings.lost, horizon)
    if not len(leavers):
        raise SensitivityError(
            f"{plan.inputs.cohort.source}: nobody drops out before {as_written(horizon)}, so no "
            "follow-up "
            "is to be completed"
        )


def analyse(context: Context, settings: Settings) -> Finding:
    """Refit over the grid of deltas, and find where the conclusion tips."""
    judge, cohort = context.judge, context.plan.inputs.cohort
    horizon = horizon_of(cohort, settings.horizon)
    # where nothing is changed is the base, and every tipping point is looked for from there
    deltas = sorted({1.0, *settings.deltas})
    rows, failures = refit_grid(context, settings, horizon, deltas)
    judge.add_states(rows)
    for row in rows:
        row["is_plausible"] = is_plausible(row, settings.plausible)
        # where nothing is changed completion's Monte Carlo error alone changes nothing
        row["turns_conclusion"] = not is_unchanged(row) and judge.is_turned_by(row)
    tipping = {
        arm: tipping_delta(
            judge, [row for row in rows if row[f"delta_{other}"] == 1.0], f"delta_{arm}"
        )
        for arm, other in (("treated", "reference"), ("reference", "treated"))
    }
    is_stated = settings.is_stated or cohort.censoring_end is not None
    is_stated = is_stated or "informative_censoring" in context.selected
    counted = [row for row in rows if row["is_plausible"] and not is_unchanged(row) and is_stated]
    unlikely = len([row for row in rows if row["turns_conclusion"] and row not in counted])
    return finding(
        "informative_censoring",
        sentence(context, rows, tipping),
        judge.verdict(counted),
        result={"rows": rows, "tipping_delta": tipping, "horizon": horizon},
        rows=[rows_of("informative_censoring", rows)],
        figures=figures_of(context, rows, deltas, failures),
        notes=notes_of(context, settings, rows, horizon, is_stated=is_stated)
        + [f"Not fitted: {each}" for each in failures],
        would_move=possible_changes_in_words(unlikely, is_stated),
    )


def refit_grid(
    context: Context, settings: Settings, horizon: float, deltas: Sequence[float]
) -> tuple[list[dict[str, Any]], list[str]]:
    """Refit with every pair of deltas: rows, and what could not be fitted."""
    levels = context.plan.inputs.design.levels
    pairs = [
        Variant(
            f"deltas {as_written(reference)} {as_written(treated)}",
            {"deltas": [reference, treated]},
            {"delta_reference": reference, "delta_treated": treated},
        )
        for reference in deltas
        for treated in deltas
    ]
    settled = {"completions": settings.completions, "lost": settings.lost, "horizon": horizon}
    rows, failures = context.refit_variants(
        "informative_censoring", refit_completed, pairs, **settled
    )
    for row in rows:
        reference, treated = (as_written(row[f"delta_{arm}"]) for arm in ("reference", "treated"))
        row["label"] = (
            f"deltas {reference} with {levels[0]} and {treated} with {levels[context.level]}"
        )
    return rows, failures


def is_unchanged(row: Values) -> bool:
    """Whether neither arm's hazard is multiplied."""
    return row["delta_reference"] == row["delta_treated"] == 1.0


def notes_of(
    context: Context, settings: Settings, rows: Sequence[Values], horizon: float, *, is_stated: bool
) -> list[str]:
    """What is completed, which deltas count, and what may be wrong."""
    inputs = context.plan.inputs
    levels, unit = inputs.design.levels, inputs.cohort.unit or "time units"
    least, most = significant(1 / settings.plausible, 3), significant(settings.plausible, 3)
    notes = [
        f"Follow-up of {rows[0]['n_completed']} censored patients is completed up to "
        f"{as_written(horizon)} {unit}, {settings.completions} times for each pair of deltas; "
        "mcse has the completions' share in it.",
        f"Delta multiplies the hazard after censoring: delta_reference on {levels[0]}, "
        f"delta_treated on {levels[context.level]}.",
        "Tipping deltas are interpolated between those of the grid.",
        "The part changes the conclusion when a pair of deltas does that are both between "
        f"{least} and {most}; others are the edges of what was examined.",
    ]
    if any(is_unchanged(row) and row["state"] not in (None, "holds") for row in rows):
        notes.append(
            "With deltas of 1 the completed cohorts conclude otherwise than the base analysis, "
            "by Monte Carlo error, and do not count; so near the limit of the success rule little "
            "is needed to change the conclusion."
        )
    if not is_stated:
        notes.append(
            "Nothing in the spec says that patients were lost for a reason: what deltas do is "
            "reported separately and does not count. Name those lost to follow-up (lost), state "
            "deltas, or ask for this part by name."
        )
    if settings.lost is None and inputs.cohort.censoring_end is None:
        notes.append(
            "All censored patients count as leaving for a reason, those at the end of the study "
            "too, unless data.censoring_end says when the study ended for whom, or a column (lost) "
            "names those who were lost to follow-up."
        )
    unreliable = sum(not row["is_reliable"] for row in rows)
    if unreliable:
        notes.append(f"{failing(unreliable, 'pair of deltas', 'pairs of deltas')}.")
    return notes


def is_plausible(row: Values, most: float) -> bool:
    """Whether both deltas of a pair are within a factor that is thought possible."""
    deltas = (row["delta_reference"], row["delta_treated"])
    return all(1 / most - 1e-9 <= delta <= most + 1e-9 for delta in deltas)


def possible_changes_in_words(unlikely: int, is_stated: bool) -> str | None:
    """Name the pairs of deltas that change the conclusion and do not count."""
    if not unlikely:
        return None
    pairs = "one pair" if unlikely == 1 else f"{unlikely} pairs"
    if is_stated:
        return f"{pairs} of larger deltas of the hazard after censoring"
    return f"{pairs} of deltas of the hazard after censoring, were the censored dropouts"


def tipping_delta(judge: Judge, rows: Sequence[Values], name: str) -> float | None:
    """Delta nearest to 1 at which the conclusion is another than the base's; None within the grid.

    Between two deltas of the grid log delta is interpolated in the probit of the probability.
    Rows that fail their diagnostics are passed over.

    Parameters
    ----------
    judge : Judge
        Its base is in place of the row with a delta of 1, of which completion has Monte Carlo
        error.
    rows : sequence of mapping
        With a probability, and the delta.
    name : str
        Key of the delta.
    """
    from statistics import NormalDist

    normal, limits = NormalDist(), (1 - judge.rule.probability, judge.rule.probability)
    ordered = sorted(reliable(rows), key=lambda row: row[name])
    start = next((k for k, row in enumerate(ordered) if row[name] == 1.0), None)
    if start is None:
        return None
    ordered[start] = {**judge.base, name: 1.0}
    found = []
    for away in (ordered[start:], ordered[start::-1]):
        for here, there in pairwise(away):
            if judge.conclusion(there) == judge.held:
                continue
            probabilities = [judge.prob_below(here), judge.prob_below(there)]
            # of two limits between them, the first that is crossed
            limit = min(
                (each for each in limits if min(probabilities) <= each <= max(probabilities)),
                key=lambda each: abs(each - probabilities[0]),
            )
            ends = [normal.inv_cdf(min(max(p, 1e-6), 1 - 1e-6)) for p in probabilities]
            share = (normal.inv_cdf(limit) - ends[0]) / (ends[1] - ends[0])
            logs = [math.log(here[name]), math.log(there[name])]
            found.append(logs[0] + share * (logs[1] - logs[0]))
            break
    return math.exp(min(found, key=abs)) if found else None


def sentence(context: Context, rows: Sequence[Values], tipping: Mapping[str, float | None]) -> str:
    """Say how much faster the censored would have to die."""
    levels = context.plan.inputs.design.levels
    named = {"treated": levels[context.level], "reference": levels[0]}
    sound = reliable(rows)
    if not sound:
        return "No pair of deltas passes its diagnostics: what they would do is not known."
    said = [
        f"on {named[arm]} alone at a delta of {number(delta)}"
        for arm, delta in tipping.items()
        if delta is not None
    ]
    text = (
        "When the hazard of the censored is multiplied by up to "
        f"{as_written(max(row['delta_treated'] for row in sound))} or down to "
        f"{as_written(min(row['delta_treated'] for row in sound))} in each arm, the hazard ratio "
        f"{range_in_words(sound)}"
    )
    if said:
        return f"{text}; the conclusion changes {' and '.join(said)}."
    turned = [row for row in rows if row["turns_conclusion"]]
    if turned:
        is_of_both = all(row["delta_treated"] != 1 != row["delta_reference"] for row in turned)
        only = " only with both arms changed," if is_of_both else ""
        return f"{text}; the conclusion changes{only} in {count_of(len(turned), 'pair')}."
    return f"{text}; the conclusion never changes."


def change_in_words(judge: Judge) -> str:
    """Say beyond which lines of equal probability the conclusion is another."""
    level = judge.rule.probability
    if judge.held == "undecided":
        return (
            f"Below {significant(1 - level, 3)} and above {significant(level, 3)} the conclusion "
            "is another; the line of the two that is nearer to the base analysis is thick."
        )
    return "Beyond a thick line the conclusion is another; without one it is the same everywhere."


def figures_of(
    context: Context, rows: Sequence[Values], deltas: Sequence[float], failures: Sequence[str]
) -> list[Figure]:
    """P(HR < 1) and hazard ratio over both deltas; none where the grid has holes."""
    if failures or len(deltas) < 2:
        return []
    judge, plan, shape = context.judge, context.plan, (len(deltas), len(deltas))
    level, name = judge.rule.probability, judge.rule.probability_name("lower")
    treatment, levels = plain_text(plan.model.treatment), plan.inputs.design.levels
    numbers = {
        "x": deltas,
        "y": deltas,
        "values": np.reshape([judge.prob_below(row) for row in rows], shape),
        "xlabel": f"delta with {treatment} = {plain_text(levels[context.level])}",
        "ylabel": f"delta with {treatment} = {plain_text(levels[0])}",
        "levels": [1 - level, level, 0.2, 0.5, 0.8, 0.9, 0.99],
        "thick": judge.of_side(level),
        "quantity": name,
        "log_x": True,
        "log_y": True,
        "numbers": np.reshape([row["median"] for row in rows], shape),
    }
    caption = (
        "When the hazard of the censored is multiplied by delta: numbers are hazard ratios, "
        f"lines of equal {name}. {change_in_words(judge)}"
    )
    return [Figure("informative_censoring", caption, plot_surface, numbers)]
