"""Weighted rows: held against weighted Cox regression, and judged by what their weights leave."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from survival import coxph

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.frequentist.weighted_cox import fit_weighted_cox
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.timing import immortal_time
from bayes_crlm.sensitivity.timing.delayed_treatment import start_problems, start_test, truncated
from bayes_crlm.sensitivity.two_arms import start_of_treatment, two_arms
from bayes_crlm.sensitivity.verdicts import Judge
from bayes_crlm.sensitivity.weighted_posterior import effective_sample_size, weight_problems


def arms_of(seed, n=200, decides=0.8, level=1):
    """Treatment by x, more or less alone, and deaths by both."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    if np.isinf(decides):
        treated = (x > 0).astype(int)
    else:
        treated = (rng.random(n) < 1 / (1 + np.exp(-decides * x))).astype(int)
    death = rng.exponential(14 * np.exp(0.5 * treated - 0.6 * x))
    table = pd.DataFrame(
        {
            "months": np.minimum(death, 30) + 0.01,
            "dead": (death < 30).astype(int),
            "treated": treated,
            "x": x,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints=6)
    return two_arms(model, model.prepare(cohort), level)


def test_weighted_cox_is_that_of_the_library_with_rows_of_patients():
    rng = np.random.default_rng(4)
    n = 240
    table = pd.DataFrame(
        {
            "a": 0.0,
            "t": (rng.exponential(10, n) + 0.1).round(1),
            "e": rng.integers(0, 2, n),
            "x": rng.integers(0, 2, n),
            "z": 50 + 9 * rng.normal(size=n),
            "id": np.arange(n) // 2,
        }
    )
    table.loc[::3, "a"] = table["t"][::3] / 2
    weight = rng.uniform(0.2, 3, n)
    right = coxph("Surv(a, t, e) ~ x + z + cluster(id)", table, weights=weight)
    coef, se = fit_weighted_cox(table.a, table.t, table.e, table[["x", "z"]], weight, table.id)
    assert coef == pytest.approx(right.coefficients, abs=1e-6)
    assert se == pytest.approx(np.sqrt(np.diag(np.array(right.var))), rel=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_weighted_fits_agree_with_weighted_cox_regression(seed):
    """Under nearly flat priors; they were 0.2 standard errors and more apart on coarse intervals.

    A tenth of a standard error is what intervals instead of risk sets may leave: it takes 0.1% from
    the coverage of a 95% interval.
    """
    found = overlap.compare_weights(arms_of(seed), overlap.Settings(groups=50), seed)
    rows = [row for row in found["rows"] if row["method"].endswith("weights")]
    assert len(rows) == 2
    for row in rows:
        calibration = row["calibration"]
        apart = calibration["log_hazard_ratio"] - np.log(row["cox_hr"])
        assert abs(apart) < 0.1 * calibration["robust_sd"]
        low, high = np.log(row["cox_ci95"])
        assert (high - low) / 3.92 == pytest.approx(calibration["robust_sd"], rel=0.35)


@pytest.mark.parametrize(("decides", "is_comparable"), [(0.8, True), (np.inf, False), (40, False)])
def test_arms_without_overlap_are_not_judged(decides, is_comparable):
    arms = arms_of(7, decides=decides)
    found = overlap.compare_weights(arms, overlap.Settings(groups=50), 1)
    weighted = [row for row in found["rows"] if row["method"].endswith("weights")]
    assert any(row["is_reliable"] for row in weighted) == is_comparable
    usable = [row for row in weighted if row["is_reliable"]]
    regression = next(row for row in found["rows"] if row["method"] == "outcome_regression")
    said = overlap.sentence(found, Judge(regression), usable)
    assert ("can be trusted" in said) == (not is_comparable)
    nobody = not any(found["common_support"].values())
    assert (overlap.NO_COUNTERPART in said) == nobody == np.isinf(decides)


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=60))
def test_weights_are_refused_where_few_stand_for_all(drawn):
    weight = np.array(drawn)
    size, largest = effective_sample_size(weight), weight.max() / weight.sum()
    is_bad = size < 10 or size < 0.1 * len(weight) or largest > 0.2
    assert bool(weight_problems({"arm": weight})) == is_bad


def test_truncation_moves_the_outermost_weights_only():
    weight = np.append(np.linspace(1, 2, 199), 1e6)
    kept = truncated(weight)
    assert kept.max() < 1e5 and np.array_equal(kept[5:150], weight[5:150])


def waiting_arms(seed, n=400, crossing=False, rare=False):
    """Treatment starts sooner for low x, always or, where hazards of starting cross, at first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    rate = 0.2 * np.exp(-0.8 * x * (3 if rare else 1))
    start = rng.exponential(1 / rate)
    if crossing:
        early, late = (
            rng.exponential(1 / (0.1 * np.exp(1.2 * x))),
            2 + rng.exponential(1 / (0.3 * np.exp(-1.2 * x))),
        )
        start = np.where(early < 2, early, late)
    months = np.minimum(rng.exponential(14 * np.exp(-0.5 * x)), rng.uniform(10, 40, n))
    treated = (start < 12) & (start < months)
    table = pd.DataFrame(
        {
            "months": months,
            "dead": (rng.random(n) < 0.8).astype(int),
            "treated": treated.astype(int),
            "start": np.where(treated, start, np.nan),
            "x": x,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints="auto")
    return two_arms(model, model.prepare(cohort))


def problems_of(arms):
    return start_problems(start_test(arms, start_of_treatment(arms, "start")))


def test_a_hazard_of_starting_that_is_not_proportional_is_found():
    assert sum(bool(problems_of(waiting_arms(k, crossing=True))) for k in range(10)) >= 9
    # at most 5% by chance: 5 or more of 30 would be seen once in a hundred times
    assert sum(bool(problems_of(waiting_arms(k))) for k in range(30)) < 5


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6), st.floats(0, 1))
def test_the_start_model_is_judged_by_its_tests(alone, together):
    tests = [{"term": f"x{k}", "p": p} for k, p in enumerate(alone)]
    p = 2 * min(len(alone) * min(alone), together)
    said = start_problems([*tests, {"term": "GLOBAL", "p": together}])
    assert bool(said) == (p < 0.05)


def test_rows_of_clones_are_judged_by_their_weights_and_start_model():
    settings = immortal_time.Settings(start="start", groups=50)
    for arms in (waiting_arms(1, n=150), waiting_arms(2, n=150, rare=True)):
        found = immortal_time.compare_methods(arms, settings, 1)
        rows = {row["method"]: row for row in found["rows"]}
        row = rows["clone_censor_weight"]
        assert "clone_censor_weight_truncated" in rows and row["cox_hr"] is not None
        bad = [*weight_problems(found["final_weights"]), *start_problems(found["start_model"])]
        if bad:
            assert row["is_reliable"] is False
        apart = row["calibration"]["log_hazard_ratio"] - np.log(row["cox_hr"])
        # a handful of effective clones is not told by any two estimators alike, and is marked
        assert abs(apart) < 0.15 * row["calibration"]["robust_sd"] or not row["is_reliable"]
