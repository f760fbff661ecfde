"""Matthews' analysis of credibility: the prior that would just overturn a finding.

It turns Bayes' theorem round. Of a finding whose interval excludes no effect it asks how sceptical
a prior centred at no effect must be for the posterior's interval to reach it; of a finding whose
interval holds no effect, how far an advocate's prior may reach for the posterior's to
exclude it. Whether the finding is credible then depends on what is known of effects beyond
that critical limit.

With limits L, U of the log hazard ratio:

    scepticism limit   SL = exp(+-(U - L)^2 / (4 sqrt(U L)))         L, U of one sign       (1)
    advocacy limit     AL = exp(-(U + L) (U - L)^2 / (2 U L))        L < 0 < U              (2)

Both suppose a normal likelihood; `bayes_crlm.sensitivity.priors.critical_scale` does not.

References
----------
Matthews (2001), J Stat Plan Inference 94:43-58; Matthews (2018), R Soc Open Sci 5:171047;
Held (2019), R Soc Open Sci 6:181534; Held, Matthews, Ott & Pawel (2022), Res Synth Methods
13:295-314.
"""

import math
from statistics import NormalDist
from typing import Literal

from bayes_crlm.model.priors import Normal
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import any_ratio, as_written, number, percent, span

__all__ = [
    "CriticalPrior", "IntrinsicCredibility", "Kind", "critical_prior", "critical_prior_of_scale",
    "intrinsic_credibility", "judge_evidence", "prior_of_scale", "standard_quantile",
]  # fmt: skip

Kind = Literal["sceptical", "advocacy"]
Side = Literal["below", "above"]
Verdict = Literal["credible", "debatable", "not credible"]
STANDARD = NormalDist()
GOLDEN_RATIO = (1 + math.sqrt(5)) / 2
# of a logarithm whose exponential is still a number
MOST_REACH = 700.0


@record
class CriticalPrior:
    """The prior that takes the nearer limit of a posterior to no effect.

    Attributes
    ----------
    kind : {"sceptical", "advocacy"}
        Sceptical, centred at no effect, for a finding whose interval excludes it; otherwise
        the advocate's, whose interval begins at no effect.
    side : {"below", "above"}
        Of 1, on which the finding lies.
    limit : float
        Scepticism or advocacy limit: a hazard ratio on that side. Tighter priors overturn the
        finding (sceptical) or make it credible (advocacy). 0 or infinity when all such priors
        do, 1 when none does.
    low, high : float
        Critical prior interval in hazard ratios.
    prior : Normal or None
        Of the log hazard ratio; None where `limit` is 0, 1 or infinity.
    level : float
        Probability that the intervals, posterior and prior, hold.
    """

    kind: Kind
    side: Side
    limit: float
    low: float
    high: float
    prior: Normal | None
    level: float


@record
class IntrinsicCredibility:
    """Whether a finding is credible without any earlier evidence.

    Attributes
    ----------
    z, p : float
        The finding's statistic and ordinary two-sided p-value, from its interval.
    p_intrinsic : float
        Held's p-value for intrinsic credibility.
    p_intrinsic_matthews : float
        Of Matthews' weaker condition: the estimate lies beyond the scepticism limit.
    credibility_ratio : float
        The limit farther from no effect over the nearer, on the log scale; negative when the
        interval holds no effect. Between 0 and 5.8 for an intrinsically credible finding.
    prob_replication : float
        Probability that an identical study estimates an effect in the same direction.
    is_credible : bool
        Whether `p_intrinsic` is at most 1 - level.
    """

    z: float
    p: float
    p_intrinsic: float
    p_intrinsic_matthews: float
    credibility_ratio: float
    prob_replication: float
    is_credible: bool


@record
class EvidenceVerdict:
    """Whether a finding is credible in the light of earlier evidence.

    Attributes
    ----------
    verdict : {"credible", "debatable", "not credible"}
        Whether all of the evidence's 95% interval, its median alone, or neither speaks
        for the finding.
    mass_for : float
        Probability, by the evidence, of an effect beyond the scepticism limit on the finding's
        side, or within the advocate's interval.
    p_conflict : float or None
        Two-sided prior-predictive p-value of the evidence's estimate under the critical sceptical
        prior: small when they contradict each other. None for an advocate's, or no, prior.
    sentence : str
        The verdict in words.
    """

    verdict: Verdict
    mass_for: float
    p_conflict: float | None
    sentence: str


