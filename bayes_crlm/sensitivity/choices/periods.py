"""Hazard ratios of periods of follow-up, drawn from their posterior."""

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.priors import Normal
from bayes_crlm.model.terms.blocks import Block
from bayes_crlm.model.terms.term import Place, Term
from bayes_crlm.sensitivity.posterior_draws import DRAWS, Draws, sample_posterior
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.two_arms import NOT_OF_ROWS
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import significant

UNIT_NORMAL = Normal(0.0, 1.0)


def edges_of(times: Sequence[float]) -> NDArray[np.float64]:
    """Limits of the periods, the first 0 and the last infinite."""
    return np.array([0.0, *times, np.inf])


def events_of_periods(cohort: Cohort, times: Sequence[float]) -> NDArray[np.intp]:
    """Events in every period; one at a limit belongs to the period that ends there."""
    event_times = cohort.time[cohort.event == 1]
    return np.histogram(event_times, bins=np.nextafter(edges_of(times), np.inf))[0]


def period_label(edges: NDArray, place: int) -> str:
    """Say in words when a period is."""
    low, high = edges[place], edges[place + 1]
    if not np.isfinite(high):
        return f"after {significant(low, 3)}"
    return (
        f"up to {significant(high, 3)}"
        if low == 0
        else f"{significant(low, 3)} to {significant(high, 3)}"
    )


def common_cutpoints(
    cutpoints: NDArray, times: Sequence[float], event_times: NDArray
) -> list[float]:
    """Join the periods' limits and the baseline's cutpoints.

    Parameters
    ----------
    cutpoints : (intervals + 1,) ndarray
        Of the spec, from 0 to the end of follow-up.
    times : sequence of float
        Limits of the periods, each of which has an event.
    event_times : (events,) ndarray
        When events happened.

    Returns
    -------
    list of float
        Inner cutpoints: all of `times`, and those of the spec; where that makes more intervals than
        there are events, those of the spec that leave no interval empty.
    """
    together = sorted({*times, *cutpoints[1:-1].tolist()})
    if len(together) < len(event_times):
        return together
    found = list(times)
    for low, high in pairwise(edges_of(times)):
        inner, start = [], low
        for cut in cutpoints[(cutpoints > low) & (cutpoints < high)]:
            if np.any((event_times > start) & (event_times <= cut)):
                inner.append(float(cut))
                start = cut
        if inner and not np.any((event_times > inner[-1]) & (event_times <= high)):
            del inner[-1]
        found += inner
    return sorted(found)


def period_contrasts(events: NDArray) -> NDArray[np.float64]:
    """Turn standard normals into deviations of the periods.

    Parameters
    ----------
    events : (periods,) ndarray
        Events in each period.

    Returns
    -------
    (periods, periods - 1) ndarray
        B with B B' the covariance of recentred standard normals, and w' B = 0.
    """
    number = len(events)
    recentre = np.eye(number) - events / events.sum()
    value, vector = np.linalg.eigh(recentre @ recentre.T)
    return vector[:, 1:] * np.sqrt(value[1:])


@record(eq=False)
class Deviations(Term):
    """A term: how far one level's log hazard ratio is from its average in periods of follow-up.

    Attributes
    ----------
    level : object
        Of the treatment.
    treatment : str
        Its column.
    times : (periods - 1,) ndarray
        Increasing; where follow-up is split. No row of a cohort reaches over one.
    contrasts : (periods, deviations) ndarray
        What each unit of a deviation adds in every period.
    """

    level: Any
    treatment: str
    times: NDArray[np.float64]
    contrasts: NDArray[np.float64]
    name: str = "period"
    prior: Normal = UNIT_NORMAL

    @property
    def columns_needed(self) -> tuple[str, ...]:
        """The treatment's column."""
        return (self.treatment,)

    @property
    def terms(self) -> tuple[str, ...]:
        """Names of its columns."""
        return tuple(f"deviation {k + 1} of {self.level}" for k in range(self.contrasts.shape[1]))

    def columns(self, cohort: Cohort) -> NDArray[np.float64]:
        """The contrasts of every row's period, on the level in question alone."""
        # a time at a limit belongs to the period that ends there
        of_period = self.contrasts[np.searchsorted(self.times, cohort.time)]
        is_own = cohort.table[self.treatment].to_numpy() == self.level
        return np.where(is_own[:, None], of_period, 0.0)

    def blocks(self, place: Place) -> tuple[Block, ...]:
        """Deviations of all columns."""
        return (place.block_of_columns(self.prior),)

    def describe_prior(self) -> str:
        """Say the prior of each deviation."""
        return self.prior.describe()

    def describe(self) -> str:
        """Say what it is."""
        return f"deviations of {self.level} in {len(self.contrasts)} periods"


