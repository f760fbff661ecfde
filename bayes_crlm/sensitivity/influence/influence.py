"""Which patients carry the conclusion, and how few events it hangs on.

Every patient is left out in turn, and the model refitted. Then patients are left out one after the
other, always the one whose absence moves the result farthest towards the other conclusion among
those that moved it farthest alone, until the conclusion changes: the deletion index counts them.
Another question is how many events would have to move, with all patients in the data: the fragility
index (`bayes_crlm.sensitivity.influence.fragility`). Both searches are greedy and find some set
that changes the conclusion; there may be a smaller one. Cutpoints are those with all patients.

References
----------
Broderick, Giordano & Meager (2020), arXiv:2011.14999 (dropping few observations); Walsh et al.
(2014), J Clin Epidemiol 67:622-628 (fragility index); Vehtari, Gelman & Gabry (2017), Stat
Comput 27:1413-1432 (leave-one-out by importance sampling).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.comparisons import plot_hazard_ratio_curve
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.influence.fragility import find_fragility
from bayes_crlm.sensitivity.parts import Context, Finding, finding, rows_of
from bayes_crlm.sensitivity.posterior_draws import ENGINE, NUMBERS
from bayes_crlm.sensitivity.run import BASE_DRAWS
from bayes_crlm.sensitivity.verdicts import Values
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure, Rows
from bayes_crlm.words.shown import as_written, number, whole
from bayes_crlm.words.success import SuccessRule

FIELDS = (*NUMBERS, *ENGINE, "n_patients", "n_events", "note")
# patients left out by one task
TOGETHER = 8
MOST_PATIENTS = 2000


class Settings(Table):
    """The table `[sensitivity.influence]`."""

    worst: int = Field(20, ge=1, le=200, description="a whole number of patients from 1 to 200")
    candidates: int = Field(
        6, ge=1, le=200, description="a whole number of candidates from 1 to 200"
    )


def check(plan: Plan, settings: Settings) -> None:
    """Refuse cohorts of so many patients that leaving out each would take hours.

    Raises
    ------
    SensitivityError
    """
    count = plan.inputs.cohort.n_patients
    if count > MOST_PATIENTS:
        raise SensitivityError(
            "sensitivity.influence refits without each patient in turn, and there are "
            f"{whole(count)}; it is for at most {whole(MOST_PATIENTS)}"
        )


def leave_out(context: Context, name: str, sets: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Refit without each set of patients' places in the cohort, some sets by one task.

    Returns
    -------
    list of dict
        `FIELDS` of the refits; `failure` says why there is none.
    """
    held = context.plan.inputs.intervals.cutpoints[1:-1].tolist()
    changes = [
        (f"{name} {k // TOGETHER}", {"leave_out": list(places), "held_cutpoints": held})
        for k, places in enumerate(sets)
    ]
    rows = context.refit_changes("influence", changes, draws=BASE_DRAWS, parts=[])
    return [{field: row[field] for field in (*FIELDS, "failure") if field in row} for row in rows]


def analyse(context: Context, settings: Settings) -> Finding:
    """Leave out every patient, then the worst ones together, and move events."""
    cohort, base = context.plan.inputs.cohort, context.base
    patients = cohort.patients.tolist()
    every = [[place] for place in range(len(patients))]
    rows = [
        {"patient": patient} | row
        for patient, row in zip(patients, leave_out(context, "one", every), strict=True)
    ]
    done = [row for row in rows if row["failure"] is None]
    context.judge.add_states(done)
    if not done:
        raise SensitivityError(f"sensitivity.influence: {rows[0]['failure']}")
    path = worst_patients(context, settings, rows)
    deleted = next((k for k, row in enumerate(path, start=1) if row["turns_conclusion"]), None)
    influences = loo_influences(context)
    for place, row in enumerate(rows):
        shift = None if row["failure"] else (row["mean_log"] - base["mean_log"]) / base["sd_log"]
        row["shift"] = shift
        row["loo_influence"], row["loo_influence_pareto_k"] = influences[place]
    fragile = find_fragility(context, towards_other(context), settings.worst)
    least, most = verdicts.extremes(done)
    deletion = {
        "worst": path,
        "deletion_index": deleted,
        "deletion_patients": [row["patient"] for row in path[: deleted or 0]],
        "deletion_events": None if deleted is None else path[deleted - 1]["n_events_left_out"],
    }
    return finding(
        "influence",
        sentence(context, done, path, deleted, fragile),
        context.judge.verdict(
            [{**row, "label": f"without patient {row['patient']}"} for row in done]
        ),
        result={"rows": rows, "median_range": [least["median"], most["median"]]}
        | deletion
        | fragile,
        rows=tables_of(rows, path, fragile),
        figures=figures_of(context, path, fragile),
        notes=notes_of(rows, path, fragile)
        + context.headline_note("Influence, deletion and fragility index are"),
        would_move=possible_changes_in_words(deleted, fragile["fragility_index"]),
    )


