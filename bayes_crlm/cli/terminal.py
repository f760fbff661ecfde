"""What the command line says: what will be fitted, the answer, and how lines are set."""

import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bayes_crlm.analysis.plan import estimands_asked
from bayes_crlm.words.errors import OutputError
from bayes_crlm.words.shown import number, ratio_in_words, significant, whole
from bayes_crlm.words.wording import SYNTHETIC, count_of

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.analysis.run import Analysis
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.fitting import Approximation, HazardRatio

LINE_WIDTH, MIN_WIDTH = 98, 30
CLOSED = "it is closed"
unprinted: list[str] = []  # why what went to standard output did not arrive


def on_one_line(text: object) -> str:
    """Put a message on one line, without characters that would steer a terminal."""
    words = " ".join(str(text).split())
    return "".join(each if each.isprintable() else "?" for each in words)


def say(text: str, *, stream: TextIO | None = None) -> None:
    """Print lines for people; a pipe that nobody reads any more is not an error of ours.

    Names from files may hold characters that steer a terminal, or that its encoding lacks;
    they are shown as question marks or escapes.
    """
    stream = sys.stdout if stream is None else stream
    if stream is None:
        return
    text = "".join(each if each.isprintable() or each == "\n" else "?" for each in text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    text = text.encode(encoding, errors="backslashreplace").decode(encoding)
    try:
        # an error is one line, whatever reads it; a narrow terminal breaks it by itself
        print(text if stream is sys.stderr else fitted(text), file=stream, flush=True)
    except (OSError, ValueError) as problem:
        give_up(stream, problem)


def give_up(stream: TextIO, problem: Exception) -> None:
    """Send what is still to be printed nowhere: a pipe is closed, a disk full, or the stream.

    Python flushes the standard streams once more when it ends, and would fail again.
    """
    # who closes a pipe, as `head` does, has read enough
    if stream is sys.stdout and not isinstance(problem, BrokenPipeError):
        unprinted.append(getattr(problem, "strerror", None) or CLOSED)
    with suppress(OSError, ValueError), open(os.devnull, "w", encoding="utf-8") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())


def flush_streams() -> None:
    """Print what others, such as the parser of arguments, have left unprinted."""
    for stream in (sys.stdout, sys.stderr):
        if stream is None:
            continue
        try:
            stream.flush()
        except (OSError, ValueError) as problem:
            give_up(stream, problem)


def require_printed() -> None:
    """Refuse to end well where the answer is what is printed, and it did not arrive.

    Raises
    ------
    OutputError
        When standard output was closed, or could not be written; not when its reader left.
    """
    flush_streams()
    if unprinted:
        raise OutputError(
            f"the answer could not be printed: standard output cannot be written ({unprinted[0]}); "
            "send it to a terminal, or to a file where there is space"
        )


def line_width() -> int:
    """Characters of a line: as many as fit on a narrow terminal, else `LINE_WIDTH`."""
    columns = shutil.get_terminal_size((LINE_WIDTH, 24)).columns
    return max(MIN_WIDTH, min(columns, LINE_WIDTH))


def fitted(text: str) -> str:
    """Break lines that a narrow terminal would break anywhere; others stay as they are."""
    width = line_width()
    if width == LINE_WIDTH:
        return text
    lines = []
    for line in text.split("\n"):
        lead = len(line) - len(line.lstrip())
        lines += textwrap.wrap(line, width, subsequent_indent=" " * min(lead, 14)) or [""]
    return "\n".join(lines)


