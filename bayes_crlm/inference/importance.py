"""Draws around posterior modes, weighted to the exact posterior: `engine = "laplace"`.

Effects are proposed from multivariate t distributions around the modes of their posterior, in
mirrored pairs whose second moments are exact, one pair in ten wider
(`bayes_crlm.inference.effect_proposals`); log-hazards from their nearly exact conditional
distribution given the effects (`bayes_crlm.inference.hazards_given_effects`); a walk's step scale
before them, from narrow cells with weights by Laplace's approximation. Pareto-smoothed weights
correct what is left; their shape k says whether that worked. A poor proposal is moved to the
weighted mean and covariance of its own draws and tried again.

Where a posterior has several modes, each has parts of the proposal of its own. A draw's density is
that of the mixture of all parts, whichever it came from, so that modes weigh against each other as
the posterior weighs them (the balance heuristic). Hazards are drawn given the effects by the part
whose density is largest there, which is a function of the draw alone.

Many cohorts of one shape are drawn from together, each with its own random numbers, so that nothing
depends on which cohorts are in a batch. One cohort is a batch of one.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Hammersley & Morton (1956), Math Proc Camb
Philos Soc 52:449-475 (mirrored pairs); Veach & Guibas (1995), SIGGRAPH '95:419-428 (the balance
heuristic); Cappe, Guillin, Marin & Robert (2004), J Comput Graph Stat 13:907-929 (proposals moved
by their own weights); Vehtari, Simpson, Gelman, Yao & Gabry (2024), JMLR 25(72).
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws, WeightedDraws
from bayes_crlm.inference.effect_proposals import (
    EffectProposals,
    far_deviations,
    least_fall,
    wide_degrees_of_freedom,
)
from bayes_crlm.inference.hazards_given_effects import IndependentHazards, Walks
from bayes_crlm.inference.mode import Modes, find_modes
from bayes_crlm.inference.parts import of_pairs
from bayes_crlm.inference.psis import pareto_smooth
from bayes_crlm.inference.several_modes import (
    Component,
    find_components,
    first_modes,
    first_step_scales,
    may_have_several_modes,
    places_between,
    vague_targets,
)
from bayes_crlm.inference.step_scales import StepScales, step_scales
from bayes_crlm.inference.streams import Stream, random_stream
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.matrices import triangular_roots
from bayes_crlm.model.priors import Horseshoe

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "ImportanceDraws",
    "Proposal",
    "draw_batch",
    "proposal_around",
    "reaches_tails",
    "sample_importance",
    "weighted_draws",
]

# k needs a tail to be estimated from, however few draws are asked for
LEAST_PROPOSALS = 1000
# a proposal is moved by its own weights when its draws are worth less than this, or k is larger
ENOUGH_ESS, ENOUGH_K = 0.5, 0.5
# of the proposal after a poor one, each time it is moved
MOVED_DEGREES_OF_FREEDOM = (10.0, 5.0, 5.0)
# draws x intervals that are worked on together, so that arrays stay in a processor's cache
ENTRIES_IN_CACHE = 2**16
# pairs that each mode has at least, as a share of what equal ones would have
LEAST_OF_EQUAL = 0.4
# draws, per effect, that a part's mean and covariance are taken from
LEAST_PER_EFFECT = 20
# of a part's own density far from its centre: with so much of others', their draws go there
LEAST_OF_OTHERS = 0.25

Sources = list[np.random.Generator]


@dataclass(frozen=True)
class ImportanceDraws:
    """Equally weighted draws of one cohort made by importance resampling.

    Attributes
    ----------
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `BlockModel.parameters`.
    pareto_k : float
        Shape of the weights' tail; above 0.7 the draws are not to be used.
    ess : float
        Importance effective sample size, at most the number of draws.
    converged : bool
        Whether the mode was found, weights could be made, and the posterior falls off where no
        draws go; without it there are no draws.
    weighted : WeightedDraws
        What was resampled.
    """

    vectors: NDArray[np.float64]
    pareto_k: float
    ess: float
    converged: bool
    weighted: WeightedDraws


NO_DRAWS = ImportanceDraws(
    vectors=np.empty((0, 0)),
    pareto_k=math.inf,
    ess=0.0,
    converged=False,
    weighted=WeightedDraws(
        effect=np.empty((0, 0)),
        log_hazard=np.empty((0, 0)),
        log_step_scale=None,
        log_ratio=np.empty(0),
        weight=np.empty(0),
        pareto_k=math.inf,
        ess=0.0,
    ),
)


@dataclass(frozen=True, eq=False)
class Proposal:
    """Where draws of some cohorts are made.

    Attributes
    ----------
    targets : Targets
        The posteriors.
    effects : EffectProposals
        Of the effects, one for each part.
    hazards : Walks or IndependentHazards
        Of the log-hazards given the effects.
    pairs : (cohorts, parts) ndarray of int
        Mirrored pairs to draw in each part; their sum is the same for all cohorts.
    mode_of : (parts,) ndarray of int
        Which mode each part belongs to. Parts of one mode have step scales of their own.
    """

    targets: Targets
    effects: EffectProposals
    hazards: Walks | IndependentHazards
    pairs: NDArray[np.intp]
    mode_of: NDArray[np.intp]

    def part(self, which: NDArray[np.intp]) -> "Proposal":
        """Those of some cohorts."""
        return Proposal(
            self.targets.part(which),
            self.effects.part(which),
            self.hazards.part(which),
            self.pairs[which],
            self.mode_of,
        )

    @property
    def scales(self) -> StepScales | None:
        """Of walks, their step scales."""
        return self.hazards.scales if isinstance(self.hazards, Walks) else None

    @property
    def has_one_mode(self) -> bool:
        """Whether no two parts can make the same draw."""
        return bool((self.mode_of == 0).all())

    @property
    def own_part(self) -> NDArray[np.intp]:
        """The part that makes each pair, shape (cohorts, pairs)."""
        return of_pairs(
            np.broadcast_to(np.arange(self.pairs.shape[1]), self.pairs.shape), self.pairs
        )

    def log_mixture(
        self, effect: NDArray, log_scale: NDArray | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
        """Log density of effects and log step scales under all parts together.

        Parameters
        ----------
        effect : (cohorts, 2, pairs, terms) ndarray
        log_scale : (cohorts, pairs) ndarray or None

        Returns
        -------
        log_density : (cohorts, 2, pairs) ndarray
        origin : (cohorts, 2, pairs) ndarray of int
            The part whose density, times its share of the pairs, is largest.
        each : (cohorts, parts, 2, pairs) ndarray
            Log densities of the parts, times their shares.
        """
        count, _, pairs, size = effect.shape
        each = self.effects.log_densities(effect.reshape(count, -1, size), self.pairs)
        each = each.reshape(count, -1, 2, pairs)
        if self.scales is not None and log_scale is not None:
            each += self.scales.log_densities(log_scale)[:, :, None]
        with np.errstate(divide="ignore"):
            each += np.log(self.pairs / pairs_of(self.pairs))[:, :, None, None]
        return np.logaddexp.reduce(each, axis=1), each.argmax(axis=1), each


def pairs_of(pairs: NDArray[np.intp]) -> int:
    """Number of pairs of every cohort, of all parts together."""
    return int(pairs[0].sum())


def sample_importance(inputs: "PreparedCohort", draws: int, seed: int) -> ImportanceDraws:
    """Draw from the posterior of one cohort by importance resampling around its mode.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    draws : int
        Number of draws, and of proposals (of which there are 1,000 at least).
    seed : int
        Fixes them.

    Returns
    -------
    ImportanceDraws

    Raises
    ------
    ValueError
        For a horseshoe prior, which has no useful mode.
    """
    rng = random_stream(seed, Stream.IMPORTANCE)
    weighted = weighted_draws(inputs, max(draws, LEAST_PROPOSALS), rng)
    if weighted is None:
        return NO_DRAWS
    # neighbours in the first treatment effect stand in for each other: less noise in its posterior
    order = np.argsort(weighted.effect[:, 0])
    chosen = order[systematic(weighted.weight[order], draws, rng)]
    return ImportanceDraws(
        vectors=weighted.vectors(inputs, chosen),
        pareto_k=weighted.pareto_k,
        ess=min(weighted.ess, float(draws)),
        converged=True,
        weighted=weighted,
    )


def weighted_draws(
    inputs: "PreparedCohort", draws: int, rng: np.random.Generator
) -> WeightedDraws | None:
    """Propose draws around the posterior mode of one cohort and weigh them.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    draws : int
        Number of proposals, at least 25.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    WeightedDraws or None
        None where no mode is found or hardly a draw is possible: there is no approximation.

    Raises
    ------
    ValueError
        For a horseshoe prior, which has no useful mode.
    """
    return draw_batch(Targets.of_cohort(inputs), draws, [rng]).one(0)


def draw_batch(
    targets: Targets, draws: int, rngs: Sources, *, keeps_hazards: bool = True
) -> BatchDraws:
    """Propose draws around the posterior modes of cohorts of one shape, and weigh them.

    Parameters
    ----------
    targets : Targets
        The posteriors.
    draws : int
        Proposals of each cohort, at least 25.
    rngs : list of numpy.random.Generator
        One for each cohort.
    keeps_hazards : bool
        Whether log-hazards are wanted too.

    Raises
    ------
    ValueError
        For a horseshoe prior, which has no useful mode.
    """
    if any(isinstance(prior, Horseshoe) for prior, _ in targets.priors):
        raise ValueError("a horseshoe's posterior has no useful mode; use engine 'nuts'")
    n_intervals = targets.n_intervals if keeps_hazards else None
    best = BatchDraws.none(len(targets), draws, targets.n_terms, n_intervals, targets.has_walk)
    pairs = (draws + 1) // 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        near = first_modes(targets)
        has_several = may_have_several_modes(targets, near)
        plain = np.flatnonzero(~has_several)
        if len(plain):
            start = near.part(plain)
            some = targets if len(plain) == len(targets) else targets.part(plain)
            around = proposal_around(some, start, pairs, keeps_hazards)
            draw_rounds(around, draws, [rngs[k] for k in plain], best, plain)
        for k in np.flatnonzero(has_several).tolist():
            one = targets.part(np.array([k]))
            components = find_components(one, first_step_scales(one))
            if components:
                around = proposal_around_several(one, components, pairs, keeps_hazards)
            else:
                around = proposal_around(one, near.part(np.array([k])), pairs, keeps_hazards)
            draw_rounds(around, draws, [rngs[k]], best, np.array([k]))
    return best


def proposal_around(
    targets: Targets, near: Modes, pairs: int, keeps_hazards: bool = True
) -> Proposal:
    """Propose around the modes of cohorts with one each.

    Parameters
    ----------
    targets : Targets
        The posteriors.
    near : Modes
        Of walks for a first guess of the step scale.
    pairs : int
        Mirrored pairs of each cohort.
    keeps_hazards : bool
        Whether log-hazards are wanted too.
    """
    modes, scales = modes_of_parts(targets, near)
    count, wide = len(targets), wide_degrees_of_freedom(*(prior for prior, _ in targets.priors))
    parts = len(modes.converged) // count
    effects = EffectProposals.around(
        modes.effect.reshape(count, parts, -1),
        modes.spread().reshape(count, parts, targets.n_terms, -1),
        wide,
    )
    probability = np.ones((count, 1)) if scales is None else scales.probability
    hazards = hazards_around(targets, modes, scales, keeps_hazards)
    mode_of = np.zeros(parts, dtype=np.intp)
    return Proposal(targets, effects, hazards, allotted(probability, pairs), mode_of)


def hazards_around(
    targets: Targets, modes: Modes, scales: StepScales | None, keeps_hazards: bool
) -> Walks | IndependentHazards:
    """Say how log-hazards are drawn given the effects."""
    if scales is not None:
        return Walks(targets, scales, keeps_hazards)
    return IndependentHazards(targets, modes, keeps_hazards)


def modes_of_parts(targets: Targets, near: Modes) -> tuple[Modes, StepScales | None]:
    """Find the mode for the typical step scale of every range of every cohort's walk.

    Parameters
    ----------
    targets : Targets
        The posteriors.
    near : Modes
        Of walks for a first guess of the step scale; else what is asked for already.

    Returns
    -------
    Modes, StepScales or None
        The parts of the first cohort, then of the next.
    """
    if not targets.has_walk:
        return near, None
    scales = step_scales(targets, near.effect[:, None])
    scales.share[~near.converged] = np.nan
    parts = scales.share.shape[1]
    of_part = np.repeat(np.arange(len(targets)), parts)
    start = (near.log_hazard[of_part], near.effect[of_part])
    return find_modes(targets.part(of_part), scales.typical.ravel(), start), scales


def allotted(probability: NDArray, pairs: int) -> NDArray[np.intp]:
    """Share out pairs to parts by their probability; none where that is 0, else at least one.

    Parameters
    ----------
    probability : (cohorts, parts) ndarray
        Adding up to 1; not a number for a cohort without an approximation.
    pairs : int
        Of each cohort.
    """
    probability = np.where(np.isfinite(probability), probability, 0.0)
    wanted = np.maximum(np.rint(pairs * probability).astype(np.intp), 1)
    found = np.where(probability > 0, wanted, 0)
    # what rounding leaves, or took too many, is the largest part's
    largest = probability.argmax(axis=1)
    found[np.arange(len(found)), largest] += pairs - found.sum(axis=1)
    return found


def proposal_around_several(
    targets: Targets, components: list[Component], pairs: int, keeps_hazards: bool
) -> Proposal:
    """Propose around several modes of one cohort, and where some priors hold and others do not.

    Parameters
    ----------
    targets : Targets
        One posterior.
    components : list of Component
        Its modes.
    pairs : int
        Mirrored pairs of all modes together.
    keeps_hazards : bool
        Whether log-hazards are wanted too.
    """
    modes, scales, mode_of, centres, spreads = [], [], [], [], []
    shares = [each.share for each in components]
    for number, each in enumerate(components):
        around = vague_targets(targets) if each.is_vague else targets
        found, scale = modes_of_parts(around, each.mode)
        spread = found.spread()
        parts = [(number, part, found.effect[part], spread[part]) for part in range(len(spread))]
        if each.is_vague and np.isfinite(spread).all():
            parts += [
                (len(components) + place, part, *at)
                for part in range(len(spread))
                for place, at in enumerate(places_between(targets, *parts[part][2:]))
            ]
        for of_mode, part, centre, size in parts:
            which = np.array([part])
            modes.append(found.part(which))
            scales.append(None if scale is None else scale.only(part))
            mode_of.append(of_mode)
            centres.append(centre)
            spreads.append(size)
    # by how much the places between hold, nothing is known of them yet
    shares += [0.0] * (1 + max(mode_of) - len(shares))
    wide = wide_degrees_of_freedom(*(prior for prior, _ in targets.priors))
    effects = EffectProposals.around(np.stack(centres)[None], np.stack(spreads)[None], wide)
    joined = None if scales[0] is None else StepScales.joined(scales)
    hazards = hazards_around(targets, Modes.joined(modes), joined, keeps_hazards)
    within = np.ones((1, len(mode_of))) if joined is None else joined.probability
    mode_of = np.array(mode_of)
    probability = shares_of_parts(np.array(shares), within, mode_of)
    return Proposal(targets, effects, hazards, allotted(probability, pairs), mode_of)


def shares_of_parts(
    shares: NDArray, within: NDArray, mode_of: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Shares of the pairs for all parts of all modes, none of which gets hardly any.

    Parameters
    ----------
    shares : (modes,) ndarray
        Of the posterior.
    within : (1, parts) ndarray
        Of each part within its mode.
    mode_of : (parts,) ndarray of int
    """
    shares = LEAST_OF_EQUAL / len(shares) + (1 - LEAST_OF_EQUAL) * shares / shares.sum()
    total = np.bincount(mode_of, weights=within[0], minlength=len(shares))
    return within * (shares / total)[mode_of]


