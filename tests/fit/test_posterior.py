"""What the tree holds is what the `pm.Model` says, for every baseline and awkward follow-up."""

import warnings

import numpy as np
import pytest
from one_class import of_one_class

from bayes_crlm.estimands.survival import cumulative_hazard_at
from bayes_crlm.fit.predicted_follow_up import events_along_rows
from bayes_crlm.model.profiles import Profiles

FITS = ("colon_fit", "rows_fit", "horseshoe_fit", "integrated_fit")
GROUPS = {
    "posterior", "unconstrained_posterior", "sample_stats", "log_likelihood", "log_prior",
    "prior", "posterior_predictive", "observed_data", "constant_data",
}  # fmt: skip


@pytest.fixture(params=FITS)
def fit(request):
    """Every baseline prior, a horseshoe, delayed entry, several rows per patient."""
    return request.getfixturevalue(request.param)


def few_draws(fit, group="posterior"):
    import xarray as xr

    return xr.DataTree.from_dict({group: fit.posterior[group].to_dataset().isel(draw=[0, 7, 50])})


def test_groups_and_dims(fit):
    tree, inputs = fit.posterior, fit.inputs
    assert set(tree.children) == GROUPS
    chains, draws = fit.settings["chains"], fit.settings["draws"]
    posterior = tree["posterior"].to_dataset()
    assert posterior["log_hazard_ratio"].dims == ("chain", "draw", "term")
    assert posterior["log_hazard_ratio"].shape == (chains, draws, len(inputs.design.terms))
    assert posterior["log_hazard"].dims == ("chain", "draw", "interval")
    assert posterior["interval"].values.tolist() == inputs.intervals.labels
    assert posterior["term"].values.tolist() == list(inputs.design.terms)
    likelihood = tree["log_likelihood"]["event"]
    assert likelihood.dims == ("chain", "draw", "patient")
    assert likelihood.sizes["patient"] == inputs.cohort.n_patients
    assert {
        tuple(tree[group].to_dataset().data_vars)
        for group in ("log_likelihood", "posterior_predictive", "observed_data")
    } == {("event",)}
    for group in ("posterior", "log_likelihood", "log_prior", "prior", "posterior_predictive"):
        for name, variable in tree[group].to_dataset().data_vars.items():
            assert np.all(np.isfinite(variable.values)), (group, name)


def test_observed_data_are_the_patients(fit):
    observed = fit.posterior["observed_data"].to_dataset()
    cohort = fit.inputs.cohort
    for patient, label in enumerate(cohort.patients):
        rows = cohort.patient_index == patient
        one = observed.sel(patient=label)
        assert one["time"].item() == cohort.time[rows].max()
        assert one["entry"].item() == cohort.entry[rows].min()
        assert one["event"].item() == cohort.event[rows].max()
    assert observed["event"].sum() == cohort.n_events


@pytest.mark.parametrize("name", ["rows_fit", "horseshoe_fit"])
def test_pymc_computes_the_trees_log_likelihood_and_log_prior(request, name):
    from pymc.stats import compute_log_likelihood, compute_log_prior

    fit = request.getfixturevalue(name)
    options = {"extend_inferencedata": False, "progressbar": False}
    with fit.model.build(fit.inputs.cohort):
        likelihood = compute_log_likelihood(few_draws(fit), **options)
        prior = compute_log_prior(few_draws(fit), **options)
    stored = few_draws(fit, "log_likelihood")["log_likelihood"]["event"]
    np.testing.assert_allclose(likelihood["event"].values, stored.values, rtol=1e-8, atol=1e-10)
    stored = few_draws(fit, "log_prior")["log_prior"].to_dataset()
    assert set(stored.data_vars) == set(prior.data_vars)
    for variable in stored.data_vars:
        # PyMC's half-Cauchy has log 2 in single precision
        np.testing.assert_allclose(
            prior[variable].values, stored[variable].values, rtol=1e-8, atol=1e-8
        )


def test_hazard_ratios_are_in_original_units(fit):
    posterior, design = fit.posterior["posterior"].to_dataset(), fit.inputs.design
    parts = [posterior["treatment_effect"]]
    if "covariate_effect" in posterior:
        parts.append(posterior["covariate_effect"])
    elif "shrinkage_global" in posterior:
        parts.append(
            (
                posterior["shrinkage_global"]
                * posterior["shrinkage_local"]
                * posterior["covariate_unit_effect"]
            ).transpose("chain", "draw", "covariate_term")
        )
    effect = np.concatenate([part.values for part in parts], axis=-1)
    np.testing.assert_allclose(posterior["log_hazard_ratio"].values, effect / design.scale)


def test_arviz_reads_the_tree_as_it_is(fit, tmp_path):
    import arviz as az

    tree = fit.posterior
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a high Pareto k is not a matter here
        loo = az.loo(tree, var_name="event")
    assert loo.n_data_points == fit.inputs.cohort.n_patients
    total = tree["log_likelihood"]["event"].values.sum(axis=-1).mean()
    assert loo.elpd < total
    sensitivity = az.psense_summary(tree, var_names=["log_hazard_ratio"])
    assert len(sensitivity) == len(fit.inputs.design.terms)
    assert np.all(np.isfinite(sensitivity["prior"]))
    assert np.all(np.isfinite(sensitivity["likelihood"]))
    path = tmp_path / "posterior.nc"
    tree.to_netcdf(path)
    again = az.from_netcdf(path)
    assert set(again.children) == GROUPS
    for group in GROUPS:
        stored = tree[group].to_dataset()
        for name, variable in again[group].to_dataset().data_vars.items():
            np.testing.assert_array_equal(variable.values, stored[name].values)


