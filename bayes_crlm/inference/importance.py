"""Draws around the posterior mode, weighted to the exact posterior: `engine = "laplace"`.

Effects are proposed from a multivariate t around the mode of their posterior, in mirrored pairs
whose second moments are exact, one pair in ten wider (`bayes_crlm.inference.effect_proposals`);
log-hazards from their nearly exact conditional distribution given the effects
(`bayes_crlm.inference.hazards_given_effects`); a random walk's step scale before them, from narrow
cells with weights by Laplace's approximation. Pareto-smoothed weights correct what is left; their
shape k says whether that worked. A poor proposal is moved to the weighted mean and covariance of
its own draws and tried again.

References
----------
Tierney & Kadane (1986), J Am Stat Assoc 81:82-86; Hammersley & Morton (1956), Math Proc Camb
Philos Soc 52:449-475 (mirrored pairs); Cappe, Guillin, Marin & Robert (2004), J Comput Graph
Stat 13:907-929 (proposals moved by their own weights); Vehtari, Simpson, Gelman, Yao & Gabry
(2024), JMLR 25(72).
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import FAR, least_fall
from bayes_crlm.inference.proposal_parts import (
    ENOUGH_ESS,
    ENOUGH_K,
    MOVED_DEGREES_OF_FREEDOM,
    Part,
    WeightedDraws,
    draw_part,
    effect_priors_of,
    first_step_scale,
    log_effect_prior,
    make_parts,
    moved_parts,
    propose_and_weigh,
    worth,
)
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.inference.several_modes import find_components
from bayes_crlm.likelihood.hazard_table import log_likelihood
from bayes_crlm.likelihood.risk_sums import CohortSums
from bayes_crlm.model.priors import Horseshoe
from bayes_crlm.model.unknowns import (
    constrain,
    log_hazards_of,
    log_jacobian,
    log_prior,
    model_parameters,
)

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "PARETO_K_MOST",
    "ImportanceDraws",
    "log_target",
    "problem_of",
    "sample_importance",
    "weighted_draws",
]

# as a share of the draws: with fewer the proposal is not an approximation
LEAST_ESS = 0.1
# k needs a tail to be estimated from, however few draws are asked for
LEAST_PROPOSALS = 1000


@dataclass(frozen=True)
class ImportanceDraws:
    """Equally weighted draws made by importance resampling.

    Attributes
    ----------
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `bayes_crlm.model.unknowns.model_parameters`.
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


def sample_importance(inputs: "PreparedCohort", draws: int, seed: int) -> ImportanceDraws:
    """Draw from the posterior by importance resampling around its mode.

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
        return f"the effective sample size is only {weighted.ess:,.0f} of {draws:,} draws"
    tail = float(weighted.ess_tail.min())
    if not tail >= LEAST_ESS * draws:
        return f"the effective sample size at a 95% limit is only {tail:,.0f} of {draws:,} draws"
    return None


def weighted_draws(
    inputs: "PreparedCohort", draws: int, rng: np.random.Generator
) -> WeightedDraws | None:
    """Propose draws around the posterior mode and weigh them.

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
    if inputs.n_covariate_terms and isinstance(inputs.covariate_prior, Horseshoe):
        raise ValueError("a horseshoe's posterior has no useful mode; use engine 'nuts'")
    sums = CohortSums(inputs.density_data)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        components = find_components(inputs, sums, first_step_scale(inputs))
        if len(components) > 1:
            from bayes_crlm.inference.mode_mixture import draw_around_several

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


def reaches_tails(parts: list[Part], inputs: "PreparedCohort", sums: CohortSums) -> bool:
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


def systematic(weight: NDArray, draws: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Resample by equally spaced points with one random start, in random order."""
    points = (np.arange(draws) + rng.uniform()) / draws
    chosen = np.searchsorted(np.cumsum(weight), points * (1 - 1e-12))
    return rng.permutation(np.minimum(chosen, len(weight) - 1))


def log_target(vectors: NDArray, inputs: "PreparedCohort") -> NDArray:
    """Log posterior density of unconstrained vectors, shape (draws,)."""
    parameters = model_parameters(inputs)
    values = constrain(vectors, parameters)
    total = log_jacobian(vectors, parameters)
    for each in log_prior(values, inputs).values():
        total = total + each.sum(axis=-1)
    return total + log_likelihood(log_hazards_of(values, inputs), inputs.density_data)
