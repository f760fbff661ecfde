"""The one summary of hazard ratios: quantiles, moments and probabilities of their draws."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import ETI95


@dataclass(frozen=True, eq=False)
class RatioSummary:
    """What draws of log hazard ratios come to.

    Attributes
    ----------
    draws : (draws, terms) ndarray
        Of log hazard ratios in original units.
    """

    draws: NDArray[np.float64]

    @cached_property
    def quantiles(self) -> NDArray[np.float64]:
        """Lower limit, median and upper limit of the 95% interval, log scale, shape (3, terms)."""
        return np.quantile(self.draws, [ETI95[0], 0.5, ETI95[1]], axis=0)

    @cached_property
    def mean_log(self) -> NDArray[np.float64]:
        """Posterior means of log hazard ratios, shape (terms,)."""
        return self.draws.mean(axis=0)

    @cached_property
    def sd_log(self) -> NDArray[np.float64]:
        """Posterior standard deviations of log hazard ratios, shape (terms,)."""
        return self.draws.std(axis=0, ddof=1)

    def prob_below(self, ratio: float) -> NDArray[np.float64]:
        """P(hazard ratio < ratio) of every term, shape (terms,)."""
        return (self.draws < np.log(ratio)).mean(axis=0)

    def below_by_threshold(self, thresholds: Sequence[float], term: int) -> dict[str, float]:
        """P(hazard ratio < r) of one term by threshold r."""
        return {str(each): float(self.prob_below(each)[term]) for each in thresholds}

    @cached_property
    def ratios(self) -> list[tuple[float, float, float]]:
        """Median hazard ratio with its 95% limits of every term."""
        low, median, high = np.exp(self.quantiles).tolist()
        return list(zip(median, low, high, strict=True))
