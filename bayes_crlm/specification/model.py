"""The tables that say what is fitted and how: the model, its priors, sampling, what is reported."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from bayes_crlm.model.formula import check_formula
from bayes_crlm.specification.table import Table
from bayes_crlm.specification.values import (
    check_cutpoints,
    check_horizons,
    check_scalar,
    check_thresholds,
)
from bayes_crlm.words.success import SuccessRule


class BaselineSpec(Table):
    """The baseline hazard: where follow-up is cut and the prior of the log-hazards."""

    cutpoints: Annotated[Any, PlainValidator(check_cutpoints)] = Field(
        "auto", description="'auto', a number of intervals, or a list of increasing times"
    )
    prior: Literal["log_time_walk", "random_walk", "independent", "gamma"] = Field(
        "log_time_walk", description="one of 'log_time_walk', 'random_walk', 'independent', 'gamma'"
    )
    weight: float = Field(
        1.0,
        ge=1e-8,
        le=1e8,
        description="the weight of a gamma prior in patients at risk, a number from 1e-8 to 1e8",
    )

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

    treatment: str = Field("normal(0, 1)", description="a prior, such as 'normal(0, 1)'")
    covariates: str = Field("normal(0, 1)", description="a prior, such as 'normal(0, 1)'")

    @field_validator("treatment", "covariates")
    @classmethod
    def check_prior(cls, prior: str, info: Any) -> str:
        """Refuse what is not a prior; it stays a text here."""
        from bayes_crlm.model.priors import parse_prior

        parse_prior(prior, role=info.field_name)
        return prior


class ModelSpec(Table):
    """The comparison, the covariates and the priors."""

    treatment: str = Field(
        min_length=1, description="the column whose hazard ratio is the question"
    )
    reference: Annotated[Any, PlainValidator(check_scalar)] = Field(
        description="the treatment's reference level"
    )
    covariates: str = Field("", description="a formula, such as 'age + log(cea)'")
    baseline: BaselineSpec = Field(BaselineSpec(), description="a table [model.baseline]")
    priors: PriorSpec = Field(PriorSpec(), description="a table [model.priors]")

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

    chains: int = Field(4, ge=1, le=64, description="a whole number from 1 to 64")
    tune: int = Field(1000, ge=50, le=100_000, description="a whole number from 50 to 100000")
    draws: int = Field(1000, ge=1, le=100_000, description="a whole number from 1 to 100000")
    seed: int = Field(
        20211201, ge=0, le=2**32 - 1, description="a whole number from 0 to 4294967295"
    )
    target_accept: float = Field(0.8, ge=0.5, le=0.999, description="a number from 0.5 to 0.999")


class EstimandSpec(Table):
    """What is reported beside the hazard ratios, in the cohort's unit of time."""

    horizons: Annotated[Any, PlainValidator(check_horizons)] = Field(
        None, description="a list of times after 0"
    )
    rmst: float | None = Field(
        None, gt=0, description="the horizon of the restricted mean, a number above 0"
    )
    hr_thresholds: Annotated[Any, PlainValidator(check_thresholds)] = Field(
        (1.0, 0.8), description="a list of hazard ratios above 0"
    )
    origin: float | None = Field(
        None, ge=0, description="the time at which survival curves begin, a number from 0"
    )
    population: Literal["entrants", "before_entry"] = Field(
        "entrants", description="one of 'entrants', 'before_entry'"
    )


class SuccessSpec(Table):
    """What has to be how probable before anything is concluded; see `bayes_crlm.words.success`."""

    effect: float = Field(
        1.0, gt=0, description="the hazard ratio that is concluded about, above 0"
    )
    probability: float = Field(
        0.975, gt=0.5, lt=1, description="a probability above 0.5 and below 1"
    )

    @property
    def rule(self) -> SuccessRule:
        """The rule that the table states."""
        return SuccessRule(self.effect, self.probability)


class StudySpec(Table):
    """How patients came to their treatment."""

    design: Literal["observational", "randomised"] = Field(
        "observational", description="one of 'observational', 'randomised'"
    )
