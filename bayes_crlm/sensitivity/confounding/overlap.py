"""Overlap: whether arms are comparable, and what depends on patients who have no match.

The propensity score says how likely treatment was for every patient. Where arms hardly overlap,
regression compares by extrapolation. Weighting compares without an outcome model: overlap weights
those patients who might have been given either treatment, stabilised inverse-probability weights
all of them. The intervals carry the uncertainty of the weights.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.sensitivity.comparison_rows import (
    add_problems,
    cut_finely,
    draw_rows,
    fit_row,
    rows_table,
    try_row,
    usable,
    weighted_row,
)
from bayes_crlm.sensitivity.confounding.balance import (
    overlap_weights,
    stabilised_weights,
    standardised_differences,
)
from bayes_crlm.sensitivity.confounding.propensity import (
    PropensityDraws,
    propensity,
    propensity_draws,
    propensity_mode,
)
from bayes_crlm.sensitivity.earlier_run import as_it_stands
from bayes_crlm.sensitivity.parts import Context, PartResult, unreliable_note
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.registry import NotRunError
from bayes_crlm.sensitivity.two_arms import TwoArms, two_arms
from bayes_crlm.sensitivity.verdicts import DEFAULT_RULE, add_states, judge, say_verdict
from bayes_crlm.sensitivity.weighted_posterior import (
    WEIGHT_LIMITS,
    effective_sample_size,
    weight_problems,
)
from bayes_crlm.specification.table import Table
from bayes_crlm.tasks.run import Task
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.success import SuccessRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayes_crlm.analysis.run import Plan
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["Settings", "analyse", "check", "compare", "compare_weights"]

METHODS = {
    "crude": "crude, neither weighted nor adjusted",
    "outcome_regression": "outcome regression",
    "overlap_weights": "overlap weights",
    "stabilised_weights": "stabilised inverse-probability weights",
}
PROPENSITY_DRAWS = 4000
# what Austin (2009, Stat Med 28:3083-3107) calls balanced
LARGE_DIFFERENCE = 0.1
# beyond which weights leave the arms apart (Rubin 2001, Health Serv Outcomes Res Methodol
# 2:169-188; Stuart 2010, Stat Sci 25:1-21)
MOST_DIFFERENCE = 0.25
NO_COUNTERPART = (
    "the covariates decide on treatment alone: no patient has a counterpart in the other arm"
)
BINS = 20


class Settings(Table):
    """The table `[sensitivity.overlap]`."""

    groups: Annotated[
        int, Field(ge=50, le=10_000, description="a whole number from 50 to 10000")
    ] = 200


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse a model without covariates, and patients in whom something changes.

    Parameters
    ----------
    plan : Plan
    settings : Settings

    Raises
    ------
    NotRunError
    """
    arms_of(plan.model, plan.inputs, 1)


def arms_of(
    model: "PiecewiseExponential", inputs: "PreparedCohort", level: int, effect: float = 1.0
) -> TwoArms:
    """Take the patients on one level and on the reference."""
    if not inputs.n_covariate_terms:
        raise NotRunError(
            "model.covariates is empty, so there is nothing that treatment could depend on; "
            "list the covariates that decided on treatment"
        )
    return two_arms(model, inputs, level, effect)


