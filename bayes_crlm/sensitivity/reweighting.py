"""What draws of a fitted posterior say under another prior of the hazard ratio.

Draws of the log hazard ratio under one prior, weighted by the ratio of another prior to it, are
draws of the posterior under the other: nothing else of the model enters the ratio. The model has to
be fitted again when the two posteriors lie too far apart, which the tail of the ratios, Pareto's
k, says; and when too few draws lie beyond the hazard ratio in question, which k does not see.

The prior meant is that of the sampling scale. A treatment contrast is centred but not divided, so
its log hazard ratio is the same on both scales.

References
----------
Besag, Green, Higdon & Mengersen (1995), Stat Sci 10:3-41; Vehtari, Simpson, Gelman, Yao & Gabry
(2024), JMLR 25(72).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.inference.psis import LEAST_DRAWS, PARETO_K_MOST, pareto_smooth
from bayes_crlm.model.priors import SimplePrior
from bayes_crlm.words.errors import SensitivityError

__all__ = ["Reweighted", "reliable_pareto_k", "reweight", "weighted_quantile"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Reweighted:
    """Draws of a log hazard ratio with weights that stand for another prior.

    Attributes
    ----------
    log_hazard_ratio : (draws,) float
    weight : (draws,) float
        They add up to 1.
    pareto_k : float
        Shape of the weights' tail; not a number where the largest ratios follow no such tail, and
        are not smoothed.
    ess : float
        Number of equally weighted draws that the weights leave, at most.
    fitted, wanted : Normal, StudentT or Laplace
        The prior of the fit, and that of the weights.
    log_total : float
        Logarithm of the sum of the ratios of `wanted` to `fitted`.
    """

    log_hazard_ratio: Floats
    weight: Floats
    pareto_k: float
    ess: float
    fitted: SimplePrior
    wanted: SimplePrior
    log_total: float

    def prob_below(self, threshold: float = 1.0) -> float:
        """Probability that the hazard ratio is below a threshold."""
        return float(self.weight[self.log_hazard_ratio < math.log(threshold)].sum())

    def quantile(self, probability: float) -> float:
        """Quantile of the log hazard ratio."""
        return weighted_quantile(self.log_hazard_ratio, self.weight, probability)

    def mcse_prob_below(self, threshold: float = 1.0) -> float:
        """Monte Carlo standard error of `prob_below`, for draws that are independent.

        The weight that one more draw at the threshold would have is part of it: without, it would
        be 0 when no draw lies beyond.
        """
        at = np.array([math.log(threshold)])
        one_more = math.exp(float(log_ratio(self.fitted, self.wanted, at)[0]) - self.log_total)
        is_below = self.log_hazard_ratio < at
        spread = np.sum((self.weight * (is_below - self.prob_below(threshold))) ** 2)
        return math.sqrt(float(spread) + min(one_more, 1.0) ** 2)

    def is_reliable(self, threshold: float = 1.0, most_mcse: float = 0.01) -> bool:
        """Whether k and the Monte Carlo error of `prob_below` are small enough."""
        is_light = self.pareto_k <= reliable_pareto_k(self.log_hazard_ratio.size)
        return bool(is_light and self.mcse_prob_below(threshold) <= most_mcse)


def reweight(log_hazard_ratio: ArrayLike, fitted: SimplePrior, wanted: SimplePrior) -> Reweighted:
    """Weight posterior draws under one prior of the log hazard ratio to another.

    Parameters
    ----------
    log_hazard_ratio : (draws,) array_like
        Equally weighted draws, at least 25.
    fitted, wanted : Normal, StudentT or Laplace
        The prior of the fit, and the prior asked for.

    Returns
    -------
    Reweighted

    Raises
    ------
    SensitivityError
        For too few or missing draws.
    """
    draws = np.asarray(log_hazard_ratio, dtype=float).ravel()
    if draws.size < LEAST_DRAWS or not np.all(np.isfinite(draws)):
        raise SensitivityError(
            f"draws of the log hazard ratio cannot be weighted; give at least {LEAST_DRAWS} "
            "finite numbers"
        )
    ratio = log_ratio(fitted, wanted, draws)
    log_total = float(np.logaddexp.reduce(ratio))
    log_weight, pareto_k = pareto_smooth(ratio)
    weight = np.exp(log_weight)
    return Reweighted(
        log_hazard_ratio=draws,
        weight=weight,
        pareto_k=float(pareto_k),
        ess=float(1 / np.sum(weight**2)),
        fitted=fitted,
        wanted=wanted,
        log_total=log_total,
    )


def log_ratio(fitted: SimplePrior, wanted: SimplePrior, at: Floats) -> Floats:
    """Log of one prior's density over another's."""
    return np.asarray(wanted.log_density(at) - fitted.log_density(at))


def reliable_pareto_k(draws: int) -> float:
    """Largest Pareto k at which so many draws still give reliable averages.

    References
    ----------
    Vehtari, Simpson, Gelman, Yao & Gabry (2024), section 3.2.4: min(1 - 1/log10(S), 0.7).
    """
    return min(1 - 1 / math.log10(draws), PARETO_K_MOST)


def weighted_quantile(values: Floats, weight: Floats, probability: float) -> float:
    """Quantile of weighted values, by linear interpolation between the middles of their weights.

    Parameters
    ----------
    values, weight : (n,) ndarray
        Weights add up to 1.
    probability : float
        0 to 1.

    Returns
    -------
    float
        Continuous in the weights, so that an equation in it can be solved.
    """
    order = np.argsort(values)
    sorted_weight = weight[order]
    middle = np.cumsum(sorted_weight) - sorted_weight / 2
    return float(np.interp(probability, middle, values[order]))
