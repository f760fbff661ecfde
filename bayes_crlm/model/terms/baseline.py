"""Log-hazards of the baseline, one row of the hazard table a stratum.

Whatever the prior, `values` are the strata's log-hazards at the covariates' means. Strata share
nothing but the overall rate around which priors are centred, and a walk's scale.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.families import HalfNormal, Normal
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, GammaHazards, Level, Walk

__all__ = ["event_shares", "gamma_hazards", "independent_log_hazards", "walking_log_hazards"]

Floats = NDArray[np.float64]


def event_shares(events: NDArray) -> Floats:
    """Each interval's share of a stratum's events, the weights of a walk's centre.

    Parameters
    ----------
    events : (strata, intervals) ndarray
        Where a stratum has none, each of its intervals counts as if it had one.

    Returns
    -------
    (strata, intervals) ndarray
        1 in all for each stratum.
    """
    events = np.asarray(events, dtype=float)
    events = np.where(events.sum(axis=1, keepdims=True) > 0, events, events + 1)
    return events / events.sum(axis=1, keepdims=True)


def independent_log_hazards(enters: Cells, n_intervals: int, location: float, sd: float) -> Block:
    """Every log-hazard on its own: Normal(location, sd)."""
    return Block(
        "log_hazard",
        enters,
        (Normal(location, sd),) * (enters.copies * n_intervals),
        dim="interval",
        data_names={"mean": "log_rate", "scale": "baseline_sd"},
    )


def walking_log_hazards(
    enters: Cells,
    step_variances: NDArray,
    centre: NDArray,
    level: Level,
    step_scale: float,
) -> Block:
    """Log-hazards as walks with one half-normal scale; a level alone over one interval.

    Parameters
    ----------
    enters : Cells
    step_variances : (intervals - 1,) ndarray
        Of the steps at a scale of 1.
    centre : (strata, intervals) ndarray
        From `event_shares`.
    level : Level
    step_scale : float
        Of the half-normal prior of the scale.
    """
    n_steps = enters.copies * len(step_variances)
    return Block(
        "log_hazard",
        enters,
        (UNIT,) * n_steps,
        scale=HalfNormal(step_scale) if n_steps else None,
        walk=Walk(step_variances, centre, level),
        dim="step",
        unit_name="unit_step",
        scale_name="step_scale",
        data_names={
            "scale_scale": "baseline_step_scale_sd",
            "centre": "interval_share",
            "step_variances": "step_variances",
            "anchor": "level_interval",
            "location": "log_rate",
            "sd": "baseline_sd",
        },
    )


def gamma_hazards(
    enters: Cells,
    width: NDArray,
    weight: float,
    log_rate: float,
    *,
    is_integrated: bool,
) -> GammaHazards:
    """Hazards of a gamma process that counts as `weight` patients at risk in each stratum."""
    rate = np.tile(weight * width, (enters.copies, 1))
    return GammaHazards(
        "hazard",
        enters,
        rate * math.exp(log_rate),
        rate,
        is_integrated,
        data_names={"weight": "baseline_weight"},
    )
