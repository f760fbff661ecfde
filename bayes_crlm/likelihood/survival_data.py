"""What the likelihood needs of a cohort: rows with their class, columns and groups.

Row i belongs to a class c(i), whose hazards it has: one class for all rows, unless a baseline is
stratified or an effect changes with time. It has columns, and one group of each grouping. Rows
that agree in these and end (and begin) in the same interval enter through sums alone, so they can
be pooled into one row exactly.
"""

from collections.abc import Sequence
from dataclasses import field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import FollowUp, events_per_cell
from bayes_crlm.tasks.streams import own_stream
from bayes_crlm.words.records import record

ONLY_CLASS: NDArray[np.intp] = np.zeros(1, dtype=np.intp)
NO_CLASSES: NDArray[np.intp] = np.zeros(0, dtype=np.intp)


@record
class SurvivalData:
    """What the likelihood needs of a cohort, intervals and a design.

    Attributes
    ----------
    follow_up : FollowUp
        Each row's time at risk.
    event : (rows,) ndarray
        1 where a row ends with the event, otherwise 0; of pooled rows the number of events, of
        weighted rows their weight.
    design : (rows, terms) ndarray
        Columns on the sampling scale (centred, scaled).
    patient_index : (rows,) ndarray of int
        Which patient each row belongs to.
    n_patients : int
        Number of patients.
    row_class : (rows,) ndarray of int
        Which row of the hazard table a row has; 0 everywhere without it.
    stratum_of_class : (classes,) ndarray of int
        Whose baseline hazards each class has.
    groups : tuple of (rows,) ndarray of int
        Of each grouping: which group a row belongs to.
    group_counts : tuple of int
        Number of groups of each grouping.
    """

    follow_up: FollowUp
    event: NDArray[np.float64]
    design: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    n_patients: int
    row_class: NDArray[np.intp] = field(default_factory=lambda: NO_CLASSES)
    stratum_of_class: NDArray[np.intp] = field(default_factory=lambda: ONLY_CLASS)
    groups: tuple[NDArray[np.intp], ...] = ()
    group_counts: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Put all rows into one class where nothing is said of classes."""
        if not len(self.row_class):
            only = np.broadcast_to(ONLY_CLASS, len(self.event))
            object.__setattr__(self, "row_class", only)

    @property
    def n_classes(self) -> int:
        """Number of classes, each with hazards of its own."""
        return len(self.stratum_of_class)

    @property
    def n_intervals(self) -> int:
        """Number of intervals."""
        return len(self.follow_up.width)

    @property
    def class_index(self) -> NDArray[np.intp] | int:
        """Class of every row as an index: 0 instead of an array where there is but one."""
        return self.row_class if self.n_classes > 1 else 0

    @cached_property
    def events_per_cell(self) -> NDArray[np.float64]:
        """Events of every class in every interval, shape (classes, intervals)."""
        return events_per_cell(self.follow_up, self.event, self.class_index, self.n_classes)

    @property
    def events_per_interval(self) -> NDArray[np.float64]:
        """Events in every interval, shape (intervals,)."""
        return self.events_per_cell.sum(axis=0)

    @cached_property
    def event_design(self) -> NDArray[np.float64]:
        """Sum of the design's rows over events, shape (terms,)."""
        return self.event @ self.design

    @cached_property
    def events_per_group(self) -> tuple[NDArray[np.float64], ...]:
        """Events of every group, one (groups,) array for each grouping."""
        return tuple(
            np.bincount(group, self.event, count)
            for group, count in zip(self.groups, self.group_counts, strict=True)
        )

    @cached_property
    def final_row(self) -> NDArray[np.intp]:
        """The last row of every patient, shape (patients,)."""
        follow_up = self.follow_up
        # of weighted rows the time within is multiplied by the weight
        within = follow_up.stop_within / np.where(follow_up.count > 0, follow_up.count, 1.0)
        order = np.lexsort((within, follow_up.stop_interval, self.patient_index))
        patients = np.arange(self.n_patients)
        return order[np.searchsorted(self.patient_index[order], patients, side="right") - 1]

    def pooled(self) -> "SurvivalData":
        """Merge rows that the likelihood cannot tell apart; its value stays the same.

        Such rows have the same design row, class and groups, and end, and begin, in the same
        interval. A merged row has their number of events, their count and the sums of their times
        within the intervals, and stands for a patient of its own.

        Returns
        -------
        SurvivalData
            As many rows as there are distinct combinations.
        """
        follow_up = self.follow_up
        keys = [*self.design.T, follow_up.stop_interval, follow_up.entry_interval, *self.groups]
        order, first = equal_rows([*keys, self.row_class] if self.n_classes > 1 else keys)

        def summed(values: NDArray) -> NDArray:
            return np.add.reduceat(values[order], first)

        kept = order[first]
        return self.rows(
            kept,
            follow_up=replace(
                follow_up.rows(kept),
                stop_within=summed(follow_up.stop_within),
                entry_within=summed(follow_up.entry_within),
                count=summed(follow_up.count),
            ),
            event=summed(self.event),
            patient_index=np.arange(len(kept)),
            n_patients=len(kept),
        )

    def of_patients(self, patients: NDArray[np.intp]) -> "SurvivalData":
        """Keep the rows of some patients.

        Parameters
        ----------
        patients : (patients,) ndarray of int
            Which, in increasing order.

        Returns
        -------
        SurvivalData
            Its patients are numbered in the order of `patients`.
        """
        place = np.searchsorted(patients, self.patient_index)
        place = np.minimum(place, len(patients) - 1)
        kept = np.flatnonzero(patients[place] == self.patient_index)
        return self.rows(kept, patient_index=place[kept], n_patients=len(patients))

    def rows(self, kept: NDArray[np.intp], **changes: "FollowUp | NDArray | int") -> "SurvivalData":
        """Keep some rows, and change what else is given by name.

        Parameters
        ----------
        kept : (rows,) ndarray of int
            Which rows, in their new order.
        **changes
            Attributes of the result that are not those of the rows.

        Returns
        -------
        SurvivalData
        """
        of_rows = {
            "follow_up": self.follow_up.rows(kept),
            "event": self.event[kept],
            "design": self.design[kept],
            "patient_index": self.patient_index[kept],
            "row_class": self.row_class[kept],
            "groups": tuple(group[kept] for group in self.groups),
        }
        return replace(self, **(of_rows | changes))

    def weighted(self, weights: NDArray) -> "SurvivalData":
        """Let every row count with a weight: its log-likelihood is multiplied by it.

        Parameters
        ----------
        weights : (rows,) ndarray
            Finite, 0 or more; inverse probabilities of treatment or censoring, for example.

        Returns
        -------
        SurvivalData

        Raises
        ------
        ValueError
            When weights are missing, negative or not finite.
        """
        weights = np.asarray(weights, dtype=float)
        n_rows = self.follow_up.n_rows
        if weights.shape != (n_rows,):
            raise ValueError(
                f"weights have shape {weights.shape}; give one for each of the {n_rows} rows"
            )
        if not np.all(np.isfinite(weights) & (weights >= 0)):
            raise ValueError("weights must be finite numbers, 0 or more")
        follow_up = self.follow_up
        return replace(
            self,
            event=self.event * weights,
            follow_up=replace(
                follow_up,
                stop_within=follow_up.stop_within * weights,
                entry_within=follow_up.entry_within * weights,
                count=follow_up.count * weights,
            ),
        )


