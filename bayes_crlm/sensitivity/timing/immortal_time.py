"""Immortal time: the wait for treatment, during which the treated could not have died.

Who is to get treatment has to live until it starts. Counting that time as treated makes any
treatment look good. The same cohort is analysed as treated (naive) and in three ways that
give nobody time in which they could not have died: landmarks, treatment as it changes over time,
and clones that are censored and weighted. Time zero of all but the landmarks is that of the
cohort's follow-up, on whose scale the start of treatment is measured.

A landmark asks another question: whether those who have started by then live longer than those who
have not, many of whom start later. Whatever the treatment does, such a hazard ratio lies nearer to
1, so that landmarks are shown, with the number of later starters, and do not decide whether
immortal time changes the conclusion.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.comparisons import plot_mirrored
from bayes_crlm.model.late_start import diluted
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.comparison_rows import FIRST, failure_notes, fitted_rows, usable
from bayes_crlm.sensitivity.earlier_run import numbers_of_run, with_numbers_of
from bayes_crlm.sensitivity.parts import Context, Finding, finding, forest, rows_of
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.timing.delayed_treatment import (
    STRATEGIES,
    Settings,
    choose_times,
    compare_methods,
    with_start,
)
from bayes_crlm.sensitivity.two_arms import start_of_treatment, two_arms
from bayes_crlm.sensitivity.verdicts import Judge, Values
from bayes_crlm.sensitivity.weighted_posterior import WEIGHT_LIMITS
from bayes_crlm.words.late_start import landmark_in_words
from bayes_crlm.words.section import Figure
from bayes_crlm.words.shown import as_written, number, p_value_after_p, whole
from bayes_crlm.words.success import SuccessRule

BINS = 24
# what rows take from those of `run` beside the hazard ratio's numbers
OF_RUN = ("pareto_k", "cox_hr", "cox_ci95")
# landmarks ask another question, and truncated weights are biased: both are there to be seen
BESIDE = ("landmark", "clone_censor_weight_truncated")


def check(plan: Plan, settings: Settings) -> None:
    """Refuse what the cohort does not allow.

    Parameters
    ----------
    plan : Plan
        The spec with its cohort, ready to be fitted.
    settings : Settings
        The part's table of the spec.

    Raises
    ------
    SensitivityError
        Without the start of treatment, or with times that leave nobody.
    """
    settings = with_start(settings, plan.inputs.cohort)
    arms = two_arms(plan.model, plan.inputs)
    choose_times(arms, start_of_treatment(arms, str(settings.start)), settings)


def compare(shared: Shared, *, settings: Values, seed: int) -> dict[str, Any]:
    """Compare the methods, as a task.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    settings : mapping
        The table `[sensitivity.immortal_time]`.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        As of `compare_methods`, in plain values.
    """
    model, inputs = changed_inputs(shared, {})
    arms = two_arms(model, inputs, effect=shared.effect)
    found = compare_methods(arms, Settings(**settings), seed)
    weights = {name: each.tolist() for name, each in found["final_weights"].items()}
    return found | {"final_weights": weights}


def analyse(context: Context, settings: Settings) -> Finding:
    """Compare the naive analysis with three that have no immortal time.

    Parameters
    ----------
    context : Context
        The base analysis, and how refits are made.
    settings : Settings
        The part's table of the spec.

    Returns
    -------
    Finding

    Raises
    ------
    SensitivityError
        As `check`.
    """
    cohort, levels = context.plan.inputs.cohort, context.plan.inputs.design.levels
    settings = with_start(settings, cohort)
    found = context.run_one("immortal_time", compare, settings=settings.model_dump())
    weights = found.pop("final_weights")
    is_pooled = len(levels) > 2
    if not is_pooled:
        found["rows"] = with_fits_of_run(
            found["rows"], context.base, context.start, str(settings.start)
        )
    naive, *rows = found["rows"]
    counted = [row for row in usable(rows) if row["method"] not in BESIDE]
    landmarks = [row for row in usable(rows) if row["method"] == "landmark"]
    judge = Judge(naive, context.rule)
    judge.add_states(rows)
    can_say = bool(counted and verdicts.reliable([naive]))
    if is_pooled:
        can_say = can_say and judge.held == context.judge.held
    said = sentence(judge, counted, landmarks)
    if is_pooled:
        pooled = ", ".join(str(each) for each in levels[1:])
        said = f"With {pooled} as one treatment against {levels[0]}: {said[0].lower()}{said[1:]}"
    return finding(
        "immortal_time",
        said,
        judge.verdict(counted if can_say else []),
        result=found | {"start": settings.start, "time_zero": cohort.time_column},
        rows=[
            rows_of("immortal_time", found["rows"], FIRST),
            rows_of("immortal_time_weights", found["weights"]),
        ],
        figures=figures_of(found, weights),
        notes=notes_of(context, settings, found) + failure_notes(found["rows"]),
        before="" if is_pooled else from_start_in_words(rows, context.rule),
    )


def time_dependent(rows: Sequence[Values]) -> Values | None:
    """The row in which treatment counts from its start on, where there is one."""
    return next((row for row in rows if row["method"] == "time_dependent"), None)


def from_start_in_words(rows: Sequence[Values], rule: SuccessRule) -> str:
    """Say what treatment counted from its start on concludes; nothing where that is not known.

    It stands before the conclusion of the whole, which counts the wait as treated.
    """
    row = time_dependent(rows)
    if row is None or not row["is_reliable"]:
        return ""
    return (
        f"{rule.sentence(row).removesuffix('.')}, where treatment counts from its start on (hazard "
        f"ratio {verdicts.ratio_of(row, '{}, 95% interval {}')}). All that follows counts "
        "the wait for it as treated, too."
    )


def notes_of(context: Context, settings: Settings, found: Values) -> list[str]:
    """What the methods ask, and what they rest on."""
    plan, rows, reference = context.plan, found["rows"], found["reference_starts"]
    cohort, levels = plan.inputs.cohort, plan.inputs.design.levels
    unit, of_reference = cohort.unit or "time units", f"{plan.model.treatment} = {levels[0]}"
    notes = [
        f"Time zero is that of {cohort.time_column}, and {settings.start} is measured from it. "
        f"Before it, a treated patient counts as {of_reference}.",
        f"Grace period: {as_written(found['grace'])} {unit}; landmarks at "
        f"{', '.join(as_written(each) for each in found['landmarks'])} {unit}.",
        "A landmark asks another question: whether those who have started by then live longer "
        "than those who have not, some of whom start later. It does not count as a change of the "
        "conclusion.",
        *landmark_notes(rows),
        "Treatment that changes over time is fitted with cutpoints also where treatment starts "
        "and independent hazards of the intervals: smoothed early hazards would make waiting "
        "look safer than it is.",
        f"Clone-censor-weight compares two strategies: {STRATEGIES['start']}, and "
        f"{STRATEGIES['never']}. Both begin with the same wait, so that their hazard ratio is an "
        "average over time, nearer to 1 than that of treatment itself.",
        "To be right, clone-censor-weight needs covariates for everything on which both starting "
        "and dying depend, as they are at time zero; patients of every kind who start and who do "
        f"not; and a hazard of starting that is proportional in them ({start_in_words(found)}). "
        f"{WEIGHT_LIMITS} The row with truncated weights shows what the largest weights do; "
        "confounding stays in it, so that it counts for nothing.",
    ]
    if plan.inputs.n_covariate_terms:
        notes.append(
            "Clone-censor-weight without covariates in the outcome model gives a marginal hazard "
            "ratio; the other rows are conditional on the covariates. A hazard ratio that is not 1 "
            "differs between the two without any bias."
        )
    if len(levels) > 2:
        notes.append(
            f"All levels but {levels[0]} count as one treatment here, because a patient's level "
            "is not known before it starts. The hazard ratio as treated is therefore not that of "
            "the base analysis; where the two do not conclude the same, this part cannot say "
            "whether immortal time changes the conclusion."
        )
    if reference["n"]:
        notes.append(
            f"Patients with {of_reference} have starts of their own in {settings.start} "
            f"({reference['n']} of {reference['n_patients']}, median "
            f"{number(reference['median'], 1)} {unit}) and count as {of_reference} from time zero "
            "on all the same: the reference is that strategy with its wait, and what comes before "
            "either treatment is not told apart from it."
        )
    return notes


def figures_of(found: Values, weights: Mapping[str, Sequence[float]]) -> list[Figure]:
    """The hazard ratios, and the weights of the clones of both strategies."""
    figures = [
        forest(
            "immortal_time",
            "The treatment's hazard ratio as treated, and without immortal time.",
            fitted_rows(found["rows"]),
        )
    ]
    if not weights:
        return figures
    labels = {
        row["strategy"]: f"{row['strategy']}: {row['n_clones']} clones, effective sample size "
        f"{whole(row['effective_sample_size'])}, mean weight {number(row['mean'])}, largest "
        f"{number(row['max'])}"
        for row in found["weights"]
    }
    # a few clones may weigh a hundred times as much as most
    every = np.concatenate(list(weights.values()))
    drawn = {
        "groups": {labels[name]: each for name, each in weights.items()},
        "edges": np.geomspace(0.95 * every.min(), 1.05 * every.max(), BINS + 1),
        "xlabel": "stabilised weight after the grace period",
        "ylabel": "clones",
        "is_log": True,
    }
    caption = (
        "Stabilised weights of the clones followed beyond the grace period, by strategy: how "
        "many patients each of them stands for."
    )
    return [*figures, Figure("immortal_time_weights", caption, plot_mirrored, drawn)]


def with_fits_of_run(
    rows: Sequence[dict[str, Any]], base: Values, start: Values | None, column: str
) -> list[dict[str, Any]]:
    """Give rows whose fits stand elsewhere already the numbers that they have there.

    Parameters
    ----------
    rows : sequence of dict
        Of a treatment with two levels.
    base : mapping
        The base analysis.
    start : mapping or None
        What `bayes_crlm.fit.late_start.compare_starts` found in the run that the base is of.
    column : str
        Of the starts that the rows are made from.
    """
    rows = with_numbers_of(rows, base, "naive")
    if start is None or start["column"] != column:
        return rows
    rows = [of_run(row, start.get(row["method"])) for row in rows]
    split = time_dependent(rows)
    if split is None or split["median"] is None:
        return rows
    return [
        row | {"diluted": diluted(split["median"], row["share_on_treatment"])}
        if row["method"] == "landmark"
        else row
        for row in rows
    ]


def of_run(row: dict[str, Any], found: Values | None) -> dict[str, Any]:
    """Put a run's numbers into a row of the same rows of the cohort."""
    is_same = found is not None and found["is_reliable"] and found.get("at") == row["at"]
    if found is None or not is_same or row["failure"] is not None:
        return row
    below = found["prob_below"].get("1.0")
    numbers = numbers_of_run(found, row["prob_below_1"] if below is None else below)
    of_engine = {name: found[name] for name in OF_RUN} | {"engine": "laplace", "r_hat": None}
    return row | numbers | of_engine


