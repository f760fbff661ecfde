"""A gamma process of the cumulative baseline hazard.

Given the effects and what else is in the hazard table, each interval's hazard has a gamma
posterior, and may be integrated out.

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221.
"""

import math
from dataclasses import field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.terms.blocks import Cells, Parameter, Values
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record
class GammaHazards:
    """Baseline hazards of a gamma process: hazard ~ Gamma(shape, rate) in every interval.

    The prior counts as `weight` patients at risk in each stratum, at the overall rate.

    Attributes
    ----------
    name, log_name : str
        Of the hazards and of their logarithms.
    enters : Cells
        One row of log-hazards a stratum.
    weight : float
        Patients at risk that the prior counts as.
    log_rate : float
        log(events / exposure) of the whole cohort.
    width : (intervals,) ndarray
        Of the intervals.
    is_integrated : bool
        Whether the density has the hazards integrated out.
    dim : str
        Name of the intervals' dimension.
    data_names : dict of str to str
        As in `Block`.
    """

    name: str
    enters: Cells
    weight: float
    log_rate: float
    width: Floats
    is_integrated: bool = False
    dim: str | None = None
    log_name: str = "log_hazard"
    data_names: dict[str, str] = field(default_factory=dict)

    @property
    def values_name(self) -> str:
        """Name of the log-hazards in the posterior."""
        return self.log_name

    @property
    def size(self) -> int:
        """Number of hazards."""
        return self.enters.copies * len(self.width)

    @cached_property
    def rate(self) -> Floats:
        """Rate of each hazard's prior, shape (strata, intervals)."""
        return np.tile(self.weight * self.width, (self.enters.copies, 1))

    @cached_property
    def shape(self) -> Floats:
        """Shape of each hazard's prior, shape (strata, intervals)."""
        return self.rate * math.exp(self.log_rate)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Unknowns, whether or not a sampler moves them."""
        return (Parameter(self.name, self.size, self.dim, "log"),)

    @cached_property
    def log_constant(self) -> Floats:
        """Part of each hazard's log density that does not depend on it, shape (size,)."""
        shape, rate = self.shape.ravel(), self.rate.ravel()
        return shape * np.log(rate) - log_gamma(shape)

    def values(self, named: Values) -> Floats:
        """Log-hazards of the strata, shape (..., size)."""
        return np.log(named[self.name])

    def log_prior(self, named: Values) -> Values:
        """Log prior density of every hazard, by name."""
        hazard, shape = named[self.name], self.shape.ravel()
        density = self.log_constant + (shape - 1) * np.log(hazard) - self.rate.ravel() * hazard
        return {self.name: density}

    def draw(self, rng: np.random.Generator, draws: int) -> Values:
        """Draw every hazard from its prior, shape (draws, size) by name."""
        hazard = rng.gamma(self.shape.ravel(), 1 / self.rate.ravel(), (draws, self.size))
        # a tiny shape can underflow to 0, whose logarithm is not a number
        return {self.name: np.maximum(hazard, np.finfo(float).tiny)}


def log_gamma(values: NDArray) -> Floats:
    """Elementwise logarithm of the gamma function."""
    return np.array([math.lgamma(each) for each in values.ravel()]).reshape(values.shape)
