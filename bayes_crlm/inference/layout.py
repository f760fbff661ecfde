"""Where the approximate engine has the unknowns of a model of blocks.

The blocks' values are sorted by how they are drawn: log-hazards of the baseline given all else;
log hazard ratios of columns, of groups of the smaller groupings, and steps of effects that change
with time around their modes; groups of the largest grouping integrated out, and drawn at last
(`bayes_crlm.inference.groups`). The walk's step scale and one other scale are on grids.
"""

from dataclasses import replace
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.draws import BatchDraws, WeightedDraws
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import BaselinePrior, GammaProcess, Independent, WalkPrior
from bayes_crlm.model.density import AnyBlock, BlockModel
from bayes_crlm.model.families import Family, HalfNormal, Normal, ScaleFamily
from bayes_crlm.model.priors import EffectPrior, Horseshoe
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.words.records import record

Priors = tuple[tuple[EffectPrior | Family, slice], ...]

MOST_SCALES = 2


@record
class GivenWalk(WalkPrior):
    """A walk as a block says it."""

    anchor: int = 0

    name: ClassVar[str] = "walk"

    def level_interval(self, n_intervals: int) -> int:
        """Position of the interval whose log-hazard has the level's prior."""
        return self.anchor


def why_not_approximated(model: BlockModel) -> str | None:
    """Say why a model goes to NUTS at once; None where the approximate engine serves it."""
    if any(isinstance(block, Shrunk) for block in model.blocks):
        return "engine laplace cannot follow a horseshoe prior"
    blocks = [block for block in model.blocks if isinstance(block, Block)]
    scales = [block for block in blocks if block.scale is not None]
    if len(scales) > MOST_SCALES:
        count = f"and there are {len(scales)}"
        return f"engine laplace serves at most {MOST_SCALES} unknown scales, {count}"
    groups = largest_grouping(model)
    besides = [block for block in scales if not is_baseline(block) and block is not groups]
    if len(besides) > 1:
        return (
            "engine laplace serves one unknown scale of effects that are not groups', and there "
            f"are {len(besides)}"
        )
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


def largest_grouping(model: BlockModel) -> Block | None:
    """The block of the largest grouping whose groups are normal given their scale."""
    found = [
        block
        for block in model.blocks
        if isinstance(block, Block)
        and isinstance(block.enters, Grouping)
        and all(prior == UNIT for prior in block.priors)
    ]
    return max(found, key=lambda block: block.size, default=None)


@record(eq=False)
class GroupedRows:
    """Groups whose effects are integrated out.

    Attributes
    ----------
    index : (rows,) ndarray of int
        Which group each row belongs to.
    events : (groups,) ndarray
        Of each group.
    scale : ScaleFamily or None
        Prior of the effects' standard deviation; 1 without it.
    """

    index: NDArray[np.intp]
    events: NDArray[np.float64]
    scale: ScaleFamily | None


