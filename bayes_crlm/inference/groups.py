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

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import EffectProposals, wide_degrees_of_freedom
from bayes_crlm.inference.hazards_given_effects import ScaleDraws
from bayes_crlm.inference.mode import first_start, newton_steps
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.slopes import baseline_slopes, posterior_slopes
from bayes_crlm.inference.weights import allotted, weigh
from bayes_crlm.likelihood.matrices import inverses, triangular_roots
from bayes_crlm.likelihood.risk_sums import row_exposures
from bayes_crlm.model.baseline_priors import WalkPrior
from bayes_crlm.model.families import HalfNormal, ScaleFamily

if TYPE_CHECKING:
    from bayes_crlm.inference.draws import BatchDraws
    from bayes_crlm.inference.targets import Targets

Floats = NDArray[np.float64]

# of the grid over the scales' logs
WIDTH = 0.4
# a cell with less of the posterior is not drawn from
LEAST_OF_CELLS = 1e-4
NODES, NODE_WEIGHTS = np.polynomial.hermite.hermgauss(11)
MODE_STEPS = 12
# a grid is moved by its own draws' weights until these are good, at most so often
MOST_ROUNDS, ENOUGH_K, ENOUGH_ESS = 3, 0.5, 0.4
BELIEVED, MOVED_DEGREES_OF_FREEDOM = 0.5, 30.0
MOST_STEPS, RISE_TOLERANCE, SMALLEST_SHARE = 60, 1e-5, 1e-6
# standard deviations on both sides of its mode among which a group's effect is drawn
REACH, PLACES = 6.0, 49
# numbers in one table of draws x groups x places
TABLE_ENTRIES = 2**21


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows' groups, and a prior of the groups' effects.

    Attributes
    ----------
    member : (rows, groups) ndarray
        1 where a row belongs to a group.
    events : (groups,) ndarray
    design : (rows, terms) ndarray
    exposure : (rows, intervals) ndarray
    """

    member: Floats
    events: Floats
    design: Floats
    exposure: Floats

    def hazards(self, log_hazard: NDArray, effect: NDArray) -> Floats:
        """Cumulative hazard of every group without its own effect, (draws, groups)."""
        rows = np.exp(log_hazard) @ self.exposure.T
        rows *= np.exp(effect @ self.design.T)
        return rows @ self.member


def sample_with_groups(
    targets: "Targets",
    group: NDArray[np.intp],
    events: NDArray,
    scale_prior: ScaleFamily | None,
    draws: int,
    rng: np.random.Generator,
) -> "tuple[BatchDraws, Floats]":
    """Draw from one posterior with groups whose effects are normal around 0.

    Parameters
    ----------
    targets : Targets
        One cohort's, but for the groups.
    group : (rows,) ndarray of int
        Of each row.
    events : (groups,) ndarray
        Of each group.
    scale_prior : ScaleFamily or None
        Of the groups' standard deviation; 1 without it.
    draws : int
        An even number.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    BatchDraws, (draws, groups) ndarray
        And the groups' effects.
    """
    sums = targets.sums
    exposure = sums.table if sums.table is not None else row_exposures(sums.follow_up, slice(None))
    groups = Groups(np.eye(len(events))[group], events, sums.design[0], exposure[0])
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        grid, best = Grid.around(targets, groups, scale_prior), None
        for _ in range(MOST_ROUNDS):
            found = propose_and_weigh(targets, groups, grid, scale_prior, draws, rng)
            if best is None or found.drawn.is_better(best.drawn)[0]:
                best = found
            if not found.drawn.converged[0] or found.drawn.is_good(ENOUGH_K, ENOUGH_ESS)[0]:
                break
            grid = grid.moved(found)
        scale = np.ones(draws) if best.log_group_scale is None else np.exp(best.log_group_scale)
        of_groups = sample_effects(best.hazards, groups.events, scale, rng)
    return best.drawn, of_groups


@dataclass(frozen=True, eq=False)
class Proposed:
    """Weighted draws, and how they were made.

    Attributes
    ----------
    drawn : BatchDraws
    cell : (draws,) ndarray of int
        Which cell of the grid each comes from.
    both : (draws, intervals + effects) ndarray
        Log-hazards and effects.
    hazards : (draws, groups) ndarray
        Cumulative hazards without the groups' effects.
    log_group_scale : (draws,) ndarray or None
    """

    drawn: "BatchDraws"
    cell: NDArray[np.intp]
    both: Floats
    hazards: Floats
    log_group_scale: Floats | None


def propose_and_weigh(
    targets: "Targets",
    groups: Groups,
    grid: "Grid",
    scale_prior: ScaleFamily | None,
    draws: int,
    rng: np.random.Generator,
) -> Proposed:
    """Draw log-hazards, effects and scales, and weigh them with the groups integrated out."""
    sums, n_intervals = targets.sums, targets.n_intervals
    pairs = allotted(grid.probability[None], draws // 2)
    deviation, log_proposal = grid.effects.deviations(pairs, [rng])
    cell = at_draw_pairs(np.arange(len(grid.probability))[None], pairs)
    scales = []
    for cells in (grid.steps, grid.spreads):
        if cells is None:
            scales.append(None)
            continue
        log_scale, log_density = cells.draw(cell, [rng])
        log_proposal += log_density
        scales.append(log_scale)
    log_proposal += np.log(at_draw_pairs(pairs / (draws // 2), pairs))
    both = grid.effects.effects(deviation, pairs)
    flat_both = both.reshape(draws, -1)
    alpha, beta = flat_both[:, :n_intervals], flat_both[:, n_intervals:]
    log_step, log_spread = (None if each is None else np.tile(each[0], 2) for each in scales)
    hazards = groups.hazards(alpha, beta)
    spread = np.ones(draws) if log_spread is None else np.exp(log_spread)
    log_target = log_integrals(hazards, groups.events, spread).sum(axis=1)
    log_target += log_prior(targets, alpha, beta, log_step)
    log_target += log_scale_priors(scale_prior, log_spread)
    log_target += alpha @ sums.events[0] + beta @ sums.event_design[0]
    log_ratio = log_target.reshape(1, 2, -1) - log_proposal[:, None]
    effect, log_hazard = both[..., n_intervals:], both[..., :n_intervals]
    drawn = weigh(effect, log_hazard, ScaleDraws(*scales), log_ratio, draws)
    return Proposed(drawn, np.tile(cell[0], 2), flat_both, hazards, log_spread)


def log_prior(
    targets: "Targets", log_hazard: NDArray, effect: NDArray, log_step_scale: NDArray | None
) -> Floats:
    """Log prior density of log-hazards, effects and the log step scale, shape (draws,)."""
    several = targets.part(np.zeros(len(effect), dtype=np.intp))
    scale = None if log_step_scale is None else np.exp(log_step_scale)
    total = baseline_slopes(log_hazard, several, scale)[0] + targets.log_effect_prior(effect)
    return total + log_scale_priors(step_prior(targets), log_step_scale)


def step_prior(targets: "Targets") -> HalfNormal | None:
    """Prior of a walk's step scale; None where there is no walk."""
    if not targets.has_walk or not isinstance(targets.baseline, WalkPrior):
        return None
    return HalfNormal(targets.baseline.step_scale_sd)


