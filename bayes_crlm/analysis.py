"""One analysis from spec to numbers: what `bayes-crlm check` and `run` do."""

import math
import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from bayes_crlm.errors import EstimandError

if TYPE_CHECKING:
    from bayes_crlm.diagnostics import Diagnostics
    from bayes_crlm.fit import Fit
    from bayes_crlm.model import ModelInputs, PiecewiseExponential
    from bayes_crlm.spec import Spec

__all__ = ["Analysis", "Plan", "plan_analysis", "run_analysis"]

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
    inputs : ModelInputs
        The cohort as the model sees it.
    warnings : tuple of str
        Dropped rows, merged intervals and other changes of what was asked for.
    """

    spec: "Spec"
    model: "PiecewiseExponential"
    inputs: "ModelInputs"
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Analysis:
    """A finished analysis: plan, fit, diagnostics, agreement and where it came from."""

    spec: "Spec"
    inputs: "ModelInputs"
    fit: "Fit"
    diagnostics: "Diagnostics"
    agreement: list[dict[str, Any]]
    warnings: tuple[str, ...]
    provenance: dict[str, Any]


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
    from bayes_crlm.cohort import read_cohort
    from bayes_crlm.model import PiecewiseExponential
    from bayes_crlm.priors import Normal, baseline_prior

    cohort = read_cohort(
        spec.data_path(),
        time=spec.data.time,
        event=spec.data.event,
        entry=spec.data.entry,
        id=spec.data.id,
        unit=spec.data.unit,
        where=spec.data.where,
        missing=spec.data.missing,
    )
    model = PiecewiseExponential(
        treatment=spec.model.treatment,
        reference=spec.model.reference,
        covariates=spec.model.covariates,
        cutpoints=spec.model.baseline.cutpoints,
        baseline=baseline_prior(spec.model.baseline.prior, spec.model.baseline.weight),
        treatment_prior=spec.model.priors.treatment,
        covariate_prior=spec.model.priors.covariates,
    )
    inputs = model.prepare(cohort)
    warnings = []
    if inputs.cohort.is_synthetic:
        warnings.append("synthetic, not patient data")
    warnings += [
        f"{each.n_patients} patients ({each.n_rows} rows) left out: {each.reason}"
        for each in inputs.cohort.dropped
    ]
    warnings += inputs.intervals.notes
    for prior in (inputs.treatment_prior, inputs.covariate_prior):
        if isinstance(prior, Normal) and prior.note:
            warnings.append(prior.note)
    return Plan(resolve(spec, inputs), model, inputs, tuple(warnings))


def resolve(spec: "Spec", inputs: "ModelInputs") -> "Spec":
    """Fill in estimand times that the spec leaves open, and refuse those beyond follow-up.

    Without times of the user's, restricted means reach to the shortest of the treatment
    levels' longest follow-ups (so that every curve is observed up to there), rounded down
    to two digits, and survival is given at a third, two thirds and all of it.
    """
    from bayes_crlm.nuts import default_target_accept

    last = float(inputs.intervals.cutpoints[-1])
    horizons, rmst = spec.estimands.horizons, spec.estimands.rmst
    for key, values in (("horizons", horizons or []), ("rmst", [] if rmst is None else [rmst])):
        for value in values:
            if value > last:
                raise EstimandError(
                    f"estimands.{key}: {value:g} lies beyond the last follow-up time {last:g}; "
                    f"give times up to {last:g}"
                )
    if rmst is None:
        level, when = inputs.design.treatment_level, inputs.cohort.time
        shortest = min(when[level == k].max() for k in range(len(inputs.design.levels)))
        digits = 1 - math.floor(math.log10(shortest))
        rmst = math.floor(shortest * 10.0**digits) / 10.0**digits
    if horizons is None:
        horizons = [float(f"{rmst * k / 3:.3g}") for k in (1, 2, 3)]
        horizons = [min(each, last) for each in horizons]
    estimands = spec.estimands.model_copy(update={"horizons": horizons, "rmst": rmst})
    model = spec.model.model_copy(update={"reference": inputs.design.reference})
    accept = spec.sampling.target_accept
    if accept is None:
        accept = default_target_accept(inputs)
    sampling = spec.sampling.model_copy(update={"target_accept": accept})
    # the resolved spec lies in the result folder, from where a relative path would lead elsewhere
    data = spec.data.model_copy(
        update={"source": str(spec.data_path()), "unit": inputs.cohort.unit}
    )
    return spec.model_copy(
        update={"data": data, "estimands": estimands, "model": model, "sampling": sampling}
    )


def run_analysis(
    plan: Plan, *, progress: bool = False, engine: Literal["nuts", "laplace"] = "nuts"
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

    Returns
    -------
    Analysis
    """
    started = time.perf_counter()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    import arviz_stats  # noqa: F401
    import nutpie  # noqa: F401
    import pymc  # noqa: F401

    imported = time.perf_counter()
    from bayes_crlm.agreement import compare
    from bayes_crlm.fit import fit_model

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
    )
    diagnostics = fit.diagnose()
    agreement = compare(fit, explain=diagnostics.is_trustworthy)
    return Analysis(
        spec=plan.spec,
        inputs=plan.inputs,
        fit=fit,
        diagnostics=diagnostics,
        agreement=agreement,
        warnings=(*plan.warnings, *fit.notes, *fit.cox.warnings),
        provenance={
            "bayes_crlm": package_version("bayes_crlm"),
            "python": platform.python_version(),
            "packages": {name: package_version(name) for name in PACKAGES},
            "seed": sampling.seed,
            "engine": fit.engine,
            "started": began,
            "seconds": {"import": imported - started}
            | fit.seconds
            | {"total": time.perf_counter() - started},
        },
    )


def package_version(name: str) -> str | None:
    """Version of an installed package, None where it is not installed as one."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None
