"""A model's blocks, priors and rows as flat arrays, in the order in which the library reads them.

`native/library.cpp` reads them; both sides name the same things in the same order.
"""

import itertools
import math
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import BEST, FlatArrays, NativeDensity, lay_density
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.density import AnyBlock
from bayes_crlm.model.families import (
    Family,
    HalfNormal,
    HalfStudentT,
    Laplace,
    Normal,
    NormalMixture,
    ScaleFamily,
    StudentT,
)
from bayes_crlm.model.terms.blocks import UNIT, Block, Cells, Columns, Grouping
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import LOCAL_SCALE, Shrunk
from bayes_crlm.model.terms.walks import Level
from bayes_crlm.words.records import record

COLUMNS, CELLS, GROUPING = 0, 1, 2
PLAIN, SCALED, WALK, HORSESHOE = 0, 1, 2, 3
NORMAL, STUDENT_T, LAPLACE, MIXTURE, LOG_GAMMA = 0, 1, 2, 3, 4
HALF_NORMAL, HALF_T = 0, 1
ABSENT = -1
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


def native_density(
    data: SurvivalData, blocks: tuple[AnyBlock, ...], level: int = BEST
) -> NativeDensity:
    """Log density of a model's unconstrained vector, with gradient, in machine code.

    Parameters
    ----------
    data : SurvivalData
        Rows with their classes and groups.
    blocks : tuple of Block, Shrunk or GammaHazards
        In the order of the vector.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.
    """
    rows = flat_rows(data)
    flat, size = flat_density(data, blocks, rows)
    return lay_density(flat, rows, size, level)


def flat_density(
    data: SurvivalData, blocks: tuple[AnyBlock, ...], rows: FlatArrays
) -> tuple[FlatArrays, int]:
    """Put a model into flat arrays; also its number of unknowns.

    Parameters
    ----------
    data, blocks
        As for `native_density`.
    rows : FlatArrays
        From `flat_rows`.
    """
    writer, at = Writer(first_groups(data)), 0
    for block in blocks:
        if isinstance(block, GammaHazards):
            at = writer.write_gamma(block, at)
        elif isinstance(block, Shrunk):
            at = writer.write_shrunk(block, at)
        else:
            at = writer.write_block(block, at)
    integrated = [b for b in blocks if isinstance(b, GammaHazards) and b.is_integrated]
    process = integrated[0] if integrated else None
    n_rows = rows.floats.shape[1]
    return flat_arrays(data, writer, (n_rows, at), process), at


def flat_arrays(
    data: SurvivalData, writer: "Writer", sizes: tuple[int, int], process: GammaHazards | None
) -> FlatArrays:
    """Put lengths and events before blocks; `sizes` are the numbers of rows and of unknowns."""
    width = data.follow_up.width
    header = [
        data.design.shape[1], len(width), data.n_classes, len(data.groups),
        first_groups(data)[-1], *sizes, writer.n_blocks,
        int(data.stratum_of_class.max()) + 1, int(process is not None),
    ]  # fmt: skip
    events = data.events_per_cell
    of_process: list[NDArray] = []
    constant = writer.constant
    if process is not None:
        after = process.shape + events_per_stratum(data)
        of_process = [after.ravel(), process.rate.ravel()]
        constant += float(process.log_constant.sum())
        constant += sum(math.lgamma(each) for each in after.ravel().tolist())
    integers = [header, data.stratum_of_class, *writer.integers]
    floats = [
        [constant], width, events.ravel(), data.event_design, *data.events_per_group,
        *of_process, *writer.floats,
    ]  # fmt: skip
    return FlatArrays(
        np.concatenate(floats, dtype=float), np.concatenate(integers).astype(np.int64)
    )


