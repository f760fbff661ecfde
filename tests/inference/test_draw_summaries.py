"""Summaries of weighted draws: the formulas with all draws sorted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bayes_crlm.inference.weighted import PROBABILITIES, sums_of_draws, weighted_quantiles

KINDS = {
    "normal": lambda rng, n: rng.normal(size=n),
    "heavy tails": lambda rng, n: rng.standard_cauchy(n) ** 3,
    "ties": lambda rng, n: np.round(rng.normal(size=n)),
    "one value": lambda rng, n: np.full(n, 0.3),
    "two clusters": lambda rng, n: np.where(rng.random(n) < 0.03, 1e6, 0.0) + rng.normal(size=n),
    "one far away": lambda rng, n: np.where(np.arange(n) == 3, 1e100, rng.normal(size=n)),
}


def in_order(value, weight):
    order = np.argsort(value, kind="stable")
    return value[order], weight[order], np.cumsum(weight[order])


def quantiles(value, weight, probabilities):
    """A draw stands at the middle of its share of probability."""
    value, share, reached = in_order(value, weight)
    middle = reached - share / 2
    after = np.clip(np.searchsorted(middle, probabilities), 1, len(value) - 1)
    low, high = middle[after - 1], middle[after]
    between = (np.array(probabilities) - low) / np.where(high > low, high - low, 1.0)
    start, end = value[after - 1], value[after]
    return start + np.clip(between, 0, 1) * (end - start)


def tail_size(value, weight):
    value, share, reached = in_order(value, weight)
    fewest = float(len(value))
    for probability in (0.025, 0.975):
        last = np.argmax(reached >= probability)
        is_beyond = (np.arange(len(value)) <= last) == (probability < 0.5)
        p = share[is_beyond].sum()
        variance = (share**2 * (is_beyond - p) ** 2).sum()
        fewest = min(fewest, p * (1 - p) / variance if variance > 0 else 0.0)
    return fewest


@given(
    seed=st.integers(0, 1000),
    draws=st.sampled_from([2, 7, 25, 100, 1000, 1003]),
    kind=st.sampled_from(list(KINDS)),
    unequal=st.sampled_from([0.0, 0.5, 3.0]),
    share_without=st.sampled_from([0.0, 0.4]),
)
@settings(max_examples=200, deadline=None)
def test_summaries_are_those_of_sorted_draws(seed, draws, kind, unequal, share_without):
    rng = np.random.default_rng(seed)
    value = np.stack([KINDS[kind](rng, draws), rng.normal(size=draws)], axis=1)
    weight = np.exp(unequal * rng.normal(size=draws)) * (rng.random(draws) >= share_without)
    weight[0] += 1e-3
    weight /= weight.sum()
    scale = np.array([[2.0, 0.5]])
    found = sums_of_draws(value[None], weight[None], scale, thresholds=[-0.1, 0.2])
    for k, each in enumerate((value / scale).T):
        mean = weight @ each
        size = 1e-10 * max(1.0, np.abs(each).max())
        assert found.mean[0, k] == pytest.approx(mean, abs=size)
        sd = np.sqrt(weight @ (each - mean) ** 2)
        assert found.sd[0, k] == pytest.approx(sd, rel=1e-10, abs=size)
        for t, threshold in enumerate((-0.1, 0.2)):
            assert found.below[0, k, t] == pytest.approx(weight @ (each < threshold), abs=1e-10)
        expected = quantiles(each, weight, PROBABILITIES)
        if unequal:
            np.testing.assert_allclose(found.quantile[0, k], expected, rtol=1e-9, atol=1e-9)
        if kind != "ties" and kind != "one value" and unequal:
            assert found.tail_size[0, k] == pytest.approx(tail_size(each, weight), rel=1e-8)


def test_any_probabilities_may_be_asked_for():
    value = np.random.default_rng(1).normal(size=(1, 1, 500))
    at = (0.001, 0.3, 0.999)
    found, _ = weighted_quantiles(value, np.full((1, 500), 1 / 500), at)
    expected = quantiles(value[0, 0], np.full(500, 1 / 500), at)
    np.testing.assert_allclose(found[0, 0], expected, rtol=1e-10)
