"""Many cohorts at once: failures that say so."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from many_cohorts import MODEL, simulate, stacked

from bayes_crlm import fit_many, read_cohort, stack_cohorts
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.words.errors import BayesCRLMError, CohortError, PriorError


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


def test_cohorts_that_cannot_be_fitted_say_why_and_leave_the_others_alone(stack):
    good = simulate(0)
    broken = {
        "no event": good.assign(death=0),
        "negative time": good.assign(time=-1.0),
        "constant": good.assign(x=1.0),
        "one arm": good.assign(arm=0),
        "missing": good.assign(x=np.nan),
        "log of nothing": good.assign(z=0.0),
    }
    tables = [good.assign(cohort="first")]
    tables += [table.assign(cohort=name) for name, table in broken.items()]
    tables.append(simulate(1).assign(cohort="last"))
    cohorts = stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death")
    many = fit_many(MODEL, cohorts, seeds=[5] * len(tables))
    assert many.cohorts["cohort"].tolist() == ["first", *broken, "last"]
    assert many.cohorts["is_fitted"].tolist() == [True, *[False] * len(broken), True]
    for name, words in (
        ("no event", "at least one must be 1"), ("negative time", "zero or negative"),
        ("constant", "constant"), ("one arm", "only the level 0"), ("missing", "missing"),
        ("log of nothing", "not finite"),
    ):  # fmt: skip
        row = many.cohorts.set_index("cohort").loc[name]
        assert words in row["reason"] and math.isnan(row["pareto_k"])
    of_term = many.of_term("arm[T.1]")
    assert of_term["mean_log"].notna().tolist() == many.cohorts["is_fitted"].tolist()
    alone = fit_many(MODEL, [read_cohort(good, time="time", event="death")], seeds=[5])
    assert of_term["mean_log"][0] == alone.of_term()["mean_log"][0]
    assert "2 fitted" in repr(many) and "6 not fitted" in repr(many)


def draw_cohort(draw):
    rows = draw(st.integers(6, 14))
    times = st.sampled_from([1e-6, 0.5, 1.0, 2.0, 3.0, 7.0, 1e6])
    columns = {
        "time": draw(st.lists(times, min_size=rows, max_size=rows)),
        "death": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "arm": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "x": draw(st.lists(st.sampled_from([-1e3, 0.0, 1.0, 2.0]), min_size=rows, max_size=rows)),
    }
    return pd.DataFrame(columns)


small_cohorts = st.composite(draw_cohort)()


# Newton's first step in Cox's likelihood leaves nobody at risk with any weight
LONG_STEP = pd.DataFrame(
    {
        "time": [1e-6, 1e-6, 1e-6, 0.5, 1e-6, 1e-6],
        "death": [0, 0, 0, 1, 1, 0],
        "arm": [0, 0, 1, 0, 0, 1],
        "x": [-1e3, -1e3, -1e3, 0.0, 1.0, -1e3],
    }
)


@given(
    table=small_cohorts,
    baseline=st.sampled_from(["independent", "gamma", "random_walk", "log_time_walk"]),
    prior=st.sampled_from(["normal(0, 1)", "normal(0, 100)", "laplace(0, 1)"]),
)
@example(table=LONG_STEP, baseline="independent", prior="normal(0, 1)")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_number_comes_without_its_flag(table, baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=2, baseline=baseline, treatment_prior=prior
    )
    both = pd.concat([table.assign(cohort=1), simulate(3, rows=30).assign(cohort=2)])
    cohorts = stack_cohorts(both, cohort="cohort", time="time", event="death")
    many = fit_many(model, cohorts, seeds=1, draws=400)
    assert many.cohorts["is_fitted"][1]
    row = many.cohorts.iloc[0]
    assert bool(row["reason"]) == (not row["is_trustworthy"])
    numbers = many.terms[many.terms["number"] == 0][["mean_log", "sd_log", "median", "eti95_low"]]
    if row["is_fitted"]:
        assert np.isfinite(numbers.to_numpy()).all() and len(numbers)
        assert (numbers["sd_log"] > 0).all()
        assert not row["is_trustworthy"] or row["pareto_k"] <= 0.7
    else:
        assert numbers.isna().all(axis=None)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": 50}, "too few"),
        ({"draws": 10**9}, "whole number from 100 to 1000000"),
        ({"draws": 1000.5}, "whole number"),
        ({"draws": "1000"}, "whole number"),
        ({"jobs": 1.5}, "whole number"),
        ({"engine": "fast"}, "unknown"),
        ({"jobs": 0}, "impossible"),
        ({"thresholds": [0.0]}, "above 0"),
        ({"seeds": -1}, "negative"),
        ({"seeds": [1, 2]}, "2 seeds for 40 cohorts"),
        ({"seeds": 1.5}, "whole number"),
        ({"seeds": [1.7] * 40}, "whole number"),
        ({"seeds": "abc"}, "whole number"),
        ({"seeds": True}, "whole number"),
        ({"seeds": list(range(41))}, "41 seeds for 40 cohorts"),
    ],
)
def test_arguments_that_cannot_be_are_refused(stack, change, words):
    with pytest.raises(BayesCRLMError, match=words):
        fit_many(MODEL, stack, **change)


def test_cohorts_that_are_none_or_not_several_are_refused(simulated_cohorts):
    with pytest.raises(BayesCRLMError, match="no cohorts"):
        fit_many(MODEL, [])
    with pytest.raises(BayesCRLMError, match="not several"):
        fit_many(MODEL, simulated_cohorts[1])
    # an iterator's length shows only when it is through
    with pytest.raises(BayesCRLMError, match="more cohorts"):
        fit_many(MODEL, iter([simulated_cohorts[1]] * 3), seeds=[1, 2])


def test_models_wrong_for_every_cohort_are_refused_at_once(stack):
    horseshoe = PiecewiseExponential("arm", 0, "x", covariate_prior="horseshoe(1)")
    with pytest.raises(PriorError, match="needs NUTS"):
        fit_many(horseshoe, stack)
    with pytest.raises(BayesCRLMError, match="open"):
        fit_many(PiecewiseExponential("arm", 0, "open(x)"), stack)
    with pytest.raises(ValueError, match="no cohort has a term"):
        fit_many(MODEL, stack, seeds=1).of_term("age")


def test_a_table_without_the_cohorts_column_is_refused():
    with pytest.raises(CohortError, match="did you mean"):
        stack_cohorts(simulate(1), cohort="cohrt", time="time", event="death")
    missing = simulate(1).assign(cohort=np.nan)
    with pytest.raises(CohortError, match="missing in row 1"):
        stack_cohorts(missing, cohort="cohort", time="time", event="death")


@pytest.mark.slow
def test_escalated_cohorts_are_fitted_by_nuts(monkeypatch):
    # no weights are good enough: the engine has draws to trust of any small cohort tried here
    monkeypatch.setattr("bayes_crlm.inference.draws.LEAST_ESS", 2.0)
    table = simulate(1, rows=24)
    model = PiecewiseExponential("arm", 0, "x", cutpoints=2, baseline="independent")
    cohort = read_cohort(table, time="time", event="death")
    plain = fit_many(model, [cohort], seeds=1)
    assert not plain.cohorts["is_trustworthy"][0]
    many = fit_many(model, [cohort], seeds=1, escalate=True)
    assert many.cohorts["engine"][0] == "nuts" and "NUTS was used" in many.cohorts["reason"][0]
    fit = model.fit(cohort, seed=2)
    row, expected = many.of_term().iloc[0], fit.coefficients().iloc[0]
    error = 5 * math.sqrt(2) * expected["mcse_mean_log"]
    assert abs(row["mean_log"] - expected["mean_log"]) < error
