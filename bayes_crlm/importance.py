"""Draws around the posterior mode, weighted to the exact posterior: `engine = "laplace"`.

Effects are proposed from a multivariate t around the mode of their posterior, in mirrored pairs
whose second moments are exact, one pair in ten wider (`bayes_crlm.effect_proposals`); log-hazards
from their nearly exact conditional distribution given the effects
(`bayes_crlm.hazards_given_effects`); a random walk's step scale before them, from narrow cells with
weights by Laplace's approximation. Pareto-smoothed weights correct what is left; their shape k
says whether that worked. A poor proposal is moved to the weighted mean and covariance of its own
draws and tried again.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Hammersley & Morton (1956), Math Proc Camb
Philos Soc 52:449-475 (mirrored pairs); Cappe, Guillin, Marin & Robert (2004), J Comput Graph
Stat 13:907-929 (proposals moved by their own weights); Vehtari, Simpson, Gelman, Yao & Gabry
(2024), JMLR 25(72).
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.effect_proposals import (
    DEGREES_OF_FREEDOM,
    FAR,
    EffectProposal,
    least_fall,
    wide_degrees_of_freedom,
)
from bayes_crlm.exposure import CohortSums
from bayes_crlm.hazards_given_effects import (
    StepScales,
    draw_hazards,
    draw_walks,
    has_walk,
    step_scales,
)
from bayes_crlm.laplace import PosteriorMode, posterior_mode
from bayes_crlm.likelihood import cohort_log_likelihood
from bayes_crlm.parameters import (
    constrain,
    effects,
    log_hazards,
    log_jacobian,
    log_prior,
    model_parameters,
)
from bayes_crlm.priors import EffectPrior, Horseshoe, simple_prior
from bayes_crlm.psis import PARETO_K_MOST, pareto_smooth, tail_effective_sizes
from bayes_crlm.several_modes import find_components

if TYPE_CHECKING:
    from bayes_crlm.model import ModelInputs

__all__ = [
    "PARETO_K_MOST",
    "ImportanceDraws",
    "WeightedDraws",
    "log_target",
    "problem_of",
    "sample_importance",
    "weighted_draws",
]

# of the proposal after a poor one, each time it is moved
MOVED_DEGREES_OF_FREEDOM = (10.0, 5.0, 5.0)
# as a share of the draws: with fewer the proposal is no approximation
LEAST_ESS = 0.1
# a proposal is moved by its own weights when its draws are worth less than this, or k is larger
ENOUGH_ESS, ENOUGH_K = 0.5, 0.5
# effects depend a little on a random walk's step scale: the ranges below and above this
# probability have modes of their own
RANGE_ENDS = (0.2,)
# k needs a tail to be estimated from, however few draws are asked for
LEAST_PROPOSALS = 1000
# to start with, where a step scale is not known yet
FIRST_STEP_SCALE = 0.5
# a proposal's centre need not be the mode to more digits than its draws can tell
RISE_TOLERANCE, FIRST_RISE_TOLERANCE = 1e-6, 1e-3


@dataclass(frozen=True)
class WeightedDraws:
    """Draws from a proposal, weighted to the posterior.

    Attributes
    ----------
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_hazard : (draws, intervals) ndarray
        At the covariates' means.
    log_step_scale : (draws,) ndarray or None
        Of a random walk over more than one interval.
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood / density of the proposal); minus infinity where a draw is
        impossible.
    weight : (draws,) ndarray
        Pareto-smoothed, adding up to 1.
    pareto_k : float
        Shape of the ratios' tail; above 0.7 the draws are not to be used, nan when it could not
        be estimated.
    ess : float
        Importance effective sample size, 1 / sum of squared weights.
    """

    effect: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    log_step_scale: NDArray[np.float64] | None
    log_ratio: NDArray[np.float64]
    weight: NDArray[np.float64]
    pareto_k: float
    ess: float

    @cached_property
    def ess_tail(self) -> NDArray[np.float64]:
        """Effective draws behind each term's 95% limits, shape (terms,)."""
        return tail_effective_sizes(self.effect, self.weight)

    def vectors(self, inputs: "ModelInputs", chosen: NDArray | slice) -> NDArray[np.float64]:
        """Unconstrained vectors of chosen draws, in the order of `model_parameters`."""
        effect, log_hazard = self.effect[chosen], self.log_hazard[chosen]
        if self.log_step_scale is None:
            return np.concatenate([effect, log_hazard], axis=1)
        log_scale = self.log_step_scale[chosen, None]
        share = inputs.intervals.events / inputs.intervals.events.sum()
        steps = np.diff(log_hazard, axis=1) / np.exp(log_scale)
        level = (log_hazard @ share)[:, None]
        return np.concatenate([effect, log_scale, steps, level], axis=1)


