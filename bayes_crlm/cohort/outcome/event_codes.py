"""Which codes of an event column are the event, and which say that follow-up was censored.

Plain columns hold 0 and 1, or true and false. Others are said: status 1 and 2 in R's `lung`, 0
for the event in CDISC's CNSR, "Dead" in a register. What is neither the event nor said to be
censored is never taken for one of them in silence.
"""

import heapq
import math
import re
from collections.abc import Mapping
from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    MARKS,
    as_float,
    kind_of_type,
    number_in,
    plain_values,
)
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import count_of, did_you_mean, listed_first, rows_where, shown

if TYPE_CHECKING:
    import pandas as pd

PLAIN_CODES = ((1, True), (0, False))
"""Of the event and of censored follow-up, in a column of which nothing is said."""
MOST_CODES = 8
"""How many codes a message lists."""
CDISC = re.compile(r"cnsr\d*", re.IGNORECASE)
CENSORED = re.compile(r"(?<![a-z])(?:cnsr|cens|censor|censored|censoring)(?![a-z])", re.IGNORECASE)
DENIED = re.compile(r"(?<![a-z])(?:no|not|non|un)(?![a-z])", re.IGNORECASE)


@record
class EventCodes:
    """What an event column says, as the user gives it.

    Attributes
    ----------
    column : str
        The column's name.
    value : tuple
        Codes of the event; empty where the column holds 0 and 1, or true and false.
    censored : tuple
        Codes of follow-up without the event; empty where it is the one code that is left.
    """

    column: str
    value: tuple[Any, ...] = ()
    censored: tuple[Any, ...] = ()

    @classmethod
    def of(cls, given: object) -> "EventCodes":
        """Take a column's name, or a mapping with column, value and censored.

        Raises
        ------
        ValueError
            One sentence.
        """
        if isinstance(given, EventCodes):
            return given
        if isinstance(given, str):
            if CDISC.fullmatch(given):
                raise ValueError(
                    f"event is {shown(given)}, CDISC's column in which 0 is the event; write "
                    f"event = {{column = {shown(given).replace(chr(39), chr(34))}, value = 0}}"
                )
            return cls(given)
        if not isinstance(given, Mapping):
            raise ValueError(
                f"event must be a column's name in text, not {shown(given)}, or column and value, "
                'such as {column = "status", value = 2}'
            )
        for key in given:
            if key not in ("column", "value", "censored"):
                known = did_you_mean(key, ("column", "value", "censored"))
                raise ValueError(f"event: {shown(key)} is not a part of it; {known}")
        column = given.get("column")
        if not isinstance(column, str) or not column:
            raise ValueError(f"event.column must be a column's name in text, not {shown(column)}")
        if "value" not in given:
            raise ValueError(
                "event.value is missing; give the code of the event, or a list of codes"
            )
        value = _codes(given["value"], "value")
        censored = _codes(given["censored"], "censored") if "censored" in given else ()
        both = [each for each in value if any(_same(each, code) for code in censored)]
        if both:
            raise ValueError(
                f"event: {shown(both[0])} is in both value and censored; a code can be in only "
                "one of them"
            )
        return cls(column, value, censored)

    @property
    def are_numbers(self) -> bool:
        """Whether codes are numbers, so that labels of values must not replace them."""
        return not any(isinstance(each, str) for each in (*self.value, *self.censored))

    @property
    def meanings(self) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Codes of the event and of censored follow-up; those of 1 and 0 where none is given."""
        return (self.value, self.censored) if self.value else PLAIN_CODES

    @property
    def numbers(self) -> set[float]:
        """The numbers that codes are, in whatever way they are written."""
        return {_number(code) for codes in self.meanings for code in codes}

    def to_mapping(self) -> str | dict[str, Any]:
        """Write it as a spec does."""
        if not self.value:
            return self.column
        value = self.value[0] if len(self.value) == 1 else list(self.value)
        plain: dict[str, Any] = {"column": self.column, "value": value}
        if self.censored:
            plain["censored"] = list(self.censored)
        return plain


def _codes(given: object, key: str) -> tuple[Any, ...]:
    """Take one code or a list of codes."""
    codes = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    if not codes:
        raise ValueError(f"event.{key} is an empty list; give at least one code")
    for code in codes:
        is_real = isinstance(code, Real | np.bool) and kind_of_type(type(code)) != "other"
        is_number = is_real and math.isfinite(as_float(code))
        if not is_number and not (isinstance(code, str) and code.strip()):
            raise ValueError(
                f"event.{key}: {shown(code)} is not a code; give a number, text or true/false"
            )
    return tuple(each.item() if isinstance(each, np.generic) else each for each in codes)


def _same(code: Any, cell: Any) -> bool:
    """Whether a cell holds a code: 2, 2.0 and "2" are one, and so are "Dead" and " Dead"."""
    if isinstance(cell, str) and isinstance(code, str):
        return cell.strip() == code.strip()
    if isinstance(cell, bool | np.bool) or isinstance(code, bool | np.bool):
        words = {"true": True, "false": False}
        one, other = (
            words.get(each.strip().lower()) if isinstance(each, str) else each
            for each in (code, cell)
        )
        return one is not None and other is not None and one == other
    return _number(code) == _number(cell)


def _number(code: Any) -> float:
    """The number that a code is; NaN, which is the same as none, where it is text."""
    return number_in(code) if isinstance(code, str) else as_float(code)


@record
class CodesFound:
    """The codes of a column, and of each whether it is the event, censored or neither.

    Attributes
    ----------
    places : (n_rows,) int
        Each row's place in `keys`; -1 where the cell is missing.
    keys : list of tuple
        Different codes in order of appearance, as `_key` gives them.
    kinds : (keys,) ndarray of str
        "event", "censored", "missing" for marks of missing that no code names, or "other".
    """

    places: NDArray[np.intp]
    keys: list[tuple[str, Any]]
    kinds: NDArray[np.str_]

    @classmethod
    def of(cls, values: "pd.Series", codes: EventCodes) -> "CodesFound":
        """Find the codes of a column; cells that hold one code in two ways are one."""
        import pandas as pd

        values = plain_values(values)
        try:
            first, cells = pd.factorize(values)
        except TypeError:
            # cells that cannot be compared, lists for example, go by what they look like
            first, cells = pd.factorize(values.map(_comparable, na_action="ignore"))
        keys = [_key(cell) for cell in cells]
        place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
        of_cell = np.array([place[key] for key in keys] + [-1], dtype=np.intp)
        coded = codes.numbers
        kinds = [
            "other"
            if key[0] == "number" and key[1] not in coded
            else _kind_of_code(_plain(key), codes)
            for key in place
        ]
        return cls(of_cell[first], list(place), np.array(kinds, dtype=str))

    def codes(self, kind: str) -> list[Any]:
        """Codes of a kind, in order of appearance."""
        return [_plain(self.keys[k]) for k in np.flatnonzero(self.kinds == kind)]

    def are(self, kind: str) -> NDArray[np.bool]:
        """Whether each row's code is of a kind."""
        return np.append(self.kinds == kind, False)[self.places]

    @property
    def are_missing(self) -> NDArray[np.bool]:
        """Whether each row has no code."""
        return (self.places < 0) | self.are("missing")

    def listed(self, *kinds: str) -> str:
        """Codes of some kinds with their counts, in the codes' order: 0 (37 rows), 1 (9 rows)."""
        chosen = np.flatnonzero(np.isin(self.kinds, kinds)).tolist()
        counts = np.bincount(self.places[self.places >= 0], minlength=len(self.keys)).tolist()
        named = [
            f"{shown(_plain(self.keys[k]))} ({count_of(counts[k], 'row')})"
            for k in heapq.nsmallest(MOST_CODES, chosen, key=lambda k: self.keys[k])
        ]
        return listed_first(named or ["no row"], len(chosen) - MOST_CODES, what="more codes")


