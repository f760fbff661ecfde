"""Points that effects are made of: Sobol's, scrambled by each cohort's seed."""

import numpy as np
import pytest
from scipy import stats

from bayes_crlm.inference.native.draws import SEED_WORDS, EffectDraws

DIMENSIONS, NONE_WIDE = 40, 10**9


def drawn(n, size, n_cohorts=1, seed=1, n_scrambles=1):
    """Standard normal effects, shape (cohorts, 2, pairs, terms), and the pairs' scrambles."""
    rng, each = np.random.default_rng(seed), (n_cohorts, 1)
    effect, log_density = np.empty((n_cohorts, 2, n, size)), np.empty((n_cohorts, n))
    scramble = np.empty((n_cohorts, n), dtype=np.int64)
    task = EffectDraws()
    task.fill(
        n_cohorts=n_cohorts, n_parts=1, n_pairs=n, n_terms=size, wide_every=NONE_WIDE,
        n_scrambles=n_scrambles, wide_scale=1.5, wide_nu=4.0, scramble=scramble,
        centre=np.zeros((*each, size)), factor=np.broadcast_to(np.eye(size), (*each, size, size)),
        nu=np.full(each, np.inf), pairs=np.full(each, n),
        seed=rng.integers(2**64, size=(n_cohorts, SEED_WORDS), dtype=np.uint64),
        effect=effect, log_density=log_density,
    )  # fmt: skip
    task.run()
    np.testing.assert_array_equal(effect[:, 0], -effect[:, 1])
    return effect, scramble


def points(n, size, n_cohorts=1, seed=1):
    """Uniform numbers behind the effects of one scramble, shape (cohorts, pairs, terms)."""
    return stats.norm.cdf(drawn(n, size, n_cohorts, seed)[0][:, 0])


def test_every_narrow_interval_of_every_dimension_has_one_point():
    found = points(512, DIMENSIONS)[0]
    counted = [len(np.unique(np.floor(512 * column))) for column in found.T]
    # later ones than the table of direction numbers has are random
    assert counted[:32] == [512] * 32
    assert max(counted[32:]) < 400


def test_pairs_of_the_first_dimensions_fill_boxes_evenly():
    found = points(256, 2)[0]
    for k in range(9):
        boxes = np.floor(found * [2**k, 2 ** (8 - k)])
        assert len(np.unique(boxes, axis=0)) == 256


def test_scrambles_differ_and_each_is_uniform():
    found = points(64, 3, n_cohorts=400)
    assert len(np.unique(found[:, 0, 0])) == 400
    for place in (0, 1, 63):
        for k in range(3):
            assert stats.kstest(found[:, place, k], "uniform").pvalue > 1e-3
    # the mean over a scramble errs by much less than that of random numbers
    assert found.mean(axis=1).std() < 0.2 * np.sqrt(1 / 12 / 64)


@pytest.mark.parametrize("n", [512, 500, 61])
def test_every_scramble_has_its_share_of_points_and_spreads_them_evenly(n):
    effect, scramble = drawn(n, 9, n_scrambles=8)
    counted = np.bincount(scramble[0])
    assert len(counted) == 8 and counted.max() - counted.min() <= 1
    for own in (scramble[0] == r for r in range(8)):
        uniform = stats.norm.cdf(effect[0, 0, own])
        # the first points of a sequence in which 2**k of them have one in each of 2**k intervals
        most = 2 ** int(np.ceil(np.log2(own.sum())))
        intervals = [len(np.unique(np.floor(most * column))) for column in uniform.T]
        assert intervals == [own.sum()] * 9


def test_scrambles_of_one_cohort_are_independent():
    effect, scramble = drawn(64, 2, n_cohorts=4000, n_scrambles=8)
    uniform = stats.norm.cdf(effect[:, 0]).reshape(4000, 8, 8, 2)
    assert (scramble.reshape(4000, 8, 8) == np.arange(8)[:, None]).all()
    # of what is summed up within a scramble
    for f in (uniform[..., 0], uniform[..., 0] * uniform[..., 1], uniform[..., 1] < 0.03):
        sums = f.sum(axis=2)
        off = np.corrcoef(sums.T)[np.triu_indices(8, 1)]
        # 28 correlations of 4,000 pairs each
        assert np.abs(off).max() < 4 / np.sqrt(4000)
