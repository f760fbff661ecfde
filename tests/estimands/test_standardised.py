"""Estimands of profiles in several classes against each class alone, and against loops."""

import numpy as np
import pytest

from bayes_crlm.estimands.standardised import (
    cumulative_hazards_of_profiles,
    mean_survival,
    median_time,
    restricted_mean,
)
from bayes_crlm.estimands.survival import cumulative_hazard_at
from bayes_crlm.fit.predicted_follow_up import events_along_rows
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model.profiles import Profiles, under

CUTPOINTS = np.array([0.0, 2.0, 5.0, 9.0, 30.0])
DRAWS, ORIGIN = 7, 1.0


def setting(seed, n_classes):
    rng = np.random.default_rng(seed)
    at = LogHazards(
        rng.normal(-2, 0.4, (DRAWS, n_classes, 4)),
        rng.normal(0, 0.5, (DRAWS, 2)),
        (rng.normal(0, 0.5, (DRAWS, 3)),),
    )
    profiles = Profiles(
        rng.normal(size=(12, 2)), rng.integers(n_classes, size=12), (rng.integers(3, size=12),)
    )
    weight = rng.dirichlet(np.ones(12), DRAWS)
    return at, profiles, weight


def everything(at, profiles, weight):
    times = np.array([1.0, 2.0, 7.5, 30.0])
    return (
        mean_survival(at, profiles, weight, CUTPOINTS, times, ORIGIN),
        restricted_mean(at, profiles, weight, CUTPOINTS, 12.0, ORIGIN),
        median_time(at, profiles, weight, CUTPOINTS, ORIGIN),
        cumulative_hazards_of_profiles(at, profiles.row_class, CUTPOINTS, np.linspace(1, 30, 12)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_classes_with_the_same_hazards_are_one_class(seed):
    at, profiles, weight = setting(seed, 1)
    several = LogHazards(np.repeat(at.cells, 3, axis=1), at.effect, at.groups)
    in_classes = Profiles(profiles.columns, np.arange(12) % 3, profiles.groups)
    for found, expected in zip(
        everything(several, in_classes, weight), everything(at, profiles, weight), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_survival_of_several_classes_is_the_mean_over_profiles(seed):
    at, profiles, weight = setting(seed, 3)
    times = np.array([2.0, 7.5, 30.0])
    expected = np.zeros((DRAWS, 3))
    for k in range(12):
        log_ratio = at.effect @ profiles.columns[k] + at.groups[0][:, profiles.groups[0][k]]
        log_hazard = at.cells[:, profiles.row_class[k]]
        cumulative = cumulative_hazard_at(log_hazard, CUTPOINTS, times, ORIGIN)
        expected += weight[:, [k]] * np.exp(-cumulative * np.exp(log_ratio)[:, None])
    found = mean_survival(at, profiles, weight, CUTPOINTS, times, ORIGIN)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    # the median is where that mean is one half, and the restricted mean the area below it
    median = median_time(at, profiles, weight, CUTPOINTS, ORIGIN)
    assert np.isfinite(median).any()
    for draw in np.flatnonzero(np.isfinite(median)):
        half = mean_survival(at, profiles, weight, CUTPOINTS, median[[draw]], ORIGIN)[draw, 0]
        assert half == pytest.approx(0.5, abs=1e-12)
    grid = np.linspace(ORIGIN, 12.0, 4001)
    curve = mean_survival(at, profiles, weight, CUTPOINTS, grid, ORIGIN)
    area = restricted_mean(at, profiles, weight, CUTPOINTS, 12.0, ORIGIN)
    np.testing.assert_allclose(area, np.trapezoid(curve, grid, axis=1), rtol=1e-5)


def test_a_median_that_is_not_reached_is_infinite():
    at, profiles, weight = setting(0, 2)
    low = LogHazards(at.cells - 20, at.effect, at.groups)
    assert np.isinf(median_time(low, profiles, weight, CUTPOINTS, ORIGIN)).all()


def test_events_along_rows_follow_the_hazards_of_each_rows_class():
    at, profiles, _ = setting(4, 3)
    entry, first = np.linspace(0, 5, 12), np.arange(12)
    time = entry + np.linspace(1, 20, 12)
    target = np.random.default_rng(5).standard_exponential((DRAWS, 12))
    together = events_along_rows(at, profiles, entry, time, first, CUTPOINTS, target)
    for k in range(12):
        own = LogHazards(at.cells[:, [profiles.row_class[k]]], at.effect, at.groups)
        alone = Profiles(
            profiles.columns[[k]], np.zeros(1, dtype=np.intp), (profiles.groups[0][[k]],)
        )
        one = events_along_rows(
            own, alone, entry[[k]], time[[k]], first[:1], CUTPOINTS, target[:, [k]]
        )
        for found, expected in zip(together, one, strict=True):
            np.testing.assert_allclose(found[:, [k]], expected, rtol=1e-12)


def test_under_a_level_the_treatments_columns_and_the_class_change():
    _, profiles, _ = setting(6, 4)
    class_under = np.array([[0, 1], [0, 1], [2, 3], [2, 3]])
    treated = under(profiles, np.array([0.7]), class_under, 1)
    np.testing.assert_array_equal(treated.columns[:, 0], 0.7)
    np.testing.assert_array_equal(treated.columns[:, 1], profiles.columns[:, 1])
    np.testing.assert_array_equal(treated.row_class, class_under[profiles.row_class, 1])
    assert treated.groups is profiles.groups
