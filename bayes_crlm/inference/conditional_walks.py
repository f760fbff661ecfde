"""Random walks of log-hazards given effects and step scale, many cases at once.

Neighbours depend on each other: powers of hazards, which are nearly normal given the data and the
neighbours, are drawn together from a tridiagonal precision. Where the data decide, a hazard is
nearly gamma and its cube root nearly normal; where the prior decides, its logarithm is. So the
power of interval j is a third of the share that the data have in what is known of it.

References
----------
Wilson & Hilferty (1931), PNAS 17:684-688 (cube roots of gamma variables); Rue (2001), J R Stat
Soc B 63:325-338 (draws from a banded precision).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.families import HalfNormal

LOG_2PI = math.log(2 * math.pi)
# of the power of a hazard that is best known by the data: cube roots
LARGEST_POWER = 1 / 3
# in place of 0, which stands for the logarithm; nothing else tells them apart
LEAST_POWER = 1e-12
# a power of a hazard may not shrink by more than this share in one step
MOST_SHRINKAGE = 0.5
# below so many standard deviations a power is negative too rarely to be counted
FAR_BELOW = 6.0
# rounds after which draws of negative powers are given up
MOST_REDRAWS = 100

# standard normals for the true places of an array
Redraw = Callable[[NDArray[np.bool]], NDArray[np.float64]]


@dataclass(frozen=True)
class WalkCases:
    """What the density of a walk is made of in many cases, but for exposures and step scales.

    A case is a draw, a cell of step scales, or one of those of one of many cohorts: cases may
    have several axes, over which the arrays here are broadcast.

    Attributes
    ----------
    prior : WalkPrior
        The same for all.
    events : (intervals, ...) ndarray
        Events in every interval.
    log_rate : float or (...) ndarray
        Where the walk's prior is centred.
    step_variances : (intervals - 1, ...) ndarray
        Of the steps, when the step scale is 1; infinite where one stratum's walk ends.
    level_intervals : (strata,) ndarray of int
        Positions of the intervals whose log-hazards have the level's prior.
    """

    prior: WalkPrior
    events: NDArray[np.float64]
    log_rate: float | NDArray[np.float64]
    step_variances: NDArray[np.float64]
    level_intervals: NDArray[np.intp]

    def step_precisions(self, log_scale: NDArray) -> NDArray[np.float64]:
        """Prior precision of every step given the logs of step scales, (intervals - 1, ...)."""
        return np.exp(-2 * log_scale) / self.step_variances


@dataclass(frozen=True)
class Walk:
    """Nearly normal conditional distribution of the powers of a walk's hazards, in many cases.

    log hazard = centre + log(1 + a x) / a with a the power, and x is normal with precision
    L D L', L a unit bidiagonal matrix, given that 1 + a x > 0 in every interval.

    Attributes
    ----------
    centre : (intervals, ...) ndarray
        Modes, as log-hazards.
    power : (intervals, ...) ndarray
        Between 0, for the logarithm, and 1/3.
    pivot : (intervals, ...) ndarray
        Diagonal of D.
    below : (intervals, ...) ndarray
        Entries of L below its diagonal; entry j belongs to intervals j - 1 and j.
    """

    centre: NDArray[np.float64]
    power: NDArray[np.float64]
    pivot: NDArray[np.float64]
    below: NDArray[np.float64]

    @property
    def log_density_at_centre(self) -> NDArray[np.float64]:
        """Log density of the log-hazards at their centre, shape (...)."""
        return 0.5 * (np.log(self.pivot).sum(axis=0) - len(self.pivot) * LOG_2PI)

    def draw(
        self, normal: NDArray, redraw: Redraw | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Turn standard normals into log-hazards and their log density.

        Intervals are drawn from the last to the first, each given the next. One that would have a
        negative power is drawn again, and its density is that of a normal cut off there.

        Parameters
        ----------
        normal : (intervals, ...) ndarray
        redraw : Redraw or None
            Makes further normals; without it there are no negative powers to draw again.

        Returns
        -------
        (intervals, ...) ndarray, (...) ndarray
            Not a number where a power stayed negative.
        """
        root = np.sqrt(self.pivot)
        distance = normal / root
        log_density = np.array(np.broadcast_to(self.log_density_at_centre, distance.shape[1:]))
        for j in range(len(distance) - 1, -1, -1):
            mean = 0.0 if j == len(distance) - 1 else -self.below[j + 1] * distance[j + 1]
            if redraw is not None:
                # standard deviations from the mean down to where the power is 0
                room = (1 / self.power[j] + mean) * root[j]
                room = np.broadcast_to(room, distance.shape[1:])
                is_near = room < FAR_BELOW
                if is_near.any():
                    standard = distance[j] * root[j]
                    sample_above(standard, room, is_near, redraw)
                    distance[j] = standard / root[j]
                    log_density[is_near] -= log_normal_below(room[is_near])
            log_density -= 0.5 * (distance[j] * root[j]) ** 2
            distance[j] += mean
        log_power = np.log1p(self.power * distance)
        log_density += log_power.sum(axis=0)
        log_power /= self.power
        log_power += self.centre
        return log_power, log_density


