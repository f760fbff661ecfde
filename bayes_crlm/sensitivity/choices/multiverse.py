"""The multiverse of defensible analyses: every combination of choices, refitted.

References
----------
Steegen, Tuerlinckx, Gelman & Vanpaemel (2016), Perspect Psychol Sci 11:702-712; Simonsohn, Simmons
& Nelson (2020), Nat Hum Behav 4:1208-1214 (the specification curve).
"""

import math
from collections.abc import Sequence
from typing import Any

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.figures.comparisons import plot_specification_curve
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.choices.analysis_choices import (
    Settings,
    check_choices,
    repeats_the_spec,
    specifications,
)
from bayes_crlm.sensitivity.choices.variance_decomposition import Decomposition, Share, decompose
from bayes_crlm.sensitivity.earlier_run import as_in_base
from bayes_crlm.sensitivity.parts import Context, Finding, finding, rows_of
from bayes_crlm.sensitivity.posterior_draws import ENGINE, NUMBERS
from bayes_crlm.sensitivity.verdicts import Values
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure, Rows
from bayes_crlm.words.shown import as_written, number, whole
from bayes_crlm.words.wording import count_of

MOST_SPECIFICATIONS = 20_000
# of a probability's Monte Carlo standard errors: nearer to a threshold a row is drawn again
NEAR = 3.0
MORE_DRAWS = 20_000
# choices that change cohort or design
DATA_CHOICES = ("intervals", "covariates", "exclusions")
# of a row, and what more draws make again
OF_DATA = ("cox_hr", "cox_ci95", "n_patients", "n_events", "n_intervals")
FIELDS = (*NUMBERS, "elpd_loo", "loo_pareto_k", *ENGINE, *OF_DATA, "note")
OF_DRAWS = (*NUMBERS, *ENGINE, "note")
NAMES = {
    "prior_family": "family of the treatment's prior",
    "prior_scale": "scale of the treatment's prior",
    "baseline": "prior of the baseline hazard",
    "intervals": "number of intervals",
    "covariates": "covariates",
    "exclusions": "exclusions",
}


def check(plan: Plan, settings: Settings) -> None:
    """Refuse choices that this cohort cannot be put to, before anything is run.

    Raises
    ------
    SensitivityError
    """
    check_choices(plan, settings)
    count = len(specifications(plan, settings))
    if count > MOST_SPECIFICATIONS:
        raise SensitivityError(
            f"sensitivity.multiverse: {count} specifications; give at most {MOST_SPECIFICATIONS}"
        )


def analyse(context: Context, settings: Settings) -> Finding:
    """Refit every specification and say how much the choices matter."""
    found = specifications(context.plan, settings)
    rows = refit_all(context, found, settings.draws)
    again = sample_again(context, found, rows, settings.draws)
    # one analysis, one number: the specification that is the spec's own takes the answer's draws
    rows = [
        as_in_base(row, context.base) if repeats_the_spec(context.plan, changes) else row
        for row, (_, changes) in zip(rows, found, strict=True)
    ]
    rows.sort(key=lambda row: math.inf if row["median"] is None else row["median"])
    done = [row for row in rows if row["median"] is not None]
    if not done:
        raise SensitivityError("no specification of the multiverse could be fitted")
    context.judge.add_states(rows)
    trusted = verdicts.reliable(done)
    decomposition = decompose_trusted(rows) if trusted else None
    labelled = [{**row, "label": label_of(row["choices"])} for row in trusted]
    notes = notes_of(rows, done, decomposition) + context.contrasts_note()
    if again:
        notes.append(
            f"The probability of {count_of(again, 'specification')} was within {as_written(NEAR)} "
            f"Monte Carlo standard errors of a threshold: they were drawn again, with "
            f"{whole(MORE_DRAWS)} draws."
        )
    return finding(
        "multiverse",
        sentence_of(context.judge, trusted, len(rows), decomposition),
        context.judge.verdict(labelled),
        result=result_of(rows, trusted, decomposition),
        rows=tables_of(rows, decomposition),
        figures=[figure_of(context, done, decomposition)],
        notes=notes,
    )


