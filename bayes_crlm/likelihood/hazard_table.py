"""The piecewise-exponential likelihood on a table of log-hazards, with information.

    log hazard of row i in interval j  =  A[c(i), j] + x_i'beta + sum over groupings of u_f[g_f(i)]

A has a row for each class c. Row i counts with weight w_i, ends with the event (d_i = 1) or not,
and is at risk for e_ij in interval j. With D[c, j] events in a cell and S[c, j] its time at risk
weighted by relative hazards, both weighted by w,

    log-likelihood  =  sum over cells (D A - S exp A)  +  sum over events of w_i eta_i,
    eta_i = x_i'beta + sum of u.

Cumulative hazards come from running sums of a class, so that time is linear in rows + cells. No
rows x intervals table is made. The information, minus the second derivatives, is diag(S exp A) on
cells; a grouping's is diagonal too.

References
----------
Holford (1980), Biometrics 36:299-305; Friedman (1982), Ann Stat 10:101-113.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import exposure_per_cell, row_cumulative_hazard
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

# numbers in one table of draws x rows, which then stays in a processor's cache and in memory that
# is used again: larger tables are given back to the system, which clears each new one
BLOCK = 2**13


@record
class LogHazards:
    """What a model says of the hazards of all rows.

    Attributes
    ----------
    cells : (..., classes, intervals) ndarray
        A: log-hazards of every class at the covariates' means, one leading index per draw.
    effect : (..., terms) ndarray
        beta: log hazard ratios of the design's columns, on the sampling scale.
    groups : tuple of (..., groups) ndarray
        u: log hazard ratios of the groups of each grouping.
    """

    cells: Floats
    effect: Floats
    groups: tuple[Floats, ...] = ()

    @property
    def log_hazard(self) -> Floats:
        """Log-hazards of the first class, the only one of most models, shape (..., intervals)."""
        return self.cells[..., 0, :]

    def mean(self) -> "LogHazards":
        """Mean of the draws, as a single draw."""
        parts = [each.mean(axis=0)[None] for each in (self.cells, self.effect, *self.groups)]
        return LogHazards(parts[0], parts[1], tuple(parts[2:]))

    def draws(self, which: slice | NDArray[np.intp] | int | tuple[int, ...]) -> "LogHazards":
        """Some of the draws."""
        return LogHazards(
            self.cells[which], self.effect[which], tuple(each[which] for each in self.groups)
        )


@record
class Information:
    """Minus the second derivatives of the log-likelihood, by what they belong to.

    Attributes
    ----------
    cells : (classes, intervals) ndarray
        Diagonal of the table's block; its other entries are 0.
    cells_columns : (classes, intervals, terms) ndarray
        Between the table and the columns.
    columns : (terms, terms) ndarray
        The columns' block.
    groups : tuple of (groups,) ndarray
        Diagonal of each grouping's block; its other entries are 0.
    cells_groups : tuple of (classes, intervals, groups) ndarray
        Between the table and each grouping.
    columns_groups : tuple of (terms, groups) ndarray
        Between the columns and each grouping.
    between_groups : dict of (int, int) to (groups, groups) ndarray
        Of the groupings f < h.
    """

    cells: Floats
    cells_columns: Floats
    columns: Floats
    groups: tuple[Floats, ...]
    cells_groups: tuple[Floats, ...]
    columns_groups: tuple[Floats, ...]
    between_groups: dict[tuple[int, int], Floats]


def relative_log_hazards(
    at: LogHazards, design: NDArray, groups: tuple[NDArray[np.intp], ...]
) -> Floats:
    """Log hazard of every row relative to that of its class.

    Parameters
    ----------
    at : LogHazards
        Of any draws.
    design : (rows, terms) ndarray
        Columns on the sampling scale.
    groups : tuple of (rows,) ndarray of int
        Of each grouping: which group a row belongs to.

    Returns
    -------
    (..., rows) ndarray
    """
    total = at.effect @ design.T
    for of_group, group in zip(at.groups, groups, strict=True):
        total += of_group[..., group]
    return total


def log_likelihood(at: LogHazards, data: SurvivalData) -> Floats:
    """Log-likelihood of all rows together for every draw.

    Parameters
    ----------
    at : LogHazards
        Where it is evaluated, with any leading indices.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    (...) ndarray
    """
    shape = at.cells.shape[:-2]
    flat = LogHazards(
        at.cells.reshape(-1, *at.cells.shape[-2:]),
        at.effect.reshape(-1, at.effect.shape[-1]),
        tuple(each.reshape(-1, each.shape[-1]) for each in at.groups),
    )
    total = flat.cells.reshape(len(flat.cells), -1) @ data.events_per_cell.ravel()
    total += flat.effect @ data.event_design
    for of_group, events in zip(flat.groups, data.events_per_group, strict=True):
        total += of_group @ events
    for draws in blocks_of_draws(len(total), data.follow_up.n_rows):
        here = flat.draws(draws)
        cumulative = row_cumulative_hazard(here.cells, data.follow_up, data.class_index)
        cumulative *= np.exp(relative_log_hazards(here, data.design, data.groups))
        total[draws] -= cumulative.sum(axis=-1)
    return total.reshape(shape)


def row_log_likelihood(at: LogHazards, data: SurvivalData) -> Floats:
    """Log-likelihood of every row: w d log(hazard at its end) minus its cumulative hazard.

    Parameters
    ----------
    at : LogHazards
        Where it is evaluated, with any leading indices.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    (..., rows) ndarray
    """
    relative = relative_log_hazards(at, data.design, data.groups)
    each = (at_stop(at, data) + relative) * data.event
    np.exp(relative, out=relative)
    each -= row_cumulative_hazard(at.cells, data.follow_up, data.class_index) * relative
    return each


def at_stop(at: LogHazards, data: SurvivalData) -> Floats:
    """Log-hazard of every row's class in the interval where it ends, shape (..., rows)."""
    flat = at.cells.reshape(*at.cells.shape[:-2], -1)
    return flat[..., data.class_index * data.n_intervals + data.follow_up.stop_interval]


