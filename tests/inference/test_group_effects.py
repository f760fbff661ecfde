"""Effects of groups given all else, drawn by the inverse of their distribution function."""

import numpy as np
import pytest

from bayes_crlm.inference.native.groups import sample_effects

# a million draws: the standard error of an sd is 0.07% of it
DRAWS = 1_000_000


@pytest.mark.parametrize(("events", "hazard", "scale"), [(0, 0.4, 1.0), (3, 2.0, 0.5), (40, 30, 2)])
def test_draws_have_the_moments_of_the_posterior(events, hazard, scale):
    u = np.linspace(-12, 12, 200_001)
    log_density = events * u - hazard * np.exp(u) - 0.5 * (u / scale) ** 2
    weight = np.exp(log_density - log_density.max())
    weight /= weight.sum()
    mean = weight @ u
    sd = np.sqrt(weight @ (u - mean) ** 2)
    drawn = sample_effects(
        np.full((DRAWS, 1), float(hazard)),
        np.array([float(events)]),
        np.full(DRAWS, float(scale)),
        np.random.default_rng(1),
    )[:, 0]
    assert drawn.mean() == pytest.approx(mean, abs=0.004 * sd)
    assert drawn.std() == pytest.approx(sd, rel=0.004)
