"""The part `power_scaling`: scaled posteriors agree with refits, and conflicts are called so."""

import json
import math
from types import SimpleNamespace

import arviz_stats as azs
import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity.priors.power_scaling import (
    is_near,
    possible_changes_in_words,
    quantities,
    quantity_in_words,
    scaled_effects,
)
from bayes_crlm.sensitivity.verdicts import Judge
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
covariates = "age"
[model.baseline]
cutpoints = 3
prior = "independent"
[model.priors]
treatment = "PRIOR"
[sampling]
draws = 2000
[estimands]
horizons = [6, 12]
rmst = 12
"""


def table_of():
    rng = np.random.default_rng(5)
    arm = np.arange(120) % 2
    age = rng.normal(60, 10, 120).round()
    death = rng.exponential(15 * np.exp(0.8 * arm - 0.02 * (age - 60)))
    return pd.DataFrame(
        {"arm": arm, "age": age, "months": np.minimum(death, 30), "dead": (death < 30).astype(int)}
    )


def run(folder, prior, extra="", table=None, only="power_scaling"):
    (table_of() if table is None else table).to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC.replace("PRIOR", prior) + extra)
    done = call("sensitivity", folder / "small.toml", "--only", only, "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return run(tmp_path_factory.mktemp("power"), "normal(0, 1)")


@pytest.mark.parametrize("power", [0.5, 2.0])
def test_a_prior_to_a_power_is_the_refit_under_the_narrower_prior(found, power):
    (row,) = [
        row
        for row in found["power_scaling"]["scaled"]
        if row["scaled"] == "treatment prior" and row["power"] == power
    ]
    model = PiecewiseExponential(
        "arm",
        0,
        "age",
        cutpoints=3,
        baseline="independent",
        # a normal density to a power is normal with so much less variance
        treatment_prior=f"normal(0, {power**-0.5})",
    )
    cohort = read_cohort(table_of(), time="months", event="dead")
    fit = model.fit(cohort, engine="laplace", draws=5000, chains=4, seed=1)
    expected = fit.hazard_ratios().iloc[0]
    error = 4 * 1.25 * expected["sd_log"] * math.sqrt(1 / row["ess"] + 1 / 20_000)
    assert row["is_reliable"]
    assert abs(math.log(row["median"] / expected["median"])) < error


def test_every_effect_and_estimand_has_both_sensitivities(found):
    rows = found["power_scaling"]["rows"]
    names = [row["quantity"] for row in rows]
    assert names[0].startswith("log_hazard_ratio[arm")
    for name in ("log_hazard_ratio[age]", "rmst[0]", "rmst_difference[1]"):
        assert name in names
    assert sum(name.startswith("survival_difference") for name in names) == 2
    assert all(row["prior"] >= 0 and row["likelihood"] > 0 for row in rows)
    # with 100 deaths and a wide prior the data decide
    assert rows[0]["verdict"] == "the data decide it"
    # the effect of age does not lean on the prior of the treatment's effect
    age = rows[names.index("log_hazard_ratio[age]")]
    assert age["treatment_prior"] < age["covariates_prior"]
    # median survival is beyond follow-up in some draws, which is said
    assert not any(name.startswith("median_survival") for name in names)
    assert any("median survival" in note for note in found["power_scaling"]["notes"])


def test_rows_say_which_fit_they_come_from(found):
    for row in found["power_scaling"]["scaled"]:
        assert row["engine"] == "laplace" and row["fit_pareto_k"] < 0.7


@pytest.mark.parametrize(
    ("scaled", "power", "near", "would"),
    [
        ("treatment prior", 0.8, True, None),
        ("treatment prior", 1.25, True, None),
        ("treatment prior", 0.5, False, "the treatment's prior to the power of 0.5"),
        # twice the likelihood is twice the cohort, which decides what is undecided
        ("likelihood", 1.25, False, None),
        ("likelihood", 2.0, False, None),
    ],
)
def test_only_powers_of_the_prior_near_1_move_the_conclusion(scaled, power, near, would):
    row = {"scaled": scaled, "power": power, "prob_below_1": 0.98, "is_reliable": True}
    assert is_near(row) is near
    assert possible_changes_in_words(Judge({"prob_below_1": 0.90}), [row]) == would


@pytest.mark.parametrize(
    ("name", "unit", "said"),
    [
        ("log_hazard_ratio[arm=1]", "months", "the log hazard ratio of arm=1"),
        ("survival[early, local, 60.0]", "months", "survival at 60 months with early, local"),
        (
            "survival_difference[neoadjuvant_local, 60.0]",
            None,
            "the difference in survival at time 60 with neoadjuvant_local",
        ),
        ("rmst[0]", "months", "restricted mean survival with 0"),
        ("rmst_difference[1]", None, "the difference in restricted mean survival with 1"),
        ("median_survival[x[1]]", None, "median survival with x[1]"),
    ],
)
def test_quantities_are_told_in_words(name, unit, said):
    assert quantity_in_words(name, unit) == said


def test_every_quantity_of_an_analysis_has_words(found):
    names = [row["quantity"] for row in found["power_scaling"]["rows"]]
    assert not any("_" in quantity_in_words(name, "months") for name in names)


def test_with_more_than_two_treatments_notes_say_that_the_prior_is_of_every_contrast(tmp_path):
    table = table_of().assign(arm=np.arange(120) % 3)
    parts = ("power_scaling", "reverse_bayes")
    powers = "[sensitivity.power_scaling]\npowers = [0.5, 2.0]\n"
    found = run(tmp_path, "normal(0, 1)", powers, table, only=",".join(parts))
    for part in parts:
        assert any("both contrasts of arm against 0" in note for note in found[part]["notes"])
    # nothing near 1 was asked for, so that nothing says whether the conclusion holds
    assert found["power_scaling"]["moves"] is None


def test_with_two_treatments_no_note_speaks_of_contrasts(found):
    assert not any("contrasts" in note for note in found["power_scaling"]["notes"])


def test_a_prior_against_the_data_is_called_a_conflict(tmp_path):
    found = run(tmp_path, "normal(1, 0.25)")
    row = found["power_scaling"]["rows"][0]
    assert row["prior"] > 0.05
    assert row["likelihood"] > 0.05
    assert row["verdict"] == "prior and data may be in conflict"
    assert "conflict" in found["power_scaling"]["sentence"]
    # nearly all of the sensitivity is to the treatment's own prior
    assert row["treatment_prior"] > 5 * max(row["covariates_prior"], row["baseline_prior"])


def test_the_likelihood_is_that_of_all_patients_where_the_tree_holds_a_sample(monkeypatch):
    """A large cohort's tree keeps the likelihoods of some patients alone."""
    rng = np.random.default_rng(1)
    arm = np.arange(600) % 2
    death = rng.exponential(20 * np.exp(0.35 * arm))
    table = pd.DataFrame(
        {"arm": arm, "months": np.minimum(death, 40), "dead": (death < 40).astype(int)}
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("arm", 0, "", cutpoints=4, baseline="independent")
    found = []
    for most in (10_000, 100):
        monkeypatch.setattr("bayes_crlm.fit.tree.PATIENTS_MOST", most)
        monkeypatch.setattr("bayes_crlm.fit.tree.PATIENTS_SAMPLED", 100)
        fit = model.fit(cohort, seed=1, engine="laplace", draws=1000, chains=4)
        context = SimpleNamespace(
            rule=SuccessRule(),
            level=1,
            plan=SimpleNamespace(
                inputs=fit.inputs,
                spec=SimpleNamespace(estimands=SimpleNamespace(horizons=(12.0,), rmst=None)),
            ),
        )
        tree, _ = quantities(context, fit)
        summary = azs.psense_summary(tree, var_names=["log_hazard_ratio"], round_to=6)
        found.append((scaled_effects(context, fit, tree, (0.8, 1.25, 2.0)), summary))
    assert fit.posterior["log_likelihood"].sizes["patient"] == 100
    assert found[0][0] == found[1][0]
    pd.testing.assert_frame_equal(found[0][1], found[1][1])
    # twice the likelihood is every patient twice
    twice = read_cohort(pd.concat([table, table]), time="months", event="dead")
    expected = model.fit(twice, seed=2, engine="laplace", draws=1000, chains=4)
    expected = expected.hazard_ratios().iloc[0]
    (row,) = [row for row in found[1][0] if row["scaled"] == "likelihood" and row["power"] == 2.0]
    error = 4 * 1.25 * expected["sd_log"] * math.sqrt(1 / row["ess"] + 1 / 4000)
    assert abs(math.log(row["median"] / expected["median"])) < error + 0.1 * expected["sd_log"]
    width = [
        math.log(high / low)
        for low, high in (row["eti95"], (expected["eti95_low"], expected["eti95_high"]))
    ]
    assert width[0] == pytest.approx(width[1], rel=0.1)


@pytest.mark.parametrize("line", ["threshold = 0", "powers = [-1]", "powers = []"])
def test_impossible_settings_are_refused(line, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    text = SPEC.replace("PRIOR", "normal(0, 1)") + f"[sensitivity.power_scaling]\n{line}\n"
    (tmp_path / "small.toml").write_text(text)
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert "sensitivity.power_scaling" in done.stderr
