"""Clone, censor, weight: two strategies compared from time zero, with a grace period.

Every patient is cloned into both strategies: start treatment within the grace period, and never
start. A clone is censored when its patient deviates from the clone's strategy. What
that selects is undone by weights: the inverse of the probability of not having deviated, given
covariates, from one pooled model of the hazard of starting.

A clone of "never start" that is under observation at time t stands for 1 / S(t | x) patients,
S being the probability of not having started by t; a clone of "start within the grace period
g" for one patient up to g, and for 1 / (1 - S(g | x)) after it. Weights are stabilised with the
same probabilities without covariates.

References
----------
Hernan (2018), BMJ 360:k182; Maringe, Benitez Majano, Exarchakou, Smith, Rachet, Belot &
Leyrat (2020), Int J Epidemiol 49:1719-1729; Cain, Robins, Lanoy, Logan, Costagliola & Hernan
(2010), Int J Biostat 6(2):18.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Clones",
    "StartHazard",
    "WeightModel",
    "clone_and_censor",
    "fit_start_hazard",
    "start_edges",
    "weight_model",
]

STARTS_PER_INTERVAL, FEWEST, MOST = 12, 3, 12
# weakly informative: a covariate's standard deviation hardly changes a hazard more than 150-fold
COEFFICIENT_SD, LOG_HAZARD_SD = 2.5, 2.0
MOST_STEPS, TOLERANCE = 50, 1e-12


@dataclass(frozen=True, eq=False)
class Clones:
    """Stretches of clones' follow-up, cut where weights change.

    Attributes
    ----------
    patient : (rows,) ndarray of int
    arm : (rows,) ndarray of int
        1: start within the grace period; 0: never start.
    entry, time : (rows,) ndarray
    event : (rows,) ndarray
    weight_time : (rows,) ndarray
        Time at which the probability of not having deviated is taken: 0 where no deviation
        is possible yet.
    """

    patient: NDArray[np.intp]
    arm: NDArray[np.int8]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    weight_time: NDArray[np.float64]


def start_edges(start: NDArray) -> NDArray[np.float64]:
    """Intervals on which the hazard of starting is constant: quantiles of the starting times.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started.

    Returns
    -------
    (intervals + 1,) ndarray
        From 0 to the last start, after which nobody deviates any more.
    """
    started = start[np.isfinite(start)]
    count = min(max(round(len(started) / STARTS_PER_INTERVAL), FEWEST), MOST)
    inner = np.quantile(started, np.arange(1, count) / count)
    return np.unique(np.concatenate([[0.0], inner[inner > 0], [started.max()]]))


def clone_and_censor(
    start: NDArray, time: NDArray, event: NDArray, grace: float, edges: NDArray
) -> Clones:
    """Clone every patient into both strategies and censor the clones where they deviate.

    Parameters
    ----------
    start : (patients,) ndarray
        When treatment started, infinity for never; before `time`.
    time, event : (patients,) ndarray
        End of follow-up and whether it is the event.
    grace : float
        A clone that has to start may wait so long; without a start by then it is censored.
    edges : (intervals + 1,) ndarray
        Where weights of "never start" change; they are constant after the last edge.

    Returns
    -------
    Clones
    """
    keeps_waiting = (start > grace) & (time > grace)
    end_of_start = np.where(keeps_waiting, grace, time)
    end_of_never = np.minimum(start, time)
    within_grace = np.array([0.0, grace, np.inf])
    rows = []
    for arm, end, cuts, at in (
        (1, end_of_start, within_grace, np.array([0.0, grace])),
        (0, end_of_never, np.append(edges, np.inf), np.append(midpoints(edges), edges[-1])),
    ):
        patient, interval = np.nonzero(end[:, None] > cuts[:-1])
        is_last = end[patient] <= cuts[1:][interval]
        is_event = (end == time) & (event == 1) & ~((start < time) & (arm == 0))
        rows.append(
            (
                patient,
                np.full(len(patient), arm),
                cuts[:-1][interval],
                np.minimum(end[patient], cuts[1:][interval]),
                (is_last & is_event[patient]).astype(int),
                at[interval],
            )
        )
    return Clones(*(np.concatenate(column) for column in zip(*rows, strict=True)))


def midpoints(edges: NDArray) -> NDArray[np.float64]:
    """Middle of every interval."""
    return (edges[:-1] + edges[1:]) / 2


@dataclass(frozen=True, eq=False)
class StartHazard:
    """Piecewise-constant hazard of starting treatment, with proportional effects.

    Attributes
    ----------
    edges : (intervals + 1,) ndarray
    log_hazard : (intervals,) ndarray
        At a linear predictor of 0.
    effect : (columns,) ndarray
        Log hazard ratios of the design's columns.
    converged : bool
    """

    edges: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]
    converged: bool

    def cumulative(self, time: NDArray) -> NDArray[np.float64]:
        """Cumulative hazard at times, at a linear predictor of 0; constant after the last edge."""
        ends = np.cumsum(np.exp(self.log_hazard) * np.diff(self.edges))
        return np.interp(time, self.edges, np.concatenate([[0.0], ends]))


def fit_start_hazard(
    edges: NDArray,
    exposure: NDArray,
    starts: NDArray,
    design: NDArray,
    weight: NDArray,
) -> StartHazard:
    """Fit the hazard of starting treatment by penalised maximum likelihood (posterior mode).

    Parameters
    ----------
    edges : (intervals + 1,) ndarray
    exposure : (patients, intervals) ndarray
        Untreated time under observation.
    starts : (patients, intervals) ndarray
        1 in the interval in which treatment started.
    design : (patients, columns) ndarray
        Centred and scaled covariates; columns may be none.
    weight : (patients,) ndarray
        How often a patient counts.

    Returns
    -------
    StartHazard
        Under Normal(0, 2.5) on every effect and Normal(log rate, 2) on every log-hazard.
    """
    n_intervals, n_columns = exposure.shape[1], design.shape[1]
    count = weight @ starts
    log_rate = math.log(count.sum() / float(weight @ exposure.sum(axis=1)))
    centre = np.concatenate([np.full(n_intervals, log_rate), np.zeros(n_columns)])
    precision = np.concatenate(
        [np.full(n_intervals, LOG_HAZARD_SD**-2), np.full(n_columns, COEFFICIENT_SD**-2)]
    )
    # the score's part that does not change: starts by interval and by column
    fixed = np.concatenate([count, (weight * starts.sum(axis=1)) @ design])
    at, converged = centre.copy(), False

    def log_density(vector: NDArray) -> float:
        relative = weight * np.exp(design @ vector[n_intervals:])
        expected = (relative @ exposure) @ np.exp(vector[:n_intervals])
        return float(fixed @ vector - expected - 0.5 * precision @ (vector - centre) ** 2)

    value = log_density(at)
    for _ in range(MOST_STEPS):
        hazard = np.exp(at[:n_intervals])
        relative = weight * np.exp(design @ at[n_intervals:])
        by_patient = relative * (exposure @ hazard)
        by_interval = hazard * (relative @ exposure)
        information = np.zeros((len(at), len(at)))
        information[:n_intervals, :n_intervals] = np.diag(by_interval)
        crossed = hazard[:, None] * (exposure.T @ (relative[:, None] * design))
        information[:n_intervals, n_intervals:] = crossed
        information[n_intervals:, :n_intervals] = crossed.T
        information[n_intervals:, n_intervals:] = (design * by_patient[:, None]).T @ design
        information[np.diag_indices(len(at))] += precision
        gradient = fixed - np.concatenate([by_interval, by_patient @ design])
        gradient -= precision * (at - centre)
        step = np.linalg.solve(information, gradient)
        if float(gradient @ step) < TOLERANCE:
            converged = True
            break
        share = 1.0
        with np.errstate(over="ignore"):
            while share > 1e-6 and not log_density(at + share * step) >= value:
                share /= 2
        at = at + share * step
        value = log_density(at)
    return StartHazard(edges, at[:n_intervals], at[n_intervals:], converged)


@dataclass(frozen=True, eq=False)
class WeightModel:
    """What weights of clones are made from; fitted anew for every weighting of the patients.

    Attributes
    ----------
    clones : Clones
    grace : float
    edges : (intervals + 1,) ndarray
    exposure, starts : (patients, intervals) ndarray
        Untreated time and starts in every interval.
    design : (patients, columns) ndarray
    """

    clones: Clones
    grace: float
    edges: NDArray[np.float64]
    exposure: NDArray[np.float64]
    starts: NDArray[np.float64]
    design: NDArray[np.float64]

    def weights(self, patient_weight: NDArray, *, stabilised: bool = True) -> NDArray[np.float64]:
        """Weights of the clones' rows, the patients' own weight not included.

        Parameters
        ----------
        patient_weight : (patients,) ndarray
            How often every patient counts in the models of starting.
        stabilised : bool
            With the probabilities without covariates in the numerator.

        Returns
        -------
        (rows,) ndarray
        """
        clones, design = self.clones, self.design
        full = fit_start_hazard(self.edges, self.exposure, self.starts, design, patient_weight)
        relative = np.exp(design @ full.effect)[clones.patient]
        hazard = full.cumulative(clones.weight_time) * relative
        weight = 1 / not_deviated(hazard, clones)
        if stabilised:
            marginal = fit_start_hazard(
                self.edges, self.exposure, self.starts, design[:, :0], patient_weight
            )
            weight *= not_deviated(marginal.cumulative(clones.weight_time), clones)
        return weight


def not_deviated(cumulative: NDArray, clones: Clones) -> NDArray[np.float64]:
    """Probability of not having deviated yet, from the cumulative hazard of starting."""
    may_deviate = clones.weight_time > 0
    started = -np.expm1(-cumulative)
    followed = np.where(clones.arm == 1, started, np.exp(-cumulative))
    return np.where(may_deviate, followed, 1.0)


def weight_model(
    start: NDArray, time: NDArray, event: NDArray, design: NDArray, grace: float
) -> WeightModel:
    """Clone and censor a cohort, and prepare the model of starting.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started; at least one did.
    time, event : (patients,) ndarray
    design : (patients, columns) ndarray
        Centred and scaled covariates.
    grace : float

    Returns
    -------
    WeightModel
    """
    edges = start_edges(start)
    until = np.minimum(start, time)
    exposure = np.clip(until[:, None] - edges[:-1], 0, np.diff(edges))
    # a start on an edge belongs to the interval that ends there; at 0, to the first
    has_started = np.isfinite(start)
    interval = np.clip(np.searchsorted(edges, start) - 1, 0, len(edges) - 2)
    starts = np.zeros_like(exposure)
    starts[has_started, interval[has_started]] = 1.0
    clones = clone_and_censor(start, time, event, grace, edges)
    return WeightModel(clones, grace, edges, exposure, starts, design)
