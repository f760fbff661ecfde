"""Quantiles of a sample, whose members may have weights.

These are of times and covariates, whose quantiles have to be those of R's and NumPy's default
(Hyndman & Fan's type 7) and to stay where a member is split into several with a part of its weight
each. Of posterior draws, which are no sample of n: `bayes_crlm.inference.weighted.quantiles`.

References
----------
Hyndman & Fan (1996), Am Stat 50:361-365.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

# of a member: what sums of its parts may lack by rounding
ROUNDING = 1e-9


def sample_quantiles(values: ArrayLike, at: ArrayLike, weight: NDArray | None = None) -> Floats:
    """Quantiles (linear interpolation, type 7) that are exact where they fall on a value.

    `numpy.quantile` finds 17.999999999999986 between two events at 18, since (n - 1) k / J is
    62.99999999999999 there. With weights that add up to n, the k-th smallest of n is the least
    value up to which they add up to k.

    Parameters
    ----------
    values : (members,) float
        In any order.
    at : (m,) float
        From 0 to 1.
    weight : (members,) float, optional
        Adding up to a number n, which is rounded; of each member 1 without it.

    Returns
    -------
    (m,) float
    """
    if weight is None:
        ordered = np.sort(np.asarray(values, dtype=np.float64))
    else:
        count = max(round(float(weight.sum())), 1)
        ordered = values_reached(values, weight, np.arange(1, count + 1))
    size = np.array([len(ordered)])
    return quantiles_of_ordered(ordered[None], size, np.asarray(at, dtype=np.float64))[0]


def values_reached(values: ArrayLike, weight: NDArray, sums: ArrayLike) -> Floats:
    """Least values up to which weights add up to given sums; where they never do, the largest.

    Parameters
    ----------
    values, weight : (members,) float
        In any order.
    sums : (m,) float
        Not above what all weights add up to, but for rounding.

    Returns
    -------
    (m,) float
    """
    distinct, place = np.unique(np.asarray(values, dtype=np.float64), return_inverse=True)
    total = np.cumsum(np.bincount(place, weights=weight))
    found = np.searchsorted(total, np.asarray(sums) - ROUNDING)
    return distinct[np.minimum(found, len(distinct) - 1)]


def quantiles_of_ordered(ordered: NDArray, count: NDArray[np.intp], shares: NDArray) -> Floats:
    """Quantiles of many cohorts' times at once; see `sample_quantiles`.

    Parameters
    ----------
    ordered : (cohorts, n) ndarray
        Increasing times.
    count : (cohorts,) ndarray of int
        How many of them count: the first ones.
    shares : (m,) ndarray
        From 0 to 1.

    Returns
    -------
    (cohorts, m) float
    """
    place = (count[:, None] - 1) * shares
    near = np.round(place)
    place = np.where(np.abs(place - near) <= 1e-9 * np.maximum(1.0, near), near, place)
    below = np.minimum(np.floor(place).astype(np.intp), ordered.shape[1] - 1)
    above = np.minimum(below + 1, np.maximum(count[:, None] - 1, 0))
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, above, axis=1)
    share, gap = place - below, high - low
    # from the nearer end, as NumPy does
    return np.where(share >= 0.5, high - gap * (1 - share), low + gap * share)
