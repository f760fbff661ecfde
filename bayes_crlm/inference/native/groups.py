"""Groups' effects integrated out and drawn, in machine code."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import BEST, kernels, load_library
from bayes_crlm.inference.native.modes import Posteriors

Floats = NDArray[np.float64]


def weigh_without_groups(
    posteriors: Posteriors, at: NDArray, level: int = BEST
) -> tuple[Floats, Floats]:
    """Evaluate what posteriors are made of once groups are integrated out.

    Parameters
    ----------
    posteriors : Posteriors
        With groups.
    at : (cases, cells + effects) ndarray
        Log-hazards and effects.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.

    Returns
    -------
    log_density : (cases,) ndarray
        Log priors, and the log-likelihood's sum over events.
    hazards : (cases, groups) ndarray
        Cumulative hazards without the groups' effects.
    """
    at = np.ascontiguousarray(at)
    value, hazards = np.empty(len(at)), np.empty((len(at), posteriors.cases.n_groups))
    arrays = (each.ctypes.data for each in (at, value, hazards))
    load_library().crlm_weigh_without_groups(
        kernels(level).address, ctypes.addressof(posteriors), *arrays
    )
    return value, hazards


def log_integrals(hazards: NDArray, events: NDArray, scale: NDArray, level: int = BEST) -> Floats:
    """Logs of the groups' likelihoods with their effects integrated out, (draws, groups).

    Parameters
    ----------
    hazards : (draws, groups) ndarray
        Cumulative hazards without the groups' effects.
    events : (groups,) ndarray
        Events of each group.
    scale : (draws,) ndarray
        Standard deviation of the groups' effects.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.
    """
    return by_group("crlm_log_integrals", hazards, (hazards, events, scale), level)


def sample_effects(
    hazards: NDArray,
    events: NDArray,
    scale: NDArray,
    rng: np.random.Generator,
    level: int = BEST,
) -> Floats:
    """Draw every group's effect from its posterior given all else, (draws, groups).

    By the inverse of its distribution function, which is summed up over narrow places. As for
    `log_integrals`, and `rng` a source of randomness.
    """
    uniform = rng.random(hazards.shape)
    return by_group("crlm_sample_groups", hazards, (hazards, events, scale, uniform), level)


def by_group(name: str, hazards: NDArray, given: tuple[NDArray, ...], level: int) -> Floats:
    """Call a function of the library's that fills (draws, groups)."""
    found = np.empty(hazards.shape)
    arrays = [np.ascontiguousarray(each, dtype=float) for each in given]
    addresses = [each.ctypes.data for each in arrays]
    function = getattr(load_library(), name)
    function(kernels(level).address, *addresses, *hazards.shape, found.ctypes.data)
    return found