@dataclass(frozen=True)
class ImportanceDraws:
    """Equally weighted draws made by importance resampling.

    Attributes
    ----------
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `bayes_crlm.parameters.model_parameters`.
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


def sample_importance(inputs: "ModelInputs", draws: int, seed: int) -> ImportanceDraws:
    """Draw from the posterior by importance resampling around its mode.

    Parameters
    ----------
    inputs : ModelInputs
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
    rng = np.random.default_rng([seed, 2])
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


def problem_of(weighted: WeightedDraws) -> str | None:
    """Say why weighted draws are not to be used; None where they are."""
    draws = len(weighted.weight)
    if not weighted.pareto_k <= PARETO_K_MOST:
        return f"Pareto k of its weights is {weighted.pareto_k:.2f}, above {PARETO_K_MOST}"
    if not weighted.ess >= LEAST_ESS * draws:
        return f"{draws:,} draws are worth only {weighted.ess:,.0f}"
    tail = float(weighted.ess_tail.min())
    if not tail >= LEAST_ESS * draws:
        return f"{draws:,} draws are worth only {tail:,.0f} at a 95% limit"
    return None


@dataclass(frozen=True)
class Part:
    """A part of the proposal: all of it, or that of a range of step scales.

    Attributes
    ----------
    mode : PosteriorMode
        Of the posterior, given the range's typical step scale.
    proposal : EffectProposal
        Of the effects.
    pairs : int
        Mirrored pairs to draw.
    scales : StepScales or None
        The range, where log-hazards are a random walk.
    """

    mode: PosteriorMode
    proposal: EffectProposal
    pairs: int
    scales: StepScales | None


