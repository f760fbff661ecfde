"""The posteriors that the approximate engine draws from: cohorts of one shape and their priors.

One cohort is a stack of one.
"""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.layout import GroupedRows, Layout, baseline_of
from bayes_crlm.inference.native.flat_density import HALF_LOG_2PI, Elements
from bayes_crlm.inference.native.modes import Posteriors
from bayes_crlm.inference.native.stacks import NativeStack, lay_stack
from bayes_crlm.likelihood.risk_sums import RiskSums, taken_cohorts
from bayes_crlm.model.baseline_priors import (
    BaselinePrior,
    GammaProcess,
    Independent,
    WalkPrior,
)
from bayes_crlm.model.families import Family, NormalMixture, ScaleFamily
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.prepared_block import CohortBlock
from bayes_crlm.model.priors import EffectPrior, Horseshoe, Normal, simple_prior
from bayes_crlm.model.terms.gamma_process import log_gamma
from bayes_crlm.words.records import record


@record(eq=False)
class Targets:
    """Posteriors of log-hazards and effects, stacked over cohorts.

    Attributes
    ----------
    sums : RiskSums
        The cohorts.
    baseline : BaselinePrior
        Of the log-hazards.
    priors : tuple of (EffectPrior, slice)
        Of the effects: the treatment's contrasts, then the covariates' columns where there are any.
    log_rate : (cohorts,) ndarray
        Where the baseline prior is centred.
    step_variances : (cohorts, intervals - 1) ndarray or None
        Of a walk's steps when its scale is 1, infinite from one stratum to the next; None where
        there is no walk with a step scale.
    is_scaled : (effects,) ndarray of bool or None
        Which effects are a value of their prior times an unknown scale; None where none is.
    scale_prior : ScaleFamily or None
        Of that scale.
    effect_scale : (cohorts,) ndarray or None
        That scale, on which modes are conditional.
    grouped : GroupedRows or None
        Groups whose effects are integrated out; of one cohort alone.
    stack : NativeStack
        The cohorts as the native library has them, with their groups; laid out where it is not
        given.
    """

    sums: RiskSums
    baseline: BaselinePrior | WalkPrior
    priors: tuple[tuple[EffectPrior | Family, slice], ...]
    log_rate: NDArray[np.float64]
    step_variances: NDArray[np.float64] | None
    is_scaled: NDArray[np.bool] | None = None
    scale_prior: ScaleFamily | None = None
    effect_scale: NDArray[np.float64] | None = None
    grouped: GroupedRows | None = None
    stack: NativeStack = None  # ty: ignore[invalid-assignment]

    def __post_init__(self) -> None:
        """Lay the cohorts out for the native library, once for all parts of them."""
        if self.stack is None:
            groups = self.grouped
            given = (None, None) if groups is None else (groups.index, groups.events)
            object.__setattr__(self, "stack", lay_stack(self.sums, *given))

    @classmethod
    def of_cohort(cls, inputs: PreparedCohort, sums: RiskSums | None = None) -> "Targets":
        """Take one cohort; see `of_layout`."""
        return cls.of_layout(Layout.of(inputs.block_model), sums)

    @classmethod
    def of_layout(cls, layout: Layout, sums: RiskSums | None = None) -> "Targets":
        """Take a model, with sums of its own data or those given, several of one shape too."""
        sums = sums or RiskSums.of(layout.data, layout.loading)
        baseline, log_rate, variances = baseline_of(layout.hazards)
        return cls(
            sums=sums,
            baseline=baseline,
            priors=layout.priors,
            log_rate=np.full(len(sums), log_rate),
            step_variances=None if variances is None else np.tile(variances, (len(sums), 1)),
            is_scaled=layout.is_scaled,
            scale_prior=layout.scale,
            grouped=layout.grouped,
        )

    @classmethod
    def of_block(cls, block: CohortBlock) -> "Targets":
        """Take a block of prepared cohorts."""
        baseline, variances = block.baseline, None
        if isinstance(baseline, WalkPrior) and block.intervals.n_intervals > 1:
            cutpoints, earliest = block.intervals.cutpoints, block.entry.min(axis=1)
            variances = baseline.step_variances(cutpoints, earliest)
        n_treatment, n_terms = block.design.n_treatment_terms, len(block.design.terms)
        priors = (
            (block.treatment_prior, slice(0, n_treatment)),
            (block.covariate_prior, slice(n_treatment, n_terms)),
        )
        return cls(
            sums=block.sums,
            baseline=baseline,
            priors=priors if n_terms > n_treatment else priors[:1],
            log_rate=block.log_rate,
            step_variances=variances,
        )

    def __len__(self) -> int:
        return len(self.sums)

    def part(self, which: NDArray[np.intp]) -> "Targets":
        """Those of some cohorts, which may be repeated."""
        variances = self.step_variances
        return replace(
            self,
            sums=self.sums.repeated(which),
            log_rate=self.log_rate[which],
            step_variances=None if variances is None else taken_cohorts(variances, which),
            stack=self.stack.part(which),
            effect_scale=None if self.effect_scale is None else self.effect_scale[which],
        )

    def posteriors(
        self, step_scale: NDArray | None = None, group_scale: NDArray | None = None
    ) -> Posteriors:
        """What the native library takes: posteriors given all scales.

        Parameters
        ----------
        step_scale : (cohorts,) ndarray, optional
            Of walks.
        group_scale : (cohorts,) ndarray, optional
            Standard deviation of the groups' effects; 1 without it.
        """
        effects = self.elements
        scale = np.ones((len(self), self.n_effects))
        if self.is_scaled is not None and self.effect_scale is not None:
            scale = np.where(self.is_scaled, self.effect_scale[:, None], scale)
        of_groups = np.ones(len(self)) if group_scale is None else group_scale
        level, of_steps = np.zeros(self.n_intervals), None
        shape, rate = self.process or (None, None)
        constant = self.baseline_constant + effects.constant - np.log(scale).sum(axis=1)
        places, sd = self.levels
        level[places] = sd**-2
        if self.step_variances is not None and step_scale is not None:
            of_steps = 1 / (step_scale[:, None] ** 2 * self.step_variances)
            # there is no step from one stratum to the next
            constant += 0.5 * np.log(np.where(of_steps > 0, of_steps, 1.0)).sum(axis=1)
        return Posteriors.of(
            self.stack,
            effects,
            effect_scale=scale,
            centre=self.log_rate,
            level_precision=level,
            step_precision=of_steps,
            shape=shape,
            rate=rate,
            group_precision=of_groups**-2,
            constant=constant,
        )

    @cached_property
    def elements(self) -> Elements:
        """Priors of the effects, as the native library has them."""
        priors = [(prior,) * (part.stop - part.start) for prior, part in self.simple_priors]
        return Elements.of_families(sum(priors, ()))

    @cached_property
    def process(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Shape and rate of a gamma process in every interval, (cohorts, intervals) each."""
        if not isinstance(self.baseline, GammaProcess):
            return None
        rate = self.baseline.weight * np.tile(self.sums.follow_up.width, self.sums.n_strata)
        return rate * np.exp(self.log_rate)[:, None], rate

    @cached_property
    def baseline_constant(self) -> NDArray[np.float64]:
        """What of the log-hazards' prior depends on neither them nor a scale, (cohorts,)."""
        if self.process is None:
            places, sd = self.levels
            constant = -len(places) * math.log(sd) - self.n_intervals * HALF_LOG_2PI
            return np.full(len(self), constant)
        shape, rate = self.process
        return (shape * np.log(rate) - log_gamma(shape)).sum(axis=1)

    @property
    def levels(self) -> tuple[NDArray[np.intp], float]:
        """Which log-hazards have a normal prior of their own, and its standard deviation."""
        places, each = np.arange(self.n_intervals), self.n_intervals // self.sums.n_strata
        if isinstance(self.baseline, WalkPrior):
            # the level of each stratum's walk
            return places[self.baseline.level_interval(each) :: each], self.baseline.level_sd
        if isinstance(self.baseline, Independent):
            return places, self.baseline.sd
        return places[:0], 1.0

    def with_priors(self, change: dict[type, EffectPrior | Family]) -> "Targets":
        """Put other priors in the place of those of some kinds."""
        changed = tuple((change.get(type(prior), prior), part) for prior, part in self.priors)
        return replace(self, priors=changed)

    def without_horseshoe(self) -> "Targets":
        """Put a normal prior in the place of a horseshoe, which has no useful mode."""
        return self.with_priors({Horseshoe: Normal(0.0, 1.0)})

    @property
    def has_walk(self) -> bool:
        """Whether the log-hazards are a walk with a step scale to be drawn."""
        return self.step_variances is not None

    @property
    def n_intervals(self) -> int:
        """Intervals of each cohort, of all strata."""
        return self.sums.events.shape[1]

    @property
    def n_effects(self) -> int:
        """Effects of each cohort."""
        return self.sums.event_design.shape[1]

    @cached_property
    def simple_priors(self) -> list[tuple[Family, slice]]:
        """Priors that have a density of their own.

        Raises
        ------
        TypeError
            For a horseshoe, which has none without its scales.
        """
        return [
            (prior if isinstance(prior, NormalMixture) else simple_prior(prior), part)
            for prior, part in self.priors
        ]

    def log_effect_prior(
        self, effect: NDArray, log_effect_scale: NDArray | None = None
    ) -> NDArray[np.float64]:
        """Log prior density of effects (..., effects), and of the log of their scale, shape (...).

        Parameters
        ----------
        effect : (..., effects) ndarray
            On the sampling scale.
        log_effect_scale : (...) ndarray, optional
            Where there is one.
        """
        total = np.zeros(effect.shape[:-1])
        for prior, part in self.simple_priors:
            values = effect[..., part]
            if log_effect_scale is not None and self.is_scaled is not None:
                is_scaled = self.is_scaled[part]
                values = values * np.exp(-np.where(is_scaled, log_effect_scale[..., None], 0.0))
                total -= is_scaled.sum() * log_effect_scale
            total += prior.log_density(values).sum(axis=-1)
        return total if log_effect_scale is None else total + self.log_scale_prior(log_effect_scale)

    def log_scale_prior(self, log_effect_scale: NDArray) -> NDArray[np.float64]:
        """Log prior density of logs of the effects' unknown scale."""
        if self.scale_prior is None:
            return np.zeros_like(log_effect_scale)
        return self.scale_prior.log_density(np.exp(log_effect_scale)) + log_effect_scale
