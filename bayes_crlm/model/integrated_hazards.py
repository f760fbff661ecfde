"""Gamma hazards integrated out of the likelihood.

With prior Gamma(a, b) of a stratum's hazard in an interval, D events there, and S time at risk
weighted by all else (exp(delta) included, where an effect changes with time), the interval
contributes, but for sum D delta,

    a log b - lgamma(a) + lgamma(a + D) - (a + D) log(b + S).

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import exposure_per_cell
from bayes_crlm.likelihood.hazard_table import LogHazards, relative_log_hazards
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.terms.gamma_process import GammaHazards, log_gamma

Floats = NDArray[np.float64]


def posterior_of_hazards(
    at: LogHazards, data: SurvivalData, gamma: GammaHazards
) -> tuple[Floats, Floats, Floats]:
    """Gamma posterior of each stratum's hazards given all else, for one point.

    Parameters
    ----------
    at : LogHazards
        Without the hazards, and without leading indices.
    data : SurvivalData
        Rows of the cohort.
    gamma : GammaHazards
        The process whose hazards are integrated out.

    Returns
    -------
    events, shape, rate : (strata, intervals) ndarray
        Events of the strata, and the posterior's shape and rate.
    """
    relative = np.exp(relative_log_hazards(at, data.design, data.groups))
    exposure = exposure_per_cell(data.follow_up, relative, data.class_index, data.n_classes)
    loading = gamma.enters.loading
    events = loading.T @ data.events_per_cell
    rate = gamma.rate + loading.T @ (np.exp(at.cells) * exposure)
    return events, gamma.shape + events, rate


def integrated_log_likelihood(at: LogHazards, data: SurvivalData, gamma: GammaHazards) -> Floats:
    """Log-likelihood with gamma hazards integrated out, for every draw.

    Parameters
    ----------
    at : LogHazards
        Without the hazards.
    data : SurvivalData
        Rows of the cohort.
    gamma : GammaHazards
        The process whose hazards are integrated out.

    Returns
    -------
    (...) ndarray
    """
    total = np.empty(at.cells.shape[:-2])
    for draw in np.ndindex(total.shape):
        here = at.draws(draw)
        events, shape, rate = posterior_of_hazards(here, data, gamma)
        at_events = float(data.event_design @ here.effect)
        at_events += float((data.events_per_cell * here.cells).sum())
        for count, of_group in zip(data.events_per_group, here.groups, strict=True):
            at_events += float(count @ of_group)
        constant = gamma.log_constant.sum() + log_gamma(gamma.shape + events).sum()
        total[draw] = at_events + constant - (shape * np.log(rate)).sum()
    return total
