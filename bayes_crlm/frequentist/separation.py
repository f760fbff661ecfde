"""Separation: covariates that order the events perfectly, so that a hazard ratio is infinite.

The log partial likelihood is a sum over events of -log sum_k exp(b'(x_k - x_i)), k over the risk
set of event i. It has no maximum (it is monotone) exactly when some direction g has

    g'(x_i - x_k) >= 0   for every event i and every row k at risk with it,

one of them strictly: going along g only ever raises it. The simplest case is a treatment level
without events. The same direction ruins the piecewise-exponential likelihood without a prior: its
maximum over the hazards of the intervals has the same form with intervals for risk sets, so a level
without events sends that log hazard ratio to minus infinity too. (The converse fails: fixed
intervals put more rows into a comparison, so a covariate may order the events of every risk set but
not those of every interval.) Under a proper prior the posterior stays finite, and the prior then
decides how large the hazard ratio is.

References
----------
Bryson & Johnson (1981), Technometrics 23:381-383.
Heinze & Schemper (2001), Biometrics 57:114-119.
Konis (2007), Linear programming algorithms for detecting separated data, DPhil thesis, Oxford.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.likelihood.tied_times import merge_tied_times
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written

Floats = NDArray[np.float64]

# Columns are scaled to range 1, so these are shares of a column's range.
ORDER_TOLERANCE = 1e-8
GAIN_TOLERANCE = 1e-6
MOST_PAIRS_PER_ROUND = 200


@record(eq=False)
class Separation:
    """What makes the likelihood monotone.

    Attributes
    ----------
    terms : tuple of str
        The columns whose maximum likelihood estimates do not exist.
    reason : str
        One sentence, with the counts of events.
    direction : (p,) float
        One direction along which the likelihood never falls, in units of the columns' ranges.
    """

    terms: tuple[str, ...]
    reason: str
    direction: Floats


def is_maximum_certain(
    score: ArrayLike, covariance: ArrayLike, ranges: ArrayLike
) -> NDArray[np.bool_]:
    """Tell from a converged fit that its likelihood is not monotone.

    Along a direction g of monotone likelihood every event's covariate is the largest of its risk
    set, which bounds the variance within risk sets by their range times the mean shortfall:
    g'Ig <= range(g'x) * g'u. A smallest eigenvalue of the information I above |ranges| * |u| rules
    every such direction out.

    Parameters
    ----------
    score : (..., p) float
        u, the derivative at the estimate, near 0.
    covariance : (..., p, p) float
        Inverse of I. Its largest eigenvalue is exact to rounding where the smallest of a nearly
        singular I is not.
    ranges : (..., p) float
        Largest less smallest value of each column.

    Returns
    -------
    (...) ndarray of bool
        True is proof; False only says that `find_separation` must decide.
    """
    score, ranges = np.asarray(score, dtype=float), np.asarray(ranges, dtype=float)
    largest = np.linalg.eigvalsh(np.asarray(covariance, dtype=float))[..., -1]
    # The floor keeps a score that has been rounded to 0 from proving anything.
    rounding = 1e-8
    bound = np.linalg.norm(ranges, axis=-1) * (np.linalg.norm(score, axis=-1) + rounding)
    return (largest > 0.0) & (largest * bound < 1.0)


def find_separation(
    entry: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    matrix: ArrayLike,
    terms: Sequence[str],
    patient_index: ArrayLike | None = None,
) -> Separation | None:
    """Look for separation in a survival design, exactly.

    A linear programme maximises the summed gain g'(x_i - x_k) over directions that lose nowhere
    (Konis, 2007). It starts from few pairs (i, k) and adds those that its answer violates, so that
    the number of pairs stays near the number of columns however many rows there are.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk over (entry, time].
    event : (n_rows,) 0 or 1
        1 where the row ends with the event.
    matrix : (n_rows, p) float
        The design, in any units.
    terms : sequence of str
        The p names of the columns.
    patient_index : (n_rows,) int, optional
        Whose row it is, for counting patients in the message; without it a row is a patient.

    Returns
    -------
    Separation or None
        None when every estimable coefficient has a finite maximum likelihood estimate.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    if not matrix.shape[1] or not np.any(event):
        return None
    entry, time = merge_tied_times(entry, time)
    is_event = np.asarray(event).astype(bool)
    spread = np.ptp(matrix, axis=0)
    scaled = (matrix - matrix.mean(axis=0)) / np.where(spread > 0, spread, 1.0)

    cone = _RecessionCone(_RiskSets(entry, time, is_event, scaled))
    direction = cone.widest(None)
    if direction is None:
        return None
    involved = [
        column
        for column in range(matrix.shape[1])
        if abs(direction[column]) > GAIN_TOLERANCE or cone.moves(column)
    ]
    names = tuple(terms[column] for column in involved)
    patients = np.arange(time.size) if patient_index is None else np.asarray(patient_index)
    reason = _reason(cone, matrix, is_event, patients, terms, involved)
    return Separation(terms=names, reason=reason, direction=direction)


