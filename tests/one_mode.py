"""The mode of one cohort's posterior, and the density, slope and information at a point of it."""

from types import SimpleNamespace

import numpy as np

from bayes_crlm.inference.mode import find_modes
from bayes_crlm.inference.native.modes import climb
from bayes_crlm.inference.targets import Targets


def posterior_slopes(at, targets, step_scale):
    """Log densities of log-hazards and effects (cohorts, both), gradients and information."""
    found = climb(targets.posteriors(step_scale), at, 0.0, most_steps=0)
    return found.log_density, found.gradient, found.information


def posterior_mode(inputs, *, step_scale=None, start=None):
    """The mode, known to many digits; of a walk given its step scale."""
    given = None if step_scale is None else np.array([step_scale])
    first = None if start is None else np.concatenate(start)[None]
    found = find_modes(Targets.of_cohort(inputs), given, first, 1e-14)
    names = ("log_hazard", "effect", "log_density", "information", "converged")
    return SimpleNamespace(**{name: getattr(found, name)[0] for name in names})
