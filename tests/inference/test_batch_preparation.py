"""Many cohorts prepared together: the blocks that they make."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from many_cohorts import MODEL, prepared, simulate, stacked

from bayes_crlm import fit_many, read_cohort, stack_cohorts
from bayes_crlm.cohort.stack import batches_of
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.importance import (
    weighted_draws,
)
from bayes_crlm.likelihood.risk_sums import row_exposures
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.prepared_block import block_of_one
from bayes_crlm.model.preparing_many import blocks_of_rows

ARRAYS = ("stop_interval", "stop_within", "entry_interval", "entry_within", "count", "width")


@pytest.fixture(scope="module")
def stack():
    return stacked(range(40))


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
            one = model.prepare(cohorts[int(block.position[k])])
            assert (
                one.design.terms == block.design.terms and one.design.levels == block.design.levels
            )
            np.testing.assert_array_equal(one.intervals.cutpoints, block.intervals.cutpoints[k])
            np.testing.assert_array_equal(one.intervals.events, block.intervals.events[k])
            np.testing.assert_array_equal(one.design.matrix, block.design.matrix[k])
            np.testing.assert_array_equal(one.design.scaled, block.design.scaled[k])
            np.testing.assert_array_equal(one.data.event, block.event[k])
            follow_up = block.sums.follow_up
            for name in ARRAYS:
                np.testing.assert_array_equal(
                    getattr(one.data.follow_up, name), getattr(follow_up, name)[k]
                )
            np.testing.assert_allclose(
                row_exposures(one.data.follow_up, slice(None)),
                row_exposures(follow_up, slice(None))[k],
                rtol=0,
            )
            assert one.log_rate == block.log_rate[k]


def test_cohorts_of_one_shape_are_one_block(stack):
    assert [len(block) for block in prepared(MODEL, stack).blocks] == [40]


@pytest.mark.parametrize("covariates", ["x + group", "x + C(digit)", "C(group) + x:z + I(z**2)"])
def test_cohorts_with_levels_and_ids_are_prepared_together(covariates):
    tables = [simulate(seed, digits=0).assign(id=np.arange(80) + seed) for seed in range(12)]
    for table in tables:
        table["digit"] = (3 * table["x"]).round().clip(-1, 1).astype(int)
    # of these cohorts there is something to say, or they lack a level
    tables[3]["group"] = tables[3]["group"].replace("b", "a")
    tables[3]["digit"] = tables[3]["digit"].replace(0, 1)
    tables[5].loc[1, "id"] = tables[5].loc[0, "id"]
    cohorts = stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death", id="id")
    model = PiecewiseExponential("arm", 0, covariates, cutpoints=2)
    (batch,) = batches_of(cohorts)
    blocks = blocks_of_rows(model, batch.rows, batch.first)
    together = sorted(np.concatenate([block.position for block in blocks]).tolist())
    assert together == [k for k in range(12) if k not in (3, 5)]
    for block in blocks:
        for k in range(len(block)):
            one = model.prepare(cohorts[int(block.position[k])])
            assert one.design.terms == block.design.terms
            np.testing.assert_array_equal(one.design.scaled, block.design.scaled[k])
            np.testing.assert_array_equal(one.data.patient_index, block.patient_index[k])


def test_numbers_that_are_levels_as_they_are_written_stay_apart_in_a_list(tmp_path):
    cohorts = []
    for seed in range(3):
        table = simulate(seed).assign(site=np.resize(["01", "1", "2"], 80))
        table.to_csv(tmp_path / f"{seed}.csv", index=False)
        cohorts.append(read_cohort(tmp_path / f"{seed}.csv", time="time", event="death"))
    model = PiecewiseExponential("arm", 0, "C(site)")
    terms = [each.design.terms for each in map(model.prepare, cohorts)]
    assert terms == [("arm[T.1]", "C(site)[T.1]", "C(site)[T.2]")] * 3
    found = fit_many(model, cohorts, seeds=1).terms.groupby("number")["term"].apply(tuple)
    assert found.tolist() == terms


def test_covariates_that_are_the_outcome_are_refused_in_every_cohort(stack):
    many = fit_many(replace(MODEL, covariates="x + time"), stack.part(0, 3), seeds=1)
    assert many.cohorts["reason"].str.contains("the outcome cannot explain itself").all()


def test_a_prepared_cohort_is_the_only_one_of_its_block(stack):
    one = MODEL.prepare(stack[0])
    block = block_of_one(one, 7)
    (same,) = prepared(MODEL, [stack[0]]).blocks
    assert block.shape == same.shape and block.position == [7]
    for found, expected in zip(stacked_arrays(block), stacked_arrays(same), strict=True):
        np.testing.assert_array_equal(found, expected)


def stacked_arrays(block):
    """All arrays of a block but the cohorts' numbers."""
    for name in block.arrays():
        value = getattr(block, name)
        if isinstance(value, Stacked):
            yield from stacked_arrays(value)
        elif name != "position":
            yield value


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
