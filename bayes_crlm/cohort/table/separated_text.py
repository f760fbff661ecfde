"""Tables of separated text (CSV): what pandas would mend in silence is refused here.

Text is UTF-8, with or without a byte order mark. The separator (comma, semicolon, tab or
vertical bar) is the one that gives every row as many fields as the header. Decimal commas are
read as such only in files that are not separated by commas, and only where they cannot be
meant otherwise.
"""

import codecs
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from bayes_crlm.cohort.table.cells import read_cells
from bayes_crlm.cohort.table.column_values import MARKS, ColumnRead, column_kind
from bayes_crlm.words.errors import DataFileError
from bayes_crlm.words.wording import one_line, shown, shown_names, shown_rows

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SAMPLE = 2**18
"""Bytes from the start of the file that are tried with each separator."""

SIGNATURES = {
    b"PK\x03\x04": "a zip archive or an Office document",
    b"PAR1": "a Parquet file",
    b"%PDF": "a PDF document",
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"\x1f\x8b": "a gzip archive",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"$FL2": "an SPSS file",
    b"<stata_dta>": "a Stata file",
}
SAVE_AS_UTF8 = "save it again as UTF-8 (in Excel: 'CSV UTF-8 (Comma delimited)')"


def _check_text(data: bytes, name: str) -> None:
    """Refuse what is not UTF-8 text of a table, and say what it looks like."""
    for signature, what in SIGNATURES.items():
        if data.startswith(signature):
            raise DataFileError(
                f"{name}: it is not a text table: its content is {what}; give it the suffix of "
                "its format, or save it as CSV"
            )
    head = data[:4096]
    nulls = head.count(0)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or (
        nulls > len(head) // 4 and (not any(head[::2]) or not any(head[1::2]))
    ):
        raise DataFileError(f"{name}: its encoding is UTF-16, not UTF-8; {SAVE_AS_UTF8}")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if nulls:
            raise DataFileError(f"{name}: it is not a text table: its content is binary") from None
        line = data.count(b"\n", 0, error.start) + 1
        raise DataFileError(
            f"{name}: its encoding is not UTF-8 (line {line} holds the byte "
            f"0x{data[error.start]:02x}; perhaps it is Latin-1 or Windows-1252); {SAVE_AS_UTF8}"
        ) from None
    control = re.search(r"[\x00-\x08\x0e-\x1f]", text)
    if control:
        line = text.count("\n", 0, control.start()) + 1
        raise DataFileError(
            f"{name}: it is not a text table: its content is binary (line {line} holds the "
            f"control character {control.group()!a})"
        )
    start = text[:200].lstrip()
    if not start and not text.strip():
        raise DataFileError(f"{name}: the file is empty (blank lines only); it must hold a table")
    if start.startswith(("{", "[")):
        raise DataFileError(
            f"{name}: it is not a text table: its content looks like JSON; save the data as CSV"
        )
    if start.lower().startswith(("<!doctype", "<html", "<?xml", "<svg")):
        raise DataFileError(
            f"{name}: it is not a text table: its content looks like HTML or XML; save the data "
            "as CSV"
        )


def _records(
    data: bytes, separator: str, name: str, *, skips_spaces: bool = True
) -> Iterator[list[str]]:
    """Give the records of the text, blank lines left out as pandas leaves them out."""
    import csv

    # A view of the bytes that is decoded as it is read: the whole text would need four times them.
    lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", errors="replace", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=skips_spaces)
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                yield record
    except csv.Error as error:
        raise DataFileError(
            f"{name}: line {reader.line_num} cannot be read ({one_line(error)}); close every "
            "quotation mark"
        ) from None


def _separator(data: bytes, name: str) -> str:
    """Find the separator: the one by which every row has as many fields as the header."""
    head = data[:SAMPLE]
    widths = {}
    for separator in SEPARATORS:
        records = _records(head, separator, name)
        found = [len(next(records, []))]
        if found[0] > 1:  # else it does not separate the header, whatever the rows are
            found += [len(record) for record in records]
        # The sample may end inside a record.
        widths[separator] = found[:-1] if len(head) < len(data) and len(found) > 1 else found
    possible = {each: found for each, found in widths.items() if found and found[0] > 1}
    if not possible:
        raise DataFileError(
            f"{name}: it is not a text table with several columns: the header is one field; "
            "separate the columns by commas, semicolons or tabs"
        )
    regular = {each: found[0] for each, found in possible.items() if len(set(found)) == 1}
    if not regular:
        return max(possible, key=lambda each: possible[each][0])
    widest = max(regular.values())
    best = [each for each, width in regular.items() if width == widest]
    if len(best) > 1:
        raise DataFileError(
            f"{name}: its columns could be separated by "
            f"{' or '.join(SEPARATORS[each] for each in best)}; put quotation marks around fields "
            "that hold such a character, or rename the columns"
        )
    return best[0]


