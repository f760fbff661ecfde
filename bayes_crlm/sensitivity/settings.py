"""The spec's table `[sensitivity]`: which parts are asked for, and each part's own table.

A part's settings are a class `Settings` in the part's module, which is imported only when
its table is read.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, PlainValidator, ValidationError, create_model

from bayes_crlm.sensitivity.registry import PARTS, part_module
from bayes_crlm.specification.problems import spec_problems
from bayes_crlm.specification.table import Table
from bayes_crlm.specification.values import check_scalar
from bayes_crlm.words.errors import SpecError, join_problems
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import did_you_mean, shown


@record
class SensitivitySettings:
    """What is to be run.

    Attributes
    ----------
    parts : tuple of str
        Names, in the order of the report.
    asked : frozenset of str
        Those that the spec or the command line names: they are not left out in silence.
    selected : frozenset of str
        Those that are picked by name from all there are; a list of all picks none.
    level : str, int, float, bool or None
        Treatment level whose hazard ratio is the question; the first one without it.
    tables : dict
        Every part's settings, defaults included, in that order.
    """

    parts: tuple[str, ...]
    asked: frozenset[str]
    selected: frozenset[str]
    level: Any
    tables: dict[str, Any]

    def to_mapping(self) -> dict[str, Any]:
        """Write them as a spec's table, every default spelled out.

        Beliefs that nobody stated are left out: written out they would be stated.
        """
        found: dict[str, Any] = {"parts": list(self.parts)}
        if self.level is not None:
            found["level"] = self.level
        for name, table in self.tables.items():
            unstated = set(getattr(table, "BELIEFS", ())) - table.model_fields_set
            found[name] = table.model_dump(mode="python", exclude_none=True, exclude=unstated)
        return found


def check_part_names(names: object) -> tuple[str, ...]:
    """Take a list of parts' names without repetition; they come back in the report's order.

    Raises
    ------
    ValueError
        One sentence, with the nearest known name.
    """
    if not isinstance(names, list | tuple):
        raise ValueError(f"{shown(names)} is not a list of parts, such as ['multiverse']")
    if not names:
        raise ValueError(f"[] is an empty list; give at least one of {', '.join(PARTS)}")
    for name in names:
        if name not in PARTS:
            near = did_you_mean(name, PARTS, most=len(PARTS))
            raise ValueError(f"unknown part {shown(name)}; {near}")
        if list(names).count(name) > 1:
            raise ValueError(f"{shown(name)} is given twice; give each part once")
    return tuple(name for name in PARTS if name in names)


def root_class(given: Mapping[str, Any]) -> type[Table]:
    """A table that holds `[sensitivity]`; parts that are not given are not imported."""
    fields: dict[str, Any] = {
        "parts": (
            Annotated[
                Any,
                PlainValidator(check_part_names),
                Field(description="a list of parts, such as ['multiverse', 'priors']"),
            ],
            PARTS,
        ),
        "level": (
            Annotated[
                Any, PlainValidator(check_scalar), Field(description="a level of the treatment")
            ],
            None,
        ),
    }
    for name in PARTS:
        kind = part_module(name).Settings if name in given else Any
        fields[name] = (kind, Field(default=None, description=f"a table [sensitivity.{name}]"))
    inner = create_model("Sensitivity", __base__=Table, **fields)
    return create_model("Root", __base__=Table, sensitivity=(inner, ...))


def sensitivity_problems(given: Any) -> list[str]:
    """Say what is wrong with a table `[sensitivity]`, one sentence for each problem.

    Parameters
    ----------
    given : object
        As a TOML parser gives it; what is not a table is left to the spec itself.
    """
    if not isinstance(given, Mapping):
        return []
    root = root_class(given)
    try:
        root.model_validate({"sensitivity": dict(given)})
    except ValidationError as error:
        return spec_problems(error, root)
    listed = given.get("parts", PARTS)
    return [
        f"sensitivity.{name} is given, but sensitivity.parts leaves it out; add it there, or "
        "remove the table"
        for name in given
        if name in PARTS and name not in listed
    ]


def read_settings(given: Mapping[str, Any] | None, only: Sequence[str] = ()) -> SensitivitySettings:
    """Read a table `[sensitivity]`.

    Parameters
    ----------
    given : mapping or None
        The table.
    only : sequence of str
        Parts that the command line asks for, instead of the table's.

    Raises
    ------
    SpecError
        For an unknown part or key, or a wrong value.
    """
    given = {} if given is None else given
    problems = sensitivity_problems(given)
    if problems:
        raise SpecError(join_problems("spec", problems))
    picked = list(only or given.get("parts", ()))
    try:
        parts = check_part_names(picked) if picked else PARTS
    except ValueError as problem:
        raise SpecError(f"--only: {problem}") from None
    tables_given = () if only else (name for name in PARTS if name in given)
    return SensitivitySettings(
        parts=parts,
        asked=frozenset([*picked, *tables_given]),
        selected=frozenset() if len(picked) == len(PARTS) else frozenset(picked),
        level=given.get("level"),
        tables={
            name: part_module(name).Settings.model_validate(dict(given.get(name, {})))
            for name in parts
        },
    )
