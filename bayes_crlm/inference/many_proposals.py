"""Effects of many cohorts, proposed from multivariate t distributions in mirrored pairs.

The method is that of `bayes_crlm.inference.effect_proposals.EffectProposal`. A cohort's proposal
has one range or, for a random walk, one for each range of its step scale; each has a distribution
of its own and some of the pairs, which follow one another.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.effect_proposals import (
    DEGREES_OF_FREEDOM,
    PAIRS_PER_EFFECT,
    WIDE_EVERY,
    WIDE_SCALE,
    is_wide_pair,
    proposal_log_density,
)
from bayes_crlm.inference.many_modes import BlockSums, Modes
from bayes_crlm.likelihood.matrices import inverses, triangular_roots

__all__ = ["Proposals", "of_pairs", "proposals_around"]


@dataclass(frozen=True, eq=False)
class Proposals:
    """Multivariate t distributions of effects.

    Attributes
    ----------
    centre : (cohorts, ranges, terms) ndarray
    factor : (cohorts, ranges, terms, terms) ndarray
        Lower triangular square roots of the scale matrices; not a number where there is none.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    wide_degrees_of_freedom: float

    def part(self, which: NDArray[np.intp]) -> "Proposals":
        """Those of some cohorts."""
        return Proposals(self.centre[which], self.factor[which], self.wide_degrees_of_freedom)

    def deviations(
        self, pairs: NDArray[np.intp], rngs: list[np.random.Generator]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Draw what is added to and subtracted from the centres, with its log density.

        Parameters
        ----------
        pairs : (cohorts, ranges) ndarray of int
            To be drawn in each range; their sum is the same for all cohorts.
        rngs : list of numpy.random.Generator
            One for each cohort.

        Returns
        -------
        (cohorts, all pairs, terms) ndarray, (cohorts, all pairs) ndarray
            The log density; pairs of two widths are one mixture.
        """
        nu, size, total = DEGREES_OF_FREEDOM, self.centre.shape[2], int(pairs[0].sum())
        wide_nu = self.wide_degrees_of_freedom
        normal = np.empty((len(rngs), total, size))
        scale = np.empty((len(rngs), total, 1))
        slices = slices_of(pairs)
        # pairs of ordinary width, and how many of them
        is_core = np.empty((len(rngs), total), dtype=bool)
        for k, _, here in slices:
            is_core[k, here] = ~is_wide_pair(here.stop - here.start)
        cores = pairs - pairs // WIDE_EVERY
        for k, rng in enumerate(rngs):
            rng.standard_normal(out=normal[k])
            rng.standard_gamma(nu / 2, out=scale[k, :, 0])
            wide = ~is_core[k]
            normal[k, wide] = WIDE_SCALE * rng.standard_t(wide_nu, (int(wide.sum()), size))
        scale = np.where(is_core[:, :, None], np.sqrt(2 / nu * scale), 1.0)
        whitening = np.broadcast_to(np.eye(size), self.factor.shape).copy()
        moments = np.empty_like(whitening)
        core = np.where(is_core[:, :, None], normal, 0.0)
        for k, r, here in slices:
            moments[k, r] = core[k, here].T @ core[k, here]
        is_whitened = cores >= PAIRS_PER_EFFECT * size
        moments = moments[is_whitened] / cores[is_whitened][:, None, None]
        # many pairs are moved a little so that their second moments are exact
        whitening[is_whitened] = inverses(triangular_roots(moments))
        factor_log = np.log(np.diagonal(self.factor, axis1=2, axis2=3)).sum(axis=2)
        standard, deviation = np.empty_like(normal), np.empty_like(normal)
        for k, r, here in slices:
            standard[k, here] = core[k, here] @ whitening[k, r].T
        standard = np.where(is_core[:, :, None], standard, normal)
        standard /= scale
        for k, r, here in slices:
            deviation[k, here] = standard[k, here] @ self.factor[k, r].T
        wide_share = of_pairs((pairs - cores) / np.maximum(pairs, 1), pairs)
        log_density = proposal_log_density(standard, nu, wide_nu, wide_share)
        return deviation, log_density - of_pairs(factor_log, pairs)

    def effects(self, deviation: NDArray, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centres plus, and then minus, deviations, shape (cohorts, 2, all pairs, terms)."""
        centre = of_pairs(self.centre, pairs)
        return np.stack([centre + deviation, centre - deviation], axis=1)

    def weighted_exposures(
        self, sums: BlockSums, deviation: NDArray, pairs: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Exposures weighted by the relative hazards of `effects`.

        One exponential serves both signs, since exp(-x) = 1 / exp(x). Cohort by cohort, so that
        the table of rows x draws stays in a processor's cache.

        Returns
        -------
        (intervals, cohorts, 2, all pairs) ndarray
        """
        total = np.empty((sums.events.shape[1], len(deviation), 2, deviation.shape[1]))
        at_centre = sums.design @ self.centre.transpose(0, 2, 1)
        np.exp(at_centre, out=at_centre)
        relative = np.empty((sums.design.shape[1], deviation.shape[1]))
        ranges = [[] for _ in range(len(deviation))]
        for k, r, here in slices_of(pairs):
            ranges[k].append((r, here))
        for k in range(len(deviation)):
            np.matmul(sums.design[k], deviation[k].T, out=relative)
            np.exp(relative, out=relative)
            weighted = [(sums.exposure[k] * at_centre[k, :, r, None]).T for r, _ in ranges[k]]
            for sign in range(2):
                for (_, here), weight in zip(ranges[k], weighted, strict=True):
                    np.matmul(weight, relative[:, here], out=total[:, k, sign, here])
                if sign == 0:
                    np.reciprocal(relative, out=relative)
        return total


def slices_of(pairs: NDArray[np.intp]) -> list[tuple[int, int, slice]]:
    """Cohort, range and place of the pairs of every range that has any."""
    ends = np.cumsum(pairs, axis=1).tolist()
    found = []
    for k, row in enumerate(ends):
        first = 0
        for r, last in enumerate(row):
            if last > first:
                found.append((k, r, slice(first, last)))
            first = last
    return found


def of_pairs(values: NDArray, pairs: NDArray[np.intp]) -> NDArray:
    """Give every pair its range's value: (cohorts, ranges, ...) to (cohorts, all pairs, ...)."""
    rest = values.shape[2:]
    repeated = np.repeat(values.reshape(-1, *rest), pairs.ravel(), axis=0)
    return repeated.reshape(len(pairs), -1, *rest)


def proposals_around(modes: Modes, wide_degrees_of_freedom: float, ranges: int = 1) -> Proposals:
    """Propose effects around modes, with the covariance that the information implies.

    Parameters
    ----------
    modes : Modes
        One for each range of each cohort: the ranges of the first cohort, then of the next.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    ranges : int
        Of each cohort.
    """
    n_intervals, n_terms = modes.log_hazard.shape[1], modes.effect.shape[1]
    covariance = inverses(modes.information)[:, n_intervals:, n_intervals:]
    covariance[~modes.converged] = np.nan
    factor = triangular_roots((covariance + covariance.transpose(0, 2, 1)) / 2)
    return Proposals(
        modes.effect.reshape(-1, ranges, n_terms),
        factor.reshape(-1, ranges, n_terms, n_terms),
        wide_degrees_of_freedom,
    )
