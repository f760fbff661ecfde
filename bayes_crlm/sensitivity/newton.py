"""Newton's method for the mode of a log density that is concave: small models of weights."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

MOST_STEPS, TOLERANCE, LEAST_SHARE = 50, 1e-12, 1e-8


def newton_mode(
    log_density: Callable[[NDArray], float],
    derivatives: Callable[[NDArray], tuple[NDArray, NDArray]],
    start: NDArray,
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Climb to the mode; a step that would lead down is halved.

    Parameters
    ----------
    log_density : callable
        Of a vector.
    derivatives : callable
        From a vector to the gradient and to minus the second derivatives there.
    start : (size,) ndarray

    Returns
    -------
    mode : (size,) ndarray
    information : (size, size) ndarray
        Minus the second derivatives there.
    converged : bool
    """
    at, value = start, log_density(start)
    gradient, information = derivatives(at)
    for _ in range(MOST_STEPS):
        step = np.linalg.solve(information, gradient)
        if float(gradient @ step) < TOLERANCE:
            return at, information, True
        share = 1.0
        with np.errstate(over="ignore"):
            while share > LEAST_SHARE and not log_density(at + share * step) >= value:
                share /= 2
        at = at + share * step
        value = log_density(at)
        gradient, information = derivatives(at)
    return at, information, False
