"""Kinds of rows of a cohort: strata, classes with hazards of their own, and groups.

A class is a stratum, or a stratum under one level of the treatment where an effect of the treatment
changes with time.
"""

from dataclasses import field

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.table.column_values import sorted_levels
from bayes_crlm.words.records import record


@record(eq=False)
class Labelled:
    """Which of some named kinds every row is.

    Attributes
    ----------
    index : (rows,) ndarray of int
        Of every row the place of its kind among `labels`.
    labels : tuple of str
        Names of the kinds, by their number.
    """

    index: NDArray[np.intp]
    labels: tuple[str, ...]

    @classmethod
    def of_column(cls, cohort: Cohort, column: str) -> "Labelled":
        """Let every value of a column be a kind, in order."""
        import pandas as pd

        codes, values = pd.factorize(cohort.table[column])
        order = sorted_levels(list(values))
        rank = {value: k for k, value in enumerate(order)}
        number = np.array([rank[value] for value in values], dtype=np.intp)
        return cls(number[codes], tuple(str(value) for value in order))


@record
class RowKinds:
    """Names of a cohort's strata, classes and groups.

    Attributes
    ----------
    strata : tuple of str
        One without a name where no term has strata.
    levels : int
        Classes of each stratum: levels of the treatment where its effect changes with time, else 1.
    groups : dict of str to tuple of str
        Names of the groups of each grouping, by the name of its term; in the order of the
        groupings.
    """

    strata: tuple[str, ...] = ("",)
    levels: int = 1
    groups: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def level_of_class(self, n_classes: int) -> NDArray[np.intp]:
        """Level of the treatment of every class, 0 where classes have none, shape (classes,)."""
        return np.arange(n_classes) % self.levels

    def class_under(self, n_classes: int, n_levels: int) -> NDArray[np.intp]:
        """The class that takes the place of each under each level, shape (classes, levels)."""
        own = np.arange(n_classes)[:, None]
        under = np.arange(n_levels) if self.levels > 1 else np.zeros(n_levels, dtype=np.intp)
        return own - own % self.levels + under


ONE_KIND = RowKinds()
