"""The analysis spec: what is asked of which cohort, as data that a clinician can read.

A spec is a TOML file and never code. Its tables are frozen pydantic models that take no
value of another type than they name ("4" is not 4, and `true` is not 1), refuse keys they do not
know, and report every problem of a file together.

Importing this module costs pydantic and nothing heavier, so `--help` and an error in a spec
come at once; priors and data sets are looked up when a spec is read.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from bayes_crlm.model.formula import check_formula
from bayes_crlm.specification.paths import path_seen_from
from bayes_crlm.specification.problems import spec_problems
from bayes_crlm.specification.values import (
    check_censoring_end,
    check_condition_value,
    check_cutpoints,
    check_event,
    check_horizons,
    check_levels,
    check_missing_values,
    check_references,
    check_rounded,
    check_scalar,
    check_thresholds,
    check_time,
    check_treatment_start,
    check_zero_times,
)
from bayes_crlm.words.errors import SpecError
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import shown, shown_name

__all__ = [
    "BaselineSpec",
    "ConditionSpec",
    "DataSpec",
    "EstimandSpec",
    "ModelSpec",
    "PriorSpec",
    "SamplingSpec",
    "Spec",
    "StudySpec",
    "SuccessSpec",
    "available_specs",
    "read_spec",
]

TableCheck = Callable[[Any], list[str]]
NO_CHECKS: Mapping[str, TableCheck] = {}

OUTCOME_KEYS = ("time", "event", "entry", "id", "treatment_start", "censoring_end")


class Table(BaseModel):
    """A table of the spec: frozen, strict in its types, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=False
    )


ColumnName = Annotated[str, Field(min_length=1, description="the name of a column")]


class ConditionSpec(Table):
    """A condition that a row has to meet to be in the cohort."""

    column: ColumnName
    op: Annotated[
        Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"],
        Field(description="one of '==', '!=', '<', '<=', '>', '>=', 'in', 'not in'"),
    ]
    value: Annotated[
        Any, PlainValidator(check_condition_value), Field(description="what it is compared with")
    ]

    @model_validator(mode="after")
    def check_value_suits_op(self) -> Self:
        """Refuse a list where one value is compared, and one value where a list is searched."""
        is_list = isinstance(self.value, tuple)
        if is_list != (self.op in ("in", "not in")):
            wanted = "one value" if is_list else "a list of values"
            given = list(self.value) if is_list else self.value
            raise ValueError(f"value {shown(given)} does not suit op {self.op!r}; give {wanted}")
        return self


class DataSpec(Table):
    """Where the cohort is and what its columns mean."""

    source: Annotated[
        str,
        Field(min_length=1, description="the name of a data set, or a path relative to the spec"),
    ]
    time: Annotated[
        Any,
        PlainValidator(check_time),
        Field(description="the column of follow-up times, or {start, end}, two columns of dates"),
    ]
    event: Annotated[
        Any,
        PlainValidator(check_event),
        Field(
            description="the column that is 1 or true where the event happened, or {column, value}"
        ),
    ]
    entry: Annotated[
        str | None, Field(min_length=1, description="the column of times at which rows enter")
    ] = None
    id: Annotated[
        str | None, Field(min_length=1, description="the column that names the patient of a row")
    ] = None
    unit: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=40,
            description="the unit of time in 1 to 40 characters, such as 'months'",
        ),
    ] = None
    time_unit: Annotated[
        Literal["hours", "days", "weeks", "months", "years"] | None,
        Field(description="the unit of the file's times: hours, days, weeks, months or years"),
    ] = None
    date_format: Annotated[
        str | None, Field(min_length=2, description="how dates are written, such as '%d/%m/%Y'")
    ] = None
    zero_times: Annotated[
        Any,
        PlainValidator(check_zero_times),
        Field(description="'error', 'drop', or a number above 0 in the unit"),
    ] = "error"
    rounded: Annotated[
        Any,
        PlainValidator(check_rounded),
        Field(description="how times were rounded, such as {unit = 1, to = 'nearest'}"),
    ] = None
    where: Annotated[
        tuple[ConditionSpec, ...],
        Field(strict=False, description="a list of {column, op, value}"),
    ] = ()
    missing: Annotated[Literal["error", "drop"], Field(description="one of 'error', 'drop'")] = (
        "error"
    )
    censoring_end: Annotated[
        Any,
        PlainValidator(check_censoring_end),
        Field(description="the column of times at which the study ended, or a date"),
    ] = None
    levels: Annotated[
        dict[str, Any],
        PlainValidator(check_levels),
        Field(description="a table of lists of levels, or 'number', by column"),
    ] = {}
    references: Annotated[
        dict[str, Any],
        PlainValidator(check_references),
        Field(description="a table of reference levels by column"),
    ] = {}
    missing_values: Annotated[
        dict[str, Any],
        PlainValidator(check_missing_values),
        Field(description="a table of lists of values by column"),
    ] = {}
    sheet: Annotated[
        str | None, Field(min_length=1, description="the name of a sheet of an Excel workbook")
    ] = None
    treatment_start: Annotated[
        Any,
        PlainValidator(check_treatment_start),
        Field(description="the column of times at which treatment started, or 0"),
    ] = None

    @field_validator("source")
    @classmethod
    def check_source(cls, source: str) -> str:
        """Refuse what no file can be called."""
        if not source.strip() or not source.isprintable():
            raise ValueError(f"{shown(source)} is not a name of a file or data set")
        return source

    @model_validator(mode="after")
    def check_columns_differ(self) -> Self:
        """Refuse one column in two roles."""
        roles: dict[str, str] = {}
        for key, column in self.outcome_columns():
            if column in roles:
                raise ValueError(
                    f"{roles[column]} and {key} are both {shown(column)}; "
                    "give each a column of its own"
                )
            roles[column] = key
        return self

    def outcome_columns(self) -> list[tuple[str, str]]:
        """Which key names which column of the outcome; a key may name two."""
        found = []
        for key in OUTCOME_KEYS:
            given = getattr(self, key)
            if isinstance(given, Mapping):
                named = [given.get("start"), given.get("end"), given.get("column")]
            else:
                named = [given]
            found += [(key, column) for column in named if isinstance(column, str)]
        return found


