"""Intervals in which nobody dies, or in which nobody is at risk."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, fit_many, read_cohort
from bayes_crlm.model.baseline_priors import GammaProcess

BASELINES = ["independent", "random_walk", "log_time_walk", "gamma", GammaProcess(0.01)]
# a proportion of 40 in 80 with its 95% limits
SURVIVAL, LIMITS = 0.5, (0.37, 0.63)


def cohort_with_a_quiet_time(seed):
    """40 deaths in (0, 10], none in (10, 40], 40 in (40, 60]."""
    rng = np.random.default_rng(seed)
    time = np.concatenate([rng.uniform(0, 10, 40), rng.uniform(40, 60, 40)])
    table = pd.DataFrame({"months": time, "dead": 1, "arm": np.arange(80) % 2})
    return read_cohort(table, time="months", event="dead")


def cohort_with_a_gap(seed):
    """Rows in (0, 10] and, of other patients, in (30, 40]; nobody is at risk between."""
    rng = np.random.default_rng(seed)
    early, late = rng.uniform(1, 10, 40), rng.uniform(31, 40, 40)
    table = pd.DataFrame(
        {
            "entry": np.repeat([0.0, 30.0], 40),
            "months": np.concatenate([early, late]),
            "dead": 1,
            "arm": np.arange(80) % 2,
        }
    )
    return read_cohort(table, time="months", event="dead", entry="entry")


@pytest.mark.parametrize("baseline", BASELINES, ids=str)
@pytest.mark.parametrize("engine", ["laplace", "nuts"])
def test_a_time_without_deaths_costs_no_lives(baseline, engine):
    model = PiecewiseExponential("arm", 0, cutpoints=[10, 20, 30, 40], baseline=baseline)
    fit = model.fit(cohort_with_a_quiet_time(1), seed=1, engine=engine)
    assert fit.engine == engine
    assert fit.diagnose().is_trustworthy
    draws = fit.survival_draws([40.0]).values[:, :, 0].mean(axis=1)
    assert draws.mean() == pytest.approx(SURVIVAL, abs=0.03)
    assert np.quantile(draws, [0.025, 0.975]) == pytest.approx(LIMITS, abs=0.06)


@pytest.mark.parametrize("engine", ["laplace", "nuts"])
@pytest.mark.parametrize("weight", [1.0, 0.1])
def test_hazards_without_events_have_their_gamma_posterior(weight, engine):
    """Given effects near 0 the hazard is Gamma(shape, rate + exposure), whose quantiles we know."""
    from scipy.stats import gamma

    model = PiecewiseExponential(
        "arm",
        0,
        cutpoints=[10, 20, 30, 40],
        baseline=GammaProcess(weight),
        treatment_prior="normal(0, 0.001)",
    )
    cohort = cohort_with_a_quiet_time(2)
    fit = model.fit(cohort, seed=2, engine=engine)
    table = fit.log_hazard().iloc[1:4]
    rate = weight * 10
    shape = rate * cohort.n_events / cohort.exposure
    probabilities = [0.025, 0.5, 0.975]
    exact = np.log(gamma(shape, scale=1 / (rate + 400)).ppf(probabilities))
    found = table[["eti95_low", "median", "eti95_high"]].to_numpy()
    assert np.isfinite(table[["mean", "sd"]].to_numpy()).all()
    # of 4,000 draws, and three intervals that are alike
    below = gamma(shape, scale=1 / (rate + 400)).cdf(np.exp(found.mean(axis=0)))
    error = 4 * np.sqrt(np.array(probabilities) * (1 - np.array(probabilities)) / 12000)
    assert np.abs(below - probabilities) == pytest.approx(0, abs=error.max())
    assert exact[1] == pytest.approx(found[:, 1].mean(), abs=0.2 / shape)


@pytest.mark.parametrize("baseline", BASELINES, ids=str)
def test_where_nobody_is_at_risk_the_hazard_is_the_priors(baseline):
    model = PiecewiseExponential("arm", 0, cutpoints=[10, 20, 30], baseline=baseline)
    cohort = cohort_with_a_gap(1)
    inputs = model.prepare(cohort)
    assert [note for note in inputs.intervals.notes if "nobody is at risk in (10, 20]" in note]
    fit = model.fit(cohort, seed=1, engine="laplace")
    assert fit.engine == "laplace" and fit.diagnose().is_trustworthy
    table = fit.log_hazard()
    assert np.isfinite(table[["median", "eti95_low", "eti95_high"]].to_numpy()).all()
    if baseline == "independent":
        prior = [inputs.log_rate + each * 2 for each in (-1.96, 0, 1.96)]
        found = table[["eti95_low", "median", "eti95_high"]].to_numpy()[1:3]
        assert found == pytest.approx(np.array([prior, prior]), abs=0.35)
    reached = fit.log_hazard_draws[:, [0, 3]].mean(axis=0)
    events, exposure = inputs.intervals.events, inputs.intervals.exposure
    assert reached == pytest.approx(
        [math.log(e / t) for e, t in zip(events[[0, 3]], exposure[[0, 3]], strict=True)], abs=0.15
    )


@pytest.mark.parametrize("baseline", BASELINES, ids=str)
def test_many_cohorts_keep_their_empty_intervals(baseline):
    model = PiecewiseExponential("arm", 0, cutpoints=[10, 20, 30, 40], baseline=baseline)
    cohorts = [cohort_with_a_quiet_time(seed) for seed in range(6)]
    many = fit_many(model, cohorts, 1, engine="numpy", draws=2000)
    assert many.cohorts["is_trustworthy"].all()
    assert many.cohorts["n_intervals"].tolist() == [5] * 6
    for k, cohort in enumerate(cohorts):
        row = model.fit(cohort, seed=k, engine="laplace").coefficients().iloc[0]
        found = many.terms.iloc[k]
        assert found["mean_log"] == pytest.approx(row["mean_log"], abs=0.15 * row["sd_log"])
        assert found["sd_log"] == pytest.approx(row["sd_log"], rel=0.1)
