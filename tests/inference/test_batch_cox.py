"""Cox regressions of many cohorts at once."""

import numpy as np
import pandas as pd
import pytest
from many_cohorts import MODEL, prepared, simulate, stacked

from bayes_crlm import fit_many, read_cohort, stack_cohorts
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.many_cox import fit_block_cox
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood


@pytest.mark.parametrize("digits", [None, 1, 0, -1])
def test_batched_cox_is_at_the_maximum_with_efron_ties(digits):
    (block,) = prepared(
        PiecewiseExponential("arm", 0, "x + z", cutpoints=[6.0]), stacked(range(20), digits=digits)
    ).blocks
    cox = fit_block_cox(block)
    assert cox.method == ["partial likelihood"] * len(block)
    for k in range(len(block)):
        scale = block.design.matrix[k].std(axis=0)
        likelihood = PartialLikelihood(
            block.entry[k], block.time[k], block.event[k], block.design.matrix[k] / scale
        )
        there = likelihood.at(cox.coef[k] * scale)
        assert np.abs(there.score).max() < 1e-6
        expected = np.sqrt(np.diag(np.linalg.inv(there.information))) / scale
        np.testing.assert_allclose(cox.se[k], expected, rtol=1e-8)


@pytest.mark.parametrize("entry", [None, "start"])
def test_batched_cox_equals_single_cox(entry):
    (block,) = prepared(MODEL, stacked(range(20), entry=entry, digits=1)).blocks
    cox = fit_block_cox(block)
    for k in range(len(block)):
        one = fit_cox(
            block.entry[k],
            block.time[k],
            block.event[k],
            block.design.matrix[k],
            block.design.terms,
        )
        np.testing.assert_allclose(cox.coef[k], one.coef, atol=1e-8)
        np.testing.assert_allclose(cox.se[k], one.se, atol=1e-8)
        np.testing.assert_allclose(np.exp(cox.low[k]), one.ci95[:, 0], rtol=1e-7)
        np.testing.assert_allclose(np.exp(cox.high[k]), one.ci95[:, 1], rtol=1e-7)


def test_batched_cox_has_the_digits_of_a_cohort_alone():
    rng = np.random.default_rng(3)
    tables = []
    # the stronger the effect, the more Newton steps
    for k, effect in enumerate((0.0, 1.0, 2.0, 3.0)):
        x, arm = rng.normal(size=60), np.arange(60) % 2
        time = rng.exponential(np.exp(-effect * x))
        tables.append(pd.DataFrame({"k": k, "arm": arm, "x": x, "t": time, "d": 1}))
    cohorts = stack_cohorts(pd.concat(tables), cohort="k", time="t", event="d")
    (block,) = prepared(PiecewiseExponential("arm", 0, "x", cutpoints=3), cohorts).blocks
    together = fit_block_cox(block)
    for k in range(len(block)):
        alone = fit_block_cox(block.part(slice(k, k + 1)))
        for name in ("coef", "se", "low", "high"):
            np.testing.assert_array_equal(getattr(alone, name)[0], getattr(together, name)[k])


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


def test_a_separated_cohort_that_takes_newtons_steps_out_of_range_stops_no_other():
    """What the library says of it is an error."""
    table = pd.DataFrame({"t": range(1, 7), "d": [1, 0, 0, 1, 1, 1]})
    table["start"] = [0, 1, 0, 1, 2, 0]
    table["arm"], table["x"] = [1, 1, 1, 0, 0, 1], [5, 1, 4, 4, 2, 6]
    separated = read_cohort(table, time="t", event="d", entry="start")
    other = read_cohort(table.assign(d=[1, 1, 1, 1, 0, 1]), time="t", event="d", entry="start")
    model = PiecewiseExponential("arm", 0, "x", cutpoints=1)
    many = fit_many(model, [separated, other], seeds=1)
    assert many.cohorts["cox_method"].tolist() == ["Firth", "partial likelihood"]
