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
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import DataFileError
from bayes_crlm.separated_text import check_header, header_of, is_text, read_separated_text
from bayes_crlm.wording import did_you_mean, one_line, shown, shown_name, shown_names

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.datasets import Dataset

__all__ = ["SUFFIXES", "data_sets", "plain_index", "read_table"]

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
        names, load = data_sets()
        if source in names:
            return load(source)
    name = shown_name(source)
    path, data = _read_bytes(source, name)
    sha256 = hashlib.sha256(data).hexdigest()
    suffix = _suffix(path)
    if suffix.removesuffix(".gz") in TEXT:
        if suffix.endswith(".gz"):
            data = _decompressed(data, name)
        table = read_separated_text(data, name, identifier)
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
            return f"nor is there the folder {shown_name(folder)}"
        files = sorted(each.name for each in folder.iterdir() if _suffix(each) in SUFFIXES)
    except OSError:
        files = []
    hint = did_you_mean(path.name, [*files, *names])
    if hint.startswith("did you mean"):
        return hint
    return f"give a path, or the name of a data set: {shown_names(list(names))}"


def _decompressed(data: bytes, name: str) -> bytes:
    """Undo gzip."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise DataFileError(
            f"{name}: it is not a whole gzip file ({one_line(error)}); compress it again, or "
            "give the file without .gz"
        ) from None


# --- other formats ----------------------------------------------------------------------------


def _not_a(kind: str, name: str, error: Exception) -> DataFileError:
    return DataFileError(
        f"{name}: it is not a {kind} file that can be read ({one_line(error)}); save it again, "
        "or export the data as CSV"
    )


def _read_parquet(data: bytes, name: str) -> "pd.DataFrame":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        check_header(file.schema_arrow.names, name)
        return plain_index(file.read().to_pandas())
    except DataFileError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, NotImplementedError) as error:
        raise _not_a("Parquet", name, error) from None


def plain_index(table: "pd.DataFrame") -> "pd.DataFrame":
    """Give the table a RangeIndex; an index that has a name becomes a column."""
    named = [level for level in table.index.names if level is not None]
    if named and not set(named) & set(table.columns):
        table = table.reset_index(level=named)
    return table.reset_index(drop=True)


def _read_excel(data: bytes, name: str) -> "pd.DataFrame":
    import pandas as pd

    try:
        cells = pd.read_excel(io.BytesIO(data), header=None, dtype=object, engine="openpyxl")
    except Exception as error:
        raise _not_a("Excel .xlsx", name, error) from None
    if cells.empty:
        raise DataFileError(f"{name}: the first sheet is empty; it must hold a table")
    header = ["" if pd.isna(cell) else str(cell) for cell in cells.iloc[0]]
    if sum(column.strip() != "" for column in header) < 2:
        raise DataFileError(
            f"{name}: the first row of the first sheet must be the header, with at least two "
            "column names"
        )
    table = cells.iloc[1:].reset_index(drop=True)
    table.columns = header_of(header, name)
    return table.infer_objects()


def _read_statistics(
    data: bytes, name: str, suffix: str, numbers: Collection[str]
) -> "pd.DataFrame":
    import pyreadstat

    program, reader = STATISTICS[suffix]
    try:
        table, metadata = getattr(pyreadstat, reader)(io.BytesIO(data))
    except Exception as error:
        raise _not_a(f"{program} {suffix}", name, error) from None
    check_header(table.columns, name)
    labels = getattr(metadata, "variable_value_labels", None) or {}
    for column in table.columns:
        values = _whole_numbers(table[column])
        if is_text(values):
            # These programs have no other missing text than the empty one.
            values = values.mask(values == "")
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

    codes = sorted(values.dropna().unique().tolist())
    names = [labels.get(code) for code in codes]
    if None in names or len(set(names)) < len(names):
        return values
    named = values.map(dict(zip(codes, names, strict=True)))
    return pd.Series(pd.Categorical(named, categories=names), index=values.index)


def data_sets() -> "tuple[dict[str, Dataset], Callable[[str], tuple[pd.DataFrame, str]]]":
    """Give the package's data sets by name, and what loads one; imported only when asked for."""
    from bayes_crlm.datasets import DATASETS, load_dataset

    return DATASETS, load_dataset