@dataclass(frozen=True, eq=False)
class Grid:
    """Proposals of log-hazards and effects for the cells of a grid over scales.

    Attributes
    ----------
    effects : EffectProposals
        Of log-hazards and effects together, one part for each cell.
    probability : (cells,) ndarray
        By Laplace's approximation.
    steps, spreads : ScaleCells or None
        Of a walk's step scale and of the groups' standard deviation.
    """

    effects: EffectProposals
    probability: Floats
    steps: ScaleCells | None
    spreads: ScaleCells | None

    @classmethod
    def around(cls, targets: "Targets", groups: Groups, scale_prior: ScaleFamily | None) -> "Grid":
        """Find the mode of every cell, and what each cell holds."""
        prior = step_prior(targets)
        steps = None if prior is None else ScaleCells.of(prior, WIDTH)
        spreads = None if scale_prior is None else ScaleCells.of(scale_prior, WIDTH)
        counts = [1 if each is None else len(each.low) for each in (steps, spreads)]
        at_step, at_spread = (each.ravel() for each in np.indices(counts))
        log_step = np.zeros(len(at_step)) if steps is None else steps.middle[at_step]
        log_spread = np.zeros(len(at_spread)) if spreads is None else spreads.middle[at_spread]
        modes = find_joint_modes(targets, groups, np.exp(log_step), np.exp(log_spread))
        n_intervals = targets.n_intervals
        mass = modes.log_density + log_scale_priors(prior, log_step)
        mass += log_scale_priors(scale_prior, log_spread)
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
            None if steps is None else steps.part(at_step[kept]),
            None if spreads is None else spreads.part(at_spread[kept]),
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


