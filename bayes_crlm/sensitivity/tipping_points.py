"""Where an unmeasured binary confounder changes the conclusion.

A binary confounder that multiplies the hazard by g, present in a share p1 of the treated and
p0 of the reference, multiplies the hazard ratio by

    B = (1 + (g - 1) p1) / (1 + (g - 1) p0)                                             (1)

so that the log hazard ratio freed of it is the posterior's, less log B. Equation (1) is exact at
the start of follow-up and for rare events, and holds for a confounder that is independent of the
measured covariates given the treatment; later, deaths thin out those who carry it.

References
----------
Schlesselman (1978), Am J Epidemiol 108:3-8; Lin, Psaty & Kronmal (1998), Biometrics 54:948-963.
"""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.inference.weighted import quantiles
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written

__all__ = [
    "TippingBias", "TippingSurface", "bias_factor", "confounder_that_tips", "tipping_bias",
    "tipping_surface",
]  # fmt: skip

Floats = NDArray[np.float64]
Side = Literal["below", "above"]


@record
class TippingBias:
    """Bias factors beyond which a conclusion no longer holds.

    Attributes
    ----------
    side : {"below", "above"}
        Whether the posterior says that the hazard ratio is below or above the threshold.
    probability : float
        Bias factor at which the probability of that falls to the level asked for.
    median, limit : float
        Bias factors that take the median, and the limit nearest to the threshold, there.
        A factor above 1 (conclusion "below") stands for a conclusion that already fails.
    """

    side: Side
    probability: float
    median: float
    limit: float


@record(eq=False)
class TippingSurface:
    """The hazard ratio freed of a binary confounder, over a grid of confounders.

    Attributes
    ----------
    confounder_hazard_ratio : (n_strengths,) float
        What having the confounder multiplies the hazard by.
    prevalence_difference : (n_differences,) float
        Prevalence with the treatment minus that with the reference.
    prevalence_reference : float
        Share of the reference level's patients who have the confounder.
    threshold : float
        Hazard ratio that the conclusion is about.
    side : {"below", "above"}
        The conclusion without confounding: on which side of the threshold the median lies.
    bias : (n_differences, n_strengths) float
        Bias factor of equation (1).
    median, low, high : (n_differences, n_strengths) float
        Corrected hazard ratio and its 95% interval.
    prob_below : (n_differences, n_strengths) float
        P(corrected hazard ratio < threshold).
    tips_probability, tips_limit, tips_median : (n_differences, n_strengths) bool
        Whether the conclusion's probability falls below `level`, the interval
        holds the threshold, the median reaches or crosses it.
    level : float
        Probability that an interval holds, such as 0.95.
    """

    confounder_hazard_ratio: Floats
    prevalence_difference: Floats
    prevalence_reference: float
    threshold: float
    side: Side
    bias: Floats
    median: Floats
    low: Floats
    high: Floats
    prob_below: Floats
    tips_probability: NDArray[np.bool_]
    tips_limit: NDArray[np.bool_]
    tips_median: NDArray[np.bool_]
    level: float


def bias_factor(
    confounder_hazard_ratio: ArrayLike,
    prevalence_treated: ArrayLike,
    prevalence_reference: ArrayLike,
) -> Floats:
    """Factor by which an unmeasured binary confounder multiplies a hazard ratio.

    Parameters
    ----------
    confounder_hazard_ratio : array_like
        Of those who carry the confounder against those who do not; above 0.
    prevalence_treated, prevalence_reference : array_like
        Shares that carry it on either strategy, 0 to 1. All broadcast together.

    Returns
    -------
    ndarray
        Divide the observed hazard ratio by it to correct it.

    Raises
    ------
    SensitivityError
        For a hazard ratio that is not positive and finite, or a prevalence outside 0 to 1.

    References
    ----------
    Lin, Psaty & Kronmal (1998), Biometrics 54:948-963.
    """
    ratio = np.asarray(confounder_hazard_ratio, dtype=float)
    treated = np.asarray(prevalence_treated, dtype=float)
    reference = np.asarray(prevalence_reference, dtype=float)
    check_positive("the confounder's hazard ratio", ratio)
    for name, prevalence in (("treatment", treated), ("reference", reference)):
        is_wrong = ~((prevalence >= 0) & (prevalence <= 1))
        if np.any(is_wrong):
            raise SensitivityError(
                f"the confounder's prevalence with the {name} would be "
                f"{as_written(prevalence[is_wrong].flat[0])}; give prevalences between 0 and 1"
            )
    return (1 + (ratio - 1) * treated) / (1 + (ratio - 1) * reference)


def tipping_bias(
    log_hazard_ratio: ArrayLike, threshold: float = 1.0, level: float = 0.95
) -> TippingBias:
    """Bias factors at which a conclusion about the hazard ratio stops to hold.

    Parameters
    ----------
    log_hazard_ratio : (draws,) array_like
        Equally weighted posterior draws.
    threshold : float
        Hazard ratio that the conclusion is about.
    level : float
        Probability that the conclusion needs, between 0.5 and 1.

    Raises
    ------
    SensitivityError
        For missing draws, or a threshold or level outside its range.
    """
    draws = finite_draws(log_hazard_ratio)
    check_positive("the threshold", np.asarray(threshold))
    check_level(level)
    distance = draws - math.log(threshold)
    ends = (0.5, level, 0.975, 1 - level, 0.025)
    # P(distance - log B < 0) is the level where log B is its quantile
    median, by_level, by_limit, *above = np.exp(quantiles(distance, ends)).tolist()
    if median < 1:
        return TippingBias("below", by_level, median, by_limit)
    return TippingBias("above", above[0], median, above[1])


