"""The analysis spec: what is asked of which cohort, as data that a clinician can read.

A spec is a TOML file and never code. Its tables are frozen pydantic models that take no
value of another type than they name ("4" is not 4, and `true` is not 1), refuse keys they do not
know, and report every problem of a file together.

Importing this module costs pydantic and nothing heavier, so `--help` and an error in a spec
come at once; priors and data sets are looked up when a spec is read.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationError, field_validator, model_validator

from bayes_crlm.model.formula import check_formula
from bayes_crlm.specification.data import DataSpec
from bayes_crlm.specification.model import (
    EstimandSpec,
    ModelSpec,
    SamplingSpec,
    StudySpec,
    SuccessSpec,
)
from bayes_crlm.specification.paths import path_seen_from
from bayes_crlm.specification.problems import spec_problems
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SpecError
from bayes_crlm.words.wording import shown, shown_name

TableCheck = Callable[[Any], list[str]]
NO_CHECKS: Mapping[str, TableCheck] = {}
# the first line of its table that `Spec.to_toml` writes, and what begins the comment on it
AUTO_LINE, USED = '[model.baseline]\ncutpoints = "auto"', "  # here: "


class Spec(Table):
    """One analysis: the question, the cohort, the model and what is estimated.

    Attributes
    ----------
    title : str
        The heading of the report.
    question : str or None
        The question in words.
    caution : str or None
        What has to be read beside the answer.
    data : DataSpec
        The cohort's source and columns.
    model : ModelSpec
        Treatment, covariates, baseline hazard and priors.
    sampling : SamplingSpec
        Chains, draws and seed.
    estimands : EstimandSpec
        Horizons and thresholds of what is reported.
    success : SuccessSpec
        From which probability on anything is concluded.
    study : StudySpec
        Whether treatment was drawn by lot.
    sensitivity : dict or None
        Checked, and kept as it is written: `bayes_crlm.sensitivity.settings` reads it.
    """

    title: str = Field(
        min_length=1, max_length=300, description="the report's heading in 1 to 300 characters"
    )
    question: str | None = Field(
        None, max_length=5000, description="the question in words, at most 5,000 characters"
    )
    caution: str | None = Field(
        None,
        min_length=1,
        max_length=2000,
        description="what has to be read beside the answer in 1 to 2,000 characters",
    )
    data: DataSpec = Field(description="a table [data]")
    model: ModelSpec = Field(description="a table [model]")
    sampling: SamplingSpec = Field(SamplingSpec(), description="a table [sampling]")
    estimands: EstimandSpec = Field(EstimandSpec(), description="a table [estimands]")
    success: SuccessSpec = Field(SuccessSpec(), description="a table [success]")
    study: StudySpec = Field(StudySpec(), description="a table [study]")
    sensitivity: dict[str, Any] | None = Field(None, description="a table [sensitivity]")

    _path: Path | None = PrivateAttr(default=None)
    _checks: Mapping[str, TableCheck] = PrivateAttr(default_factory=dict)
    _cutpoints_used: tuple[float, ...] | None = PrivateAttr(default=None)
    _more: Mapping[str, Any] = PrivateAttr(default_factory=dict)

    @field_validator("title")
    @classmethod
    def check_title(cls, title: str) -> str:
        """Refuse a title that would show as nothing, or over several lines."""
        if not title.strip() or not title.isprintable():
            raise ValueError(f"{shown(title)} is not a title; give one line of text")
        return title

    @field_validator("caution")
    @classmethod
    def check_caution(cls, caution: str | None) -> str | None:
        """Refuse a caution that would show as nothing."""
        if caution is not None and not caution.strip():
            raise ValueError(f"{shown(caution)} is not a caution; say it in words or leave it out")
        return caution

    @model_validator(mode="after")
    def check_roles(self) -> Self:
        """Refuse the outcome as its own explanation."""
        covariates = check_formula(self.model.covariates)
        for key, column in self.data.outcome_columns():
            if column == self.model.treatment:
                raise ValueError(
                    f"model.treatment and data.{key} are both {shown(column)}; "
                    "the treatment needs a column of its own"
                )
            if column in covariates and key in ("time", "event", "treatment_start"):
                why = (
                    "who is to start is not known when follow-up begins"
                    if key == "treatment_start"
                    else "the outcome cannot explain itself"
                )
                raise ValueError(
                    f"model.covariates uses {shown(column)}, which is data.{key}; "
                    f"{why}, so leave it out"
                )
        return self

    @property
    def path(self) -> Path | None:
        """The file the spec was read from; None for a spec made in Python."""
        return self._path

    @property
    def more(self) -> Mapping[str, Any]:
        """Tables that other packages know, by name: checked, and kept as they are written."""
        return self._more

    @property
    def name(self) -> str:
        """The file's name without its ending, by which results are filed."""
        return self._path.stem if self._path is not None else "spec"

    @classmethod
    def from_mapping(
        cls,
        tables: Mapping[str, Any],
        *,
        path: Path | None = None,
        where: str = "spec",
        checks: Mapping[str, TableCheck] = NO_CHECKS,
    ) -> Self:
        """Check the tables of a spec.

        Parameters
        ----------
        tables : mapping
            As a TOML parser gives them.
        path : Path, optional
            The file they were read from: relative data paths start at its folder.
        where : str
            How messages name the spec.
        checks : mapping of str to callable
            Tables that another package knows: from such a table to what is wrong with it, one
            sentence for each problem. Those of no field of this class are in `more`.

        Raises
        ------
        SpecError
            One line with every problem: the dotted key, the wrong value, what would be right.
        """
        spec, problems = None, []
        more = {
            name: tables[name] for name in checks if name in tables and name not in cls.model_fields
        }
        try:
            spec = cls.model_validate({k: v for k, v in tables.items() if k not in more})
        except ValidationError as error:
            problems = spec_problems(error, cls)
        for name, problems_of in checks.items():
            if tables.get(name):
                problems += problems_of(tables[name])
        if spec is None or problems:
            raise SpecError.of(where, problems)
        spec._path, spec._checks, spec._more = path, checks, more
        return spec

    def with_options(
        self,
        *,
        source: str | os.PathLike[str] | None = None,
        seed: int | None = None,
        draws: int | None = None,
        chains: int | None = None,
    ) -> "Spec":
        """Replace what the command line may replace.

        Parameters
        ----------
        source : path or str, optional
            Another file, relative to the working folder, or the name of a data set.
        seed, draws, chains : int, optional
            Another value of the key in ``[sampling]``.

        Returns
        -------
        Spec
            A new spec from the same file.

        Raises
        ------
        SpecError
            When a value is out of its range.
        """
        tables = self.to_mapping()
        if source is not None:
            text = os.fspath(source)
            is_name = text in known_data_sets() and not os.path.exists(text)
            folder = self._path.parent if self._path is not None else Path.cwd()
            tables["data"]["source"] = text if is_name else path_seen_from(folder, text)
        for key, value in (("seed", seed), ("draws", draws), ("chains", chains)):
            if value is not None:
                tables["sampling"][key] = value
        return type(self).from_mapping(
            tables, path=self._path, where="options", checks=self._checks
        )

    def data_path(self) -> str | Path:
        """Say where the cohort is.

        Returns
        -------
        str or Path
            The name of a data set of the package, unless a file of that name lies
            beside the spec; otherwise the absolute path, relative to the spec's folder.
        """
        folder = self._path.parent if self._path is not None else Path.cwd()
        source = self.data.source
        if os.pardir in Path(source).parts:  # leads from where a folder really lies
            folder = Path(os.path.realpath(folder))
        path = Path(os.path.abspath(os.path.join(folder, os.path.expanduser(source))))
        if source in known_data_sets() and not os.path.isfile(path):
            return source
        return path

    def to_mapping(self) -> dict[str, Any]:
        """Every key with its value, defaults included, as TOML types.

        Keys without a value are left out, and so is a weight that the prior does not use.
        """
        tables = self.model_dump(mode="python", exclude_none=True)
        if self.model.baseline.prior != "gamma":
            del tables["model"]["baseline"]["weight"]
        for key in ("where", "levels", "references", "missing_values"):
            if not getattr(self.data, key):
                del tables["data"][key]
        if self.sensitivity is not None:
            tables["sensitivity"] = self.sensitivity
        return tables | dict(self._more)

    def with_cutpoints_used(self, inner: Sequence[float]) -> Self:
        """Note which inner cutpoints "auto" came to, for `to_toml`."""
        resolved = self.model_copy()
        resolved._cutpoints_used = tuple(inner)
        return resolved

    def to_toml(self) -> str:
        """Write the spec with every default spelled out; reading it gives the same spec.

        Beside cutpoints that are "auto", those that were used stand in a comment.
        """
        import tomli_w

        text = tomli_w.dumps(self.to_mapping())
        if self._cutpoints_used is None:
            return text
        used = list(self._cutpoints_used) or 1
        return text.replace(AUTO_LINE, f"{AUTO_LINE}{USED}{used}", 1)


