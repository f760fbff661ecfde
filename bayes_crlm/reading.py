"""The one place that reads data files: a path or a data set's name in, a table out.

Formats go by suffix: ``.csv``, ``.tsv`` and ``.txt`` (each also with ``.gz``), Parquet, Excel
(``.xlsx``, ``.xlsm``; the first sheet), Stata ``.dta``, SPSS ``.sav``, ``.zsav`` and ``.por``,
SAS ``.sas7bdat`` and ``.xpt``.

What a file says is never guessed at in silence:

- Text files are UTF-8, with or without a byte order mark. The separator (comma, semicolon, tab
  or vertical bar) is the one that gives every row as many fields as the header.
- Decimal commas are read as such only in files that are not separated by commas; a file that
  could be meant either way is refused.
- Stata, SPSS and SAS value labels replace the codes of a column when every code in it has a
  label of its own, except in the columns that must be numbers (`numbers`: time, event, entry
  and id), which keep their codes.
"""

import gzip
import hashlib
import io
import re
import zlib
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import DataFileError
from bayes_crlm.wording import did_you_mean, shown, shown_name, shown_names, shown_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUFFIXES", "read_table"]

TEXT = (".csv", ".tsv", ".txt")
EXCEL = (".xlsx", ".xlsm")
STATISTICS = {
    ".dta": ("Stata", "read_dta"),
    ".sav": ("SPSS", "read_sav"),
    ".zsav": ("SPSS", "read_sav"),
    ".por": ("SPSS", "read_por"),
    ".sas7bdat": ("SAS", "read_sas7bdat"),
    ".xpt": ("SAS", "read_xport"),
}
SUFFIXES = (*TEXT, *(f"{each}.gz" for each in TEXT), ".parquet", *EXCEL, *STATISTICS)
"""The suffixes `read_table` reads."""

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SAMPLE = 200
"""Records that are tried with each separator."""

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


def read_table(
    source: str | Path, *, numbers: Collection[str] = (), identifier: str | None = None
) -> tuple["pd.DataFrame", str]:
    """Read a data file, or one of the package's data sets, as a table.

    Parameters
    ----------
    source : str or Path
        A file's path, or (a string only) the name of a data set.
    numbers : collection of str
        Columns whose codes are kept although they have value labels.
    identifier : str, optional
        The column that names the patients. In text files it is read as text unless every
        value is a whole number written plainly, so that 1.1 and 1.10, or 01 and 1, stay
        two patients.

    Returns
    -------
    table : pandas.DataFrame
        At least one row, unique column names, a RangeIndex.
    sha256 : str
        Of the file's bytes, in hexadecimal.

    Raises
    ------
    DataFileError
        When there is no such file or data set, or it is not a table with a header, at least
        two columns and at least one row.
    """
    if isinstance(source, str):
        DATASETS, load_dataset = _data_sets()
        if source in DATASETS:
            return load_dataset(source)
    name = shown_name(source)
    path, data = _read_bytes(source, name)
    sha256 = hashlib.sha256(data).hexdigest()
    suffix = _suffix(path)
    if suffix.removesuffix(".gz") in TEXT:
        if suffix.endswith(".gz"):
            data = _decompressed(data, name)
        table = _read_text(data, name, identifier)
    elif suffix == ".parquet":
        table = _read_parquet(data, name)
    elif suffix in EXCEL:
        table = _read_excel(data, name)
    elif suffix in STATISTICS:
        table = _read_statistics(data, name, suffix, numbers)
    else:
        hint = {
            ".xls": "; save an old Excel workbook as .xlsx or CSV",
            ".xlsb": "; save a binary Excel workbook as .xlsx or CSV",
            ".ods": "; save an OpenDocument sheet as .xlsx or CSV",
        }.get(suffix, "")
        raise DataFileError(
            f"{name}: files with the suffix {shown(suffix)} are not read{hint}; "
            f"these are: {', '.join(SUFFIXES)}"
        )
    if len(table) == 0:
        raise DataFileError(f"{name}: it has a header but no rows; there must be one per patient")
    return table, sha256


