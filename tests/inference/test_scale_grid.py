"""Proposals on a grid over scales: their density, and what they follow and are moved by."""

import numpy as np
import pytest

from bayes_crlm.inference.hazards_given_effects import ScaleDraws
from bayes_crlm.inference.scale_cells import ScaleCells
from bayes_crlm.inference.scale_grid import ScaleGrid, slopes_along
from bayes_crlm.inference.weights import weigh
from bayes_crlm.model.families import HalfNormal

UNKNOWNS, WIDTH = 40, 0.5


def grid_of_two_scales():
    """Half of the unknowns have the first scale for their sd, the rest the second, on a line."""
    scales = [ScaleCells.of(HalfNormal(1.0), WIDTH), None, ScaleCells.of(HalfNormal(2.0), WIDTH)]
    counts = [len(scales[0].low), 1, len(scales[2].low)]
    places = [each.ravel() for each in np.indices(counts)]
    kept = np.flatnonzero((places[0] > 8) & (places[2] > 10))
    places = [each[kept] for each in places]
    logs = scales[0].middle[places[0]], scales[2].middle[places[2]]
    sd = np.exp(np.repeat(np.stack(logs, axis=1), UNKNOWNS // 2, axis=1))
    mode = np.outer(logs[0], np.linspace(-1, 1, UNKNOWNS))
    root = sd[:, :, None] * np.eye(UNKNOWNS)
    return ScaleGrid.around(mode, root, scales, places, np.ones(len(kept)), 4.0)


def log_target(points, skewness=0.0):
    """Normal unknowns given the scales, which are even over the grid; and powers of them."""
    logs = np.stack([each[0] for each in points.log_scales if each is not None], axis=1)
    log_sd = np.repeat(logs, UNKNOWNS // 2, axis=1)
    centre = np.outer(logs[:, 0], np.linspace(-1, 1, UNKNOWNS))
    z = (points.unknowns[0] - centre) / np.exp(log_sd)
    # a log-gamma variable of mode 0 and sd near 1, the more skewed, the larger
    fall = 0.5 * z**2 if not skewness else (np.exp(skewness * z) - 1 - skewness * z) / skewness**2
    return (-fall - log_sd - 0.5 * np.log(2 * np.pi)).sum(axis=2)


def ratios(grid, points, skewness=0.0):
    inside = -np.log(len(grid.probability) * area_of_cell(grid))
    return log_target(points, skewness) + inside - points.log_density


def area_of_cell(grid):
    return np.prod([each.width for each in grid.scales if each is not None])


def test_density_is_that_of_the_draws_and_follows_the_scales():
    grid = grid_of_two_scales()
    points = grid.draw(4000, np.random.default_rng(1))
    ratio = np.exp(ratios(grid, points))
    error = ratio.std() / np.sqrt(ratio.size)
    assert ratio.mean() == pytest.approx(1, abs=4 * error)
    ess = ratio.sum() ** 2 / (ratio**2).sum() / ratio.size
    # all draws of a cell with the sd of its middle: 20 unknowns of a wrong sd for each scale
    flat = grid_of_two_scales()
    flat.maps[:, 1:] = 0.0
    points = flat.draw(4000, np.random.default_rng(1))
    ratio = np.exp(ratios(flat, points))
    of_flat = ratio.sum() ** 2 / (ratio**2).sum() / ratio.size
    assert ess > 0.7
    assert of_flat < 0.4


def test_a_moved_grid_is_centred_where_the_weights_are():
    grid = grid_of_two_scales()
    rng = np.random.default_rng(2)
    sizes = []
    for _ in range(2):
        points = grid.draw(4000, rng)
        log_ratio = ratios(grid, points, skewness=0.4)
        effect, none = points.unknowns, ScaleDraws()
        drawn = weigh(effect, None, none, log_ratio[None], points.scramble, 8000)
        sizes.append(drawn.ess[0] / 8000)
        before, grid = grid, grid.moved(points, drawn.weight[0])
    assert sizes[0] < 0.3 and sizes[1] > 1.5 * sizes[0]
    np.testing.assert_allclose(grid.mean, drawn.weight[0] @ points.standard)
    # skewness moves means down from modes, by half of it to first order
    assert (before.mean < 0).all() and before.mean.mean() == pytest.approx(-0.2, abs=0.05)
    assert grid.probability.sum() == pytest.approx(1)
    np.testing.assert_array_equal(grid.maps, before.maps)


def test_slopes_are_differences_of_neighbours_where_there_are_any():
    places = [np.array([0, 1, 2, 5, 3]), np.array([0, 0, 0, 0, 1])]
    values = np.array([[1.0], [3.0], [9.0], [7.0], [4.0]])
    along = slopes_along(values, places, 0, 0.5)
    np.testing.assert_allclose(along[:, 0], [4.0, 8.0, 12.0, 0.0, 0.0])
    np.testing.assert_allclose(slopes_along(values, places, 1, 0.5), 0.0)


def test_same_seed_same_draws():
    grid = grid_of_two_scales()
    a, b = (grid.draw(100, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(a.unknowns, b.unknowns)
    np.testing.assert_array_equal(a.log_density, b.log_density)