def critical_prior(low: float, high: float, level: float = 0.95) -> CriticalPrior:
    """Critical prior of a finding, from its interval alone.

    Parameters
    ----------
    low, high : float
        Limits of the hazard ratio, symmetric on the log scale about the estimate.
    level : float
        Probability that the interval, and the prior's, holds.

    Returns
    -------
    CriticalPrior
        With a limit at exactly 1, every sceptical prior overturns the finding.

    Raises
    ------
    SensitivityError
        When not 0 < low <= high < infinity, or for an interval of no width at 1.

    References
    ----------
    Matthews (2001), J Stat Plan Inference 94:43-58; Matthews (2018), R Soc Open Sci 5:171047.
    """
    lower, upper = log_limits(low, high)
    z = standard_quantile(level)
    width, product, total = upper - lower, upper * lower, upper + lower
    side: Side = "below" if total < 0 else "above"
    if product >= 0:
        if total == 0:
            raise SensitivityError("an interval of no width at 1 is not a finding; give low < high")
        reach = math.inf if product == 0 else width**2 / (4 * math.sqrt(product))
        return critical_prior_of_scale("sceptical", side, reach / z, level)
    return critical_prior_of_scale(
        "advocacy", side, -abs(total) * width**2 / (4 * product) / z, level
    )


def prior_of_scale(kind: Kind, side: Side, scale: float, level: float) -> Normal:
    """Sceptical or advocate's prior of the log hazard ratio with a given standard deviation.

    The sceptic's is centred at 0; the advocate's `level` interval begins there.
    """
    if kind == "sceptical":
        return Normal(0.0, scale)
    distance = standard_quantile(level) * scale
    return Normal(-distance if side == "below" else distance, scale)


def critical_prior_of_scale(kind: Kind, side: Side, scale: float, level: float) -> CriticalPrior:
    """Describe a critical prior by its standard deviation; 0 and infinity are the two extremes."""
    half = standard_quantile(level) * scale
    reach = half if kind == "sceptical" else 2 * half
    # a reach without end is a limit without end, where an exponential would overflow
    far = math.exp(reach) if reach < MOST_REACH else math.inf
    limit, other = (1 / far, far) if side == "below" else (far, 1 / far)
    other = other if kind == "sceptical" else 1.0
    has_prior = 0 < scale < math.inf
    return CriticalPrior(
        kind=kind,
        side=side,
        limit=limit,
        low=min(limit, other),
        high=max(limit, other),
        prior=prior_of_scale(kind, side, scale, level) if has_prior else None,
        level=level,
    )


def intrinsic_credibility(low: float, high: float, level: float = 0.95) -> IntrinsicCredibility:
    """Assess a finding against the sceptical prior that its own data imply.

    A finding is intrinsically credible when it conflicts with the prior that would just overturn
    it. Held's p-value is 2 (1 - Phi(abs(z) / sqrt(2))), at most 0.05 where p is at most 0.0056;
    Matthews' condition, an estimate beyond the scepticism limit, amounts to
    2 (1 - Phi(abs(z) / sqrt(phi))) with the golden ratio phi, and to p of at most 0.0127.

    Parameters
    ----------
    low, high : float
        Limits of the hazard ratio, symmetric on the log scale about the estimate.
    level : float
        Probability that the interval holds.

    Raises
    ------
    SensitivityError
        When not 0 < low < high < infinity.

    References
    ----------
    Held (2019), R Soc Open Sci 6:181534; Matthews (2018), R Soc Open Sci 5:171047.
    """
    lower, upper = log_limits(low, high)
    if lower == upper:
        raise SensitivityError("an interval of no width has no p-value; give low < high")
    z = (upper + lower) / (upper - lower) * standard_quantile(level)
    near, far = sorted((lower, upper), key=abs)
    p_intrinsic = two_sided_p(z / math.sqrt(2))
    return IntrinsicCredibility(
        z=z,
        p=two_sided_p(z),
        p_intrinsic=p_intrinsic,
        p_intrinsic_matthews=two_sided_p(z / math.sqrt(GOLDEN_RATIO)),
        credibility_ratio=far / near if near != 0 else math.inf,
        prob_replication=1 - p_intrinsic / 2,
        is_credible=p_intrinsic <= 1 - level,
    )


