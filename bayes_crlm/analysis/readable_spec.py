"""What can be read of a spec that is wrong, so that problems of its data are told with its own.

A key that is not known is taken for the nearest known one, as the message about it suggests; a
value that is wrong is left out. What then is wrong with the data is told beside the problems of
the spec, but only what is wrong for certain: where the spec is wrong about which rows are used and
what they mean, only columns that do not exist.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pydantic import ValidationError, model_validator

from bayes_crlm.specification.data import DataSpec
from bayes_crlm.specification.model import ModelSpec
from bayes_crlm.specification.problems import find_field
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError, SpecError
from bayes_crlm.words.wording import nearest, shown_name

if TYPE_CHECKING:
    import argparse

LARGEST_FILE = 50_000_000
"""Bytes; what is wrong with a spec is said at once where reading the data would take longer."""
HARMLESS = {"censoring_end", "references", "treatment_start", "unit"}
"""Keys of ``[data]`` that change neither which rows are used nor what an event is."""
NEEDED = {("data",), ("model",), ("data", "source"), ("model", "treatment")}
"""What cannot be left out; times and events are needed, too."""


class ReadableModel(ModelSpec):
    """A model whose reference level may be left out."""

    reference: Any = None


class ReadableSpec(Spec):
    """A spec that may explain the outcome by itself, which has been told."""

    model: ReadableModel

    @model_validator(mode="after")
    def check_roles(self) -> Self:
        """Take what has been refused already."""
        return self


def with_problems_of_data(first: SpecError, options: "argparse.Namespace") -> SpecError:
    """Put what is wrong with the data beside what is wrong with a spec.

    Parameters
    ----------
    first : SpecError
        What `bayes_crlm.specification.spec.read_spec` said.
    options : argparse.Namespace
        The command line's: the spec, and the data instead of the spec's.

    Returns
    -------
    SpecError
        `first` itself where the spec cannot be read far enough, or nothing else is wrong.
    """
    from bayes_crlm.specification.reading import find_spec, read_tables

    if not first.problems:
        return first
    path = find_spec(options.spec)
    spec, is_certain = readable_part(read_tables(path), path)
    if spec is None:
        return first
    try:
        spec = spec.with_options(source=options.data)
        found = problems_of_data(spec, is_certain=is_certain)
    except SpecError:
        return first
    if any("so leave it out" in each for each in first.problems):
        found = [each for each in found if "so leave it out" not in each]
    if not found:
        return first
    from bayes_crlm.specification.source_paths import source_name

    where = f"{shown_name(options.spec)} with {shown_name(source_name(spec))}"
    return SpecError.of(where, [*first.problems, *found])


def readable_part(tables: Mapping[str, Any], path: Path) -> tuple[Spec | None, bool]:
    """Read what can be read of a spec.

    Parameters
    ----------
    tables : mapping
        As a TOML parser gives them; of which something is wrong.
    path : Path
        The file they were read from.

    Returns
    -------
    Spec or None
        None where what is missing is needed.
    bool
        Whether it says for certain which rows are used and what they mean.
    """
    given = copy.deepcopy(dict(tables))
    given.pop("sensitivity", None)
    is_certain = True
    while True:
        try:
            spec = ReadableSpec.model_validate(given)
        except ValidationError as error:
            found = error.errors(include_url=False)
        else:
            spec._path = path
            return spec, is_certain
        unknown = [each["loc"] for each in found if each["type"] == "extra_forbidden"]
        if unknown:
            for location in unknown:
                is_certain &= take_for_nearest(given, location)
            continue
        for each in found:
            location = each["loc"]
            if location == ("title",):
                given["title"] = "no title"
            elif not forget(given, location):
                return None, False
            is_certain &= location[:1] != ("data",) or location[1:2] in {(k,) for k in HARMLESS}


def take_for_nearest(tables: dict[str, Any], location: tuple[int | str, ...]) -> bool:
    """Rename an unknown key to the nearest known one; gives whether it has no say on the rows."""
    table = held_by(tables, location)
    value = table.pop(location[-1])
    owner, _ = find_field(ReadableSpec, location)
    known = nearest(location[-1], [] if owner is None else owner.model_fields)
    if known is not None and known not in table:
        table[known] = value
        return True
    is_of_data = location[0] == "data" or location[-1] in DataSpec.model_fields
    return not is_of_data or known in HARMLESS


def forget(tables: dict[str, Any], location: tuple[int | str, ...]) -> bool:
    """Leave out what is wrong; gives whether it can be left out."""
    place = tuple(each for each in location if isinstance(each, str))
    while place and place not in NEEDED and place[:2] not in {("data", "time"), ("data", "event")}:
        table = held_by(tables, place)
        if isinstance(table, dict) and place[-1] in table:
            del table[place[-1]]
            return True
        place = place[:-1]
    return False


def held_by(tables: Any, location: tuple[int | str, ...]) -> Any:
    """The table that holds what a location names; None where there is no such table."""
    for step in location[:-1]:
        try:
            tables = tables[step]
        except (KeyError, IndexError, TypeError):
            return None
    return tables


def problems_of_data(spec: Spec, *, is_certain: bool) -> list[str]:
    """Say what is wrong with the data of a spec.

    Parameters
    ----------
    spec : Spec
        The analysis that is asked for.
    is_certain : bool
        Whether it says for certain which rows are used and what they mean.
    """
    from bayes_crlm.analysis.every_problem import bare, problems_of_columns
    from bayes_crlm.analysis.plan import cohort_arguments, plan_analysis

    source = spec.data_path()
    if isinstance(source, Path) and source.is_file() and source.stat().st_size > LARGEST_FILE:
        return []
    arguments = cohort_arguments(spec)
    try:
        if not is_certain:
            return problems_of_columns(spec, arguments)
        plan_analysis(spec)
    except BayesCRLMError as problem:
        return list(problem.problems) or [bare(problem, arguments.name)]
    return []
