"""Compressed files: gzip, bzip2 and xz of one text table, and zip archives of one table.

Nothing is written to disk, and no more is unpacked than the memory that a table may take.
"""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import IO, Any

from bayes_crlm.words.errors import DataFileError
from bayes_crlm.words.shown import number
from bayes_crlm.words.wording import one_line, shown, shown_names

KINDS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
PACKED = tuple(KINDS)
"""Suffixes that follow a text file's own."""
PIECE = 2**20
"""Bytes that are unpacked at a time."""


def decompressed(data: bytes, suffix: str, name: str, most: int) -> bytes:
    """Undo compression of one file.

    Parameters
    ----------
    data : bytes
        The compressed file.
    suffix : str
        One of `PACKED` but zip's.
    name : str
        How messages name the file.
    most : int
        Bytes that it may have unpacked.

    Raises
    ------
    DataFileError
        When it is not a whole file of that kind, or larger than `most`.
    """
    kind: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}[suffix]
    try:
        with kind(io.BytesIO(data)) as file:
            found = read_most(file, most)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise not_whole(suffix, name, error) from None
    return within(found, name, most)


def read_most(file: IO[bytes], most: int) -> bytes:
    """Read a file up to a little more than a number of bytes, piece by piece."""
    found = bytearray()
    while len(found) <= most and (piece := file.read(PIECE)):
        found += piece
    return bytes(found)


def only_member(
    data: bytes, name: str, suffixes: Collection[str], most: int
) -> tuple[PurePosixPath, bytes]:
    """Give name and content of the one file of an archive.

    Parameters
    ----------
    data : bytes
        The archive.
    name : str
        How messages name it.
    suffixes : collection of str
        What the file's name may end in.
    most : int
        Bytes that it may have unpacked.

    Raises
    ------
    DataFileError
        When it is not a whole archive, does not hold one table, or one larger than `most`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # what macOS adds to archives is not a file of the user's
            files = [
                each
                for each in archive.infolist()
                if not each.is_dir() and not each.filename.startswith("__MACOSX/")
            ]
            names = [each.filename for each in files]
            if len(files) != 1:
                held = f"holds {shown_names(names, 3)}" if files else "holds no file"
                raise DataFileError(
                    f"{name}: the archive {held}; give an archive of one table, or the file itself"
                )
            if not names[0].lower().endswith(tuple(suffixes)):
                raise DataFileError(
                    f"{name}: the archive holds {shown(names[0])}, which is not a table; "
                    f"these are read: {', '.join(suffixes)}"
                )
            with archive.open(files[0]) as member:
                found = read_most(member, most)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        if isinstance(error, DataFileError):
            raise
        raise not_whole(".zip", name, error) from None
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        raise not_whole(".zip", name, error) from None
    return PurePosixPath(names[0]), within(found, name, most)


def within(found: bytes, name: str, most: int) -> bytes:
    """Refuse what is larger than it may be."""
    if len(found) > most:
        raise DataFileError(
            f"{name}: unpacked it has more than {number(most / 1e9, 1)} GB, which is more than "
            "this machine's memory holds as a table; give a file with only the columns and rows "
            "that the analysis needs"
        )
    return found


def not_whole(suffix: str, name: str, error: Exception) -> DataFileError:
    """Say that a compressed file cannot be read."""
    return DataFileError(
        f"{name}: it is not a complete {KINDS[suffix]} file ({one_line(error)}); compress it "
        f"again, or give the file without {suffix}"
    )
