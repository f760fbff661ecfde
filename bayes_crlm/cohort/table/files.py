"""The one place that reads data files: a path or a data set's name in, a table out.

Formats go by suffix: ``.csv``, ``.tsv`` and ``.txt`` (each also with ``.gz``, ``.bz2``, ``.xz`` or
``.zip``), Parquet, Excel (``.xlsx``, ``.xlsm``; the first sheet, or the one asked for),
Stata ``.dta``, SPSS ``.sav``, ``.zsav`` and ``.por``, SAS ``.sas7bdat`` and ``.xpt``, and any of
these alone in a ``.zip``.

What a file says is never guessed at in silence:

- Text files are UTF-8, with or without a byte order mark. The separator (comma, semicolon, tab
  or vertical bar) is the one that gives every row as many fields as the header.
- Decimal commas are read as such only in files that are not separated by commas; a file that
  could be meant either way is refused.
- Stata, SPSS and SAS value labels replace the codes of a column when every code in it has a
  label of its own, except in the columns that must be numbers (`numbers`: time, event, entry
  and id), which keep their codes.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from bayes_crlm.cohort.table.column_values import ColumnRead
from bayes_crlm.cohort.table.compression import PACKED, decompressed, only_member
from bayes_crlm.cohort.table.separated_text import check_header, read_separated_text, unreadable
from bayes_crlm.cohort.table.statistics_files import STATISTICS, read_statistics
from bayes_crlm.cohort.table.workbooks import read_excel
from bayes_crlm.words.errors import DataFileError
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import number
from bayes_crlm.words.wording import did_you_mean, one_line, shown, shown_name, shown_names

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.datasets import Dataset

TEXT = (".csv", ".tsv", ".txt")
EXCEL = (".xlsx", ".xlsm")
SUFFIXES = (
    *TEXT,
    *(f"{each}{packed}" for each in TEXT for packed in PACKED),
    ".parquet",
    *EXCEL,
    *STATISTICS,
    ".zip",
)
"""The suffixes that are read."""
IN_ARCHIVES = tuple(each for each in SUFFIXES if not each.endswith(".zip"))
BYTES_OF_TEXT = 3
"""Bytes of memory, at least, that a byte of a text table takes while it is read."""


@record
class FileRead:
    """A file as a table, with what was done to its columns and what it says of them.

    Attributes
    ----------
    table : pandas.DataFrame
        At least one row, unique column names, a RangeIndex.
    sha256 : str
        Of the file's bytes, in hexadecimal.
    known : dict of ColumnRead
        Columns of a text file, as they were read.
    notes : dict
        By column, what became of codes that have labels.
    said : dict
        By column, its label, its unit and its reasons for missing values, as the file says.
    """

    table: "pd.DataFrame"
    sha256: str
    known: Mapping[str, ColumnRead] = field(default_factory=dict)
    notes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    said: Mapping[str, str] = field(default_factory=dict)


def read_file(
    source: str | Path,
    *,
    numbers: Collection[str] = (),
    identifier: str | None = None,
    levels: Mapping[str, Any] | None = None,
    sheet: str | None = None,
    memory: int | None = None,
) -> FileRead:
    """Read a data file, or one of the package's data sets, with all that is known of it.

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
    levels : mapping, optional
        Levels that the user names, by column: codes stay codes where these are codes.
    sheet : str, optional
        The sheet of an Excel workbook; the first one without it.
    memory : int, optional
        Bytes that reading may take; the machine's memory without it.

    Raises
    ------
    DataFileError
        When there is no such file or data set, or it is not a table with a header, at least
        two columns and at least one row.
    """
    if isinstance(source, str):
        names, load = data_sets()
        if source in names:
            _refuse_sheet(sheet, source)
            return FileRead(*load(source))
    name = shown_name(source)
    memory = machine_memory() if memory is None else memory
    path, data = _read_bytes(source, name, memory)
    sha256 = hashlib.sha256(data).hexdigest()
    most = memory // BYTES_OF_TEXT
    try:
        if path.suffix.lower() == ".zip":
            path, data = only_member(data, name, IN_ARCHIVES, most)
        plain, _, packed = _suffix(path)[1:].partition(".")
        if packed and f".{plain}" in TEXT:
            path, data = path.with_suffix(""), decompressed(data, f".{packed}", name, most)
        if f".{plain}" in TEXT and len(data) > most:
            raise _larger_than_memory(name, BYTES_OF_TEXT * len(data), memory)
        read = _read_format(path, data, name, numbers, identifier, levels or {}, sheet, memory)
        read = dataclasses.replace(read, sha256=sha256)
    except MemoryError:
        raise DataFileError(
            f"{name}: the table is larger than this machine's memory; give a file with only the "
            "columns and rows that the analysis needs"
        ) from None
    if len(read.table) == 0:
        raise DataFileError(f"{name}: it has a header but no rows; there must be one per patient")
    return read


def _read_format(
    path: PurePath,
    data: bytes,
    name: str,
    numbers: Collection[str],
    identifier: str | None,
    levels: Mapping[str, Any],
    sheet: str | None,
    memory: int,
) -> FileRead:
    """Read a file's bytes, no longer packed, by its suffix; its hash is for the caller."""
    suffix = _suffix(path)
    if suffix not in EXCEL:
        _refuse_sheet(sheet, name)
    if suffix in TEXT:
        table, known = read_separated_text(data, name, identifier)
        return FileRead(table, "", known=known)
    if suffix == ".parquet":
        table, said = _read_parquet(data, name, memory)
        return FileRead(table, "", said=said)
    if suffix in EXCEL:
        table, note = read_excel(data, name, sheet)
        return FileRead(table, "", notes={"": (note,)} if note else {})
    if suffix in STATISTICS:
        named = {each: said for each, said in levels.items() if said != "number"}
        table, said, notes = read_statistics(data, name, suffix, numbers, named)
        return FileRead(table, "", notes=notes, said=said)
    hint = {
        ".xls": "; save an old Excel workbook as .xlsx or CSV",
        ".xlsb": "; save a binary Excel workbook as .xlsx or CSV",
        ".ods": "; save an OpenDocument sheet as .xlsx or CSV",
    }.get(suffix, "")
    raise DataFileError(
        f"{name}: files with the suffix {shown(suffix)} are not read{hint}; "
        f"these are: {', '.join(SUFFIXES)}"
    )


