"""`summary.json` holds what the contract says, as JSON numbers."""

import math

import numpy as np
import pandas as pd
import pytest
import runs
import xarray as xr

from bayes_crlm.analysis.summary import to_json_value

nasty_run, rows_run = runs.nasty_run, runs.rows_run
synthetic_run, short_run = runs.synthetic_run, runs.short_run

NUMBER = (int, float)
LIMITS = [NUMBER, NUMBER]
EFFECT = {
    "term": str,
    "median": NUMBER,
    "mean_log": NUMBER,
    "sd_log": NUMBER,
    "mcse_mean_log": NUMBER,
    "eti95": LIMITS,
    "prob_below": dict,
    "ess_bulk": NUMBER,
    "ess_tail": NUMBER,
    "r_hat": NUMBER,
}
CONTRACT = {
    "schema_version": int,
    "title": str,
    "status": str,
    "warnings": list,
    "data": {
        "source": str,
        "synthetic": bool,
        "sha256": str,
        "n_patients": int,
        "n_rows": int,
        "n_events": int,
        "exposure": NUMBER,
        "n_dropped": int,
        "dropped_why": dict,
    },
    "model": {
        "formula": str,
        "treatment": str,
        "cutpoints": list,
        "events_per_interval": list,
        "baseline": str,
        "priors": {"treatment": str, "covariates": str, "baseline": str},
        "terms": list,
    },
    "hazard_ratios": [EFFECT],
    "coefficients": [EFFECT],
    "log_hazard": [
        {
            "interval": int,
            "from": NUMBER,
            "to": NUMBER,
            "mean": NUMBER,
            "sd": NUMBER,
            "eti95": LIMITS,
        }
    ],
    "cox": {
        "ties": str,
        "terms": [
            {
                "term": str,
                "coef": NUMBER,
                "se": NUMBER,
                "hazard_ratio": NUMBER,
                "ci95": LIMITS,
                "p": NUMBER,
            }
        ],
        "concordance": NUMBER,
        "ph_test": [{"term": str, "p": NUMBER}],
    },
    "agreement": [
        {
            "term": str,
            "difference_in_log_hr": NUMBER,
            "difference_in_se": NUMBER,
            "width_ratio": NUMBER,
            "verdict": str,
        }
    ],
    "diagnostics": {
        "max_r_hat": NUMBER,
        "min_ess_bulk": NUMBER,
        "min_ess_tail": NUMBER,
        "divergences": int,
        "min_bfmi": NUMBER,
        "elpd_loo": NUMBER,
        "elpd_loo_se": NUMBER,
        "p_loo": NUMBER,
        "max_pareto_k": NUMBER,
        "n_high_pareto_k": int,
    },
    "estimands": {
        "median_survival": [{"eti95": list}],
        "survival": [{"time": NUMBER, "mean": NUMBER, "eti95": LIMITS}],
        "rmst": [{"horizon": NUMBER, "mean": NUMBER, "eti95": LIMITS}],
        "differences": [
            {
                "estimand": str,
                "time": NUMBER,
                "mean": NUMBER,
                "eti95": LIMITS,
                "prob_above_0": NUMBER,
            }
        ],
    },
    "provenance": {
        "bayes_crlm": str,
        "python": str,
        "packages": dict,
        "seed": int,
        "engine": str,
        "started": str,
        "seconds": dict.fromkeys(
            ("import", "compile", "sample", "posterior", "diagnostics", "total"), NUMBER
        ),
    },
}


