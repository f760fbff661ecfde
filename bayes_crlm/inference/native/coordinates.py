"""Coordinates in which the posterior is nearly a standard normal, for the sampler to move in.

Unknowns that a Gaussian approximation of the posterior describes well (effects, level or
log-hazards) are whitened by it. Unknowns with a sampled scale (steps of a random walk,
effects under a horseshoe) are moved and stretched by what the data say of them: given the
scale w, component k of the steps in the eigenbasis of their information has posterior mean
h_k / (l_k + 1/w^2) and precision l_k + 1/w^2, so that no funnel is left at either end. The change
of coordinates is exact, with its Jacobian; only the sampler's speed rests on the
approximation.

References
----------
Papaspiliopoulos, Roberts & Sköld (2007), Stat Sci 22:59-73 (partial non-centring); Betancourt &
Girolami (2015), arXiv:1312.0906; Rue & Held (2005), Gaussian Markov Random Fields, chapter 2.
"""

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.mode import posterior_mode
from bayes_crlm.inference.native.library import BEST, FlatArrays, NativeMap, lay_map
from bayes_crlm.model.priors import Horseshoe, Laplace, Normal, StudentT

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort
    from bayes_crlm.model.priors import EffectPrior

__all__ = [
    "Coordinates",
    "extended_coordinates",
    "plain_coordinates",
    "sampler_coordinates",
]

# normal priors of the unknowns with a sampled scale, at whose mode the information is taken
STAND_IN_SCALE = 1.0
# least information on a component, so that its precision stays positive
LEAST_PRECISION = 1e-8
# starts are spread by this many approximate posterior standard deviations
START_SPREAD = 2.0
# without an approximation: around the prior's centre
START_SPREAD_PRIOR = 0.5


@dataclass(frozen=True)
class Parts:
    """Which unknowns are whitened, which have a sampled scale, and which are such scales.

    Attributes
    ----------
    rest, scaled, scales : (n,) ndarray of int
        Where each lies in the model's vector.
    scales_of : (scaled, 2) ndarray of int
        The (at most two) scales whose product is a scaled unknown's own, -1 for none.
    sizes : tuple of int
        How many scaled unknowns have a rotation in common, one part after the other.
    """

    rest: NDArray[np.int64]
    scaled: NDArray[np.int64]
    scales: NDArray[np.int64]
    scales_of: NDArray[np.int64]
    sizes: tuple[int, ...] = ()

    @property
    def ranges(self) -> list[slice]:
        """Each part among the scaled unknowns."""
        ends = np.cumsum(self.sizes, dtype=int).tolist()
        return [slice(end - size, end) for end, size in zip(ends, self.sizes, strict=True)]