def _refuse_sheet(sheet: str | None, name: str) -> None:
    """Refuse a sheet of what has none."""
    if sheet is not None:
        raise DataFileError(
            f"{name}: data.sheet is {shown(sheet)}, but only Excel workbooks have sheets; leave it "
            "out"
        )


def _suffix(path: PurePath) -> str:
    """Give the lower-case suffix, with the one before it when it is that of compression."""
    suffix = path.suffix.lower()
    inner = PurePath(path.stem).suffix.lower()
    return inner + suffix if suffix in PACKED and inner in TEXT else suffix


def _read_bytes(source: str | Path, name: str, memory: int) -> tuple[PurePath, bytes]:
    """Read the whole file, or say why it cannot be read."""
    try:
        path = Path(source).expanduser()
        if path.is_dir():
            raise DataFileError(f"{name}: it is a directory; give the data file inside it")
        if path.exists() and not path.is_file():
            raise DataFileError(f"{name}: it is not a regular file; give a data file")
        size = path.stat().st_size
        if size > memory:
            raise _larger_than_memory(name, size, memory)
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
        raise DataFileError(f"{name}: it cannot be read: {one_line(reason)}") from None
    if not data:
        raise DataFileError(f"{name}: the file is empty (0 bytes); it must hold a table")
    return path, data


def _nearest(path: Path) -> str:
    """Suggest what exists in place of a missing file."""
    names, _ = data_sets()
    folder = path.parent
    try:
        if not folder.is_dir():
            return f"its folder {shown_name(folder)} does not exist either"
        files = sorted(each.name for each in folder.iterdir() if _suffix(each) in SUFFIXES)
    except OSError:
        files = []
    hint = did_you_mean(path.name, [*files, *names])
    if hint.startswith("did you mean"):
        return hint
    return f"give a path, or the name of a data set: {shown_names(list(names))}"


# --- other formats ----------------------------------------------------------------------------


def _read_parquet(data: bytes, name: str, memory: int) -> "tuple[pd.DataFrame, dict[str, str]]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        schema = file.schema_arrow
        check_header(schema.names, name)
        needed = 8 * file.metadata.num_rows * file.metadata.num_columns
        if needed > memory:
            raise _larger_than_memory(name, needed, memory)
        said = {each.name: _field_in_words(each.metadata or {}) for each in schema}
        table = plain_index(file.read().to_pandas())
        return table, {each: words for each, words in said.items() if words}
    except DataFileError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError) as error:
        raise unreadable("a Parquet", name, error) from None


def machine_memory() -> int:
    """Give the machine's memory in bytes; more than any has where the system does not say."""
    import os

    if not hasattr(os, "sysconf"):
        return 2**62
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _larger_than_memory(name: str, needed: int, memory: int) -> DataFileError:
    return DataFileError(
        f"{name}: the table takes {number(needed / 1e9, 1)} GB or more, and this machine has "
        f"{number(memory / 1e9, 1)}; give a file with only the columns and rows that the analysis "
        "needs"
    )


def _field_in_words(metadata: Mapping[bytes, bytes]) -> str:
    """Say a column's label and unit, where the file has them."""
    found = {key.decode("utf-8", "replace").lower(): value for key, value in metadata.items()}
    words = [
        found[key].decode("utf-8", "replace").strip()
        for key in ("label", "description", "unit", "units")
        if key in found
    ]
    return "; ".join(each for each in words if each)


def plain_index(table: "pd.DataFrame") -> "pd.DataFrame":
    """Give the table a RangeIndex; an index that has a name becomes a column."""
    named = [level for level in table.index.names if level is not None]
    if named and not set(named) & set(table.columns):
        table = table.reset_index(level=named)
    return table.reset_index(drop=True)


def data_sets() -> "tuple[dict[str, Dataset], Callable[[str], tuple[pd.DataFrame, str]]]":
    """Give the package's data sets by name, and what loads one; imported only when asked for."""
    from bayes_crlm.datasets import DATASETS, load_dataset

    return DATASETS, load_dataset
