"""Posteriors and modes against R and long Stan runs; see tests/reference/README.md."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from one_mode import posterior_mode

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.importance import sample_importance
from bayes_crlm.inference.nuts import sample_nuts
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.density import hazards_of_vectors
from bayes_crlm.model.priors import Normal

REFERENCE = Path(__file__).parents[1] / "reference"
# data set: treatment, its reference level, covariates in the reference's order of terms
DATA = {
    "veteran": ("trt", 0, "karno + smallcell + adeno + large", 8),
    "colon_early_recurrence": ("rx", "Lev", "age + sex + nodes + extent", 8),
    "ovarian": ("rx", 0, "age + resid", 3),
}
VAGUE = {
    "baseline": Independent(1e4),
    "treatment_prior": Normal(0.0, 1e4),
    "covariate_prior": Normal(0.0, 1e4),
}


def expected(name):
    return json.loads((REFERENCE / f"{name}.json").read_text())


def cohort_of(name):
    table = pd.read_csv(REFERENCE / f"{name}.csv")
    if name == "veteran":
        for level in ("smallcell", "adeno", "large"):
            table[level] = (table["celltype"] == level).astype(int)
    return read_cohort(table, time="time", event="event")


def model_of(name, **priors):
    treatment, reference, covariates, cutpoints = DATA[name]
    return PiecewiseExponential(treatment, reference, covariates, cutpoints=cutpoints, **priors)


@pytest.mark.parametrize("name", DATA)
def test_vague_mode_is_the_poisson_glm_estimate(name):
    inputs = model_of(name, **VAGUE).prepare(cohort_of(name))
    mode = posterior_mode(inputs)
    assert mode.converged
    assert inputs.intervals.events.tolist() == expected(name)["events_per_interval"]
    found = mode.effect / inputs.design.scale
    np.testing.assert_allclose(found, expected(name)["pe_mle"]["coef"], atol=1e-4)


@pytest.mark.parametrize("name", DATA)
def test_vague_prior_reproduces_breslow_cox(name):
    cohort = cohort_of(name)
    table = cohort.table.copy()
    event_times = np.unique(cohort.time[cohort.event == 1])
    # an exponential piece between two event times sees censored patients for part of it, Cox for
    # none: censoring moves back to the event time before
    position = np.searchsorted(event_times, cohort.time, side="right") - 1
    is_censored = cohort.event == 0
    moved = np.where(is_censored, event_times[np.maximum(position, 0)], cohort.time)
    table["time"] = moved
    table = table[~(is_censored & (position < 0))]
    from bayes_crlm.frequentist.cox import fit_cox

    treatment, reference, covariates, _ = DATA[name]
    model = PiecewiseExponential(
        treatment,
        reference,
        covariates,
        cutpoints=event_times[:-1],
        **VAGUE,
    )
    inputs = model.prepare(read_cohort(table, time="time", event="event"))
    mode = posterior_mode(inputs)
    assert mode.converged
    cox = fit_cox(
        cohort.entry, cohort.time, cohort.event,
        model_of(name).prepare(cohort).design.matrix, inputs.design.terms, ties="breslow",
    )  # fmt: skip
    np.testing.assert_allclose(mode.effect / inputs.design.scale, cox.coef, atol=1e-6)
    np.testing.assert_allclose(cox.coef, expected(name)["cox_breslow"]["coef"], atol=1e-5)


@pytest.mark.parametrize("prior", ["independent", "random_walk"])
@pytest.mark.parametrize("name", DATA)
def test_posterior_is_that_of_the_long_stan_run(name, prior):
    inputs = model_of(name, baseline=prior).prepare(cohort_of(name))
    sampled = sample_nuts(inputs, draws=3000, tune=1000, chains=4, seed=20211201)
    at = hazards_of_vectors(sampled.vectors, inputs.block_model)
    reference = expected(name)[f"posterior_{prior}"]
    for found, wanted in (
        (at.effect, reference["beta_scaled"]),
        (at.log_hazard, reference["log_hazard"]),
    ):
        agrees_with(found, wanted)


@pytest.mark.parametrize("engine", ["nuts", "laplace"])
@pytest.mark.parametrize("name", DATA)
def test_log_time_walks_are_those_of_the_long_pymc_run(name, engine):
    wanted = expected(f"log_time_walk/{name}")
    inputs = model_of(name, baseline="log_time_walk").prepare(cohort_of(name))
    np.testing.assert_allclose(inputs.intervals.cutpoints, wanted["breaks"], rtol=1e-5)
    if engine == "nuts":
        sampled = sample_nuts(inputs, draws=4000, tune=1000, chains=4, seed=20211201)
        vectors = sampled.vectors.reshape(16_000, -1)
    else:
        drawn = sample_importance(inputs, 32_000, seed=20211201)
        assert drawn.pareto_k < 0.5
        assert drawn.ess > 0.75 * 32_000
        vectors = drawn.vectors
    at = hazards_of_vectors(vectors, inputs.block_model)
    effect, log_hazard = at.effect, at.log_hazard
    reference = wanted["log_time_walk"]
    # a standard deviation of the columns is given with six digits, so effects to 1e-5 of theirs;
    # all errors of means together are at most 0.02 sd: 4 of them are 0.08
    for found, of in ((effect, reference["beta_scaled"]), (log_hazard, reference["log_hazard"])):
        sd = np.array(of["sd"])
        assert np.max(np.abs(found.mean(axis=0) - of["mean"]) / sd) < 0.08
        np.testing.assert_allclose(found.std(axis=0), sd, rtol=0.05)
    sd = np.array(reference["beta_scaled"]["sd"])
    for point in (2.5, 97.5):
        limits = np.percentile(effect, point, axis=0)
        assert np.max(np.abs(limits - reference["beta_scaled"][f"{point}%"]) / sd) < 0.15


def agrees_with(found, wanted):
    """Means within 4 combined Monte Carlo errors, standard deviations within 5%."""
    import arviz_stats as azs
    import xarray as xr

    draws = xr.DataArray(found, dims=("chain", "draw", "entry"))
    error = np.hypot(azs.mcse(draws, method="mean").values, wanted["mcse_mean"])
    flat = found.reshape(-1, found.shape[-1])
    distance = np.abs(flat.mean(axis=0) - np.array(wanted["mean"])) / error
    assert distance.max() < 4
    np.testing.assert_allclose(flat.std(axis=0, ddof=1), wanted["sd"], rtol=0.05)


def test_gamma_hazards_integrated_and_sampled_give_the_same_effects():
    cohort = cohort_of("colon_early_recurrence")
    import arviz_stats as azs
    import xarray as xr

    found = {}
    for is_integrated in (False, True):
        baseline = GammaProcess(1.0, is_integrated=is_integrated)
        inputs = model_of("colon_early_recurrence", baseline=baseline).prepare(cohort)
        sampled = sample_nuts(inputs, draws=2500, tune=1000, chains=4, seed=5)
        at = hazards_of_vectors(sampled.vectors, inputs.block_model)
        both = np.concatenate([at.effect, at.log_hazard], axis=-1)
        draws = xr.DataArray(both, dims=("chain", "draw", "entry"))
        flat = both.reshape(-1, both.shape[-1])
        found[is_integrated] = (
            flat.mean(axis=0), flat.std(axis=0), azs.mcse(draws, method="mean").values,
        )  # fmt: skip
    mean, sd, error = found[False]
    other_mean, other_sd, other_error = found[True]
    assert np.max(np.abs(mean - other_mean) / np.hypot(error, other_error)) < 4
    np.testing.assert_allclose(sd, other_sd, rtol=0.05)


@pytest.mark.parametrize("prior", ["independent", "random_walk", "log_time_walk", "gamma"])
def test_importance_draws_agree_with_nuts(prior):
    inputs = model_of("veteran", baseline=prior).prepare(cohort_of("veteran"))
    drawn = sample_importance(inputs, 32_000, seed=3)
    sampled = sample_nuts(inputs, draws=8000, tune=1000, chains=4, seed=3)
    assert drawn.pareto_k < 0.5
    assert drawn.ess > 0.6 * 32_000
    fast = hazards_of_vectors(drawn.vectors, inputs.block_model)
    slow = hazards_of_vectors(sampled.vectors.reshape(32_000, -1), inputs.block_model)
    for quick, long in ((fast.effect, slow.effect), (fast.log_hazard, slow.log_hazard)):
        sd = long.std(axis=0)
        # both errors are at most sd / sqrt(4000): 4 combined are 0.09 sd
        assert np.max(np.abs(quick.mean(axis=0) - long.mean(axis=0)) / sd) < 0.09
        # the sd of the first interval varies by 2.3% between runs of 8,000 draws; half of it here
        np.testing.assert_allclose(quick.std(axis=0), sd, rtol=0.06)
