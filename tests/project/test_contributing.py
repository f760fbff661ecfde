"""The worked examples of CONTRIBUTING: one file each, and found wherever results are shown."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from slopes import log_density_slope
from toy_terms import TOY_SPEC

import bayes_crlm as bc
from bayes_crlm.analysis.terms import TERMS
from bayes_crlm.cli import main
from bayes_crlm.cli.command_line import COMMANDS
from bayes_crlm.fit.findings import Asked, Findings
from bayes_crlm.fit.sections import EFFECTS, ESTIMANDS
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.model.pymc_model import build_pymc_model
from bayes_crlm.sensitivity import registry, settings

ROOT = Path(__file__).parents[2]
PARTS = (*registry.PARTS, "other_effect")
SPEC = f"""{TOY_SPEC}
[linear]
column = "dose"
prior = "normal(0, 0.5)"
"""
SLOPE, N = 0.6, 300


def examples():
    """Modules of the worked examples by name, each from its block of code."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    made = {}
    for code in re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL):
        path = code.splitlines()[0].removeprefix("# ")
        module = ModuleType(path.removesuffix(".py").replace("/", "."))
        sys.modules[module.__name__] = module
        exec(compile(code, path, "exec"), module.__dict__)
        made[Path(path).stem, Path(path).parent.name] = module
    return made


@pytest.fixture
def known(monkeypatch):
    """The lines that make the examples known; undone afterwards."""
    before = set(sys.modules)
    made = examples()
    monkeypatch.setitem(TERMS, "linear", made["linear", "terms"].Linear.of_table)
    monkeypatch.setitem(EFFECTS, "linear", made["linear", "effects"].sections)
    monkeypatch.setitem(ESTIMANDS, "odds", made["odds", "estimands"].sections)
    monkeypatch.setitem(COMMANDS, "unit", made["unit", "cli"])
    line = ("choices.other_effect", "another effect")
    monkeypatch.setitem(registry.REGISTRY, "other_effect", line)
    monkeypatch.setitem(registry.TITLES, "other_effect", line[1])
    monkeypatch.setattr(registry, "PARTS", PARTS)
    monkeypatch.setattr(settings, "PARTS", PARTS)
    yield made
    for name in set(sys.modules) - before:
        if name in {module.__name__ for module in made.values()}:
            del sys.modules[name]


