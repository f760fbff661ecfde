"""One analysis has one answer: a run's draws are the base of its sensitivity analysis."""

import json

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity.earlier_run import base_of_run, fit_of_run
from bayes_crlm.sensitivity.parts import Context

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


STARTING = """
title = "A simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
treatment_start = "begun"
[model]
treatment = "arm"
reference = 0
covariates = "x"
[sampling]
draws = 1000
tune = 500
[sensitivity]
parts = [
    "power_scaling", "unmeasured_confounding", "immortal_time", "influence", "overlap",
    "multiverse",
]
[sensitivity.multiverse]
families = ["normal"]
scales = [0.5, 1.0]
baselines = ["log_time_walk"]
covariates = ["all"]
[sensitivity.influence]
worst = 1
candidates = 1
[sensitivity.immortal_time]
groups = 50
"""


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """A run by NUTS of a treatment that starts late, and its sensitivity analysis."""
    place = tmp_path_factory.mktemp("chains")
    rng = np.random.default_rng(8)
    n = 70
    frame = pd.DataFrame({"arm": np.arange(n) % 2, "x": rng.normal(size=n).round(3)})
    death = rng.exponential(20, n).round(2) + 4
    frame["months"] = np.minimum(death, 40)
    frame["dead"] = (death < 40).astype(int)
    frame["begun"] = np.where(frame["arm"] == 1, rng.uniform(0, 3.5, n).round(2), np.nan)
    frame.to_csv(place / "cohort.csv", index=False)
    (place / "small.toml").write_text(STARTING)
    for name in ("run", "sensitivity"):
        done = call(name, place / "small.toml", "--out", place / "out", "--quiet")
        assert done.returncode == 0, done.stderr
    return place


def test_what_is_not_about_the_headline_answer_says_so(chains):
    summary, found = read(chains, "summary.json"), read(chains, "sensitivity.json")
    assert summary["start"]["headline"] == "time_dependent"
    for part in ("unmeasured_confounding", "influence"):
        (note,) = (each for each in found[part]["notes"] if "headline" in each)
        assert "as treated from time zero on" in note and "not about the headline answer" in note
    plan = plan_analysis(read_spec(chains / "small.toml"))
    for start, count in ((None, 1), ({"headline": "landmark"}, 1), ({"headline": "as_treated"}, 0)):
        context = Context(plan=plan, base={}, make_fit=None, level=1, seed=1, run=None, start=start)
        assert len(context.headline_note("Numbers are")) == count


def test_after_chains_every_number_of_the_spec_as_it_stands_is_that_of_the_answer(chains):
    summary, found = read(chains, "summary.json"), read(chains, "sensitivity.json")
    (answer,) = summary["hazard_ratios"]
    assert summary["provenance"]["engine"] == found["base"]["engine"] == "nuts"
    assert {row["engine"] for row in found["power_scaling"]["scaled"]} == {"nuts"}
    tipping = found["unmeasured_confounding"]
    assert tipping["surface"]["engine"] == "nuts"
    assert tipping["tipping_bias_factor"]["median"] == pytest.approx(answer["median"], rel=1e-12)
    rows = {row["method"]: row for row in found["immortal_time"]["rows"]}
    (regression,) = [r for r in found["overlap"]["rows"] if r["method"] == "outcome_regression"]
    for row in (found["base"], rows["naive"], regression):
        for name in ("median", "eti95", "mean_log", "sd_log", "prob_below_effect"):
            assert row[name] == answer[name]
        assert row["prob_below_1"] == answer["prob_below"]["1.0"]
    own = [
        row
        for row in found["multiverse"]["rows"]
        if row["choices"]
        == {
            "prior_family": "normal",
            "prior_scale": 1.0,
            "baseline": "log_time_walk",
            "intervals": len(summary["model"]["cutpoints"]) - 1,
            "covariates": "all",
            "exclusions": "none",
        }
    ]
    assert [row["median"] for row in own] == [answer["median"]]
    assert own[0]["engine"] == "nuts" and own[0]["eti95"] == answer["eti95"]
    start = summary["start"]
    landmarks = [r for r in found["immortal_time"]["rows"] if r["at"] == start["landmark"]["at"]]
    same = [row for row in landmarks if row["method"] == "landmark"]
    for row, name in ((rows["time_dependent"], "time_dependent"), (same[0], "landmark")):
        for key in ("median", "eti95", "mean_log", "sd_log", "cox_hr"):
            assert row[key] == start[name][key]


def test_the_first_sentence_begins_with_what_treatment_from_its_start_on_concludes(chains):
    """As `run` does: both tell one conclusion first, and the one as treated is told for it."""
    summary = read(chains, "summary.json")
    (answer,) = summary["answers"]
    assert answer["headline"] == "time_dependent"
    row = summary["start"]["time_dependent"]
    said = read(chains, "sensitivity.json")["conclusion"]["sentence"]
    first, rest = said.split(" All that follows counts the wait for it as treated, too. ")
    begin = {"undecided": "These data do not decide", "lower": "The hazard is lower",
             "higher": "The hazard is higher"}  # fmt: skip
    assert first.startswith(begin[answer["conclusion"]])
    low, high = row["eti95"]
    assert first.endswith(
        f"where treatment counts from its start on (hazard ratio {row['median']:.2f}, "
        f"95% interval {low:.2f} to {high:.2f})."
    )
    assert "as treated from time zero on" in rest


def test_influence_after_chains_is_that_of_the_chains_in_the_folder(chains):
    import arviz_stats as azs
    import xarray as xr

    tree = xr.open_datatree(chains / "out" / "posterior.nc")
    size, _ = azs.loo_influence(
        tree, var_names="log_hazard_ratio", group="posterior", log_likelihood_var_name="event"
    )
    expected = np.asarray(size["log_hazard_ratio"] if hasattr(size, "data_vars") else size)
    rows = read(chains, "sensitivity.json")["influence"]["rows"]
    given = [row["loo_influence"] for row in rows]
    assert given == pytest.approx(expected[..., 0].tolist(), rel=1e-9)


def test_chains_that_are_not_those_of_the_answer_are_not_taken(chains, tmp_path):
    import shutil

    plan = plan_analysis(read_spec(chains / "small.toml"))
    base = base_of_run(chains / "out", plan, 1)
    assert fit_of_run(chains / "out", plan, base, 1).engine == "nuts"
    assert fit_of_run(chains / "out", plan, base | {"median": 1.23}, 1) is None
    assert fit_of_run(tmp_path, plan, base, 1) is None
    shutil.copy(chains / "cohort.csv", tmp_path / "posterior.nc")
    assert fit_of_run(tmp_path, plan, base, 1) is None
