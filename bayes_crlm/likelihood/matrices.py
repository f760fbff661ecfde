"""Many small matrices at once; where one has no inverse or root, only its own result is missing.

LAPACK works matrix by matrix, so that a result has the same digits alone and among others.
"""

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from numpy.typing import NDArray


def inverses(matrices: NDArray) -> NDArray[np.float64]:
    """Invert many matrices; not a number where one is singular.

    Parameters
    ----------
    matrices : (cases, n, n) ndarray
        One for each case.

    Returns
    -------
    (cases, n, n) ndarray
    """
    return one_by_one(np.linalg.inv, matrices)


def triangular_roots(matrices: NDArray) -> NDArray[np.float64]:
    """Cholesky factors, lower triangular; not a number where a matrix has none.

    Parameters
    ----------
    matrices : (cases, n, n) ndarray
        Symmetric, one for each case.

    Returns
    -------
    (cases, n, n) ndarray
    """
    return one_by_one(np.linalg.cholesky, matrices)


def one_by_one(function: Callable[[NDArray], NDArray], matrices: NDArray) -> NDArray[np.float64]:
    """Apply a function to all cases, and one by one where it fails for any of them."""
    try:
        return function(matrices)
    except np.linalg.LinAlgError:
        found = np.full_like(matrices, np.nan)
        for k, each in enumerate(matrices):
            with suppress(np.linalg.LinAlgError):
                found[k] = function(each)
        return found
