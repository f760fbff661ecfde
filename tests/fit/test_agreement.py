"""Verdicts of the comparison with Cox, and the refits behind their reasons."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.agreement import (
    UNTRUSTED,
    VAGUE_BASELINE,
    VAGUE_EFFECT,
    Trial,
    compare,
    contrast,
    refit,
    unmoved_reason,
)
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.kaplan_meier import reaches_zero
from bayes_crlm.model.column_counts import sides_of_columns


def trial(n, seed, power=1.0, effect=-0.8, n_covariates=0):
    """Randomised arms; times to the power change the hazard's shape; all events are seen."""
    rng = np.random.default_rng(seed)
    arm, covariates = rng.integers(2, size=n), rng.normal(size=(n, n_covariates))
    time = (rng.exponential(1.0, n) / np.exp(effect * arm)) ** power + 1e-3
    table = pd.DataFrame({"arm": arm, "time": time, "event": 1})
    for k in range(n_covariates):
        table[f"x{k}"] = covariates[:, k]
    return read_cohort(table, time="time", event="event")


def fit(cohort, **settings):
    return PiecewiseExponential("arm", 0, **settings).fit(cohort, seed=2, engine="laplace")


@pytest.mark.parametrize(
    ("shift_in_se", "width", "agrees"),
    [(0, 1, True), (0.49, 1, True), (-0.49, 1, True), (0.51, 1, False), (-0.51, 1, False),
     (0, 0.81, True), (0, 1.24, True), (0, 0.79, False), (0, 1.26, False)],
)  # fmt: skip
def test_verdicts_follow_half_a_standard_error_and_a_quarter_of_the_width(
    shift_in_se, width, agrees
):
    cox = SimpleNamespace(coef=np.array([-0.5, 0.2]), se=np.array([0.2, 0.05]))
    # quantiles of the normal distribution: draws without Monte Carlo error
    normal = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    draws = cox.coef + cox.se * (shift_in_se + width * normal[:, None])
    found = contrast(draws, cox)
    np.testing.assert_allclose(found.difference_in_se, shift_in_se, atol=1e-6)
    np.testing.assert_allclose(found.difference, shift_in_se * cox.se, atol=1e-6)
    np.testing.assert_allclose(found.width_ratio, width, rtol=1e-3)
    assert found.agrees.tolist() == [agrees, agrees]


