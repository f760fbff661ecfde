"""How terms divide a cohort's rows into classes with hazards of their own, and into groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.model.terms.row_kinds import ONE_KIND, Labelled, RowKinds
from bayes_crlm.model.terms.term import Term


def kinds_of_rows(
    cohort: Cohort, treatment_level: NDArray[np.intp], n_levels: int, terms: Sequence[Term]
) -> tuple[RowKinds, dict[str, Any]]:
    """Divide a cohort's rows as its terms ask for it.

    Parameters
    ----------
    cohort : Cohort
        Whose rows are used.
    treatment_level : (rows,) ndarray of int
        Place of each row's level among the levels.
    n_levels : int
        Levels of the treatment.
    terms : sequence of Term
        Kinds of terms beside treatment and covariates, which may have strata and groups.

    Returns
    -------
    RowKinds
    dict of str to ndarray
        What `SurvivalData` has of it; empty where all rows are of one kind.
    """
    stratum, strata = combined([found for term in terms if (found := term.strata(cohort))])
    groups = {term.name: found for term in terms if (found := term.groups(cohort))}
    levels = n_levels if any(term.is_by_treatment for term in terms) else 1
    kinds = RowKinds(strata, levels, {name: each.labels for name, each in groups.items()})
    rows: dict[str, Any] = {}
    if len(strata) * levels > 1:
        of_stratum = np.zeros(cohort.n_rows, dtype=np.intp) if stratum is None else stratum
        rows["row_class"] = of_stratum * levels + (treatment_level if levels > 1 else 0)
        rows["stratum_of_class"] = np.repeat(np.arange(len(strata)), levels)
    if groups:
        rows["groups"] = tuple(each.index for each in groups.values())
        rows["group_counts"] = tuple(len(each.labels) for each in groups.values())
    return kinds, rows


def combined(found: Sequence[Labelled]) -> tuple[NDArray[np.intp] | None, tuple[str, ...]]:
    """Strata of several terms together: every combination that there is."""
    if not found:
        return None, ONE_KIND.strata
    table = np.column_stack([each.index for each in found])
    distinct, index = np.unique(table, axis=0, return_inverse=True)
    labels = [
        ", ".join(each.labels[code] for each, code in zip(found, row, strict=True))
        for row in distinct.tolist()
    ]
    return index.ravel(), tuple(labels)
