"""Posterior summaries of weighted draws, many cohorts at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

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
    value = np.ascontiguousarray(effect.transpose(0, 2, 1)) / scale[:, :, None]
    mean = (value @ weight[:, :, None])[:, :, 0]
    deviation = value - mean[:, :, None]
    variance = (deviation**2 @ weight[:, :, None])[:, :, 0]
    below = (
        np.stack(
            [
                ((value < np.log(threshold)) @ weight[:, :, None])[:, :, 0]
                for threshold in thresholds
            ],
            axis=2,
        )
        if thresholds
        else np.empty((*mean.shape, 0))
    )
    pareto_k, ess, converged = quality
    quantiles, ess_tail = weighted_quantiles(value, weight)
    result = [mean, np.sqrt(variance), quantiles, below, pareto_k, ess, ess_tail.min(axis=1)]
    with_gaps = [
        np.where(converged.reshape(-1, *[1] * (each.ndim - 1)), each, np.nan) for each in result
    ]
    return BlockSummary(*with_gaps, converged=converged)


def weighted_quantiles(
    value: NDArray, weight: NDArray, probabilities: Sequence[float] = PROBABILITIES
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Quantiles of weighted draws; a draw stands at the middle of its share of probability.

    Parameters
    ----------
    value : (cohorts, terms, draws) ndarray
    weight : (cohorts, draws) ndarray
        Adding up to 1.
    probabilities : sequence of float

    Returns
    -------
    (cohorts, terms, probabilities) ndarray
    (cohorts, terms) ndarray
        Effective draws behind the limits, as `tail_effective_sizes` counts them.
    """
    draws = value.shape[2]
    order, share, reached = in_order(value, weight)
    ess_tail = tail_sizes(reached, share)
    share *= 0.5
    reached -= share
    after = np.stack([first_at(reached, each) for each in probabilities], axis=2)
    after = np.clip(after, 1, draws - 1)
    low, high = (np.take_along_axis(reached, k, axis=2) for k in (after - 1, after))
    start, end = (
        np.take_along_axis(value, np.take_along_axis(order, k, axis=2), axis=2)
        for k in (after - 1, after)
    )
    between = (np.array(probabilities) - low) / np.where(high > low, high - low, 1.0)
    return start + np.clip(between, 0.0, 1.0) * (end - start), ess_tail


def in_order(
    value: NDArray, weight: NDArray
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.float64]]:
    """Order of each term's draws, with their weights and cumulative weights in that order."""
    count, _, draws = value.shape
    order = np.argsort(value, axis=2)
    # places in flat arrays: several times quicker than places along an axis
    share = weight.ravel().take(order + draws * np.arange(count)[:, None, None])
    return order, share, np.cumsum(share, axis=2)


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
    _, share, reached = in_order(np.ascontiguousarray(value.T)[None], weight[None])
    return tail_sizes(reached, share)[0]


def first_at(reached: NDArray, probability: float) -> NDArray[np.intp]:
    """First draw at which so much is reached, or 0: (cohorts, terms, draws) to (cohorts, terms)."""
    # several times quicker than to count the draws before it
    return (reached >= probability).argmax(axis=2)


def tail_sizes(reached: NDArray, share: NDArray) -> NDArray[np.float64]:
    """Effective draws behind the 95% limit that has fewer, shape (cohorts, terms).

    Parameters
    ----------
    reached, share : (cohorts, terms, draws) ndarray
        Cumulative and own weights in the order of each term's draws.
    """
    draws = share.shape[2]
    total = (share[:, 0] ** 2).sum(axis=1)[:, None]
    fewest = np.full(share.shape[:2], float(draws))
    for probability in (PROBABILITIES[0], PROBABILITIES[-1]):
        last = first_at(reached, probability)[:, :, None]
        p = np.take_along_axis(reached, last, axis=2)[:, :, 0]
        # of the side with less, so that few weights are squared
        is_low = probability < 0.5
        side = slice(0, int(last.max()) + 1) if is_low else slice(int(last.min()) + 1, draws)
        outer = np.where((np.arange(draws)[side] <= last) == is_low, share[:, :, side], 0.0)
        squared = np.einsum("ctd,ctd->ct", outer, outer)
        beyond = p if probability < 0.5 else 1 - p
        variance = (1 - beyond) ** 2 * squared + beyond**2 * (total - squared)
        with np.errstate(divide="ignore", invalid="ignore"):
            size = np.where(variance > 0, p * (1 - p) / variance, 0.0)
        fewest = np.minimum(fewest, size)
    return fewest
