"""A fit: its tree for ArviZ, its tables, its diagnostics and its agreement with Cox."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from one_class import log_likelihood, patient_log_likelihood

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.agreement import compare
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.nuts import sample_nuts

TRUE_EFFECT = -0.9


def simulated(n, seed=1, hazard=0.08):
    """Constant hazard, one covariate, known effects, administrative censoring at 24."""
    rng = np.random.default_rng(seed)
    arm, x = rng.integers(2, size=n), rng.normal(size=n)
    time = rng.exponential(1 / (hazard * np.exp(TRUE_EFFECT * arm + 0.5 * x)))
    table = pd.DataFrame({"arm": arm, "x": x, "time": np.minimum(time, 24.0)})
    table["event"] = (time < 24.0).astype(int)
    return read_cohort(table, time="time", event="event")


@pytest.fixture(scope="module")
def fit():
    return PiecewiseExponential("arm", 0, "x", cutpoints=5).fit(simulated(300), seed=11)


def test_the_truth_is_within_the_interval(fit):
    row = fit.coefficients().iloc[0]
    assert abs(row["mean_log"] - TRUE_EFFECT) < 3.5 * row["sd_log"]
    assert row["sd_log"] < 0.25
    ratio = fit.hazard_ratios().iloc[0]
    assert ratio["median"] == pytest.approx(np.exp(row["median"]))
    assert ratio["treatment"] == 1
    assert ratio["reference"] == 0


def test_the_same_seed_gives_the_same_draws(fit):
    inputs = fit.inputs
    first, again, other = (
        sample_nuts(inputs, draws=50, tune=100, chains=2, seed=seed).vectors for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0


def test_the_tree_serves_arviz_unchanged(fit, tmp_path):
    import arviz as az
    import arviz_stats as azs

    groups = {"posterior", "sample_stats", "log_likelihood", "log_prior", "prior"}
    groups |= {"posterior_predictive", "observed_data", "constant_data"}
    assert groups <= set(fit.posterior.children)
    loo = azs.loo(fit.posterior)
    assert loo.n_data_points == 300
    sensitivity = azs.psense_summary(fit.posterior, var_names=["log_hazard_ratio"])
    assert list(sensitivity.index) == ["log_hazard_ratio[arm[T.1]]", "log_hazard_ratio[x]"]
    alone = PiecewiseExponential("arm", 0, cutpoints=5).fit(simulated(300), seed=2, draws=500)
    ranked = azs.compare({"adjusted": fit.posterior, "crude": alone.posterior})
    assert ranked.index[0] == "adjusted"
    path = tmp_path / "posterior.nc"
    fit.posterior.to_netcdf(path)
    again = az.from_netcdf(path)
    np.testing.assert_array_equal(
        again["posterior"]["log_hazard_ratio"].values,
        fit.posterior["posterior"]["log_hazard_ratio"].values,
    )


def test_pymc_computes_the_trees_log_likelihood_and_log_prior(fit):
    import pymc as pm
    import xarray as xr

    model = fit.model.build(fit.inputs.cohort)
    few = xr.DataTree.from_dict(
        {"posterior": fit.posterior["posterior"].to_dataset().isel(draw=slice(0, 3))}
    )
    with model:
        likelihood = pm.compute_log_likelihood(few, progressbar=False, extend_inferencedata=False)
        prior = pm.compute_log_prior(few, progressbar=False, extend_inferencedata=False)
    stored = fit.posterior["log_likelihood"]["event"].isel(draw=slice(0, 3))
    np.testing.assert_allclose(likelihood["event"].values, stored.values, rtol=1e-8, atol=1e-10)
    for name, variable in fit.posterior["log_prior"].to_dataset().data_vars.items():
        np.testing.assert_allclose(
            prior[name].values, variable.isel(draw=slice(0, 3)).values, rtol=1e-8, atol=1e-10
        )


def test_pymc_draws_from_the_prior(fit):
    import pymc as pm

    with fit.model.build(fit.inputs.cohort):
        drawn = pm.sample_prior_predictive(draws=400, random_seed=1)
    effect = drawn["prior"]["log_hazard_ratio"].values[..., 0].ravel()
    ours = fit.posterior["prior"]["log_hazard_ratio"].values[..., 0].ravel()
    # Normal(0, 1): the standard error of a standard deviation of 400 draws is 0.035
    assert effect.std() == pytest.approx(1.0, abs=0.15)
    assert ours.std() == pytest.approx(1.0, abs=0.1)
    assert set(np.unique(drawn["prior_predictive"]["event"].values)) <= {0.0, 1.0}


def test_splitting_follow_up_changes_no_likelihood():
    whole = simulated(40, seed=3)
    halves = []
    for patient, row in whole.table.iterrows():
        cut = row["time"] / 3
        halves.append((patient, 0.0, cut, 0, row["arm"], row["x"]))
        halves.append((patient, cut, row["time"], row["event"], row["arm"], row["x"]))
    table = pd.DataFrame(halves, columns=["id", "begin", "time", "event", "arm", "x"])
    split = read_cohort(table, time="time", event="event", entry="begin", id="id")
    model = PiecewiseExponential("arm", 0, "x", cutpoints=(5.0, 12.0))
    one, two = model.prepare(whole), model.prepare(split)
    log_hazard, effect = np.array([-2.0, -2.5, -1.5]), np.array([0.4, -0.3])
    # scaling differs with the number of rows: compare on the original scale
    rescaled = effect / one.design.scale * two.design.scale
    shift = (one.design.center - two.design.center) @ (effect / one.design.scale)
    assert log_likelihood(log_hazard, effect, one.data) == pytest.approx(
        log_likelihood(log_hazard - shift, rescaled, two.data)
    )
    np.testing.assert_allclose(
        patient_log_likelihood(log_hazard[None], effect[None], one.data),
        patient_log_likelihood((log_hazard - shift)[None], rescaled[None], two.data),
        rtol=1e-9,
    )


def test_a_good_run_is_trusted_and_too_few_draws_are_not(fit):
    good = fit.diagnose()
    assert good.failures == ()
    assert good.max_r_hat < 1.01
    short = fit.model.fit(fit.inputs.cohort, draws=20, tune=60, chains=4, seed=1).diagnose()
    assert any("effective sample size" in each for each in short.failures)
    assert not short.is_trustworthy


def test_moment_matching_lowers_high_pareto_k():
    table = pd.read_csv(Path(__file__).parents[1] / "reference" / "ovarian.csv")
    cohort = read_cohort(table, time="time", event="event")
    # a row per event time and loose priors: single patients move the posterior
    model = PiecewiseExponential(
        "rx",
        0,
        "age + resid",
        cutpoints=10,
        covariate_prior="normal(0, 10)",
        baseline="independent",
    )
    outcomes = [model.fit(cohort, draws=500, seed=seed).diagnose() for seed in range(3)]
    matched = sum(outcome.n_moment_matched for outcome in outcomes)
    assert matched > sum(outcome.n_high_pareto_k for outcome in outcomes)


def test_survival_of_the_treated_is_that_of_the_truth(fit):
    table = fit.survival([12.0])
    x = fit.inputs.cohort.table["x"].to_numpy()
    for arm, row in zip((0, 1), table.itertuples(), strict=True):
        truth = np.exp(-0.08 * 12 * np.exp(TRUE_EFFECT * arm + 0.5 * x)).mean()
        assert row.eti95_low - 0.03 < truth < row.eti95_high + 0.03
    area = fit.rmst(20.0)
    assert area["mean"].iloc[1] > area["mean"].iloc[0]
    assert fit.differences([12.0], 20.0)["prob_above_0"].min() > 0.99


def test_a_large_cohort_agrees_with_cox(fit):
    assert [row["verdict"] for row in compare(fit)] == ["agree", "agree"]


def test_prior_pull_is_found():
    model = PiecewiseExponential("arm", 0, "x", cutpoints=5, treatment_prior="normal(0, 0.1)")
    rows = compare(model.fit(simulated(150), seed=1, engine="laplace"))
    assert rows[0]["verdict"] == "differ"
    assert rows[0]["reason"].startswith("prior pull")


def test_coarse_intervals_are_found():
    rng = np.random.default_rng(5)
    n = 600
    arm = rng.integers(2, size=n)
    # the treated live longer and the hazard falls steeply: one interval cannot follow it
    time = (rng.exponential(1.0, n) / np.exp(-1.0 * arm)) ** 3
    table = pd.DataFrame({"arm": arm, "time": np.maximum(time, 1e-3), "event": 1})
    cohort = read_cohort(table, time="time", event="event")
    model = PiecewiseExponential("arm", 0, cutpoints=1, treatment_prior="normal(0, 2)")
    rows = compare(model.fit(cohort, seed=1, engine="laplace"))
    assert rows[0]["verdict"] == "differ"
    assert "intervals" in rows[0]["reason"]


def test_separation_is_named():
    cohort = simulated(80, seed=9)
    table = cohort.table.assign(z=lambda rows: (rows["x"] > 1).astype(int))
    table.loc[table["z"] == 1, "event"] = 0
    again = read_cohort(table, time="time", event="event")
    model = PiecewiseExponential("arm", 0, "z", cutpoints=3)
    rows = compare(model.fit(again, seed=1, engine="laplace"))
    assert rows[1]["verdict"] == "differ"
    assert rows[1]["reason"].startswith("separation")


def test_laplace_escalates_where_it_cannot_follow():
    model = PiecewiseExponential("arm", 0, "x", cutpoints=3, covariate_prior="horseshoe(0.5)")
    fitted = model.fit(simulated(120), seed=1, engine="laplace", draws=200, tune=300)
    assert fitted.engine == "nuts"
    assert "NUTS was used instead" in fitted.notes[0]
