"""Reading a table as a cohort: everything wrong with it is reported at once."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from bayes_crlm.cohort.arguments import CohortArguments
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.eligibility import select, unmatched_values
from bayes_crlm.cohort.outcome.follow_up import patients_of
from bayes_crlm.cohort.outcome.outcome import read_outcome
from bayes_crlm.cohort.source import (
    emptied_levels,
    gap_problems,
    label_of,
    rows_of,
    shared_columns,
    unit_of_data_set,
    unknown_columns,
)
from bayes_crlm.cohort.table.sources import load_source, with_notes
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.wording import shown_name

if TYPE_CHECKING:
    import datetime

    import pandas as pd


def read_cohort(
    source: "str | Path | pd.DataFrame | object",
    *,
    time: str | Mapping[str, str],
    event: str | Mapping[str, Any],
    entry: str | None = None,
    id: str | None = None,
    unit: str | None = None,
    time_unit: str | None = None,
    date_format: str | None = None,
    zero_times: str | float = "error",
    rounded: Mapping[str, Any] | None = None,
    seed: int | None = None,
    where: Iterable[object] = (),
    missing: Literal["error", "drop"] = "error",
    treatment_start: str | int | None = None,
    censoring_end: "str | datetime.date | None" = None,
    needs: Sequence[str] = (),
    levels: Mapping[str, Sequence[str | int | float | bool] | Literal["number"]] | None = None,
    references: Mapping[str, str | int | float | bool] | None = None,
    missing_values: Mapping[str, Sequence[str | int | float | bool]] | None = None,
    sheet: str | None = None,
    name: str | None = None,
) -> Cohort:
    """Read a table and check that it is a cohort.

    Parameters
    ----------
    source : str, Path, pandas.DataFrame or another table
        A file (`bayes_crlm.cohort.table.files` lists the formats), the name of a data set, or a
        table: a DataFrame, or whatever offers ``__arrow_c_stream__`` (pyarrow, Polars).
    time : str or mapping
        The column that says when follow-up ends: finite numbers above 0. Or ``start`` and ``end``,
        the columns of the dates at which it begins and ends.
    event : str or mapping
        The column that says whether it ends with the event: 0/1 or true/false. Or ``column``,
        ``value`` (a code of the event, or a list) and ``censored`` (a list of codes; not needed
        where one other code is left), see `bayes_crlm.cohort.outcome.event_codes`.
    entry : str, optional
        The column that says when a row's follow-up begins: finite numbers, 0 or more, before
        `time`. Without it follow-up begins at 0.
    id : str, optional
        The column that names the patient. Without it every row is a patient.
    unit : str, optional
        The time unit, for labels; a data set brings its own. Times are converted to it where they
        are dates, or where `time_unit` is given.
    time_unit : str, optional
        The unit of the file's times: hours, days, weeks, months (365.25/12 days) or years.
    date_format : str, optional
        How dates are written that are text, such as ``"%d/%m/%Y"``; YYYY-MM-DD without it.
    zero_times : "error", "drop" or float
        What becomes of rows without time at risk; a number is the time they are given, in `unit`.
    rounded, seed : mapping and int, optional
        ``unit`` and ``to`` ("nearest", "up" or "down"): how times were rounded when they were
        written down. Each patient's times are drawn once within the unit, from `seed`.
    where : iterable
        Conditions that rows must meet, see `Cohort.where`; rows that do not are not checked.
    missing : {"error", "drop"}
        What to do with missing values of covariates and of `where` columns. Time, event, entry
        and id must never be missing.
    treatment_start : str or 0, optional
        The column that says when treatment started, on the scale of `time`: finite numbers, 0 or
        more, empty for patients who never started. 0 says that treatment started at time 0.
    censoring_end : str or date, optional
        The column that says when a patient would have been censored because the study ended, on
        the scale of `time`: not before `time`, empty where it is not known. Or the date at which
        it ended for everybody, where `time` is counted between dates. Whoever is censored then did
        not drop out.
    needs : sequence of str
        Columns that an analysis uses: what is wrong with them is told with the rest.
    levels, references, missing_values : mapping, optional
        By column: its levels in order, the first the reference, or ``"number"``; the reference
        level of a covariate; values that mean that a value is missing, such as ``[999]``.
    sheet, name : str, optional
        The sheet of an Excel workbook, the first one without it; what messages and reports call
        the source.

    Returns
    -------
    Cohort
        With at least two patients and one event.

    Raises
    ------
    DataFileError
        When the file cannot be read as a table.
    CohortError
        When it is not a cohort; the message tells every problem found.
    """
    # every other parameter is one of its fields
    said = {key: value for key, value in locals().items() if key != "source"}
    return cohort_of(source, CohortArguments(**said))


def cohort_of(source: object, arguments: CohortArguments) -> Cohort:
    """Read a table by what is said of it; see `read_cohort`."""
    label = arguments.name if arguments.name is not None else label_of(source)
    own_unit = unit_of_data_set(source)
    outcome, settings, problems = arguments.checked(own_unit)
    if outcome is None or problems:
        raise CohortError.of(shown_name(label), problems)
    event, columns = outcome.event, list(dict.fromkeys(outcome.columns))
    # codes of the event that are text may be labels of the file, which replace its codes
    numbers = [each for each in columns if each != event.column or event.are_numbers]
    loaded = load_source(source, numbers, outcome.id, settings, arguments.sheet, columns)
    table, where, needs = loaded.table, arguments.where, arguments.needs
    if isinstance(where, Iterable) and not isinstance(where, str | bytes):
        where = list(where)
    shared = shared_columns(outcome.roles)
    unknown = unknown_columns(dict.fromkeys([*columns, *needs]), table)
    row_number = np.arange(1, len(table) + 1)
    patients = patients_of(table[outcome.id])[1] if outcome.id in table.columns else row_number - 1
    keep, excluded, dropped, wrong = select(table, where, arguments.missing, patients, row_number)
    problems = [*shared, *unknown, *loaded.problems, *wrong]
    if wrong or shared:  # which rows or columns are meant is not known
        raise CohortError.of(shown_name(label), problems)
    remarks = unmatched_values(table, where)
    kept, row_number = rows_of(table, keep), row_number[keep]
    read = read_outcome(kept, row_number, outcome)
    problems += read.problems
    if arguments.missing == "error":
        problems += gap_problems(kept, [each for each in needs if each in kept.columns])
    if problems:
        raise CohortError.of(shown_name(label), problems)
    end, used = outcome.censoring_end, rows_of(kept, read.keep)
    return Cohort(
        table=used,
        **vars(read.follow_up),
        source=str(label),
        is_synthetic=loaded.is_synthetic,
        sha256=loaded.sha256,
        unit=own_unit if arguments.unit is None else arguments.unit,
        time_column=outcome.time.end,
        event_column=outcome.event.column,
        entry_column=outcome.entry,
        id_column=outcome.id,
        missing=arguments.missing,
        dropped=(*dropped, *read.dropped),
        row_number=row_number[read.keep],
        excluded=excluded,
        start_column=outcome.start_column,
        censoring_end_column=None if end is None else end.column or f"{end.date}",
        remarks=(*remarks, *read.remarks),
        scale=outcome.scale,
        rounded=outcome.rounded,
        column_notes=with_notes(loaded.notes, emptied_levels(table, used, columns)),
        column_said=loaded.said,
        number_texts=loaded.texts,
    )
