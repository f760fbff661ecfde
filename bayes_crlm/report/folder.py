"""The one place that writes files: a result folder, whole or not at all."""

import ctypes
import errno
import json
import os
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from bayes_crlm.report.output_folder import (
    PARTIAL,
    PROOFS,
    SHARED,
    listed_files,
    reason_of,
    results_of,
)
from bayes_crlm.tasks.store import HELD
from bayes_crlm.words.errors import OutputError
from bayes_crlm.words.wording import shown_name

# Linux's renameat2: swap two paths, and paths are taken from the working folder
RENAME_EXCHANGE, AT_FDCWD = 2, -100
# how long to wait for a lock that runs hold for moments only
LOCK_SECONDS = 10.0


def replace_folder(
    folder: Path, write: Callable[[Path], None], is_ours: Callable[[str], bool]
) -> None:
    """Let files be written beside a folder, then put them in its place at once.

    Parameters
    ----------
    folder : Path
        From `check_output`; earlier results there are replaced, other files kept.
    write : callable
        Writes everything into the empty folder that it is given.
    is_ours : callable
        Whether a path within the folder, such as ``tables/cox.csv``, is an earlier result.

    Raises
    ------
    OutputError
        When writing fails, a full disk included; earlier results are then untouched.
    """
    from bayes_crlm.report.section import report_with_section

    made = []
    try:
        for parent in reversed([each for each in folder.parents if not each.exists()]):
            parent.mkdir(exist_ok=True)
            made.append(parent)
        with partial_folder(folder) as partial:
            try:
                write(partial)
                proofs = [name for name in PROOFS if (partial / name).exists()]
                report = report_with_section(partial, folder)
                if report is not None:
                    write_text(partial / "report.html", report)
                with locked(folder.parent, LOCK_SECONDS):
                    put_in_place(partial, folder, is_ours)
                require_whole(folder, proofs)
            except OSError as problem:
                if partial.is_dir() or folder.is_dir():
                    raise
                raise vanished("it") from problem
    except OSError as problem:
        for parent in reversed(made):
            with suppress(OSError):  # what others have put there meanwhile stays
                parent.rmdir()
        phrase = "earlier results, if any, are untouched: make room, or give another folder"
        if isinstance(problem, FileNotFoundError):
            phrase = "run again when nothing else changes that folder or those around it"
        raise OutputError(
            f"--out {shown_name(folder)}: writing failed ({reason_of(problem)}); {phrase}"
        ) from problem


def vanished(what: str) -> FileNotFoundError:
    """Say that something else removes files meanwhile."""
    return FileNotFoundError(errno.ENOENT, f"{what} was removed while results were written")


def require_whole(folder: Path, proofs: Iterable[str]) -> None:
    """Hold that every file that a summary lists is there.

    Parameters
    ----------
    folder : Path
        A folder that exists.
    proofs : iterable of str
        Names of the summaries that were written just now.

    Raises
    ------
    FileNotFoundError
        When something else removes files while they are written.
    """
    if not folder.is_dir():
        raise vanished("it")
    for proof in proofs:
        for name in sorted(listed_files(folder / proof) or ()):
            if not (folder / name).is_file():
                raise vanished(name)


@contextmanager
def partial_folder(folder: Path) -> Generator[Path, None, None]:
    """Make a folder beside `folder`, locked while it is ours and removed in the end."""
    with ExitStack() as until_removed:
        # one run at a time, so that none takes the other's new folder for an abandoned one
        with locked(folder.parent, LOCK_SECONDS) as is_alone:
            if is_alone:
                remove_abandoned(folder.parent)
            partial = folder.parent / f"{PARTIAL}{secrets.token_hex(6)}"
            # with what the umask, the group and the access list of the folder around give
            partial.mkdir()
            until_removed.enter_context(locked(partial))
        try:
            if folder.is_dir():
                take_access(partial, folder)
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def take_access(partial: Path, folder: Path) -> None:
    """Let the same people in as into the folder that is replaced."""
    before, group = folder.stat(), partial.stat()
    if before.st_gid != group.st_gid:
        with suppress(OSError):  # a group that this user is not of
            os.chown(partial, -1, before.st_gid)
    # chmod would clear the bit by which files belong to a shared folder's group
    partial.chmod(stat.S_IMODE(before.st_mode) | (group.st_mode & stat.S_ISGID))


