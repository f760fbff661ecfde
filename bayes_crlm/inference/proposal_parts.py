"""Parts of a proposal around a mode: their draws, and weights that make these the posterior's."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import (
    DEGREES_OF_FREEDOM,
    EffectProposal,
    wide_degrees_of_freedom,
)
from bayes_crlm.inference.hazards_given_effects import draw_hazards
from bayes_crlm.inference.mode import PosteriorMode, posterior_mode
from bayes_crlm.inference.psis import PARETO_K_MOST, pareto_smooth, tail_effective_sizes
from bayes_crlm.inference.step_scales import StepScales, draw_walks, step_scales
from bayes_crlm.likelihood.risk_sums import CohortSums
from bayes_crlm.model.priors import EffectPrior, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "ENOUGH_ESS",
    "ENOUGH_K",
    "FIRST_RISE_TOLERANCE",
    "FIRST_STEP_SCALE",
    "MOVED_DEGREES_OF_FREEDOM",
    "RANGE_ENDS",
    "RISE_TOLERANCE",
    "Part",
    "WeightedDraws",
    "draw_part",
    "effect_priors_of",
    "first_step_scale",
    "log_effect_prior",
    "make_parts",
    "moved_parts",
    "proposal_around",
    "propose_and_weigh",
    "weigh",
    "worth",
]


# of the proposal after a poor one, each time it is moved
MOVED_DEGREES_OF_FREEDOM = (10.0, 5.0, 5.0)
# a proposal is moved by its own weights when its draws are worth less than this, or k is larger
ENOUGH_ESS, ENOUGH_K = 0.5, 0.5
# effects depend a little on a random walk's step scale: the ranges below and above this
# probability have modes of their own
RANGE_ENDS = (0.2,)
# of the prior's scale: to start with, where a step scale is not known yet
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

    def vectors(self, inputs: "PreparedCohort", chosen: NDArray | slice) -> NDArray[np.float64]:
        """Unconstrained vectors of chosen draws, in the order of `model_parameters`."""
        effect, log_hazard = self.effect[chosen], self.log_hazard[chosen]
        if self.log_step_scale is None:
            return np.concatenate([effect, log_hazard], axis=1)
        log_scale = self.log_step_scale[chosen, None]
        share = inputs.intervals.events / inputs.intervals.events.sum()
        steps = np.diff(log_hazard, axis=1) / (np.exp(log_scale) * np.sqrt(inputs.step_variances))
        level = (log_hazard @ share)[:, None]
        return np.concatenate([effect, log_scale, steps, level], axis=1)


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


def worth(drawn: WeightedDraws) -> tuple[bool, float]:
    """Order weighted draws: those that can be used before others, then by effective size."""
    return drawn.pareto_k <= PARETO_K_MOST, drawn.ess


def make_parts(
    inputs: "PreparedCohort",
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
    if not inputs.has_walk:
        mode = posterior_mode(inputs, start=start, sums=sums, rise_tolerance=RISE_TOLERANCE)
        proposal = proposal_around(mode, inputs)
        return [] if proposal is None else [Part(mode, proposal, pairs, None)]
    mode = posterior_mode(
        inputs,
        step_scale=first_step_scale(inputs),
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


def first_step_scale(inputs: "PreparedCohort") -> float | None:
    """Step scale that the search for a mode starts with; None where there is no walk."""
    return FIRST_STEP_SCALE * inputs.walk_prior.step_scale_sd if inputs.has_walk else None


def proposal_around(mode: PosteriorMode, inputs: "PreparedCohort") -> EffectProposal | None:
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
    inputs: "PreparedCohort",
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
    inputs: "PreparedCohort",
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
    return weigh(effect, log_hazard, log_scale if inputs.has_walk else None, log_ratio)


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


def effect_priors_of(inputs: "PreparedCohort") -> list[EffectPrior]:
    """Priors that the model's effects have."""
    return [inputs.treatment_prior, *[inputs.covariate_prior][: inputs.n_covariate_terms]]


def log_effect_prior(effect: NDArray, inputs: "PreparedCohort") -> NDArray[np.float64]:
    """Log prior density of effects, shape (draws,)."""
    split = inputs.n_treatment_terms
    total = simple_prior(inputs.treatment_prior).log_density(effect[:, :split]).sum(axis=1)
    if inputs.n_covariate_terms:
        total += simple_prior(inputs.covariate_prior).log_density(effect[:, split:]).sum(axis=1)
    return total
