"""Each diagnostic fails when its own quantity is bad, and says so; a good run passes."""

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.diagnostics import PARETO_K_MOST, diagnose, leave_one_out
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential


@pytest.fixture(scope="module")
def good_fit(references):
    """Independent hazards: mixes well, so that a spoilt copy has one fault only."""
    model = PiecewiseExponential("rx", 0, "age", cutpoints=3, baseline="independent")
    return model.fit(references["ovarian"].cohort, draws=1000, tune=600, seed=7)


def spoilt(fit, group, name, change):
    """Copy a fit with one of its arrays changed."""
    whole = fit.groups[group]
    dims, values = whole.variables[name]
    changed = {name: (dims, change(np.array(values)))}
    copy = replace(fit)
    copy.made["groups",] = fit.groups | {
        group: replace(whole, variables={**whole.variables, **changed})
    }
    return copy


def test_a_good_run_passes(good_fit):
    found = diagnose(good_fit)
    assert found.failures == ()
    assert found.is_trustworthy
    assert found.to_dict()["divergences"] == 0


def test_numbers_come_first_as_summary_json_names_them(good_fit):
    assert list(diagnose(good_fit).to_dict()) == [
        *("max_r_hat", "min_ess_bulk", "min_ess_tail", "divergences", "min_bfmi", "n_max_depth"),
        *("elpd_loo", "elpd_loo_se", "p_loo", "max_pareto_k"),
        *("n_high_pareto_k", "n_moment_matched", "failures", "remarks"),
        *("importance_pareto_k", "importance_ess", "concerns"),
    ]


def test_numbers_are_those_of_arviz(good_fit):
    import arviz as az

    found = diagnose(good_fit)
    posterior = good_fit.posterior["posterior"].to_dataset()[["log_hazard", "log_hazard_ratio"]]

    def flat(dataset):
        return np.concatenate([dataset[name].values.ravel() for name in dataset.data_vars])

    assert found.max_r_hat == pytest.approx(flat(az.rhat(posterior)).max(), rel=1e-10)
    bulk = flat(az.ess(posterior, method="bulk")).min()
    assert found.min_ess_bulk == pytest.approx(bulk, rel=1e-10)
    tail = flat(az.ess(posterior, method="tail")).min()
    assert found.min_ess_tail == pytest.approx(tail, rel=1e-10)
    loo = az.loo(good_fit.posterior, var_name="event")
    if found.n_moment_matched == 0:
        assert found.elpd_loo == pytest.approx(loo.elpd)
        assert found.p_loo == pytest.approx(loo.p)


def shifted_chain(values):
    values[0] += 1.0
    return values


def few_effective(values):
    # every draw repeated for a hundred: mixed in the end, but slow
    return np.repeat(values[:, ::100], 100, axis=1)


def one_true(values):
    values[0, 0] = True
    return values


def creeping(values):
    return np.cumsum(values - values.mean(), axis=1)


@pytest.mark.parametrize(
    ("group", "name", "change", "sentence"),
    [
        ("posterior", "log_hazard_ratio", shifted_chain, "R-hat is"),
        ("posterior", "log_hazard", shifted_chain, "chains have not mixed"),
        ("posterior", "log_hazard", few_effective, "smallest bulk effective sample size is"),
        ("posterior", "log_hazard", few_effective, "smallest tail effective sample size is"),
        ("sample_stats", "diverging", one_true, "1 divergent transition:"),
        ("sample_stats", "reached_max_treedepth", one_true, "largest tree depth"),
        ("sample_stats", "energy", creeping, "smallest E-BFMI is"),
    ],
)
def test_each_fault_is_named(good_fit, group, name, change, sentence):
    found = diagnose(spoilt(good_fit, group, name, change))
    assert not found.is_trustworthy
    assert any(sentence in failure for failure in found.failures), found.failures
    if group == "sample_stats":
        assert len(found.failures) == 1


def test_patients_whose_weights_cannot_be_trusted_are_counted(good_fit, monkeypatch):
    import bayes_crlm.fit.diagnostics as module

    honest = leave_one_out(good_fit)
    monkeypatch.setattr(module, "leave_one_out", lambda _: replace_k(honest))
    found = diagnose(good_fit)
    assert found.n_high_pareto_k == 2
    assert found.failures == (
        f"2 of 26 patients have Pareto k above {PARETO_K_MOST} even after moment matching: do not "
        "trust elpd_loo",
    )


def replace_k(loo):
    k = np.full_like(loo.pareto_k, 0.3)
    k[0], k[5] = 0.9, np.nan
    return replace(loo, pareto_k=k)


def test_one_chain_is_remarked(good_fit):
    fit = good_fit.model.fit(good_fit.inputs.cohort, draws=800, tune=400, chains=1, seed=3)
    found = diagnose(fit)
    assert np.isnan(found.max_r_hat)
    assert any("one chain only" in told for told in found.concerns)
    assert not any("R-hat" in failure for failure in found.failures)


def test_a_handful_of_draws_fails_without_an_error(good_fit):
    fit = good_fit.model.fit(good_fit.inputs.cohort, draws=4, tune=20, chains=4, seed=3)
    found = diagnose(fit)
    assert not found.is_trustworthy
    assert np.isnan(found.elpd_loo)
    assert any("too few draws for leave-one-out" in failure for failure in found.failures)


