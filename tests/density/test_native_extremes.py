"""The native library at the edges: hazards beyond floats, no columns, one row, no number at all."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from test_native import LEVELS

from bayes_crlm import PiecewiseExponential, fit_many, read_cohort, stack_cohorts
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.groups import log_integrals, sample_effects
from bayes_crlm.inference.psis import pareto_smooth
from bayes_crlm.likelihood.hazard_table import LogHazards, log_likelihood
from bayes_crlm.model.families import Normal
from bayes_crlm.model.terms.blocks import Block, Cells, Columns
from models import MODELS, rows

every_level = pytest.mark.parametrize("level", LEVELS)
# so wide that its density is a constant, its slope nothing
FLAT = Normal(0.0, 1e12)
CONSTANT = float(FLAT.log_density(np.zeros(1))[0])


def blocks_of(n_terms, data):
    cells = data.n_classes * len(data.follow_up.width)
    hazards = Block("log_hazard", Cells.of_strata(data.stratum_of_class), (FLAT,) * cells)
    effects = (Block("effect", Columns(0, n_terms), (FLAT,) * n_terms),) if n_terms else ()
    return (*effects, hazards)


def some_rows(n_rows=40, n_terms=2, n_classes=1, *, is_delayed=False):
    data = rows(strata=tuple(range(n_classes)), is_delayed=is_delayed)
    design = np.random.default_rng(1).normal(size=(n_rows, n_terms))
    return data.rows(np.arange(n_rows), design=design)


@every_level
@pytest.mark.parametrize("n_terms", [0, 1, 2, 13])
@pytest.mark.parametrize("n_rows", [1, 8, 9])
def test_one_row_and_no_columns(level, n_rows, n_terms):
    data = some_rows(n_rows, n_terms)
    vector = np.random.default_rng(2).normal(0, 0.3, n_terms + 5)
    # NumPy wants a column: one of zeros
    columns = np.column_stack([data.design, np.zeros(n_rows)])
    hazards = LogHazards(vector[None, n_terms:], np.append(vector[:n_terms], 0.0), ())
    expected = log_likelihood(hazards, replace(data, design=columns))
    value, slope = native_density(data, blocks_of(n_terms, data), level).value_and_slope(vector)
    assert value - len(vector) * CONSTANT == pytest.approx(float(expected), rel=1e-12, abs=1e-12)
    assert np.isfinite(slope).all()


@every_level
def test_a_class_without_rows_has_no_say(level):
    data = some_rows(n_classes=3)
    data = replace(data, row_class=2 * (data.row_class > 0))  # nobody is in the one between
    vector = np.random.default_rng(2).normal(0, 0.3, 2 + 15)
    density = native_density(data, blocks_of(2, data), level)
    value, slope = density.value_and_slope(vector)
    vector[7:12] += 1.0
    assert density.value_and_slope(vector)[0] == pytest.approx(value, rel=1e-14)
    assert np.allclose(slope[7:12], 0, atol=1e-20)


@every_level
def test_rows_without_weight_are_as_if_they_were_not_there(level):
    data = some_rows(is_delayed=True)
    some = np.arange(40) % 3 > 0
    vector = np.random.default_rng(2).normal(0, 0.3, 7)
    weighted = native_density(data.weighted(some.astype(float)), blocks_of(2, data), level)
    fewer = data.rows(np.flatnonzero(some))
    value, slope = weighted.value_and_slope(vector)
    expected, expected_slope = native_density(fewer, blocks_of(2, data), level).value_and_slope(
        vector
    )
    assert value == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(slope, expected_slope, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("shift", [-700.0, 700.0])
@every_level
def test_hazards_at_the_ends_of_floats(level, shift):
    """A unit of time e^shift times as long moves log-hazards by shift, and nothing else."""
    data = some_rows()
    follow_up = data.follow_up
    unit = np.exp(-shift)
    other = replace(
        follow_up, width=follow_up.width * unit, stop_within=follow_up.stop_within * unit
    )
    vector = np.random.default_rng(2).normal(0, 0.3, 7)
    moved = vector + np.array([0, 0, *[shift] * 5])
    value, slope = native_density(data, blocks_of(2, data), level).value_and_slope(vector)
    far = native_density(replace(data, follow_up=other), blocks_of(2, data), level)
    found, found_slope = far.value_and_slope(moved)
    assert found == pytest.approx(value + data.event.sum() * shift, rel=1e-10)
    np.testing.assert_allclose(found_slope, slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e308, -1e308, 800.0])
@every_level
def test_far_away_the_density_is_low_or_no_number(level, name, number):
    """Every unknown in turn; never a plausible value, never memory that is not its own."""
    model = MODELS[name]()
    size = sum(parameter.size for parameter in model.sampled_parameters)
    density = native_density(model.data, model.blocks, level)
    near = density.value(np.zeros(size))
    for k in range(size):
        vector = np.zeros(size)
        vector[k] = number
        assert not density.value(vector) > near + 50


@pytest.mark.parametrize("hazard", [np.nan, np.inf, 1e308, 0.0, -1e-18])
@every_level
def test_groups_whose_hazard_is_no_number_give_none(level, hazard):
    hazards, events, scale = np.full((3, 9), hazard), np.arange(9.0), np.full(3, 0.5)
    found = log_integrals(hazards, events, scale, level)
    drawn = sample_effects(hazards, events, scale, np.random.default_rng(1), level)
    assert found.shape == drawn.shape == (3, 9)
    if np.isfinite(hazard) and hazard < 1:
        assert np.isfinite(found).all()
        assert np.isfinite(drawn).all()
    elif not np.isfinite(hazard):
        assert not np.isfinite(found).any()


@every_level
def test_weights_of_ratios_far_apart(level):
    ratios = np.random.default_rng(1).normal(0, 300, (3, 500))
    ratios[1, ::2] = -np.inf
    ratios[2, 7] = np.nan
    weights, shape = pareto_smooth(ratios, level=level)
    assert np.allclose(logsumexp(weights[:2], axis=1), 0, atol=1e-10)
    assert np.isnan(weights[2]).all()
    assert np.isnan(shape[2])


def simulated(cohorts=1):
    rng, n = np.random.default_rng(3), 40
    return pd.DataFrame(
        {
            "time": rng.exponential(10, n * cohorts),
            "event": (rng.random(n * cohorts) < 0.6).astype(int),
            "arm": np.tile(np.arange(n) % 2, cohorts),
            "age": rng.normal(size=n * cohorts),
            "cohort": np.repeat(np.arange(cohorts), n),
        }
    )


MODEL = PiecewiseExponential("arm", 0, "age")


def test_threads_change_nothing():
    stack = stack_cohorts(simulated(24), cohort="cohort", time="time", event="event")
    first, *others = [fit_many(MODEL, stack, 1, cox=False, jobs=jobs).terms for jobs in (1, 2, 8)]
    for other in others:
        pd.testing.assert_frame_equal(first, other, check_exact=True)


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_units_of_time_change_no_hazard_ratio(unit):
    tables = [simulated().assign(time=lambda table, by=by: table["time"] * by) for by in (1, unit)]
    cohorts = [read_cohort(table, time="time", event="event") for table in tables]
    one, other = (MODEL.fit(each, engine="laplace", seed=1).hazard_ratios() for each in cohorts)
    numbers = one.select_dtypes("float").columns
    np.testing.assert_allclose(other[numbers], one[numbers], rtol=1e-6)
