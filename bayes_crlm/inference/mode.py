"""Posterior modes by Newton's method, which the native library takes cohort by cohort.

Unknowns are the log-hazards and the effects, given a walk's step scale. In these coordinates the
mode of the effects is, but for the prior of the log-hazards, that of their posterior with the
hazards integrated out, as Cox's profile is.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Opper & Archambeau (2009), Neural Comput
21:786-792 (the normal nearest to a posterior).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.matrices import inverses

# a whole Newton step from a mode raises twice the log density by less than this
RISE_TOLERANCE = 1e-6

Start = tuple[NDArray[np.float64], NDArray[np.float64]]


@dataclass(frozen=True, eq=False)
class Modes:
    """Modes of posteriors, stacked over cohorts.

    Attributes
    ----------
    log_hazard : (cohorts, intervals) ndarray
        At the covariates' means.
    effect : (cohorts, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_density : (cohorts,) ndarray
        Log prior plus log-likelihood there.
    information : (cohorts, intervals + terms, intervals + terms) ndarray
        Minus the second derivatives there.
    converged : (cohorts,) ndarray of bool
        Whether the gradient vanished; where it did not, the numbers are no mode.
    """

    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    log_density: NDArray[np.float64]
    information: NDArray[np.float64]
    converged: NDArray[np.bool]

    def part(self, which: NDArray[np.intp]) -> "Modes":
        """Those of some cohorts."""
        return Modes(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @classmethod
    def concatenated(cls, some: "list[Modes]") -> "Modes":
        """Put modes of several searches one after the other."""
        names = cls.__dataclass_fields__
        return cls(*(np.concatenate([getattr(each, name) for each in some]) for name in names))

    def as_start(self) -> Start:
        """Start another search here; one that found no mode starts as if nothing were known."""
        is_mode = self.converged[:, None]
        return np.where(is_mode, self.log_hazard, np.nan), np.where(is_mode, self.effect, np.nan)

    def spread(self) -> NDArray[np.float64]:
        """Covariances of the effects that the information implies, (cohorts, terms, terms)."""
        n_intervals = self.log_hazard.shape[1]
        found = inverses(self.information)[:, n_intervals:, n_intervals:]
        found[~self.converged] = np.nan
        return (found + found.transpose(0, 2, 1)) / 2


def find_modes(
    targets: Targets,
    step_scale: NDArray | None = None,
    start: Start | None = None,
    rise_tolerance: float = RISE_TOLERANCE,
) -> Modes:
    """Find the mode of every cohort's posterior of log-hazards and effects.

    Newton steps with the full second-derivative matrix, halved until the density rises. Under
    vague priors this is the maximum-likelihood estimate, the one a Poisson regression with the
    exposure as offset gives.

    The double-exponential prior has a kink, at which Newton steps go back and forth and the
    curvature says nothing. Its log density is therefore averaged over a normal with the
    posterior's own standard deviation, found by repetition: centre and information are then
    those of the normal nearest to the posterior (Opper & Archambeau).

    Parameters
    ----------
    targets : Targets
        The posteriors.
    step_scale : (cohorts,) ndarray, optional
        Of walks: the modes are conditional on it.
    start : (cohorts, intervals) ndarray and (cohorts, terms) ndarray, optional
        Where to start; at every interval's own rate and no effects without it, and where a
        start is no finite number.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise twice the log density by less.

    Raises
    ------
    TypeError
        For a horseshoe prior.
    ValueError
        For a walk without its step scale.
    """
    if targets.has_walk and step_scale is None:
        raise ValueError("a walk's log density needs its step scale")
    at = None if start is None else np.concatenate(start, axis=1)
    found = climb(targets.posteriors(step_scale), at, rise_tolerance)
    size = targets.n_intervals + targets.n_effects
    log_hazard, effect = np.split(found.at[:, :size], [targets.n_intervals], axis=1)
    return Modes(log_hazard, effect, found.log_density, found.information, found.converged)
