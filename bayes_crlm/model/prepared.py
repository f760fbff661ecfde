"""A cohort as a model sees it: intervals, design and compact follow-up, as one frozen value."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.likelihood.intervals import Intervals
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import BaselinePrior, GammaProcess, WalkPrior
from bayes_crlm.model.cautions import cautions
from bayes_crlm.model.density import AnyBlock, BlockModel
from bayes_crlm.model.design import Design
from bayes_crlm.model.priors import EffectPrior
from bayes_crlm.model.profiles import Profiles, profiles_of, under
from bayes_crlm.model.terms.baseline import baseline_block
from bayes_crlm.model.terms.blocks import Block, Cells
from bayes_crlm.model.terms.columns import TermColumns, columns_of_terms
from bayes_crlm.model.terms.effects import effect_block
from bayes_crlm.model.terms.term import Term

# pooling that saves less than this share of the rows is not worth a second copy of the data
POOLED_MOST = 0.5


@dataclass(frozen=True)
class PreparedCohort:
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
    terms : tuple of Term
        Other kinds of terms, whose columns are the design's last.
    """

    cohort: Cohort
    intervals: Intervals
    design: Design
    data: SurvivalData
    log_rate: float
    baseline: BaselinePrior
    treatment_prior: EffectPrior
    covariate_prior: EffectPrior
    terms: tuple[Term, ...] = ()

    @cached_property
    def density_data(self) -> SurvivalData:
        """Data for what depends on the cohort's total alone: pooled, where that saves rows."""
        pooled = self.data.pooled()
        is_smaller = pooled.follow_up.n_rows <= POOLED_MOST * self.data.follow_up.n_rows
        return pooled if is_smaller else self.data

    @property
    def has_walk(self) -> bool:
        """Whether the log-hazards are a walk with a step scale to be drawn."""
        return isinstance(self.baseline, WalkPrior) and self.intervals.n_intervals > 1

    @cached_property
    def step_variances(self) -> NDArray[np.float64]:
        """Variance of each of a walk's steps when its scale is 1, shape (intervals - 1,).

        Raises
        ------
        TypeError
            Where the log-hazards are not a walk.
        """
        baseline = self.blocks[-1]
        if not isinstance(baseline, Block) or baseline.walk is None:
            raise TypeError(f"the hazards are not a walk: {self.baseline.describe()}")
        return baseline.walk.step_variances

    @cached_property
    def blocks(self) -> tuple[AnyBlock, ...]:
        """The model's unknowns, in the order of the sampler's vector."""
        effects = [
            effect_block(name, prior, columns.start, columns.stop)
            for name, prior, columns in self.columns_of_terms
        ]
        baseline = baseline_block(
            self.baseline,
            Cells.of_strata(self.data.stratum_of_class),
            self.intervals.events[None],
            self.intervals.cutpoints,
            earliest=float(self.cohort.entry.min()),
            log_rate=self.log_rate,
        )
        return (*effects, baseline)

    @cached_property
    def block_model(self) -> BlockModel:
        """The model's unknowns, and the rows of `density_data`."""
        return BlockModel(self.blocks, self.density_data)

    @property
    def class_under(self) -> NDArray[np.intp]:
        """The class that takes the place of each under each level, shape (classes, levels).

        The same class: no effect of the treatment changes with time.
        """
        return np.tile(np.arange(self.data.n_classes)[:, None], len(self.design.levels))

    def profiles(self) -> Profiles:
        """Class, columns and groups of every patient's first row."""
        return profiles_of(self.data, self.design.first_row)

    def under(self, level: int, profiles: Profiles | None = None) -> Profiles:
        """Class, columns and groups of patients under one level of the treatment.

        Parameters
        ----------
        level : int
            Index into the treatment's levels.
        profiles : Profiles, optional
            Of whom; of all patients without it.
        """
        own = self.profiles() if profiles is None else profiles
        return under(own, self.design.treatment_contrast(level), self.class_under, level)

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
        """Number of columns of the formula."""
        more = sum(len(term.terms) for term in self.terms)
        return len(self.design.terms) - self.design.n_treatment_terms - more

    @cached_property
    def columns_of_terms(self) -> tuple[TermColumns, ...]:
        """Every term's name, prior and columns."""
        return columns_of_terms(self, self.n_treatment_terms, len(self.design.terms))

    def prior_of_column(self, column: int) -> EffectPrior:
        """Prior of one column's log hazard ratio on the sampling scale."""
        return next(prior for _, prior, columns in self.columns_of_terms if column < columns.stop)

    @property
    def has_row_per_patient(self) -> bool:
        """Whether every patient has one row, in the order of the patients."""
        return self.data.n_patients == self.data.follow_up.n_rows

    @cached_property
    def final_row(self) -> NDArray[np.intp]:
        """The last row of every patient, shape (patients,)."""
        return self.data.final_row

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
            tuple((term.name, term.prior.family, len(term.terms)) for term in self.terms),
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
            "covariate_term": [],
            **{f"{name}_term": terms[columns] for name, _, columns in self.columns_of_terms},
            "patient": self.cohort.patients.tolist(),
        }
