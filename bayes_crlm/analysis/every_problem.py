"""Everything wrong with a spec and its file in one message, once one thing is found wrong.

What is asked of a file is checked in the order in which it is used, and the first step that fails
ends it. So that nobody has to come back for every mistake, the steps that do not need what failed
are tried here too: on the rows that are known to be used, with what is known of their follow-up.
Only what is wrong for certain is told.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bayes_crlm.analysis.horizons import horizon_problems
from bayes_crlm.cohort.arguments import CohortArguments
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.eligibility import select
from bayes_crlm.cohort.outcome.outcome import OutcomeRead, read_outcome
from bayes_crlm.cohort.source import rows_of, unit_of_data_set, unknown_columns
from bayes_crlm.cohort.table.column_settings import ColumnSettings
from bayes_crlm.cohort.table.sources import load_source
from bayes_crlm.likelihood.intervals import check_given_cutpoints, choose_intervals
from bayes_crlm.model.design import (
    build_design,
    check_outcome_unused,
    columns_needed,
    covariate_columns,
    treatment_levels,
)
from bayes_crlm.model.formula import parse_formula
from bayes_crlm.model.formula_tokens import tokenize
from bayes_crlm.model.origin import origin_before
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError, CutpointError, DesignError, EstimandError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown, shown_name

# how a formula that cannot be evaluated is spoken of
IN_FORMULA = "formula "


@record
class Known:
    """What is known of a cohort of which something is wrong.

    Attributes
    ----------
    cohort : Cohort
        The rows used; where their follow-up is not known, each is a patient of its own.
    is_whole : bool
        Whether nothing is wrong with follow-up and events.
    last : float or None
        No follow-up ends later; None where no time is known.
    unknown : list of str
        What the table does not have.
    """

    cohort: Cohort
    is_whole: bool
    last: float | None
    unknown: list[str]


def every_problem(spec: Spec, arguments: CohortArguments, first: BayesCRLMError) -> BayesCRLMError:
    """Put what else is wrong beside the first error.

    Parameters
    ----------
    spec : Spec
        The analysis that is asked for.
    arguments : CohortArguments
        What it says of its data.
    first : BayesCRLMError
        What came up first.

    Returns
    -------
    BayesCRLMError
        Of the kind of the first; with nothing else wrong its own words, after the spec's or the
        file's name.
    """
    source, from_spec = shown_name(arguments.name), spec_name(spec)
    is_named = str(first).startswith((f"{source}: ", f"{arguments.name}: "))
    known_already = list(first.problems) or [bare(first, arguments.name)]
    found = [each for each in further_problems(spec, arguments) if each not in known_already]
    if any(each.startswith(IN_FORMULA) for each in found):
        # of a formula that fails as a whole the term that makes it fail says more
        whole = f"{IN_FORMULA}{shown(spec.model.covariates)} cannot be evaluated"
        known_already = [each for each in known_already if not each.startswith(whole)]
    if not found:
        return first if is_named else type(first).of(from_spec, known_already)
    return type(first).of(f"{from_spec} with {source}", [*known_already, *found])


def spec_name(spec: Spec) -> str:
    """Name the spec's file in messages."""
    if spec.path is None:
        return "spec"
    path, here = Path(spec.path), Path.cwd()
    # as it is most likely to have been given
    return shown_name(path.relative_to(here) if path.is_relative_to(here) else path)


def bare(problem: BayesCRLMError, source: str) -> str:
    """Give a problem without the file's name, and with the whole key of the spec."""
    text = str(problem).removeprefix(f"{shown_name(source)}: ").removeprefix(f"{source}: ")
    if isinstance(problem, CutpointError):
        return f"model.baseline.{text}"
    if isinstance(problem, EstimandError) and not text.startswith("estimands"):
        return f"estimands.{text}"
    is_key = isinstance(problem, DesignError) and text.startswith(("covariates:", "treatment:"))
    return f"model.{text}" if is_key else text


def further_problems(spec: Spec, arguments: CohortArguments) -> list[str]:
    """Try every step on what is known; each of its problems once."""
    name = arguments.name
    problems = problems_of_step(name, columns_needed, spec.model.treatment, spec.model.covariates)
    try:
        known = known_rows(spec, arguments)
    except BayesCRLMError:
        # the file itself cannot be read, or what is said of its columns
        return problems
    problems += known.unknown
    problems += problems_of_step(
        name, check_outcome_unused, known.cohort, spec.model.treatment, spec.model.covariates
    )
    if known.cohort.n_rows:
        problems += design_problems(known, spec, name)
    return list(dict.fromkeys([*problems, *time_problems(known, spec, name)]))


def problems_of_columns(spec: Spec, arguments: CohortArguments) -> list[str]:
    """Say which columns the file does not have, where it is not certain what its rows mean."""
    used = [
        *(column for _, column in spec.data.outcome_columns()),
        *(each.column for each in spec.data.where),
        spec.model.treatment,
        *sorted(parse_formula(spec.model.covariates).columns),
    ]
    loaded = load_source(
        spec.data_path(), [], arguments.id, ColumnSettings(), arguments.sheet, used
    )
    return unknown_columns(dict.fromkeys(used), loaded.table)


def problems_of_step(source: str, check: Callable[..., Any], *given: Any) -> list[str]:
    """Say what a step refuses."""
    try:
        check(*given)
    except BayesCRLMError as problem:
        return [bare(problem, source)]
    return []


