"""Immortal time: the wait for treatment, during which the treated could not have died.

Who is to get treatment has to live until it starts. Counting that time as treated makes any
treatment look good. The same cohort is analysed as treated (naive) and in three ways that
give nobody time in which they could not have died: landmarks, treatment as it changes over time,
and clones that are censored and weighted. Time zero of all but the landmarks is that of the
cohort's follow-up, on whose scale the start of treatment is measured.

A landmark asks another question: whether those who have started by then live longer than those who
have not, many of whom start later. Whatever the treatment does, such a hazard ratio lies nearer to
1, so that landmarks are shown, with the number of later starters, and do not decide whether
immortal time moves the conclusion.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from bayes_crlm.model.late_start import diluted, share_on_treatment
from bayes_crlm.sensitivity.comparison_rows import draw_rows, fit_row, rows_table, usable
from bayes_crlm.sensitivity.earlier_run import as_it_stands
from bayes_crlm.sensitivity.parts import Context, PartResult, unreliable_note
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.registry import NotRunError
from bayes_crlm.sensitivity.timing.clone_censor_weight import weight_model
from bayes_crlm.sensitivity.timing.delayed_treatment import (
    STRATEGIES,
    clone_rows,
    final_weights,
    landmark_row,
    split_row,
    start_test,
    weight_rows,
)
from bayes_crlm.sensitivity.timing.landmark import landmark_times
from bayes_crlm.sensitivity.two_arms import TwoArms, start_of_treatment, two_arms
from bayes_crlm.sensitivity.verdicts import (
    DEFAULT_RULE,
    add_states,
    conclusion,
    judge,
    reliable,
    say_range,
    say_verdict,
)
from bayes_crlm.sensitivity.weighted_posterior import WEIGHT_LIMITS
from bayes_crlm.specification.table import Table
from bayes_crlm.tasks.run import Task
from bayes_crlm.words.late_start import landmark_in_words
from bayes_crlm.words.shown import as_written, significant
from bayes_crlm.words.success import SuccessRule

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayes_crlm.analysis.run import Plan
    from bayes_crlm.cohort.cohort import Cohort

__all__ = ["Settings", "analyse", "check", "choose_times", "compare", "compare_methods"]

# without times of the user's: by when these shares of the treated had started
LANDMARK_SHARES, GRACE_SHARE = (0.5, 0.75, 0.9), 0.9
BINS = 24
# what rows take from those of `run`
OF_RUN = (
    *("median", "eti95", "prob_below_effect", "mean_log", "sd_log", "pareto_k"),
    *("cox_hr", "cox_ci95"),
)
OWN_START = "decision_months"
"""The column of the data sets that ship with this package."""


def increasing(times: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Refuse landmarks that are not in order."""
    if times is not None and any(b <= a for a, b in pairwise(times)):
        raise ValueError("give increasing times, each once")
    return times


class Settings(Table):
    """The table `[sensitivity.immortal_time]`."""

    start: Annotated[
        str | None,
        Field(min_length=1, description="the column with the time at which treatment starts"),
    ] = None
    landmarks: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(strict=False, min_length=1, description="a list of increasing times after 0"),
        AfterValidator(increasing),
    ] = None
    grace: Annotated[
        float | None,
        Field(gt=0, description="the time within which treatment has to start, a number above 0"),
    ] = None
    groups: Annotated[
        int, Field(ge=50, le=10_000, description="a whole number from 50 to 10000")
    ] = 200


def check(plan: "Plan", settings: Settings) -> None:
    """Refuse what the cohort does not allow.

    Parameters
    ----------
    plan : Plan
    settings : Settings

    Raises
    ------
    NotRunError
        Without the start of treatment, or with times that leave nobody.
    """
    settings = with_start(settings, plan.inputs.cohort)
    arms = two_arms(plan.model, plan.inputs)
    choose_times(arms, start_of_treatment(arms, str(settings.start)), settings)


def with_start(settings: Settings, cohort: "Cohort") -> Settings:
    """Say in which column the start of treatment is: the part's, the cohort's, or a data set's own.

    Raises
    ------
    NotRunError
        When nobody says.
    """
    from bayes_crlm.datasets import DATASETS

    own = OWN_START if cohort.source in DATASETS and OWN_START in cohort.table else None
    start = settings.start or cohort.start_column or own
    if start is None:
        raise NotRunError(
            f"{cohort.source}: when treatment started is not stated; give the column as "
            "data.treatment_start"
        )
    return settings.model_copy(update={"start": start})


