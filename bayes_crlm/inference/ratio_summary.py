"""The one summary of hazard ratios: quantiles, moments and probabilities of their draws."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.weighted import quantiles
from bayes_crlm.words.records import record


@record(eq=False)
class RatioSummary:
    """What draws of log hazard ratios come to.

    Attributes
    ----------
    draws : (draws, terms) ndarray
        Of log hazard ratios in original units.
    weight : (draws,) ndarray or None
        Adding up to 1; None where all draws count alike.
    """

    draws: NDArray[np.float64]
    weight: NDArray[np.float64] | None = None

    @cached_property
    def quantiles(self) -> NDArray[np.float64]:
        """Lower limit, median and upper limit of the 95% interval, log scale, shape (3, terms)."""
        return quantiles(self.draws, weight=self.weight)

    @cached_property
    def mean_log(self) -> NDArray[np.float64]:
        """Posterior means of log hazard ratios, shape (terms,)."""
        return np.average(self.draws, axis=0, weights=self.weight)

    @cached_property
    def sd_log(self) -> NDArray[np.float64]:
        """Posterior standard deviations of log hazard ratios, shape (terms,)."""
        if self.weight is None:
            return self.draws.std(axis=0, ddof=1)
        squares = (self.draws - self.mean_log) ** 2
        return np.sqrt(np.average(squares, axis=0, weights=self.weight))

    def prob_below(self, ratio: float) -> NDArray[np.float64]:
        """P(hazard ratio < ratio) of every term, shape (terms,)."""
        share = np.average(self.draws < np.log(ratio), axis=0, weights=self.weight)
        # weights add up to 1 but for rounding
        return np.minimum(share, 1.0)

    def below_by_threshold(self, thresholds: Sequence[float], term: int) -> dict[str, float]:
        """P(hazard ratio < r) of one term by threshold r."""
        return {str(each): float(self.prob_below(each)[term]) for each in thresholds}

    @cached_property
    def ratios(self) -> list[tuple[float, float, float]]:
        """Median hazard ratio with its 95% limits of every term."""
        low, median, high = np.exp(self.quantiles).tolist()
        return list(zip(median, low, high, strict=True))

    def row(self, term: int = 0, effect: float | None = None) -> dict[str, Any]:
        """Numbers of one term by name, with P(hazard ratio < effect) where that is asked for."""
        median, *eti95 = self.ratios[term]
        found = {
            "median": median,
            "eti95": eti95,
            "prob_below_1": float(self.prob_below(1.0)[term]),
        }
        if effect is not None:
            found["prob_below_effect"] = float(self.prob_below(effect)[term])
        return found | {
            "mean_log": float(self.mean_log[term]),
            "sd_log": float(self.sd_log[term]),
        }
