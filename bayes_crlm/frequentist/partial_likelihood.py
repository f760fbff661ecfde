"""Cox's partial likelihood with its derivatives, over risk sets that patients may enter late."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

TIES = ("efron", "breslow")
# Of a risk set, beside the largest weight of a row: its inverse has to be a number, too.
LEAST_TOTAL = 1e-200


@dataclass(frozen=True, eq=False)
class PartialLikelihoodValue:
    """The log partial likelihood at one point.

    Attributes
    ----------
    loglik : float
        Without any penalty.
    score : (p,) float
        First derivative.
    information : (p, p) float
        Minus the second derivative.
    firth_score : (p,) float or None
        Derivative of ``0.5 * log(det(information))``; None when it was not asked for.
    """

    loglik: float
    score: Floats
    information: Floats
    firth_score: Floats | None = None

    @cached_property
    def penalised_loglik(self) -> float:
        """Log-likelihood with Jeffreys' penalty; minus infinity where it is not defined."""
        sign, log_determinant = np.linalg.slogdet(self.information)
        return float(self.loglik + 0.5 * log_determinant) if sign > 0 else -np.inf


class PartialLikelihood:
    """Risk sets of a cohort, found once and used at many values of the coefficients.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk at an event time t when entry < t <= time.
    event : (n_rows,) 0 or 1
        1 where the row ends with the event.
    matrix : (n_rows, p) float
        Covariates, best centred and scaled by the caller.
    ties : {"efron", "breslow"}
        How tied events are treated.

    Notes
    -----
    Each tied event gets a term of its own: under Efron the l-th of d tied events divides by the
    risk set less l/d of the tied patients' own sum; under Breslow by the whole risk set.

    References
    ----------
    Therneau & Grambsch (2000), Modeling Survival Data, sections 3.1-3.3.
    """

    def __init__(
        self,
        entry: ArrayLike,
        time: ArrayLike,
        event: ArrayLike,
        matrix: ArrayLike,
        ties: str = "efron",
    ) -> None:
        if ties not in TIES:
            raise ValueError(f"ties is {ties!r}; it must be one of {', '.join(TIES)}")
        entry, time = np.asarray(entry, dtype=np.float64), np.asarray(time, dtype=np.float64)
        is_event = np.asarray(event).astype(bool)
        matrix = np.asarray(matrix, dtype=np.float64)

        self.event_times = np.unique(time[is_event])
        start = np.searchsorted(self.event_times, entry, side="right")
        stop = np.searchsorted(self.event_times, time, side="right")
        # Rows that no event finds at risk say nothing, yet would spoil the scale of exp().
        at_risk = np.flatnonzero(start < stop)
        by_stop = at_risk[np.argsort(stop[at_risk], kind="stable")]
        self.row = by_stop
        self.start, self.stop = start[by_stop], stop[by_stop]
        self.is_event = is_event[by_stop]
        self.matrix = matrix[by_stop]
        self.n_terms = matrix.shape[1]

        self._by_start = np.argsort(self.start, kind="stable") if self.start.any() else None
        event_rows = np.flatnonzero(self.is_event)
        tied = np.bincount(self.stop[event_rows] - 1, minlength=self.event_times.size)
        if ties == "breslow":
            self._group = np.arange(self.event_times.size)
            self._fraction = np.zeros(self.event_times.size)
            self._count = tied.astype(np.float64)
        else:
            self._group = np.repeat(np.arange(self.event_times.size), tied)
            within = np.arange(self._group.size) - np.repeat(np.cumsum(tied) - tied, tied)
            self._fraction = within / tied[self._group]
            self._count = np.ones(self._group.size)
        self._event_rows = event_rows
        self._has_fractions = bool(self._fraction.any())
        # the groups follow one another, and each has a denominator
        self._firsts = np.searchsorted(self._group, np.arange(self.event_times.size))

    def at(self, coef: ArrayLike, *, with_firth_score: bool = False) -> PartialLikelihoodValue:
        """Log partial likelihood and its derivatives.

        Parameters
        ----------
        coef : (p,) float
            Log hazard ratios of the columns of `matrix`.
        with_firth_score : bool
            Also the derivative of Jeffreys' penalty, at about twice the cost.
        """
        coef = np.asarray(coef, dtype=np.float64)
        linear_predictor = self.matrix @ coef
        shift = linear_predictor.max() if linear_predictor.size else 0.0
        weight = np.exp(linear_predictor - shift)[:, None]
        moments = self._sums(np.concatenate([weight, weight * self.matrix], axis=1))
        p = self.n_terms
        total = moments[:, :1]
        # Late entries are subtracted, so a risk set may round to nothing far from the maximum.
        if not np.all(total > LEAST_TOTAL):
            return PartialLikelihoodValue(-np.inf, np.zeros(p), np.zeros((p, p)))
        mean = moments[:, 1:] / total

        count = self._count
        events = self._event_rows
        loglik = linear_predictor[events].sum() - count @ (np.log(total[:, 0]) + shift)
        score = self.matrix[events].sum(axis=0) - count @ mean
        # A row's probability of being the one that dies, summed over the events: with it no second
        # moment of any single risk set is needed, which would be p^2 numbers an event.
        share = weight * self._sums_of_risk_sets(count[:, None] / total)
        information = (self.matrix * share).T @ self.matrix - (mean * count[:, None]).T @ mean
        firth_score = None
        if with_firth_score and p:
            firth_score = self._firth_score(weight, total, mean, share, information)
        return PartialLikelihoodValue(float(loglik), score, information, firth_score)

    def _firth_score(
        self, weight: Floats, total: Floats, mean: Floats, share: Floats, information: Floats
    ) -> Floats | None:
        """Half the trace of information⁻¹ times the third cumulants (Heinze & Schemper, eq. 2)."""
        try:
            inverse = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            return None
        count = self._count[:, None]
        row_inverse, inverse_mean = self.matrix @ inverse, mean @ inverse
        quadratic = np.sum(row_inverse * self.matrix, axis=1, keepdims=True)
        mean_quadratic = self._sums(weight * quadratic) / total
        squared_mean = np.sum(inverse_mean * mean, axis=1, keepdims=True)
        # of each row, over its risk sets: what they expect, times the row's probability
        expected = weight * self._sums_of_risk_sets(count * mean / total)
        crossed = np.sum(row_inverse * expected, axis=1, keepdims=True)
        by_row = self.matrix.T @ (share * quadratic - 2.0 * crossed)
        by_event = mean.T @ (count * (2.0 * squared_mean - mean_quadratic))
        return 0.5 * (by_row + by_event)[:, 0]

    def _sums(self, values: Floats) -> Floats:
        """Sum (n_rows, k) values over the (n_events,) denominators' risk sets."""
        n_times = self.event_times.size
        risk = _sums_beyond(values, self.stop, n_times)
        if self._by_start is not None:
            risk -= _sums_beyond(values[self._by_start], self.start[self._by_start], n_times)
        sums = risk[self._group]
        if self._has_fractions:
            dead = _sums_at(values[self._event_rows], self.stop[self._event_rows] - 1, n_times)
            sums -= self._fraction[:, None] * dead[self._group]
        return sums

    def _sums_of_risk_sets(self, values: Floats) -> Floats:
        """Sum (n_events, k) values over the denominators that each of the (n_rows,) is part of.

        The transpose of `_sums`: a row counts in each with the share of its weight.
        """
        if not values.shape[0]:
            return np.zeros((self.row.size, values.shape[1]))
        up_to = np.zeros((self.event_times.size + 1, values.shape[1]))
        np.cumsum(np.add.reduceat(values, self._firsts, axis=0), axis=0, out=up_to[1:])
        sums = up_to[self.stop] - up_to[self.start]
        if self._has_fractions:
            of_dead = np.add.reduceat(self._fraction[:, None] * values, self._firsts, axis=0)
            sums[self._event_rows] -= of_dead[self.stop[self._event_rows] - 1]
        return sums


def _sums_at(values: Floats, position: NDArray[np.intp], n_positions: int) -> Floats:
    """Sum rows, sorted by position, at each of 0..n_positions-1."""
    sums = np.zeros((n_positions, values.shape[1]))
    if values.shape[0]:
        firsts = np.flatnonzero(np.concatenate([[True], np.diff(position) > 0]))
        sums[position[firsts]] = np.add.reduceat(values, firsts, axis=0)
    return sums


def _sums_beyond(values: Floats, position: NDArray[np.intp], n_positions: int) -> Floats:
    """Sum rows, sorted by position, whose position lies beyond each of 0..n_positions-1."""
    sums = _sums_at(values, position, n_positions + 1)
    return np.cumsum(sums[:0:-1], axis=0)[::-1]
