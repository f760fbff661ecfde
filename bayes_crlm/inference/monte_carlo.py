"""Monte Carlo standard errors: by how much what draws come to would differ under another seed.

Draws of the approximate engine come from several independent scrambles of Sobol points. Every sum
over them is a ratio, of weights times values over weights; its linear part has one term a scramble,
and what these differ by is the error (`bayes_crlm.inference.weighted.sums_with_errors`). Of chains
it comes from the effective sample sizes of the same functions of the draws.

References
----------
Owen (1997), Ann Stat 25:1541-1562, and L'Ecuyer & Lemieux (2002), in Modeling Uncertainty, Kluwer,
419-474 (independent randomisations); Woodruff (1952), J Am Stat Assoc 47:635-646 (quantiles);
Vehtari, Gelman, Simpson, Carpenter & Buerkner (2021), Bayesian Anal 16:667-718 (chains).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.chains import mcse_mean
from bayes_crlm.inference.weighted import PROBABILITIES, SumErrors, most_size, sums_with_errors

# a quantile's density is measured between the quantiles of so many errors that independent draws
# would have, and within so much of the tail
DENSITY_ERRORS, MOST_OF_TAIL = 2.0, 0.4


def errors_of_draws(
    value: NDArray,
    scramble: NDArray[np.int64],
    quality: tuple[float, float],
    thresholds: Sequence[float] = (),
) -> SumErrors:
    """Errors of equally weighted draws that were resampled within scrambles.

    Parameters
    ----------
    value : (draws, quantities) ndarray
        Any function of the draws, in their order.
    scramble : (draws,) ndarray of int
        Which scramble each comes from.
    quality : tuple of float
        Pareto k of the weights that they were resampled by, and their effective size, at most the
        number of draws.
    thresholds : sequence of float
        Of the probabilities.

    Returns
    -------
    SumErrors
        Of each quantity: mean and sd, (quantities,); 2.5%, 50% and 97.5% points,
        (quantities, 3); probabilities below the thresholds, (quantities, thresholds). Not a
        number where all draws are of one scramble.
    """
    equal = np.full((1, len(value)), 1 / len(value))
    pareto_k, ess = (np.array([each]) for each in quality)
    most = most_size(pareto_k, ess, len(value))
    _, found = sums_with_errors(value[None], equal, scramble[None], most, thresholds=thresholds)
    return SumErrors(*(each[0] for each in vars(found).values()))


def errors_of_chains(chains: NDArray, thresholds: Sequence[float] = ()) -> SumErrors:
    """Errors of Markov chains (chains, draws, quantities); see `errors_of_draws`."""

    def error_of_mean(values: NDArray) -> NDArray[np.float64]:
        # what does not vary, as a probability of 0 or 1, has no error that chains could tell
        is_constant = np.ptp(values, axis=(0, 1)) == 0
        return np.where(is_constant, 0.0, mcse_mean(values))

    mean, sd = chains.mean(axis=(0, 1)), chains.std(axis=(0, 1))
    quantiles = []
    for p, at in zip(PROBABILITIES, np.quantile(chains, PROBABILITIES, axis=(0, 1)), strict=True):
        of_probability = error_of_mean((chains < at).astype(float))
        independent = np.sqrt(p * (1 - p) / math.prod(chains.shape[:2]))
        around = min(DENSITY_ERRORS * independent, MOST_OF_TAIL * min(p, 1 - p))
        low, high = np.quantile(chains, (p - around, p + around), axis=(0, 1))
        quantiles.append(of_probability * (high - low) / (2 * around))
    below = [error_of_mean((chains < each).astype(float)) for each in thresholds]
    of_variance = error_of_mean((chains - mean) ** 2)
    return SumErrors(
        error_of_mean(chains),
        np.divide(of_variance, 2 * sd, out=np.zeros_like(sd), where=sd > 0),
        np.stack(quantiles, axis=1),
        np.array(below).reshape(len(below), chains.shape[2]).T,
    )
