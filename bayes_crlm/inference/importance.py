"""Draws around posterior modes, weighted to the exact posterior: `engine = "laplace"`.

Effects are proposed from normal distributions around the modes of their posterior, in mirrored
pairs at several scrambles of Sobol points, one pair in ten wider
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
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws, WeightedDraws
from bayes_crlm.inference.groups import sample_with_groups
from bayes_crlm.inference.layout import Layout
from bayes_crlm.inference.proposal import (
    Proposal,
    proposal_around,
    proposal_around_several,
    proposal_over_scales,
)
from bayes_crlm.inference.proposal_draws import moved, propose_and_weigh, reaches_tails
from bayes_crlm.inference.several_modes import (
    find_components,
    first_modes,
    first_step_scales,
    may_have_several_modes,
)
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.priors import Horseshoe
from bayes_crlm.tasks.streams import Stream, random_stream
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from bayes_crlm.model.density import BlockModel
    from bayes_crlm.model.prepared import PreparedCohort

# k needs a tail to be estimated from, however few draws are asked for
LEAST_PROPOSALS = 1000
# a proposal is moved by its own weights when its draws are worth less than this, or k is larger
ENOUGH_ESS, ENOUGH_K = 0.5, 0.5
# of the proposal after a poor one, each time it is moved
MOVED_DEGREES_OF_FREEDOM = (10.0, 5.0, 5.0)
# draws x intervals that are worked on together, so that arrays stay in a processor's cache
ENTRIES_IN_CACHE = 2**16

Sources = list[np.random.Generator]


@record
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
    scramble : (draws,) ndarray of int
        Which scramble of Sobol points each draw comes from.
    """

    vectors: NDArray[np.float64]
    pareto_k: float
    ess: float
    converged: bool
    weighted: WeightedDraws
    scramble: NDArray[np.int64]


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
        vectors=np.empty((0, 0)),
        scramble=np.empty(0, dtype=np.int64),
    ),
    scramble=np.empty(0, dtype=np.int64),
)


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
    chosen = resampled(weighted, draws, rng)
    return ImportanceDraws(
        vectors=weighted.vectors[chosen],
        pareto_k=weighted.pareto_k,
        ess=min(weighted.ess, float(draws)),
        converged=True,
        weighted=weighted,
        scramble=weighted.scramble[chosen],
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
    return sample_model(inputs.block_model, draws, rng)


def sample_model(model: "BlockModel", draws: int, rng: np.random.Generator) -> WeightedDraws | None:
    """Propose draws from any model of blocks, and weigh them; see `weighted_draws`.

    Parameters
    ----------
    model : BlockModel
        One for which `bayes_crlm.inference.layout.why_not_approximated` says nothing.
    draws, rng
        As for `weighted_draws`.
    """
    layout = Layout.of(model)
    return layout.weighted(sample_batch(Targets.of_layout(layout), draws, [rng]))


def sample_batch(
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
    if targets.grouped is not None:
        return sample_with_groups(targets, targets.grouped, 2 * ((draws + 1) // 2), rngs[0])
    n_intervals = targets.n_intervals if keeps_hazards else None
    has_scale = targets.scale_prior is not None
    best = BatchDraws.none(
        len(targets), draws, targets.n_effects, n_intervals, targets.has_walk, has_scale
    )
    pairs = (draws + 1) // 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        if has_scale:
            around = proposal_over_scales(targets, pairs, keeps_hazards)
            sample_rounds(around, draws, rngs, best, np.arange(1))
            return best
        near = first_modes(targets)
        has_several = may_have_several_modes(targets, near)
        plain = np.flatnonzero(~has_several)
        if len(plain):
            start = near.part(plain)
            some = targets if len(plain) == len(targets) else targets.part(plain)
            around = proposal_around(some, start, pairs, keeps_hazards)
            sample_rounds(around, draws, [rngs[k] for k in plain], best, plain)
        for k in np.flatnonzero(has_several).tolist():
            one = targets.part(np.array([k]))
            components = find_components(one, first_step_scales(one))
            if components:
                around = proposal_around_several(one, components, pairs, keeps_hazards)
            else:
                around = proposal_around(one, near.part(np.array([k])), pairs, keeps_hazards)
            sample_rounds(around, draws, [rngs[k]], best, np.array([k]))
    return best


def sample_rounds(
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
    size = max(1, ENTRIES_IN_CACHE // draws)
    reached = reaches_tails(around)
    for first in range(0, len(places), size):
        here = np.arange(first, min(first + size, len(places)))
        some = around if len(here) == len(places) else around.part(here)
        drawn, origin = propose_and_weigh(some, draws, [rngs[k] for k in here])
        is_good = drawn.is_good(ENOUGH_K, ENOUGH_ESS)
        kept = is_good & reached[here]
        best.put(places[here[kept]], drawn, np.flatnonzero(kept))
        for k in np.flatnonzero(~is_good).tolist():
            which = np.array([k])
            rng = [rngs[here[k]]]
            found = best_of_moved(some.part(which), draws, rng, drawn.part(k), origin[k])
            if found is not None:
                best.put(places[here[which]], found, np.array([0]))


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


def resampled(weighted: WeightedDraws, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Resample each scramble by itself, so that noise is its own, in proportion to its weight.

    Neighbours in the first treatment effect stand in for each other: less noise in its posterior.
    The order is random.
    """
    of_scrambles = np.bincount(weighted.scramble, weights=weighted.weight)
    shares = np.bincount(systematic(of_scrambles, draws, rng), minlength=len(of_scrambles))
    chosen = []
    for scramble, share in enumerate(shares.tolist()):
        own = np.flatnonzero(weighted.scramble == scramble)
        own = own[np.argsort(weighted.effect[own, 0])]
        chosen.append(own[systematic(weighted.weight[own], share, rng)])
    return rng.permutation(np.concatenate(chosen))


def systematic(weight: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Places chosen in proportion to weights, by equally spaced points with one random start."""
    reached = np.cumsum(weight)
    points = (np.arange(draws) + rng.uniform()) / max(draws, 1) * reached[-1]
    return np.minimum(np.searchsorted(reached, points * (1 - 1e-12)), len(weight) - 1)
