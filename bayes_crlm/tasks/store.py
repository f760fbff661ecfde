"""Finished results of tasks in a file, so that a run that was killed goes on where it stopped."""

import errno
import hashlib
import json
import os
import re
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bayes_crlm.tasks.calls import Outcome
from bayes_crlm.words.errors import OutputError
from bayes_crlm.words.wording import count_of, shown_name

HEADER = b'{"bayes_crlm_tasks": 2}\n'
ANY_HEADER = re.compile(rb'\{"bayes_crlm_tasks": (\d+)\}\n')
# a line: the digest of all that stands behind it, then the entry
CHECKED = re.compile(rb'\{"sha256": "([0-9a-f]{64})", (.*)')
# what a lock that another process holds answers; everything else means that there are no locks
HELD = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES})


def entry_line(digest: str, outcome: Outcome, code: str = "") -> bytes:
    """Write an entry with its checksum, as one line.

    Parameters
    ----------
    digest : str
        Of the task.
    outcome : Outcome
        Its value or failure.
    code : str
        Digest of the code that made it.
    """
    rest = (
        f'"task": "{digest}", "code": "{code}", "status": "{outcome.status}", '
        f'"result": {outcome.text}}}'
    ).encode()
    return b'{"sha256": "' + hashlib.sha256(rest).hexdigest().encode() + b'", ' + rest + b"\n"


def read_entry(line: bytes) -> tuple[str, str, Outcome] | None:
    """Read a line: task, code and outcome; None where it is not as it was written."""
    found = CHECKED.fullmatch(line)
    if found is None or hashlib.sha256(found[2]).hexdigest().encode() != found[1]:
        return None
    entry = json.loads(line)
    return entry["task"], entry["code"], Outcome(entry["status"], json.dumps(entry["result"]))


class TaskStore:
    """An open store: one line of JSON for each finished task, with a checksum.

    Attributes
    ----------
    found : dict of str to Outcome
        By the tasks' digests: what earlier runs finished.
    notes : list of str
        What a user has to know of the file: results in it that cannot be used.
    """

    def __init__(self, file: BinaryIO, where: str, code: str = "") -> None:
        """Read an open and locked file; what a killed run wrote of its last line is removed."""
        self.file, self.where, self.code = file, where, code
        self.found: dict[str, Outcome] = {}
        self.notes: list[str] = []
        content = file.read()
        header = ANY_HEADER.match(content)
        if HEADER.startswith(content):  # new, or killed while this line was written
            self.write_anew(())
        elif header is not None and header[0] != HEADER:
            self.notes.append(
                f"{where}: was written by another version of bayes_crlm; its results are computed "
                "again"
            )
            self.write_anew(())
        else:
            self.read_lines(content, is_headed=header is not None)

    def read_lines(self, content: bytes, *, is_headed: bool) -> None:
        """Take over what is whole; what is damaged is removed, and computed again when asked for.

        Raises
        ------
        OutputError
            When nothing in the file is an entry: it is something else, and left alone.
        """
        whole = content[: content.rfind(b"\n") + 1]
        lines = whole.split(b"\n")[is_headed:-1]
        entries = [read_entry(line) for line in lines]
        if not is_headed and not any(entries):
            raise OutputError(
                f"{self.where}: does not hold results of tasks; remove it, or give another file"
            )
        kept = [entry for entry in entries if entry is not None]
        self.found = {digest: outcome for digest, _, outcome in kept}
        n_damaged = len(lines) - len(kept)
        n_other = sum(code != self.code for _, code, _ in kept)
        if n_damaged:
            is_or_are = "is" if n_damaged == 1 else "are"
            self.notes.append(
                f"{self.where}: {n_damaged} of its {count_of(len(lines), 'line')} {is_or_are} "
                "damaged (the checksum does not fit); those results are computed again"
            )
            self.write_anew(entry_line(d, o, c) for d, c, o in kept)
        else:
            self.file.truncate(len(whole))
        if n_other:
            self.notes.append(
                f"{self.where}: {n_other} of its results come from other code (bayes_crlm, Python, "
                "NumPy, SciPy or the kernel of linear algebra); those that are asked for are "
                "computed again"
            )

    def write_anew(self, lines: Iterable[bytes]) -> None:
        """Replace what the file holds."""
        self.file.truncate(0)
        self.write(HEADER + b"".join(lines))

    def add(self, entries: Iterable[tuple[str, Outcome]]) -> None:
        """Write finished tasks, and return when the disk has them.

        Parameters
        ----------
        entries : iterable of (digest, outcome)
            Those of tasks that have neither a value nor a failure are not kept.
        """
        self.write(
            b"".join(
                entry_line(digest, outcome, self.code)
                for digest, outcome in entries
                if outcome.status in ("value", "failure")
            )
        )

    def write(self, text: bytes) -> None:
        """Append bytes and wait for the disk."""
        try:
            self.file.write(text)
            self.file.flush()
            os.fsync(self.file.fileno())
        except OSError as problem:
            raise OutputError(f"{self.where}: cannot be written ({problem.strerror})") from problem


@contextmanager
def open_store(path: str | os.PathLike[str], code: str = "") -> Generator[TaskStore]:
    """Open a store for one run; a second run on the same file is refused.

    Parameters
    ----------
    path : path or str
        A file; it and its folder need not exist yet.
    code : str
        Digest of the code that makes results now.

    Raises
    ------
    OutputError
        When it cannot be written, is not a store, or is in use by another run.
    """
    where = f"store {shown_name(os.fspath(path))}"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        file = open(path, "a+b")  # noqa: SIM115  (closed below, after the lock is had)
    except OSError as problem:
        raise OutputError(f"{where}: cannot be written ({problem.strerror})") from problem
    with file:
        is_locked = lock(file, where)
        file.seek(0)
        store = TaskStore(file, where, code)
        if not is_locked:
            store.notes.append(
                f"{where}: is on a disk without file locks; do not let another run use it at the "
                "same time"
            )
        yield store


def lock(file: BinaryIO, where: str) -> bool:
    """Hold a file for this process alone; the system lets go of it when the process ends.

    Returns
    -------
    bool
        Whether it is held; False where the disk has no locks.

    Raises
    ------
    OutputError
        When another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no such locks on Windows
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        if problem.errno not in HELD:
            return False
        raise OutputError(
            f"{where}: is in use by another run; wait until that ends, or give another file"
        ) from problem
    return True