@record(eq=False)
class Layout:
    """Where the engine has the values of a model's blocks.

    Attributes
    ----------
    model : BlockModel
        Whose blocks are sorted.
    hazards : Block or GammaHazards
        Of the baseline.
    groups : Block or None
        Of the grouping that is integrated out.
    places : dict of str to slice
        Where among the engine's effects are the values (of walks: the steps) of each other block,
        by its name: the design's columns first, then groups, then steps.
    """

    model: BlockModel
    hazards: Block | GammaHazards
    groups: Block | None
    places: dict[str, slice]

    @classmethod
    def of(cls, model: BlockModel) -> "Layout":
        """Sort a model's blocks."""
        groups = largest_grouping(model)
        hazards = next(block for block in model.blocks if is_baseline(block))
        if isinstance(hazards, Shrunk):
            raise TypeError("a horseshoe cannot be a baseline")
        layout = cls(model, hazards, groups, {})
        end = model.data.design.shape[1]
        for block in layout.others:
            if isinstance(block.enters, Columns):
                layout.places[block.name] = slice(block.enters.start, block.enters.stop)
        for kind in (Grouping, Cells):
            for block in layout.others:
                if isinstance(block, Block) and isinstance(block.enters, kind):
                    layout.places[block.name] = slice(end, end + len(block.priors))
                    end += len(block.priors)
        return layout

    @property
    def others(self) -> tuple[Block | Shrunk, ...]:
        """Blocks of the engine's effects."""
        return tuple(
            block
            for block in self.model.blocks
            if not isinstance(block, GammaHazards)
            and block is not self.hazards
            and block is not self.groups
        )

    @property
    def n_effects(self) -> int:
        """Number of the engine's effects."""
        return max((place.stop for place in self.places.values()), default=0)

    @property
    def data(self) -> SurvivalData:
        """The model's rows, smaller groupings as columns, those integrated out left out."""
        data = self.model.data
        if not data.groups:
            return data
        columns = [data.design] + [
            np.eye(block.size)[data.groups[block.enters.index]]
            for block in self.others
            if isinstance(block.enters, Grouping)
        ]
        return replace(data, design=np.concatenate(columns, axis=1), groups=(), group_counts=())

    @property
    def loading(self) -> NDArray[np.float64] | None:
        """What each step of effects over time adds to the hazard table; None without any."""
        over_time = [
            steps_in_cells(block)
            for block in self.others
            if isinstance(block, Block) and isinstance(block.enters, Cells)
        ]
        return np.concatenate(over_time, axis=2) if over_time else None

    @property
    def priors(self) -> Priors:
        """Priors of the engine's effects, but for an unknown scale."""
        found: list[tuple[EffectPrior | Family, slice]] = []
        for block in sorted(self.others, key=lambda block: self.places[block.name].start):
            place = self.places[block.name]
            if isinstance(block, Shrunk):
                found.append((Horseshoe(block.global_scale.scale), place))
                continue
            for k, prior in enumerate(block.priors, start=place.start):
                found.append((prior, slice(k, k + 1)))
        return merged(found)

    @property
    def scale(self) -> ScaleFamily | None:
        """Prior of the unknown scale of effects; None without one."""
        scales = [block.scale for block in self.others if isinstance(block, Block) and block.scale]
        return scales[0] if scales else None

    @property
    def is_scaled(self) -> NDArray[np.bool] | None:
        """Which effects have an unknown scale, shape (effects,); None where none has."""
        if self.scale is None:
            return None
        found = np.zeros(self.n_effects, dtype=bool)
        for block in self.others:
            found[self.places[block.name]] = isinstance(block, Block) and block.scale is not None
        return found

    @property
    def grouped(self) -> GroupedRows | None:
        """Groups whose effects are integrated out."""
        if self.groups is None or not isinstance(self.groups.enters, Grouping):
            return None
        place, data = self.groups.enters.index, self.model.data
        index = data.groups[place]
        if data.n_classes > 1:
            # rows of a class follow one another in the sums
            index = index[np.argsort(data.row_class, kind="stable")]
        return GroupedRows(index, data.events_per_group[place], self.groups.scale)

    def weighted(self, drawn: BatchDraws, k: int = 0) -> WeightedDraws | None:
        """Draws of the k-th cohort with the model's unknowns; None where there are none."""
        if not drawn.converged[k] or drawn.log_hazard is None:
            return None
        scale = drawn.log_step_scale
        return WeightedDraws(
            effect=drawn.effect[k][:, : self.model.data.design.shape[1]],
            log_hazard=drawn.log_hazard[k],
            log_step_scale=None if scale is None else scale[k],
            log_ratio=drawn.log_ratio[k],
            weight=drawn.weight[k],
            pareto_k=float(drawn.pareto_k[k]),
            ess=float(drawn.ess[k]),
            vectors=self.vectors(drawn, k),
            scramble=drawn.scramble[k],
        )

    def vectors(self, drawn: BatchDraws, k: int) -> NDArray[np.float64]:
        """Unconstrained vectors of the k-th cohort's draws, not finite where impossible.

        Returns
        -------
        (draws, total size) ndarray
            In the order of `BlockModel.parameters`.
        """
        with np.errstate(invalid="ignore"):
            named = self.named_hazards(drawn, k)
            for block in self.model.blocks:
                if not isinstance(block, Block) or block is self.hazards:
                    continue
                log_scales = drawn.log_effect_scale
                if block is self.groups and drawn.groups is not None:
                    values, log_scales = drawn.groups[k], drawn.log_group_scale
                else:
                    values = drawn.effect[k][:, self.places[block.name]]
                if block.scale is not None and log_scales is not None:
                    log_scale = log_scales[k, :, None]
                    named[block.scale_name], values = log_scale, values / np.exp(log_scale)
                named[block.unit_name] = values
        return np.concatenate([named[each.name] for each in self.model.parameters], axis=1)

    def named_hazards(self, drawn: BatchDraws, k: int) -> dict[str, NDArray[np.float64]]:
        """Unknowns of the baseline by name, unconstrained."""
        if drawn.log_hazard is None:
            raise ValueError("log-hazards were not kept")
        log_hazard, block = drawn.log_hazard[k], self.hazards
        if not isinstance(block, Block) or block.walk is None:
            return {block.parameters[0].name: log_hazard}
        walk = block.walk
        walks = log_hazard.reshape(len(log_hazard), -1, walk.n_intervals)
        named = {block.level_name: (walks * walk.centre).sum(axis=-1)}
        if drawn.log_step_scale is not None:
            log_scale = drawn.log_step_scale[k, :, None]
            steps = np.diff(walks, axis=-1) / walk.step_sds
            named[block.scale_name] = log_scale
            named[block.unit_name] = steps.reshape(len(steps), -1) / np.exp(log_scale)
        return named

    def block_values(
        self, log_hazard: NDArray, effect: NDArray, groups: NDArray
    ) -> tuple[NDArray, ...]:
        """Values of every block at one point of the engine.

        Parameters
        ----------
        log_hazard : (strata x intervals,) ndarray
            Of the baseline, one stratum's intervals after another's.
        effect : (effects,) ndarray
            Values, or steps of walks, in the engine's order.
        groups : (groups,) ndarray
            Effects of those that are integrated out.
        """
        values = []
        for block in self.model.blocks:
            if block is self.hazards:
                values.append(log_hazard)
            elif block is self.groups:
                values.append(groups)
            elif isinstance(block, Block) and block.walk is not None:
                walk, steps = block.walk, effect[self.places[block.name]]
                steps = steps.reshape(len(walk.centre), -1) * walk.step_sds
                values.append(walk.path(steps).ravel())
            else:
                values.append(effect[self.places[block.name]])
        return tuple(values)


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
    unit = np.eye(copies * n_steps).reshape(copies * n_steps, copies, n_steps) * walk.step_sds
    return np.moveaxis(loading @ walk.path(unit), 0, -1)


def merged(priors: list[tuple[EffectPrior | Family, slice]]) -> Priors:
    """Join neighbours under one prior."""
    found: list[tuple[EffectPrior | Family, slice]] = []
    for prior, part in priors:
        if found and found[-1][0] == prior:
            found[-1] = (prior, slice(found[-1][1].start, part.stop))
        else:
            found.append((prior, part))
    return tuple(found)


def baseline_of(
    hazards: Block | GammaHazards,
) -> tuple[BaselinePrior | GivenWalk, float, NDArray[np.float64] | None]:
    """Prior of the baseline as the engine takes it.

    Returns
    -------
    prior, log_rate, step_variances
        Where it is centred, and the variances (intervals - 1,) of a walk with steps.
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
    if not len(walk.step_variances):
        return baseline, level.location, None
    # no step from one stratum's walk to the next
    variances = np.tile(np.append(walk.step_variances, np.inf), len(walk.centre))
    return baseline, level.location, variances[:-1]