@pytest.mark.parametrize("seed", range(2))
def test_a_large_cohort_agrees_with_cox(seed):
    rows = compare(fit(trial(1500, seed, n_covariates=1), covariates="x0"))
    assert [row["verdict"] for row in rows] == ["agree", "agree"]
    assert [row["reason"] for row in rows] == [None, None]
    assert all(abs(row["difference_in_se"]) < 0.5 for row in rows)
    for row in rows:
        assert row["width_ratio"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("seed", range(2))
def test_prior_pull_is_found_and_true(seed):
    fitted = fit(trial(200, seed), treatment_prior="normal(0, 0.05)")
    (row,) = compare(fitted)
    assert row["verdict"] == "differ"
    assert row["difference_in_log_hr"] > 0
    assert row["width_ratio"] < 0.8
    assert row["reason"].startswith("prior pull:")
    vague = replace(
        fitted.model, baseline=VAGUE_BASELINE, treatment_prior=VAGUE_EFFECT,
        covariate_prior=VAGUE_EFFECT,
    )  # fmt: skip
    draws, inputs = refit(fitted, Trial("prior pull", vague))
    assert inputs is fitted.inputs
    assert contrast(draws, fitted.cox).agrees.all()
    # its size: the refit's hazard ratio and interval, in the row and in words
    low, median, high = np.exp(np.quantile(draws[:, 0], [0.025, 0.5, 0.975]))
    assert (row["refit_low"], row["refit_hazard_ratio"], row["refit_high"]) == (low, median, high)
    assert f"{median:.2f} (95% interval {low:.2f} to {high:.2f})" in row["reason"]


@pytest.mark.parametrize("seed", range(2))
def test_coarse_intervals_are_found(seed):
    (row,) = compare(fit(trial(500, seed, power=3), cutpoints=1, treatment_prior="normal(0, 2)"))
    assert row["verdict"] == "differ"
    assert row["reason"].startswith("coarse intervals: with 20 intervals instead of 1")


@pytest.mark.parametrize("seed", range(2))
def test_prior_pull_and_coarse_intervals_together_are_found(seed):
    cohort = trial(500, seed, power=3)
    (row,) = compare(fit(cohort, cutpoints=1, treatment_prior="normal(0, 0.05)"))
    assert row["verdict"] == "differ"
    assert row["reason"].startswith("prior pull and coarse intervals:")


def test_few_events_are_named():
    # in single cohorts of this size another reason may do, in ten of them not everywhere
    covariates = " + ".join(f"x{k}" for k in range(5))
    cohorts = [trial(16, seed, n_covariates=5) for seed in range(10)]
    rows = [row for cohort in cohorts for row in compare(fit(cohort, covariates=covariates))]
    # every patient of these has the event, so it is not events that are wanting
    few = [row for row in rows if (row["reason"] or "").startswith("few patients")]
    assert few
    assert not any("few events" in (row["reason"] or "") for row in rows)
    assert all("16 events for 6 terms (2.7 each)" in row["reason"] for row in few)
    for row in rows:
        assert (row["verdict"] == "agree") == (row["reason"] is None)


def test_a_level_with_one_event_is_explained_by_it():
    """One event on the level and 47 elsewhere: events over columns say nothing of it."""
    rng = np.random.default_rng(4)
    n = 120
    table = pd.DataFrame({"arm": rng.integers(2, size=n), "time": rng.exponential(10, n) + 0.1})
    table["event"] = (np.arange(n) % 5 < 2).astype(int)
    table["rare"] = 0
    table.loc[[0, 2, 3], "rare"] = 1
    table.loc[0, ["time", "event"]] = [0.05, 1]
    table["time"] = table["time"].clip(upper=20)
    table.loc[table["time"] == 20, "event"] = 0
    table.loc[1, "event"] = 0
    cohort = read_cohort(table, time="time", event="event")
    fitted = fit(cohort, covariates="rare")
    sides = sides_of_columns(fitted.inputs.cohort, fitted.inputs.design)
    (side,) = [each for each in sides if each.name == "rare = 1"]
    text = unmoved_reason(fitted, "rare", sides)
    assert side.n_events < 10
    assert text.startswith(f"few events: {side.n_events} of {cohort.n_events} on rare = 1")
    assert not any("not explained" in (row["reason"] or "") for row in compare(fitted))


def followed(n, seed, unit=None):
    """Two arms with a hazard ratio of 1/2 and a median of 24 and 48 months, rounded up."""
    rng = np.random.default_rng(seed)
    arm, x = rng.integers(2, size=n), rng.normal(size=n)
    death = rng.exponential(24 / np.log(2), n) * np.exp(np.log(2) * arm - 0.4 * x)
    end = rng.uniform(20, 90, n)
    time = np.minimum(death, end)
    table = pd.DataFrame({"arm": arm, "x": x, "death": (death <= end).astype(int), "time": time})
    if unit is not None:
        table["time"] = np.ceil(table["time"] / unit) * unit
    return read_cohort(table, time="time", event="death", unit="months")


@pytest.mark.parametrize("unit", [6, 12])
@pytest.mark.parametrize("n", [300, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_times_rounded_to_half_years_or_years_are_the_reason(n, unit, seed):
    rows = compare(fit(followed(n, seed, unit), covariates="x"))
    exact = {row["term"]: row for row in compare(fit(followed(n, seed), covariates="x"))}
    differing = [row for row in rows if row["verdict"] == "differ"]
    assert differing or unit == 6
    for row in differing:
        # the times that were rounded away leave no difference to be explained by a prior
        assert exact[row["term"]]["verdict"] == "agree"
        assert row["reason"].startswith(f"rounded times: they look rounded to {unit} months")
        assert "prior pull" not in row["reason"] and "few events" not in row["reason"]
        assert row["refit_low"] < row["refit_hazard_ratio"] < row["refit_high"]
        assert f"{row['refit_hazard_ratio']:.2f} (95% interval" in row["reason"]


@pytest.mark.parametrize(("n", "unit"), [(300, 12), (120, 6)])
def test_a_narrow_prior_is_named_where_times_are_rounded_too(n, unit):
    cohort = followed(n, 1, unit)
    rows = compare(fit(cohort, covariates="x", treatment_prior="normal(0, 0.05)"))
    assert rows[0]["verdict"] == "differ"
    assert "prior pull" in rows[0]["reason"]
    assert f"rounded to {unit} months" in rows[0]["reason"]


def test_times_in_months_of_a_long_survival_are_no_reason():
    rows = compare(fit(followed(300, 1, 1), covariates="x", treatment_prior="normal(0, 0.05)"))
    assert rows[0]["reason"].startswith("prior pull: under vague priors")
    assert not any("rounded" in (row["reason"] or "") for row in rows)


@given(st.integers(0, 10_000))
def test_a_curve_reaches_zero_exactly_where_the_product_does(seed):
    rng = np.random.default_rng(seed)
    n = rng.integers(1, 8)
    entry = rng.integers(0, 4, n) * float(rng.integers(2))
    time, event = entry + rng.integers(1, 5, n), rng.integers(2, size=n)
    product = 1.0
    for each in sorted(set(time[event == 1].tolist())):
        n_risk = np.sum((entry < each) & (time >= each))
        product *= 1 - np.sum((time == each) & (event == 1)) / n_risk
    assert reaches_zero(entry, time, event) == (product == 0)


def test_a_level_on_which_everybody_has_the_event_has_few_patients_not_few_events():
    rng = np.random.default_rng(3)
    n = 120
    table = pd.DataFrame({"arm": rng.integers(2, size=n), "time": rng.exponential(10, n) + 0.1})
    table["event"] = rng.integers(2, size=n)
    table["rare"] = (np.arange(n) < 5).astype(int)
    table.loc[table["rare"] == 1, "event"] = 1
    table.loc[n - 1, ["time", "event"]] = [100.0, 0]
    fitted = fit(read_cohort(table, time="time", event="event"), covariates="rare")
    sides = sides_of_columns(fitted.inputs.cohort, fitted.inputs.design)
    text = unmoved_reason(fitted, "rare", sides)
    assert text.startswith("few patients: Kaplan-Meier's curve of rare = 1 reaches 0, 5 of ")


def test_draws_not_to_be_trusted_are_not_explained():
    fitted = fit(trial(200, 1), treatment_prior="normal(0, 0.05)")
    (row,) = compare(fitted, explain=False)
    assert row["verdict"] == "differ"
    assert row["reason"] == UNTRUSTED


def test_compare_cox_is_a_table(colon_fit):
    table = colon_fit.compare_cox()
    assert table["term"].tolist() == list(colon_fit.inputs.design.terms)
    assert set(table["verdict"]) <= {"agree", "differ"}
    mean = colon_fit.coefficients()["mean_log"].to_numpy()
    cox = colon_fit.cox
    np.testing.assert_allclose(table["difference_in_log_hr"], mean - cox.coef, atol=1e-10)
    np.testing.assert_allclose(table["difference_in_se"], (mean - cox.coef) / cox.se, atol=1e-10)
