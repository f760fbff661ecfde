"""The model as a frozen value: what is compared, with which columns, intervals and priors.

`PiecewiseExponential` says what; `prepare` puts a cohort into the arrays the model needs;
`build` writes it down as a `pm.Model`, the definition that every engine is checked
against; `fit` samples it and returns a `Fit`.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.arguments import covariates_of, cutpoints_of
from bayes_crlm.cautions import cautions
from bayes_crlm.cohort import Cohort
from bayes_crlm.design import Design, Level, build_design, columns_needed
from bayes_crlm.intervals import Cutpoints, Intervals, choose_intervals, cut_follow_up
from bayes_crlm.likelihood import SurvivalData
from bayes_crlm.priors import (
    BaselinePrior,
    EffectPrior,
    GammaProcess,
    baseline_prior,
    parse_prior,
)
from bayes_crlm.pymc_model import (
    DATA_DIMS,
    build_density_model,
    build_pymc_model,
    density_model_data,
    model_data,
)

if TYPE_CHECKING:
    import pymc as pm

    from bayes_crlm.fit import Fit

__all__ = [
    "DATA_DIMS",
    "ModelInputs",
    "PiecewiseExponential",
    "build_density_model",
    "build_pymc_model",
    "density_model_data",
    "model_data",
]

# pooling that saves less than this share of the rows is not worth a second copy of the data
POOLED_MOST = 0.5


@dataclass(frozen=True)
class ModelInputs:
    """A cohort as a model sees it: intervals, design and compact follow-up.

    Attributes
    ----------
    cohort : Cohort
        The rows used (complete cases).
    intervals : Intervals
        Cutpoints and what falls between them.
    design : Design
        Treatment contrasts and covariates.
    data : SurvivalData
        What the likelihood needs.
    log_rate : float
        log(events / exposure), where the baseline priors are centred.
    baseline, treatment_prior, covariate_prior
        Prior values.
    """

    cohort: Cohort
    intervals: Intervals
    design: Design
    data: SurvivalData
    log_rate: float
    baseline: BaselinePrior
    treatment_prior: EffectPrior
    covariate_prior: EffectPrior

    @cached_property
    def density_data(self) -> SurvivalData:
        """Data for what depends on the cohort's total alone: pooled, where that saves rows."""
        pooled = self.data.pooled()
        is_smaller = pooled.follow_up.n_rows <= POOLED_MOST * self.data.follow_up.n_rows
        return pooled if is_smaller else self.data

    @property
    def cautions(self) -> tuple[str, ...]:
        """What follow-up in several rows may mean for the results."""
        return cautions(self.cohort, self.design)

    @property
    def n_treatment_terms(self) -> int:
        """Number of treatment contrasts."""
        return self.design.n_treatment_terms

    @property
    def n_covariate_terms(self) -> int:
        """Number of covariate columns."""
        return len(self.design.terms) - self.design.n_treatment_terms

    @property
    def has_row_per_patient(self) -> bool:
        """Whether every patient has one row, in the order of the patients."""
        return self.data.n_patients == self.data.follow_up.n_rows

    @cached_property
    def final_row(self) -> NDArray[np.intp]:
        """The last row of every patient, shape (patients,)."""
        order = np.lexsort((self.cohort.time, self.cohort.patient_index))
        after = np.searchsorted(
            self.cohort.patient_index[order], np.arange(self.data.n_patients), side="right"
        )
        return order[after - 1]

    @property
    def structure(self) -> tuple[Any, ...]:
        """What a translated or compiled graph of the model depends on: not data, not numbers."""
        return (
            self.baseline.name,
            self.treatment_prior.family,
            self.covariate_prior.family if self.n_covariate_terms else None,
            self.intervals.n_intervals > 1,
            self.data.follow_up.is_delayed,
            self.is_baseline_integrated,
        )

    @property
    def is_baseline_integrated(self) -> bool:
        """Whether the sampler sees the hazards integrated out (gamma process only)."""
        return isinstance(self.baseline, GammaProcess) and self.baseline.is_integrated

    def coords(self) -> dict[str, list[Any]]:
        """Labels of every dimension of the posterior."""
        terms = list(self.design.terms)
        labels = self.intervals.labels
        return {
            "interval": labels,
            "step": labels[1:],
            "term": terms,
            "treatment_term": terms[: self.n_treatment_terms],
            "covariate_term": terms[self.n_treatment_terms :],
            "patient": self.cohort.patients.tolist(),
        }


