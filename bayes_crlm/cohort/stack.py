"""Many cohorts as one table, or as one sequence, and their rows one after the other.

Checks that can be made for all rows at once are made here. They only tell cohorts in which there
is nothing to say from the others: those are read one by one, and get the usual sentences.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.arguments import CohortArguments
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.outcome.event_codes import events_by_code, settled_codes
from bayes_crlm.cohort.outcome.follow_up import FAR, NUMBER, patients_of
from bayes_crlm.cohort.outcome.outcome import Outcome
from bayes_crlm.cohort.reading import cohort_of
from bayes_crlm.cohort.source import shared_columns, unknown_columns
from bayes_crlm.cohort.table.column_settings import ColumnSettings, typed_table
from bayes_crlm.cohort.table.columns import is_short_float
from bayes_crlm.cohort.table.sources import as_frame, plain_frame
from bayes_crlm.likelihood.tied_times import may_have_ties, one_time_each
from bayes_crlm.tasks.streams import numbered_seed
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import count_of, shown

if TYPE_CHECKING:
    import datetime

    import pandas as pd

# cohorts that are prepared and fitted together, which bounds memory
BATCH = 256


@record(eq=False)
class CohortStack:
    """Many cohorts of the same columns in one table; item k is a `Cohort`.

    Attributes
    ----------
    table : pandas.DataFrame
        Rows of one cohort follow one another.
    labels : (cohorts,) ndarray
        The cohorts' names, in order of appearance.
    starts : (cohorts + 1,) ndarray of int
        Where each cohort's rows begin and the last one's end.
    outcome : Outcome
        How columns become follow-up, the same for every cohort.
    arguments : CohortArguments
        What is said of every cohort, as `bayes_crlm.read_cohort` takes it.
    first : int
        Number of the first cohort among those of the whole table.
    """

    table: "pd.DataFrame"
    labels: NDArray[Any]
    starts: NDArray[np.intp]
    outcome: Outcome
    arguments: CohortArguments
    first: int = 0

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        rows = count_of(len(self.table), "row")
        return f"<CohortStack: {count_of(len(self), 'cohort')} in {rows}>"

    def __getitem__(self, k: int) -> Cohort:
        """Read one cohort, with all its checks."""
        if not -len(self) <= k < len(self):
            raise IndexError(f"there are {len(self)} cohorts, and none is number {k}")
        k %= len(self)
        arguments = replace(self.arguments, name=f"cohort {self.labels[k]}")
        if self.outcome.rounded is not None and self.outcome.seed is not None:
            # the first draws of one seed would be those of the first patient in every cohort
            arguments = replace(arguments, seed=numbered_seed(self.outcome.seed, self.first + k))
        table = self.table.iloc[self.starts[k] : self.starts[k + 1]].reset_index(drop=True)
        return cohort_of(table, arguments)

    def __iter__(self) -> Iterator[Cohort]:
        return (self[k] for k in range(len(self)))

    def part(self, first: int, last: int) -> "CohortStack":
        """Take consecutive cohorts, which are read as among all of them."""
        labels, starts = self.labels[first:last], self.starts[first : last + 1]
        return replace(self, labels=labels, starts=starts, first=self.first + first)


def stack_cohorts(
    table: "pd.DataFrame | object",
    *,
    cohort: str,
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
    missing: Literal["error", "drop"] = "error",
    treatment_start: str | int | None = None,
    censoring_end: "str | datetime.date | None" = None,
    levels: Mapping[str, Sequence[str | int | float | bool] | Literal["number"]] | None = None,
    references: Mapping[str, str | int | float | bool] | None = None,
    missing_values: Mapping[str, Sequence[str | int | float | bool]] | None = None,
) -> CohortStack:
    """Take many cohorts from one table.

    Parameters
    ----------
    table : pandas.DataFrame or another table
        The rows of all cohorts, in any order: a DataFrame, or whatever offers
        ``__arrow_c_stream__`` (pyarrow, Polars).
    cohort : str
        The column that says which cohort a row belongs to.
    time, event, entry, id, unit, time_unit, date_format, zero_times, rounded, seed, missing
        As in `bayes_crlm.read_cohort`, for every cohort. Rows are checked when cohorts are
        fitted: what is wrong with one cohort does not stop the others, and its rows are counted
        within it. The one code that `event` leaves is censored where it is the only one in the
        whole table. Rounded times of each cohort are drawn from `seed` and its place.
    treatment_start, censoring_end, levels, references, missing_values
        Likewise.

    Returns
    -------
    CohortStack

    Raises
    ------
    CohortError
        When a column is not there, a row does not say its cohort, or an argument is wrong for
        every cohort.
    """
    # every other parameter is one of its fields
    said = {key: value for key, value in locals().items() if key not in ("table", "cohort")}
    return stack_of(table, cohort, CohortArguments(**said))


def stack_of(source: object, cohort: str, arguments: CohortArguments) -> CohortStack:
    """Take many cohorts from one table by what is said of it; see `stack_cohorts`."""
    table = plain_frame(as_frame(source))
    outcome, settings, problems = arguments.checked()
    if not isinstance(cohort, str):
        problems.append(f"cohort must be a column's name in text, not {shown(cohort)}")
    if outcome is None or problems:
        raise CohortError.of("DataFrame", problems)
    roles = {"cohort": cohort, **outcome.roles}
    named = dict.fromkeys([cohort, *outcome.columns])
    problems = shared_columns(roles) + unknown_columns(named, table)
    if problems:
        raise CohortError.of("DataFrame", problems)
    codes, labels = cohort_codes(table[cohort])
    row_number = np.arange(1, len(table) + 1)
    events, problems = settled_codes(table[outcome.event.column], outcome.event, row_number)
    table, settings, found = said_columns(table, settings)
    if problems or found:
        raise CohortError.of("DataFrame", problems + found)
    if np.any(np.diff(codes) < 0):
        order = np.argsort(codes, kind="stable")
        table, codes = table.iloc[order], codes[order]
    return CohortStack(
        table=table.drop(columns=cohort).reset_index(drop=True),
        labels=labels,
        starts=np.searchsorted(codes, np.arange(len(labels) + 1)),
        outcome=replace(outcome, event=events),
        arguments=replace(
            arguments,
            event=events,
            levels=settings.levels,
            references=settings.references,
            missing_values=None,  # they are missing already
        ),
    )


def cohort_codes(cohorts: "pd.Series") -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Which cohort each row belongs to, and the cohorts' names in order of appearance."""
    import pandas as pd

    if not len(cohorts):
        raise CohortError("DataFrame: it has no rows; give at least one cohort")
    codes, labels = pd.factorize(cohorts)
    if (codes < 0).any():
        row = int(np.flatnonzero(codes < 0)[0]) + 1
        raise CohortError(
            f"DataFrame: column {shown(cohorts.name)} (cohort) is missing in row {row}"
        )
    return codes, np.asarray(labels)


