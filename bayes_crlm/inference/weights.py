"""Pairs shared out to the parts of a proposal, and weights of what they draw."""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws
from bayes_crlm.inference.hazards_given_effects import ScaleDraws
from bayes_crlm.inference.psis import pareto_smooth


def allotted(probability: NDArray, pairs: int) -> NDArray[np.intp]:
    """Share out pairs to parts by their probability; none where that is 0, else at least one.

    Parameters
    ----------
    probability : (cohorts, parts) ndarray
        Adding up to 1; not a number for a cohort without an approximation.
    pairs : int
        Of each cohort.
    """
    probability = np.where(np.isfinite(probability), probability, 0.0)
    # with more parts than pairs the least probable get none
    rank = (-probability).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    found = ((probability > 0) & (rank < pairs)).astype(np.intp)
    left = pairs - found.sum(axis=1)
    found += np.floor(left[:, None] * probability).astype(np.intp)
    # what rounding leaves is the largest part's
    found[np.arange(len(found)), probability.argmax(axis=1)] += pairs - found.sum(axis=1)
    return found


def flat(values: NDArray, draws: int) -> NDArray:
    """From (cohorts, 2, pairs, ...) to (cohorts, draws, ...); of an odd number one is left out."""
    return values.reshape(len(values), -1, *values.shape[3:])[:, :draws]


def of_both_signs(values: NDArray, draws: int) -> NDArray:
    """From pairs (cohorts, pairs) to the draws (cohorts, draws) that are made of them."""
    return flat(np.stack([values, values], axis=1), draws)


def weigh(
    effect: NDArray,
    log_hazard: NDArray | None,
    scales: ScaleDraws,
    log_ratio: NDArray,
    scramble: NDArray[np.int64],
    draws: int,
) -> BatchDraws:
    """Smooth and normalise the weights of draws (cohorts, 2, pairs, ...)."""
    log_ratio = flat(np.where(np.isfinite(log_ratio), log_ratio, -np.inf), draws)
    is_possible = np.isfinite(log_ratio).sum(axis=1) >= max(10, draws // 10)
    some_ratio = log_ratio if is_possible.all() else np.where(is_possible[:, None], log_ratio, 0.0)
    log_weight, pareto_k = pareto_smooth(some_ratio)
    # a shape below 0 is that of bounded ratios: smoothing could only bias them
    bounded = some_ratio[pareto_k < 0]
    log_weight[pareto_k < 0] = bounded - np.logaddexp.reduce(bounded, axis=1, keepdims=True)
    weight = np.exp(log_weight)
    step, other, of_groups = (
        None if each is None else of_both_signs(each, draws)
        for each in (scales.step, scales.effect, scales.group)
    )
    return BatchDraws(
        effect=flat(effect, draws),
        log_hazard=None if log_hazard is None else flat(log_hazard, draws),
        log_step_scale=step,
        log_ratio=log_ratio,
        weight=weight,
        pareto_k=pareto_k,
        ess=1 / (weight**2).sum(axis=1),
        converged=is_possible,
        scramble=of_both_signs(scramble, draws),
        log_effect_scale=other,
        log_group_scale=of_groups,
    )