def test_models_of_one_cohort_are_compared(rows_fit, integrated_fit):
    import arviz as az

    table = az.compare({"with group": rows_fit.posterior, "without": integrated_fit.posterior})
    assert set(table.index) == {"with group", "without"}
    assert table["weight"].sum() == pytest.approx(1, abs=1e-6)


def test_elpd_loo_is_that_of_the_long_stan_run(colon_fit, references):
    results = references["colon_early_recurrence"].results["posterior_random_walk"]
    elpd, se = results["elpd_loo_per_row"]
    found = colon_fit.diagnose()
    # of both runs the Monte Carlo error of elpd_loo is some 0.05 to 0.1
    assert found.elpd_loo == pytest.approx(elpd, abs=0.4)
    assert found.elpd_loo_se == pytest.approx(se, rel=0.01)


def test_prior_survival_curves_are_curves(fit):
    curves = fit.posterior["prior"]["survival"]
    assert curves.dims == ("chain", "draw", "treatment", "time")
    np.testing.assert_allclose(curves.values[..., 0], 1.0)
    assert np.all(np.diff(curves.values, axis=-1) <= 1e-12)
    assert curves.values.min() >= 0


def test_predicted_follow_up_lies_in_the_patients_own(fit):
    predicted = fit.posterior["posterior_predictive"].to_dataset()
    observed = fit.posterior["observed_data"].to_dataset()
    assert bool((predicted["time"] >= observed["entry"]).all())
    assert bool((predicted["time"] <= observed["time"]).all())
    assert set(np.unique(predicted["event"])) == {0, 1}
    # without the event a patient leaves where the own last row ends
    leaves = predicted["event"].values == 0
    ends = np.broadcast_to(observed["time"].values, leaves.shape)
    np.testing.assert_array_equal(predicted["time"].values[leaves], ends[leaves])
    assert np.isin(predicted["draw"].values, np.arange(fit.settings["draws"])).all()


@pytest.mark.parametrize("seed", range(3))
def test_events_along_rows_follow_each_rows_hazard(seed):
    """Cumulative hazards at the events, reached along the rows, are standard exponential."""
    cutpoints = np.array([0.0, 2.0, 5.0, 50.0])
    log_hazard = np.log([0.1, 0.4, 0.2])
    n = 3000
    # three rows with a gap, then a patient with one: of each the hazard changes from row to row
    entry, time = np.array([1.0, 3.0, 6.0, 0.5]), np.array([2.5, 5.5, 50.0, 50.0])
    relative = np.tile([2.0, 0.3, 1.0, 1.0], (n, 1))
    target = np.random.default_rng(seed).standard_exponential((n, 2))
    rows = Profiles(np.log(relative[0])[:, None], np.zeros(4, dtype=np.intp))
    at = of_one_class(np.tile(log_hazard, (n, 1)), np.ones((n, 1)))
    drawn, event = events_along_rows(at, rows, entry, time, np.array([0, 3]), cutpoints, target)

    def hazard_to(when, rows):
        total = np.zeros(len(when))
        for row in rows:
            low, high = (
                cumulative_hazard_at(log_hazard[None], cutpoints, np.clip(each, entry[row], None))
                for each in (np.array([entry[row]]), np.minimum(when, time[row]))
            )
            total += relative[0, row] * (high - low)[0]
        return total

    for patient, own in enumerate(([0, 1, 2], [3])):
        when, happens = drawn[:, patient], event[:, patient]
        np.testing.assert_allclose(
            hazard_to(when[happens], own), target[happens, patient], rtol=1e-9
        )
        assert np.all(when[~happens] == 50.0)
        assert np.all(target[~happens, patient] >= hazard_to(np.array([50.0]), own))
        inside = [(when > entry[row]) & (when <= time[row]) for row in own]
        assert np.all(np.any(inside, axis=0))


def test_tables_are_those_of_arviz_and_of_the_draws(colon_fit):
    import arviz as az

    table = colon_fit.coefficients(thresholds=(1.0, 0.8))
    ratios = colon_fit.variable("log_hazard_ratio")
    draws = ratios.values.reshape(-1, ratios.sizes["term"])
    assert table["term"].tolist() == list(colon_fit.inputs.design.terms)
    np.testing.assert_allclose(table["mean_log"], draws.mean(axis=0))
    np.testing.assert_allclose(table["sd_log"], draws.std(axis=0, ddof=1))
    np.testing.assert_allclose(table["prob_below_0.8"], (np.exp(draws) < 0.8).mean(axis=0))
    for column, expected in (
        ("r_hat", az.rhat(ratios)),
        ("ess_bulk", az.ess(ratios, method="bulk")),
        ("ess_tail", az.ess(ratios, method="tail")),
        ("mcse_mean_log", az.mcse(ratios, method="mean")),
    ):
        np.testing.assert_allclose(table[column], expected.values)
    assert table["treatment"].tolist()[:3] == ["Lev+5FU", "Obs", None]
    ratio = colon_fit.hazard_ratios()
    assert len(ratio) == 2
    limits = np.quantile(np.exp(draws[:, :2]), [0.025, 0.5, 0.975], axis=0)
    np.testing.assert_allclose(
        ratio[["eti95_low", "median", "eti95_high"]].to_numpy().T, limits, rtol=1e-3
    )
    hazards = colon_fit.log_hazard()
    np.testing.assert_allclose(
        hazards["mean"], colon_fit.variable("log_hazard").mean(("chain", "draw")).values
    )
    assert hazards["to"].tolist() == colon_fit.inputs.intervals.cutpoints[1:].tolist()
