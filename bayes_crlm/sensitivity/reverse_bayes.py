"""The analysis of credibility: the prior that would just make the finding not credible.

The critical prior is found twice: in closed form from the base's interval, and by refitting the
model under priors of different scales until the interval's limit is at no effect.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import Field

from bayes_crlm.errors import BayesCRLMError, SensitivityError
from bayes_crlm.priors import Normal, parse_prior
from bayes_crlm.sensitivity.credibility import (
    CriticalPrior,
    critical_prior,
    intrinsic_credibility,
    judge_evidence,
)
from bayes_crlm.sensitivity.critical_scale import quantile_mcse, reverse_bayes
from bayes_crlm.sensitivity.parts import TWO_THRESHOLDS, Context, PartResult
from bayes_crlm.sensitivity.refit import Shared, refit_priors
from bayes_crlm.spec import Table
from bayes_crlm.tasks import Task

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan

__all__ = ["Settings", "analyse", "check", "critical_refits"]

# the critical prior hangs on a few draws beyond no effect
DRAWS = 20_000
TAIL = 0.025


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


def critical_refits(
    shared: Shared, *, widest: float, seed: int, draws: int = DRAWS
) -> dict[str, Any]:
    """Find the critical prior by refitting, as a task.

    Parameters
    ----------
    shared : Shared
    widest : float
        Standard deviation of the prior that stands for none.
    seed : int
        Of every refit, so that limits change smoothly with the prior.
    draws : int
        Of every refit.

    Returns
    -------
    dict
        The critical prior (`kind`, `side`, `limit`, `limit_mcse`, `low`, `high`, `prior_sd`,
        `prior_mean`), the posterior's limits under it and under no prior (`eti95_mcse_log`: Monte
        Carlo errors of the latter's logarithms), refits, and whether all were reliable.
    """
    rows: list[dict[str, Any]] = []
    errors: dict[float, tuple[float, float]] = {}

    def limits(prior: Normal) -> tuple[float, float]:
        priors = [{"treatment_prior": f"normal({prior.mean!r}, {prior.sd!r})"}]
        (row,) = refit_priors(shared, priors=priors, seed=seed, draws=draws, parts=["draws"])[
            "rows"
        ]
        value, weight = np.array(row.pop("log_hazard_ratio")), np.array(row.pop("weight"))
        errors[prior.sd] = (
            quantile_mcse(value, weight, TAIL),
            quantile_mcse(value, weight, 1 - TAIL),
        )
        rows.append(row)
        low, high = row["eti95"]
        return math.log(low), math.log(high)

    found = reverse_bayes(limits, widest=widest)
    critical = asdict(found.critical)
    prior = critical.pop("prior")
    sd, nearer = widest if prior is None else prior["sd"], critical["side"] == "below"
    without = {key: rows[0][key] for key in ("median", "eti95", "prob_below_1")}
    return critical | {
        "limit_mcse": found.limit_mcse(errors[sd][nearer]),
        "draws": draws,
        "prior_mean": None if prior is None else prior["mean"],
        "prior_sd": None if prior is None else prior["sd"],
        "posterior_eti95": [found.posterior_low, found.posterior_high],
        "without_prior": without | {"eti95_mcse_log": list(errors[widest])},
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
        TWO_THRESHOLDS,
    ]
    if found["limit_mcse"] is not None:
        notes.append(
            f"The critical limit, {found['limit']:.3f}, has a Monte Carlo standard error of "
            f"{found['limit_mcse']:.2g}; each refit has {found['draws']:,} draws."
        )
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
                "limit_mcse": closed_form_mcse(found["without_prior"]),
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


def closed_form_mcse(finding: Mapping[str, Any]) -> float | None:
    """Monte Carlo standard error that the closed form takes over from the interval's limits.

    Parameters
    ----------
    finding : mapping
        `eti95` and `eti95_mcse_log`, whose ends have independent errors: they are far apart.

    Returns
    -------
    float or None
        None where a limit within a standard error of no effect makes it another kind of prior.
    """
    at, variance = critical_prior(*finding["eti95"]), 0.0
    if at.prior is None:
        return None
    for end, error in enumerate(finding["eti95_mcse_log"]):
        moved = []
        for sign in (-1, 1):
            limits = list(finding["eti95"])
            limits[end] *= math.exp(sign * error)
            moved.append(critical_prior(*limits))
        if any(each.kind != at.kind or each.prior is None for each in moved):
            return None
        variance += ((moved[1].limit - moved[0].limit) / 2) ** 2
    return math.sqrt(variance)


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
