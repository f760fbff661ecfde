"""Pooled and weighted rows: the likelihood's value and slopes stay what they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import (
    log_likelihood,
    log_likelihood_gradient,
    log_likelihood_hessian,
    patient_log_likelihood,
)

from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import log_density
from bayes_crlm.model.pymc_model import build_pymc_model

CUTPOINTS = np.array([0.0, 1.0, 2.5, 4.0, 7.0])
N_TERMS = 2


@st.composite
def survival_data(draw):
    """Rows of few distinct covariate values, 0.0 and -0.0 among them, so that many agree."""
    n_rows = draw(st.integers(1, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    entry = rng.choice([0.0, 0.5, 1.0, 2.6], n_rows) * draw(st.booleans())
    return SurvivalData(
        follow_up=cut_follow_up(entry, entry + rng.uniform(0.1, 4.0, n_rows), CUTPOINTS),
        event=rng.integers(2, size=n_rows).astype(float),
        design=rng.choice([-0.0, 0.0, 1.0, -0.3], (n_rows, N_TERMS)),
        patient_index=np.arange(n_rows),
        n_patients=n_rows,
    )


def everything(data, log_hazard, effect):
    """Value, gradient and second derivatives in one vector."""
    parts = (
        log_likelihood(log_hazard, effect, data),
        *log_likelihood_gradient(log_hazard, effect, data),
        *log_likelihood_hessian(log_hazard, effect, data),
    )
    return np.concatenate([np.ravel(part) for part in parts])


def unknowns(seed):
    rng = np.random.default_rng([seed, 1])
    return rng.normal(-1, 0.7, len(CUTPOINTS) - 1), rng.normal(0, 0.5, N_TERMS)


@settings(max_examples=60, deadline=None)
@given(survival_data(), st.integers(0, 2**32 - 1))
def test_pooling_changes_no_value_and_no_slope(data, seed):
    pooled = data.pooled()
    np.testing.assert_allclose(
        everything(pooled, *unknowns(seed)), everything(data, *unknowns(seed)), rtol=1e-11,
        atol=1e-11,
    )  # fmt: skip
    keys = np.column_stack(
        [data.design + 0.0, data.follow_up.stop_interval, data.follow_up.entry_interval]
    )
    assert pooled.follow_up.n_rows == len(np.unique(keys, axis=0))
    assert pooled.follow_up.count.sum() == data.follow_up.n_rows
    assert pooled.event.sum() == data.event.sum()


@settings(max_examples=30, deadline=None)
@given(survival_data(), st.integers(0, 2**32 - 1))
def test_whole_weights_are_that_many_copies_of_a_row(data, seed):
    times = np.random.default_rng([seed, 2]).integers(4, size=data.follow_up.n_rows)
    rows = np.repeat(np.arange(data.follow_up.n_rows), times)
    follow_up = data.follow_up
    copies = SurvivalData(
        follow_up=type(follow_up)(
            width=follow_up.width,
            stop_interval=follow_up.stop_interval[rows],
            stop_within=follow_up.stop_within[rows],
            entry_interval=follow_up.entry_interval[rows],
            entry_within=follow_up.entry_within[rows],
            is_delayed=follow_up.is_delayed,
            count=follow_up.count[rows],
        ),
        event=data.event[rows],
        design=data.design[rows],
        patient_index=np.arange(len(rows)),
        n_patients=len(rows),
    )
    expected = everything(copies, *unknowns(seed))
    weighted = data.weighted(times)
    for found in (weighted, weighted.pooled()):
        np.testing.assert_allclose(
            everything(found, *unknowns(seed)), expected, rtol=1e-11, atol=1e-11
        )


@given(survival_data(), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_weight_multiplies_its_rows_log_likelihood(data, seed):
    weights = np.random.default_rng([seed, 3]).uniform(0, 3, data.follow_up.n_rows)
    log_hazard, effect = (each[None] for each in unknowns(seed))
    np.testing.assert_allclose(
        patient_log_likelihood(log_hazard, effect, data.weighted(weights))[0],
        weights * patient_log_likelihood(log_hazard, effect, data)[0],
        rtol=1e-11,
        atol=1e-11,
    )


def test_weights_that_are_none_are_refused():
    data = SurvivalData(
        follow_up=cut_follow_up(np.zeros(2), np.ones(2), np.array([0.0, 1.0])),
        event=np.ones(2),
        design=np.zeros((2, 1)),
        patient_index=np.arange(2),
        n_patients=2,
    )
    with pytest.raises(ValueError, match="one for each of the 2 rows"):
        data.weighted(np.ones(3))
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite numbers, 0 or more"):
            data.weighted(np.array([1.0, wrong]))


@pytest.mark.parametrize("rows_per_patient", [1, 3])
@pytest.mark.parametrize("formula", ["group", "x + group"])
def test_only_rows_that_agree_are_pooled(simulated_cohorts, rows_per_patient, formula):
    inputs = PiecewiseExponential("arm", 0, formula, cutpoints=3).prepare(
        simulated_cohorts[rows_per_patient]
    )
    if formula == "group":
        # two arms, three groups, three intervals to stop in and as many to enter in
        assert inputs.density_data.follow_up.n_rows <= 2 * 3 * 6
        assert inputs.density_data.follow_up.count.sum() == inputs.data.follow_up.n_rows
    else:
        assert inputs.density_data is inputs.data


@pytest.mark.parametrize("formula", ["", "group", "x + group"])
@pytest.mark.parametrize("rows_per_patient", [1, 3])
@pytest.mark.parametrize(
    "baseline", ["independent", "random_walk", "log_time_walk", "gamma", "integrated"]
)
def test_the_density_on_pooled_rows_is_the_patients(
    simulated_cohorts, rows_per_patient, formula, baseline
):
    prior = GammaProcess(2.0, is_integrated=True) if baseline == "integrated" else baseline
    model = PiecewiseExponential("arm", 0, formula, cutpoints=3, baseline=prior)
    inputs = model.prepare(simulated_cohorts[rows_per_patient])
    patients = build_pymc_model(inputs)
    density = patients.compile_logp(mode="FAST_COMPILE")
    rng = np.random.default_rng(8)
    for _ in range(2):
        point = {
            name: rng.normal(0, 0.5, np.shape(value))
            for name, value in patients.initial_point().items()
        }
        vector = np.concatenate([np.ravel(value) for value in point.values()])
        expected, found = float(density(point)), float(log_density(vector, inputs.block_model))
        assert found == pytest.approx(expected, rel=1e-11)