def _suffix(path: Path) -> str:
    """Give the lower-case suffix, with the one before it when it is .gz."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def _read_bytes(source: str | Path, name: str) -> tuple[Path, bytes]:
    """Read the whole file, or say why it cannot be read."""
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            raise DataFileError(f"{name}: it is a directory; give the data file inside it")
        if path.exists() and not path.is_file():
            raise DataFileError(f"{name}: it is not a regular file; give a data file")
        data = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise DataFileError(f"{name}: there is no such file; {_nearest(path)}") from None
    except PermissionError:
        raise DataFileError(
            f"{name}: it cannot be opened: permission denied; make it readable for you"
        ) from None
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, DataFileError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise DataFileError(f"{name}: it cannot be read: {_one_line(reason)}") from None
    if not data:
        raise DataFileError(f"{name}: the file is empty (0 bytes); it must hold a table")
    return path, data


def _nearest(path: Path) -> str:
    """Suggest what exists in place of a missing file."""
    DATASETS, _ = _data_sets()
    folder = path.parent
    try:
        if not folder.is_dir():
            return f"nor is there the folder {shown_name(folder)}"
        files = sorted(each.name for each in folder.iterdir() if _suffix(each) in SUFFIXES)
    except OSError:
        files = []
    hint = did_you_mean(path.name, [*files, *DATASETS])
    if hint.startswith("did you mean"):
        return hint
    return f"give a path, or the name of a data set: {shown_names(list(DATASETS))}"


def _decompressed(data: bytes, name: str) -> bytes:
    """Undo gzip."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(
            f"{name}: it is not a whole gzip file ({_one_line(error)}); compress it again, or "
            "give the file without .gz"
        ) from None


# --- text -------------------------------------------------------------------------------------


def _decoded(data: bytes, name: str) -> str:
    """Decode UTF-8, and say what the bytes look like when they are something else."""
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
            f"control character {ascii(control.group())})"
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
    return text


def _records(text: str, separator: str, name: str) -> Iterable[list[str]]:
    """Give the records of the text, blank lines left out as pandas leaves them out."""
    import csv

    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        for record in reader:
            if len(record) > 1 or (record and record[0].strip()):
                yield record
    except csv.Error as error:
        raise DataFileError(
            f"{name}: line {reader.line_num} cannot be read ({_one_line(error)}); close every "
            "quotation mark"
        ) from None


def _separator(text: str, name: str) -> str:
    """Find the separator: the one by which every row has as many fields as the header."""
    from itertools import islice

    widths = {
        separator: [len(record) for record in islice(_records(text, separator, name), SAMPLE)]
        for separator in SEPARATORS
    }
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


def _read_text(data: bytes, name: str, identifier: str | None) -> "pd.DataFrame":
    """Read a table of separated text."""
    import pandas as pd

    text = _decoded(data, name)
    separator = _separator(text, name)
    records = iter(_records(text, separator, name))
    header = [column.strip() for column in next(records)]
    _check_header(header, name)
    _check_widths(records, len(header), name, SEPARATORS[separator])
    # Blank header fields get a name of their own: a column without one can be ignored.
    columns = [column or f"unnamed_{k}" for k, column in enumerate(header, start=1)]
    try:
        table = pd.read_csv(
            io.StringIO(text, newline=""),
            sep=separator,
            header=0,
            names=columns,
            index_col=False,
            skipinitialspace=True,
            low_memory=False,
            float_precision="round_trip",
            dtype={identifier: str} if identifier in columns else None,
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise DataFileError(
            f"{name}: it cannot be read as a table ({_one_line(error)}); close every quotation mark"
        ) from None
    if identifier in columns:
        table[identifier] = _identifiers(table[identifier])
    return _decimal_commas(table, name) if separator != "," else table


def _check_header(header: Iterable[object], name: str) -> None:
    """Refuse two columns of one name, which pandas would rename in silence."""
    seen: dict[object, int] = {}
    for column in header:
        if column != "" and column is not None:
            seen[column] = seen.get(column, 0) + 1
    twice = [column for column, count in seen.items() if count > 1]
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
    given = stripped.dropna()
    if len(given) == len(stripped) and given.str.fullmatch(r"0|-?[1-9][0-9]{0,17}").all():
        return stripped.astype("int64")
    return stripped


def _decimal_commas(table: "pd.DataFrame", name: str) -> "pd.DataFrame":
    """Read decimal commas in a file that is not separated by commas.

    Numbers such as 1,234 alone could be thousands, and commas beside decimal points are
    probably thousands: both are refused.
    """
    import pandas as pd

    number = r"\s*[+-]?[0-9]+(?:,[0-9]+)?(?:[eE][+-]?[0-9]+)?\s*"
    commas = []
    for column in table.columns:
        values = table[column]
        if isinstance(values.dtype, pd.StringDtype) or values.dtype == object:
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
        table[column] = pd.to_numeric(table[column].str.replace(",", ".", regex=False))
    return table


# --- other formats ----------------------------------------------------------------------------


def _not_a(kind: str, name: str, error: Exception) -> DataFileError:
    return DataFileError(
        f"{name}: it is not a {kind} file that can be read ({_one_line(error)}); save it again, "
        "or export the data as CSV"
    )


def _read_parquet(data: bytes, name: str) -> "pd.DataFrame":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        arrow = pq.read_table(pa.BufferReader(data))
        _check_header(arrow.column_names, name)
        # Without pandas' own metadata, so that an index saved with the data is a column again.
        return arrow.to_pandas(ignore_metadata=True)
    except DataFileError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError) as error:
        raise _not_a("Parquet", name, error) from None