def test_importance_draws_are_judged_by_their_weights(good_fit):
    cohort, model = good_fit.inputs.cohort, good_fit.model
    found = diagnose(model.fit(cohort, engine="laplace", seed=1))
    assert found.is_trustworthy
    assert found.importance_pareto_k < PARETO_K_MOST
    assert found.min_ess_bulk == found.importance_ess
    assert any("importance-sampled draws" in remark for remark in found.remarks)
    assert found.elpd_loo == pytest.approx(diagnose(good_fit).elpd_loo, abs=0.3)
    few = diagnose(model.fit(cohort, engine="laplace", seed=1, draws=60))
    assert any("importance effective sample size" in failure for failure in few.failures)


def test_moment_matching_finds_what_refitting_without_the_patient_finds(references):
    """A patient who dies late at an old age moves the posterior: plain weights miss by far."""
    import arviz as az

    table = references["ovarian"].cohort.table
    outlier = {"time": 1227, "event": 1, "rx": 0, "age": 90.0, "resid": 1}
    table = pd.concat([table, pd.DataFrame([outlier])], ignore_index=True)
    model = PiecewiseExponential(
        "rx", 0, "age", cutpoints=3, baseline="independent", covariate_prior="normal(0, 5)"
    )
    cohort = read_cohort(table, time="time", event="event")
    errors = []
    for seed in range(3):
        fit = model.fit(cohort, seed=seed, engine="laplace")
        exact = exact_elpd(fit)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the high k that this is about
            plain = az.loo(fit.posterior, var_name="event")
        matched = leave_one_out(fit)
        # resampling cuts off the tail of the weights: plain leave-one-out may not see the patient
        assert matched.n_moment_matched == 1
        assert matched.pareto_k[-1] != plain.pareto_k.values[-1]
        assert plain.elpd - exact > 2
        errors.append((matched.elpd - exact, plain.elpd - exact))
    # one patient's weights differ by seed
    of_matched, of_plain = np.mean(errors, axis=0)
    assert abs(of_matched) < 0.5 * of_plain


@pytest.mark.parametrize("engine", ["nuts", "laplace"])
def test_leave_one_out_and_moment_matching_are_those_of_arviz(good_fit, references, engine):
    import arviz as az

    from bayes_crlm.fit.leave_one_out import one_log_likelihood, relative_efficiency
    from bayes_crlm.inference.left_out import left_out
    from bayes_crlm.model.density import log_density

    table = references["ovarian"].cohort.table
    outlier = {"time": 1227, "event": 1, "rx": 0, "age": 90.0, "resid": 1}
    table = pd.concat([table, pd.DataFrame([outlier])], ignore_index=True)
    fit = good_fit.model.fit(read_cohort(table, time="time", event="event"), seed=1, engine=engine)
    tree, model = fit.posterior, fit.inputs.block_model

    def of_vectors(function):
        return lambda vectors, *which: (
            xr.zeros_like(vectors[..., 0])
            + function(vectors.values.reshape(-1, vectors.shape[-1]), *which).reshape(
                vectors.shape[:2]
            )
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the high k that this is about
        plain = az.loo(tree, var_name="event", pointwise=True)
        each = tree["log_likelihood"]["event"].values
        own = left_out(each.reshape(-1, each.shape[-1]), relative_efficiency(fit))
        np.testing.assert_allclose(own.elpd, plain.elpd_i, rtol=1e-9)
        np.testing.assert_allclose(own.pareto_k, plain.pareto_k, atol=1e-9)
        assert (own.lpd - own.elpd).sum() == pytest.approx(plain.p, rel=1e-8)
        matched = az.loo_moment_match(
            tree,
            plain,
            log_prob_upars_fn=of_vectors(lambda vectors: log_density(vectors, model)),
            log_lik_i_upars_fn=of_vectors(
                lambda vectors, i: one_log_likelihood(
                    vectors, model, fit.inputs.data.of_patients(np.array([i]))
                )
            ),
            upars=tree["unconstrained_posterior"]["vector"],
            var_name="event",
            k_threshold=PARETO_K_MOST,
        )
    if engine == "nuts":
        found = leave_one_out(fit)
        assert found.n_moment_matched == int((plain.pareto_k > PARETO_K_MOST).sum()) > 0
        assert (found.elpd, found.se, found.p) == pytest.approx(
            (matched.elpd, matched.se, matched.p), rel=1e-8
        )
        np.testing.assert_allclose(found.pareto_k, matched.pareto_k, atol=1e-8)


def exact_elpd(fit):
    """Sum over patients of log p(patient | all others), the model's scaling and rate kept."""
    from bayes_crlm.inference.importance import sample_importance
    from bayes_crlm.likelihood.follow_up import cut_follow_up
    from bayes_crlm.likelihood.hazard_table import patient_log_likelihood
    from bayes_crlm.model.density import hazards_of_vectors

    inputs, total = fit.inputs, 0.0
    for patient in range(inputs.data.n_patients):
        others = np.arange(inputs.data.n_patients) != patient
        data = replace(
            inputs.data,
            follow_up=cut_follow_up(
                inputs.cohort.entry[others],
                inputs.cohort.time[others],
                inputs.intervals.cutpoints,
            ),
            event=inputs.data.event[others],
            design=inputs.data.design[others],
            patient_index=np.arange(others.sum()),
            n_patients=int(others.sum()),
        )
        drawn = sample_importance(replace(inputs, data=data), 4000, patient)
        assert drawn.pareto_k < PARETO_K_MOST
        at = hazards_of_vectors(drawn.vectors, inputs.block_model)
        each = patient_log_likelihood(at, inputs.data)[:, patient]
        total += np.logaddexp.reduce(each) - np.log(len(each))
    return total
