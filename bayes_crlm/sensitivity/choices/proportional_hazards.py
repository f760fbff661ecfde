"""Whether the hazard ratio changes over time: one for each period of follow-up.

Proportional hazards is an assumption. Follow-up is split at a few times, and in period k the log
hazard ratio is

    beta_k = beta + delta_k,    sum over k of w_k delta_k = 0,    w_k: period k's share of events

so that beta, the average over the events, is what a single hazard ratio stands for. It has the
spec's prior: priors of the periods themselves would make that of their average narrower, and the
part would find a changed prior where it looks for a changing effect. The deviations are those of
independent normals, recentred:

    delta_k = a_k - sum over l of w_l a_l,    a_k ~ Normal(0, tau)

Two periods' log hazard ratios then differ by Normal(0, tau sqrt(2)), whichever periods and however
many events they hold; with tau = 0.5 one is up to 4 times the other with 95% probability.

The limits of the periods are cutpoints of the baseline too, in the model with one hazard ratio as
well: where a period's baseline is flat across its limit, the period's effect would stand in for it.

References
----------
Grambsch & Therneau (1994), Biometrika 81:515-526; Xu & O'Quigley (2000), Biostatistics 1:423-439
(an average hazard ratio); Vehtari, Gelman & Gabry (2017), Stat Comput 27:1413-1432.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from pydantic import Field, PlainValidator

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.frequentist.cox import cox_of
from bayes_crlm.likelihood.quantiles import sample_quantiles
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.choices.periods import (
    edges_of,
    events_of_periods,
    fit_periods,
    period_label,
)
from bayes_crlm.sensitivity.parts import Context, Finding, finding, forest, rows_of
from bayes_crlm.sensitivity.verdicts import Values
from bayes_crlm.specification.lists import number_list
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import BayesCRLMError, SensitivityError
from bayes_crlm.words.shown import as_written, number, p_value_after_p, significant

# without times of the user's: so many events in each period, but two to three periods
EVENTS_PER_PERIOD, PERIODS_MOST = 25, 3


def check_times(value: object) -> str | tuple[float, ...]:
    """Take "auto" or a list of times."""
    listed: Any = number_list("times", 0.0).func
    return "auto" if value == "auto" else tuple(sorted(listed(value)))


class Settings(Table):
    """The table `[sensitivity.proportional_hazards]`."""

    times: Annotated[Any, PlainValidator(check_times)] = Field(
        "auto", description="'auto' or a list of times above 0"
    )
    deviation_scale: float = Field(0.5, gt=0, le=10, description="a scale above 0 and at most 10")


def check(plan: Plan, settings: Settings) -> None:
    """Refuse periods that this cohort cannot fill.

    Raises
    ------
    SensitivityError
        When a period would be without an event.
    """
    choose_times(plan.inputs, settings)


def choose_times(inputs: PreparedCohort, settings: Settings) -> tuple[float, ...]:
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
        times = tuple(
            np.unique(sample_quantiles(event_times, np.arange(1, number) / number)).tolist()
        )
    events = events_of_periods(cohort, times)
    if np.any(events == 0):
        place = int(np.flatnonzero(events == 0)[0])
        raise SensitivityError(
            "sensitivity.proportional_hazards.times: no event "
            f"{period_label(edges_of(times), place)}; give times with events in between"
        )
    return times


def analyse(context: Context, settings: Settings) -> Finding:
    """Fit periods, compare them with one hazard ratio, and test Cox's model."""
    scale = settings.deviation_scale
    times = list(choose_times(context.plan.inputs, settings))
    found = dict(
        context.run_one("proportional_hazards", fit_periods, times=times, deviation_scale=scale)
    )
    tests, untested = cox_test(context)
    result = found | {"times": times, "grambsch_therneau": tests}
    result["periods_disagree"] = periods_disagree(context.judge, found["rows"])
    rows, average, one = found["rows"], found["average"], found["one"]
    context.judge.add_states([*rows, average, one])
    shown = [
        *rows,
        average | {"period": "average over events"},
        found["change"] | {"period": "last divided by first"},
        one | {"period": "one hazard ratio, same cutpoints"},
    ]
    labels = ["one hazard ratio", *(row["period"] for row in rows), "average"]
    return finding(
        "proportional_hazards",
        sentence(context, result),
        judge_periods(context.judge, found),
        result=result,
        rows=[rows_of("proportional_hazards", shown, ["period"])],
        figures=[
            forest(
                "proportional_hazards",
                "The hazard ratio in each period of follow-up, and averaged over the events.",
                [one, *rows, average],
                labels,
            )
        ],
        notes=notes_of(found, scale, untested),
    )


