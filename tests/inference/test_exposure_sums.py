"""One pass over sorted rows gives the likelihood's sums, as plain NumPy does."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import log_likelihood, log_likelihood_gradient

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.native.exposure_sums import (
    BLOCK_ROWS,
    exponentiate,
    exposure_sums,
    sort_rows,
)


def test_the_exponential_is_right_to_the_last_bit():
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(-700, 700, 20_000), rng.normal(size=20_000), [0.0, 1.0]])
    found = values.copy()
    exponentiate(found)
    np.testing.assert_allclose(found, np.exp(values), rtol=4.5e-16)


def test_beyond_the_range_of_floats_the_exponential_is_infinite_or_next_to_nothing():
    found = np.array([-1e9, -800.0, 800.0, 1e9])
    exponentiate(found)
    assert np.all(found[:2] < 1e-300)
    assert np.all(np.isinf(found[2:]))


def simulated(n_rows, n_terms, n_intervals, *, is_delayed, seed):
    rng = np.random.default_rng(seed)
    time = rng.exponential(10.0, n_rows) + 0.01
    columns = {"time": time, "event": np.r_[1, (rng.random(n_rows - 1) < 0.7).astype(int)]}
    columns["arm"] = np.arange(n_rows) % 2
    columns |= {f"x{k}": rng.normal(size=n_rows) for k in range(n_terms - 1)}
    entry = np.where(rng.random(n_rows) < 0.4, time * rng.random(n_rows), 0.0)
    columns["begin"] = entry if is_delayed else np.zeros(n_rows)
    cohort = read_cohort(pd.DataFrame(columns), time="time", event="event", entry="begin")
    events = cohort.n_events
    formula = " + ".join(f"x{k}" for k in range(n_terms - 1))
    model = PiecewiseExponential("arm", 0, formula, cutpoints=min(n_intervals, events))
    return model.prepare(cohort).data


@settings(max_examples=40, deadline=None)
@given(
    n_rows=st.integers(12, 60) | st.integers(BLOCK_ROWS - 1, 3 * BLOCK_ROWS),
    n_terms=st.integers(1, 5),
    n_intervals=st.integers(1, 6),
    is_delayed=st.booleans(),
    is_weighted=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_sums_are_those_of_the_likelihood(
    n_rows, n_terms, n_intervals, is_delayed, is_weighted, seed
):
    data = simulated(n_rows, n_terms, n_intervals, is_delayed=is_delayed, seed=seed)
    rng = np.random.default_rng(seed)
    if is_weighted:
        data = data.weighted(rng.uniform(0.1, 3.0, n_rows))
    width = data.follow_up.width
    log_hazard = rng.normal(-3, 1, len(width))
    effect = rng.normal(size=data.design.shape[1])
    rows = sort_rows(data)
    exposure, slope = np.empty_like(width), np.empty_like(effect)
    total = exposure_sums(
        effect,
        np.exp(log_hazard),
        rows.columns.ravel(),
        rows.bounds,
        rows.within,
        rows.count,
        width,
        exposure,
        slope,
    )
    at_events = data.events_per_interval @ log_hazard + data.event_design @ effect
    scale = abs(at_events) + total
    assert at_events - total == pytest.approx(
        log_likelihood(log_hazard, effect, data), abs=1e-12 * scale
    )
    on_hazard, on_effect = log_likelihood_gradient(log_hazard, effect, data)
    found = data.events_per_interval - np.exp(log_hazard) * exposure
    np.testing.assert_allclose(found, on_hazard, atol=1e-11 * scale)
    np.testing.assert_allclose(data.event_design - slope, on_effect, atol=1e-11 * scale)
