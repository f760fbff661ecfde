"""Cohorts of the same shape prepared together: intervals, designs and follow-up.

What `ModelDefinition.prepare` does for one cohort is done here for all cohorts with
the same number of rows, to the last digit. That works where columns of a design depend on
their own row alone; where they do not (a spline's knots, levels that a cohort lacks), or
where there is something to say about a cohort, it goes through `prepare` itself.
"""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.stack import CohortBatch, StackedRows
from bayes_crlm.cohort.table.columns import read_column
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.design import columns_needed, design_in_units
from bayes_crlm.model.formula import parse_formula
from bayes_crlm.model.late_start import time_dependent
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.prepared_block import CohortBlock, block_of_one, prepared_blocks
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
        blocks.append(block_of_one(inputs, position, is_from_start=is_from_start))
    alike: dict[tuple[Any, ...], list[CohortBlock]] = {}
    for block in blocks:
        alike.setdefault(block.shape, []).append(block)
    return PreparedBatch([in_one_block(some) for some in alike.values()], failures)


def in_one_block(blocks: list[CohortBlock]) -> CohortBlock:
    """Put blocks of one shape together, in the order of their cohorts."""
    if len(blocks) == 1:
        return blocks[0]
    together = CohortBlock.concatenated(blocks)
    return together.part(np.argsort(together.position))


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
    if model.terms or parse_formula(model.covariates).functions - STATELESS:
        return []
    table, needed = rows.cohort.table, columns_needed(model.treatment, model.covariates)
    if any(name not in table.columns for name in needed):
        return []
    if any(read_column(column).values is not column for column in map(table.get, needed)):
        return []
    is_gap = table[list(needed)].isna().to_numpy().any(axis=1)
    is_usable = rows.is_plain & ~np.logical_or.reduceat(is_gap, rows.starts[:-1])
    is_usable &= have_usual_levels(model, rows, is_usable)
    if not is_usable.any():
        return []
    rows, position = rows.part(is_usable), first + np.flatnonzero(is_usable)
    try:
        design = design_in_units(
            rows.cohort, model.treatment, model.reference, model.covariates, ()
        )
    except BayesCRLMError:
        return []
    if len(set(design.terms)) < len(design.terms):
        return []
    sizes = np.diff(rows.starts)
    on_level = np.zeros((len(sizes), len(design.levels)), dtype=np.intp)
    np.add.at(on_level, (np.repeat(np.arange(len(sizes)), sizes), design.treatment_level), 1)
    can_be_fitted = (on_level >= 2).all(axis=1) & (sizes > len(design.terms))
    blocks = []
    for size in np.unique(sizes[can_be_fitted]).tolist():
        which = np.flatnonzero(can_be_fitted & (sizes == size))
        own = rows.starts[which][:, None] + np.arange(size)
        is_apart = are_columns_apart(np.stack([each[own] for each in design.matrix.T], axis=1))
        if not is_apart.any():
            continue
        try:
            found = prepared_blocks(
                rows.cohort, design, model.cutpoints, model.priors, own[is_apart]
            )
        except CutpointError:
            # which is said cohort by cohort
            continue
        numbers = position[which[is_apart]]
        blocks += [replace(block, position=numbers[block.position]) for block in found]
    return blocks


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
        column = rows.cohort.table[name]
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
