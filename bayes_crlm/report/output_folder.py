"""What a result folder may be, and which of the files in it are results.

Only results are ever replaced. What a command writes is listed in its summary, under ``files``; in
``tables`` and ``figures`` everything that is not listed there is the user's own.
"""

import errno
import json
import os
import re
import stat
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from bayes_crlm.words.errors import BayesCRLMError, OutputError
from bayes_crlm.words.wording import shown_name

OURS = frozenset({"summary.json", "posterior.nc", "report.html", "tables", "figures", "spec.toml"})
# of a sensitivity analysis; its tables and figures begin with the name of a part
OURS_OF_SENSITIVITY = frozenset({"sensitivity.json", "sensitivity.html", "sensitivity.toml"})
SHARED = frozenset({"tables", "figures"})
PROOFS = ("summary.json", "sensitivity.json")
PARTIAL = ".bayes-crlm-partial-"
# what `run` wrote before summaries listed their files; by these leftovers are known as well
UNLISTED = frozenset(
    {f"tables/{name}.csv" for name in (
        "hazard_ratios", "coefficients", "log_hazard", "cox", "agreement", "median_survival",
        "differences", "survival", "rmst",
    )}
    | {f"figures/{name}.svg" for name in (
        "forest", "survival", "hazard", "prior_posterior", "prior_survival", "ranks", "predictive",
    )}
)  # fmt: skip
# what workflows, shells and file managers put into a folder before a command writes to it
MARKS = re.compile(r"\..*|.*\.(log|out|err)|(log|stdout|stderr)(\.txt)?|logs?|benchmarks?")


def is_of_run(path: str) -> bool:
    """Whether a path in a result folder is one of those that `run` writes."""
    first, _, inner = path.partition("/")
    return first in OURS and not is_of_part(inner)


def is_of_sensitivity(path: str) -> bool:
    """Whether a path in a result folder is one of those that `sensitivity` writes."""
    first, _, inner = path.partition("/")
    return first in OURS_OF_SENSITIVITY or (first in SHARED and is_of_part(inner))


def is_of_part(name: str) -> bool:
    """Whether a table or a figure is called after a part of a sensitivity analysis."""
    from bayes_crlm.sensitivity.registry import PARTS

    return name.startswith(
        tuple(f"{part}{mark}" for part in (*PARTS, "sensitivity") for mark in "._")
    )


def listed_files(proof: Path) -> frozenset[str] | None:
    """Read which files a command has written.

    Parameters
    ----------
    proof : Path
        A ``summary.json`` or ``sensitivity.json``.

    Returns
    -------
    frozenset of str or None
        Paths within the folder; None where the file is not there or lists none.
    """
    try:
        files = json.loads(proof.read_bytes())["files"]
        return frozenset(map(str, files))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def results_of(folder: Path) -> Callable[[str], bool]:
    """Tell results in a folder's ``tables`` and ``figures`` from files of the user's own.

    Parameters
    ----------
    folder : Path
        With earlier results, or none.

    Returns
    -------
    callable
        Whether a path within the folder, such as ``tables/cox.csv``, was written as a result.
    """
    run, sensitivity = (listed_files(folder / proof) for proof in PROOFS)
    # of a version without lists every table and figure of a part's name
    is_unlisted = sensitivity is None and (folder / "sensitivity.json").exists()
    known = (UNLISTED if run is None else run) | (sensitivity or frozenset())

    def is_result(path: str) -> bool:
        if path in known:
            return True
        return is_unlisted and is_of_sensitivity(path) and path.endswith((".csv", ".svg"))

    return is_result


def check_output(folder: str | os.PathLike[str]) -> Path:
    """Refuse, before any work is done, a folder that results cannot be written to.

    Nothing is left behind: folders that do not exist yet are made when results are written.

    Parameters
    ----------
    folder : path or str
        Where results are to go; it need not exist yet. A link to a folder stays a link.

    Returns
    -------
    Path
        The folder, absolute and without links.

    Raises
    ------
    OutputError
        When it is a file, holds other files and no earlier results, or cannot be written.
    """
    text = os.fspath(folder)
    where = f"--out {shown_name(text) if text else repr(text)}"
    if not text.strip():
        raise OutputError(f"{where}: is not a valid folder name; give one")
    try:
        path = Path(os.path.realpath(os.path.expanduser(text)))
        check_place(path, where)
    except OutputError:
        raise
    except OSError as problem:
        raise OutputError(
            f"{where}: cannot be written ({reason_of(problem)}); give a folder that you may write"
        ) from problem
    except ValueError as problem:  # a zero byte, or what the file system cannot spell
        raise OutputError(f"{where}: is not a valid folder name ({problem}); give one") from problem
    return path


