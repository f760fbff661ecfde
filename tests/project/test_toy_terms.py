"""Terms with groups and with classes, registered here alone, are found wherever results are."""

import json
from functools import cache
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from slopes import log_density_slope
from toy_terms import TOY_SPEC, TOYS, Frailty, OverTime, Strata, simulated

import bayes_crlm as bc
from bayes_crlm.analysis.terms import TERMS
from bayes_crlm.cli import main
from bayes_crlm.figures import plot_hazard
from bayes_crlm.fit.sections import EFFECTS
from bayes_crlm.fit.tree import posterior_of
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.model.pymc_model import build_pymc_model
from bayes_crlm.sensitivity.missing.missing_data import design_of
from bayes_crlm.sensitivity.weighted_posterior import weighted_modes
from bayes_crlm.words.errors import SensitivityError

SPEC = f"""{TOY_SPEC}
[sampling]
draws = 500

"""
MODELS = {
    "frailty": (Frailty("centre", 0.8),),
    "over_time": (OverTime(0.7),),
    # with the walk of the baseline three unknown scales: NUTS alone
    "both": (Frailty("centre", 0.8), OverTime(0.7)),
}
SERVED = ("frailty", "over_time")


def model_of(name):
    return bc.PiecewiseExponential("arm", 0, "size", terms=MODELS[name])


@cache
def cohort_of(seed=1):
    return bc.read_cohort(simulated(seed), time="time", event="event")


@cache
def fitted(name, engine):
    return model_of(name).fit(cohort_of(), seed=1, draws=2000, engine=engine)


def named_draws(fit):
    """All log hazard ratios, logs of scales and log-hazards, and log survival under both levels."""
    of_terms = fit.inputs.values_of_terms(fit.values)
    survival = np.log(fit.survival_draws([6.0, 18.0]).values).reshape(len(fit.effect_draws), -1)
    return np.column_stack(
        [fit.log_hazard_ratio_values, *of_terms.values(), fit.log_hazard_draws, survival]
    )


@pytest.mark.parametrize("name", SERVED)
def test_both_engines_draw_from_the_same_posterior(name):
    quick, slow = (named_draws(fitted(name, engine)) for engine in ("laplace", "nuts"))
    assert fitted(name, "laplace").engine == "laplace"
    spread = slow.std(axis=0)
    np.testing.assert_allclose(quick.mean(axis=0), slow.mean(axis=0), atol=0.1 * spread.max())
    assert np.all(np.abs(quick.mean(axis=0) - slow.mean(axis=0)) < 0.1 * spread)
    assert np.all(np.abs(quick.std(axis=0) / spread - 1) < 0.12)


