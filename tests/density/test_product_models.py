"""Models of a spec: the pm.Model is the definition, to which NumPy's density and the native one
are held."""

import itertools
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from slopes import log_density_slope

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.density import constrain, log_prior
from bayes_crlm.model.families import StudentT
from bayes_crlm.model.pymc_model import build_pymc_model
from bayes_crlm.model.terms.term import Term

INTEGRATED = GammaProcess(2.0, is_integrated=True)
BASELINES = ("independent", "random_walk", "log_time_walk", "gamma")
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


def prepared(rows, baseline, prior, cutpoints=4):
    treatment_prior = "normal(0, 1)" if prior.startswith("horseshoe") else prior
    model = PiecewiseExponential(
        "arm", 0, "x + c", cutpoints=cutpoints, baseline=baseline,
        treatment_prior=treatment_prior, covariate_prior=prior,
    )  # fmt: skip
    return model.prepare(COHORTS[rows])


def points(pymc_model, vectors):
    """Unconstrained vectors as the points that the pm.Model takes."""
    start = pymc_model.initial_point()
    shapes = {value.name: start[value.name].shape for value in pymc_model.value_vars}
    assert sum(int(np.prod(shape)) for shape in shapes.values()) == vectors.shape[1]
    for vector in vectors:
        point, position = {}, 0
        for name, shape in shapes.items():
            length = int(np.prod(shape))
            point[name] = vector[position : position + length].reshape(shape)
            position += length
        yield point


def native(vector, inputs):
    return native_density(inputs.density_data, inputs.blocks).value_and_slope(vector)


@pytest.mark.parametrize(
    ("baseline", "prior"),
    list(itertools.product((*BASELINES, INTEGRATED), PRIORS)),
    ids=lambda case: case if isinstance(case, str) else "integrated",
)
@pytest.mark.parametrize("rows", COHORTS)
def test_numpy_density_and_native_density_are_the_models(rows, baseline, prior):
    inputs = prepared(rows, baseline, prior)
    pymc_model = build_pymc_model(inputs)
    density = pymc_model.compile_logp(mode="FAST_COMPILE")
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vectors = np.random.default_rng(7).normal(0, 0.5, (3, size))
    for vector, point in zip(vectors, points(pymc_model, vectors), strict=True):
        expected = float(density(point))
        value, slope = native(vector, inputs)
        assert value == pytest.approx(expected, rel=1e-10)
        value, expected_slope = log_density_slope(vector, inputs.block_model)
        assert value == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(slope, expected_slope, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("baseline", [*BASELINES, INTEGRATED], ids=[*BASELINES, "integrated"])
@pytest.mark.parametrize(
    ("cutpoints", "covariates", "levels"),
    [(1, "x + c", 2), (2, "", 2), (3, "c", 3)],
    ids=["one interval", "no covariates", "three levels, rows pooled"],
)
def test_the_densities_are_the_models_in_other_shapes(baseline, cutpoints, covariates, levels):
    """Without delayed entry; with two yes-or-no columns equal rows are pooled."""
    rng = np.random.default_rng(3)
    table = COHORTS[1].table.assign(begin=0.0)
    table = pd.concat([table] * 4, ignore_index=True)
    table["arm"] = rng.integers(levels, size=len(table))
    table["time"] = rng.exponential(10.0, len(table)) + 0.1
    cohort = read_cohort(table.drop(columns=["id", "begin"]), time="time", event="event")
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=cutpoints, baseline=baseline)
    inputs = model.prepare(cohort)
    is_pooled = inputs.density_data.follow_up.n_rows < inputs.data.follow_up.n_rows
    assert is_pooled
    assert not inputs.data.follow_up.is_delayed
    pymc_model = build_pymc_model(inputs)
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vector = rng.normal(0, 0.5, size)
    (point,) = points(pymc_model, vector[None])
    expected = float(pymc_model.compile_logp(mode="FAST_COMPILE")(point))
    value, slope = native(vector, inputs)
    assert value == pytest.approx(expected, rel=1e-10)
    value, expected_slope = log_density_slope(vector, inputs.block_model)
    assert value == pytest.approx(expected, rel=1e-10)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("cutpoints", [1, 2, 7])
