"""Log-hazards of the baseline, one row of the hazard table a stratum.

Whatever the prior, `values` are the strata's log-hazards at the covariates' means. Strata share
nothing but the overall rate around which priors are centred, and a walk's scale.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.baseline_priors import BaselinePrior, GammaProcess, WalkPrior
from bayes_crlm.model.families import HalfNormal, Normal
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.walks import Level, Walk

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


def baseline_block(
    prior: BaselinePrior,
    enters: Cells,
    events: NDArray,
    cutpoints: NDArray,
    *,
    earliest: float,
    log_rate: float,
) -> Block | GammaHazards:
    """Make the block of the baseline's log-hazards.

    Parameters
    ----------
    prior : BaselinePrior
        Which of the kinds, with its numbers.
    enters : Cells
        From `Cells.of_strata`.
    events : (strata, intervals) ndarray
        Which decide the weights of a walk's centre.
    cutpoints : (intervals + 1,) ndarray
        Ends of the intervals.
    earliest : float
        When the first row enters.
    log_rate : float
        log(events / exposure) of the whole cohort, where priors are centred.
    """
    dim = dim_of_strata("interval", enters.copies)
    if isinstance(prior, GammaProcess):
        return GammaHazards(
            "hazard",
            enters,
            prior.weight,
            log_rate,
            np.diff(cutpoints),
            prior.is_integrated,
            dim=dim,
            data_names={"weight": "baseline_weight", "log_rate": "log_rate"},
        )
    if isinstance(prior, WalkPrior):
        return walk_block(prior, enters, events, cutpoints, earliest, log_rate)
    return Block(
        "log_hazard",
        enters,
        (Normal(log_rate, prior.sd),) * events.size,
        dim=dim,
        data_names={"mean": "log_rate", "scale": "baseline_sd"},
    )


def walk_block(
    prior: WalkPrior,
    enters: Cells,
    events: NDArray,
    cutpoints: NDArray,
    earliest: float,
    log_rate: float,
) -> Block:
    """Log-hazards as walks with one half-normal scale; a level alone over one interval."""
    variances = prior.step_variances(cutpoints, earliest)
    level = Level(prior.level_interval(events.shape[1]), log_rate, prior.level_sd)
    n_steps = enters.copies * len(variances)
    return Block(
        "log_hazard",
        enters,
        (UNIT,) * n_steps,
        scale=HalfNormal(prior.step_scale_sd) if n_steps else None,
        walk=Walk(variances, event_shares(events), level),
        dim=dim_of_strata("interval", enters.copies),
        unit_dim=dim_of_strata("step", enters.copies),
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


def dim_of_strata(dim: str, strata: int) -> str:
    """Name of the dimension of values of all strata, one stratum's after the other's."""
    return dim if strata == 1 else f"stratum_{dim}"