def flat_rows(data: SurvivalData) -> FlatArrays:
    """Rows sorted by class and the interval in which they stop.

    A row that enters late is two: one that counts up to its stop, and one that counts negatively
    up to its entry.

    Returns
    -------
    FlatArrays
        Floats (2 + terms, rows): time since the interval's start times the weight, the weight, the
        columns. Integers: where each cell's rows begin and end, then places among all groups.
    """
    follow_up = data.follow_up
    n_intervals, n_terms = len(follow_up.width), data.design.shape[1]
    row = np.arange(follow_up.n_rows)
    interval, within, count = follow_up.stop_interval, follow_up.stop_within, follow_up.count
    if follow_up.is_delayed:
        late = (follow_up.entry_interval > 0) | (follow_up.entry_within > 0)
        row = np.concatenate([row, row[late]])
        interval = np.concatenate([interval, follow_up.entry_interval[late]])
        within = np.concatenate([within, -follow_up.entry_within[late]])
        count = np.concatenate([count, -count[late]])
    cell = data.row_class[row] * n_intervals + interval
    order = np.argsort(cell, kind="stable")
    bounds = np.searchsorted(cell[order], np.arange(data.n_classes * n_intervals + 1))
    row = row[order]
    # column by column: a table of all would be copied again
    floats = np.empty((2 + n_terms, len(order)))
    floats[0], floats[1] = within[order], count[order]
    for term in range(n_terms):
        floats[2 + term] = data.design[row, term]
    begin = first_groups(data)[:-1]
    groups = (group[row] + first for group, first in zip(data.groups, begin, strict=True))
    integers = [bounds, *groups]
    return FlatArrays(floats, np.concatenate(integers).astype(np.int64))


def first_groups(data: SurvivalData) -> list[int]:
    """Where each grouping's groups begin among those of all groupings; last, how many there are."""
    return [0, *itertools.accumulate(data.group_counts)]


def events_per_stratum(data: SurvivalData) -> NDArray[np.float64]:
    """Events of every stratum in every interval."""
    events = np.zeros((int(data.stratum_of_class.max()) + 1, len(data.follow_up.width)))
    np.add.at(events, data.stratum_of_class, data.events_per_cell)
    return events


@record
class Elements:
    """Priors of a block's single unknowns, in columns.

    Attributes
    ----------
    family : (elements,) ndarray of int
        Number of each one's family, as `native/priors.inc` knows it.
    location, precision, nu : (elements,) ndarray
        `precision` is 1 / scale; of a log-gamma family `location` is the shape and `nu` the rate.
    mixture : (elements, parts, 3) ndarray
        Log weight over sd, mean and 1 / sd of each part of a mixture.
    constant : float
        What of the log densities depends on no unknown.
    """

    family: NDArray[np.int64]
    location: NDArray[np.float64]
    precision: NDArray[np.float64]
    nu: NDArray[np.float64]
    mixture: NDArray[np.float64]
    constant: float

    @staticmethod
    def of_families(priors: tuple[Family, ...]) -> "Elements":
        """Priors of known families, one an element.

        Raises
        ------
        TypeError
            For a family that the library does not know.
        """
        n_parts = max((len(each.weights) for each in priors if is_mixture(each)), default=0)
        mixture = np.tile([-math.inf, 0.0, 1.0], (len(priors), n_parts, 1))
        family = np.empty(len(priors), dtype=np.int64)
        numbers = np.ones((3, len(priors)))
        constant = 0.0
        for k, prior in enumerate(priors):
            if isinstance(prior, NormalMixture):
                weight, mean, sd = prior.array
                with np.errstate(divide="ignore"):
                    log_weight = np.log(weight) - np.log(sd) - HALF_LOG_2PI
                mixture[k, : len(sd)] = np.column_stack([log_weight, mean, 1 / sd])
                family[k] = MIXTURE
                continue
            family[k], *numbers[:, k] = describe(prior)
            constant += float(prior.log_density(numbers[:1, k])[0])
        return Elements(family, *numbers, mixture, constant)

    @staticmethod
    def of_log_hazards(process: GammaHazards) -> "Elements":
        """Priors of the logs of a gamma process's hazards."""
        shape, n = process.shape.ravel(), process.size
        family, none = np.full(n, LOG_GAMMA, dtype=np.int64), np.empty((n, 0, 3))
        constant = float(process.log_constant.sum())
        return Elements(family, shape, np.ones(n), process.rate.ravel(), none, constant)


def is_mixture(prior: Family) -> TypeGuard[NormalMixture]:
    """Whether a family is a mixture of normals."""
    return isinstance(prior, NormalMixture)


def describe(prior: Family) -> tuple[int, float, float, float]:
    """Code of a family, location, 1 / scale and degrees of freedom."""
    if isinstance(prior, Normal):
        return NORMAL, prior.mean, 1 / prior.sd, 1.0
    if isinstance(prior, StudentT):
        return STUDENT_T, prior.location, 1 / prior.scale, prior.degrees_of_freedom
    if isinstance(prior, Laplace):
        return LAPLACE, prior.location, 1 / prior.scale, 1.0
    raise TypeError(f"the native density knows no prior {prior!r}")


