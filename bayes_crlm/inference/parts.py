"""Pairs of draws of every part of a proposal, one part's after the other's."""

import numpy as np
from numpy.typing import NDArray


def places_of_parts(pairs: NDArray[np.intp]) -> list[tuple[int, int, slice]]:
    """Cohort, part and place of the pairs of every part that has any.

    Parameters
    ----------
    pairs : (cohorts, parts) ndarray of int
    """
    found = []
    for k, row in enumerate(np.cumsum(pairs, axis=1).tolist()):
        first = 0
        for part, last in enumerate(row):
            if last > first:
                found.append((k, part, slice(first, last)))
            first = last
    return found


def at_draw_pairs(values: NDArray, pairs: NDArray[np.intp]) -> NDArray:
    """Give every pair its part's value: (cohorts, parts, ...) to (cohorts, all pairs, ...)."""
    rest = values.shape[2:]
    repeated = np.repeat(values.reshape(-1, *rest), pairs.ravel(), axis=0)
    return repeated.reshape(len(pairs), -1, *rest)
