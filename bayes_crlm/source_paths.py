"""How a spec's file of data is named where its results go: never by where this machine has it.

A result folder is copied with its project, and its report is passed on. So the spec in it names
the data as seen from the folder, and what people read names the file alone.
"""

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayes_crlm.spec import Spec

__all__ = ["path_seen_from", "source_name", "spec_for_readers", "spec_seen_from"]


def source_name(spec: "Spec") -> str:
    """Name the data as the spec does, or by the file alone where that would lead elsewhere.

    Parameters
    ----------
    spec : Spec

    Returns
    -------
    str
        ``data/cohort.csv`` as it is written; ``cohort.csv`` for ``/home/me/cohort.csv``,
        ``~/cohort.csv`` and ``../cohort.csv``.
    """
    written = PurePath(spec.data.source)
    if len(written.parts) < 2:
        return str(written)
    leads_elsewhere = (
        written.is_absolute() or ".." in written.parts or written.parts[0].startswith("~")
    )
    return written.name if leads_elsewhere else str(written)


def spec_for_readers(spec: "Spec") -> "Spec":
    """Name the data in a spec that is printed in a report."""
    return with_source(spec, source_name(spec))


def spec_seen_from(spec: "Spec", folder: Path) -> "Spec":
    """Name the data so that the spec means the same file when it lies in a folder.

    Parameters
    ----------
    spec : Spec
    folder : Path
        Absolute and without links.

    Returns
    -------
    Spec
        With a relative path to the data where the spec has one; an absolute path, one from the
        user's home and a data set's name stay as they were written.
    """
    written, path = spec.data.source, spec.data_path()
    if not isinstance(path, Path) or os.path.isabs(os.path.expanduser(written)):
        return spec
    return with_source(spec, path_seen_from(folder, str(path), is_kept=False))


def path_seen_from(folder: Path, text: str, *, is_kept: bool = True) -> str:
    """Write a path of the working folder as seen from another one.

    Parameters
    ----------
    folder : Path
    text : str
        May begin with ``~``.
    is_kept : bool
        Whether an absolute path stays as it is.
    """
    path = os.path.expanduser(text)
    if is_kept and os.path.isabs(path):
        return path
    here = os.path.join(os.path.realpath(os.path.dirname(path) or os.curdir), "")
    try:
        seen = os.path.relpath(here, os.path.realpath(folder))
    except ValueError:  # on another drive of Windows
        return os.path.abspath(path)
    # with its "./" no file is taken for a data set of the package, or for somebody's home
    return (
        Path(seen, os.path.basename(path)).as_posix()
        if seen != os.curdir
        else f"./{os.path.basename(path)}"
    )


def with_source(spec: "Spec", source: str) -> "Spec":
    """Give a copy of a spec with another source."""
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})
