"""A grid over unknown scales, with a normal proposal of all other unknowns that follows the scales.

Every cell has the mode of the other unknowns at its middle, and the covariance that their
information there implies. Both change within a cell. A walk over 60 intervals has as many steps,
each with the step scale for its standard deviation: if all draws of a cell had the same spread, a
scale at the end of a cell half a unit wide would be off by a quarter in every one of them, and few
of the draws would count. So mode and square root of the covariance are interpolated between
neighbouring cells, linearly in the logs of the scales.

What is left is skewness: means are away from modes, alike in all cells when measured in
standard deviations. The draws' own weights say by how much.

References
----------
Rue, Martino & Chopin (2009), J R Stat Soc B 71:319-392 (a grid over scales, modes corrected to
means); Cappe, Guillin, Marin & Robert (2004), J Comput Graph Stat 13:907-929 (proposals moved by
their own weights).
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import DrawnEffects, EffectProposals
from bayes_crlm.inference.native.draws import SEED_WORDS
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.weights import allotted
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]


@record(eq=False)
class GridDraws:
    """Draws in mirrored pairs, those of a cell one after the other.

    Attributes
    ----------
    unknowns : (1, 2, pairs, unknowns) ndarray
        Of one cohort.
    standard : (2 x pairs, unknowns) ndarray
        The same as deviations from their cells' modes, in units of the spread.
    log_scales : list of (1, pairs) ndarray or None
        Logs of the scales.
    log_density : (1, pairs) ndarray
        Of all of these.
    cell : (2 x pairs,) ndarray of int
        Which cell each comes from.
    scramble : (1, pairs) ndarray of int
        As in `DrawnEffects`.
    """

    unknowns: Floats
    standard: Floats
    log_scales: list[Floats | None]
    log_density: Floats
    cell: NDArray[np.intp]
    scramble: NDArray[np.int64]


@record(eq=False)
class ScaleGrid:
    """Proposals of unknowns for the cells of a grid over scales.

    Attributes
    ----------
    maps : (cells, 1 + unknown scales, unknowns, unknowns + 1) ndarray
        Lower triangular square roots of the covariances, and the modes in the last column: first
        those at the cells' middles, then what is added for each unit of the log of a scale.
    scales : tuple of ScaleCells or None
        Of each scale, one for each cell of the grid; None of a fixed one.
    probability : (cells,) ndarray
        Of the cells.
    mean : (unknowns,) ndarray
        Where all cells' proposals are centred, from the mode on, in units of the spread.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    """

    maps: Floats
    scales: tuple[ScaleCells | None, ...]
    probability: Floats
    mean: Floats
    wide_degrees_of_freedom: float

    @classmethod
    def around(
        cls,
        mode: Floats,
        root: Floats,
        scales: Sequence[ScaleCells | None],
        places: Sequence[NDArray[np.intp]],
        share: Floats,
        wide_degrees_of_freedom: float,
    ) -> "ScaleGrid":
        """Propose around modes.

        Parameters
        ----------
        mode, root : (cells, unknowns) ndarray, (cells, unknowns, unknowns) ndarray
            At the cells' middles, and lower triangular square roots of the covariances there.
        scales : sequence of ScaleCells or None
            All cells of each scale; None of a fixed one.
        places : sequence of (cells,) ndarray of int
            Which of these each cell of the grid is.
        share : (cells,) ndarray
            Of the posterior, but for a constant.
        wide_degrees_of_freedom : float
            Of the wider pairs.
        """
        middle = np.concatenate([root, mode[:, :, None]], axis=2)
        slopes = [
            slopes_along(middle, places, k, cells.width)
            for k, cells in enumerate(scales)
            if cells is not None
        ]
        held = (
            None if cells is None else cells.part(place)
            for cells, place in zip(scales, places, strict=True)
        )
        return cls(
            np.stack([middle, *slopes], axis=1),
            tuple(held),
            share / share.sum(),
            np.zeros(mode.shape[1]),
            wide_degrees_of_freedom,
        )

    def draw(self, pairs: int, rng: np.random.Generator) -> GridDraws:
        """Draw unknowns and scales in so many mirrored pairs."""
        of_cells = allotted(self.probability[None], pairs)
        cell = at_draw_pairs(np.arange(len(self.probability))[None], of_cells)
        points = self.draw_standard(of_cells, rng)
        log_density = points.log_density + np.log(at_draw_pairs(of_cells / pairs, of_cells))
        log_scales: list[Floats | None] = []
        distances = [np.ones(pairs)]
        for cells in self.scales:
            drawn = None
            if cells is not None:
                drawn, of_scale = cells.draw(cell, [rng])
                log_density += of_scale
                distances.append(drawn[0] - cells.middle[cell[0]])
            log_scales.append(drawn)
        unknowns, log_volume = self.placed(
            points.effect[0], np.stack(distances, axis=1), of_cells[0]
        )
        return GridDraws(
            unknowns[None],
            points.effect[0].reshape(2 * pairs, -1),
            log_scales,
            log_density - log_volume,
            np.tile(cell[0], 2),
            points.scramble,
        )

    def draw_standard(self, pairs: NDArray[np.intp], rng: np.random.Generator) -> DrawnEffects:
        """Draw deviations from modes in units of the spread, so many pairs in each cell."""
        cells, size = len(self.probability), len(self.mean)
        proposals = EffectProposals(
            np.tile(self.mean, (1, cells, 1)),
            np.tile(np.eye(size), (1, cells, 1, 1)),
            np.full((1, cells), np.inf),
            self.wide_degrees_of_freedom,
        )
        return proposals.draw(pairs, rng.integers(2**64, size=(1, SEED_WORDS), dtype=np.uint64))

    def placed(
        self, standard: Floats, distance: Floats, pairs: NDArray[np.intp]
    ) -> tuple[Floats, Floats]:
        """Put deviations where they belong, given the scales.

        Parameters
        ----------
        standard : (2, pairs, unknowns) ndarray
            From the modes, in units of the spread.
        distance : (pairs, 1 + unknown scales) ndarray
            1, and the logs of the scales, from the middles of their cells on.
        pairs : (cells,) ndarray of int
            In each cell.

        Returns
        -------
        unknowns : (2, pairs, unknowns) ndarray
        log_volume : (pairs,) ndarray
            Logs of the determinants of the square roots of the covariances.
        """
        shape, last = (*standard.shape[:2], distance.shape[1], standard.shape[2]), np.cumsum(pairs)
        of_maps = np.empty((*shape[:2], shape[2] * shape[3]))
        for maps, first, end in zip(self.maps, last - pairs, last, strict=True):
            rows = maps.reshape(-1, maps.shape[2])
            of_maps[:, first:end] = standard[:, first:end] @ rows[:, :-1].T + rows[:, -1]
        unknowns = distance[:, None] @ of_maps.reshape(shape)
        cell = np.repeat(np.arange(len(pairs)), pairs)
        diagonal = distance[:, None] @ np.diagonal(self.maps, axis1=2, axis2=3)[cell]
        return unknowns[:, :, 0], np.log(np.abs(diagonal)).sum(axis=(1, 2))

    def moved(self, found: GridDraws, weight: Floats) -> "ScaleGrid":
        """Move all cells alike to the weighted mean of draws; cells get half of their weight."""
        share = np.bincount(found.cell, weights=weight, minlength=len(self.probability))
        return replace(
            self, mean=weight @ found.standard, probability=(self.probability + share) / 2
        )


def slopes_along(
    values: Floats, places: Sequence[NDArray[np.intp]], axis: int, width: float
) -> Floats:
    """By how much values change along one axis of a grid, from their neighbours.

    Parameters
    ----------
    values : (cells, ...) ndarray
        Of the cells that there are.
    places : sequence of (cells,) ndarray of int
        Where these are along all axes.
    axis : int
        Which of these.
    width : float
        From one cell to the next.

    Returns
    -------
    (cells, ...) ndarray
        For each unit of the axis; 0 of a cell without neighbours.
    """
    own = np.arange(len(values))
    around = np.full([place.max() + 3 for place in places], -1)
    around[tuple(place + 1 for place in places)] = own
    ends = []
    for step in (-1, 1):
        there = around[tuple(place + 1 + step * (k == axis) for k, place in enumerate(places))]
        ends.append(np.where(there < 0, own, there))
    distance = width * np.maximum(places[axis][ends[1]] - places[axis][ends[0]], 1)
    change = values[ends[1]] - values[ends[0]]
    return change / distance.reshape(-1, *[1] * (values.ndim - 1))
