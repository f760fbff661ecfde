"""Where importance sampling proposes effects: around modes, and wider now and then.

Each part of a proposal is a multivariate t distribution around a mode. Effects come in mirrored
pairs whose second moments are exact.

References
----------
Hammersley & Morton (1956), Math Proc Camb Philos Soc 52:449-475 (mirrored pairs); Hesterberg
(1995), Technometrics 37:185-194 (defensive mixtures).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.parts import at_draw_pairs, places_of_parts
from bayes_crlm.likelihood.matrices import inverses, triangular_roots
from bayes_crlm.model.families import Family, StudentT
from bayes_crlm.model.priors import EffectPrior

# of the multivariate t that proposes effects
DEGREES_OF_FREEDOM = 50.0
# one pair in so many is proposed wider, from a t for each direction apart: a prior's heavy tail, or
# a likelihood that hardly falls on one side, is one direction's alone
WIDE_EVERY, WIDE_SCALE, WIDE_DEGREES_OF_FREEDOM = 10, 1.5, 4.0
# second moments of pairs are made exact from this many pairs per effect on
PAIRS_PER_EFFECT = 10
# this many standard deviations away the log density has to have fallen by so much
FAR, LEAST_FALL, LEAST_SHARE_OF_WIDE = 6.0, 5.0, 0.7


@dataclass(frozen=True, eq=False)
class EffectProposals:
    """Multivariate t distributions of effects, one for each part of each cohort's proposal.

    Attributes
    ----------
    centre : (cohorts, parts, terms) ndarray
    factor : (cohorts, parts, terms, terms) ndarray
        Lower triangular square roots of the scale matrices; not a number where there is none.
    degrees_of_freedom : (cohorts, parts) ndarray
        The larger, the nearer to a normal.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]
    wide_degrees_of_freedom: float

    @classmethod
    def around(
        cls, centre: NDArray, spread: NDArray, wide_degrees_of_freedom: float
    ) -> "EffectProposals":
        """Propose effects around modes (cohorts, parts, terms) with the covariances `spread`."""
        factor = triangular_roots(spread.reshape(-1, *spread.shape[2:])).reshape(spread.shape)
        nu = np.full(centre.shape[:2], DEGREES_OF_FREEDOM)
        return cls(centre, factor, nu, wide_degrees_of_freedom)

    def part(self, which: NDArray[np.intp]) -> "EffectProposals":
        """Those of some cohorts."""
        return EffectProposals(
            self.centre[which],
            self.factor[which],
            self.degrees_of_freedom[which],
            self.wide_degrees_of_freedom,
        )

    @property
    def exists(self) -> NDArray[np.bool]:
        """Whether every part has a distribution, shape (cohorts,)."""
        return np.isfinite(self.factor).all(axis=(1, 2, 3))

    @property
    def log_constants(self) -> NDArray[np.float64]:
        """Log densities of the standard distributions at their centres, shape (cohorts, parts)."""
        size, nu = self.centre.shape[2], self.degrees_of_freedom
        return np.array([t_constant(each, size) for each in nu.ravel().tolist()]).reshape(nu.shape)

    @property
    def log_volumes(self) -> NDArray[np.float64]:
        """Log determinants of the scale matrices' square roots, shape (cohorts, parts)."""
        return np.log(np.diagonal(self.factor, axis1=2, axis2=3)).sum(axis=2)

    def deviations(
        self, pairs: NDArray[np.intp], rngs: list[np.random.Generator]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw what is added to and subtracted from the centres, with its log density.

        Many pairs are moved a little so that their second moments are those of the normal that the
        t is made of: posterior means and standard deviations then have next to no error from the
        effects' draws.

        Parameters
        ----------
        pairs : (cohorts, parts) ndarray of int
            To be drawn in each part; their sum is the same for all cohorts.
        rngs : list of numpy.random.Generator
            One for each cohort.

        Returns
        -------
        (cohorts, all pairs, terms) ndarray, (cohorts, all pairs) ndarray
            The log density under the pair's own part; pairs of two widths are one mixture.
        """
        size, total = self.centre.shape[2], int(pairs[0].sum())
        wide_nu = self.wide_degrees_of_freedom
        nu = at_draw_pairs(self.degrees_of_freedom, pairs)
        normal = np.empty((len(rngs), total, size))
        scale = np.empty((len(rngs), total, 1))
        places = places_of_parts(pairs)
        # pairs of ordinary width, and how many of them
        is_core = np.empty((len(rngs), total), dtype=bool)
        for k, _, here in places:
            is_core[k, here] = ~is_wide_pair(here.stop - here.start)
        cores = pairs - pairs // WIDE_EVERY
        for k, rng in enumerate(rngs):
            rng.standard_normal(out=normal[k])
            # one number where it serves all is quicker
            shape = nu[k] / 2 if np.ptp(self.degrees_of_freedom[k]) else nu[k, 0] / 2
            rng.standard_gamma(shape, out=scale[k, :, 0])
            wide = ~is_core[k]
            normal[k, wide] = WIDE_SCALE * rng.standard_t(wide_nu, (int(wide.sum()), size))
        scale = np.where(is_core[:, :, None], np.sqrt(2 / nu[:, :, None] * scale), 1.0)
        whitening = np.broadcast_to(np.eye(size), self.factor.shape).copy()
        moments = np.empty_like(whitening)
        core = np.where(is_core[:, :, None], normal, 0.0)
        for k, part, here in places:
            moments[k, part] = core[k, here].T @ core[k, here]
        is_whitened = cores >= PAIRS_PER_EFFECT * size
        moments = moments[is_whitened] / cores[is_whitened][:, None, None]
        # many pairs are moved a little so that their second moments are exact
        whitening[is_whitened] = inverses(triangular_roots(moments))
        standard, deviation = np.empty_like(normal), np.empty_like(normal)
        for k, part, here in places:
            standard[k, here] = core[k, here] @ whitening[k, part].T
        standard = np.where(is_core[:, :, None], standard, normal)
        standard /= scale
        for k, part, here in places:
            deviation[k, here] = standard[k, here] @ self.factor[k, part].T
        constant, wide_share = (
            at_draw_pairs(each, pairs) for each in (self.log_constants, wide_shares(pairs))
        )
        log_density = proposal_log_density(standard, nu, constant, wide_nu, wide_share)
        return deviation, log_density - at_draw_pairs(self.log_volumes, pairs)

    def effects(self, deviation: NDArray, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centres plus, and then minus, deviations, shape (cohorts, 2, all pairs, terms)."""
        centre = at_draw_pairs(self.centre, pairs)
        return np.stack([centre + deviation, centre - deviation], axis=1)

    def log_densities(self, effect: NDArray, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Log densities of effects (cohorts, draws, terms) under every part.

        Returns
        -------
        (cohorts, parts, draws) ndarray
        """
        distance = effect[:, None] - self.centre[:, :, None]
        size = distance.shape[-1]
        inverse = inverses(self.factor.reshape(-1, size, size)).reshape(self.factor.shape)
        standard = distance @ inverse.transpose(0, 1, 3, 2)
        nu, constant, wide_share = (
            each[:, :, None]
            for each in (self.degrees_of_freedom, self.log_constants, wide_shares(pairs))
        )
        wide_nu = self.wide_degrees_of_freedom
        found = proposal_log_density(standard, nu, constant, wide_nu, wide_share)
        return found - self.log_volumes[:, :, None]


def far_deviations(factor: NDArray) -> NDArray[np.float64]:
    """Deviations far along each column of square roots, and none at last.

    Parameters
    ----------
    factor : (cohorts, parts, terms, terms) ndarray

    Returns
    -------
    (cohorts, parts x (terms + 1), terms) ndarray
    """
    count, parts, size, _ = factor.shape
    far = np.zeros((count, parts, size + 1, size))
    far[:, :, :size] = FAR * factor.transpose(0, 1, 3, 2)
    return far.reshape(count, -1, size)


def is_wide_pair(pairs: int) -> NDArray[np.bool]:
    """Which pairs are proposed wider: evenly spread among the others, shape (pairs,)."""
    return np.arange(pairs) % WIDE_EVERY == WIDE_EVERY - 1


def wide_shares(pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    """Share of the wider pairs in every part, shape (cohorts, parts)."""
    return (pairs // WIDE_EVERY) / np.maximum(pairs, 1)


def proposal_log_density(
    standard: NDArray, nu: NDArray, log_constant: NDArray, wide_nu: float, wide_share: NDArray
) -> NDArray[np.float64]:
    """Log density of the mixture of a multivariate t and wider t for each direction.

    Parameters
    ----------
    standard : (..., terms) ndarray
        Deviations in units of the scale matrix' square root.
    nu, log_constant : (...) ndarray
        Degrees of freedom, and the log density of the multivariate t at its centre.
    wide_nu : float
        Of the wider distribution.
    wide_share : (...) ndarray
        Of the wider distribution among all.

    References
    ----------
    Hesterberg (1995), Technometrics 37:185-194 (defensive mixtures).
    """
    size = standard.shape[-1]
    squared = standard**2
    log_core = log_constant - 0.5 * (nu + size) * np.log1p(squared.sum(axis=-1) / nu)
    wide_constant = math.lgamma((wide_nu + 1) / 2) - math.lgamma(wide_nu / 2)
    wide_constant -= 0.5 * math.log(wide_nu * math.pi) + math.log(WIDE_SCALE)
    squared /= wide_nu * WIDE_SCALE**2
    log_wide = size * wide_constant - 0.5 * (wide_nu + 1) * np.log1p(squared).sum(axis=-1)
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-wide_share) + log_core, np.log(wide_share) + log_wide)


def t_constant(nu: float, size: int) -> float:
    """Log density of a standard multivariate t at its centre."""
    return math.lgamma((nu + size) / 2) - math.lgamma(nu / 2) - 0.5 * size * math.log(nu * math.pi)


def wide_degrees_of_freedom(*priors: EffectPrior | Family) -> float:
    """Degrees of freedom of the wider pairs: as few as those of the priors' heaviest tails."""
    heavy = [each.degrees_of_freedom for each in priors if isinstance(each, StudentT)]
    return min([WIDE_DEGREES_OF_FREEDOM, *heavy])


def least_fall(*priors: EffectPrior | Family) -> float:
    """How much the log density has to have fallen `FAR` away from the centre.

    Under a Student t prior it may fall as slowly as the wider pairs' density, which has its tail.
    """
    if not any(isinstance(each, StudentT) for each in priors):
        return LEAST_FALL
    nu = wide_degrees_of_freedom(*priors)
    of_wide = 0.5 * (nu + 1) * math.log1p((FAR / WIDE_SCALE) ** 2 / nu)
    return min(LEAST_FALL, LEAST_SHARE_OF_WIDE * of_wide)
