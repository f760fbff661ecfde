"""Many cohorts at once: the same numbers as one by one."""

import doctest
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from many_cohorts import MODEL, WALKS, simulate, stacked

from bayes_crlm import fit_many, stack_cohorts
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.importance import (
    weighted_draws,
)
from bayes_crlm.model.baseline_priors import RandomWalk


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_a_row_depends_on_cohort_and_seed_alone(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    everything = fit_many(model, stack, seeds=3, jobs=1)
    seeds = everything.cohorts["seed"].tolist()
    chosen = [17, 4, 30]
    some = fit_many(model, [stack[k] for k in chosen], [seeds[k] for k in chosen], jobs=2)
    numbers = [name for name in everything.terms if name not in ("cohort", "number", "term")]
    for place, k in enumerate(chosen):
        one = some.terms[some.terms["number"] == place][numbers]
        other = everything.terms[everything.terms["number"] == k][numbers]
        np.testing.assert_array_equal(one.to_numpy(), other.to_numpy())
        for name in ("pareto_k", "importance_ess"):
            assert some.cohorts[name][place] == everything.cohorts[name][k]


def test_the_same_seed_gives_the_same_result_and_another_one_does_not(stack):
    first, again, other = (fit_many(MODEL, stack, seeds=seed, cox=False) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.terms, again.terms)
    assert (first.terms["mean_log"] != other.terms["mean_log"]).all()
    assert first.cohorts["seed"].is_unique


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
@pytest.mark.parametrize("prior", ["normal(0.2, 0.5)", "student_t(3, 0, 1)", "laplace(0, 0.4)"])
def test_summaries_are_those_of_single_fits(baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x + z", cutpoints=4, baseline=baseline,
        treatment_prior=prior, covariate_prior=prior,
    )  # fmt: skip
    stack = stacked(range(6), entry="start")
    many = fit_many(model, stack, seeds=5, thresholds=(1.0, 0.9))
    assert many.cohorts["is_trustworthy"].all()
    for k in range(6):
        inputs = model.prepare(stack[k])
        single = weighted_draws(inputs, 20_000, np.random.default_rng(99 + k))
        value = single.effect / inputs.design.scale
        mean = single.weight @ value
        sd = np.sqrt(single.weight @ (value - mean) ** 2)
        rows = many.terms[many.terms["number"] == k]
        # of independent draws; mirrored pairs only make it smaller
        error = np.sqrt(1 / many.cohorts["importance_ess"][k] + 1 / single.ess)
        assert np.all(np.abs(rows["mean_log"] - mean) < 5 * sd * error)
        assert np.all(np.abs(rows["sd_log"] / sd - 1) < 5 * error)
        for threshold in (1.0, 0.9):
            share = single.weight @ (value < math.log(threshold))
            told = rows[f"prob_below_{threshold}"]
            assert np.all(np.abs(told - share) < 5 * 0.5 * error)
        for name, probability in (("eti95_low", 0.025), ("median", 0.5), ("eti95_high", 0.975)):
            reached = [single.weight @ (value[:, j] < limit) for j, limit in enumerate(rows[name])]
            spread = math.sqrt(probability * (1 - probability)) * error
            assert np.all(np.abs(np.array(reached) - probability) < 5 * spread)


def assert_same_posterior(inputs, many, number, seed):
    """A row agrees with many draws of the engine for one cohort, within Monte Carlo error."""
    single = weighted_draws(inputs, 20_000, np.random.default_rng(seed))
    value = single.effect / inputs.design.scale
    mean = single.weight @ value
    sd = np.sqrt(single.weight @ (value - mean) ** 2)
    rows = many.terms[many.terms["number"] == number]
    error = np.sqrt(1 / many.cohorts["importance_ess"][number] + 1 / single.ess)
    assert np.all(np.abs(rows["mean_log"] - mean) < 5 * sd * error)
    assert np.all(np.abs(rows["sd_log"] / sd - 1) < 5 * error)


def late_and_lone(table):
    """One event alone, at the end of somebody's follow-up."""
    return table.assign(death=(np.arange(len(table)) == 7).astype(int))


ODD_WALKS = {
    "one interval is not a walk": (replace(WALKS, cutpoints=1), lambda table: table),
    "two intervals": (replace(WALKS, cutpoints=2), lambda table: table),
    "many intervals": (replace(WALKS, cutpoints=16), lambda table: table),
    "ties": (replace(WALKS, cutpoints=[4.0, 8.0]), lambda t: t.assign(time=np.ceil(t["time"]))),
    "one event": (replace(WALKS, cutpoints=1), late_and_lone),
    "an arm without events": (WALKS, lambda t: t.assign(death=t["death"] * (1 - t["arm"]))),
    "huge times": (WALKS, lambda t: t.assign(time=1e6 * t["time"], start=1e6 * t["start"])),
    "tiny times": (WALKS, lambda t: t.assign(time=1e-6 * t["time"], start=1e-6 * t["start"])),
    "heavy tails": (replace(WALKS, treatment_prior="student_t(2, 0, 1)"), lambda table: table),
    "a kink": (replace(WALKS, treatment_prior="laplace(0, 0.3)"), lambda table: table),
    "steps nearly none": (replace(WALKS, baseline=RandomWalk(2.0, 0.01)), lambda table: table),
    "steps without bound": (replace(WALKS, baseline=RandomWalk(5.0, 20.0)), lambda table: table),
}


@pytest.mark.parametrize("case", ODD_WALKS)
@pytest.mark.parametrize("entry", [None, "start"])
def test_random_walks_of_odd_cohorts_are_those_of_single_fits(case, entry):
    model, change = ODD_WALKS[case]
    tables = [change(simulate(seed)) for seed in range(3)]
    cohorts = stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry=entry
    )
    many = fit_many(model, cohorts, seeds=8)
    assert many.cohorts["is_trustworthy"].all()
    for k in range(3):
        assert_same_posterior(model.prepare(cohorts[k]), many, k, seed=40 + k)


