"""The part `unmeasured_confounding`: E-values, tipping surface and refit."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm.sensitivity.e_values import hazard_ratio_e_value
from bayes_crlm.sensitivity.tipping_points import bias_factor

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = "age"
[model.baseline]
cutpoints = 3
prior = "independent"
[sensitivity]
parts = ["unmeasured_confounding"]
[sensitivity.unmeasured_confounding]
"""


def write(folder, effect, table=""):
    rng = np.random.default_rng(8)
    arm, age = np.arange(160) % 2, rng.normal(60, 9, 160).round(1)
    death = rng.exponential(20 * np.exp(-effect * arm))
    rows = [
        f"{a},{g},{min(t, 40) + 0.01:.2f},{int(t < 40)}"
        for a, g, t in zip(arm, age, death, strict=True)
    ]
    (folder / "cohort.csv").write_text("\n".join(["arm,age,months,dead", *rows]))
    (folder / "small.toml").write_text(SPEC + table)
    return folder / "small.toml"


def run(folder, effect, table=""):
    done = call("sensitivity", write(folder, effect, table), "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(tmp_path_factory.mktemp("confounding"), -0.7)


def test_e_values_are_those_of_the_base(found):
    base, part = found["base"], found["unmeasured_confounding"]
    expected = hazard_ratio_e_value(base["median"], *base["eti95"], is_common=True)
    assert part["is_common_outcome"] is True
    assert part["e_value"] == pytest.approx(expected.e_value)
    assert part["e_value_limit"] == pytest.approx(expected.e_value_limit)
    assert 1 < part["e_value_limit"] < part["e_value"]
    # the limit is that of the 95% interval, by default the conclusion's threshold too
    assert not any("97.5%" in note for note in part["notes"])


def test_the_surface_is_the_base_divided_by_the_bias(found):
    base, surface = found["base"], found["unmeasured_confounding"]["surface"]
    differences = np.array(surface["prevalence_difference"])[:, None]
    strengths = np.array(surface["confounder_hazard_ratio"])
    assert np.all(differences < 0)  # against a conclusion below 1
    bias = bias_factor(strengths, 0.5 + differences, 0.5)
    median = np.array(surface["median"])
    # medians of two sets of 4,000 draws
    error = 4 * 1.25 * base["sd_log"] * math.sqrt(2 / 4000)
    np.testing.assert_allclose(np.log(median * bias), math.log(base["median"]), atol=error)
    turned = np.array(surface["turns_conclusion"])
    np.testing.assert_array_equal(turned, np.array(surface["prob_below_1"]) < 0.975)
    assert turned[-1, -1] and not turned[0, 0]
    assert surface["engine"] == "laplace" and surface["pareto_k"] < 0.7


def test_the_refit_lies_towards_no_effect_and_is_less_certain(found):
    base, latent = found["base"], found["unmeasured_confounding"]["latent"]
    assert latent["engine"] == "nuts" and latent["is_reliable"] and latent["r_hat"] < 1.01
    # one name of one thing
    assert "is_trustworthy" not in latent
    assert latent["mean_log"] > base["mean_log"] + 0.05
    assert latent["sd_log"] > base["sd_log"]
    # worse and better prevalence are those of the reference and of the treatment
    assert latent["prior"]["prevalence"] == [[0.3, 0.5], [0.1, 0.3]]


def test_an_interval_that_holds_1_needs_no_confounder(tmp_path):
    table = "latent_hazard_ratio = [1.0, 1.5]\nstrengths = [2.0]\ndifferences = [0.1]\n"
    part = run(tmp_path, 0.0, table)
    low, high = part["base"]["eti95"]
    assert low < 1 < high
    assert part["unmeasured_confounding"]["e_value_limit"] == 1.0
    assert part["unmeasured_confounding"]["e_value"] > 1
    assert "the 95% interval includes 1 without any" in part["unmeasured_confounding"]["sentence"]
    names = {
        path.name for kind in ("tables", "figures") for path in (tmp_path / "out" / kind).iterdir()
    }
    assert "unmeasured_confounding_surface.csv" in names
    # beside the part's own, the table of all parts
    names.discard("sensitivity_parts.csv")
    assert all(name.startswith("unmeasured_confounding") for name in names)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("strengths = [0]", "sensitivity.unmeasured_confounding.strengths"),
        ("differences = [0.1, 0.6]", "differences holds 0.6"),
        ("prevalence = 1.5", "sensitivity.unmeasured_confounding.prevalence"),
        ("latent_hazard_ratio = [4, 1]", "hazard ratio from 4 to 1 is impossible"),
        ("latent_prevalence_worse = [0.3]", "latent_prevalence_worse"),
    ],
)
def test_impossible_grids_and_beliefs_are_refused(table, words, tmp_path):
    done = call("sensitivity", write(tmp_path, -0.7, table), "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_an_undecided_result_is_not_turned_by_confounders_that_leave_it_undecided(tmp_path):
    rng = np.random.default_rng(1)
    table = pd.DataFrame(
        {"arm": np.arange(12) % 2, "months": rng.exponential(20, 12).round(2) + 0.1}
    ).assign(dead=(np.arange(12) < 5).astype(int))
    table.to_csv(tmp_path / "tiny.csv", index=False)
    (tmp_path / "tiny.toml").write_text(
        'title = "tiny"\n[data]\nsource = "tiny.csv"\ntime = "months"\nevent = "dead"\n'
        '[model]\ntreatment = "arm"\nreference = 0\n'
    )
    names = ("--only", "unmeasured_confounding", "--out", tmp_path / "out", "--jobs", 1)
    done = call("sensitivity", tmp_path / "tiny.toml", *names)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out" / "sensitivity.json").read_text())
    assert 0.025 < found["base"]["prob_below_1"] < 0.975
    surface = found["unmeasured_confounding"]["surface"]
    below = np.array(surface["prob_below_1"])
    turns = np.array(surface["turns_conclusion"])
    np.testing.assert_array_equal(turns, (below > 0.975) | (below < 0.025))
    assert not turns.all()
