"""Cohorts of the same shape prepared together: intervals, designs and follow-up as stacked arrays.

What `PiecewiseExponential.prepare` does for one cohort is done here for all cohorts with
the same number of rows, to the last digit. That works where columns of a design depend on
their own row alone; where they do not (a spline's knots, levels that a cohort lacks), or
where there is something to say about a cohort, it goes through `prepare` itself.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.batch.stack import Slab, StackedRows
from bayes_crlm.cohort import Cohort
from bayes_crlm.design import Design, columns_needed, treatment_levels
from bayes_crlm.errors import BayesCRLMError
from bayes_crlm.formula import evaluate_formula, parse_formula
from bayes_crlm.intervals import (
    AUTO_EVENTS_PER_INTERVAL,
    AUTO_FEWEST,
    AUTO_MOST,
    FollowUp,
    Intervals,
)
from bayes_crlm.likelihood import SurvivalData
from bayes_crlm.model import ModelInputs

if TYPE_CHECKING:
    from bayes_crlm.model import PiecewiseExponential

__all__ = ["CohortBlock", "PreparedSlab", "prepare_slab"]

# functions whose value in a row depends on that row alone
STATELESS = frozenset({"log", "sqrt", "exp", "I"})
# far above the share of a column's length below which `prepare` calls columns collinear
SMALLEST_EIGENVALUE = 1e-6


@dataclass(frozen=True, eq=False)
class CohortBlock:
    """Prepared cohorts with the same number of rows, intervals and terms.

    Attributes
    ----------
    position : (cohorts,) ndarray of int
        Their numbers among all cohorts.
    terms, levels : tuple
        Names of the columns; the treatment's levels, the reference first.
    treatment, formula : str
        As in `bayes_crlm.design.Design`.
    matrix : (cohorts, rows, terms) ndarray
        Columns in original units.
    center, scale : (cohorts, terms) ndarray
        Of each cohort's columns.
    entry, time, event : (cohorts, rows) ndarray
        Follow-up.
    cutpoints : (cohorts, intervals + 1) ndarray
        Interval ends.
    interval_events : (cohorts, intervals) ndarray
        Events in every interval.
    stop_interval, stop_within, entry_interval, entry_within : (cohorts, rows) ndarray
        As in `bayes_crlm.intervals.FollowUp`.
    patient_index : (cohorts, rows) ndarray of int
        Whose row it is.
    log_rate : (cohorts,) ndarray
        log(events / exposure).
    """

    position: NDArray[np.intp]
    terms: tuple[str, ...]
    levels: tuple[Any, ...]
    treatment: str
    formula: str
    matrix: NDArray[np.float64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.float64]
    cutpoints: NDArray[np.float64]
    interval_events: NDArray[np.float64]
    stop_interval: NDArray[np.intp]
    stop_within: NDArray[np.float64]
    entry_interval: NDArray[np.intp]
    entry_within: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    log_rate: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.position)

    @property
    def n_rows(self) -> int:
        """Rows of each cohort."""
        return self.time.shape[1]

    @property
    def n_intervals(self) -> int:
        """Intervals of each cohort."""
        return self.interval_events.shape[1]

    @property
    def n_treatment_terms(self) -> int:
        """Number of treatment contrasts: the first columns."""
        return len(self.levels) - 1

    @property
    def shape(self) -> tuple[Any, ...]:
        """What cohorts must share to be in one block."""
        return self.n_rows, self.n_intervals, self.terms, self.levels, self.treatment, self.formula

    @property
    def width(self) -> NDArray[np.float64]:
        """Interval widths, shape (cohorts, intervals)."""
        return np.diff(self.cutpoints, axis=1)

    @property
    def design(self) -> NDArray[np.float64]:
        """Columns on the sampling scale, shape (cohorts, rows, terms)."""
        return (self.matrix - self.center[:, None, :]) / self.scale[:, None, :]

    @property
    def exposure(self) -> NDArray[np.float64]:
        """Time at risk of every row in every interval, shape (cohorts, rows, intervals)."""
        interval, width = np.arange(self.n_intervals), self.width[:, None, :]

        def time_up_to(position: NDArray, within: NDArray) -> NDArray:
            position, within = position[:, :, None], within[:, :, None]
            return np.where(interval < position, width, np.where(interval == position, within, 0.0))

        total = time_up_to(self.stop_interval, self.stop_within)
        if self.entry.any():
            total -= time_up_to(self.entry_interval, self.entry_within)
        return total

    def part(self, which: NDArray[np.intp] | slice) -> "CohortBlock":
        """Some of the cohorts."""
        return replace(self, **{name: getattr(self, name)[which] for name in ARRAYS})

    def inputs(self, k: int, model: "PiecewiseExponential") -> ModelInputs:
        """Cohort k as the engines for one cohort take it; of its table, only the follow-up."""
        import pandas as pd

        n_patients = int(self.patient_index[k].max()) + 1
        delayed = bool(self.entry[k].any())
        follow_up = FollowUp(
            width=np.diff(self.cutpoints[k]),
            stop_interval=self.stop_interval[k],
            stop_within=self.stop_within[k],
            entry_interval=self.entry_interval[k],
            entry_within=self.entry_within[k],
            is_delayed=delayed,
            count=np.ones(self.n_rows),
        )
        level = self.matrix[k, :, : self.n_treatment_terms] @ np.arange(1, len(self.levels))
        design = Design(
            terms=self.terms,
            matrix=self.matrix[k],
            center=self.center[k],
            scale=self.scale[k],
            treatment=self.treatment,
            levels=self.levels,
            treatment_level=level.astype(np.intp),
            first_row=np.unique(self.patient_index[k], return_index=True)[1],
            formula=self.formula,
        )
        cohort = Cohort(
            table=pd.DataFrame(index=pd.RangeIndex(self.n_rows)),
            entry=self.entry[k],
            time=self.time[k],
            event=self.event[k],
            patient_index=self.patient_index[k],
            patients=np.arange(n_patients),
            source="batch",
            is_synthetic=False,
            sha256="",
            unit=None,
            time_column="time",
            event_column="event",
            entry_column="entry" if delayed else None,
            id_column=None,
            missing="error",
            dropped=(),
            row_number=np.arange(1, self.n_rows + 1),
        )
        data = SurvivalData(
            follow_up, self.event[k], design.scaled, self.patient_index[k], n_patients
        )
        exposure = self.exposure_of(k)
        events = self.interval_events[k].astype(np.int64)
        return ModelInputs(
            cohort=cohort,
            intervals=Intervals(self.cutpoints[k], events, exposure),
            design=design,
            data=data,
            log_rate=float(self.log_rate[k]),
            **priors_of(model),
        )

    def exposure_of(self, k: int) -> NDArray[np.float64]:
        """Time at risk of cohort k in every interval."""
        return self.part(slice(k, k + 1)).exposure[0].sum(axis=0)


NOT_ARRAYS = ("terms", "levels", "treatment", "formula")
ARRAYS = tuple(each.name for each in fields(CohortBlock) if each.name not in NOT_ARRAYS)


def priors_of(model: "PiecewiseExponential") -> dict[str, Any]:
    """Prior values of a model, which reads them when it is made."""
    return {
        "baseline": model.baseline,
        "treatment_prior": model.treatment_prior,
        "covariate_prior": model.covariate_prior,
    }


@dataclass(frozen=True, eq=False)
class PreparedSlab:
    """Prepared cohorts of a slab, and sentences about those that cannot be fitted.

    Attributes
    ----------
    blocks : list of CohortBlock
    failures : dict of int to str
        By the cohorts' numbers among all.
    """

    blocks: list[CohortBlock]
    failures: dict[int, str]


def prepare_slab(model: "PiecewiseExponential", slab: Slab) -> PreparedSlab:
    """Prepare cohorts, together where that gives the same numbers, else one by one.

    Parameters
    ----------
    model : PiecewiseExponential
        What is to be fitted.
    slab : Slab
        The cohorts.
    """
    # a mistake in the model is the same mistake in every cohort
    columns_needed(model.treatment, model.covariates)
    blocks = [] if slab.rows is None else blocks_of_rows(model, slab.rows, slab.first)
    done = {position for block in blocks for position in block.position.tolist()}
    singles: dict[tuple[Any, ...], list[CohortBlock]] = {}
    failures = {}
    for k in range(len(slab.cohorts)):
        position = slab.first + k
        if position in done:
            continue
        try:
            inputs = model.prepare(slab.cohorts[k])
        except BayesCRLMError as problem:
            failures[position] = str(problem)
            continue
        block = block_of_inputs(inputs, position)
        singles.setdefault(block.shape, []).append(block)
    return PreparedSlab([*blocks, *(joined(some) for some in singles.values())], failures)


def joined(blocks: list[CohortBlock]) -> CohortBlock:
    """Make one block of several of the same shape."""
    stacked = {name: np.concatenate([getattr(block, name) for block in blocks]) for name in ARRAYS}
    return replace(blocks[0], **stacked)


def block_of_inputs(inputs: ModelInputs, position: int) -> CohortBlock:
    """Make a block of one prepared cohort."""
    design, data, cohort = inputs.design, inputs.data, inputs.cohort
    arrays = {
        "matrix": design.matrix,
        "center": design.center,
        "scale": design.scale,
        "entry": cohort.entry,
        "time": cohort.time,
        "event": data.event,
        "cutpoints": inputs.intervals.cutpoints,
        "interval_events": data.events_per_interval,
        "stop_interval": data.follow_up.stop_interval,
        "stop_within": data.follow_up.stop_within,
        "entry_interval": data.follow_up.entry_interval,
        "entry_within": data.follow_up.entry_within,
        "patient_index": data.patient_index,
        "log_rate": np.asarray(inputs.log_rate),
    }
    return CohortBlock(
        position=np.array([position]),
        terms=design.terms,
        levels=design.levels,
        treatment=design.treatment,
        formula=design.formula,
        **{name: np.asarray(each, order="C")[None] for name, each in arrays.items()},
    )


def blocks_of_rows(
    model: "PiecewiseExponential", rows: StackedRows, first: int
) -> list[CohortBlock]:
    """Prepare those cohorts together of which nothing has to be said."""
    needed = columns_needed(model.treatment, model.covariates)
    if any(name not in rows.table.columns for name in needed):
        return []
    is_gap = rows.table[list(needed)].isna().to_numpy().any(axis=1)
    is_usable = rows.is_plain & ~np.logical_or.reduceat(is_gap, rows.starts[:-1])
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
    covariates = model.covariates.strip()
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
            "formula": f"{model.treatment} + {covariates}" if covariates else model.treatment,
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


def stacked_columns(
    model: "PiecewiseExponential", rows: StackedRows
) -> tuple[NDArray[np.float64], tuple[str, ...], tuple[Any, ...]] | None:
    """Evaluate treatment and covariates on all rows; None where a cohort matters to a row."""
    from pandas.api.types import is_numeric_dtype

    parsed = parse_formula(model.covariates)
    if parsed.functions - STATELESS or parsed.categorical:
        return None
    if not all(is_numeric_dtype(rows.table[name]) for name in parsed.columns):
        return None
    try:
        levels, code = treatment_levels(stacked_cohort(rows), model.treatment, model.reference)
        contrasts = (code[:, None] == np.arange(1, len(levels))).astype(float)
        names = [f"{model.treatment}[T.{level}]" for level in levels[1:]]
        if not model.covariates.strip():
            return contrasts, tuple(names), levels
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
    model: "PiecewiseExponential",
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
    # sums of `prepare`, in the order in which NumPy makes them
    center = columns.mean(axis=2) if matrix.flags.f_contiguous else by_row.mean(axis=1)
    low, high = columns.min(axis=2), columns.max(axis=2)
    middle = (columns != low[:, :, None]) & (columns != high[:, :, None])
    scale = np.where(middle.any(axis=2), columns.std(axis=2, ddof=1), 1.0)
    is_good = are_columns_apart(columns)
    n_events, total = event.sum(axis=1), (time - entry).sum(axis=1)
    is_good &= np.isfinite(total)
    with np.errstate(divide="ignore"):
        log_rate = np.array([math.log(each) if each > 0 else -np.inf for each in n_events / total])
    blocks = []
    for n_intervals, edges, has_edges in candidate_cutpoints(model, time, event):
        which = np.flatnonzero(has_edges & is_good)
        if not len(which):
            continue
        cut = edges[which]
        stop_interval, stop_within = located(time[which], cut)
        events = np.zeros((len(which), n_intervals))
        np.add.at(events, (np.arange(len(which))[:, None], stop_interval), event[which])
        # empty intervals are merged, and that is said, cohort by cohort
        is_full = (events > 0).all(axis=1)
        which = which[is_full]
        if not len(which):
            continue
        entry_interval, entry_within = located(entry[which], edges[which])
        blocks.append(
            CohortBlock(
                **(shared | {"position": shared["position"][which]}),
                matrix=by_row[which],
                center=center[which],
                scale=scale[which],
                entry=entry[which],
                time=time[which],
                event=event[which],
                cutpoints=edges[which],
                interval_events=events[is_full],
                stop_interval=stop_interval[is_full],
                stop_within=stop_within[is_full],
                entry_interval=entry_interval,
                entry_within=entry_within,
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
    """
    centred = columns - columns.mean(axis=2, keepdims=True)
    length = np.linalg.norm(centred, axis=2, keepdims=True)
    largest = np.maximum(np.abs(columns).max(axis=2, keepdims=True), 1e-300)
    varies = (length > 1e-5 * largest).all(axis=(1, 2))
    centred /= np.where(length > 0, length, 1.0)
    smallest = np.linalg.eigvalsh(centred @ centred.transpose(0, 2, 1))[:, 0]
    return varies & (smallest > SMALLEST_EIGENVALUE)


