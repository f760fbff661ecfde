"""Cox regressions of many cohorts: the library's fit where it is clear, else all of `fit_cox`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.frequentist.cox import fit_cox
from bayes_crlm.frequentist.cox_rows import CoxRows
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.words.errors import CohortError

if TYPE_CHECKING:
    from bayes_crlm.model.prepared_block import CohortBlock


@dataclass(frozen=True, eq=False)
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

    coef: NDArray[np.float64]
    se: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
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
    shape = block.center.shape
    coef, se, low, high = (np.full(shape, np.nan) for _ in range(4))
    method, note = [""] * len(block), [""] * len(block)
    for k in range(len(block)):
        columns = (block.entry[k], block.time[k], block.event[k], block.matrix[k])
        try:
            rows = CoxRows.of(*columns)
            fit = rows.fit()
            if rows.is_maximum(fit):
                coef[k] = np.asarray(fit.coefficients) / rows.scale
                se[k] = np.sqrt(np.diag(np.array(fit.var))) / rows.scale
                low[k], high[k] = coef[k] - HALF_WIDTH_95 * se[k], coef[k] + HALF_WIDTH_95 * se[k]
                method[k] = "partial likelihood"
                continue
            cox = fit_cox(*columns, block.terms, block.patient_index[k])
        except CohortError as problem:
            note[k] = f"Cox: {problem}"
            continue
        coef[k], se[k] = cox.coef, cox.se
        with np.errstate(divide="ignore"):
            low[k], high[k] = np.log(cox.ci95).T
        method[k], note[k] = cox.method, "; ".join(cox.warnings)
    return BlockCox(coef, se, low, high, method, note)
