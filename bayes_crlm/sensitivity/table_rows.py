"""Rows of a part as rows of a table: what they are called first, then numbers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["flat_row", "table_of_rows"]

INTERVALS = ("eti95", "cox_ci95")


def flat_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """Put an interval's two limits in the place of the interval, and chains' diagnostics likewise.

    Parameters
    ----------
    row : mapping
        `eti95` and `cox_ci95`, where they are there, hold two limits, or are None; `chains` holds
        numbers by name, or is None.
    """
    flat: dict[str, Any] = {}
    for key, value in row.items():
        if key in INTERVALS:
            flat[f"{key}_low"], flat[f"{key}_high"] = value or (None, None)
        elif key == "chains":
            flat |= value or {}
        else:
            flat[key] = value
    return flat


def table_of_rows(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> "pd.DataFrame":
    """Make a table of rows, some columns in front.

    Parameters
    ----------
    rows : sequence of mapping
    first : sequence of str
        Columns that say what a row is of; those that are not there are left out.
    """
    import pandas as pd

    table = pd.DataFrame([flat_row(row) for row in rows])
    front = [name for name in first if name in table]
    return table[[*front, *(name for name in table if name not in front)]]