def describe(plan: "Plan") -> str:
    """Say in a few lines what a plan fits.

    Parameters
    ----------
    plan : Plan
        A checked plan.

    Returns
    -------
    str
        The title, then one item a line, in a column of names and a column of values.
    """
    from bayes_crlm.analysis.plan import used_columns
    from bayes_crlm.fit.prior_meaning import implied_in_words, implied_rows
    from bayes_crlm.model.factors import factors_in_words

    inputs, cohort = plan.inputs, plan.inputs.cohort
    unit = cohort.unit or "time units"
    intervals, design = inputs.intervals, inputs.design
    levels = " and ".join(str(level) for level in design.levels[1:])
    rows = "" if inputs.has_row_per_patient else f" in {count_of(cohort.n_rows, 'row')}"
    ends = ", ".join(significant(value, 4) for value in intervals.cutpoints[1:])
    events = ", ".join(str(count) for count in intervals.events)
    prior = f"treatment {inputs.treatment_prior.describe()}"
    if inputs.n_covariate_terms:
        prior += f"; covariates {inputs.covariate_prior.describe()}"
    items = [
        ("data", source_in_words(plan)),
        (
            "follow-up",
            f"{count_of(cohort.n_patients, 'patient')}{rows}, "
            f"{count_of(cohort.n_events, 'event')}, "
            f"{significant(cohort.exposure, 4)} {unit} at risk{longest_in_words(cohort)}",
        ),
        *censoring_in_words(plan),
        ("treatment", f"{design.treatment}: {levels}, against {design.reference}"),
        *start_items(plan),
        ("formula", design.formula),
        *((term.name, term.describe()) for term in plan.model.terms),
        *(("factor", phrase) for phrase in factors_in_words(design, cohort, plan.model.covariates)),
        *(
            ("column", f"{column}: {cohort.column_said[column]}")
            for column in used_columns(plan.spec)
            if column in cohort.column_said
        ),
        ("intervals", f"{intervals.n_intervals}, ending at {ends} {unit}"),
        ("events", f"{events} in these intervals"),
        ("priors", f"{prior} (log hazard ratios)"),
        ("", implied_in_words(implied_rows(inputs))),
        ("baseline", inputs.baseline.describe()),
        *engine_items(plan),
        ("estimands", estimands_asked(plan)),
        ("study", plan.spec.study.design),
        ("success", plan.spec.success.rule.in_words().removeprefix("The success rule: ")),
        *([("caution", plan.spec.caution)] if plan.spec.caution else []),
        *(("note", warning) for warning in plan.warnings if warning != SYNTHETIC),
    ]
    return "\n".join([plan.spec.title, *in_columns(items)])


def engine_items(plan: "Plan") -> list[tuple[str, str]]:
    """Say where engine laplace does not serve the model."""
    from bayes_crlm.inference.layout import why_not_approximated

    why = why_not_approximated(plan.inputs.block_model)
    return [] if why is None else [("engine", f"{why}: NUTS is used in any case")]


def censoring_in_words(plan: "Plan") -> list[tuple[str, str]]:
    """Say how many were censored because the study ended, where that is known."""
    cohort, last = plan.inputs.cohort, plan.inputs.final_row
    if cohort.censoring_end is None:
        return []
    at_end = int(cohort.is_administrative[last].sum())
    before = int((cohort.event[last] == 0).sum()) - at_end
    said = f"{at_end} at the end of the study ({cohort.censoring_end_column}), {before} before it"
    return [("censored", said)]


def longest_in_words(cohort: "Cohort") -> str:
    """Say the longest follow-up of a patient in years, by which a wrong unit is seen."""
    from bayes_crlm.model.cautions import longest_in_years

    years = longest_in_years(cohort)
    return "" if years is None else f", the longest {significant(years, 3)} years"


def start_items(plan: "Plan") -> list[tuple[str, str]]:
    """Say when treatment started, where the spec does."""
    import numpy as np

    from bayes_crlm.model.late_start import starts_of_treatment

    cohort = plan.inputs.cohort
    start = starts_of_treatment(plan.inputs)
    if start is None:
        return [] if cohort.start is None else [("start", "treatment began at time zero")]
    n_waited = int((np.isfinite(start) & (start > cohort.entry)).sum())
    return [
        (
            "start",
            f"of treatment: {cohort.start_column}; "
            f"{count_of(n_waited, 'treated patient')} waited for it",
        )
    ]


