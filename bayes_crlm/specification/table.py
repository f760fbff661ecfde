"""A table of the spec: what all of them have in common."""

from pydantic import BaseModel, ConfigDict


class Table(BaseModel):
    """A table of the spec: frozen, strict in its types, without unknown keys."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=False
    )
