"""Which codes of an event column are the event, and which say that follow-up was censored.

Plain columns hold 0 and 1, or true and false. Others are said: status 1 and 2 in R's `lung`, 0
for the event in CDISC's CNSR, "Dead" in a register. What is neither the event nor said to be
censored is never taken for one of them in silence.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.wording import did_you_mean, shown, shown_rows

if TYPE_CHECKING:
    import pandas as pd

MOST_CODES = 8
"""How many codes a message lists."""
CDISC = re.compile(r"cnsr\d*", re.IGNORECASE)
CENSORED = re.compile(r"(?<![a-z])(?:cnsr|cens|censor|censored|censoring)(?![a-z])", re.IGNORECASE)
DENIED = re.compile(r"(?<![a-z])(?:no|not|non|un)(?![a-z])", re.IGNORECASE)


@dataclass(frozen=True)
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
        codes = {}
        for key in ("value", "censored"):
            codes[key] = _codes(given[key], key) if key in given else ()
        both = [each for each in codes["value"] if any(_same(each, c) for c in codes["censored"])]
        if both:
            raise ValueError(
                f"event: {shown(both[0])} is in both value and censored; a code can be in only "
                "one of them"
            )
        return cls(column, codes["value"], codes["censored"])

    @property
    def are_numbers(self) -> bool:
        """Whether codes are numbers, so that labels of values must not replace them."""
        return not any(isinstance(each, str) for each in (*self.value, *self.censored))

    def to_mapping(self) -> str | dict[str, Any]:
        """Write it as a spec does."""
        if not self.value:
            return self.column
        plain: dict[str, Any] = {"column": self.column, "value": _one_or_list(self.value)}
        if self.censored:
            plain["censored"] = list(self.censored)
        return plain


def _one_or_list(codes: tuple[Any, ...]) -> Any:
    return codes[0] if len(codes) == 1 else list(codes)


def _codes(given: object, key: str) -> tuple[Any, ...]:
    """Take one code or a list of codes."""
    codes = tuple(given) if isinstance(given, list | tuple | set | frozenset) else (given,)
    if not codes:
        raise ValueError(f"event.{key} is an empty list; give at least one code")
    for code in codes:
        is_number = isinstance(code, Real) and math.isfinite(float(code))
        if not is_number and not (isinstance(code, str) and code.strip()):
            raise ValueError(
                f"event.{key}: {shown(code)} is not a code; give a number, a text or true/false"
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
    try:
        return float(code) == float(cell)
    except (TypeError, ValueError):
        return False


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
    places, distinct, shape = _sorted_codes(values, codes)
    counts = np.bincount(places[places >= 0], minlength=len(distinct))
    where = f"column {shown(codes.column)} (event)"
    listed = _listed(distinct, counts)
    problems, remarks = [], []
    absent = [each for each in codes.value if not any(_same(each, _plain(key)) for key in distinct)]
    if len(absent) == len(codes.value):
        problems.append(
            f"{where} has no event: no row holds {', '.join(map(shown, absent))}; it holds {listed}"
        )
    elif absent:
        remarks.append(
            f"{where}: the event's code {', '.join(map(shown, absent))} occurs in no row; the "
            f"column holds {listed}"
        )
    if CDISC.fullmatch(codes.column) and any(_same(each, 1) for each in codes.value):
        remarks.append(
            f"{where}: in CDISC's column 0 is the event and other numbers are reasons for "
            "censoring; here 1 is taken as the event, as value says"
        )
    others = [k for k, kind in enumerate(shape) if kind == "other"]
    if len(absent) == len(codes.value) and not codes.censored:
        others = []  # codes that are not said, because the event is given another code
    if others and (codes.censored or len(others) > 1):
        rows = row_number[np.isin(places, others)]
        named = _listed(distinct[others], counts[others])
        problems.append(
            f"{where} holds {named} ({shown_rows(rows)}), and neither value nor censored says what "
            "these codes mean; name the codes that are censored, such as censored = "
            f"[{', '.join(_written(distinct[k]) for k in others[:MOST_CODES])}], or add them to "
            "value"
        )
    elif others:
        remarks.append(
            f"{where}: {_listed(distinct[others], counts[others])} taken as censored, "
            f"{_said_events(distinct, counts, shape)} as the event"
        )
    elif codes.censored:
        named = [k for k, kind in enumerate(shape) if kind == "censored"]
        remarks.append(
            f"{where}: {_listed(distinct[named], counts[named]) if named else 'no row'} censored, "
            f"{_said_events(distinct, counts, shape)} the event"
        )
    event = _of_rows(places, shape, "event").astype(np.int8)
    return event, remarks, problems


def events_by_code(
    values: "pd.Series", codes: EventCodes
) -> tuple[NDArray[np.int8], NDArray[np.bool]]:
    """Turn an event column into 0 and 1 where nothing has to be said of it.

    Parameters
    ----------
    values : pandas.Series, (n_rows,)
        The event column; missing cells count as not said.
    codes : EventCodes
        With at least one value.

    Returns
    -------
    event : (n_rows,) int8
    is_said : (n_rows,) bool
        Whether the cell is the event, or named as censored.
    """
    places, _, shape = _sorted_codes(values, codes)
    is_event = _of_rows(places, shape, "event")
    return is_event.astype(np.int8), is_event | _of_rows(places, shape, "censored")


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
    _, distinct, shape = _sorted_codes(values, codes)
    left = [_plain(key) for key, kind in zip(distinct, shape, strict=True) if kind == "other"]
    if problems or not left:
        return codes, problems
    return replace(codes, censored=tuple(left)), []


def _sorted_codes(
    values: "pd.Series", codes: EventCodes
) -> tuple[NDArray[np.intp], NDArray[Any], list[str]]:
    """Number the codes of a column, and say of each whether it is the event, censored or neither.

    Returns
    -------
    places : (n_rows,) int
        -1 where a cell is missing.
    distinct : (codes,) object
    shape : list of str
        "event", "censored" or "other".
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    places, distinct = _distinct_codes(values)
    return places, distinct, [_kind_of_code(key, codes) for key in distinct]


