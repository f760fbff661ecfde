"""The sampler's coordinates of a model of blocks, from a Gaussian approximation of its posterior.

With every scale at 1 a model's values are linear in its unknowns: values = T unknowns. Normal
priors stand in for others, the engine's search finds the mode, and T turns the likelihood's
information on the values into that on the unknowns. What has no sampled scale is whitened given the
rest; of each block with one, information is rotated into its own basis.

References
----------
As `bayes_crlm.inference.native.coordinates`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.layout import Layout
from bayes_crlm.inference.native.coordinates import START_SPREAD, Coordinates, Parts
from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.density import AnyBlock, BlockModel, constrain, values_information
from bayes_crlm.model.families import Family, StudentT
from bayes_crlm.model.terms.blocks import Block, apply_families
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

# least information on a component, so that its precision stays positive
LEAST_PRECISION = 1e-8
# starts are spread by as much without an approximation: around the prior's centre
START_SPREAD_PRIOR = 0.5
# chains start a scale at this share of its prior's scale
START_OF_SCALE = 1 / 3
# twice the rise of the log density that another Newton step would bring
RISE_TOLERANCE = 1e-9


@record
class BlockUnknowns:
    """Where the unknowns of one block are in a complete vector, and how they make its values.

    Attributes
    ----------
    block : Block, Shrunk or GammaHazards
        The block.
    elements, levels, scales : (n,) ndarray of int
        Places of the unknowns with a prior each, of walks' levels, of scales.
    local : (n,) ndarray of int
        Places of scales of single elements.
    """

    block: AnyBlock
    elements: Places
    levels: Places
    scales: Places
    local: Places

    @property
    def is_scaled(self) -> bool:
        """Whether the elements have a sampled scale."""
        return len(self.scales) > 0

    def design(self) -> Floats:
        """How elements, then levels, make values, shape (values, elements + levels)."""
        block = self.block
        walk = block.walk if isinstance(block, Block) else None
        if walk is None:
            return np.eye(len(self.elements))
        copies, n_intervals = walk.centre.shape
        shape = (len(self.elements), copies, n_intervals - 1)
        steps = np.eye(len(self.elements)).reshape(shape) * walk.step_sds
        of_steps = walk.path(steps).reshape(len(self.elements), copies * n_intervals).T
        of_levels = np.repeat(np.eye(copies), n_intervals, axis=0)[:, : len(self.levels)]
        return np.column_stack([of_steps, of_levels])

    def prior_information(self, vector: NDArray, design: NDArray) -> Floats:
        """Minus the second derivatives of the log prior of elements and levels."""
        block, n = self.block, len(self.elements)
        information = np.zeros((n + len(self.levels),) * 2)
        if isinstance(block, GammaHazards):
            return np.diag(block.rate.ravel() * np.exp(vector[self.elements]))
        if isinstance(block, Shrunk):
            return np.eye(n)
        if n:
            curvature = apply_families(block.families, "curvature", vector[self.elements])
            information[range(n), range(n)] = -curvature
        if block.walk is not None and block.walk.level is not None:
            level = block.walk.level
            at_anchor = design[level.anchor :: block.walk.n_intervals]
            information += at_anchor.T @ at_anchor / level.sd**2
        return information

    def centre(self) -> Iterator[tuple[Places, Any]]:
        """Places, and where the prior has its centre."""
        block = self.block
        if isinstance(block, GammaHazards):
            yield self.elements, np.log(block.shape / block.rate).ravel()
        elif isinstance(block, Block):
            yield self.elements, [prior.stand_in().mean for prior in block.priors]
            if block.walk is not None and block.walk.level is not None:
                yield self.levels, block.walk.level.location
        yield self.scales, math.log(self.start_of_scale())

    def start_of_scale(self) -> float:
        """Where chains start the block's scale."""
        if isinstance(self.block, Shrunk):
            return self.block.global_scale.scale
        scale = self.block.scale if isinstance(self.block, Block) else None
        return 1.0 if scale is None else START_OF_SCALE * scale.scale