def _read_excel(data: bytes, name: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        cells = pd.read_excel(io.BytesIO(data), header=None, dtype=object, engine="openpyxl")
    except Exception as error:  # openpyxl lets errors of zipfile, xml and its own through
        raise _not_a("Excel .xlsx", name, error) from None
    if cells.empty:
        raise DataFileError(f"{name}: the first sheet is empty; it must hold a table")
    header = ["" if pd.isna(cell) else str(cell).strip() for cell in cells.iloc[0]]
    _check_header(header, name)
    if sum(column != "" for column in header) < 2:
        raise DataFileError(
            f"{name}: the first row of the first sheet must be the header, with at least two "
            "column names"
        )
    table = cells.iloc[1:].reset_index(drop=True)
    table.columns = [column or f"unnamed_{k}" for k, column in enumerate(header, start=1)]
    return table.infer_objects()


def _read_statistics(
    data: bytes, name: str, suffix: str, numbers: Collection[str]
) -> "pd.DataFrame":
    import pyreadstat

    program, reader = STATISTICS[suffix]
    try:
        table, metadata = getattr(pyreadstat, reader)(io.BytesIO(data))
    except Exception as error:  # ReadstatError, but malformed files bring others up too
        raise _not_a(f"{program} {suffix}", name, error) from None
    _check_header(table.columns, name)
    labels = getattr(metadata, "variable_value_labels", None) or {}
    for column in table.columns:
        values = _whole_numbers(table[column])
        if column in labels and column not in numbers:
            values = _labelled(values, labels[column])
        table[column] = values
    return table.reset_index(drop=True)


def _whole_numbers(values: "pd.Series") -> "pd.Series":
    """Make whole numbers integers: SPSS and SAS keep every number as a double."""
    if values.dtype.kind != "f" or len(values) == 0:
        return values
    if ((values % 1 == 0) & (values.abs() < 2**53)).all():
        return values.astype("int64")
    return values


def _labelled(values: "pd.Series", labels: dict[Any, str]) -> "pd.Series":
    """Replace codes by their labels, in the codes' order, when every code has its own."""
    import pandas as pd

    given = values.dropna().unique()
    if not set(given) <= set(labels) or len(set(labels.values())) < len(labels):
        return values
    order = [labels[code] for code in sorted(labels, key=lambda code: (str(type(code)), code))]
    return pd.Series(pd.Categorical(values.map(labels), categories=order), index=values.index)


def _one_line(error: object) -> str:
    """Give an error's own words on one line of bounded length."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:159] + "…"


def _data_sets():
    try:
        from bayes_crlm.datasets import DATASETS, load_dataset
    except ImportError:
        return {}, None
    return DATASETS, load_dataset
