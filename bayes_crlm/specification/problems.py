"""Problems of a spec in words: from pydantic's errors to sentences that name the dotted key."""

from collections.abc import Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from bayes_crlm.words.wording import did_you_mean, shown

MOST_PROBLEMS = 10


def spec_problems(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Say every problem that pydantic found, one sentence each.

    Parameters
    ----------
    error : ValidationError
        Raised by `root`.
    root : pydantic model class
        Its fields' descriptions say what would be right.

    Returns
    -------
    list of str
        At most ten, then how many more there are.
    """
    found = error.errors(include_url=False)
    problems = [problem_in_words(each, root) for each in found[:MOST_PROBLEMS]]
    if len(found) > MOST_PROBLEMS:
        problems.append(f"and {len(found) - MOST_PROBLEMS} more")
    return problems


def problem_in_words(problem: Any, root: type[BaseModel]) -> str:
    """Say one problem: the dotted key, the wrong value, what would be right."""
    location = problem["loc"]
    key = dotted_key(location)
    table, field = find_field(root, location)
    right = field.description if field is not None else None
    match problem["type"]:
        case "extra_forbidden":
            return unknown_key_in_words(location, table, root)
        case "missing":
            return f"{key} is missing; give {right}"
        case "value_error":
            cause = str(problem["ctx"]["error"])
            return f"{key}: {cause}" if key else cause
        case "literal_error" if field is not None and isinstance(problem["input"], str):
            suggestion = did_you_mean(problem["input"], literal_choices(field))
            hint = f" ({suggestion})" if suggestion.startswith("did") else ""
            return f"{key} is {shown(problem['input'])}; give {right}{hint}"
        case _:
            return f"{key} is {shown(problem['input'])}; give {right or problem['msg']}"


def unknown_key_in_words(
    location: Sequence[int | str], table: type[BaseModel] | None, root: type[BaseModel]
) -> str:
    """Say an unknown key with the nearest known one, or the table it belongs in."""
    key = dotted_key(location)
    known = list(table.model_fields) if table is not None else []
    suggestion = did_you_mean(location[-1], known)
    if not suggestion.startswith("did"):
        elsewhere = [path for path in known_keys(root) if path.split(".")[-1] == location[-1]]
        if elsewhere:
            suggestion = f"did you mean {' or '.join(shown(path) for path in elsewhere[:3])}?"
    return f"unknown key {key}; {suggestion}"


def known_keys(table: type[BaseModel], above: str = "") -> list[str]:
    """Every dotted key below a table."""
    keys = []
    for name, field in table.model_fields.items():
        keys.append(above + name)
        inner = inner_table(field)
        if inner is not None:
            keys += known_keys(inner, f"{above}{name}.")
    return keys


def find_field(
    root: type[BaseModel], location: Sequence[int | str]
) -> tuple[type[BaseModel] | None, FieldInfo | None]:
    """Follow a location down the tables, to the table and the field it ends at."""
    table: type[BaseModel] | None = root
    field: FieldInfo | None = None
    owner: type[BaseModel] | None = root
    for step in location:
        if isinstance(step, int):
            continue
        owner = table
        field = table.model_fields.get(step) if table is not None else None
        table = inner_table(field) if field is not None else None
    return owner, field


def inner_table(field: FieldInfo) -> type[BaseModel] | None:
    """The table that a field holds, or holds a list of."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def literal_choices(field: FieldInfo) -> tuple[str, ...]:
    """The values that a field may have."""
    return get_args(field.annotation) if get_origin(field.annotation) is Literal else ()


def dotted_key(location: Sequence[int | str]) -> str:
    """Write a location as in ``data.where[0].op``, odd keys quoted and cut."""
    key = ""
    for step in location:
        if isinstance(step, int):
            key += f"[{step}]"
        else:
            plain = step if step.isidentifier() and len(step) <= 60 else shown(step, 60)
            key += f".{plain}" if key else plain
    return key