def split_periods(
    model: ModelDefinition,
    inputs: PreparedCohort,
    level: int,
    times: Sequence[float],
    contrasts: NDArray,
) -> PreparedCohort:
    """Give one treatment level's hazard ratio deviations in the periods of follow-up.

    Parameters
    ----------
    model, inputs
        What is fitted, with the periods' limits among its cutpoints, and the cohort as it sees it.
    level : int
        Place of the treatment level in `design.levels`.
    times : sequence of float
        Increasing; where follow-up is split.
    contrasts : (periods, deviations) ndarray
        What each unit of a deviation adds in every period.

    Returns
    -------
    PreparedCohort
        With rows split, the deviations' columns last, and everything else - intervals, the other
        columns on their scale, priors - as it was.
    """
    cohort, design = inputs.cohort, inputs.design
    edges = edges_of(times)
    period, source = np.nonzero((cohort.entry < edges[1:, None]) & (cohort.time > edges[:-1, None]))
    split = model.prepare(
        dataclasses.replace(
            cohort,
            table=cohort.table.iloc[source].reset_index(drop=True),
            entry=np.maximum(cohort.entry[source], edges[period]),
            time=np.minimum(cohort.time[source], edges[period + 1]),
            event=np.where(cohort.time[source] <= edges[period + 1], cohort.event[source], 0),
            patient_index=cohort.patient_index[source],
            row_number=cohort.row_number[source],
            **NOT_OF_ROWS,
        )
    )
    term = Deviations(design.levels[level], design.treatment, np.asarray(times), contrasts)
    number = contrasts.shape[1]
    split_design = dataclasses.replace(
        split.design,
        terms=(*design.terms, *term.terms),
        matrix=np.hstack([split.design.matrix, term.columns(split.cohort)]),
        center=np.append(design.center, np.zeros(number)),
        scale=np.append(design.scale, np.ones(number)),
    )
    data = dataclasses.replace(split.data, design=split_design.scaled)
    return dataclasses.replace(split, design=split_design, data=data, terms=(*inputs.terms, term))


def sample_periods(
    model: ModelDefinition,
    inputs: PreparedCohort,
    level: int,
    times: Sequence[float],
    deviation_scale: float,
    seed: int,
) -> tuple[Draws, NDArray[np.float64]]:
    """Draw the posterior of the periods' log hazard ratios.

    Parameters
    ----------
    model, inputs
        From `cut_at`.
    level : int
        Place of the treatment level in `design.levels`.
    times : sequence of float
        Where follow-up is split.
    deviation_scale : float
        tau of the formula in `bayes_crlm.sensitivity.choices.proportional_hazards`.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    drawn : Draws
        Of the split cohort.
    log_ratio : (draws, periods) ndarray
    """
    contrasts = deviation_scale * period_contrasts(events_of_periods(inputs.cohort, times))
    split = split_periods(model, inputs, level, times, contrasts)
    drawn = sample_posterior(dataclasses.replace(model, terms=split.terms), split, seed, 2 * DRAWS)
    deviation = drawn.effect[:, -contrasts.shape[1] :] @ contrasts.T
    return drawn, drawn.log_hazard_ratio(level)[:, None] + deviation


def cut_at(shared: Shared, times: Sequence[float]) -> tuple[PiecewiseExponential, PreparedCohort]:
    """The base model with the periods' limits among its cutpoints, and its cohort."""
    _, inputs = changed_inputs(shared, {})
    cohort = inputs.cohort
    event_times = cohort.time[cohort.event == 1]
    cutpoints = common_cutpoints(inputs.intervals.cutpoints, times, event_times)
    return changed_inputs(shared, {"cutpoints": cutpoints})


def fit_periods(
    shared: Shared, *, times: Sequence[float], deviation_scale: float, seed: int
) -> dict[str, Any]:
    """Fit a hazard ratio for each period, and one for all of them, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    times : sequence of float
        Where follow-up is split.
    deviation_scale : float
        tau of the module's formula.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        `rows` of the periods; `average`, the mean log hazard ratio weighted by events; `change`,
        the last period's hazard ratio divided by the first's; `one`, a single hazard ratio with
        the same cutpoints; `elpd_difference`, `elpd_difference_se`, `loo_pareto_k`.
    """
    model, inputs = cut_at(shared, times)
    drawn, log_ratio = sample_periods(model, inputs, shared.level, times, deviation_scale, seed)
    single = sample_posterior(model, inputs, seed, 2 * DRAWS)
    difference = drawn.left_out.elpd - single.left_out.elpd
    edges = edges_of(times)
    events = events_of_periods(inputs.cohort, times)
    rows = [
        {
            "period": period_label(edges, k),
            "from": float(edges[k]),
            "to": float(edges[k + 1]) if np.isfinite(edges[k + 1]) else None,
            "n_events": int(events[k]),
        }
        | drawn.row_of(log_ratio[:, k], shared.effect)
        for k in range(len(times) + 1)
    ]
    return {
        "rows": rows,
        "average": drawn.row_of(log_ratio @ (events / events.sum()), shared.effect),
        "change": drawn.row_of(log_ratio[:, -1] - log_ratio[:, 0]),
        "one": single.row(shared.level, shared.effect),
        "elpd_difference": float(difference.sum()),
        "elpd_difference_se": float(np.sqrt(len(difference)) * difference.std(ddof=1)),
        "loo_pareto_k": max(each.left_out.largest_pareto_k for each in (drawn, single)),
        "n_intervals": inputs.intervals.n_intervals,
    }