def log_scale_priors(prior: ScaleFamily | None, log_scale: NDArray | None) -> Floats | float:
    """Log prior density of logs of a scale; 0 where there is none."""
    if prior is None or log_scale is None:
        return 0.0
    return prior.log_density(np.exp(log_scale)) + log_scale


@dataclass(frozen=True, eq=False)
class JointModes:
    """Modes of log-hazards, effects and groups' effects, for several pairs of scales.

    Attributes
    ----------
    at : (cases, intervals + effects + groups) ndarray
    log_density : (cases,) ndarray
    information : (cases, intervals + effects, intervals + effects) ndarray
        With the groups' effects eliminated.
    log_determinant_of_groups : (cases,) ndarray
        Of the groups' own information.
    converged : (cases,) ndarray of bool
    """

    at: Floats
    log_density: Floats
    information: Floats
    log_determinant_of_groups: Floats
    converged: NDArray[np.bool]


def find_joint_modes(
    targets: "Targets", groups: Groups, step_scale: NDArray, group_scale: NDArray
) -> JointModes:
    """Climb by Newton steps in which the groups' effects are eliminated, all cases at once."""
    count, n_groups = len(step_scale), len(groups.events)
    several = targets.part(np.zeros(count, dtype=np.intp))
    start = np.concatenate([*first_start(targets), np.zeros((1, n_groups))], axis=1)
    at = np.repeat(start, count, axis=0)
    found = joint_slopes(at, several, groups, step_scale, group_scale)
    share, converged = np.ones(count), np.zeros(count, dtype=bool)
    for _ in range(MOST_STEPS):
        value, step, rise = found[0], found[1], found[2]
        converged = np.abs(rise) < RISE_TOLERANCE
        goes_on = ~converged & np.isfinite(rise) & (share > SMALLEST_SHARE)
        if not goes_on.any():
            break
        which = np.flatnonzero(goes_on)
        candidate = at[which] + share[which, None] * step[which]
        scales = (step_scale[which], group_scale[which])
        new = joint_slopes(candidate, several.part(which), groups, *scales)
        risen = new[0] >= value[which] - 1e-10 * (1 + np.abs(value[which]))
        share[which] = np.where(risen, 1.0, share[which] / 2)
        moved = which[risen]
        at[moved] = candidate[risen]
        for old, each in zip(found, new, strict=True):
            old[moved] = each[risen]
    return JointModes(at, found[0], found[3], found[4], converged)


