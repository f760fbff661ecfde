"""The quick answer of `run`: what it loads, what it says, and that the results repeat it."""

import json
import re
import subprocess
import sys

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from runs import call, write_rows

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.analysis.run import approximate_plan
from bayes_crlm.cli import main

SPEC = "os_repeat_local_vs_systemic"
HEAVY = ("pymc", "pytensor", "arviz", "arviz_stats", "arviz_base", "arviz_plots", "xarray",
         "scipy.stats", "matplotlib", "numba", "nutpie")  # fmt: skip
# stops at the first hazard ratio, and says which heavy packages are there by then
SPY = """
import json, os, re, sys
from bayes_crlm import cli
from bayes_crlm.cli import run
say = run.say
def spy(text, **options):
    say(text, **options)
    if re.search(r"hazard ratio (about )?[0-9]", text):
        print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
        sys.stdout.flush()
        os._exit(0)
run.say = spy
cli.main(["run", *sys.argv[2:]])
"""
RATIO = re.compile(r"hazard ratio (?:about )?(\S+) \(95% interval (\S+) to (\S+)\)")


@pytest.mark.parametrize("engine", ["laplace", "nuts"])
def test_the_first_hazard_ratio_comes_before_any_heavy_package(tmp_path, engine):
    done = subprocess.run(
        [sys.executable, "-c", SPY, json.dumps(HEAVY), SPEC, "--engine", engine, "--out",
         str(tmp_path / "out")],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert RATIO.search(done.stdout), done.stdout
    assert json.loads(done.stdout.splitlines()[-1]) == []
    is_marked = "First approximation (laplace); NUTS follows" in done.stdout
    assert is_marked == (engine == "nuts")


@pytest.fixture(scope="module")
def laplace_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laplace")
    done = call("run", SPEC, "--engine", "laplace", "--out", folder / "out")
    assert done.returncode == 0, done.stderr
    summary = json.loads((folder / "out" / "summary.json").read_text(encoding="utf-8"))
    return done.stdout, summary, folder / "out"


def test_the_results_repeat_the_first_answer(laplace_run):
    output, summary, _ = laplace_run
    first, *_, cox = RATIO.findall(output)
    again = RATIO.findall(output)[1]
    assert first == again != cox
    (row,) = summary["hazard_ratios"]
    assert [f"{value:.2f}" for value in (row["median"], *row["eti95"])] == list(first)
    diagnostics = summary["diagnostics"]
    assert f"Pareto k {diagnostics['importance_pareto_k']:.2f}" in output
    assert f"importance ESS {diagnostics['importance_ess']:,.0f} of 4,000 draws" in output


def test_nothing_of_a_laplace_run_speaks_of_chains(laplace_run):
    output, summary, folder = laplace_run
    assert "Drawing 4,000 draws by importance sampling" in output
    assert "chains" not in output
    assert not (folder / "figures" / "ranks.svg").exists()
    report = (folder / "report.html").read_text(encoding="utf-8")
    diagnostics = report[report.index('id="diagnostics"') : report.index('id="reproduce"')]
    assert "Pareto k of the importance weights" in diagnostics
    for word in ("largest R-hat", "divergent", "tree depth", "by chain"):
        assert word not in diagnostics
    assert "come from no chains" in diagnostics
    for name in ("max_r_hat", "divergences", "min_bfmi", "n_max_depth"):
        assert summary["diagnostics"][name] is None


def test_seconds_say_where_the_time_went(laplace_run):
    seconds = laplace_run[1]["provenance"]["seconds"]
    assert seconds["plan"] < seconds["first_answer"] < seconds["total"]
    parts = ("plan", "import", "compile", "sample", "posterior", "diagnostics", "report")
    assert all(seconds[part] >= 0 for part in parts)
    assert sum(seconds[part] for part in parts) == pytest.approx(seconds["total"])


def test_the_tree_holds_the_proposals_that_the_draws_come_from(laplace_run):
    tree = xr.open_datatree(laplace_run[2] / "posterior.nc")
    proposals = tree["proposals"].to_dataset()
    assert proposals["log_ratio"].shape == (1, 4000)
    chosen = tree["unconstrained_posterior"]["vector"].values.reshape(4000, -1)
    known = {row.tobytes() for row in proposals["vector"].values[0]}
    assert all(row.tobytes() in known for row in chosen)


def test_a_horseshoe_has_no_first_answer(tmp_path):
    write_rows(tmp_path)
    text = (tmp_path / "rows.toml").read_text(encoding="utf-8")
    priors = '[model.priors]\ncovariates = "horseshoe(0.5)"\n[estimands]'
    (tmp_path / "rows.toml").write_text(text.replace("[estimands]", priors), encoding="utf-8")
    plan = plan_analysis(read_spec(tmp_path / "rows.toml"))
    for engine in ("nuts", "laplace"):
        approximation, ratios = approximate_plan(plan, engine)
        assert approximation.drawn is None
        assert ratios == []
        assert "horseshoe" in approximation.problem


def test_hazard_ratios_of_several_levels_and_rows_are_those_of_the_fit(simulated_cohorts):
    from bayes_crlm.fit.fit import fit_model
    from bayes_crlm.fit.fitting import approximate, hazard_ratios_of
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential

    model = PiecewiseExponential("group", "a", "x", cutpoints=3)
    inputs = model.prepare(simulated_cohorts[3])
    approximation = approximate(inputs, 2000, seed=5)
    fit = fit_model(
        model, inputs, draws=500, tune=0, chains=4, seed=5, engine="laplace",
        target_accept=0.8, progress=False, approximation=approximation,
    )  # fmt: skip
    table = fit.hazard_ratios()
    found = hazard_ratios_of(approximation.drawn, inputs)
    assert [each.treatment for each in found] == list(table["treatment"]) == ["b", "c"]
    columns = {"median": "median", "low": "eti95_low", "high": "eti95_high"}
    for ours, theirs in columns.items():
        np.testing.assert_allclose([getattr(each, ours) for each in found], table[theirs])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("horizons = [6, 12]", "horizons = [6, 999, 1000.5]"),
         ["rows.toml", "2 problems", "999", "1000.5", "give times up to"]),
        (('covariates = "age"', 'covariates = "age + local"'),
         ["rows.toml", "model.covariates", "'local' is the treatment already"]),
        (("cutpoints = [6, 12]", "cutpoints = [6, 999]"),
         ["rows.toml", "model.baseline.cutpoints"]),
    ],
)  # fmt: skip
def test_problems_of_spec_and_cohort_together_name_the_spec(tmp_path, capsys, change, words):
    write_rows(tmp_path)
    text = (tmp_path / "rows.toml").read_text(encoding="utf-8")
    assert change[0] in text
    (tmp_path / "rows.toml").write_text(text.replace(*change), encoding="utf-8")
    assert main(["check", str(tmp_path / "rows.toml")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in words:
        assert word in line


def test_the_last_follow_up_time_is_said_in_full(tmp_path, capsys):
    write_rows(tmp_path)
    text = (tmp_path / "rows.toml").read_text(encoding="utf-8")
    (tmp_path / "rows.toml").write_text(text.replace("rmst = 12", "rmst = 999"), encoding="utf-8")
    assert main(["check", str(tmp_path / "rows.toml")]) == 2
    last = pd.read_csv(tmp_path / "rows.csv")["stop"].max()
    assert f"give times up to {float(last)!r}" in capsys.readouterr().err


def test_survival_without_a_time_is_refused(simulated_cohorts):
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.words.errors import EstimandError

    model = PiecewiseExponential("arm", 0, cutpoints=3)
    fit = model.fit(simulated_cohorts[1], engine="laplace", draws=100, seed=1)
    with pytest.raises(EstimandError, match="at least one"):
        fit.survival([])


def test_leave_one_out_of_weighted_proposals_is_that_of_nuts(colon_fit):
    from bayes_crlm.fit.leave_one_out import leave_one_out

    model, cohort = colon_fit.model, colon_fit.inputs.cohort
    quick = [
        leave_one_out(model.fit(cohort, engine="laplace", seed=seed)).elpd for seed in range(4)
    ]
    # the error of NUTS' estimate, from its chains
    chains = [
        az.loo(
            xr.DataTree.from_dict(
                {name: colon_fit.posterior[name].to_dataset().isel(chain=[chain])
                 for name in ("posterior", "log_likelihood")}
            ),
            var_name="event", reff=1.0,
        ).elpd
        for chain in range(4)
    ]  # fmt: skip
    error = np.hypot(np.std(quick, ddof=1), np.std(chains, ddof=1) / 2)
    assert np.mean(quick) == pytest.approx(leave_one_out(colon_fit).elpd, abs=4 * error)
    assert np.std(quick) < 0.3
