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

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.library import BEST, FlatArrays, NativeMap, lay_map
from bayes_crlm.words.records import record

# starts are spread by this many approximate posterior standard deviations
START_SPREAD = 2.0


@record
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


@record
class Coordinates:
    """A change of coordinates from the sampler's point to the model's unconstrained vector.

    Attributes
    ----------
    parts : Parts
        Which unknowns are whitened, which are scaled, and which are scales.
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
