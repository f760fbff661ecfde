"""Priors of the baseline hazard, as small values."""

import math
from dataclasses import dataclass
from typing import ClassVar

from bayes_crlm.model.priors import check_limits
from bayes_crlm.words.errors import PriorError
from bayes_crlm.words.shown import as_written

__all__ = ["BaselinePrior", "GammaProcess", "Independent", "RandomWalk", "baseline_prior"]


@dataclass(frozen=True)
class Independent:
    """Every interval's log-hazard on its own: log_hazard_j ~ Normal(log_rate, sd)."""

    sd: float = 2.0

    name: ClassVar[str] = "independent"

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by the name the model's data containers give them."""
        return {"sd": self.sd}

    def describe(self) -> str:
        """Say the prior in words."""
        return f"log-hazard of each interval ~ normal(log_rate, {as_written(self.sd)}), independent"


@dataclass(frozen=True)
class RandomWalk:
    """Neighbouring log-hazards resemble each other, by an amount that the data decide.

    log_hazard_1 ~ Normal(log_rate, start_sd); steps ~ Normal(0, step_scale);
    step_scale ~ HalfNormal(step_scale_sd).

    References
    ----------
    Fahrmeir & Lang (2001), Appl Stat 50:201-220; Gelman (2006), Bayesian Anal 1:515-534.
    """

    start_sd: float = 2.0
    step_scale_sd: float = 1.0

    name: ClassVar[str] = "random_walk"

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by the name the model's data containers give them."""
        return {"sd": self.start_sd, "step_scale_sd": self.step_scale_sd}

    def describe(self) -> str:
        """Say the prior in words."""
        return (
            f"first log-hazard ~ normal(log_rate, {as_written(self.start_sd)}); "
            f"steps between intervals ~ normal(0, step_scale), "
            f"step_scale ~ half_normal({as_written(self.step_scale_sd)})"
        )


@dataclass(frozen=True)
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

    @property
    def parameters(self) -> dict[str, float]:
        """Parameters by the name the model's data containers give them."""
        return {"weight": self.weight}

    def describe(self) -> str:
        """Say the prior in words."""
        return (
            f"hazard of each interval ~ gamma(mean = overall rate, "
            f"weight = {as_written(self.weight)} patients at risk)"
        )


BaselinePrior = Independent | RandomWalk | GammaProcess
BASELINE_PRIORS: dict[str, type] = {
    prior.name: prior for prior in (Independent, RandomWalk, GammaProcess)
}


def baseline_prior(name: str | BaselinePrior, weight: float = 1.0) -> BaselinePrior:
    """Make a baseline prior from the name the spec gives it.

    Parameters
    ----------
    name : {"independent", "random_walk", "gamma"} or prior value
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
        elif not isinstance(name, Independent | RandomWalk):
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
