"""The JAX engine: the `pm.Model`'s own density, and the same posteriors as NumPy's."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, fit_many
from bayes_crlm.errors import PriorError
from bayes_crlm.importance import log_target
from bayes_crlm.parameters import sampled_parameters
from bayes_crlm.priors import GammaProcess
from bayes_crlm.psis import pareto_smooth
from bayes_crlm.pymc_model import build_density_model, density_model_data

jax = pytest.importorskip("jax", reason="JAX is not installed; pip install 'bayes_crlm[jax]'")

from bayes_crlm.batch import jax_engine, jax_weights  # noqa: E402
from bayes_crlm.batch.preparation import prepare_slab  # noqa: E402
from bayes_crlm.batch.stack import slabs_of, stack_cohorts  # noqa: E402
from bayes_crlm.jax_density import jax_log_density  # noqa: E402

BASELINES = ["independent", "gamma", "random_walk", GammaProcess(1.0, is_integrated=True)]


def simulate(seed, rows=50):
    rng = np.random.default_rng(seed)
    arm, x = rng.integers(2, size=rows), rng.normal(size=rows)
    death = rng.exponential(np.exp(0.5 * arm - 0.4 * x) * 10)
    end = rng.uniform(5, 30, size=rows)
    time, event = np.minimum(death, end), (death <= end).astype(int)
    table = pd.DataFrame({"time": time, "death": event, "arm": arm, "x": x, "cohort": seed})
    return table.assign(start=np.where(x > 1, 0.3 * time, 0.0))


def stacked(seeds):
    tables = pd.concat([simulate(seed, rows=48 + 3 * (seed % 2)) for seed in seeds])
    return stack_cohorts(tables, cohort="cohort", time="time", event="death", entry="start")


@pytest.mark.parametrize("baseline", BASELINES, ids=str)
@pytest.mark.parametrize("rows", [1, 3])
def test_density_is_that_of_the_pymc_model(simulated_cohorts, baseline, rows):
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=4, baseline=baseline, treatment_prior="laplace(0, 1)",
        covariate_prior="student_t(4, 0, 1)",
    )  # fmt: skip
    inputs = model.prepare(simulated_cohorts[rows])
    data = density_model_data(inputs)
    pymc_model = build_density_model(inputs)
    size = sum(parameter.size for parameter in sampled_parameters(inputs))
    points = np.random.default_rng(rows).normal(0, 0.5, (4, size))
    with jax.enable_x64(True):
        density = jax_log_density(inputs)
        found = [float(density(point, data)) for point in points]
        slope = np.asarray(jax.grad(density)(points[0], data))
    start, of_pymc = pymc_model.initial_point(), pymc_model.compile_logp(mode="FAST_COMPILE")
    expected = []
    for point in points:
        parts, position = {}, 0
        for value in pymc_model.value_vars:
            shape = np.shape(start[value.name])
            stop = position + int(np.prod(shape))
            parts[value.name] = point[position:stop].reshape(shape)
            position = stop
        expected.append(float(of_pymc(parts)))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    if not inputs.is_baseline_integrated:
        np.testing.assert_allclose(found, log_target(points, inputs), rtol=1e-10)
    with jax.enable_x64(True):
        steps = 1e-6 * np.eye(size)
        differences = [
            float(density(points[0] + each, data) - density(points[0] - each, data)) / 2e-6
            for each in steps
        ]
    np.testing.assert_allclose(slope, differences, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("draws", [100, 1000])
def test_weights_and_their_tail_are_those_of_numpy(draws):
    log_ratio = np.random.default_rng(draws).standard_t(5, size=draws)
    log_ratio[:3] = -np.inf
    with jax.enable_x64(True):
        order, weight, pareto_k = map(np.asarray, jax_weights.pareto_smooth(log_ratio))
    log_weight, expected_k = pareto_smooth(log_ratio)
    np.testing.assert_allclose(weight, np.exp(log_weight)[order], rtol=1e-9, atol=1e-300)
    assert pareto_k == pytest.approx(float(expected_k), rel=1e-9)


def test_filled_up_rows_change_nothing():
    (slab,) = slabs_of(stacked([1, 3, 5]))
    model = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline="independent")
    (block,) = prepare_slab(model, slab).blocks
    arrays, shared = jax_engine.cohort_arrays(block), jax_engine.prior_arrays(block, model)
    assert arrays["design"].shape[1] > block.n_rows
    point = np.linspace(-0.5, 0.5, 5) + np.array([0, 0, -3, -3, -3])
    for k in range(len(block)):
        inputs = block.inputs(k, model)
        data = {name: values[k] for name, values in arrays.items()} | shared
        with jax.enable_x64(True):
            filled = jax_log_density(inputs, data)(point, data)
        assert float(filled) == pytest.approx(log_target(point[None], inputs)[0], rel=1e-12)


@pytest.mark.parametrize(
    ("baseline", "prior"),
    [("independent", "normal(0, 1)"), ("gamma", "student_t(4, 0, 1)"), ("gamma", "laplace(0, 1)")],
)
def test_posteriors_are_those_of_the_numpy_engine(baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=3, baseline=baseline, treatment_prior=prior, covariate_prior=prior
    )
    stack = stacked(range(8))
    before = jax.config.jax_enable_x64
    by_jax = fit_many(model, stack, seeds=1, engine="jax")
    assert jax.config.jax_enable_x64 == before
    by_numpy = fit_many(model, stack, seeds=2, engine="numpy", draws=20_000)
    assert by_jax.cohorts["is_trustworthy"].all() and (by_jax.cohorts["engine"] == "jax").all()
    number = by_jax.terms["number"]
    ess = by_jax.cohorts["importance_ess"].to_numpy()[number]
    error = np.sqrt(1 / ess + 1 / by_numpy.cohorts["importance_ess"].to_numpy()[number])
    assert ess.min() > 500
    sd = by_numpy.terms["sd_log"]
    assert np.all(np.abs(by_jax.terms["mean_log"] - by_numpy.terms["mean_log"]) < 5 * sd * error)
    assert np.all(np.abs(by_jax.terms["sd_log"] / sd - 1) < 5 * error)
    for name in ("prob_below_1.0", "prob_below_0.8"):
        assert np.all(np.abs(by_jax.terms[name] - by_numpy.terms[name]) < 5 * 0.5 * error)
    np.testing.assert_array_equal(by_jax.terms["cox_log_hr"], by_numpy.terms["cox_log_hr"])
    # one cohort alone, in an array of another size: the same but for rounding
    seeds = by_jax.cohorts["seed"].tolist()
    alone = fit_many(model, [stack[5]], seeds=[seeds[5]], engine="jax")
    np.testing.assert_allclose(
        alone.terms["mean_log"], by_jax.terms["mean_log"][number == 5], rtol=1e-7
    )


def test_a_separated_cohort_with_a_vague_prior_is_not_trusted():
    table = simulate(1, rows=30)
    table.loc[table["arm"] == 1, "death"] = 0
    stack = stack_cohorts(table, cohort="cohort", time="time", event="death")
    model = PiecewiseExponential(
        "arm", 0, cutpoints=2, baseline="gamma", treatment_prior="normal(0, 50)"
    )
    many = fit_many(model, stack, seeds=1, engine="jax")
    assert not many.cohorts["is_trustworthy"][0] and many.cohorts["reason"][0]


def test_random_walks_are_refused():
    with pytest.raises(PriorError, match="engine 'numpy'"):
        fit_many(PiecewiseExponential("arm", 0, "x"), stacked([1]), engine="jax")


def test_batches_fit_into_memory():
    small, large = jax_engine.batch_size(1000, 160), jax_engine.batch_size(1000, 2**24)
    assert small <= jax_engine.MOST_ON_CPU or jax_engine.has_gpu()
    assert large == 1