def weighted_draws(
    inputs: "ModelInputs", draws: int, rng: np.random.Generator
) -> WeightedDraws | None:
    """Propose draws around the posterior mode and weigh them.

    Parameters
    ----------
    inputs : ModelInputs
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
    if inputs.n_covariate_terms and isinstance(inputs.covariate_prior, Horseshoe):
        raise ValueError("a horseshoe's posterior has no useful mode; use engine 'nuts'")
    sums = CohortSums(inputs.density_data)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        components = find_components(inputs, sums, FIRST_STEP_SCALE if has_walk(inputs) else None)
        if len(components) > 1:
            from bayes_crlm.mode_mixture import draw_around_several

            return draw_around_several(inputs, sums, components, draws, rng)
        start = [(each.mode.log_hazard, each.mode.effect) for each in components]
        parts = make_parts(inputs, sums, (draws + 1) // 2, start=start[0] if start else None)
        best, best_parts = None, []
        for degrees_of_freedom in (*MOVED_DEGREES_OF_FREEDOM, None):
            drawn = propose_and_weigh(parts, inputs, sums, draws, rng) if parts else None
            if drawn is None:
                break
            is_good = drawn.pareto_k <= ENOUGH_K and drawn.ess >= ENOUGH_ESS * draws
            # else by what the draws are worth: the smallest of several k would be a flattering one
            if is_good or best is None or worth(drawn) > worth(best):
                best, best_parts = drawn, parts
            if is_good or degrees_of_freedom is None:
                break
            parts = moved_parts(parts, drawn, degrees_of_freedom)
        if best is None or not reaches_tails(best_parts, inputs, sums):
            return None
    return best


def worth(drawn: WeightedDraws) -> tuple[bool, float]:
    """Order weighted draws: those that can be used before others, then by effective size."""
    return drawn.pareto_k <= PARETO_K_MOST, drawn.ess


def reaches_tails(parts: list[Part], inputs: "ModelInputs", sums: CohortSums) -> bool:
    """Whether the posterior has fallen off where no draws of the proposal go.

    Weights say nothing of a tail without draws: under separation and a vague prior the density
    hardly falls on one side, however far one goes.
    """
    for part in parts:
        # along each column of the scale's square root, far away on both sides; the centre last
        far = FAR * part.proposal.factor.T
        deviation = np.concatenate([far, np.zeros((1, len(far)))])
        effect, _, _, log_density = draw_part(part, deviation, inputs, sums, None)
        log_density += log_effect_prior(effect, inputs)
        fall = log_density[-1] - log_density[np.any(effect != effect[-1], axis=1)]
        # not a number: relative hazards too large for one, where the density is next to nothing
        if np.any(fall < least_fall(*effect_priors_of(inputs))):
            return False
    return True


def make_parts(
    inputs: "ModelInputs",
    sums: CohortSums,
    pairs: int,
    start: tuple[NDArray, NDArray] | None = None,
) -> list[Part]:
    """Find the mode, or for a random walk that of several ranges of its step scale.

    Parameters
    ----------
    inputs, sums
        The cohort.
    pairs : int
        Mirrored pairs of all parts together.
    start : (intervals,) ndarray and (terms,) ndarray, optional
        As for `posterior_mode`.

    Returns
    -------
    list of Part
        Empty where a mode was not found.
    """
    if not has_walk(inputs):
        mode = posterior_mode(inputs, start=start, sums=sums, rise_tolerance=RISE_TOLERANCE)
        proposal = proposal_around(mode, inputs)
        return [] if proposal is None else [Part(mode, proposal, pairs, None)]
    mode = posterior_mode(
        inputs,
        step_scale=FIRST_STEP_SCALE,
        start=start,
        sums=sums,
        rise_tolerance=FIRST_RISE_TOLERANCE,
    )
    all_scales = step_scales(sums.weighted_exposure(mode.effect), inputs, sums)
    parts, left = [], pairs
    for probability, scales in [] if all_scales is None else all_scales.ranges(RANGE_ENDS):
        start = (mode.log_hazard, mode.effect)
        mode = posterior_mode(
            inputs,
            step_scale=scales.typical,
            start=start,
            sums=sums,
            rise_tolerance=RISE_TOLERANCE,
        )
        proposal = proposal_around(mode, inputs)
        if proposal is None:
            return []
        here = min(left, max(1, round(pairs * probability)))
        left -= here
        parts.append(Part(mode, proposal, here, scales))
    if parts:
        parts[-1] = replace(parts[-1], pairs=parts[-1].pairs + left)
    return [part for part in parts if part.pairs]


def proposal_around(mode: PosteriorMode, inputs: "ModelInputs") -> EffectProposal | None:
    """Propose effects around a mode, with the covariance that the information implies."""
    if not mode.converged:
        return None
    n_intervals = len(mode.log_hazard)
    try:
        covariance = np.linalg.inv(mode.information)[n_intervals:, n_intervals:]
        factor = np.linalg.cholesky((covariance + covariance.T) / 2)
    except np.linalg.LinAlgError:
        return None
    wide = wide_degrees_of_freedom(*effect_priors_of(inputs))
    return EffectProposal(mode.effect, factor, DEGREES_OF_FREEDOM, wide)


def moved_parts(parts: list[Part], drawn: WeightedDraws, degrees_of_freedom: float) -> list[Part]:
    """Move every part to the weighted mean and covariance of its draws, with heavier tails."""
    moved, first = [], 0
    for part in parts:
        rows = slice(first, first + 2 * part.pairs)
        first = rows.stop
        effect, weight = drawn.effect[rows], drawn.weight[rows]
        weight = weight / weight.sum()
        centre = weight @ effect
        deviation = effect - centre
        try:
            factor = np.linalg.cholesky((deviation * weight[:, None]).T @ deviation)
        except np.linalg.LinAlgError:
            return []
        wide = part.proposal.wide_degrees_of_freedom
        proposal = EffectProposal(centre, factor, degrees_of_freedom, wide)
        moved.append(replace(part, proposal=proposal))
    return moved


def draw_part(
    part: Part,
    deviation: NDArray,
    inputs: "ModelInputs",
    sums: CohortSums,
    rng: np.random.Generator | None,
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Draw hazards for effects at the centre plus, and then minus, each deviation.

    Without a source of randomness hazards are put where their distributions are centred: what is
    returned last is then Laplace's approximation of the effects' own density.

    Returns
    -------
    effect : (2 x pairs, terms) ndarray
    log_hazard : (2 x pairs, intervals) ndarray
    log_step_scale : (2 x pairs,) ndarray
        Empty without a random walk.
    log_density : (2 x pairs,) ndarray
        Log posterior density but for the prior of the effects, over that of the drawn hazards.
    """
    centre = part.proposal.centre
    effect = np.concatenate([centre + deviation, centre - deviation])
    weighted = sums.paired_exposures(centre, deviation)
    if part.scales is None:
        log_scale = np.empty(0)
        log_hazard, log_density = draw_hazards(weighted, part.mode, inputs, sums, rng)
    else:
        log_hazard, log_scale, log_density = draw_walks(weighted, part.scales, inputs, sums, rng)
    return effect, log_hazard, log_scale, log_density + effect @ sums.event_design


