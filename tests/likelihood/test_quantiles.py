"""Quantiles of samples: type 7, exact at the members' values, and whole under splitting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.likelihood.intervals import choose_intervals, edges_of_cohorts
from bayes_crlm.likelihood.quantiles import sample_quantiles, values_reached


@pytest.mark.parametrize("n", [46, 91, 113, 201])
def test_quantiles_that_fall_on_a_time_are_that_time(n):
    times = np.sort(np.random.default_rng(n).integers(1, 12, n)).astype(float)
    for number in range(2, 21):
        shares = np.arange(1, number) / number
        place = (n - 1) * np.arange(1, number) / number
        right = np.interp(np.round(place, 9), np.arange(n), times)
        assert sample_quantiles(times, shares) == pytest.approx(right, abs=1e-7)
        edges = choose_intervals(np.zeros(n), times, np.ones(n), number).cutpoints
        assert np.diff(edges).min() > 0.01
        ((_, batch),) = edges_of_cohorts(number, times[None], np.ones((1, n)) > 0)
        assert (
            np.unique(batch[0]).tolist()
            == np.unique([0, *sample_quantiles(times, shares), times[-1]]).tolist()
        )


@pytest.mark.parametrize("n", [5, 64, 91])
def test_quantiles_with_weights_of_one_are_those_of_type_7(n):
    values = np.random.default_rng(n).integers(0, 30, n) / 7
    at = np.linspace(0, 1, 23)
    right = np.quantile(values, at)
    assert sample_quantiles(values, at, np.ones(n)) == pytest.approx(right, abs=1e-9)
    assert sample_quantiles(values, at) == pytest.approx(right, abs=1e-9)


@given(
    n=st.integers(1, 40),
    parts=st.integers(1, 7),
    seed=st.integers(0, 1000),
)
def test_members_may_be_split_into_parts_in_any_order(n, parts, seed):
    rng = np.random.default_rng(seed)
    values, at = np.round(rng.normal(size=n), 1), np.linspace(0, 1, 11)
    share = rng.dirichlet(np.ones(parts), n)
    order = rng.permutation(n * parts)
    split, weight = np.repeat(values, parts)[order], share.ravel()[order]
    assert sample_quantiles(split, at, weight).tolist() == sample_quantiles(values, at).tolist()
    reached = values_reached(split, weight, np.arange(1, n + 1))
    assert reached.tolist() == np.sort(values).tolist()
