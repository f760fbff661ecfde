"""Random walks of log-hazards given effects and step scale, many cases at once.

Neighbours depend on each other: cube roots of hazards, which are nearly normal given the data, are
drawn together from a tridiagonal precision.

References
----------
Wilson & Hilferty (1931), PNAS 17:684-688; Rue (2001), J R Stat Soc B 63:325-338 (draws from a
banded precision).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.baseline_priors import RandomWalk

if TYPE_CHECKING:
    from bayes_crlm.likelihood.risk_sums import CohortSums
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["LOG_2PI", "WalkCases", "fit_walk", "has_walk", "walk_log_target"]

LOG_2PI = math.log(2 * math.pi)
# a cube root may not shrink by more than this share in one step
MOST_SHRINKAGE = 0.5


def has_walk(inputs: "PreparedCohort") -> bool:
    """Whether the log-hazards are a random walk with a step scale to be drawn."""
    return isinstance(inputs.baseline, RandomWalk) and inputs.intervals.n_intervals > 1


@dataclass(frozen=True)
class WalkCases:
    """What the density of a walk is made of in many cases, but for exposures and step scales.

    A case is a draw, a cell of step scales, or one of those of one of many cohorts: cases may
    have several axes, over which the arrays here are broadcast.

    Attributes
    ----------
    prior : RandomWalk
        The same for all.
    events : (intervals, ...) ndarray
        Events in every interval.
    log_rate : float or (...) ndarray
        Where the walk's prior is centred.
    """

    prior: RandomWalk
    events: NDArray[np.float64]
    log_rate: float | NDArray[np.float64]

    @classmethod
    def of(cls, inputs: "PreparedCohort", sums: "CohortSums") -> "WalkCases":
        """Cases of one cohort that has a random walk."""
        prior = inputs.baseline
        if not isinstance(prior, RandomWalk):
            raise TypeError(f"hazards are no random walk: {prior.describe()}")
        return cls(prior, sums.events[:, None], inputs.log_rate)


@dataclass(frozen=True)
class Walk:
    """Nearly normal conditional distribution of a walk's cube-root hazards, in many cases at once.

    With p the relative distance of a cube root from its mode, log hazard = centre +
    3 log(1 + p), and p is normal with precision L D L', L a unit bidiagonal matrix.

    Attributes
    ----------
    centre : (intervals, ...) ndarray
        Modes, as log-hazards.
    pivot : (intervals, ...) ndarray
        Diagonal of D.
    below : (intervals, ...) ndarray
        Entries of L below its diagonal; entry j belongs to intervals j - 1 and j.
    """

    centre: NDArray[np.float64]
    pivot: NDArray[np.float64]
    below: NDArray[np.float64]

    @property
    def log_density_at_centre(self) -> NDArray[np.float64]:
        """Log density of the log-hazards at their centre, shape (...)."""
        constant = len(self.pivot) * (0.5 * LOG_2PI + math.log(3))
        return 0.5 * np.log(self.pivot).sum(axis=0) - constant

    def draw(self, normal: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn standard normals into log-hazards and their log density.

        Parameters
        ----------
        normal : (intervals, ...) ndarray

        Returns
        -------
        (intervals, ...) ndarray, (...) ndarray
            Not a number where a cube root would be negative.
        """
        relative = normal / np.sqrt(self.pivot)
        for j in range(len(relative) - 2, -1, -1):
            relative[j] -= self.below[j + 1] * relative[j + 1]
        log_root = np.log1p(relative)
        log_density = (
            self.log_density_at_centre - 0.5 * (normal**2).sum(axis=0) + log_root.sum(axis=0)
        )
        return self.centre + 3 * log_root, log_density


def fit_walk(
    start: NDArray,
    weighted: NDArray,
    log_scale: NDArray,
    cases: WalkCases,
    steps: int,
) -> Walk:
    """Find the conditional distribution of a walk given effects and step scale, in many cases.

    Parameters
    ----------
    start : (intervals, ...) ndarray
        Log-hazards to start from.
    weighted : (intervals, ...) ndarray
        Exposures weighted by relative hazards.
    log_scale : (...) ndarray
        Logs of the step scale.
    cases : WalkCases
        Prior, events and level.
    steps : int
        Newton steps; any number makes a proper distribution.

    Returns
    -------
    Walk
    """
    precision = np.exp(-2 * log_scale)
    start_precision = cases.prior.start_sd**-2
    # the mode of cube roots: their density has one third of an event less in every interval
    events = cases.events - 1 / 3
    below = np.empty_like(weighted)
    pivot = np.empty_like(weighted)
    off = -9 * precision
    at = start
    for step in range(steps + 1):
        expected = weighted * np.exp(at)
        diagonal = 9 * expected
        diagonal[0] += 9 * (start_precision + precision)
        diagonal[-1] -= off
        diagonal[1:-1] -= 2 * off
        pivot[0], below[0] = diagonal[0], 0.0
        for j in range(1, len(pivot)):
            below[j] = off / pivot[j - 1]
            pivot[j] = diagonal[j] - off * below[j]
        if step == steps:
            break
        change = np.diff(at, axis=0)
        change *= precision
        # in place from here on: the arrays of many draws are large
        move = np.subtract(events, expected, out=expected)
        move[0] -= start_precision * (at[0] - cases.log_rate)
        move[:-1] += change
        move[1:] -= change
        move *= 3
        for j in range(1, len(move)):
            move[j] -= below[j] * move[j - 1]
        move /= pivot
        for j in range(len(move) - 2, -1, -1):
            move[j] -= below[j + 1] * move[j + 1]
        np.maximum(move, -MOST_SHRINKAGE, out=move)
        np.log1p(move, out=move)
        move *= 3
        at = at + move
    return Walk(at, pivot, below)


def walk_log_target(
    log_hazard: NDArray, weighted: NDArray, log_scale: NDArray, cases: WalkCases
) -> NDArray[np.float64]:
    """Log of prior x likelihood of walks and their log step scale, shape (...)."""
    prior, steps = cases.prior, len(log_hazard) - 1
    scale = np.exp(log_scale)
    total = (cases.events * log_hazard - weighted * np.exp(log_hazard)).sum(axis=0)
    total -= 0.5 * ((log_hazard[0] - cases.log_rate) / prior.start_sd) ** 2
    total -= 0.5 * (np.diff(log_hazard, axis=0) ** 2).sum(axis=0) / scale**2
    total -= steps * log_scale + math.log(prior.start_sd) + 0.5 * (steps + 1) * LOG_2PI
    # half-normal, and the Jacobian of the logarithm
    total += math.log(2 / prior.step_scale_sd) - 0.5 * LOG_2PI
    return total - 0.5 * (scale / prior.step_scale_sd) ** 2 + log_scale
