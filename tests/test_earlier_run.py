"""One analysis has one answer: a run's draws are the base of its sensitivity analysis."""

import json

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm.analysis import plan_analysis
from bayes_crlm.sensitivity.earlier_run import base_of_run
from bayes_crlm.spec import read_spec

SPEC = """
title = "A simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = "x"
[sensitivity]
parts = ["priors"]
[sensitivity.priors]
means = [1.0]
scales = [1.0]
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run, and then a sensitivity analysis in the same folder."""
    place = tmp_path_factory.mktemp("one_answer")
    rng = np.random.default_rng(3)
    n = 80
    frame = {"arm": np.arange(n) % 2, "x": rng.normal(size=n).round(3)}
    death = rng.exponential(12 * np.exp(0.5 * frame["arm"])).round(2) + 0.1
    pd.DataFrame(
        frame | {"months": np.minimum(death, 30), "dead": (death < 30).astype(int)}
    ).to_csv(place / "cohort.csv", index=False)
    (place / "small.toml").write_text(SPEC)
    for command in (("run", "--engine", "laplace"), ("sensitivity",)):
        name, *options = command
        done = call(name, place / "small.toml", "--out", place / "out", "--quiet", *options)
        assert done.returncode == 0, done.stderr
    return place


def read(folder, name):
    return json.loads((folder / "out" / name).read_text())


def test_the_run_and_its_sensitivity_analysis_have_one_answer(folder):
    (answer,), base = read(folder, "summary.json")["hazard_ratios"], None
    base = read(folder, "sensitivity.json")["base"]
    assert base["is_of_run"] is True
    for name in ("median", "eti95", "mean_log", "sd_log", "prob_below_effect"):
        assert base[name] == answer[name]
    assert base["prob_below_1"] == answer["prob_below"]["1.0"]
    assert base["engine"] == "laplace"


@pytest.mark.parametrize("change", ["seed", "data", "model", "version", "status", "success"])
def test_a_run_of_anything_else_is_not_taken(folder, tmp_path, change):
    place = tmp_path / "out"
    place.mkdir()
    text = (folder / "small.toml").read_text()
    table = (folder / "cohort.csv").read_text()
    summary = read(folder, "summary.json")
    if change == "seed":
        text = f"{text}[sampling]\nseed = 5\n"
    elif change == "success":
        text = f"{text}[success]\neffect = 0.9\n"
    elif change == "model":
        text = text.replace('covariates = "x"', "")
    elif change == "data":
        table = table.replace("\n0,", "\n1,", 1)
    elif change == "version":
        summary["provenance"]["bayes_crlm"] = "0.0.1"
    else:
        summary["status"] = "untrustworthy"
    (tmp_path / "cohort.csv").write_text(table)
    (tmp_path / "small.toml").write_text(text)
    (place / "spec.toml").write_text((folder / "out" / "spec.toml").read_text())
    (place / "summary.json").write_text(json.dumps(summary))
    plan = plan_analysis(read_spec(tmp_path / "small.toml"))
    assert base_of_run(place, plan, 1) is None
    same = plan_analysis(read_spec(folder / "small.toml"))
    assert base_of_run(folder / "out", same, 1) is not None
