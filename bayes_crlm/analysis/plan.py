"""A spec with its cohort, checked and put together: what `bayes-crlm check` says."""

import dataclasses
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.errors import (
    CohortError,
    CutpointError,
    DesignError,
    EstimandError,
    FormulaError,
)
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import SYNTHETIC, count_of

if TYPE_CHECKING:
    from bayes_crlm.cohort.arguments import CohortArguments
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.specification.spec import Spec


@record
class Plan:
    """A spec and its cohort, checked and put together, before anything is sampled.

    Attributes
    ----------
    spec : Spec
        With every default resolved for this cohort.
    model : PiecewiseExponential
        What will be fitted.
    inputs : PreparedCohort
        The cohort as the model sees it.
    warnings : tuple of str
        Dropped rows, dropped intervals and other changes of what was asked for.
    full_cohort : Cohort
        The cohort before patients with missing values were left out.
    """

    spec: "Spec"
    model: "PiecewiseExponential"
    inputs: "PreparedCohort"
    warnings: tuple[str, ...]
    full_cohort: "Cohort"


def plan_analysis(spec: "Spec") -> Plan:
    """Read the spec's data and check that cohort, model and estimands fit together.

    Parameters
    ----------
    spec : Spec
        The analysis.

    Returns
    -------
    Plan

    Raises
    ------
    BayesCRLMError
        One sentence: what is wrong, where, and what would be right.
    """
    from bayes_crlm.cohort.reading import cohort_of
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.design import columns_needed
    from bayes_crlm.model.late_start import check_late_starts

    arguments = cohort_arguments(spec)
    model = PiecewiseExponential(**model_options(spec))
    try:
        needs = columns_needed(spec.model.treatment, spec.model.covariates, model.terms)
        cohort = cohort_of(spec.data_path(), dataclasses.replace(arguments, needs=needs))
        inputs = model.prepare(cohort)
        check_late_starts(inputs)
        resolved = resolve(spec, inputs)
    except (CohortError, DesignError, FormulaError, CutpointError, EstimandError) as first:
        from bayes_crlm.analysis.every_problem import every_problem

        raise every_problem(spec, arguments, first) from first
    return Plan(resolved, model, inputs, tuple(warnings_of(spec, resolved, model, inputs)), cohort)


def model_options(spec: "Spec") -> dict[str, Any]:
    """What a spec says of the model: arguments of `PiecewiseExponential`."""
    from bayes_crlm.analysis.terms import terms_of
    from bayes_crlm.model.baseline_priors import baseline_prior

    asked = spec.model
    return {
        "treatment": asked.treatment,
        "reference": asked.reference,
        "covariates": asked.covariates,
        "cutpoints": asked.baseline.cutpoints,
        "baseline": baseline_prior(asked.baseline.prior, asked.baseline.weight),
        "treatment_prior": asked.priors.treatment,
        "covariate_prior": asked.priors.covariates,
        "terms": terms_of(spec),
    }


def warnings_of(
    spec: "Spec", resolved: "Spec", model: "PiecewiseExponential", inputs: "PreparedCohort"
) -> list[str]:
    """Say what a reader should know before anything is fitted."""
    from bayes_crlm.fit.cautions import cohort_cautions, curve_cautions
    from bayes_crlm.model.late_start import NOT_STATED, is_start_stated, waiting_cautions
    from bayes_crlm.model.priors import Normal

    phrases = [SYNTHETIC] if inputs.cohort.is_synthetic else []
    phrases += [
        f"{count_of(each.n_patients, 'patient')} ({count_of(each.n_rows, 'row')}) left out: "
        f"{each.reason}"
        for each in inputs.cohort.dropped
    ]
    phrases += cohort_cautions(model, inputs, used_columns(spec))
    if spec.study.design == "observational" and not is_start_stated(inputs):
        phrases.append(NOT_STATED)
    phrases += waiting_cautions(inputs)
    for prior in (inputs.treatment_prior, inputs.covariate_prior):
        if isinstance(prior, Normal) and prior.note:
            phrases.append(prior.note)
    asked = resolved.estimands
    times = {"survival at": asked.horizons or (), "restricted mean up to": (asked.rmst,)}
    return [*phrases, *curve_cautions(inputs, asked.origin or 0.0, times)]


def cohort_arguments(spec: "Spec") -> "CohortArguments":
    """What a spec says of its data."""
    from bayes_crlm.cohort.arguments import CohortArguments
    from bayes_crlm.specification.source_paths import source_name

    said = {key: value for key, value in spec.data if key != "source"}
    return CohortArguments(**said, seed=spec.sampling.seed, name=source_name(spec))


def used_columns(spec: "Spec") -> list[str]:
    """List the columns that a spec uses, in the spec's order."""
    from bayes_crlm.model.design import columns_needed
    from bayes_crlm.specification.data import OUTCOME_KEYS

    outcome = [getattr(spec.data, key) for key in OUTCOME_KEYS]
    named = [each for each in outcome if isinstance(each, str)]
    named += [each.column for each in spec.data.where]
    named += columns_needed(spec.model.treatment, spec.model.covariates)
    return list(dict.fromkeys(named))


def resolve(spec: "Spec", inputs: "PreparedCohort") -> "Spec":
    """Fill in estimand times that the spec leaves open, and refuse those outside follow-up.

    Without times of the user's, restricted means reach to the shortest of the treatment
    levels' longest follow-ups (so that every curve is observed up to there), rounded down, and
    survival is given at a third, two thirds and all of the way from the origin, as round numbers.
    """
    from bayes_crlm.analysis.horizons import default_horizons, default_rmst, horizon_problems
    from bayes_crlm.model.origin import check_origin

    last = float(inputs.intervals.cutpoints[-1])
    horizons, rmst = spec.estimands.horizons, spec.estimands.rmst
    origin = check_origin(spec.estimands.origin, inputs)
    problems = horizon_problems(spec.estimands, origin, last)
    if problems:
        raise EstimandError.of("estimands", problems)
    if rmst is None:
        rmst = default_rmst(inputs, origin)
    if horizons is None:
        horizons = default_horizons(origin, rmst, inputs.cohort.unit)
    estimands = spec.estimands.model_copy(
        update={"horizons": tuple(horizons), "rmst": rmst, "origin": origin}
    )
    model = spec.model.model_copy(update={"reference": inputs.design.reference})
    data = spec.data.model_copy(update={"unit": inputs.cohort.unit})
    resolved = spec.model_copy(update={"data": data, "estimands": estimands, "model": model})
    return resolved.with_cutpoints_used(inputs.intervals.cutpoints[1:-1].tolist())


def estimands_asked(plan: Plan) -> str:
    """Say which survival estimands a plan has, given what, and of whom.

    Parameters
    ----------
    plan : Plan
        A checked plan.
    """
    from bayes_crlm.model.origin import given_survival

    asked, unit = plan.spec.estimands, plan.inputs.cohort.unit
    times = ", ".join(f"{as_written(time)}" for time in asked.horizons or ())
    given = given_survival(asked.origin or 0.0, unit)
    return (
        f"survival at {times}, mean survival up to {as_written(asked.rmst or 0.0)} "
        f"{unit or 'time units'}"
        + (f", {given}" if given else "")
        + ("; of the population before entry" if asked.population == "before_entry" else "")
    )