def said_columns(
    table: "pd.DataFrame", settings: ColumnSettings
) -> "tuple[pd.DataFrame, ColumnSettings, list[str]]":
    """Apply what is said of columns to all rows, so that a column is the same in every cohort.

    Returns
    -------
    table : pandas.DataFrame
    settings : ColumnSettings
        What each cohort has to be told again: the order of its levels.
    problems : list of str
        With 1-based rows of the table.
    """
    said = dict.fromkeys([*settings.levels, *settings.references, *settings.missing_values])
    if not said:
        return table, settings, []
    known = [each for each in said if each in table.columns]
    typed = typed_table(table[known], settings)
    levels = dict(settings.levels)
    for name in settings.references:
        if name in known and not typed.problems:
            levels[name] = tuple(typed.table[name].cat.categories)
    kept = replace(settings, levels=levels)
    return table.assign(**{name: typed.table[name] for name in known}), kept, typed.problems


@record(eq=False)
class StackedRows:
    """Rows of some cohorts, one cohort after the other.

    Attributes
    ----------
    cohort : Cohort
        All rows, as if each were a patient of one cohort.
    starts : (cohorts + 1,) ndarray of int
        Where each cohort's rows begin.
    is_plain : (cohorts,) ndarray of bool
        Nothing is wrong with the follow-up, every row is a patient, and numbers that are levels
        are told apart by their values.
    """

    cohort: Cohort
    starts: NDArray[np.intp]
    is_plain: NDArray[np.bool]

    def part(self, kept: NDArray[np.bool]) -> "StackedRows":
        """Rows of some of the cohorts."""
        if kept.all():
            return self
        sizes = np.diff(self.starts)
        cohort = self.cohort.without(np.flatnonzero(~np.repeat(kept, sizes)))
        return StackedRows(cohort, np.cumsum([0, *sizes[kept]]), self.is_plain[kept])


