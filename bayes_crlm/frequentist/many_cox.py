"""Cox regressions of many cohorts: Newton steps of all at once; where unclear, `fit_cox`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.cox_rows import scaled_columns
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood
from bayes_crlm.frequentist.separation import is_maximum_certain
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from bayes_crlm.model.prepared_block import CohortBlock

Floats = NDArray[np.float64]

MOST_STEPS = 20
# a fall of the log partial likelihood that rounding explains, as a share of its size
SLACK = 1e-12
# one more step would move no estimate by 1e-9 standard errors
CONVERGED = 1e-18


@record(eq=False)
class BlockCox:
    """Cox estimates of many cohorts in the columns' own units; nan where there is none.

    Attributes
    ----------
    coef, se, low, high : (cohorts, terms) ndarray
        Log hazard ratios, standard errors and 95% limits.
    method : (cohorts,) list of str
        "partial likelihood", "Firth", or "" where nothing was fitted.
    note : (cohorts,) list of str
        Why estimates are missing or penalised; empty where there is nothing to say.
    """

    coef: Floats
    se: Floats
    low: Floats
    high: Floats
    method: list[str]
    note: list[str]


def fit_block_cox(block: "CohortBlock") -> BlockCox:
    """Fit a Cox regression to every cohort of a block.

    Parameters
    ----------
    block : CohortBlock
        The cohorts.

    Returns
    -------
    BlockCox
        As of `bayes_crlm.frequentist.cox.fit_cox`, without its tests.
    """
    scaled, scale = scaled_columns(block.matrix)
    found, covariance, is_clear = maxima(
        PartialLikelihood(block.entry, block.time, block.event, scaled), np.ptp(scaled, axis=1)
    )
    coef = np.where(is_clear[:, None], found / scale, np.nan)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    se = np.where(is_clear[:, None], np.sqrt(np.abs(variance)) / scale, np.nan)
    low, high = coef - HALF_WIDTH_95 * se, coef + HALF_WIDTH_95 * se
    method = ["partial likelihood" if is_one_clear else "" for is_one_clear in is_clear]
    note = [""] * len(block)
    for k in np.flatnonzero(~is_clear):
        columns = (block.entry[k], block.time[k], block.event[k], block.matrix[k])
        try:
            cox = fit_cox(*columns, block.terms, block.patient_index[k])
        except CohortError as problem:
            note[k] = f"Cox: {problem}"
            continue
        coef[k], se[k] = cox.coef, cox.se
        with np.errstate(divide="ignore"):
            low[k], high[k] = np.log(cox.ci95).T
        method[k], note[k] = cox.method, "; ".join(cox.warnings)
    return BlockCox(coef, se, low, high, method, note)


def maxima(
    likelihood: PartialLikelihood, ranges: Floats
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Maximise the partial likelihoods of many cohorts by Newton steps, all at once.

    Parameters
    ----------
    likelihood : PartialLikelihood
        Of the cohorts, with one leading index.
    ranges : (cohorts, p) ndarray
        Largest less smallest value of each column.

    Returns
    -------
    coef : (cohorts, p) ndarray
    covariance : (cohorts, p, p) ndarray
    is_clear : (cohorts,) ndarray of bool
        Where the maximum is certain; a monotone likelihood, columns that no risk set tells apart
        and a step that does not rise are left to a search of their own.
    """
    coef = np.zeros_like(ranges)
    best = np.full(len(coef), -np.inf)
    is_clear = np.ones(len(coef), dtype=bool)
    for _ in range(MOST_STEPS):
        there = likelihood.at(coef)
        has_risen = there.loglik >= best - SLACK * (1 + np.abs(there.loglik))
        is_clear &= has_risen & (np.linalg.slogdet(there.information)[0] > 0)
        best = there.loglik
        information = np.where(is_clear[:, None, None], there.information, np.eye(coef.shape[1]))
        covariance = np.linalg.inv(information)
        step = (covariance @ there.score[..., None])[..., 0] * is_clear[:, None]
        is_converged = (there.score * step).sum(axis=1) < CONVERGED
        if is_converged.all():
            break
        # who has converged stays there: digits do not depend on how long others take
        coef = coef + np.where(is_converged[:, None], 0.0, step)
    is_clear &= is_converged & is_maximum_certain(there.score, covariance, ranges)
    return coef, covariance, is_clear
