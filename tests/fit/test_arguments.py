"""Arguments that people give in Python are taken, or refused with one sentence."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"time": rng.exponential(20, 80), "event": rng.random(80) < 0.8, "arm": np.arange(80) % 2}
    )
    return bc.read_cohort(table, time="time", event="event")


@pytest.fixture(scope="module")
def fit(cohort):
    return bc.PiecewiseExponential("arm", 0).fit(cohort, engine="laplace", seed=1, draws=100)


@pytest.mark.parametrize("given", [np.int64(4), np.array([5, 10, 20]), (5, 10.0), 4, "auto"])
def test_whole_numbers_and_times_of_any_kind_are_cutpoints(cohort, given):
    inputs = bc.PiecewiseExponential("arm", 0, cutpoints=given).prepare(cohort)
    plain = given.tolist() if hasattr(given, "tolist") else given
    right = bc.PiecewiseExponential("arm", 0, cutpoints=plain).prepare(cohort)
    assert inputs.intervals.cutpoints.tolist() == right.intervals.cutpoints.tolist()


@pytest.mark.parametrize(
    "wrong",
    [
        {"cutpoints": None}, {"cutpoints": 3.0}, {"cutpoints": True}, {"cutpoints": ["a"]},
        {"cutpoints": [np.nan]}, {"cutpoints": [[1, 2]]}, {"covariates": ["site"]},
        {"covariates": None}, {"covariates": 3}, {"baseline": None}, {"baseline": 3},
        {"covariates": "time"}, {"covariates": "event"},
    ],
)  # fmt: skip
def test_a_wrong_argument_of_a_model_is_one_sentence(cohort, wrong):
    with pytest.raises(bc.BayesCRLMError) as caught:
        bc.PiecewiseExponential(**{"treatment": "arm", "reference": 0} | wrong).prepare(cohort)
    assert next(iter(wrong)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("rmst", [12]), ("rmst", "12"), ("rmst", None), ("rmst", float("nan")),
        ("survival", [[1, 2]]), ("survival", ["a"]), ("survival", [float("nan")]),
        ("survival", None), ("survival", "12"), ("hazard_ratios", [-1.0]), ("hazard_ratios", [0]),
        ("hazard_ratios", ["a"]), ("hazard_ratios", None), ("coefficients", [float("nan")]),
    ],
)  # fmt: skip
def test_a_wrong_argument_of_a_fit_is_one_sentence(fit, method, given):
    with pytest.raises(bc.BayesCRLMError) as caught:
        getattr(fit, method)(given)
    assert "\n" not in str(caught.value)