def check_place(path: Path, where: str) -> None:
    """Refuse what is not a folder of ours, and try whether a folder can be made beside it."""
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    else:
        if not path.is_dir():
            raise OutputError(f"{where}: is a file; give a folder")
        check_folder(path, where)
    beside = path.parent
    while not os.path.lexists(beside):
        beside = beside.parent
    os.rmdir(tempfile.mkdtemp(prefix=PARTIAL, dir=beside))


def check_folder(path: Path, where: str) -> None:
    """Refuse a folder of somebody else's, and one that cannot be replaced as a whole."""
    entries = sorted(path.iterdir())
    foreign = foreign_entries(entries)
    if foreign:
        raise OutputError(
            f"{where}: holds other files ({shown_name(foreign[0].name)}) and no earlier results; "
            "give a new or empty folder"
        )
    if path == working_folder() or path in working_folder().parents:
        raise OutputError(
            f"{where}: is the folder you are in, or one around it, and would be replaced; "
            "give another folder"
        )
    if os.path.ismount(path):
        raise OutputError(
            f"{where}: is where a disk is mounted and cannot be replaced as a whole; "
            f"give a folder in it, such as {shown_name(path / 'results')}"
        )
    if not os.access(path, os.W_OK | os.X_OK) or not may_be_renamed(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    for entry in entries:
        # what is not a result is taken over into the new folder
        if not (entry.is_symlink() or os.access(entry, os.R_OK)):
            raise OutputError(
                f"{where}: holds {shown_name(entry.name)}, which you may not read, so that it "
                "cannot be kept; give another folder"
            )


def foreign_entries(entries: Iterable[Path]) -> list[Path]:
    """Find what speaks against a folder: files of others, where nothing shows results of ours.

    Workflows remove the outputs that a rule names and leave the others, so one result is enough;
    and they, and shells, put files of their own there before a command begins.
    """
    entries = list(entries)
    if any(entry.name in PROOFS or is_known(entry) for entry in entries):
        return []
    return [entry for entry in entries if not is_mark(entry)]


def is_known(entry: Path) -> bool:
    """Whether an entry of a result folder shows by what it holds that we wrote it."""
    name = entry.name
    try:
        if name in SHARED:
            return any(f"{name}/{inner.name}" in UNLISTED for inner in entry.iterdir())
        if name in ("report.html", "sensitivity.html"):
            return b"bayes_crlm" in entry.read_bytes()
        if name in ("spec.toml", "sensitivity.toml"):
            return is_resolved(entry)
        # the names of its dimensions and variables are the package's
        return name == "posterior.nc" and b"log_hazard" in entry.read_bytes()
    except OSError:
        return False


def is_resolved(path: Path) -> bool:
    """Whether a spec is one that was written among results: with every default spelled out."""
    from bayes_crlm.sensitivity.spec import read_spec
    from bayes_crlm.specification.spec import without_cutpoints_used

    try:
        text = without_cutpoints_used(path.read_text(encoding="utf-8"))
        return read_spec(path).to_toml() == text
    except (BayesCRLMError, ValueError):
        return False


def is_mark(entry: Path) -> bool:
    """Whether a file is a workflow's mark, a log, or empty: it is kept, and nobody's work."""
    if MARKS.fullmatch(entry.name) and not (entry.name.startswith(".") and entry.is_dir()):
        return True
    return entry.is_file() and not entry.stat().st_size and entry.name not in OURS


def may_be_renamed(path: Path) -> bool:
    """Whether the sticky bit of the folder around lets this user rename one in it."""
    if not hasattr(os, "geteuid"):
        return True
    around, user = path.parent.stat(), os.geteuid()
    return not around.st_mode & stat.S_ISVTX or user in (0, around.st_uid, path.stat().st_uid)


def working_folder() -> Path:
    """The folder that the process is in; the root where it was removed."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.sep)


def reason_of(problem: OSError) -> str:
    """Say the operating system's reason in its own words."""
    return problem.strerror or str(problem) or type(problem).__name__
