"""Writing tables as TOML, the reverse of the standard library's `tomllib`."""

import datetime
import json
import re
from collections.abc import Mapping
from typing import Any

__all__ = ["write_toml"]

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def write_toml(tables: Mapping[str, Any]) -> str:
    """Write nested tables as TOML.

    Parameters
    ----------
    tables : mapping
        Keys are texts; values are texts, numbers, true/false, dates, times, lists, tuples and
        mappings of those.

    Returns
    -------
    str
        A document that `tomllib.loads` reads back to equal tables, tuples as lists.

    Raises
    ------
    TypeError
        When a value has no counterpart in TOML, such as None.
    """
    lines: list[str] = []
    write_table(lines, tables, ())
    return "\n".join(lines).strip("\n") + "\n"


def write_table(lines: list[str], table: Mapping[str, Any], above: tuple[str, ...]) -> None:
    """Append a table: its values first, for a header ends the table before it."""
    values = {key: value for key, value in table.items() if not isinstance(value, Mapping)}
    inner = {key: value for key, value in table.items() if isinstance(value, Mapping)}
    if above and (values or not inner):
        lines += ["", f"[{'.'.join(write_key(key) for key in above)}]"]
    lines += [f"{write_key(key)} = {write_value(value)}" for key, value in values.items()]
    for key, value in inner.items():
        write_table(lines, value, (*above, key))


def write_key(key: str) -> str:
    """Write a key bare where TOML allows it, else quoted."""
    return key if BARE_KEY.fullmatch(key) else write_text(key)


def write_text(text: str) -> str:
    """Write a basic string; JSON's escapes are TOML's, but for DEL, which JSON leaves bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_value(value: Any) -> str:
    """Write a value in one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return write_text(value)
        case int() | float():
            return repr(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(write_value(each) for each in value)}]"
        case Mapping():
            pairs = (f"{write_key(key)} = {write_value(each)}" for key, each in value.items())
            return f"{{{', '.join(pairs)}}}"
    raise TypeError(f"{type(value).__name__} has no counterpart in TOML")
