"""Pareto-smoothed importance weights, by a kernel of the native library (`native/pareto.inc`).

The largest ratios of target to proposal are replaced by the quantiles of a generalised Pareto
distribution fitted to them. Its shape k says how heavy their tail is: above 0.7 no feasible
number of draws makes an average of them reliable.

References
----------
Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72); Zhang & Stephens (2009),
Technometrics 51:316-325.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import BEST, kernels, load_library

# above it importance weights cannot be trusted: Vehtari et al. (2024), section 3.2.4
PARETO_K_MOST = 0.7
LEAST_TAIL = 5
# with fewer, a fifth of the draws is less than the fewest that a tail is fitted to
LEAST_DRAWS = 5 * LEAST_TAIL
# with more, the tail grows with the square root of their number
MANY_DRAWS = 225


def pareto_smooth(
    log_ratio: NDArray, relative_ess: float = 1.0, level: int = BEST
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Smooth importance ratios and normalise them.

    Parameters
    ----------
    log_ratio : (..., draws) ndarray
        Log density of the target minus that of the proposal; minus infinity where the target has
        no density. At least 25 draws.
    relative_ess : float
        Effective sample size of draws of a Markov chain, as a share of their number: the smaller,
        the longer the tail that is smoothed.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.

    Returns
    -------
    log_weight : (..., draws) ndarray
        Logs of weights that add up to 1.
    pareto_k : (...) ndarray
        Shape of the tail; 0 where the largest ratios are all equal, nan where they follow no
        generalised Pareto distribution (the ratios are then not smoothed).

    Raises
    ------
    ValueError
        For fewer than 25 draws.
    """
    log_ratio = np.ascontiguousarray(log_ratio, dtype=float)
    draws = log_ratio.shape[-1]
    tail = tail_length(draws, relative_ess)
    log_weight, pareto_k = np.empty_like(log_ratio), np.empty(log_ratio.shape[:-1])
    failed = load_library().crlm_pareto_smooth(
        kernels(level).address,
        log_ratio.ctypes.data,
        pareto_k.size,
        draws,
        tail,
        log_weight.ctypes.data,
        pareto_k.ctypes.data,
    )
    if failed:
        raise MemoryError("there is no memory to smooth importance weights")
    return log_weight, pareto_k


def tail_length(draws: int, relative_ess: float) -> int:
    """How many of the largest ratios are smoothed.

    Raises
    ------
    ValueError
        For fewer than 25 draws.
    """
    if draws < LEAST_DRAWS:
        raise ValueError(f"{draws} draws are too few for a tail; give at least {LEAST_DRAWS}")
    if draws * relative_ess > MANY_DRAWS:
        return int(3 * (draws / relative_ess) ** 0.5)
    return draws // 5
