"""Which patients carry the conclusion, and how few of them would have to be missing to turn it.

Every patient is left out in turn, and the model refitted. Then patients are left out one after
the other, always the one whose absence moves the result farthest towards the other conclusion
among those that moved it farthest alone, until the conclusion turns: the fragility index counts
them. A greedy search finds some set that turns the conclusion, and there may be a smaller one.

References
----------
Walsh et al. (2014), J Clin Epidemiol 67:622-628 (fragility index); Broderick, Giordano & Meager
(2020), arXiv:2011.14999 (dropping few observations); Vehtari, Gelman & Gabry (2017), Stat
Comput 27:1413-1432 (leave-one-out by importance sampling).
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from bayes_crlm.errors import SensitivityError
from bayes_crlm.sensitivity.parts import Context, PartResult, conclusion, moves_conclusion
from bayes_crlm.sensitivity.refit import Shared, refit
from bayes_crlm.spec import Table
from bayes_crlm.tasks import Task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bayes_crlm.analysis import Plan

__all__ = ["Settings", "analyse", "check", "refit_without"]

FIELDS = (
    "median", "eti95", "prob_below_1", "mean_log", "sd_log", "mcse", "engine", "pareto_k", "r_hat",
    "is_reliable", "n_patients", "n_events", "note",
)  # fmt: skip
# patients left out by one task
TOGETHER = 8
MOST_PATIENTS = 2000


class Settings(Table):
    """The table `[sensitivity.influence]`."""

    worst: Annotated[
        int, Field(ge=1, le=200, description="a whole number of patients from 1 to 200")
    ] = 20
    candidates: Annotated[
        int, Field(ge=1, le=200, description="a whole number of candidates from 1 to 200")
    ] = 12


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse cohorts of so many patients that leaving out each would take hours.

    Raises
    ------
    SensitivityError
    """
    count = plan.inputs.cohort.n_patients
    if count > MOST_PATIENTS:
        raise SensitivityError(
            f"sensitivity.influence refits without every patient, and there are {count:,}; it is "
            f"made for at most {MOST_PATIENTS:,}"
        )


def refit_without(shared: Shared, *, sets: Sequence[Sequence[int]], seed: int) -> dict[str, Any]:
    """Refit without each of some sets of patients, as a task.

    Parameters
    ----------
    shared : Shared
    sets : sequence of sequence of int
        Patients' places in the cohort.
    seed : int

    Returns
    -------
    dict
        `rows`, as `refit` gives them; `failure` says why there is none.
    """
    from bayes_crlm.errors import BayesCRLMError

    rows = []
    for places in sets:
        try:
            row = refit(shared, changes={"leave_out": list(places)}, seed=seed, parts=[])
            rows.append({field: row[field] for field in FIELDS} | {"failure": None})
        except BayesCRLMError as problem:
            rows.append({"failure": str(problem)})
    return {"rows": rows}


def leave_out(context: Context, name: str, sets: Sequence[Sequence[int]]) -> list[dict[str, Any]]:
    """Refit without each set, some sets by one task."""
    groups = [list(sets[k : k + TOGETHER]) for k in range(0, len(sets), TOGETHER)]
    tasks = [
        Task(f"influence: {name} {k}", refit_without, {"sets": group, "seed": context.seed})
        for k, group in enumerate(groups)
    ]
    rows = []
    for result, group in zip(context.run("influence", tasks), groups, strict=True):
        failed = [{"failure": result.failure}] * len(group)
        rows += failed if result.value is None else result.value["rows"]
    return rows


def analyse(context: Context, settings: Settings) -> PartResult:
    """Leave out every patient, then the worst ones together."""
    cohort = context.plan.inputs.cohort
    patients = cohort.patients.tolist()
    every = [[place] for place in range(len(patients))]
    rows = [
        {"patient": patients[place]} | row
        for place, row in zip(range(len(patients)), leave_out(context, "one", every), strict=True)
    ]
    done = [row for row in rows if row["failure"] is None]
    if not done:
        raise SensitivityError(f"sensitivity.influence: {rows[0]['failure']}")
    path = worst_patients(context, settings, rows)
    turned = next((k for k, row in enumerate(path, start=1) if row["turns_conclusion"]), None)
    shifts = loo_shifts(context)
    for place, row in enumerate(rows):
        row["loo_shift"], row["loo_shift_pareto_k"] = shifts[place]
    medians = [row["median"] for row in done]
    unreliable = sum(not row["is_reliable"] for row in [*done, *path])
    failed = len(rows) - len(done)
    notes = [
        "Patients are left out one after the other, the worst first; another set of patients may "
        "turn the conclusion with fewer.",
    ]
    if unreliable:
        notes.append(f"{unreliable} refits fail their diagnostic and are marked.")
    if failed:
        why = next(row["failure"] for row in rows if row["failure"])
        notes.append(f"{failed} refits without a patient were not possible: {why}")
    return PartResult(
        result={
            "rows": rows,
            "median_range": [min(medians), max(medians)],
            "worst": path,
            "fragility_index": turned,
            "fragility_patients": [row["patient"] for row in path[: turned or 0]],
            "fragility_events": None if turned is None else path[turned - 1]["n_events_left_out"],
        },
        sentence=sentence(context, medians, path, turned),
        moves=moves_conclusion(context.base, done),
        tables=tables_of(rows, path),
        figures=figures_of(context, path),
        notes=tuple(notes),
        would_move=None if turned is None else f"leaving out {count_patients(turned)}",
    )