def confounder_that_tips(
    bias: float, prevalence_treated: ArrayLike, prevalence_reference: ArrayLike
) -> Floats:
    """Hazard ratio of a binary confounder whose bias factor is a given one.

    Parameters
    ----------
    bias : float
        Bias factor to be reached, as of `tipping_bias`.
    prevalence_treated, prevalence_reference : array_like
        Shares that carry the confounder; they broadcast together.

    Returns
    -------
    ndarray
        Infinity where no harmful confounder (hazard ratio above 1) is strong enough, 0 where no
        protective one is; not a number where prevalences are equal and the factor is always 1.

    Raises
    ------
    SensitivityError
        For a bias factor that is not positive and finite, or a prevalence outside 0 to 1.
    """
    check_positive("the bias factor", np.asarray(bias))
    treated, reference = np.broadcast_arrays(
        np.asarray(prevalence_treated, dtype=float), np.asarray(prevalence_reference, dtype=float)
    )
    bias_factor(1.0, treated, reference)
    if bias == 1:
        return np.ones(treated.shape)
    needs_harmful = (treated > reference) == (bias > 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        solution = 1 + (bias - 1) / (treated - bias * reference)
    is_reached = (solution > 0) & np.isfinite(solution)
    found = np.where(is_reached, solution, np.where(needs_harmful, np.inf, 0.0))
    return np.where(treated == reference, np.nan, found)


def tipping_surface(
    log_hazard_ratio: ArrayLike,
    confounder_hazard_ratio: Sequence[float] | Floats,
    prevalence_difference: Sequence[float] | Floats,
    prevalence_reference: float,
    *,
    threshold: float = 1.0,
    level: float = 0.95,
) -> TippingSurface:
    """Correct the hazard ratio for every confounder of a grid, and say where it tips.

    Parameters
    ----------
    log_hazard_ratio : (draws,) array_like
        Equally weighted posterior draws of treatment against reference.
    confounder_hazard_ratio : (n_strengths,) array_like
        Hazard ratios of the confounder with death.
    prevalence_difference : (n_differences,) array_like
        Its prevalence with the treatment minus that with the reference, -1 to 1. A harmful
        confounder that is rarer with the treatment makes the treatment look better than it is.
    prevalence_reference : float
        Share of the reference level's patients who have the confounder.
    threshold : float
        Hazard ratio that the conclusion is about.
    level : float
        Probability that the conclusion needs.

    Returns
    -------
    TippingSurface

    Raises
    ------
    SensitivityError
        For an empty grid, missing draws, or a prevalence outside 0 to 1.
    """
    draws = np.sort(finite_draws(log_hazard_ratio))
    strengths = np.asarray(confounder_hazard_ratio, dtype=float)
    differences = np.asarray(prevalence_difference, dtype=float)
    for name, grid in (("hazard ratios", strengths), ("prevalence differences", differences)):
        if grid.ndim != 1 or grid.size == 0:
            raise SensitivityError(f"the grid of {name} is empty; give at least one value")
    tipping = tipping_bias(draws, threshold, level)
    bias = bias_factor(
        strengths[None, :], prevalence_reference + differences[:, None], prevalence_reference
    )
    low, median, high = (np.exp(q) / bias for q in quantiles(draws))
    count = np.searchsorted(draws, math.log(threshold) + np.log(bias).ravel(), side="left")
    prob_below = count.reshape(bias.shape) / len(draws)
    is_below = tipping.side == "below"
    return TippingSurface(
        confounder_hazard_ratio=strengths,
        prevalence_difference=differences,
        prevalence_reference=prevalence_reference,
        threshold=threshold,
        side=tipping.side,
        bias=bias,
        median=median,
        low=low,
        high=high,
        prob_below=prob_below,
        tips_probability=(prob_below if is_below else 1 - prob_below) < level,
        tips_limit=(high >= threshold) if is_below else (low <= threshold),
        tips_median=(median >= threshold) if is_below else (median <= threshold),
        level=level,
    )


def finite_draws(log_hazard_ratio: ArrayLike) -> Floats:
    """Flatten posterior draws, refusing none and missing ones."""
    draws = np.asarray(log_hazard_ratio, dtype=float).ravel()
    if draws.size == 0 or not np.all(np.isfinite(draws)):
        raise SensitivityError("draws of the log hazard ratio are missing; give finite numbers")
    return draws


def check_positive(name: str, value: NDArray) -> None:
    """Refuse a ratio that is not positive and finite."""
    if not np.all((value > 0) & (value < np.inf)):
        raise SensitivityError(f"{name} must be a finite number above 0")


def check_level(level: float) -> None:
    """Refuse a probability that no conclusion is drawn at."""
    if not 0.5 < level < 1:
        raise SensitivityError(
            f"level {as_written(level)} is impossible; give one between 0.5 and 1"
        )
