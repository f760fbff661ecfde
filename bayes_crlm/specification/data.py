"""The table ``[data]``: where the cohort is, and what its columns mean."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from bayes_crlm.specification.table import Table
from bayes_crlm.specification.values import (
    by_column,
    check_censoring_end,
    check_condition_value,
    check_event,
    check_rounded,
    check_time,
    check_treatment_start,
    check_zero_times,
)
from bayes_crlm.words.wording import shown

OUTCOME_KEYS = ("time", "event", "entry", "id", "treatment_start", "censoring_end")

ColumnName = Annotated[str, Field(min_length=1, description="the name of a column")]


class ConditionSpec(Table):
    """A condition that a row has to meet to be in the cohort."""

    column: ColumnName
    op: Literal["==", "!=", "<", "<=", ">", ">=", "in", "not in"] = Field(
        description="one of '==', '!=', '<', '<=', '>', '>=', 'in', 'not in'"
    )
    value: Annotated[Any, PlainValidator(check_condition_value)] = Field(
        description="what it is compared with"
    )

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

    source: str = Field(
        min_length=1, description="the name of a data set, or a path relative to the spec"
    )
    time: Annotated[Any, PlainValidator(check_time)] = Field(
        description="the column of follow-up times, or {start, end}, two columns of dates"
    )
    event: Annotated[Any, PlainValidator(check_event)] = Field(
        description="the column that is 1 or true where the event happened, or {column, value}"
    )
    entry: str | None = Field(
        None, min_length=1, description="the column of times at which rows enter"
    )
    id: str | None = Field(
        None, min_length=1, description="the column that names the patient of a row"
    )
    unit: str | None = Field(
        None,
        min_length=1,
        max_length=40,
        description="the unit of time in 1 to 40 characters, such as 'months'",
    )
    time_unit: Literal["hours", "days", "weeks", "months", "years"] | None = Field(
        None, description="the unit of the file's times: hours, days, weeks, months or years"
    )
    date_format: str | None = Field(
        None, min_length=2, description="how dates are written, such as '%d/%m/%Y'"
    )
    zero_times: Annotated[Any, PlainValidator(check_zero_times)] = Field(
        "error", description="'error', 'drop', or a number above 0 in the unit"
    )
    rounded: Annotated[Any, PlainValidator(check_rounded)] = Field(
        None, description="how times were rounded, such as {unit = 1, to = 'nearest'}"
    )
    where: tuple[ConditionSpec, ...] = Field(
        (), strict=False, description="a list of {column, op, value}"
    )
    missing: Literal["error", "drop"] = Field("error", description="one of 'error', 'drop'")
    censoring_end: Annotated[Any, PlainValidator(check_censoring_end)] = Field(
        None, description="the column of times at which the study ended, or a date"
    )
    levels: Annotated[dict[str, Any], by_column("levels")] = Field(
        default_factory=dict, description="a table of lists of levels, or 'number', by column"
    )
    references: Annotated[dict[str, Any], by_column("references")] = Field(
        default_factory=dict, description="a table of reference levels by column"
    )
    missing_values: Annotated[dict[str, Any], by_column("missing_values")] = Field(
        default_factory=dict, description="a table of lists of values by column"
    )
    sheet: str | None = Field(
        None, min_length=1, description="the name of a sheet of an Excel workbook"
    )
    treatment_start: Annotated[Any, PlainValidator(check_treatment_start)] = Field(
        None, description="the column of times at which treatment started, or 0"
    )

    @field_validator("source")
    @classmethod
    def check_source(cls, source: str) -> str:
        """Refuse what no file can be called."""
        if not source.strip() or not source.isprintable():
            raise ValueError(f"{shown(source)} is not the name of a file or data set")
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
