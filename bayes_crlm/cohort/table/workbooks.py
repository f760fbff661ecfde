"""Tables of Excel workbooks: one sheet, whose first row is the header."""

import io
from typing import TYPE_CHECKING, Any

from bayes_crlm.cohort.table.separated_text import header_of, unreadable
from bayes_crlm.words.errors import DataFileError
from bayes_crlm.words.shown import whole
from bayes_crlm.words.wording import did_you_mean, shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

MOST_CELLS = 20_000_000
"""Of a sheet, blank ones between others included: a million rows of twenty columns."""
MOST_BLANK_ROWS = 1000
"""Between two rows of a table; more of them lead to a cell that is not a part of it."""


def read_excel(data: bytes, name: str, sheet: str | None) -> "tuple[pd.DataFrame, str]":
    """Read a sheet as a table.

    Parameters
    ----------
    data : bytes
        The workbook.
    name : str
        How messages name it.
    sheet : str or None
        The sheet's name; None for the first one.

    Returns
    -------
    pandas.DataFrame
    str
        Which sheet was taken, where there are others and none was asked for; else empty.

    Raises
    ------
    DataFileError
        When it is not a workbook, has no such sheet, or the sheet is not a table.
    """
    import pandas as pd
    from openpyxl import load_workbook

    try:
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        names = [each.title for each in book.worksheets]
        found = None
        if names and (sheet is None or sheet in names):
            found = book.worksheets[0] if sheet is None else book[sheet]
            rows, width = _rows(found, name)
    except DataFileError:
        raise
    except Exception as error:
        raise unreadable("an Excel .xlsx", name, error) from None
    if found is None:
        hint = did_you_mean(sheet, names) if sheet is not None else "there is none"
        raise DataFileError(f"{name}: there is no sheet {shown(sheet)}; {hint}")
    which = "the first sheet" if sheet is None else f"sheet {shown(sheet)}"
    if not rows:
        raise DataFileError(f"{name}: {which} is empty; it must hold a table")
    header = ["" if cell is None else str(cell) for cell in rows[0]]
    if sum(column.strip() != "" for column in header) < 2:
        raise DataFileError(
            f"{name}: the first row of {which} must be the header, with at least two column names"
        )
    header += [""] * (width - len(header))
    filled = [[*row, *[None] * (width - len(row))] for row in rows[1:]]
    table = pd.DataFrame(filled, columns=header_of(header, name), dtype=object)
    note = ""
    if sheet is None and len(names) > 1:
        note = (
            f"read from the first sheet, {shown(names[0])}; there are also "
            f"{shown_names(names[1:], 5)} (data.sheet chooses)"
        )
    return table.infer_objects(), note


def _rows(sheet: Any, name: str) -> tuple[list[list[Any]], int]:
    """Give the rows up to the last that is not blank, and the widest one's width."""
    sheet.reset_dimensions()
    rows: list[list[Any]] = []
    width = blank = 0
    for cells in sheet.iter_rows(values_only=True):
        row = list(cells)
        while row and (row[-1] is None or row[-1] == ""):
            row.pop()
        if not row:
            blank += 1
            continue
        number = len(rows) + blank + 1
        if rows and blank > MOST_BLANK_ROWS:
            raise DataFileError(
                f"{name}: a cell of row {number} of the sheet follows {whole(blank)} blank rows; "
                "delete what lies beside or below the table"
            )
        width = max(width, len(row))
        if (len(rows) + blank + 1) * width > MOST_CELLS:
            raise DataFileError(
                f"{name}: the sheet's cells reach to row {whole(number)} and column "
                f"{whole(width)}; that is more than {whole(MOST_CELLS)} cells, so delete what lies "
                "beside or below the table, or export the data as CSV"
            )
        rows += [[] for _ in range(blank)] if rows else []
        blank = 0
        rows.append(row)
    if rows and width > 2 * len(rows[0]) + 100:
        raise DataFileError(
            f"{name}: a row of the sheet reaches to column {whole(width)}, where the header has "
            f"{len(rows[0])} columns; delete what lies beside the table"
        )
    return rows, width
