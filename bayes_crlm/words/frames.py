"""Data frames of rows: a number's own column for each number, without what only people read."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# pairs of limits that tables have as two columns
INTERVALS = ("eti95", "cox_ci95")


def in_files(row: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what only people read."""
    return {key: value for key, value in row.items() if not key.startswith("_")}


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give every number of a row a column of its own; those by name come last."""
    found: dict[str, Any] = {}
    last: dict[str, Any] = {}
    for key, value in in_files(row).items():
        if key in INTERVALS:
            found[f"{key}_low"], found[f"{key}_high"] = value or (None, None)
        elif isinstance(value, Mapping):
            last |= {f"{key}_{name}": each for name, each in value.items()}
        elif isinstance(value, list | tuple):
            found[key] = ", ".join(map(str, value))
        else:
            found[key] = value
    return found | last


def frame_of(rows: Sequence[Mapping[str, Any]]) -> "pd.DataFrame":
    """Make a data frame of rows; a whole number or a text beside None stays what it is.

    Parameters
    ----------
    rows : sequence of mapping
        As they stand in the part's table.

    Returns
    -------
    pandas.DataFrame
        Columns in the order in which rows have them.
    """
    import pandas as pd

    flattened = [flat(row) for row in rows]
    columns: dict[str, Any] = {}
    for name in dict.fromkeys(name for row in flattened for name in row):
        values = [row.get(name) for row in flattened]
        # pandas would make 1 and None into 1.0 and nan
        is_mixed = None in values and not all(
            each is None or type(each) is float for each in values
        )
        columns[name] = pd.Series(values, dtype=object) if is_mixed else values
    return pd.DataFrame(columns)