def notes_of(rows: Sequence[Values], path: Sequence[Values], fragile: Values) -> list[str]:
    """What a reader should know of how the indices came about."""
    notes = [
        "Patients are left out, or their status changed, one after the other, the worst first; "
        "another set of patients may change the conclusion with fewer. Cutpoints stay as they are.",
        "For the fragility index a censored patient's event is put at the time of censoring, and "
        "an event that is taken away becomes a censoring at its time; events move in one arm and "
        "one direction, whichever changes the conclusion with fewer.",
    ]
    done = [row for row in rows if row["failure"] is None]
    moved = [row for each in fragile["fragility_paths"].values() for row in each["rows"]]
    notes += verdicts.failing_note([*done, *path, *moved], "refit")
    if len(done) < len(rows):
        why = next(row["failure"] for row in rows if row["failure"])
        notes.append(
            f"Refits without a patient that were not possible: {len(rows) - len(done)} ({why})."
        )
    for each in fragile["fragility_paths"].values():
        if each["failure"]:
            notes.append(f"Events were moved until that was not possible: {each['failure']}")
    return notes


def possible_changes_in_words(deleted: int | None, moved: int | None) -> str | None:
    """Name what changes the conclusion when it is done on purpose."""
    counts = (("leaving out", deleted, "patient"), ("moving", moved, "event"))
    said = [
        f"{does} {verdicts.some(count, noun)}" for does, count, noun in counts if count is not None
    ]
    return " or ".join(said) or None


def of_whom(patients: int, events: int) -> str:
    """Say how many of some patients had the event."""
    if patients == 1:
        return "who had the event" if events else "who did not have the event"
    if events == patients:
        return f"{'both' if patients == 2 else 'all'} with the event"
    return f"{events or 'none'} of them with the event"


def loo_influences(context: Context) -> list[tuple[float, float]]:
    """Size of each patient's influence on the log hazard ratio, with Pareto k.

    From the draws of one fit: a distance, which has no sign; not a number for patients whose
    likelihoods the tree does not hold.
    """
    from bayes_crlm.fit.leave_one_out import relative_efficiency, stored_patients
    from bayes_crlm.inference.left_out import influence_on_mean

    fit, column = context.fit, context.level - 1
    log_likelihood = fit.posterior["log_likelihood"].to_dataset()["event"].values
    size, pareto_k = influence_on_mean(
        fit.log_hazard_ratio_values[:, column],
        log_likelihood.reshape(-1, log_likelihood.shape[-1]),
        relative_efficiency(fit),
    )
    found = np.full((context.plan.inputs.cohort.n_patients, 2), np.nan)
    found[stored_patients(fit)] = np.column_stack([size, pareto_k])
    return [(size, pareto_k) for size, pareto_k in found.tolist()]


def towards_other(context: Context) -> float:
    """Sign of the shift of the log hazard ratio that would change the conclusion."""
    judge = context.judge
    # of an undecided one the nearest is the side on which most of the probability lies
    away = -1.0 if judge.held == "undecided" else 1.0
    return away if judge.side == "lower" else -away


def distance_of(row: Values, rule: SuccessRule) -> float:
    """Distance of the log hazard ratio from the rule's effect, in its standard deviations."""
    return (row["mean_log"] - math.log(rule.effect)) / row["sd_log"]


def worst_patients(
    context: Context, settings: Settings, rows: Sequence[Values]
) -> list[dict[str, Any]]:
    """Leave out ever more patients, until the conclusion changes or there are enough."""
    cohort, sign = context.plan.inputs.cohort, towards_other(context)
    patients = cohort.patients.tolist()
    # a shift of the mean in its own standard deviations decides the conclusion
    order = sorted(
        (place for place, row in enumerate(rows) if row["failure"] is None),
        key=lambda place: -sign * distance_of(rows[place], context.rule),
    )
    path: list[dict[str, Any]] = []
    gone: list[int] = []
    while order and len(path) < settings.worst:
        candidates = order[: settings.candidates]
        if path:
            found = leave_out(
                context, f"worst {len(path) + 1}", [[*gone, place] for place in candidates]
            )
        else:
            found = [dict(rows[place]) for place in candidates]
        possible = [
            (sign * distance_of(row, context.rule), place, row)
            for place, row in zip(candidates, found, strict=True)
            if row["failure"] is None
        ]
        if not possible:
            break
        _, place, row = max(possible, key=lambda each: each[0])
        gone.append(place)
        order.remove(place)
        path.append(
            {
                "left_out": len(gone),
                "patient": patients[place],
                "n_events_left_out": cohort.n_events - row["n_events"],
                "turns_conclusion": context.judge.is_turned_by(row),
            }
            | {field: row[field] for field in FIELDS}
        )
        context.judge.add_states(path[-1:])
        if path[-1]["turns_conclusion"]:
            break
    return path


