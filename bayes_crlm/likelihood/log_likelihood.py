"""The piecewise-exponential likelihood as functions of arrays.

Row i has hazard exp(log_hazard_j + x_i'effect) in interval j. Its log-likelihood is
event_i x (log_hazard at its stop + x_i'effect) minus its cumulative hazard. Time is linear
in rows, and no rows x intervals table is made. Rows that share a design row and end (and begin)
in the same interval enter through sums alone, so they can be pooled into one row exactly.

References
----------
Holford (1980), Biometrics 36:299-305; Friedman (1982), Ann Stat 10:101-113.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.intervals import (
    FollowUp,
    exposure_per_interval,
    log_hazard_at_stop,
    row_cumulative_hazard,
)

__all__ = [
    "SurvivalData",
    "cohort_log_likelihood",
    "equal_rows",
    "log_likelihood",
    "log_likelihood_gradient",
    "log_likelihood_hessian",
    "patient_log_likelihood",
]

# numbers in one table of draws x rows, which then stays in a processor's cache
BLOCK = 2**18


@dataclass(frozen=True)
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
    """

    follow_up: FollowUp
    event: NDArray[np.float64]
    design: NDArray[np.float64]
    patient_index: NDArray[np.intp]
    n_patients: int

    @cached_property
    def events_per_interval(self) -> NDArray[np.float64]:
        """Events in every interval, shape (intervals,)."""
        return np.bincount(
            self.follow_up.stop_interval,
            weights=self.event,
            minlength=len(self.follow_up.width),
        )

    @cached_property
    def event_design(self) -> NDArray[np.float64]:
        """Sum of the design's rows over events, shape (terms,)."""
        return self.event @ self.design

    def pooled(self) -> "SurvivalData":
        """Merge rows that the likelihood cannot tell apart; its value stays the same.

        Such rows have the same design row and end, and begin, in the same interval. A merged
        row has their number of events, their count and the sums of their times within the
        intervals, and stands for a patient of its own.

        Returns
        -------
        SurvivalData
            As many rows as there are distinct combinations.
        """
        follow_up = self.follow_up
        order, first = equal_rows(
            [*self.design.T, follow_up.stop_interval, follow_up.entry_interval]
        )

        def summed(values: NDArray) -> NDArray:
            return np.add.reduceat(values[order], first)

        kept = order[first]
        return SurvivalData(
            follow_up=replace(
                follow_up,
                stop_interval=follow_up.stop_interval[kept],
                stop_within=summed(follow_up.stop_within),
                entry_interval=follow_up.entry_interval[kept],
                entry_within=summed(follow_up.entry_within),
                count=summed(follow_up.count),
            ),
            event=summed(self.event),
            design=self.design[kept],
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
        rows = np.flatnonzero(patients[place] == self.patient_index)
        follow_up = self.follow_up
        return SurvivalData(
            follow_up=replace(
                follow_up,
                stop_interval=follow_up.stop_interval[rows],
                stop_within=follow_up.stop_within[rows],
                entry_interval=follow_up.entry_interval[rows],
                entry_within=follow_up.entry_within[rows],
                count=follow_up.count[rows],
            ),
            event=self.event[rows],
            design=self.design[rows],
            patient_index=place[rows],
            n_patients=len(patients),
        )

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
    multipliers = np.random.default_rng(0).integers(2**63, size=len(columns), dtype=np.uint64)
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


def log_likelihood(log_hazard: NDArray, effect: NDArray, data: SurvivalData) -> float:
    """Log-likelihood of all rows together.

    Parameters
    ----------
    log_hazard : (intervals,) ndarray
        Log-hazards at the covariates' means.
    effect : (terms,) ndarray
        Log hazard ratios on the sampling scale.
    data : SurvivalData
        The cohort in compact form.
    """
    linear_predictor = data.design @ effect
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * np.exp(linear_predictor)
    return float(
        data.events_per_interval @ log_hazard + data.event_design @ effect - cumulative.sum()
    )


def log_likelihood_gradient(
    log_hazard: NDArray, effect: NDArray, data: SurvivalData
) -> tuple[NDArray, NDArray]:
    """Gradient of `log_likelihood` in log-hazards and in effects.

    Returns
    -------
    (intervals,) ndarray, (terms,) ndarray
    """
    relative = np.exp(data.design @ effect)
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * relative
    weighted = exposure_per_interval(data.follow_up, relative)
    return (
        data.events_per_interval - np.exp(log_hazard) * weighted,
        data.event_design - cumulative @ data.design,
    )


def log_likelihood_hessian(
    log_hazard: NDArray, effect: NDArray, data: SurvivalData
) -> tuple[NDArray, NDArray, NDArray]:
    """Second derivatives of `log_likelihood`.

    Returns
    -------
    (intervals,) ndarray
        Diagonal of the log-hazards' block (its other entries are 0).
    (intervals, terms) ndarray
        Block between log-hazards and effects.
    (terms, terms) ndarray
        Block of the effects.
    """
    relative = np.exp(data.design @ effect)
    cumulative = row_cumulative_hazard(log_hazard, data.follow_up) * relative
    hazard = np.exp(log_hazard)
    weighted = exposure_per_interval(data.follow_up, relative)
    crossed = np.empty((len(hazard), data.design.shape[1]))
    for term in range(data.design.shape[1]):
        crossed[:, term] = exposure_per_interval(data.follow_up, relative * data.design[:, term])
    return (
        -hazard * weighted,
        -hazard[:, None] * crossed,
        -(data.design * cumulative[:, None]).T @ data.design,
    )


def patient_log_likelihood(log_hazard: NDArray, effect: NDArray, data: SurvivalData) -> NDArray:
    """Log-likelihood of every patient for every draw.

    Parameters
    ----------
    log_hazard : (draws, intervals) ndarray
        Log-hazards at the covariates' means.
    effect : (draws, terms) ndarray
        Log hazard ratios on the sampling scale.
    data : SurvivalData
        The cohort in compact form.

    Returns
    -------
    (draws, patients) ndarray
        Rows of one patient are summed.
    """
    order = np.argsort(data.patient_index, kind="stable")
    starts = np.searchsorted(data.patient_index, np.arange(data.n_patients), sorter=order)
    has_row_per_patient = len(order) == data.n_patients
    total = np.empty((len(log_hazard), data.n_patients))
    for draws in blocks_of_draws(len(log_hazard), len(order)):
        linear_predictor = effect[draws] @ data.design.T
        rows = log_hazard_at_stop(log_hazard[draws], data.follow_up) + linear_predictor
        rows *= data.event
        np.exp(linear_predictor, out=linear_predictor)
        rows -= row_cumulative_hazard(log_hazard[draws], data.follow_up) * linear_predictor
        rows = rows[:, order]
        total[draws] = rows if has_row_per_patient else np.add.reduceat(rows, starts, axis=1)
    return total


def cohort_log_likelihood(log_hazard: NDArray, effect: NDArray, data: SurvivalData) -> NDArray:
    """Log-likelihood of all rows together for every draw.

    Parameters
    ----------
    log_hazard, effect, data
        As for `patient_log_likelihood`.

    Returns
    -------
    (draws,) ndarray
    """
    total = log_hazard @ data.events_per_interval + effect @ data.event_design
    for draws in blocks_of_draws(len(total), data.follow_up.n_rows):
        cumulative = row_cumulative_hazard(log_hazard[draws], data.follow_up)
        cumulative *= np.exp(effect[draws] @ data.design.T)
        total[draws] -= cumulative.sum(axis=1)
    return total


def blocks_of_draws(n_draws: int, n_rows: int) -> list[slice]:
    """Slices of draws whose tables of draws x rows stay small; at least one draw each."""
    step = max(1, BLOCK // max(1, n_rows))
    return [slice(start, start + step) for start in range(0, n_draws, step)]
