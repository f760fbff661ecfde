"""Posteriors with many groups: group effects integrated out, and drawn at last.

Given log-hazards, effects and their own scale, each group's effect u has a one-dimensional
posterior, exp(d u - H e^u) Normal(u; 0, s), that depends on its d events and its cumulative hazard
H alone. It is integrated out by Gauss-Hermite quadrature around its mode. Log-hazards and effects
are proposed together, around the modes of all unknowns for every cell of a grid over the scales
(`bayes_crlm.inference.scale_grid`), with the covariance that is left when the groups' part of the
information is eliminated (its Schur complement). Where the draws' weights are poor, the grid is
moved to their mean, and drawn from anew.

References
----------
Liu & Pierce (1994), Biometrika 81:624-629 (quadrature around the mode); Rue, Martino & Chopin
(2009), J R Stat Soc B 71:319-392 (a grid over scales).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws
from bayes_crlm.inference.effect_proposals import wide_degrees_of_freedom
from bayes_crlm.inference.hazards_given_effects import ScaleDraws
from bayes_crlm.inference.layout import GroupedRows
from bayes_crlm.inference.native.groups import (
    log_integrals,
    sample_effects,
    weigh_without_groups,
)
from bayes_crlm.inference.native.modes import Posteriors, climb
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.scale_grid import GridDraws, ScaleGrid
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weights import weigh
from bayes_crlm.likelihood.matrices import inverses, triangular_roots
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.families import HalfNormal, ScaleFamily
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

# of the grid over the scales' logs
WIDTH = 0.5
# a cell with less of the posterior is not drawn from
LEAST_OF_CELLS = 1e-5
# a grid is moved by its own draws' weights until these are good, at most so often
MOST_ROUNDS, ENOUGH_K, ENOUGH_ESS = 3, 0.5, 0.4
# a whole Newton step from a mode raises twice the log density by less than this
RISE_TOLERANCE = 1e-5


def sample_with_groups(
    targets: Targets, groups: GroupedRows, draws: int, rng: np.random.Generator
) -> BatchDraws:
    """Draw from one posterior with groups whose effects are normal around 0.

    Parameters
    ----------
    targets : Targets
        One cohort's.
    groups : GroupedRows
        Its groups.
    draws : int
        An even number.
    rng : numpy.random.Generator
        Source of randomness.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        grid, best = grid_around(targets, groups), None
        for _ in range(MOST_ROUNDS):
            points = grid.draw(draws // 2, rng)
            found = weighed(targets, groups, points)
            if best is None or found.drawn.is_better(best.drawn)[0]:
                best = found
            if not found.drawn.converged[0] or found.drawn.is_good(ENOUGH_K, ENOUGH_ESS)[0]:
                break
            grid = grid.moved(points, found.drawn.weight[0])
        effect = sample_effects(best.hazards, groups.events, best.group_scale, rng)
    return replace(best.drawn, groups=effect[None])


@record(eq=False)
class Weighed:
    """Weighted draws of one cohort, and what their groups' effects depend on.

    Attributes
    ----------
    drawn : BatchDraws
        With effects, log-hazards and weights.
    hazards : (draws, groups) ndarray
        Cumulative hazards without the groups' effects.
    group_scale : (draws,) ndarray
        Standard deviation of the groups' effects.
    """

    drawn: BatchDraws
    hazards: Floats
    group_scale: Floats


def weighed(targets: Targets, groups: GroupedRows, points: GridDraws) -> Weighed:
    """Weigh log-hazards, effects and scales, the groups integrated out."""
    both, n_intervals = points.unknowns, targets.n_intervals
    draws = len(points.standard)
    log_scales = [
        np.zeros(draws) if each is None else np.tile(each[0], 2) for each in points.log_scales
    ]
    posteriors, log_priors = posteriors_at(targets, groups, log_scales)
    log_target, hazards = weigh_without_groups(posteriors, both.reshape(draws, -1))
    group_scale = np.exp(log_scales[2])
    log_target += log_integrals(hazards, groups.events, group_scale).sum(axis=1) + log_priors
    log_ratio = log_target.reshape(1, 2, -1) - points.log_density[:, None]
    effect, log_hazard = both[..., n_intervals:], both[..., :n_intervals]
    scales = ScaleDraws(*points.log_scales)
    drawn = weigh(effect, log_hazard, scales, log_ratio, points.scramble, draws)
    return Weighed(drawn, hazards, group_scale)


def scale_priors(
    targets: Targets, groups: GroupedRows
) -> tuple[ScaleFamily | None, ScaleFamily | None, ScaleFamily | None]:
    """Priors of the scales of a walk's steps, of effects and of groups; None of fixed ones."""
    step = None
    if targets.has_walk and isinstance(targets.baseline, WalkPrior):
        step = HalfNormal(targets.baseline.step_scale_sd)
    return step, targets.scale_prior, groups.scale


def posteriors_at(
    targets: Targets, groups: GroupedRows, log_scales: Sequence[Floats]
) -> tuple[Posteriors, Floats]:
    """Posteriors given scales (steps, effects, groups), and log prior densities of their logs."""
    step, effect, group = (np.exp(each) for each in log_scales)
    several = targets.part(np.zeros(len(step), dtype=np.intp))
    log_prior = np.zeros(len(step))
    for prior, log_scale in zip(scale_priors(targets, groups), log_scales, strict=True):
        if prior is not None:
            log_prior += prior.log_density(np.exp(log_scale)) + log_scale
    return replace(several, effect_scale=effect).posteriors(step, group), log_prior


def grid_around(targets: Targets, groups: GroupedRows) -> ScaleGrid:
    """Find the mode of every cell of a grid over the scales, and what each cell holds."""
    scales = [
        None if prior is None else ScaleCells.of(prior, WIDTH)
        for prior in scale_priors(targets, groups)
    ]
    counts = [1 if each is None else len(each.low) for each in scales]
    places = [each.ravel() for each in np.indices(counts)]
    log_scales = [
        np.zeros(len(place)) if cells is None else cells.middle[place]
        for cells, place in zip(scales, places, strict=True)
    ]
    posteriors, log_priors = posteriors_at(targets, groups, log_scales)
    modes = climb(posteriors, None, RISE_TOLERANCE)
    mass = modes.log_density + log_priors
    mass -= 0.5 * (np.linalg.slogdet(modes.information)[1] + modes.log_determinant_of_groups)
    mass = np.where(modes.converged & np.isfinite(mass), mass, -np.inf)
    share = np.exp(mass - mass.max())
    kept = np.flatnonzero(share > LEAST_OF_CELLS * share.sum())
    return ScaleGrid.around(
        modes.at[kept, : targets.n_intervals + targets.n_effects],
        triangular_roots(inverses(modes.information[kept])),
        scales,
        [each[kept] for each in places],
        share[kept],
        wide_degrees_of_freedom(*(each for each, _ in targets.priors)),
    )
