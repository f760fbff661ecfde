"""Points that effects are made of: Sobol's, scrambled by each cohort's seed."""

import numpy as np
import pytest
from scipy import stats

from bayes_crlm.inference.native.draws import SEED_WORDS, EffectDraws

DIMENSIONS, NONE_WIDE = 40, 10**9


def points(n, size, n_cohorts=1, seed=1, whitened_from=NONE_WIDE):
    """Uniform numbers behind standard normal effects, shape (cohorts, pairs, terms)."""
    rng, each = np.random.default_rng(seed), (n_cohorts, 1)
    effect, log_density = np.empty((n_cohorts, 2, n, size)), np.empty((n_cohorts, n))
    task = EffectDraws()
    task.fill(
        n_cohorts=n_cohorts, n_parts=1, n_pairs=n, n_terms=size, wide_every=NONE_WIDE,
        pairs_per_effect=whitened_from, wide_scale=1.5, wide_nu=4.0,
        centre=np.zeros((*each, size)), factor=np.broadcast_to(np.eye(size), (*each, size, size)),
        nu=np.full(each, 1e14), pairs=np.full(each, n),
        seed=rng.integers(2**64, size=(n_cohorts, SEED_WORDS), dtype=np.uint64),
        effect=effect, log_density=log_density,
    )  # fmt: skip
    task.run()
    np.testing.assert_array_equal(effect[:, 0], -effect[:, 1])
    return stats.norm.cdf(effect[:, 0])


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


@pytest.mark.parametrize("n", [90, 500])
def test_second_moments_of_many_pairs_are_exact(n):
    normal = stats.norm.ppf(points(n, 9, whitened_from=10)[0])
    np.testing.assert_allclose(normal.T @ normal / n, np.eye(9), atol=1e-6)
