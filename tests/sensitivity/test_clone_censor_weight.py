"""Clones counted by hand, weights by their formula, and what weighted clones should find."""

import dataclasses
import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import stdtrit

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.sensitivity.comparison_rows import cut_finely, weighted_row
from bayes_crlm.sensitivity.timing import delayed_treatment
from bayes_crlm.sensitivity.timing.clone_censor_weight import (
    clone_and_censor,
    fit_start_hazard,
    strategy_weight,
    weight_model,
)
from bayes_crlm.sensitivity.two_arms import start_of_treatment, two_arms
from bayes_crlm.sensitivity.weighted_posterior import nearly_flat, weighted_modes
from bayes_crlm.words.errors import BayesCRLMError

NEVER = np.inf


def rows_of(clones, arm):
    """(patient, entry, time, event, has started) of one arm's rows, in order."""
    taken = clones.arm == arm
    columns = clones.patient, clones.entry, clones.time, clones.event, clones.has_started
    each = zip(*(np.asarray(column)[taken].tolist() for column in columns), strict=True)
    return sorted(each)


def test_clones_are_those_counted_by_hand():
    # in grace, late, dies in grace, lost in grace, never, at once, dies when grace ends
    start = np.array([3.0, 6.0, NEVER, NEVER, NEVER, 0.0, NEVER])
    time = np.array([9.0, 8.0, 4.0, 1.0, 12.0, 7.0, 5.0])
    event = np.array([1, 0, 1, 0, 1, 1, 1])
    clones = clone_and_censor(start, time, event, 5.0, np.array([0.0, 2.0, 6.0]))
    assert rows_of(clones, 1) == [
        (0, 0.0, 2.0, 0, False), (0, 2.0, 3.0, 0, False), (0, 3.0, 9.0, 1, True),
        (1, 0.0, 2.0, 0, False), (1, 2.0, 5.0, 0, False),
        (2, 0.0, 2.0, 0, False), (2, 2.0, 4.0, 1, False),
        (3, 0.0, 1.0, 0, False),
        (4, 0.0, 2.0, 0, False), (4, 2.0, 5.0, 0, False),
        (5, 0.0, 7.0, 1, True),
        (6, 0.0, 2.0, 0, False), (6, 2.0, 5.0, 1, False),
    ]  # fmt: skip
    assert rows_of(clones, 0) == [
        (0, 0.0, 2.0, 0, False), (0, 2.0, 3.0, 0, False),
        (1, 0.0, 2.0, 0, False), (1, 2.0, 6.0, 0, False),
        (2, 0.0, 2.0, 0, False), (2, 2.0, 4.0, 1, False),
        (3, 0.0, 1.0, 0, False),
        (4, 0.0, 2.0, 0, False), (4, 2.0, 6.0, 0, False), (4, 6.0, 12.0, 1, False),
        (6, 0.0, 2.0, 0, False), (6, 2.0, 5.0, 1, False),
    ]  # fmt: skip


def test_nobody_waits_after_the_last_start_however_long_the_grace_period():
    start, time = np.array([3.0, NEVER]), np.array([9.0, 9.0])
    clones = clone_and_censor(start, time, np.array([1, 1]), 8.0, np.array([0.0, 2.0, 3.0]))
    assert rows_of(clones, 1) == [
        (0, 0.0, 2.0, 0, False), (0, 2.0, 3.0, 0, False), (0, 3.0, 9.0, 1, True),
        (1, 0.0, 2.0, 0, False), (1, 2.0, 3.0, 0, False),
    ]  # fmt: skip


