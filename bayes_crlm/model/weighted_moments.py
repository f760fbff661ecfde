"""Means and spreads of columns in which every patient counts once.

A patient's follow-up may be split into many rows without anything being learnt, so rows are not
what is averaged over: each row counts with its share of its patient's follow-up. The weights add
up to the number of patients n, variances divide by n - 1, and splitting a row changes nothing. A
column that is 0 for everybody at the start and 1 later keeps a mean and a spread.

The transforms of a formula that learn from the data (`center`, `scale`, `poly`, `bs`, `cr`)
learn in the same way.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.quantiles import sample_quantiles

Floats = NDArray[np.float64]


def row_shares(entry: Floats, time: Floats, patient_index: NDArray[np.intp]) -> Floats | None:
    """Each row's share of its patient's time at risk.

    Parameters
    ----------
    entry, time : (rows,) float
        When a row's follow-up begins and ends.
    patient_index : (rows,) int
        Whose row it is.

    Returns
    -------
    (rows,) float or None
        Adding up to 1 for every patient; None where every patient has one row.
    """
    n_patients = int(patient_index.max()) + 1
    if n_patients == len(patient_index):
        return None
    at_risk = time - entry
    total = np.bincount(patient_index, weights=at_risk, minlength=n_patients)
    return at_risk / total[patient_index]


def columns_of(matrix: Floats) -> list[Floats]:
    """Every column, (..., rows, columns) to (..., rows) each."""
    return [matrix[..., k] for k in range(matrix.shape[-1])]


def weighted_mean(matrix: Floats, shares: Floats | None) -> Floats:
    """Mean of every column over patients, (..., rows, columns) to (..., columns)."""
    if shares is None:
        # one column at a time, which adds in the order of the rows whatever the memory's
        return np.array([column.mean(axis=-1) for column in columns_of(matrix)]).T
    return shares @ matrix / round(float(shares.sum()))


def weighted_center_and_scale(matrix: Floats, shares: Floats | None) -> tuple[Floats, Floats]:
    """Mean and standard deviation of every column over patients.

    Parameters
    ----------
    matrix : (..., rows, columns) float
        Columns of the design.
    shares : (rows,) float or None
        From `row_shares`.

    Returns
    -------
    center, scale : (..., columns) float
    """
    center = weighted_mean(matrix, shares)
    if shares is None:
        return center, np.array([column.std(axis=-1, ddof=1) for column in columns_of(matrix)]).T
    n_patients = round(float(shares.sum()))
    return center, np.sqrt(shares @ (matrix - center[..., None, :]) ** 2 / (n_patients - 1))


def weighted_transforms(
    shares: Floats, bs: Callable[..., Any], cr: Callable[..., Any]
) -> dict[str, Callable[..., Any]]:
    """Transforms of a formula that learn from rows with weights.

    What they learn is kept in formulaic's state, so that another table is transformed likewise.

    Parameters
    ----------
    shares : (rows,) float
        Of the table that they learn from.
    bs, cr : callable
        formulaic's own, which count rows.

    Returns
    -------
    dict
        ``center``, ``scale``, ``poly``, ``bs`` and ``cr``.
    """
    from formulaic.materializers.types import FactorValues
    from formulaic.utils.stateful_transforms import stateful_transform

    def scaled(
        data: Any, center: bool = True, scale: bool = True, _state: dict[str, Any] | None = None
    ) -> Any:
        state = {} if _state is None else _state
        values = np.asarray(data, dtype=float)
        if "center" not in state:
            middle, spread = weighted_center_and_scale(values[:, None], shares)
            # a spread is around the mean only where the mean is taken away, as formulaic has it
            if not center:
                spread = np.sqrt(shares @ values[:, None] ** 2 / (round(float(shares.sum())) - 1))
            state["center"] = middle[0] if center else 0.0
            state["scale"] = spread[0] if scale else 1.0
        return (values - state["center"]) / state["scale"]

    def centred(data: Any, _state: dict[str, Any] | None = None) -> Any:
        return scaled(data, scale=False, _state=_state)

    def poly(
        x: Any, degree: int = 1, raw: bool = False, _state: dict[str, Any] | None = None
    ) -> Any:
        state = {} if _state is None else _state
        values = np.asarray(x, dtype=float)
        if raw:
            return np.stack([values**k for k in range(1, degree + 1)], axis=1)
        if "alpha" not in state:
            state["alpha"], state["norm"] = _recurrence(values, shares, degree)
        columns = _orthogonal(values, state["alpha"], state["norm"])
        names = tuple(str(k) for k in range(1, degree + 1))
        return FactorValues(columns, column_names=names)

    def weighted_bs(x: Any, df: int | None = None, knots: Any = None, **options: Any) -> Any:
        state = options.get("_state") or {}
        inner = None if df is None else df - options.get("degree", 3)
        if knots is not None or inner is None or inner < 0 or "knots" in state:
            return bs(x, df=df, knots=knots, **options)
        values = np.asarray(x, dtype=float)
        low, high = options.get("lower_bound"), options.get("upper_bound")
        is_inside = np.ones(len(values), dtype=bool)
        if options.get("extrapolation", "raise") in ("clip", "na", "zero"):
            is_inside &= values >= (-np.inf if low is None else low)
            is_inside &= values <= (np.inf if high is None else high)
        if not is_inside.any():
            return bs(x, df=df, knots=knots, **options)
        at = np.linspace(0, 1, inner + 2)[1:-1]
        found = sample_quantiles(values[is_inside], at, shares[is_inside]).tolist()
        return bs(x, knots=found, **options)

    def weighted_cr(x: Any, df: int | None = None, knots: Any = None, **options: Any) -> Any:
        state = options.pop("_state", None)
        state = {} if state is None else state
        if "constraints" not in state:
            # knots lie at quantiles of the distinct values, which splitting rows leaves alone;
            # what is centred is the mean over patients
            free = cr(x, df=None if df is None else df + 1, knots=knots, _state={}, **options)
            basis = np.column_stack([np.asarray(each) for each in dict(free).values()])
            mean = weighted_mean(basis, shares)[None]
            return cr(x, df=df, knots=knots, constraints=mean, _state=state, **options)
        return cr(x, df=df, knots=knots, _state=state, **options)

    for function, own in ((weighted_bs, bs), (weighted_cr, cr)):
        for attribute in ("__is_stateful_transform__", "get_required_variables"):
            setattr(function, attribute, getattr(own, attribute))
    return {
        "center": stateful_transform(centred),
        "scale": stateful_transform(scaled),
        "poly": stateful_transform(poly),
        "bs": weighted_bs,
        "cr": weighted_cr,
    }


def _recurrence(values: Floats, shares: Floats, degree: int) -> tuple[list[float], list[float]]:
    """Coefficients of the three-term recurrence of orthogonal polynomials under weights."""
    alpha: list[float] = []
    norm = [float(shares.sum())]
    before, now = np.zeros(len(values)), np.ones(len(values))
    for k in range(degree):
        alpha.append(float(np.sum(shares * values * now**2) / norm[k]))
        beta = norm[k] / norm[k - 1] if k else 0.0
        before, now = now, (values - alpha[k]) * now - beta * before
        norm.append(float(np.sum(shares * now**2)))
    return alpha, norm


def _orthogonal(values: Floats, alpha: list[float], norm: list[float]) -> Floats:
    """Polynomials of a recurrence, of length 1 over the rows that it was found from."""
    columns = []
    before, now = np.zeros(len(values)), np.ones(len(values))
    for k, middle in enumerate(alpha):
        beta = norm[k] / norm[k - 1] if k else 0.0
        before, now = now, (values - middle) * now - beta * before
        columns.append(now / np.sqrt(norm[k + 1]))
    return np.column_stack(columns)
