"""The analysis of credibility: the prior that would just make the finding not credible.

The critical prior comes in closed form from the interval without a prior. The model is refitted
under it, and where the interval's limit is then not at no effect, under corrected ones.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from statistics import NormalDist
from typing import Any

from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.inference.weighted import PROBABILITIES
from bayes_crlm.model.priors import HALF_WIDTH_95, Normal, parse_prior
from bayes_crlm.sensitivity.credibility import (
    CriticalPrior,
    IntrinsicCredibility,
    critical_prior,
    intrinsic_credibility,
    judge_evidence,
)
from bayes_crlm.sensitivity.parts import Context, Finding, finding, forest, naming, rows_of
from bayes_crlm.sensitivity.posterior_draws import sample_posterior
from bayes_crlm.sensitivity.priors.critical_scale import ReverseBayes, quantile_mcse, reverse_bayes
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import (
    any_ratio,
    as_written,
    number,
    p_value,
    significant,
    whole,
    whole_percent,
)

# the critical prior hangs on a few draws beyond no effect
DRAWS = 20_000
# so many times as many where that is not enough
MORE = 4
# two-sided p-value at which Held's intrinsic one is 0.05: 2 (1 - Phi(1.96 sqrt(2)))
INTRINSIC_P = 2 * NormalDist().cdf(-HALF_WIDTH_95 * math.sqrt(2))
# a critical limit whose logarithm has a Monte Carlo error above this share of it is not known
MOST_RELATIVE_ERROR = 0.25
# of the standard deviation without a prior: a narrower critical prior says nothing of the data
LEAST_WIDTH = 0.01
# an advocate's prior so many times as wide as the closed form's, or as narrow, is noise
FARTHEST = 10.0
KINDS = {"sceptical": "sceptical", "advocacy": "advocate's"}
OF_CRITICAL = ("kind", "side", "limit", "low", "high", "level")
FINDING = ("median", "eti95", "prob_below_1", "prob_below_effect", "eti95_mcse_log")


class Settings(Table):
    """The table `[sensitivity.reverse_bayes]`."""

    evidence: dict[str, str] = Field(
        {}, description="a table of earlier findings, such as 'hr(0.6, 0.4, 0.9)'"
    )
    widest: float = Field(
        10.0, gt=1, description="the scale of the prior that stands for none, above 1"
    )


def check(plan: Plan, settings: Settings) -> None:
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
    with naming(where):
        prior = parse_prior(text, "treatment")
    if not isinstance(prior, Normal):
        raise SensitivityError(f"{where}: {text} is not a normal; give hr(median, low, high)")
    return prior


def critical_refits(
    shared: Shared, *, widest: float, seed: int, draws: int = DRAWS
) -> dict[str, Any]:
    """Find the critical prior by refitting, as a task; with more draws where it is not found.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    widest : float
        Standard deviation of the prior that stands for none.
    seed : int
        Of every refit, so that limits change smoothly with the prior.
    draws : int
        Of every refit; `MORE` times as many when these do not find it.

    Returns
    -------
    dict
        The critical prior (`kind`, `side`, `limit`, `limit_mcse`, `low`, `high`, `prior_sd`,
        `prior_mean`), the posterior's limits under it and under no prior (`eti95_mcse_log`: Monte
        Carlo errors of the latter's logarithms), refits, and whether all were reliable and the
        limit under the critical prior is at 1; `problem` says why not.
    """
    found = solve(shared, widest, seed, draws)
    return found if found["problem"] is None else solve(shared, widest, seed, MORE * draws)


def solve(shared: Shared, widest: float, seed: int, draws: int) -> dict[str, Any]:
    """Find the critical prior with some draws a refit; see `critical_refits`."""
    rows: dict[Normal, dict[str, Any]] = {}
    model, inputs = changed_inputs(shared, {})

    def limits(prior: Normal) -> tuple[float, float]:
        own = replace(inputs, treatment_prior=prior)
        drawn = sample_posterior(replace(model, treatment_prior=prior), own, seed, draws)
        value = drawn.log_hazard_ratio(shared.level)
        errors = [quantile_mcse(value, drawn.weight, each) for each in PROBABILITIES[::2]]
        rows[prior] = drawn.row_of(value, shared.effect) | {"eti95_mcse_log": errors}
        low, high = rows[prior]["eti95"]
        return math.log(low), math.log(high)

    no_prior, problem, error = Normal(0.0, widest), None, None
    try:
        found = reverse_bayes(limits, widest=widest)
    except SensitivityError as failure:
        # near no effect the limit's side cannot be told from the draws' noise at any scale
        low, high = rows[no_prior]["eti95"]
        found = ReverseBayes(critical_prior(low, high), low, high)
        problem = str(failure)
    prior, without = found.critical.prior, rows[no_prior]
    if problem is None:
        own = rows[prior or no_prior]["eti95_mcse_log"][found.critical.side == "below"]
        error = found.limit_mcse(own)
        problem = problem_of(found, without["eti95"], own, error)
        if problem is None and not all(row["is_reliable"] for row in rows.values()):
            problem = "a refit fails its diagnostic"
    return {name: getattr(found.critical, name) for name in OF_CRITICAL} | {
        "limit_mcse": error,
        "draws": draws,
        "prior_mean": None if prior is None else prior.mean,
        "prior_sd": None if prior is None else prior.sd,
        "posterior_eti95": [found.posterior_low, found.posterior_high],
        "without_prior": {key: without[key] for key in FINDING},
        "refits": len(rows),
        "engines": sorted({row["engine"] for row in rows.values()}),
        "largest_pareto_k": max(row["pareto_k"] or 0.0 for row in rows.values()),
        "is_reliable": problem is None,
        "problem": problem,
    }


def problem_of(
    found: ReverseBayes, eti95: Sequence[float], own: float, error: float | None
) -> str | None:
    """Say why a critical prior is not to be trusted; None where it is.

    Parameters
    ----------
    found : ReverseBayes
        The critical prior, and what it took to find it.
    eti95 : (float, float)
        Limits of the hazard ratio without a prior.
    own, error : float
        Monte Carlo errors of the posterior's nearer limit (logarithm), and of the critical limit.
    """
    critical = found.critical
    if critical.prior is not None and is_a_point(critical.prior.sd, eti95):
        return (
            "the search ended at a prior that is all but a point at 1, where the posterior's "
            "limit is at 1 whatever the data say"
        )
    if is_far(critical, critical_prior(*eti95)):
        return "the search ended far from the closed form's prior, on the noise of the draws"
    if not found.is_at_no_effect(own):
        return "the posterior's limit jumps over 1 between two priors"
    if error is not None and error > MOST_RELATIVE_ERROR * critical.limit * abs(
        math.log(critical.limit)
    ):
        return (
            "the critical limit's Monte Carlo error is more than "
            f"{whole_percent(MOST_RELATIVE_ERROR)} of it on the log scale"
        )
    return None


def is_a_point(prior_sd: float, eti95: Sequence[float]) -> bool:
    """Whether a prior is so narrow beside the data that its posterior is itself.

    Parameters
    ----------
    prior_sd : float
        Of the log hazard ratio.
    eti95 : (float, float)
        Limits of the hazard ratio without a prior.
    """
    return prior_sd < LEAST_WIDTH * sd_of(eti95)


def is_far(critical: CriticalPrior, closed: CriticalPrior) -> bool:
    """Whether an advocate's prior has next to nothing to do with the closed form's.

    Near no effect the posterior's limit hardly moves with the prior's scale, and draws alone decide
    where it passes 1.
    """
    if critical.kind == "sceptical" or critical.prior is None or closed.prior is None:
        return False
    return abs(math.log(critical.prior.sd / closed.prior.sd)) > math.log(FARTHEST)


def sd_of(eti95: Sequence[float]) -> float:
    """Standard deviation of the log hazard ratio that has these 95% limits."""
    low, high = eti95
    return math.log(high / low) / (2 * HALF_WIDTH_95)


def analyse(context: Context, settings: Settings) -> Finding:
    """Find the critical prior, and judge the finding by earlier evidence."""
    found = dict(context.run_one("reverse_bayes", critical_refits, widest=settings.widest))
    # without a prior's pull, as the closed form wants it
    closed = critical_prior(*found["without_prior"]["eti95"])
    intrinsic = intrinsic_credibility(*found["without_prior"]["eti95"])
    evidence = {name: evidence_of(name, text) for name, text in settings.evidence.items()}
    verdicts = {
        name: {"evidence": settings.evidence[name]}
        | asdict(judge_evidence(critical_of(found), prior))
        for name, prior in evidence.items()
    }
    rows = shown_rows(context, found, closed, evidence)
    return finding(
        "reverse_bayes",
        sentence(found, verdicts, intrinsic),
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
        rows=[rows_of("reverse_bayes", rows)],
        figures=figures_of(found, rows),
        notes=notes_of(context, settings, found, intrinsic),
    )


def notes_of(
    context: Context, settings: Settings, found: Mapping[str, Any], intrinsic: IntrinsicCredibility
) -> tuple[str, ...]:
    """What a reader should know of how the critical prior came about."""
    notes = [
        f"The finding is the posterior under a normal(0, {as_written(settings.widest)}) prior of "
        "the log hazard ratio, so that no prior is counted twice.",
        *context.interval_note(),
        "Intrinsic credibility is a stricter p-value and nothing else: p of at most "
        f"{number(INTRINSIC_P, 4)} for 0.05 (here Held's p is {p_value(intrinsic.p_intrinsic)}). "
        "It uses no earlier evidence, and says nothing of confounding or bias.",
        *context.contrasts_note(),
    ]
    if found["limit_mcse"] is not None:
        notes.append(
            f"The critical limit, {any_ratio(found['limit'])}, has a Monte Carlo standard error of "
            f"{significant(found['limit_mcse'], 2)}; each refit has {whole(found['draws'])} draws."
        )
    if not settings.evidence:
        notes.append(
            "Earlier evidence can be given as [sensitivity.reverse_bayes.evidence], such as "
            "trial = 'hr(0.6, 0.4, 0.9)'."
        )
    if not found["is_reliable"]:
        notes.append(
            f"The critical prior is not reliable: {found['problem']}, even with "
            f"{whole(found['draws'])} draws a refit."
        )
    return tuple(notes)


def closed_form_mcse(finding: Mapping[str, Any]) -> float | None:
    """Largest Monte Carlo standard error that the closed form takes over from the limits.

    Draws come in mirrored pairs: where one is beyond the lower limit the other is beyond the upper
    one, and the limits' errors are opposite; less so where the two weigh differently, and not in
    chains. The variance is linear in their correlation, and the larger of those at -1 and 0 is
    taken. In two cohorts it was -0.4 and -0.5, and the error two thirds of this.

    Parameters
    ----------
    finding : mapping
        `eti95` and `eti95_mcse_log`.

    Returns
    -------
    float or None
        None where a limit within a standard error of no effect makes it another kind of prior.
    """
    at, changes = critical_prior(*finding["eti95"]), []
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
        changes.append((moved[1].limit - moved[0].limit) / 2)
    low, high = changes
    return max(math.hypot(low, high), abs(high - low))


def critical_of(found: Mapping[str, Any]) -> CriticalPrior:
    """The critical prior of the refits."""
    prior = None
    if found["prior_sd"] is not None:
        prior = Normal(found["prior_mean"], found["prior_sd"])
    return CriticalPrior(prior=prior, **{name: found[name] for name in OF_CRITICAL})


def sentence(
    found: Mapping[str, Any],
    verdicts: Mapping[str, Mapping[str, Any]],
    intrinsic: IntrinsicCredibility,
) -> str:
    """Say which prior overturns the finding, by the rule of the 95% interval."""
    phrase = critical_in_words(found)
    p_value = f"p = {intrinsic.p:.2g}" if intrinsic.p >= 0.0001 else "p < 0.0001"
    at_most, does, name = ("above", "does not conflict", "no intrinsic credibility")
    if intrinsic.is_credible:
        at_most, does, name = ("at most", "conflicts", "intrinsic credibility")
    phrase += (
        f". The two-sided {p_value} is {at_most} {number(INTRINSIC_P, 4)}: the finding {does} with "
        f"the sceptic whom it just fails to convince ({name})"
    )
    if found["is_reliable"]:
        phrase += "".join(f"; with {name}: {each['verdict']}" for name, each in verdicts.items())
    return f"{phrase}."


def critical_in_words(found: Mapping[str, Any]) -> str:
    """Say whom the data convince; no belief where the critical prior is not reliable."""
    interval = f"{any_ratio(found['low'])} to {any_ratio(found['high'])}"
    if found["kind"] == "sceptical" and found["is_reliable"]:
        return (
            "By the 95% interval, which has to exclude 1, a sceptic who gives 95% probability to "
            f"hazard ratios of {interval}, or to a narrower interval about 1, is not convinced by "
            "these data; one who allows more is"
        )
    if found["kind"] == "sceptical":
        return (
            "By the 95% interval the data alone exclude a hazard ratio of 1; which sceptic they do "
            "not convince is not known (see the notes)"
        )
    text = "By the 95% interval the data alone do not exclude a hazard ratio of 1"
    if found["is_reliable"] and found["prior_sd"] is None:
        return f"{text}; they do for every advocate of hazard ratios {found['side']} 1"
    if found["is_reliable"]:
        return (
            f"{text}; they do for an advocate who gives 95% probability to {interval}, or to a "
            "narrower interval from 1"
        )
    median, eti95 = found["without_prior"]["median"], found["without_prior"]["eti95"]
    # within a tenth of a standard deviation of 1
    if abs(math.log(median)) < 0.1 * sd_of(eti95):
        return (
            f"{text}, and lie so symmetrically about it (median {number(median)}) that the belief "
            "which would make them do so cannot be determined"
        )
    return f"{text}; which belief would make them do so is not known (see the notes)"


def shown_rows(
    context: Context,
    found: Mapping[str, Any],
    closed: CriticalPrior,
    evidence: Mapping[str, Normal],
) -> list[dict[str, Any]]:
    """Finding, critical priors, posterior under them and earlier evidence: a row each."""
    finding, kind = found["without_prior"], f"critical {KINDS[found['kind']]} prior"
    mean, limits = found["prior_mean"], [found["low"], found["high"]]
    reliable = {"is_reliable": found["is_reliable"]}
    critical = {"limit": found["limit"], "limit_mcse": found["limit_mcse"]} | reliable
    return [
        shown_row("the base analysis", context.base["median"], context.base["eti95"]),
        shown_row("without a prior", finding["median"], finding["eti95"]),
        shown_row(kind, None if mean is None else math.exp(mean), limits, **critical),
        shown_row("posterior under it", None, found["posterior_eti95"], **reliable),
        shown_row(
            f"{kind}, closed form",
            None if closed.prior is None else math.exp(closed.prior.mean),
            [closed.low, closed.high],
            limit=closed.limit,
        ),
        *(
            shown_row(name, math.exp(prior.mean), prior_limits(prior))
            for name, prior in evidence.items()
        ),
    ]


def shown_row(
    label: str, median: float | None, eti95: Sequence[float], **more: Any
) -> dict[str, Any]:
    """One row of the table: hazard ratios, and what only some rows have."""
    return {"label": label, "median": median, "eti95": eti95} | more


def prior_limits(prior: Normal) -> list[float]:
    """The 95% interval of a prior, in hazard ratios."""
    half = HALF_WIDTH_95 * prior.sd
    return [math.exp(prior.mean - half), math.exp(prior.mean + half)]


def figures_of(found: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    """The finding, the critical prior and the posterior under it."""
    if found["prior_sd"] is None or not found["low"] > 0:
        return []
    *shown, posterior = rows[:4]
    shown.append({**posterior, "median": math.sqrt(math.prod(posterior["eti95"]))})
    caption = "The prior under which the 95% interval just reaches a hazard ratio of 1."
    return [forest("reverse_bayes", caption, shown)]
