"""Proposals of effects, step scales and log-hazards around the modes of posteriors, in parts.

Each mode has parts of its own. Of walks a part stands for a range of the step scale; where effects
have an unknown scale, for a cell of that scale too.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import EffectProposals, wide_degrees_of_freedom
from bayes_crlm.inference.mode import Modes, find_modes
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.several_modes import (
    Component,
    first_modes,
    places_between,
    vague_targets,
)
from bayes_crlm.inference.step_scales import StepScales, step_scales
from bayes_crlm.inference.targets import Targets
from bayes_crlm.inference.weights import allotted
from bayes_crlm.words.records import record

# pairs that each mode has at least, as a share of what equal ones would have
LEAST_OF_EQUAL = 0.4
# a cell of an unknown scale with less of the posterior is not drawn from
LEAST_OF_CELLS = 1e-5


@record(eq=False)
class Proposal:
    """Where draws of some cohorts are made.

    Attributes
    ----------
    targets : Targets
        The posteriors.
    effects : EffectProposals
        Of the effects, one for each part.
    modes : Modes
        Of the parts: those of the first cohort, then of the next.
    scales : StepScales or None
        Of walks: their step scales, in whose cells are the walks that log-hazards are drawn near.
    keeps_hazards : bool
        Whether log-hazards are wanted. If not, those of a gamma process are not drawn, since the
        ratio is exact whatever they are.
    pairs : (cohorts, parts) ndarray of int
        Mirrored pairs to draw in each part; their sum is the same for all cohorts.
    mode_of : (parts,) ndarray of int
        Which mode each part belongs to. Parts of one mode have step scales of their own.
    cells : ScaleCells or None
        Of an unknown scale of the effects, one for each part.
    walk_steps : int
        Newton steps from the walk of a cell of step scales to that of each draw's effects.
    """

    targets: Targets
    effects: EffectProposals
    modes: Modes
    scales: StepScales | None
    keeps_hazards: bool
    pairs: NDArray[np.intp]
    mode_of: NDArray[np.intp]
    cells: ScaleCells | None = None
    walk_steps: int = 1

    def part(self, which: NDArray[np.intp]) -> "Proposal":
        """Those of some cohorts."""
        parts = np.arange(self.pairs.shape[1])
        return replace(
            self,
            targets=self.targets.part(which),
            effects=self.effects.part(which),
            modes=self.modes.part((which[:, None] * len(parts) + parts).ravel()),
            scales=None if self.scales is None else self.scales.part(which),
            pairs=self.pairs[which],
        )

    @property
    def has_one_mode(self) -> bool:
        """Whether no two parts can make the same draw."""
        return bool((self.mode_of == 0).all())

    @property
    def own_part(self) -> NDArray[np.intp]:
        """The part that makes each pair, shape (cohorts, pairs)."""
        return at_draw_pairs(
            np.broadcast_to(np.arange(self.pairs.shape[1]), self.pairs.shape), self.pairs
        )

    def log_mixture(
        self, effect: NDArray, log_scale: NDArray | None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp], NDArray[np.float64]]:
        """Log density of effects and log step scales under all parts together.

        Parameters
        ----------
        effect : (cohorts, 2, pairs, terms) ndarray
            Of mirrored pairs, on the sampling scale.
        log_scale : (cohorts, pairs) ndarray or None
            Logs of the pairs' step scales; None where there is no walk.

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


def effects_around(targets: Targets, centre: NDArray, spread: NDArray) -> EffectProposals:
    """Propose effects around modes (cohorts, parts, effects) with the covariances `spread`."""
    wide = wide_degrees_of_freedom(*(prior for prior, _ in targets.priors))
    return EffectProposals.around(centre, spread, wide)


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
    count = len(targets)
    parts = len(modes.converged) // count
    spread = modes.spread().reshape(count, parts, targets.n_effects, -1)
    effects = effects_around(targets, modes.effect.reshape(count, parts, -1), spread)
    probability = np.ones((count, 1)) if scales is None else scales.probability
    mode_of = np.zeros(parts, dtype=np.intp)
    return Proposal(
        targets, effects, modes, scales, keeps_hazards, allotted(probability, pairs), mode_of
    )


def proposal_over_scales(targets: Targets, pairs: int, keeps_hazards: bool) -> Proposal:
    """Propose around the modes of one cohort for every cell of an unknown scale of its effects.

    A part stands for a cell of that scale and, of walks, for a range of the step scale.

    Parameters
    ----------
    targets : Targets
        One posterior.
    pairs : int
        Mirrored pairs of all cells together.
    keeps_hazards : bool
        Whether log-hazards are wanted too.
    """
    if targets.scale_prior is None:
        raise TypeError("no effect has an unknown scale")
    cells = ScaleCells.of(targets.scale_prior)
    several = targets.part(np.zeros(len(cells.middle), dtype=np.intp))
    several = replace(several, effect_scale=np.exp(cells.middle))
    near = first_modes(several)
    mass = several.log_effect_prior(near.effect, cells.middle)
    if targets.has_walk:
        scales = step_scales(targets, near.effect[None])
        # the prior of the effects is that given their scale
        mass += scales.log_evidence[0] - targets.log_effect_prior(near.effect)
        mass += 0.5 * np.linalg.slogdet(near.spread())[1]
        within, of_cell = scales.probability[0], scales.mode_of
    else:
        scales, within, of_cell = None, np.ones(len(mass)), np.arange(len(mass))
        mass = near.log_density + targets.log_scale_prior(cells.middle)
        mass -= 0.5 * np.linalg.slogdet(near.information)[1]
    mass = np.where(near.converged & np.isfinite(mass), mass, -np.inf)
    share = np.exp(mass - mass.max())
    probability = (share / share.sum())[of_cell] * within
    kept = np.flatnonzero(probability > LEAST_OF_CELLS)
    modes = near.part(of_cell[kept])
    if scales is not None:
        scales = scales.parts(kept)
        modes = find_modes(several.part(of_cell[kept]), scales.typical[0], modes.at)
    effects = effects_around(targets, modes.effect[None], modes.spread()[None])
    probability = probability[kept] / probability[kept].sum()
    shared = allotted(probability[None], pairs)
    mode_of = np.zeros(len(kept), dtype=np.intp)
    held = cells.part(of_cell[kept])
    return Proposal(targets, effects, modes, scales, keeps_hazards, shared, mode_of, held)


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
    return find_modes(targets.part(of_part), scales.typical.ravel(), near.at[of_part]), scales


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
            scales.append(None if scale is None else scale.parts(which))
            mode_of.append(of_mode)
            centres.append(centre)
            spreads.append(size)
    # by how much the places between hold, nothing is known of them yet
    shares += [0.0] * (1 + max(mode_of) - len(shares))
    effects = effects_around(targets, np.stack(centres)[None], np.stack(spreads)[None])
    concatenated = None if scales[0] is None else StepScales.side_by_side(scales)
    within = np.ones((1, len(mode_of))) if concatenated is None else concatenated.probability
    mode_of = np.array(mode_of)
    probability = shares_of_parts(np.array(shares), within, mode_of)
    shared, found = allotted(probability, pairs), Modes.concatenated(modes)
    return Proposal(targets, effects, found, concatenated, keeps_hazards, shared, mode_of)


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
        The mode that each part belongs to.
    """
    shares = LEAST_OF_EQUAL / len(shares) + (1 - LEAST_OF_EQUAL) * shares / shares.sum()
    total = np.bincount(mode_of, weights=within[0], minlength=len(shares))
    return within * (shares / total)[mode_of]
