"""The part `influence`: the patients that it names really turn the conclusion."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm import PiecewiseExponential, read_cohort

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
id = "patient"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = ""
[model.baseline]
cutpoints = 3
prior = "gamma"
[sensitivity]
parts = ["influence"]
"""
MODEL = PiecewiseExponential("arm", 0, "", cutpoints=3, baseline="gamma")


def table_of():
    rng = np.random.default_rng(8)
    arm = np.arange(60) % 2
    death = rng.exponential(20 * np.exp(0.9 * arm))
    return pd.DataFrame(
        {
            "patient": [f"p{k:02d}" for k in range(60)],
            "arm": arm,
            "months": np.minimum(death, 40).round(2) + 0.01,
            "dead": (death < 40).astype(int),
        }
    )


def refit(table):
    cohort = read_cohort(table, id="patient", time="months", event="dead")
    return MODEL.fit(cohort, engine="laplace", draws=2000, chains=2, seed=11)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("influence")
    table_of().to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC)
    done = call("sensitivity", folder / "small.toml", "--out", folder / "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())


def test_the_named_patients_really_turn_the_conclusion(found):
    part, table = found["influence"], table_of()
    index = part["fragility_index"]
    named = part["fragility_patients"]
    assert found["base"]["prob_below_1"] > 0.95
    assert index == len(set(named)) >= 1
    probability = [
        float(refit(table[~table["patient"].isin(gone)]).hazard_ratios().iloc[0]["prob_below_1.0"])
        for gone in ([], named)
    ]
    assert probability[0] > 0.95 >= probability[1]
    events = table.set_index("patient").loc[named, "dead"].sum()
    assert part["fragility_events"] == events
    # every step moves the result the same way, and one patient fewer does not turn it
    below = [row["prob_below_1"] for row in part["worst"]]
    assert below == sorted(below, reverse=True)
    assert all(each > 0.95 for each in below[:-1])


def test_every_patient_is_left_out_once_and_exactly(found):
    rows, table = found["influence"]["rows"], table_of()
    assert [row["patient"] for row in rows] == table["patient"].tolist()
    medians = [row["median"] for row in rows]
    assert found["influence"]["median_range"] == [min(medians), max(medians)]
    worst = rows[int(np.argmax(medians))]
    fit = refit(table[table["patient"] != worst["patient"]])
    expected = fit.hazard_ratios().iloc[0]
    # 2,000 and 4,000 draws
    error = 4 * 1.25 * expected["sd_log"] * math.sqrt(1 / 2000 + 1 / 4000)
    assert abs(math.log(worst["median"] / expected["median"])) < error
    assert worst["n_patients"] == 59


def test_leave_one_out_from_one_fit_ranks_patients_as_refits_do(found):
    rows, base = found["influence"]["rows"], found["base"]
    exact = [(row["mean_log"] - base["mean_log"]) / base["sd_log"] for row in rows]
    shift = [row["loo_shift"] for row in rows]
    assert all(row["loo_shift_pareto_k"] < 0.7 for row in rows)
    assert abs(np.corrcoef(np.abs(exact), np.abs(shift))[0, 1]) > 0.9


@pytest.mark.parametrize("line", ["worst = 0", "worst = 1.5", "candidates = 'all'"])
def test_impossible_numbers_are_refused(line, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(f"{SPEC}[sensitivity.influence]\n{line}\n")
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert "sensitivity.influence" in done.stderr


def test_the_first_sentence_says_how_many_patients_would_turn_it(found):
    """One patient may move it; if none does, that several would is said apart."""
    part, index = found["influence"], found["influence"]["fragility_index"]
    told = found["conclusion"]
    if part["moves"]:
        assert index == 1
        assert "influence" in told["moved_by"]
    else:
        assert told["would_be_moved_by"] == [f"leaving out {index} patients"]
        assert f"leaving out {index} patients" in told["sentence"]
