"""The posteriors that the approximate engine draws from: cohorts of one shape and their priors.

One cohort is a stack of one.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.conditional_walks import WalkCases
from bayes_crlm.likelihood.risk_sums import RiskSums, taken_cohorts
from bayes_crlm.model.baseline_priors import (
    BaselinePrior,
    GammaProcess,
    WalkPrior,
    baseline_prior,
)
from bayes_crlm.model.priors import EffectPrior, Horseshoe, Normal, SimplePrior, simple_prior
from bayes_crlm.model.terms.columns import HasPriors, columns_of_terms

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.model.prepared_block import CohortBlock

__all__ = ["Targets"]


@dataclass(frozen=True, eq=False)
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
        Of a walk's steps when its scale is 1; None where there is no walk with a step scale.
    baseline_constant : (cohorts,) ndarray
        Part of a gamma process' log density that does not depend on the hazards; else 0.
    """

    sums: RiskSums
    baseline: BaselinePrior
    priors: tuple[tuple[EffectPrior, slice], ...]
    log_rate: NDArray[np.float64]
    step_variances: NDArray[np.float64] | None
    baseline_constant: NDArray[np.float64]

    @classmethod
    def of_cohort(cls, inputs: "PreparedCohort", sums: RiskSums | None = None) -> "Targets":
        """Take one cohort; `sums` are those of its own data without it."""
        sums, log_rate = sums or RiskSums.of(inputs.density_data), np.array([inputs.log_rate])
        return cls(
            sums=sums,
            baseline=inputs.baseline,
            priors=priors_of_columns(inputs, inputs.n_treatment_terms, len(inputs.design.terms)),
            log_rate=log_rate,
            step_variances=inputs.step_variances[None] if inputs.has_walk else None,
            baseline_constant=baseline_constant(inputs.baseline, sums, log_rate),
        )

    @classmethod
    def of_block(cls, block: "CohortBlock", model: "ModelDefinition") -> "Targets":
        """Take a block of prepared cohorts."""
        baseline, variances = baseline_prior(model.baseline), None
        if isinstance(baseline, WalkPrior) and block.n_intervals > 1:
            variances = baseline.step_variances(block.cutpoints, block.entry.min(axis=1))
        sums = block.sums
        return cls(
            sums=sums,
            baseline=baseline,
            priors=priors_of_columns(model, block.n_treatment_terms, len(block.terms)),
            log_rate=block.log_rate,
            step_variances=variances,
            baseline_constant=baseline_constant(baseline, sums, block.log_rate),
        )

    def __len__(self) -> int:
        return len(self.sums)

    def part(self, which: NDArray[np.intp]) -> "Targets":
        """Those of some cohorts, which may be repeated."""
        variances = self.step_variances
        return replace(
            self,
            sums=self.sums.part(which),
            log_rate=self.log_rate[which],
            step_variances=None if variances is None else taken_cohorts(variances, which),
            baseline_constant=self.baseline_constant[which],
        )

    def with_priors(self, change: dict[type, EffectPrior]) -> "Targets":
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
        """Intervals of each cohort."""
        return self.sums.events.shape[1]

    @property
    def n_terms(self) -> int:
        """Columns of each design."""
        return self.sums.event_design.shape[1]

    @cached_property
    def simple_priors(self) -> list[tuple[SimplePrior, slice]]:
        """Priors that have a density of their own.

        Raises
        ------
        TypeError
            For a horseshoe, which has none without its scales.
        """
        return [(simple_prior(prior), part) for prior, part in self.priors]

    def log_effect_prior(self, effect: NDArray) -> NDArray[np.float64]:
        """Log prior density of effects (..., terms), shape (...)."""
        total = np.zeros(effect.shape[:-1])
        for prior, part in self.simple_priors:
            total += prior.log_density(effect[..., part]).sum(axis=-1)
        return total

    def walk_cases(self, axes: int) -> WalkCases:
        """What walks' densities are made of, with `axes` axes of length 1 after the cohorts'."""
        if self.step_variances is None or not isinstance(self.baseline, WalkPrior):
            raise TypeError("the log-hazards are not a walk with steps")
        more = (1,) * axes

        def intervals_first(values: NDArray) -> NDArray[np.float64]:
            return np.ascontiguousarray(values.T).reshape(*values.T.shape, *more)

        return WalkCases(
            prior=self.baseline,
            events=intervals_first(self.sums.events),
            log_rate=self.log_rate.reshape(-1, *more),
            step_variances=intervals_first(self.step_variances),
        )


def baseline_constant(prior: BaselinePrior, sums: RiskSums, log_rate: NDArray) -> NDArray:
    """Part of a gamma process' log density that does not depend on hazards, shape (cohorts,)."""
    if not isinstance(prior, GammaProcess):
        return np.zeros(len(sums))
    rate = prior.weight * sums.follow_up.width
    shape = rate * np.exp(log_rate)[:, None]
    found = (shape * np.log(rate)).sum(axis=1)
    return found - [sum(map(math.lgamma, each)) for each in shape.tolist()]


def priors_of_columns(
    priors: HasPriors, n_treatment: int, n_terms: int
) -> tuple[tuple[EffectPrior, slice], ...]:
    """Say which prior which columns have."""
    found = columns_of_terms(priors, n_treatment, n_terms)
    return tuple((prior, columns) for _, prior, columns in found)