def test_random_walks_with_several_rows_a_patient_are_those_of_single_fits(simulated_cohorts):
    many = fit_many(WALKS, [simulated_cohorts[3], simulated_cohorts[1]], seeds=8)
    for number, rows in enumerate((3, 1)):
        assert_same_posterior(WALKS.prepare(simulated_cohorts[rows]), many, number, seed=rows)


def test_random_walks_agree_with_nuts(colon_fit):
    many = fit_many(colon_fit.model, [colon_fit.inputs.cohort] * 3, seeds=[1, 2, 3], draws=4000)
    nuts = colon_fit.coefficients()
    for number in range(3):
        rows = many.terms[many.terms["number"] == number].set_index("term")
        ess = many.cohorts["importance_ess"][number]
        mean, sd = rows.loc[nuts["term"], ["mean_log", "sd_log"]].to_numpy().T
        error = np.hypot(nuts["mcse_mean_log"], nuts["sd_log"] / math.sqrt(ess))
        assert np.all(np.abs(mean - nuts["mean_log"]) < 5 * error)
        np.testing.assert_allclose(sd, nuts["sd_log"], rtol=0.1)


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk", "log_time_walk"])
def test_a_list_of_cohorts_gives_the_numbers_of_their_stack(stack, baseline):
    model = replace(MODEL, baseline=baseline)
    from_list = fit_many(model, list(stack)[:5], seeds=1).terms
    from_stack = fit_many(model, stack, seeds=1).terms[: len(from_list)]
    np.testing.assert_array_equal(from_list["mean_log"], from_stack["mean_log"])
    np.testing.assert_array_equal(from_list["cox_log_hr"], from_stack["cox_log_hr"])


def test_the_page_on_batches_is_true():
    page = Path(__file__).parents[2] / "docs" / "batches.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted and not found.failed


@pytest.mark.parametrize("baseline", ["independent", "random_walk"])
def test_summaries_agree_with_long_stan_runs_and_cox_with_r(references, baseline):
    reference = references["colon_early_recurrence"]
    model = PiecewiseExponential(
        "rx", "Lev", "age + sex + nodes + extent", cutpoints=8, baseline=baseline
    )
    many = fit_many(model, [reference.cohort] * 2, seeds=[1, 2], draws=4000)
    stan = reference.results[f"posterior_{baseline}"]["beta_scaled"]
    scale = np.array(reference.results["scaling"]["scale"])
    for number in range(2):
        rows = many.terms[many.terms["number"] == number]
        error = np.array(stan["sd"]) / math.sqrt(many.cohorts["importance_ess"][number])
        combined = np.hypot(error, stan["mcse_mean"])
        assert np.all(np.abs(rows["mean_log"] * scale - stan["mean"]) < 4 * combined)
        np.testing.assert_allclose(rows["sd_log"] * scale, stan["sd"], rtol=0.05)
        cox = reference.results["cox_efron"]
        np.testing.assert_allclose(rows["cox_log_hr"], cox["coef"], atol=1e-5)
        np.testing.assert_allclose(rows["cox_se"], cox["se"], atol=1e-5)


def test_a_generator_of_cohorts_will_do(stack):
    from_generator = fit_many(MODEL, (stack[k] for k in range(3)), seeds=1)
    np.testing.assert_array_equal(
        from_generator.terms["mean_log"],
        fit_many(MODEL, stack, seeds=1).terms["mean_log"][: 3 * 3],
    )
