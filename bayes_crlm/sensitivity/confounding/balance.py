"""Weights by the propensity score, and what they make of the arms.

References
----------
Li, Morgan & Zaslavsky (2018), J Am Stat Assoc 113:390-400 (overlap weights); Robins, Hernan &
Brumback (2000), Epidemiology 11:550-560 (stabilised inverse-probability weights); Austin & Stuart
(2015), Stat Med 34:3661-3679 (standardised differences after weighting).
"""

import numpy as np
from numpy.typing import NDArray

__all__ = ["overlap_weights", "stabilised_weights", "standardised_differences"]


def overlap_weights(propensity: NDArray, is_treated: NDArray) -> NDArray[np.float64]:
    """Probability of having been given the other treatment.

    The population they stand for are patients who might have been given either. Under a logistic
    propensity score fitted by maximum likelihood the arms' weighted means are exactly equal.

    Parameters
    ----------
    propensity : (patients,) ndarray
    is_treated : (patients,) ndarray of bool
    """
    return np.where(is_treated, 1 - propensity, propensity)


def stabilised_weights(
    propensity: NDArray, is_treated: NDArray, patient_weight: NDArray
) -> NDArray[np.float64]:
    """Inverse probability of the treatment given, times its share among all patients.

    The population they stand for are all patients.

    Parameters
    ----------
    propensity : (patients,) ndarray
    is_treated : (patients,) ndarray of bool
    patient_weight : (patients,) ndarray
        How often every patient counts in that share.
    """
    share = float(patient_weight @ is_treated / patient_weight.sum())
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
    is_treated : (patients,) ndarray of bool
    weight : (patients,) ndarray

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
