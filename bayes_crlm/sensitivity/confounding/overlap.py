"""Overlap: whether arms are comparable, and what depends on patients who have no match.

The propensity score says how likely treatment was for every patient. Where arms hardly overlap,
regression compares by extrapolation. Weighting compares without an outcome model: overlap weights
those patients who might have been given either treatment, stabilised inverse-probability weights
all of them. The intervals carry the uncertainty of the weights.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.comparisons import plot_differences, plot_mirrored
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.weighted import quantiles
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.sensitivity.comparison_rows import (
    FIRST,
    add_problems,
    failure_notes,
    fit_row,
    fitted_rows,
    usable,
    weighted_row,
)
from bayes_crlm.sensitivity.confounding.balance import (
    LARGE_DIFFERENCE,
    MOST_DIFFERENCE,
    NO_COUNTERPART,
    common_support,
    overlap_problems,
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
from bayes_crlm.sensitivity.earlier_run import with_numbers_of
from bayes_crlm.sensitivity.parts import Context, Finding, finding, forest, rows_of
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.two_arms import TwoArms, two_arms
from bayes_crlm.sensitivity.verdicts import Judge, Values
from bayes_crlm.sensitivity.weighted_posterior import WEIGHT_LIMITS, effective_sample_size
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import as_written, number, whole

METHODS = {
    "crude": "crude, neither weighted nor adjusted",
    "outcome_regression": "outcome regression",
    "overlap_weights": "overlap weights",
    "stabilised_weights": "stabilised inverse-probability weights",
}
OF_PROPENSITY = ("engine", "pareto_k", "r_hat", "is_reliable", "failures")
PROPENSITY_DRAWS = 4000
BINS = 20


class Settings(Table):
    """The table `[sensitivity.overlap]`."""

    groups: int = Field(200, ge=50, le=10_000, description="a whole number from 50 to 10000")


def check(plan: Plan, settings: Settings) -> None:
    """Refuse a model without covariates, and patients in whom something changes.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : Settings
        The part's table of the spec.

    Raises
    ------
    SensitivityError
    """
    arms_of(plan.model, plan.inputs, 1)


def arms_of(
    model: PiecewiseExponential, inputs: PreparedCohort, level: int, effect: float = 1.0
) -> TwoArms:
    """Take the patients on one level and on the reference."""
    if not inputs.n_covariate_terms:
        raise SensitivityError(
            "model.covariates is empty, so there is nothing that treatment could depend on; "
            "list the covariates that decided on treatment"
        )
    return two_arms(model, inputs, level, effect)


def compare(shared: Shared, *, settings: Values, seed: int) -> dict[str, Any]:
    """Compare the weights, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    settings : mapping
        The table `[sensitivity.overlap]`.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        As of `compare_weights`.
    """
    arms = arms_of(*changed_inputs(shared, {}), shared.level, shared.effect)
    return compare_weights(arms, Settings(**settings), seed)


def analyse(context: Context, settings: Settings) -> Finding:
    """Weigh the arms by their propensity score.

    Parameters
    ----------
    context : Context
        The base analysis, and how refits are made.
    settings : Settings
        The part's table of the spec.

    Returns
    -------
    Finding

    Raises
    ------
    SensitivityError
        As `check`.
    """
    found = context.run_one("overlap", compare, settings=settings.model_dump())
    patients = found.pop("patients")
    if len(context.plan.inputs.design.levels) == 2:
        # with other levels left out it is a fit of its own
        found["rows"] = with_numbers_of(found["rows"], context.base, "outcome_regression")
    rows = found["rows"]
    crude, regression, *weighted = rows
    judge = Judge(regression, context.rule)
    judge.add_states(weighted)
    # regression as well: against a row that fails nothing can be said
    counted = usable(weighted) if usable([regression]) else []
    by_patient = [
        dict(zip(patients, values, strict=True)) for values in zip(*patients.values(), strict=True)
    ]
    return finding(
        "overlap",
        sentence(found, judge, counted),
        judge.verdict(counted),
        result=found,
        rows=[
            rows_of("overlap", rows, FIRST),
            rows_of("overlap_balance", found["balance"]),
            rows_of("overlap_propensity", by_patient),
        ],
        figures=figures_of(context, [regression, crude, *weighted], found["balance"], patients),
        notes=notes_of(context, found),
    )


def notes_of(context: Context, found: Values) -> list[str]:
    """What the comparison rests on, and which rows do not count."""
    levels, score = context.plan.inputs.design.levels, found["propensity"]
    notes = [
        "Weighted hazard ratios are marginal, that of outcome regression is conditional on the "
        "covariates: a hazard ratio that is not 1 differs between the two without any bias.",
        "Scores, weights, balance and weighted hazard ratios all come from the posterior's mode, "
        "which is found again for every weighting of the patients in the calibration; the scores' "
        "intervals are from draws of the posterior.",
        f"{WEIGHT_LIMITS} Nor does it where a covariate's standardised difference is still "
        f"above {as_written(MOST_DIFFERENCE)}; above {as_written(LARGE_DIFFERENCE)} the arms are "
        "not balanced.",
    ]
    if len(levels) > 2:
        notes.append(f"Only patients on {levels[context.level]} and {levels[0]} are compared here.")
    if not score["is_reliable"]:
        why = "; ".join(score["failures"])
        notes.append(f"The propensity score's own draws fail their diagnostics: {why}.")
    return notes + failure_notes(found["rows"])


def figures_of(
    context: Context, rows: Sequence[Values], balance: Sequence[Values], patients: Values
) -> list[Figure]:
    """Hazard ratios, propensity scores of both arms, and their differences."""
    design = context.plan.inputs.design
    score, is_treated = np.array(patients["propensity"]), np.array(patients["is_treated"])
    names = [f"{design.treatment} = {design.levels[each]}" for each in (context.level, 0)]
    scores = {
        "groups": {names[0]: score[is_treated], names[1]: score[~is_treated]},
        "edges": np.linspace(0, 1, BINS + 1),
        "xlabel": "propensity score (posterior mode)",
        "ylabel": "patients",
    }
    kinds = ("unweighted", "stabilised_weights", "overlap_weights")
    differences = {
        "rows": balance,
        "kinds": {kind: METHODS.get(kind, kind) for kind in kinds},
        "balanced": LARGE_DIFFERENCE,
        "xlabel": "standardised difference, treated minus reference",
    }
    return [
        forest(
            "overlap",
            "The treatment's hazard ratio by outcome regression and by weighting.",
            fitted_rows(rows),
        ),
        Figure("overlap_propensity", "Propensity scores of both arms.", plot_mirrored, scores),
        Figure(
            "overlap_balance",
            "Standardised differences between the arms before and after weighting.",
            plot_differences,
            differences,
        ),
    ]


def sentence(found: dict[str, Any], judge: Judge, weighted: Sequence[dict[str, Any]]) -> str:
    """Say how well the arms overlap, and whether weighting changes the conclusion.

    Parameters
    ----------
    found : dict
        Common support, balance and effective sample sizes.
    judge : Judge
        Of the row of outcome regression.
    weighted : sequence of dict
        Weighted rows that may decide it.
    """
    before = max(abs(row["unweighted"]) for row in found["balance"])
    after = max(abs(row["overlap_weights"]) for row in found["balance"])
    sizes = found["effective_sample_size"]["overlap_weights"]
    start = (
        f"The arms' largest standardised difference is {number(before)} before weighting and "
        f"{number(after)} under overlap weights, which leave the information of "
        f"{whole(sizes['treated'])} treated and {whole(sizes['reference'])} other patients"
    )
    if not any(found["common_support"].values()):
        return (
            f"{start}; {NO_COUNTERPART}, so that only the model's extrapolation compares the arms, "
            "and no weighted hazard ratio can be trusted."
        )
    if not weighted:
        return f"{start}; no weighted hazard ratio can be trusted."
    ratios = " and ".join(f"{number(row['median'])} with {row['label']}" for row in weighted)
    return f"{start}; the hazard ratio is {ratios}: {judge.verdict_in_words(weighted)}."


def compare_weights(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the propensity score, and the outcome in four ways.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    settings : Settings
        The part's table of the spec.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        `propensity` (engine, pareto_k, r_hat, is_reliable, failures, terms), `rows` (label, method,
        the columns of `posterior_draws.Draws.row`, calibration of weighted
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
    every = {"unweighted": ones} | weights
    return {
        "propensity": {
            **{name: getattr(drawn, name) for name in OF_PROPENSITY},
            "terms": coefficient_rows(arms, drawn),
        },
        "rows": [
            add_problems(row, overlap_problems(arms, weights.get(row["method"]), score))
            for row in outcome_rows(arms, settings.groups, seed)
        ],
        "balance": balance_rows(arms, every),
        "common_support": common_support(score, arms.is_treated),
        "effective_sample_size": {
            name: {
                "treated": effective_sample_size(weight[arms.is_treated]),
                "reference": effective_sample_size(weight[~arms.is_treated]),
            }
            for name, weight in every.items()
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


def propensity_limits(arms: TwoArms, drawn: PropensityDraws) -> NDArray[np.float64]:
    """95% limits of every patient's propensity, shape (2, patients)."""
    return quantiles(propensity(arms.design, drawn.coefficients), (0.025, 0.975), drawn.weight)


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
    found = {
        name: standardised_differences(arms.design, arms.is_treated, weight)
        for name, weight in weights.items()
    }
    return [
        {"term": term} | {name: float(values[k]) for name, values in found.items()}
        for k, term in enumerate(arms.terms)
    ]


