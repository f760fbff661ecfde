"""Whom the hazards are of: class, columns and groups of patients, as they are or under a treatment.

What depends on the treatment is put there by `under` alone: the treatment's columns, and the class
where an effect changes with time. A profile has hazards over all of follow-up, so that it serves
any horizon.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.hazard_table import LogHazards, relative_log_hazards
from bayes_crlm.likelihood.survival_data import SurvivalData, equal_rows
from bayes_crlm.words.records import record


@record
class Profiles:
    """Class, columns and groups of patients.

    Attributes
    ----------
    columns : (profiles, terms) ndarray
        Of the design, on the sampling scale, the treatment's first.
    row_class : (profiles,) ndarray of int
        Which row of the hazard table each has.
    groups : tuple of (profiles,) ndarray of int
        Of each grouping: which group each belongs to.
    """

    columns: NDArray[np.float64]
    row_class: NDArray[np.intp]
    groups: tuple[NDArray[np.intp], ...] = ()

    def __len__(self) -> int:
        return len(self.columns)

    def part(self, kept: NDArray[np.intp] | slice) -> "Profiles":
        """Some of the profiles."""
        return Profiles(
            self.columns[kept], self.row_class[kept], tuple(group[kept] for group in self.groups)
        )

    def relative_hazard(self, at: LogHazards) -> NDArray[np.float64]:
        """Hazards relative to those of the class, shape (draws, profiles)."""
        return np.exp(relative_log_hazards(at, self.columns, self.groups))

    def by_class(self) -> Iterator[tuple[int, NDArray[np.intp] | slice]]:
        """Every class that there is, and the places of its profiles."""
        classes = np.unique(self.row_class).tolist()
        if len(classes) == 1:
            yield classes[0], slice(None)
            return
        for each in classes:
            yield each, np.flatnonzero(self.row_class == each)

    def distinct(self, *more: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Order equal profiles next to one another; `more` columns tell them apart too.

        Returns
        -------
        order : (profiles,) ndarray of int
            Profiles in their new order.
        first : (distinct,) ndarray of int
            Where in `order` each group of equal ones begins.
        """
        return equal_rows([*self.columns.T, self.row_class, *self.groups, *more])


def profiles_of(data: SurvivalData, rows: NDArray[np.intp] | slice) -> Profiles:
    """Profiles of some rows of a cohort, as they are."""
    return Profiles(
        data.design[rows], data.row_class[rows], tuple(group[rows] for group in data.groups)
    )


def under(
    profiles: Profiles, contrast: NDArray, class_under: NDArray[np.intp], level: int
) -> Profiles:
    """Put profiles under one level of the treatment.

    Parameters
    ----------
    profiles : Profiles
        As they are.
    contrast : (treatment terms,) ndarray
        The level's treatment columns, on the sampling scale.
    class_under : (classes, levels) ndarray of int
        The class that takes the place of each under each level.
    level : int
        Index of the treatment's level.

    Returns
    -------
    Profiles
    """
    columns = profiles.columns.copy()
    columns[:, : len(contrast)] = contrast
    return replace(profiles, columns=columns, row_class=class_under[profiles.row_class, level])
