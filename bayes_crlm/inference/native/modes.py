"""Log posterior densities of cohorts given all scales, and their modes, in machine code."""

import ctypes

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.flat_density import Elements
from bayes_crlm.inference.native.library import (
    BEST,
    INTEGER,
    NUMBER,
    POINTER,
    kernels,
    load_library,
)
from bayes_crlm.inference.native.stacks import ArrayStructure, NativeStack
from bayes_crlm.words.records import record

# Newton steps and halvings of one search
MOST_STEPS = 100


class Posteriors(ArrayStructure):
    """Posteriors of log-hazards and effects given all scales, as `native/cohorts.h` names them.

    Of each case: the number of its cohort in a stack, and what its priors are made of.
    """

    _fields_ = (
        ("n_cases", INTEGER),
        ("stack", POINTER),
        ("cohort", POINTER),
        ("n_components", INTEGER),
        *((name, POINTER) for name in (
            "family", "location", "precision", "nu", "mixture", "effect_scale", "centre",
            "level_precision", "step_precision", "shape", "rate", "group_precision", "constant",
        )),
    )  # fmt: skip

    cases: NativeStack

    @classmethod
    def of(cls, cases: NativeStack, effects: Elements, **more: NDArray | None) -> "Posteriors":
        """Put cases together.

        Parameters
        ----------
        cases : NativeStack
            The cohort of each case.
        effects : Elements
            Priors of the effects, in units of their scale.
        **more : ndarray
            All members from `effect_scale` on; None where there is no such prior.
        """
        found = cls()
        found.cases = cases
        found.fill(
            n_cases=len(cases.cohort),
            stack=cases.address,
            cohort=cases.cohort,
            n_components=effects.mixture.shape[1],
            family=effects.family,
            location=effects.location,
            precision=effects.precision,
            nu=effects.nu,
            mixture=effects.mixture,
            **more,
        )
        return found


class Found(ArrayStructure):
    """Where modes are searched for, and what is found there."""

    _fields_ = (
        ("rise_tolerance", NUMBER),
        ("most_steps", INTEGER),
        *((name, POINTER) for name in (
            "at", "value", "gradient", "information", "log_determinant_of_groups", "converged",
        )),
    )  # fmt: skip


@record(eq=False)
class Climbed:
    """What is known of posteriors at the ends of their climbs, or at given points.

    Attributes
    ----------
    at : (cases, cells + effects + groups) ndarray
        Log-hazards of all strata's intervals, effects, groups' effects.
    log_density : (cases,) ndarray
        Minus infinity where it, or its information, is no finite number.
    gradient : (cases, cells + effects) ndarray
        With the groups' effects eliminated, as in the information.
    information : (cases, cells + effects, cells + effects) ndarray
        Minus the second derivatives.
    log_determinant_of_groups : (cases,) ndarray
        Of the groups' own information.
    converged : (cases,) ndarray of bool
        Whether a mode was found.
    """

    at: NDArray[np.float64]
    log_density: NDArray[np.float64]
    gradient: NDArray[np.float64]
    information: NDArray[np.float64]
    log_determinant_of_groups: NDArray[np.float64]
    converged: NDArray[np.bool]


def climb(
    posteriors: Posteriors,
    start: NDArray | None,
    rise_tolerance: float,
    most_steps: int = MOST_STEPS,
    level: int = BEST,
) -> Climbed:
    """Climb to the modes; with no steps at all, evaluate densities at the start.

    Parameters
    ----------
    posteriors : Posteriors
        Of the cases.
    start : (cases, cells + effects) or (cases, cells + effects + groups) ndarray, optional
        A case with anything that is no finite number, as all without it, starts at every
        interval's own rate and no effects; groups without a start have none.
    rise_tolerance : float
        A mode is found when a whole Newton step would raise twice the log density by less.
    most_steps : int
        Newton steps after which a climb is given up.
    level : int
        Instruction set, as for `bayes_crlm.inference.native.library.kernels`.
    """
    stack, count = posteriors.cases, len(posteriors.cases.cohort)
    size = stack.n_cells + stack.n_effects
    at = np.full((count, size + stack.n_groups), np.nan)
    if start is not None:
        at[:, size:] = 0.0
        at[:, : start.shape[1]] = start
    gradient, information = np.empty((count, size)), np.empty((count, size, size))
    value, of_groups = np.empty(count), np.zeros(count)
    converged = np.empty(count, dtype=np.int64)
    found = Found()
    found.fill(
        rise_tolerance=rise_tolerance,
        most_steps=most_steps,
        at=at,
        value=value,
        gradient=gradient,
        information=information,
        log_determinant_of_groups=of_groups,
        converged=converged,
    )
    addresses = ctypes.addressof(posteriors), ctypes.addressof(found)
    load_library().crlm_find_modes(kernels(level).address, *addresses, 0, count)
    if (converged < 0).any():
        raise MemoryError("not enough memory for the mode of a posterior")
    return Climbed(at, value, gradient, information, of_groups, converged > 0)
