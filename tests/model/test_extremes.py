"""Values that no person means are refused before anything is fitted, in one sentence."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.model.baseline_priors import GammaProcess, baseline_prior
from bayes_crlm.model.priors import LIMITS, Normal, parse_prior
from bayes_crlm.specification.model import BaselineSpec
from bayes_crlm.words.errors import CohortError, DesignError, PriorError


def table(**changed):
    """Sixty simulated patients, some columns replaced."""
    rng = np.random.default_rng(3)
    n = 60
    columns = {
        "months": rng.exponential(20, n) + 0.1,
        "death": rng.integers(0, 2, n),
        "arm": np.arange(n) % 2,
        "age": rng.normal(60, 9, n),
    }
    return pd.DataFrame(columns | changed)


def prepare(frame, **options):
    cohort = bc.read_cohort(frame, time="months", event="death")
    return bc.PiecewiseExponential(**{"treatment": "arm", "covariates": "age"} | options).prepare(
        cohort
    )


@pytest.mark.parametrize("far", [1e308, 1e20, 1e10])
@pytest.mark.parametrize("row", [0, 41])
def test_a_time_beyond_any_follow_up_is_refused_by_its_row(far, row):
    months = table()["months"].to_numpy().copy()
    months[row] = far
    with pytest.raises(CohortError, match=f"more than a million times its median .*row {row + 1} "):
        bc.read_cohort(table(months=months), time="months", event="death")


@pytest.mark.parametrize("unit", [1e-300, 1e-12, 1e12])
def test_the_unit_of_all_times_is_free(unit):
    plain, changed = prepare(table()), prepare(table(months=table()["months"] * unit))
    np.testing.assert_allclose(
        changed.intervals.cutpoints / unit, plain.intervals.cutpoints, rtol=1e-12
    )


@pytest.mark.parametrize(("unit", "word"), [(1e155, "large"), (1e-300, "small"), (1e300, "large")])
def test_a_covariate_beyond_arithmetic_is_refused(unit, word):
    with pytest.raises(DesignError, match=f"covariate 'age' has values that are too {word} for"):
        prepare(table(age=table()["age"] * unit))


@pytest.mark.parametrize(
    "cells", [[[0], [1]], [{"a": 0}, {"a": 1}], [np.array([0]), np.array([1])], [(0,), (1,)]]
)
def test_lists_and_records_are_no_levels(cells):
    column = pd.Series([cells[k % 2] for k in range(60)], dtype=object)
    with pytest.raises(DesignError, match="treatment 'arm' holds lists or records"):
        prepare(table(arm=column))
    with pytest.raises(DesignError, match="covariate 'age' holds lists or records"):
        prepare(table(age=column))


@pytest.mark.parametrize(
    "text",
    [
        "normal(0, 1e-300)",
        "normal(0, 1e300)",
        "normal(1e300, 1)",
        "horseshoe(1e-300)",
        "student_t(1e-300, 0, 1)",
        "student_t(1e300, 0, 1)",
        "laplace(0, 1e308)",
        "hr(1, 0.9999999999999, 1.0000000000001)",
        "hr(1e-40, 1e-42, 1e-38)",
    ],
)
def test_a_prior_that_nobody_holds_is_refused(text):
    with pytest.raises(PriorError, match="cannot be used: its .* must lie between"):
        parse_prior(text)


def test_a_prior_given_as_a_value_has_the_same_limits():
    with pytest.raises(PriorError, match="its scale 1e-300 must lie between"):
        parse_prior(Normal(0.0, 1e-300))
    with pytest.raises(PriorError, match=r"its weight 1e\+300 must lie between"):
        baseline_prior(GammaProcess(1e300))
    with pytest.raises(PriorError, match=r"its weight 1e\+300 must lie between"):
        baseline_prior("gamma", 1e300)


def test_the_spec_has_the_limits_of_the_prior():
    low, high = LIMITS["weight"]
    for weight in (low, high):
        assert BaselineSpec(prior="gamma", weight=weight).weight == weight
    for weight in (low / 2, high * 2):
        with pytest.raises(ValueError, match="weight"):
            BaselineSpec(prior="gamma", weight=weight)


@pytest.mark.parametrize(
    "prior",
    [
        "normal(0, 1e-8)",
        "normal(0, 1e8)",
        "normal(20, 1e-8)",
        "laplace(-20, 1e8)",
        "student_t(1e8, 0, 1)",
    ],
)
def test_priors_at_the_limits_are_fitted(prior):
    model = bc.PiecewiseExponential(
        treatment="arm", covariates="age", treatment_prior=prior, covariate_prior="normal(0, 1e8)"
    )
    cohort = bc.read_cohort(table(), time="months", event="death")
    ratios = model.fit(cohort, seed=1, draws=200, chains=2, engine="laplace").hazard_ratios()
    assert np.isfinite(ratios["median"]).all()
    assert (ratios["eti95_low"] <= ratios["eti95_high"]).all()
