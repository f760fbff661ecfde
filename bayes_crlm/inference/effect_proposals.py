"""Where importance sampling proposes effects: around modes, and wider now and then.

Each part of a proposal is a normal distribution around a mode, or a multivariate t. Effects come in
mirrored pairs, at several independent scrambles of Sobol points.

References
----------
Hammersley & Morton (1956), Math Proc Camb Philos Soc 52:449-475 (mirrored pairs); Hesterberg
(1995), Technometrics 37:185-194 (defensive mixtures).
"""

import math
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.draws import EffectDensities, EffectDraws
from bayes_crlm.inference.parts import at_draw_pairs
from bayes_crlm.inference.step_scales import StepScales
from bayes_crlm.likelihood.matrices import triangular_roots
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.families import Family, StudentT
from bayes_crlm.model.priors import EffectPrior
from bayes_crlm.words.records import record

# of the multivariate t that proposes effects: a normal, whose points need no other random number
DEGREES_OF_FREEDOM = math.inf
# one pair in so many is proposed wider, from a t for each direction apart: a prior's heavy tail, or
# a likelihood that hardly falls on one side, is one direction's alone
WIDE_EVERY, WIDE_SCALE, WIDE_DEGREES_OF_FREEDOM = 10, 1.5, 4.0
# independent scrambles of Sobol points that the pairs of a fit come from: by what they differ, its
# Monte Carlo errors are known
SCRAMBLES = 8
# this many standard deviations away the log density has to have fallen by so much
FAR, LEAST_FALL, LEAST_SHARE_OF_WIDE = 6.0, 5.0, 0.7


@record(eq=False)
class DrawnEffects:
    """Effects drawn in mirrored pairs.

    Attributes
    ----------
    effect : (cohorts, 2, pairs, terms) ndarray
        The centre plus, and then minus, a deviation.
    log_density : (cohorts, pairs) ndarray
        Of effect and log step scale under the pair's own part; pairs of two widths are one mixture.
    log_step_scale : (cohorts, pairs) ndarray or None
        Those of a range and scramble increase: effects they are paired with have no order.
    scramble : (cohorts, pairs) ndarray of int
        Which of the `SCRAMBLES` each pair comes from.
    """

    effect: NDArray[np.float64]
    log_density: NDArray[np.float64]
    log_step_scale: NDArray[np.float64] | None
    scramble: NDArray[np.int64]


@record(eq=False)
class EffectProposals(Stacked):
    """Normal or multivariate t distributions of effects, a part of a cohort's proposal each.

    Attributes
    ----------
    centre : (cohorts, parts, terms) ndarray
        Where each distribution is centred, on the sampling scale.
    factor : (cohorts, parts, terms, terms) ndarray
        Lower triangular square roots of the scale matrices; not a number where there is none.
    degrees_of_freedom : (cohorts, parts) ndarray
        The larger, the nearer to a normal; infinite of one.
    wide_degrees_of_freedom : float
        Of the wider pairs.
    """

    centre: NDArray[np.float64]
    factor: NDArray[np.float64]
    degrees_of_freedom: NDArray[np.float64]
    wide_degrees_of_freedom: float

    shared: ClassVar[tuple[str, ...]] = ("wide_degrees_of_freedom",)

    @classmethod
    def around(
        cls, centre: NDArray, spread: NDArray, wide_degrees_of_freedom: float
    ) -> "EffectProposals":
        """Propose effects around modes (cohorts, parts, terms) with the covariances `spread`."""
        factor = triangular_roots(spread.reshape(-1, *spread.shape[2:])).reshape(spread.shape)
        nu = np.full(centre.shape[:2], DEGREES_OF_FREEDOM)
        return cls(centre, factor, nu, wide_degrees_of_freedom)

    @property
    def exists(self) -> NDArray[np.bool]:
        """Whether every part has a distribution, shape (cohorts,)."""
        return np.isfinite(self.factor).all(axis=(1, 2, 3))

    @property
    def log_volumes(self) -> NDArray[np.float64]:
        """Log determinants of the scale matrices' square roots, shape (cohorts, parts)."""
        return np.log(np.diagonal(self.factor, axis1=2, axis2=3)).sum(axis=2)

    def draw(
        self, pairs: NDArray[np.intp], seeds: NDArray[np.uint64], scales: StepScales | None = None
    ) -> DrawnEffects:
        """Draw effects in mirrored pairs, and step scales.

        Parameters
        ----------
        pairs : (cohorts, parts) ndarray of int
            To be drawn in each part; their sum is the same for all cohorts.
        seeds : (cohorts, 32) ndarray
            Of each cohort's random numbers.
        scales : StepScales, optional
            Of walks: a range for each part.
        """
        count, n_parts, size = self.centre.shape
        total = int(pairs[0].sum())
        log_scale = None if scales is None else np.empty((count, total))
        drawn = DrawnEffects(
            np.empty((count, 2, total, size)),
            np.empty((count, total)),
            log_scale,
            np.empty((count, total), dtype=np.int64),
        )
        task = EffectDraws()
        task.fill(
            n_cohorts=count,
            n_parts=n_parts,
            n_pairs=total,
            n_terms=size,
            n_scrambles=SCRAMBLES,
            wide_every=WIDE_EVERY,
            pairs=pairs,
            seed=seeds,
            **vars(drawn),
            **self.parameters,
        )
        if scales is not None:
            task.fill(
                n_scale_cells=scales.share.shape[2],
                first_log_scale=scales.edges[0],
                scale_width=scales.width,
                scale_share=scales.share,
            )
        task.run()
        return drawn

    @property
    def parameters(self) -> dict[str, Any]:
        """What the library knows proposals by."""
        return {
            "centre": self.centre,
            "factor": self.factor,
            "nu": self.degrees_of_freedom,
            "wide_nu": self.wide_degrees_of_freedom,
            "wide_scale": WIDE_SCALE,
        }

    def on_both_sides(self, deviation: NDArray, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Centres plus, and then minus, deviations, shape (cohorts, 2, all pairs, terms)."""
        centre = at_draw_pairs(self.centre, pairs)
        return np.stack([centre + deviation, centre - deviation], axis=1)

    def log_densities(self, effect: NDArray, pairs: NDArray[np.intp]) -> NDArray[np.float64]:
        """Log densities of effects (cohorts, draws, terms) under every part.

        Returns
        -------
        (cohorts, parts, draws) ndarray
        """
        count, draws, size = effect.shape
        found, task = np.empty((count, self.centre.shape[1], draws)), EffectDensities()
        task.fill(
            n_cohorts=count,
            n_parts=self.centre.shape[1],
            n_draws=draws,
            n_terms=size,
            wide_share=(pairs // WIDE_EVERY) / np.maximum(pairs, 1),
            effect=effect,
            log_density=found,
            **self.parameters,
        )
        task.run()
        return found


def far_deviations(factor: NDArray) -> NDArray[np.float64]:
    """Deviations far along each column of square roots, and none at last.

    Parameters
    ----------
    factor : (cohorts, parts, terms, terms) ndarray
        Lower triangular square roots of the scale matrices.

    Returns
    -------
    (cohorts, parts x (terms + 1), terms) ndarray
    """
    count, parts, size, _ = factor.shape
    far = np.zeros((count, parts, size + 1, size))
    far[:, :, :size] = FAR * factor.transpose(0, 1, 3, 2)
    return far.reshape(count, -1, size)


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