class Unknowns:
    """All of a model's unknowns, hazards that are integrated out among them, after the others."""

    def __init__(self, model: BlockModel) -> None:
        inside = [block for block in model.blocks if block is not model.integrated]
        outside = [] if model.integrated is None else [model.integrated]
        self.n_sampled = sum(p.size for block in inside for p in block.parameters)
        ordered = BlockModel((*inside, *outside), model.data).complete()
        self.model, self.layouts, at = ordered, [], 0
        for block in ordered.blocks:
            sizes = [parameter.size for parameter in block.parameters]
            ends = at + np.cumsum([0, *sizes])
            places = [np.arange(a, b) for a, b in pairwise(ends)]
            self.layouts.append(layout_of(block, places))
            at = int(ends[-1])
        self.size = at

    @cached_property
    def design(self) -> Floats:
        """How the unknowns make the values of all blocks when scales are 1."""
        rows = []
        for layout in self.layouts:
            design = np.zeros((layout.block.size, self.size))
            design[:, np.concatenate([layout.elements, layout.levels])] = layout.design()
            rows.append(design)
        return np.concatenate(rows)

    @cached_property
    def scales(self) -> Places:
        """Places of all scales."""
        return np.concatenate([np.concatenate([each.scales, each.local]) for each in self.layouts])

    @cached_property
    def linear(self) -> Places:
        """Places of all other unknowns."""
        return np.setdiff1d(np.arange(self.size), self.scales)

    def centre(self) -> Floats:
        """Vector at the centre of the priors, scales where chains start them."""
        vector = np.zeros(self.size)
        for layout in self.layouts:
            for places, value in layout.centre():
                vector[places] = value
        return vector

    def vector_of(self, values: tuple[NDArray, ...]) -> Floats:
        """Unknowns of which the blocks have given values, scales being 1, shape (unknowns,)."""
        vector = np.zeros(self.size)
        design = self.design[:, self.linear]
        vector[self.linear] = np.linalg.lstsq(design, np.concatenate(values), rcond=None)[0]
        return vector

    def information(self, vector: NDArray, model: BlockModel) -> Floats:
        """Minus the second derivatives of the log posterior in all unknowns, scales being 1."""
        named = constrain(vector, model.parameters)
        total = self.design.T @ values_information(named, model) @ self.design
        for layout, block in zip(self.layouts, model.blocks, strict=True):
            places = np.concatenate([layout.elements, layout.levels])
            now = replace(layout, block=block)
            total[np.ix_(places, places)] += now.prior_information(vector, layout.design())
        return total

    def parts(self) -> Parts:
        """Sort the sampler's unknowns into whitened, scaled and scales."""
        scaled_layouts = [each for each in self.layouts if each.is_scaled]
        nothing = [np.empty(0, dtype=np.int64)]
        scaled = np.concatenate([*nothing, *(each.elements for each in scaled_layouts)])
        position = {int(place): k for k, place in enumerate(self.scales)}
        scales_of = np.full((len(scaled), 2), -1)
        first = 0
        for layout in scaled_layouts:
            which = slice(first, first + len(layout.elements))
            scales_of[which, 0] = position[int(layout.scales[0])]
            if len(layout.local):
                scales_of[which, 1] = [position[int(place)] for place in layout.local]
            first = which.stop
        taken = np.concatenate([scaled, self.scales])
        rest = np.setdiff1d(np.arange(self.n_sampled), taken)
        sizes = tuple(len(each.elements) for each in scaled_layouts)
        return Parts(rest, scaled.astype(np.int64), self.scales, scales_of, sizes)


def layout_of(block: AnyBlock, places: list[Places]) -> BlockUnknowns:
    """Say which unknowns of a block are what."""
    nothing = np.empty(0, dtype=np.int64)
    if isinstance(block, Shrunk):
        return BlockUnknowns(block, places[2], nothing, places[0], places[1])
    if isinstance(block, GammaHazards):
        return BlockUnknowns(block, places[0], nothing, nothing, nothing)
    scales = places.pop(0) if block.scale is not None else nothing
    elements = places.pop(0) if block.priors else nothing
    return BlockUnknowns(block, elements, places.pop(0) if places else nothing, scales, nothing)