def sentence(
    judge: Judge, others: Sequence[dict[str, Any]], landmarks: Sequence[dict[str, Any]]
) -> str:
    """Say how far the hazard ratio moves when nobody has immortal time.

    Parameters
    ----------
    judge : Judge
        Of the row as treated.
    others, landmarks : sequence of dict
        Rows that may decide it: of the same question, and of landmarks.
    """
    if not others:
        return "Immortal time could not be examined: no other method gave a reliable hazard ratio."
    least, most = verdicts.extremes(others)
    between = f"{number(least['median'])} ({least['label']})"
    if f"{number(least['median'])}" != f"{number(most['median'])}":
        between += f" to {number(most['median'])} ({most['label']})"
    said = (
        f"As treated, the hazard ratio is {number(judge.base['median'])}; without immortal time it "
        f"is {between}: {judge.verdict_in_words(others)}."
    )
    if landmarks:
        worst = max(landmarks, key=lambda row: row["n_started_later"])
        said += (
            f" Landmarks ask another question ({later_starters(worst)} untreated start later at "
            f"{as_written(worst['at'])}): the hazard ratio "
            f"{verdicts.range_in_words(landmarks)}."
            if len(landmarks) > 1
            else f" The landmark asks another question ({later_starters(worst)} untreated start "
            f"later) and gives {number(landmarks[0]['median'])}."
        )
    return said


def landmark_notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say of every landmark what its hazard ratio allows to be said, from the table's rows."""
    split = time_dependent(rows)
    itself = split if split and split["failure"] is None else None
    return [
        f"Landmark at {as_written(row['at'])}: {landmark_in_words(itself, row)}."
        for row in rows
        if row["method"] == "landmark" and row["failure"] is None
    ]


def start_in_words(found: Values) -> str:
    """Say what the tests of the model of starting found."""
    tests = found["start_model"]
    if not tests:
        return "not tested: there is nothing that it could depend on"
    return "tests: " + ", ".join(f"{row['term']} p {p_value_after_p(row['p'])}" for row in tests)


def later_starters(row: dict[str, Any]) -> str:
    """Say how many of a landmark's untreated patients start later: '45 of 87'."""
    return f"{row['n_started_later']} of {row['n_untreated']}"
