"""Cells of the log of an unknown scale of effects.

References
----------
Rue, Martino & Chopin (2009), J R Stat Soc B 71:319-392 (a grid over scales).
"""

import math
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.families import HalfNormal, ScaleFamily
from bayes_crlm.words.records import record

# of the prior's scale: a higher start would lose the lower tail, a lower end the upper one
SMALLEST, LARGEST, LARGEST_OF_HEAVY_TAILS = 0.001, 4.5, 100.0
MOST_WIDE = 0.2


@record(eq=False)
class ScaleCells(Stacked):
    """Cells of the log of a scale, from which it is drawn evenly.

    Attributes
    ----------
    low : (cells,) ndarray
        Lower ends.
    width : float
        Of each.
    """

    low: NDArray[np.float64]
    width: float

    shared: ClassVar[tuple[str, ...]] = ("width",)

    @classmethod
    def of(cls, prior: ScaleFamily, most_wide: float = MOST_WIDE) -> "ScaleCells":
        """Divide what a prior leaves possible into cells of the log that are at most so wide."""
        largest = LARGEST if isinstance(prior, HalfNormal) else LARGEST_OF_HEAVY_TAILS
        cells = math.ceil(math.log(largest / SMALLEST) / most_wide)
        low, high = math.log(SMALLEST * prior.scale), math.log(largest * prior.scale)
        edges = np.linspace(low, high, cells + 1)
        return cls(edges[:-1], float(edges[1] - edges[0]))

    @property
    def middle(self) -> NDArray[np.float64]:
        """Middles of the cells, shape (cells,)."""
        return self.low + self.width / 2

    def draw(
        self, cell: NDArray[np.intp], rngs: list[np.random.Generator]
    ) -> tuple[NDArray[np.float64], float]:
        """Draw logs of the scale within given cells (cohorts, draws), with their log density."""
        points = np.stack([rng.random(cell.shape[1]) for rng in rngs])
        return self.low[cell] + self.width * points, -math.log(self.width)
