"""A model's blocks, priors and rows as flat arrays, in the order in which the library reads them.

`native/library.cpp` reads them; both sides name the same things in the same order.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import BEST, FlatArrays, NativeDensity, lay_density
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.families import (
    Family,
    HalfCauchy,
    HalfNormal,
    Laplace,
    Normal,
    NormalMixture,
    ScaleFamily,
    StudentT,
)
from bayes_crlm.model.terms.blocks import (
    LOCAL_SCALE,
    UNIT,
    AnyBlock,
    Block,
    Cells,
    Columns,
    GammaHazards,
    Shrunk,
)

__all__ = ["flat_density", "native_density"]

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
    flat, size = flat_density(data, blocks)
    return lay_density(flat, size, level)


def flat_density(data: SurvivalData, blocks: tuple[AnyBlock, ...]) -> tuple[FlatArrays, int]:
    """Put a model into flat arrays; also its number of unknowns.

    Parameters
    ----------
    data, blocks
        As for `native_density`.
    """
    writer, at = Writer(), 0
    for block in blocks:
        if isinstance(block, GammaHazards):
            at = writer.write_gamma(block, data, at)
        elif isinstance(block, Shrunk):
            at = writer.write_shrunk(block, at)
        else:
            at = writer.write_block(block, at)
    integrated = [b for b in blocks if isinstance(b, GammaHazards) and b.is_integrated]
    process = integrated[0] if integrated else None
    return flat_arrays(data, writer, at, process), at


def flat_arrays(
    data: SurvivalData, writer: "Writer", size: int, process: GammaHazards | None
) -> FlatArrays:
    """Put rows before blocks."""
    follow_up, n_classes = data.follow_up, data.n_classes
    n_intervals = len(follow_up.width)
    order, cell, within, count = rows_by_cell(data)
    bounds = np.searchsorted(cell, np.arange(n_classes * n_intervals + 1))
    header = [
        data.design.shape[1], n_intervals, n_classes, len(data.groups), len(order), size,
        writer.n_blocks, int(data.stratum_of_class.max()) + 1, int(process is not None),
    ]  # fmt: skip
    events = data.events_per_cell
    of_process: list[NDArray] = []
    constant = writer.constant
    if process is not None:
        after = process.shape + events_per_stratum(data)
        of_process = [after.ravel(), process.rate.ravel()]
        constant += float(process.log_constant.sum())
        constant += sum(math.lgamma(each) for each in after.ravel().tolist())
    integers = [
        header, data.stratum_of_class, data.group_counts, bounds,
        *(group[order] for group in data.groups), *writer.integers,
    ]  # fmt: skip
    floats = [
        [constant], follow_up.width, events.ravel(), data.event_design, *data.events_per_group,
        *of_process, within, count, data.design[order].T.ravel(), *writer.floats,
    ]  # fmt: skip
    return FlatArrays(np.concatenate(floats, dtype=float), np.concatenate(integers).astype(np.int64))


def rows_by_cell(data: SurvivalData) -> tuple[NDArray[np.intp], NDArray, NDArray, NDArray]:
    """Rows sorted by class and the interval in which they stop; also those at whose entry they end.

    A row that enters late is two: one that counts up to its stop, and one that counts negatively
    up to its entry.

    Returns
    -------
    row, cell : (rows,) ndarray of int
        Which row of the data, and in which cell of the hazard table.
    within, count : (rows,) ndarray
        Time since the interval's start times the weight, and the weight.
    """
    follow_up = data.follow_up
    n_intervals = len(follow_up.width)
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
    return row[order], cell[order], within[order], count[order]


def events_per_stratum(data: SurvivalData) -> NDArray[np.float64]:
    """Events of every stratum in every interval."""
    events = np.zeros((int(data.stratum_of_class.max()) + 1, len(data.follow_up.width)))
    np.add.at(events, data.stratum_of_class, data.events_per_cell)
    return events


class Writer:
    """Collects the numbers of blocks, and what of the log density depends on no unknown."""

    def __init__(self) -> None:
        self.floats: list[Any] = []
        self.integers: list[Any] = []
        self.constant = 0.0
        self.n_blocks = 0

    def write_block(self, block: Block, at: int) -> int:
        """Write a block whose unknowns begin at a place of the vector; gives where they end."""
        walk = block.walk
        scale_at = ABSENT
        if block.scale is not None:
            scale_at, at = at, at + 1
        elements_at, at = at, at + len(block.priors)
        level_at, level = ABSENT, None if walk is None else walk.level
        if walk is not None and level is not None:
            level_at, at = at, at + len(walk.centre)
            self.constant -= len(walk.centre) * (math.log(level.sd) + HALF_LOG_2PI)
        form = WALK if walk is not None else PLAIN if block.scale is None else SCALED
        self.write(
            block.enters,
            form,
            size=block.size,
            places=(elements_at, scale_at, level_at, ABSENT),
            anchor=0 if level is None else level.anchor,
            scale=block.scale,
            level=(0.0, 1.0) if level is None else (level.location, level.sd),
            priors=block.priors,
        )
        if walk is not None:
            self.floats += [walk.step_sds, walk.centre.ravel()]
        return at

    def write_shrunk(self, block: Shrunk, at: int) -> int:
        """Write columns under a horseshoe: a global scale, local ones, then the unknowns."""
        n = block.size
        self.constant += n * float(LOCAL_SCALE.log_density(np.zeros(1))[0])
        self.write(
            block.enters,
            HORSESHOE,
            size=n,
            places=(at + 1 + n, at, ABSENT, at + 1),
            scale=block.global_scale,
            priors=(UNIT,) * n,
        )
        return at + 1 + 2 * n

    def write_gamma(self, block: GammaHazards, data: SurvivalData, at: int) -> int:
        """Write a gamma process's hazards, unless they are integrated out."""
        if block.is_integrated:
            return at
        n = block.size
        self.constant += float(block.log_constant.sum())
        self.write_head(block.enters, PLAIN, n, n, (at, ABSENT, ABSENT, ABSENT), 0, None, (0.0, 1.0))
        self.integers.append([LOG_GAMMA] * n)
        self.floats += [block.shape.ravel(), np.ones(n), block.rate.ravel(), block.enters.loading.ravel()]
        return at + n

    def write(
        self,
        enters: Any,
        form: int,
        *,
        size: int,
        places: tuple[int, int, int, int],
        priors: tuple[Family, ...],
        scale: ScaleFamily | None,
        anchor: int = 0,
        level: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        """Write all that blocks have in common."""
        n_components = max((n_parts(prior) for prior in priors), default=0)
        self.write_head(enters, form, size, len(priors), places, anchor, scale, level, n_components)
        described = [self.describe(prior, n_components) for prior in priors]
        self.integers.append(np.array([code for code, _, _ in described], dtype=np.int64))
        self.floats.append(np.array([numbers for _, numbers, _ in described]).T.ravel())
        self.floats += [parts for _, _, parts in described]
        if isinstance(enters, Cells):
            self.floats.append(enters.loading.ravel())

    def write_head(
        self,
        enters: Any,
        form: int,
        size: int,
        n_elements: int,
        places: tuple[int, int, int, int],
        anchor: int,
        scale: ScaleFamily | None,
        level: tuple[float, float],
        n_components: int = 0,
    ) -> None:
        """Write where a block enters, where its unknowns are, and the prior of its scale."""
        n_fields = enters.copies if isinstance(enters, Cells) else 0
        if isinstance(enters, Columns):
            kind, first = COLUMNS, enters.start
        elif isinstance(enters, Cells):
            kind, first = CELLS, 0
        else:
            kind, first = GROUPING, enters.index
        prior, nu, scale_size = HALF_NORMAL, 1.0, 1.0
        if scale is not None:
            prior = HALF_NORMAL if isinstance(scale, HalfNormal) else HALF_T
            scale_size = scale.scale
            if prior == HALF_T and not isinstance(scale, HalfCauchy):
                nu = scale.degrees_of_freedom
            self.constant += float(scale.log_density(np.zeros(1))[0])
        self.integers.append(
            [kind, form, first, size, n_fields, n_elements, *places, prior, anchor, n_components]
        )
        self.floats.append([nu, scale_size, *level])
        self.n_blocks += 1

    def describe(
        self, prior: Family, n_components: int
    ) -> tuple[int, tuple[float, float, float], NDArray[np.float64]]:
        """Code of a family; location, 1 / scale, degrees of freedom; parts of a mixture."""
        parts = np.tile([-math.inf, 0.0, 1.0], (n_components, 1))
        if isinstance(prior, NormalMixture):
            for k, (weight, mean, sd) in enumerate(
                zip(prior.weights, prior.means, prior.sds, strict=True)
            ):
                log_weight = math.log(weight) if weight > 0 else -math.inf
                parts[k] = log_weight - math.log(sd) - HALF_LOG_2PI, mean, 1 / sd
            return MIXTURE, (0.0, 1.0, 1.0), parts.ravel()
        if isinstance(prior, Normal):
            code, numbers = NORMAL, (prior.mean, 1 / prior.sd, 1.0)
        elif isinstance(prior, StudentT):
            code, numbers = STUDENT_T, (prior.location, 1 / prior.scale, prior.degrees_of_freedom)
        elif isinstance(prior, Laplace):
            code, numbers = LAPLACE, (prior.location, 1 / prior.scale, 1.0)
        else:
            raise TypeError(f"the native density knows no prior {prior!r}")
        self.constant += float(prior.log_density(np.array([numbers[0]]))[0])
        return code, numbers, parts.ravel()


def n_parts(prior: Family) -> int:
    """Number of parts of a mixture; 0 of other families."""
    return len(prior.weights) if isinstance(prior, NormalMixture) else 0
