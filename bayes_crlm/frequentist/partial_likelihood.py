"""Cox's partial likelihood with its derivatives, over risk sets that patients may enter late.

Of one cohort, or of many with equally many rows at once: leading indices are those of cohorts.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

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
    loglik : (...) float
        Without any penalty.
    score : (..., p) float
        First derivative.
    information : (..., p, p) float
        Minus the second derivative.
    firth_score : (..., p) float or None
        Derivative of ``0.5 * log(det(information))``; None when it was not asked for.
    """

    loglik: Any
    score: Floats
    information: Floats
    firth_score: Floats | None = None

    @cached_property
    def penalised_loglik(self) -> float:
        """Log-likelihood of one cohort with Jeffreys' penalty; minus infinity without one."""
        sign, log_determinant = np.linalg.slogdet(self.information)
        return float(self.loglik + 0.5 * log_determinant) if sign > 0 else -np.inf


class PartialLikelihood:
    """Risk sets of a cohort, or of many, found once and used at many values of the coefficients.

    Parameters
    ----------
    entry, time : (..., rows) float
        A row is at risk at an event time t when entry < t <= time.
    event : (..., rows) 0 or 1
        1 where the row ends with the event.
    matrix : (..., rows, p) float
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
        matrix = np.asarray(matrix, dtype=np.float64)
        *self._shape, n_rows, self.n_terms = matrix.shape
        each = (-1, n_rows)
        time = np.asarray(time, dtype=np.float64).reshape(each)
        order = np.argsort(time, axis=1, kind="stable")
        time = np.take_along_axis(time, order, axis=1)
        entry = np.take_along_axis(np.asarray(entry, dtype=np.float64).reshape(each), order, axis=1)
        is_event = np.asarray(event).astype(bool).reshape(each)
        self._is_event = np.take_along_axis(is_event, order, axis=1)
        stacked = matrix.reshape(-1, n_rows, self.n_terms)
        self._matrix = np.take_along_axis(stacked, order[..., None], axis=1)
        self._of_events = (self._is_event[:, None].astype(np.float64) @ self._matrix)[:, 0]

        starts = np.ones(time.shape, dtype=bool)
        starts[:, 1:] = time[:, 1:] > time[:, :-1]
        self._group = np.cumsum(starts).reshape(time.shape) - 1
        self._starts = np.flatnonzero(starts)
        tied = np.add.reduceat(self._is_event.ravel().astype(np.intp), self._starts)
        self._fraction = np.zeros(time.shape)
        if ties == "efron" and tied.max(initial=0) > 1:
            within = np.cumsum(self._is_event).reshape(time.shape) - self._is_event
            within -= within.ravel()[self._starts][self._group]
            self._fraction = within / np.maximum(tied, 1)[self._group] * self._is_event
        self._has_fractions = bool(self._fraction.any())
        self._place_risk_sets(entry, time)
        at_risk = self._sums_of_risk_sets(self._is_event[..., None].astype(np.float64))
        self._is_at_risk = at_risk[..., 0] > 0

    def _place_risk_sets(self, entry: Floats, time: Floats) -> None:
        """Find where every row stands in the running sums, each with one place more than rows."""
        n_cohorts, n_rows = time.shape
        offset = (n_rows + 1) * np.arange(n_cohorts)[:, None]
        size = np.diff(np.append(self._starts, time.size))
        first = self._starts[self._group] - n_rows * np.arange(n_cohorts)[:, None]
        self._from, self._to = offset + first, offset + first + size[self._group]
        self._by_entry = None
        if (entry > time.min(axis=1, keepdims=True)).any():
            self._by_entry = np.argsort(entry, axis=1, kind="stable")
            ordered = np.take_along_axis(entry, self._by_entry, axis=1)
            places = [
                (np.searchsorted(own, ends), np.searchsorted(ends, starts, side="right"))
                for own, ends, starts in zip(ordered, time, entry, strict=True)
            ]
            later, before = (np.stack(each) for each in zip(*places, strict=True))
            self._entered, self._begin = offset + later, offset + before

    def at(self, coef: ArrayLike, *, with_firth_score: bool = False) -> PartialLikelihoodValue:
        """Log partial likelihood and its derivatives.

        Parameters
        ----------
        coef : (..., p) float
            Log hazard ratios of the columns of `matrix`.
        with_firth_score : bool
            Also the derivative of Jeffreys' penalty, at about twice the cost; of one cohort only.
        """
        shape, p = tuple(self._shape), self.n_terms
        coef = np.asarray(coef, dtype=np.float64).reshape(-1, p, 1)
        # rows that no event finds at risk say nothing, yet would spoil the scale of exp()
        linear = np.where(self._is_at_risk, (self._matrix @ coef)[..., 0], -np.inf)
        shift = np.maximum(linear.max(axis=1, keepdims=True, initial=-np.inf), -FARTHEST)
        weight = np.exp(linear - shift)[..., None]
        moments = self._sums(np.concatenate([weight, weight * self._matrix], axis=2))
        event = self._is_event[..., None]
        # late entries are subtracted, so a risk set may round to nothing far from the maximum
        is_lost = (event & ~(moments[..., :1] > LEAST_TOTAL)).any(axis=(1, 2))
        total = np.where(event & ~is_lost[:, None, None], moments[..., :1], 1.0)
        mean = moments[..., 1:] / total * event
        term = np.where(self._is_event, linear - shift - np.log(total[..., 0]), 0.0)
        score = self._of_events - np.ones(mean.shape[1]) @ mean
        # A row's probability of being the one that dies, summed over the events: with it no second
        # moment of any single risk set is needed, which would be p^2 numbers an event.
        share = weight * self._sums_of_risk_sets(event / total)
        information = np.swapaxes(self._matrix * share, 1, 2) @ self._matrix
        information -= np.swapaxes(mean, 1, 2) @ mean
        firth_score = None
        if with_firth_score and p and not is_lost.any():
            firth_score = self._firth_score(weight, total, mean, share, information)
        score[is_lost], information[is_lost] = 0.0, 0.0
        return PartialLikelihoodValue(
            np.where(is_lost, -np.inf, term.sum(axis=1)).reshape(shape)[()],
            score.reshape(*shape, p),
            information.reshape(*shape, p, p),
            firth_score,
        )

    def _firth_score(
        self, weight: Floats, total: Floats, mean: Floats, share: Floats, information: Floats
    ) -> Floats | None:
        """Half the trace of information⁻¹ times the third cumulants (Heinze & Schemper, eq. 2)."""
        try:
            inverse = np.linalg.inv(information)
        except np.linalg.LinAlgError:
            return None
        matrix, event = self._matrix, self._is_event[..., None]
        row_inverse, inverse_mean = matrix @ inverse, mean @ inverse
        quadratic = np.sum(row_inverse * matrix, axis=2, keepdims=True)
        mean_quadratic = self._sums(weight * quadratic) / total * event
        squared_mean = np.sum(inverse_mean * mean, axis=2, keepdims=True)
        # of each row, over its risk sets: what they expect, times the row's probability
        expected = weight * self._sums_of_risk_sets(mean / total)
        crossed = np.sum(row_inverse * expected, axis=2, keepdims=True)
        by_row = np.swapaxes(matrix, 1, 2) @ (share * quadratic - 2.0 * crossed)
        by_event = np.swapaxes(mean, 1, 2) @ (2.0 * squared_mean - mean_quadratic)
        return (0.5 * (by_row + by_event)).reshape(*self._shape, self.n_terms)

    def _sums(self, values: Floats) -> Floats:
        """Sum (cohorts, rows, k) values over the risk set of every row's end."""
        risk = _running(values[:, ::-1])[:, ::-1].reshape(-1, values.shape[2])[self._from]
        if self._by_entry is not None:
            entering = np.take_along_axis(values, self._by_entry[..., None], axis=1)
            late = _running(entering[:, ::-1])[:, ::-1]
            risk -= late.reshape(-1, values.shape[2])[self._entered]
        if self._has_fractions:
            dead = self._of_groups(values * self._is_event[..., None])
            risk -= self._fraction[..., None] * dead
        return risk

    def _sums_of_risk_sets(self, values: Floats) -> Floats:
        """Sum (cohorts, rows, k) values, 0 but for events, over the risk sets that a row is in.

        The transpose of `_sums`: a row counts in each with the share of its weight.
        """
        up_to = _running(values).reshape(-1, values.shape[2])
        sums = up_to[self._to]
        if self._by_entry is not None:
            # a row whose time at risk is empty is in no risk set
            sums -= up_to[np.minimum(self._begin, self._to)]
        if self._has_fractions:
            of_dead = self._of_groups(self._fraction[..., None] * values)
            sums -= of_dead * self._is_event[..., None]
        return sums

    def _of_groups(self, values: Floats) -> Floats:
        """Sum (cohorts, rows, k) values over rows that end together; each row has its group's."""
        flat = values.reshape(-1, values.shape[2])
        return np.add.reduceat(flat, self._starts, axis=0)[self._group]


def _running(values: Floats) -> Floats:
    """Running sums over rows, from 0 on: (cohorts, rows + 1, k)."""
    n_cohorts, n_rows, size = values.shape
    sums = np.zeros((n_cohorts, n_rows + 1, size))
    np.cumsum(values, axis=1, out=sums[:, 1:])
    return sums
