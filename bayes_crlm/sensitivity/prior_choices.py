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
from collections.abc import Mapping
from statistics import NormalDist

from bayes_crlm.model.priors import Normal, SimplePrior, parse_prior, simple_prior
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written

__all__ = ["enthusiastic_prior", "prior_choices", "sceptical_prior", "vague_prior"]

NAMES = ("sceptical", "enthusiastic", "vague")


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
    return NormalDist().inv_cdf(1 - tail)