def read_separated_text(
    data: bytes, name: str, identifier: str | None
) -> "tuple[pd.DataFrame, dict[str, ColumnRead]]":
    """Read a table of separated text.

    Returns
    -------
    pandas.DataFrame
        Its columns as numbers, true/false, dates or text.
    dict of ColumnRead
        How each column but the identifier was read.
    """
    import pandas as pd

    _check_text(data, name)
    data = data.removeprefix(codecs.BOM_UTF8)
    separator = _separator(data, name)
    records = _records(data, separator, name)
    columns = header_of(next(records), name)
    _check_widths(records, len(columns), name, SEPARATORS[separator])
    try:
        table = pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            header=0,
            names=columns,
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            dtype=str,
            na_filter=False,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataFileError(
            f"{name}: it cannot be read as a table ({one_line(error)}); close every quotation mark"
        ) from None
    table = _with_leading_spaces(table, data, separator, name)
    read = {
        each: read_cells(table[each], is_text_file=True) for each in columns if each != identifier
    }
    changed = {each: column.values for each, column in read.items()}
    if identifier is not None and identifier in columns:
        changed[identifier] = _identifiers(table[identifier])
    table = pd.DataFrame({each: changed[each] for each in columns})
    if separator != ",":
        table = _decimal_commas(table, name, identifier)
        for each, column in read.items():
            if table[each].dtype != column.values.dtype:
                read[each] = ColumnRead(table[each], column.notes)
    return table, read


def _with_leading_spaces(
    table: "pd.DataFrame", data: bytes, separator: str, name: str
) -> "pd.DataFrame":
    """Give cells the spaces before them back where only some of a column have any.

    Spaces behind every separator are a way of writing tables, and quotation marks may follow them.
    In some cells alone they are part of the text: whoever reads the column takes them off, and
    says so.
    """
    if f"{separator} ".encode() not in data and b"\n " not in data:
        return table
    rows = list(_records(data, separator, name, skips_spaces=False))[1:]
    if len(rows) != len(table) or any(len(row) != table.shape[1] for row in rows):
        return table
    spaced = {}
    for column, cells in zip(table.columns, zip(*rows, strict=True), strict=True):
        leads = [cell.startswith(" ") for cell in cells if cell.strip()]
        is_some = any(leads) and not all(leads)
        if is_some and [cell.lstrip(" ") for cell in cells] == table[column].to_list():
            spaced[column] = list(cells)
    return table.assign(**spaced) if spaced else table


def header_of(cells: Iterable[str], name: str) -> list[str]:
    """Give the column names; a blank one gets a name, since a column without may be ignored."""
    columns = [cell.strip() or f"unnamed_{k}" for k, cell in enumerate(cells, start=1)]
    check_header(columns, name)
    return columns


def unreadable(kind: str, name: str, error: Exception) -> DataFileError:
    """Say that a file is not of the kind that its suffix says."""
    return DataFileError(
        f"{name}: it is not {kind} file that can be read ({one_line(error)}); save it again, or "
        "export the data as CSV"
    )


def check_header(columns: Iterable[str], name: str) -> None:
    """Refuse two columns of one name, which pandas would rename in silence."""
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise DataFileError(
            f"{name}: the column name{'s' if len(twice) > 1 else ''} {shown_names(twice)} "
            "occurs more than once in the header; every column needs a name of its own"
        )


def _check_widths(records: Iterable[list[str]], width: int, name: str, separated_by: str) -> None:
    """Refuse rows with more or fewer fields, which pandas would cut or fill in silence."""
    ragged = [
        (row, len(record)) for row, record in enumerate(records, start=1) if len(record) != width
    ]
    if ragged:
        rows = shown_rows([row for row, _ in ragged], [f"{fields} fields" for _, fields in ragged])
        raise DataFileError(
            f"{name}: the header has {width} fields separated by {separated_by}, but another "
            f"number of fields is in {rows}; every row needs {width}"
        )


def _identifiers(column: "pd.Series") -> "pd.Series":
    """Turn identifiers into whole numbers where that loses nothing."""
    stripped = column.str.strip()
    stripped = stripped.mask(stripped.isin(sorted(MARKS)))
    given = stripped.dropna()
    if len(given) == len(stripped) and given.str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all():
        return stripped.astype("int64")
    return stripped


def _decimal_commas(table: "pd.DataFrame", name: str, identifier: str | None) -> "pd.DataFrame":
    """Read decimal commas in a file that is not separated by commas.

    Numbers such as 1,234 alone could be thousands, and commas beside decimal points are
    probably thousands: both are refused.
    """
    import pandas as pd

    number = r"\s*[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*"
    commas = []
    for column in table.columns:
        values = table[column]
        if column != identifier and column_kind(values) in ("text", "objects"):
            given = values.dropna().astype(str)
            if given.str.contains(",").any() and given.str.fullmatch(number).all():
                commas.append(column)
    if not commas:
        return table
    points = [
        column
        for column in table.columns
        if table[column].dtype.kind == "f" and (table[column].dropna() % 1 != 0).any()
    ]
    if points:
        raise DataFileError(
            f"{name}: column {shown(commas[0])} writes numbers with commas but column "
            f"{shown(points[0])} with points; write every number with a decimal point"
        )
    with_comma = pd.concat([table[column].dropna().astype(str) for column in commas])
    with_comma = with_comma[with_comma.str.contains(",")]
    if with_comma.str.fullmatch(r"\s*[+-]?[1-9][0-9]{0,2},[0-9]{3}\s*").all():
        raise DataFileError(
            f"{name}: column {shown(commas[0])} holds numbers such as {shown(with_comma.iloc[0])}, "
            "where the comma could mean thousands or decimals; write numbers with a decimal point "
            "and without thousands"
        )
    for column in commas:
        given = table[column].dropna().astype(str).str.replace(",", ".", regex=False)
        table[column] = pd.to_numeric(given).reindex(table.index)
    return table
