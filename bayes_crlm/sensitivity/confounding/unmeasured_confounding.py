"""How strong an unmeasured confounder would have to be, and what one of a stated strength does.

Three answers that rest on less and less: E-values ask for nothing; the tipping surface asks for
the confounder's hazard ratio and prevalences; the bias analysis asks for beliefs about them, and
refits the model with the confounder in it.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.sensitivity.confounding.latent_confounder import (
    ConfounderPrior,
    fit_latent_confounder,
)
from bayes_crlm.sensitivity.e_values import hazard_ratio_e_value
from bayes_crlm.sensitivity.parts import Context, PartResult, interval_note
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.side_probability import say_side_probability
from bayes_crlm.sensitivity.table_rows import table_of_rows
from bayes_crlm.sensitivity.tipping_points import TippingSurface, tipping_bias, tipping_surface
from bayes_crlm.sensitivity.verdicts import (
    DEFAULT_RULE,
    add_states,
    conclusion,
    judge,
    side_of,
)
from bayes_crlm.specification.lists import number_list, ratios
from bayes_crlm.specification.table import Table
from bayes_crlm.tasks.run import Task
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written, significant
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from bayes_crlm.analysis.run import Plan

__all__ = ["Settings", "analyse", "check", "latent_refit"]

Limits = Annotated[
    tuple[float, float], Field(strict=False, description="two limits [low, high], the lower first")
]
# events from which on a hazard ratio is no risk ratio any more (VanderWeele & Ding 2017)
COMMON = 0.15


class Settings(Table):
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
    prevalence: Annotated[
        float, Field(gt=0, lt=1, description="the confounder's prevalence with the reference")
    ] = 0.5
    latent_hazard_ratio: Limits = (1.0, 4.0)
    latent_prevalence_worse: Limits = (0.3, 0.5)
    latent_prevalence_better: Limits = (0.1, 0.3)


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse impossible beliefs and a grid that leaves no prevalence.

    Raises
    ------
    SensitivityError
    """
    where = "sensitivity.unmeasured_confounding"
    try:
        confounder_prior(settings, "below", len(plan.inputs.design.levels), 1)
    except SensitivityError as problem:
        raise SensitivityError(f"{where}: {problem}") from None
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
    reference, treated = (worse, better) if side == "below" else (better, worse)
    prevalence = [reference] * n_levels
    prevalence[level] = treated
    return ConfounderPrior(settings.latent_hazard_ratio, tuple(prevalence))


def latent_refit(
    shared: Shared,
    *,
    hazard_ratio: list[float],
    prevalence: list[list[float]],
    seed: int,
) -> dict[str, Any]:
    """Refit the base model with a latent binary confounder, as a task.

    Parameters
    ----------
    shared : Shared
    hazard_ratio : [low, high]
    prevalence : list of [low, high]
        One of every treatment level; see `ConfounderPrior`.
    seed : int

    Raises
    ------
    SensitivityError
        For a treatment that changes within patients.
    """
    _, inputs = changed_inputs(shared, {})
    low, high = hazard_ratio
    prior = ConfounderPrior((low, high), tuple((a, b) for a, b in prevalence))
    fit = fit_latent_confounder(inputs, prior, seed=seed)
    found = fit.to_dict()
    log_ratio = np.asarray(fit.posterior["posterior"]["log_hazard_ratio"])
    for k, row in enumerate(found["hazard_ratios"]):
        row["prob_below_effect"] = float(np.mean(log_ratio[..., k] < np.log(shared.effect)))
    return found