def patients(seed, n, hazard_ratio, confounding, starts=None):
    """Exponential deaths; sick patients (x = 1) die and start sooner or later.

    Parameters
    ----------
    starts : callable, optional
        From the hazard of starting to when treatment starts, instead of as it comes.
    """
    rng = np.random.default_rng(seed)
    x = rng.binomial(1, 0.5, n).astype(float)
    hazard = np.exp(confounding * (x - 0.5)) / 20
    start_hazard = 0.25 * np.exp(-confounding * (x - 0.5))
    wait = rng.standard_exponential(n) / start_hazard
    start = np.where(wait < 12, wait, NEVER) if starts is None else starts(rng, start_hazard)
    target = rng.standard_exponential(n)
    before = np.minimum(start * hazard, target)
    death = before / hazard + (target - before) / (hazard * hazard_ratio)
    end = 60.0
    return x, start, np.minimum(death, end), (death <= end).astype(np.int8)


def arms_of(x, start, time, event):
    """Those patients as a cohort of the package, with when they started."""
    treated = start < time
    table = pd.DataFrame(
        {
            "months": time,
            "dead": event,
            "treated": treated.astype(int),
            "start": np.where(treated, start, np.nan),
            "x": x,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints=8, baseline="independent")
    arms = two_arms(model, model.prepare(cohort))
    return arms, start_of_treatment(arms, "start")


def weighing_of(arms, start, grace):
    return weight_model(start, arms.time, arms.event, arms.design, grace)


def test_weights_are_those_of_the_formula():
    """Every row against the probabilities of the fitted model, one by one."""
    grace = 6.0
    arms, start = arms_of(*patients(1, 150, 0.5, 0.6))
    weighing = weighing_of(arms, start, grace)
    clones, ones = weighing.clones, np.ones((1, 150))
    fitted = fit_start_hazard(weighing.edges, weighing.data, ones)

    def not_started(time, patient):
        spent = np.clip(time - weighing.edges[:-1], 0, np.diff(weighing.edges))
        hazard = np.exp(fitted.log_hazard[0] + weighing.data.design[patient] @ fitted.effect[0])
        return math.exp(-float(spent @ hazard))

    waiting = sorted({0.0, *weighing.edges[weighing.edges < grace].tolist(), grace})
    (found,) = weighing.weights(ones)
    for row, weight in enumerate(found):
        patient, entry = clones.patient[row], clones.entry[row]
        by_grace = not_started(grace, patient)
        if clones.has_started[row]:
            expected = 1 / (1 - by_grace)
        elif clones.arm[row] == 1:
            end = min(each for each in waiting if each > entry)
            now = not_started((entry + end) / 2, patient)
            expected = (now - by_grace) / (now * (1 - by_grace))
        elif entry >= weighing.edges[-1]:
            expected = 1 / not_started(entry, patient)
        else:
            end = min(each for each in weighing.edges if each > entry)
            expected = 1 / not_started((entry + end) / 2, patient)
        assert weight == pytest.approx(expected, rel=1e-9)


@pytest.mark.filterwarnings("error")
def test_weights_of_patients_who_surely_start_are_numbers():
    """A cumulative hazard of starting in the thousands: its exponential is not a number."""
    grace = 6.0
    arms, start = arms_of(*patients(1, 150, 0.5, 0.6))
    weighing = weighing_of(arms, start, grace)
    clones = weighing.clones
    fitted = fit_start_hazard(weighing.edges, weighing.data, np.ones((1, 150)))
    relative = np.where(np.isfinite(start), 1e5, 1.0)[clones.patient]
    (weight,) = strategy_weight(fitted, relative[None], clones, grace)
    sure = (relative > 1) & (clones.arm == 1)
    assert clones.has_started[sure].any()
    assert weight[sure & clones.has_started] == pytest.approx(1)
    assert np.isfinite(np.sum(weight**2))


def test_a_patient_who_counts_twice_counts_twice_in_the_model_of_starting():
    arms, start = arms_of(*patients(1, 150, 0.5, 0.6))
    weighing = weighing_of(arms, start, 6.0)
    counts = 1 + (np.arange(150) < 50)
    repeated = np.repeat(np.arange(150), counts)
    twice = dataclasses.replace(
        weighing,
        data=weighing.data.rows(repeated),
        clones=dataclasses.replace(
            weighing.clones,
            patient=np.searchsorted(repeated, weighing.clones.patient),
        ),
    )
    found, once = weighing.weights(np.array([counts, np.ones(150)], dtype=float))
    np.testing.assert_allclose(found, twice.weights(np.ones((1, 200)))[0], rtol=1e-6)
    assert np.max(np.abs(found / once - 1)) > 1e-3


@pytest.mark.parametrize("arm", [0, 1])
def test_weighted_clones_stand_for_all_patients_at_every_time(arm):
    """Nobody dies here, so that all are at risk under both strategies.

    Within four standard errors of a weighted count, whose variance is at most the sum of w^2 - 1
    over patients, and of a weighted mean. Times are the middles of the intervals, where weights
    are exact, and one after the last start.
    """
    n, grace = 4000, 6.0
    x, start, _, _ = patients(2, n, 1.0, 0.6)
    design = ((x - x.mean()) / x.std())[:, None]
    weighing = weight_model(start, np.full(n, 60.0), np.zeros(n, int), design, grace)
    clones, weight = weighing.clones, weighing.weights(np.ones((1, n)))[0]
    is_exact = (clones.arm == arm) & ~clones.has_started & (clones.weight_time < weighing.edges[-1])
    times = np.unique(clones.weight_time[is_exact])
    assert len(times) > 5
    for now in (*times, 59.0):
        is_here = (clones.arm == arm) & (clones.entry < now) & (now <= clones.time)
        each, covariate = weight[is_here], x[clones.patient[is_here]]
        error = 4 * math.sqrt(max(float(each @ each) - n, 1.0))
        assert abs(each.sum() - n) < error
        spread = 4 * float(np.sqrt(np.sum(each**2 * (covariate - 0.5) ** 2)) / each.sum())
        assert abs(each @ covariate / each.sum() - x.mean()) < spread


def true_log_ratio(hazard_ratio, confounding, grace, n=40_000):
    """Cox's log hazard ratio had all started by the grace period's end, or never."""

    def within(rng, hazard):
        return -np.log1p(-rng.uniform(size=n) * -np.expm1(-hazard * grace)) / hazard

    halves = [
        patients(seed, n, hazard_ratio, confounding, starts)
        for seed, starts in ((101, lambda rng, hazard: np.full(n, NEVER)), (102, within))
    ]
    time, event = (np.concatenate([half[k] for half in halves]) for k in (2, 3))
    arm = np.repeat([0.0, 1.0], n)[:, None]
    cox = fit_cox(np.zeros(2 * n), time, event, arm, ["arm"], patient_index=np.arange(2 * n))
    return float(cox.coef[0]), float(cox.se[0])


def marginal_inputs(arms, clones):
    cohort = delayed_treatment.clone_cohort(arms, clones)
    model = dataclasses.replace(arms.model, covariates="")
    model = cut_finely(model, arms, cohort, np.ones(cohort.n_rows))
    return model, model.prepare(cohort)


def changing_weights(weighing):
    """Weights with the probability of not having deviated yet, without covariates, on top."""
    ones = np.ones((1, weighing.data.n_patients))
    without_columns = dataclasses.replace(weighing.data, design=weighing.data.design[:, :0])
    marginal = fit_start_hazard(weighing.edges, without_columns, ones)
    relative = np.ones((1, len(weighing.clones.time)))
    without = strategy_weight(marginal, relative, weighing.clones, weighing.grace)
    return (weighing.weights(ones) / without)[0]


@pytest.mark.parametrize(("hazard_ratio", "confounding"), [(1.0, 0.6), (0.4, 0.0), (0.4, 0.6)])
def test_weighted_clones_find_the_hazard_ratio_of_potential_outcomes(hazard_ratio, confounding):
    """Within four standard errors, of the cohort and of the truth, with an effect and without.

    The variance of a log rate of weighted deaths is the sum of their squared weights over that of
    weights, squared. With 0.4, a numerator that changes with time is farther off than four standard
    errors, as the last line sees to: the cohort is large enough to tell.
    """
    n, grace = 8000, 6.0
    arms, start = arms_of(*patients(3, n, hazard_ratio, confounding))
    weighing = weighing_of(arms, start, grace)
    clones, weight = weighing.clones, weighing.weights(np.ones((1, n)))[0]
    _, inputs = marginal_inputs(arms, clones)
    inputs = nearly_flat(inputs)

    def estimate(weight):
        return weighted_modes(inputs, weight[None]).effect[0, 0] / inputs.design.scale[0]

    truth, truth_error = true_log_ratio(hazard_ratio, confounding, grace)
    variance = truth_error**2
    for arm in (0, 1):
        of_deaths = weight[(clones.arm == arm) & (clones.event == 1)]
        variance += np.sum(of_deaths**2) / np.sum(of_deaths) ** 2
    error = 4 * math.sqrt(variance)
    assert abs(estimate(weight) - truth) < error
    if hazard_ratio != 1:
        assert estimate(changing_weights(weighing)) - truth > error


def test_the_interval_is_as_wide_as_a_bootstrap_of_patients_says():
    """Weights are estimated anew in each of 400 samples.

    A standard deviation of 400 has a relative error of 1 / sqrt(800), 3.5%; four of them, and as
    much again for the influences that the calibration rests on, which are an estimate as well.
    """
    n, grace = 150, 6.0
    arms, start = arms_of(*patients(4, n, 0.6, 0.6))
    weighing = weighing_of(arms, start, grace)
    clones = weighing.clones
    _, inputs = marginal_inputs(arms, clones)

    def weigh(weights):
        return weights[:, clones.patient] * weighing.weights(weights)

    flat = nearly_flat(inputs)
    mode, scale = weighted_modes(flat, weigh(np.ones((1, n)))), inputs.design.scale[0]
    rng, found = np.random.default_rng(5), []
    for _ in range(400):
        sample = rng.multinomial(n, np.full(n, 1 / n)).astype(float)
        try:
            found.append(weighted_modes(flat, weigh(sample[None]), mode).effect[0, 0] / scale)
        except BayesCRLMError:
            continue
    assert len(found) > 395
    bootstrap, tolerance = float(np.std(found)), 2 * 4 / math.sqrt(800)
    cohort = delayed_treatment.clone_cohort(arms, clones)
    row = weighted_row(dataclasses.replace(arms.model, covariates=""), arms, cohort, weigh, n, 1)
    calibration = row["calibration"]
    assert calibration["robust_sd"] == pytest.approx(bootstrap, rel=tolerance)
    # the posterior has that width, Student's t and the normal(0, 1) prior included
    widened = bootstrap * stdtrit(calibration["degrees_of_freedom"], 0.975) / 1.96
    assert row["sd_log"] == pytest.approx((widened**-2 + 1) ** -0.5, rel=tolerance)
    # a cohort on which the curvature alone is wrong, so that the test sees a missing calibration
    assert calibration["naive_sd"] < (1 - tolerance) * bootstrap


def test_the_distribution_of_the_weights_is_told():
    arms, start = arms_of(*patients(6, 600, 0.5, 0.6))
    weighing = weighing_of(arms, start, 6.0)
    rows = delayed_treatment.weight_rows(delayed_treatment.final_weights(weighing, 600))
    assert [row["strategy"] for row in rows] == [
        "start within the grace period",
        "never start",
    ]
    n_started = int(np.sum((start <= 6) & (arms.time > 6)))
    n_untreated = int(np.sum((start > 6) & (arms.time > 6)))
    assert [row["n_clones"] for row in rows] == [n_started, n_untreated]
    for row in rows:
        quantiles = [row[name] for name in ("min", "q5", "q25", "q50", "q75", "q95", "max")]
        assert quantiles == sorted(quantiles)
        assert row["min"] >= 1
        assert row["effective_sample_size"] <= row["n_clones"]
