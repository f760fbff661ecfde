"""How few events would have to move to change the conclusion: a Bayesian fragility index.

The fragility index of a trial is the smallest number of patients of one arm whose status would
have to change, from no event to event, for a significant difference to be none. Here the
conclusion is that of the posterior, and status may change in whichever arm and direction changes it
with fewest patients: events that had not happened on one side, or events of patients who were
censored on the other. A censored patient is given the event at the time of censoring, and one whose
event is taken away is censored at its time; nothing else of the data changes, and cutpoints stay.

Patients are moved one after the other, always the one who brings the conclusion nearest to
changing. Which one that is, the draws say, weighted by what a patient's other status does to the
likelihood: the hazard at the end of follow-up comes in as a factor, or goes. Every step is then
refitted exactly. A greedy search finds some set; there may be a smaller one.

References
----------
Walsh et al. (2014), J Clin Epidemiol 67:622-628 (fragility index); Vehtari, Gelman & Gabry (2017),
Stat Comput 27:1413-1432 (one fit's draws weighted to other data).
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.hazard_table import at_stop, relative_log_hazards
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.sensitivity.posterior_draws import Draws, sample_posterior
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.run import BASE_DRAWS
from bayes_crlm.sensitivity.verdicts import DEFAULT_RULE
from bayes_crlm.words.errors import BayesCRLMError
from bayes_crlm.words.success import SuccessRule

Arm = Literal["treated", "reference"]
ARMS: tuple[Arm, ...] = ("treated", "reference")

# patients whose weights are held in memory at once
TOGETHER = 200


def movable_rows(inputs: PreparedCohort, level: int, arm: Arm, sign: float) -> NDArray[np.intp]:
    """Last rows of the patients of an arm whose change of status moves the hazard ratio one way.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    level : int
        Place of the treatment level in question, from 1.
    arm : {"treated", "reference"}
        Whose statuses change.
    sign : float
        1 for a higher hazard ratio: more events of the treated, fewer of the reference.

    Returns
    -------
    (patients,) ndarray of int
        Those without the event where events are to be added, else those with it.
    """
    rows = inputs.final_row
    is_arm = inputs.design.treatment_level[rows] == (level if arm == "treated" else 0)
    adds_events = (sign > 0) == (arm == "treated")
    return rows[is_arm & (inputs.cohort.event[rows] == (0 if adds_events else 1))]


def moved_events(
    model: ModelDefinition, inputs: PreparedCohort, rows: Sequence[int]
) -> PreparedCohort:
    """Change the status of some patients, and prepare the cohort again with the same cutpoints.

    Parameters
    ----------
    model, inputs
        What is fitted, and the cohort as it sees it.
    rows : sequence of int
        Last rows of those patients.

    Returns
    -------
    PreparedCohort
        An interval that is left without an event stays.

    Raises
    ------
    CutpointError
        When too few events are left.
    """
    event = inputs.cohort.event.copy()
    event[list(rows)] = 1 - event[list(rows)]
    held = inputs.intervals.cutpoints[1:-1].tolist() or 1
    changed = dataclasses.replace(inputs.cohort, event=event)
    return dataclasses.replace(model, cutpoints=held).prepare(changed)


def moved_scores(
    drawn: Draws, level: int, rows: NDArray[np.intp], effect: float = 1.0
) -> NDArray[np.float64]:
    """Mean of the log hazard ratio over its standard deviation, were one patient's status another.

    Parameters
    ----------
    drawn : Draws
        Of the posterior as observed.
    level : int
        Place of the treatment level in question, from 1.
    rows : (patients,) ndarray of int
        Last rows, each of one patient who is moved alone.
    effect : float
        The hazard ratio that the mean is a distance from.

    Returns
    -------
    (patients,) ndarray
        From weighted draws; what the baseline's prior takes from the events is left as it is.
    """
    inputs, log_ratio = drawn.inputs, drawn.log_hazard_ratio(level) - math.log(effect)
    scores = []
    for first in range(0, len(rows), TOGETHER):
        part = rows[first : first + TOGETHER]
        data = inputs.data.rows(part)
        at_end = at_stop(drawn.at, data)
        at_end = at_end + relative_log_hazards(drawn.at, data.design, data.groups)
        change = np.where(inputs.cohort.event[part] == 0, at_end, -at_end)
        weight = drawn.weight[:, None] * np.exp(change - change.max(axis=0))
        weight /= weight.sum(axis=0)
        mean = log_ratio @ weight
        scores.append(mean / np.sqrt(log_ratio**2 @ weight - mean**2))
    return np.concatenate(scores)


def fragility_path(
    shared: Shared,
    *,
    arm: Arm,
    sign: float,
    held: str,
    most: int,
    draws: int,
    seed: int,
    probability: float = DEFAULT_RULE.probability,
) -> dict[str, Any]:
    """Change the status of ever more patients of one arm until the conclusion changes, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    arm : {"treated", "reference"}
        The level in question, or the reference.
    sign : float
        1 when a higher hazard ratio changes the conclusion, -1 when a lower one does.
    held : {"lower", "higher", "undecided"}
        The conclusion that is to be changed.
    most : int
        Patients at most.
    draws : int
        Of every refit: as many as those of the base.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    probability : float
        Of the success rule.

    Returns
    -------
    dict
        `adds_events`, whether patients are given the event or lose it; `rows`, one a step
        (`moved`, `patient`, `n_events`, `turns_conclusion` and what
        `posterior_draws.Draws.row` gives); `failure`, why it ended early.
    """
    model, inputs = changed_inputs(shared, {})
    level, rule = shared.level, SuccessRule(shared.effect, probability)
    left = movable_rows(inputs, level, arm, sign).tolist()
    patients = inputs.cohort.patients.tolist()
    path: list[dict[str, Any]] = []
    found: dict[str, Any] = {
        "adds_events": (sign > 0) == (arm == "treated"),
        "rows": path,
        "failure": None,
    }
    moved: list[int] = []
    drawn = sample_posterior(model, inputs, seed, draws)
    while left and len(path) < most:
        scores = sign * moved_scores(drawn, level, np.array(left), shared.effect)
        moved.append(left.pop(int(np.argmax(scores))))
        try:
            now = moved_events(model, inputs, moved)
        except BayesCRLMError as problem:
            found["failure"] = str(problem)
            break
        drawn = sample_posterior(model, now, seed, draws)
        row = drawn.row(level, shared.effect)
        is_other = rule.conclusion(row["prob_below_effect"]) != held
        path.append(
            {
                "moved": len(moved),
                "patient": patients[inputs.cohort.patient_index[moved[-1]]],
                "n_events": now.cohort.n_events,
                "turns_conclusion": row["is_reliable"] and is_other,
            }
            | row
        )
        if path[-1]["turns_conclusion"]:
            break
    return found


def find_fragility(context: Context, sign: float, most: int) -> dict[str, Any]:
    """Move events in either arm, and keep the arm in which fewer change the conclusion.

    Parameters
    ----------
    context : Context
        The base analysis, and how refits are made.
    sign : float
        As of `fragility_path`.
    most : int
        Events moved at most.

    Returns
    -------
    dict
        `fragility_index`, `fragility_patients`, `fragility_events` (how many of them had the event
        before: all or none), `fragility_level` (their treatment), `fragility_adds_events` and
        `fragility_paths`, the steps in either arm. The index is None where no arm has one.
    """
    settled = {
        "sign": sign,
        "held": context.judge.held,
        "probability": context.rule.probability,
        "most": most,
        "draws": BASE_DRAWS,
    }
    calls = [(f"move {arm}", {"arm": arm}) for arm in ARMS]
    results = context.run_calls("influence", fragility_path, calls, **settled)
    paths: dict[str, dict[str, Any]] = {}
    turned: dict[str, int] = {}
    for arm, done in zip(ARMS, results, strict=True):
        nothing = {"adds_events": None, "rows": [], "failure": done.failure}
        paths[arm] = nothing if done.value is None else done.value
        rows = paths[arm]["rows"]
        context.judge.add_states(rows)
        if rows and rows[-1]["turns_conclusion"]:
            turned[arm] = len(rows)
    found: dict[str, Any] = dict.fromkeys(("index", "patients", "events", "level", "adds_events"))
    found["patients"] = []
    if turned:
        arm = min(turned, key=lambda each: turned[each])
        levels = context.plan.inputs.design.levels
        found = {
            "index": turned[arm],
            "patients": [row["patient"] for row in paths[arm]["rows"]],
            "events": 0 if paths[arm]["adds_events"] else turned[arm],
            "level": levels[context.level if arm == "treated" else 0],
            "adds_events": paths[arm]["adds_events"],
        }
    found["paths"] = paths
    return {f"fragility_{name}": value for name, value in found.items()}