def read_events(
    values: "pd.Series", codes: EventCodes, row_number: NDArray[np.int64]
) -> tuple[NDArray[np.int8], list[str], list[str]]:
    """Turn an event column into 0 and 1 by its codes.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        Of any type; missing cells are not looked at.
    codes : EventCodes
        With at least one value.
    row_number : (n_rows,) int
        1-based rows of the file, for messages.

    Returns
    -------
    event : (n_rows,) int8
    remarks : list of str
        Which codes were taken as censored, with their counts.
    problems : list of str
    """
    found = CodesFound.of(values, codes)
    events, others = found.codes("event"), found.codes("other")
    where = f"column {shown(codes.column)} (event)"
    problems, remarks = [], []
    absent = [each for each in codes.value if not any(_same(each, code) for code in events)]
    is_absent = len(absent) == len(codes.value)
    named, holds = ", ".join(map(shown, absent)), found.listed("event", "censored", "other")
    if is_absent:
        holds = "no code" if found.are_missing.all() else holds
        problems.append(f"{where} has no event: no row holds {named}; it holds {holds}")
    elif absent:
        remarks.append(
            f"{where}: the event's code {named} occurs in no row; the column holds {holds}"
        )
    if CDISC.fullmatch(codes.column) and any(_same(each, 1) for each in codes.value):
        remarks.append(
            f"{where}: in CDISC's column 0 is the event and other numbers are reasons for "
            "censoring; here 1 is taken as the event, as value says"
        )
    if is_absent and not codes.censored:
        others = []  # codes that are not said, because the event is given another code
    if others and (codes.censored or len(others) > 1):
        rows = rows_where(found.are("other"), row_number)
        problems.append(
            f"{where} holds {found.listed('other')} ({rows}), and neither value nor censored says "
            "what these codes mean; name the codes that are censored, such as censored = "
            f"[{', '.join(map(_written, others[:MOST_CODES]))}], or add them to value"
        )
    elif others:
        remarks.append(
            f"{where}: {found.listed('other')} taken as censored, {found.listed('event')} as the "
            "event"
        )
    elif codes.censored:
        remarks.append(
            f"{where}: {found.listed('censored')} censored, {found.listed('event')} the event"
        )
    return found.are("event").astype(np.int8), remarks, problems


