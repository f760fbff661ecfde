"""From what a user gives (a path, a data set's name, a table) to a table of plain columns."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.cohort.table.column_settings import ColumnSettings, TypedTable, typed_table
from bayes_crlm.words.errors import CohortError
from bayes_crlm.words.loading import collector_resting
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import one_line, shown

if TYPE_CHECKING:
    import pandas as pd


# rows of a table that are turned into text at a time, for its hash
ROWS_HASHED = 2**16


@record
class Loaded(TypedTable):
    """A source as a table of plain columns, and what is known of it.

    Attributes
    ----------
    sha256 : str
        Of the file's bytes, or of the table as CSV.
    is_synthetic : bool
        Whether the data are simulated, not patients'.
    said : mapping
        By column, what the file says of it.
    """

    sha256: str
    is_synthetic: bool
    said: Mapping[str, str]


def load_source(
    source: object,
    numbers: Sequence[str],
    id: str | None,
    settings: ColumnSettings,
    sheet: str | None,
    outcome: Sequence[str],
) -> Loaded:
    """Read a source.

    Parameters
    ----------
    source : str, Path, pandas.DataFrame or object with ``__arrow_c_stream__``
        A file, the name of a data set, or a table.
    numbers : sequence of str
        Columns that must be numbers: their codes are kept although they have labels.
    id : str or None
        The column that names the patients.
    settings : ColumnSettings
        What the user says of columns.
    sheet : str or None
        Of an Excel workbook.
    outcome : sequence of str
        Columns that say how follow-up ends, whose cells are checked one by one elsewhere.

    Raises
    ------
    DataFileError, CohortError
        When it is not a table.
    """
    with collector_resting():
        import pandas as pd  # noqa: F401
    from bayes_crlm.cohort.table.files import FileRead, read_file
    from bayes_crlm.datasets import is_copy_of_synthetic

    is_synthetic = False
    if isinstance(source, str | Path):
        read = read_file(
            source,
            numbers=[*numbers, *settings.numbers],
            identifier=id,
            levels=settings.levels,
            sheet=sheet,
        )
        is_synthetic = is_copy_of_synthetic(read.sha256)
    elif sheet is not None:
        raise CohortError("sheet is given, but only Excel workbooks have sheets; leave it out")
    else:
        table = plain_frame(as_frame(source))
        read = FileRead(table, sha256_of_csv(table))
    typed = typed_table(read.table, settings, kept=(id,), outcome=outcome, known=read.known)
    of_columns: dict[str, Any] = vars(typed) | {"notes": with_notes(read.notes, typed.notes)}
    return Loaded(**of_columns, sha256=read.sha256, is_synthetic=is_synthetic, said=read.said)


def with_notes(
    first: Mapping[str, tuple[str, ...]], then: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Put notes on columns beside others."""
    return {
        column: (*first.get(column, ()), *then.get(column, ()))
        for column in dict.fromkeys([*first, *then])
    }


def as_frame(source: object) -> "pd.DataFrame":
    """Give a table of Python as a DataFrame.

    Raises
    ------
    CohortError
        When it is none.
    """
    import pandas as pd

    if isinstance(source, pd.DataFrame):
        return source
    if not hasattr(source, "__arrow_c_stream__"):
        raise CohortError(
            "the source must be a path, a data set's name, a DataFrame or another table that "
            f"Arrow can read (pyarrow, Polars), not {shown(source)}"
        )
    import pyarrow as pa

    try:
        return without_number_dictionaries(pa.table(source)).to_pandas()
    except (pa.ArrowException, TypeError, ValueError, NotImplementedError) as error:
        raise CohortError(
            f"the {type(source).__name__} cannot be read as a table ({one_line(error)}); give a "
            "DataFrame"
        ) from None


def without_number_dictionaries(table: Any) -> Any:
    """Give numbers that Arrow stores by dictionary as numbers, as Parquet files give them.

    Where pandas wrote the table they are categories that somebody made.
    """
    import pyarrow as pa

    if table.schema.pandas_metadata is not None:
        return table
    for k, each in enumerate(table.schema):
        if pa.types.is_dictionary(each.type):
            kind = each.type.value_type
            is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
            if is_number or pa.types.is_decimal(kind):
                table = table.set_column(k, each.name, table.column(k).cast(kind))
    return table


def plain_frame(frame: "pd.DataFrame") -> "pd.DataFrame":
    """Give the frame with a RangeIndex and unique column names in text."""
    import pandas as pd

    from bayes_crlm.cohort.table.files import plain_index

    if isinstance(frame.columns, pd.MultiIndex):
        raise CohortError("DataFrame: its columns have several levels; they must have one")
    frame = plain_index(frame)
    names = [str(each) for each in frame.columns]
    twice = [each for each in dict.fromkeys(names) if names.count(each) > 1]
    if twice:
        raise CohortError(
            f"DataFrame: the column name {shown(twice[0])} occurs more than once; every column "
            "needs a name of its own"
        )
    return (
        frame
        if all(isinstance(each, str) for each in frame.columns)
        else frame.set_axis(names, axis="columns")
    )


def sha256_of_csv(table: "pd.DataFrame") -> str:
    """Hash a table's text as CSV, without holding all of it."""
    digest = hashlib.sha256()
    for start in range(0, max(1, len(table)), ROWS_HASHED):
        rows = table.iloc[start : start + ROWS_HASHED]
        text = rows.to_csv(index=False, header=start == 0, lineterminator="\n")
        digest.update(text.encode("utf-8", errors="surrogatepass"))
    return digest.hexdigest()
