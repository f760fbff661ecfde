"""Cox regressions of many cohorts at once, by Newton's method with Efron's ties.

Only clear cases are done here: follow-up from 0, no times that differ by rounding alone, and a
maximum that certainly exists. `bayes_crlm.frequentist.cox.fit_cox` does the others, one by one.

References
----------
Cox (1972), J R Stat Soc B 34:187-220; Efron (1977), J Am Stat Assoc 72:557-565.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.frequentist.cox import NORMAL_975, fit_cox
from bayes_crlm.likelihood.matrices import inverses, solutions
from bayes_crlm.words.errors import CohortError

if TYPE_CHECKING:
    from bayes_crlm.model.prepared_block import CohortBlock

__all__ = ["BlockCox", "fit_block_cox"]

MOST_STEPS = 50
# R's: times closer than this share of the mean time are one time
TIE_TOLERANCE = float(np.sqrt(np.finfo(float).eps))
# what one more Newton step may raise the log partial likelihood by, twice
CONVERGENCE = 1e-14


@dataclass(frozen=True, eq=False)
class BlockCox:
    """Cox estimates of many cohorts in the columns' own units; nan where there is none.

    Attributes
    ----------
    coef, se, low, high : (cohorts, terms) ndarray
        Log hazard ratios, standard errors and 95% limits.
    method : (cohorts,) list of str
        "partial likelihood", "Firth", or "" where nothing was fitted.
    note : (cohorts,) list of str
        Why estimates are missing or penalised; empty where there is nothing to say.
    """

    coef: NDArray[np.float64]
    se: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    method: list[str]
    note: list[str]


def fit_block_cox(block: "CohortBlock") -> BlockCox:
    """Fit a Cox regression to every cohort of a block.

    Parameters
    ----------
    block : CohortBlock
        The cohorts.

    Returns
    -------
    BlockCox
        Equal to that of `bayes_crlm.frequentist.cox.fit_cox` but for rounding.
    """
    shape = block.center.shape
    coef, se, low, high = (np.full(shape, np.nan) for _ in range(4))
    method, note = [""] * len(block), [""] * len(block)
    clear = np.flatnonzero(has_clear_times(block.time) & ~block.entry.any(axis=1))
    if len(clear):
        found, error, is_maximum = newton(block.part(clear))
        clear, found, error = clear[is_maximum], found[is_maximum], error[is_maximum]
        coef[clear], se[clear] = found, error
        low[clear], high[clear] = found - NORMAL_975 * error, found + NORMAL_975 * error
        for k in clear.tolist():
            method[k] = "partial likelihood"
    for k in range(len(block)):
        if method[k]:
            continue
        try:
            cox = fit_cox(
                block.entry[k],
                block.time[k],
                block.event[k],
                block.matrix[k],
                block.terms,
                block.patient_index[k],
            )
        except CohortError as problem:
            note[k] = f"Cox: {problem}"
            continue
        coef[k], se[k] = cox.coef, cox.se
        with np.errstate(divide="ignore"):
            low[k], high[k] = np.log(cox.ci95).T
        method[k], note[k] = cox.method, "; ".join(cox.warnings)
    return BlockCox(coef, se, low, high, method, note)


def has_clear_times(time: NDArray) -> NDArray[np.bool]:
    """Whether no two times of a cohort differ by rounding alone, shape (cohorts,)."""
    ordered = np.sort(time, axis=1)
    gap = np.diff(ordered, axis=1)
    # 0 counts among the distinct times, whose mean this is at most
    tolerance = TIE_TOLERANCE * ordered.max(axis=1, keepdims=True)
    is_close = (gap > 0) & (gap <= tolerance)
    return ~is_close.any(axis=1) & (ordered[:, 0] > tolerance[:, 0])


def newton(
    block: "CohortBlock",
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool]]:
    """Maximise the partial likelihoods; coefficients, standard errors, and where they are sure."""
    matrix = block.matrix
    center, scale = matrix.mean(axis=1), matrix.std(axis=1)
    scaled = (matrix - center[:, None]) / scale[:, None]
    risk = RiskSets.of(scaled, block.time, block.event)
    count, size = scaled.shape[0], scaled.shape[2]
    at = np.zeros((count, size))
    value, score, information = risk.at(at)
    share, active = np.ones(count), np.arange(count)
    converged = np.zeros(count, dtype=bool)
    for _ in range(MOST_STEPS):
        step = solutions(information[active], score[active])
        rise = np.abs((score[active] * step).sum(axis=1))
        converged[active[rise < CONVERGENCE]] = True
        goes_on = (rise >= CONVERGENCE) & np.isfinite(rise) & (share[active] > 1e-6)
        active, step = active[goes_on], step[goes_on]
        if not len(active):
            break
        candidate = at[active] + share[active, None] * step
        # a step so far that nobody at risk has any weight is not a step up, and is halved
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            new = risk.part(active).at(candidate)
        is_finite = np.isfinite(new[0]) & np.isfinite(new[2]).all(axis=(1, 2))
        risen = is_finite & (new[0] >= value[active] - 1e-10 * (1 + np.abs(value[active])))
        share[active] = np.where(risen, 1.0, share[active] / 2)
        moved = active[risen]
        at[moved], value[moved] = candidate[risen], new[0][risen]
        score[moved], information[moved] = new[1][risen], new[2][risen]
    covariance = np.full_like(information, np.nan)
    found = np.flatnonzero(converged)
    covariance[found] = inverses(information[found])
    is_sure = converged & are_maxima_certain(score, covariance, np.ptp(scaled, axis=1))
    with np.errstate(invalid="ignore"):
        error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2)) / scale
    is_sure &= np.isfinite(error).all(axis=1)
    return at / scale, error, is_sure


def are_maxima_certain(score: NDArray, covariance: NDArray, ranges: NDArray) -> NDArray[np.bool]:
    """Prove of each cohort that its likelihood is not monotone.

    The bound of `bayes_crlm.frequentist.separation.is_maximum_certain`.
    """
    is_there = np.isfinite(covariance).all(axis=(1, 2))
    largest = np.full(len(score), np.inf)
    largest[is_there] = np.linalg.eigvalsh(covariance[is_there])[:, -1]
    bound = np.linalg.norm(ranges, axis=1) * (np.linalg.norm(score, axis=1) + 1e-8)
    return (largest > 0) & (largest * bound < 1)


@dataclass(frozen=True, eq=False)
class RiskSets:
    """Rows of many cohorts in the order of their times, and the groups of tied ones.

    Attributes
    ----------
    matrix : (cohorts, rows, terms) ndarray
        Centred and scaled columns.
    event : (cohorts, rows) ndarray
        1 where a row ends with the event.
    first, last : (cohorts, rows) ndarray of int
        Where the group of rows with the same time begins and ends.
    fraction : (cohorts, rows) ndarray
        Efron's: l/d for the l-th (from 0) of d tied events.
    has_ties : bool
        Whether any event is tied with another.
    has_equal_times : bool
        Whether any row has the time of another.
    """

    matrix: NDArray[np.float64]
    event: NDArray[np.float64]
    first: NDArray[np.intp]
    last: NDArray[np.intp]
    fraction: NDArray[np.float64]
    has_ties: bool
    has_equal_times: bool

    @classmethod
    def of(cls, matrix: NDArray, time: NDArray, event: NDArray) -> "RiskSets":
        """Sort rows by time."""
        order = np.argsort(time, axis=1, kind="stable")
        time = np.take_along_axis(time, order, axis=1)
        event = np.take_along_axis(event, order, axis=1)
        matrix = np.take_along_axis(matrix, order[:, :, None], axis=1)
        places = np.arange(time.shape[1])
        is_new = np.ones(time.shape, dtype=bool)
        is_new[:, 1:] = time[:, 1:] > time[:, :-1]
        first = np.maximum.accumulate(np.where(is_new, places, 0), axis=1)
        is_end = np.ones(time.shape, dtype=bool)
        is_end[:, :-1] = is_new[:, 1:]
        last = np.minimum.accumulate(np.where(is_end, places, len(places))[:, ::-1], axis=1)
        last = last[:, ::-1]
        so_far = np.cumsum(event, axis=1)
        before = np.take_along_axis(so_far - event, first, axis=1)
        tied = np.take_along_axis(so_far, last, axis=1) - before
        rank = so_far - event - before
        fraction = np.where(event > 0, rank / np.maximum(tied, 1), 0.0)
        return cls(
            matrix, event, first, last, fraction, bool(fraction.any()), not bool(is_new.all())
        )

    def part(self, which: NDArray[np.intp]) -> "RiskSets":
        """Those of some cohorts."""
        if len(which) == len(self.event):
            return self
        return RiskSets(
            self.matrix[which],
            self.event[which],
            self.first[which],
            self.last[which],
            self.fraction[which],
            self.has_ties,
            self.has_equal_times,
        )

    def at(self, coef: NDArray) -> tuple[NDArray, NDArray, NDArray]:
        """Log partial likelihoods, scores and information.

        With A_k the sum over events that find row k at risk of 1/denominator (less Efron's
        fraction of a row's own tied events), the information is sum_k A_k w_k x_k x_k' minus the
        sum over events of the outer products of their means: no cumulative sums of matrices.
        """
        predictor = (self.matrix @ coef[:, :, None])[:, :, 0]
        shift = predictor.max(axis=1, keepdims=True)
        weight = np.exp(predictor - shift)
        weighted = weight[:, :, None] * self.matrix
        total, moment = self.at_risk(weight[:, :, None])[:, :, 0], self.at_risk(weighted)
        if self.has_ties:
            total = total - self.fraction * self.dead(weight[:, :, None])[:, :, 0]
            moment = moment - self.fraction[:, :, None] * self.dead(weighted)
        share = self.event / total
        mean = moment / total[:, :, None]
        value = (self.event * (predictor - shift - np.log(total))).sum(axis=1)
        score = (self.event[:, None, :] @ (self.matrix - mean))[:, 0]
        reached = np.cumsum(share, axis=1)
        if self.has_equal_times:
            reached = np.take_along_axis(reached, self.last, axis=1)
        if self.has_ties:
            own = self.dead((share * self.fraction)[:, :, None], of_events=False)[:, :, 0]
            reached = reached - self.event * own
        second = self.matrix.transpose(0, 2, 1) @ (weighted * reached[:, :, None])
        at_events = mean * self.event[:, :, None]
        return value, score, second - at_events.transpose(0, 2, 1) @ mean

    def at_risk(self, values: NDArray) -> NDArray[np.float64]:
        """Sum values over the rows at risk at every row's time."""
        beyond = np.cumsum(values[:, ::-1], axis=1)[:, ::-1]
        if not self.has_equal_times:
            return beyond
        return np.take_along_axis(beyond, self.first[:, :, None], axis=1)

    def dead(self, values: NDArray, *, of_events: bool = True) -> NDArray[np.float64]:
        """Sum values over the tied rows of every row, only those with an event or all."""
        if of_events:
            values = values * self.event[:, :, None]
        so_far = np.cumsum(values, axis=1)
        before = np.take_along_axis(so_far - values, self.first[:, :, None], axis=1)
        return np.take_along_axis(so_far, self.last[:, :, None], axis=1) - before
