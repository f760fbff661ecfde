"""The streams of random numbers: one for every purpose, so that no two share their numbers.

Adding draws to one purpose changes no other, and the same seed gives the same draws. Every
generator of the package, and every seed that it makes, comes from here.
"""

import secrets
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
        The purpose.
    """
    return np.random.default_rng([seed, stream])


def own_stream(seed: int | None) -> np.random.Generator:
    """Make the generator of a seed that serves one purpose alone.

    Such are the seed of times drawn within their unit, that with which a chain looks for its start,
    and constants.
    """
    return np.random.default_rng(seed)


def numbered_seed(seed: int, k: int, kind: type[np.unsignedinteger] = np.uint32) -> int:
    """Seed of the k-th of many cohorts, or groups of chains, that share one.

    Parameters
    ----------
    seed : int
        Of the random draws: the same seed gives the same numbers.
    k : int
        From 0.
    kind : type
        How many bits it has: 32, or 64.
    """
    return int(np.random.SeedSequence([seed, k]).generate_state(1, kind)[0])


def new_seed(bits: int = 32) -> int:
    """Take a seed from the system where none is given."""
    return secrets.randbits(bits)