@record(eq=False)
class CohortBatch:
    """Some cohorts in a row.

    Attributes
    ----------
    first : int
        Number of the first one among all.
    labels : sequence
        Their names.
    cohorts : sequence of Cohort
        Reading an item may raise a `BayesCRLMError`.
    rows : StackedRows or None
        Of all of them, where their columns have the same names and meaning.
    """

    first: int
    labels: Sequence[Any]
    cohorts: Sequence[Cohort] | CohortStack
    rows: StackedRows | None


def batches_of(cohorts: Iterable[Cohort] | CohortStack, size: int = BATCH) -> Iterator[CohortBatch]:
    """Go through cohorts in batches of bounded size; an iterable is read as it is needed."""
    if isinstance(cohorts, CohortStack):
        for first in range(0, len(cohorts), size):
            some = cohorts.part(first, first + size)
            yield CohortBatch(first, some.labels.tolist(), some, rows_of_stack(some))
        return
    remaining, first = iter(cohorts), 0
    while some := list(islice(remaining, size)):
        for cohort in some:
            if not isinstance(cohort, Cohort):
                raise CohortError(
                    f"fit_many takes cohorts, not {shown(cohort)}; give a list of those that "
                    "read_cohort makes, or what stack_cohorts makes"
                )
        yield CohortBatch(first, list(range(first, first + len(some))), some, rows_of_cohorts(some))
        first += len(some)


def rows_of_stack(stack: CohortStack) -> StackedRows | None:
    """Turn follow-up columns of cohorts into numbers.

    None where every cohort is read by itself: times are drawn, or the end of the study and the
    start of treatment are checked too.
    """
    if stack.outcome.rounded or stack.outcome.start is not None or stack.outcome.censoring_end:
        return None
    starts = stack.starts - stack.starts[0]
    table = stack.table.iloc[stack.starts[0] : stack.starts[-1]].reset_index(drop=True)
    outcome = stack.outcome
    time, kinds, _ = outcome.scale.read(table, outcome.time.end, may_be_numbers=False)
    is_good = (kinds == NUMBER) & np.isfinite(time) & (time > 0)
    entry = np.zeros(len(table))
    if outcome.entry is not None:
        entry, kinds, _ = outcome.scale.read(table, outcome.entry)
        is_good &= (kinds == NUMBER) & (entry >= 0) & (entry < time)
    if not is_good.all():
        # cohorts with such rows are read by themselves
        entry, time = np.where(is_good, entry, 0.0), np.where(is_good, time, 1.0)
    entry, time = tied_in_each(entry, time, starts)
    is_good &= entry < time
    event, is_said, _ = events_by_code(table[outcome.event.column], outcome.event)
    is_good &= is_said
    times = [table[each].dtype for each in (outcome.time.end, outcome.entry) if each is not None]
    if any(is_short_float(each) for each in times):
        # the rule of ties depends on how many bits times have: reading one cohort applies it
        is_good[:] = False
    is_plain = np.logical_and.reduceat(is_good, starts[:-1])
    # times so far apart may be beyond every median: reading one cohort says so
    longest, shortest = (
        np.maximum.reduceat(time, starts[:-1]),
        np.minimum.reduceat(time, starts[:-1]),
    )
    is_plain &= longest / FAR <= shortest
    with np.errstate(over="ignore", invalid="ignore"):
        is_plain &= np.isfinite(np.add.reduceat(time - entry, starts[:-1]))
    is_plain &= (np.diff(starts) >= 2) & (np.add.reduceat(event, starts[:-1], dtype=int) > 0)
    if outcome.id is not None:
        is_plain &= have_row_per_patient(table[outcome.id], starts)
    number = np.arange(len(table))
    together = Cohort(
        table=table,
        entry=entry,
        time=time,
        event=event,
        patient_index=number,
        patients=number,
        source="DataFrame",
        is_synthetic=False,
        sha256="",
        unit=None,
        time_column=outcome.time.end,
        event_column=outcome.event.column,
        entry_column=outcome.entry,
        id_column=outcome.id,
        missing="error",
        dropped=(),
        row_number=number + 1,
    )
    return StackedRows(together, starts, is_plain)


