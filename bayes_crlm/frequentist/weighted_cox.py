"""Cox regression of weighted rows."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.frequentist.cox_rows import CoxRows

Floats = NDArray[np.float64]


def fit_weighted_cox(
    entry: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    matrix: ArrayLike,
    weight: ArrayLike,
    cluster: ArrayLike,
) -> tuple[Floats, Floats]:
    """Cox regression of weighted rows, with the robust variance of clusters of rows.

    Parameters
    ----------
    entry, time, event : (rows,) array_like
        Follow-up, and whether it ends with the event.
    matrix : (rows, terms) array_like
        The design, in any units.
    weight : (rows,) array_like
        Above 0; taken as known.
    cluster : (rows,) array_like of int
        Rows of one patient have the same number.

    Returns
    -------
    coef, se : (terms,) ndarray
        NaN where the partial likelihood has no maximum.

    References
    ----------
    Lin & Wei (1989), J Am Stat Assoc 84:1074-1078; Binder (1992), Biometrika 79:139-147.
    """
    matrix = np.asarray(matrix, dtype=np.float64)
    rows = CoxRows.of(entry, time, event, matrix)
    nothing = np.full(matrix.shape[1], np.nan)
    fit = rows.maximised(
        weights=np.asarray(weight, dtype=np.float64), cluster=np.asarray(cluster, dtype=np.int64)
    )
    if fit is None:
        return nothing, nothing
    coef, variance = np.asarray(fit.coefficients), np.diag(np.array(fit.var))
    # a monotone likelihood has no maximum: its coefficients walk off
    if not (np.all(np.isfinite(coef)) and np.all(variance > 0) and np.all(np.abs(coef) < 10)):
        return nothing, nothing
    return coef / rows.scale, np.sqrt(variance) / rows.scale