def analyse(context: Context, settings: Settings) -> PartResult:
    """Compute E-values and the tipping surface, and refit with a latent confounder."""
    base, inputs = context.base, context.plan.inputs
    low, high = base["eti95"]
    is_common = inputs.cohort.n_events > COMMON * inputs.cohort.n_patients
    values = hazard_ratio_e_value(base["median"], low, high, is_common=is_common)
    column = context.level - 1
    log_ratio = context.fit.effect_draws[:, column] / inputs.design.scale[column]
    rule = context.rule
    side = side_of(base, rule)
    sign = -1.0 if side == "below" else 1.0
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
    drawn = {
        "engine": context.fit.engine,
        "pareto_k": None
        if context.fit.importance is None
        else float(context.fit.importance.pareto_k),
    }
    latent, failure = refit_latent(context, settings, side)
    is_stated = bool(settings.model_fields_set & set(Settings.BELIEFS))
    rows = [] if latent is None else [latent]
    add_states(rows, base, rule)
    turns = np.array(
        [
            [rule.conclusion(each) != conclusion(base, rule) for each in line]
            for line in surface.prob_below
        ]
    )
    tipped = int(turns.sum())
    result = {
        "e_value": values.e_value,
        "e_value_limit": values.e_value_limit,
        "is_common_outcome": is_common,
        "surface": {
            "confounder_hazard_ratio": surface.confounder_hazard_ratio,
            "prevalence_difference": surface.prevalence_difference,
            "prevalence_reference": surface.prevalence_reference,
            "median": surface.median,
            "low": surface.low,
            "high": surface.high,
            "prob_below_1": about_1.prob_below,
            "prob_below_effect": surface.prob_below,
            "turns_conclusion": turns,
            **drawn,
        },
        "tipping_bias_factor": {
            "side": bias.side,
            "probability": bias.probability,
            "limit": bias.limit,
            "median": bias.median,
        },
        "latent": latent if latent is not None else {"failure": failure},
        "beliefs_are_stated": is_stated,
    }
    return PartResult(
        result=result,
        sentence=sentence(base, result, tipped, surface, latent, rule),
        **judge(base, [named(each) for each in rows] if is_stated else [], rule),
        tables={
            "unmeasured_confounding_surface": surface_table(
                surface, about_1.prob_below, turns, drawn
            )
        }
        | ({"unmeasured_confounding_latent": table_of_rows([table_row(latent)])} if latent else {}),
        figures=figures_of(context, surface, latent),
        notes=notes_of(latent, failure, is_common, bool(np.any(inputs.cohort.entry > 0)), is_stated)
        + tuple(interval_note(rule)),
        would_move=say_would_move(tipped, turns.size, None if is_stated else latent),
    )


