"""Draws from a proposal, weighted to the posterior; proposals moved by them; and their tails.

References
----------
Cappe, Guillin, Marin & Robert (2004), J Comput Graph Stat 13:907-929 (proposals moved by their own
weights).
"""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws
from bayes_crlm.inference.effect_proposals import EffectProposals, far_deviations, least_fall
from bayes_crlm.inference.hazards_given_effects import (
    SEARCH_STEPS,
    ScaleDraws,
    hazard_draws,
    log_ratios,
)
from bayes_crlm.inference.native.draws import SEED_WORDS
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.proposal import Proposal, pairs_of, shares_of_parts
from bayes_crlm.inference.weights import allotted, flat, weigh
from bayes_crlm.likelihood.matrices import triangular_roots

# draws, per effect, that a part's mean and covariance are taken from
LEAST_PER_EFFECT = 20
# of a part's own density far from its centre: with so much of others', their draws go there
LEAST_OF_OTHERS = 0.25

# Newton steps of a walk after a poor proposal: with effects far from their mode one is not enough
MOVED_STEPS = 4

Sources = list[np.random.Generator]


def propose_and_weigh(
    around: Proposal, draws: int, rngs: Sources
) -> tuple[BatchDraws, NDArray[np.intp]]:
    """Draw effects, and step scales, from the proposal; then hazards; and weigh them.

    Returns
    -------
    BatchDraws, (cohorts, draws) ndarray of int
        And which part is likeliest to have made each draw.
    """
    pairs = around.pairs
    seeds = np.stack(
        [rng.integers(2**64, size=(2, SEED_WORDS), dtype=np.uint64) for rng in rngs], axis=1
    )
    drawn = around.effects.draw(pairs, seeds[0], around.scales)
    effect, log_proposal, step = drawn.effect, drawn.log_density, drawn.log_step_scale
    other = None
    if around.cells is not None:
        other, log_density = around.cells.draw(around.own_part, rngs)
        log_proposal += log_density
    scales = ScaleDraws(step, other)
    if around.has_one_mode:
        # no other part can have made the draw
        log_proposal += np.log(at_draw_pairs(pairs / pairs_of(pairs), pairs))
        log_proposal, origin = log_proposal[:, None], around.own_part[:, None]
    else:
        log_proposal, origin, _ = around.log_mixture(effect, step)
    log_hazard, log_ratio = hazards_and_density(around, effect, origin, scales, seeds[1])
    log_ratio -= log_proposal
    origin = flat(np.broadcast_to(origin, log_ratio.shape), draws)
    return weigh(effect, log_hazard, scales, log_ratio, drawn.scramble, draws), origin


