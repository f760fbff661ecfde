"""Walks given effects and step scale: what is drawn has the density that is said."""

import numpy as np
import pytest
from scipy import stats

from bayes_crlm.inference.conditional_walks import LEAST_POWER, Walk, redraw_from


def walk_of(power, pivot, below=-0.4):
    """A walk over two intervals."""
    return Walk(
        centre=np.array([[0.3], [-0.2]]),
        power=np.full((2, 1), power),
        pivot=np.full((2, 1), pivot),
        below=np.array([[0.0], [below]]),
    )


@pytest.mark.parametrize(
    ("power", "pivot"), [(LEAST_POWER, 1.0), (1 / 3, 5.0), (1 / 3, 0.05), (0.1, 0.01)]
)
def test_the_density_of_drawn_walks_adds_up_to_1(power, pivot):
    """Also where a third of the draws would have a negative power: those are drawn again."""
    walk, rng, draws = walk_of(power, pivot), np.random.default_rng(1), 200_000
    log_hazard, log_density = walk.draw(rng.standard_normal((2, draws)), redraw_from([rng]))
    assert np.isfinite(log_hazard).all()
    target = stats.multivariate_normal(walk.centre[:, 0], np.diag([0.3, 0.3]) / pivot**0.5)
    ratio = np.exp(target.logpdf(log_hazard.T) - log_density)
    assert ratio.mean() == pytest.approx(1, abs=4 * ratio.std() / np.sqrt(draws))
    assert ratio.std() / np.sqrt(draws) < 0.02


def test_negative_powers_are_drawn_again_and_others_kept():
    walk, rng = walk_of(1 / 3, 0.05), np.random.default_rng(2)
    normal = rng.standard_normal((2, 1000))
    with np.errstate(invalid="ignore"):
        plain, _ = walk.draw(normal.copy(), None)
    drawn, _ = walk.draw(normal.copy(), redraw_from([rng]))
    is_kept = np.isfinite(plain).all(axis=0)
    assert 0.3 < is_kept.mean() < 0.9
    np.testing.assert_array_equal(drawn[:, is_kept], plain[:, is_kept])
