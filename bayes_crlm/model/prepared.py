"""A cohort as a model sees it: intervals, design and compact follow-up, as one frozen value."""

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
from bayes_crlm.model.pymc_blocks import structure_of
from bayes_crlm.model.terms.baseline import baseline_block
from bayes_crlm.model.terms.blocks import Block, Cells, Columns, Values
from bayes_crlm.model.terms.effects import effect_block
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.model.terms.row_kinds import ONE_KIND, RowKinds
from bayes_crlm.model.terms.term import Place, Term
from bayes_crlm.words.records import record

# pooling that saves less than this share of the rows is not worth a second copy of the data
POOLED_MOST = 0.5


@record
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
    kinds : RowKinds
        Strata, classes and groups into which the terms divide the rows.
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
    kinds: RowKinds = ONE_KIND

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

    @property
    def step_variances(self) -> NDArray[np.float64]:
        """Variance of each of a walk's steps when its scale is 1, shape (intervals - 1,).

        Raises
        ------
        TypeError
            Where the log-hazards are not a walk.
        """
        baseline = self.baseline_block
        if not isinstance(baseline, Block) or baseline.walk is None:
            raise TypeError(f"the hazards are not a walk: {self.baseline.describe()}")
        return baseline.walk.step_variances

    @cached_property
    def baseline_block(self) -> Block | GammaHazards:
        """Unknowns of the baseline's log-hazards, a row a stratum."""
        return baseline_block(
            self.baseline,
            Cells.of_strata(self.data.stratum_of_class),
            self.events_per_stratum,
            self.intervals.cutpoints,
            earliest=self.earliest,
            log_rate=self.log_rate,
        )

    @property
    def events_per_stratum(self) -> NDArray[np.float64]:
        """Events of every stratum in every interval, shape (strata, intervals)."""
        return Cells.of_strata(self.data.stratum_of_class).loading.T @ self.data.events_per_cell

    @property
    def earliest(self) -> float:
        """When the first row enters."""
        return float(self.cohort.entry.min())

    @cached_property
    def blocks(self) -> tuple[AnyBlock, ...]:
        """The model's unknowns, in the order of the sampler's vector."""
        columns = self.columns_of_terms
        effects = [
            effect_block(role, prior, columns[role].start, columns[role].stop)
            for role, prior in (
                ("treatment", self.treatment_prior),
                ("covariate", self.covariate_prior),
            )
            if role in columns
        ]
        of_terms = [
            block
            for term, place in zip(self.terms, self.places, strict=True)
            for block in term.blocks(place)
        ]
        return (*effects, *of_terms, self.baseline_block)

    @cached_property
    def block_model(self) -> BlockModel:
        """The model's unknowns, and the rows of `density_data`."""
        return BlockModel(self.blocks, self.density_data)

    @cached_property
    def class_under(self) -> NDArray[np.intp]:
        """The class that takes the place of each under each level, shape (classes, levels)."""
        return self.kinds.class_under(self.data.n_classes, len(self.design.levels))

    @cached_property
    def places(self) -> tuple[Place, ...]:
        """What the cohort is to each of its terms."""
        levels = range(len(self.design.levels))
        contrasts = np.array([self.design.treatment_contrast(level) for level in levels])
        return tuple(
            Place(
                term.name,
                self.columns_of_terms.get(term.name, slice(0, 0)),
                self.intervals,
                self.earliest,
                self.kinds,
                self.data.stratum_of_class,
                contrasts,
            )
            for term in self.terms
        )

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
    def columns_of_terms(self) -> dict[str, slice]:
        """Columns of the treatment, of the formula and of each other term, where it has any."""
        counts = {"treatment": self.n_treatment_terms, "covariate": self.n_covariate_terms}
        counts |= {term.name: len(term.terms) for term in self.terms}
        ends = np.cumsum(list(counts.values())).tolist()
        return {
            name: slice(end - count, end)
            for (name, count), end in zip(counts.items(), ends, strict=True)
            if count
        }

    @property
    def priors_in_words(self) -> dict[str, str]:
        """Every term's prior, and that of the baseline."""
        said = {"treatment": self.treatment_prior.describe()}
        if self.n_covariate_terms:
            said["covariate"] = self.covariate_prior.describe()
        said |= {term.name: term.describe_prior() for term in self.terms}
        return said | {"baseline": self.baseline.describe()}

    def values_of_terms(self, named: Values) -> dict[str, NDArray[np.float64]]:
        """Log hazard ratios and logs of scales that the terms have beside those of columns.

        Parameters
        ----------
        named : dict of str to (draws, size) ndarray
            Unknowns by name, on their natural scale.

        Returns
        -------
        dict of str to (draws,) ndarray
            By block and entry, and by the name of the scale.
        """
        coords, found = self.coords(), {}
        for block in self.blocks:
            if not isinstance(block, Block) or block is self.baseline_block:
                continue
            if block.scale is not None:
                found[block.scale_name] = np.log(named[block.scale_name][:, 0])
            if not isinstance(block.enters, Columns) and block.dim is not None:
                names = [f"{block.name}[{label}]" for label in coords[block.dim]]
                found |= dict(zip(names, block.values(named).T, strict=True))
        return found

    def block_of_column(self, column: int) -> Block | Shrunk:
        """The block whose values one column of the design has."""
        return next(
            block
            for block in self.blocks
            if not isinstance(block, GammaHazards)
            and isinstance(block.enters, Columns)
            and block.enters.start <= column < block.enters.stop
        )

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
            self.intervals.n_intervals > 1,
            self.data.follow_up.is_delayed,
            tuple(structure_of(block) for block in self.blocks),
            tuple((term.name, len(term.terms)) for term in self.terms),
            self.data.n_classes,
            self.data.group_counts,
        )

    @property
    def is_baseline_integrated(self) -> bool:
        """Whether the sampler sees the hazards integrated out (gamma process only)."""
        return isinstance(self.baseline, GammaProcess) and self.baseline.is_integrated

    def coords(self) -> dict[str, list[Any]]:
        """Labels of every dimension of the posterior."""
        terms, labels = list(self.design.terms), self.intervals.labels
        strata = self.kinds.strata
        found = {
            "interval": labels,
            "step": labels[1:],
            "term": terms,
            "covariate_term": [],
            **{f"{name}_term": terms[columns] for name, columns in self.columns_of_terms.items()},
            **{f"{name}_group": list(groups) for name, groups in self.kinds.groups.items()},
            "patient": self.cohort.patients.tolist(),
        }
        if len(strata) > 1:
            found["stratum"] = list(strata)
            for dim in ("interval", "step"):
                names = [f"{stratum}: {label}" for stratum in strata for label in found[dim]]
                found[f"stratum_{dim}"] = names
        for term, place in zip(self.terms, self.places, strict=True):
            found |= term.labels(place)
        return found
