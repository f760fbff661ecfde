"""Walks over intervals: w_1 = 0 and w_{j+1} = w_j + s sqrt(v_j) z_j, around a centre.

With given relative step variances v and a centre c, whose weights add up to 1, the values are
u_j = level - sum_i c_i w_i + w_j. The prior of the level says where u is in one interval, its
anchor: u_anchor ~ Normal. Without a level u is the walk around its centre.

References
----------
Fahrmeir & Lang (2001), Appl Stat 50:201-220; Rue & Held (2005), Gaussian Markov Random Fields,
chapter 3.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.families import Normal
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record
class Level:
    """Prior of a walk's place: its value in interval `anchor` is Normal(location, sd)."""

    anchor: int
    location: float
    sd: float

    @property
    def prior(self) -> Normal:
        """Prior of the value in interval `anchor`."""
        return Normal(self.location, self.sd)


@record
class Walk:
    """Structure of a walk over intervals.

    Attributes
    ----------
    step_variances : (intervals - 1,) ndarray
        Relative variances of the steps.
    centre : (copies, intervals) ndarray
        Weights of the intervals, 1 in all, for each of the walks.
    level : Level or None
        Where the walks are; None where their centre is 0.
    """

    step_variances: Floats
    centre: Floats
    level: Level | None = None

    @cached_property
    def step_sds(self) -> Floats:
        """Relative standard deviations of the steps, shape (intervals - 1,)."""
        return np.sqrt(self.step_variances)

    @property
    def n_intervals(self) -> int:
        """Number of intervals."""
        return self.centre.shape[1]

    def path(self, steps: NDArray) -> Floats:
        """Walks around their centre.

        Parameters
        ----------
        steps : (..., copies, intervals - 1) ndarray
            Differences of neighbours.

        Returns
        -------
        (..., copies, intervals) ndarray
        """
        path = np.concatenate(
            [np.zeros((*steps.shape[:-1], 1)), np.cumsum(steps, axis=-1)], axis=-1
        )
        return path - (path * self.centre).sum(axis=-1, keepdims=True)
