"""Pareto-smoothed importance weights, in NumPy alone.

The largest ratios of target to proposal are replaced by the quantiles of a generalised Pareto
distribution fitted to them. Its shape k says how heavy their tail is: above 0.7 no feasible
number of draws makes an average of them reliable.

References
----------
Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72); Zhang & Stephens (2009),
Technometrics 51:316-325.
"""

import numpy as np
from numpy.typing import NDArray

# above it importance weights cannot be trusted: Vehtari et al. (2024), section 3.2.4
PARETO_K_MOST = 0.7
LEAST_TAIL = 5
# with fewer, a fifth of the draws is less than the fewest that a tail is fitted to
LEAST_DRAWS = 5 * LEAST_TAIL
# with more, the tail grows with the square root of their number
MANY_DRAWS = 225
# the prior of Vehtari et al. (2024), appendix G: as if 10 tail draws had said 0.5
PRIOR_DRAWS, PRIOR_SHAPE = 10, 0.5
# the prior of Zhang & Stephens (2009), section 3: a third of the first quartile
PRIOR_SCALE = 3


def pareto_smooth(
    log_ratio: NDArray, relative_ess: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth importance ratios and normalise them.

    Parameters
    ----------
    log_ratio : (..., draws) ndarray
        Log density of the target minus that of the proposal; minus infinity where the target has
        no density. At least 25 draws.
    relative_ess : float
        Effective sample size of draws of a Markov chain, as a share of their number: the smaller,
        the longer the tail that is smoothed.

    Returns
    -------
    log_weight : (..., draws) ndarray
        Logs of weights that add up to 1.
    pareto_k : (...) ndarray
        Shape of the tail; 0 where the largest ratios are all equal, nan where they follow no
        generalised Pareto distribution (the ratios are then not smoothed).

    Raises
    ------
    ValueError
        For fewer than 25 draws.
    """
    log_ratio = np.asarray(log_ratio, dtype=float)
    draws = log_ratio.shape[-1]
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} draws are too few for a tail; give at least {LEAST_DRAWS}")
    tail = draws // 5
    if draws * relative_ess > MANY_DRAWS:
        tail = int(3 * (draws / relative_ess) ** 0.5)
    log_weight = log_ratio - log_ratio.max(axis=-1, keepdims=True)
    order = np.argpartition(log_weight, (draws - tail - 1, draws - tail), axis=-1)
    largest = order[..., -tail:]
    log_tail = np.take_along_axis(log_weight, largest, axis=-1)
    inner = np.argsort(log_tail, axis=-1)
    largest = np.take_along_axis(largest, inner, axis=-1)
    log_tail = np.take_along_axis(log_tail, inner, axis=-1)
    below = np.take_along_axis(log_weight, order[..., -tail - 1 : -tail], axis=-1)
    cutoff = np.exp(below)
    is_flat = log_tail[..., -1] - log_tail[..., 0] < np.finfo(float).tiny
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shape, scale = fit_generalized_pareto(np.exp(log_tail) - cutoff)
        probability = (np.arange(tail) + 0.5) / tail
        log_survival = np.log1p(-probability)
        each, scale = shape[..., None], scale[..., None]
        quantile = np.where(each == 0, -log_survival, np.expm1(-each * log_survival) / each)
        smoothed = np.minimum(np.log(cutoff + scale * quantile), 0.0)
    is_smoothed = (np.isfinite(shape) & ~is_flat)[..., None]
    np.put_along_axis(log_weight, largest, np.where(is_smoothed, smoothed, log_tail), axis=-1)
    log_weight -= np.log(np.exp(log_weight).sum(axis=-1, keepdims=True))
    return log_weight, np.where(is_flat, 0.0, shape)


def fit_generalized_pareto(
    excess: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Fit a generalised Pareto distribution with a weak prior on its shape.

    Parameters
    ----------
    excess : (..., n) ndarray
        Sorted, what lies above the threshold.

    Returns
    -------
    shape, scale : (...) ndarray
        Empirical-Bayes estimates; nan where the first quartile equals the smallest value, or is so
        much smaller than the largest that no scale can be told.
    """
    n = excess.shape[-1]
    size = 30 + int(n**0.5)
    quartile, largest = excess[..., int(n / 4 + 0.5) - 1, None], excess[..., -1, None]
    candidate = 1 - np.sqrt(size / (np.arange(1, size + 1) - 0.5))
    candidate = candidate / (PRIOR_SCALE * quartile) + 1 / largest
    shape = np.log1p(-candidate[..., None] * excess[..., None, :]).mean(axis=-1)
    log_profile = n * (np.log(-candidate / shape) - shape - 1)
    weight = np.exp(log_profile - log_profile.max(axis=-1, keepdims=True))
    weight /= weight.sum(axis=-1, keepdims=True)
    weight = np.where(weight >= 10 * np.finfo(float).eps, weight, 0.0)
    weight /= weight.sum(axis=-1, keepdims=True)
    centre = np.where(weight > 0, candidate * weight, 0.0).sum(axis=-1)
    shape = np.log1p(-centre[..., None] * excess).mean(axis=-1)
    scale = -shape / centre
    shape = (n * shape + PRIOR_DRAWS * PRIOR_SHAPE) / (n + PRIOR_DRAWS)
    is_spread = excess[..., int(n / 4 + 0.5) - 1] > excess[..., 0]
    is_fitted = is_spread & np.isfinite(scale) & (scale > 0)
    return np.where(is_fitted, shape, np.nan), np.where(is_fitted, scale, np.nan)
