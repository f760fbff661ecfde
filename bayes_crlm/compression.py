"""Compressed text files: gzip, bzip2, xz, and zip archives of one file."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib

from bayes_crlm.errors import DataFileError
from bayes_crlm.wording import one_line, shown, shown_names

__all__ = ["PACKED", "decompressed"]

KINDS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zip": "zip"}
PACKED = tuple(KINDS)
"""Suffixes that follow a text file's own."""


def decompressed(data: bytes, suffix: str, name: str) -> bytes:
    """Undo compression.

    Parameters
    ----------
    data : bytes
        The compressed file.
    suffix : str
        One of `PACKED`.
    name : str
        How messages name the file.

    Raises
    ------
    DataFileError
        When it is not a whole file of that kind, or an archive of several files.
    """
    try:
        match suffix:
            case ".gz":
                return gzip.decompress(data)
            case ".bz2":
                return bz2.decompress(data)
            case ".xz":
                return lzma.decompress(data)
        return _only_member(data, name)
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        reason = one_line(error)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError) as error:
        reason = one_line(error)
    raise DataFileError(
        f"{name}: it is not a whole {KINDS[suffix]} file ({reason}); compress it again, or give "
        f"the file without {suffix}"
    )


def _only_member(data: bytes, name: str) -> bytes:
    """Give the one file of an archive; what macOS adds to archives is no file of the user's."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = [
            each
            for each in archive.namelist()
            if not each.endswith("/") and not each.startswith("__MACOSX/")
        ]
        if len(files) != 1:
            held = f"holds {shown_names(files, 3)}" if files else "holds no file"
            raise DataFileError(
                f"{name}: the archive {held}; give an archive of one text table, or the file itself"
            )
        if not files[0].lower().endswith((".csv", ".tsv", ".txt")):
            raise DataFileError(
                f"{name}: the archive holds {shown(files[0])}, which is no text table; give the "
                "file itself"
            )
        return archive.read(files[0])
