"""Where importance sampling proposes effects: around a mode, and wider now and then.

References
----------
Hammersley & Morton (1956), Math Proc Camb Philos Soc 52:449-475 (mirrored pairs); Hesterberg
(1995), Technometrics 37:185-194 (defensive mixtures).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.model.priors import EffectPrior, StudentT

__all__ = [
    "EffectProposal",
    "is_wide_pair",
    "least_fall",
    "proposal_log_density",
    "wide_degrees_of_freedom",
]

# of the multivariate t that proposes effects
DEGREES_OF_FREEDOM = 50.0
# one pair in so many is proposed wider, from a t for each direction apart: a prior's heavy tail, or
# a likelihood that hardly falls on one side, is one direction's alone
WIDE_EVERY, WIDE_SCALE, WIDE_DEGREES_OF_FREEDOM = 10, 1.5, 4.0
# second moments of pairs are made exact from this many pairs per effect on
PAIRS_PER_EFFECT = 10
# this many standard deviations away the log density has to have fallen by so much
FAR, LEAST_FALL, LEAST_SHARE_OF_WIDE = 6.0, 5.0, 0.7


@dataclass(frozen=True)
class EffectProposal:
    """A multivariate t distribution of effects.

    Attributes
    ----------
    centre : (terms,) ndarray
        Mean.
    factor : (terms, terms) ndarray
        Lower triangular square root of the scale matrix.
    degrees_of_freedom : float
        The larger, the nearer to a normal.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    degrees_of_freedom: float
    wide_degrees_of_freedom: float

    def deviations(self, pairs: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
        """Draw what is added to and subtracted from the centre, with its log density.

        Many pairs are moved a little so that their second moments are those of the normal
        that the t is made of:
        posterior means and standard deviations then have next to no error from the effects' draws.

        Returns
        -------
        (pairs, terms) ndarray, (pairs,) ndarray
        """
        size, nu = len(self.centre), self.degrees_of_freedom
        is_wide = is_wide_pair(pairs)
        standard = np.empty((pairs, size))
        count = pairs - int(is_wide.sum())
        normal = rng.standard_normal((count, size))
        if count >= PAIRS_PER_EFFECT * size:
            root = np.linalg.cholesky(normal.T @ normal / count)
            normal = normal @ np.linalg.inv(root).T
        standard[~is_wide] = normal / np.sqrt(rng.chisquare(nu, count) / nu)[:, None]
        wide = rng.standard_t(self.wide_degrees_of_freedom, (pairs - count, size))
        standard[is_wide] = WIDE_SCALE * wide
        log_density = proposal_log_density(
            standard, nu, self.wide_degrees_of_freedom, (pairs - count) / pairs
        )
        log_density -= float(np.log(np.diag(self.factor)).sum())
        return standard @ self.factor.T, log_density


def is_wide_pair(pairs: int) -> NDArray[np.bool]:
    """Which pairs are proposed wider: evenly spread among the others, shape (pairs,)."""
    return np.arange(pairs) % WIDE_EVERY == WIDE_EVERY - 1


def proposal_log_density(
    standard: NDArray, nu: float, wide_nu: float, wide_share: float | NDArray
) -> NDArray[np.float64]:
    """Log density of the mixture of a multivariate t and wider t for each direction.

    Parameters
    ----------
    standard : (..., terms) ndarray
        Deviations in units of the scale matrix' square root.
    nu, wide_nu : float
        Degrees of freedom.
    wide_share : float or (...) ndarray
        Of the wider distribution among all.

    References
    ----------
    Hesterberg (1995), Technometrics 37:185-194 (defensive mixtures).
    """
    size = standard.shape[-1]
    squared = standard**2
    constant = math.lgamma((nu + size) / 2) - math.lgamma(nu / 2)
    constant -= 0.5 * size * math.log(nu * math.pi)
    log_core = constant - 0.5 * (nu + size) * np.log1p(squared.sum(axis=-1) / nu)
    wide_constant = math.lgamma((wide_nu + 1) / 2) - math.lgamma(wide_nu / 2)
    wide_constant -= 0.5 * math.log(wide_nu * math.pi) + math.log(WIDE_SCALE)
    squared /= wide_nu * WIDE_SCALE**2
    log_wide = size * wide_constant - 0.5 * (wide_nu + 1) * np.log1p(squared).sum(axis=-1)
    with np.errstate(divide="ignore"):
        return np.logaddexp(np.log1p(-wide_share) + log_core, np.log(wide_share) + log_wide)


def wide_degrees_of_freedom(*priors: EffectPrior) -> float:
    """Degrees of freedom of the wider pairs: as few as those of the priors' heaviest tails."""
    heavy = [each.degrees_of_freedom for each in priors if isinstance(each, StudentT)]
    return min([WIDE_DEGREES_OF_FREEDOM, *heavy])


def least_fall(*priors: EffectPrior) -> float:
    """How much the log density has to have fallen `FAR` away from the centre.

    Under a Student t prior it may fall as slowly as the wider pairs' density, which has its tail.
    """
    if not any(isinstance(each, StudentT) for each in priors):
        return LEAST_FALL
    nu = wide_degrees_of_freedom(*priors)
    of_wide = 0.5 * (nu + 1) * math.log1p((FAR / WIDE_SCALE) ** 2 / nu)
    return min(LEAST_FALL, LEAST_SHARE_OF_WIDE * of_wide)