def draw_rounds(
    around: Proposal, draws: int, rngs: Sources, best: BatchDraws, places: NDArray[np.intp]
) -> None:
    """Draw, and move proposals that were poor and draw again; keep the best draws of each cohort.

    Parameters
    ----------
    around : Proposal
        Of some cohorts.
    draws : int
        Of each cohort.
    rngs : list of numpy.random.Generator
        One for each.
    best : BatchDraws
        What is found goes here, and only where the posterior has fallen off where no draws go.
    places : (cohorts,) ndarray of int
        Where in `best`.
    """
    exists = around.effects.exists
    if not exists.all():
        kept = np.flatnonzero(exists)
        around, places, rngs = around.part(kept), places[kept], [rngs[k] for k in kept]
    if not len(places):
        return
    size = max(1, ENTRIES_IN_CACHE // (draws * around.targets.n_intervals))
    left: list[tuple[NDArray[np.intp], Proposal, BatchDraws, NDArray[np.intp]]] = []
    reached = reaches_tails(around)
    for first in range(0, len(places), size):
        here = np.arange(first, min(first + size, len(places)))
        some = around if len(here) == len(places) else around.part(here)
        drawn, origin = propose_and_weigh(some, draws, [rngs[k] for k in here])
        is_good = drawn.is_good(ENOUGH_K, ENOUGH_ESS)
        kept = is_good & reached[here]
        best.put(places[here[kept]], drawn, np.flatnonzero(kept))
        left += [
            (places[here[[k]]], some.part(np.array([k])), drawn.part(k), origin[k])
            for k in np.flatnonzero(~is_good).tolist()
        ]
    for place, poor, drawn, origin in left:
        rng = [rngs[int(np.flatnonzero(places == place[0])[0])]]
        found = best_of_moved(poor, draws, rng, drawn, origin)
        if found is not None:
            best.put(place, found, np.array([0]))


def best_of_moved(
    around: Proposal, draws: int, rng: Sources, drawn: BatchDraws, origin: NDArray[np.intp]
) -> BatchDraws | None:
    """Move one cohort's poor proposal by its own draws until these are good.

    Returns
    -------
    BatchDraws or None
        The best draws; None where there are none, or the posterior has not fallen off where none
        go.
    """
    best, of_best = drawn, around
    for degrees_of_freedom in MOVED_DEGREES_OF_FREEDOM:
        if not drawn.converged[0]:
            break
        around = moved(around, drawn, origin, degrees_of_freedom)
        if not around.effects.exists[0]:
            break
        drawn, origins = propose_and_weigh(around, draws, rng)
        origin = origins[0]
        is_good = drawn.is_good(ENOUGH_K, ENOUGH_ESS)[0]
        if is_good or drawn.is_better(best)[0]:
            best, of_best = drawn, around
        if is_good:
            break
    return best if best.converged[0] and reaches_tails(of_best)[0] else None


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
    deviation, log_proposal = around.effects.deviations(pairs, rngs)
    log_scale = None
    if around.scales is not None:
        log_scale, log_density = around.scales.draw(pairs, rngs)
        log_proposal += log_density
    effect = around.effects.effects(deviation, pairs)
    if around.has_one_mode:
        # no other part can have made the draw
        log_proposal += np.log(of_pairs(pairs / pairs_of(pairs), pairs))
        log_proposal, origin = log_proposal[:, None], around.own_part[:, None]
    else:
        log_proposal, origin, _ = around.log_mixture(effect, log_scale)
    log_hazard, log_ratio = hazards_and_density(around, deviation, pairs, origin, log_scale, rngs)
    log_ratio -= log_proposal
    return weigh(effect, log_hazard, log_scale, log_ratio, draws), flat(
        np.broadcast_to(origin, log_ratio.shape), draws
    )


def hazards_and_density(
    around: Proposal,
    deviation: NDArray,
    pairs: NDArray[np.intp],
    origin: NDArray[np.intp],
    log_scale: NDArray | None,
    rngs: Sources | None,
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Draw hazards for effects at the centres plus, and then minus, each deviation.

    Without a source of randomness hazards are put where their distributions are centred: what is
    returned last is then Laplace's approximation of the effects' own density.

    Returns
    -------
    log_hazard : (intervals, cohorts, 2, pairs) ndarray or None
    log_density : (cohorts, 2, pairs) ndarray
        Log posterior density over that of the drawn hazards.
    """
    sums, effect = around.targets.sums, around.effects.effects(deviation, pairs)
    weighted = sums.paired_exposures(around.effects.centre, deviation, pairs)
    log_hazard, log_density = around.hazards.draw(weighted, origin, log_scale, rngs)
    log_density += (effect @ sums.event_design[:, None, :, None])[:, :, :, 0]
    log_density += around.targets.log_effect_prior(effect)
    return log_hazard, log_density


def flat(values: NDArray, draws: int) -> NDArray:
    """From (cohorts, 2, pairs, ...) to (cohorts, draws, ...); of an odd number one is left out."""
    return values.reshape(len(values), -1, *values.shape[3:])[:, :draws]


def weigh(
    effect: NDArray,
    log_hazard: NDArray | None,
    log_scale: NDArray | None,
    log_ratio: NDArray,
    draws: int,
) -> BatchDraws:
    """Smooth and normalise the weights of draws."""
    log_ratio = flat(np.where(np.isfinite(log_ratio), log_ratio, -np.inf), draws)
    is_possible = np.isfinite(log_ratio).sum(axis=1) >= max(10, draws // 10)
    log_weight, pareto_k = pareto_smooth(np.where(is_possible[:, None], log_ratio, 0.0))
    weight = np.exp(log_weight)
    if log_scale is not None:
        log_scale = flat(np.stack([log_scale, log_scale], axis=1), draws)
    return BatchDraws(
        effect=flat(effect, draws),
        log_hazard=None if log_hazard is None else flat(np.moveaxis(log_hazard, 0, -1), draws),
        log_step_scale=log_scale,
        log_ratio=log_ratio,
        weight=weight,
        pareto_k=pareto_k,
        ess=1 / (weight**2).sum(axis=1),
        converged=is_possible,
    )


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
    return replace(around, effects=moved_effects, pairs=pairs)


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
    log_scale = None
    if around.scales is not None:
        log_scale = of_pairs(np.log(around.scales.typical), pairs)
    own = of_pairs(np.broadcast_to(np.arange(parts), pairs.shape), pairs)[:, None]
    _, log_density = hazards_and_density(around, deviation, pairs, own, log_scale, None)
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
    together, _, each = around.log_mixture(effects.effects(deviation, pairs), log_scale)
    own_density = np.take_along_axis(each, own[:, None], axis=1)[:, 0]
    is_hidden = (together <= own_density + math.log1p(LEAST_OF_OTHERS)).reshape(shape)
    is_hidden[..., -1] = False
    held = np.logaddexp.reduce(log_mass[:, 1, :, -1], axis=1)
    hidden = np.where(is_hidden, np.nan_to_num(log_mass, nan=-np.inf), -np.inf)
    return held - hidden.max(axis=(1, 2, 3)) >= least


def systematic(weight: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Resample by equally spaced points with one random start, in random order."""
    points = (np.arange(draws) + rng.uniform()) / draws
    chosen = np.searchsorted(np.cumsum(weight), points * (1 - 1e-12))
    return rng.permutation(np.minimum(chosen, len(weight) - 1))
