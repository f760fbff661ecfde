"""Posterior summaries of weighted draws, many cohorts at once."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.draws import Summaries
from bayes_crlm.words.records import record

PROBABILITIES = (0.025, 0.5, 0.975)
# shape of the weights' tail up to which they have a variance; effective draws, as a share of all,
# from which on no few of them decide what scrambles come to
FINITE_VARIANCE_K, ENOUGH_ESS = 0.5, 0.25


@record(eq=False)
class BlockSummary:
    """Posterior of the log hazard ratios of many cohorts, in the columns' own units.

    Attributes
    ----------
    mean, sd : (cohorts, terms) ndarray
        Of each log hazard ratio.
    quantiles : (cohorts, terms, 3) ndarray
        At 2.5%, 50% and 97.5%.
    below : (cohorts, terms, thresholds) ndarray
        Probabilities that a hazard ratio lies below each threshold.
    pareto_k, ess : (cohorts,) ndarray
        Whether the importance weights can be trusted.
    ess_tail : (cohorts,) ndarray
        Effective draws behind the 95% limits of the term with the fewest.
    errors : SumErrors
        Monte Carlo standard errors of mean, sd, quantiles and below.
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
    errors: "SumErrors"
    converged: NDArray[np.bool]


def summarise(
    effect: NDArray,
    weight: NDArray,
    scale: NDArray,
    thresholds: tuple[float, ...],
    scramble: NDArray[np.int64],
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
    scramble : (cohorts, draws) ndarray of int
        Which each draw comes from.
    quality : (cohorts,) ndarrays
        Pareto k, effective draws, and whether it converged.
    """
    pareto_k, ess, converged = quality
    found, errors = sums_with_errors(
        effect,
        weight,
        scramble,
        most_size(pareto_k, ess, weight.shape[1]),
        scale,
        thresholds=np.log(thresholds),
    )
    fewest = found.tail_size.min(axis=1)
    result = [found.mean, found.sd, found.quantile, found.below, pareto_k, ess, fewest]
    with_gaps = [
        np.where(converged.reshape(-1, *[1] * (each.ndim - 1)), each, np.nan) for each in result
    ]
    return BlockSummary(*with_gaps, errors=errors, converged=converged)


def most_size(pareto_k: NDArray, ess: NDArray, draws: int) -> NDArray[np.float64]:
    """Effective draws that errors are to be believed of at most, shape (cohorts,).

    Where the raw weights have no variance (k above a half, or unknown), or the draws are worth less
    than a quarter of their number, what scrambles differ by need not tell of what they all lack:
    errors are then at least those of independent draws.

    Parameters
    ----------
    pareto_k, ess : (cohorts,) ndarray
        Of the weights.
    draws : int
        How many have weights.
    """
    is_good = (pareto_k <= FINITE_VARIANCE_K) & (ess >= ENOUGH_ESS * draws)
    return np.where(is_good, np.inf, ess)


@record(eq=False)
class SumErrors:
    """Monte Carlo standard errors of what is in `DrawSums`, in the same shapes.

    Attributes
    ----------
    mean, sd : (..., quantities) ndarray
        Of the weighted mean and standard deviation.
    quantile : (..., quantities, probabilities) ndarray
        Of the 2.5%, 50% and 97.5% points where no others are asked for.
    below : (..., quantities, thresholds) ndarray
        Of the probabilities below the thresholds.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    quantile: NDArray[np.float64]
    below: NDArray[np.float64]


@record(eq=False)
class DrawSums:
    """What the library makes of weighted draws of several quantities.

    Attributes
    ----------
    mean, sd : (cohorts, quantities) ndarray
        Weighted; the variance is divided by the weights' sum.
    tail_size : (cohorts, quantities) ndarray
        Effective draws behind the 95% limit that has fewer.
    quantile : (cohorts, quantities, probabilities) ndarray
        As `quantiles` has them.
    below : (cohorts, quantities, thresholds) ndarray
        Probabilities that a quantity lies below each threshold.
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
        Any functions of the draws.
    weight : (cohorts, draws) ndarray
        Adding up to 1.
    scale : (cohorts, quantities) ndarray, optional
        By which values are divided.
    probabilities : sequence of float
        Of the quantiles.
    thresholds : sequence of float
        Probabilities below these are summed up.
    """
    task, found = task_of_sums(value, weight, scale, probabilities, thresholds)
    task.run()
    return found


def sums_with_errors(
    value: NDArray,
    weight: NDArray,
    scramble: NDArray[np.int64],
    most: NDArray,
    scale: NDArray | None = None,
    probabilities: Sequence[float] = PROBABILITIES,
    thresholds: NDArray | Sequence[float] = (),
) -> tuple[DrawSums, SumErrors]:
    """Sum up weighted draws and say by how much their sums err: by what scrambles differ.

    Parameters
    ----------
    value, weight, scale, probabilities, thresholds
        As of `sums_of_draws`.
    scramble : (cohorts, draws) ndarray of int
        Which each draw comes from, from 0.
    most : (cohorts,) ndarray
        Errors are at least those of so many independent draws.
    """
    task, found = task_of_sums(value, weight, scale, probabilities, thresholds)
    errors = SumErrors(
        *(np.empty_like(each) for each in (found.mean, found.sd, found.quantile, found.below))
    )
    task.fill(
        n_scrambles=int(scramble.max()) + 1,
        scramble=scramble,
        most_size=most,
        mean_error=errors.mean,
        sd_error=errors.sd,
        quantile_error=errors.quantile,
        below_error=errors.below,
    )
    task.run()
    return found, errors


def task_of_sums(
    value: NDArray,
    weight: NDArray,
    scale: NDArray | None,
    probabilities: Sequence[float],
    thresholds: NDArray | Sequence[float],
) -> tuple[Summaries, DrawSums]:
    """Say what is to be summed up, and where it goes; see `sums_of_draws`."""
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
    return summaries, found


def quantiles(
    value: NDArray,
    probabilities: Sequence[float] = PROBABILITIES,
    weight: NDArray | None = None,
) -> NDArray[np.float64]:
    """Quantiles of draws: Hyndman & Fan's type 7, as NumPy, ArviZ and R have it, and of weights.

    A draw stands at the middle of its share of probability, with the middle of the smallest draw's
    share at 0 and that of the largest's at 1, and between two draws runs a straight line. Where
    all draws count alike that is type 7.

    Parameters
    ----------
    value : (draws,) or (draws, quantities) ndarray
        A number or several of each draw.
    probabilities : sequence of float
        From 0 to 1.
    weight : (draws,) ndarray, optional
        Adding up to 1; all draws count alike without it.

    Returns
    -------
    (probabilities,) or (probabilities, quantities) ndarray

    References
    ----------
    Hyndman & Fan (1996), Am Stat 50:361-365.
    """
    if weight is None:
        return np.quantile(value, probabilities, axis=0)
    found = sums_of_draws(value.reshape(1, len(value), -1), weight[None], None, probabilities)
    return found.quantile[0].T.reshape(len(probabilities), *value.shape[1:])


def tail_effective_sizes(value: NDArray, weight: NDArray) -> NDArray[np.float64]:
    """Effective draws behind each quantity's 95% limits: the fewer of the two.

    The share p of the posterior beyond a limit is estimated with the variance
    sum(weight^2 (is_beyond - p)^2), where n independent draws would have p (1 - p) / n. Weights
    that are good on average may be poor there.

    Parameters
    ----------
    value : (draws, quantities) ndarray
        Any functions of the draws.
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
