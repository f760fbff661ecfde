"""Draws from any model made of blocks with at most two unknown scales.

The blocks' values are sorted by how they are drawn: log-hazards of the baseline given all else;
log hazard ratios of columns, steps of effects that change with time, and groups of the smaller
groupings around their modes; groups of the largest grouping integrated out, and drawn at last
(`bayes_crlm.inference.groups`). The walk's step scale and one other scale are on grids.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.groups import sample_with_groups
from bayes_crlm.inference.importance import sample_batch
from bayes_crlm.inference.targets import Targets, baseline_constant
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.model.baseline_priors import (
    BaselinePrior,
    GammaProcess,
    Independent,
    WalkPrior,
)
from bayes_crlm.model.density import AnyBlock
from bayes_crlm.model.families import Family, HalfNormal, Normal, ScaleFamily
from bayes_crlm.model.terms.blocks import Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk

if TYPE_CHECKING:
    from bayes_crlm.inference.draws import BatchDraws
    from bayes_crlm.model.density import BlockModel

MOST_SCALES = 2


@dataclass(frozen=True)
class GivenWalk(WalkPrior):
    """A walk as a block says it."""

    anchor: int = 0

    name: ClassVar[str] = "walk"

    def level_interval(self, n_intervals: int) -> int:
        """Position of the interval whose log-hazard has the level's prior."""
        return self.anchor


@dataclass(frozen=True, eq=False)
class ModelDraws:
    """Weighted draws from a model of blocks.

    Attributes
    ----------
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `BlockModel.parameters`; not finite where impossible.
    weight : (draws,) ndarray
        Pareto-smoothed, adding up to 1.
    pareto_k, ess : float
        Of the weights.
    """

    vectors: NDArray[np.float64]
    weight: NDArray[np.float64]
    pareto_k: float
    ess: float


def why_not_approximated(model: "BlockModel") -> str | None:
    """Say why a model goes to NUTS at once; None where the approximate engine serves it."""
    if any(isinstance(block, Shrunk) for block in model.blocks):
        return "engine laplace cannot follow a horseshoe prior"
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    scales = [block for block in blocks if block.scale is not None]
    if len(scales) > MOST_SCALES:
        count = f"and there are {len(scales)}"
        return f"engine laplace serves at most {MOST_SCALES} unknown scales, {count}"
    besides = [block for block in scales if not is_baseline(block)]
    if len(besides) > 1:
        return (
            f"engine laplace serves one unknown scale beside a walk's, and there are {len(besides)}"
        )
    if largest_grouping(model) is not None and model.data.n_classes > 1:
        return "engine laplace does not serve groups beside classes with hazards of their own"
    for block in blocks:
        if is_baseline(block) and block.walk is not None:
            if block.priors and not isinstance(block.scale, HalfNormal):
                return "engine laplace serves walks whose step scale has a half-normal prior"
        elif is_baseline(block) and not is_of_one_normal(block):
            return "engine laplace serves independent log-hazards under one normal prior"
    return None


def is_of_one_normal(block: Block) -> bool:
    """Whether all values of a block are normal alike, with no unknown scale."""
    first = block.priors[0]
    is_alike = all(prior == first for prior in block.priors)
    return isinstance(first, Normal) and is_alike and block.scale is None


def sample_block_model(
    model: "BlockModel", draws: int, rng: np.random.Generator
) -> ModelDraws | None:
    """Draw from a model of blocks, and weigh the draws to its posterior.

    Parameters
    ----------
    model : BlockModel
        One for which `why_not_approximated` says nothing.
    draws : int
        An even number.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ModelDraws or None
        None where there is no approximation.
    """
    layout, data = Layout.of(model), model.data
    drawn, of_groups = None, None
    if layout.groups is not None and isinstance(layout.groups.enters, Grouping):
        index = layout.groups.enters.index
        group, events = data.groups[index], data.events_per_group[index]
        scale = layout.groups.scale
        drawn, of_groups = sample_with_groups(layout.targets, group, events, scale, draws, rng)
    else:
        drawn = sample_batch(layout.targets, draws, [rng])
    if not drawn.converged[0]:
        return None
    return ModelDraws(
        vectors=layout.vectors(model, drawn, of_groups),
        weight=drawn.weight[0],
        pareto_k=float(drawn.pareto_k[0]),
        ess=float(drawn.ess[0]),
    )


