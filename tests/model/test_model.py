"""The model as a value, what it makes of a cohort, and what must not change its answer."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from one_mode import posterior_mode
from scipy import stats

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.follow_up import row_cumulative_hazard
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.priors import Horseshoe, Normal
from bayes_crlm.model.pymc_model import model_data, sample_event
from bayes_crlm.words.errors import BayesCRLMError, CohortError, DesignError, PriorError

BASELINES = ("independent", "random_walk", "log_time_walk", "gamma")
COLUMNS = {"time": "stop", "event": "death", "entry": "start", "id": "patient"}


def mode_of(cohort, baseline, cutpoints=4, **settings):
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=cutpoints, baseline=baseline, **settings
    )
    inputs = model.prepare(cohort)
    mode = posterior_mode(inputs, step_scale=0.4 if str(baseline).endswith("walk") else None)
    assert mode.converged
    return mode, inputs


def test_a_model_is_a_value():
    one = PiecewiseExponential("arm", 0, "x", cutpoints=[6, 12], covariate_prior="normal(0, 1)")
    two = PiecewiseExponential("arm", 0, "x", cutpoints=(6, 12), covariate_prior=Normal(0.0, 1.0))
    assert one == two
    assert hash(one) == hash(two)
    assert dataclasses.replace(one, cutpoints=3) != one
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.treatment = "x"


def test_wrong_priors_are_said_where_they_are_written():
    with pytest.raises(PriorError, match="standard deviation"):
        PiecewiseExponential("arm", treatment_prior="normal(0, -1)")
    with pytest.raises(PriorError, match="covariates only"):
        PiecewiseExponential("arm", treatment_prior=Horseshoe(1.0))
    with pytest.raises(
        PriorError, match="give one of log_time_walk, random_walk, independent, gamma"
    ):
        PiecewiseExponential("arm", baseline="spline")


def test_unknown_engines_are_refused(simulated_cohorts):
    with pytest.raises(ValueError, match="give 'nuts' or 'laplace'"):
        PiecewiseExponential("arm", 0).fit(simulated_cohorts[1], engine="gibbs")


def test_prepare_takes_complete_patients(simulated_cohorts):
    table = simulated_cohorts[3].table.copy()
    table.loc[table.index[4], "x"] = np.nan
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4)
    with pytest.raises(CohortError, match="x"):
        model.prepare(read_cohort(table, **COLUMNS))
    dropped = model.prepare(read_cohort(table, **COLUMNS, missing="drop"))
    assert dropped.data.n_patients == 59
    assert dropped.data.follow_up.n_rows == 3 * 59
    whole = PiecewiseExponential("arm", 0, cutpoints=4).prepare(read_cohort(table, **COLUMNS))
    assert whole.data.n_patients == 60


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_order_of_rows_changes_nothing(simulated_cohorts, baseline):
    table = simulated_cohorts[3].table
    shuffled = read_cohort(table.sample(frac=1, random_state=3), **COLUMNS)
    mode, inputs = mode_of(simulated_cohorts[3], baseline)
    again, shuffled_inputs = mode_of(shuffled, baseline)
    np.testing.assert_allclose(again.effect, mode.effect, atol=1e-8)
    np.testing.assert_allclose(again.log_hazard, mode.log_hazard, atol=1e-8)
    ends = dict(zip(inputs.cohort.patients, inputs.cohort.time[inputs.final_row], strict=True))
    expected = table.groupby("patient")["stop"].max().to_dict()
    assert ends == expected
    cohort = shuffled_inputs.cohort
    ends = dict(zip(cohort.patients, cohort.time[shuffled_inputs.final_row], strict=True))
    assert ends == expected


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_unit_of_time_changes_no_hazard_ratio(simulated_cohorts, baseline):
    table = simulated_cohorts[3].table.copy()
    table[["start", "stop"]] *= 30.4375
    mode, _ = mode_of(simulated_cohorts[3], baseline)
    in_days, _ = mode_of(read_cohort(table, **COLUMNS), baseline)
    np.testing.assert_allclose(in_days.effect, mode.effect, atol=1e-8)
    np.testing.assert_allclose(in_days.log_hazard, mode.log_hazard - np.log(30.4375), atol=1e-8)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_unit_of_a_covariate_changes_only_its_coefficient(simulated_cohorts, baseline):
    table = simulated_cohorts[3].table.copy()
    table["x"] = 1000 * table["x"] + 5
    mode, inputs = mode_of(simulated_cohorts[3], baseline)
    again, other = mode_of(read_cohort(table, **COLUMNS), baseline)
    ratio = (mode.effect / inputs.design.scale) / (again.effect / other.design.scale)
    np.testing.assert_allclose(ratio, [1, 1000, 1, 1], rtol=1e-7)
    np.testing.assert_allclose(again.log_hazard, mode.log_hazard, atol=1e-8)


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_reference_level_turns_the_hazard_ratio_around(simulated_cohorts, baseline):
    settings = {"treatment_prior": "student_t(3, 0, 1)"}
    zero, inputs = mode_of(simulated_cohorts[3], baseline, **settings)
    model = PiecewiseExponential("arm", 1, "x + group", cutpoints=4, baseline=baseline, **settings)
    turned = model.prepare(simulated_cohorts[3])
    one = posterior_mode(turned, step_scale=0.4 if str(baseline).endswith("walk") else None)
    assert inputs.design.terms[0] == "arm[T.1]"
    assert turned.design.terms[0] == "arm[T.0]"
    np.testing.assert_allclose(one.effect, zero.effect * [-1, 1, 1, 1], atol=1e-8)
    np.testing.assert_allclose(one.log_hazard, zero.log_hazard, atol=1e-8)


def test_a_heavy_gamma_process_fixes_the_hazard_and_a_light_one_leaves_it(simulated_cohorts):
    heavy, inputs = mode_of(simulated_cohorts[3], GammaProcess(1e7))
    np.testing.assert_allclose(heavy.log_hazard, inputs.log_rate, atol=1e-3)
    light, _ = mode_of(simulated_cohorts[3], GammaProcess(1e-7))
    vague, _ = mode_of(simulated_cohorts[3], Independent(1e5))
    np.testing.assert_allclose(light.log_hazard, vague.log_hazard, atol=1e-4)
    np.testing.assert_allclose(light.effect, vague.effect, atol=1e-4)


def test_data_are_linear_in_rows(simulated_cohorts):
    """No rows x intervals table: with many intervals no array grows with their product."""
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=20).prepare(simulated_cohorts[3])
    rows = inputs.data.follow_up.n_rows
    assert inputs.intervals.n_intervals == 20
    assert max(value.size for value in model_data(inputs).values()) == rows


@pytest.mark.parametrize("rows", [1, 3])
def test_dims_of_every_variable(simulated_cohorts, rows):
    for baseline in BASELINES:
        model = PiecewiseExponential(
            "arm", 0, "x", cutpoints=4, baseline=baseline, covariate_prior="horseshoe(1)"
        ).build(simulated_cohorts[rows])
        dims = model.named_vars_to_dims
        assert dims["treatment_effect"] == ("treatment_term",)
        assert dims["covariate_effect"] == ("covariate_term",)
        assert dims["log_hazard_ratio"] == ("term",)
        assert dims["log_hazard"] == ("interval",)
        assert dims["event"] == ("patient",)
        assert model.coords["term"] == ("arm[T.1]", "x")
        assert len(model.coords["patient"]) == 60
        assert model.dim_lengths["row"].eval() == 60 * rows
        # scalars apart, everything random or observed has named dims
        for variable in [*model.free_RVs, *model.observed_RVs]:
            assert variable.ndim == len(dims.get(variable.name, ()))


def test_structures_that_need_another_density_differ(simulated_cohorts):
    def structure(cohort=simulated_cohorts[3], covariates="x", cutpoints=4, **priors):
        model = PiecewiseExponential("arm", 0, covariates, cutpoints=cutpoints, **priors)
        return model.prepare(cohort).structure

    prompt = read_cohort(simulated_cohorts[1].table, time="stop", event="death")
    alike = [
        structure(),
        structure(cutpoints=6),
        structure(covariates="x + group"),
        structure(covariate_prior="normal(1, 3)"),
        structure(simulated_cohorts[1]),
    ]
    assert len(set(alike)) == 1
    different = [
        alike[0],
        structure(covariates=""),
        structure(cutpoints=1),
        structure(baseline="gamma"),
        structure(baseline=GammaProcess(1.0, is_integrated=True)),
        structure(covariate_prior="laplace(0, 1)"),
        structure(treatment_prior="student_t(3, 0, 1)"),
        structure(prompt),
    ]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize("seed", range(3))
def test_predicted_events_have_the_probability_of_the_hazard(simulated_cohorts, seed):
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=4).prepare(simulated_cohorts[3])
    log_hazard = np.full(4, inputs.log_rate)
    by_row = row_cumulative_hazard(log_hazard[..., None, :], inputs.data.follow_up)
    cumulative = np.bincount(inputs.data.patient_index, weights=by_row)
    rng = np.random.default_rng(seed)
    draws = np.stack([sample_event(None, cumulative, rng=rng) for _ in range(400)])
    expected = -np.expm1(-cumulative)
    z = (draws.mean(axis=0) - expected) / np.sqrt(expected * (1 - expected) / 400)
    assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-4


def test_prior_predictive_of_rows_is_drawn(rows_fit):
    import pymc as pm

    with rows_fit.model.build(rows_fit.inputs.cohort):
        drawn = pm.sample_prior_predictive(draws=50, random_seed=1)
    event = drawn["prior_predictive"]["event"]
    assert event.dims == ("chain", "draw", "patient")
    assert event.sizes["patient"] == 60
    assert set(np.unique(event.values)) == {0.0, 1.0}


def test_everything_wrong_with_a_model_is_a_sentence(simulated_cohorts):
    cohort = simulated_cohorts[1]
    wrong = [
        PiecewiseExponential("arms", 0),
        PiecewiseExponential("arm", 7),
        PiecewiseExponential("arm", 0, "age"),
        PiecewiseExponential("arm", 0, "arm"),
        PiecewiseExponential("arm", 0, "open('x')"),
        PiecewiseExponential("arm", 0, cutpoints=[5, 4]),
        PiecewiseExponential("arm", 0, cutpoints=10_000),
    ]
    for model in wrong:
        with pytest.raises(BayesCRLMError) as caught:
            model.prepare(cohort)
        assert "\n" not in str(caught.value)


def test_a_cohort_on_which_everyone_dies_at_once_is_still_a_model():
    table = pd.DataFrame({"arm": [0, 1] * 10, "time": 3.0, "event": 1})
    inputs = PiecewiseExponential("arm", 0).prepare(read_cohort(table, time="time", event="event"))
    assert inputs.intervals.n_intervals == 1
    assert inputs.intervals.notes
    mode = posterior_mode(inputs)
    assert mode.converged
    assert mode.effect[0] == pytest.approx(0, abs=1e-9)
    # 20 events in 60 of time, and the prior is centred there
    assert mode.log_hazard[0] == pytest.approx(np.log(1 / 3), abs=1e-9)


@pytest.mark.parametrize("treatment", [["arm"], None, 0, {}])
def test_a_treatment_that_is_no_name(treatment):
    with pytest.raises(DesignError, match="treatment must be a column's name in text, not "):
        PiecewiseExponential(treatment)
