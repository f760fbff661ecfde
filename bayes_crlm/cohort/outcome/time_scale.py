"""From what a file holds to times in the cohort's unit: numbers of another unit, and dates.

A month is a twelfth of a year of 365.25 days. Dates are never guessed: they are dates in the
file, text as YYYY-MM-DD (with or without a time of day), or text as `date_format` says.
"""

import datetime
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.outcome.follow_up import (
    DATE,
    MISSING,
    NUMBER,
    OTHER,
    TEXT,
    TRUTH,
    numbers_of,
)
from bayes_crlm.cohort.table.column_values import column_kind, plain_values
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

DAYS = {"hours": 1 / 24, "days": 1.0, "weeks": 7.0, "months": 365.25 / 12, "years": 365.25}
"""Days in each unit that times can be converted to and from."""
DAY = datetime.timedelta(days=1)
ISO_DATE = r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"


def days_in(unit: str | None) -> float | None:
    """Days in a unit of time, "month" or "months" for example; None for another word."""
    if unit is None:
        return None
    word = unit.strip().lower()
    return DAYS.get(word, DAYS.get(f"{word}s"))


@record
class TimeColumns:
    """Where follow-up ends, and from which date it counts.

    Attributes
    ----------
    end : str
        The column of times, or of the dates at which follow-up ends.
    start : str or None
        The column of dates at which it begins; None where `end` holds times.
    """

    end: str
    start: str | None = None

    @classmethod
    def of(cls, given: object) -> "TimeColumns":
        """Take a column's name, or a mapping with start and end.

        Raises
        ------
        ValueError
            One sentence.
        """
        if isinstance(given, TimeColumns):
            return given
        if isinstance(given, str):
            return cls(given)
        if not isinstance(given, Mapping):
            raise ValueError(
                f"time must be a column's name in text, not {shown(given)}, or start and end, two "
                "columns of dates"
            )
        extra = [key for key in given if key not in ("start", "end")]
        if extra:
            raise ValueError(f"time: {shown(extra[0])} is not one of its keys, start and end")
        for key in ("start", "end"):
            if not isinstance(given.get(key), str) or not given[key]:
                raise ValueError(
                    f"time.{key} must be a column of dates, in text, not {shown(given.get(key))}"
                )
        if given["start"] == given["end"]:
            raise ValueError(f"time.start and time.end are both {shown(given['start'])}")
        return cls(end=given["end"], start=given["start"])

    def to_mapping(self) -> str | dict[str, str]:
        """Write it as a spec does."""
        return self.end if self.start is None else {"start": self.start, "end": self.end}


@record
class StudyEnd:
    """When the study ended: a column says it for every patient, or one date for all.

    Attributes
    ----------
    column : str or None
        Of times on the data's scale, or of dates where times count from one.
    date : datetime.date or None
        The last day of follow-up, or, with a time of day, its last moment.
    """

    column: str | None = None
    date: datetime.date | None = None

    @classmethod
    def of(cls, given: object) -> "StudyEnd":
        """Take a column's name, a date, or text written YYYY-MM-DD.

        Raises
        ------
        ValueError
            One sentence.
        """
        if isinstance(given, np.datetime64) and not np.isnat(given):
            given = given.astype("datetime64[us]").item()
        if isinstance(given, datetime.date) and given == given:  # pandas' NaT is not a date
            is_midnight = isinstance(given, datetime.datetime) and given.time() == datetime.time()
            return cls(date=given.date() if is_midnight else given)
        if isinstance(given, str) and re.fullmatch(ISO_DATE, given.strip()):
            try:
                return cls.of(datetime.datetime.fromisoformat(given.strip()))
            except ValueError:
                raise ValueError(f"censoring_end: {given!r} is not a day of the calendar") from None
        if isinstance(given, str) and given:
            return cls(column=given)
        raise ValueError(
            "censoring_end must be a column's name in text, or a date as YYYY-MM-DD, not "
            f"{shown(given)}"
        )

    @property
    def in_words(self) -> str:
        """The column, or the date."""
        return f"column {shown(self.column)}" if self.date is None else f"{self.date}"

    @property
    def days(self) -> float:
        """Days from 1970-01-01 to the date."""
        if not isinstance(self.date, datetime.datetime):
            return float((self.date - datetime.date(1970, 1, 1)).days) if self.date else np.nan
        is_local = self.date.tzinfo is None
        moment = self.date.replace(tzinfo=datetime.UTC) if is_local else self.date
        return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / DAY


