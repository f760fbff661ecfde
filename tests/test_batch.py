"""Many cohorts at once: the same numbers as one by one, and failures that say so."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bayes_crlm import fit_many, read_cohort, stack_cohorts
from bayes_crlm.batch.cox import fit_block_cox, newton
from bayes_crlm.batch.preparation import prepare_slab
from bayes_crlm.batch.stack import slabs_of
from bayes_crlm.batch.summary import weighted_quantiles
from bayes_crlm.cox import fit_cox
from bayes_crlm.errors import BayesCRLMError, CohortError, PriorError
from bayes_crlm.importance import weighted_draws
from bayes_crlm.model import PiecewiseExponential
from bayes_crlm.partial_likelihood import PartialLikelihood

ARRAYS = ("stop_interval", "stop_within", "entry_interval", "entry_within", "count", "width")


def simulate(seed, rows=80, digits=None):
    rng = np.random.default_rng(seed)
    arm, x, z = rng.integers(2, size=rows), rng.normal(size=rows), rng.uniform(1, 9, size=rows)
    death = rng.exponential(np.exp(0.5 * arm - 0.4 * x) * 10)
    end = rng.uniform(5, 30, size=rows)
    time = np.minimum(death, end)
    table = pd.DataFrame({"time": time, "death": (death <= end).astype(int), "arm": arm})
    if digits is not None:
        table["time"] = np.maximum(table["time"].round(digits), 0.5)
    table["start"] = np.where(rng.uniform(size=rows) < 0.3, 0.4 * table["time"], 0.0)
    table["group"] = rng.choice(list("abc"), size=rows)
    return table.assign(x=x, z=z, cohort=seed)


def stacked(seeds, entry=None, **settings):
    tables = [simulate(seed, **settings) for seed in seeds]
    return stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry=entry
    )


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


MODEL = PiecewiseExponential("arm", 0, "x + log(z)", cutpoints=4, baseline="independent")


def prepared(model, cohorts):
    (slab,) = slabs_of(cohorts)
    return prepare_slab(model, slab)


@pytest.mark.parametrize("cutpoints", [5, "auto", [3.0, 8.0], [3.0, 29.9]])
@pytest.mark.parametrize(
    "covariates", ["", "x", "x + log(z) + x:z", "center(x) + scale(z)", "x + group", "bs(x, df=4)"]
)
@pytest.mark.parametrize("digits", [None, 0])
def test_cohorts_prepared_together_are_those_prepared_one_by_one(cutpoints, covariates, digits):
    tables = [simulate(seed, rows=60 + 7 * (seed % 3), digits=digits) for seed in range(12)]
    cohorts = stack_cohorts(
        pd.concat(tables), cohort="cohort", time="time", event="death", entry="start"
    )
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=cutpoints)
    together = prepared(model, cohorts)
    assert sum(len(block) for block in together.blocks) + len(together.failures) == 12
    for block in together.blocks:
        for k in range(len(block)):
            one, other = model.prepare(cohorts[int(block.position[k])]), block.inputs(k, model)
            assert one.design.terms == other.design.terms
            assert one.structure == other.structure
            np.testing.assert_array_equal(one.intervals.cutpoints, other.intervals.cutpoints)
            np.testing.assert_array_equal(one.intervals.events, other.intervals.events)
            np.testing.assert_array_equal(one.design.matrix, other.design.matrix)
            np.testing.assert_array_equal(one.design.scaled, other.design.scaled)
            np.testing.assert_array_equal(one.design.treatment_level, other.design.treatment_level)
            np.testing.assert_array_equal(one.data.event, other.data.event)
            for name in ARRAYS:
                np.testing.assert_array_equal(
                    getattr(one.data.follow_up, name), getattr(other.data.follow_up, name)
                )
            assert one.log_rate == other.log_rate


def test_cohorts_of_one_shape_are_one_block(stack):
    assert [len(block) for block in prepared(MODEL, stack).blocks] == [40]


def test_a_row_depends_on_cohort_and_seed_alone(stack):
    everything = fit_many(MODEL, stack, seeds=3, jobs=1)
    seeds = everything.cohorts["seed"].tolist()
    chosen = [17, 4, 30]
    some = fit_many(MODEL, [stack[k] for k in chosen], [seeds[k] for k in chosen], jobs=2)
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


@pytest.mark.parametrize("baseline", ["independent", "gamma", "random_walk"])
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


@pytest.mark.parametrize("digits", [None, 1, 0, -1])
def test_batched_cox_is_at_the_maximum_with_efron_ties(digits):
    (block,) = prepared(
        PiecewiseExponential("arm", 0, "x + z", cutpoints=[6.0]), stacked(range(20), digits=digits)
    ).blocks
    coef, se, is_sure = newton(block)
    assert is_sure.all()
    for k in range(len(block)):
        scale = block.matrix[k].std(axis=0)
        likelihood = PartialLikelihood(
            block.entry[k], block.time[k], block.event[k], block.matrix[k] / scale
        )
        there = likelihood.at(coef[k] * scale)
        assert np.abs(there.score).max() < 1e-6
        expected = np.sqrt(np.diag(np.linalg.inv(there.information))) / scale
        np.testing.assert_allclose(se[k], expected, rtol=1e-8)


@pytest.mark.parametrize("entry", [None, "start"])
def test_batched_cox_equals_single_cox(entry):
    (block,) = prepared(MODEL, stacked(range(20), entry=entry, digits=1)).blocks
    cox = fit_block_cox(block)
    for k in range(len(block)):
        one = fit_cox(block.entry[k], block.time[k], block.event[k], block.matrix[k], block.terms)
        np.testing.assert_allclose(cox.coef[k], one.coef, atol=1e-8)
        np.testing.assert_allclose(cox.se[k], one.se, atol=1e-8)
        np.testing.assert_allclose(np.exp(cox.low[k]), one.ci95[:, 0], rtol=1e-7)
        np.testing.assert_allclose(np.exp(cox.high[k]), one.ci95[:, 1], rtol=1e-7)


def test_cox_of_a_separated_cohort_is_firths():
    table = simulate(1)
    table.loc[table["arm"] == 1, "death"] = 0
    cohort = read_cohort(table.drop(columns="cohort"), time="time", event="death")
    many = fit_many(MODEL, [stacked([2])[0], cohort], seeds=1)
    assert many.cohorts["cox_method"].tolist() == ["partial likelihood", "Firth"]
    one = fit_cox(
        cohort.entry, cohort.time, cohort.event,
        MODEL.prepare(cohort).design.matrix, MODEL.prepare(cohort).design.terms,
    )  # fmt: skip
    row = many.of_term().iloc[1]
    assert row["cox_log_hr"] == pytest.approx(one.coef[0], rel=1e-12)
    assert "arm[T.1]" in row["cox_note"]


def test_cohorts_that_cannot_be_fitted_say_why_and_leave_the_others_alone(stack):
    good = simulate(0)
    broken = {
        "no event": good.assign(death=0),
        "negative time": good.assign(time=-1.0),
        "constant": good.assign(x=1.0),
        "one arm": good.assign(arm=0),
        "missing": good.assign(x=np.nan),
        "log of nothing": good.assign(z=0.0),
    }
    tables = [good.assign(cohort="first")]
    tables += [table.assign(cohort=name) for name, table in broken.items()]
    tables.append(simulate(1).assign(cohort="last"))
    cohorts = stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death")
    many = fit_many(MODEL, cohorts, seeds=[5] * len(tables))
    assert many.cohorts["cohort"].tolist() == ["first", *broken, "last"]
    assert many.cohorts["is_fitted"].tolist() == [True, *[False] * len(broken), True]
    for name, words in (
        ("no event", "at least one must be 1"), ("negative time", "zero or negative"),
        ("constant", "constant"), ("one arm", "only the level 0"), ("missing", "missing"),
        ("log of nothing", "not finite"),
    ):  # fmt: skip
        row = many.cohorts.set_index("cohort").loc[name]
        assert words in row["reason"] and math.isnan(row["pareto_k"])
    of_term = many.of_term("arm[T.1]")
    assert of_term["mean_log"].notna().tolist() == many.cohorts["is_fitted"].tolist()
    alone = fit_many(MODEL, [read_cohort(good, time="time", event="death")], seeds=[5])
    assert of_term["mean_log"][0] == alone.of_term()["mean_log"][0]
    assert "2 fitted" in repr(many) and "6 not fitted" in repr(many)


def draw_cohort(draw):
    rows = draw(st.integers(6, 14))
    times = st.sampled_from([1e-6, 0.5, 1.0, 2.0, 3.0, 7.0, 1e6])
    columns = {
        "time": draw(st.lists(times, min_size=rows, max_size=rows)),
        "death": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "arm": draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)),
        "x": draw(st.lists(st.sampled_from([-1e3, 0.0, 1.0, 2.0]), min_size=rows, max_size=rows)),
    }
    return pd.DataFrame(columns)


small_cohorts = st.composite(draw_cohort)()
# Newton's first step in Cox's likelihood leaves nobody at risk with any weight
LONG_STEP = pd.DataFrame(
    {
        "time": [1e-6, 1e-6, 1e-6, 0.5, 1e-6, 1e-6],
        "death": [0, 0, 0, 1, 1, 0],
        "arm": [0, 0, 1, 0, 0, 1],
        "x": [-1e3, -1e3, -1e3, 0.0, 1.0, -1e3],
    }
)


@given(
    table=small_cohorts,
    baseline=st.sampled_from(["independent", "gamma", "random_walk"]),
    prior=st.sampled_from(["normal(0, 1)", "normal(0, 100)", "laplace(0, 1)"]),
)
@example(table=LONG_STEP, baseline="independent", prior="normal(0, 1)")
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_number_comes_without_its_flag(table, baseline, prior):
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=2, baseline=baseline, treatment_prior=prior
    )
    both = pd.concat([table.assign(cohort=1), simulate(3, rows=30).assign(cohort=2)])
    cohorts = stack_cohorts(both, cohort="cohort", time="time", event="death")
    many = fit_many(model, cohorts, seeds=1, draws=400)
    assert many.cohorts["is_fitted"][1]
    row = many.cohorts.iloc[0]
    assert bool(row["reason"]) == (not row["is_trustworthy"])
    numbers = many.terms[many.terms["number"] == 0][["mean_log", "sd_log", "median", "eti95_low"]]
    if row["is_fitted"]:
        assert np.isfinite(numbers.to_numpy()).all() and len(numbers)
        assert (numbers["sd_log"] > 0).all()
        assert not row["is_trustworthy"] or row["pareto_k"] <= 0.7
    else:
        assert numbers.isna().all(axis=None)


def test_quantiles_of_equal_weights_are_hazens():
    value = np.random.default_rng(1).normal(size=(2, 3, 200))
    found = weighted_quantiles(value, np.full((2, 200), 1 / 200))
    expected = np.quantile(value, [0.025, 0.5, 0.975], axis=2, method="hazen")
    np.testing.assert_allclose(found, np.moveaxis(expected, 0, 2), rtol=1e-12)


def test_a_generator_of_cohorts_will_do(stack):
    from_generator = fit_many(MODEL, (stack[k] for k in range(3)), seeds=1)
    np.testing.assert_array_equal(
        from_generator.terms["mean_log"],
        fit_many(MODEL, stack, seeds=1).terms["mean_log"][: 3 * 3],
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"draws": 50}, "too few"),
        ({"engine": "fast"}, "unknown"),
        ({"jobs": 0}, "impossible"),
        ({"thresholds": [0.0]}, "above 0"),
        ({"seeds": -1}, "negative"),
        ({"seeds": [1, 2]}, "more cohorts"),
        ({"seeds": list(range(41))}, "41 seeds for 40 cohorts"),
    ],
)
def test_arguments_that_cannot_be_are_refused(stack, change, words):
    with pytest.raises(ValueError, match=words):
        fit_many(MODEL, stack, **change)


def test_models_wrong_for_every_cohort_are_refused_at_once(stack):
    horseshoe = PiecewiseExponential("arm", 0, "x", covariate_prior="horseshoe(1)")
    with pytest.raises(PriorError, match="needs NUTS"):
        fit_many(horseshoe, stack)
    with pytest.raises(BayesCRLMError, match="open"):
        fit_many(PiecewiseExponential("arm", 0, "open(x)"), stack)
    with pytest.raises(ValueError, match="no cohort has a term"):
        fit_many(MODEL, stack, seeds=1).of_term("age")


def test_a_table_without_the_cohorts_column_is_refused():
    with pytest.raises(CohortError, match="did you mean"):
        stack_cohorts(simulate(1), cohort="cohrt", time="time", event="death")
    missing = simulate(1).assign(cohort=np.nan)
    with pytest.raises(CohortError, match="missing in row 1"):
        stack_cohorts(missing, cohort="cohort", time="time", event="death")


def test_cohorts_whose_rows_are_mixed_keep_their_rows():
    tables = pd.concat([simulate(seed) for seed in (5, 6)])
    mixed = tables.sample(frac=1, random_state=1)
    stack = stack_cohorts(mixed, cohort="cohort", time="time", event="death")
    for k, label in enumerate(stack.labels):
        expected = mixed[mixed["cohort"] == label]["time"].to_numpy()
        np.testing.assert_array_equal(stack[k].time, expected)


def test_several_rows_a_patient_go_through_the_usual_path(simulated_cohorts):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline="gamma")
    cohort = simulated_cohorts[3]
    many = fit_many(model, [cohort] * 2, seeds=[1, 1])
    assert many.cohorts["n_patients"].tolist() == [cohort.n_patients] * 2
    single = weighted_draws(model.prepare(cohort), 20_000, np.random.default_rng(1))
    row, scale = many.of_term().iloc[0], model.prepare(cohort).design.scale[0]
    error = 5 * row["sd_log"] / math.sqrt(row["importance_ess"])
    assert abs(row["mean_log"] - single.weight @ single.effect[:, 0] / scale) < error


@pytest.mark.slow
def test_escalated_cohorts_are_fitted_by_nuts():
    table = simulate(1, rows=24)
    table.loc[table["arm"] == 1, "death"] = 0
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=2, baseline="independent", treatment_prior="normal(0, 20)"
    )
    cohort = read_cohort(table, time="time", event="death")
    plain = fit_many(model, [cohort], seeds=1)
    assert not plain.cohorts["is_trustworthy"][0]
    many = fit_many(model, [cohort], seeds=1, escalate=True)
    assert many.cohorts["engine"][0] == "nuts" and "NUTS was used" in many.cohorts["reason"][0]
    fit = model.fit(cohort, seed=2)
    row, expected = many.of_term().iloc[0], fit.coefficients().iloc[0]
    error = 5 * math.sqrt(2) * expected["mcse_mean_log"]
    assert abs(row["mean_log"] - expected["mean_log"]) < error
