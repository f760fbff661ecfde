"""Priors of the baseline hazard, as small values."""

import math
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.priors import check_limits
from bayes_crlm.words.errors import PriorError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written


@record
class Independent:
    """Every interval's log-hazard on its own: log_hazard_j ~ Normal(log_rate, sd)."""

    sd: float = 2.0

    name: ClassVar[str] = "independent"

    def describe(self) -> str:
        """Say the prior in words."""
        return f"log-hazard of each interval ~ normal(log_rate, {as_written(self.sd)}), independent"


@record
class WalkPrior:
    """Neighbouring log-hazards resemble each other, by an amount that the data decide.

    log_hazard_{j+1} - log_hazard_j ~ Normal(0, step_scale^2 v_j); step_scale ~
    HalfNormal(step_scale_sd); the log-hazard of one interval ~ Normal(log_rate, level_sd). Which
    v_j and which interval is what the kinds of walk differ in.

    Attributes
    ----------
    level_sd : float
        Standard deviation of the log-hazard in the level's interval.
    step_scale_sd : float
        Scale of the half-normal prior of the step scale.
    """

    level_sd: float
    step_scale_sd: float

    def step_variances(self, cutpoints: NDArray, earliest: float | NDArray) -> NDArray[np.float64]:
        """Variance v_j of every step when the step scale is 1.

        Parameters
        ----------
        cutpoints : (..., intervals + 1) ndarray
            Ends of the intervals; the first index may be a cohort's.
        earliest : float or (...) ndarray
            When the first row enters.

        Returns
        -------
        (..., intervals - 1) ndarray
        """
        raise NotImplementedError

    def level_interval(self, n_intervals: int) -> int:
        """Position of the interval whose log-hazard has the level's prior."""
        raise NotImplementedError


@record
class LogTimeWalk(WalkPrior):
    """A walk whose steps are alike in log time: hazards change most in the first months.

    With m_j the intervals' midpoints, v_j = log(m_{j+1} / m_j) / log(m_J / m_1): the step scale is
    the standard deviation of the log-hazard's change from the first interval to the last, whatever
    their number and the unit of time. The level is that of the middle interval.

    References
    ----------
    Fahrmeir & Lang (2001), Appl Stat 50:201-220 (variances by distance); Gelman (2006), Bayesian
    Anal 1:515-534 (half-normal scales).
    """

    level_sd: float = 2.0
    step_scale_sd: float = 2.0

    name: ClassVar[str] = "log_time_walk"

    def step_variances(self, cutpoints: NDArray, earliest: float | NDArray) -> NDArray[np.float64]:
        """Each step's share of the log time from the first midpoint to the last.

        The first interval counts from the earliest entry, before which nobody is at risk.
        """
        low = np.maximum(cutpoints[..., :-1], np.asarray(earliest, dtype=float)[..., None])
        log_time = np.log((low + cutpoints[..., 1:]) / 2)
        return np.diff(log_time) / (log_time[..., -1:] - log_time[..., :1])

    def level_interval(self, n_intervals: int) -> int:
        """Position of the middle interval, the earlier one of two."""
        return (n_intervals + 1) // 2 - 1

    def describe(self) -> str:
        """Say the prior in words."""
        return (
            f"log-hazard of the middle interval ~ normal(log_rate, {as_written(self.level_sd)}); "
            f"steps between intervals ~ normal(0, step_scale x root of their share of log time), "
            f"step_scale ~ half_normal({as_written(self.step_scale_sd)})"
        )


@record
class RandomWalk(WalkPrior):
    """A walk whose steps are all alike, whatever the width of the intervals.

    v_j = 1, and the level is that of the first interval.

    References
    ----------
    Fahrmeir & Lang (2001), Appl Stat 50:201-220; Gelman (2006), Bayesian Anal 1:515-534.
    """

    level_sd: float = 2.0
    step_scale_sd: float = 1.0

    name: ClassVar[str] = "random_walk"

    def step_variances(self, cutpoints: NDArray, earliest: float | NDArray) -> NDArray[np.float64]:
        """Variance 1 of every step."""
        return np.ones((*cutpoints.shape[:-1], cutpoints.shape[-1] - 2))

    def level_interval(self, n_intervals: int) -> int:
        """Position of the first interval."""
        return 0

    def describe(self) -> str:
        """Say the prior in words."""
        return (
            f"first log-hazard ~ normal(log_rate, {as_written(self.level_sd)}); "
            f"steps between intervals ~ normal(0, step_scale), "
            f"step_scale ~ half_normal({as_written(self.step_scale_sd)})"
        )


@record
class GammaProcess:
    """Kalbfleisch's gamma process prior of the cumulative baseline hazard.

    exp(log_hazard_j) ~ Gamma(shape = weight x rate x width_j, rate = weight x width_j):
    the prior mean of every hazard is the overall rate, and the prior counts as
    `weight` patients at risk. NUTS moves the effects only: hazards are integrated out in closed
    form and drawn given the effects afterwards. `is_integrated` says the same of the `pm.Model`.

    References
    ----------
    Kalbfleisch (1978), J R Stat Soc B 40:214-221.
    """

    weight: float = 1.0
    is_integrated: bool = False

    name: ClassVar[str] = "gamma"

    def describe(self) -> str:
        """Say the prior in words."""
        return (
            f"hazard of each interval ~ gamma(mean = overall rate, "
            f"weight = {as_written(self.weight)} patients at risk)"
        )


BaselineName = Literal["log_time_walk", "random_walk", "independent", "gamma"]
BaselinePrior = LogTimeWalk | RandomWalk | Independent | GammaProcess
BASELINE_PRIORS: dict[str, type] = {
    prior.name: prior for prior in (LogTimeWalk, RandomWalk, Independent, GammaProcess)
}
DEFAULT_BASELINE: BaselineName = "log_time_walk"


def baseline_prior(name: str | BaselinePrior, weight: float = 1.0) -> BaselinePrior:
    """Make a baseline prior from the name the spec gives it.

    Parameters
    ----------
    name : {"log_time_walk", "random_walk", "independent", "gamma"} or prior value
        The prior; a value is returned as it is.
    weight : float
        Of the gamma process: patients at risk that the prior counts as.

    Raises
    ------
    PriorError
        For another name, or a weight that is not positive.
    """
    if not isinstance(name, str):
        if isinstance(name, GammaProcess):
            check_limits("weight", name.weight, f"gamma prior of the baseline hazard {name!r}")
        elif not isinstance(name, Independent | WalkPrior):
            raise PriorError(
                f"baseline prior {name!r} is unknown; give one of {', '.join(BASELINE_PRIORS)}"
            )
        return name
    if name not in BASELINE_PRIORS:
        raise PriorError(
            f"baseline prior {name!r} is unknown; give one of {', '.join(BASELINE_PRIORS)}"
        )
    if name == GammaProcess.name:
        if not (math.isfinite(weight) and weight > 0):
            raise PriorError(f"baseline weight {weight!r} must be a number above 0")
        check_limits("weight", weight, "gamma prior of the baseline hazard")
        return GammaProcess(float(weight))
    return BASELINE_PRIORS[name]()
