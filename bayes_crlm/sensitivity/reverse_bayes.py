"""The analysis of credibility: the prior that would just make the finding not credible.

The critical prior is found twice: in closed form from the base's interval, and by refitting the
model under priors of different scales until the interval's limit is at no effect.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bayes_crlm.errors import BayesCRLMError, SensitivityError
from bayes_crlm.priors import Normal, parse_prior
from bayes_crlm.sensitivity.credibility import (
    CriticalPrior,
    critical_prior,
    intrinsic_credibility,
    judge_evidence,
)
from bayes_crlm.sensitivity.critical_scale import reverse_bayes
from bayes_crlm.sensitivity.parts import Context, PartResult
from bayes_crlm.sensitivity.refit import Shared, refit_priors
from bayes_crlm.spec import Table
from bayes_crlm.tasks import Task

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan

__all__ = ["Settings", "analyse", "check", "critical_refits"]


class Settings(Table):
    """The table `[sensitivity.reverse_bayes]`."""

    evidence: Annotated[
        dict[str, str],
        Field(description="a table of earlier findings, such as 'hr(0.6, 0.4, 0.9)'"),
    ] = {}  # noqa: RUF012  (pydantic copies it)
    widest: Annotated[
        float, Field(gt=1, description="the scale of the prior that stands for none, above 1")
    ] = 10.0


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse evidence that cannot be read.

    Raises
    ------
    SensitivityError
    """
    for name, text in settings.evidence.items():
        evidence_of(name, text)


def evidence_of(name: str, text: str) -> Normal:
    """Read an earlier finding as a normal distribution of the log hazard ratio."""
    where = f"sensitivity.reverse_bayes.evidence.{name}"
    try:
        prior = parse_prior(text, "treatment")
    except BayesCRLMError as problem:
        raise SensitivityError(f"{where}: {problem}") from None
    if not isinstance(prior, Normal):
        raise SensitivityError(f"{where}: {text} is no normal; give hr(median, low, high)")
    return prior


def critical_refits(shared: Shared, *, widest: float, seed: int) -> dict[str, Any]:
    """Find the critical prior by refitting, as a task.

    Parameters
    ----------
    shared : Shared
    widest : float
        Standard deviation of the prior that stands for none.
    seed : int
        Of every refit, so that limits change smoothly with the prior.

    Returns
    -------
    dict
        The critical prior (`kind`, `side`, `limit`, `low`, `high`, `prior_sd`, `prior_mean`),
        the posterior's limits under it and under no prior, refits, and whether all were reliable.
    """
    rows: list[dict[str, Any]] = []

    def limits(prior: Normal) -> tuple[float, float]:
        priors = [{"treatment_prior": f"normal({prior.mean!r}, {prior.sd!r})"}]
        rows.extend(refit_priors(shared, priors=priors, seed=seed, parts=[])["rows"])
        low, high = rows[-1]["eti95"]
        return math.log(low), math.log(high)

    found = reverse_bayes(limits, widest=widest)
    critical = asdict(found.critical)
    prior = critical.pop("prior")
    return critical | {
        "prior_mean": None if prior is None else prior["mean"],
        "prior_sd": None if prior is None else prior["sd"],
        "posterior_eti95": [found.posterior_low, found.posterior_high],
        "without_prior": {key: rows[0][key] for key in ("median", "eti95", "prob_below_1")},
        "refits": len(rows),
        "engines": sorted({row["engine"] for row in rows}),
        "largest_pareto_k": max((row["pareto_k"] or 0.0 for row in rows), default=None),
        "is_reliable": all(row["is_reliable"] for row in rows),
    }


def analyse(context: Context, settings: Settings) -> PartResult:
    """Find the critical prior, and hold earlier evidence against it."""
    task = Task("reverse_bayes", critical_refits, {"widest": settings.widest, "seed": context.seed})
    (done,) = context.run("reverse_bayes", [task])
    if done.value is None:
        raise SensitivityError(f"sensitivity.reverse_bayes: {done.failure}")
    found = dict(done.value)
    # without a prior's pull, as the closed form wants it
    closed = critical_prior(*found["without_prior"]["eti95"])
    intrinsic = intrinsic_credibility(*found["without_prior"]["eti95"])
    verdicts = {
        name: {"evidence": text}
        | asdict(judge_evidence(critical_of(found), evidence_of(name, text)))
        for name, text in settings.evidence.items()
    }
    notes = [
        f"The finding is the posterior under a normal(0, {settings.widest:g}) prior of the log "
        "hazard ratio, so that no prior is counted twice.",
    ]
    if not settings.evidence:
        notes.append(
            "Earlier evidence can be given as [sensitivity.reverse_bayes.evidence], such as "
            "trial = 'hr(0.6, 0.4, 0.9)'."
        )
    if not found["is_reliable"]:
        notes.append("A refit fails its diagnostic: do not trust the critical prior.")
    return PartResult(
        result={
            "critical": found,
            "closed_form": {
                "kind": closed.kind,
                "limit": closed.limit,
                "low": closed.low,
                "high": closed.high,
            },
            "intrinsic": asdict(intrinsic),
            "evidence": verdicts,
        },
        sentence=sentence(found, verdicts, intrinsic.is_credible),
        moves=None,
        tables={},
        figures=figures_of(context, found),
        notes=tuple(notes),
    )


def critical_of(found: Mapping[str, Any]) -> CriticalPrior:
    """The critical prior of the refits."""
    is_there = found["prior_sd"] is not None
    return CriticalPrior(
        kind=found["kind"],
        side=found["side"],
        limit=found["limit"],
        low=found["low"],
        high=found["high"],
        prior=Normal(found["prior_mean"], found["prior_sd"]) if is_there else None,
        level=found["level"],
    )


def sentence(
    found: Mapping[str, Any], verdicts: Mapping[str, Mapping[str, Any]], is_credible: bool
) -> str:
    """Say what prior the finding withstands."""
    interval = f"{found['low']:.2f} to {found['high']:.2f}"
    if found["kind"] == "sceptical":
        text = (
            f"A sceptic who holds hazard ratios of {interval} for 95% probable, or a narrower "
            "interval about 1, is not convinced by these data; one who allows more is"
        )
    else:
        text = (
            "The data alone do not exclude a hazard ratio of 1; they do for an advocate who holds "
            f"{interval}, or a narrower interval from 1, for 95% probable"
        )
    text += (
        ". The finding is credible without earlier evidence (intrinsic credibility)"
        if is_credible
        else ". Without earlier evidence the finding is not credible (intrinsic credibility)"
    )
    text += "".join(f"; with {name}: {each['verdict']}" for name, each in verdicts.items())
    return f"{text}."


def figures_of(context: Context, found: Mapping[str, Any]) -> dict[str, Any]:
    """The finding, the critical prior and the posterior under it."""
    from bayes_crlm.sensitivity.figures import plot_forest_rows

    if found["prior_sd"] is None:
        return {}
    low, high = found["posterior_eti95"]
    rows = [
        context.base,
        found["without_prior"],
        {"median": math.exp(found["prior_mean"]), "eti95": [found["low"], found["high"]]},
        {"median": math.sqrt(low * high), "eti95": [low, high]},
    ]
    labels = [
        "the spec as it stands",
        "without a prior",
        f"critical {found['kind']} prior",
        "posterior under it",
    ]
    return {
        "reverse_bayes": (
            "The prior under which the interval just reaches a hazard ratio of 1.",
            lambda: plot_forest_rows(context, rows, labels),
        )
    }
