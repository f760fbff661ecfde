"""Machine code of compiled densities, kept on disk from one process to the next.

Numba keeps what it compiles, but only PyTensor knows which of it belongs to a model, and asks for
seconds of building and rewriting its graph before it looks. Here the outermost function's
machine code is kept under what it depends on: the model's structure, this package's
source, the versions of the compilers, and the processor. A process that finds it
imports neither PyMC nor PyTensor to sample.
"""

import hashlib
import os
import pickle
import platform
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

__all__ = ["find_machine_code", "folder_of_machine_code", "keep_machine_code"]

DIGEST_SIZE = hashlib.sha256().digest_size
COMPILERS = ("pymc", "pytensor", "numba", "llvmlite", "numpy")


def folder_of_machine_code() -> Path:
    """Folder of the files: Numba's own cache folder where one is set, else the user's."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen) / "bayes_crlm"
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(caches) / "bayes_crlm"


def find_machine_code(structure: tuple[Any, ...]) -> int | None:
    """Load a density's machine code.

    Parameters
    ----------
    structure : tuple
        `ModelInputs.structure`.

    Returns
    -------
    int or None
        Its address; None when this machine has not compiled it, or not with these versions.
    """
    from numba.core.lowering import Environment
    from numba.core.registry import cpu_target
    from numba.core.runtime import nrt

    try:
        stored = file_of(structure).read_bytes()
    except OSError:
        return None
    digest, content = stored[:DIGEST_SIZE], stored[DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        # cut off or damaged: it is written anew
        return None
    state, name, environments = pickle.loads(content)
    # allocation of arrays is called by name from the loaded code
    nrt.rtsys.initialize(cpu_target.target_context)
    library = cpu_target.target_context.codegen().unserialize_library(state)
    for environment_name, constants in environments:
        environment = Environment({})
        environment.consts.extend(constants)
        library.codegen.set_env(environment_name, environment)
        loaded.append(environment)
    loaded.append(library)
    return library.get_pointer_to_function(name)


# what is loaded stays loaded: its addresses are in use
loaded: list[Any] = []


def keep_machine_code(function: Any, structure: tuple[Any, ...]) -> None:
    """Write a compiled density's machine code down for the next process.

    Parameters
    ----------
    function : numba dispatcher
        Called before, from PyTensor.
    structure : tuple
        `ModelInputs.structure`.
    """
    from numba.core.registry import cpu_target

    (signature,) = function.overloads
    stored = function._cache
    key = stored._index_key(signature, cpu_target.target_context.codegen())
    found = stored._cache_file.load(key)
    if found is None:
        # PyTensor could not keep it either: it holds an address of this process
        return
    state, descriptor, *_, referenced = found
    environments = [(each.env_name, list(each.consts)) for each in referenced]
    path = file_of(structure)
    # a folder that cannot be written to costs the next process its seconds, nothing else
    content = pickle.dumps((state, descriptor.llvm_func_name, environments))
    with suppress(OSError), new_file(path) as file:
        file.write(hashlib.sha256(content).digest() + content)


@contextmanager
def new_file(path: Path) -> Generator[Any]:
    """Write a file beside its place and move it there when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        try:
            yield file
        except BaseException:
            Path(file.name).unlink()
            raise
    Path(file.name).replace(path)


def file_of(structure: tuple[Any, ...]) -> Path:
    """File in which the machine code of a structure is kept."""
    text = repr((structure, *circumstances()))
    return folder_of_machine_code() / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.bin"


@cache
def circumstances() -> tuple[Any, ...]:
    """All that the machine code depends on beside the structure."""
    from numba.core.registry import cpu_target

    source = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        source.update(path.read_bytes())
    versions = tuple(version(name) for name in COMPILERS)
    processor = cpu_target.target_context.codegen().magic_tuple()
    return platform.python_version(), versions, processor, source.hexdigest()
