"""Whether the hazard ratio changes over time: one for each period of follow-up.

Proportional hazards is an assumption. Follow-up is split at a few times and the treatment has a
log hazard ratio of its own in each period, with the spec's prior each; their average, weighted by
the deaths of the periods, is what a single hazard ratio stands for. Beside it stand Grambsch and
Therneau's test for Cox's model and the leave-one-out predictive density of both models.

References
----------
Grambsch & Therneau (1994), Biometrika 81:515-526; Xu & O'Quigley (2000), Biostatistics 1:423-439
(an average hazard ratio); Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PlainValidator

from bayes_crlm.errors import BayesCRLMError, SensitivityError
from bayes_crlm.intervals import cut_follow_up
from bayes_crlm.sensitivity.grids import number_list
from bayes_crlm.sensitivity.parts import Context, PartResult, moves_conclusion
from bayes_crlm.sensitivity.refit import (
    DRAWS,
    Shared,
    changed_inputs,
    draw_posterior,
    leave_one_out,
    summarise_draws,
)
from bayes_crlm.spec import Table
from bayes_crlm.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayes_crlm.analysis import Plan
    from bayes_crlm.model import ModelInputs

__all__ = ["Settings", "analyse", "check", "fit_periods", "split_periods"]

# without times of the user's: so many events in each period, but two to three periods
EVENTS_PER_PERIOD, PERIODS_MOST = 25, 3


def check_times(value: object) -> str | tuple[float, ...]:
    """Take "auto" or a list of times."""
    listed: Any = number_list("times", 0.0).func
    return "auto" if value == "auto" else tuple(sorted(listed(value)))


class Settings(Table):
    """The table `[sensitivity.proportional_hazards]`."""

    times: Annotated[
        Any, PlainValidator(check_times), Field(description="'auto' or a list of times above 0")
    ] = "auto"


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse periods that this cohort cannot fill.

    Raises
    ------
    SensitivityError
        When a period would be without an event.
    """
    choose_times(plan.inputs, settings)


