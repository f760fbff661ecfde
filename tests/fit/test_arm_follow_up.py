"""Numbers beyond an arm's last patient say so, and times left open stay within both arms."""

import math

import numpy as np
import pandas as pd
import pytest
import runs
from hypothesis import given
from hypothesis import strategies as st

import bayes_crlm as bc
from bayes_crlm.analysis.horizons import default_horizons, round_step
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.fit.observed_survival import kaplan_meier_cautions
from bayes_crlm.model.arm_follow_up import MODEL_ONLY, NO_EVENT, median_note
from bayes_crlm.specification.spec import Spec

SPEC = """
title = "Arm 1 is followed for 12 months"
[data]
source = "data.csv"
time = "time"
event = "event"
unit = "months"
[model]
treatment = "arm"
reference = 0
[model.baseline]
cutpoints = 3
"""


def unequal(seed=1, n=160, short=12.0, long=60.0):
    """Arm 1 is followed for `short` months at most, arm 0 for `long`."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    death = rng.exponential(np.where(arm == 1, 45.0, 30.0))
    end = np.where(arm == 1, short, rng.uniform(20, long, n))
    return pd.DataFrame(
        {"arm": arm, "time": np.minimum(death, end), "event": (death <= end).astype(int)}
    )


@pytest.fixture(scope="module")
def fit():
    """A fit whose arm 1 ends at 12 months."""
    cohort = bc.read_cohort(unequal(), time="time", event="event", unit="months")
    return bc.PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, engine="laplace", seed=1)


def test_a_fits_warnings_name_medians_beyond_an_arm(fit):
    (told,) = (each for each in fit.warnings if MODEL_ONLY in each)
    assert told.startswith("arm 1, median survival")


def test_every_table_notes_exactly_the_numbers_beyond_the_arms_last_patient(fit):
    arm, time = fit.inputs.design.treatment_level, fit.inputs.cohort.time
    last = {k: time[arm == k].max() for k in (0, 1)}
    assert last[1] == 12 < last[0]
    for row in fit.survival([6, 12, 24, 48]).itertuples():
        assert row.note == (MODEL_ONLY if row.time > last[row.treatment] else None)
    for horizon in (12, 30):
        for row in fit.rmst(horizon).itertuples():
            assert row.note == (MODEL_ONLY if horizon > last[row.treatment] else None)
    reference, other = fit.median_survival().itertuples()
    assert reference.median < last[0] and reference.note is None
    assert other.median > 12 and other.note == MODEL_ONLY
    for row in fit.differences([6, 24], 12).itertuples():
        expected = "model only; no patient of arm 1 was followed so long" if row.time > 12 else None
        assert row.note == expected


def test_an_upper_limit_beyond_the_arm_is_told_apart(fit):
    """Of the arm that is followed for 12 months."""
    assert median_note(fit.inputs, 1, 10.0, 11.0) is None
    assert median_note(fit.inputs, 1, 10.0, 13.0) == f"upper limit: {MODEL_ONLY}"
    assert median_note(fit.inputs, 1, 12.5, 13.0) == MODEL_ONLY
    # what is not reached within follow-up is not a number
    assert median_note(fit.inputs, 1, 10.0, np.inf) is None
    assert median_note(fit.inputs, 1, np.inf, np.inf) is None


def test_terminal_report_tables_and_warnings_say_it(tmp_path):
    unequal().to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "spec.toml").write_text(SPEC + "[estimands]\nhorizons = [12, 48]\nrmst = 48\n")
    out = tmp_path / "out"
    called = runs.call(
        "run", "spec.toml", "--engine", "laplace", "--out", str(out), cwd=str(tmp_path)
    )
    run = runs.Run(called.returncode, called.stdout, called.stderr, out)
    assert run.status == 0, run.errors
    summary = run.summary
    beyond = [
        row["note"]
        for row in summary["estimands"]["survival"]
        if row["treatment"] == 1 and row["time"] == 48
    ]
    assert beyond == [MODEL_ONLY]
    told = [each for each in summary["warnings"] if MODEL_ONLY in each]
    assert len(told) == 2
    assert "survival at 48 and restricted mean up to 48 months" in told[0]
    assert "median survival" in told[1]
    words = " ".join(run.output.split())
    assert words.count(MODEL_ONLY) == 2
    report = (run.folder / "report.html").read_text(encoding="utf-8")
    # without covariates nothing is adjusted for
    assert "It is adjusted for nothing: the model has no covariates." in report
    assert "other terms of the model" not in report
    assert "adjusted for the others" not in report
    # the median, survival at 48 and the restricted mean of arm 1, and the two warnings
    assert report.count(MODEL_ONLY) == 5
    for name, count in (("survival", 1), ("rmst", 1), ("median_survival", 1)):
        table = pd.read_csv(run.folder / "tables" / f"{name}.csv")
        assert (table["note"] == MODEL_ONLY).sum() == count
    assert "dotted: model only" in (run.folder / "figures/survival.svg").read_text(encoding="utf-8")
    assert (run.folder / "tables/expected_events.csv").exists()
    assert {row["treatment"] for row in summary["kaplan_meier"]["largest_distance"]} == {0, 1}


@pytest.mark.parametrize(
    ("short", "long", "unit", "horizons"),
    [
        (74.0, 90.0, "months", (24.0, 48.0, 72.0)),
        (60.5, 90.0, "months", (24.0, 36.0, 60.0)),
        (36.9, 90.0, "months", (12.0, 24.0, 36.0)),
        (12.0, 60.0, "months", (3.0, 9.0, 12.0)),
        (1100.0, 2000.0, "days", (365.0, 730.0, 1095.0)),
        (6.4, 9.0, "years", (2.0, 4.0, 6.0)),
        (6.4, 9.0, None, (2.0, 4.0, 6.0)),
    ],
)
def test_times_left_open_are_round_and_within_what_both_arms_support(
    short, long, unit, horizons, tmp_path
):
    table = unequal(short=74.0, long=90.0)
    table["time"] *= short / table.loc[table["arm"] == 1, "time"].max()
    table.to_csv(tmp_path / "data.csv", index=False)
    tables = {
        "title": "t",
        "data": {"source": str(tmp_path / "data.csv"), "time": "time", "event": "event"},
        "model": {"treatment": "arm", "reference": 0},
    }
    tables["data"] |= {} if unit is None else {"unit": unit}
    asked = plan_analysis(Spec.from_mapping(tables)).spec.estimands
    assert asked.horizons == horizons
    assert asked.rmst == horizons[-1]


@given(
    st.floats(0, 100),
    st.floats(-6, 6).map(lambda power: 10.0**power),
    st.sampled_from(["days", "weeks", "months", "years of age", None]),
)
def test_default_horizons_increase_from_the_origin_to_the_restricted_means(origin, span, unit):
    if origin + span == origin:
        return
    step = round_step(span, unit)
    assert span / 20 < step * (10 if unit else 1)
    assert step <= span / 3 * (1 + 1e-9)
    rmst = math.floor((origin + span) / step) * step
    if rmst - origin < 1e-9 * (origin + span):
        return
    first, second, last = default_horizons(origin, rmst, unit)
    assert origin < first < second < last == rmst


def test_where_a_risk_set_dies_out_kaplan_meier_starts_again_and_it_is_said():
    table = pd.DataFrame(
        {
            "entry": [0, 0, 3, 3, 4, 0, 0, 0, 0, 0, 0],
            "time": [1, 2, 6, 5, 8, 3, 4, 5, 6, 7, 8.0],
            "event": [1, 1, 1, 0, 0, 1, 0, 1, 0, 1, 0],
            "arm": ["a"] * 5 + ["b"] * 6,
        }
    )
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry", unit="months")
    inputs = bc.PiecewiseExponential("arm", "b", cutpoints=2).prepare(cohort)
    (told,) = kaplan_meier_cautions(inputs, 0.0)
    assert told.startswith("Kaplan-Meier of arm a falls to 0 at 2 months")
    assert "starts again at 3" in told
    assert kaplan_meier_cautions(inputs, 3.0) == []


def test_a_curve_that_started_again_is_held_against_the_model_given_the_same():
    rng = np.random.default_rng(5)
    table = pd.DataFrame(
        {
            "arm": [0, 1] * 100,
            "entry": [0.0] * 40 + [30.0] * 160,
            "time": np.r_[rng.uniform(1, 9, 40), 30 + rng.exponential(20, 160)],
            "event": 1,
        }
    )
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=[10, 20, 30, 40]).fit(
        cohort, engine="laplace", seed=1
    )
    rows = fit.kaplan_meier([5, 40])
    late = rows.query("time == 40")
    assert late["given"].tolist() == [30, 30]
    # exp(-10 / 20) of those alive at 30, of 80 an arm
    assert np.all(np.abs(late["kaplan_meier"] - np.exp(-0.5)) < 4 * np.sqrt(0.61 * 0.39 / 80))
    assert np.all(np.abs(late["difference"]) < 4 * np.sqrt(0.61 * 0.39 / 80))
    assert rows.query("time == 5")["given"].tolist() == [0, 0]


@pytest.fixture(scope="module", params=[0, 1, 2])
def eventless(request):
    """A fit of three arms, on one of which no event happened."""
    rng = np.random.default_rng(3)
    arm = np.arange(150) % 3
    death, end = rng.exponential(20, 150), rng.uniform(10, 50, 150)
    event = (death <= end) & (arm != request.param)
    table = pd.DataFrame({"arm": arm, "time": np.minimum(death, end), "event": event.astype(int)})
    cohort = bc.read_cohort(table, time="time", event="event", unit="months")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, engine="laplace", seed=1)
    return request.param, fit


def test_every_number_of_an_arm_without_events_says_so_and_no_other_does(eventless):
    empty, fit = eventless
    for table in (fit.survival([6, 12]), fit.rmst(12), fit.median_survival()):
        for row in table.to_dict("records"):
            assert ((row["note"] or "").startswith(NO_EVENT)) == (row["treatment"] == empty)
    for row in fit.differences([6, 12], 12).to_dict("records"):
        touches = empty in (row["treatment"], row["reference"])
        assert (f"no event on arm {empty}: the prior decides" in (row["note"] or "")) == touches
    told = [each for each in fit.warnings if "how high its survival curve lies" in each]
    assert len(told) == 1 and told[0].startswith(f"arm {empty}: no event happened on it")


def test_the_curve_of_an_arm_without_events_is_dotted_and_has_no_band(eventless):
    empty, fit = eventless
    ax = fit.plot_survival()
    assert len(ax.collections) == 2
    labels = [each.get_text() for each in ax.get_legend().get_texts()]
    assert labels[:3] == [f"{k} (no event)" if k == empty else str(k) for k in range(3)]
    assert labels[-1] == "no event: the prior's height"
