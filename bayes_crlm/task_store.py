"""Finished results of tasks in a file, so that a run that was killed goes on where it stopped."""

import json
import os
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bayes_crlm.calls import Outcome
from bayes_crlm.errors import OutputError
from bayes_crlm.wording import shown_name

__all__ = ["TaskStore", "open_store"]

HEADER = b'{"bayes_crlm_tasks": 1}\n'


class TaskStore:
    """An open store: one line of JSON for each finished task, only ever added to.

    Attributes
    ----------
    found : dict of str to Outcome
        By the tasks' digests: what earlier runs finished.
    """

    def __init__(self, file: BinaryIO, where: str) -> None:
        """Read an open and locked file; what a killed run wrote of its last line is removed."""
        self.file, self.where = file, where
        self.found: dict[str, Outcome] = {}
        content = file.read()
        if HEADER.startswith(content):  # new, or killed while this line was written
            file.truncate(0)
            self.write(HEADER)
            return
        if not content.startswith(HEADER):
            raise OutputError(f"{where}: holds something else than results; give another file")
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
        for number, line in enumerate(whole.splitlines()[1:], start=2):
            try:
                entry = json.loads(line)
                self.found[entry["task"]] = Outcome(entry["status"], json.dumps(entry["result"]))
            except (ValueError, KeyError, TypeError) as problem:
                raise OutputError(
                    f"{where}: line {number} is damaged; remove the line, or the file to begin anew"
                ) from problem

    def add(self, entries: Iterable[tuple[str, Outcome]]) -> None:
        """Write finished tasks, and return when the disk has them.

        Parameters
        ----------
        entries : iterable of (digest, outcome)
            Of tasks that have a value or a failure.
        """
        lines = [
            f'{{"task": "{digest}", "status": "{outcome.status}", "result": {outcome.text}}}\n'
            for digest, outcome in entries
        ]
        self.write("".join(lines).encode())

    def write(self, text: bytes) -> None:
        """Append bytes and wait for the disk."""
        try:
            self.file.write(text)
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as problem:
            raise OutputError(f"{self.where}: cannot be written ({problem.strerror})") from problem


@contextmanager
def open_store(path: str | os.PathLike[str]) -> Generator[TaskStore]:
    """Open a store for one run; a second run on the same file is refused.

    Parameters
    ----------
    path : path or str
        A file; it and its folder need not exist yet.

    Raises
    ------
    OutputError
        When it cannot be written, is no store, or is in use by another run.
    """
    where = f"store {shown_name(os.fspath(path))}"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")  # noqa: SIM115  (closed below, after the lock is had)
    except OSError as problem:
        raise OutputError(f"{where}: cannot be written ({problem.strerror})") from problem
    with file:
        lock(file, where)
        file.seek(0)
        yield TaskStore(file, where)


def lock(file: BinaryIO, where: str) -> None:
    """Hold a file for this process alone; the system lets go of it when the process ends."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        raise OutputError(
            f"{where}: is in use by another run; wait until that ends, or give another file"
        ) from problem