@dataclass(frozen=True)
class Coordinates:
    """A change of coordinates from the sampler's point to the model's unconstrained vector.

    Attributes
    ----------
    parts : Parts
    centre, root, gain : ndarray
        Of the whitened unknowns, shape (rest,), (rest, rest), (rest, scaled).
    rotations : tuple of ndarray or None
        Of each part, shape (size, size); None where its basis is the unknowns' own.
    precision, linear, pivot : (scaled,) ndarray
        Information, and the data's pull, in each part's basis; value at the mode.
    scale_centre : (scales,) ndarray
        Where chains start the logs of scales.
    start_spread : float
        Half the range of uniform starts, in these coordinates.
    """

    parts: Parts
    centre: NDArray[np.float64]
    root: NDArray[np.float64]
    gain: NDArray[np.float64]
    rotations: tuple[NDArray[np.float64] | None, ...]
    precision: NDArray[np.float64]
    linear: NDArray[np.float64]
    pivot: NDArray[np.float64]
    scale_centre: NDArray[np.float64]
    start_spread: float

    @property
    def size(self) -> int:
        """Number of unknowns."""
        return len(self.parts.rest) + len(self.parts.scaled) + len(self.parts.scales)

    @property
    def log_determinant(self) -> float:
        """Constant part of the log Jacobian."""
        return float(np.log(np.abs(np.diag(self.root))).sum())

    def lay_out(self, level: int = BEST) -> NativeMap:
        """Lay the change of coordinates out for the library.

        Parameters
        ----------
        level : int
            Instruction set, as for `bayes_crlm.inference.native.library.kernels`.
        """
        parts = self.parts
        shares = [bool(np.all(parts.scales_of[which] == parts.scales_of[which][0]))
                  for which in parts.ranges]  # fmt: skip
        integers = [
            [len(parts.rest), len(parts.scaled), len(parts.scales), len(parts.sizes)],
            parts.rest, parts.scaled, parts.scales, parts.scales_of.ravel(), parts.sizes,
            [rotation is not None for rotation in self.rotations], shares,
        ]  # fmt: skip
        floats = [
            self.centre, self.root.ravel(), self.gain.ravel(), self.precision, self.linear,
            self.pivot, self.scale_centre,
            *(rotation.ravel() for rotation in self.rotations if rotation is not None),
        ]  # fmt: skip
        flat = FlatArrays(
            np.concatenate(floats, dtype=float), np.concatenate(integers).astype(np.int64)
        )
        return lay_map(flat, self.size, level)


def parts_of(inputs: "PreparedCohort") -> Parts:
    """Sort the sampler's unknowns into whitened, scaled and scales."""
    position, where = 0, {}
    for parameter in inputs.block_model.sampled_parameters:
        where[parameter.name] = np.arange(position, position + parameter.size)
        position += parameter.size
    nothing = np.empty(0, dtype=np.int64)
    steps, shrunk = where.get("unit_step", nothing), where.get("covariate_unit_effect", nothing)
    # all steps share one scale; a shrunk effect has the global scale times its own
    scale_names = ("step_scale", "shrinkage_global", "shrinkage_local")
    scales = np.concatenate([where.get(name, nothing) for name in scale_names])
    scales_of = np.full((len(steps) + len(shrunk), 2), -1)
    scales_of[: len(steps), 0] = 0
    first = 1 if len(steps) else 0
    scales_of[len(steps) :, 0] = first
    scales_of[len(steps) :, 1] = first + 1 + np.arange(len(shrunk))
    scaled = np.concatenate([steps, shrunk])
    rest = np.setdiff1d(np.arange(position), np.concatenate([scaled, scales]))
    sizes = tuple(len(part) for part in (steps, shrunk) if len(part))
    return Parts(rest, scaled, scales, scales_of, sizes)


def sampler_coordinates(
    inputs: "PreparedCohort", start: tuple[NDArray, NDArray] | None = None
) -> Coordinates:
    """Find the sampler's coordinates for a cohort.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    start : (intervals,) ndarray and (terms,) ndarray, optional
        Log-hazards and effects near the mode to move around, where Student t priors make several:
        they are then kept. Normal priors stand in for them without it.

    Returns
    -------
    Coordinates
        Plain shifts of the model's own coordinates when no mode is found.
    """
    parts = parts_of(inputs)
    stand_in = replace(
        inputs,
        treatment_prior=stand_in_prior(inputs.treatment_prior, start is not None),
        covariate_prior=stand_in_prior(inputs.covariate_prior, start is not None),
    )
    has_walk = n_steps(inputs) > 0
    mode = posterior_mode(stand_in, step_scale=STAND_IN_SCALE if has_walk else None, start=start)
    scale_centre = log_scale_centre(inputs, len(parts.scales))
    gaussian = gaussian_of(mode.log_hazard, mode.effect, mode.information, inputs, parts)
    if not mode.converged or gaussian is None:
        return shifted(inputs, parts, scale_centre)
    return Coordinates(parts, *gaussian, scale_centre, START_SPREAD)


def n_steps(inputs: "PreparedCohort") -> int:
    """Number of steps of a walk with a sampled scale."""
    sizes = {parameter.name: parameter.size for parameter in inputs.block_model.sampled_parameters}
    return sizes.get("unit_step", 0)