def decompose_trusted(rows: list[dict[str, Any]]) -> Decomposition:
    """Decompose the variance of the log medians that pass their diagnostics."""
    return decompose(
        [row["choices"] for row in rows],
        [math.log(row["median"]) if row["is_reliable"] else None for row in rows],
    )


def label_of(choices: Values) -> str:
    """Name a specification by the options that it was fitted with."""
    return ", ".join(f"{NAMES[name]} {option}" for name, option in choices.items() if name in NAMES)


def is_near_threshold(judge: verdicts.Judge, row: Values) -> bool:
    """Whether noise of the draws may have decided on which side of a threshold a row is."""
    # the standard error of a probability at either threshold, by the draws' effective number
    level, below = judge.rule.probability, judge.prob_below(row)
    error = math.sqrt(level * (1 - level)) * row["mcse"] / row["sd_log"]
    return min(abs(below - level), abs(below - (1 - level))) < NEAR * error


def sample_again(
    context: Context,
    found: list[tuple[dict[str, Any], dict[str, Any]]],
    rows: list[dict[str, Any]],
    draws: int,
) -> int:
    """Draw rows near a threshold again, with more draws, and put what is found into them.

    Rows by NUTS are left: they have more draws already.

    Returns
    -------
    int
        How many rows.
    """
    near = [
        k
        for k, row in enumerate(rows)
        if row["engine"] == "laplace" and is_near_threshold(context.judge, row)
    ]
    if not near or draws >= MORE_DRAWS:
        return 0
    chosen = [found[k] for k in near]
    for k, more in zip(near, refit_all(context, chosen, MORE_DRAWS, parts=()), strict=True):
        if more["failure"] is None:
            rows[k] |= {name: more[name] for name in OF_DRAWS}
    return len(near)


def refit_all(
    context: Context,
    found: list[tuple[dict[str, Any], dict[str, Any]]],
    draws: int,
    parts: Sequence[str] = ("loo", "cox"),
) -> list[dict[str, Any]]:
    """Refit specifications, those that differ in their priors alone by one task.

    Rows are in the order of the specifications.
    """
    asked = []
    for choices, changes in found:
        of_data = ", ".join(f"{name} {choices[name]}" for name in DATA_CHOICES)
        asked.append((f"{of_data}, {draws} draws", changes))
    rows = context.refit_changes("multiverse", asked, draws=draws, parts=list(parts))
    return [
        {"choices": dict(choices)} | {name: row.get(name) for name in (*FIELDS, "failure")}
        for (choices, _), row in zip(found, rows, strict=True)
    ]


def result_of(
    rows: list[dict[str, Any]], trusted: list[Values], decomposition: Decomposition | None
) -> dict[str, Any]:
    """What stands in `sensitivity.json`.

    Shares, range and decomposition are of the rows that can be trusted, and None without any.
    """

    def share(key: str, value: Any) -> float | None:
        own = [row[key] == value for row in trusted]
        return sum(own) / len(own) if own else None

    excludes = [not row["eti95"][0] <= 1 <= row["eti95"][1] for row in trusted]
    shares = {f"share_{side}": share("conclusion", side) for side in ("lower", "higher")}
    shares |= {f"share_{state}": share("state", state) for state in verdicts.ORDER}
    return {
        "n_specifications": len(rows),
        "n_failed": sum(row["median"] is None for row in rows),
        "n_unreliable": sum(row["is_reliable"] is False for row in rows),
        **shares,
        "share_eti95_excludes_1": sum(excludes) / len(excludes) if excludes else None,
        "median_range": [trusted[0]["median"], trusted[-1]["median"]] if trusted else None,
        "decomposition": None
        if decomposition is None
        else {
            "of": "variance of the median log hazard ratio",
            "sd": math.sqrt(decomposition.variance),
            "n": decomposition.n,
            "choices": [
                share_row(each)
                | {"hazard_ratios": {str(key): math.exp(mean) for key, mean in each.means.items()}}
                for each in decomposition.shares
            ],
            "interactions": decomposition.interactions,
            "left_out": [list(each) for each in decomposition.left_out],
        },
        "rows": rows,
    }