def hazards_and_density(
    around: Proposal,
    effect: NDArray,
    origin: NDArray[np.intp],
    scales: ScaleDraws,
    seeds: NDArray[np.uint64] | None,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Draw hazards for effects (cohorts, 2, pairs, effects) in mirrored pairs.

    Without seeds of random numbers hazards are put where their distributions are centred: what is
    returned last is then Laplace's approximation of the effects' own density.

    Returns
    -------
    log_hazard : (cohorts, 2, pairs, intervals) ndarray or None
    log_density : (cohorts, 2, pairs) ndarray
        Log posterior density over that of the drawn hazards.
    """
    targets, modes, walks = around.targets, around.modes, around.scales
    found = hazard_draws(targets, effect, scales)
    found.fill(
        part=origin,
        n_part_signs=origin.shape[1],
        n_steps=SEARCH_STEPS if seeds is None else around.walk_steps,
        seed=seeds,
    )
    if walks is not None:
        found.fill(
            n_modes=walks.log_hazard.shape[1],
            n_scale_cells=walks.log_hazard.shape[2],
            first_log_scale=walks.edges[0],
            scale_width=walks.width,
            mode=walks.log_hazard,
            mode_of=walks.mode_of,
        )
    else:
        found.fill(n_parts=around.pairs.shape[1], mode=modes.log_hazard, mode_effect=modes.effect)
    shape = effect.shape[:-1]
    log_hazard = np.empty((*shape, targets.n_intervals)) if around.keeps_hazards else None
    log_density = log_ratios(found, shape, log_hazard)
    if scales.effect is not None:
        log_density += around.targets.log_scale_prior(scales.effect)[:, None]
    return log_hazard, log_density


def moved(
    around: Proposal, drawn: BatchDraws, origin: NDArray[np.intp], degrees_of_freedom: float
) -> Proposal:
    """Move every part to the weighted mean and covariance of its draws, with heavier tails.

    Where there are several modes, pairs are shared out anew, and a part with too few draws to tell
    stays as it is.

    Parameters
    ----------
    around : Proposal
        Of one cohort.
    drawn : BatchDraws
        What it gave.
    origin : (draws,) ndarray of int
        The part of each draw.
    degrees_of_freedom : float
        Of the moved parts.
    """
    if around.cells is not None:
        return moved_alike(around, drawn, origin)
    effects, parts = around.effects, around.pairs.shape[1]
    centre, factor = effects.centre.copy(), effects.factor.copy()
    nu, share = effects.degrees_of_freedom.copy(), np.zeros(parts)
    fewest = 0.0 if around.has_one_mode else LEAST_PER_EFFECT * centre.shape[2]
    for part in np.flatnonzero(around.pairs[0]).tolist():
        effect, weight = drawn.effect[0, origin == part], drawn.weight[0, origin == part]
        share[part] = total = weight.sum()
        if not total > 0 or total**2 / (weight @ weight) < fewest:
            continue
        weight = weight / total
        mean = weight @ effect
        deviation = effect - mean
        root = triangular_roots(((deviation * weight[:, None]).T @ deviation)[None])[0]
        if around.has_one_mode or np.isfinite(root).all():
            centre[0, part], factor[0, part], nu[0, part] = mean, root, degrees_of_freedom
    pairs = around.pairs
    if not around.has_one_mode:
        of_modes = np.bincount(around.mode_of, weights=share)
        pairs = allotted(
            shares_of_parts(of_modes, pairs / pairs_of(pairs), around.mode_of), pairs_of(pairs)
        )
    moved_effects = EffectProposals(centre, factor, nu, effects.wide_degrees_of_freedom)
    return replace(around, effects=moved_effects, pairs=pairs, walk_steps=MOVED_STEPS)


def moved_alike(around: Proposal, drawn: BatchDraws, origin: NDArray[np.intp]) -> Proposal:
    """Move all parts by the weighted mean of deviations, in units of their spread.

    The parts of a grid have too few draws each to be moved by; see `moved`.
    """
    effects, weight = around.effects, drawn.weight[0]
    away = drawn.effect[0] - effects.centre[0, origin]
    standard = np.linalg.solve(effects.factor[0, origin], away[:, :, None])[:, :, 0]
    centre = effects.centre + effects.factor @ (weight @ standard)
    return replace(around, effects=replace(effects, centre=centre), walk_steps=MOVED_STEPS)


def reaches_tails(around: Proposal) -> NDArray[np.bool]:
    """Whether posteriors have fallen off where no draws of the proposal go, shape (cohorts,).

    Weights say nothing of a tail without draws: under separation and a vague prior the density
    hardly falls on one side, however far one goes. Where there are several modes, what a part's
    spread would hold far away is measured against all that the parts hold, and where another
    part's draws go nothing need fall.
    """
    effects, targets = around.effects, around.targets
    count, parts, size = effects.centre.shape
    deviation = far_deviations(effects.factor)
    pairs = np.full((count, parts), size + 1)
    step = other = None
    if around.scales is not None:
        step = at_draw_pairs(np.log(around.scales.typical), pairs)
    if around.cells is not None:
        other = at_draw_pairs(np.broadcast_to(around.cells.middle, pairs.shape), pairs)
    own = at_draw_pairs(np.broadcast_to(np.arange(parts), pairs.shape), pairs)[:, None]
    far = effects.on_both_sides(deviation, pairs)
    _, log_density = hazards_and_density(around, far, own, ScaleDraws(step, other), None)
    shape = (count, 2, parts, size + 1)
    least = least_fall(*(prior for prior, _ in targets.priors))
    if around.has_one_mode:
        log_density = log_density.reshape(shape)
        # along each column of the scale's square root, far away on both sides; the centre last
        fall = log_density[:, 1:, :, -1:] - log_density[:, :, :, :size]
        # not a number: relative hazards too large for one, where the density is next to nothing
        return ~(fall < least).any(axis=(1, 2, 3))
    # Laplace's approximation of a mass, but for a constant
    log_mass = log_density.reshape(shape) + effects.log_volumes[:, None, :, None]
    together, _, each = around.log_mixture(far, step)
    own_density = np.take_along_axis(each, own[:, None], axis=1)[:, 0]
    is_hidden = (together <= own_density + math.log1p(LEAST_OF_OTHERS)).reshape(shape)
    is_hidden[..., -1] = False
    held = np.logaddexp.reduce(log_mass[:, 1, :, -1], axis=1)
    hidden = np.where(is_hidden, np.nan_to_num(log_mass, nan=-np.inf), -np.inf)
    return held - hidden.max(axis=(1, 2, 3)) >= least