def choose_times(inputs: "ModelInputs", settings: Settings) -> tuple[float, ...]:
    """Times at which follow-up is split: the user's, or quantiles of the event times.

    Raises
    ------
    SensitivityError
        When a period would be without an event.
    """
    cohort = inputs.cohort
    event_times = cohort.time[cohort.event == 1]
    times = settings.times
    if times == "auto":
        number = min(max(len(event_times) // EVENTS_PER_PERIOD, 2), PERIODS_MOST)
        times = tuple(np.unique(np.quantile(event_times, np.arange(1, number) / number)).tolist())
    edges = np.array([0.0, *times, np.inf])
    events = np.histogram(event_times, bins=np.nextafter(edges, np.inf))[0]
    if np.any(events == 0):
        place = int(np.flatnonzero(events == 0)[0])
        raise SensitivityError(
            "sensitivity.proportional_hazards.times: no event "
            f"{period_label(edges, place)}; give times with events in between"
        )
    return times


def period_label(edges: NDArray, place: int) -> str:
    """Say in words when a period is."""
    low, high = edges[place], edges[place + 1]
    if not np.isfinite(high):
        return f"after {low:.3g}"
    return f"up to {high:.3g}" if low == 0 else f"{low:.3g} to {high:.3g}"


def split_periods(inputs: "ModelInputs", level: int, times: Sequence[float]) -> "ModelInputs":
    """Give one treatment level a column of its own in each period of follow-up.

    Parameters
    ----------
    inputs : ModelInputs
    level : int
        Place of the treatment level in `design.levels`.
    times : sequence of float
        Increasing; where follow-up is split.

    Returns
    -------
    ModelInputs
        With rows split, the columns of the periods first, and everything else - intervals,
        covariates' columns on their scale, priors - as it was.
    """
    cohort, design = inputs.cohort, inputs.design
    edges = np.array([0.0, *times, np.inf])
    pieces = []
    for period, (low, high) in enumerate(pairwise(edges)):
        source = np.flatnonzero((cohort.entry < high) & (cohort.time > low))
        pieces.append((np.full(len(source), period), source))
    period, source = (np.concatenate(each) for each in zip(*pieces, strict=True))
    entry = np.maximum(cohort.entry[source], edges[period])
    time = np.minimum(cohort.time[source], edges[period + 1])
    event = np.where(cohort.time[source] <= edges[period + 1], cohort.event[source], 0)
    split, column = design.n_treatment_terms, level - 1
    others = [k for k in range(split) if k != column]
    treated = design.matrix[source, column]
    by_period = treated[:, None] * (period[:, None] == np.arange(len(edges) - 1))
    matrix = np.hstack([by_period, design.matrix[source][:, others], design.matrix[source, split:]])
    kept = [*others, *range(split, len(design.terms))]
    labels = [period_label(edges, k) for k in range(len(edges) - 1)]
    names = [f"{design.levels[level]}, {label}" for label in labels]
    own_level = design.treatment_level[source]
    # levels: reference, those of the periods, then the other ones
    place = {0: 0} | {other + 1: len(labels) + 1 + k for k, other in enumerate(others)}
    new_level = np.array([place.get(int(each), 0) for each in own_level])
    new_level = np.where(own_level == level, period + 1, new_level)
    split_cohort = dataclasses.replace(
        cohort,
        table=cohort.table.iloc[source].reset_index(drop=True),
        entry=entry,
        time=time,
        event=event,
        patient_index=cohort.patient_index[source],
        row_number=cohort.row_number[source],
    )
    order = np.lexsort((time, split_cohort.patient_index))
    first = np.searchsorted(split_cohort.patient_index[order], np.arange(cohort.n_patients))
    split_design = dataclasses.replace(
        design,
        terms=(
            *(f"{design.treatment}[T.{name}]" for name in names),
            *(design.terms[k] for k in kept),
        ),
        matrix=matrix,
        center=np.concatenate([by_period.mean(axis=0), design.center[kept]]),
        scale=np.concatenate([np.ones(len(names)), design.scale[kept]]),
        levels=(design.levels[0], *names, *(design.levels[k + 1] for k in others)),
        treatment_level=new_level,
        first_row=order[first],
    )
    data = dataclasses.replace(
        inputs.data,
        follow_up=cut_follow_up(entry, time, inputs.intervals.cutpoints),
        event=event.astype(float),
        design=split_design.scaled,
        patient_index=split_cohort.patient_index,
    )
    return dataclasses.replace(inputs, cohort=split_cohort, design=split_design, data=data)


def fit_periods(shared: Shared, *, times: Sequence[float], seed: int) -> dict[str, Any]:
    """Fit a hazard ratio for each period, as a task.

    Parameters
    ----------
    shared : Shared
    times : sequence of float
        Where follow-up is split; none for the base model.
    seed : int

    Returns
    -------
    dict
        `rows` of the periods; `average`, the mean log hazard ratio weighted by events; `change`,
        the last period's hazard ratio divided by the first's; `elpd_pointwise`,
        `loo_pareto_k`.
    """
    model, inputs = changed_inputs(shared, {})
    split = split_periods(inputs, shared.level, times)
    drawn = draw_posterior(model, split, seed, 2 * DRAWS)
    number = len(times) + 1
    log_ratio = drawn.effect[:, :number] / split.design.scale[:number]
    edges = np.array([0.0, *times, np.inf])
    event_times = inputs.cohort.time[inputs.cohort.event == 1]
    events = np.histogram(event_times, bins=np.nextafter(edges, np.inf))[0]
    pointwise, pareto_k = leave_one_out(drawn, split)
    rows = [
        {
            "period": period_label(edges, k),
            "from": float(edges[k]),
            "to": float(edges[k + 1]) if np.isfinite(edges[k + 1]) else None,
            "n_events": int(events[k]),
        }
        | summarise_draws(log_ratio[:, k], drawn)
        for k in range(number)
    ]
    return {
        "rows": rows,
        "average": summarise_draws(log_ratio @ (events / events.sum()), drawn),
        "change": summarise_draws(log_ratio[:, -1] - log_ratio[:, 0], drawn),
        "elpd_pointwise": pointwise.tolist(),
        "loo_pareto_k": pareto_k,
    }


def analyse(context: Context, settings: Settings) -> PartResult:
    """Fit periods, compare them with one hazard ratio, and test Cox's model."""
    times = choose_times(context.plan.inputs, settings)
    tasks = [
        Task(f"proportional_hazards: {name}", fit_periods, {"times": each, "seed": context.seed})
        for name, each in (("periods", list(times)), ("one", []))
    ]
    periods, one = context.run("proportional_hazards", tasks)
    for done in (periods, one):
        if done.value is None:
            raise SensitivityError(f"sensitivity.proportional_hazards: {done.failure}")
    found, base = dict(periods.value or {}), dict(one.value or {})
    difference = np.array(found.pop("elpd_pointwise")) - np.array(base["elpd_pointwise"])
    comparison = {
        "elpd_difference": float(difference.sum()),
        "elpd_difference_se": float(np.sqrt(len(difference)) * difference.std(ddof=1)),
        "loo_pareto_k": max(found.pop("loo_pareto_k"), base["loo_pareto_k"]),
    }
    test = cox_test(context)
    rows = found["rows"]
    notes = [
        "Each period's log hazard ratio has the prior of the treatment's effect, independent of "
        "the other periods'.",
        "The difference of the expected log predictive density is that of the model with periods "
        "less that with one hazard ratio; below 0, one hazard ratio predicts better.",
    ]
    if not rows[0]["is_reliable"]:
        notes.append("The refit with periods fails its diagnostic: do not trust it.")
    if isinstance(test, str):
        notes.append(f"No test of Cox's model: {test}")
    result = found | comparison | {"times": list(times)}
    result["grambsch_therneau"] = [] if isinstance(test, str) else test
    return PartResult(
        result=result,
        sentence=sentence(context, result),
        moves=moves_conclusion(context.base, [found["average"]]),
        tables={"proportional_hazards": table_of(found)},
        figures=figures_of(context, found),
        notes=tuple(notes),
    )


def cox_test(context: Context) -> list[dict[str, Any]] | str:
    """P values of Grambsch and Therneau's test, or why there are none."""
    from bayes_crlm.cox import fit_cox

    cohort, design = context.plan.inputs.cohort, context.plan.inputs.design
    try:
        cox = fit_cox(
            cohort.entry,
            cohort.time,
            cohort.event,
            design.matrix,
            design.terms,
            patient_index=cohort.patient_index,
        )
    except BayesCRLMError as problem:
        return str(problem)
    if not cox.ph_test:
        return "its estimates do not exist"
    return [{"term": term, "p": float(p) if np.isfinite(p) else None} for term, p in cox.ph_test]


def sentence(context: Context, result: Mapping[str, Any]) -> str:
    """Say how the hazard ratio changes over time."""
    said = ", ".join(
        f"{row['median']:.2f} ({row['eti95'][0]:.2f} to {row['eti95'][1]:.2f}) {row['period']}"
        for row in result["rows"]
    )
    change = result["change"]
    low, high = change["eti95"]
    text = (
        f"The hazard ratio is {said}; the last divided by the first is {change['median']:.2f} "
        f"({low:.2f} to {high:.2f})"
    )
    p_value = next(
        (
            each["p"]
            for each in result["grambsch_therneau"]
            if each["term"] == context.plan.inputs.design.terms[context.level - 1]
        ),
        None,
    )
    if p_value is not None:
        text += f", and Grambsch and Therneau's test has p = {p_value:.2g}"
    average = result["average"]
    return (
        f"{text}. Averaged over the events it is {average['median']:.2f}, P(HR < 1) = "
        f"{average['prob_below_1']:.3f}."
    )


def table_of(found: Mapping[str, Any]) -> Any:
    """One row for each period, for their average and for the change."""
    import pandas as pd

    labelled = [
        *found["rows"],
        found["average"] | {"period": "average over events"},
        found["change"] | {"period": "last divided by first"},
    ]
    return pd.DataFrame(
        [
            {"period": row["period"]}
            | {key: value for key, value in row.items() if key not in ("period", "eti95")}
            | {"eti95_low": row["eti95"][0], "eti95_high": row["eti95"][1]}
            for row in labelled
        ]
    )


def figures_of(context: Context, found: Mapping[str, Any]) -> dict[str, Any]:
    """The periods beneath the base."""
    from bayes_crlm.sensitivity.figures import plot_forest_rows

    def draw() -> "Figure":
        rows = [context.base, *found["rows"], found["average"]]
        labels = ["one hazard ratio", *(row["period"] for row in found["rows"]), "average"]
        return plot_forest_rows(context, rows, labels)

    return {
        "proportional_hazards": (
            "The hazard ratio in each period of follow-up, and averaged over the events.",
            draw,
        )
    }