def equal_rows(columns: Sequence[NDArray]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Order rows so that equal ones follow one another, in time that hardly grows with columns.

    Rows are sorted by one number made of all their bits. Different rows with the same number,
    which is next to impossible, would only leave equal rows apart.

    Parameters
    ----------
    columns : sequence of (rows,) ndarray
        Numbers, at least one column.

    Returns
    -------
    order : (rows,) ndarray of int
        Rows in their new order.
    first : (groups,) ndarray of int
        Where in `order` each group of equal rows begins.
    """
    # odd multipliers with bits in no order, the same in every run
    multipliers = own_stream(0).integers(2**63, size=len(columns), dtype=np.uint64)
    number = np.zeros(len(columns[0]), dtype=np.uint64)
    for column, multiplier in zip(columns, multipliers | np.uint64(1), strict=True):
        # adding 0 turns -0.0 into 0.0, its equal with other bits
        bits = (column.astype(np.float64) + 0.0).view(np.uint64)
        number += (bits ^ (bits >> np.uint64(32))) * multiplier
    order = np.argsort(number, kind="stable")
    differs = np.zeros(len(order), dtype=bool)
    differs[:1] = True
    for column in columns:
        ordered = column[order]
        differs[1:] |= ordered[1:] != ordered[:-1]
    return order, np.flatnonzero(differs)