def share_row(share: Share) -> dict[str, Any]:
    """A choice's part in the variance, alone and with its interactions."""
    return {
        "choice": share.choice,
        "share_alone": share.alone,
        "share_with_interactions": share.in_all,
    }


def sentence_of(
    judge: verdicts.Judge, trusted: list[Values], count: int, decomposition: Decomposition | None
) -> str:
    """Say what the multiverse comes to: in how many specifications the conclusion holds."""
    if decomposition is None:
        return f"None of {count} specifications passes its diagnostics."
    text = (
        f"Of {count_of(len(trusted), 'specification')} {judge.states_in_words(trusted)}; "
        f"medians {verdicts.range_in_words(trusted, 'reach from {} to {}')} "
        f"(base analysis: {number(judge.base['median'])})"
    )
    if decomposition.shares and decomposition.variance > 0:
        first = decomposition.shares[0]
        text += (
            f"; most of the spread comes from the {NAMES[first.choice]} "
            f"({whole(100 * first.in_all)}% of the variance, every option counting alike)"
        )
    return f"{text}."


def notes_of(
    rows: list[dict[str, Any]], done: list[dict[str, Any]], decomposition: Decomposition | None
) -> list[str]:
    """What a reader should know of comparisons, and of rows that were not fitted as the others."""
    notes = [
        "The decomposition gives every option of a choice the same weight, so that a choice with "
        "many options, such as covariates left out one at a time, is mostly about those."
    ]
    if len({row["choices"]["exclusions"] for row in rows}) > 1:
        notes.append(
            "elpd_loo can be compared only among specifications with the same exclusions: others "
            "predict other patients."
        )
    by_nuts = sum(row["engine"] == "nuts" for row in done)
    if by_nuts:
        notes.append(f"Fitted by NUTS: {count_of(by_nuts, 'specification')}.")
    more = ": neither in the shares, nor in the decomposition, nor in the verdict."
    notes += verdicts.failing_note(done, "specification", more)
    if len(done) < len(rows):
        why = sorted({row["failure"] for row in rows if row["failure"]})
        notes.append(
            f"{count_of(len(rows) - len(done), 'specification')} could not be fitted: {why[0]}"
        )
    for name, option in decomposition.left_out if decomposition else ():
        notes.append(
            f"{NAMES[name]} {option} is left out of the decomposition of variance: not every "
            "specification with it was fitted and passes its diagnostics."
        )
    loo = sum((row["loo_pareto_k"] or 0) > 0.7 for row in done)
    if loo:
        notes.append(
            f"elpd_loo is uncertain in {count_of(loo, 'specification')}, where some patient's "
            "Pareto k is above 0.7."
        )
    return notes


def tables_of(rows: list[dict[str, Any]], decomposition: Decomposition | None) -> list[Rows]:
    """All rows, and the shares of the variance."""
    flat = [
        row["choices"] | {name: value for name, value in row.items() if name != "choices"}
        for row in rows
    ]
    if decomposition is None:
        return [rows_of("multiverse", flat)]
    shares: list[dict[str, Any]] = [share_row(each) for each in decomposition.shares]
    shares.append({"choice": "interactions", "share_alone": decomposition.interactions})
    return [rows_of("multiverse", flat), rows_of("multiverse_variance", shares)]


def figure_of(
    context: Context, done: list[dict[str, Any]], decomposition: Decomposition | None
) -> Figure:
    """The specification curve with the choices beneath."""
    order = [] if decomposition is None else [each.choice for each in decomposition.shares]
    # of those that it left out, the ones that have several options
    order += [
        name
        for name in NAMES
        if name not in order and len({row["choices"][name] for row in done}) > 1
    ]
    return Figure(
        "multiverse",
        "Specification curve: hazard ratio (posterior median and 95% interval) of every "
        "specification, sorted. Beneath, the options of each specification; choices that explain "
        "most of the spread come first.",
        plot_specification_curve,
        {"rows": done, "order": order, "names": NAMES, "base": context.base["median"]},
    )
