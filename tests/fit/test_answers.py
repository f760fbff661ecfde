"""The answer and what stands beside it: withdrawn where there is none, warned where it misleads."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_crlm as bc
from bayes_crlm.fit.answers import answer_sentence, proportionality_warnings, side_of
from bayes_crlm.fit.findings import Asked, Findings
from bayes_crlm.words.late_start import AS_TREATED_ONLY
from bayes_crlm.words.success import SuccessRule


def cohort_of(table, **columns):
    return bc.read_cohort(table, time="time", event="event", **columns)


def simulated(n=300, ratio=0.5, seed=3, arms=2):
    """Exponential times with one covariate; treatment is given by lot."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(arms, size=n)
    age = rng.normal(size=n)
    hazard = 0.05 * np.where(arm == 0, 1.0, ratio**arm) * np.exp(0.5 * age)
    time, end = rng.exponential(1 / hazard), rng.uniform(10, 60, n)
    return pd.DataFrame(
        {"time": np.minimum(time, end), "event": (time <= end).astype(int), "arm": arm, "age": age}
    )


def fitted(table, **model):
    return bc.PiecewiseExponential("arm", 0, **model).fit(
        cohort_of(table), seed=5, engine="laplace"
    )


def test_a_failed_diagnostic_withdraws_every_answer():
    fit = fitted(simulated(arms=3))
    answers = fit.answers(failures=["R-hat is 1.2"])
    assert (answers["conclusion"] == "withdrawn").all()
    assert answers["withdrawn"].str.contains("R-hat is 1.2").all()
    assert answers["median"].notna().all()


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_level_without_events_withdraws_the_comparisons_with_it_alone(empty):
    table = simulated(arms=3)
    table.loc[table["arm"] == empty, "event"] = 0
    fit = fitted(table)
    answers = fit.answers(failures=[])
    for row in answers.to_dict("records"):
        touches = empty in (row["treatment"], row["reference"])
        assert (row["conclusion"] == "withdrawn") == touches
        assert bool(row["withdrawn"]) == touches
        sentence = answer_sentence(row, "arm", SuccessRule())
        assert ("times that with" in sentence) != touches
    table = fit.hazard_ratios()
    assert (table["conclusion"] == "withdrawn").tolist() == [
        empty in (level, 0) for level in (1, 2)
    ]


@settings(deadline=None)
@given(
    st.floats(0.01, 100),
    st.floats(0, 1),
    st.floats(0.3, 3),
    st.floats(0.6, 0.999),
    st.booleans(),
)
def test_the_answers_sentence_says_what_its_row_says(median, lower, effect, least, is_withdrawn):
    rule = SuccessRule(effect, least)
    row = {
        "treatment": "b",
        "reference": "a",
        "median": median,
        "eti95_low": median / 2,
        "eti95_high": median * 2,
        "prob_lower": lower,
        "prob_higher": 1 - lower,
        "prob_below_effect": lower,
        "ess_bulk": 1000.0,
        "withdrawn": "no answer is given, because it fails" if is_withdrawn else None,
    }
    text = answer_sentence(row, "arm", rule)
    assert ("no answer is given" in text) == is_withdrawn
    if is_withdrawn:
        assert "times" not in text
        return
    concluded = rule.conclusion(lower)
    assert ("do not decide" in text) == (concluded == "undecided")
    assert (f"The hazard is {concluded}" in text) == (concluded != "undecided")
    assert f"probability that the hazard is {'lower' if median <= 1 else 'higher'}" in text
    assert side_of(row)[1] == (lower if median <= 1 else 1 - lower)


def test_every_two_levels_are_compared_and_cox_gives_what_another_reference_gives():
    table = simulated(arms=3)
    answers = fitted(table).answers(failures=[])
    pairs = list(zip(answers["treatment"], answers["reference"], strict=True))
    assert pairs == [(1, 0), (2, 0), (2, 1)]
    turned = bc.PiecewiseExponential("arm", 1).fit(cohort_of(table), seed=5, engine="laplace")
    cox = turned.cox.to_table().loc["arm[T.2]"]
    row = answers.iloc[2]
    assert row["cox_hazard_ratio"] == pytest.approx(cox["hazard_ratio"], rel=1e-6)
    assert row["cox_low"] == pytest.approx(cox["lower"], rel=1e-6)
    # the draws of two contrasts give the third, draw by draw
    draws = np.diff(fitted(table).effect_draws[:, :2], axis=1)
    assert row["prob_lower"] == (draws < 0).mean()