def sentence(
    context: Context,
    done: Sequence[Values],
    path: Sequence[Values],
    deleted: int | None,
    fragile: Values,
) -> str:
    """Say how far one patient moves the result, and how many change the conclusion."""
    probability_in_words = context.judge.side_probability_in_words
    lies = verdicts.range_in_words(done)
    text = (
        f"Without any one patient the hazard ratio {lies} "
        f"(with all: {number(context.base['median'])}); "
    )
    if deleted is None:
        worst = "worst patient" if len(path) == 1 else f"{len(path)} worst patients"
        text += f"leaving out the {worst} does not change the conclusion"
    else:
        row = path[deleted - 1]
        text += (
            f"leaving out {verdicts.some(deleted, 'patient')}, "
            f"{of_whom(deleted, row['n_events_left_out'])}, changes the conclusion "
            f"({probability_in_words(row)})"
        )
    moved = fragile["fragility_index"]
    if moved is None:
        most = max((len(each["rows"]) for each in fragile["fragility_paths"].values()), default=0)
        return f"{text}. Moving up to {verdicts.some(most, 'event')} does not change it."
    treatment = context.plan.inputs.design.treatment
    who = f"among patients with {treatment} = {fragile['fragility_level']}"
    what = "more" if fragile["fragility_adds_events"] else "fewer"
    last = min(
        (each["rows"][-1] for each in fragile["fragility_paths"].values() if each["rows"]),
        key=lambda row: (not row["turns_conclusion"], row["moved"]),
    )
    return (
        f"{text}. It would change with {moved} {what} event{'s' if moved > 1 else ''} {who} "
        f"({probability_in_words(last)}): a fragility index of {moved}."
    )


def tables_of(rows: Sequence[Values], path: Sequence[Values], fragile: Values) -> list[Rows]:
    """One row for each patient, and one for each step of both searches."""
    moved = [
        {"arm": arm, "adds_events": each["adds_events"]} | row
        for arm, each in fragile["fragility_paths"].items()
        for row in each["rows"]
    ]
    return [
        rows_of("influence", rows),
        rows_of("influence_worst", path),
        rows_of("influence_moved", moved),
    ]


def figures_of(context: Context, path: Sequence[Values], fragile: Values) -> list[Figure]:
    """The hazard ratio as ever more patients are left out, and as ever more events move."""
    base, judge, rule = context.base, context.judge, context.rule
    said = (
        "The numbers beneath are probabilities, in bold where the conclusion changes: it asks for "
        f"at least {as_written(rule.probability)} on one side of {as_written(rule.effect)}. The "
        "band is the 95% interval."
    )

    def curve(name: str, caption: str, steps: Sequence[Values], label: str) -> Figure:
        rows = [base, *steps]
        beside = [judge.of_side(judge.prob_below(row)) for row in rows]
        # the band is a 95% interval; the conclusion goes by the probability
        marks = [
            (number(each, 3) if each <= 0.999 else ">0.999", bool(row.get("turns_conclusion")))
            for each, row in zip(beside, rows, strict=True)
        ]
        numbers = {
            "x": list(range(len(rows))),
            "rows": rows,
            "xlabel": label,
            "base": base["median"],
            "marks": marks,
            "quantity": rule.probability_name(judge.side),
        }
        return Figure(name, f"{caption} {said}", plot_hazard_ratio_curve, numbers)

    figures = [
        curve(
            "influence",
            "The hazard ratio when the most influential patients are left out, one by one.",
            path,
            "patients left out, the worst first",
        )
    ]
    paths = [each["rows"] for each in fragile["fragility_paths"].values() if each["rows"]]
    if paths:
        # the arm whose events change the conclusion first
        first = min(paths, key=lambda rows: (not rows[-1]["turns_conclusion"], len(rows)))
        figures.append(
            curve(
                "influence_fragility",
                "The hazard ratio when events move in one arm, one by one, all patients staying "
                "in.",
                first,
                "events moved, the worst first",
            )
        )
    return figures