def candidate_cutpoints(
    model: "PiecewiseExponential", time: NDArray, event: NDArray
) -> list[tuple[int, NDArray[np.float64], NDArray[np.bool]]]:
    """Cut the follow-up of many cohorts as `choose_intervals` does before it merges intervals.

    Parameters
    ----------
    model : PiecewiseExponential
        With its cutpoints.
    time, event : (cohorts, rows) ndarray
        Follow-up.

    Returns
    -------
    list of (intervals, (cohorts, intervals + 1) ndarray, (cohorts,) ndarray of bool)
        For every number of intervals: the edges, and which cohorts have that number.
    """
    n_events, last = event.sum(axis=1).astype(np.intp), time.max(axis=1)
    asked = model.cutpoints
    if isinstance(asked, bool):
        return []
    if isinstance(asked, (str, int, np.integer)):
        if isinstance(asked, str):
            if asked != "auto":
                return []
            wished = np.clip(
                np.round(n_events / AUTO_EVENTS_PER_INTERVAL), AUTO_FEWEST, AUTO_MOST
            ).astype(np.intp)
            n_intervals = np.minimum(wished, n_events)
        else:
            n_intervals = np.full(len(time), int(asked))
            n_intervals[n_events < asked] = 0
        event_times = np.sort(np.where(event > 0, time, np.inf), axis=1)
        return [
            (
                number,
                quantile_edges(event_times, n_events, number, last),
                n_intervals == number,
            )
            for number in np.unique(n_intervals[n_intervals > 0]).tolist()
        ]
    inner = np.asarray(asked, dtype=float)
    is_proper = np.isfinite(inner).all() and (inner > 0).all() and (np.diff(inner) > 0).all()
    if not is_proper:
        return []
    number = len(inner) + 1
    edges = np.column_stack([np.zeros(len(time)), np.tile(inner, (len(time), 1)), last])
    fits = (n_events >= number) & (inner[-1] < last if len(inner) else True)
    return [(number, edges, fits)]


def quantile_edges(
    event_times: NDArray, n_events: NDArray[np.intp], number: int, last: NDArray
) -> NDArray[np.float64]:
    """Edges at quantiles (type 7) of sorted event times, computed as `numpy.quantile` does."""
    place = (n_events[:, None] - 1) * (np.arange(1, number) / number)
    below = np.minimum(np.floor(place).astype(np.intp), event_times.shape[1] - 1)
    above = np.minimum(below + 1, np.maximum(n_events[:, None] - 1, 0))
    low = np.take_along_axis(event_times, below, axis=1)
    high = np.take_along_axis(event_times, above, axis=1)
    share, gap = place - below, high - low
    inner = np.where(share >= 0.5, high - gap * (1 - share), low + gap * share)
    return np.column_stack([np.zeros(len(last)), inner, last])


def located(times: NDArray, edges: NDArray) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Find the interval of every time of every cohort, as `bayes_crlm.intervals.locate` does."""
    interval = np.zeros(times.shape, dtype=np.intp)
    for edge in edges[:, 1:-1].T:
        interval += edge[:, None] < times
    return interval, times - np.take_along_axis(edges, interval, axis=1)
