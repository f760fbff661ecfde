"""Hazards of many cohorts given the effects, where they are independent under their prior."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.hazards_given_effects import THIN, TINY, draw_thin
from bayes_crlm.inference.many_modes import BlockSums, Modes, baseline_prior_sd
from bayes_crlm.model.baseline_priors import GammaProcess

if TYPE_CHECKING:
    from bayes_crlm.model.definition import ModelDefinition

__all__ = ["HazardsGivenEffects", "IndependentHazards"]


class HazardsGivenEffects(Protocol):
    """Something that draws hazards of many cohorts given their effects."""

    def part(self, which: NDArray[np.intp]) -> "HazardsGivenEffects":
        """Those of some cohorts."""
        ...

    def log_ratio(
        self, weighted: NDArray, pairs: NDArray[np.intp], rngs: list[np.random.Generator] | None
    ) -> NDArray[np.float64]:
        """Draw hazards, and give the log of (prior x likelihood / density of the draw).

        Parameters
        ----------
        weighted : (intervals, cohorts, 2, all pairs) ndarray
            Exposures weighted by relative hazards.
        pairs : (cohorts, ranges) ndarray of int
            How many of the pairs are in each range, in their order.
        rngs : list of numpy.random.Generator or None
            One for each cohort; without them hazards are put where their distributions are
            centred.

        Returns
        -------
        (cohorts, 2, all pairs) ndarray
            But for a constant of each cohort.
        """
        ...


@dataclass(frozen=True, eq=False)
class IndependentHazards:
    """Hazards from gamma distributions; see `hazards_given_effects.draw_hazards`.

    Under the gamma process the hazards' part is exact whatever the draw, so none is needed.

    Attributes
    ----------
    sums : BlockSums
        The cohorts.
    modes : Modes
        Of their posteriors.
    model : ModelDefinition
        With an independent or gamma baseline, or a random walk over one interval.
    """

    sums: BlockSums
    modes: Modes
    model: "ModelDefinition"

    def part(self, which: NDArray[np.intp]) -> "IndependentHazards":
        """Those of some cohorts."""
        return IndependentHazards(self.sums.part(which), self.modes.part(which), self.model)

    def log_ratio(
        self, weighted: NDArray, pairs: NDArray[np.intp], rngs: list[np.random.Generator] | None
    ) -> NDArray[np.float64]:
        """Draw hazards, and give the log of (prior x likelihood / density of the draw)."""
        sums, modes = self.sums, self.modes

        def of_intervals(values: NDArray) -> NDArray[np.float64]:
            return np.ascontiguousarray(values.T)[:, :, None, None]

        if isinstance(self.model.baseline, GammaProcess):
            rate = self.model.baseline.weight * sums.width
            total = rate * np.exp(sums.log_rate) + sums.events
            return -(of_intervals(total) * np.log(of_intervals(rate) + weighted)).sum(axis=0)
        sd = baseline_prior_sd(self.model)
        expected = np.exp(modes.log_hazard) * sums.weighted_exposure(modes.effect)
        shape = expected + sd**-2
        # where nobody is at risk the logarithm has no share
        expected, weighted = np.maximum(expected, TINY), np.maximum(weighted, TINY)
        # to first order the conditional mode follows the logarithm of the weighted exposure
        share = expected / shape
        constant = modes.log_hazard - share * (modes.log_hazard - np.log(expected)) - np.log(shape)
        gamma = np.empty_like(weighted)
        if rngs is None:
            gamma[:] = of_intervals(shape)
        for k, rng in enumerate(rngs or []):
            gamma[:, k] = rng.standard_gamma(shape[k][:, None, None], gamma[:, k].shape)
        log_gamma_draw = np.log(gamma)
        log_share = np.zeros(weighted.shape[1:])
        is_thin = expected < THIN
        for k in np.flatnonzero(is_thin.any(axis=1)).tolist():
            drawn, share_of_gamma = draw_thin(
                np.moveaxis(log_gamma_draw[is_thin[k], k], 0, -1),
                shape[k, is_thin[k]],
                sd,
                None if rngs is None else rngs[k],
            )
            log_gamma_draw[is_thin[k], k] = np.moveaxis(drawn, -1, 0)
            log_share[k] = share_of_gamma.sum(axis=-1)
            gamma[:, k] = np.exp(log_gamma_draw[:, k])
        log_hazard = np.log(weighted)
        log_hazard *= -of_intervals(share)
        log_hazard += log_gamma_draw
        log_hazard += of_intervals(constant)
        terms = of_intervals(sums.events) * log_hazard
        terms -= of_intervals(shape) * log_gamma_draw
        terms += gamma
        distance = log_hazard - sums.log_rate[:, :, None]
        distance *= distance
        distance *= 0.5 / sd**2
        terms -= distance
        np.exp(log_hazard, out=log_hazard)
        log_hazard *= weighted
        terms -= log_hazard
        return terms.sum(axis=0) + log_share
