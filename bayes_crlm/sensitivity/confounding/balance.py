"""Weights by the propensity score, and what they make of the arms.

References
----------
Li, Morgan & Zaslavsky (2018), J Am Stat Assoc 113:390-400 (overlap weights); Robins, Hernan &
Brumback (2000), Epidemiology 11:550-560 (stabilised inverse-probability weights); Austin & Stuart
(2015), Stat Med 34:3661-3679 (standardised differences after weighting).
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.sensitivity.two_arms import TwoArms
from bayes_crlm.sensitivity.weighted_posterior import weight_problems
from bayes_crlm.words.shown import as_written, number

# what Austin (2009, Stat Med 28:3083-3107) calls balanced
LARGE_DIFFERENCE = 0.1
# beyond which weights leave the arms apart (Rubin 2001, Health Serv Outcomes Res Methodol
# 2:169-188; Stuart 2010, Stat Sci 25:1-21)
MOST_DIFFERENCE = 0.25
NO_COUNTERPART = (
    "the covariates alone decide on treatment: no patient has a counterpart in the other arm"
)


def overlap_weights(propensity: NDArray, is_treated: NDArray) -> NDArray[np.float64]:
    """Probability of having been given the other treatment.

    The population they stand for are patients who might have been given either. Under a logistic
    propensity score fitted by maximum likelihood the arms' weighted means are exactly equal.

    Parameters
    ----------
    propensity : (patients,) ndarray
        Probability of the treatment given covariates.
    is_treated : (patients,) ndarray of bool
        Who is on the level that is examined.
    """
    return np.where(is_treated, 1 - propensity, propensity)


def stabilised_weights(
    propensity: NDArray, is_treated: NDArray, patient_weight: NDArray
) -> NDArray[np.float64]:
    """Inverse probability of the treatment given, times its share among all patients.

    The population they stand for are all patients.

    Parameters
    ----------
    propensity : (..., patients) ndarray
        Probability of the level that is examined.
    is_treated : (patients,) ndarray of bool
        Who is on the level that is examined.
    patient_weight : (..., patients) ndarray
        How often every patient counts in that share.
    """
    share = np.asarray(patient_weight @ is_treated / patient_weight.sum(axis=-1))[..., None]
    return np.where(is_treated, share / propensity, (1 - share) / (1 - propensity))


def standardised_differences(
    columns: NDArray, is_treated: NDArray, weight: NDArray
) -> NDArray[np.float64]:
    """Weighted means of the treated minus those of the others, in standard deviations.

    The standard deviation is that of the unweighted arms, the root of their mean variance, so
    that differences before and after weighting have the same unit.

    Parameters
    ----------
    columns : (patients, columns) ndarray
        Covariates, one column each.
    is_treated : (patients,) ndarray of bool
        Who is on the level that is examined.
    weight : (patients,) ndarray
        Of each patient; any sum.

    Returns
    -------
    (columns,) ndarray
    """
    treated, other = columns[is_treated], columns[~is_treated]
    spread = np.sqrt((treated.var(axis=0, ddof=1) + other.var(axis=0, ddof=1)) / 2)
    difference = np.average(treated, axis=0, weights=weight[is_treated]) - np.average(
        other, axis=0, weights=weight[~is_treated]
    )
    return difference / spread


def common_support(score: NDArray, is_treated: NDArray) -> dict[str, int]:
    """Count the patients of each arm whose propensity lies within the range of the other arm's.

    Parameters
    ----------
    score : (patients,) ndarray
        Propensity, or any increasing function of it.
    is_treated : (patients,) ndarray of bool
        Who is on the level that is examined.
    """
    treated, other = score[is_treated], score[~is_treated]
    low, high = max(treated.min(), other.min()), min(treated.max(), other.max())
    return {
        "treated": int(np.sum((treated >= low) & (treated <= high))),
        "reference": int(np.sum((other >= low) & (other <= high))),
    }


def overlap_problems(arms: TwoArms, weight: NDArray | None, score: NDArray) -> list[str]:
    """Say why weights do not make the arms comparable; nothing where they do.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    weight : (patients,) ndarray or None
        None of rows without weights.
    score : (patients,) ndarray
        Propensities.
    """
    if weight is None:
        return []
    difference = np.abs(standardised_differences(arms.design, arms.is_treated, weight))
    worst = int(np.argmax(difference))
    problems = []
    if difference[worst] > MOST_DIFFERENCE:
        problems.append(
            f"the arms' standardised difference in {arms.terms[worst]} is still "
            f"{number(difference[worst])} under these weights; at most "
            f"{as_written(MOST_DIFFERENCE)} is allowed"
        )
    if not any(common_support(score, arms.is_treated).values()):
        problems.append(NO_COUNTERPART)
    by_arm = {"treated": weight[arms.is_treated], "reference": weight[~arms.is_treated]}
    return [*problems, *weight_problems(by_arm)]