def source_in_words(plan: "Plan") -> str:
    """Name the data as the spec does, and say when they are synthetic."""
    from bayes_crlm.words.wording import shown_name

    source = shown_name(plan.inputs.cohort.source)
    return f"{source} ({SYNTHETIC})" if plan.inputs.cohort.is_synthetic else source


def describe_sensitivity(plan: "Plan") -> list[str]:
    """Say which sensitivity analyses the spec asks for, and which cannot be run.

    Raises
    ------
    BayesCRLMError
        When one that it asks for by name cannot.
    """
    from bayes_crlm.sensitivity.run import check_parts, treatment_level
    from bayes_crlm.sensitivity.settings import read_settings

    settings = read_settings(plan.spec.sensitivity)
    treatment_level(plan, settings.level)
    not_run = check_parts(plan, settings)
    parts = [name for name in settings.parts if name not in not_run]
    return in_columns(
        [
            ("sensitivity", ", ".join(parts)),
            *(("", f"not run: {name}: {reason}") for name, reason in not_run.items()),
        ]
    )


def ratios_in_words(
    plan: "Plan",
    approximation: "Approximation",
    ratios: "Sequence[HazardRatio]",
    *,
    is_first: bool,
) -> str:
    """Say hazard ratios of an approximation, and what it is worth.

    Parameters
    ----------
    plan : Plan
        What was approximated.
    approximation, ratios
        From `bayes_crlm.analysis.run.approximate_plan`, with draws.
    is_first : bool
        Whether NUTS follows, and has the last word.
    """
    from bayes_crlm.model.withdrawn import NO_ANSWER, withdrawal

    design, drawn = plan.inputs.design, approximation.drawn
    lines = [
        f"\nFirst approximation (laplace); {'NUTS follows' if is_first else 'not diagnosed yet'}"
    ]
    about = "about " if is_first else ""
    for k, ratio in enumerate(ratios):
        why = withdrawal(plan.inputs, (), (k + 1, 0))
        lines.append(f"{design.treatment} {ratio.treatment} against {design.reference}")
        if why is not None:
            lines += in_columns([("no answer", why.removeprefix(NO_ANSWER))])
            continue
        interval = ratio_in_words(ratio.median, (ratio.low, ratio.high))
        lines += in_columns([("Bayes", f"hazard ratio {about}{interval}")])
    if drawn is not None:
        weights = f"Pareto k {number(drawn.pareto_k)}, importance ESS {whole(drawn.ess)}"
        lines += in_columns([("weights", f"{weights} of {whole(len(drawn.vectors))} draws")])
    return "\n".join(lines)


def conclude(analysis: "Analysis") -> str:
    """Say the result in a few lines, what is not to be trusted first.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.

    Returns
    -------
    str
        What every section says of itself.
    """
    lines = cautions_first(analysis.failures, analysis.inputs.cohort)
    for section in analysis.sections:
        for each in section.said:
            lines += [*([each.heading] if each.heading else []), *in_columns(each.items)]
    return "\n".join(lines)


def cautions_first(failures: "Sequence[str]", cohort: "Cohort") -> list[str]:
    """Say why results are not to be trusted, and that data are synthetic."""
    lines = []
    if failures:
        lines += ["DO NOT TRUST THESE RESULTS", *in_columns([("", each) for each in failures])]
    if cohort.is_synthetic:
        lines.append(f"{SYNTHETIC.capitalize()}: no clinical conclusion may be drawn.")
    return lines


def in_columns(items: Sequence[tuple[str, str]]) -> list[str]:
    """Set names and values in two columns; long values go on under their beginning."""
    lines = []
    for name, value in items:
        lines += textwrap.wrap(
            " ".join(value.split()),
            width=line_width(),
            initial_indent=f"  {name:<12}",
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return lines


def shortest(path: Path) -> str:
    """Write a path from the working folder where it lies in it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except (OSError, ValueError):
        return str(path)
