"""The rows of a Cox regression, and the library's fit of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.frequentist.separation import is_maximum_certain
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from survival.regression import CoxPHFit  # ty: ignore[missing-module-member]

Floats = NDArray[np.float64]

# The partial likelihood's relative change at convergence. R stops at 1e-9, one Newton step earlier.
CONVERGENCE = 1e-11
MAX_ITERATIONS = 50
# A pivot of the information, as a share of the largest, below which a column is not identified.
LEAST_PIVOT = 1e-9


@record(eq=False)
class CoxRows:
    """The follow-up and the columns, as the `survival` package takes them.

    Attributes
    ----------
    entry, time, event : (rows,) float
        Times that differ by rounding alone are one time.
    scaled : (rows, p) float
        Columns with mean 0 and standard deviation 1; 0 where a column is constant.
    scale : (p,) float
        The columns' standard deviations.
    ties : "efron" or "breslow"
        How tied events are treated.
    """

    entry: Floats
    time: Floats
    event: Floats
    scaled: Floats
    scale: Floats
    ties: str = "efron"

    @classmethod
    def of(
        cls,
        entry: ArrayLike,
        time: ArrayLike,
        event: ArrayLike,
        matrix: Floats,
        ties: str = "efron",
    ) -> CoxRows:
        """Take rows of a cohort, whose times are tied already, and scale the columns."""
        entry, time = np.asarray(entry, dtype=np.float64), np.asarray(time, dtype=np.float64)
        scaled, scale = scaled_columns(matrix)
        return cls(entry, time, np.asarray(event).astype(np.float64), scaled, scale, ties)

    def with_columns(self, which: NDArray[np.intp]) -> CoxRows:
        """The same rows with some of the columns."""
        return replace(self, scaled=self.scaled[:, which], scale=self.scale[which])

    def fit(self, start: Floats | None = None, **more: Any) -> CoxPHFit:
        """Maximise the partial likelihood, or only evaluate it at `start`.

        `more` are weights and clusters of the rows, as the library takes them.
        """
        # The package binds its names at run time, where a type checker cannot see them.
        from survival.regression import coxph_fit  # ty: ignore[missing-module-member]

        return coxph_fit(
            self.time,
            self.event,
            self.scaled,
            # Without late entry the library has a quicker way.
            entry=self.entry if np.any(self.entry > 0) else None,
            method=self.ties,
            init=None if start is None else list(start),
            eps=CONVERGENCE,
            iter_max=MAX_ITERATIONS if start is None else 0,
            toler_chol=None if start is None else LEAST_PIVOT,
            **more,
        )

    def maximised(self, **more: Any) -> CoxPHFit | None:
        """Fit; None where the steps leave the range of numbers, so that there is no maximum."""
        try:
            return self.fit(**more)
        except (RuntimeError, ValueError):
            # "exp overflow due to covariates" and "infinite argument in coxph.wtest", as R says
            # where columns separate the events
            return None

    def identified(self) -> NDArray[np.bool_]:
        """Columns that some risk set tells apart from those before them, at no effect, (p,)."""
        at_no_effect = self.fit(np.zeros(self.scaled.shape[1]))
        return np.diag(np.atleast_2d(at_no_effect.var)) > 0


def is_maximum(fits: Sequence[CoxPHFit], scaled: Floats) -> NDArray[np.bool_]:
    """Whether fits have converged, on maxima and not on the way up a monotone likelihood.

    Parameters
    ----------
    fits : sequence of CoxPHFit
        Of as many cohorts.
    scaled : (cohorts, rows, p) float
        Their columns.

    Returns
    -------
    (cohorts,) bool
    """
    *_, p = scaled.shape
    if not p:
        return np.ones(len(fits), dtype=bool)
    coef = np.array([fit.coefficients for fit in fits]).reshape(-1, p)
    score = np.array([fit.first for fit in fits]).reshape(-1, p)
    covariance = np.array([fit.var for fit in fits]).reshape(-1, p, p)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    is_found = np.isfinite(coef).all(axis=1) & (variance > 0).all(axis=1)
    covariance = np.where(is_found[:, None, None], covariance, np.eye(p))
    # One more Newton step would move no estimate by 1e-5 standard errors.
    is_converged = (score * (covariance @ score[..., None])[..., 0]).sum(axis=1) < 1e-10
    return is_found & is_converged & is_maximum_certain(score, covariance, np.ptp(scaled, axis=1))


def scaled_columns(matrix: Floats) -> tuple[Floats, Floats]:
    """Columns, (..., rows, p), with mean 0 and standard deviation 1, and the latter, (..., p)."""
    center, scale = matrix.mean(axis=-2, keepdims=True), matrix.std(axis=-2, keepdims=True)
    # A column that is constant but for rounding must not be blown up into a covariate.
    is_constant = scale <= 1e-12 * np.max(np.abs(matrix), axis=-2, initial=0.0, keepdims=True)
    scale = np.where(is_constant, 1.0, scale)
    return np.where(is_constant, 0.0, (matrix - center) / scale), scale[..., 0, :]
