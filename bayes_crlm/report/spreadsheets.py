"""Tables that a spreadsheet opens as they are: a cell that it would take for a formula is text.

Spreadsheets run a cell that begins with ``=``, ``+``, ``-`` or ``@``, or with a tab or a carriage
return before one, whether a file quotes it or not. Names come from the data, which others wrote.
An apostrophe before the cell keeps it a text; numbers stay numbers.

References
----------
OWASP, CSV injection, owasp.org/www-community/attacks/CSV_Injection.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# those of East Asian keyboards too
BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def as_text(cell: Any) -> Any:
    """Keep a text from being taken for a formula; other values are given back as they are."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(BEGINNINGS) else cell


def for_spreadsheets(table: "pd.DataFrame") -> "pd.DataFrame":
    """Quote the texts of a table, and its columns' names, as spreadsheets need.

    Parameters
    ----------
    table : pandas.DataFrame
        Stays as it is.

    Returns
    -------
    pandas.DataFrame
        With an apostrophe before every text that a spreadsheet would run.
    """
    import pandas as pd

    quoted = table.rename(columns=as_text).copy()
    for place in range(quoted.shape[1]):
        column = quoted.iloc[:, place]
        if column.dtype.kind not in "biufcmM":
            cells = pd.Series([as_text(each) for each in column], column.index, dtype=object)
            # by its place: two columns may have one name
            quoted.isetitem(place, cells)
    return quoted