def judge_evidence(critical: CriticalPrior, evidence: Normal) -> EvidenceVerdict:
    """Say whether earlier evidence makes a finding credible.

    A finding that excludes no effect is credible when earlier evidence lies beyond the scepticism
    limit: a prior sceptical enough to overturn it then contradicts what is known. One that does not
    exclude it is credible when earlier evidence lies within the advocate's interval.

    Parameters
    ----------
    critical : CriticalPrior
        Of the finding.
    evidence : Normal
        Of the log hazard ratio, as `hr(median, low, high)` is read.

    Returns
    -------
    EvidenceVerdict

    References
    ----------
    Matthews (2018), R Soc Open Sci 5:171047; Box (1980), J R Stat Soc A 143:383-430 (conflict of
    prior and data).
    """
    belief = NormalDist(evidence.mean, evidence.sd)
    lower, upper = belief.inv_cdf(0.025), belief.inv_cdf(0.975)
    reach = math.log(critical.limit) if critical.limit > 0 else -math.inf
    if critical.kind == "advocacy":
        first, last = min(reach, 0.0), max(reach, 0.0)
    else:
        first, last = (-math.inf, reach) if critical.side == "below" else (reach, math.inf)
    verdict: Verdict = "not credible"
    if first <= lower and upper <= last:
        verdict = "credible"
    elif first < evidence.mean < last:
        verdict = "debatable"
    mass_for = belief.cdf(last) - belief.cdf(first)
    p_conflict = None
    if critical.kind == "sceptical" and critical.prior is not None:
        p_conflict = two_sided_p(evidence.mean / math.hypot(critical.prior.sd, evidence.sd))
    shown = f"{number(math.exp(evidence.mean))} ({span(math.exp(lower), math.exp(upper))})"
    return EvidenceVerdict(verdict, mass_for, p_conflict, sentence(critical, verdict, shown))


def sentence(critical: CriticalPrior, verdict: Verdict, evidence: str) -> str:
    """Put a verdict on earlier evidence into words."""
    level = percent(critical.level)
    low, high = any_ratio(critical.low), any_ratio(critical.high)
    interval = f"between hazard ratios of {low} and {high}"
    known = f"earlier evidence, {evidence},"
    if critical.kind == "advocacy":
        if critical.limit == 1:
            return "The estimate is exactly 1: no advocate's prior makes an effect credible."
        claim = f"An effect is credible to those whose {level} prior interval lies {interval}"
        said = {
            "credible": "lies within it, so the finding is credible in its light",
            "debatable": "has its median within it but reaches outside",
            "not credible": "has its median outside, so it does not make the finding credible",
        }
        return f"{claim}; {known} {said[verdict]}."
    if critical.prior is None:
        if critical.limit == 1:
            return "No sceptical prior overturns the finding."
        return "Every sceptical prior overturns the finding, so no earlier evidence supports it."
    claim = f"The finding is overturned by sceptical priors with {level} of belief {interval}"
    limit = any_ratio(critical.limit)
    said = {
        "credible": f"lies wholly beyond {limit}, so such scepticism is not reasonable",
        "debatable": f"has its median beyond {limit} but reaches back across it, so such "
        "scepticism cannot be ruled out",
        "not credible": f"has its median short of {limit}, so such scepticism is reasonable",
    }
    return f"{claim}, or closer to 1; {known} {said[verdict]}."


def log_limits(low: float, high: float) -> tuple[float, float]:
    """Logarithms of an interval's limits, refusing an impossible interval."""
    if not 0 < low <= high < math.inf:
        raise SensitivityError(
            f"limits {as_written(low)} and {as_written(high)} are not those of a hazard ratio; "
            "give finite ones with 0 < low <= high"
        )
    return math.log(low), math.log(high)


def standard_quantile(level: float) -> float:
    """Half the width of a standard normal's central interval."""
    if not 0 < level < 1:
        raise SensitivityError(f"level {as_written(level)} is impossible; give one between 0 and 1")
    return STANDARD.inv_cdf((1 + level) / 2)


def two_sided_p(z: float) -> float:
    """Two-sided p-value of a standard normal statistic."""
    return 2 * STANDARD.cdf(-abs(z))
