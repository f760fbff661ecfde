"""Where a cohort's table comes from, and what its columns must be before anything is read."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import few_levels, level_text, sorted_levels
from bayes_crlm.words.wording import count_of, listed_first, no_column, shown, shown_names

if TYPE_CHECKING:
    import pandas as pd


def unit_of_data_set(source: object) -> str | None:
    """The time unit that a data set of the package brings."""
    if not isinstance(source, str):
        return None
    from bayes_crlm.datasets import DATASETS

    return DATASETS[source].unit if source in DATASETS else None


def gap_problems(table: "pd.DataFrame", columns: Sequence[str], patients: str = "") -> list[str]:
    """Say which columns miss values, in one sentence.

    Parameters
    ----------
    table : pandas.DataFrame
        With these columns.
    columns : sequence of str
        Columns that an analysis needs.
    patients : str
        How many patients miss a value, in brackets, where that is known.
    """
    counts = {each: int(table[each].isna().sum()) for each in dict.fromkeys(columns)}
    gaps = [f"{shown(each)} in {count}" for each, count in counts.items() if count]
    if not gaps:
        return []
    said = listed_first(gaps[:20], len(gaps) - 20, what="more columns")
    return [
        f"values are missing, of {count_of(len(table), 'row')}: {said}"
        f'{patients}; fill them in, or set missing = "drop" to leave these patients out'
    ]


def label_of(source: object) -> str:
    """Name the source as the user did."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def shared_columns(roles: dict[str, str | None]) -> list[str]:
    """Say which columns are asked to be two things."""
    users: dict[str, list[str]] = {}
    for role, column in roles.items():
        if column is not None:
            users.setdefault(column, []).append(role)
    return [
        f"column {shown(column)} is used for {' and '.join(several)}; "
        "each needs a column of its own"
        for column, several in users.items()
        if len(several) > 1
    ]


def unknown_columns(columns: Iterable[str], table: "pd.DataFrame") -> list[str]:
    """Say which columns the table does not have."""
    return [no_column(each, table.columns) for each in columns if each not in table.columns]


def emptied_levels(
    before: "pd.DataFrame", after: "pd.DataFrame", outcome: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """Say which levels of text and of types of categories went with the rows left out.

    Parameters
    ----------
    before, after : pandas.DataFrame
        The same columns, with all rows and with those used.
    outcome : sequence of str
        Columns whose texts are no levels: names of patients and how follow-up ends.

    Returns
    -------
    dict of tuple of str
        By column, what has to be said.
    """
    if len(after) == len(before):
        return {}
    phrases = {}
    for name in before.columns:
        had = set() if name in outcome else few_levels(before[name])
        has = set(after[name].dropna().unique()) if had else had
        gone = sorted_levels({level_text(each) for each in had - has})
        if gone:
            phrases[str(name)] = (
                f"levels that occur in no row used are dropped: {shown_names(gone, 5)}",
            )
    return phrases


def rows_of(table: "pd.DataFrame", keep: NDArray[np.bool]) -> "pd.DataFrame":
    """Keep some rows; categories that none of them has are forgotten."""
    if keep.all():
        return table
    table = table[keep].reset_index(drop=True)
    for column in table.columns[(table.dtypes == "category").to_numpy()]:
        table[column] = table[column].cat.remove_unused_categories()
    return table
