"""One analysis from spec to numbers: what `bayes-crlm check` and `run` do."""

import dataclasses
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from bayes_crlm.words.errors import (
    CohortError,
    CutpointError,
    DesignError,
    EstimandError,
    FormulaError,
)
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.analysis.beside_answer import BesideAnswer
    from bayes_crlm.cohort.arguments import CohortArguments
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.diagnostics import Diagnostics
    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.fit.fitting import Approximation, HazardRatio
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.specification.spec import Spec

__all__ = ["Analysis", "Plan", "approximate_plan", "plan_analysis", "run_analysis"]

# of the first approximation that is shown before NUTS
PREVIEW_DRAWS, PREVIEW_MOST_ROWS = 1000, 20_000

PACKAGES = (
    "arviz",
    "formulaic",
    "matplotlib",
    "numba",
    "numpy",
    "nutpie",
    "pandas",
    "pymc",
    "pytensor",
    "scipy",
    "survival",
    "xarray",
)


@dataclass(frozen=True)
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
    everyone : Cohort
        The cohort before patients with missing values were left out.
    """

    spec: "Spec"
    model: "PiecewiseExponential"
    inputs: "PreparedCohort"
    warnings: tuple[str, ...]
    everyone: "Cohort"


@dataclass(frozen=True)
class Analysis:
    """A finished analysis: plan, fit, diagnostics, agreement, answers and where it came from.

    `began` is `time.perf_counter()` when the job began: writing the results is part of it. `start`
    is what `bayes_crlm.fit.late_start.compare_starts` found.
    """

    spec: "Spec"
    inputs: "PreparedCohort"
    fit: "Fit"
    diagnostics: "Diagnostics"
    agreement: list[dict[str, Any]]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]
    began: float
    beside: "BesideAnswer"
    start: dict[str, Any] | None = None


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
    from bayes_crlm.cohort.notes import column_notes
    from bayes_crlm.cohort.reading import cohort_of
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.fit.prior_meaning import baseline_cautions
    from bayes_crlm.model.baseline_priors import baseline_prior
    from bayes_crlm.model.column_counts import count_cautions
    from bayes_crlm.model.design import columns_needed
    from bayes_crlm.model.late_start import (
        NOT_STATED,
        check_late_starts,
        is_start_stated,
        waiting_cautions,
    )
    from bayes_crlm.model.priors import Normal

    arguments = cohort_arguments(spec)
    model = PiecewiseExponential(
        treatment=spec.model.treatment,
        reference=spec.model.reference,
        covariates=spec.model.covariates,
        cutpoints=spec.model.baseline.cutpoints,
        baseline=baseline_prior(spec.model.baseline.prior, spec.model.baseline.weight),
        treatment_prior=spec.model.priors.treatment,
        covariate_prior=spec.model.priors.covariates,
    )
    try:
        needs = columns_needed(spec.model.treatment, spec.model.covariates)
        cohort = cohort_of(spec.data_path(), dataclasses.replace(arguments, needs=needs))
        inputs = model.prepare(cohort)
        check_late_starts(inputs)
        resolved = resolve(spec, inputs)
    except (CohortError, DesignError, FormulaError, CutpointError, EstimandError) as first:
        from bayes_crlm.analysis.every_problem import every_problem

        raise every_problem(spec, arguments, first) from first
    warnings = []
    if inputs.cohort.is_synthetic:
        warnings.append("synthetic, not patient data")
    warnings += [
        f"{count_of(each.n_patients, 'patient')} ({count_of(each.n_rows, 'row')}) left out: "
        f"{each.reason}"
        for each in inputs.cohort.dropped
    ]
    warnings += column_notes(used_columns(spec), inputs.cohort)
    warnings += [*inputs.cohort.remarks, *inputs.intervals.notes, *inputs.cautions]
    warnings += [*count_cautions(inputs), *baseline_cautions(model, inputs)]
    if spec.study.design == "observational" and not is_start_stated(inputs):
        warnings.append(NOT_STATED)
    warnings += waiting_cautions(inputs)
    for prior in (inputs.treatment_prior, inputs.covariate_prior):
        if isinstance(prior, Normal) and prior.note:
            warnings.append(prior.note)
    warnings += estimand_cautions(resolved, inputs)
    return Plan(resolved, model, inputs, tuple(warnings), cohort)


def cohort_arguments(spec: "Spec") -> "CohortArguments":
    """What a spec says of its data."""
    from bayes_crlm.cohort.arguments import (
        CohortArguments,
        ColumnArguments,
        OutcomeColumns,
        TimeArguments,
    )
    from bayes_crlm.specification.source_paths import source_name

    data = spec.data
    return CohortArguments(
        OutcomeColumns(*(getattr(data, each.name) for each in dataclasses.fields(OutcomeColumns))),
        TimeArguments(
            *(data.unit, data.time_unit, data.date_format, data.zero_times, data.rounded),
            seed=spec.sampling.seed,
        ),
        ColumnArguments(data.levels, data.references, data.missing_values),
        missing=data.missing,
        where=data.where,
        sheet=data.sheet,
        name=source_name(spec),
    )


def estimand_cautions(spec: "Spec", inputs: "PreparedCohort") -> list[str]:
    """Say what a reader should know of the estimands before anything is fitted."""
    from bayes_crlm.fit.observed_survival import kaplan_meier_cautions
    from bayes_crlm.model.arm_follow_up import beyond_follow_up, gap_cautions
    from bayes_crlm.model.origin import origin_cautions

    asked, origin = spec.estimands, spec.estimands.origin or 0.0
    times = {"survival at": asked.horizons or (), "restricted mean up to": (asked.rmst,)}
    return [
        *origin_cautions(origin, inputs),
        *beyond_follow_up(inputs, times),
        *gap_cautions(inputs, origin),
        *kaplan_meier_cautions(inputs, origin),
    ]


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


def run_analysis(
    plan: Plan,
    *,
    progress: bool = False,
    engine: Literal["nuts", "laplace"] = "nuts",
    approximation: "Approximation | None" = None,
    seconds: dict[str, float | None] | None = None,
    began: float | None = None,
) -> Analysis:
    """Fit, diagnose and compare with Cox.

    Parameters
    ----------
    plan : Plan
        From `plan_analysis`.
    progress : bool
        Show a progress bar.
    engine : {"nuts", "laplace"}
        How to draw.
    approximation : Approximation, optional
        From `approximate_plan`, when engine laplace has drawn already.
    seconds : dict, optional
        Wall time of what went before: `plan`, `first_answer`.
    began : float, optional
        `time.perf_counter()` when the whole job began; now without it.

    Returns
    -------
    Analysis
    """
    imported_from = time.perf_counter()
    began = imported_from if began is None else began
    started = datetime.now(UTC) - timedelta(seconds=imported_from - began)
    import arviz_stats  # noqa: F401

    if engine == "nuts":
        import nutpie  # noqa: F401

    imported = time.perf_counter()
    from bayes_crlm.analysis.beside_answer import beside_answer
    from bayes_crlm.fit.agreement import compare
    from bayes_crlm.fit.fit import fit_model
    from bayes_crlm.words.late_start import withdraw_starts

    sampling = plan.spec.sampling
    fit = fit_model(
        plan.model,
        plan.inputs,
        draws=sampling.draws,
        tune=sampling.tune,
        chains=sampling.chains,
        seed=sampling.seed,
        engine=engine,
        target_accept=sampling.target_accept,
        progress=progress,
        approximation=approximation,
    )
    asked = plan.spec.estimands
    fit = fit.estimating(origin=asked.origin, population=asked.population)
    fitted = time.perf_counter()
    # labels, likelihoods and predictions, which the files hold
    _ = fit.posterior
    labelled = time.perf_counter()
    diagnostics = fit.diagnose()
    agreement = compare(fit, explain=diagnostics.is_trustworthy)
    start = fit.starts(plan.spec.estimands.hr_thresholds, plan.spec.success.rule)
    beside = beside_answer(
        fit,
        plan.spec.success.rule,
        diagnostics.failures,
        plan.spec.estimands.hr_thresholds,
        start,
    )
    finished = time.perf_counter()
    return Analysis(
        spec=plan.spec,
        inputs=plan.inputs,
        fit=fit,
        diagnostics=diagnostics,
        agreement=agreement,
        warnings=(*beside.found, *plan.warnings, *fit.notes, *fit.cox.warnings),
        provenance={
            "bayes_crlm": package_version("bayes_crlm"),
            "python": platform.python_version(),
            "packages": {name: package_version(name) for name in PACKAGES},
            "seed": sampling.seed,
            "engine": fit.engine,
            "started": started.isoformat(timespec="seconds"),
            "seconds": {"plan": None, "first_answer": None}
            | (seconds or {})
            | fit.seconds
            | {
                "import": imported - imported_from + fit.seconds["import"],
                "posterior": labelled - fitted,
                "diagnostics": finished - labelled,
                "report": None,
                "total": finished - began,
            },
        },
        began=began,
        start=withdraw_starts(start, beside.answers),
        beside=beside,
    )


def approximate_plan(
    plan: Plan, engine: Literal["nuts", "laplace"]
) -> "tuple[Approximation, list[HazardRatio]]":
    """Give the quick answer that needs NumPy alone, while the heavy packages are not there yet.

    Parameters
    ----------
    plan : Plan
        From `plan_analysis`.
    engine : {"nuts", "laplace"}
        For laplace these are the draws of the result; for NUTS fewer, as a first approximation.

    Returns
    -------
    Approximation
        Without draws before NUTS where the cohort is too large for an answer that does not
        delay it.
    list of HazardRatio
        Empty where the approximation has no draws.
    """
    from bayes_crlm.fit.fitting import Approximation, approximate, hazard_ratios_of

    sampling, inputs = plan.spec.sampling, plan.inputs
    draws = sampling.chains * sampling.draws
    if engine == "nuts":
        if inputs.density_data.follow_up.n_rows > PREVIEW_MOST_ROWS:
            return Approximation(None, "the cohort is too large for a first approximation", 0.0), []
        draws = PREVIEW_DRAWS
    approximation = approximate(inputs, draws, sampling.seed)
    drawn = approximation.drawn
    return approximation, [] if drawn is None else hazard_ratios_of(drawn, inputs)


def package_version(name: str) -> str | None:
    """Version of an installed package, None where it is not installed as one."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