def crossing(seed=1, n=400):
    """A hazard ratio of 3 up to time 6, then of 0.3."""
    rng = np.random.default_rng(seed)
    arm = rng.integers(2, size=n)
    early, late = 0.06 * np.where(arm, 3.0, 1.0), 0.06 * np.where(arm, 0.3, 1.0)
    first = rng.exponential(1 / early)
    time = np.where(first < 6, first, 6 + rng.exponential(1 / late))
    return pd.DataFrame(
        {"time": np.minimum(time, 40), "event": (time <= 40).astype(int), "arm": arm}
    )


def test_hazards_that_cross_are_warned_of_and_proportional_ones_are_not():
    fit = fitted(crossing())
    assert dict(fit.cox.ph_test)["arm[T.1]"] < 1e-4
    assert any("not proportional" in each for each in fit.warnings)
    fit = fitted(simulated())
    assert dict(fit.cox.ph_test)["arm[T.1]"] > 0.05
    assert not any("not proportional" in each for each in fit.warnings)


def test_one_event_in_an_arm_is_a_caution_and_few_events_a_column_too():
    table = simulated(n=80)
    only = table.index[(table["arm"] == 1) & (table["event"] == 1)][1:]
    table.loc[only, "event"] = 0
    fit = fitted(table, covariates="age")
    assert any(each.startswith("arm 1 has one event among") for each in fit.warnings)
    many = fitted(simulated(n=300), covariates="age")
    assert not any("events for" in each or "one event" in each for each in many.warnings)
    n_events = int(simulated(n=30)["event"].sum())
    few = fitted(simulated(n=30), covariates="age + I(age**2) + I(age**3)")
    assert n_events < 40
    assert any(f"{n_events} events for 4 columns" in each for each in few.warnings)


def test_harm_is_said_with_the_probability_that_the_hazard_is_higher():
    fit = fitted(simulated(ratio=2.5))
    (row,) = fit.answers(failures=[]).to_dict("records")
    assert row["conclusion"] == "higher"
    assert "probability that the hazard is higher" in answer_sentence(row, "arm", SuccessRule())
    assert math.isclose(row["prob_higher"], 1 - row["prob_lower"])


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0.6, 0.999))
def test_a_headline_says_where_the_analysis_as_treated_concludes_otherwise(naive, split, least):
    rule = SuccessRule(1.0, least)
    row = {
        "treatment": 1,
        "reference": 0,
        "median": 0.5,
        "eti95_low": 0.3,
        "eti95_high": 0.9,
        "prob_below_effect": naive,
        "ess_bulk": 1000.0,
        "withdrawn": None,
    }
    headline = {
        "analysis": "time_dependent",
        "median": 0.8,
        "eti95": [0.5, 1.2],
        "prob_below": {},
        "prob_below_effect": split,
    }
    sentence = answer_sentence(row, "arm", rule, headline)
    one, other = rule.conclusion(naive), rule.conclusion(split)
    said = sentence.split("as treated from time zero on")[1]
    assert ("would" in said) == (one != other)
    if one != other:
        assert ("not decide" in said) == (one == "undecided")
        assert (f"called {one}" in said) == (one != "undecided")


def found_by(fit):
    return Findings(fit, Asked(), fit.diagnose())


def test_a_comparison_without_the_reference_says_that_the_wait_is_in_it():
    table = simulated(arms=3, n=200)
    table["begun"] = np.where(table["arm"] > 0, np.minimum(2.0, table["time"] / 2), np.nan)
    cohort = cohort_of(table, treatment_start="begun")
    model = bc.PiecewiseExponential("arm", 0, cutpoints=4)
    answers = found_by(model.fit(cohort, seed=5, engine="laplace")).answers
    assert [row["headline"] for row in answers] == ["time_dependent"] * 2 + ["as_treated"]
    for row in answers:
        assert (AS_TREATED_ONLY in row["sentence"]) == (row["headline"] == "as_treated")
    without_starts = model.fit(cohort_of(table), seed=5, engine="laplace")
    for row in found_by(without_starts).answers:
        assert AS_TREATED_ONLY not in row["sentence"]


def test_a_test_of_proportional_hazards_says_of_which_analysis_it_is():
    rng = np.random.default_rng(4)
    arm = np.arange(300) % 2
    early, late = (
        rng.exponential(10 / np.where(arm, 3.0, 1.0)),
        rng.exponential(10 / np.where(arm, 0.2, 1.0)),
    )
    time = np.where(early < 4, early, 4 + late)
    fit = fitted(pd.DataFrame({"time": time, "event": 1, "arm": arm}))
    (plain,) = proportionality_warnings(fit)
    (same,) = proportionality_warnings(fit, {"headline": "as_treated"})
    (other,) = proportionality_warnings(fit, {"headline": "time_dependent"})
    assert plain == same and "as treated" not in plain
    assert "of 0 as treated from time zero on: such a hazard ratio" in other
