"""Posterior summaries of weighted draws, many cohorts at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.draws import Summaries

PROBABILITIES = (0.025, 0.5, 0.975)


@dataclass(frozen=True, eq=False)
class BlockSummary:
    """Posterior of the log hazard ratios of many cohorts, in the columns' own units.

    Attributes
    ----------
    mean, sd : (cohorts, terms) ndarray
    quantiles : (cohorts, terms, 3) ndarray
        At 2.5%, 50% and 97.5%.
    below : (cohorts, terms, thresholds) ndarray
        Probabilities that a hazard ratio lies below each threshold.
    pareto_k, ess : (cohorts,) ndarray
        Whether the importance weights can be trusted.
    ess_tail : (cohorts,) ndarray
        Effective draws behind the 95% limits of the term with the fewest.
    converged : (cohorts,) ndarray of bool
        Where it is false, all numbers are nan.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    quantiles: NDArray[np.float64]
    below: NDArray[np.float64]
    pareto_k: NDArray[np.float64]
    ess: NDArray[np.float64]
    ess_tail: NDArray[np.float64]
    converged: NDArray[np.bool]


def summarise(
    effect: NDArray,
    weight: NDArray,
    scale: NDArray,
    thresholds: tuple[float, ...],
    quality: tuple[NDArray, NDArray, NDArray],
) -> BlockSummary:
    """Summarise weighted draws.

    Parameters
    ----------
    effect : (cohorts, draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    weight : (cohorts, draws) ndarray
        Adding up to 1.
    scale : (cohorts, terms) ndarray
        What each column was divided by.
    thresholds : tuple of float
        Hazard ratios above 0.
    quality : (cohorts,) ndarrays
        Pareto k, effective draws, and whether it converged.
    """
    found = sums_of_draws(effect, weight, scale, thresholds=np.log(thresholds))
    pareto_k, ess, converged = quality
    fewest = found.tail_size.min(axis=1)
    result = [found.mean, found.sd, found.quantile, found.below, pareto_k, ess, fewest]
    with_gaps = [
        np.where(converged.reshape(-1, *[1] * (each.ndim - 1)), each, np.nan) for each in result
    ]
    return BlockSummary(*with_gaps, converged=converged)


@dataclass(frozen=True, eq=False)
class DrawSums:
    """What the library makes of weighted draws of several quantities.

    Attributes
    ----------
    mean, sd : (cohorts, quantities) ndarray
    tail_size : (cohorts, quantities) ndarray
        Effective draws behind the 95% limit that has fewer.
    quantile : (cohorts, quantities, probabilities) ndarray
    below : (cohorts, quantities, thresholds) ndarray
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    tail_size: NDArray[np.float64]
    quantile: NDArray[np.float64]
    below: NDArray[np.float64]


def sums_of_draws(
    value: NDArray,
    weight: NDArray,
    scale: NDArray | None = None,
    probabilities: Sequence[float] = PROBABILITIES,
    thresholds: NDArray | Sequence[float] = (),
) -> DrawSums:
    """Let the library sum up weighted draws, without sorting them.

    Parameters
    ----------
    value : (cohorts, draws, quantities) ndarray
    weight : (cohorts, draws) ndarray
        Adding up to 1.
    scale : (cohorts, quantities) ndarray, optional
        By which values are divided.
    probabilities : sequence of float
        Of the quantiles.
    thresholds : sequence of float
        Probabilities below these are summed up.
    """
    count, draws, quantities = value.shape
    shape = count, quantities
    found = DrawSums(
        *(np.empty(shape) for _ in range(3)),
        np.empty((*shape, len(probabilities))),
        np.empty((*shape, len(thresholds))),
    )
    summaries = Summaries()
    summaries.fill(
        n_cohorts=count,
        n_draws=draws,
        n_quantities=quantities,
        n_probabilities=len(probabilities),
        n_thresholds=len(thresholds),
        value=value,
        weight=weight,
        scale=scale,
        probability=np.array(probabilities, dtype=float),
        threshold=np.array(thresholds, dtype=float),
        **vars(found),
    )
    summaries.run()
    return found


def weighted_quantiles(
    value: NDArray, weight: NDArray, probabilities: Sequence[float] = PROBABILITIES
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of weighted draws; a draw stands at the middle of its share of probability.

    Parameters
    ----------
    value : (cohorts, terms, draws) ndarray
        Draws of each term's effect.
    weight : (cohorts, draws) ndarray
        Adding up to 1.
    probabilities : sequence of float

    Returns
    -------
    (cohorts, terms, probabilities) ndarray
    (cohorts, terms) ndarray
        Effective draws behind the limits, as `tail_effective_sizes` counts them.
    """
    found = sums_of_draws(value.transpose(0, 2, 1), weight, None, probabilities)
    return found.quantile, found.tail_size


def tail_effective_sizes(value: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """Effective draws behind each quantity's 95% limits: the fewer of the two.

    The share p of the posterior beyond a limit is estimated with the variance
    sum(weight^2 (is_beyond - p)^2), where n independent draws would have p (1 - p) / n. Weights
    that are good on average may be poor there.

    Parameters
    ----------
    value : (draws, quantities) ndarray
    weight : (draws,) ndarray
        Adding up to 1.

    Returns
    -------
    (quantities,) ndarray
        At most the number of draws.

    References
    ----------
    Owen (2013), Monte Carlo theory, methods and examples, section 9.2 (self-normalised importance
    sampling).
    """
    return sums_of_draws(value[None], weight[None]).tail_size[0]
