"""Covariates made of the treatment and another one: a product with it, computed by hand.

Standardised curves switch everybody's treatment and leave covariates as they are, so that such a
product no longer is one.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from bayes_crlm.model.design import Design

# of a column's variance, once the others of its level are known
NOTHING_LEFT = 1e-10


def treatment_products(design: "Design") -> tuple[str, ...]:
    """Name covariate columns that follow from one another on every treatment level.

    Parameters
    ----------
    design : Design
        Of the cohort's rows.

    Returns
    -------
    tuple of str
        One sentence, or none.
    """
    split = design.n_treatment_terms
    tied = tied_within_levels(design.matrix[:, split:], design.treatment_level, len(design.levels))
    if not tied.any():
        return ()
    names = [term for term, is_tied in zip(design.terms[split:], tied, strict=True) if is_tied]
    return (
        f"covariates {', '.join(names)} follow from one another on every level of "
        f"{design.treatment}, as a product with the treatment does; standardised curves leave them "
        "as they are when the treatment is switched, so leave the one made of the treatment out, "
        "or read the hazard ratios only",
    )


def tied_within_levels(columns: NDArray, level: NDArray, n_levels: int) -> NDArray[np.bool]:
    """Which columns are linear functions of others within every level, shape (columns,).

    Binary columns alone may be so by chance in a small arm: a column with more values has to be
    among them.
    """
    n_columns = columns.shape[1]
    tied = np.ones(n_columns, dtype=bool)
    for code in range(n_levels):
        own = columns[level == code]
        if len(own) <= n_columns + 5:
            return np.zeros(n_columns, dtype=bool)
        spread = own.std(axis=0)
        varies = np.flatnonzero(spread > 0)
        here = np.zeros(n_columns, dtype=bool)
        if len(varies):
            scaled = (own[:, varies] - own[:, varies].mean(axis=0)) / spread[varies]
            size, vectors = np.linalg.eigh(scaled.T @ scaled / len(own))
            null = vectors[:, size < NOTHING_LEFT * len(varies)]
            here[varies] = np.any(np.abs(null) > 1e-6, axis=1)
        tied &= here
    is_number = np.array([len(np.unique(column)) > 2 for column in columns.T], dtype=bool)
    return tied if np.any(tied & is_number) else np.zeros(n_columns, dtype=bool)
