"""How strong an unmeasured confounder would have to be, and what one of a stated strength does.

Three answers that rest on less and less: E-values ask for nothing; the tipping surface asks for
the confounder's hazard ratio and prevalences; the bias analysis asks for beliefs about them, and
refits the model with the confounder in it.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.surfaces import plot_surface
from bayes_crlm.sensitivity.confounding.latent_confounder import (
    ConfounderPrior,
    fit_latent_confounder,
)
from bayes_crlm.sensitivity.e_values import hazard_ratio_e_value
from bayes_crlm.sensitivity.parts import Beliefs, Context, Finding, finding, forest, naming, rows_of
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.tipping_points import TippingSurface, tipping_bias, tipping_surface
from bayes_crlm.sensitivity.verdicts import Judge, Values, ratio_of
from bayes_crlm.specification.lists import number_list, ratios
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure, Rows
from bayes_crlm.words.shown import as_written, number, percent, whole_percent
from bayes_crlm.words.wording import count_of

Limits = Annotated[
    tuple[float, float], Field(strict=False, description="two limits [low, high], the lower first")
]
OF_SURFACE = (
    *("confounder_hazard_ratio", "prevalence_difference", "prevalence_reference"),
    *("median", "low", "high"),
)
OF_BIAS = ("side", "probability", "limit", "median")
# of a refit with a confounder, what does not go into a table
NESTED = ("confounder", "prior", "diagnostics")
# events from which on a hazard ratio is no risk ratio any more (VanderWeele & Ding 2017)
COMMON = 0.15


class Settings(Beliefs):
    """The table `[sensitivity.unmeasured_confounding]`.

    The default beliefs are of a confounder as strong as the strongest measured ones of this
    disease, twice as frequent on the strategy that looks worse. Only beliefs that the spec states
    may change the conclusion.
    """

    BELIEFS: ClassVar[tuple[str, ...]] = (
        *("latent_hazard_ratio", "latent_prevalence_worse", "latent_prevalence_better"),
    )

    strengths: Annotated[Any, ratios("hazard ratios of the confounder")] = (
        1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 7.0, 10.0,
    )  # fmt: skip
    differences: Annotated[Any, number_list("differences", 0.0, 1.0, is_open=False)] = (
        0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5,
    )  # fmt: skip
    prevalence: float = Field(
        0.5, gt=0, lt=1, description="the confounder's prevalence with the reference"
    )
    latent_hazard_ratio: Limits = (1.0, 4.0)
    latent_prevalence_worse: Limits = (0.3, 0.5)
    latent_prevalence_better: Limits = (0.1, 0.3)


def check(plan: Plan, settings: Settings) -> None:
    """Refuse impossible beliefs and a grid that leaves no prevalence.

    Raises
    ------
    SensitivityError
    """
    where = "sensitivity.unmeasured_confounding"
    with naming(where):
        confounder_prior(settings, "lower", len(plan.inputs.design.levels), 1)
    room = min(settings.prevalence, 1 - settings.prevalence)
    if max(settings.differences) > room + 1e-12:
        raise SensitivityError(
            f"{where}.differences holds {as_written(max(settings.differences))}, which no "
            "prevalence allows "
            f"beside {as_written(settings.prevalence)} with the reference; give at most "
            f"{as_written(room)}"
        )


def confounder_prior(settings: Settings, side: str, n_levels: int, level: int) -> ConfounderPrior:
    """Beliefs that speak against the conclusion: carriers are rarer where patients do better."""
    worse, better = settings.latent_prevalence_worse, settings.latent_prevalence_better
    reference, treated = (worse, better) if side == "lower" else (better, worse)
    prevalence = [reference] * n_levels
    prevalence[level] = treated
    return ConfounderPrior(settings.latent_hazard_ratio, tuple(prevalence))


def latent_refit(shared: Shared, *, prior: Values, seed: int) -> dict[str, Any]:
    """Refit the base model with a latent binary confounder, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    prior : mapping
        The attributes of a `ConfounderPrior`.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Raises
    ------
    SensitivityError
        For a treatment that changes within patients.
    """
    _, inputs = changed_inputs(shared, {})
    fit = fit_latent_confounder(inputs, ConfounderPrior(**prior), seed=seed)
    place = shared.level - 1
    return {
        **fit.hazard_ratios[place],
        "prob_below_effect": fit.prob_below(shared.effect)[place],
        "is_reliable": fit.diagnostics.is_trustworthy,
        "confounder": fit.confounder,
        "prior": prior,
        "diagnostics": fit.diagnostics.to_dict(),
        "target_accept": fit.target_accept,
        "engine": "nuts",
    }


def analyse(context: Context, settings: Settings) -> Finding:
    """Compute E-values and the tipping surface, and refit with a latent confounder."""
    base, inputs, judge = context.base, context.plan.inputs, context.judge
    is_common = inputs.cohort.n_events > COMMON * inputs.cohort.n_patients
    values = hazard_ratio_e_value(base["median"], *base["eti95"], is_common=is_common)
    surface, found = surface_of(context, settings)
    levels = inputs.design.levels
    prior = confounder_prior(settings, judge.side, len(levels), context.level)
    calls = [("latent confounder", {"prior": asdict(prior)})]
    (done,) = context.run_calls("unmeasured_confounding", latent_refit, calls)
    refits = [] if done.value is None else [done.value]
    judge.add_states(refits)
    result = {
        "e_value": values.e_value,
        "e_value_limit": values.e_value_limit,
        "is_common_outcome": is_common,
        **found,
        "latent": done.value or {"failure": done.failure},
        "beliefs_are_stated": settings.is_stated,
    }
    labelled = [{**each, "label": "a confounder of the stated beliefs"} for each in refits]
    return finding(
        "unmeasured_confounding",
        sentence(judge, result, refits),
        judge.verdict(labelled if settings.is_stated else []),
        result=result,
        rows=tables_of(found["surface"], refits),
        figures=figures_of(context, surface, refits),
        notes=[
            *notes_of(context, result),
            *context.interval_note(),
            *context.headline_note("E-values, surface and bias analysis are"),
        ],
        would_move=possible_changes_in_words(
            found["surface"]["turns_conclusion"], [] if settings.is_stated else refits
        ),
    )


def surface_of(context: Context, settings: Settings) -> tuple[TippingSurface, dict[str, Any]]:
    """Shift the draws of the base for every confounder of the grid.

    Returns
    -------
    TippingSurface
        Of the rule's effect.
    dict
        `surface` and `tipping_bias_factor` as they stand in `sensitivity.json`.
    """
    judge, rule = context.judge, context.rule
    fit, column = context.fit, context.level - 1
    log_ratio = fit.effect_draws[:, column] / context.plan.inputs.design.scale[column]
    sign = -1.0 if judge.side == "lower" else 1.0
    surface, about_1 = (
        tipping_surface(
            log_ratio,
            settings.strengths,
            [sign * each for each in settings.differences],
            settings.prevalence,
            threshold=threshold,
            level=rule.probability,
        )
        for threshold in (rule.effect, 1.0)
    )
    bias = tipping_bias(log_ratio, rule.effect, rule.probability)
    return surface, {
        "surface": {
            **{name: getattr(surface, name) for name in OF_SURFACE},
            "prob_below_1": about_1.prob_below,
            "prob_below_effect": surface.prob_below,
            "turns_conclusion": np.array(
                [
                    [rule.conclusion(each) != judge.held for each in line]
                    for line in surface.prob_below
                ]
            ),
            "engine": fit.engine,
            "pareto_k": None if fit.importance is None else float(fit.importance.pareto_k),
        },
        "tipping_bias_factor": {name: getattr(bias, name) for name in OF_BIAS},
    }


def tables_of(surface: Values, refits: Sequence[Values]) -> list[Rows]:
    """One row for every confounder of the grid, and the refit without what is nested in it."""
    names = {"median": "median", "low": "eti95_low", "high": "eti95_high"}
    names |= {each: each for each in ("prob_below_1", "prob_below_effect", "turns_conclusion")}
    drawn = {name: surface[name] for name in ("engine", "pareto_k")}
    cells = [
        {
            "confounder_hazard_ratio": float(strength),
            "prevalence_difference": float(difference),
            **{own: surface[name][i, j].item() for name, own in names.items()},
            **drawn,
        }
        for i, difference in enumerate(surface["prevalence_difference"])
        for j, strength in enumerate(surface["confounder_hazard_ratio"])
    ]
    flat = [{key: row[key] for key in row if key not in NESTED} for row in refits]
    tables = [rows_of("unmeasured_confounding_surface", cells)]
    return [*tables, rows_of("unmeasured_confounding_latent", flat)] if flat else tables


def possible_changes_in_words(turns: NDArray[np.bool], unstated: Sequence[Values]) -> str | None:
    """Name the confounders, of the grid or of beliefs nobody stated, that change the conclusion."""
    said = [
        "a confounder of the default beliefs, which the spec does not state "
        f"({ratio_of(row, '{}, {}')})"
        for row in unstated
        if row["state"] in ("weaker", "changes")
    ]
    if turns.any():
        said.append(f"{turns.sum()} of {count_of(turns.size, 'confounder')} of the grid")
    return " or ".join(said) or None


def sentence(judge: Judge, result: Values, refits: Sequence[Values]) -> str:
    """Say what confounding would have to be."""
    base, (low, high) = judge.base, judge.base["eti95"]
    turns = result["surface"]["turns_conclusion"]
    tipped = int(turns.sum())
    text = (
        "A confounder would have to be associated with treatment and with the event by risk ratios "
        f"of {number(result['e_value'])} each to explain the median away ({number(base['median'])})"
    )
    text += (
        "; the 95% interval includes 1 without any"
        if low <= 1 <= high
        else f", and by {number(result['e_value_limit'])} each to take the 95% interval to 1"
    )
    text += (
        f"; {tipped} of {turns.size} confounders of the grid "
        f"{'changes' if tipped == 1 else 'change'} the conclusion"
    )
    for latent in refits:
        whose = "default beliefs, which the spec does not state,"
        if result["beliefs_are_stated"]:
            whose = "the stated beliefs"
        text += (
            f"; with {whose} about a confounder in the model the hazard ratio is "
            f"{ratio_of(latent)}, {judge.side_probability_in_words(latent)}"
        )
    return f"{text}."


def notes_of(context: Context, result: Values) -> list[str]:
    """What the numbers rest on."""
    latent = result["latent"]
    notes = [
        "The data say almost nothing about an unmeasured confounder: the bias analysis rests on "
        "beliefs.",
    ]
    if not result["beliefs_are_stated"]:
        notes.append(
            "The beliefs about a confounder are defaults, made for metastases of colorectal "
            "cancer, not the spec's: what they do is reported separately and does not count. State "
            f"{', '.join(Settings.BELIEFS)} in [sensitivity.unmeasured_confounding]."
        )
    if np.any(context.plan.inputs.cohort.entry > 0):
        notes.append(
            "Patients enter after time zero: the confounder's prevalence is that of patients when "
            "they enter, and taken to be the same whenever that is."
        )
    if result["is_common_outcome"]:
        notes.append(
            f"More than {whole_percent(COMMON)} had the event, so hazard ratios were turned into "
            "approximate risk ratios for the E-values."
        )
    if "failure" in latent:
        notes.append(f"No bias analysis with a latent confounder: {latent['failure']}")
    elif not latent["is_reliable"]:
        notes.append("The refit with a latent confounder fails its diagnostics: do not trust it.")
    return notes


def figures_of(context: Context, surface: TippingSurface, refits: Sequence[Values]) -> list[Figure]:
    """The tipping surface, and the refit beside the base."""
    judge, rule, level = context.judge, context.rule, context.rule.probability
    below = surface.side == "below"
    tipping = {
        "x": surface.confounder_hazard_ratio,
        "y": np.abs(surface.prevalence_difference),
        "values": surface.prob_below if below else 1 - surface.prob_below,
        "xlabel": "hazard ratio of the confounder with the event",
        "ylabel": "difference of its prevalence between arms",
        "levels": [1 - level, 0.2, 0.5, 0.8, 0.9, level, 0.99],
        # an undecided result changes where the other side has enough
        "thick": level if judge.held != "undecided" else 1 - level,
        "quantity": rule.probability_name("lower" if below else "higher"),
        "log_x": True,
    }
    figures = [
        Figure(
            "unmeasured_confounding",
            f"Probability that the hazard ratio lies on the side of {as_written(rule.effect)} that "
            "it lies on without a confounder, for confounders that "
            f"{percent(surface.prevalence_reference)} of the reference carry; beyond the "
            "thick line the conclusion changes.",
            plot_surface,
            tipping,
        )
    ]
    if refits:
        labels = ["the base analysis", "with a latent confounder"]
        figures.append(
            forest(
                "unmeasured_confounding_latent",
                "The hazard ratio without and with an unmeasured confounder in the model.",
                [context.base, *refits],
                labels,
            )
        )
    return figures
