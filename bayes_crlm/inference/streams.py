"""The streams of random numbers: one for every purpose, so that no two share their numbers.

Adding draws to one purpose changes no other, and the same seed gives the same draws.
"""

from enum import IntEnum

import numpy as np


class Stream(IntEnum):
    """What random numbers are for."""

    PREDICTIONS = 1
    """Prior draws, predictive follow-up and events."""
    IMPORTANCE = 2
    """Importance draws of one cohort."""
    MANY_COHORTS = 3
    """Importance draws of each of many cohorts."""
    INTEGRATED_HAZARDS = 4
    """Hazards of a gamma process, after NUTS has drawn the effects."""
    KEPT_PATIENTS = 5
    """Patients whose log-likelihoods are kept of a large cohort."""
    EXPECTED_EVENTS = 7
    """Counts of events to be expected."""
    COMPLETED_FOLLOW_UP = 8
    """Follow-up of the censored, completed."""
    PATIENT_GROUPS = 9
    """Groups in which patients take turns to count less."""
    PROPENSITY = 11
    """Coefficients of the propensity score."""


def random_stream(seed: int, stream: Stream) -> np.random.Generator:
    """Make the generator of one purpose.

    Parameters
    ----------
    seed : int
        The analysis' seed.
    stream : Stream
    """
    return np.random.default_rng([seed, stream])
