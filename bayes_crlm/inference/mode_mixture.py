"""Draws around several modes at once, weighted to the exact posterior.

Every mode has a proposal of its own, as `bayes_crlm.inference.importance` makes it around one. A
draw's density is that of the mixture of all (Veach & Guibas 1995, the balance heuristic), whichever
it came from, so that modes weigh against each other as the posterior weighs them. Hazards are drawn
given the effects by the component whose density is largest there, which is a function of the draw
alone.

References
----------
Veach & Guibas (1995), SIGGRAPH '95:419-428; Cappe, Guillin, Marin & Robert (2004), J Comput Graph
Stat 13:907-929 (mixtures moved by their own weights).
"""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import (
    FAR,
    is_wide_pair,
    least_fall,
    proposal_log_density,
)
from bayes_crlm.inference.hazards_given_effects import draw_hazards
from bayes_crlm.inference.proposal_parts import (
    ENOUGH_ESS,
    ENOUGH_K,
    MOVED_DEGREES_OF_FREEDOM,
    Part,
    WeightedDraws,
    draw_part,
    effect_priors_of,
    log_effect_prior,
    make_parts,
    weigh,
    worth,
)
from bayes_crlm.inference.several_modes import Component, places_between, vague_inputs
from bayes_crlm.inference.step_scales import walks_given

if TYPE_CHECKING:
    from bayes_crlm.likelihood.risk_sums import CohortSums
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["draw_around_several"]

# draws that each component has at least, as a share of what equal ones would have
LEAST_OF_EQUAL = 0.4
# draws, per effect, that a component's mean and covariance are taken from
LEAST_PER_EFFECT = 20
# of a part's own density far from its centre: with so much of others', their draws go there
LEAST_OF_OTHERS = 0.25


