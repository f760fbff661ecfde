"""Whether effects of columns can be estimated: none is constant, or a combination of others."""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.words.errors import DesignError
from bayes_crlm.words.shown import as_written

# a column is called collinear when its part outside the span of the columns before it
# is below this share of its own length: R's lm uses 1e-7
RANK_TOLERANCE = 1e-7
# rows whose columns are made orthogonal at a time
BLOCK_ROWS = 2**15
# squares and products of columns beyond these overflow or vanish
LEAST_SPREAD, LARGEST_VALUE = 1e-100, 1e100


def check_estimable(source: str, matrix: NDArray, terms: tuple[str, ...]) -> None:
    """Refuse constant and collinear columns, and values beyond arithmetic, naming them."""
    repeated = sorted({term for term in terms if terms.count(term) > 1})
    if repeated:
        raise DesignError(
            f"{source}: the design has two columns named {repeated[0]!r}; list every covariate once"
        )
    for position, term in enumerate(terms):
        column = matrix[:, position]
        spread = column.max() - column.min()
        if spread <= RANK_TOLERANCE * max(1e-300, float(np.abs(column).max())):
            raise DesignError(
                f"{source}: covariate {term!r} is constant ({as_written(column[0])} in every row "
                "used); leave it out"
            )
        largest = float(np.abs(column).max())
        if spread < LEAST_SPREAD or largest > LARGEST_VALUE:
            raise DesignError(
                f"{source}: covariate {term!r} has values that are too "
                f"{'large' if largest > LARGEST_VALUE else 'small'} for arithmetic; give it in "
                "another unit"
            )
    if len(matrix) <= matrix.shape[1]:
        raise DesignError(
            f"{source}: {matrix.shape[1]} columns for {len(matrix)} rows cannot be told apart; "
            "list fewer covariates"
        )
    centred = triangular_factor(matrix)
    centred /= np.linalg.norm(centred, axis=0)
    basis = np.empty((len(centred), 0))
    for position, term in enumerate(terms):
        column = centred[:, position]
        remainder = column - basis @ (basis.T @ column)
        remainder -= basis @ (basis.T @ remainder)
        length = float(np.linalg.norm(remainder))
        if length < RANK_TOLERANCE:
            weights, *_ = np.linalg.lstsq(centred[:, :position], column, rcond=None)
            partners = [terms[k] for k in np.flatnonzero(np.abs(weights) > 1e-6)]
            raise DesignError(
                f"{source}: covariate {term!r} is collinear with "
                f"{', '.join(repr(partner) for partner in partners)}; leave one of them out"
            )
        basis = np.column_stack([basis, remainder / length])


def triangular_factor(matrix: NDArray) -> NDArray[np.float64]:
    """Triangular factor of the centred columns, found in blocks of rows.

    Its columns have the lengths of the centred columns and the same angles between them.

    Parameters
    ----------
    matrix : (rows, columns) ndarray
        With at least as many rows as columns.

    Returns
    -------
    (at most columns, columns) ndarray

    References
    ----------
    Demmel, Grigori, Hoemmen & Langou (2012), SIAM J Sci Comput 34:A206-A239 (tall, skinny QR).
    """
    center = matrix.mean(axis=0)
    factor = np.empty((0, matrix.shape[1]))
    for start in range(0, len(matrix), BLOCK_ROWS):
        block = matrix[start : start + BLOCK_ROWS] - center
        factor = np.linalg.qr(np.concatenate([factor, block]), mode="r")
    return factor
