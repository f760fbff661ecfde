"""Immortal time and overlap: rows counted by hand, no bias where there is none, and balance."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity import immortal_time, overlap
from bayes_crlm.sensitivity.balance import overlap_weights, stabilised_weights
from bayes_crlm.sensitivity.landmark import take_landmark
from bayes_crlm.sensitivity.parts import NotRunError
from bayes_crlm.sensitivity.treatment_switch import split_at_start
from bayes_crlm.sensitivity.two_arms import two_arms

# patient:            0    1    2    3    4    5
START = np.array([2.0, 5.0, np.inf, np.inf, 4.0, np.inf])
TIME = np.array([9.0, 8.0, 3.0, 12.0, 20.0, 4.0])
EVENT = np.array([1, 0, 1, 0, 1, 0])


def test_a_landmark_takes_who_is_still_there_as_treated_by_then():
    taken = take_landmark(START, TIME, EVENT, 4.0)
    # 2 has died and 5 is no longer followed; 1 starts later and counts as untreated
    assert taken.patient.tolist() == [0, 1, 3, 4]
    assert taken.time.tolist() == [5.0, 4.0, 8.0, 16.0]
    assert taken.event.tolist() == [1, 0, 0, 1]
    assert np.asarray(taken.is_treated).astype(int).tolist() == [1, 0, 0, 1]
    assert (taken.n_dead, taken.n_censored, taken.n_later) == (1, 1, 1)


def test_waiting_is_time_without_treatment():
    split = split_at_start(START, TIME, EVENT)
    rows = sorted(
        zip(
            split.patient.tolist(),
            split.entry.tolist(),
            split.time.tolist(),
            np.asarray(split.event).astype(int).tolist(),
            np.asarray(split.is_treated).astype(int).tolist(),
            strict=True,
        )
    )
    assert rows == [
        (0, 0.0, 2.0, 0, 0), (0, 2.0, 9.0, 1, 1),
        (1, 0.0, 5.0, 0, 0), (1, 5.0, 8.0, 0, 1),
        (2, 0.0, 3.0, 1, 0),
        (3, 0.0, 12.0, 0, 0),
        (4, 0.0, 4.0, 0, 0), (4, 4.0, 20.0, 1, 1),
        (5, 0.0, 4.0, 0, 0),
    ]  # fmt: skip


def arms_without_effect(seed, n=400):
    """Treatment that does nothing starts late, sooner in patients with a low x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    death = rng.exponential(14 * np.exp(-0.5 * x))
    start = 0.5 + rng.exponential(5 * np.exp(0.4 * x))
    end = rng.uniform(10, 40, n)
    months = np.minimum(death, end)
    treated = (start < 10) & (start < months)
    table = pd.DataFrame(
        {
            "months": months,
            "dead": (death <= end).astype(int),
            "treated": treated.astype(int),
            "start": np.where(treated, start, np.nan),
            "x": x,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints=4, baseline="independent")
    return two_arms(model, model.prepare(cohort))


@pytest.fixture(scope="module")
def compared():
    """Three cohorts of a treatment without effect, by every method."""
    settings = immortal_time.Settings(start="start", groups=50)
    return [immortal_time.compare_methods(arms_without_effect(k), settings, k) for k in range(3)]


def test_only_the_naive_analysis_finds_an_effect_where_there_is_none(compared):
    for found in compared:
        rows = found["rows"]
        assert all(row["failure"] is None for row in rows)
        assert rows[0]["method"] == "naive"
        assert rows[0]["eti95"][1] < 1
    for method in ("landmark", "time_dependent", "clone_censor_weight"):
        rows = [row for found in compared for row in found["rows"] if row["method"] == method]
        # the mean of three cohorts lies within four of its standard errors
        mean = np.mean([row["mean_log"] for row in rows])
        error = np.mean([row["sd_log"] for row in rows]) / math.sqrt(3)
        assert abs(mean) < 4 * error
        naive = np.mean([found["rows"][0]["mean_log"] for found in compared])
        assert abs(mean) < 0.5 * abs(naive)


def test_weights_are_stabilised_and_their_distribution_is_told(compared):
    for found in compared:
        assert found["weights"]
        weighted = [row for row in found["rows"] if row["method"].startswith("clone")]
        assert weighted
        for row in weighted:
            low, high = row["eti95"]
            assert low < row["median"] < high


def test_the_start_of_treatment_has_to_be_there():
    arms = arms_without_effect(0)
    with pytest.raises(NotRunError, match="decision_months"):
        immortal_time.compare_methods(arms, immortal_time.Settings(), 1)


def test_weights_of_propensities_are_those_of_their_definitions():
    score, treated = np.array([0.2, 0.5, 0.8, 0.4]), np.array([True, False, True, False])
    np.testing.assert_allclose(overlap_weights(score, treated), [0.8, 0.5, 0.2, 0.4])
    found = stabilised_weights(score, treated, np.ones(4))
    np.testing.assert_allclose(found, [0.5 / 0.2, 0.5 / 0.5, 0.5 / 0.8, 0.5 / 0.6])


def test_overlap_weights_balance_covariates():
    rng = np.random.default_rng(3)
    n = 300
    x = rng.normal(size=n)
    treated = rng.uniform(size=n) < 1 / (1 + np.exp(-x))
    death = rng.exponential(10 * np.exp(-0.4 * x))
    table = pd.DataFrame(
        {"months": np.minimum(death, 25), "dead": (death < 25).astype(int), "x": x,
         "treated": treated.astype(int)}
    )  # fmt: skip
    model = PiecewiseExponential("treated", 0, "x", cutpoints=4, baseline="independent")
    inputs = model.prepare(read_cohort(table, time="months", event="dead"))
    found = overlap.compare_weights(two_arms(model, inputs), overlap.Settings(groups=50), 1)
    (balance,) = found["balance"]
    assert abs(balance["unweighted"]) > 0.5
    assert abs(balance["overlap_weights"]) < 0.02
    assert abs(balance["stabilised_weights"]) < 0.2
    # the score is that of the logistic regression which made it
    (slope,) = [row for row in found["propensity"]["terms"] if row["term"] == "x"]
    assert abs(slope["mean"] - x.std()) < 4 * slope["sd"]
    sizes = found["effective_sample_size"]
    assert sizes["unweighted"]["treated"] == treated.sum()
    assert sizes["stabilised_weights"]["treated"] < treated.sum()
    for row in found["rows"]:
        assert row["failure"] is None
        assert 0 < row["eti95"][0] < row["median"] < row["eti95"][1]
