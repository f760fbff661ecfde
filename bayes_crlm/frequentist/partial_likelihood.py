"""Cox's partial likelihood with its derivatives, over risk sets that patients may enter late."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

TIES = ("efron", "breslow")
# Of a risk set, beside the largest weight of a row: its inverse has to be a number, too.
LEAST_TOTAL = 1e-200
# in place of the largest linear predictor where no row is at risk
FARTHEST = 1e300


@record(eq=False)
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
        """Log-likelihood with Jeffreys' penalty; minus infinity without one."""
        sign, log_determinant = np.linalg.slogdet(self.information)
        return float(self.loglik + 0.5 * log_determinant) if sign > 0 else -np.inf


class PartialLikelihood:
    """Risk sets of a cohort, found once and used at many values of the coefficients.

    Parameters
    ----------
    entry, time : (rows,) float
        A row is at risk at an event time t when entry < t <= time.
    event : (rows,) 0 or 1
        1 where the row ends with the event.
    matrix : (rows, p) float
        Covariates, best centred and scaled by the caller.
    ties : {"efron", "breslow"}
        How tied events are treated.

    Notes
    -----
    Each tied event gets a term of its own: under Efron the l-th of d tied events divides by the
    risk set less l/d of the tied patients' own sum; under Breslow by the whole risk set.
    Rows are sorted by their ends, so that every sum over a risk set is one of two running sums,
    or their difference.

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
        time = np.asarray(time, dtype=np.float64)
        order = np.argsort(time, kind="stable")
        time, entry = time[order], np.asarray(entry, dtype=np.float64)[order]
        self._is_event = np.asarray(event).astype(bool)[order]
        self._matrix = np.asarray(matrix, dtype=np.float64)[order]
        self._of_events = self._is_event.astype(np.float64) @ self._matrix

        starts = np.append(True, time[1:] > time[:-1])
        self._group = np.cumsum(starts) - 1
        self._starts = np.flatnonzero(starts)
        tied = np.add.reduceat(self._is_event.astype(np.intp), self._starts)
        self._fraction = np.zeros((len(time), 1))
        if ties == "efron" and tied.max(initial=0) > 1:
            within = np.cumsum(self._is_event) - self._is_event
            within -= within[self._starts][self._group]
            share = within / np.maximum(tied, 1)[self._group] * self._is_event
            self._fraction = share[:, None]
        self._has_fractions = bool(self._fraction.any())
        self._place_risk_sets(entry, time)
        at_risk = self._sums_of_risk_sets(self._is_event[:, None].astype(np.float64))
        self._is_at_risk = at_risk[:, 0] > 0

    def _place_risk_sets(self, entry: Floats, time: Floats) -> None:
        """Find where every row stands in the running sums, which have one place more than rows."""
        ends = np.append(self._starts[1:], len(time))
        self._from, self._to = self._starts[self._group], ends[self._group]
        self._by_entry = None
        if (entry > time[0]).any():
            self._by_entry = np.argsort(entry, kind="stable")
            self._entered = np.searchsorted(entry[self._by_entry], time)
            self._begin = np.searchsorted(time, entry, side="right")

    def at(self, coef: ArrayLike, *, with_firth_score: bool = False) -> PartialLikelihoodValue:
        """Log partial likelihood and its derivatives.

        Parameters
        ----------
        coef : (p,) float
            Log hazard ratios of the columns of `matrix`.
        with_firth_score : bool
            Also the derivative of Jeffreys' penalty, at about twice the cost.
        """
        p = self._matrix.shape[1]
        # rows that no event finds at risk say nothing, yet would spoil the scale of exp()
        linear = np.where(self._is_at_risk, self._matrix @ np.asarray(coef), -np.inf)
        shift = max(linear.max(initial=-np.inf), -FARTHEST)
        weight = np.exp(linear - shift)[:, None]
        moments = self._sums(np.concatenate([weight, weight * self._matrix], axis=1))
        event = self._is_event[:, None]
        # late entries are subtracted, so a risk set may round to nothing far from the maximum
        if not (moments[self._is_event, 0] > LEAST_TOTAL).all():
            return PartialLikelihoodValue(-np.inf, np.zeros(p), np.zeros((p, p)))
        total = np.where(event, moments[:, :1], 1.0)
        mean = moments[:, 1:] / total * event
        term = np.where(self._is_event, linear - shift - np.log(total[:, 0]), 0.0)
        # A row's probability of being the one that dies, summed over the events: with it no second
        # moment of any single risk set is needed, which would be p^2 numbers an event.
        share = weight * self._sums_of_risk_sets(event / total)
        information = (self._matrix * share).T @ self._matrix - mean.T @ mean
        firth_score = None
        if with_firth_score and p:
            firth_score = self._firth_score(weight, total, mean, share, information)
        score = self._of_events - mean.sum(axis=0)
        return PartialLikelihoodValue(float(term.sum()), score, information, firth_score)

    def _firth_score(
        self, weight: Floats, total: Floats, mean: Floats, share: Floats, information: Floats
    ) -> Floats | None:
        """Half the trace of information⁻¹ times the third cumulants (Heinze & Schemper, eq. 2)."""
        try:
            inverse = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            return None
        matrix = self._matrix
        row_inverse, inverse_mean = matrix @ inverse, mean @ inverse
        quadratic = np.sum(row_inverse * matrix, axis=1, keepdims=True)
        mean_quadratic = self._sums(weight * quadratic) / total * self._is_event[:, None]
        squared_mean = np.sum(inverse_mean * mean, axis=1, keepdims=True)
        # of each row, over its risk sets: what they expect, times the row's probability
        expected = weight * self._sums_of_risk_sets(mean / total)
        crossed = np.sum(row_inverse * expected, axis=1, keepdims=True)
        by_row = matrix.T @ (share * quadratic - 2.0 * crossed)
        by_event = mean.T @ (2.0 * squared_mean - mean_quadratic)
        return 0.5 * (by_row + by_event)[:, 0]

    def _sums(self, values: Floats) -> Floats:
        """Sum (rows, k) values over the risk set of every row's end."""
        risk = _running(values[::-1])[::-1][self._from]
        if self._by_entry is not None:
            risk -= _running(values[self._by_entry][::-1])[::-1][self._entered]
        if self._has_fractions:
            risk -= self._fraction * self._of_groups(values * self._is_event[:, None])
        return risk

    def _sums_of_risk_sets(self, values: Floats) -> Floats:
        """Sum (rows, k) values, 0 but for events, over the risk sets that a row is in.

        The transpose of `_sums`: a row counts in each with the share of its weight.
        """
        up_to = _running(values)
        sums = up_to[self._to]
        if self._by_entry is not None:
            # a row whose time at risk is empty is in no risk set
            sums -= up_to[np.minimum(self._begin, self._to)]
        if self._has_fractions:
            sums -= self._of_groups(self._fraction * values) * self._is_event[:, None]
        return sums

    def _of_groups(self, values: Floats) -> Floats:
        """Sum (rows, k) values over rows that end together; each row has its group's."""
        return np.add.reduceat(values, self._starts, axis=0)[self._group]


def _running(values: Floats) -> Floats:
    """Running sums over rows, from 0 on: (rows + 1, k)."""
    return np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