def share_files(partial: Path, folder: Path) -> None:
    """Give new files the folder's group, and the access of the files that they replace."""
    group = partial.stat().st_gid
    for path in partial.rglob("*"):
        if path.stat().st_gid != group:
            with suppress(OSError):
                os.chown(path, -1, group)
        earlier = folder / path.relative_to(partial)
        if earlier.exists():
            mode = stat.S_IMODE(earlier.stat().st_mode)
            path.chmod(mode | (path.stat().st_mode & stat.S_ISGID))


@contextmanager
def locked(folder: Path, seconds: float = 0.0) -> Generator[bool, None, None]:
    """Hold a lock on a folder; gives whether it was had. A killed process holds none.

    Parameters
    ----------
    folder : Path
        A folder that exists.
    seconds : float
        How long to wait for it. Somebody else may hold it for ever, and some disks have no
        locks: then the work goes on without, and leaves alone what may be another run's.
    """
    try:
        import fcntl

        descriptor = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows; a folder that can be written but not read
        yield False
        return
    try:
        end = time.monotonic() + seconds
        is_had = False
        while not is_had:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_had = True
            except OSError as problem:
                if problem.errno not in HELD or time.monotonic() >= end:
                    break
                time.sleep(0.02)
        yield is_had
    finally:
        os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the half-written folders of runs that were killed."""
    for each in parent.glob(f"{PARTIAL}*"):
        with locked(each) as is_free:
            if is_free:
                shutil.rmtree(each, ignore_errors=True)


def names_of(figures: Iterable[str], tables: Iterable[str]) -> set[str]:
    """Paths of figures and tables within a result folder."""
    return {f"figures/{name}.svg" for name in figures} | {f"tables/{name}.csv" for name in tables}


def write_summary(folder: Path, name: str, summary: dict[str, Any], written: set[str]) -> None:
    """Write the summary, the last file, with a list of all that were written.

    Raises
    ------
    FileNotFoundError
        When one of them is gone.
    """
    listed = summary | {"files": sorted(written | {name})}
    text = json.dumps(listed, indent=2, allow_nan=False, ensure_ascii=False)
    write_text(folder / name, f"{text}\n")
    require_whole(folder, [name])


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; half a character pair, which has no UTF-8, becomes a question mark."""
    path.write_bytes(text.encode("utf-8", errors="replace"))


def put_in_place(partial: Path, folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Swap a filled folder with the old one, so that there is never none nor half of one."""
    if not folder.exists():
        partial.rename(folder)
        return
    share_files(partial, folder)
    is_result = results_of(folder)
    for entry in folder.iterdir():
        if entry.name not in SHARED or entry.is_symlink() or not entry.is_dir():
            # what was written anew stands for what was there before
            if not (is_ours(entry.name) or (partial / entry.name).exists()):
                keep(entry, partial / entry.name)
            continue
        for inner in entry.iterdir():
            path = f"{entry.name}/{inner.name}"
            is_replaced = (is_ours(path) and is_result(path)) or (partial / path).exists()
            if not is_replaced:
                (partial / entry.name).mkdir(exist_ok=True)
                keep(inner, partial / path)
    if exchange(partial, folder):
        return
    old = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder.parent))
    folder.rename(old / "old")
    try:
        partial.rename(folder)
    except BaseException:
        (old / "old").rename(folder)
        raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def keep(entry: Path, copy: Path) -> None:
    """Give a file of the user's a second name, or copy it where file systems have no links."""

    def link(source: str, destination: str) -> None:
        try:
            os.link(source, destination, follow_symlinks=False)
        except (OSError, NotImplementedError):  # not every system has links that are not followed
            shutil.copy2(source, destination, follow_symlinks=False)

    if entry.is_dir() and not entry.is_symlink():
        shutil.copytree(entry, copy, symlinks=True, copy_function=link)
    else:
        link(str(entry), str(copy))


def exchange(first: Path, second: Path) -> bool:
    """Swap two paths in one step; False where the system cannot."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return not renameat2(
        AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE
    )
