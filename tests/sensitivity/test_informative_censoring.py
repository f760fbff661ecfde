"""The part `informative_censoring`: nothing changes at delta 1, and completions are drawn right."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from runs import call
from scipy.stats import norm

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.sensitivity.missing.completed_follow_up import complete_follow_up, leaving_rows
from bayes_crlm.sensitivity.missing.informative_censoring import (
    change_in_words,
    sentence,
    tipping_delta,
)
from bayes_crlm.sensitivity.verdicts import Judge

SPEC = """
title = "A simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
[model.baseline]
cutpoints = 3
prior = "independent"
"""


def table_of(n=160):
    """Treatment more than halves the hazard; a half of the treated leave early."""
    rng = np.random.default_rng(4)
    arm = np.arange(n) % 2
    death = rng.exponential(15 * np.where(arm == 1, 2.2, 1.0))
    leaves = np.where((arm == 1) & (rng.random(n) < 0.5), rng.uniform(1, 12, n), 40.0)
    return pd.DataFrame(
        {
            "arm": arm,
            "months": np.minimum(death, leaves).round(2) + 0.01,
            "dead": (death <= leaves).astype(int),
            "lost": ((death > leaves) & (leaves < 40)).astype(int),
        }
    )


def run(folder, lines):
    table_of().to_csv(folder / "cohort.csv", index=False)
    text = f"{SPEC}[sensitivity.informative_censoring]\n{lines}\n"
    (folder / "small.toml").write_text(text)
    names = ("--only", "informative_censoring", "--out", folder / "out", "--jobs", 1)
    return call("sensitivity", folder / "small.toml", *names)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("censoring")
    done = run(folder, 'deltas = [0.5, 1, 8]\nlost = "lost"\ncompletions = 60')
    assert done.returncode == 0, done.stderr
    svg = (folder / "out" / "figures" / "informative_censoring.svg").read_text()
    return json.loads((folder / "out" / "sensitivity.json").read_text()) | {"svg": svg}


def cell(found, reference, treated):
    (row,) = [
        row
        for row in found["informative_censoring"]["rows"]
        if (row["delta_reference"], row["delta_treated"]) == (reference, treated)
    ]
    return row


def test_nothing_changes_where_delta_is_1(found):
    row, base = cell(found, 1.0, 1.0), found["base"]
    low, high = np.log(base["eti95"])
    base_sd = (high - low) / (2 * 1.96)
    # the base's 4,000 draws, most of them effective
    error = math.hypot(row["mcse"], 1.25 * base_sd / math.sqrt(3000))
    assert abs(math.log(row["median"] / base["median"])) < 4 * error
    # what completion adds to each posterior, the mixture over completions gives back
    assert row["sd_log"] == pytest.approx(base_sd, rel=0.15)


def test_the_figure_has_the_hazard_ratio_of_every_pair(found):
    """Whether or not a line at which the conclusion turns crosses the grid."""
    for row in found["informative_censoring"]["rows"]:
        assert f"{row['median']:.2f}<" in found["svg"] or f"{row['median']:.2f} -->" in found["svg"]


def test_the_treated_who_leave_and_die_turn_the_conclusion(found):
    assert found["base"]["prob_below_1"] > 0.975
    medians = [cell(found, 1.0, delta)["median"] for delta in (0.5, 1.0, 8.0)]
    assert medians == sorted(medians)
    assert cell(found, 1.0, 8.0)["prob_below_1"] < 0.975
    assert 1 < found["informative_censoring"]["tipping_delta"]["treated"] < 8
    # a delta of 8 is not plausible, and is said apart
    part = found["informative_censoring"]
    turning = [row for row in part["rows"] if row["turns_conclusion"]]
    assert {row["delta_treated"] for row in turning} == {8.0}
    assert not any(row["is_plausible"] for row in turning)
    assert part["moves"] is False
    assert found["conclusion"]["would_be_moved_by"] == [
        f"{len(turning)} pairs of larger deltas of the hazard after censoring"
    ]
    # nobody of the reference was lost, so that its delta changes nothing
    told = {"delta_reference": 8.0, "is_plausible": False, "label": "deltas 8 with 0 and 1 with 1"}
    assert cell(found, 8.0, 1.0) == cell(found, 1.0, 1.0) | told
    lost = table_of()["lost"].sum()
    assert {row["n_completed"] for row in found["informative_censoring"]["rows"]} == {lost}


def test_a_plausible_delta_that_turns_the_conclusion_moves_it(tmp_path):
    lines = 'deltas = [1, 8]\nlost = "lost"\ncompletions = 20\nplausible = 8'
    done = run(tmp_path, lines)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert found["informative_censoring"]["moves"] is True
    assert found["conclusion"]["moved_by"] == ["informative_censoring"]
    # where nothing is changed, nothing turns
    assert cell(found, 1.0, 1.0)["turns_conclusion"] is False


def test_a_pair_that_fails_its_diagnostic_says_nothing_of_the_conclusion():
    design = SimpleNamespace(levels=["a", "b"])
    context = SimpleNamespace(level=1, plan=SimpleNamespace(inputs=SimpleNamespace(design=design)))
    rows = [
        {"delta_reference": reference, "delta_treated": treated, "median": 0.5 * treated}
        | {"turns_conclusion": treated == 4, "is_reliable": treated == 4}
        for reference in (1.0, 4.0)
        for treated in (1.0, 4.0)
    ]
    # nothing to begin from, so that there is no tipping point
    unknown = {"treated": None, "reference": None}
    told = sentence(context, rows, unknown)
    assert "the hazard ratio is 2.00; the conclusion changes in 2 pairs." in told
    for row in rows:
        row |= {"is_reliable": False, "turns_conclusion": False}
    assert sentence(context, rows, unknown).startswith("No pair of deltas passes its diagnostic")


def test_an_undecided_conclusion_has_two_lines_at_which_it_turns():
    assert "Below 0.025 and above 0.975" in change_in_words(Judge({"prob_below_1": 0.6}))
    for decided in (0.99, 0.01):
        assert change_in_words(Judge({"prob_below_1": decided})).startswith("Beyond a thick line")


def test_edges_alone_do_not_say_that_the_conclusion_holds(tmp_path):
    done = run(tmp_path, 'deltas = [0.25, 4]\nlost = "lost"\ncompletions = 10')
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert found["informative_censoring"]["moves"] is None


@pytest.mark.parametrize("delta", [0.5, 1.0, 3.0])
def test_the_rest_of_follow_up_has_the_hazard_times_delta(delta):
    n, rate, horizon = 20_000, 0.05, 30.0
    left = np.full(n, 6.0)
    table = pd.DataFrame({"arm": np.arange(n) % 2, "months": left, "dead": 0})
    # a death in each of the four intervals
    table.loc[:3, "months"] = [4.0, 9.0, 19.0, 40.0]
    table.loc[:3, "dead"] = 1
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("arm", 0, "", cutpoints=[5, 10, 20], baseline="independent")
    inputs = model.prepare(cohort)
    rows = leaving_rows(inputs, None, horizon)
    assert len(rows) == n - 4
    rng = np.random.default_rng(1)
    completed = complete_follow_up(
        inputs,
        LogHazards(np.full((1, 1, inputs.intervals.n_intervals), math.log(rate)), np.zeros((1, 1))),
        rows,
        np.full(len(rows), delta),
        horizon,
        1 - rng.random(len(rows)),
    )
    event = completed.data.event[rows]
    follow_up = completed.data.follow_up
    start = inputs.intervals.cutpoints[follow_up.stop_interval]
    time = (start + follow_up.stop_within)[rows]
    assert np.all((time > 6) & (time <= horizon))
    assert np.all(time[event == 0] == horizon)
    expected = 1 - math.exp(-rate * delta * (horizon - 6))
    error = math.sqrt(expected * (1 - expected) / len(rows))
    assert event.mean() == pytest.approx(expected, abs=4 * error)
    # deaths per time at risk are the multiplied hazard
    assert event.sum() / (time - 6).sum() == pytest.approx(
        rate * delta, rel=4 / math.sqrt(event.sum())
    )


def test_the_tipping_point_lies_where_the_probit_crosses():
    rows = [
        {"delta_treated": 1.0, "prob_below_1": 0.99},
        {"delta_treated": 4.0, "prob_below_1": 0.90},
        {"delta_treated": 0.25, "prob_below_1": 0.995},
    ]
    found = tipping_delta(Judge(rows[0]), rows, "delta_treated")
    # probits of 0.99, 0.975 and 0.90
    share = (2.3263 - 1.9600) / (2.3263 - 1.2816)
    assert found == pytest.approx(4**share, rel=1e-3)
    # a row that fails its diagnostic is passed over
    rows[1]["is_reliable"] = False
    assert tipping_delta(Judge(rows[0]), rows, "delta_treated") is None
    rows[1] |= {"prob_below_1": 0.98, "is_reliable": True}
    assert tipping_delta(Judge(rows[0]), rows, "delta_treated") is None


@pytest.mark.parametrize(("at_1", "at_4", "crossed"), [
    (0.60, 0.02, 0.025), (0.60, 0.98, 0.975), (0.40, 0.98, 0.975), (0.99, 0.01, 0.975),
    (0.01, 0.60, 0.025),
])  # fmt: skip
def test_a_conclusion_turns_at_the_limit_that_is_crossed_first(at_1, at_4, crossed):
    rows = [
        {"delta_treated": 1.0, "prob_below_1": at_1},
        {"delta_treated": 4.0, "prob_below_1": at_4},
    ]
    near, far, limit = norm.ppf([at_1, at_4, crossed])
    expected = 4 ** ((limit - near) / (far - near))
    assert 1 < expected < 4
    found = tipping_delta(Judge(rows[0]), rows, "delta_treated")
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ("deltas = [0]", "0 is impossible"),
        ("horizon = 500", "beyond the last follow-up time"),
        ('lost = "gone"', "no column 'gone'"),
        ('lost = "months"', "neither 0 nor 1 in row 1"),
        ("completions = 2", "completions"),
        ("plausible = 0.5", "plausible"),
    ],
)
def test_impossible_settings_are_refused(lines, told, tmp_path):
    done = run(tmp_path, lines)
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_cohort_without_censoring_says_so(tmp_path):
    table_of().assign(dead=1).to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(SPEC)
    done = call(
        "sensitivity",
        tmp_path / "small.toml",
        *("--only", "informative_censoring", "--out", tmp_path / "out"),
    )
    assert done.returncode == 2
    assert "nobody drops out before" in done.stderr


def test_a_completion_that_already_turns_by_noise_makes_no_finding_robust():
    """The base just decides; completed without any change it just does not; larger deltas turn."""

    def row_of(probability, reference=1.0, treated=1.0):
        row = {"prob_below_1": probability, "prob_below_effect": probability}
        row |= {"median": 0.7, "eti95": [0.45, 1.1], "is_reliable": True, "label": "a pair"}
        return row | {"delta_reference": reference, "delta_treated": treated}

    base = row_of(0.978)
    rows = [row_of(0.970), row_of(0.825, treated=2.0), row_of(0.483, 0.5, 2.0)]
    judge = Judge(base)
    judge.add_states(rows)
    assert judge.held == "lower"
    assert judge.verdict(rows[1:]).moves is True
    tipping = tipping_delta(judge, rows[:2], "delta_treated")
    assert 1.0 < tipping < 2.0
