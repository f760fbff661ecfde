"""Levels and references of the factors among the covariates, in words."""

from typing import Any

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.table.columns import level_text, sorted_levels
from bayes_crlm.model.design import Design
from bayes_crlm.model.formula import parse_formula
from bayes_crlm.words.wording import shown_names


def factors_in_words(design: Design, cohort: Cohort, covariates: str) -> list[str]:
    """Say the levels and the reference of every factor among the covariates.

    Returns
    -------
    list of str
        ``site: B, C, against A`` for each.
    """
    from pandas.api.types import is_numeric_dtype

    parsed = parse_formula(covariates)
    phrases = []
    for name in sorted(parsed.columns):
        values: Any = cohort.table[name]
        if is_numeric_dtype(values.dtype) and name not in parsed.categorical:
            continue
        if name in parsed.categorical and name in cohort.number_texts:
            values = cohort.table[name].copy()
            levels = sorted_levels(set(cohort.number_texts[name][cohort.row_number - 1]))
        elif hasattr(values, "cat"):
            levels = list(values.cat.categories)
        else:
            levels = sorted_levels(values.unique())
        texts = [level_text(each) for each in levels]
        of_term = [term for term in design.terms if name in term]
        others = [t for t in texts if any(f"[T.{t}]" in term for term in of_term)]
        reference = [t for t in texts if t not in others]
        if len(reference) == 1:
            phrases.append(f"{name}: {', '.join(others)}, against {reference[0]}")
        else:
            phrases.append(f"{name}: {shown_names(texts)}")
    return phrases