def named(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give the refit a label."""
    return {**row, "label": "a confounder of the stated beliefs"}


def table_row(latent: Mapping[str, Any]) -> dict[str, Any]:
    """The refit's row without what is nested in it."""
    return {
        key: value
        for key, value in latent.items()
        if key == "eti95" or not isinstance(value, dict | list | tuple)
    }


def say_would_move(tipped: int, size: int, unstated: Mapping[str, Any] | None) -> str | None:
    """Name the confounders, of the grid or of beliefs nobody stated, that turn the conclusion."""
    said = []
    if unstated is not None and unstated["state"] in ("weaker", "changes"):
        low, high = unstated["eti95"]
        said.append(
            "a confounder of the default beliefs, which the spec does not state "
            f"({unstated['median']:.2f}, {low:.2f} to {high:.2f})"
        )
    if tipped:
        said.append(f"{tipped} of {count_of(size, 'confounder')} of the grid")
    return " or ".join(said) or None


def refit_latent(
    context: Context, settings: Settings, side: str
) -> tuple[dict[str, Any] | None, str | None]:
    """Refit with the confounder; the row of the level in question, or why there is none."""
    levels = context.plan.inputs.design.levels
    prior = confounder_prior(settings, side, len(levels), context.level)
    arguments = {
        "hazard_ratio": list(prior.hazard_ratio),
        "prevalence": [list(limits) for limits in prior.prevalence],
        "seed": context.seed,
    }
    task = Task("unmeasured_confounding: latent confounder", latent_refit, arguments)
    (done,) = context.run("unmeasured_confounding", [task])
    if done.value is None:
        return None, done.failure
    found = dict(done.value)
    row = found.pop("hazard_ratios")[context.level - 1]
    return row | {"is_reliable": found.pop("is_trustworthy")} | found, None


def sentence(
    base: Mapping[str, Any],
    result: Mapping[str, Any],
    tipped: int,
    surface: TippingSurface,
    latent: Mapping[str, Any] | None,
    rule: SuccessRule = DEFAULT_RULE,
) -> str:
    """Say what confounding would have to be."""
    low, high = base["eti95"]
    text = (
        "A confounder would have to be associated with treatment and with the event by risk ratios "
        f"of {result['e_value']:.2f} each to explain the median away ({base['median']:.2f})"
    )
    text += (
        "; the 95% interval holds 1 without any"
        if low <= 1 <= high
        else f", and by {result['e_value_limit']:.2f} each to take the 95% interval to 1"
    )
    text += (
        f"; {tipped} of {surface.prob_below.size} confounders of the grid "
        f"{'turns' if tipped == 1 else 'turn'} the conclusion"
    )
    if latent is not None:
        low, high = latent["eti95"]
        text += (
            f"; with {beliefs_in_words(result['beliefs_are_stated'])} about a confounder in the "
            "model the hazard ratio is "
            f"{latent['median']:.2f} ({low:.2f} to {high:.2f}), "
            f"{say_side_probability(latent, side_of(base, rule), rule)}"
        )
    return f"{text}."


def beliefs_in_words(is_stated: bool) -> str:
    """Say whose beliefs they are."""
    return "the stated beliefs" if is_stated else "default beliefs, which the spec does not state,"


def notes_of(
    latent: Mapping[str, Any] | None,
    failure: str | None,
    is_common: bool,
    is_delayed: bool,
    is_stated: bool,
) -> tuple[str, ...]:
    """What the numbers rest on."""
    notes = [
        "The data hardly speak of a confounder that nobody measured: the bias analysis rests on "
        "beliefs.",
    ]
    if not is_stated:
        notes.append(
            "The beliefs about a confounder are defaults, made for metastases of colorectal "
            "cancer, not the spec's: what they do is said apart and does not count. State "
            f"{', '.join(Settings.BELIEFS)} in [sensitivity.unmeasured_confounding]."
        )
    if is_delayed:
        notes.append(
            "Patients enter after time zero: the confounder's prevalence is that of patients when "
            "they enter, and taken to be the same whenever that is."
        )
    if is_common:
        notes.append(
            f"More than {COMMON:.0%} had the event, so hazard ratios were turned into approximate "
            "risk ratios for the E-values."
        )
    if latent is None:
        notes.append(f"No bias analysis with a latent confounder: {failure}")
    elif not latent["is_reliable"]:
        notes.append("The refit with a latent confounder fails its diagnostics: do not trust it.")
    return tuple(notes)


def surface_table(
    surface: TippingSurface, below_1: NDArray, turns: NDArray, drawn: Mapping[str, Any]
) -> "pd.DataFrame":
    """One row for every confounder of the grid."""
    import pandas as pd

    differences, strengths = np.meshgrid(
        surface.prevalence_difference, surface.confounder_hazard_ratio, indexing="ij"
    )
    return pd.DataFrame(
        {
            "confounder_hazard_ratio": strengths.ravel(),
            "prevalence_difference": differences.ravel(),
            "median": surface.median.ravel(),
            "eti95_low": surface.low.ravel(),
            "eti95_high": surface.high.ravel(),
            "prob_below_1": below_1.ravel(),
            "prob_below_effect": surface.prob_below.ravel(),
            "turns_conclusion": turns.ravel(),
        }
    ).assign(**drawn)


def figures_of(
    context: Context, surface: TippingSurface, latent: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The tipping surface, and the refit beside the base."""
    from bayes_crlm.sensitivity.figures import plot_forest_rows, plot_surface

    rule = context.rule
    level = rule.probability

    def draw_surface() -> "Figure":
        below = surface.side == "below"
        held = surface.prob_below if below else 1 - surface.prob_below
        return plot_surface(
            context,
            surface.confounder_hazard_ratio,
            np.abs(surface.prevalence_difference),
            held,
            xlabel="hazard ratio of the confounder with the event",
            ylabel="difference of its prevalence between strategies",
            levels=sorted({1 - level, 0.2, 0.5, 0.8, 0.9, level, 0.99}),
            # an undecided result turns where the other side has enough
            thick=level if conclusion(context.base, rule) != "undecided" else 1 - level,
            label=lambda each: f"{significant(each, 3)}",
            quantity=rule.probability_name("lower" if below else "higher"),
            log_x=True,
        )

    figures: dict[str, Any] = {
        "unmeasured_confounding": (
            f"Probability that the hazard ratio lies on the side of {as_written(rule.effect)} that "
            "it lies on without a confounder, for confounders that "
            f"{surface.prevalence_reference:.0%} of the reference carry; beyond the thick "
            "line the conclusion turns.",
            draw_surface,
        )
    }
    if latent is not None:
        labels = ["the base analysis", "with a latent confounder"]
        figures["unmeasured_confounding_latent"] = (
            "The hazard ratio without and with an unmeasured confounder in the model.",
            lambda: plot_forest_rows(context, [context.base, latent], labels),
        )
    return figures
