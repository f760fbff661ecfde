"""Posterior modes by Newton's method, which the native library takes cohort by cohort.

Unknowns are the log-hazards and the effects, given a walk's step scale. In these coordinates the
mode of the effects is, but for the prior of the log-hazards, that of their posterior with the
hazards integrated out, as Cox's profile is.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Opper & Archambeau (2009), Neural Comput
21:786-792 (the normal nearest to a posterior).
"""

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.matrices import inverses
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.words.records import record

# a whole Newton step from a mode raises twice the log density by less than this
RISE_TOLERANCE = 1e-6


@record(eq=False)
class Modes(Stacked):
    """Modes of posteriors, stacked over cohorts.

    Attributes
    ----------
    at : (cohorts, intervals + terms) ndarray
        Log-hazards at the covariates' means, then log hazard ratios on the sampling scale.
    log_density : (cohorts,) ndarray
        Log prior plus log-likelihood there.
    information : (cohorts, intervals + terms, intervals + terms) ndarray
        Minus the second derivatives there.
    converged : (cohorts,) ndarray of bool
        Whether the gradient vanished; where it did not, the numbers are no mode.
    n_intervals : int
        Of all strata.
    """

    at: NDArray[np.float64]
    log_density: NDArray[np.float64]
    information: NDArray[np.float64]
    converged: NDArray[np.bool]
    n_intervals: int

    shared: ClassVar[tuple[str, ...]] = ("n_intervals",)

    @property
    def log_hazard(self) -> NDArray[np.float64]:
        """Log-hazards, shape (cohorts, intervals)."""
        return self.at[:, : self.n_intervals]

    @property
    def effect(self) -> NDArray[np.float64]:
        """Log hazard ratios, shape (cohorts, terms)."""
        return self.at[:, self.n_intervals :]

    def as_start(self) -> NDArray[np.float64]:
        """Start another search here; one that found no mode starts as if nothing were known."""
        return np.where(self.converged[:, None], self.at, np.nan)

    def spread(self) -> NDArray[np.float64]:
        """Covariances of the effects that the information implies, (cohorts, terms, terms)."""
        found = inverses(self.information)[:, self.n_intervals :, self.n_intervals :]
        found[~self.converged] = np.nan
        return (found + found.transpose(0, 2, 1)) / 2


def find_modes(
    targets: Targets,
    step_scale: NDArray | None = None,
    start: NDArray | None = None,
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
    start : (cohorts, intervals + terms) ndarray, optional
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
    found = climb(targets.posteriors(step_scale), start, rise_tolerance)
    at = found.at[:, : targets.n_intervals + targets.n_effects]
    known = at, found.log_density, found.information, found.converged
    return Modes(*known, targets.n_intervals)
