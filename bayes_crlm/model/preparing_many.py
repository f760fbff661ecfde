"""Cohorts of the same shape prepared together: intervals, designs and follow-up.

What `ModelDefinition.prepare` does for one cohort is done here for all cohorts with
the same number of rows, to the last digit. That works where columns of a design depend on
their own row alone; where they do not (a spline's knots, levels that a cohort lacks), or
where there is something to say about a cohort, it goes through `prepare` itself.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.stack import CohortBatch, StackedRows
from bayes_crlm.cohort.table.columns import read_column
from bayes_crlm.likelihood.intervals import (
    all_are_reached,
    check_cutpoints,
    edges_of_cohorts,
    events_in,
)
from bayes_crlm.model.covariates import check_covariates
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.design import (
    columns_needed,
    contrast_columns,
    have_more_than_two_values,
    right_hand_side,
    treatment_levels,
)
from bayes_crlm.model.formula import evaluate_formula, parse_formula
from bayes_crlm.model.late_start import time_dependent
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.prepared_block import CohortBlock, block_of_inputs
from bayes_crlm.words.errors import BayesCRLMError, CutpointError
from bayes_crlm.words.records import record

# functions whose value in a row depends on that row alone, or on the levels that there are
STATELESS = frozenset({"log", "sqrt", "exp", "I", "C"})
# far above the share of a column's length below which `prepare` calls columns collinear
SMALLEST_EIGENVALUE = 1e-6


@record(eq=False)
class PreparedBatch:
    """Prepared cohorts of a batch, and sentences about those that cannot be fitted.

    Attributes
    ----------
    blocks : list of CohortBlock
        Cohorts of one shape each.
    failures : dict of int to str
        By the cohorts' numbers among all.
    """

    blocks: list[CohortBlock]
    failures: dict[int, str]


def prepare_batch(model: ModelDefinition, batch: CohortBatch) -> PreparedBatch:
    """Prepare cohorts, together where that gives the same numbers, else one by one.

    Parameters
    ----------
    model : ModelDefinition
        What is to be fitted.
    batch : CohortBatch
        The cohorts.
    """
    # a mistake in the model is the same mistake in every cohort
    columns_needed(model.treatment, model.covariates)
    blocks = [] if batch.rows is None else blocks_of_rows(model, batch.rows, batch.first)
    done = {position for block in blocks for position in block.position.tolist()}
    singles: dict[tuple[Any, ...], list[CohortBlock]] = {}
    failures = {}
    for k in range(len(batch.cohorts)):
        position = batch.first + k
        if position in done:
            continue
        try:
            _, inputs, is_from_start = prepare_one(model, batch.cohorts[k])
        except BayesCRLMError as problem:
            failures[position] = str(problem)
            continue
        block = block_of_inputs(inputs, position, is_from_start=is_from_start)
        singles.setdefault(block.shape, []).append(block)
    return PreparedBatch(
        [*blocks, *(CohortBlock.concatenated(some) for some in singles.values())], failures
    )


def prepare_one(
    model: ModelDefinition, cohort: Cohort
) -> tuple[ModelDefinition, PreparedCohort, bool]:
    """Prepare a cohort by itself; where patients wait for treatment, it counts from its start on.

    Returns
    -------
    ModelDefinition
        What is fitted: of patients who wait, with a baseline that follows the wait.
    PreparedCohort
    bool
        Whether treatment counts from its start on.
    """
    inputs = model.prepare(cohort)
    found = time_dependent(model, inputs)
    return (model, inputs, False) if found is None else (*found, True)


def blocks_of_rows(model: ModelDefinition, rows: StackedRows, first: int) -> list[CohortBlock]:
    """Prepare those cohorts together of which nothing has to be said."""
    if model.terms:
        return []
    needed = columns_needed(model.treatment, model.covariates)
    if any(name not in rows.table.columns or name in rows.outcome for name in needed):
        return []
    columns_used = [rows.table[name] for name in needed]
    if any(read_column(column).values is not column for column in columns_used):
        return []
    is_gap = rows.table[list(needed)].isna().to_numpy().any(axis=1)
    is_usable = rows.is_plain & ~np.logical_or.reduceat(is_gap, rows.starts[:-1])
    is_usable &= have_usual_levels(model, rows, is_usable)
    if not is_usable.any():
        return []
    if not is_usable.all():
        rows, kept = kept_rows(rows, is_usable), np.flatnonzero(is_usable)
    else:
        kept = np.arange(len(is_usable))
    columns = stacked_columns(model, rows)
    if columns is None:
        return []
    matrix, terms, levels = columns
    n_treatment, sizes = len(levels) - 1, np.diff(rows.starts)
    of_row = np.repeat(np.arange(len(sizes)), sizes)
    on_level = np.zeros((len(sizes), len(levels)), dtype=np.intp)
    level = (matrix[:, :n_treatment] @ np.arange(1, len(levels))).astype(np.intp)
    np.add.at(on_level, (of_row, level), 1)
    has_levels = (on_level >= 2).all(axis=1)
    blocks = []
    for size in np.unique(sizes[has_levels]).tolist():
        which = np.flatnonzero(has_levels & (sizes == size))
        if size <= matrix.shape[1]:
            continue
        take = rows.starts[which][:, None] + np.arange(size)
        shared = {
            "terms": terms,
            "levels": levels,
            "treatment": model.treatment,
            "formula": right_hand_side(model.treatment, model.covariates),
            "position": first + kept[which],
        }
        blocks += rectangular_blocks(model, rows, matrix, take, shared)
    return blocks


def kept_rows(rows: StackedRows, kept: NDArray[np.bool]) -> StackedRows:
    """Rows of some of the cohorts."""
    sizes = np.diff(rows.starts)
    of_row = np.repeat(kept, sizes)
    return StackedRows(
        table=rows.table[of_row].reset_index(drop=True),
        starts=np.concatenate([[0], np.cumsum(sizes[kept])]),
        entry=rows.entry[of_row],
        time=rows.time[of_row],
        event=rows.event[of_row],
        is_plain=rows.is_plain[kept],
    )


def have_usual_levels(
    model: ModelDefinition, rows: StackedRows, is_usable: NDArray[np.bool]
) -> NDArray[np.bool]:
    """Whether cohorts have the levels of categorical covariates that most usable cohorts have.

    Columns of a design are levels: cohorts can only share them where they have the same ones.

    Returns
    -------
    (cohorts,) ndarray of bool
        Nowhere, where levels are neither text nor whole numbers.
    """
    import pandas as pd

    parsed = parse_formula(model.covariates)
    of_row = np.repeat(np.arange(len(is_usable)), np.diff(rows.starts))
    has_level = [np.ones((len(is_usable), 1), dtype=bool)]
    for name in sorted(parsed.columns):
        column = rows.table[name]
        if pd.api.types.is_numeric_dtype(column) and name not in parsed.categorical:
            continue
        # a fraction names its level by how it is written in each cohort: 0.0 or -0.0, 1 or 1.0
        kind = pd.api.types.infer_dtype(column[is_usable[of_row]])
        if kind not in ("string", "integer", "boolean"):
            return np.zeros(len(is_usable), dtype=bool)
        codes, levels = pd.factorize(column)
        found = np.zeros((len(is_usable), len(levels) + 1), dtype=bool)
        found[of_row, codes] = True
        has_level.append(found)
    levels = np.concatenate(has_level, axis=1)
    if not is_usable.any():
        return is_usable
    sets, count = np.unique(levels[is_usable], axis=0, return_counts=True)
    return (levels == sets[count.argmax()]).all(axis=1)


def stacked_columns(
    model: ModelDefinition, rows: StackedRows
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[Any, ...]] | None:
    """Evaluate treatment and covariates on all rows; None where a cohort matters to a row."""
    if parse_formula(model.covariates).functions - STATELESS:
        return None
    try:
        levels, code = treatment_levels(stacked_cohort(rows), model.treatment, model.reference)
        contrasts, names = contrast_columns(model.treatment, levels, code)
        if not model.covariates.strip():
            return contrasts, tuple(names), levels
        parsed = parse_formula(model.covariates)
        check_covariates(parsed, rows.table, np.arange(1, len(rows.table) + 1))
        columns = evaluate_formula(model.covariates, rows.table)
    except BayesCRLMError:
        return None
    terms = (*names, *(str(name) for name in columns.columns))
    if len(set(terms)) < len(terms):
        return None
    return np.column_stack([contrasts, columns.to_numpy(dtype=float)]), terms, levels


def stacked_cohort(rows: StackedRows) -> Cohort:
    """All rows as one cohort."""
    count = len(rows.time)
    return Cohort(
        table=rows.table,
        entry=rows.entry,
        time=rows.time,
        event=rows.event,
        patient_index=np.arange(count),
        patients=np.arange(count),
        source="batch",
        is_synthetic=False,
        sha256="",
        unit=None,
        time_column="time",
        event_column="event",
        entry_column=None,
        id_column=None,
        missing="error",
        dropped=(),
        row_number=np.arange(1, count + 1),
    )


def rectangular_blocks(
    model: ModelDefinition,
    rows: StackedRows,
    matrix: NDArray,
    take: NDArray[np.intp],
    shared: dict[str, Any],
) -> list[CohortBlock]:
    """Prepare cohorts with the same number of rows, one block a number of intervals.

    Parameters
    ----------
    model, rows
        As for `blocks_of_rows`.
    matrix : (all rows, terms) ndarray
        Columns in original units.
    take : (cohorts, rows) ndarray of int
        Which rows each cohort has.
    shared : dict
        The blocks' labels; `position` of each cohort.
    """
    entry, time, event = rows.entry[take], rows.time[take], rows.event[take].astype(float)
    columns = np.stack([column[take] for column in matrix.T], axis=1)
    by_row = np.ascontiguousarray(columns.transpose(0, 2, 1))
    center = columns.mean(axis=2)
    scale = np.where(have_more_than_two_values(columns), columns.std(axis=2, ddof=1), 1.0)
    n_events, total = event.sum(axis=1), (time - entry).sum(axis=1)
    is_good = are_columns_apart(columns) & np.isfinite(total)
    with np.errstate(divide="ignore"):
        log_rate = np.array([math.log(each) if each > 0 else -np.inf for each in n_events / total])
    try:
        check_cutpoints(model.cutpoints, float(time.max()), int(n_events.max()))
    except CutpointError:
        # which is said cohort by cohort
        return []
    blocks = []
    for cohorts, edges in edges_of_cohorts(model.cutpoints, time, event > 0):
        # what is dropped, or has nobody at risk, is said cohort by cohort
        kept = is_good[cohorts] & (np.diff(edges, axis=1) > 0).all(axis=1)
        kept &= edges[:, 1] > entry[cohorts].min(axis=1)
        kept &= all_are_reached(entry[cohorts], time[cohorts], edges)
        if not kept.any():
            continue
        which, cutpoints = cohorts[kept], edges[kept]
        blocks.append(
            CohortBlock(
                **(shared | {"position": shared["position"][which]}),
                matrix=by_row[which],
                center=center[which],
                scale=scale[which],
                entry=entry[which],
                time=time[which],
                event=event[which],
                cutpoints=cutpoints,
                interval_events=events_in(time[which], event[which], cutpoints),
                patient_index=np.broadcast_to(np.arange(time.shape[1]), time[which].shape),
                log_rate=log_rate[which],
            )
        )
    return blocks


def are_columns_apart(columns: NDArray) -> NDArray[np.bool]:
    """Whether each cohort's columns are certainly neither constant nor collinear.

    Parameters
    ----------
    columns : (cohorts, terms, rows) ndarray
        In original units.
    """
    centred = columns - columns.mean(axis=2, keepdims=True)
    length = np.linalg.norm(centred, axis=2, keepdims=True)
    largest = np.maximum(np.abs(columns).max(axis=2, keepdims=True), 1e-300)
    varies = (length > 1e-5 * largest).all(axis=(1, 2))
    centred /= np.where(length > 0, length, 1.0)
    smallest = np.linalg.eigvalsh(centred @ centred.transpose(0, 2, 1))[:, 0]
    return varies & (smallest > SMALLEST_EIGENVALUE)