def without_cutpoints_used(text: str) -> str:
    """Take the comment on cutpoints out of what `Spec.to_toml` has written."""
    before, line, after = text.partition(AUTO_LINE + USED)
    return before + AUTO_LINE + after[after.find("\n") :] if line else text


def known_data_sets() -> frozenset[str]:
    """Names of the data sets inside the package."""
    from bayes_crlm.datasets import DATASETS

    return frozenset(DATASETS)


def read_spec(
    path_or_name: str | os.PathLike[str], checks: Mapping[str, TableCheck] = NO_CHECKS
) -> Spec:
    """Read a spec from a file, or by the name of a file in ``models/``.

    Parameters
    ----------
    path_or_name : path or str
        A path, or a name with or without ``.toml``. A file of that name in
        the working folder goes before the one in ``models/``.
    checks : mapping of str to callable
        Of tables that another package knows; see `Spec.from_mapping`.

    Raises
    ------
    SpecError
        One line that names the file and says every problem in it.
    """
    from bayes_crlm.specification.reading import find_spec, read_tables

    path = find_spec(path_or_name)
    where = shown_name(os.fspath(path_or_name))
    return Spec.from_mapping(read_tables(path, where), path=path, where=where, checks=checks)


def available_specs() -> list[tuple[str, str, Path]]:
    """List the specs in ``models/``.

    Returns
    -------
    list of (name, title, path)
        Sorted by name.

    Raises
    ------
    SpecError
        When one of them is not TOML or has no title.
    """
    from bayes_crlm.specification.reading import read_tables, spec_files

    listed = []
    for name, path in spec_files().items():
        title = read_tables(path).get("title")
        if not isinstance(title, str) or not title.strip():
            raise SpecError(f"{shown_name(path)}: title is missing; give the report's heading")
        listed.append((name, title, path))
    return listed