def propose_and_weigh(
    parts: list[Part],
    inputs: "ModelInputs",
    sums: CohortSums,
    draws: int,
    rng: np.random.Generator,
) -> WeightedDraws | None:
    """Draw effects and then hazards, and weigh them; None where hardly a draw is possible."""
    total = sum(part.pairs for part in parts)
    pieces = []
    for part in parts:
        deviation, log_proposal = part.proposal.deviations(part.pairs, rng)
        *drawn, log_ratio = draw_part(part, deviation, inputs, sums, rng)
        log_ratio -= np.tile(log_proposal, 2) + math.log(part.pairs / total)
        pieces.append((*drawn, log_ratio))
    effect, log_hazard, log_scale, log_ratio = (
        np.concatenate(piece)[:draws] for piece in zip(*pieces, strict=True)
    )
    log_ratio += log_effect_prior(effect, inputs)
    return weigh(effect, log_hazard, log_scale if has_walk(inputs) else None, log_ratio)


def weigh(
    effect: NDArray, log_hazard: NDArray, log_step_scale: NDArray | None, log_ratio: NDArray
) -> WeightedDraws | None:
    """Smooth and normalise the weights of draws; None where hardly a draw is possible."""
    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    if np.isfinite(log_ratio).sum() < max(10, len(log_ratio) // 10):
        return None
    log_weight, pareto_k = pareto_smooth(log_ratio)
    weight = np.exp(log_weight)
    return WeightedDraws(
        effect=effect,
        log_hazard=log_hazard,
        log_step_scale=log_step_scale,
        log_ratio=log_ratio,
        weight=weight,
        pareto_k=float(pareto_k),
        ess=float(1 / (weight @ weight)),
    )


def effect_priors_of(inputs: "ModelInputs") -> list[EffectPrior]:
    """Priors that the model's effects have."""
    return [inputs.treatment_prior, *[inputs.covariate_prior][: inputs.n_covariate_terms]]


def log_effect_prior(effect: NDArray, inputs: "ModelInputs") -> NDArray[np.float64]:
    """Log prior density of effects, shape (draws,)."""
    split = inputs.n_treatment_terms
    total = simple_prior(inputs.treatment_prior).log_density(effect[:, :split]).sum(axis=1)
    if inputs.n_covariate_terms:
        total += simple_prior(inputs.covariate_prior).log_density(effect[:, split:]).sum(axis=1)
    return total


def systematic(weight: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Resample by equally spaced points with one random start, in random order."""
    points = (np.arange(draws) + rng.uniform()) / draws
    chosen = np.searchsorted(np.cumsum(weight), points * (1 - 1e-12))
    return rng.permutation(np.minimum(chosen, len(weight) - 1))


def log_target(vectors: NDArray, inputs: "ModelInputs") -> NDArray:
    """Log posterior density of unconstrained vectors, shape (draws,)."""
    parameters = model_parameters(inputs)
    values = constrain(vectors, parameters)
    total = log_jacobian(vectors, parameters)
    for each in log_prior(values, inputs).values():
        total = total + each.sum(axis=-1)
    return total + cohort_log_likelihood(
        log_hazards(values, inputs), effects(values, inputs), inputs.density_data
    )
