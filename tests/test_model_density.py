"""The pm.Model is the definition: NumPy's density and the compiled one are held against it."""

import itertools

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort import read_cohort
from bayes_crlm.density import compile_density, density_data
from bayes_crlm.importance import log_target
from bayes_crlm.model import PiecewiseExponential, build_pymc_model
from bayes_crlm.parameters import constrain, log_prior, model_parameters, sampled_parameters
from bayes_crlm.priors import GammaProcess

BASELINES = ("independent", "random_walk", "gamma")
PRIORS = ("normal(0.1, 0.7)", "student_t(4, 0, 1)", "laplace(0, 0.5)", "horseshoe(0.5)")


def simulated(rows_per_patient, n_patients=40, seed=1):
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n_patients):
        arm, x, c = int(rng.integers(2)), float(rng.normal()), str(rng.choice(list("ab")))
        end = float(rng.exponential(10.0)) + 0.1
        ends = [*np.sort(rng.uniform(0.01, end, rows_per_patient - 1)).tolist(), end]
        begins = [0.0 if rows_per_patient > 1 or patient % 2 else end / 3, *ends[:-1]]
        for begin, stop in zip(begins, ends, strict=True):
            event = int(stop == end and rng.random() < 0.8)
            rows.append((patient, begin, stop, event, arm, x, c))
    columns = ["id", "begin", "time", "event", "arm", "x", "c"]
    table = pd.DataFrame(rows, columns=columns)
    return read_cohort(table, time="time", event="event", entry="begin", id="id")


COHORTS = {rows: simulated(rows) for rows in (1, 3)}


@pytest.mark.parametrize(("baseline", "prior"), list(itertools.product(BASELINES, PRIORS)))
@pytest.mark.parametrize("rows", COHORTS)
def test_numpy_density_is_the_models(rows, baseline, prior):
    treatment_prior = "normal(0, 1)" if prior.startswith("horseshoe") else prior
    model = PiecewiseExponential(
        "arm", 0, "x + c", cutpoints=4, baseline=baseline,
        treatment_prior=treatment_prior, covariate_prior=prior,
    )  # fmt: skip
    inputs = model.prepare(COHORTS[rows])
    pymc_model = build_pymc_model(inputs)
    log_density = pymc_model.compile_logp(mode="FAST_COMPILE")
    size = sum(parameter.size for parameter in model_parameters(inputs))
    rng = np.random.default_rng(7)
    for _ in range(3):
        vector = rng.normal(0, 0.5, size)
        point, position = {}, 0
        for value in pymc_model.value_vars:
            shape = pymc_model.initial_point()[value.name].shape
            length = int(np.prod(shape))
            point[value.name] = vector[position : position + length].reshape(shape)
            position += length
        assert position == size
        assert log_target(vector[None], inputs)[0] == pytest.approx(
            float(log_density(point)), rel=1e-10
        )


@pytest.mark.parametrize("baseline", [*BASELINES, GammaProcess(2.0, is_integrated=True)])
def test_one_compiled_density_serves_other_cohorts_intervals_and_columns(baseline):
    first = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline=baseline)
    second = PiecewiseExponential(
        "arm", 0, "x + c", cutpoints=5, baseline=baseline, covariate_prior="normal(0, 3)"
    )
    compiled = compile_density(first.prepare(COHORTS[3]))
    inputs = second.prepare(simulated(3, n_patients=55, seed=4))
    assert compile_density(inputs) is compiled
    pymc_model = build_pymc_model(inputs)
    size = sum(parameter.size for parameter in sampled_parameters(inputs))
    vector = np.random.default_rng(3).normal(0, 0.3, size)
    value, gradient = compiled.function(vector, *density_data(inputs))
    point, position = {}, 0
    for variable in pymc_model.value_vars:
        shape = pymc_model.initial_point()[variable.name].shape
        length = int(np.prod(shape))
        point[variable.name] = vector[position : position + length].reshape(shape)
        position += length
    expected = float(pymc_model.compile_logp(mode="FAST_COMPILE")(point))
    assert float(value) == pytest.approx(expected, rel=1e-10)
    step = 1e-6
    for k in range(size):
        shifted = [vector.copy(), vector.copy()]
        shifted[0][k] += step
        shifted[1][k] -= step
        up, down = (compiled.function(each, *density_data(inputs))[0] for each in shifted)
        assert gradient[k] == pytest.approx(float(up - down) / (2 * step), rel=1e-4, abs=1e-4)


def test_log_prior_names_every_random_variable():
    inputs = PiecewiseExponential("arm", 0, "x + c", cutpoints=4).prepare(COHORTS[1])
    pymc_model = build_pymc_model(inputs)
    parameters = model_parameters(inputs)
    size = sum(parameter.size for parameter in parameters)
    density = log_prior(constrain(np.zeros((2, size)), parameters), inputs)
    assert list(density) == [variable.name for variable in pymc_model.free_RVs]
    assert all(value.shape[0] == 2 for value in density.values())


def test_the_model_names_its_dims():
    model = PiecewiseExponential("arm", 0, "x + c", cutpoints=4).build(COHORTS[3])
    assert set(model.coords) == {
        "interval", "step", "term", "treatment_term", "covariate_term", "patient", "row",
    }  # fmt: skip
    assert model.named_vars_to_dims["event"] == ("patient",)
    assert model.named_vars_to_dims["log_hazard"] == ("interval",)
