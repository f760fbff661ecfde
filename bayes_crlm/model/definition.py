"""The model as a frozen value: what is compared, with which columns, intervals and priors.

`ModelDefinition` says what; `prepare` puts a cohort into the arrays that the model needs; `build`
writes it down as a `pm.Model`, the definition that every engine is checked against.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.intervals import Cutpoints
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import (
    DEFAULT_BASELINE,
    BaselineName,
    BaselinePrior,
    baseline_prior,
)
from bayes_crlm.model.design import Level, build_design, columns_needed
from bayes_crlm.model.division import kinds_of_rows
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.prepared_block import prepared_blocks
from bayes_crlm.model.priors import EffectPrior, parse_prior
from bayes_crlm.model.pymc_model import build_pymc_model
from bayes_crlm.model.pytensor_place import give_pytensor_a_place
from bayes_crlm.model.terms.term import Term
from bayes_crlm.words.arguments import covariates_of, cutpoints_of
from bayes_crlm.words.errors import CohortError, DesignError
from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    import pymc as pm


@dataclass(frozen=True)
class ModelDefinition:
    """Piecewise-exponential proportional-hazards model.

    Parameters
    ----------
    treatment : str
        Column whose hazard ratios are the question.
    reference : str, int, float or bool, optional
        Its reference level; the first in order without it.
    covariates : str
        Right-hand side of a formula, such as ``"age + log(cea)"``; empty for none.
    cutpoints : "auto", int or sequence of float
        See `bayes_crlm.likelihood.intervals.choose_intervals`.
    baseline : {"log_time_walk", "random_walk", "independent", "gamma"} or prior value
        Prior of the baseline hazard.
    treatment_prior, covariate_prior : str or prior value
        Priors of log hazard ratios on the sampling scale, such as ``"normal(0, 1)"``.
    terms : tuple of Term
        Other kinds of terms (`bayes_crlm.model.terms.term`); columns of theirs stand last.

    References
    ----------
    Friedman (1982), Ann Stat 10:101-113; Ibrahim, Chen & Sinha (2001), Bayesian
    Survival Analysis, chapter 3.
    """

    treatment: str
    reference: Level | None = None
    covariates: str = ""
    cutpoints: Cutpoints = "auto"
    baseline: BaselineName | BaselinePrior = DEFAULT_BASELINE
    treatment_prior: str | EffectPrior = "normal(0, 1)"
    covariate_prior: str | EffectPrior = "normal(0, 1)"
    terms: tuple[Term, ...] = ()

    def __post_init__(self) -> None:
        """Read the priors, so that a wrong one is said where it is written."""
        if not isinstance(self.treatment, str):
            raise DesignError(
                f"treatment must be a column's name in text, not {shown(self.treatment)}"
            )
        object.__setattr__(self, "baseline", baseline_prior(self.baseline))
        object.__setattr__(self, "treatment_prior", parse_prior(self.treatment_prior, "treatment"))
        object.__setattr__(self, "covariate_prior", parse_prior(self.covariate_prior))
        object.__setattr__(self, "covariates", covariates_of(self.covariates))
        object.__setattr__(self, "cutpoints", cutpoints_of(self.cutpoints))
        if not isinstance(self.terms, tuple) or not all(isinstance(k, Term) for k in self.terms):
            raise DesignError(f"terms must be a tuple of terms, not {shown(self.terms)}")

    @property
    def priors(self) -> dict[str, Any]:
        """Priors of the baseline, the treatment's contrasts and the formula's columns."""
        return {
            "baseline": self.baseline,
            "treatment_prior": self.treatment_prior,
            "covariate_prior": self.covariate_prior,
        }

    def prepare(self, cohort: Cohort) -> PreparedCohort:
        """Choose intervals and build the design for a cohort: a block of one, and its one part.

        Parameters
        ----------
        cohort : Cohort
            Rows with missing values in used columns are refused or dropped, as the
            cohort's `missing` says.

        Returns
        -------
        PreparedCohort

        Raises
        ------
        BayesCRLMError
            When cohort and model do not fit together; one sentence says where.
        """
        if not isinstance(cohort, Cohort):
            kind = type(cohort).__name__
            raise CohortError(f"a cohort is needed, not a {kind}; read_cohort makes one of a table")
        complete = cohort.complete(columns_needed(self.treatment, self.covariates, self.terms))
        design = build_design(complete, self.treatment, self.reference, self.covariates, self.terms)
        (block,) = prepared_blocks(complete, design, self.cutpoints, self.priors)
        design = block.design.part(0)
        kinds, rows = kinds_of_rows(
            complete, design.treatment_level, len(design.levels), self.terms
        )
        data = SurvivalData(
            follow_up=block.follow_up.part(0),
            event=block.event[0],
            design=design.scaled,
            patient_index=complete.patient_index,
            n_patients=complete.n_patients,
            **rows,
        )
        return PreparedCohort(
            cohort=complete,
            intervals=block.intervals.part(0),
            design=design,
            data=data,
            log_rate=float(block.log_rate[0]),
            terms=self.terms,
            kinds=kinds,
            **self.priors,
        )

    def build(self, cohort: Cohort) -> "pm.Model":
        """Write the model for a cohort down as a `pm.Model` with named dims.

        Data and prior parameters are `pm.Data`. NUTS samples the same density in machine code
        (`bayes_crlm.inference.native`).
        """
        give_pytensor_a_place()
        return build_pymc_model(self.prepare(cohort))