def stand_in_prior(prior: "EffectPrior", is_near_mode: bool) -> "EffectPrior":
    """Take a prior whose mode and curvature describe the posterior."""
    return prior if is_near_mode and isinstance(prior, StudentT) else as_normal(prior)


def as_normal(prior: "EffectPrior") -> Normal:
    """Normal prior of about the same spread: its log density is concave and smooth."""
    if isinstance(prior, Normal):
        return prior
    if isinstance(prior, Horseshoe):
        return Normal(0.0, STAND_IN_SCALE)
    if isinstance(prior, Laplace):
        return Normal(prior.location, math.sqrt(2) * prior.scale)
    if isinstance(prior, StudentT):
        # variances do not exist below two degrees of freedom; the middle half does
        spread = prior.scale * math.sqrt(1 + 2 / prior.degrees_of_freedom)
        return Normal(prior.location, spread)
    raise TypeError(f"no normal stands in for prior {prior!r}")


def log_scale_centre(inputs: "PreparedCohort", n_scales: int) -> NDArray[np.float64]:
    """Where chains start the logs of sampled scales.

    A walk's step scale at a third of its prior's scale, a horseshoe's global scale at its
    prior's, its local scales at 1.
    """
    centre = np.zeros(n_scales)
    first = 0
    if inputs.has_walk:
        centre[0] = math.log(inputs.walk_prior.step_scale_sd / 3)
        first = 1
    if n_scales > first:
        centre[first] = math.log(inputs.covariate_prior.parameters["scale"])
    return centre


def gaussian_of(
    log_hazard: NDArray,
    effect: NDArray,
    information: NDArray,
    inputs: "PreparedCohort",
    parts: Parts,
) -> tuple[Any, ...] | None:
    """Turn a mode and its information into centre, root, gain, rotations, precision, linear, pivot.

    Returns
    -------
    tuple or None
        None where the information is not positive definite.
    """
    n_intervals, n_terms, walking = len(log_hazard), len(effect), n_steps(inputs)
    here = np.concatenate([effect, log_hazard])
    order = np.concatenate([np.arange(n_intervals, n_intervals + n_terms), np.arange(n_intervals)])
    matrix = information[np.ix_(order, order)]
    if walking:
        # effects, level and steps in place of effects and log-hazards
        share = inputs.intervals.events / inputs.intervals.events.sum()
        deviations = np.sqrt(inputs.step_variances)
        walk = np.tril(np.ones((n_intervals, n_intervals)), -1)[:, :-1] * deviations
        to_hazards = np.column_stack([walk - share @ walk, np.ones(n_intervals)])
        change = np.zeros((n_terms + n_intervals, n_terms + n_intervals))
        change[:n_terms, :n_terms] = np.eye(n_terms)
        change[n_terms:, n_terms:] = to_hazards
        matrix = change.T @ matrix @ change
        walk_steps = np.diff(log_hazard) / deviations
        here = np.concatenate([effect, walk_steps, [share @ log_hazard]])
    # positions in (effects, steps, level) or (effects, log-hazards)
    steps = n_terms + np.arange(walking)
    n_shrunk = len(parts.scaled) - walking
    shrunk = np.arange(n_terms - n_shrunk, n_terms)
    scaled = np.concatenate([steps, shrunk])
    rest = np.setdiff1d(np.arange(len(here)), scaled)
    try:
        covariance = np.linalg.inv(matrix[np.ix_(rest, rest)])
        if inputs.is_baseline_integrated:
            # hazards are integrated out: what is left of the approximation is its margin
            kept = slice(0, n_terms - n_shrunk)
            full_covariance, full_rest = covariance, rest
            covariance, rest = covariance[kept, kept], rest[kept]
            gain = -(full_covariance @ matrix[np.ix_(full_rest, scaled)])[kept]
            crossed, full = matrix[np.ix_(full_rest, scaled)], full_covariance
        else:
            crossed, full = matrix[np.ix_(rest, scaled)], covariance
            gain = -covariance @ crossed
        root = np.linalg.cholesky((covariance + covariance.T) / 2)
    except np.linalg.LinAlgError:
        return None
    pivot = here[scaled]
    profile = matrix[np.ix_(scaled, scaled)] - crossed.T @ full @ crossed
    profile -= np.eye(len(scaled)) / STAND_IN_SCALE**2
    precision = np.diag(profile).copy()
    in_basis, rotations = pivot.copy(), []
    for which, is_walk in zip(parts.ranges, [walking > 0, False], strict=False):
        rotation = None
        if is_walk:
            precision[which], rotation = np.linalg.eigh(profile[which, which])
            in_basis[which] = rotation.T @ pivot[which]
        rotations.append(rotation)
    precision = np.maximum(precision, LEAST_PRECISION)
    # at the mode the data's pull balances the stand-in prior's
    linear = in_basis * (precision + 1 / STAND_IN_SCALE**2)
    return here[rest], root, gain, tuple(rotations), precision, linear, pivot


