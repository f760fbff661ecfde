"""How a spec's file of data is named where its results go: never by where this machine has it.

A result folder is copied with its project, and its report is passed on. So the spec in it names
the data as seen from the folder, and what people read names the file alone.
"""

import os
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from bayes_crlm.specification.paths import path_seen_from

if TYPE_CHECKING:
    from bayes_crlm.specification.spec import Spec


def source_name(spec: "Spec") -> str:
    """Name the data as the spec does, or by the file alone where that would lead elsewhere.

    Parameters
    ----------
    spec : Spec
        Whose data are meant.

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
        Whose data path is relative to its own file.
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


def with_source(spec: "Spec", source: str) -> "Spec":
    """Give a copy of a spec with another source."""
    return spec.model_copy(update={"data": spec.data.model_copy(update={"source": source})})
