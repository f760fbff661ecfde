"""Pareto-smoothed weights and weighted summaries of one cohort as JAX functions.

The same numbers as `bayes_crlm.psis` and `bayes_crlm.batch.summary`, for the device.

References
----------
Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72); Zhang & Stephens (2009),
Technometrics 51:316-325.
"""

from typing import Any

import jax
import jax.numpy as jnp

from bayes_crlm.batch.summary import PROBABILITIES
from bayes_crlm.psis import PRIOR_DRAWS, PRIOR_SCALE, PRIOR_SHAPE

__all__ = ["fit_generalized_pareto", "pareto_smooth", "summaries"]


def pareto_smooth(log_ratio: Any) -> tuple[Any, Any, Any]:
    """Smooth the largest ratios; as `bayes_crlm.psis.pareto_smooth`.

    Parameters
    ----------
    log_ratio : (draws,) array

    Returns
    -------
    order : (draws,) array of int
        Draws by increasing ratio.
    weight : (draws,) array
        Of the draws in that order, adding up to 1.
    pareto_k : float
    """
    log_ratio = jnp.asarray(log_ratio)
    draws = len(log_ratio)
    tail = int(3 * draws**0.5) if draws > 225 else draws // 5
    order = jnp.argsort(log_ratio)
    log_weight = log_ratio[order] - log_ratio.max()
    log_tail = log_weight[-tail:]
    cutoff = jnp.exp(log_weight[-tail - 1])
    is_flat = log_tail[-1] - log_tail[0] < jnp.finfo(float).tiny
    shape, scale = fit_generalized_pareto(jnp.exp(log_tail) - cutoff)
    log_survival = jnp.log1p(-(jnp.arange(tail) + 0.5) / tail)
    quantile = jnp.where(shape == 0, -log_survival, jnp.expm1(-shape * log_survival) / shape)
    smoothed = jnp.minimum(jnp.log(cutoff + scale * quantile), 0.0)
    is_smoothed = jnp.isfinite(shape) & ~is_flat
    log_weight = log_weight.at[-tail:].set(jnp.where(is_smoothed, smoothed, log_tail))
    weight = jnp.exp(log_weight - jax.scipy.special.logsumexp(log_weight))
    return order, weight, jnp.where(is_flat, 0.0, shape)


def fit_generalized_pareto(excess: Any) -> tuple[Any, Any]:
    """Fit a generalised Pareto distribution; as `bayes_crlm.psis.fit_generalized_pareto`.

    Parameters
    ----------
    excess : (n,) array
        Sorted.
    """
    n = len(excess)
    size = 30 + int(n**0.5)
    quartile = excess[int(n / 4 + 0.5) - 1]
    candidate = 1 - jnp.sqrt(size / (jnp.arange(1, size + 1) - 0.5))
    candidate = candidate / (PRIOR_SCALE * quartile) + 1 / excess[-1]
    shape = jnp.log1p(-candidate[:, None] * excess).mean(axis=1)
    log_profile = n * (jnp.log(-candidate / shape) - shape - 1)
    weight = jax.nn.softmax(log_profile)
    weight = jnp.where(weight >= 10 * jnp.finfo(float).eps, weight, 0.0)
    centre = jnp.where(weight > 0, candidate * weight, 0.0).sum() / weight.sum()
    shape = jnp.log1p(-centre * excess).mean()
    scale = -shape / centre
    shape = (n * shape + PRIOR_DRAWS * PRIOR_SHAPE) / (n + PRIOR_DRAWS)
    is_fitted = quartile > excess[0]
    return jnp.where(is_fitted, shape, jnp.nan), jnp.where(is_fitted, scale, jnp.nan)


def summaries(value: Any, weight: Any, thresholds: tuple[float, ...]) -> tuple[Any, ...]:
    """Mean, sd, quantiles, probabilities below thresholds, and the smallest tail effective size.

    As `bayes_crlm.batch.summary.BlockSummary` has them.

    Parameters
    ----------
    value : (draws, terms) array
        Log hazard ratios.
    weight : (draws,) array
        Adding up to 1.
    thresholds : tuple of float
        Hazard ratios.
    """
    mean = weight @ value
    sd = jnp.sqrt(weight @ (value - mean) ** 2)

    def quantiles(draws: Any) -> tuple[Any, Any]:
        order = jnp.argsort(draws)
        share = weight[order]
        reached, squared = jnp.cumsum(share), jnp.cumsum(share**2)
        tails = []
        for probability in (PROBABILITIES[0], PROBABILITIES[-1]):
            last = jnp.minimum((reached < probability).sum(), len(share) - 1)
            p, below = reached[last], squared[last]
            variance = (1 - p) ** 2 * below + p**2 * (squared[-1] - below)
            tails.append(jnp.where(variance > 0, p * (1 - p) / variance, 0.0))
        found = jnp.interp(jnp.array(PROBABILITIES), reached - share / 2, draws[order])
        return found, jnp.minimum(*tails)

    below = [weight @ (value < jnp.log(threshold)) for threshold in thresholds]
    stacked = jnp.stack(below, axis=1) if below else jnp.empty((value.shape[1], 0))
    limits, tail = jax.vmap(quantiles, in_axes=1)(value)
    return mean, sd, limits, stacked, tail.min()
