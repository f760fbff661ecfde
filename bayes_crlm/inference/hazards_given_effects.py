"""Log-hazards drawn nearly or exactly from their posterior given the effects.

Given the effects, interval j holds D_j events and a weighted exposure S_j. Under the gamma process
its hazard has a gamma posterior. Under an independent normal prior a gamma distribution with the
same mode and nearly the same curvature is close to it.

Neighbours on a walk depend on each other: given the step scale too, powers of hazards, which are
nearly normal given the data and the neighbours, are drawn together from a tridiagonal precision.
Where the data decide, a hazard is nearly gamma and its cube root nearly normal; where the prior
decides, its logarithm is. So the power of interval j is a third of the share that the data have in
what is known of it.

The library draws and weighs (`native/draws.inc`).

References
----------
Kalbfleisch (1978), J R Stat Soc B 40:214-221; Wilson & Hilferty (1931), PNAS 17:684-688 (cube roots
of gamma variables); Rue (2001), J R Stat Soc B 63:325-338 (draws from a banded precision).
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.draws import GAMMA, INDEPENDENT, WALK, HazardDraws
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.terms.gamma_process import log_gamma
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

# Newton steps to the centre of a walk's distribution
SEARCH_STEPS = 12


@record(eq=False)
class ScaleDraws:
    """Logs of scales that draws are made with.

    Attributes
    ----------
    step : (cohorts, pairs) ndarray or None
        Of a walk's steps.
    effect : (cohorts, pairs) ndarray or None
        Of effects with an unknown scale.
    group : (cohorts, pairs) ndarray or None
        Of groups' effects.
    """

    step: Floats | None = None
    effect: Floats | None = None
    group: Floats | None = None


def walks_at_scales(targets: Targets, effect: Floats, log_scale: Floats) -> tuple[Floats, Floats]:
    """Find the walks that belong to effects and step scales.

    Parameters
    ----------
    targets : Targets
        With walks.
    effect : (cohorts, 1, cases, effects) ndarray
        Log hazard ratios on the sampling scale, one case after another.
    log_scale : (cohorts, cases) ndarray
        Logs of step scales.

    Returns
    -------
    log_hazard : (cohorts, 1, cases, intervals) ndarray
        Where the walks' distributions are centred.
    log_density : (cohorts, 1, cases) ndarray
        Of events, effects and the log step scale with walks summed out, by Laplace's approximation.
    """
    found = hazard_draws(targets, effect, ScaleDraws(log_scale))
    found.fill(n_steps=SEARCH_STEPS)
    walk = np.empty((*effect.shape[:-1], targets.n_intervals))
    return walk, log_ratios(found, effect.shape[:-1], walk)


def hazard_draws(targets: Targets, effect: Floats, scales: ScaleDraws) -> HazardDraws:
    """Say for the library what is drawn from, given which effects and scales."""
    found, baseline = HazardDraws(), targets.baseline
    found.fill_priors(targets.elements)
    found.fill(
        hazards=INDEPENDENT,
        sd=targets.levels[1],
        stack=targets.stack,
        cohort_of=targets.stack.cohort,
        n_cases=len(targets),
        n_signs=effect.shape[1],
        n_pairs=effect.shape[2],
        n_effects=effect.shape[3],
        is_scaled=targets.is_scaled,
        log_rate=targets.log_rate,
        effect=effect,
        log_step_scale=scales.step,
        log_effect_scale=scales.effect,
    )
    if targets.process is not None:
        shape, rate = targets.process
        constant = targets.baseline_constant + log_gamma(shape + targets.sums.events).sum(axis=1)
        found.fill(hazards=GAMMA, process_rate=rate, process_shape=shape, constant=constant)
    elif targets.has_walk and isinstance(baseline, WalkPrior):
        found.fill(
            hazards=WALK,
            step_scale_sd=baseline.step_scale_sd,
            level=targets.levels[0][0],
            step_variance=targets.step_variances,
        )
    return found


def log_ratios(draws: HazardDraws, shape: tuple[int, ...], log_hazard: Floats | None) -> Floats:
    """Let the library draw, for so many cohorts, signs and pairs.

    Parameters
    ----------
    draws : HazardDraws
        From `hazard_draws`: what is drawn from, and how.
    shape : tuple of int
        Cohorts, signs (1 or 2) and pairs.
    log_hazard : (*shape, intervals) ndarray or None
        Where the log-hazards go; without it none are kept.

    Returns
    -------
    (*shape,) ndarray
        Log of prior x likelihood, over the density of the drawn log-hazards.
    """
    found = np.empty(shape)
    draws.fill(log_hazard=log_hazard, log_ratio=found)
    draws.run()
    return found
