"""Importance-sampled draws of many cohorts, with NumPy.

The method is that of `bayes_crlm.importance`: effects from a multivariate t around the mode, in
mirrored pairs; hazards given them from gamma distributions; Pareto-smoothed weights. Every cohort
has its own random numbers, so that nothing depends on which cohorts are in a block. Cohorts with
poor weights, and random walks, whose step scale needs ranges of its own, are left to
`bayes_crlm.importance` one by one.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.batch.modes import (
    BlockSums,
    Modes,
    baseline_prior_sd,
    effect_priors,
    find_modes,
)
from bayes_crlm.importance import (
    DEGREES_OF_FREEDOM,
    ENOUGH_ESS,
    ENOUGH_K,
    FAR,
    LEAST_FALL,
    PAIRS_PER_EFFECT,
    weighted_draws,
)
from bayes_crlm.priors import GammaProcess, RandomWalk, SimplePrior
from bayes_crlm.psis import pareto_smooth

if TYPE_CHECKING:
    from bayes_crlm.batch.blocks import CohortBlock
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["BlockDraws", "draw_block"]


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
        As in `bayes_crlm.importance.WeightedDraws`.
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

    def put(self, which: NDArray[np.intp], drawn: "BlockDraws", chosen: NDArray) -> None:
        """Replace the draws of cohorts `which` by chosen ones of other draws."""
        for name in self.__dataclass_fields__:
            getattr(self, name)[which] = getattr(drawn, name)[chosen]


def draw_block(
    block: "CohortBlock", model: "PiecewiseExponential", draws: int, seeds: NDArray
) -> BlockDraws:
    """Draw from the posterior of every cohort of a block.

    Parameters
    ----------
    block : CohortBlock
        The cohorts.
    model : PiecewiseExponential
        No horseshoe prior.
    draws : int
        Of each cohort, an even number.
    seeds : (cohorts,) ndarray of int
        One for each cohort.
    """
    rngs = [np.random.default_rng([seed, 3]) for seed in seeds.tolist()]
    priors = effect_priors(model, block.n_treatment_terms, len(block.terms))
    best = BlockDraws.none(len(block), draws, len(block.terms))
    if not (isinstance(model.baseline, RandomWalk) and block.n_intervals > 1):
        sums = BlockSums.of(block)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            modes = find_modes(sums, model, priors)
            proposal = proposals_around(modes)
            left = np.flatnonzero(modes.converged & np.isfinite(proposal.factor).all(axis=(1, 2)))
            if len(left):
                around = Surroundings(
                    proposal.part(left),
                    part_of(modes, left),
                    sums.part(left),
                    model,
                    priors,
                    [rngs[k] for k in left.tolist()],
                )
                drawn = propose(around, draws)
                is_good = drawn.converged & reaches_tails(around)
                is_good &= (drawn.pareto_k <= ENOUGH_K) & (drawn.ess >= ENOUGH_ESS * draws)
                best.put(left[is_good], drawn, is_good)
    for k in np.flatnonzero(~best.converged).tolist():
        one = weighted_draws(block.inputs(k, model), draws, rngs[k])
        if one is not None:
            best.effect[k], best.weight[k] = one.effect, one.weight
            best.pareto_k[k], best.ess[k], best.converged[k] = one.pareto_k, one.ess, True
    return best


def part_of(modes: Modes, which: NDArray[np.intp]) -> Modes:
    """Modes of some cohorts."""
    return Modes(*(getattr(modes, name)[which] for name in modes.__dataclass_fields__))


@dataclass(frozen=True, eq=False)
class Proposals:
    """Multivariate t distributions of effects.

    Attributes
    ----------
    centre : (cohorts, terms) ndarray
    factor : (cohorts, terms, terms) ndarray
        Lower triangular square roots of the scale matrices; not a number where there is none.
    degrees_of_freedom : (cohorts,) ndarray
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]

    def part(self, which: NDArray[np.intp]) -> "Proposals":
        """Those of some cohorts."""
        return Proposals(self.centre[which], self.factor[which], self.degrees_of_freedom[which])


