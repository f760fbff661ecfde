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
    fits = {}
    for k in range(len(block)):
        rows = CoxRows(block.entry[k], block.time[k], event[k], scaled[k], scale[k])
        fit = rows.maximised()
        if fit is not None:
            fits[k] = fit
    found = np.array(list(fits), dtype=np.intp)
    is_clear = np.zeros(len(block), dtype=bool)
    is_clear[found] = is_maximum(list(fits.values()), scaled[found])
    coef, se = np.full(scale.shape, np.nan), np.full(scale.shape, np.nan)
    for k in np.flatnonzero(is_clear).tolist():
        coef[k] = np.asarray(fits[k].coefficients) / scale[k]
        se[k] = np.sqrt(np.diag(np.atleast_2d(fits[k].var))) / scale[k]
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