def redraw_from(rngs: list[np.random.Generator]) -> Redraw:
    """Draw further normals of every cohort, the first axis of the places, from its own source."""

    def redraw(places: NDArray[np.bool]) -> NDArray[np.float64]:
        counts = places.reshape(len(rngs), -1).sum(axis=1).tolist()
        return np.concatenate(
            [rng.standard_normal(count) for rng, count in zip(rngs, counts, strict=True)]
        )

    return redraw


def sample_above(
    standard: NDArray, room: NDArray, is_near: NDArray[np.bool], redraw: Redraw
) -> None:
    """Draw standard normals again, in place, that lie more than their room below 0."""
    for _ in range(MOST_REDRAWS):
        is_out = is_near & (standard <= -room)
        if not is_out.any():
            return
        standard[is_out] = redraw(is_out)


def log_normal_below(value: NDArray) -> NDArray[np.float64]:
    """Log probability that a standard normal is at most each value, shape (n,)."""
    return np.log([0.5 * math.erfc(-each / math.sqrt(2)) for each in value.tolist()])


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
        Newton steps, at least one; any number makes a proper distribution, whose precision is that
        before the last step.

    Returns
    -------
    Walk
    """
    level, level_precision = cases.level_intervals, cases.prior.level_sd**-2
    precision = cases.step_precisions(log_scale)
    prior_diagonal = np.zeros((len(weighted), *precision.shape[1:]))
    prior_diagonal[:-1] += precision
    prior_diagonal[1:] += precision
    prior_diagonal[level] += level_precision
    below, pivot = np.empty_like(weighted), np.empty_like(weighted)
    at = start
    for _ in range(steps):
        expected = weighted * np.exp(at)
        diagonal = expected + prior_diagonal
        power = np.maximum(LARGEST_POWER * expected / diagonal, LEAST_POWER)
        pivot[0], below[0] = diagonal[0], 0.0
        for j in range(1, len(pivot)):
            below[j] = -precision[j - 1] / pivot[j - 1]
            pivot[j] = diagonal[j] + precision[j - 1] * below[j]
        change = np.diff(at, axis=0)
        change *= precision
        # the Jacobian of the power moves the mode by that power; in place from here on, since the
        # arrays of many draws are large
        move = np.subtract(cases.events, expected, out=expected)
        move -= power
        move[level] -= level_precision * (at[level] - cases.log_rate)
        move[:-1] += change
        move[1:] -= change
        for j in range(1, len(move)):
            move[j] -= below[j] * move[j - 1]
        move /= pivot
        for j in range(len(move) - 2, -1, -1):
            move[j] -= below[j + 1] * move[j + 1]
        move *= power
        np.maximum(move, -MOST_SHRINKAGE, out=move)
        np.log1p(move, out=move)
        move /= power
        at = at + move
    return Walk(at, power, pivot, below)


def walk_log_target(
    log_hazard: NDArray, weighted: NDArray, log_scale: NDArray, cases: WalkCases
) -> NDArray[np.float64]:
    """Log of prior x likelihood of walks and their log step scale, shape (...)."""
    prior, levels = cases.prior, cases.level_intervals
    steps, scale = len(log_hazard) - len(levels), np.exp(log_scale)
    total = (cases.events * log_hazard - weighted * np.exp(log_hazard)).sum(axis=0)
    distance = (log_hazard[levels] - cases.log_rate) / prior.level_sd
    total -= 0.5 * (distance * distance).sum(axis=0)
    step = np.diff(log_hazard, axis=0)
    step *= step
    step /= cases.step_variances
    total -= 0.5 * step.sum(axis=0) / scale**2
    variances = cases.step_variances
    total -= 0.5 * np.log(np.where(np.isfinite(variances), variances, 1.0)).sum(axis=0)
    total -= steps * log_scale + len(levels) * math.log(prior.level_sd)
    total -= 0.5 * len(log_hazard) * LOG_2PI
    # with the Jacobian of the logarithm
    return total + HalfNormal(prior.step_scale_sd).log_density(scale) + log_scale