def holds(value, shape, where="summary"):
    """Assert that a value has the contract's keys and types."""
    if isinstance(shape, dict):
        assert isinstance(value, dict), where
        for key, each in shape.items():
            assert key in value, f"{where}.{key} is missing"
            holds(value[key], each, f"{where}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), where
        assert value, f"{where} is empty"
        each = (
            shape if len(shape) == len(value) == 2 and shape is LIMITS else shape[:1] * len(value)
        )
        for k, (part, part_shape) in enumerate(zip(value, each, strict=True)):
            holds(part, part_shape, f"{where}[{k}]")
    else:
        assert isinstance(value, shape), f"{where} is {value!r}"
        assert isinstance(value, bool) is (shape is bool), f"{where} is {value!r}"


@pytest.mark.parametrize("name", ["nasty_run", "rows_run", "synthetic_run"])
def test_every_key_of_the_contract_is_there_with_its_type(name, request):
    run = request.getfixturevalue(name)
    assert run.status == 0, run.output + run.errors
    summary = run.summary
    holds(summary, CONTRACT)
    assert summary["schema_version"] == 1
    assert summary["status"] == "ok"
    n_terms = len(summary["model"]["terms"])
    for part in ("coefficients", "agreement"):
        assert [row["term"] for row in summary[part]] == summary["model"]["terms"]
    assert len(summary["cox"]["terms"]) == n_terms
    for row in summary["agreement"]:
        assert row["verdict"] in ("agree", "differ")
        assert (row["reason"] is None) == (row["verdict"] == "agree")


def test_one_hazard_ratio_for_each_level_but_the_reference(nasty_run):
    summary = nasty_run.summary
    ratios = summary["hazard_ratios"]
    assert summary["model"]["reference"] == runs.LEVELS[0]
    assert {row["treatment"] for row in ratios} == set(runs.LEVELS[1:])
    assert {row["reference"] for row in ratios} == {runs.LEVELS[0]}
    for row, coefficient in zip(ratios, summary["coefficients"], strict=False):
        assert row["term"] == coefficient["term"]
        assert math.isclose(row["median"], math.exp(coefficient["median"]), rel_tol=1e-3)
        assert np.allclose(row["eti95"], np.exp(coefficient["eti95"]))
        assert row["mean_log"] == coefficient["mean_log"]
        assert row["eti95"][0] < row["median"] < row["eti95"][1]
        assert list(row["prob_below"]) == ["1.0", "0.8", "0.5"]
        below = list(row["prob_below"].values())
        assert 0 <= below[2] <= below[1] <= below[0] <= 1


def test_counts_add_up(nasty_run, rows_run, synthetic_run):
    for run in (nasty_run, rows_run, synthetic_run):
        model, data = run.summary["model"], run.summary["data"]
        assert sum(model["events_per_interval"]) == data["n_events"]
        assert len(model["cutpoints"]) == len(model["events_per_interval"]) + 1
        assert model["cutpoints"][0] == 0
        assert len(run.summary["log_hazard"]) == len(model["events_per_interval"])


def test_those_left_out_are_counted_with_their_reason(nasty_run):
    data = nasty_run.summary["data"]
    table = runs.simulate()
    assert data["n_patients"] == len(table) - 5
    assert data["n_dropped"] == 2
    (reason,) = data["dropped_why"]
    assert runs.COVARIATE in reason
    assert list(data["excluded_why"].values()) == [3]
    assert any("left out" in warning for warning in nasty_run.summary["warnings"])


def test_the_synthetic_cohort_is_called_so(synthetic_run, nasty_run):
    summary = synthetic_run.summary
    assert summary["data"]["source"] == "crlm-synthetic"
    assert summary["data"]["synthetic"] is True
    assert "synthetic, not patient data" in summary["warnings"]
    assert summary["data"]["n_patients"] == 135
    assert nasty_run.summary["data"]["synthetic"] is False


def test_rows_of_a_patient_are_one_patient(rows_run):
    table = runs.simulate_rows()
    data = rows_run.summary["data"]
    assert data["n_rows"] == len(table)
    assert data["n_patients"] == table["patient"].nunique() < len(table)
    assert data["n_events"] == table["dead"].sum()
    assert math.isclose(data["exposure"], (table["stop"] - table["start"]).sum())
    assert rows_run.summary["diagnostics"]["max_pareto_k"] < 1


def test_cox_of_rows_is_that_of_the_survival_package(rows_run):
    from survival import coxph

    table = runs.simulate_rows()
    fit = coxph("Surv(start, stop, dead) ~ local + age", data=table)
    terms = rows_run.summary["cox"]["terms"]
    assert np.allclose([term["coef"] for term in terms], np.asarray(fit.coefficients), atol=1e-6)


def test_a_run_of_four_draws_says_first_not_to_trust_it(short_run):
    summary = short_run.summary
    assert short_run.status == 3
    assert summary["status"] == "untrustworthy"
    assert (
        summary["warnings"][: len(summary["diagnostics"]["failures"])]
        == (summary["diagnostics"]["failures"])
    )
    after_sampling = short_run.output.split("Sampling")[1].splitlines()[1:]
    assert next(line for line in after_sampling if line) == "DO NOT TRUST THESE RESULTS"
    assert "The first approximation above is withdrawn with the answers." in short_run.output
    assert short_run.errors == ""
    with xr.open_dataset(short_run.folder / "posterior.nc", group="posterior") as draws:
        assert draws.attrs["status"] == "untrustworthy"
        assert "no answer is given" in draws.attrs["withdrawn"]


def test_values_that_are_no_json_become_values_that_are():
    values = {
        1.0: np.float64(0.5),
        "a": np.array([1, 2]),
        "b": (np.nan, math.inf, np.int64(3)),
        "c": np.bool_(True),
    }
    assert to_json_value(values) == {
        "1.0": 0.5,
        "a": [1, 2],
        "b": [None, None, 3],
        "c": True,
    }


def test_tables_repeat_the_summary(nasty_run):
    table = pd.read_csv(nasty_run.folder / "tables" / "hazard_ratios.csv")
    rows = nasty_run.summary["hazard_ratios"]
    assert list(table["term"]) == [row["term"] for row in rows]
    assert np.allclose(table["median"], [row["median"] for row in rows])
    cox = pd.read_csv(nasty_run.folder / "tables" / "cox.csv")
    assert list(cox["term"]) == nasty_run.summary["model"]["terms"]
