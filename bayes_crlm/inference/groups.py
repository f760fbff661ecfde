"""Posteriors with many groups: group effects integrated out, and drawn at last.

Given log-hazards, effects and their own scale, each group's effect u has a one-dimensional
posterior, exp(d u - H e^u) Normal(u; 0, s), that depends on its d events and its cumulative hazard
H alone. It is integrated out by Gauss-Hermite quadrature around its mode. Log-hazards and effects
are proposed together, around the modes of all unknowns for every cell of a grid over the scales,
with the covariance that is left when the groups' part of the information is eliminated (its Schur
complement).

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
from bayes_crlm.inference.effect_proposals import EffectProposals, wide_degrees_of_freedom
from bayes_crlm.inference.hazards_given_effects import ScaleDraws
from bayes_crlm.inference.layout import GroupedRows
from bayes_crlm.inference.native.draws import SEED_WORDS
from bayes_crlm.inference.native.groups import (
    log_integrals,
    sample_effects,
    weigh_without_groups,
)
from bayes_crlm.inference.native.modes import Posteriors, climb
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weights import allotted, weigh
from bayes_crlm.likelihood.matrices import inverses, triangular_roots
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.families import HalfNormal, ScaleFamily
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

# of the grid over the scales' logs
WIDTH = 0.4
# a cell with less of the posterior is not drawn from
LEAST_OF_CELLS = 1e-5
# a grid is moved by its own draws' weights until these are good, at most so often
MOST_ROUNDS, ENOUGH_K, ENOUGH_ESS = 3, 0.5, 0.4
BELIEVED, MOVED_DEGREES_OF_FREEDOM = 0.5, 30.0
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
        grid, best = Grid.around(targets, groups), None
        for _ in range(MOST_ROUNDS):
            found = propose_and_weigh(targets, groups, grid, draws, rng)
            if best is None or found.drawn.is_better(best.drawn)[0]:
                best = found
            if not found.drawn.converged[0] or found.drawn.is_good(ENOUGH_K, ENOUGH_ESS)[0]:
                break
            grid = grid.moved(found)
        effect = sample_effects(best.hazards, groups.events, best.group_scale, rng)
    return replace(best.drawn, groups=effect[None])


@record(eq=False)
class Proposed:
    """Weighted draws, and how they were made.

    Attributes
    ----------
    drawn : BatchDraws
        With effects, log-hazards and weights, of one cohort.
    cell : (draws,) ndarray of int
        Which cell of the grid each comes from.
    both : (draws, intervals + effects) ndarray
        Log-hazards and effects.
    hazards : (draws, groups) ndarray
        Cumulative hazards without the groups' effects.
    group_scale : (draws,) ndarray
        Standard deviation of the groups' effects.
    """

    drawn: BatchDraws
    cell: NDArray[np.intp]
    both: Floats
    hazards: Floats
    group_scale: Floats


def propose_and_weigh(
    targets: Targets,
    groups: GroupedRows,
    grid: "Grid",
    draws: int,
    rng: np.random.Generator,
) -> Proposed:
    """Draw log-hazards, effects and scales, and weigh them with the groups integrated out."""
    n_intervals = targets.n_intervals
    pairs = allotted(grid.probability[None], draws // 2)
    seeds = rng.integers(2**64, size=(1, SEED_WORDS), dtype=np.uint64)
    points = grid.effects.draw(pairs, seeds)
    both, log_proposal = points.effect, points.log_density
    cell = at_draw_pairs(np.arange(len(grid.probability))[None], pairs)
    scales: list[Floats | None] = [None, None, None]
    for k, cells in enumerate(grid.scales):
        if cells is not None:
            scales[k], log_density = cells.draw(cell, [rng])
            log_proposal += log_density
    log_proposal += np.log(at_draw_pairs(pairs / (draws // 2), pairs))
    flat_both = both.reshape(draws, -1)
    log_scales = [np.zeros(draws) if each is None else np.tile(each[0], 2) for each in scales]
    posteriors, log_priors = posteriors_at(targets, groups, log_scales)
    log_target, hazards = weigh_without_groups(posteriors, flat_both)
    group_scale = np.exp(log_scales[2])
    log_target += log_integrals(hazards, groups.events, group_scale).sum(axis=1) + log_priors
    log_ratio = log_target.reshape(1, 2, -1) - log_proposal[:, None]
    effect, log_hazard = both[..., n_intervals:], both[..., :n_intervals]
    drawn = weigh(effect, log_hazard, ScaleDraws(*scales), log_ratio, points.scramble, draws)
    return Proposed(drawn, np.tile(cell[0], 2), flat_both, hazards, group_scale)


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


@record(eq=False)
class Grid:
    """Proposals of log-hazards and effects for the cells of a grid over scales.

    Attributes
    ----------
    effects : EffectProposals
        Of log-hazards and effects together, one part for each cell.
    probability : (cells,) ndarray
        By Laplace's approximation.
    scales : tuple of ScaleCells or None
        Of a walk's step scale, of the effects' scale and of the groups' standard deviation.
    """

    effects: EffectProposals
    probability: Floats
    scales: tuple[ScaleCells | None, ...]

    @classmethod
    def around(cls, targets: Targets, groups: GroupedRows) -> "Grid":
        """Find the mode of every cell, and what each cell holds."""
        scales = [
            None if prior is None else ScaleCells.of(prior, WIDTH)
            for prior in scale_priors(targets, groups)
        ]
        counts = [1 if each is None else len(each.low) for each in scales]
        places = [each.ravel() for each in np.indices(counts)]
        posteriors, log_priors = posteriors_at(
            targets,
            groups,
            [
                np.zeros(len(place)) if cells is None else cells.middle[place]
                for cells, place in zip(scales, places, strict=True)
            ],
        )
        modes = climb(posteriors, None, RISE_TOLERANCE)
        n_intervals = targets.n_intervals
        mass = modes.log_density + log_priors
        mass -= 0.5 * (np.linalg.slogdet(modes.information)[1] + modes.log_determinant_of_groups)
        mass = np.where(modes.converged & np.isfinite(mass), mass, -np.inf)
        share = np.exp(mass - mass.max())
        share /= share.sum()
        kept = np.flatnonzero(share > LEAST_OF_CELLS)
        wide = wide_degrees_of_freedom(*(each for each, _ in targets.priors))
        spread = inverses(modes.information[kept])
        centre = modes.at[kept, : n_intervals + targets.n_effects]
        effects = EffectProposals.around(centre[None], spread[None], wide)
        return cls(
            effects,
            share[kept] / share[kept].sum(),
            tuple(
                None if cells is None else cells.part(place[kept])
                for cells, place in zip(scales, places, strict=True)
            ),
        )

    def moved(self, found: "Proposed") -> "Grid":
        """Move all parts alike to where the draws' weights are.

        Deviations from a part's centre, in units of its spread, have a weighted mean and covariance
        over all parts, which should be 0 and 1; with few effective draws half of what they differ
        by is believed. Cells get half of their share from the weights.
        """
        effects, weight, size = self.effects, found.drawn.weight[0], found.both.shape[1]
        inverse = inverses(effects.factor[0])
        distance = found.both - effects.centre[0, found.cell]
        standard = (inverse[found.cell] @ distance[:, :, None])[:, :, 0]
        mean = weight @ standard
        deviation = standard - mean
        covariance = (deviation * weight[:, None]).T @ deviation
        root = triangular_roots((BELIEVED * covariance + (1 - BELIEVED) * np.eye(size))[None])
        centre = effects.centre + effects.factor @ mean
        share = np.bincount(found.cell, weights=weight, minlength=len(self.probability))
        nu = np.full(effects.degrees_of_freedom.shape, MOVED_DEGREES_OF_FREEDOM)
        return replace(
            self,
            effects=replace(
                effects, centre=centre, factor=effects.factor @ root, degrees_of_freedom=nu
            ),
            probability=(self.probability + share) / 2,
        )
