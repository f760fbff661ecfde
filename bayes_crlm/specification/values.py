"""Values of a spec that are more than a text or a number in a range.

Plain functions rather than unions of types, for a union reports one problem per member.
Each returns the value it takes and raises `ValueError` with a sentence that says what is wrong.
"""

import datetime
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import PlainValidator

from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import shown

MOST_INTERVALS = 200

Scalar = str | int | float | bool


def check_scalar(value: object) -> Scalar:
    """Take a text, a finite number or true/false, and nothing else."""
    if isinstance(value, bool | str):
        return value
    if isinstance(value, int) and abs(value) < 2**63:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ValueError(
        f"{shown(value)} is not a value of a column; give text, a number or true/false"
    )


def check_scalar_or_date(value: object) -> Scalar | datetime.date:
    """Take what `check_scalar` takes, and a date, with or without a time of day."""
    return value if isinstance(value, datetime.date) else check_scalar(value)


def check_condition_value(
    value: object,
) -> Scalar | datetime.date | tuple[Scalar | datetime.date, ...]:
    """Take what a column is compared with: one value, or a list of values for `in`."""
    if not isinstance(value, list | tuple):
        return check_scalar_or_date(value)
    if not value:
        raise ValueError("[] is an empty list; give at least one value")
    return tuple(check_scalar_or_date(each) for each in value)


def by_column(key: str) -> PlainValidator:
    """Make the validator of levels, references or missing_values, tables by column."""

    def check(value: object) -> Mapping[str, Any]:
        from bayes_crlm.cohort.table.column_settings import ColumnSettings

        settings, problems = ColumnSettings.of(**{key: value})
        refuse_first(problems, f"{key} of ", f"{key} ")
        return getattr(settings, key)

    return PlainValidator(check)


def refuse_first(problems: Sequence[str], *beginnings: str) -> None:
    """Raise the first problem, if any, without the key that the spec's reader puts before it."""
    for problem in problems:
        for each in beginnings:
            problem = problem.removeprefix(each)
        raise ValueError(problem)


def check_treatment_start(value: object) -> object:
    """Take a column's name, or 0 for treatment that started at time 0."""
    from bayes_crlm.cohort.arguments import start_problems

    refuse_first(start_problems(value), "treatment_start ")
    return value


def check_censoring_end(value: object) -> object:
    """Take a column's name, or the date at which the study ended."""
    from bayes_crlm.cohort.outcome.time_scale import StudyEnd

    try:
        end = StudyEnd.of(value)
    except ValueError as problem:
        raise ValueError(str(problem).removeprefix("censoring_end: ")) from None
    return end.column if end.date is None else end.date


def check_time(value: object) -> str | dict[str, str]:
    """Take a column's name, or the columns of the dates at which follow-up begins and ends."""
    from bayes_crlm.cohort.outcome.time_scale import TimeColumns

    return TimeColumns.of(column_or_table(value)).to_mapping()


def check_event(value: object) -> str | dict[str, object]:
    """Take a column's name, or a column with the codes of the event and of censoring."""
    from bayes_crlm.cohort.outcome.event_codes import EventCodes

    return EventCodes.of(column_or_table(value)).to_mapping()


def column_or_table(value: object) -> object:
    """Refuse what is neither a name nor a table, in the words of a spec."""
    if value == "" or not isinstance(value, str | Mapping):
        from pydantic_core import PydanticCustomError

        # the field's description says what would be right
        raise PydanticCustomError("column", "neither the name of a column nor a table")
    return value


def check_rounded(value: object) -> dict[str, object]:
    """Take how times were rounded: unit and to."""
    from bayes_crlm.cohort.outcome.rounded_times import Rounding

    return Rounding.of(value).to_mapping()


def check_zero_times(value: Any) -> str | float:
    """Take what becomes of times of zero: an error, out with them, or a number."""
    from bayes_crlm.cohort.outcome.zero_times import zero_problems

    refuse_first(zero_problems(value), "zero_times ")
    return value if isinstance(value, str) else float(value)


def check_number(value: object) -> float:
    """Take a finite number; true and false are not numbers."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise ValueError(f"{shown(value)} is not a finite number")


def check_times(value: object) -> tuple[float, ...]:
    """Take a list of finite times that increase and may start at 0."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of times")
    if not value:
        raise ValueError("[] is an empty list; give at least one time, or leave the key out")
    times = tuple(check_number(each) for each in value)
    if times[0] < 0:
        raise ValueError(f"{as_written(times[0])} is negative; give times after 0")
    for before, after in itertools.pairwise(times):
        if after <= before:
            raise ValueError(
                f"{as_written(after)} follows {as_written(before)}; give each time once, in "
                "increasing order"
            )
    return times


def check_cutpoints(value: object) -> Literal["auto"] | int | tuple[float, ...]:
    """Take "auto", a number of intervals, or a list of times.

    More than 200 intervals are refused: with twelve events an interval, the least that
    the literature calls stable, they would need 2,400 events.
    """
    if value == "auto":
        return "auto"
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= MOST_INTERVALS:
            raise ValueError(
                f"{shown(value)} intervals is impossible; give from 1 to {MOST_INTERVALS}"
            )
        return value
    if isinstance(value, list | tuple):
        times = check_times(value)
        if times[-1] <= 0:
            raise ValueError("[0] leaves no cutpoint; give times after 0")
        if len(times) > MOST_INTERVALS:
            raise ValueError(f"{len(times)} times are given; give at most {MOST_INTERVALS}")
        return times
    raise ValueError(
        f"{shown(value)} is not understood; give 'auto', a number of intervals from 1 to "
        f"{MOST_INTERVALS}, or a list of increasing times"
    )


def check_horizons(value: object) -> tuple[float, ...]:
    """Take a list of increasing times after 0."""
    times = check_times(value)
    if times[0] <= 0:
        raise ValueError("0 is not a horizon: everyone is alive at time 0; give times after 0")
    return times


def check_thresholds(value: object) -> tuple[float, ...]:
    """Take a list of different hazard ratios above 0, in any order."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"{shown(value)} is not a list of hazard ratios, such as [1.0, 0.8]")
    if not value:
        raise ValueError("[] is an empty list; give at least one hazard ratio")
    ratios = tuple(check_number(each) for each in value)
    for k, ratio in enumerate(ratios):
        if ratio <= 0:
            raise ValueError(f"{as_written(ratio)} is not above 0, as every hazard ratio is")
        if ratio in ratios[:k]:
            raise ValueError(f"{as_written(ratio)} is given twice; give each hazard ratio once")
    return ratios
