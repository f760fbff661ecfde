"""Defensible choices of an analysis, and all their combinations.

A choice has options, each with a label for a reader and with what it changes of the base analysis.
"""

import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PlainValidator

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.model.baseline_priors import baseline_prior
from bayes_crlm.model.design import columns_needed
from bayes_crlm.model.formula import check_formula
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import parse_prior
from bayes_crlm.sensitivity.parts import naming
from bayes_crlm.specification.data import ConditionSpec
from bayes_crlm.specification.lists import check_list, interval_numbers, ratios, some_of
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import BayesCRLMError, SensitivityError
from bayes_crlm.words.wording import count_of, no_column, shown

# a patient is unusual when so few of a multivariate normal lie as far from the mean
UNUSUAL = 0.025
AS_IN_SPEC = "as in the spec"
FAMILIES = ("normal", "student_t", "laplace")
BASELINES = ("log_time_walk", "random_walk", "independent", "gamma")
COVARIATE_SETS = ("all", "none", "leave_one_out")


def check_covariates(value: object) -> tuple[str, ...]:
    """Take a list of covariate sets: names of ours, or formulas."""
    sets = check_list(value, "covariate sets")
    for each in sets:
        if each not in COVARIATE_SETS:
            check_formula(each)
    return sets


Conditions = Annotated[
    tuple[ConditionSpec, ...], Field(strict=False, description="a list of {column, op, value}")
]


class Settings(Table):
    """The table `[sensitivity.multiverse]`: the options of every choice."""

    families: Annotated[Any, some_of("families of priors", FAMILIES)] = ("normal", "student_t")
    scales: Annotated[Any, ratios("scales")] = (0.5, 1.0, 2.5)
    degrees_of_freedom: float = Field(
        3.0, gt=0, description="degrees of freedom of Student t priors, above 0"
    )
    baselines: Annotated[Any, some_of("baseline priors", BASELINES)] = BASELINES
    intervals: Annotated[Any, interval_numbers()] = Field(
        "auto", description="'auto' or a list of numbers of intervals"
    )
    covariates: Annotated[Any, PlainValidator(check_covariates)] = Field(
        COVARIATE_SETS, description="a list of 'all', 'none', 'leave_one_out' and formulas"
    )
    unusual: bool = Field(
        True, description="true to leave out patients of unusual covariates, or false"
    )
    exclusions: dict[str, Conditions] = Field(
        {}, description="a table of lists of conditions to be met"
    )
    draws: int = Field(1000, ge=500, le=100_000, description="a whole number from 500 to 100000")