@dataclass(frozen=True, eq=False)
class Surroundings:
    """Where draws of some cohorts are made.

    Attributes
    ----------
    proposal : Proposals
        Of the effects.
    modes : Modes
        Of the posteriors.
    sums : BlockSums
        Of the cohorts.
    model : PiecewiseExponential
        With the baseline prior.
    priors : list of (SimplePrior, slice)
        Of the effects.
    rngs : list of numpy.random.Generator
        One for each cohort.
    """

    proposal: Proposals
    modes: Modes
    sums: BlockSums
    model: "PiecewiseExponential"
    priors: list[tuple[SimplePrior, slice]]
    rngs: list[np.random.Generator]


def proposals_around(modes: Modes) -> Proposals:
    """Propose effects around modes, with the covariance that the information implies."""
    n_intervals, count = modes.log_hazard.shape[1], len(modes.effect)
    covariance = np.full_like(modes.information, np.nan)
    found = np.flatnonzero(modes.converged)
    try:
        covariance[found] = np.linalg.inv(modes.information[found])
    except np.linalg.LinAlgError:
        for k in found.tolist():
            try:
                covariance[k] = np.linalg.inv(modes.information[k])
            except np.linalg.LinAlgError:
                continue
    of_effects = covariance[:, n_intervals:, n_intervals:]
    factor = triangular_roots((of_effects + of_effects.transpose(0, 2, 1)) / 2)
    return Proposals(modes.effect.copy(), factor, np.full(count, DEGREES_OF_FREEDOM))


def triangular_roots(matrices: NDArray) -> NDArray[np.float64]:
    """Cholesky factors; not a number where a matrix has none."""
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        roots = np.full_like(matrices, np.nan)
        for k, matrix in enumerate(matrices):
            try:
                roots[k] = np.linalg.cholesky(matrix)
            except np.linalg.LinAlgError:
                continue
        return roots