class BaselineSpec(Table):
    """The baseline hazard: where follow-up is cut and the prior of the log-hazards."""

    cutpoints: Annotated[
        Any,
        PlainValidator(check_cutpoints),
        Field(description="'auto', a number of intervals, or a list of increasing times"),
    ] = "auto"
    prior: Annotated[
        Literal["independent", "random_walk", "gamma"],
        Field(description="one of 'independent', 'random_walk', 'gamma'"),
    ] = "random_walk"
    weight: Annotated[
        float,
        Field(
            ge=1e-8,
            le=1e8,
            description="the weight of a gamma prior in patients at risk, "
            "a number from 1e-8 to 1e8",
        ),
    ] = 1.0

    @model_validator(mode="after")
    def check_weight_has_a_use(self) -> Self:
        """Refuse a weight that the prior would ignore."""
        if "weight" in self.model_fields_set and self.prior != "gamma":
            raise ValueError(
                f"weight is given, but prior is {self.prior!r}; "
                'weight belongs to prior = "gamma", so leave it out'
            )
        return self


class PriorSpec(Table):
    """Priors of the log hazard ratios, on centred and scaled columns."""

    treatment: Annotated[str, Field(description="a prior, such as 'normal(0, 1)'")] = "normal(0, 1)"
    covariates: Annotated[str, Field(description="a prior, such as 'normal(0, 1)'")] = (
        "normal(0, 1)"
    )

    @field_validator("treatment", "covariates")
    @classmethod
    def check_prior(cls, prior: str, info: Any) -> str:
        """Refuse what is not a prior; it stays a text here."""
        from bayes_crlm.model.priors import parse_prior

        parse_prior(prior, role=info.field_name)
        return prior


class ModelSpec(Table):
    """The comparison, the covariates and the priors."""

    treatment: Annotated[
        str, Field(min_length=1, description="the column whose hazard ratio is the question")
    ]
    reference: Annotated[
        Any, PlainValidator(check_scalar), Field(description="the treatment's reference level")
    ]
    covariates: Annotated[str, Field(description="a formula, such as 'age + log(cea)'")] = ""
    baseline: Annotated[BaselineSpec, Field(description="a table [model.baseline]")] = (
        BaselineSpec()
    )
    priors: Annotated[PriorSpec, Field(description="a table [model.priors]")] = PriorSpec()

    @field_validator("covariates")
    @classmethod
    def check_covariates(cls, covariates: str) -> str:
        """Refuse a formula that does more than combine columns."""
        check_formula(covariates)
        return covariates