def sampler_coordinates(model: BlockModel, start: NDArray | None = None) -> Coordinates:
    """Find the sampler's coordinates for a model.

    Parameters
    ----------
    model : BlockModel
        Blocks and rows.
    start : (strata x intervals + effects,) ndarray, optional
        Log-hazards and the engine's effects near the mode to move around, where Student t priors
        make several: they are then kept. Normal priors stand in for them without it.

    Returns
    -------
    Coordinates
        Plain shifts of the model's own coordinates when no mode is found.
    """
    unknowns = Unknowns(model)
    parts = unknowns.parts()
    approximate = stand_in_model(unknowns.model, is_near_mode=start is not None)
    found = find_mode(unknowns, approximate, start)
    gaussian = None if found is None else whiten(unknowns, parts, *found)
    scale_centre = unknowns.centre()[parts.scales]
    if gaussian is None:
        return shifted(unknowns, parts)
    return Coordinates(parts, *gaussian, scale_centre, START_SPREAD)


def stand_in_model(model: BlockModel, *, is_near_mode: bool) -> BlockModel:
    """Replace priors by those whose mode and curvature describe the posterior."""

    def stand_in(prior: Family) -> Family:
        return prior if is_near_mode and isinstance(prior, StudentT) else prior.stand_in()

    blocks = tuple(
        replace(block, priors=tuple(stand_in(prior) for prior in block.priors))
        if isinstance(block, Block)
        else block
        for block in model.blocks
    )
    return replace(model, blocks=blocks)


def find_mode(
    unknowns: Unknowns, model: BlockModel, start: NDArray | None
) -> tuple[Floats, Floats] | None:
    """Find the mode with all scales at 1, and the information there.

    Returns
    -------
    tuple or None
        Vector and information in all unknowns; None where none was found.
    """
    layout = Layout.of(model)
    targets = Targets.of_layout(layout).without_horseshoe()
    first = None if start is None else start[None]
    found = climb(targets.posteriors(np.ones(1)), first, RISE_TOLERANCE)
    if not found.converged[0]:
        return None
    ends = np.cumsum([targets.n_intervals, targets.n_effects])
    vector = unknowns.vector_of(layout.block_values(*np.split(found.at[0], ends)))
    return vector, unknowns.information(vector, model)


def whiten(
    unknowns: Unknowns, parts: Parts, vector: NDArray, information: NDArray
) -> tuple[Any, ...] | None:
    """Turn a mode and its information into centre, root, gain, rotations, precision, linear, pivot.

    Returns
    -------
    tuple or None
        None where the information is not positive definite.
    """
    n_rest, scaled = len(parts.rest), parts.scaled
    # hazards that are integrated out: what is left of the approximation is its margin
    rest = np.concatenate([parts.rest, np.arange(unknowns.n_sampled, unknowns.size)])
    crossed = information[np.ix_(rest, scaled)]
    try:
        covariance = np.linalg.inv(information[np.ix_(rest, rest)])
        covariance = (covariance + covariance.T) / 2
        root = np.linalg.cholesky(covariance[:n_rest, :n_rest])
    except np.linalg.LinAlgError:
        return None
    gain = -(covariance @ crossed)[:n_rest]
    profile = information[np.ix_(scaled, scaled)] - crossed.T @ covariance @ crossed
    # less the priors' own precision, 1
    profile -= np.eye(len(scaled))
    precision, pivot = np.diag(profile).copy(), vector[scaled]
    in_basis, rotations = pivot.copy(), []
    for which in parts.ranges:
        rotation = None
        if np.all(parts.scales_of[which] == parts.scales_of[which][0]):
            precision[which], rotation = np.linalg.eigh(profile[which, which])
            in_basis[which] = rotation.T @ pivot[which]
        rotations.append(rotation)
    precision = np.maximum(precision, LEAST_PRECISION)
    # at the mode the data's pull balances the stand-in prior's
    linear = in_basis * (precision + 1)
    return vector[parts.rest], root, gain, tuple(rotations), precision, linear, pivot


def shifted(unknowns: Unknowns, parts: Parts) -> Coordinates:
    """Coordinates that only move the origin to the prior's centre."""
    n_rest, centre = len(parts.rest), unknowns.centre()
    nothing = np.zeros(len(parts.scaled))
    return Coordinates(
        parts,
        centre=centre[parts.rest],
        root=np.eye(n_rest),
        gain=np.zeros((n_rest, len(parts.scaled))),
        rotations=(None,) * len(parts.sizes),
        # no information: scaled components are plainly non-centred
        precision=nothing,
        linear=nothing,
        pivot=nothing,
        scale_centre=centre[parts.scales],
        start_spread=START_SPREAD_PRIOR,
    )
