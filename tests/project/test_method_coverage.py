"""Simulated cohorts of the benchmarks: what is stored is used only where nothing has changed."""

import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# of each script: constants that its cohorts and their fits depend on
CONSTANTS = {
    "overlap": (
        *("N_PATIENTS", "SEED", "COVARIATES", "DEATH", "TREATED", "CENTRE", "MEDIAN_SURVIVAL"),
    ),
    "immortal_time": (
        *("N_PATIENTS", "SEED", "COVARIATES", "DEATH", "START", "CENTRE", "FIRST_START"),
        *("LAST_START", "MEDIAN_SURVIVAL", "SHAPE", "SCENARIOS"),
    ),
    "imputation": (
        *("N_PATIENTS", "SEED", "COVARIATES", "EFFECT", "DEATH", "MEDIAN_SURVIVAL", "EARLY"),
        *("MISSING_EARLY", "MISSING_OTHERS"),
    ),
    "latent_confounder": (
        *("SEED", "HAZARD_RATIO", "CONFOUNDER", "PREVALENCE", "BELIEFS", "FEW_DRAWS"),
    ),
}


@pytest.fixture(scope="module", autouse=True)
def benchmarks_on_path():
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def shared():
    return importlib.import_module("method_coverage")


def row(low, high, **more):
    median = (low * high) ** 0.5
    return {
        "method": "weighted",
        "median": median,
        "eti95": [low, high],
        "mean_log": float(np.log(median)),
        "sd_log": 0.2,
        "failure": None,
    } | more


def test_a_stopped_run_goes_on_unless_settings_or_package_are_others(shared, tmp_path, monkeypatch):
    fitted = []

    def fit(number):
        fitted.append(number)
        return [row(0.5, 2.0)]

    settings = {"prevalence": {0: 0.5, 1: 0.2}, "beliefs": (0.1, 0.9)}
    run = shared.fit_cohorts
    run(fit, 2, tmp_path / "found.json", settings)
    run(fit, 3, tmp_path / "found.json", settings)
    assert fitted == [0, 1, 2]
    run(fit, 1, tmp_path / "found.json", settings | {"beliefs": (0.2, 0.9)})
    assert fitted == [0, 1, 2, 0]
    source = shared.code_in_use() | {"bayes_crlm's source": "another"}
    monkeypatch.setattr(shared, "code_in_use", lambda: source)
    run(fit, 1, tmp_path / "found.json", settings | {"beliefs": (0.2, 0.9)})
    assert fitted == [0, 1, 2, 0, 0]


@pytest.mark.parametrize(
    ("script", "constant"), [(name, each) for name, some in CONSTANTS.items() for each in some]
)
def test_every_constant_of_a_simulation_is_a_setting_of_its_cohorts(script, constant, monkeypatch):
    module = importlib.import_module(script)
    arguments = ("rare",) if script == "latent_confounder" else ()
    before = json.dumps(module.stored_settings(*arguments))
    monkeypatch.setattr(module, constant, "another")
    assert json.dumps(module.stored_settings(*arguments)) != before


def test_rows_that_are_not_reliable_are_counted_apart(shared):
    rows = [
        *(row(0.5, 2.0), row(0.6, 1.8), row(1.2, 3.0)),
        *(row(0.5, 2.0, is_reliable=False), row(1.1, 1.2, is_reliable=False)),
        row(0.5, 2.0, failure="too few events"),
    ]
    cohorts = [{"methods": {"weighted": shared.summary(each)}} for each in rows]
    found, apart = shared.method_coverage(cohorts, "weighted", 0.0)
    assert (found.n_covered, found.n_cohorts) == (2, 3)
    assert apart == "1 fit failed; 2 not reliable, of which 1 cover"
    line = shared.table_lines(cohorts, {"weighted": "weighted"}, {"weighted": 0.0})[-1]
    assert f"2/3 = 66.7% ({apart})" in line
