"""Clone, censor, weight: two strategies compared from time zero, with a grace period.

Every patient is cloned into both strategies: start treatment within the grace period g, and never
start. A clone is censored when its patient deviates from the clone's strategy. What that selects is
undone by weights: the probability of the clone's history of treatment under the strategy over its
probability in the cohort, given covariates x, from one pooled model of the hazard of starting. With
S(t | x) the probability of not having started by t, a clone at time t stands for

    never start:                      1 / S(t | x) patients
    start within g, has started:      1 / (1 - S(g | x))
    start within g, still waits:      (S(t | x) - S(g | x)) / (S(t | x) (1 - S(g | x)))

Under the second strategy patients start when patients like them do who start within g: the density
of starting at s is f(s | x) / (1 - S(g | x)), and the weights are those of this one strategy before
and after the end of the grace period. Hence the last line, which falls from 1 at time zero to 0 at
g: when clones without a start are censored, nobody under the strategy waits any more.

The strategy's own probability in the numerator stabilises the weights: without it, a start at s
would weigh 1 / f(s | x). All weights are 1 at time zero, and in expectation a strategy's weighted
clones are at every time all the patients who would then be at risk under it. There is no other
numerator. The cohort's probability of not having deviated by t, without covariates, is one that
changes with time: it lets the arms shrink to those who comply, and moves a single hazard ratio
towards the grace period, where the strategies hardly differ yet.

References
----------
Hernan & Robins (2016), Am J Epidemiol 183:758-764; Hernan (2018), BMJ 360:k182; Maringe, Benitez
Majano, Exarchakou, Smith, Rachet, Belot & Leyrat (2020), Int J Epidemiol 49:1719-1729; Cain,
Robins, Lanoy, Logan, Costagliola & Hernan (2010), Int J Biostat 6(2):18 (a grace period during
which a strategy starts at random times).
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import find_modes
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.follow_up import cumulative_hazard, cut_follow_up, locate
from bayes_crlm.likelihood.risk_sums import RiskSums
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import Independent
from bayes_crlm.model.late_start import start_edges
from bayes_crlm.model.priors import Normal
from bayes_crlm.words.records import record

# weakly informative: a covariate's standard deviation hardly changes a hazard more than 150-fold
COEFFICIENT_SD, LOG_HAZARD_SD = 2.5, 2.0
# weights are made of differences of cumulative hazards: more digits than usual
RISE_TOLERANCE = 1e-12
MOST_LOG_WEIGHT = 100.0
"""No cohort could use a larger weight, and its square has to be a number."""


@record(eq=False)
class Clones:
    """Stretches of clones' follow-up, cut where weights change.

    Attributes
    ----------
    patient : (rows,) ndarray of int
        Whose clone it is, from 0.
    arm : (rows,) ndarray of int
        1: start within the grace period; 0: never start.
    entry, time : (rows,) ndarray
        Beginning and end of follow-up.
    event : (rows,) ndarray
        1 where a row ends in an event, else 0.
    weight_time : (rows,) ndarray
        Time for which a row's weight is taken: the middle of the interval in which its patient
        is untreated; the last start after it, and the grace period's end once treated.
    has_started : (rows,) ndarray of bool
        Whether the row lies after the start of treatment.
    """

    patient: NDArray[np.intp]
    arm: NDArray[np.int8]
    entry: NDArray[np.float64]
    time: NDArray[np.float64]
    event: NDArray[np.int8]
    weight_time: NDArray[np.float64]
    has_started: NDArray[np.bool]


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
        Where weights of clones without treatment change; after the last edge nobody starts.

    Returns
    -------
    Clones
        Of "start within the grace period" first.
    """
    # after the cohort's last start nobody waits under the strategy either
    waiting = np.unique(np.append(edges[edges < grace], min(grace, edges[-1])))
    middle = np.append(midpoints(edges), edges[-1])
    untreated_until = np.minimum(start, time)
    started = np.flatnonzero(start <= grace)
    every, zero = np.arange(len(time)), np.zeros(len(time))
    still = np.minimum(untreated_until, waiting[-1])
    parts = []
    for arm, has_started, (patient, entry, end, at) in (
        (1, False, cut(every, zero, still, waiting, midpoints(waiting))),
        (1, True, (started, start[started], time[started], np.full(len(started), grace))),
        (0, False, cut(every, zero, untreated_until, np.append(edges, np.inf), middle)),
    ):
        # a clone that is censored where its patient deviates ends before the patient does
        is_event = (event[patient] == 1) & (end == time[patient])
        size = len(patient)
        labels = np.full(size, arm, np.int8), np.full(size, has_started)
        parts.append((patient, labels[0], entry, end, is_event.astype(np.int8), at, labels[1]))
    return Clones(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def cut(
    patient: NDArray, begin: NDArray, end: NDArray, edges: NDArray, at: NDArray
) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """Cut patients' follow-up (begin, end] at edges: patient, entry, time and `at` of every row."""
    low = np.maximum(begin[:, None], edges[:-1])
    high = np.minimum(end[:, None], edges[1:])
    row, interval = np.nonzero(high > low)
    return patient[row], low[row, interval], high[row, interval], at[interval]


def midpoints(edges: NDArray) -> NDArray[np.float64]:
    """Middle of every interval."""
    return (edges[:-1] + edges[1:]) / 2


@record(eq=False)
class StartHazard:
    """Piecewise-constant hazards of starting treatment, with proportional effects.

    One for each weighting of the patients.

    Attributes
    ----------
    edges : (intervals + 1,) ndarray
        Where intervals begin, and where the last one ends.
    log_hazard : (weightings, intervals) ndarray
        At a linear predictor of 0.
    effect : (weightings, columns) ndarray
        Log hazard ratios of the design's columns.
    """

    edges: NDArray[np.float64]
    log_hazard: NDArray[np.float64]
    effect: NDArray[np.float64]

    def cumulative(self, time: NDArray) -> NDArray[np.float64]:
        """Cumulative hazards at times, at a linear predictor of 0; constant after the last edge."""
        hazard = np.exp(self.log_hazard)
        interval, within = locate(np.minimum(time, self.edges[-1]), self.edges)
        before = cumulative_hazard(hazard, np.diff(self.edges))
        return before[:, interval] + hazard[:, interval] * within


def fit_start_hazard(edges: NDArray, data: SurvivalData, weights: NDArray) -> StartHazard:
    """Fit the hazard of starting treatment by penalised maximum likelihood (posterior mode).

    Parameters
    ----------
    edges : (intervals + 1,) ndarray
        Where intervals begin, and where the last one ends.
    data : SurvivalData
        Untreated time under observation, which ends with the event where treatment starts; columns
        are centred and scaled covariates, and may be none.
    weights : (weightings, patients) ndarray
        How often a patient counts.

    Returns
    -------
    StartHazard
        Under Normal(0, 2.5) on every effect and Normal(log rate, 2) on every log-hazard.
    """
    sums = RiskSums.stacked([RiskSums.of(data.weighted(each)) for each in weights])
    none = np.zeros((len(sums), sums.n_terms))
    targets = Targets(
        sums=sums,
        baseline=Independent(LOG_HAZARD_SD),
        priors=((Normal(0.0, COEFFICIENT_SD), slice(0, sums.n_terms)),),
        log_rate=np.log(sums.events.sum(axis=1) / sums.weighted_exposure(none).sum(axis=1)),
        step_variances=None,
    )
    modes = find_modes(targets, rise_tolerance=RISE_TOLERANCE)
    return StartHazard(edges, modes.log_hazard, modes.effect)


@record(eq=False)
class WeightModel:
    """What weights of clones are made from; fitted again for every weighting of the patients.

    Attributes
    ----------
    clones : Clones
        Patients, once for each strategy.
    grace : float
        Time within which treatment has to start.
    edges : (intervals + 1,) ndarray
        Where intervals begin, and where the last one ends.
    data : SurvivalData
        Of `fit_start_hazard`, one row per patient.
    """

    clones: Clones
    grace: float
    edges: NDArray[np.float64]
    data: SurvivalData

    def weights(self, patient_weights: NDArray) -> NDArray[np.float64]:
        """Weights of the clones' rows, the patients' own weight not included.

        Parameters
        ----------
        patient_weights : (weightings, patients) ndarray
            How often every patient counts in the model of starting.

        Returns
        -------
        (weightings, rows) ndarray
            1 at time zero; constant in time for clones that have started.
        """
        fitted = fit_start_hazard(self.edges, self.data, patient_weights)
        relative = np.exp(fitted.effect @ self.data.design.T)[:, self.clones.patient]
        return strategy_weight(fitted, relative, self.clones, self.grace)


def strategy_weight(
    fitted: StartHazard, relative: NDArray, clones: Clones, grace: float
) -> NDArray[np.float64]:
    """Probability of every row's history under its strategy, over that in the cohort.

    Parameters
    ----------
    fitted : StartHazard
        Hazard of starting treatment.
    relative : (weightings, rows) ndarray
        Hazards of starting relative to a linear predictor of 0.
    clones : Clones
        Patients, once for each strategy.
    grace : float
        Time within which treatment has to start.
    """
    so_far = fitted.cumulative(clones.weight_time) * relative
    in_grace = fitted.cumulative(np.array([grace])) * relative
    # of those who wait until now: the share that starts in what is left of the grace period
    still_to_start = np.where(
        clones.has_started, 1.0, -np.expm1(np.minimum(so_far - in_grace, 0.0))
    )
    never = np.exp(np.minimum(so_far, MOST_LOG_WEIGHT))
    return np.where(clones.arm == 1, still_to_start / -np.expm1(-in_grace), never)


def weight_model(
    start: NDArray, time: NDArray, event: NDArray, design: NDArray, grace: float
) -> WeightModel:
    """Clone and censor a cohort, and prepare the model of starting.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started; at least one did.
    time, event : (patients,) ndarray
        End of follow-up, and whether with the event.
    design : (patients, columns) ndarray
        Centred and scaled covariates.
    grace : float
        Time within which treatment has to start.

    Returns
    -------
    WeightModel
    """
    edges = start_edges(start)
    # after the last start nobody deviates any more
    until = np.minimum(np.minimum(start, time), edges[-1])
    data = SurvivalData(
        follow_up=cut_follow_up(np.zeros(len(until)), until, edges),
        event=np.isfinite(start).astype(float),
        design=design,
        patient_index=np.arange(len(until)),
        n_patients=len(until),
    )
    return WeightModel(clone_and_censor(start, time, event, grace, edges), grace, edges, data)