@record
class TimeScale:
    """How a column becomes times in the cohort's unit.

    Attributes
    ----------
    start : str or None
        The column of dates from which times count.
    factor : float
        What a number of the file is multiplied with.
    days : float
        Days in the cohort's unit; used for dates only.
    date_format : str or None
        Of dates that are text, as `datetime.strptime` takes it; YYYY-MM-DD without it.
    """

    start: str | None = None
    factor: float = 1.0
    days: float = 1.0
    date_format: str | None = None

    def read(
        self, table: "pd.DataFrame", column: str, *, may_be_numbers: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.int8], bool]:
        """Turn a column into times.

        Parameters
        ----------
        table : pandas.DataFrame
            The rows, with `column` and the column of starts.
        column : str
            Numbers; or dates, where times count from one.
        may_be_numbers : bool
            Whether a column of numbers is taken as times where others are dates.

        Returns
        -------
        times : (n_rows,) float64
            NaN where a cell is not a time.
        kinds : (n_rows,) int8
            NUMBER where it is one; else what the cell is. A number that should be a date is
            OTHER.
        are_dates : bool
            Whether the column was read as dates.
        """
        if self.start is None:
            numbers, kinds = numbers_of(table[column])
            return numbers * self.factor, kinds, False
        days, kinds = days_of(table[column], self.date_format)
        if may_be_numbers and not (kinds == NUMBER).any() and (kinds == OTHER).any():
            numbers, kinds = numbers_of(table[column])
            return numbers * self.factor, kinds, False
        if column == self.start or self.start not in table.columns:
            return np.full(len(days), np.nan), kinds, True
        origin, _ = days_of(table[self.start], self.date_format)
        return (days - origin) / self.days, kinds, True

    def ends_at(
        self, table: "pd.DataFrame", end: StudyEnd, times: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Turn one date into every row's time at which the study ended.

        Parameters
        ----------
        table : pandas.DataFrame
            With the column of starts.
        end : StudyEnd
            With a date. Without a time of day that whole day belongs to the study.
        times : (n_rows,) float64
            The ends of follow-up, in the cohort's unit.

        Returns
        -------
        (n_rows,) float64
            NaN where a start is missing.
        """
        origin, _ = days_of(table[self.start], self.date_format)
        ends = (end.days - origin) / self.days
        if isinstance(end.date, datetime.datetime):
            return ends
        is_last_day = (times > ends) & (times < (end.days + 1 - origin) / self.days)
        return np.where(is_last_day, times, ends)


def days_of(
    values: "pd.Series", date_format: str | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    """Turn a column of dates into days since 1970-01-01.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        Dates, or texts that are written as dates.
    date_format : str, optional
        Of dates that are text; YYYY-MM-DD without it.

    Returns
    -------
    days : (n_rows,) float64
        NaN where a cell is not a date.
    kinds : (n_rows,) int8
        NUMBER where it is a date, MISSING, TEXT where the text is not written like one, TRUTH,
        and OTHER for numbers and the rest.
    """
    import pandas as pd

    values = plain_values(values)
    if column_kind(values) == "dates":
        return _days(values), np.where(values.isna(), MISSING, NUMBER).astype(np.int8)
    cells = values.astype(object)
    missing = cells.isna().to_numpy(dtype=bool, copy=True)
    is_text = cells.map(lambda cell: isinstance(cell, str)).to_numpy(dtype=bool)
    kinds = np.full(len(cells), OTHER, dtype=np.int8)
    days = np.full(len(cells), np.nan)
    if is_text.any():
        text = cells[is_text].astype(str).str.strip()
        dated = text if date_format else text.where(text.str.fullmatch(ISO_DATE))
        parsed = pd.to_datetime(dated, format=date_format or "ISO8601", errors="coerce", utc=True)
        days[is_text] = _days(parsed)
        kinds[is_text] = np.where(parsed.isna(), TEXT, NUMBER)
        missing[is_text] |= (text == "").to_numpy()
    _, of_cell = numbers_of(cells.mask(is_text))
    is_date = (of_cell == DATE) & ~is_text
    if is_date.any():
        days[is_date] = _days(pd.to_datetime(cells[is_date], errors="coerce", utc=True))
        kinds[is_date] = np.where(np.isnan(days[is_date]), OTHER, NUMBER)
    kinds[(of_cell == TRUTH) & ~is_text] = TRUTH
    kinds[missing] = MISSING
    days[missing] = np.nan
    return days, kinds


def _days(dates: "pd.Series") -> NDArray[np.float64]:
    """Days since 1970-01-01 of pandas' dates; NaN for none."""
    import pandas as pd

    if not isinstance(dates.dtype, np.dtype):
        # dates with a zone, and those of Arrow
        dates = pd.to_datetime(dates, utc=True).dt.tz_localize(None)
    elapsed = dates.to_numpy().astype("datetime64[us]") - np.datetime64(0, "us")
    return np.where(np.isnat(elapsed), np.nan, elapsed.astype(np.int64) / 86_400e6)


def scale_problems(
    columns: TimeColumns, unit: Any, time_unit: Any, date_format: Any, own_unit: str | None
) -> tuple[TimeScale, list[str]]:
    """Put together how columns become times, and say what keeps them from it.

    Parameters
    ----------
    columns : TimeColumns
        Where follow-up ends, and from which date it counts.
    unit, time_unit : str or None
        Of the cohort, and of the file's numbers.
    date_format : str or None
        How dates are written that are text.
    own_unit : str or None
        Of a data set that knows its unit.
    """
    known = shown_names(list(DAYS))
    problems = []
    here, there = days_in(unit), days_in(time_unit)
    if time_unit is not None and there is None:
        problems.append(f"time_unit {shown(time_unit)} is not known; give one of {known}")
    needs_unit = "time_unit is given" if time_unit is not None else "time is counted between dates"
    if (time_unit is not None or columns.start is not None) and here is None:
        phrase = "unit is missing" if unit is None else f"unit {shown(unit)} is not known"
        problems.append(f"{phrase}, and {needs_unit}; give unit as one of {known}")
    if own_unit is not None and unit is not None and time_unit is None and columns.start is None:
        own = days_in(own_unit)
        if own is not None and here is not None and own != here:
            problems.append(
                f"unit is {shown(unit)}, but the data set's times are {own_unit}; add time_unit = "
                f'"{own_unit}", and they are converted'
            )
    if date_format is not None and columns.start is None:
        problems.append(
            "date_format is given, but time is a column of numbers; give time = {start, end}, or "
            "leave date_format out"
        )
    if date_format is not None and not _is_date_format(date_format):
        problems.append(
            f'date_format {shown(date_format)} does not say day, month and year, as "%d/%m/%Y" does'
        )
    factor = there / here if here is not None and there is not None else 1.0
    return TimeScale(columns.start, factor, here or 1.0, date_format), problems


def _is_date_format(given: object) -> bool:
    """Whether a format says a whole date, in directives that pandas knows as Python does."""
    if not isinstance(given, str):
        return False
    said = set(re.findall("%(.?)", given))
    if said - set("aAbBdfHIjmMpSyYz%") or not said & set("yY"):
        return False
    date = datetime.datetime(2011, 10, 23, tzinfo=datetime.UTC)
    try:
        return datetime.datetime.strptime(date.strftime(given), given).date() == date.date()
    except ValueError:
        return False