def compare(shared: Shared, *, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """Compare the methods, as a task.

    Parameters
    ----------
    shared : Shared
    settings : mapping
        The table `[sensitivity.immortal_time]`.
    seed : int

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


def analyse(context: Context, settings: Settings) -> PartResult:
    """Compare the naive analysis with three that have no immortal time.

    Parameters
    ----------
    context : Context
    settings : Settings

    Returns
    -------
    PartResult

    Raises
    ------
    NotRunError
        As `check`.
    """
    plan = context.plan
    settings = with_start(settings, plan.inputs.cohort)
    arguments = {"settings": settings.model_dump(), "seed": context.seed}
    (done,) = context.run("immortal_time", [Task("immortal_time", compare, arguments)])
    if done.value is None:
        raise NotRunError(str(done.failure))
    found = done.value
    if len(plan.inputs.design.levels) == 2:
        found["rows"] = with_fits_of_run(
            found["rows"], context.base, context.start, str(settings.start)
        )
    rows, unit = found["rows"], plan.inputs.cohort.unit or "time units"
    naive, fitted = rows[0], usable(rows[1:])
    landmarks = [row for row in fitted if row["method"] == "landmark"]
    # truncated weights are biased: they are there to be seen
    beside = ("landmark", "clone_censor_weight_truncated")
    others = [row for row in fitted if row["method"] not in beside]
    levels = plan.inputs.design.levels
    is_pooled, of_reference = len(levels) > 2, f"{plan.model.treatment} = {levels[0]}"
    notes = [
        f"Time zero is that of {plan.inputs.cohort.time_column}, and {settings.start} is measured "
        "from it. "
        f"Before it, a treated patient counts as {of_reference}.",
        f"Grace period: {as_written(found['grace'])} {unit}; landmarks at "
        f"{', '.join(f'{as_written(each)}' for each in found['landmarks'])} {unit}.",
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
        "To be right, clone-censor-weight needs covariates that hold all on which both starting "
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
    if is_pooled:
        notes.append(
            f"All levels but {levels[0]} count as one treatment here, because a patient's level "
            "is not known before it starts. The hazard ratio as treated is therefore not that of "
            "the base analysis; where the two do not conclude the same, this part cannot say "
            "whether immortal time moves the conclusion."
        )
    reference = found["reference_starts"]
    if reference["n"]:
        notes.append(
            f"Patients with {of_reference} have starts of their own in {settings.start} "
            f"({reference['n']} of {reference['n_patients']}, median {reference['median']:.1f} "
            f"{unit}) and count as {of_reference} from time zero on all the same: the reference "
            "is that strategy with its wait, and what comes before either treatment is not told "
            "apart from it."
        )
    notes += [f"{row['label']}: {row['failure']}" for row in rows if row["failure"]]
    notes += unreliable_note(rows)
    import pandas as pd

    weights = {name: np.array(each) for name, each in found.pop("final_weights").items()}
    rule = context.rule
    add_states(rows[1:], naive, rule)
    can_say = bool(others and reliable([naive]))
    if is_pooled:
        can_say = can_say and conclusion(naive, rule) == conclusion(context.base, rule)
    figures = {
        "immortal_time": (
            "The treatment's hazard ratio as treated, and without immortal time.",
            lambda: draw_rows(context, rows),
        )
    }
    if weights:
        figures["immortal_time_weights"] = (
            "Stabilised weights of the clones followed beyond the grace period, by strategy: how "
            "many patients each of them stands for.",
            lambda: draw_weights(context, weights, found["weights"]),
        )
    said = sentence(naive, others, landmarks, rule)
    if is_pooled:
        pooled = ", ".join(str(each) for each in levels[1:])
        said = f"With {pooled} as one treatment against {levels[0]}: {said[0].lower()}{said[1:]}"
    return PartResult(
        result=found | {"start": settings.start, "time_zero": plan.inputs.cohort.time_column},
        sentence=said,
        **judge(naive, others if can_say else [], rule),
        tables={
            "immortal_time": rows_table(rows),
            "immortal_time_weights": pd.DataFrame(found["weights"]),
        },
        figures=figures,
        notes=tuple(notes),
    )


def with_fits_of_run(
    rows: Sequence[dict[str, Any]],
    base: Mapping[str, Any],
    start: Mapping[str, Any] | None,
    column: str,
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
    rows = [as_it_stands(row, base) if row["method"] == "naive" else row for row in rows]
    if start is None or start["column"] != column:
        return rows
    rows = [of_run(row, start.get(row["method"])) for row in rows]
    split = next((row for row in rows if row["method"] == "time_dependent"), None)
    if split is None or split["median"] is None:
        return rows
    return [
        row | {"diluted": diluted(split["median"], row["share_on_treatment"])}
        if row["method"] == "landmark"
        else row
        for row in rows
    ]


def of_run(row: dict[str, Any], found: Mapping[str, Any] | None) -> dict[str, Any]:
    """Put a run's numbers into a row of the same rows of the cohort."""
    is_same = found is not None and found["is_reliable"] and found.get("at") == row["at"]
    if found is None or not is_same or row["failure"] is not None:
        return row
    below = found["prob_below"].get("1.0")
    return (
        row
        | {name: found[name] for name in OF_RUN}
        | {
            "prob_below_1": row["prob_below_1"] if below is None else below,
            "mcse": found["mcse_mean_log"],
            "engine": "laplace",
            "is_reliable": True,
            "r_hat": None,
            "chains": None,
            "note": None,
        }
    )


def sentence(
    naive: dict[str, Any],
    others: Sequence[dict[str, Any]],
    landmarks: Sequence[dict[str, Any]],
    rule: SuccessRule = DEFAULT_RULE,
) -> str:
    """Say how far the hazard ratio moves when nobody has immortal time.

    Parameters
    ----------
    naive : dict
        The row as treated.
    others, landmarks : sequence of dict
        Rows that may decide it: of the same question, and of landmarks.
    """
    if not others:
        return "Immortal time could not be examined: no other method gave a reliable hazard ratio."
    least = min(others, key=lambda row: row["median"])
    most = max(others, key=lambda row: row["median"])
    verdict = say_verdict(naive, others, rule)
    between = f"{least['median']:.2f} ({least['label']})"
    if f"{least['median']:.2f}" != f"{most['median']:.2f}":
        between += f" to {most['median']:.2f} ({most['label']})"
    said = (
        f"As treated, the hazard ratio is {naive['median']:.2f}; without immortal time it is "
        f"{between}: {verdict}."
    )
    if landmarks:
        ratios = [row["median"] for row in landmarks]
        worst = max(landmarks, key=lambda row: row["n_started_later"])
        said += (
            f" Landmarks ask another question ({later_starters(worst)} untreated start later at "
            f"{as_written(worst['at'])}): the hazard ratio {say_range(min(ratios), max(ratios))}."
            if len(ratios) > 1
            else f" The landmark asks another question ({later_starters(worst)} untreated start "
            f"later) and gives {ratios[0]:.2f}."
        )
    return said


def landmark_notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Say of every landmark what its hazard ratio allows to be said, from the table's rows."""
    split = next((row for row in rows if row["method"] == "time_dependent"), None)
    itself = split if split and split["failure"] is None else None
    return [
        f"Landmark at {as_written(row['at'])}: {landmark_in_words(itself, row)}."
        for row in rows
        if row["method"] == "landmark" and row["failure"] is None
    ]


def start_in_words(found: Mapping[str, Any]) -> str:
    """Say what the tests of the model of starting found."""
    tests = found["start_model"]
    if not tests:
        return "not tested: there is nothing that it could depend on"
    return "tests: " + ", ".join(f"{row['term']} p = {significant(row['p'], 2)}" for row in tests)


def later_starters(row: dict[str, Any]) -> str:
    """Say how many of a landmark's untreated patients start later: '45 of 87'."""
    return f"{row['n_started_later']} of {row['n_untreated']}"


def choose_times(
    arms: TwoArms, start: NDArray, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """Take landmarks and grace period as given, or from when the treated started.

    Parameters
    ----------
    arms : TwoArms
    start : (patients,) ndarray
        Infinity for patients who never started.
    settings : Settings

    Returns
    -------
    (landmarks, grace)

    Raises
    ------
    NotRunError
        When nobody waited for treatment, or a time is not before the end of follow-up.
    """
    landmarks = settings.landmarks or tuple(landmark_times(start, LANDMARK_SHARES))
    own_grace = landmark_times(start, (GRACE_SHARE,))
    if not landmarks or not (settings.grace or own_grace):
        raise NotRunError(
            f"every treated patient started at 0 by column {settings.start!r}: nobody waited for "
            "treatment, so there is no immortal time"
        )
    grace = settings.grace or own_grace[-1]
    last = float(arms.time.max())
    for name, value in (("landmarks", max(landmarks)), ("grace", grace)):
        if value >= last:
            raise NotRunError(
                f"sensitivity.immortal_time.{name}: {as_written(value)} is not before the end of "
                "follow-up "
                f"at {as_written(last)}; give less"
            )
    return landmarks, grace


def compare_methods(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the cohort as treated, at landmarks, with split follow-up, and as weighted clones.

    Parameters
    ----------
    arms : TwoArms
    settings : Settings
    seed : int

    Returns
    -------
    dict
        `landmarks`, `grace`, `rows` (label, method, at, n_patients, n_events, n_treated, the
        columns of `bayes_crlm.sensitivity.refit.summarise_draws`, Cox's estimate where rows are
        not weighted, calibration where they are, failure; of landmarks also `n_untreated`,
        `n_started_later`, `share_on_treatment` of the untreated's follow-up, and `diluted`, what
        the time-dependent hazard ratio comes to against them), `start_model` (tests of whether
        starting is proportional: term, p), `strategies` (what the clones follow), `weights` (their
        distribution in each arm), `final_weights` (arrays by strategy) and `reference_starts`
        (what patients on the reference have in the column of starts: n, n_patients, median).

    Raises
    ------
    NotRunError
        As `check`.
    """
    settings = with_start(settings, arms.source)
    start = start_of_treatment(arms, str(settings.start))
    landmarks, grace = choose_times(arms, start, settings)
    every = np.arange(arms.n_patients)
    naive = arms.cohort(every, arms.time, arms.event, arms.is_treated)
    rows = [
        fit_row(arms.model, naive, seed, arms.effect)
        | {"label": "as treated (naive)", "method": "naive", "at": None}
    ]
    rows += [landmark_row(arms, start, each, seed) for each in landmarks]
    split = split_row(arms, start, seed)
    for row, at in zip(rows[1:], landmarks, strict=True):
        share = share_on_treatment(start, arms.time, at)
        is_known = split["median"] is not None
        row["share_on_treatment"] = share
        row["diluted"] = diluted(split["median"], share) if is_known else None
    rows.append(split)
    weighing = weight_model(start, arms.time, arms.event, arms.design, grace)
    rows += clone_rows(arms, start, weighing, settings.groups, seed)
    weights = final_weights(weighing, arms.n_patients)
    return {
        "landmarks": list(landmarks),
        "grace": grace,
        "strategies": STRATEGIES,
        "rows": rows,
        "weights": weight_rows(weights),
        "final_weights": weights,
        "start_model": start_test(arms, start),
        "reference_starts": starts_of_reference(arms, str(settings.start)),
    }


def starts_of_reference(arms: TwoArms, column: str) -> dict[str, Any]:
    """Count starts that patients on the reference have themselves, and take their median."""
    # rows of the file are numbered; the arms' patients are some of the source's
    own = arms.source.times_of(column)[
        np.isin(arms.source.row_number, arms.row_number[~arms.is_treated])
    ]
    own = own[np.isfinite(own) & (own > 0)]
    return {
        "n": len(own),
        "n_patients": int(np.sum(~arms.is_treated)),
        "median": float(np.median(own)) if len(own) else None,
    }


def draw_weights(
    context: Context, weights: Mapping[str, NDArray], rows: Sequence[Mapping[str, Any]]
) -> "Figure":
    """Draw the weights of clones who start upwards, and those of clones who never do downwards."""
    from bayes_crlm.figures.drawing import COLOURS, INK
    from bayes_crlm.sensitivity.figures import figure_of

    least = min(float(each.min()) for each in weights.values())
    most = max(float(each.max()) for each in weights.values())
    # a few clones may weigh a hundred times as much as most
    edges = np.geomspace(0.95 * least, 1.05 * most, BINS + 1)

    def draw(ax: "Axes") -> None:
        for row, sign, colour in zip(rows, (1, -1), COLOURS, strict=False):
            count, _ = np.histogram(weights[row["strategy"]], edges)
            label = (
                f"{row['strategy']}: {row['n_clones']} clones, effective sample size "
                f"{row['effective_sample_size']:.0f}, mean weight {row['mean']:.2f}, "
                f"largest {row['max']:.2f}"
            )
            ax.bar(
                edges[:-1], sign * count, np.diff(edges), align="edge", color=colour, label=label
            )
        ax.set_xscale("log")
        steps = [digit * 10.0**power for power in range(-3, 4) for digit in (1, 1.5, 2, 3, 5, 7)]
        ticks = [each for each in steps if edges[0] <= each <= edges[-1]]
        ax.set_xticks(ticks, [f"{as_written(each)}" for each in ticks])
        ax.minorticks_off()
        ax.axhline(0, color=INK, linewidth=0.8)
        # clones are counted on both sides of the line
        counts = [each for each in ax.get_yticks() if float(each).is_integer()]
        ax.set_yticks(counts, [f"{as_written(abs(each))}" for each in counts])
        ax.set_xlabel("stabilised weight after the grace period")
        ax.set_ylabel("clones")
        ax.legend(loc="lower left", bbox_to_anchor=(0, 1.02), ncols=1, borderaxespad=0, fontsize=9)

    return figure_of(context, draw, height=3.8)