def largest_grouping(model: "BlockModel") -> Block | None:
    """The block of the largest grouping whose groups are normal given their scale."""
    found = [
        block
        for block in model.blocks
        if isinstance(block, Block)
        and isinstance(block.enters, Grouping)
        and all(prior == Normal(0.0, 1.0) for prior in block.priors)
    ]
    return max(found, key=lambda block: block.size, default=None)


@dataclass(frozen=True, eq=False)
class Layout:
    """Where the engine has the values of a model's blocks.

    Attributes
    ----------
    targets : Targets
        The posterior, without the groups that are integrated out.
    hazards : Block or GammaHazards
        Of the baseline.
    effects : dict of str to slice
        Places of the other blocks' values (of walks: of their steps) by name.
    groups : Block or None
        Of the grouping that is integrated out.
    """

    targets: Targets
    hazards: Block | GammaHazards
    effects: dict[str, slice]
    groups: Block | None

    @classmethod
    def of(cls, model: "BlockModel") -> "Layout":
        """Sort a model's blocks."""
        data, groups = model.data, largest_grouping(model)
        hazards = next(block for block in model.blocks if is_baseline(block))
        others = [
            block
            for block in model.blocks
            if isinstance(block, Block) and block is not hazards and block is not groups
        ]
        over_time = [block for block in others if isinstance(block.enters, Cells)]
        steady = [block for block in others if block not in over_time]
        design: list[NDArray] = []
        priors: list[tuple[Family, slice]] = []
        places: dict[str, slice] = {}
        scaled: list[bool] = []
        at = 0
        for block in [*steady, *over_time]:
            size = len(block.priors)
            places[block.name] = slice(at, at + size)
            for k, prior in enumerate(block.priors):
                priors.append((prior, slice(at + k, at + k + 1)))
            scaled += [block.scale is not None] * size
            at += size
            if isinstance(block.enters, Columns):
                design.append(data.design[:, block.enters.start : block.enters.stop])
            elif isinstance(block.enters, Grouping):
                group = data.groups[block.enters.index]
                design.append(np.eye(size)[group])
        loading = None
        if over_time:
            loading = np.concatenate([steps_in_cells(block) for block in over_time], axis=2)
        rows = replace(data, design=np.concatenate(design, axis=1), groups=(), group_counts=())
        sums = RiskSums.of(rows, loading)
        if isinstance(hazards, Shrunk):
            raise TypeError("a horseshoe cannot be a baseline")
        scales = [block.scale for block in others if block.scale is not None]
        targets = targets_of(sums, hazards, merged(priors), np.array(scaled), scales)
        return cls(targets, hazards, places, groups)

    def vectors(
        self, model: "BlockModel", drawn: "BatchDraws", of_groups: NDArray | None
    ) -> NDArray[np.float64]:
        """Put draws into the order of the model's unknowns, shape (draws, total size)."""
        named = self.named_hazards(drawn)
        other = None if drawn.log_effect_scale is None else drawn.log_effect_scale[0, :, None]
        for block in model.blocks:
            if not isinstance(block, Block) or block is self.hazards:
                continue
            values = of_groups
            if block is not self.groups:
                values = drawn.effect[0][:, self.effects[block.name]]
            if values is None:
                raise ValueError("the groups' effects were not drawn")
            if other is not None and block.scale is not None:
                named[block.scale_name], values = other, values / np.exp(other)
            named[block.unit_name] = values
        return np.concatenate([named[each.name] for each in model.parameters], axis=1)

    def named_hazards(self, drawn: "BatchDraws") -> dict[str, NDArray[np.float64]]:
        """Unknowns of the baseline by name, unconstrained."""
        if drawn.log_hazard is None:
            raise ValueError("log-hazards were not kept")
        log_hazard, block = drawn.log_hazard[0], self.hazards
        if not isinstance(block, Block) or block.walk is None:
            return {block.parameters[0].name: log_hazard}
        walk = block.walk
        walks = log_hazard.reshape(len(log_hazard), -1, walk.n_intervals)
        named = {block.level_name: (walks * walk.centre).sum(axis=-1)}
        if drawn.log_step_scale is not None:
            log_scale = drawn.log_step_scale[0, :, None]
            steps = np.diff(walks, axis=-1) / walk.step_sds
            named[block.scale_name] = log_scale
            named[block.unit_name] = steps.reshape(len(steps), -1) / np.exp(log_scale)
        return named


