"""Firth's penalised Cox regression: finite estimates where the partial likelihood has no maximum.

The log partial likelihood is penalised by Jeffreys' prior, ``0.5 * log(det(information))``.
That takes away the first-order bias of the estimates and keeps them finite under separation,
where ordinary estimates run off to infinity.

References
----------
Firth (1993), Biometrika 80:27-38.
Heinze & Schemper (2001), Biometrics 57:114-119.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.frequentist.cox_rows import CoxRows
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood, PartialLikelihoodValue
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]

CHI_SQUARE_95 = 3.841458820694124
MAX_ITERATIONS = 200
# In standard deviations of a column: a longer Newton step leaves the region its curvature is about.
LONGEST_STEP = 2.0
# As a share of the slope that a step set out with: further down behind the top it is shortened.
MOST_OVERSHOOT = 0.5


@record(eq=False)
class Firth:
    """A Firth-penalised Cox fit, in the columns' own units.

    Attributes
    ----------
    coef, se : (p,) float
        Log hazard ratios and the square roots of `covariance`'s diagonal.
    covariance : (p, p) float
        Inverse of the partial likelihood's information at `coef`.
    ci95 : (p, 2) float
        Profile penalised likelihood limits of the log hazard ratios; NaN where the profile does not
        fall far enough or cannot be followed.
    p : (p,) float
        Penalised likelihood ratio test of each coefficient being 0.
    loglik : (float, float)
        Log partial likelihood, unpenalised, at 0 and at `coef`.
    penalised_loglik : (float, float)
        The same with the penalty, columns scaled to standard deviation 1.
    """

    coef: Floats
    se: Floats
    covariance: Floats
    ci95: Floats
    p: Floats
    loglik: tuple[float, float]
    penalised_loglik: tuple[float, float]


def fit_firth(rows: CoxRows) -> Firth | None:
    """Fit Firth's penalised Cox regression.

    Newton steps with the information as curvature, halved until the penalised likelihood rises;
    limits and tests from the profile of the penalised likelihood, the determinant being that of
    the whole information, as in R's ``coxphf`` (which has Breslow ties only).

    Parameters
    ----------
    rows : CoxRows
        Columns must be linearly independent within the risk sets.

    Returns
    -------
    Firth or None
        None where the search does not converge.

    References
    ----------
    Heinze & Schemper (2001), Biometrics 57:114-119.
    """
    likelihood = PartialLikelihood(rows.entry, rows.time, rows.event, rows.scaled, rows.ties)
    p, scale = len(rows.scale), rows.scale
    null = likelihood.at(np.zeros(p))
    coef, value, converged = _maximise(likelihood, np.zeros(p), np.ones(p, dtype=bool))
    if not converged:
        return None
    covariance = np.linalg.inv(value.information)
    profiles = [
        _Profile(likelihood, coef, covariance, value.penalised_loglik, term) for term in range(p)
    ]
    limits = np.array([[profile.limit(-1.0), profile.limit(1.0)] for profile in profiles])
    return Firth(
        coef=coef / scale,
        se=np.sqrt(np.diag(covariance)) / scale,
        covariance=covariance / np.outer(scale, scale),
        ci95=limits.reshape(p, 2) / scale[:, None],
        p=np.array([profile.p_value() for profile in profiles]),
        loglik=(null.loglik, value.loglik),
        penalised_loglik=(null.penalised_loglik, value.penalised_loglik),
    )


def _maximise(
    likelihood: PartialLikelihood,
    start: Floats,
    is_free: NDArray[np.bool_],
    tolerance: float = 1e-9,
) -> tuple[Floats, PartialLikelihoodValue, bool]:
    """Maximise the penalised likelihood over the free coefficients, the others held at `start`.

    Converged when no free coefficient moves by more than `tolerance` standard deviations.
    """
    coef = start.copy()
    value = likelihood.at(coef, with_firth_score=True)
    free = np.flatnonzero(is_free)
    for _ in range(MAX_ITERATIONS):
        if value.firth_score is None or not np.isfinite(value.penalised_loglik):
            return coef, value, False
        if not free.size:
            return coef, value, True
        score = (value.score + value.firth_score)[free]
        step = np.linalg.solve(value.information[np.ix_(free, free)], score)
        longest = np.max(np.abs(step))
        if longest < tolerance:
            return coef, value, True
        step *= min(1.0, LONGEST_STEP / longest)
        # A rise smaller than rounding cannot be seen; then the step itself decides.
        slack = 1e-12 * (1.0 + abs(value.penalised_loglik))
        slope = score @ step
        while True:
            proposal = coef.copy()
            proposal[free] += step
            proposed = likelihood.at(proposal, with_firth_score=True)
            has_risen = proposed.penalised_loglik >= value.penalised_loglik - slack
            if has_risen and proposed.firth_score is not None:
                slope_there = (proposed.score + proposed.firth_score)[free] @ step
                # The penalty bends too: where few risk sets inform a column, the information alone
                # is half the curvature, and whole steps would swing round the maximum for ever.
                if slope <= 0 or slope_there >= -MOST_OVERSHOOT * slope:
                    break
                step *= slope / (slope - slope_there)
                if np.max(np.abs(step)) < tolerance:
                    return coef, value, True
            else:
                step *= 0.5
                if np.max(np.abs(step)) < tolerance:
                    return coef, value, longest < 1e-6
        coef, value = proposal, proposed
    return coef, value, False


class _Profile:
    """The penalised likelihood of one coefficient, the others at their best."""

    def __init__(
        self,
        likelihood: PartialLikelihood,
        coef: Floats,
        covariance: Floats,
        maximum: float,
        term: int,
    ) -> None:
        self.likelihood, self.coef, self.maximum, self.term = likelihood, coef, maximum, term
        # How the others' best values move with this one, by normal theory.
        self.slope = covariance[:, term] / covariance[term, term]
        self.se = math.sqrt(covariance[term, term])
        self.is_free = np.ones(coef.size, dtype=bool)
        self.is_free[term] = False

    def deviance(self, at: float) -> float:
        """Twice the fall of the profile from its maximum, or NaN where it cannot be found."""
        start = self.coef + self.slope * (at - self.coef[self.term])
        start[self.term] = at
        # The fall is flat in the others at their best, so they need half the digits.
        _, value, converged = _maximise(self.likelihood, start, self.is_free, tolerance=1e-6)
        return max(0.0, 2.0 * (self.maximum - value.penalised_loglik)) if converged else math.nan

    def p_value(self) -> float:
        """Penalised likelihood ratio test against 0, chi-square with 1 degree of freedom."""
        return math.erfc(math.sqrt(self.deviance(0.0) / 2.0))

    def limit(self, side: float) -> float:
        """95% limit below (`side` -1) or above (1), or NaN when the profile does not show it."""
        from scipy.optimize import brentq

        estimate = self.coef[self.term]
        inside, offset = estimate, side * 1.96 * self.se
        target = math.sqrt(CHI_SQUARE_95)
        for _ in range(12):
            outside = estimate + offset
            deviance = self.deviance(outside)
            if math.isnan(deviance):
                return math.nan
            if deviance > CHI_SQUARE_95:
                # The root of the drop is almost linear, so few evaluations are needed.
                try:
                    return brentq(
                        lambda at: math.sqrt(self.deviance(at)) - target,
                        inside,
                        outside,
                        xtol=1e-7 * self.se,
                    )
                except ValueError:  # brentq's answer to a NaN on the way
                    return math.nan
            inside, offset = outside, 1.6 * offset
        return math.nan
