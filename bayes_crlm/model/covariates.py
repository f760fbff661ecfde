"""What a covariate may be: numbers, true and false, or at least two levels and not too many."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import (
    column_kind,
    is_number,
    level_text,
    sorted_levels,
)
from bayes_crlm.cohort.table.limits import MOST_LEVELS
from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.wording import shown, shown_names, shown_rows

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.model.formula import ParsedFormula


def covariate_table(cohort: "Cohort", parsed: "ParsedFormula") -> "pd.DataFrame":
    """Give the cohort's table with levels as they are written, and refuse what is not a covariate.

    Parameters
    ----------
    cohort : Cohort
        Without missing values in the formula's columns.
    parsed : ParsedFormula
        What the covariates use.

    Raises
    ------
    FormulaError
        See `check_covariates`.
    """
    table = with_written_levels(cohort, parsed)
    check_covariates(parsed, table, cohort.row_number)
    return table


def with_written_levels(cohort: "Cohort", parsed: "ParsedFormula") -> "pd.DataFrame":
    """Give the cohort's table with numbers that are levels as they are written: 01 beside 1."""
    import pandas as pd

    changed = {}
    for name in sorted(parsed.categorical & set(cohort.number_texts)):
        texts = cohort.number_texts[name][cohort.row_number - 1]
        changed[name] = pd.Categorical(texts, categories=sorted_levels(set(texts)), ordered=True)
    return cohort.table.assign(**changed) if changed else cohort.table


def check_covariates(
    parsed: "ParsedFormula", table: "pd.DataFrame", row_number: NDArray[np.int64]
) -> None:
    """Refuse columns of a formula that would be read as something else.

    Parameters
    ----------
    parsed : ParsedFormula
        What the covariates use.
    table : pandas.DataFrame
        The rows used, none with a missing value in these columns.
    row_number : (n_rows,) ndarray of int
        The rows' numbers in the file, for the messages.

    Raises
    ------
    FormulaError
        For dates, durations and other types; a column of numbers with some text; one level;
        too many levels.
    """
    for name in sorted(parsed.columns & set(map(str, table.columns))):
        values = table[name]
        if values.dtype.kind in "iufb" and name not in parsed.categorical:
            continue
        refuse_other_types(name, values)
        if name not in parsed.categorical:
            refuse_text_among_numbers(name, values, row_number)
            refuse_decimal_commas(name, values)
        levels = values.unique()
        if len(levels) < 2:
            raise FormulaError(
                f"covariate {shown(name)} is constant ({shown(levels[0])} in every row used); "
                "leave it out"
            )
        if len(levels) > MOST_LEVELS:
            raise FormulaError(
                f"covariate {shown(name)} has {len(levels)} levels; a covariate has at most "
                f"{MOST_LEVELS}, so merge levels, leave it out, or make it a number with "
                "data.levels"
            )


def refuse_other_types(name: str, values: "pd.Series") -> None:
    """Refuse dates, durations and whatever is neither number, truth value nor text."""
    kind = column_kind(values)
    column = f"covariate {shown(name)}"
    durations = (
        "holds durations, whose unit depends on the file; give numbers in a fixed unit, days for "
        "example"
    )
    if kind == "dates":
        raise FormulaError(
            f"{column} holds dates; give a number instead, the age or the year for example"
        )
    if kind == "durations":
        raise FormulaError(f"{column} {durations}")
    if kind in ("numbers", "true/false", "text", "categories"):
        return
    kinds = {type(each).__name__ for each in values.tolist()} - {"str"}
    if kinds and kinds <= {"timedelta", "timedelta64"}:
        raise FormulaError(f"{column} {durations}")
    if kinds:
        raise FormulaError(
            f"{column} holds values of type {', '.join(sorted(kinds)[:3])}; give numbers, text or "
            "true and false"
        )


def refuse_text_among_numbers(
    name: str, values: "pd.Series", row_number: NDArray[np.int64]
) -> None:
    """Refuse a text in a column of which most values are numbers: a typing error makes no levels.

    Texts that are numbers throughout are levels: what writes them as text means that.
    """
    import pandas as pd

    if isinstance(values.dtype, pd.CategoricalDtype):
        return
    codes, found = pd.factorize(values)
    numeric = np.array([is_number(level_text(each)) for each in found], dtype=bool)
    is_numeric = numeric[codes]
    if numeric.all() or 2 * is_numeric.sum() < len(values):
        return
    rows = np.flatnonzero(~is_numeric)
    cells = [shown(values.iloc[k]) for k in rows[:5].tolist()]
    raise FormulaError(
        f"covariate {shown(name)} holds numbers except in {shown_rows(row_number[rows], cells)}; "
        "correct these cells or name them in data.missing_values; if the values are levels, write "
        f"C({name}) or data.levels"
    )


def refuse_decimal_commas(name: str, values: "pd.Series") -> None:
    """Refuse a column of text that is numbers throughout, some of them with a decimal comma."""
    texts = [level_text(each) for each in values.unique()]
    with_comma = [each for each in texts if "," in each]
    if with_comma and all(is_number(each.replace(",", ".", 1)) for each in texts):
        raise FormulaError(
            f"covariate {shown(name)} holds numbers with a decimal comma, stored as text "
            f"({shown_names(sorted(with_comma), 3)}); store them as numbers, or, if they are "
            f"levels, write C({name}) or data.levels"
        )
