"""Columns that change during follow-up: how far more intervals move the hazard ratio is said."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from survival import datasets

import bayes_crlm as bc
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.analysis.run import run_analysis
from bayes_crlm.analysis.summary import summarise
from bayes_crlm.cli.terminal import conclude
from bayes_crlm.fit.changing_rows import (
    changing_sentence,
    finer_rows,
    patients_whose_columns_change,
)
from bayes_crlm.report.page import render_report
from bayes_crlm.specification.spec import Spec

# R: coxph(Surv(start, stop, event) ~ age + surgery + year + transplant, heart), Crowley & Hu's
# (1977, JASA 72:27-36) Stanford heart transplants
HEART_COX = {"transplant": -0.0103, "age": 0.0272, "surgery": -0.6372, "year": -0.1463}


@pytest.fixture(scope="module")
def heart_table():
    return pd.DataFrame(datasets.load_heart()).astype({"id": int, "event": int, "surgery": int})


@pytest.fixture(scope="module")
def heart(heart_table, tmp_path_factory):
    """A run of R's `heart` with few intervals, which the wait for a transplant is smoothed in."""
    folder = tmp_path_factory.mktemp("heart")
    heart_table.to_csv(folder / "heart.csv", index=False)
    plan = plan_analysis(
        Spec.from_mapping(
            {
                "title": "Stanford heart transplants",
                "data": {
                    "source": str(folder / "heart.csv"), "time": "stop", "event": "event",
                    "entry": "start", "id": "id", "unit": "days",
                },
                "model": {
                    "treatment": "transplant", "reference": 0,
                    "covariates": "age + surgery + year",
                    "baseline": {"prior": "random_walk", "cutpoints": 6},
                },
            }
        )
    )  # fmt: skip
    found = run_analysis(plan, engine="laplace")
    return found, summarise(found)


def test_cox_of_the_heart_transplants_is_that_of_r(heart):
    found, _ = heart
    names = dict(zip(found.fit.cox.terms, found.fit.cox.coef, strict=True))
    for name, expected in HEART_COX.items():
        (coef,) = [value for term, value in names.items() if term.startswith(name)]
        assert coef == pytest.approx(expected, abs=6e-5)


def test_three_times_as_many_intervals_move_the_heart_transplants_towards_cox(heart):
    found, summary = heart
    (row,) = summary["finer_intervals"]
    cox = math.exp(HEART_COX["transplant"])
    assert row["hazard_ratio"] < row["finer_hazard_ratio"] < cox
    assert row["finer_intervals"] > 2 * row["n_intervals"]
    # the two lie farther apart than Monte Carlo errors of 4,000 draws
    sd = found.fit.hazard_ratios()["sd_log"][0]
    moved = math.log(row["finer_hazard_ratio"] / row["hazard_ratio"])
    assert moved > 5 * sd * math.sqrt(2 / 2000) / 2
    assert row["n_changing"] == 69


def test_how_far_it_moves_is_said_wherever_the_answer_stands(heart):
    found, summary = heart
    (row,) = summary["finer_intervals"]
    said = (
        f"with {row['finer_intervals']} intervals instead of {row['n_intervals']} the hazard "
        f"ratio is {row['finer_hazard_ratio']:.2f}"
    )
    terminal = re.sub(r"\s+", " ", conclude(found))
    for text in (terminal, render_report(found, summary, {}), *[" ".join(summary["warnings"])]):
        assert said in text
    assert any(said in each for each in found.fit.warnings)


@given(st.integers(0, 10_000))
def test_patients_are_counted_whose_rows_differ_in_a_column(seed):
    rng = np.random.default_rng(seed)
    n = 12
    first = pd.DataFrame({"id": range(n), "start": 0.0, "stop": rng.uniform(1, 3, n), "event": 0})
    first = first.assign(arm=0, x=rng.normal(size=n))
    second = first.assign(start=first["stop"], stop=first["stop"] + 2, event=1)
    second["arm"] = rng.integers(2, size=n)
    second["x"] = np.where(rng.random(n) < 0.3, first["x"] + 1, first["x"])
    # every level has two patients at least
    second.loc[:3, "arm"] = [0, 1, 0, 1]
    rows = pd.concat([first, second]).sample(frac=1, random_state=int(seed))
    cohort = bc.read_cohort(rows, time="stop", event="event", entry="start", id="id")
    model = bc.PiecewiseExponential("arm", 0, "x", cutpoints=2)
    differs = (second["arm"] != first["arm"]) | (second["x"] != first["x"])
    assert patients_whose_columns_change(model.prepare(cohort)) == differs.sum()


def test_follow_up_that_is_merely_split_says_nothing():
    rng = np.random.default_rng(1)
    n = 60
    whole = pd.DataFrame({"id": range(n), "arm": rng.integers(2, size=n), "start": 0.0})
    whole["stop"] = rng.exponential(10, n) + 0.5
    whole["event"] = rng.integers(2, size=n)
    parts = [
        whole.assign(stop=whole["stop"] / 2, event=0),
        whole.assign(start=whole["stop"] / 2),
    ]
    cohort = bc.read_cohort(pd.concat(parts), time="stop", event="event", entry="start", id="id")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, seed=1, engine="laplace")
    assert finer_rows(fit) == [] and changing_sentence([]) is None
    assert not any("columns change" in each for each in fit.warnings)


ratio = st.floats(0.01, 100)
table_rows = st.lists(
    st.fixed_dictionaries(
        {
            "treatment": st.sampled_from("abc"),
            "n_changing": st.integers(1, 99),
            "n_intervals": st.integers(1, 20),
            "finer_intervals": st.integers(21, 60),
            "finer_hazard_ratio": st.none() | ratio,
            "finer_low": ratio,
            "finer_high": ratio,
        }
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda row: row["treatment"],
).map(
    # one refit has draws for every level, or for none
    lambda rows: [
        row | {"finer_hazard_ratio": row["finer_hazard_ratio"] if rows[0]["finer_hazard_ratio"]
               and row["finer_hazard_ratio"] else rows[0]["finer_hazard_ratio"]}
        for row in rows
    ]
)  # fmt: skip


@given(table_rows, st.sets(st.sampled_from("abc")))
def test_the_sentence_says_the_rows_numbers_of_answers_that_stand_and_no_others(rows, withdrawn):
    said = changing_sentence(rows, withdrawn)
    number = rows[0]["n_changing"]
    assert f"follow-up of {number:,} patient{'s' * (number > 1)}" in said
    is_found = rows[0]["finer_hazard_ratio"] is not None
    for row in rows:
        is_told = is_found and row["treatment"] not in withdrawn
        assert (f" for {row['treatment']}" in said) == is_told
    stands = [row for row in rows if row["treatment"] not in withdrawn]
    assert ("the hazard ratio is" in said) == (is_found and bool(stands))
    assert ("could not be found" in said) == (not is_found)


def test_nothing_is_said_of_a_level_without_events():
    rng = np.random.default_rng(1)
    n = 60
    first = pd.DataFrame({"id": range(n), "start": 0.0, "stop": 1.0, "event": 0, "arm": 0})
    second = first.assign(start=1.0, stop=1 + rng.exponential(10, n), arm=np.arange(n) % 2)
    second["event"] = np.where(second["arm"] == 1, 0, 1)
    cohort = bc.read_cohort(
        pd.concat([first, second]), time="stop", event="event", entry="start", id="id"
    )
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, seed=1, engine="laplace")
    (said,) = [each for each in fit.warnings if "columns change" in each]
    assert "hazard ratio is" not in said
