"""Paths in a spec, which may lie in another folder than the one it is read from."""

import os
from pathlib import Path


def path_seen_from(folder: Path, text: str, *, is_kept: bool = True) -> str:
    """Write a path of the working folder as seen from another one.

    Parameters
    ----------
    folder : Path
        Where relative paths start.
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