def known_rows(spec: Spec, arguments: CohortArguments) -> Known:
    """Read the file again, and take from it what can be taken."""
    source = spec.data_path()
    outcome, settings, problems = arguments.checked(unit_of_data_set(source))
    of_outcome = [column for _, column in spec.data.outcome_columns()]
    loaded = load_source(
        source,
        [each for each in of_outcome if outcome is None or each != outcome.event.column]
        + ([outcome.event.column] if outcome is not None and outcome.event.are_numbers else []),
        arguments.id,
        settings,
        arguments.sheet,
        of_outcome,
    )
    table, row_number = loaded.table, np.arange(1, len(loaded.table) + 1)
    used = [
        *of_outcome,
        spec.model.treatment,
        *sorted(parse_formula(spec.model.covariates).columns),
    ]
    unknown = unknown_columns(dict.fromkeys(used), table)
    keep, _, _, found = select(
        table, arguments.where, arguments.missing, row_number - 1, row_number
    )
    problems += found
    table, row_number = rows_of(table, keep), row_number[keep]
    read = None if outcome is None or found else read_outcome(table, row_number, outcome)
    if read is not None:
        table, row_number = rows_of(table, read.keep), row_number[read.keep]
        problems += read.problems
    cohort = stand_in(table, row_number, read if not (problems or unknown) else None, arguments)
    cohort = dataclasses.replace(
        cohort,
        time_column=of_outcome[0] if outcome is None else outcome.time.end,
        event_column="" if outcome is None else outcome.event.column,
        start_column=None if outcome is None else outcome.start_column,
        number_texts=loaded.texts,
    )
    times = read.follow_up.time if read is not None else np.array([])
    times = times[np.isfinite(times)]
    last = float(times.max()) if len(times) else None
    return Known(cohort, not (problems or unknown), last, unknown)


def stand_in(
    table: Any, row_number: Any, read: OutcomeRead | None, arguments: CohortArguments
) -> Cohort:
    """A cohort of these rows; where follow-up is not known, all have the same."""
    n = len(table)
    return Cohort(
        table=table,
        entry=np.zeros(n) if read is None else read.follow_up.entry,
        time=np.ones(n) if read is None else read.follow_up.time,
        event=np.ones(n, dtype=np.int8) if read is None else read.follow_up.event,
        patient_index=np.arange(n) if read is None else read.follow_up.patient_index,
        patients=row_number if read is None else read.follow_up.patients,
        source=str(arguments.name),
        is_synthetic=False,
        sha256="",
        unit=None,
        time_column="",
        event_column="",
        entry_column=None,
        id_column=None,
        missing="drop",
        dropped=(),
        row_number=row_number,
    )


def design_problems(known: Known, spec: Spec, source: str) -> list[str]:
    """Try treatment and covariates apart, and the terms of a formula one by one where it fails."""
    model, there = spec.model, set(known.cohort.table.columns)
    problems = []
    if model.treatment in there:
        for rows in without_gaps(known.cohort, [model.treatment]):
            problems += problems_of_step(
                source, treatment_levels, rows, model.treatment, model.reference
            )
    columns = parse_formula(model.covariates).columns
    found = []
    if columns <= there:
        found = covariate_problems(known.cohort, model.covariates, source)
    if found or not columns <= there:
        of_terms = [
            problem
            for term in terms_of(model.covariates)
            if parse_formula(term).columns <= there
            for problem in covariate_problems(known.cohort, term, source)
        ]
        found = of_terms or found
    problems += found
    if not problems and {model.treatment, *columns} <= there:
        for rows in without_gaps(known.cohort, [model.treatment, *sorted(columns)]):
            problems += problems_of_step(
                source, build_design, rows, model.treatment, model.reference, model.covariates
            )
    return problems


def covariate_problems(cohort: Cohort, formula: str, source: str) -> list[str]:
    """Say why a formula has no columns, on the rows that miss none of its values."""
    columns = sorted(parse_formula(formula).columns)
    return [
        problem
        for rows in without_gaps(cohort, columns)
        for problem in problems_of_step(source, covariate_columns, rows, formula)
    ]


def without_gaps(cohort: Cohort, columns: Sequence[str]) -> Iterator[Cohort]:
    """The rows that miss none of these values; nothing where too few are left."""
    try:
        yield cohort.complete(columns)
    except BayesCRLMError:
        return


def terms_of(formula: str) -> list[str]:
    """Cut a formula at its outer plus signs."""
    terms, begin, depth = [], 0, 0
    for token in tokenize(formula):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(token.text, 0)
        if depth == 0 and token.text == "+":
            terms.append(formula[begin : token.start])
            begin = token.start + 1
    return [each.strip() for each in [*terms, formula[begin:]] if each.strip()]


def time_problems(known: Known, spec: Spec, source: str) -> list[str]:
    """Try cutpoints and the times of estimands against the last time that is known."""
    asked, cutpoints = spec.estimands, spec.model.baseline.cutpoints
    if known.last is None:
        return []
    cohort, problems = known.cohort, []
    if known.is_whole:
        problems += problems_of_step(
            source, choose_intervals, cohort.entry, cohort.time, cohort.event, cutpoints
        )
    elif not isinstance(cutpoints, str | int):
        problems += problems_of_step(
            source, check_given_cutpoints, cutpoints, known.last, cohort.n_rows
        )
    if asked.origin is not None:
        first = float(cohort.entry.min()) if known.is_whole else 0.0
        problems += problems_of_step(source, origin_before, asked.origin, known.last, first)
    return [*problems, *horizon_problems(asked, asked.origin or 0.0, known.last)]
