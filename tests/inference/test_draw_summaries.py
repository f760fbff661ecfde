"""Summaries of weighted draws: the formulas with all draws sorted."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bayes_crlm.inference.weighted import PROBABILITIES, quantiles, sums_of_draws

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


def quantiles_of_sorted(value, weight, probabilities):
    """A draw stands at the middle of its share, the first one at 0, the last one at 1."""
    value, share, reached = in_order(value, weight)
    middle = reached - share / 2
    middle = (middle - middle[0]) / (middle[-1] - middle[0])
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
@example(
    seed=643, draws=7, kind="heavy tails", unequal=3.0, share_without=0.4
)  # one has all weight
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
        expected = quantiles_of_sorted(each, weight, PROBABILITIES)
        if unequal:
            np.testing.assert_allclose(found.quantile[0, k], expected, rtol=1e-9, atol=1e-9)
        if kind != "ties" and kind != "one value" and unequal:
            assert found.tail_size[0, k] == pytest.approx(tail_size(each, weight), rel=1e-8)


def test_any_probabilities_may_be_asked_for():
    rng, at = np.random.default_rng(1), (0.001, 0.3, 0.999)
    value, weight = rng.normal(size=(500, 2)), rng.dirichlet(np.ones(500))
    expected = np.stack([quantiles_of_sorted(each, weight, at) for each in value.T], axis=1)
    np.testing.assert_allclose(quantiles(value, at, weight), expected, rtol=1e-10)
    np.testing.assert_allclose(quantiles(value[:, 0], at, weight), expected[:, 0], rtol=1e-10)


@given(
    seed=st.integers(0, 1000),
    draws=st.sampled_from([1, 2, 7, 100, 1003]),
    kind=st.sampled_from(list(KINDS)),
)
@settings(max_examples=100, deadline=None)
def test_equal_weights_give_the_quantiles_of_draws_without_weights(seed, draws, kind):
    value = KINDS[kind](np.random.default_rng(seed), draws)
    at, equal = (0.0, 0.025, 0.4, 0.5, 0.975, 1.0), np.full(draws, 1 / draws)
    size = 1e-9 * max(1.0, np.abs(value).max())
    np.testing.assert_allclose(quantiles(value, at, equal), quantiles(value, at), atol=size)


def test_weighted_quantiles_lie_between_the_middles_of_the_draws_shares():
    value, weight = np.array([3.0, 1.0, 2.0]), np.array([1, 2, 5]) / 8
    middle = np.array([0.125, 0.5625, 0.9375])
    expected = np.interp(0.5, (middle - middle[0]) / (middle[2] - middle[0]), [1, 2, 3])
    assert quantiles(value, [0.5], weight) == pytest.approx(expected)