def _of_rows(places: NDArray[np.intp], shape: list[str], kind: str) -> NDArray[np.bool]:
    """Whether each row's code is of a kind."""
    return np.array([*(each == kind for each in shape), False], dtype=bool)[places]


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
        f"column {shown(column)} (event): 1 ({n:,} row{'s' * (n != 1)}) is taken as the event, but "
        f'the name says that 1 is censored; if it is, write event = {{column = "{column}", '
        "value = 0}; value = 1 confirms that 1 is the event"
    ]


def _distinct_codes(values: "pd.Series") -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Number the codes of a column; cells that hold one code in two ways are one."""
    import pandas as pd

    try:
        first, cells = pd.factorize(values)
    except TypeError:
        # cells that cannot be compared, lists for example, go by what they look like
        first, cells = pd.factorize(values.map(shown, na_action="ignore"))
    keys = [_key(cell) for cell in cells]
    place = {key: k for k, key in enumerate(dict.fromkeys(keys))}
    distinct = np.empty(len(place), dtype=object)
    distinct[:] = list(place)
    of_cell = np.array([place[key] for key in keys] + [-1], dtype=np.intp)
    return of_cell[first], distinct


def _said_events(distinct: Any, counts: NDArray[np.intp], shape: list[str]) -> str:
    events = [k for k, kind in enumerate(shape) if kind == "event"]
    return _listed(distinct[events], counts[events]) if events else "no row"


def _key(cell: Any) -> tuple[str, Any]:
    """What makes a cell's code one with another's."""
    if isinstance(cell, str):
        text = cell.strip()
        try:
            number = float(text) if "_" not in text else math.nan
        except ValueError:
            number = math.nan
        return ("text", text) if math.isnan(number) else ("number", number)
    if isinstance(cell, bool | np.bool):
        return ("truth", bool(cell))
    if isinstance(cell, Real | Decimal):
        return ("number", float(cell))
    return ("other", shown(cell))


def _plain(key: tuple[str, Any]) -> Any:
    """The code behind a key, whole numbers without a decimal point."""
    kind, value = key
    return int(value) if kind == "number" and value.is_integer() else value


def _kind_of_code(key: tuple[str, Any], codes: EventCodes) -> str:
    """Whether a code is the event, censored, or neither."""
    value = _plain(key)
    if any(_same(code, value) for code in codes.value):
        return "event"
    return "censored" if any(_same(code, value) for code in codes.censored) else "other"


def _written(key: tuple[str, Any]) -> str:
    """A code as a spec would write it."""
    value = _plain(key)
    if isinstance(value, bool):
        return "true" if value else "false"
    return f'"{value}"' if isinstance(value, str) else f"{value}"


def _listed(keys: Any, counts: NDArray[np.intp]) -> str:
    """Codes with their counts, in the codes' order: 0 (37 rows), 1 (9 rows)."""
    order = sorted(range(len(keys)), key=lambda k: (keys[k][0], keys[k][1]))
    named = [
        f"{shown(_plain(keys[k]))} ({int(counts[k])} {'row' if counts[k] == 1 else 'rows'})"
        for k in order[:MOST_CODES]
    ]
    rest = len(keys) - MOST_CODES
    return ", ".join(named) + (f" and {rest} more codes" if rest > 0 else "")
