"""What a user says of a table, so that it becomes one cohort or many.

`bayes_crlm.read_cohort`, `bayes_crlm.stack_cohorts` and a spec's ``[data]`` say the same things;
here they are one value, and are checked in one place.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from bayes_crlm.cohort.outcome.event_codes import EventCodes
from bayes_crlm.cohort.outcome.outcome import Outcome
from bayes_crlm.cohort.outcome.rounded_times import Rounding
from bayes_crlm.cohort.outcome.time_scale import StudyEnd, TimeColumns, TimeScale, scale_problems
from bayes_crlm.cohort.outcome.zero_times import zero_problems
from bayes_crlm.cohort.table.column_settings import ColumnSettings
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown


@record
class CohortArguments:
    """Everything that is said of a table beside the table itself; unchecked.

    Attributes
    ----------
    time : str or mapping
        The column of times, or ``start`` and ``end``, columns of dates.
    event : str or mapping
        The column of events, or ``column``, ``value`` and ``censored``.
    entry, id : str, optional
        Columns of delayed entry and of the patients' names.
    unit, time_unit : str, optional
        The unit of the cohort's times, and of the file's.
    date_format : str, optional
        How dates are written that are text.
    zero_times : "error", "drop" or float
        What becomes of rows without time at risk.
    rounded, seed : mapping and int, optional
        How times were rounded (``unit`` and ``to``), and the seed of their draws.
    where : iterable
        Conditions that rows must meet.
    missing : "error" or "drop"
        What becomes of missing values of covariates and conditions.
    treatment_start : str or 0, optional
        The column of starts of treatment; 0 where all started at time 0.
    censoring_end : str or date, optional
        When the study ended.
    needs : sequence of str
        Columns that an analysis uses.
    levels, references, missing_values : mapping, optional
        Levels in their order, reference levels, values that mean missing.
    sheet : str, optional
        Of an Excel workbook.
    name : str, optional
        What messages call the source.
    """

    time: Any
    event: Any
    entry: Any = None
    id: Any = None
    unit: Any = None
    time_unit: Any = None
    date_format: Any = None
    zero_times: Any = "error"
    rounded: Any = None
    seed: Any = None
    where: Iterable[object] = ()
    missing: Any = "error"
    treatment_start: Any = None
    censoring_end: Any = None
    needs: Sequence[str] = ()
    levels: Any = None
    references: Any = None
    missing_values: Any = None
    sheet: Any = None
    name: Any = None

    def checked(
        self, own_unit: str | None = None
    ) -> tuple[Outcome | None, ColumnSettings, list[str]]:
        """Check everything that can be checked without the table.

        Parameters
        ----------
        own_unit : str, optional
            The unit of time that a data set brings, for when none is said.

        Returns
        -------
        outcome : Outcome or None
            How the outcome's columns are read; None where something is wrong with it.
        settings : ColumnSettings
        problems : list of str
            One sentence each.
        """
        outcome, problems = checked_outcome(self, own_unit)
        problems += texts_problems(name=self.name, sheet=self.sheet)
        if isinstance(self.needs, str) or not isinstance(self.needs, Iterable):
            problems.append(f"needs must be a list of columns' names, not {shown(self.needs)}")
        if not isinstance(self.missing, str) or self.missing not in ("error", "drop"):
            problems.append(f'missing must be "error" or "drop", not {shown(self.missing)}')
        settings, found = ColumnSettings.of(self.levels, self.references, self.missing_values)
        return outcome, settings, problems + found


def texts_problems(what: str = "text", **options: Any) -> list[str]:
    """Refuse options that are given and are not text."""
    return [
        f"{option} must be {what}, not {shown(value)}"
        for option, value in options.items()
        if value is not None and not isinstance(value, str)
    ]


def checked_outcome(
    said: CohortArguments, own_unit: str | None = None
) -> tuple[Outcome | None, list[str]]:
    """Check how the outcome's columns are to be read.

    Returns
    -------
    Outcome or None
        None where something is wrong.
    list of str
        What is wrong.
    """
    problems: list[str] = []

    def made(make: Any, given: object) -> Any:
        try:
            return make(given)
        except ValueError as problem:
            problems.append(str(problem))
            return None

    ends, codes = made(TimeColumns.of, said.time), made(EventCodes.of, said.event)
    problems += texts_problems("a column's name in text", entry=said.entry, id=said.id)
    study_end = None if said.censoring_end is None else made(StudyEnd.of, said.censoring_end)
    problems += end_problems(study_end, ends)
    problems += start_problems(said.treatment_start)
    scale, found = scale_of(ends, said, own_unit)
    problems += found + zero_problems(said.zero_times)
    rounding, seed = None if said.rounded is None else made(Rounding.of, said.rounded), said.seed
    if rounding is not None and (isinstance(seed, bool) or not isinstance(seed, int) or seed < 0):
        problems.append(
            f"rounded times are drawn, so give a seed, a whole number from 0, not {shown(seed)}"
        )
    if problems:
        return None, problems
    outcome = Outcome(
        time=ends,
        event=codes,
        entry=said.entry,
        id=said.id,
        start=said.treatment_start,
        censoring_end=study_end,
        scale=scale,
        zero_times=said.zero_times,
        rounded=rounding,
        seed=seed,
    )
    return outcome, []


def end_problems(study_end: StudyEnd | None, ends: TimeColumns | None) -> list[str]:
    """Refuse a date at which the study ended where no date says when follow-up began."""
    if study_end is None or study_end.date is None or ends is None or ends.start is not None:
        return []
    return [
        f"censoring_end is a date ({study_end.in_words}), but time is a column of times; give a "
        "column of times, or time = {start, end}"
    ]


def start_problems(treatment_start: Any) -> list[str]:
    """Refuse what is neither a column of starts nor 0."""
    is_zero = isinstance(treatment_start, int) and treatment_start == 0
    is_column = isinstance(treatment_start, str | None) and treatment_start != ""
    if (is_zero and treatment_start is not False) or is_column:
        return []
    return [
        "treatment_start must be a column's name in text, or 0 where treatment started at "
        f"time 0, not {shown(treatment_start)}"
    ]


def scale_of(
    ends: TimeColumns | None, said: CohortArguments, own_unit: str | None
) -> tuple[TimeScale, list[str]]:
    """How columns become times; as they are where it cannot be said."""
    if ends is None:
        return TimeScale(), []
    unit = own_unit if said.unit is None else said.unit
    problems = texts_problems(unit=unit, time_unit=said.time_unit)
    if problems:
        return TimeScale(), problems
    return scale_problems(ends, unit, said.time_unit, said.date_format, own_unit)