def outcome_rows(arms: TwoArms, groups: int, seed: int) -> list[dict[str, Any]]:
    """Hazard ratios: crude, by outcome regression, and by both kinds of weights."""
    cohort = arms.whole
    marginal = dataclasses.replace(arms.model, covariates="")

    def weighted(make: Callable[[NDArray, NDArray], NDArray]) -> dict[str, Any]:
        def weigh(weights: NDArray) -> NDArray:
            modes = [propensity_mode(arms.design, arms.is_treated, each)[0] for each in weights]
            return weights * make(propensity(arms.design, np.array(modes)), weights)

        return weighted_row(marginal, arms, cohort, weigh, groups, seed)

    rows = {
        "crude": fit_row(marginal, cohort, seed, arms.effect),
        "outcome_regression": fit_row(arms.model, cohort, seed, arms.effect),
        "overlap_weights": weighted(lambda score, _: overlap_weights(score, arms.is_treated)),
        "stabilised_weights": weighted(
            lambda score, own: stabilised_weights(score, arms.is_treated, own)
        ),
    }
    counts = {
        "n_patients": arms.n_patients,
        "n_events": int(arms.event.sum()),
        "n_treated": int(arms.is_treated.sum()),
    }
    return [
        row | counts | {"label": METHODS[method], "method": method} for method, row in rows.items()
    ]