class SamplingSpec(Table):
    """How the posterior is sampled.

    `tune` has a least value because NUTS adapts its step size and its mass matrix in windows;
    with fewer than about 50 iterations no window is complete, so that the draws say nothing
    about the model. `draws` has none: too few are flagged by the diagnostics.
    """

    chains: Annotated[int, Field(ge=1, le=64, description="a whole number from 1 to 64")] = 4
    tune: Annotated[
        int, Field(ge=50, le=100_000, description="a whole number from 50 to 100000")
    ] = 1000
    draws: Annotated[
        int, Field(ge=1, le=100_000, description="a whole number from 1 to 100000")
    ] = 1000
    seed: Annotated[
        int, Field(ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295")
    ] = 20211201
    target_accept: Annotated[
        float, Field(ge=0.5, le=0.999, description="a number from 0.5 to 0.999")
    ] = 0.8


class EstimandSpec(Table):
    """What is reported beside the hazard ratios, in the cohort's unit of time."""

    horizons: Annotated[
        Any, PlainValidator(check_horizons), Field(description="a list of times after 0")
    ] = None
    rmst: Annotated[
        float | None,
        Field(gt=0, description="the horizon of the restricted mean, a number above 0"),
    ] = None
    hr_thresholds: Annotated[
        Any, PlainValidator(check_thresholds), Field(description="a list of hazard ratios above 0")
    ] = (1.0, 0.8)
    origin: Annotated[
        float | None,
        Field(ge=0, description="the time that survival is given survival to, a number from 0"),
    ] = None
    population: Annotated[
        Literal["entrants", "before_entry"],
        Field(description="one of 'entrants', 'before_entry'"),
    ] = "entrants"


class SuccessSpec(Table):
    """What has to be how probable before anything is concluded; see `bayes_crlm.words.success`."""

    effect: Annotated[
        float, Field(gt=0, description="the hazard ratio that is concluded about, above 0")
    ] = 1.0
    probability: Annotated[
        float, Field(gt=0.5, lt=1, description="a probability above 0.5 and below 1")
    ] = 0.975

    @property
    def rule(self) -> SuccessRule:
        """The rule that the table states."""
        return SuccessRule(self.effect, self.probability)


class StudySpec(Table):
    """How patients came to their treatment."""

    design: Annotated[
        Literal["observational", "randomised"],
        Field(description="one of 'observational', 'randomised'"),
    ] = "observational"


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

    title: Annotated[
        str,
        Field(
            min_length=1, max_length=300, description="the report's heading in 1 to 300 characters"
        ),
    ]
    question: Annotated[
        str | None,
        Field(max_length=5000, description="the question in words, at most 5,000 characters"),
    ] = None
    caution: Annotated[
        str | None,
        Field(
            min_length=1,
            max_length=2000,
            description="what has to be read beside the answer in 1 to 2,000 characters",
        ),
    ] = None
    data: Annotated[DataSpec, Field(description="a table [data]")]
    model: Annotated[ModelSpec, Field(description="a table [model]")]
    sampling: Annotated[SamplingSpec, Field(description="a table [sampling]")] = SamplingSpec()
    estimands: Annotated[EstimandSpec, Field(description="a table [estimands]")] = EstimandSpec()
    success: Annotated[SuccessSpec, Field(description="a table [success]")] = SuccessSpec()
    study: Annotated[StudySpec, Field(description="a table [study]")] = StudySpec()
    sensitivity: Annotated[dict[str, Any] | None, Field(description="a table [sensitivity]")] = None

    _path: Path | None = PrivateAttr(default=None)
    _checks: Mapping[str, TableCheck] = PrivateAttr(default_factory=dict)

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
            sentence for each problem.

        Raises
        ------
        SpecError
            One line with every problem: the dotted key, the wrong value, what would be right.
        """
        spec, problems = None, []
        try:
            spec = cls.model_validate(dict(tables))
        except ValidationError as error:
            problems = spec_problems(error, cls)
        for name, problems_of in checks.items():
            if tables.get(name):
                problems += problems_of(tables[name])
        if spec is None or problems:
            raise SpecError.of(where, problems)
        spec._path, spec._checks = path, checks
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
        return tables

    def to_toml(self) -> str:
        """Write the spec with every default spelled out; reading it gives the same spec."""
        import tomli_w

        return tomli_w.dumps(self.to_mapping())


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
