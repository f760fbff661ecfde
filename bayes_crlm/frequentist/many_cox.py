"""Cox regressions of many cohorts: estimates alone; where there is no clear maximum, `fit_cox`."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.cox_rows import CoxRows, is_maximum, scaled_columns
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from bayes_crlm.model.prepared_block import CohortBlock

Floats = NDArray[np.float64]


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
    scaled, scale = scaled_columns(block.design.matrix)
    event = block.event.astype(np.float64)
    fits = [
        CoxRows(block.entry[k], block.time[k], event[k], scaled[k], scale[k]).fit()
        for k in range(len(block))
    ]
    is_clear = is_maximum(fits, scaled)
    covariance = np.array([fit.var for fit in fits]).reshape(*scale.shape, -1)
    variance = np.diagonal(covariance, axis1=1, axis2=2)
    coef = np.array([fit.coefficients for fit in fits]) / scale
    se = np.sqrt(np.where(is_clear[:, None], variance, np.nan)) / scale
    coef[~is_clear] = np.nan
    low, high = coef - HALF_WIDTH_95 * se, coef + HALF_WIDTH_95 * se
    method = ["partial likelihood" if is_one_clear else "" for is_one_clear in is_clear]
    note = [""] * len(block)
    for k in np.flatnonzero(~is_clear):
        columns = (block.entry[k], block.time[k], block.event[k], block.design.matrix[k])
        try:
            cox = fit_cox(*columns, block.design.terms, block.patient_index[k])
        except CohortError as problem:
            note[k] = f"Cox: {problem}"
            continue
        coef[k], se[k] = cox.coef, cox.se
        with np.errstate(divide="ignore"):
            low[k], high[k] = np.log(cox.ci95).T
        method[k], note[k] = cox.method, "; ".join(cox.warnings)
    return BlockCox(coef, se, low, high, method, note)