def events_by_code(
    values: "pd.Series", codes: EventCodes
) -> tuple[NDArray[np.int8], NDArray[np.bool], NDArray[np.bool]]:
    """Turn an event column into 0 and 1 where nothing has to be said of it.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        The event column; missing cells count as not said.
    codes : EventCodes
        Without a value it is 1 or true; 0 and false are censored.

    Returns
    -------
    event : (n_rows,) int8
    is_said : (n_rows,) bool
        Whether the cell is the event, or censored as the codes say.
    is_missing : (n_rows,) bool
        Whether there is no code.
    """
    found = CodesFound.of(values, codes)
    is_event = found.are("event")
    return is_event.astype(np.int8), is_event | found.are("censored"), found.are_missing


def settled_codes(
    values: "pd.Series", codes: EventCodes, row_number: NDArray[np.int64]
) -> tuple[EventCodes, list[str]]:
    """Name the code of censoring that a whole column leaves, so that its parts mean the same.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        Of all cohorts.
    codes : EventCodes
        As the user gives them.
    row_number : (n_rows,) int
        1-based rows of the table, for messages.

    Returns
    -------
    codes : EventCodes
    problems : list of str
        Where it is not said which codes are censored, or no row has the event.
    """
    if not codes.value or codes.censored:
        return codes, []
    problems = read_events(values, codes, row_number)[2]
    left = CodesFound.of(values, codes).codes("other")
    if problems or not left:
        return codes, problems
    return replace(codes, censored=tuple(left)), []


def doubted_name(column: str, events: NDArray[np.int8]) -> list[str]:
    """Doubt that 1 is the event in a column whose name says censored.

    Parameters
    ----------
    column : str
        Of 0 and 1, given without a code of the event.
    events : (n_rows,) int8
        As they are taken.
    """
    if not CENSORED.search(column) or DENIED.search(column):
        return []
    n = int(events.sum())
    return [
        f"column {shown(column)} (event): 1 ({count_of(n, 'row')}) is taken as the event, but "
        f'the name says that 1 is censored; if it is, write event = {{column = "{column}", '
        "value = 0}; value = 1 confirms that 1 is the event"
    ]


def _key(cell: Any) -> tuple[str, Any]:
    """What makes a cell's code one with another's."""
    if isinstance(cell, str):
        text = cell.strip()
        number = number_in(text)
        return ("text", text) if math.isnan(number) else ("number", number)
    kind = kind_of_type(type(cell))
    if kind == "truth":
        return (kind, bool(cell))
    if kind == "number":
        return (kind, as_float(cell))
    return ("other", shown(cell))


def _comparable(cell: Any) -> Any:
    """A cell, or what it looks like where it is neither text nor a number."""
    is_plain = kind_of_type(type(cell)) in ("text", "truth", "number")
    return cell if is_plain else shown(cell)


def _plain(key: tuple[str, Any]) -> Any:
    """The code behind a key, whole numbers without a decimal point."""
    kind, value = key
    return int(value) if kind == "number" and value.is_integer() else value


def _kind_of_code(value: Any, codes: EventCodes) -> str:
    """Whether a code is the event, censored, a mark of missing, or neither."""
    is_event, is_censored = codes.meanings
    if any(_same(code, value) for code in is_event):
        return "event"
    if any(_same(code, value) for code in is_censored):
        return "censored"
    return "missing" if isinstance(value, str) and value in MARKS else "other"


def _written(value: Any) -> str:
    """A code as a spec would write it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value}"