@dataclass(frozen=True)
class PiecewiseExponential:
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
        See `bayes_crlm.intervals.choose_intervals`.
    baseline : {"random_walk", "independent", "gamma"} or prior value
        Prior of the baseline hazard.
    treatment_prior, covariate_prior : str or prior value
        Priors of log hazard ratios on the sampling scale, such as ``"normal(0, 1)"``.

    References
    ----------
    Friedman (1982), Ann Stat 10:101-113; Ibrahim, Chen & Sinha (2001), Bayesian
    Survival Analysis, chapter 3.
    """

    treatment: str
    reference: Level | None = None
    covariates: str = ""
    cutpoints: Cutpoints = "auto"
    baseline: Literal["random_walk", "independent", "gamma"] | BaselinePrior = field(
        default="random_walk"
    )
    treatment_prior: str | EffectPrior = "normal(0, 1)"
    covariate_prior: str | EffectPrior = "normal(0, 1)"

    def __post_init__(self) -> None:
        """Read the priors, so that a wrong one is said where it is written."""
        object.__setattr__(self, "baseline", baseline_prior(self.baseline))
        object.__setattr__(self, "treatment_prior", parse_prior(self.treatment_prior, "treatment"))
        object.__setattr__(self, "covariate_prior", parse_prior(self.covariate_prior))
        object.__setattr__(self, "covariates", covariates_of(self.covariates))
        object.__setattr__(self, "cutpoints", cutpoints_of(self.cutpoints))

    def prepare(self, cohort: Cohort) -> ModelInputs:
        """Choose intervals and build the design for a cohort.

        Parameters
        ----------
        cohort : Cohort
            Rows with missing values in used columns are refused or dropped, as the
            cohort's `missing` says.

        Returns
        -------
        ModelInputs

        Raises
        ------
        BayesCRLMError
            When cohort and model do not fit together; one sentence says where.
        """
        complete = cohort.complete(columns_needed(self.treatment, self.covariates))
        design = build_design(complete, self.treatment, self.reference, self.covariates)
        intervals = choose_intervals(complete.entry, complete.time, complete.event, self.cutpoints)
        data = SurvivalData(
            follow_up=cut_follow_up(complete.entry, complete.time, intervals.cutpoints),
            event=complete.event.astype(float),
            design=design.scaled,
            patient_index=complete.patient_index,
            n_patients=complete.n_patients,
        )
        return ModelInputs(
            cohort=complete,
            intervals=intervals,
            design=design,
            data=data,
            log_rate=math.log(complete.n_events / complete.exposure),
            baseline=baseline_prior(self.baseline),
            treatment_prior=parse_prior(self.treatment_prior, "treatment"),
            covariate_prior=parse_prior(self.covariate_prior),
        )

    def build(self, cohort: Cohort) -> "pm.Model":
        """Write the model for a cohort down as a `pm.Model` with named dims.

        Data and prior parameters are `pm.Data`. NUTS samples the same density in machine code
        (`bayes_crlm.log_posterior`).
        """
        return build_pymc_model(self.prepare(cohort))

    def fit(
        self,
        cohort: Cohort,
        *,
        draws: int = 1000,
        tune: int = 1000,
        chains: int = 4,
        seed: int | None = None,
        engine: Literal["nuts", "laplace"] = "nuts",
        target_accept: float = 0.8,
        progress: bool = False,
        origin: float | None = None,
        population: Literal["entrants", "before_entry"] = "entrants",
    ) -> "Fit":
        """Draw from the posterior.

        Parameters
        ----------
        cohort : Cohort
            The data.
        draws, tune, chains : int
            Kept draws and warm-up draws of each chain; number of chains.
        seed : int, optional
            The same seed gives the same draws on the same machine.
        engine : {"nuts", "laplace"}
            Hamiltonian Monte Carlo, or importance-sampled draws around the mode.
        target_accept : float
            NUTS' mean acceptance, to which the step size is tuned.
        progress : bool
            Show a progress bar.
        origin : float, optional
            The time that survival is given survival to; see `bayes_crlm.origin`. It changes no
            draw.
        population : {"entrants", "before_entry"}
            Whom estimands average over; see `bayes_crlm.population`.

        Returns
        -------
        Fit

        Raises
        ------
        EstimandError
            When the origin is no time within follow-up, or there is no such population.
        """
        from bayes_crlm.engines import fit_model
        from bayes_crlm.origin import check_origin
        from bayes_crlm.population import check_population

        inputs = self.prepare(cohort)
        # before the draws are made, not after
        origin = check_origin(origin, inputs)
        check_population(population)
        fit = fit_model(
            self,
            inputs,
            draws=draws,
            tune=tune,
            chains=chains,
            seed=seed,
            engine=engine,
            target_accept=target_accept,
            progress=progress,
        )
        return fit.estimating(origin=origin, population=population)
