"""The critical prior of a posterior that need not be normal: the closed form, corrected by refits.

The closed form of `bayes_crlm.sensitivity.credibility` takes the likelihood of the log hazard ratio
to be normal and its limits as given. Its prior is compared with the posterior itself, refitted
under it; where the posterior's limit is not at no effect, the prior's scale is corrected.

References
----------
Matthews (2018), R Soc Open Sci 5:171047; Held, Matthews, Ott & Pawel (2022), Res Synth Methods
13:295-314.
"""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.weighted import quantiles
from bayes_crlm.model.priors import LIMITS, Normal
from bayes_crlm.sensitivity import credibility
from bayes_crlm.sensitivity.credibility import CriticalPrior
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record

# from the closed form's scale the root is looked for in steps of this factor, so many at most
STEP, MOST_STEPS = 1.5, 30
# a density at a quantile is taken from this much probability on both sides of it, as a share of the
# tail; a slope in the prior's scale from this factor on both sides
DENSITY_SHARE, SLOPE_FACTOR = 0.4, 1.1
# a scale's logarithm and back may leave the bounds of priors by less than this share
ROUNDING = 1e-9
# a limit so many Monte Carlo errors from no effect, or so far on the log scale, is at no effect
MOST_ERRORS, LEAST_DISTANCE = 2.0, 0.002


@record
class ReverseBayes:
    """The critical prior of a posterior, and what it took to find it.

    Attributes
    ----------
    critical : CriticalPrior
        The prior under which an end of the interval is at 1.
    posterior_low, posterior_high : float
        Interval of the hazard ratio under the critical prior, one end of it at 1; under the widest
        prior where there is no critical one.
    slope : float or None
        Of the posterior's nearer limit (log hazard ratio) in the logarithm of the prior's scale, at
        the critical prior; None where there is none.
    """

    critical: CriticalPrior
    posterior_low: float
    posterior_high: float
    slope: float | None = None

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
        From 0 to 1.

    Returns
    -------
    float
        That of the share of draws below it, over the density there.
    """
    apart = DENSITY_SHARE * min(probability, 1 - probability)
    around = (probability - apart, probability, probability + apart)
    low, at, high = quantiles(value, around, weight).tolist()
    share = math.sqrt(float(np.sum((weight * ((value <= at) - probability)) ** 2)))
    return share * (high - low) / (2 * apart)


def reverse_bayes(
    posterior_limits: Callable[[Normal], tuple[float, float]],
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
    from scipy.optimize import brentq

    base = posterior_limits(Normal(0.0, widest))
    closed = credibility.critical_prior(math.exp(base[0]), math.exp(base[1]), level)
    if closed.prior is None:
        return ReverseBayes(closed, math.exp(base[0]), math.exp(base[1]))

    @cache
    def limits(log_scale: float) -> tuple[float, float]:
        scale = math.exp(log_scale)
        return posterior_limits(credibility.prior_of_scale(closed.kind, closed.side, scale, level))

    def nearer_limit(log_scale: float) -> float:
        low, high = limits(log_scale)
        return -high if closed.side == "below" else low

    least, largest = (math.log(scale) for scale in scales_of_priors(closed.kind, level))
    most = min(math.log(widest), largest)
    start = min(max(math.log(closed.prior.sd), least), most)
    ends = bracket(
        # a sceptical prior overturns when it is narrow, an advocate's fails when it is wide
        lambda at: (nearer_limit(at) > 0) == (closed.kind == "sceptical"),
        start,
        (least, most),
    )

    def found(scale: float, at: tuple[float, float], slope: float | None = None) -> ReverseBayes:
        critical = credibility.critical_prior_of_scale(closed.kind, closed.side, scale, level)
        return ReverseBayes(critical, math.exp(at[0]), math.exp(at[1]), slope)

    # without a change of sides they are all on that of the first
    if ends is None and closed.kind == "advocacy" and nearer_limit(start) > 0:
        return found(math.inf, base)
    if ends is None:
        prior = "sceptical" if closed.kind == "sceptical" else "advocate's"
        raise SensitivityError(
            f"no {prior} prior, however narrow, takes the posterior's limit to 1"
        )
    root = float(brentq(nearer_limit, *ends, xtol=tolerance))
    step = math.log(SLOPE_FACTOR)
    narrow, wide = max(root - step, least), min(root + step, largest)
    slope = (nearer_limit(wide) - nearer_limit(narrow)) / (wide - narrow)
    return found(math.exp(root), limits(root), slope)


def scales_of_priors(kind: credibility.Kind, level: float) -> tuple[float, float]:
    """Smallest and largest scale of a prior of this kind that `bayes_crlm.model.priors` takes."""
    least, largest = LIMITS["scale"]
    if kind == "advocacy":
        # its mean grows with its scale
        largest = min(largest, LIMITS["mean"][1] / credibility.standard_quantile(level))
    return least * (1 + ROUNDING), largest * (1 - ROUNDING)


def bracket(
    is_wide: Callable[[float], bool], start: float, bounds: tuple[float, float]
) -> tuple[float, float] | None:
    """Two log scales between which the posterior's limit passes no effect.

    Parameters
    ----------
    is_wide : callable
        From a log scale to whether the prior is wider than the critical one.
    start : float
        Expected log scale.
    bounds : (float, float)
        Smallest and largest log scale.

    Returns
    -------
    (float, float) or None
        None where the side is the same up to a bound, or for too many steps.
    """
    (least, most), step, at = bounds, math.log(STEP), start
    starts_wide = is_wide(at)
    for _ in range(MOST_STEPS):
        following = max(at - step, least) if starts_wide else min(at + step, most)
        if is_wide(following) != starts_wide:
            return min(at, following), max(at, following)
        if following in bounds:
            break
        at = following
    return None
