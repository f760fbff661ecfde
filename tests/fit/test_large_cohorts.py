"""What is computed from a sample of a large cohort's patients, against all of them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from one_class import of_one_class

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.estimands import population as populations
from bayes_crlm.estimands.population import population
from bayes_crlm.estimands.standardised import mean_survival, median_time, restricted_mean
from bayes_crlm.fit import tree as posterior
from bayes_crlm.fit.diagnostics import diagnose
from bayes_crlm.fit.leave_one_out import leave_one_out
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.fit.tree import kept_patients

N_PATIENTS = 1500


def cohort_of(n_patients, seed):
    rng = np.random.default_rng(seed)
    x, z, arm = (
        rng.normal(size=n_patients),
        rng.gamma(2, size=n_patients),
        rng.integers(2, size=n_patients),
    )
    death = rng.exponential(size=n_patients) / (0.05 * np.exp(0.7 * x - 0.3 * z - 0.5 * arm))
    censored = rng.uniform(5, 40, n_patients)
    table = pd.DataFrame(
        {
            "arm": arm,
            "x": x,
            "z": z,
            "time": np.minimum(death, censored),
            "event": death <= censored,
        }
    )
    return read_cohort(table, time="time", event="event")


@pytest.fixture(scope="module")
def fit():
    """Importance-sampled draws: quick, and with next to no Monte Carlo error here."""
    model = PiecewiseExponential("arm", 0, "x + z", cutpoints=5, baseline="independent")
    return model.fit(cohort_of(N_PATIENTS, 3), engine="laplace", draws=500, chains=2, seed=2)


@pytest.fixture
def sampled(fit, monkeypatch):
    """The same draws in a tree of a cohort that counts as large."""
    # the first tree is made before the limit falls
    assert fit.posterior["log_likelihood"].sizes["patient"] == N_PATIENTS
    monkeypatch.setattr(posterior, "PATIENTS_MOST", 1000)
    monkeypatch.setattr(posterior, "PATIENTS_SAMPLED", 400)
    return replace(fit)


def test_a_large_cohorts_tree_holds_a_sample_of_its_patients_and_says_so(fit, sampled):
    kept = kept_patients(fit.inputs, fit.seed)
    assert len(np.unique(kept)) == 400
    assert not np.array_equal(kept, kept_patients(fit.inputs, fit.seed + 1))
    whole = fit.posterior
    for group in ("log_likelihood", "posterior_predictive", "observed_data", "constant_data"):
        dataset = sampled.posterior[group].to_dataset()
        assert dataset.sizes["patient"] == 400
        assert dataset.attrs["n_patients"] == N_PATIENTS
        assert dataset.attrs["n_patients_sampled"] == 400
        assert "n_patients_sampled" not in whole[group].attrs
        for name in ("event", "time", "design", "row_time"):
            if name in dataset and group != "posterior_predictive":
                expected = whole[group][name]
                dim = "row" if "row" in expected.dims else "patient"
                np.testing.assert_allclose(
                    dataset[name].values, expected.isel({dim: kept}).values, rtol=1e-12
                )


def test_estimated_cross_validation_is_that_of_all_patients(fit, sampled):
    exact, found = leave_one_out(fit), leave_one_out(sampled)
    assert (exact.n_sampled, found.n_sampled) == (N_PATIENTS, 400)
    assert exact.subsampling_se == 0
    assert 0 < found.subsampling_se < 0.05 * found.se
    assert abs(found.elpd - exact.elpd) < 4 * found.subsampling_se
    assert found.se == pytest.approx(exact.se, rel=0.02)
    assert found.p == pytest.approx(exact.p, rel=0.3)


def test_a_reader_is_told_what_was_sampled(fit, sampled, monkeypatch):
    assert not any("sample" in remark for remark in diagnose(fit).remarks if "elpd" in remark)
    monkeypatch.setattr(populations, "PATTERNS_MOST", 300)
    told = " ".join(diagnose(sampled).remarks)
    assert "random sample of 400 of the 1,500 patients" in told
    assert "300 patients, evenly spaced by linear predictor, of the 1,500 different ones" in told


@pytest.mark.parametrize("seed", range(3))
def test_a_systematic_sample_gives_the_estimands_of_all_patients(seed, monkeypatch):
    """Errors of a tenth of the draws' standard deviation would widen an interval by 0.5%."""
    inputs = PiecewiseExponential("arm", 0, "x + z", cutpoints=5).prepare(cohort_of(20_000, seed))
    rng = np.random.default_rng(seed)
    mean_hazard, mean = np.full(5, inputs.log_rate), np.array([-0.5, 0.7, -0.4])
    # some 10,000 events: standard deviations near 2 / sqrt(10,000)
    log_hazard, effect = rng.normal(mean_hazard, 0.02, (50, 5)), rng.normal(mean, 0.02, (50, 3))
    cutpoints = inputs.intervals.cutpoints
    times = np.linspace(0, cutpoints[-1], 9)[1:]
    at = of_one_class(log_hazard, effect)
    middle = of_one_class(mean_hazard[None], mean[None])

    def everything(people):
        found = []
        for level in (0, 1):
            profiles = inputs.under(level, people.profiles)
            found += [
                mean_survival(at, profiles, people.share, cutpoints, times, 0.0),
                restricted_mean(at, profiles, people.share, cutpoints, 20.0, 0.0),
                median_time(at, profiles, people.share, cutpoints, 0.0),
            ]
        return found

    sample = population(inputs, middle)
    assert sample.is_sampled
    assert len(sample.share) == populations.PATTERNS_MOST
    monkeypatch.setattr(populations, "PATTERNS_MOST", 10**9)
    full_cohort = population(inputs, middle)
    assert not full_cohort.is_sampled
    assert full_cohort.error == 0
    assert 0 < sample.error < 2e-4
    for found, exact in zip(everything(sample), everything(full_cohort), strict=True):
        reached = np.isfinite(exact)
        np.testing.assert_array_equal(np.isfinite(found), reached)
        if reached.all():
            error = np.sqrt(np.mean((found - exact) ** 2, axis=0))
            assert np.all(error < 0.1 * exact.std(axis=0))