def shifted(inputs: "PreparedCohort", parts: Parts, scale_centre: NDArray) -> Coordinates:
    """Coordinates that only move the origin to the prior's centre."""
    n_rest, n_scaled = len(parts.rest), len(parts.scaled)
    nothing = np.zeros(n_scaled)
    return Coordinates(
        parts,
        centre=prior_centre(inputs)[parts.rest],
        root=np.eye(n_rest),
        gain=np.zeros((n_rest, n_scaled)),
        rotations=(None,) * len(parts.sizes),
        # no information: scaled components are plainly non-centred
        precision=nothing,
        linear=nothing,
        pivot=nothing,
        scale_centre=scale_centre,
        start_spread=START_SPREAD_PRIOR,
    )


def prior_centre(inputs: "PreparedCohort") -> NDArray[np.float64]:
    """Unconstrained point where every effect is 0 and every hazard the overall rate."""
    at_rate = ("log_hazard", "log_hazard_level", "hazard")
    return np.concatenate(
        [
            np.full(parameter.size, inputs.log_rate if parameter.name in at_rate else 0.0)
            for parameter in inputs.block_model.sampled_parameters
        ]
    )


def plain_coordinates(centre: NDArray) -> Coordinates:
    """Coordinates that only move the origin, for a density of any kind.

    Parameters
    ----------
    centre : (unknowns,) ndarray
        Unconstrained point around which chains start.
    """
    nothing, nowhere = np.empty(0), np.empty(0, dtype=np.int64)
    parts = Parts(np.arange(len(centre)), nowhere, nowhere, np.empty((0, 2), dtype=np.int64))
    return Coordinates(
        parts,
        centre=np.asarray(centre, dtype=float),
        root=np.eye(len(centre)),
        gain=np.empty((len(centre), 0)),
        rotations=(),
        precision=nothing,
        linear=nothing,
        pivot=nothing,
        scale_centre=nothing,
        start_spread=START_SPREAD,
    )


def extended_coordinates(base: Coordinates, centre: NDArray) -> Coordinates:
    """Coordinates of a model that has more unknowns after those of another.

    Parameters
    ----------
    base : Coordinates
        Of the other model.
    centre : (more unknowns,) ndarray
        Where chains start the further ones, which are moved as they are.
    """
    n_rest, n_more = len(base.parts.rest), len(centre)
    root = np.eye(n_rest + n_more)
    root[:n_rest, :n_rest] = base.root
    rest = np.concatenate([base.parts.rest, base.size + np.arange(n_more)])
    return replace(
        base,
        parts=replace(base.parts, rest=rest),
        centre=np.concatenate([base.centre, centre]),
        root=root,
        gain=np.concatenate([base.gain, np.zeros((n_more, base.gain.shape[1]))]),
    )
