"""Moment matching: draws moved until they serve the posterior without one patient.

References
----------
Paananen, Piironen, Bürkner & Vehtari (2021), Stat Comput 31:16, in its split form.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

MOST_STEPS = 30
# a covariance is matched where there are so many draws for each unknown
LEAST_DRAWS_PER_UNKNOWN = 10
LEAST_VARIANCE = 1e-9


@record(eq=False)
class Move:
    """A move of draws about their mean: (x - mean) * scale @ mapping.T + mean + shift."""

    shift: Floats
    scale: Floats
    mapping: Floats

    def after(self, earlier: "Move") -> "Move":
        """Both moves, one after the other."""
        return Move(
            earlier.shift + self.shift, earlier.scale * self.scale, self.mapping @ earlier.mapping
        )

    def of(self, draws: NDArray) -> Floats:
        """Move draws, (draws, unknowns)."""
        mean = draws.mean(axis=0)
        return (draws - mean) * self.scale @ self.mapping.T + (mean + self.shift)

    def back(self, draws: NDArray) -> Floats:
        """Move draws the other way."""
        mean = draws.mean(axis=0)
        return (draws - mean) @ np.linalg.inv(self.mapping.T) / self.scale + (mean - self.shift)

    @property
    def log_shrinkage(self) -> float:
        """Log of the volume before over that after the move."""
        return float(-np.log(self.scale).sum() - np.linalg.slogdet(self.mapping)[1])


def matched_moments(
    draws: NDArray,
    log_density: Callable[[NDArray], Floats],
    log_likelihood: Callable[[NDArray], Floats],
    pareto_k: float,
    smooth: Callable[[NDArray], tuple[Floats, Floats]],
) -> tuple[Floats, float] | None:
    """Match moments of draws to those of the posterior without one patient.

    Parameters
    ----------
    draws : (draws, unknowns) ndarray
        Of the posterior.
    log_density : callable
        Of the posterior, at draws.
    log_likelihood : callable
        Of the patient, at draws.
    pareto_k : float
        Shape of the tail of the plain weights.
    smooth : callable
        Log weights and their k from log ratios.

    Returns
    -------
    log_terms : (draws,) ndarray
        Log weight plus log-likelihood: the exponentials add up to the predictive density.
    pareto_k : float
        Shape of the tail of the weights, before the halves are mixed.

    None where no move makes k smaller.
    """
    n_draws, n_unknowns = draws.shape
    kinds = [shifted, shifted_and_scaled]
    if n_draws >= LEAST_DRAWS_PER_UNKNOWN * n_unknowns:
        kinds.append(shifted_and_turned)
    start, moved, whole = log_density(draws), draws, None
    log_weight, _ = smooth(-log_likelihood(draws))
    for _ in range(MOST_STEPS):
        if not pareto_k > PARETO_K_MOST:
            break
        for kind in kinds:
            move = kind(moved, np.exp(log_weight))
            there = move.of(moved)
            found, k = smooth(possible(log_density(there) - log_likelihood(there) - start))
            if k < pareto_k:
                log_weight, pareto_k, moved = found, float(k), there
                whole = move if whole is None else move.after(whole)
                break
        else:
            break
    if whole is None:
        return None
    return split_terms(draws, whole, log_density, log_likelihood, smooth), pareto_k


def split_terms(
    draws: NDArray,
    move: Move,
    log_density: Callable[[NDArray], Floats],
    log_likelihood: Callable[[NDArray], Floats],
    smooth: Callable[[NDArray], tuple[Floats, Floats]],
) -> Floats:
    """Log terms of half of the draws moved, weighted as draws of the mixture of both."""
    half = len(draws) // 2
    some_moved = np.concatenate([move.of(draws)[:half], draws[half:]])
    others_back = np.concatenate([draws[:half], move.back(draws)[half:]])
    own, density = log_likelihood(some_moved), log_density(some_moved)
    of_moved = log_density(others_back) + move.log_shrinkage
    ratio = density - own - np.logaddexp(density, of_moved)
    return smooth(possible(ratio))[0] + own


def possible(log_ratio: NDArray) -> Floats:
    """Log ratios with no weight where they are not numbers."""
    return np.where(np.isnan(log_ratio) | np.isposinf(log_ratio), -np.inf, log_ratio)


def shifted(draws: NDArray, weight: NDArray) -> Move:
    """Match means."""
    n_unknowns = draws.shape[1]
    return Move(weight @ draws - draws.mean(axis=0), np.ones(n_unknowns), np.eye(n_unknowns))


def shifted_and_scaled(draws: NDArray, weight: NDArray) -> Move:
    """Match means and variances."""
    n_draws, n_unknowns = draws.shape
    wanted = (weight @ draws**2 - (weight @ draws) ** 2) * n_draws / (n_draws - 1)
    own = draws.var(axis=0, ddof=1)
    is_spread = (own > LEAST_VARIANCE) & (wanted > LEAST_VARIANCE)
    ratio = np.divide(wanted, own, out=np.ones(n_unknowns), where=is_spread)
    return Move(shifted(draws, weight).shift, np.sqrt(ratio), np.eye(n_unknowns))


def shifted_and_turned(draws: NDArray, weight: NDArray) -> Move:
    """Match means and covariances; means alone where a covariance is singular."""
    own = np.atleast_2d(np.cov(draws, rowvar=False))
    wanted = np.atleast_2d(np.cov(draws, rowvar=False, aweights=weight))
    move = shifted(draws, weight)
    try:
        mapping = np.linalg.cholesky(wanted) @ np.linalg.inv(np.linalg.cholesky(own))
    except np.linalg.LinAlgError:
        return move
    return Move(move.shift, move.scale, mapping)
