"""Covariates that say what the treatment is: a dose, a date of surgery, a product with the arm.

Standardised curves switch everybody's treatment and leave covariates as they are. A covariate that
has one value on one level and others elsewhere then describes a patient who cannot be, and a
product with the treatment no longer is one.
"""

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.model.design import Design
from bayes_crlm.words.wording import shown

BY_CHANCE = 1e-3
"""A rare value may be the only one of a small group by chance."""
NOTHING_LEFT = 1e-10
"""Of a column's variance, once the others of its level are known."""


def treatment_functions(cohort: Cohort, design: Design) -> tuple[str, ...]:
    """Name covariates that look like functions of the treatment.

    Parameters
    ----------
    cohort : Cohort
        The rows used.
    design : Design
        Of the cohort's rows.

    Returns
    -------
    tuple of str
        One sentence for each.
    """
    import pandas as pd

    from bayes_crlm.model.formula import parse_formula

    _, _, covariates = design.formula.partition(f"{design.treatment} + ")
    phrases = []
    first = first_rows_on_levels(cohort, design)
    level = design.treatment_level[first]
    for name in sorted(parse_formula(covariates).columns):
        codes, values = pd.factorize(cohort.table[name].iloc[first])
        found = telling_level(codes, level, len(design.levels))
        if found is None:
            continue
        kind, place = found
        if kind == "constant":
            value = values[codes[level == place][0]]
            # 0 times a negative number is written -0.0
            value = 0 if value == 0 and not isinstance(value, str | bool) else value
            phrases.append(
                f"covariate {shown(name)} is {shown(value)} for every patient with "
                f"{design.treatment} = {design.levels[place]} and varies among the others, as a "
                "part of the treatment does (a dose, or a product with the treatment); "
                "standardised curves leave it as it is when the treatment is switched, so leave "
                "it out, or read the hazard ratios only"
            )
        else:
            phrases.append(
                f"every value of covariate {shown(name)} occurs on one level of "
                f"{design.treatment} only, as if it said what the treatment is; standardised "
                "curves leave it as it is when the treatment is switched, so leave it out, or "
                "read the hazard ratios only"
            )
    return tuple(phrases)


def first_rows_on_levels(cohort: Cohort, design: Design) -> NDArray[np.intp]:
    """Find each patient's earliest row on each treatment level that the patient was on.

    Where treatment starts during follow-up nobody may be on it at the first row; a dose shows
    beside the patient's own time without it.

    Parameters
    ----------
    cohort : Cohort
        Whose patients may have several rows.
    design : Design
        Of the cohort's rows.

    Returns
    -------
    (patients and levels,) ndarray of int
        Row numbers, by patient.
    """
    order = np.lexsort((cohort.entry, design.treatment_level, cohort.patient_index))
    patient_and_level = cohort.patient_index * len(design.levels) + design.treatment_level
    _, starts = np.unique(patient_and_level[order], return_index=True)
    return order[starts]


def telling_level(
    codes: NDArray[np.intp], level: NDArray[np.intp], n_levels: int
) -> tuple[str, int] | None:
    """Find a level on which a covariate is constant, or say that it determines the level.

    Parameters
    ----------
    codes, level : (patients,) int
        The covariate's values and the treatment's levels, numbered.
    n_levels : int
        Number of treatment levels, the reference included.

    Returns
    -------
    (str, int) or None
        "constant" and the level, or "determines" and 0.
    """
    for place in range(n_levels):
        here = codes[level == place]
        if not (here == here[0]).all():
            continue
        # how often so many patients would all have that value, were it as common as elsewhere
        share = float((codes[level != place] == here[0]).mean())
        if share < 1 and (share == 0 or len(here) * np.log(share) < np.log(BY_CHANCE)):
            return "constant", place
    pairs = np.unique(codes.astype(np.int64) * n_levels + level)
    repeated = np.bincount(codes)
    # values that occur once say nothing; a code of the treatment repeats them
    if len(pairs) == len(np.unique(codes)) and np.median(repeated[repeated > 0]) >= 3:
        return "determines", 0
    return None


def treatment_products(design: Design) -> tuple[str, ...]:
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
