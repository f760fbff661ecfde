"""Priors that different readers would bring, and what each makes of the same data.

A sceptic's prior is centred at no effect and gives 5% to effects beyond a stated benefit; an
enthusiast's is centred at that benefit and gives 5% to no effect and worse; a vague one says
nothing; a literature prior repeats a published hazard ratio. All are of the log hazard ratio of a
treatment contrast, which the sampling scale centres and does not divide.

References
----------
Spiegelhalter, Freedman & Parmar (1994), J R Stat Soc A 157:357-416; Spiegelhalter, Abrams &
Myles (2004), Bayesian Approaches to Clinical Trials and Health-Care Evaluation, chapter 5.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.model.priors import Normal, SimplePrior, parse_prior, simple_prior
from bayes_crlm.sensitivity.reweighting import reweight
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written

__all__ = [
    "PriorGrid",
    "enthusiastic_prior",
    "normal_likelihood",
    "prior_choices",
    "prob_below_normal",
    "prob_below_over_priors",
    "sceptical_prior",
    "vague_prior",
]

Floats = NDArray[np.float64]
STANDARD = NormalDist()
NAMES = ("sceptical", "enthusiastic", "vague")


@dataclass(frozen=True, eq=False)
class PriorGrid:
    """P(HR < threshold) over normal priors of the log hazard ratio.

    Attributes
    ----------
    mean : (n_means,) float
    scale : (n_scales,) float
    threshold : float
    prob_below : (n_means, n_scales) float
    mcse : (n_means, n_scales) float
        Monte Carlo standard errors, for independent draws.
    pareto_k : (n_means, n_scales) float
        Of the weights; not a number where the model was refitted.
    is_refitted, is_reliable : (n_means, n_scales) bool
        Unreliable cells have a large k or Monte Carlo error, and no refit.
    """

    mean: Floats
    scale: Floats
    threshold: float
    prob_below: Floats
    mcse: Floats
    pareto_k: Floats
    is_refitted: NDArray[np.bool_]
    is_reliable: NDArray[np.bool_]


def sceptical_prior(benefit: float, tail: float = 0.05) -> Normal:
    """Normal prior centred at no effect, with a small probability beyond a benefit.

    Parameters
    ----------
    benefit : float
        Hazard ratio that was hoped for, such as the one a trial is planned to detect; above 1
        when the question is harm.
    tail : float
        Probability of effects beyond it.

    Raises
    ------
    SensitivityError
        For a benefit that is 1 or not positive and finite, or a tail not between 0 and 0.5.

    References
    ----------
    Spiegelhalter, Freedman & Parmar (1994), J R Stat Soc A 157:357-416.
    """
    return Normal(0.0, abs(log_benefit(benefit)) / tail_quantile(tail))


def enthusiastic_prior(benefit: float, tail: float = 0.05) -> Normal:
    """Normal prior centred at a benefit, with a small probability of no effect or worse.

    Parameters, errors and reference are those of `sceptical_prior`.
    """
    centre = log_benefit(benefit)
    return Normal(centre, abs(centre) / tail_quantile(tail))


def vague_prior(scale: float = 10.0) -> Normal:
    """Normal prior centred at no effect and so wide that the data alone speak.

    Raises
    ------
    SensitivityError
        For a scale that is not positive and finite.
    """
    if not 0 < scale < math.inf:
        raise SensitivityError(
            f"scale {as_written(scale)} is impossible; give a finite number above 0"
        )
    return Normal(0.0, scale)


def prior_choices(
    benefit: float,
    literature: Mapping[str, str] | None = None,
    *,
    tail: float = 0.05,
    vague_scale: float = 10.0,
) -> dict[str, SimplePrior]:
    """Priors of the treatment's log hazard ratio by name, to fit the model under each.

    Parameters
    ----------
    benefit : float
        Hazard ratio that the sceptic doubts and the enthusiast expects.
    literature : mapping of str to str, optional
        Further priors by name, written as in a spec: ``hr(median, low, high)`` or another.
    tail, vague_scale : float
        As of `sceptical_prior` and `vague_prior`.

    Returns
    -------
    dict of str to prior
        "sceptical", "enthusiastic", "vague", then those of the literature.

    Raises
    ------
    PriorError, SensitivityError
        For a prior that cannot be read, or a name that is taken.
    """
    choices: dict[str, SimplePrior] = {
        "sceptical": sceptical_prior(benefit, tail),
        "enthusiastic": enthusiastic_prior(benefit, tail),
        "vague": vague_prior(vague_scale),
    }
    for name, written in (literature or {}).items():
        if name in NAMES:
            raise SensitivityError(
                f"literature prior {name!r} has the name of another prior; "
                f"give it one other than {', '.join(NAMES)}"
            )
        choices[name] = simple_prior(parse_prior(written, "treatment"))
    return choices


def prob_below_over_priors(
    log_hazard_ratio: ArrayLike,
    fitted: SimplePrior,
    mean: Sequence[float] | Floats,
    scale: Sequence[float] | Floats,
    *,
    threshold: float = 1.0,
    refit: Callable[[Normal], ArrayLike] | None = None,
    most_mcse: float = 0.01,
) -> PriorGrid:
    """Probability that the hazard ratio is below a threshold, over priors of the treatment.

    Parameters
    ----------
    log_hazard_ratio : (draws,) array_like
        Equally weighted draws under the prior `fitted`.
    fitted : Normal, StudentT or Laplace
        Prior of the log hazard ratio in that fit.
    mean : (n_means,) array_like
    scale : (n_scales,) array_like
        Of the normal priors.
    threshold : float
        Hazard ratio.
    refit : callable, optional
        From a prior to draws of the log hazard ratio under it, called for cells whose weights
        have too large a Pareto k or leave too large a Monte Carlo error.
    most_mcse : float
        Largest Monte Carlo standard error of a probability that needs no refit.

    Returns
    -------
    PriorGrid

    Raises
    ------
    SensitivityError
        For an empty grid, a scale that is not positive, or draws that cannot be weighted.
    """
    means, scales = np.asarray(mean, dtype=float), np.asarray(scale, dtype=float)
    for name, grid in (("means", means), ("scales", scales)):
        if grid.ndim != 1 or grid.size == 0 or not np.all(np.isfinite(grid)):
            raise SensitivityError(f"the grid of prior {name} needs finite numbers, at least one")
    if not np.all(scales > 0):
        raise SensitivityError(
            f"prior scale {as_written(scales.min())} is impossible; give scales above 0"
        )
    if not 0 < threshold < math.inf:
        raise SensitivityError(
            f"threshold {as_written(threshold)} is impossible; give a hazard ratio above 0"
        )
    shape = (means.size, scales.size)
    prob_below, mcse, pareto_k = np.empty(shape), np.empty(shape), np.empty(shape)
    is_refitted, is_reliable = np.zeros(shape, dtype=bool), np.ones(shape, dtype=bool)
    for cell in np.ndindex(shape):
        prior = Normal(float(means[cell[0]]), float(scales[cell[1]]))
        weighted = reweight(log_hazard_ratio, fitted, prior)
        is_reliable[cell] = weighted.is_reliable(threshold, most_mcse)
        if is_reliable[cell] or refit is None:
            prob_below[cell] = weighted.prob_below(threshold)
            mcse[cell] = weighted.mcse_prob_below(threshold)
            pareto_k[cell] = weighted.pareto_k
            continue
        draws = np.asarray(refit(prior), dtype=float).ravel()
        share = float(np.mean(draws < math.log(threshold)))
        prob_below[cell], mcse[cell] = share, math.sqrt(share * (1 - share) / draws.size)
        pareto_k[cell], is_refitted[cell], is_reliable[cell] = np.nan, True, True
    return PriorGrid(means, scales, threshold, prob_below, mcse, pareto_k, is_refitted, is_reliable)


def normal_likelihood(mean: float, sd: float, fitted: Normal) -> Normal:
    """Take a normal prior out of a posterior that is nearly normal.

    Parameters
    ----------
    mean, sd : float
        Of the log hazard ratio's posterior under the prior `fitted`.
    fitted : Normal

    Returns
    -------
    Normal
        The normalised likelihood: estimate and standard error without the prior.

    Raises
    ------
    SensitivityError
        When the posterior is not narrower than its prior.
    """
    precision = 1 / sd**2 - 1 / fitted.sd**2
    if not precision > 0:
        raise SensitivityError(
            f"posterior standard deviation {as_written(sd)} is not below the prior's "
            f"{as_written(fitted.sd)}; the data say nothing of this effect"
        )
    estimate = (mean / sd**2 - fitted.mean / fitted.sd**2) / precision
    return Normal(estimate, 1 / math.sqrt(precision))


def prob_below_normal(
    likelihood: Normal, mean: ArrayLike, scale: ArrayLike, threshold: float = 1.0
) -> Floats:
    """P(HR < threshold) under normal priors and a normal likelihood, in closed form.

    Parameters
    ----------
    likelihood : Normal
        Estimate and standard error of the log hazard ratio.
    mean, scale : array_like
        Of normal priors; they broadcast together.
    threshold : float
        Hazard ratio.

    Returns
    -------
    ndarray

    References
    ----------
    Spiegelhalter, Abrams & Myles (2004), chapter 3.
    """
    means, scales = np.broadcast_arrays(
        np.asarray(mean, dtype=float), np.asarray(scale, dtype=float)
    )
    precision = 1 / scales**2 + 1 / likelihood.sd**2
    centre = (means / scales**2 + likelihood.mean / likelihood.sd**2) / precision
    z = (math.log(threshold) - centre) * np.sqrt(precision)
    return np.array([STANDARD.cdf(value) for value in z.ravel()]).reshape(z.shape)


def log_benefit(benefit: float) -> float:
    """Logarithm of a hazard ratio that says something."""
    if not (0 < benefit < math.inf and benefit != 1):
        raise SensitivityError(
            f"hazard ratio {as_written(benefit)} is not a benefit to doubt; give a positive one "
            "other than 1"
        )
    return math.log(benefit)


def tail_quantile(tail: float) -> float:
    """Standard normal point that leaves a probability beyond it."""
    if not 0 < tail < 0.5:
        raise SensitivityError(f"tail {as_written(tail)} is impossible; give one between 0 and 0.5")
    return STANDARD.inv_cdf(1 - tail)