def specifications(plan: Plan, settings: Settings) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Combine the options of all choices.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : Settings
        The part's table of the spec.

    Returns
    -------
    list of (choices, changes)
        What a reader is told, and what `bayes_crlm.sensitivity.refit.refit` is.
    """
    inputs = plan.inputs
    options: dict[str, dict[Any, dict[str, Any]]] = {
        "baseline": {name: {"baseline": baseline(plan, name)} for name in settings.baselines},
        "intervals": interval_options(plan, settings),
        "covariates": covariate_options(plan.model.covariates, settings),
        "exclusions": exclusion_options(inputs, settings),
    }
    found = []
    for family, scale in itertools.product(settings.families, settings.scales):
        prior = prior_text(family, scale, settings.degrees_of_freedom)
        for combination in itertools.product(*(each.items() for each in options.values())):
            choices = {"prior_family": family, "prior_scale": scale}
            changes: dict[str, Any] = {"treatment_prior": prior}
            for name, (label, change) in zip(options, combination, strict=True):
                choices[name] = label
                changes |= change
            found.append((choices, changes))
    return found


def repeats_the_spec(plan: Plan, changes: Mapping[str, Any]) -> bool:
    """Whether the changes of a specification leave the spec's model and patients as they are.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    changes : mapping
        From `specifications`.
    """
    model, inputs = plan.model, plan.inputs
    treatment = parse_prior(changes["treatment_prior"], "treatment")
    is_alike = (
        treatment == inputs.treatment_prior
        and baseline_prior(*changes["baseline"]) == inputs.baseline
        and formula_terms(changes["covariates"]) == formula_terms(model.covariates)
        and not changes.get("leave_out")
    )
    if not is_alike or "cutpoints" not in changes:
        return is_alike
    cut = replace(model, cutpoints=changes["cutpoints"]).prepare(inputs.cohort)
    return np.array_equal(cut.intervals.cutpoints, inputs.intervals.cutpoints)


def check_choices(plan: Plan, settings: Settings) -> None:
    """Refuse covariate sets, exclusions and intervals of the user's own that cannot be fitted.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : Settings
        The part's table of the spec.

    Raises
    ------
    SensitivityError
        One sentence that names the key.
    """
    cohort = plan.inputs.cohort
    for formula in settings.covariates:
        if formula in COVARIATE_SETS:
            # made of the spec's own formula, which has been prepared
            continue
        with naming(f"sensitivity.multiverse.covariates: {shown(formula)}"):
            for column in columns_needed(plan.model.treatment, formula):
                if column not in cohort.table.columns:
                    raise SensitivityError(no_column(column, cohort.table.columns))
            replace(plan.model, covariates=formula).prepare(cohort)
    options = exclusion_options(plan.inputs, settings)
    for name in settings.exclusions:
        with naming(exclusion_key(name)):
            plan.model.prepare(cohort.without(options[name]["leave_out"]))
    if settings.intervals != "auto":
        check_intervals(plan, max(settings.intervals), options)


def check_intervals(plan: Plan, most: int, exclusions: dict[Any, dict[str, Any]]) -> None:
    """Refuse more intervals than there are events, with all patients or after an exclusion.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    most : int
        The largest number of intervals asked for.
    exclusions : dict
        From `exclusion_options`.

    Raises
    ------
    SensitivityError
    """
    cohort = plan.inputs.cohort
    for name, change in exclusions.items():
        left = cohort.without(change["leave_out"]) if change.get("leave_out") else cohort
        if most > left.n_events:
            after = "" if left is cohort else f" that the exclusion {shown(name)} leaves"
            raise SensitivityError(
                f"sensitivity.multiverse.intervals: {count_of(most, 'interval')} for "
                f"{count_of(left.n_events, 'event')}{after}; give at most {left.n_events}"
            )


def exclusion_key(name: str) -> str:
    """The key of a named exclusion in a spec."""
    return f"sensitivity.multiverse.exclusions.{name}"


def prior_text(family: str, scale: float, degrees_of_freedom: float) -> str:
    """Write a prior centred at no effect as a spec does."""
    first = f"{degrees_of_freedom!r}, " if family == "student_t" else ""
    return f"{family}({first}0, {float(scale)!r})"


def baseline(plan: Plan, name: str) -> list[Any]:
    """A baseline prior's name and weight: the spec's where the spec has that prior."""
    spec = plan.spec.model.baseline
    return [name, spec.weight if spec.prior == name else 1.0]


def interval_options(plan: Plan, settings: Settings) -> dict[Any, dict[str, Any]]:
    """Numbers of intervals: by default half of the spec's, the spec's and twice as many."""
    asked, now = settings.intervals, plan.inputs.intervals.n_intervals
    if asked != "auto":
        return {number: {"cutpoints": number} for number in asked}
    most = plan.inputs.cohort.n_events // 2
    numbers = dict.fromkeys([max(1, now // 2), now, max(1, min(2 * now, most))])
    found: dict[Any, dict[str, Any]] = {number: {"cutpoints": number} for number in numbers}
    if isinstance(plan.model.cutpoints, tuple):
        # cut at times of the user's own, which no number stands for
        del found[now]
        found = {AS_IN_SPEC: {}} | found
    return found


def covariate_options(formula: str, settings: Settings) -> dict[Any, dict[str, Any]]:
    """Covariate sets by what a reader calls them; equal ones only once."""
    terms = formula_terms(formula)
    found: dict[str, str] = {}
    for asked in settings.covariates:
        if asked == "all":
            named = {"all": formula}
        elif asked == "none":
            named = {"none": ""}
        elif asked == "leave_one_out":
            named = left_out_options(terms)
        else:
            named = {asked: asked}
        for label, text in named.items():
            if text not in found.values():
                found[label] = text
    return {label: {"covariates": text} for label, text in found.items()}


def left_out_options(terms: Sequence[str]) -> dict[str, str]:
    """Formulas without one covariate each, and without one product each.

    A covariate goes with every term that it is part of: a product without its main effect is
    another way to write the same model, so that leaving out the main effect alone would leave
    nothing out. Products are offered unless another one holds them, as in R's `drop1`.

    Parameters
    ----------
    terms : sequence of str
        From `formula_terms`.

    Returns
    -------
    dict of str to str
        From what a reader is told, "without age", to what is left of the formula.
    """
    columns = {term: check_formula(term) for term in terms}

    def rest(gone: Collection[str]) -> str:
        return " + ".join(term for term in terms if term not in gone)

    found = {}
    for column in dict.fromkeys(name for term in terms for name in sorted(columns[term])):
        gone = [term for term in terms if column in columns[term]]
        is_alone = len(gone) == 1 and len(columns[gone[0]]) == 1
        found[f"without {gone[0] if is_alone else column}"] = rest(gone)
    for term in terms:
        is_held = any(columns[term] < columns[other] for other in terms)
        if len(columns[term]) > 1 and not is_held:
            found[f"without {term}"] = rest([term])
    return found


def formula_terms(formula: str) -> list[str]:
    """Terms of a formula as it would be written with one of them."""
    if not formula.strip():
        return []
    from formulaic import Formula

    parse: Any = Formula

    def written(factor: Any) -> str:
        is_column = factor.eval_method.value == "lookup"
        return f"`{factor.expr}`" if is_column and not factor.expr.isidentifier() else factor.expr

    found = []
    for term in parse(formula):
        text = ":".join(written(factor) for factor in term.factors)
        if text != "1":
            found.append(text)
    return found


def exclusion_options(inputs: PreparedCohort, settings: Settings) -> dict[Any, dict[str, Any]]:
    """Exclusions by name: no one, patients of unusual covariates, and those of the spec."""
    found: dict[Any, dict[str, Any]] = {"none": {}}
    cohort = inputs.cohort
    if settings.unusual and inputs.n_covariate_terms:
        places = unusual_patients(inputs)
        if places:
            found["unusual covariates"] = {"leave_out": places}
    for name, conditions in settings.exclusions.items():
        if name in found:
            raise SensitivityError(f"{exclusion_key(name)}: this name is taken; give another")
        try:
            kept = set(cohort.where(conditions).patients.tolist())
        except BayesCRLMError as problem:
            said = str(problem).replace("where: ", "")
            raise SensitivityError(f"{exclusion_key(name)}: {said}") from None
        found[name] = {
            "leave_out": [
                place for place, label in enumerate(cohort.patients.tolist()) if label not in kept
            ]
        }
    return found


def unusual_patients(inputs: PreparedCohort) -> list[int]:
    """Places of patients whose covariates lie far from the others' by Mahalanobis distance.

    Far is beyond the point that `UNUSUAL` of a multivariate normal exceed; the covariates are those
    with which follow-up begins, the treatment is not among them.
    """
    from scipy.special import chdtri

    columns = inputs.data.design[inputs.design.first_row][:, inputs.n_treatment_terms :]
    centred = columns - columns.mean(axis=0)
    covariance = centred.T @ centred / (len(centred) - 1)
    distance = np.einsum("ij,ij->i", centred @ np.linalg.pinv(covariance), centred)
    far = distance > chdtri(columns.shape[1], UNUSUAL)
    return np.flatnonzero(far).tolist()