def notes_of(found: Values, scale: float, untested: str | None) -> list[str]:
    """What a reader should know of the periods' priors and of the comparison."""
    factor = math.exp(1.96 * math.sqrt(2) * scale)
    notes = [
        "The average log hazard ratio, weighted by the periods' events, has the prior of the "
        f"treatment's effect; deviations from it have one of scale {as_written(scale)}, under "
        f"which one period's hazard ratio is up to {significant(factor, 2)} times another's with "
        "95% probability.",
        "The periods' limits are cutpoints of the baseline, in the model with one hazard ratio "
        "too.",
        "The difference of the expected log predictive density is that of the model with periods "
        "less that with one hazard ratio; below 0, one hazard ratio predicts better.",
    ]
    if not (found["average"]["is_reliable"] and found["one"]["is_reliable"]):
        notes.append("A refit fails its diagnostics: do not trust it.")
    if untested:
        notes.append(f"No test of Cox's model: {untested}")
    return notes


def periods_disagree(judge: verdicts.Judge, rows: Sequence[Values]) -> bool | None:
    """Whether one period concludes that the hazard is lower and another that it is higher.

    Parameters
    ----------
    judge : Judge
        Of the base analysis.
    rows : sequence of mapping
        Of the periods; None where one fails its diagnostic.
    """
    if len(verdicts.reliable(rows)) < len(rows):
        return None
    return {"lower", "higher"} <= {judge.conclusion(row) for row in rows}


def judge_periods(judge: verdicts.Judge, found: Values) -> verdicts.Verdict:
    """Judge periods and their average against the base analysis.

    Periods change the conclusion when one has its probability above and another below the limits
    of the success rule, or when the average concludes otherwise than the base analysis and
    than one hazard ratio with the same cutpoints does: what cutpoints change is another part's
    finding.

    Parameters
    ----------
    judge : Judge
        Of the base analysis.
    found : mapping
        As `fit_periods` gives it.

    Returns
    -------
    Verdict
        Nothing is judged where a refit fails its diagnostic.
    """
    average, one, rows = found["average"], found["one"], found["rows"]
    disagree = periods_disagree(judge, rows)
    if disagree:
        movers = tuple(
            verdicts.mover(row["period"], row, "changes")
            for row in rows
            if judge.conclusion(row) != "undecided"
        )
        return verdicts.Verdict(True, "changes", movers)
    if disagree is None or not (average["is_reliable"] and one["is_reliable"]):
        return judge.verdict([])
    kept = judge.conclusion(average) == judge.conclusion(one)
    counted = average | {"label": "averaged over the events"}
    return judge.verdict([judge.base if kept else counted])


def cox_test(context: Context) -> tuple[list[dict[str, Any]], str | None]:
    """P values of Grambsch and Therneau's test, or why there are none."""
    try:
        tests = cox_of(context.plan.inputs).ph_test
    except BayesCRLMError as problem:
        return [], str(problem)
    rows = [{"term": term, "p": float(p) if np.isfinite(p) else None} for term, p in tests]
    return rows, None if rows else "its estimates do not exist"


def sentence(context: Context, result: Values) -> str:
    """Say how the hazard ratio changes over time."""
    unit = context.plan.inputs.cohort.unit
    said = ", ".join(
        f"{verdicts.ratio_of(row)} {row['period']}{f' {unit}' if unit else ''}"
        for row in result["rows"]
    )
    start = (
        "The hazard ratio changes sides over time, so that no single one describes it: the"
        if result["periods_disagree"]
        else "The"
    )
    text = (
        f"{start} hazard ratio is {said}; the last divided by the first is "
        f"{verdicts.ratio_of(result['change'])}"
    )
    term = context.plan.inputs.design.terms[context.level - 1]
    by_term = {each["term"]: each["p"] for each in result["grambsch_therneau"]}
    p_value = by_term.get(term)
    if p_value is not None:
        text += f", and Grambsch and Therneau's test has p {p_value_after_p(p_value)}"
    average = result["average"]
    probability = context.judge.side_probability_in_words(average)
    return f"{text}. Averaged over the events it is {number(average['median'])}, {probability}."
