"""Pairs of draws of every part of a proposal, one part's after the other's."""

import numpy as np
from numpy.typing import NDArray


def at_draw_pairs(values: NDArray, pairs: NDArray[np.intp]) -> NDArray:
    """Give every pair its part's value: (cohorts, parts, ...) to (cohorts, all pairs, ...)."""
    rest = values.shape[2:]
    repeated = np.repeat(values.reshape(-1, *rest), pairs.ravel(), axis=0)
    return repeated.reshape(len(pairs), -1, *rest)
