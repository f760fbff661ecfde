"""The critical prior of a posterior that need not be normal, by solving for its scale.

The closed forms of `bayes_crlm.sensitivity.credibility` take the likelihood of the log hazard ratio
to be normal and its limits as given. Here the posterior itself, refitted or reweighted, is
computed under sceptical (or advocates') priors of different scales until its limit is at no
effect.

References
----------
Matthews (2018), R Soc Open Sci 5:171047; Held, Matthews, Ott & Pawel (2022), Res Synth Methods
13:295-314.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.model.priors import LIMITS, Normal, SimplePrior
from bayes_crlm.sensitivity.credibility import (
    CriticalPrior,
    Kind,
    critical_prior,
    critical_prior_of_scale,
    prior_of_scale,
    standard_quantile,
)
from bayes_crlm.sensitivity.reweighting import reweight, weighted_quantile
from bayes_crlm.words.errors import SensitivityError

__all__ = ["ReverseBayes", "quantile_mcse", "reverse_bayes", "reverse_bayes_by_reweighting"]

Limits = Callable[[Normal], tuple[float, float]]
# from the closed form's scale the root is looked for in steps of this factor, so many at most
STEP, MOST_STEPS = 1.5, 30
# Monte Carlo error of the tail beyond no effect, as a share of that tail: a fifth moves a 95% limit
# by less than a tenth of the posterior's standard deviation
MOST_ERROR = 0.2
# a density at a quantile is taken from this much probability on both sides of it, as a share of the
# tail; a slope in the prior's scale from this factor on both sides
DENSITY_SHARE, SLOPE_FACTOR = 0.4, 1.1
# a scale's logarithm and back may leave the bounds of priors by less than this share
ROUNDING = 1e-9
# a limit so many Monte Carlo errors from no effect, or so far on the log scale, is at no effect
MOST_ERRORS, LEAST_DISTANCE = 2.0, 0.002


@dataclass(frozen=True)
class ReverseBayes:
    """The critical prior of a posterior, and what it took to find it.

    Attributes
    ----------
    critical : CriticalPrior
    posterior_low, posterior_high : float
        Interval of the hazard ratio under the critical prior, one end of it at 1; under the widest
        prior where there is no critical one.
    evaluations : int
        Posteriors computed on the way.
    slope : float or None
        Of the posterior's nearer limit (log hazard ratio) in the logarithm of the prior's scale, at
        the critical prior; None where there is none.
    pareto_k : float or None
        Of the draws' weights under the critical prior; None for refits.
    mcse_tail : float or None
        Monte Carlo standard error of the posterior's probability beyond no effect, under the
        critical prior; None for refits.
    is_reliable : bool
        False where either is too large, or is so under the widest prior: refit instead.
    """

    critical: CriticalPrior
    posterior_low: float
    posterior_high: float
    evaluations: int
    slope: float | None = None
    pareto_k: float | None = None
    mcse_tail: float | None = None
    is_reliable: bool = True

    def limit_mcse(self, error: float) -> float | None:
        """Monte Carlo standard error of the critical limit, a hazard ratio.

        Parameters
        ----------
        error : float
            Of the posterior's log limit under the critical prior, by `quantile_mcse`.

        Returns
        -------
        float or None
            None where there is no critical prior. The limit moves with the prior's scale, and the
            scale with the posterior's limit over its slope.
        """
        if self.slope is None:
            return None
        if self.slope == 0:
            return math.inf
        return self.critical.limit * abs(math.log(self.critical.limit) * error / self.slope)

    def is_at_no_effect(self, error: float) -> bool:
        """Whether the nearer limit under the critical prior is at 1, as it has to be.

        The limit may jump over 1 between two priors whose posteriors were drawn in different ways.

        Parameters
        ----------
        error : float
            As of `limit_mcse`.

        Returns
        -------
        bool
            True where there is no critical prior; else whether the logarithm of the limit is within
            `MOST_ERRORS` of its Monte Carlo errors, or `LEAST_DISTANCE`, of 0.
        """
        nearer = self.posterior_high if self.critical.side == "below" else self.posterior_low
        most = max(MOST_ERRORS * error, LEAST_DISTANCE)
        return self.critical.prior is None or abs(math.log(nearer)) <= most


def quantile_mcse(
    value: NDArray[np.float64], weight: NDArray[np.float64], probability: float
) -> float:
    """Monte Carlo standard error of a quantile of weighted, independent draws.

    Parameters
    ----------
    value, weight : (draws,) ndarray
        Weights add up to 1.
    probability : float

    Returns
    -------
    float
        That of the share of draws below it, over the density there.
    """
    at = weighted_quantile(value, weight, probability)
    share = math.sqrt(float(np.sum((weight * ((value <= at) - probability)) ** 2)))
    apart = DENSITY_SHARE * min(probability, 1 - probability)
    low, high = (weighted_quantile(value, weight, probability + d) for d in (-apart, apart))
    return share * (high - low) / (2 * apart)


def reverse_bayes(
    posterior_limits: Limits,
    *,
    widest: float = 10.0,
    level: float = 0.95,
    tolerance: float = 1e-3,
) -> ReverseBayes:
    """Find the critical prior of any posterior.

    Parameters
    ----------
    posterior_limits : callable
        From a Normal prior of the log hazard ratio to the lower and upper limit of its posterior;
        a refit, as a rule, always with the same seed.
    widest : float
        Standard deviation of the prior that stands for none. What the posterior under it says
        decides between scepticism and advocacy, and no critical prior is wider.
    level : float
        Probability between the limits that `posterior_limits` returns.
    tolerance : float
        Of the logarithm of the prior's scale: 0.001 knows the scale to 0.1%.

    Returns
    -------
    ReverseBayes
        Its critical limit is 0 or infinity where an advocate's prior as wide as `widest` still
        makes the finding credible.

    Raises
    ------
    SensitivityError
        When even a prior 190,000 times narrower than the closed form's, or the narrowest that
        there is, leaves the limit on the finding's side, as draws do that all lie there.
    """
    seen: dict[float, tuple[float, float]] = {}
    base = posterior_limits(Normal(0.0, widest))
    expected = critical_prior(math.exp(base[0]), math.exp(base[1]), level)
    kind, side = expected.kind, expected.side

    def limits(log_scale: float) -> tuple[float, float]:
        if log_scale not in seen:
            prior = prior_of_scale(kind, side, math.exp(log_scale), level)
            seen[log_scale] = posterior_limits(prior)
        return seen[log_scale]

    def nearest_limit(log_scale: float) -> float:
        low, high = limits(log_scale)
        return -high if side == "below" else low

    critical, interval, slope = expected, base, None
    if expected.prior is not None:
        least, largest = (math.log(scale) for scale in scales_of_priors(kind, level))
        start = max(math.log(expected.prior.sd), least)
        ends = bracket(nearest_limit, start, (least, min(math.log(widest), largest)), expected)
        if ends is None:
            critical = critical_prior_of_scale(kind, side, math.inf, level)
        else:
            from scipy.optimize import brentq

            root = float(brentq(nearest_limit, *ends, xtol=tolerance))
            critical = critical_prior_of_scale(kind, side, math.exp(root), level)
            interval = limits(root)
            step = math.log(SLOPE_FACTOR)
            narrow, wide = max(root - step, least), min(root + step, largest)
            slope = (nearest_limit(wide) - nearest_limit(narrow)) / (wide - narrow)
    low, high = interval
    evaluations = len(seen) + 1
    return ReverseBayes(critical, math.exp(low), math.exp(high), evaluations, slope)


def scales_of_priors(kind: Kind, level: float) -> tuple[float, float]:
    """Smallest and largest scale of a prior of this kind that `bayes_crlm.model.priors` takes."""
    least, largest = LIMITS["scale"]
    if kind == "advocacy":
        # its mean grows with its scale
        largest = min(largest, LIMITS["mean"][1] / standard_quantile(level))
    return least * (1 + ROUNDING), largest * (1 - ROUNDING)


def bracket(
    nearest_limit: Callable[[float], float],
    start: float,
    bounds: tuple[float, float],
    expected: CriticalPrior,
) -> tuple[float, float] | None:
    """Two log scales between which the posterior's limit passes no effect.

    Parameters
    ----------
    nearest_limit : callable
        From a log scale to the limit, positive where it is on the finding's side.
    start : float
        Expected log scale.
    bounds : (float, float)
        Smallest and largest log scale.
    expected : CriticalPrior
        By the closed form: a sceptical prior overturns when it is narrow, an advocate's fails
        when it is wide.

    Returns
    -------
    (float, float) or None
        None when an advocate's prior still makes the finding credible at the largest scale.
    """
    (least, end), step = bounds, math.log(STEP)
    at = min(start, end)
    is_wide = (nearest_limit(at) > 0) == (expected.kind == "sceptical")
    for _ in range(MOST_STEPS):
        following = max(at - step, least) if is_wide else min(at + step, end)
        is_next_wide = (nearest_limit(following) > 0) == (expected.kind == "sceptical")
        if is_next_wide != is_wide:
            return min(at, following), max(at, following)
        if following == end:
            return None
        if following == least:
            break
        at = following
    prior = "sceptical" if expected.kind == "sceptical" else "advocate's"
    raise SensitivityError(f"no {prior} prior, however narrow, takes the posterior's limit to 1")


def reverse_bayes_by_reweighting(
    log_hazard_ratio: ArrayLike,
    fitted: SimplePrior,
    *,
    widest: float = 10.0,
    level: float = 0.95,
) -> ReverseBayes:
    """Find the critical prior from the draws of one fit, weighted to other priors.

    Parameters
    ----------
    log_hazard_ratio : (draws,) array_like
        Equally weighted draws under the prior `fitted`.
    fitted : Normal, StudentT or Laplace
        Prior of the log hazard ratio in that fit.
    widest, level : float
        As of `reverse_bayes`.

    Returns
    -------
    ReverseBayes
        Where `is_reliable` is False, hand `reverse_bayes` a function that refits, or start from
        a fit under a prior nearer to the critical one.

    Raises
    ------
    SensitivityError
        For too few or missing draws, or where weighting them never takes the limit to 1.
    """
    tail = (1 - level) / 2

    def limits(prior: Normal) -> tuple[float, float]:
        weighted = reweight(log_hazard_ratio, fitted, prior)
        return weighted.quantile(tail), weighted.quantile(1 - tail)

    try:
        found = reverse_bayes(limits, widest=widest, level=level, tolerance=1e-6)
    except SensitivityError as problem:
        raise SensitivityError(
            f"{problem}; refit under narrower priors instead of weighting draws that all lie on "
            "one side"
        ) from None
    base = Normal(0.0, widest)
    without = reweight(log_hazard_ratio, fitted, base)
    final = reweight(log_hazard_ratio, fitted, found.critical.prior or base)
    return replace(
        found,
        pareto_k=final.pareto_k,
        mcse_tail=final.mcse_prob_below(),
        is_reliable=all(
            weighted.is_reliable(most_mcse=MOST_ERROR * tail) for weighted in (final, without)
        ),
    )