@pytest.mark.parametrize(
    ("baseline", "prior"),
    list(itertools.product((*BASELINES, INTEGRATED), PRIORS)),
    ids=lambda case: case if isinstance(case, str) else "integrated",
)
def test_the_native_gradient_is_that_of_the_native_density(baseline, prior, cutpoints):
    inputs = prepared(3, baseline, prior, cutpoints)
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vector, step = np.random.default_rng(8).normal(0, 0.5, size), 1e-6
    _, slope = native(vector, inputs)
    for k in range(size):
        shift = np.zeros(size)
        shift[k] = step
        up, down = (native(vector + side * shift, inputs)[0] for side in (1, -1))
        assert slope[k] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("baseline", "prior"),
    [
        *((baseline, PRIORS[0]) for baseline in (*BASELINES, INTEGRATED)),
        *((BASELINES[1], prior) for prior in PRIORS[1:]),
    ],
    ids=lambda case: case if isinstance(case, str) else "integrated",
)
def test_gradients_are_the_models(baseline, prior):
    inputs = prepared(1, baseline, prior)
    pymc_model = build_pymc_model(inputs)
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vector = np.random.default_rng(9).normal(0, 0.5, size)
    (point,) = points(pymc_model, vector[None])
    expected = pymc_model.compile_dlogp(mode="FAST_COMPILE")(point)
    for _, slope in (native(vector, inputs), log_density_slope(vector, inputs.block_model)):
        np.testing.assert_allclose(slope, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("baseline", [*BASELINES, INTEGRATED], ids=[*BASELINES, "integrated"])
@pytest.mark.parametrize("size", [5000.0, 1e5])
def test_a_density_out_of_range_is_no_number_that_a_sampler_could_take(baseline, size):
    inputs = prepared(1, baseline, "normal(0, 1000)")
    vector = np.zeros(sum(p.size for p in inputs.block_model.sampled_parameters))
    # effects alone: relative hazards are then beyond floats, and their prior hardly falls
    vector[: len(inputs.design.terms)] = size
    value, _ = native(vector, inputs)
    assert not np.isfinite(value)


def test_log_prior_names_every_random_variable():
    inputs = PiecewiseExponential("arm", 0, "x + c", cutpoints=4).prepare(COHORTS[1])
    pymc_model = build_pymc_model(inputs)
    parameters = inputs.block_model.parameters
    size = sum(parameter.size for parameter in parameters)
    density = log_prior(constrain(np.zeros((2, size)), parameters), inputs.block_model)
    assert list(density) == [variable.name for variable in pymc_model.free_RVs]
    assert all(value.shape[0] == 2 for value in density.values())


def test_the_model_names_its_dims():
    model = PiecewiseExponential("arm", 0, "x + c", cutpoints=4).build(COHORTS[3])
    assert set(model.coords) == {
        "interval", "step", "term", "treatment_term", "covariate_term", "patient", "row",
    }  # fmt: skip
    assert model.named_vars_to_dims["event"] == ("patient",)
    assert model.named_vars_to_dims["log_hazard"] == ("interval",)


TERM_PRIOR = StudentT(4.0, 0.1, 0.5)


@dataclass(frozen=True)
class Doubled(Term):
    """A term beside the formula's columns: twice a column."""

    name: str = "doubled"
    prior: StudentT = TERM_PRIOR
    columns_needed: tuple[str, ...] = ("x",)
    terms: tuple[str, ...] = ("twice x",)

    def columns(self, cohort):
        return 2 * cohort.table[["x"]].to_numpy() + cohort.table[["arm"]].to_numpy()

    def blocks(self, place):
        return (place.block_of_columns(self.prior),)

    def describe(self):
        return "twice x"

    def describe_prior(self):
        return self.prior.describe()


def test_a_term_beside_the_formula_is_in_all_densities():
    model = PiecewiseExponential("arm", 0, "c", cutpoints=4, terms=(Doubled(),))
    inputs = model.prepare(COHORTS[3])
    pymc_model = build_pymc_model(inputs)
    assert pymc_model.named_vars_to_dims["doubled_effect"] == ("doubled_term",)
    assert pymc_model.coords["doubled_term"] == ("twice x",)
    size = sum(parameter.size for parameter in inputs.block_model.sampled_parameters)
    vector = np.random.default_rng(5).normal(0, 0.5, size)
    (point,) = points(pymc_model, vector[None])
    expected = float(pymc_model.compile_logp(mode="FAST_COMPILE")(point))
    assert native(vector, inputs)[0] == pytest.approx(expected, rel=1e-10)
    assert log_density_slope(vector, inputs.block_model)[0] == pytest.approx(expected, rel=1e-10)