class Writer:
    """Collects the numbers of blocks, and what of the log density depends on no unknown.

    Parameters
    ----------
    first_groups : list of int
        Where each grouping's groups begin among those of all.
    """

    def __init__(self, first_groups: list[int]) -> None:
        self.first_groups = first_groups
        self.floats: list[Any] = []
        self.integers: list[Any] = []
        self.constant = 0.0
        self.n_blocks = 0

    def write_block(self, block: Block, at: int) -> int:
        """Write a block whose unknowns begin at a place of the vector; gives where they end."""
        walk, scale_at, level_at = block.walk, ABSENT, ABSENT
        if block.scale is not None:
            scale_at, at = at, at + 1
        elements_at, at = at, at + len(block.priors)
        level = None if walk is None else walk.level
        if walk is not None and level is not None:
            level_at, at = at, at + len(walk.centre)
            self.constant -= len(walk.centre) * (math.log(level.sd) + HALF_LOG_2PI)
        self.write(
            block.enters,
            WALK if walk is not None else PLAIN if block.scale is None else SCALED,
            block.size,
            (elements_at, scale_at, level_at, ABSENT),
            Elements.of_families(block.priors),
            scale=block.scale,
            level=level,
        )
        if walk is not None:
            self.floats += [walk.step_sds, walk.centre.ravel()]
        return at

    def write_shrunk(self, block: Shrunk, at: int) -> int:
        """Write columns under a horseshoe: a global scale, local ones, then the unknowns."""
        n = block.size
        self.constant += n * peak(LOCAL_SCALE)
        places = at + 1 + n, at, ABSENT, at + 1
        elements = Elements.of_families((UNIT,) * n)
        self.write(block.enters, HORSESHOE, n, places, elements, scale=block.global_scale)
        return at + 1 + 2 * n

    def write_gamma(self, block: GammaHazards, at: int) -> int:
        """Write a gamma process's hazards, unless they are integrated out."""
        if block.is_integrated:
            return at
        places = at, ABSENT, ABSENT, ABSENT
        self.write(block.enters, PLAIN, block.size, places, Elements.of_log_hazards(block))
        return at + block.size

    def write(
        self,
        enters: Columns | Cells | Grouping,
        form: int,
        size: int,
        places: tuple[int, int, int, int],
        elements: Elements,
        scale: ScaleFamily | None = None,
        level: Level | None = None,
    ) -> None:
        """Write what all blocks have in common.

        Parameters
        ----------
        enters : Columns, Cells or Grouping
            Where the values enter the log-hazard.
        form : int
            How values are made from unknowns.
        size : int
            Number of values.
        places : tuple of int
            Where the elements, the scale, the level and the local scales begin in the vector.
        elements : Elements
            Priors of the single unknowns.
        scale : ScaleFamily, optional
            Prior of their common scale, where that is unknown.
        level : Level, optional
            Of a walk: where its level is, and its prior.
        """
        if isinstance(enters, Columns):
            kind, first, n_fields = COLUMNS, enters.start, 0
        elif isinstance(enters, Cells):
            kind, first, n_fields = CELLS, 0, enters.copies
        else:
            kind, first, n_fields = GROUPING, self.first_groups[enters.index], 0
        anchor = 0 if level is None else level.anchor
        of_level = (0.0, 1.0) if level is None else (level.location, level.sd)
        is_normal = scale is None or isinstance(scale, HalfNormal)
        nu = scale.degrees_of_freedom if isinstance(scale, HalfStudentT) else 1.0
        self.integers += [
            [kind, form, first, size, n_fields, len(elements.family), *places],
            [HALF_NORMAL if is_normal else HALF_T, anchor, elements.mixture.shape[1]],
            elements.family,
        ]
        self.floats += [
            [nu, 1.0 if scale is None else scale.scale, *of_level],
            *(elements.location, elements.precision, elements.nu, elements.mixture.ravel()),
        ]
        if isinstance(enters, Cells):
            self.floats.append(enters.loading.ravel())
        self.constant += elements.constant + (0.0 if scale is None else peak(scale))
        self.n_blocks += 1


def peak(scale: ScaleFamily) -> float:
    """Log density of a scale's prior at 0, where it is largest."""
    return float(scale.log_density(np.zeros(1))[0])
