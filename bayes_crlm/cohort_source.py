"""Where a cohort's table comes from, and what its columns must be before anything is read."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.errors import CohortError
from bayes_crlm.wording import no_column, shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "gap_problems",
    "label_of",
    "load_table",
    "option_problems",
    "rows_of",
    "shared_columns",
    "unit_of_data_set",
    "unknown_columns",
]

# rows of a table that are turned into text at a time, for its hash
ROWS_HASHED = 2**16


def unit_of_data_set(source: object) -> str | None:
    """The time unit that a data set of the package brings."""
    if not isinstance(source, str):
        return None
    from bayes_crlm.datasets import DATASETS

    return DATASETS[source].unit if source in DATASETS else None


def gap_problems(table: "pd.DataFrame", columns: Sequence[str]) -> list[str]:
    """Say which columns miss values, in one sentence."""
    counts = {each: int(table[each].isna().sum()) for each in dict.fromkeys(columns)}
    gaps = [f"{shown(each)} in {count}" for each, count in counts.items() if count]
    if not gaps:
        return []
    rest = f" and {len(gaps) - 20} more columns" if len(gaps) > 20 else ""
    return [
        f"values are missing, of {len(table)} rows: {', '.join(gaps[:20])}{rest}; fill them in, or "
        'set missing = "drop" to leave these patients out'
    ]


def label_of(source: object) -> str:
    """Name the source as the user did."""
    return str(source) if isinstance(source, str | Path) else type(source).__name__


def option_problems(missing: object, name: object) -> list[str]:
    """Check the options' types."""
    problems = []
    if name is not None and not isinstance(name, str):
        problems.append(f"name must be text, not {shown(name)}")
    if not isinstance(missing, str) or missing not in ("error", "drop"):
        problems.append(f'missing must be "error" or "drop", not {shown(missing)}')
    return problems


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


def load_table(
    source: object, numbers: Sequence[str], id: str | None
) -> "tuple[pd.DataFrame, str, bool]":
    """Give the table, its sha256, and whether it is synthetic."""
    import pandas as pd

    from bayes_crlm.reading import data_sets, read_table

    datasets, load = data_sets()

    if isinstance(source, pd.DataFrame):
        table = plain_frame(source)
        return table, sha256_of_csv(table), False
    if not isinstance(source, str | Path):
        raise CohortError(
            f"the source must be a path, a data set's name or a DataFrame, not {shown(source)}"
        )
    table, sha256 = read_table(source, numbers=numbers, identifier=id)
    if isinstance(source, str) and source in datasets:
        return table, sha256, datasets[source].is_synthetic
    # A copy of a synthetic data set is as synthetic under any other name.
    synthetic = [each for each, dataset in datasets.items() if dataset.is_synthetic]
    return table, sha256, any(load(each)[1] == sha256 for each in synthetic)


def sha256_of_csv(table: "pd.DataFrame") -> str:
    """Hash a table's text as CSV, without holding all of it."""
    digest = hashlib.sha256()
    for start in range(0, max(1, len(table)), ROWS_HASHED):
        rows = table.iloc[start : start + ROWS_HASHED]
        text = rows.to_csv(index=False, header=start == 0, lineterminator="\n")
        digest.update(text.encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()


def plain_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Give the frame with a RangeIndex and unique column names."""
    import pandas as pd

    from bayes_crlm.reading import plain_index

    if isinstance(frame.columns, pd.MultiIndex):
        raise CohortError("DataFrame: its columns have several levels; they must have one")
    if not frame.columns.is_unique:
        twice = list(frame.columns[frame.columns.duplicated()].unique())
        raise CohortError(
            f"DataFrame: the column name {shown(twice[0])} occurs more than once; every column "
            "needs a name of its own"
        )
    return plain_index(frame)


def unknown_columns(columns: Iterable[str], table: "pd.DataFrame") -> list[str]:
    """Say which columns the table does not have."""
    return [no_column(each, table.columns) for each in columns if each not in table.columns]


def rows_of(table: "pd.DataFrame", keep: NDArray[np.bool]) -> "pd.DataFrame":
    """Keep some rows; categories that none of them has are forgotten."""
    if keep.all():
        return table
    table = table[keep].reset_index(drop=True)
    for column in table.columns[(table.dtypes == "category").to_numpy()]:
        table[column] = table[column].cat.remove_unused_categories()
    return table