@pytest.mark.parametrize("name", MODELS)
def test_three_densities_have_the_toy_terms(name):
    inputs = model_of(name).prepare(cohort_of())
    written = build_pymc_model(inputs)
    point, vector = written.initial_point(), []
    for key, value in point.items():
        point[key] = np.full(np.shape(value), 0.03 * (len(vector) + 1))
        vector += np.ravel(point[key]).tolist()
    expected = float(written.compile_logp(mode="FAST_COMPILE")(point))
    assert log_density_slope(np.array(vector), inputs.block_model)[0] == pytest.approx(expected)
    native = native_density(inputs.density_data, inputs.blocks)
    assert native.value_and_slope(np.array(vector))[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", SERVED)
def test_a_tree_has_labels_prior_draws_and_leave_one_out(name):
    fit = fitted(name, "laplace")
    tree = posterior_of(fit)
    values = tree["posterior"][name]
    assert values.dims[:2] == ("chain", "draw")
    assert len(tree["posterior"][values.dims[2]]) == values.shape[2]
    assert {f"{name}_scale", f"{name}_unit", "log_hazard"} <= set(tree["prior"].data_vars)
    assert float(tree["prior"][f"{name}_scale"].mean()) == pytest.approx(
        {"frailty": 0.8, "over_time": 0.7}[name] * np.sqrt(2 / np.pi), rel=0.1
    )
    assert np.isfinite(fit.diagnose().elpd_loo)


def test_survival_under_a_level_has_the_hazards_of_its_class():
    fit = fitted("over_time", "laplace")
    inputs, at = fit.inputs, fit.hazards.mean()
    assert inputs.data.n_classes == 2
    # by hand: each patient's own columns under a level, and the hazards of the level's class
    curves = fit.survival_draws([12.0]).values.mean(axis=0)[:, 0]
    edges = np.minimum(inputs.intervals.cutpoints, 12.0)
    for level in range(2):
        columns = inputs.data.design[inputs.design.first_row].copy()
        columns[:, 0] = inputs.design.treatment_contrast(level)[0]
        cumulative = np.exp(at.cells[0, level]) @ np.diff(edges)
        expected = np.exp(-cumulative * np.exp(columns @ at.effect[0])).mean()
        assert curves.reshape(-1)[level] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("engine", ["laplace", "nuts"])
def test_every_stratum_has_a_baseline_in_table_and_figure(engine):
    table = simulated()
    table["ward"] = np.where(table["centre"] < "C2", "north", "south")
    cohort = bc.read_cohort(table, time="time", event="event")
    model = bc.PiecewiseExponential("arm", 0, "size", cutpoints=4, terms=(Strata("ward"),))
    fit = model.fit(cohort, seed=1, draws=500, engine=engine)
    assert fit.engine == engine
    found = fit.log_hazard()
    assert found["stratum"].tolist() == ["north"] * 4 + ["south"] * 4
    assert found["interval"].tolist() == [1, 2, 3, 4] * 2
    assert found["to"].iloc[-1] == cohort.time.max()
    np.testing.assert_allclose(found["mean"], fit.hazards.cells.mean(axis=0).ravel())
    # each is near the rate that its own rows have
    for ward, own in found.groupby("stratum"):
        rows = (table["ward"] == ward).to_numpy()
        rate = np.log(cohort.event[rows].sum() / cohort.time[rows].sum())
        assert own["mean"].mean() == pytest.approx(rate, abs=0.6)
    ax = plot_hazard(fit)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["north", "south"]
    (section,) = [each for each in fit.sections().values() if each.key == "log_hazard"]
    assert [row["stratum"] for row in section.rows[0].rows][::4] == ["north", "south"]


def test_a_model_that_the_engine_does_not_serve_goes_to_nuts_and_says_so():
    fit = model_of("both").fit(cohort_of(), seed=1, draws=200, tune=200, engine="laplace")
    assert fit.engine == "nuts"
    assert any("NUTS was used instead" in note for note in fit.notes)


OF_KINDS = {
    "groups": (Frailty("centre", 0.8),),
    "classes": (OverTime(0.7),),
    "strata": (Strata("centre"),),
}


@pytest.mark.parametrize("name", OF_KINDS)
def test_rows_with_weights_refuse_terms_with_classes_or_groups(name):
    model = bc.PiecewiseExponential("arm", 0, "size", cutpoints=3, terms=OF_KINDS[name])
    inputs = model.prepare(cohort_of())
    with pytest.raises(SensitivityError, match="without terms that have groups or hazards of"):
        weighted_modes(inputs, np.ones((1, inputs.cohort.n_rows)))


@pytest.mark.parametrize("name", OF_KINDS)
def test_imputation_refuses_terms_with_classes_or_groups(name):
    table = simulated()
    table.loc[::9, "size"] = np.nan
    cohort = bc.read_cohort(table, time="time", event="event", missing="drop")
    model = bc.PiecewiseExponential("arm", 0, "size", cutpoints=3, terms=OF_KINDS[name])
    plan = SimpleNamespace(model=model, full_cohort=cohort, inputs=model.prepare(cohort))
    with pytest.raises(SensitivityError, match="without terms that have groups or hazards of"):
        design_of(plan)
    plain = bc.PiecewiseExponential("arm", 0, "size", cutpoints=3)
    without = SimpleNamespace(model=plain, full_cohort=cohort, inputs=plain.prepare(cohort))
    assert design_of(without).covariates[0].column == "size"


@pytest.fixture
def known(monkeypatch):
    for name, toy in TOYS.items():
        monkeypatch.setitem(TERMS, name, toy.term.of_table)
        monkeypatch.setitem(EFFECTS, name, toy.sections)


def written_spec(folder, *names):
    simulated().to_csv(folder / "cohort.csv", index=False)
    spec = folder / "toy.toml"
    spec.write_text(SPEC + "\n\n".join(TOYS[name].table for name in names), encoding="utf-8")
    return spec


@pytest.mark.parametrize(
    ("name", "engine"), [("frailty", "laplace"), ("frailty", "nuts"), ("over_time", "laplace")]
)
def test_toy_terms_are_found_wherever_results_are(known, tmp_path, capfd, name, engine):
    spec, out = written_spec(tmp_path, name), tmp_path / "out"
    assert main(["check", str(spec)]) == 0
    assert TOYS[name].term.of_table({"column": "centre", "scale": 0.8}).describe()[:20] in " ".join(
        capfd.readouterr().out.split()
    )
    assert main(["run", str(spec), "--engine", engine, "--out", str(out)]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["provenance"]["engine"] == engine
    rows = summary[name]
    assert rows[0]["value"] == f"{name}_scale"
    assert rows[0]["eti95"][0] < {"frailty": 0.6, "over_time": 0.8}[name] < rows[0]["eti95"][1]
    assert f"{name}_scale {rows[0]['ratio']:.2f}" in printed
    assert f"{name}_scale ~ half_normal" in summary["model"]["priors"][name]
    table = pd.read_csv(out / "tables" / f"{name}.csv")
    np.testing.assert_allclose(table["ratio"], [row["ratio"] for row in rows])
    assert (out / "figures" / f"{name}.svg").stat().st_size > 1000
    report = (out / "report.html").read_text(encoding="utf-8")
    assert f'id="figure-{name}"' in report and f"{name}:</strong> " in report
    assert f"[{name}]" in (out / "spec.toml").read_text(encoding="utf-8")


def test_check_says_which_models_go_to_nuts(known, tmp_path, capfd):
    spec = written_spec(tmp_path, "frailty", "over_time")
    assert main(["check", str(spec)]) == 0
    printed = " ".join(capfd.readouterr().out.split())
    assert "engine laplace does not serve" in printed or "engine laplace serves" in printed


@pytest.mark.parametrize("name", SERVED)
def test_fits_of_many_cohorts_have_rows_of_toy_terms(name):
    cohorts = [cohort_of(seed) for seed in (1, 2)]
    many = bc.fit_many(model_of(name), cohorts, seeds=1, draws=2000)
    assert many.cohorts["is_trustworthy"].all()
    found = many.terms[many.terms["number"] == 0].set_index("term")
    fit = fitted(name, "laplace")
    own = fit.inputs.values_of_terms(fit.values) | {"arm[T.1]": fit.log_hazard_ratio_values[:, 0]}
    assert set(own) <= set(found.index)
    for key, draws in own.items():
        assert found.loc[key, "mean_log"] == pytest.approx(draws.mean(), abs=0.15 * draws.std())
        assert found.loc[key, "sd_log"] == pytest.approx(draws.std(), rel=0.15)
    assert np.isfinite(found.loc["arm[T.1]", "cox_log_hr"])
    assert np.isnan(found.loc[f"{name}_scale", "cox_log_hr"])


def test_fits_of_many_cohorts_say_why_a_model_is_not_served():
    many = bc.fit_many(model_of("both"), [cohort_of()], seeds=1)
    assert not many.cohorts["is_fitted"][0]
    assert "engine laplace" in many.cohorts["reason"][0]
