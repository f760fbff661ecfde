"""Functions compiled by Numba, whose machine code is kept on disk from one process to the next.

Numba looks at a function's own file to tell whether what it kept is still right, not at the
files of the functions that it calls. So each state of the package's compiled modules has a folder
of its own, in ``NUMBA_CACHE_DIR`` where that is set, else in the user's cache folder. Where neither
can be written to, Numba tries the package's folder, and without any place every process
compiles anew.
"""

import hashlib
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba

# the modules with compiled functions
MODULES = ("compiled_graph", "machine_code")


@cache
def folder_of_machine_code() -> Path:
    """Folder for the machine code of this state of the compiled modules."""
    source = hashlib.sha256()
    for name in MODULES:
        source.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    caches = os.environ.get("NUMBA_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME")
    home = os.path.expanduser("~")
    if not caches:
        # without a home "~" stays as it is: then below a file, where no folder can be made
        caches = os.devnull if home == "~" else os.path.join(home, ".cache")
    return Path(caches) / "bayes_crlm" / source.hexdigest()[:16]


@contextmanager
def kept_in_folder() -> Generator[None]:
    """Make Numba keep what is decorated meanwhile in the folder."""
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder_of_machine_code())
    try:
        yield
    finally:
        settings.CACHE_DIR = before


def compiled_callback(signature: Any) -> Callable[[Callable[..., Any]], Any]:
    """Compile a function at once, so that C can call it."""

    def compile_now(function: Callable[..., Any]) -> Any:
        with kept_in_folder():
            try:
                return numba.cfunc(signature, cache=True)(function)
            except Exception:
                # nowhere to keep it, or what is kept is damaged: this file, which says where the
                # rest is, is made anew by the next process; a mistake in the function shows again
                name = getattr(function, "__name__", "")
                for index in folder_of_machine_code().rglob(f"*.{name}-*.nbi"):
                    with suppress(OSError):  # a folder that another user filled, or read-only
                        index.unlink()
                return numba.cfunc(signature)(function)

    return compile_now