def patient_log_likelihood(at: LogHazards, data: SurvivalData) -> Floats:
    """Log-likelihood of every patient for every draw.

    Parameters
    ----------
    at : LogHazards
        With one leading index.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    (draws, patients) ndarray
        Rows of one patient are summed.
    """
    order = np.argsort(data.patient_index, kind="stable")
    starts = np.searchsorted(data.patient_index, np.arange(data.n_patients), sorter=order)
    has_row_per_patient = len(order) == data.n_patients
    total = np.empty((len(at.cells), data.n_patients))
    for draws in blocks_of_draws(len(total), len(order)):
        rows = row_log_likelihood(at.draws(draws), data)[:, order]
        total[draws] = rows if has_row_per_patient else np.add.reduceat(rows, starts, axis=1)
    return total


def log_likelihood_information(at: LogHazards, data: SurvivalData) -> Information:
    """Minus the second derivatives of the log-likelihood at one point.

    Parameters
    ----------
    at : LogHazards
        Without leading indices.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    Information
    """
    follow_up, n_classes = data.follow_up, data.n_classes
    relative = np.exp(relative_log_hazards(at, data.design, data.groups))
    cumulative = row_cumulative_hazard(at.cells, follow_up, data.class_index) * relative
    hazard = np.exp(at.cells)

    def per_cell(weights: NDArray) -> Floats:
        return hazard * exposure_per_cell(follow_up, weights, data.class_index, n_classes)

    def per_cell_and_group(group: NDArray[np.intp], count: int) -> Floats:
        both = group * n_classes + data.class_index
        exposure = exposure_per_cell(follow_up, relative, both, count * n_classes)
        table = exposure.reshape(count, n_classes, -1) * hazard
        return np.moveaxis(table, 0, -1)

    weighted_design = data.design * cumulative[:, None]
    indexed = list(zip(data.groups, data.group_counts, strict=True))
    columns = [per_cell(relative * column) for column in data.design.T]
    return Information(
        cells=per_cell(relative),
        cells_columns=np.stack(columns, axis=-1) if columns else np.empty((*hazard.shape, 0)),
        columns=data.design.T @ weighted_design,
        groups=tuple(np.bincount(group, cumulative, count) for group, count in indexed),
        cells_groups=tuple(per_cell_and_group(group, count) for group, count in indexed),
        columns_groups=tuple(
            np.array([np.bincount(group, column, count) for column in weighted_design.T]).reshape(
                -1, count
            )
            for group, count in indexed
        ),
        between_groups={
            (first, second): np.bincount(
                group * indexed[second][1] + indexed[second][0],
                cumulative,
                count * indexed[second][1],
            ).reshape(count, -1)
            for first, (group, count) in enumerate(indexed)
            for second in range(first + 1, len(indexed))
        },
    )


def blocks_of_draws(n_draws: int, n_rows: int) -> list[slice]:
    """Slices of draws whose tables of draws x rows stay small; at least one draw each."""
    step = max(1, BLOCK // max(1, n_rows))
    return [slice(start, start + step) for start in range(0, n_draws, step)]
