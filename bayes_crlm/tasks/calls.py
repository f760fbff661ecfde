"""A call that can be made anywhere, and how a worker makes it.

What a call returns depends on the call only: every call gets its own copy of the shared
value, linear algebra runs on one thread, and a process runs one call at a time.
"""

import hashlib
import json
import pickle
import platform
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bayes_crlm.tasks.blas_threads import one_blas_thread
from bayes_crlm.words.errors import BayesCRLMError, ExecutorError
from bayes_crlm.words.versions import installed_version


class Call(NamedTuple):
    """A function's dotted name, ``module:name``, and its keyword arguments as JSON."""

    function: str
    arguments: str


class Outcome(NamedTuple):
    """What a call came to: its value or a sentence, both as JSON, or a traceback."""

    status: Literal["value", "failure", "killed", "crash"]
    text: str


class ChunkReport(NamedTuple):
    """Outcomes of a chunk of calls, up to the first crash, and the seconds that one call took."""

    outcomes: list[Outcome]
    seconds_per_call: float


in_turn = threading.Lock()


def run_chunk(
    calls: Sequence[Call], shared: bytes | None, code: dict[str, str] | None = None
) -> ChunkReport:
    """Run calls one after the other, in this process.

    Parameters
    ----------
    calls : sequence of Call
        A crash ends the chunk.
    shared : bytes or None
        The pickled first argument of every call.
    code : dict, optional
        What `code_in_use` must say here.

    Raises
    ------
    ExecutorError
        When this process has other code than `code`.
    """
    if code is not None:
        refuse_other_code(code, code_in_use(), f"worker on {platform.node()}")
    outcomes: list[Outcome] = []
    started = time.perf_counter()
    # threads of a worker share libraries' settings and the warnings' filters
    with in_turn, every_library_on_one_thread():
        for call in calls:
            outcomes.append(run_call(call, shared))
            if outcomes[-1].status == "crash":
                break
    return ChunkReport(outcomes, (time.perf_counter() - started) / len(outcomes))


def run_call(call: Call, shared: bytes | None) -> Outcome:
    """Run one call; what it raises becomes its outcome."""
    try:
        function = find_function(call.function)
        arguments = json.loads(call.arguments)
        # a fresh copy each time: what one call changes in it, no other call sees
        first = () if shared is None else (pickle.loads(shared),)
        return Outcome("value", json.dumps(function(*first, **arguments)))
    except BayesCRLMError as problem:
        return Outcome("failure", json.dumps(str(problem)))
    except Exception:
        return Outcome("crash", traceback.format_exc())


def find_function(name: str) -> Any:
    """Find a function by its dotted name, ``module:name``."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


@contextmanager
def every_library_on_one_thread() -> Generator[None]:
    """Run linear algebra on one thread, SciPy's too."""
    import scipy.linalg  # noqa: F401  (brings the libraries that the limit is for)

    with one_blas_thread():
        yield


@cache
def code_in_use() -> dict[str, str]:
    """Versions that a result may depend on, and a digest of this package's own source."""
    source = hashlib.sha256()
    folder = Path(__file__).resolve().parents[1]
    for path in sorted(folder.rglob("*.py")):
        source.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    from bayes_crlm.words.version import VERSION

    return {
        "bayes_crlm": VERSION,
        "bayes_crlm's source": source.hexdigest()[:12],
        "Python": ".".join(platform.python_version_tuple()[:2]),
        "NumPy": installed_version("numpy") or "",
        "SciPy": installed_version("scipy") or "",
    }


def refuse_other_code(expected: dict[str, str], found: dict[str, str], where: str) -> None:
    """Refuse a worker whose numbers may differ from those of this process."""
    for name, wanted in expected.items():
        has = found.get(name, "none")
        if has != wanted:
            raise ExecutorError(
                f"{where} has {name} {has} and this process {wanted}: their numbers may differ; "
                "install the same versions on both"
            )