class _RiskSets:
    """Which rows each event time finds at risk, and the largest linear predictor among them."""

    def __init__(
        self, entry: Floats, time: Floats, is_event: NDArray[np.bool_], matrix: Floats
    ) -> None:
        event_times = np.unique(time[is_event])
        start = np.searchsorted(event_times, entry, side="right")
        stop = np.searchsorted(event_times, time, side="right")
        at_risk = start < stop
        self.matrix = matrix[at_risk]
        self.start, self.stop = start[at_risk], stop[at_risk]
        self.n_times = event_times.size
        self.events = np.flatnonzero(is_event[at_risk])
        self.event_position = self.stop[self.events] - 1
        # A row covers its event times by two overlapping stretches of 2^level of them.
        self._level = np.frexp(self.stop - self.start)[1] - 1

    def leaders(self, linear_predictor: Floats) -> NDArray[np.intp]:
        """The row with the largest linear predictor of each risk set."""
        order = np.argsort(linear_predictor, kind="stable")
        rank = np.empty(order.size, dtype=np.intp)
        rank[order] = np.arange(order.size)
        best = np.full((int(self._level.max()) + 1, self.n_times), -1, dtype=np.intp)
        np.maximum.at(best, (self._level, self.start), rank)
        np.maximum.at(best, (self._level, self.stop - (1 << self._level)), rank)
        for level in range(best.shape[0] - 1, 0, -1):
            half = 1 << (level - 1)
            np.maximum(best[level - 1], best[level], out=best[level - 1])
            np.maximum(best[level - 1, half:], best[level, :-half], out=best[level - 1, half:])
        return order[best[0]]

    def violations(self, direction: Floats) -> tuple[Floats, Floats]:
        """Differences x_i - x_k, (m, p), that `direction` orders wrongly, worst first, and by what.

        One per event at most: against the leader of its risk set.
        """
        linear_predictor = self.matrix @ direction
        leaders = self.leaders(linear_predictor)[self.event_position]
        shortfall = linear_predictor[leaders] - linear_predictor[self.events]
        worst = np.argsort(-shortfall, kind="stable")
        worst = worst[shortfall[worst] > ORDER_TOLERANCE][:MOST_PAIRS_PER_ROUND]
        difference = self.matrix[self.events[worst]] - self.matrix[leaders[worst]]
        return difference, shortfall[worst]