def propose(around: Surroundings, draws: int) -> BlockDraws:
    """Draw effects and then hazards, and weigh them."""
    deviation, log_proposal = mirrored_deviations(around.proposal, around.rngs, draws // 2)
    effect, log_ratio = log_densities(around, deviation)
    log_ratio -= np.concatenate([log_proposal, log_proposal], axis=1)
    log_ratio = np.where(np.isfinite(log_ratio), log_ratio, -np.inf)
    converged = np.isfinite(log_ratio).sum(axis=1) >= max(10, draws // 10)
    log_ratio[~converged] = 0.0
    log_weight, pareto_k = pareto_smooth(log_ratio)
    weight = np.exp(log_weight)
    return BlockDraws(effect, weight, pareto_k, 1 / (weight**2).sum(axis=1), converged)


def reaches_tails(around: Surroundings) -> NDArray[np.bool]:
    """Whether posteriors have fallen off where no draws go.

    As `bayes_crlm.importance.reaches_tails`.
    """
    far = FAR * around.proposal.factor.transpose(0, 2, 1)
    count, size = far.shape[:2]
    deviation = np.concatenate([far, np.zeros((count, 1, size))], axis=1)
    _, log_density = log_densities(around, deviation)
    fall = log_density[:, -1:] - log_density
    fall[:, [size, 2 * size + 1]] = np.inf
    # not a number: relative hazards too large for one, where the density is next to nothing
    return ~(fall < LEAST_FALL).any(axis=1)


def log_densities(
    around: Surroundings, deviation: NDArray
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw hazards for effects at the centre plus, and then minus, each deviation.

    Parameters
    ----------
    around : Surroundings
        The cohorts.
    deviation : (cohorts, pairs, terms) ndarray

    Returns
    -------
    effect : (cohorts, 2 x pairs, terms) ndarray
    log_density : (cohorts, 2 x pairs) ndarray
        Log posterior density over that of the drawn hazards, but for a constant of each cohort.
    """
    centre, sums = around.proposal.centre, around.sums
    effect = np.concatenate([centre[:, None] + deviation, centre[:, None] - deviation], axis=1)
    weighted = np.stack(
        [
            paired_exposures(sums.design[k], sums.exposure[k], centre[k], deviation[k])
            for k in range(len(centre))
        ]
    )
    log_density = hazard_log_ratio(weighted, around)
    log_density += (effect @ sums.event_design[:, :, None])[:, :, 0]
    for prior, part in around.priors:
        log_density += prior.log_density(effect[:, :, part]).sum(axis=2)
    return effect, log_density


def mirrored_deviations(
    proposal: Proposals, rngs: list[np.random.Generator], pairs: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Draw what is added to and subtracted from the centres, with its log density.

    As `bayes_crlm.importance.EffectProposal.deviations`, but for the density's constants.

    Returns
    -------
    (cohorts, pairs, terms) ndarray, (cohorts, pairs) ndarray
    """
    size = proposal.centre.shape[1]
    nu = proposal.degrees_of_freedom[:, None]
    normal = np.stack([rng.standard_normal((pairs, size)) for rng in rngs])
    of_scale = np.stack(
        [rng.chisquare(each, pairs) for rng, each in zip(rngs, nu[:, 0].tolist(), strict=True)]
    )
    if pairs >= PAIRS_PER_EFFECT * size:
        root = np.linalg.cholesky(normal.transpose(0, 2, 1) @ normal / pairs)
        normal = normal @ np.linalg.inv(root).transpose(0, 2, 1)
    standard = normal / np.sqrt(of_scale / nu)[:, :, None]
    log_density = -0.5 * (nu + size) * np.log1p((standard**2).sum(axis=2) / nu)
    return standard @ proposal.factor.transpose(0, 2, 1), log_density


def paired_exposures(
    design: NDArray, exposure: NDArray, centre: NDArray, deviation: NDArray
) -> NDArray[np.float64]:
    """Exposures weighted by relative hazards at a centre plus, and minus, each deviation.

    One exponential serves both, since exp(-x) = 1 / exp(x). Cohort by cohort, so that
    the table of draws x rows stays in a processor's cache.

    Returns
    -------
    (2 x pairs, intervals) ndarray
    """
    pairs = len(deviation)
    at_centre = exposure * np.exp(design @ centre)[:, None]
    total = np.empty((2 * pairs, exposure.shape[1]))
    relative = deviation @ design.T
    np.exp(relative, out=relative)
    np.matmul(relative, at_centre, out=total[:pairs])
    np.reciprocal(relative, out=relative)
    np.matmul(relative, at_centre, out=total[pairs:])
    return total


def hazard_log_ratio(weighted: NDArray, around: Surroundings) -> NDArray[np.float64]:
    """Draw log-hazards given the effects, and give the log ratio of their part of the density.

    As `bayes_crlm.hazards_given_effects.draw_hazards`, but for constants. Under the gamma
    process the hazards' part is exact whatever the draw, so none is needed.

    Returns
    -------
    (cohorts, draws) ndarray
    """
    modes, sums, model = around.modes, around.sums, around.model
    if isinstance(model.baseline, GammaProcess):
        rate = model.baseline.weight * sums.width
        total = rate * np.exp(sums.log_rate) + sums.events
        return -(np.log(rate[:, None, :] + weighted) @ total[:, :, None])[:, :, 0]
    sd = baseline_prior_sd(model)
    expected = np.exp(modes.log_hazard) * sums.weighted_exposure(modes.effect)
    shape = expected + sd**-2
    share = expected / shape
    gamma = np.stack(
        [
            rng.standard_gamma(each, weighted.shape[1:])
            for rng, each in zip(around.rngs, shape, strict=True)
        ]
    )
    log_gamma_draw = np.log(gamma)
    constant = modes.log_hazard - share * (modes.log_hazard - np.log(expected)) - np.log(shape)
    log_hazard = log_gamma_draw - share[:, None, :] * np.log(weighted) + constant[:, None, :]
    log_ratio = (log_hazard @ sums.events[:, :, None])[:, :, 0]
    log_ratio -= (log_gamma_draw @ shape[:, :, None])[:, :, 0]
    distance = (log_hazard - sums.log_rate[:, None, :]) / sd
    np.exp(log_hazard, out=log_hazard)
    log_hazard *= weighted
    log_ratio -= (log_hazard + 0.5 * distance**2 - gamma).sum(axis=2)
    return log_ratio
