"""The part `cutpoints`: intervals as asked, and stacking that finds the better intervals."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm import read_cohort
from bayes_crlm.sensitivity.choices.cutpoints import (
    Settings,
    analyse,
    inner_cutpoints,
    stack,
    variants,
)
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.tasks.run import TaskResult
from bayes_crlm.words.success import SuccessRule

SPEC = """
title = "A small simulated cohort"
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


def table_of(n=200, seed=3):
    """Hazard 0.2 up to month 2, and 0.01 from there on: two intervals that matter."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    cumulative = rng.exponential(size=n) / np.exp(-0.5 * arm)
    death = np.where(cumulative < 0.4, cumulative / 0.2, 2 + (cumulative - 0.4) / 0.01)
    return pd.DataFrame(
        {"arm": arm, "months": np.minimum(death, 60), "dead": (death < 60).astype(int)}
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cutpoints")
    table_of().to_csv(folder / "cohort.csv", index=False)
    table = '[sensitivity.cutpoints]\nnumbers = [1, 2, 4, 8]\nplacements = ["events", "equal"]\n'
    (folder / "small.toml").write_text(SPEC + table)
    done = call(
        "sensitivity", folder / "small.toml", "--only", "cutpoints", "--out", folder / "out"
    )
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())["cutpoints"], folder


def test_each_set_of_intervals_is_fitted_once(found):
    part, folder = found
    sets = [tuple(row["cutpoints"]) for row in part["rows"]]
    assert len(set(sets)) == len(sets)
    # one interval is the same wherever it is cut
    assert [row["placement"] for row in part["rows"]].count("events") == 4
    assert sum(row["n_intervals"] == 1 for row in part["rows"]) == 1
    assert all(row["n_intervals"] == len(row["cutpoints"]) - 1 for row in part["rows"])
    table = pd.read_csv(folder / "out" / "tables" / "cutpoints.csv")
    every = [*part["rows"], part["stacked"]]
    assert table["median"].tolist() == pytest.approx([row["median"] for row in every])
    assert table["state"].tolist() == [row["state"] for row in every]


def late_events():
    """Most events come early, so that late intervals of equal width hold none."""
    months = np.random.default_rng(3).lognormal(1.5, 1.2, 31).round(2) + 0.01
    return pd.DataFrame({"arm": np.arange(31) % 2, "months": months, "dead": 1})


class Recorder:
    """Takes the tasks of a part, and answers with one probability a task."""

    def __init__(self, below, elpd, unreliable):
        self.below, self.elpd, self.unreliable, self.tasks = below, elpd, unreliable, []

    def __call__(self, name, tasks):
        self.tasks = tasks
        return [TaskResult(task.key, self.row(k)) for k, task in enumerate(tasks)]

    def row(self, k):
        value = np.r_[np.full(1000, -0.5), np.full(1000, 0.5)]
        below = self.below[k % len(self.below)]
        weight = np.r_[np.full(1000, below / 1000), np.full(1000, (1 - below) / 1000)]
        noise = np.random.default_rng(k).normal(0, 0.1, 31)
        pointwise = self.elpd[k % len(self.elpd)] + noise
        return {
            "median": 0.6, "eti95": [0.5, 0.9], "prob_below_1": below, "elpd_loo": pointwise.sum(),
            "elpd_pointwise": pointwise.tolist(), "loo_pareto_k": 0.1,
            "is_reliable": k not in self.unreliable,
            "log_hazard_ratio": value.tolist(), "weight": weight.tolist(), "n_intervals": k + 1,
        }  # fmt: skip


def answered(below, elpd, unreliable=(), table=None, **settings):
    table = late_events() if table is None else table
    cohort = read_cohort(table, time="months", event="dead")
    run = Recorder(below, elpd, unreliable)
    base = {"prob_below_1": 0.98, "eti95": [0.4, 0.95]}
    plan = SimpleNamespace(
        inputs=SimpleNamespace(cohort=cohort),
        spec=SimpleNamespace(success=SimpleNamespace(rule=SuccessRule())),
    )
    context = Context(plan=plan, base=base, make_fit=None, level=1, seed=1, run=run)
    return analyse(context, Settings(**settings)), run.tasks


def test_sets_of_as_many_intervals_of_one_placement_have_tasks_of_their_own():
    # tied times make quantiles equal
    table = late_events().assign(months=lambda each: np.ceil(each["months"] / 2))
    cohort = read_cohort(table, time="months", event="dead")
    found = variants(cohort, Settings())
    sizes = [(each.row["placement"], each.row["n_intervals"]) for each in found]
    assert len(set(sizes)) < len(sizes)
    cutpoints = {tuple(np.round(each.row["cutpoints"], 9)) for each in found}
    assert len(cutpoints) == len(found)
    _, tasks = answered([0.98], [-1.0, -1.1], table=table)
    assert len({task.key for task in tasks}) == len(tasks) == len(found)


def test_intervals_that_predict_badly_do_not_move_the_conclusion():
    """The stacked posterior, and sets with real weight, decide; others are said apart."""
    few = {"numbers": [1, 3], "placements": ["events"]}
    part, _ = answered([0.80, 0.98], [-2.0, -1.0], **few)
    assert part.result["rows"][0]["stacking_weight"] < 0.01
    assert part.moves is False
    assert part.would_move == "one set of intervals with next to no weight in stacking"
    part, _ = answered([0.98, 0.80], [-2.0, -1.0], **few)
    assert part.moves is True and part.would_move is None


FEW = {"numbers": [1, 3, 4], "placements": ["events"]}


def test_a_refit_that_fails_is_not_stacked_and_does_not_silence_the_others():
    part, _ = answered([0.98, 0.80, 0.98], [-1.0, -1.0, -9.0], unreliable=[2], **FEW)
    failed = part.result["rows"][2]
    assert failed["stacking_weight"] is failed["elpd_difference"] is None
    assert failed["turns_conclusion"] is False
    stacked = part.result["stacked"]
    # a mixture of the first two, of which one may have all the weight
    assert 0.80 - 1e-9 < stacked["prob_below_1"] < 0.97
    assert part.moves is True
    # nor does it decide, or stand for what would
    part, _ = answered([0.98, 0.98, 0.10], [-2.0, -2.0, -1.0], unreliable=[2], **FEW)
    assert part.moves is False and part.would_move is None
    assert part.result["stacked"]["prob_below_1"] == pytest.approx(0.98)
    assert part.result["rows"][2]["turns_conclusion"] is False


def test_where_every_refit_fails_nothing_is_said_of_the_conclusion():
    part, _ = answered([0.98, 0.80, 0.98], [-1.0], unreliable=[0, 1, 2], **FEW)
    assert part.moves is None and part.would_move is None
    assert part.result["stacked"] is None
    assert part.sentence == "None of 3 sets of intervals has a refit that passes its diagnostics."


def test_intervals_that_see_the_change_predict_better(found):
    rows, stacked = found[0]["rows"], found[0]["stacked"]
    elpd = {(row["placement"], row["n_intervals"]): row["elpd_loo"] for row in rows}
    assert elpd["events", 4] > elpd["events", 1] + 10
    weights = [row["stacking_weight"] for row in rows]
    assert sum(weights) == pytest.approx(1)
    assert weights[0] < 0.1
    # the stacked hazard ratio is the mixture of those with weight
    inside = [row["median"] for row in rows if row["stacking_weight"] > 0.01]
    assert min(inside) <= stacked["median"] <= max(inside)


def test_an_exponential_model_agrees_with_its_closed_form(found):
    (row,) = [row for row in found[0]["rows"] if row["n_intervals"] == 1]
    table = table_of()
    events = table.groupby("arm")["dead"].sum()
    rate = events / table.groupby("arm")["months"].sum()
    # the prior normal(0, 1) shrinks the ratio of rates by its share of the precision
    precision = 1 / (1 / events).sum()
    expected = math.log(rate[1] / rate[0]) * precision / (precision + 1)
    assert row["mean_log"] == pytest.approx(expected, abs=4 * row["mcse"] + 0.01)


def test_stacking_finds_the_mixture_that_predicts_best():
    rng = np.random.default_rng(1)
    # 300 patients whom the first model predicts, 100 whom the second does; the third never helps
    good, bad = -1.0, -3.0
    first = np.r_[np.full(300, good), np.full(100, bad)]
    second = np.r_[np.full(300, bad), np.full(100, good)]
    third = np.full(400, bad - 1) + 0.01 * rng.normal(size=400)
    weight = stack(np.array([first, second, third]))
    # 300 log(w g + (1 - w) b) + 100 log(w b + (1 - w) g) is largest here
    g, b = math.exp(good), math.exp(bad)
    best = (0.75 * g - 0.25 * b) / (g - b)
    assert weight == pytest.approx([best, 1 - best, 0], abs=0.01)
    assert stack(first[None, :]).tolist() == [1.0]


def test_placements():
    cohort = read_cohort(table_of(), time="months", event="dead")
    deaths = cohort.time[cohort.event == 1]
    assert inner_cutpoints(cohort, 2, "events") == pytest.approx([np.median(deaths)])
    assert inner_cutpoints(cohort, 4, "equal") == pytest.approx(deaths.max() * np.r_[1:4] / 4)
    shifted = inner_cutpoints(cohort, 2, "shifted")
    assert shifted == pytest.approx([np.quantile(deaths, 0.25)])


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("numbers = [0]", "0 is not a number of intervals"),
        ("numbers = [300]", "300"),
        ('placements = ["middle"]', "'middle' is unknown"),
    ],
)
def test_impossible_grids_are_refused(line, told, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(f"{SPEC}[sensitivity.cutpoints]\n{line}\n")
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
    assert not (tmp_path / "out").exists()