def draw_around_several(
    inputs: "PreparedCohort",
    sums: "CohortSums",
    components: list[Component],
    draws: int,
    rng: np.random.Generator,
) -> WeightedDraws | None:
    """Propose draws around several modes, and weigh them together.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    sums : CohortSums
        Of `inputs`.
    components : list of Component
        Two or more.
    draws : int
        Number of proposals.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    WeightedDraws or None
        None where a component has no proposal, hardly a draw is possible, or a tail is not reached.
    """
    shares = np.array([each.share for each in components])
    of_component: list[list[Part]] = []
    between: list[list[Part]] = []
    for each in components:
        around = vague_inputs(inputs) if each.is_vague else inputs
        start = (each.mode.log_hazard, each.mode.effect)
        parts = make_parts(around, sums, (draws + 1) // 2, start=start)
        if not parts:
            return None
        of_component.append(parts)
        if each.is_vague:
            between = parts_between(parts, inputs)
    of_component += between
    # by how much they hold, nothing is known of them yet
    shares = np.concatenate([shares, np.zeros(len(between))])
    best, best_parts = None, []
    for degrees_of_freedom in (*MOVED_DEGREES_OF_FREEDOM, None):
        parts = allotted(of_component, shares, draws)
        found = propose_and_weigh_all(parts, inputs, sums, draws, rng)
        if found is None:
            break
        drawn, origin = found
        is_good = drawn.pareto_k <= ENOUGH_K and drawn.ess >= ENOUGH_ESS * draws
        if is_good or best is None or worth(drawn) > worth(best):
            best, best_parts = drawn, parts
        if is_good or degrees_of_freedom is None:
            break
        of_component, shares = moved(of_component, drawn, origin, degrees_of_freedom)
    if best is None or not reaches_tails(best_parts, inputs, sums):
        return None
    return best


def parts_between(vague: list[Part], inputs: "PreparedCohort") -> list[list[Part]]:
    """Make parts where some t priors hold their columns and the likelihood has the others.

    Parameters
    ----------
    vague : list of Part
        Around the likelihood's mode without the Student t priors.
    inputs : PreparedCohort

    Returns
    -------
    list of list of Part
        One part of each in `vague`, for every place.
    """
    found: list[list[Part]] = []
    for part in vague:
        factor = part.proposal.factor
        places = places_between(inputs, part.proposal.centre, factor @ factor.T)
        found += [[] for _ in places[len(found) :]]
        for some, (centre, spread) in zip(found, places, strict=False):
            proposal = replace(part.proposal, centre=centre, factor=np.linalg.cholesky(spread))
            some.append(replace(part, proposal=proposal))
    return [each for each in found if each]


def allotted(of_component: list[list[Part]], shares: NDArray, draws: int) -> list[Part]:
    """Share out the draws to all parts of all components, none of which gets hardly any."""
    least = LEAST_OF_EQUAL / len(shares)
    shares = least + (1 - LEAST_OF_EQUAL) * shares / shares.sum()
    parts = []
    for share, some in zip(shares, of_component, strict=True):
        total = sum(part.pairs for part in some)
        parts += [
            replace(part, pairs=max(1, round(0.5 * draws * share * part.pairs / total)))
            for part in some
        ]
    # rounding goes to the largest
    largest = int(np.argmax([part.pairs for part in parts]))
    left = (draws + 1) // 2 - sum(part.pairs for part in parts)
    parts[largest] = replace(parts[largest], pairs=parts[largest].pairs + left)
    return parts


def propose_and_weigh_all(
    parts: list[Part],
    inputs: "PreparedCohort",
    sums: "CohortSums",
    draws: int,
    rng: np.random.Generator,
) -> tuple[WeightedDraws, NDArray[np.intp]] | None:
    """Draw effects, and step scales, from the mixture; then hazards; and weigh them.

    Returns
    -------
    WeightedDraws, (draws,) ndarray of int
        And which part is likeliest to have made each draw; None where hardly a draw is possible.
    """
    effects, log_scales = [], []
    for part in parts:
        deviation, _ = part.proposal.deviations(part.pairs, rng)
        centre = part.proposal.centre
        effects.append(np.concatenate([centre + deviation, centre - deviation]))
        if part.scales is not None:
            log_scales.append(part.scales.draw(2 * part.pairs, rng)[0])
    effect = np.concatenate(effects)
    log_scale = np.concatenate(log_scales) if log_scales else None
    log_density, origin = mixture_log_density(parts, effect, log_scale)
    n_intervals = len(sums.events)
    log_hazard = np.empty((len(effect), n_intervals))
    log_ratio = effect @ sums.event_design - log_density
    for k, part in enumerate(parts):
        mine = np.flatnonzero(origin == k)
        if not len(mine):
            continue
        weighted = sums.weighted_exposures(effect[mine])
        if part.scales is None or log_scale is None:
            log_hazard[mine], ratio = draw_hazards(weighted, part.mode, inputs, sums, rng)
        else:
            log_hazard[mine], ratio = walks_given(
                weighted, log_scale[mine], part.scales, inputs, sums, rng
            )
        log_ratio[mine] += ratio
    log_ratio += log_effect_prior(effect, inputs)
    # an odd number of draws was raised by one
    kept = slice(0, draws)
    step = None if log_scale is None else log_scale[kept]
    drawn = weigh(effect[kept], log_hazard[kept], step, log_ratio[kept])
    return None if drawn is None else (drawn, origin[kept])


def mixture_log_density(
    parts: list[Part], effect: NDArray, log_scale: NDArray | None
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Log density of effects and log step scales under all parts together.

    Parameters
    ----------
    parts : list of Part
        With their numbers of pairs.
    effect : (draws, terms) ndarray
    log_scale : (draws,) ndarray or None
        Where log-hazards are a random walk.

    Returns
    -------
    log_density : (draws,) ndarray
    origin : (draws,) ndarray of int
        The part whose density, times its share, is largest.
    """
    total = sum(part.pairs for part in parts)
    each = np.empty((len(parts), len(effect)))
    for k, part in enumerate(parts):
        each[k] = effect_log_density(part, effect) + math.log(part.pairs / total)
        if part.scales is not None and log_scale is not None:
            each[k] += part.scales.log_density(log_scale)
    return np.logaddexp.reduce(each, axis=0), each.argmax(axis=0)


def effect_log_density(part: Part, effect: NDArray) -> NDArray[np.float64]:
    """Log density of effects under a part's own proposal, shape (draws,)."""
    proposal = part.proposal
    standard = np.linalg.solve(proposal.factor, (effect - proposal.centre).T).T
    wide_share = float(is_wide_pair(part.pairs).mean())
    log_density = proposal_log_density(
        standard, proposal.degrees_of_freedom, proposal.wide_degrees_of_freedom, wide_share
    )
    return log_density - float(np.log(np.diag(proposal.factor)).sum())


def moved(
    of_component: list[list[Part]],
    drawn: WeightedDraws,
    origin: NDArray[np.intp],
    degrees_of_freedom: float,
) -> tuple[list[list[Part]], NDArray[np.float64]]:
    """Move every part to the weighted mean and covariance of its draws, and share out anew.

    A part with too few draws to tell stays as it is.
    """
    of_new, shares, k = [], [], 0
    for some in of_component:
        new, share = [], 0.0
        for part in some:
            weight, effect = drawn.weight[origin == k], drawn.effect[origin == k]
            share += float(weight.sum())
            new.append(moved_part(part, weight, effect, degrees_of_freedom))
            k += 1
        of_new.append(new)
        shares.append(share)
    return of_new, np.array(shares)


def moved_part(part: Part, weight: NDArray, effect: NDArray, degrees_of_freedom: float) -> Part:
    """Move one part, where its draws are worth enough."""
    total = weight.sum()
    if not total > 0 or total**2 / (weight @ weight) < LEAST_PER_EFFECT * effect.shape[1]:
        return part
    weight = weight / total
    centre = weight @ effect
    deviation = effect - centre
    try:
        factor = np.linalg.cholesky((deviation * weight[:, None]).T @ deviation)
    except np.linalg.LinAlgError:
        return part
    proposal = replace(
        part.proposal, centre=centre, factor=factor, degrees_of_freedom=degrees_of_freedom
    )
    return replace(part, proposal=proposal)


def reaches_tails(parts: list[Part], inputs: "PreparedCohort", sums: "CohortSums") -> bool:
    """Whether the posterior has fallen off where no part's draws go.

    As `bayes_crlm.inference.importance.reaches_tails`, with two differences: what a part's spread
    would hold far away is measured against all that the parts hold, and where another part's draws
    go nothing need fall.
    """
    total = sum(part.pairs for part in parts)
    held, hidden = [], []
    for part in parts:
        far = FAR * part.proposal.factor.T
        deviation = np.concatenate([far, np.zeros((1, len(far)))])
        effect, _, log_scale, log_density = draw_part(part, deviation, inputs, sums, None)
        log_density = log_density + log_effect_prior(effect, inputs)
        # Laplace's approximation of a mass, but for a constant
        log_density += float(np.log(np.diag(part.proposal.factor)).sum())
        own = effect_log_density(part, effect) + math.log(part.pairs / total)
        if part.scales is not None:
            own += part.scales.log_density(log_scale)
        together, _ = mixture_log_density(parts, effect, log_scale if inputs.has_walk else None)
        is_hidden = together <= own + math.log1p(LEAST_OF_OTHERS)
        is_hidden &= np.any(effect != effect[-1], axis=1)
        held.append(log_density[-1])
        # not a number: relative hazards too large for one, where the density is next to nothing
        hidden.append(np.nan_to_num(log_density[is_hidden], nan=-np.inf).max(initial=-np.inf))
    fall = np.logaddexp.reduce(held) - max(hidden)
    return bool(fall >= least_fall(*effect_priors_of(inputs)))