def count_patients(number: int) -> str:
    """Write a number of patients."""
    return "one patient" if number == 1 else f"{number} patients"


def loo_shifts(context: Context) -> list[tuple[float, float]]:
    """Shift of the mean log hazard ratio without each patient, in sd, with Pareto k.

    By `arviz_stats.loo_influence` from the draws of one fit; not a number for patients whose
    likelihoods the tree does not hold.
    """
    import warnings

    import arviz_stats as azs
    import numpy as np

    tree = context.fit.posterior
    with warnings.catch_warnings():
        # a high k is in the rows
        warnings.simplefilter("ignore")
        shift, pareto_k = azs.loo_influence(
            tree, var_names="log_hazard_ratio", group="posterior", log_likelihood_var_name="event"
        )
    term = tree["posterior"]["log_hazard_ratio"].dims[-1]
    stored = np.asarray(tree["log_likelihood"]["patient"]).tolist()
    values = [
        np.asarray(each["log_hazard_ratio"] if hasattr(each, "data_vars") else each)
        for each in (
            shift.isel({term: context.level - 1}),
            pareto_k.isel({term: context.level - 1}),
        )
    ]
    found = dict(zip(stored, zip(*(each.tolist() for each in values), strict=True), strict=True))
    nothing = (float("nan"), float("nan"))
    return [found.get(patient, nothing) for patient in context.plan.inputs.cohort.patients.tolist()]


def towards_other(context: Context) -> float:
    """Sign of the shift of the log hazard ratio that would turn the conclusion."""
    held = conclusion(context.base)
    if held == "undecided":
        # nearest is the side on which most of the probability lies
        return -1.0 if context.base["prob_below_1"] > 0.5 else 1.0
    return 1.0 if held == "below" else -1.0


def worst_patients(
    context: Context, settings: Settings, rows: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Leave out ever more patients, until the conclusion turns or there are enough."""
    cohort, sign = context.plan.inputs.cohort, towards_other(context)
    patients = cohort.patients.tolist()
    # a shift of the mean in its own standard deviations decides the conclusion
    order = sorted(
        (place for place, row in enumerate(rows) if row["failure"] is None),
        key=lambda place: -sign * rows[place]["mean_log"] / rows[place]["sd_log"],
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
            (sign * row["mean_log"] / row["sd_log"], place, row)
            for place, row in zip(candidates, found, strict=True)
            if row["failure"] is None
        ]
        if not possible:
            break
        _, place, row = max(possible, key=lambda each: each[0])
        gone.append(place)
        order.remove(place)
        path.append(
            {"left_out": len(gone)}
            | {field: row[field] for field in FIELDS}
            | {
                "patient": patients[place],
                "n_events_left_out": cohort.n_events - row["n_events"],
                "turns_conclusion": conclusion(row) != conclusion(context.base),
            }
        )
        if path[-1]["turns_conclusion"]:
            break
    return path


def sentence(
    context: Context,
    medians: Sequence[float],
    path: Sequence[Mapping[str, Any]],
    turned: int | None,
) -> str:
    """Say how far one patient moves the result, and how many turn the conclusion."""
    text = (
        f"Without any one patient the hazard ratio lies between {min(medians):.2f} and "
        f"{max(medians):.2f} (with all: {context.base['median']:.2f}); "
    )
    if turned is None:
        return f"{text}leaving out the {len(path)} worst patients does not turn the conclusion."
    row = path[turned - 1]
    who = count_patients(turned)
    deaths = row["n_events_left_out"]
    return (
        f"{text}leaving out {who}, {deaths} of them with the event, turns the conclusion "
        f"(P(HR < 1) = {row['prob_below_1']:.3f})."
    )


def tables_of(
    rows: Sequence[Mapping[str, Any]], path: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """One row for each patient, and one for each step."""
    import pandas as pd

    def flat(row: Mapping[str, Any]) -> dict[str, Any]:
        low, high = row.get("eti95") or (None, None)
        others = {key: value for key, value in row.items() if key != "eti95"}
        return others | {"eti95_low": low, "eti95_high": high}

    return {
        "influence": pd.DataFrame([flat(row) for row in rows]),
        "influence_worst": pd.DataFrame([flat(row) for row in path]),
    }


def figures_of(context: Context, path: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The hazard ratio as ever more patients are left out."""
    from bayes_crlm.sensitivity.figures import plot_hazard_ratio_curve

    def draw() -> "Figure":
        rows = [context.base, *path]
        return plot_hazard_ratio_curve(
            context, list(range(len(rows))), rows, "patients left out, the worst first"
        )

    caption = "The hazard ratio when the most influential patients are left out, one by one."
    return {"influence": (caption, draw)}
