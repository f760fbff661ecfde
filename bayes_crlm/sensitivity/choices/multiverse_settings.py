"""The table `[sensitivity.multiverse]` of a spec."""

from typing import Annotated, Any

from pydantic import Field, PlainValidator

from bayes_crlm.model.formula import check_formula
from bayes_crlm.specification.data import ConditionSpec
from bayes_crlm.specification.lists import check_list, interval_numbers, ratios, some_of
from bayes_crlm.specification.table import Table

FAMILIES = ("normal", "student_t", "laplace")
BASELINES = ("log_time_walk", "random_walk", "independent", "gamma")
COVARIATE_SETS = ("all", "none", "leave_one_out")


def check_covariates(value: object) -> tuple[str, ...]:
    """Take a list of covariate sets: names of ours, or formulas."""
    sets = check_list(value, "covariate sets")
    for each in sets:
        if each not in COVARIATE_SETS:
            check_formula(each)
    return sets


Conditions = Annotated[
    tuple[ConditionSpec, ...], Field(strict=False, description="a list of {column, op, value}")
]


class Settings(Table):
    """The table `[sensitivity.multiverse]`: the options of every choice."""

    families: Annotated[Any, some_of("families of priors", FAMILIES)] = ("normal", "student_t")
    scales: Annotated[Any, ratios("scales")] = (0.5, 1.0, 2.5)
    degrees_of_freedom: float = Field(
        3.0, gt=0, description="degrees of freedom of Student t priors, above 0"
    )
    baselines: Annotated[Any, some_of("baseline priors", BASELINES)] = BASELINES
    intervals: Annotated[Any, interval_numbers()] = Field(
        "auto", description="'auto' or a list of numbers of intervals"
    )
    covariates: Annotated[Any, PlainValidator(check_covariates)] = Field(
        COVARIATE_SETS, description="a list of 'all', 'none', 'leave_one_out' and formulas"
    )
    unusual: bool = Field(
        True, description="true to leave out patients of unusual covariates, or false"
    )
    exclusions: dict[str, Conditions] = Field(
        {}, description="a table of lists of conditions to be met"
    )
    draws: int = Field(1000, ge=500, le=100_000, description="a whole number from 500 to 100000")