def compare(shared: Shared, *, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Compare the weights, as a task.

    Parameters
    ----------
    shared : Shared
    settings : mapping
        The table `[sensitivity.overlap]`.
    seed : int

    Returns
    -------
    dict
        As of `compare_weights`.
    """
    arms = arms_of(*changed_inputs(shared, {}), shared.level, shared.effect)
    return compare_weights(arms, Settings(**settings), seed)


def analyse(context: Context, settings: Settings) -> PartResult:
    """Weigh the arms by their propensity score.

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
    arguments = {"settings": settings.model_dump(), "seed": context.seed}
    (done,) = context.run("overlap", [Task("overlap", compare, arguments)])
    if done.value is None:
        raise NotRunError(str(done.failure))
    found = done.value
    levels = context.plan.inputs.design.levels
    if len(levels) == 2:
        # with other levels left out it is a fit of its own
        found["rows"] = [
            as_it_stands(row, context.base) if row["method"] == "outcome_regression" else row
            for row in found["rows"]
        ]
    rows = found["rows"]
    rule = context.rule
    regression = next(row for row in rows if row["method"] == "outcome_regression")
    weighted = [row for row in rows if row["method"].endswith("weights")]
    add_states(weighted, regression, rule)
    # regression as well: against a row that fails nothing can be said
    fitted = usable(weighted) if usable([regression]) else []
    notes = [
        "Weighted hazard ratios are marginal, that of outcome regression is conditional on the "
        "covariates: a hazard ratio that is not 1 differs between the two without any bias.",
        "Scores, weights, balance and weighted hazard ratios all come from the posterior's mode, "
        "which is found anew for every weighting of the patients in the calibration; the scores' "
        "intervals are from draws of the posterior.",
        f"{WEIGHT_LIMITS} Nor does it where a covariate's standardised difference is still "
        f"above {MOST_DIFFERENCE:g}; above {LARGE_DIFFERENCE:g} the arms are not balanced.",
    ]
    if len(levels) > 2:
        notes.append(f"Only patients on {levels[context.level]} and {levels[0]} are compared here.")
    score = found["propensity"]
    if not score["is_reliable"]:
        why = "; ".join(score["failures"])
        notes.append(f"The propensity score's own draws fail their diagnostic: {why}.")
    notes += [f"{row['label']}: {row['failure']}" for row in rows if row["failure"]]
    notes += unreliable_note(rows)
    import pandas as pd

    patients = found.pop("patients")
    return PartResult(
        result=found,
        sentence=sentence(found, regression, fitted, rule),
        **judge(regression, fitted, rule),
        tables={
            "overlap": rows_table(rows),
            "overlap_balance": pd.DataFrame(found["balance"]),
            "overlap_propensity": pd.DataFrame(patients),
        },
        figures={
            "overlap": (
                "The treatment's hazard ratio by outcome regression and by weighting.",
                lambda: draw_rows(context, [regression, rows[0], *weighted]),
            ),
            "overlap_propensity": (
                "Propensity scores of both arms.",
                lambda: draw_overlap(context, patients),
            ),
            "overlap_balance": (
                "Standardised differences between the arms before and after weighting.",
                lambda: draw_balance(context, found["balance"]),
            ),
        },
        notes=tuple(notes),
    )


def sentence(
    found: dict[str, Any],
    regression: dict[str, Any],
    weighted: Sequence[dict[str, Any]],
    rule: SuccessRule = DEFAULT_RULE,
) -> str:
    """Say how well the arms overlap, and whether weighting turns the conclusion.

    Parameters
    ----------
    found : dict
    regression : dict
        The row of outcome regression.
    weighted : sequence of dict
        Weighted rows that may decide it.
    """
    before = max(abs(row["unweighted"]) for row in found["balance"])
    after = max(abs(row["overlap_weights"]) for row in found["balance"])
    sizes = found["effective_sample_size"]["overlap_weights"]
    start = (
        f"The arms' largest standardised difference is {before:.2f} before weighting and "
        f"{after:.2f} under overlap weights, which leave the information of "
        f"{sizes['treated']:.0f} treated and {sizes['reference']:.0f} other patients"
    )
    if not any(found["common_support"].values()):
        return (
            f"{start}; {NO_COUNTERPART}, so that nothing but the model's extrapolation compares "
            "the arms, and no weighted hazard ratio can be trusted."
        )
    if not weighted:
        return f"{start}; no weighted hazard ratio can be trusted."
    ratios = " and ".join(f"{row['median']:.2f} with {row['label']}" for row in weighted)
    return f"{start}; the hazard ratio is {ratios}: {say_verdict(regression, weighted, rule)}."


def compare_weights(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the propensity score, and the outcome in four ways.

    Parameters
    ----------
    arms : TwoArms
    settings : Settings
    seed : int

    Returns
    -------
    dict
        `propensity` (engine, pareto_k, r_hat, is_reliable, failures, terms), `rows` (label, method,
        the columns of `bayes_crlm.sensitivity.refit.summarise_draws`, calibration of weighted
        ones), `balance` (per covariate), `effective_sample_size` (per weights and arm), `weights`
        (their distribution), `common_support` (patients of each arm with a propensity that the
        other arm has too) and `patients` (per patient: arm, propensity with its 95% interval,
        weights).
    """
    drawn = propensity_draws(
        arms.design, arms.terms, arms.is_treated, draws=PROPENSITY_DRAWS, seed=seed
    )
    # the scores that the hazard ratios are weighted by: what is shown is what is used
    mode, _ = propensity_mode(arms.design, arms.is_treated)
    score = propensity(arms.design, mode)
    low, high = propensity_limits(arms, drawn)
    ones = np.ones(arms.n_patients)
    weights = {
        "overlap_weights": overlap_weights(score, arms.is_treated),
        "stabilised_weights": stabilised_weights(score, arms.is_treated, ones),
    }
    return {
        "propensity": {
            "engine": drawn.engine,
            "pareto_k": drawn.pareto_k,
            "r_hat": drawn.r_hat,
            "is_reliable": drawn.is_reliable,
            "failures": list(drawn.failures),
            "terms": coefficient_rows(arms, drawn),
        },
        "rows": [
            add_problems(row, overlap_problems(arms, weights.get(row["method"]), score))
            for row in outcome_rows(arms, settings.groups, seed)
        ],
        "balance": balance_rows(arms, weights),
        "common_support": common_support(score, arms.is_treated),
        "effective_sample_size": {
            name: {
                "treated": effective_sample_size(weight[arms.is_treated]),
                "reference": effective_sample_size(weight[~arms.is_treated]),
            }
            for name, weight in (("unweighted", ones), *weights.items())
        },
        "weights": {
            name: {"min": float(weight.min()), "max": float(weight.max())}
            for name, weight in weights.items()
        },
        "patients": {
            "row": arms.row_number.tolist(),
            "is_treated": arms.is_treated.tolist(),
            "propensity": score.tolist(),
            "propensity_low": low.tolist(),
            "propensity_high": high.tolist(),
        }
        | {name: weight.tolist() for name, weight in weights.items()},
    }


def common_support(score: NDArray, is_treated: NDArray) -> dict[str, int]:
    """Count the patients of each arm whose propensity lies within the range of the other arm's.

    Parameters
    ----------
    score : (patients,) ndarray
    is_treated : (patients,) ndarray of bool
    """
    treated, other = score[is_treated], score[~is_treated]
    low, high = max(treated.min(), other.min()), min(treated.max(), other.max())
    return {
        "treated": int(np.sum((treated >= low) & (treated <= high))),
        "reference": int(np.sum((other >= low) & (other <= high))),
    }


def overlap_problems(arms: TwoArms, weight: NDArray | None, score: NDArray) -> list[str]:
    """Say why weights do not make the arms comparable; nothing where they do.

    Parameters
    ----------
    arms : TwoArms
    weight : (patients,) ndarray or None
        None of rows without weights.
    score : (patients,) ndarray
        Propensities.
    """
    if weight is None:
        return []
    difference = np.abs(standardised_differences(arms.design, arms.is_treated, weight))
    worst = int(np.argmax(difference))
    problems = []
    if difference[worst] > MOST_DIFFERENCE:
        problems.append(
            f"the arms' standardised difference in {arms.terms[worst]} is still "
            f"{difference[worst]:.2f} under these weights; at most {MOST_DIFFERENCE:g} is asked for"
        )
    if not any(common_support(score, arms.is_treated).values()):
        problems.append(NO_COUNTERPART)
    by_arm = {"treated": weight[arms.is_treated], "reference": weight[~arms.is_treated]}
    return [*problems, *weight_problems(by_arm)]


def propensity_limits(arms: TwoArms, drawn: PropensityDraws) -> NDArray[np.float64]:
    """95% limits of every patient's propensity, shape (2, patients)."""
    from bayes_crlm.sensitivity.refit import weighted_quantiles

    each = propensity(arms.design, drawn.coefficients)
    limits = [weighted_quantiles(column, drawn.weight, (0.025, 0.975)) for column in each.T]
    return np.array(limits).T


def coefficient_rows(arms: TwoArms, drawn: PropensityDraws) -> list[dict[str, Any]]:
    """Posterior mean and standard deviation of every coefficient, per standard deviation."""
    mean = drawn.weight @ drawn.coefficients
    sd = np.sqrt(drawn.weight @ (drawn.coefficients - mean) ** 2)
    return [
        {"term": term, "mean": float(mean[k]), "sd": float(sd[k])}
        for k, term in enumerate(("intercept", *arms.terms))
    ]


def balance_rows(arms: TwoArms, weights: dict[str, NDArray]) -> list[dict[str, Any]]:
    """Standardised differences of every covariate column, before and after weighting."""
    every = {"unweighted": np.ones(arms.n_patients)} | weights
    found = {
        name: standardised_differences(arms.design, arms.is_treated, weight)
        for name, weight in every.items()
    }
    return [
        {"term": term} | {name: float(values[k]) for name, values in found.items()}
        for k, term in enumerate(arms.terms)
    ]


def outcome_rows(arms: TwoArms, groups: int, seed: int) -> list[dict[str, Any]]:
    """Hazard ratios: crude, by outcome regression, and by both kinds of weights."""
    entry = arms.entry if np.any(arms.entry > 0) else None
    every = np.arange(arms.n_patients)
    cohort = arms.cohort(every, arms.time, arms.event, arms.is_treated, entry=entry)
    marginal = dataclasses.replace(arms.model, covariates="")

    def weighted(make: Callable[[NDArray, NDArray], NDArray]) -> dict[str, Any]:
        def weigh(patient_weight: NDArray) -> NDArray:
            mode, _ = propensity_mode(arms.design, arms.is_treated, patient_weight)
            return patient_weight * make(propensity(arms.design, mode), patient_weight)

        finely = cut_finely(
            marginal,
            (arms.entry, arms.time, arms.event),
            cohort.time,
            cohort.event,
            weigh(np.ones(arms.n_patients)),
        )
        inputs = finely.prepare(cohort)
        return weighted_row(
            finely, inputs, weigh, arms.n_patients, groups, seed, effect=arms.effect
        )

    def by_overlap(score: NDArray, patient_weight: NDArray) -> NDArray:
        return overlap_weights(score, arms.is_treated)

    def by_inverse(score: NDArray, patient_weight: NDArray) -> NDArray:
        return stabilised_weights(score, arms.is_treated, patient_weight)

    fits = {
        "crude": lambda: fit_row(marginal, cohort, seed, arms.effect),
        "outcome_regression": lambda: fit_row(arms.model, cohort, seed, arms.effect),
        "overlap_weights": lambda: weighted(by_overlap),
        "stabilised_weights": lambda: weighted(by_inverse),
    }
    counts = {
        "n_patients": arms.n_patients,
        "n_events": int(arms.event.sum()),
        "n_treated": int(arms.is_treated.sum()),
    }
    return [
        try_row(fit) | counts | {"label": METHODS[method], "method": method}
        for method, fit in fits.items()
    ]


def draw_overlap(context: Context, patients: dict[str, Any]) -> "Figure":
    """Draw the propensity scores of the treated upwards and those of the others downwards."""
    from bayes_crlm.figures.drawing import COLOURS, INK, plain_text
    from bayes_crlm.sensitivity.figures import figure_of

    score = np.array(patients["propensity"])
    is_treated = np.array(patients["is_treated"])
    design = context.plan.inputs.design
    names = design.levels[context.level], design.levels[0]

    def draw(ax: "Axes") -> None:
        edges = np.linspace(0, 1, BINS + 1)
        for arm, sign, name, colour in zip((True, False), (1, -1), names, COLOURS, strict=False):
            count, _ = np.histogram(score[is_treated == arm], edges)
            label = f"{plain_text(design.treatment)} = {plain_text(name)}"
            width = edges[1]
            ax.bar(edges[:-1], sign * count, width, align="edge", color=colour, label=label)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xlim(0, 1)
        # patients are counted on both sides of the line
        ticks = [each for each in ax.get_yticks() if float(each).is_integer()]
        ax.set_yticks(ticks, [f"{as_written(abs(each))}" for each in ticks])
        ax.set_xlabel("propensity score (posterior mode)")
        ax.set_ylabel("patients")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=2, borderaxespad=0)

    return figure_of(context, draw, height=3.6)


def draw_balance(context: Context, balance: Sequence[dict[str, Any]]) -> "Figure":
    """Draw every covariate's standardised difference before and after weighting."""
    from bayes_crlm.figures.drawing import COLOURS, INK, MUTED, plain_text
    from bayes_crlm.sensitivity.figures import figure_of

    def draw(ax: "Axes") -> None:
        place = np.arange(len(balance))[::-1]
        for name, marker, colour in (
            ("unweighted", "x", MUTED),
            ("stabilised_weights", "s", COLOURS[1]),
            ("overlap_weights", "o", COLOURS[0]),
        ):
            values = [row[name] for row in balance]
            ax.plot(values, place, marker, color=colour, label=METHODS.get(name, name))
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.axvspan(-LARGE_DIFFERENCE, LARGE_DIFFERENCE, color=INK, alpha=0.06, linewidth=0)
        ax.set_yticks(place, [plain_text(row["term"], 40) for row in balance])
        ax.set_xlabel("standardised difference, treated minus reference")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=3, borderaxespad=0, fontsize=8)

    return figure_of(context, draw, height=1.4 + 0.3 * max(len(balance), 3))