def joint_slopes(
    at: NDArray, targets: "Targets", groups: Groups, step_scale: NDArray, group_scale: NDArray
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Log densities of all unknowns, Newton steps and what these gain, and information.

    Returns
    -------
    log_density, step, rise, information, log_determinant_of_groups
        As in `JointModes`; the rise is twice what a whole step would gain.
    """
    size = targets.n_intervals + targets.n_effects
    inner, of_groups = at[:, :size], at[:, size:]
    offset = of_groups @ groups.member.T
    value, gradient, information = posterior_slopes(inner, targets, step_scale, offset=offset)
    precision = group_scale[:, None] ** -2
    value = value + of_groups @ groups.events - 0.5 * (precision * of_groups**2).sum(axis=1)
    value -= of_groups.shape[1] * np.log(group_scale)
    log_hazard, effect = inner[:, : targets.n_intervals], inner[:, targets.n_intervals :]
    hazard = np.exp(log_hazard)
    relative = np.exp(effect @ groups.design.T + offset)
    events = relative * (hazard @ groups.exposure.T)
    expected = events @ groups.member
    own = expected + precision
    of_hazards = (groups.exposure.T * relative[:, None]) @ groups.member * hazard[:, :, None]
    of_effects = (groups.design.T * events[:, None]) @ groups.member
    between = np.concatenate([of_hazards, of_effects], axis=1)
    slope = groups.events - expected - precision * of_groups
    left = between / own[:, None]
    information = information - left @ between.transpose(0, 2, 1)
    inner_gradient = gradient - (left @ slope[:, :, None])[:, :, 0]
    step = newton_steps(information, inner_gradient)
    group_step = (slope - (step[:, None] @ between)[:, 0]) / own
    step = np.concatenate([step, group_step], axis=1)
    rise = (np.concatenate([gradient, slope], axis=1) * step).sum(axis=1)
    return value, step, rise, information, np.log(own).sum(axis=1)


def modes_of_groups(hazards: NDArray, events: NDArray, scale: NDArray) -> tuple[Floats, Floats]:
    """Mode and standard deviation of every group's effect, (draws, groups) each."""
    precision = scale[:, None] ** -2
    # where the events alone would put it, drawn to 0 by the prior
    at = np.log((events + 0.5) / (hazards + 0.5)) * events / (events + precision)
    for _ in range(MODE_STEPS):
        expected = hazards * np.exp(at)
        step = (events - expected - precision * at) / (expected + precision)
        at = at + np.clip(step, -2.0, 2.0)
    return at, (hazards * np.exp(at) + precision) ** -0.5


def log_integrals(hazards: NDArray, events: NDArray, scale: NDArray) -> Floats:
    """Logs of the groups' likelihoods with their effects integrated out, (draws, groups).

    Parameters
    ----------
    hazards : (draws, groups) ndarray
        Cumulative hazards without the groups' effects.
    events : (groups,) ndarray
    scale : (draws,) ndarray
        Standard deviation of the groups' effects.
    """
    at, sd = modes_of_groups(hazards, events, scale)
    top = log_density_of_groups(at, hazards, events, scale)
    total = np.zeros_like(hazards)
    for node, weight in zip(NODES.tolist(), NODE_WEIGHTS.tolist(), strict=True):
        here = at + math.sqrt(2) * sd * node
        log_density = log_density_of_groups(here, hazards, events, scale) - top
        total += weight * np.exp(log_density + node**2)
    return top + np.log(math.sqrt(2) * sd * total)


def log_density_of_groups(
    effect: NDArray, hazards: NDArray, events: NDArray, scale: NDArray
) -> Floats:
    """Log of likelihood x prior of groups' effects (..., draws, groups)."""
    scale = scale[:, None]
    of_prior = -0.5 * (effect / scale) ** 2 - np.log(scale) - 0.5 * math.log(2 * math.pi)
    return events * effect - hazards * np.exp(effect) + of_prior


def sample_effects(
    hazards: NDArray, events: NDArray, scale: NDArray, rng: np.random.Generator
) -> Floats:
    """Draw every group's effect from its posterior given all else, (draws, groups).

    By the inverse of its distribution function, which is summed up over narrow places.
    """
    at, sd = modes_of_groups(hazards, events, scale)
    uniform = rng.random(hazards.shape)
    place = np.linspace(-REACH, REACH, PLACES)
    drawn = np.empty_like(hazards)
    size = max(1, TABLE_ENTRIES // (PLACES * hazards.shape[1]))
    for first in range(0, len(hazards), size):
        some = slice(first, first + size)
        here = at[some] + sd[some] * place[:, None, None]
        log_density = log_density_of_groups(here, hazards[some], events, scale[some])
        density = np.exp(log_density - log_density.max(axis=0))
        mass = (density[1:] + density[:-1]) / 2
        reached = np.cumsum(mass, axis=0)
        wanted = uniform[some] * reached[-1]
        cell = (reached < wanted).sum(axis=0)[None]
        before = np.take_along_axis(reached - mass, cell, axis=0)[0]
        within = (wanted - before) / np.take_along_axis(mass, cell, axis=0)[0]
        standard = -REACH + (cell[0] + within) * (place[1] - place[0])
        drawn[some] = at[some] + sd[some] * standard
    return drawn