def is_baseline(block: AnyBlock) -> bool:
    """Whether a block is of the baseline's log-hazards, one row a stratum."""
    if isinstance(block, GammaHazards):
        return True
    is_table = isinstance(block, Block) and isinstance(block.enters, Cells)
    return is_table and (block.walk is None or block.walk.level is not None)


def steps_in_cells(block: Block) -> NDArray[np.float64]:
    """What each step of walks around 0 adds to the hazard table, (classes, intervals, steps)."""
    walk = block.walk
    if walk is None or not isinstance(block.enters, Cells):
        raise TypeError(f"{block.name} is not a walk over the hazard table")
    loading = block.enters.loading
    copies, n_steps = loading.shape[1], len(walk.step_sds)
    unit = np.eye(copies * n_steps).reshape(-1, copies, n_steps) * walk.step_sds
    return np.moveaxis(loading @ walk.path(unit), 0, -1)


def merged(priors: list[tuple[Family, slice]]) -> tuple[tuple[Family, slice], ...]:
    """Join neighbours under one prior."""
    found: list[tuple[Family, slice]] = []
    for prior, part in priors:
        if found and found[-1][0] == prior:
            found[-1] = (prior, slice(found[-1][1].start, part.stop))
        else:
            found.append((prior, part))
    return tuple(found)


def targets_of(
    sums: RiskSums,
    hazards: Block | GammaHazards,
    priors: tuple[tuple[Family, slice], ...],
    scaled: NDArray[np.bool],
    scales: list[ScaleFamily],
) -> Targets:
    """Say the posterior as the engine takes it."""
    baseline, log_rate, variances = baseline_of(hazards)
    at = np.array([log_rate])
    return Targets(
        sums=sums,
        baseline=baseline,
        priors=priors,
        log_rate=at,
        step_variances=variances,
        baseline_constant=baseline_constant(baseline, sums, at),
        is_scaled=scaled if scales else None,
        scale_prior=scales[0] if scales else None,
    )


def baseline_of(
    hazards: Block | GammaHazards,
) -> tuple[BaselinePrior | GivenWalk, float, NDArray[np.float64] | None]:
    """Prior of the baseline as the engine takes it.

    Returns
    -------
    prior, log_rate, step_variances
        Where it is centred, and the variances (1, intervals - 1) of a walk with steps.
    """
    if isinstance(hazards, GammaHazards):
        return GammaProcess(hazards.weight), hazards.log_rate, None
    walk = hazards.walk
    if walk is None:
        normal = hazards.priors[0].stand_in()
        return Independent(normal.sd), normal.mean, None
    level, scale = walk.level, hazards.scale
    if level is None:
        raise TypeError("a walk without a level cannot be a baseline")
    baseline = GivenWalk(level.sd, 1.0 if scale is None else scale.scale, level.anchor)
    if scale is None:
        return baseline, level.location, None
    # no step from one stratum's walk to the next
    variances = np.tile(np.append(walk.step_variances, np.inf), len(walk.centre))
    return baseline, level.location, variances[None, :-1]