def simulated(seed=1):
    """A cohort whose log hazard rises by `SLOPE` with every unit of dose."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"arm": rng.integers(0, 2, N), "size": rng.normal(size=N), "dose": rng.normal(size=N)}
    )
    rate = 0.1 * np.exp(SLOPE * table["dose"] - 0.5 * table["arm"])
    time = rng.exponential(1 / rate)
    return table.assign(time=np.minimum(time, 20.0).round(4) + 1e-4, event=(time < 20).astype(int))


@pytest.fixture
def spec(tmp_path):
    simulated().to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "toy.toml").write_text(SPEC, encoding="utf-8")
    return tmp_path / "toy.toml"


@pytest.mark.parametrize("engine", ["laplace", "nuts"])
def test_a_toy_term_is_found_wherever_results_are(known, spec, tmp_path, capfd, engine):
    assert main(["check", str(spec)]) == 0
    assert re.search(r"linear +dose, linear, normal\(0, 0.5\)", capfd.readouterr().out)
    out = tmp_path / engine
    assert main(["run", str(spec), "--engine", engine, "--out", str(out)]) == 0
    printed = capfd.readouterr().out
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (row,) = summary["linear"]
    assert summary["provenance"]["engine"] == engine
    assert row["eti95"][0] < np.exp(SLOPE) < row["eti95"][1]
    assert f"hazard ratio {row['hazard_ratio']:.2f} (95% interval" in " ".join(printed.split())
    assert summary["model"]["priors"]["linear"] == "normal(0, 0.5)"
    assert summary["coefficients"][-1]["term"] == "dose"
    assert {row["term"]: row["verdict"] for row in summary["agreement"]}["dose"] == "agree"
    (written,) = pd.read_csv(out / "tables" / "linear.csv").to_dict("records")
    assert written["hazard_ratio"] == row["hazard_ratio"]
    assert (out / "figures" / "linear.svg").stat().st_size > 1000
    report = (out / "report.html").read_text(encoding="utf-8")
    assert "A linear effect" in report and 'id="figure-linear"' in report
    assert "linear:</strong> normal(0, 0.5)" in report
    assert '[linear]\ncolumn = "dose"' in (out / "spec.toml").read_text(encoding="utf-8")
    assert {"tables/linear.csv", "figures/linear.svg"} <= set(summary["files"])
    # the spec that was written gives the same
    again = tmp_path / "again"
    assert (
        main(["run", str(out / "spec.toml"), "--engine", engine, "--quiet", "--out", str(again)])
        == 0
    )
    assert json.loads((again / "summary.json").read_text(encoding="utf-8"))["linear"] == [row]


def linear_model(known):
    term = known["linear", "terms"].Linear.of_table({"column": "dose", "prior": "normal(0, 0.5)"})
    return bc.PiecewiseExponential("arm", 0, "size", terms=(term,))


def test_a_toy_term_is_in_python_and_in_fits_of_many_cohorts(known):
    model = linear_model(known)
    cohorts = [bc.read_cohort(simulated(seed), time="time", event="event") for seed in range(1, 4)]
    fit = model.fit(cohorts[0], seed=1, engine="laplace")
    found = fit.sections()
    assert found["linear"].sentence in found._repr_html_()
    assert fit.coefficients()["term"].tolist() == ["arm[T.1]", "size", "dose"]
    many = bc.fit_many(model, cohorts).of_term("dose")
    assert (np.abs(many["mean_log"] - SLOPE) < 4 * many["sd_log"]).all()
    own = fit.coefficients().iloc[2]
    assert many["mean_log"].iloc[0] == pytest.approx(own["mean_log"], abs=0.1 * own["sd_log"])


def test_the_model_and_the_density_have_the_toy_term(known):
    inputs = linear_model(known).prepare(bc.read_cohort(simulated(), time="time", event="event"))
    assert "linear_effect" in [each.name for each in inputs.block_model.parameters]
    written = build_pymc_model(inputs)
    point, vector = written.initial_point(), []
    for name, value in point.items():
        point[name] = np.full(np.shape(value), 0.1 * (len(vector) + 1))
        vector += np.ravel(point[name]).tolist()
    expected = float(written.compile_logp(mode="FAST_COMPILE")(point))
    # the NumPy density and the native one
    assert log_density_slope(np.array(vector), inputs.block_model)[0] == pytest.approx(expected)
    native = native_density(inputs.density_data, inputs.blocks)
    assert native.value_and_slope(np.array(vector))[0] == pytest.approx(expected, rel=1e-10)


def test_groups_with_an_unknown_scale_are_a_block(known):
    table = simulated().assign(centre=np.arange(N) % 5)
    cohort = bc.read_cohort(table, time="time", event="event")
    term = known["frailty", "terms"].Frailty("centre")
    fit = bc.PiecewiseExponential("arm", 0, "dose", terms=(term,)).fit(
        cohort, seed=1, engine="laplace"
    )
    assert fit.engine == "laplace"
    found = fit.inputs.values_of_terms(fit.values)
    assert list(found) == ["frailty_scale", *(f"frailty[{k}]" for k in range(5))]
    # all centres are alike
    assert np.exp(found["frailty_scale"]).mean() < 0.4


def test_wrong_tables_of_a_term_are_refused_with_the_rest(known, spec, capfd):
    spec.write_text(spec.read_text().replace('column = "dose"', 'colum = "dose"'))
    assert main(["check", str(spec)]) == 2
    assert "linear: give column, the name of a column" in capfd.readouterr().err
    spec.write_text(SPEC.replace("[linear]", "[lineal]"))
    assert main(["check", str(spec)]) == 2
    assert "lineal" in capfd.readouterr().err


def test_an_estimand_is_one_file(known, spec, tmp_path, capfd):
    assert (
        main(["run", str(spec), "--engine", "laplace", "--quiet", "--out", str(tmp_path / "o")])
        == 0
    )
    summary = json.loads((tmp_path / "o" / "summary.json").read_text(encoding="utf-8"))
    rows = summary["estimands"]["odds"]
    assert len(rows) == len(summary["estimands"]["survival"])
    assert len(pd.read_csv(tmp_path / "o" / "tables" / "odds.csv")) == len(rows)
    assert "odds of survival" in (tmp_path / "o" / "report.html").read_text(encoding="utf-8")


def test_a_part_is_one_file_and_a_line(known, spec, tmp_path, capfd):
    out = tmp_path / "s"
    only = ["--only", "other_effect"]
    assert main(["sensitivity", str(spec), *only, "--out", str(out), "--quiet"]) in (0, 3)
    found = json.loads((out / "sensitivity.json").read_text(encoding="utf-8"))["other_effect"]
    assert found["status"] == "done" and 0 < found["prob_below"] < 1
    # the base analysis has the term, too
    base = json.loads((out / "sensitivity.json").read_text(encoding="utf-8"))["base"]
    assert base["median"] == pytest.approx(0.64, abs=0.03)
    (row,) = pd.read_csv(out / "tables" / "other_effect.csv").to_dict("records")
    assert row["prob_below"] == found["prob_below"]
    assert found["sentence"] in (out / "sensitivity.html").read_text(encoding="utf-8").replace(
        "&lt;", "<"
    )


def test_a_command_is_one_file(known, spec, capfd):
    assert main(["unit", str(spec)]) == 0
    assert capfd.readouterr().out == "months\n"


def test_a_line_in_the_file_of_effects_asks_nothing_of_models_without_the_term(known):
    path = ROOT / "bayes_crlm" / "fit" / "sections.py"
    last = '    "baseline": baseline.sections,\n'
    text = path.read_text(encoding="utf-8").replace(last, f'{last}    "linear": None,\n')
    edited = ModuleType("edited_sections")
    exec(compile(text, str(path), "exec"), edited.__dict__)
    edited.EFFECTS["linear"] = known["linear", "effects"].sections
    cohort = bc.read_cohort(simulated(), time="time", event="event")
    fit = bc.PiecewiseExponential("arm", 0).fit(cohort, engine="laplace", seed=1, draws=100)
    found = Findings(fit, Asked(), fit.diagnose())
    assert "linear" not in {section.key for section in edited.fit_sections(found)}