def tied_in_each(
    entry: NDArray[np.float64], time: NDArray[np.float64], starts: NDArray[np.intp]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Apply the rule of ties within every cohort, as reading one cohort does."""
    count = len(starts) - 1
    of_row = np.repeat(np.arange(count), np.diff(starts))
    is_late = entry.any()
    seen = np.concatenate([time, entry]) if is_late else time
    may = may_have_ties(seen, np.concatenate([of_row, of_row]) if is_late else of_row, count)
    if not may.any():
        return entry, time
    entry, time = entry.copy(), time.copy()
    for k in np.flatnonzero(may).tolist():
        own = slice(starts[k], starts[k + 1])
        if entry[own].any():
            entry[own], time[own] = one_time_each(entry[own], time[own])
        else:
            (time[own],) = one_time_each(time[own])
    return entry, time


def have_row_per_patient(ids: "pd.Series", starts: NDArray[np.intp]) -> NDArray[np.bool]:
    """Whether every row of a cohort names a patient, and another one, shape (cohorts,)."""
    patient = patients_of(ids)[1]
    of_row = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    order = np.lexsort((patient, of_row))
    is_repeated = np.zeros(len(patient), dtype=bool)
    is_repeated[1:] = (np.diff(patient[order]) == 0) & (np.diff(of_row[order]) == 0)
    # sorting keeps the rows of a cohort where they were
    return ~np.logical_or.reduceat(is_repeated | (patient[order] < 0), starts[:-1])


def rows_of_cohorts(cohorts: Sequence[Cohort]) -> StackedRows | None:
    """Put the rows of cohorts one after the other, where all have the same columns."""
    import pandas as pd

    def columns_of(cohort: Cohort) -> tuple[str, ...]:
        return (cohort.time_column, cohort.event_column, *cohort.table.columns)

    first, starts = cohorts[0], np.cumsum([0, *(cohort.n_rows for cohort in cohorts)])
    if any(columns_of(cohort) != columns_of(first) for cohort in cohorts):
        return None
    is_plain = [
        cohort.n_rows == cohort.n_patients
        and cohort.start_column is None
        and not cohort.number_texts
        for cohort in cohorts
    ]
    number = np.arange(starts[-1])
    together = replace(
        first,
        table=pd.concat([cohort.table for cohort in cohorts], ignore_index=True),
        **{
            name: np.concatenate([getattr(cohort, name) for cohort in cohorts])
            for name in ("entry", "time", "event")
        },
        patient_index=number,
        patients=number,
        row_number=number + 1,
        start=None,
        censoring_end=None,
        number_texts={},
    )
    return StackedRows(together, starts, np.array(is_plain))
