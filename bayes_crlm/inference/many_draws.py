"""Importance-sampled draws of many cohorts, with NumPy.

The method is that of `bayes_crlm.inference.importance`: effects from multivariate t distributions
around their modes, in mirrored pairs; hazards given them; Pareto-smoothed weights. Every cohort has
its own random numbers, so that nothing depends on which cohorts are in a block. Cohorts with poor
weights are left to `bayes_crlm.inference.importance` one by one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import FAR, least_fall, wide_degrees_of_freedom
from bayes_crlm.inference.importance import weighted_draws
from bayes_crlm.inference.many_hazards import HazardsGivenEffects, IndependentHazards
from bayes_crlm.inference.many_modes import (
    BlockSums,
    Modes,
    Targets,
    effect_priors,
    find_modes,
    start_nearby,
)
from bayes_crlm.inference.many_proposals import Proposals, of_pairs, proposals_around
from bayes_crlm.inference.many_walks import BlockWalks, find_step_scales, modes_of_ranges
from bayes_crlm.inference.proposal_parts import ENOUGH_ESS, ENOUGH_K, FIRST_RISE_TOLERANCE
from bayes_crlm.inference.psis import pareto_smooth
from bayes_crlm.inference.several_modes import has_student_t, needs_components, vague_inputs
from bayes_crlm.likelihood.matrices import inverses
from bayes_crlm.model.priors import SimplePrior, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared_block import CohortBlock

__all__ = ["BlockDraws", "draw_block", "may_have_several_modes"]

# draws x intervals that are worked on together, so that arrays stay in a processor's cache
ENTRIES_IN_CACHE = 2**16


@dataclass(frozen=True, eq=False)
class BlockDraws:
    """Weighted draws of the effects of many cohorts.

    Attributes
    ----------
    effect : (cohorts, draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    weight : (cohorts, draws) ndarray
        Pareto-smoothed, adding up to 1.
    pareto_k, ess : (cohorts,) ndarray
        As in `bayes_crlm.inference.importance.WeightedDraws`.
    converged : (cohorts,) ndarray of bool
        Whether a mode was found and weights could be made; where not, the rest means nothing.
    """

    effect: NDArray[np.float64]
    weight: NDArray[np.float64]
    pareto_k: NDArray[np.float64]
    ess: NDArray[np.float64]
    converged: NDArray[np.bool]

    @classmethod
    def none(cls, cohorts: int, draws: int, terms: int) -> "BlockDraws":
        """Make room for draws that are not there yet."""
        return cls(
            np.full((cohorts, draws, terms), np.nan),
            np.full((cohorts, draws), np.nan),
            np.full(cohorts, np.nan),
            np.full(cohorts, np.nan),
            np.zeros(cohorts, dtype=bool),
        )


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where draws of some cohorts are made.

    Attributes
    ----------
    proposal : Proposals
        Of the effects.
    hazards : HazardsGivenEffects
        Of the hazards.
    modes : Modes
        Of the posteriors; of a random walk, given the first guess of its step scale.
    pairs : (cohorts, ranges) ndarray of int
        Mirrored pairs to draw in each range; their sum is the same for all cohorts.
    sums : BlockSums
        Of the cohorts.
    priors : list of (SimplePrior, slice)
        Of the effects.
    rngs : list of numpy.random.Generator
        One for each cohort.
    """

    proposal: Proposals
    hazards: HazardsGivenEffects
    modes: Modes
    pairs: NDArray[np.intp]
    sums: BlockSums
    priors: list[tuple[SimplePrior, slice]]
    rngs: list[np.random.Generator]

    def part(self, which: NDArray[np.intp]) -> "Surroundings":
        """Those of some cohorts."""
        return Surroundings(
            self.proposal.part(which),
            self.hazards.part(which),
            self.modes.part(which),
            self.pairs[which],
            self.sums.part(which),
            self.priors,
            [self.rngs[k] for k in which.tolist()],
        )


def draw_block(
    block: "CohortBlock", model: "ModelDefinition", draws: int, seeds: NDArray
) -> BlockDraws:
    """Draw from the posterior of every cohort of a block.

    Parameters
    ----------
    block : CohortBlock
        The cohorts.
    model : ModelDefinition
        No horseshoe prior.
    draws : int
        Of each cohort, an even number.
    seeds : (cohorts,) ndarray of int
        One for each cohort.
    """
    rngs = [np.random.default_rng([seed, 3]) for seed in seeds.tolist()]
    best = BlockDraws.none(len(block), draws, len(block.terms))
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        around = surroundings(block, model, draws // 2, rngs)
        is_plain = ~may_have_several_modes(block, model, around.sums, around.modes)
        is_plain &= np.isfinite(around.proposal.factor).all(axis=(1, 2, 3))
        left = np.flatnonzero(is_plain)
        if len(left):
            left = left[reaches_tails(around.part(left))]
        size = max(1, ENTRIES_IN_CACHE // (draws * block.n_intervals))
        for first in range(0, len(left), size):
            propose(around, left[first : first + size], best)
    for k in np.flatnonzero(~best.converged).tolist():
        one = weighted_draws(block.inputs(k, model), draws, rngs[k])
        if one is not None:
            best.effect[k], best.weight[k] = one.effect, one.weight
            best.pareto_k[k], best.ess[k], best.converged[k] = one.pareto_k, one.ess, True
    return best


def may_have_several_modes(
    block: "CohortBlock", model: "ModelDefinition", sums: BlockSums, near: Modes
) -> NDArray[np.bool]:
    """Which cohorts' likelihoods compete with a Student t prior, shape (cohorts,).

    They are left to `bayes_crlm.inference.importance`, which draws around all their modes. The
    likelihood has one mode, a few steps from the posterior's in `near` where these do not compete.
    """
    inputs = block.inputs(0, model)
    if not has_student_t(inputs):
        return np.zeros(len(block), dtype=bool)
    vague = vague_inputs(inputs)
    n_treatment, n_terms = block.n_treatment_terms, len(block.terms)
    priors = [(simple_prior(vague.treatment_prior), slice(0, n_treatment))]
    if n_terms > n_treatment:
        priors.append((simple_prior(vague.covariate_prior), slice(n_treatment, n_terms)))
    targets = Targets(sums, model, priors)
    if targets.has_walk:
        targets = targets.given_first_step_scale()
    before = effect_priors(model, n_treatment, n_terms)
    modes = find_modes(targets, start_nearby(near, before, targets), FIRST_RISE_TOLERANCE)
    with np.errstate(invalid="ignore"):
        variance = np.diagonal(inverses(modes.information), axis1=1, axis2=2)
    variance = np.where(modes.converged[:, None], variance, np.nan)
    return needs_components(inputs, modes.effect, variance[:, block.n_intervals :])


def surroundings(
    block: "CohortBlock",
    model: "ModelDefinition",
    pairs: int,
    rngs: list[np.random.Generator],
) -> Surroundings:
    """Find the modes of every cohort, and what is proposed around them."""
    sums = BlockSums.of(block)
    priors = effect_priors(model, block.n_treatment_terms, len(block.terms))
    targets = Targets(sums, model, priors)
    wide = wide_degrees_of_freedom(*(prior for prior, _ in priors))
    if targets.has_walk:
        scales, near = find_step_scales(targets)
        modes = modes_of_ranges(targets, scales, near)
        proposal = proposals_around(modes, wide, scales.bounds.shape[1] - 1)
        hazards = BlockWalks(scales, targets)
        return Surroundings(proposal, hazards, near, scales.pairs(pairs), sums, priors, rngs)
    modes = find_modes(targets)
    hazards = IndependentHazards(sums, modes, model)
    all_pairs = np.full((len(block), 1), pairs)
    proposal = proposals_around(modes, wide)
    return Surroundings(proposal, hazards, modes, all_pairs, sums, priors, rngs)


def propose(around: Surroundings, which: NDArray[np.intp], best: BlockDraws) -> None:
    """Draw effects and then hazards of some cohorts, weigh them, and keep them where good."""
    around = around.part(which)
    deviation, log_proposal = around.proposal.deviations(around.pairs, around.rngs)
    effect, log_ratio = log_densities(around, deviation, around.pairs, around.rngs)
    count, *_, size = effect.shape
    log_ratio -= log_proposal[:, None]
    # each range stands for its share of the pairs
    log_ratio -= np.log(of_pairs(around.pairs, around.pairs))[:, None]
    log_ratio = log_ratio.reshape(count, -1)
    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    draws = log_ratio.shape[1]
    is_good = np.isfinite(log_ratio).sum(axis=1) >= max(10, draws // 10)
    log_ratio[~is_good] = 0.0
    log_weight, pareto_k = pareto_smooth(log_ratio)
    weight = np.exp(log_weight)
    ess = 1 / (weight**2).sum(axis=1)
    is_good &= (pareto_k <= ENOUGH_K) & (ess >= ENOUGH_ESS * draws)
    good = which[is_good]
    best.effect[good] = effect.reshape(count, -1, size)[is_good]
    best.weight[good] = weight[is_good]
    best.pareto_k[good], best.ess[good] = pareto_k[is_good], ess[is_good]
    best.converged[good] = True


def reaches_tails(around: Surroundings) -> NDArray[np.bool]:
    """Whether posteriors have fallen off where no draws go.

    As `bayes_crlm.inference.importance.reaches_tails`.
    """
    factor = around.proposal.factor
    count, ranges, size, _ = factor.shape
    far = np.zeros((count, ranges, size + 1, size))
    # along each column of the scale's square root, far away on both sides; the centre last
    far[:, :, :size] = FAR * factor.transpose(0, 1, 3, 2)
    pairs = np.full((count, ranges), size + 1)
    _, log_density = log_densities(around, far.reshape(count, -1, size), pairs, None)
    log_density = log_density.reshape(count, 2, ranges, size + 1)
    fall = log_density[:, 1:, :, -1:] - log_density[:, :, :, :size]
    # not a number: relative hazards too large for one, where the density is next to nothing
    least = least_fall(*(prior for prior, _ in around.priors))
    return ~(fall < least).any(axis=(1, 2, 3))


def log_densities(
    around: Surroundings,
    deviation: NDArray,
    pairs: NDArray[np.intp],
    rngs: list[np.random.Generator] | None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw hazards for effects at the centres plus, and then minus, each deviation.

    Parameters
    ----------
    around : Surroundings
        The cohorts.
    deviation : (cohorts, all pairs, terms) ndarray
    pairs : (cohorts, ranges) ndarray of int
        How many in each range, in their order.
    rngs : list of numpy.random.Generator or None
        One for each cohort; without them hazards are put where their distributions are centred.

    Returns
    -------
    effect : (cohorts, 2, all pairs, terms) ndarray
    log_density : (cohorts, 2, all pairs) ndarray
        Log posterior density over that of the drawn hazards, but for a constant of each cohort.
    """
    effect = around.proposal.effects(deviation, pairs)
    weighted = around.proposal.weighted_exposures(around.sums, deviation, pairs)
    log_density = around.hazards.log_ratio(weighted, pairs, rngs)
    log_density += (effect @ around.sums.event_design[:, None, :, None])[:, :, :, 0]
    for prior, part in around.priors:
        log_density += prior.log_density(effect[:, :, :, part]).sum(axis=3)
    return effect, log_density
