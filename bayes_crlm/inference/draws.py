"""Draws from a proposal with weights that make them a posterior's, and whether they may be used."""

import math
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.inference.weighted import sums_of_draws, tail_effective_sizes
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import beside_limit, whole

# as a share of the draws: with fewer the proposal is not an approximation
LEAST_ESS = 0.1
# as a share of the draws: with more none of the limits is decided by a few
SURE_ESS = 0.7


@record
class WeightedDraws:
    """Draws from a proposal, weighted to the posterior of one cohort.

    Attributes
    ----------
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_hazard : (draws, intervals) ndarray
        At the covariates' means.
    log_step_scale : (draws,) ndarray or None
        Of a walk over more than one interval.
    log_ratio : (draws,) ndarray
        Log of (prior x likelihood / density of the proposal); minus infinity where a draw is
        impossible.
    weight : (draws,) ndarray
        Pareto-smoothed, adding up to 1.
    pareto_k : float
        Shape of the ratios' tail; above 0.7 the draws are not to be used, nan when it could not
        be estimated.
    ess : float
        Importance effective sample size, 1 / sum of squared weights.
    vectors : (draws, total size) ndarray
        Unconstrained, in the order of `BlockModel.parameters`; not finite where impossible.
    scramble : (draws,) ndarray of int
        Which scramble of Sobol points each draw comes from.
    """

    effect: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    log_step_scale: NDArray[np.float64] | None
    log_ratio: NDArray[np.float64]
    weight: NDArray[np.float64]
    pareto_k: float
    ess: float
    vectors: NDArray[np.float64]
    scramble: NDArray[np.int64]

    @cached_property
    def ess_tail(self) -> NDArray[np.float64]:
        """Effective draws behind each term's 95% limits, shape (terms,)."""
        return tail_effective_sizes(self.effect, self.weight)

    @property
    def problem(self) -> str | None:
        """Why the draws are not to be used; None where they are."""
        tail = float(self.ess_tail.min())
        return problem_of_weights(self.pareto_k, self.ess, tail, len(self.weight))


@record(eq=False)
class BatchDraws:
    """Weighted draws of many cohorts.

    Attributes
    ----------
    effect : (cohorts, draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    log_hazard : (cohorts, draws, intervals) ndarray or None
        At the covariates' means, where they were wanted.
    log_step_scale : (cohorts, draws) ndarray or None
        Of walks, where log-hazards were wanted.
    log_ratio, weight : (cohorts, draws) ndarray
        As in `WeightedDraws`.
    pareto_k, ess : (cohorts,) ndarray
        Whether the importance weights can be trusted.
    converged : (cohorts,) ndarray of bool
        Whether a mode was found, weights could be made, and the posterior falls off where no draws
        go; where not, the rest means nothing.
    scramble : (cohorts, draws) ndarray of int
        Which scramble of Sobol points each draw comes from.
    log_effect_scale : (cohorts, draws) ndarray or None
        Logs of an unknown scale of effects, where there is one.
    groups : (cohorts, draws, groups) ndarray or None
        Effects of groups that were integrated out, where there are any.
    log_group_scale : (cohorts, draws) ndarray or None
        Logs of their unknown standard deviation.
    """

    effect: NDArray[np.float64]
    log_hazard: NDArray[np.float64] | None
    log_step_scale: NDArray[np.float64] | None
    log_ratio: NDArray[np.float64]
    weight: NDArray[np.float64]
    pareto_k: NDArray[np.float64]
    ess: NDArray[np.float64]
    converged: NDArray[np.bool]
    scramble: NDArray[np.int64]
    log_effect_scale: NDArray[np.float64] | None = None
    groups: NDArray[np.float64] | None = None
    log_group_scale: NDArray[np.float64] | None = None

    @classmethod
    def none(
        cls,
        cohorts: int,
        draws: int,
        effects: int,
        intervals: int | None,
        has_scale: bool,
        has_effect_scale: bool = False,
    ) -> "BatchDraws":
        """Make room for draws that are not there yet; without `intervals` for no log-hazards."""
        each = (cohorts, draws)
        return cls(
            np.full((*each, effects), np.nan),
            None if intervals is None else np.full((*each, intervals), np.nan),
            np.full(each, np.nan) if has_scale and intervals is not None else None,
            *(np.full(each, np.nan) for _ in range(2)),
            *(np.full(cohorts, np.nan) for _ in range(2)),
            converged=np.zeros(cohorts, dtype=bool),
            scramble=np.zeros(each, dtype=np.int64),
            log_effect_scale=np.full(each, np.nan) if has_effect_scale else None,
        )

    def put(self, places: NDArray[np.intp], other: "BatchDraws", which: NDArray) -> None:
        """Take some cohorts of others' draws into some places."""
        for name in self.__dataclass_fields__:
            if getattr(self, name) is not None:
                getattr(self, name)[places] = getattr(other, name)[which]

    def part(self, k: int) -> "BatchDraws":
        """Those of one cohort."""
        each = {name: getattr(self, name) for name in self.__dataclass_fields__}
        kept = {name: array[k : k + 1] for name, array in each.items() if array is not None}
        return replace(self, **kept)

    @cached_property
    def has_tails(self) -> NDArray[np.bool]:
        """Whether enough draws stand behind the 95% limits of every effect, shape (cohorts,).

        Draws that are worth nearly their number are taken to do so.
        """
        draws, found = self.weight.shape[1], np.ones(len(self.weight), dtype=bool)
        unsure = np.flatnonzero(self.converged & (self.ess < SURE_ESS * draws))
        if len(unsure):
            size = sums_of_draws(self.effect[unsure], self.weight[unsure]).tail_size
            found[unsure] = (size >= LEAST_ESS * draws).all(axis=1)
        return found

    def is_good(self, most_k: float, least_ess: float) -> NDArray[np.bool]:
        """Whether draws need no better proposal, shape (cohorts,)."""
        is_heavy = ~(self.pareto_k <= most_k)
        enough = self.ess >= least_ess * self.weight.shape[1]
        good = self.converged & ~is_heavy & enough
        return good & self.has_tails if good.any() else good

    def is_better(self, other: "BatchDraws") -> NDArray[np.bool]:
        """Whether draws serve more than others: may be used while they may not, or count for more.

        The smallest of several k would be a flattering one.
        """
        may, others_may = (
            (each.pareto_k <= PARETO_K_MOST) & each.has_tails for each in (self, other)
        )
        is_more = ~(other.ess >= self.ess)
        better = ~other.converged | np.where(may == others_may, is_more, may)
        return self.converged & better


def problem_of_weights(pareto_k: float, ess: float, ess_tail: float, draws: int) -> str | None:
    """Say why weighted draws are not to be used; None where they are.

    Parameters
    ----------
    pareto_k, ess : float
        Of all draws.
    ess_tail : float
        Effective draws behind the 95% limits of the term with the fewest.
    draws : int
        How many there are.
    """
    if not pareto_k <= PARETO_K_MOST:
        k = beside_limit(pareto_k, PARETO_K_MOST)
        return f"Pareto k of its weights is {k}, above {PARETO_K_MOST}"
    if not ess >= LEAST_ESS * draws:
        return f"the effective sample size is only {whole(math.floor(ess))} of {whole(draws)} draws"
    if not ess_tail >= LEAST_ESS * draws:
        size = f"{whole(math.floor(ess_tail))} of {whole(draws)} draws"
        return f"the effective sample size at a 95% limit is only {size}"
    return None
