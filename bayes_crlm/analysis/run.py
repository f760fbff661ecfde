"""One analysis from plan to numbers: what `bayes-crlm run` does."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.analysis.provenance import provenance
from bayes_crlm.fit.findings import Asked, Findings

if TYPE_CHECKING:
    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.fit.fitting import Approximation, HazardRatio
    from bayes_crlm.specification.spec import Spec
    from bayes_crlm.words.section import Section

# of the first approximation that is shown before NUTS
PREVIEW_DRAWS, PREVIEW_MOST_ROWS = 1000, 20_000


@dataclass(frozen=True, eq=False, kw_only=True)
class Analysis(Findings):
    """A finished analysis: what a fit comes to, what was asked, and where it came from.

    Attributes
    ----------
    spec : Spec
        With every default resolved.
    provenance : dict
        Versions, seed, engine and wall times.
    began : float
        `time.perf_counter()` when the job began: writing the results is part of it.
    """

    spec: "Spec"
    provenance: dict[str, Any]
    began: float
    fit: "Fit"

    @cached_property
    def sections(self) -> "tuple[Section, ...]":
        """Everything that was found, in the order in which it is read."""
        from bayes_crlm.analysis.data_section import data_sections
        from bayes_crlm.fit.sections import fit_sections

        return (*data_sections(self), *fit_sections(self))


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
        `time.perf_counter()` when the whole job began; without it when drawing began.

    Returns
    -------
    Analysis
    """
    now = time.perf_counter()
    # what was drawn before counts with the drawing
    drawn = 0.0 if approximation is None else approximation.seconds
    began = now - drawn if began is None else began
    started = datetime.now(UTC) - timedelta(seconds=now - began)
    from bayes_crlm.fit.fit import fit_model

    spec, sampling = plan.spec, plan.spec.sampling
    fit = fit_model(
        plan.model,
        plan.inputs,
        **sampling.model_dump(),
        engine=engine,
        progress=progress,
        approximation=approximation,
    )
    fit = fit.estimating(origin=spec.estimands.origin, population=spec.estimands.population)
    # labels, likelihoods and predictions, which the files hold
    _ = fit.groups
    labelled = time.perf_counter()
    took = {"plan": None, "first_answer": None} | (seconds or {}) | fit.seconds
    # no time is left out
    took["import"] = fit.seconds["import"] + now - began - (took["plan"] or 0.0) - drawn
    took["posterior"] = labelled - now + drawn - sum(fit.seconds.values())
    analysis = Analysis(
        fit=fit,
        asked=asked_of(spec),
        diagnostics=fit.diagnose(),
        spec=spec,
        planned=plan.warnings,
        provenance=provenance(sampling.seed, started, took) | {"engine": fit.engine},
        began=began,
    )
    # what takes refits is found now, and its time with it
    _ = analysis.agreement, analysis.start, analysis.notes
    finished = time.perf_counter()
    took |= {"diagnostics": finished - labelled, "report": None, "total": finished - began}
    return analysis


def asked_of(spec: "Spec") -> Asked:
    """What a spec asks of a fit."""
    asked = spec.estimands
    return Asked(
        rule=spec.success.rule,
        thresholds=tuple(asked.hr_thresholds),
        horizons=tuple(asked.horizons or ()),
        rmst=asked.rmst,
        caution=spec.caution,
        is_observational=spec.study.design == "observational",
    )


def approximate_plan(
    plan: Plan, engine: Literal["nuts", "laplace"]
) -> "tuple[Approximation, list[HazardRatio]]":
    """Give the quick answer, which needs none of the heavy packages, before they are loaded.

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