class _RecessionCone:
    """The directions along which the likelihood never falls."""

    def __init__(self, risk_sets: _RiskSets) -> None:
        self.risk_sets = risk_sets
        p = risk_sets.matrix.shape[1]
        self.differences = np.empty((0, p))
        # Directions that no risk set can tell apart (collinear columns): not separation.
        self.null = np.empty((0, p))
        self._span()

    def _span(self) -> None:
        """Collect pairs until they span every direction that some risk set tells apart."""
        p = self.differences.shape[1]
        while True:
            known = np.concatenate([self.differences, self.null])
            if known.shape[0]:
                _, singular, basis = np.linalg.svd(known, full_matrices=True)
                rank = int(np.sum(singular > 1e-10 * max(1.0, singular[0])))
            else:
                basis, rank = np.eye(p), 0
            if rank == p:
                return
            # Enough to look along one missing direction: each round adds at least one rank.
            missing = basis[rank] / np.max(np.abs(basis[rank]))
            found = [self.risk_sets.violations(sign * missing)[0] for sign in (1.0, -1.0)]
            new = np.concatenate(found)
            if new.shape[0]:
                self.differences = np.concatenate([self.differences, new])
            else:
                self.null = np.concatenate([self.null, missing[None, :]])

    def holds(self, direction: Floats) -> bool:
        """Whether every event leads its risk set along `direction`."""
        return not self.risk_sets.violations(direction)[0].shape[0]

    def moves(self, column: int) -> bool:
        """Whether some direction of the cone changes this column's coefficient."""
        p = self.differences.shape[1]
        for sign in (1.0, -1.0):
            objective = sign * np.eye(p)[column]
            found = self.widest(objective)
            if found is not None and abs(found[column]) > GAIN_TOLERANCE:
                return True
        return False

    def widest(self, objective: Floats | None) -> Floats | None:
        """Direction in the cone, entries within ±1, that maximises `objective`.

        Without an objective: the summed gain over the pairs, whose maximum is 0 exactly when the
        cone holds nothing but directions that change no risk set. None for such a maximum.
        """
        from scipy.optimize import linprog

        # With nobody else at risk at any event, no direction gains anything.
        if not self.differences.shape[0]:
            return None
        while True:
            goal = self.differences.mean(axis=0) if objective is None else objective
            result = linprog(
                -goal,
                A_ub=-self.differences,
                b_ub=np.zeros(self.differences.shape[0]),
                A_eq=self.null if self.null.shape[0] else None,
                b_eq=np.zeros(self.null.shape[0]) if self.null.shape[0] else None,
                bounds=(-1.0, 1.0),
                method="highs",
                options={
                    "primal_feasibility_tolerance": 1e-10,
                    "dual_feasibility_tolerance": 1e-10,
                },
            )
            if result.status != 0:
                raise ArithmeticError(f"the search for separation failed: {result.message}")
            direction = result.x
            gains = self.differences @ direction
            if gains.max() < GAIN_TOLERANCE:
                return None
            missed, _ = self.risk_sets.violations(direction)
            if not missed.shape[0]:
                return direction
            self.differences = np.concatenate([self.differences, missed])


def _reason(
    cone: _RecessionCone,
    matrix: Floats,
    is_event: NDArray[np.bool_],
    patients: NDArray[np.intp],
    terms: Sequence[str],
    involved: Sequence[int],
) -> str:
    """Say in one sentence why the estimates of the involved columns do not exist."""
    causes, unexplained = [], []
    for column in involved:
        values = matrix[:, column]
        values_seen = np.unique(values)
        is_indicator = values_seen.size == 2
        without_events = [
            level for level in values_seen if is_indicator and not is_event[values == level].any()
        ]
        if without_events:
            level = without_events[0]
            n_patients = np.unique(patients[values == level]).size
            n_others = np.unique(patients[values != level]).size
            causes.append(
                f"none of the {n_patients} patients with {terms[column]} = {as_written(level)} had "
                f"an event ({int(is_event.sum())} events among the {n_others} others)"
            )
            continue
        axis = np.eye(matrix.shape[1])[column]
        extremes = [
            word for sign, word in ((1.0, "highest"), (-1.0, "lowest")) if cone.holds(sign * axis)
        ]
        if extremes:
            causes.append(
                f"each of the {int(is_event.sum())} events fell on a patient with the "
                f"{extremes[0]} {terms[column]} of those at risk"
            )
        else:
            unexplained.append(column)
    reference = _reference_without_events(matrix, is_event, terms, unexplained)
    if reference is not None:
        name, columns = reference
        in_reference = ~matrix[:, columns].astype(bool).any(axis=1)
        n_patients = np.unique(patients[in_reference]).size
        causes.append(
            f"none of the {n_patients} patients at the reference level of {name} had an event"
        )
        unexplained = [column for column in unexplained if column not in columns]
    listed = ", ".join(terms[column] for column in unexplained)
    if unexplained and causes:
        causes.append(f"that leaves nothing to estimate {listed} from")
    elif unexplained:
        causes.append(f"a linear combination of {listed} orders the events perfectly")
    return "; ".join(causes) + ": the likelihood keeps rising as the coefficient grows"


def _reference_without_events(
    matrix: Floats,
    is_event: NDArray[np.bool_],
    terms: Sequence[str],
    candidates: Sequence[int],
) -> tuple[str, list[int]] | None:
    """The factor, by its columns ``name[T.level]``, whose reference level has no events."""
    for column in candidates:
        name, bracket, _ = terms[column].partition("[T.")
        if not bracket:
            continue
        columns = [k for k, term in enumerate(terms) if term.startswith(f"{name}[T.")]
        at_reference = ~matrix[:, columns].astype(bool).any(axis=1)
        if at_reference.any() and not is_event[at_reference].any():
            return name, columns
    return None
