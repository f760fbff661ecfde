"""The one place that writes files: a result folder, whole or not at all."""

import ctypes
import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import OutputError
from bayes_crlm.wording import shown_name

if TYPE_CHECKING:
    from bayes_crlm.analysis import Analysis

__all__ = ["check_output", "is_of_sensitivity", "replace_folder", "write_results"]

OURS = frozenset({"summary.json", "posterior.nc", "report.html", "tables", "figures", "spec.toml"})
# of a sensitivity analysis; its tables and figures begin with the name of a part
OURS_OF_SENSITIVITY = frozenset({"sensitivity.json", "sensitivity.html", "sensitivity.toml"})
SHARED = frozenset({"tables", "figures"})
PROOFS = frozenset({"summary.json", "sensitivity.json"})
PARTIAL = ".bayes-crlm-partial-"
# Linux's renameat2: swap two paths, and paths are taken from the working folder
RENAME_EXCHANGE, AT_FDCWD = 2, -100


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
        raise OutputError(f"{where}: is no name of a folder; give one")
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
        raise OutputError(f"{where}: is no name of a folder ({problem}); give one") from problem
    return path


def check_place(path: Path, where: str) -> None:
    """Refuse what is no folder of ours, and try whether a folder can be made beside it."""
    try:
        os.stat(path)
    except FileNotFoundError:
        held = None
    else:
        if not path.is_dir():
            raise OutputError(f"{where}: is a file; give a folder")
        held = sorted(entry.name for entry in path.iterdir())
    if held and PROOFS.isdisjoint(held):
        raise OutputError(
            f"{where}: holds other files ({shown_name(held[0])}) and no earlier results; "
            "give a new or empty folder"
        )
    if held is not None:
        if path == Path.cwd() or path in Path.cwd().parents:
            raise OutputError(
                f"{where}: is the folder you are in, or one around it, and would be replaced; "
                "give another folder"
            )
        if os.path.ismount(path):
            raise OutputError(
                f"{where}: is where a disk is mounted and cannot be replaced as a whole; "
                f"give a folder in it, such as {shown_name(path / 'results')}"
            )
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    beside = path.parent
    while not os.path.lexists(beside):
        beside = beside.parent
    os.rmdir(tempfile.mkdtemp(prefix=PARTIAL, dir=beside))


def reason_of(problem: OSError) -> str:
    """Say the operating system's reason in its own words."""
    return problem.strerror or str(problem) or type(problem).__name__


def write_results(analysis: "Analysis", summary: dict[str, Any], folder: Path) -> Path:
    """Write all result files beside `folder`, then put them in its place at once.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.
    summary : dict
        From `bayes_crlm.summary.summarise`.
    folder : Path
        From `check_output`; earlier results there are replaced, other files kept.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    OutputError
        When writing fails, a full disk included; earlier results are then untouched.
    """
    replace_folder(folder, lambda partial: fill(partial, analysis, summary), is_of_run)
    return folder / "report.html"


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
    from bayes_crlm.sensitivity.parts import PARTS

    return name.startswith(tuple(f"{part}{mark}" for part in PARTS for mark in "._"))


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
    from bayes_crlm.sensitivity.report_section import report_with_section

    made = []
    try:
        for parent in reversed([each for each in folder.parents if not each.exists()]):
            parent.mkdir(exist_ok=True)
            made.append(parent)
        with partial_folder(folder) as partial:
            write(partial)
            report = report_with_section(partial, folder)
            if report is not None:
                write_text(partial / "report.html", report)
            with locked(folder.parent, wait=True):
                put_in_place(partial, folder, is_ours)
    except OSError as problem:
        for parent in reversed(made):
            if not any(parent.iterdir()):
                parent.rmdir()
        raise OutputError(
            f"--out {shown_name(folder)}: writing failed ({reason_of(problem)}); earlier results, "
            "if any, are untouched: make room, or give another folder"
        ) from problem


@contextmanager
def partial_folder(folder: Path) -> Generator[Path, None, None]:
    """Make a folder beside `folder`, locked while it is ours and removed in the end."""
    with ExitStack() as until_removed:
        # one run at a time, so that none takes the other's new folder for an abandoned one
        with locked(folder.parent, wait=True):
            remove_abandoned(folder.parent)
            partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder.parent))
            until_removed.enter_context(locked(partial))
        try:
            if folder.is_dir():
                partial.chmod(folder.stat().st_mode & 0o7777)
            else:
                # mkdtemp lets nobody else in, whatever the user's umask allows
                umask = os.umask(0)
                os.umask(umask)
                partial.chmod(0o777 & ~umask)
            yield partial
        finally:
            shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def locked(folder: Path, *, wait: bool = False) -> Generator[bool, None, None]:
    """Hold a lock on a folder; gives whether it was free. A killed process holds none."""
    try:
        import fcntl
    except ImportError:  # no such locks on Windows: nothing is ever taken for abandoned
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            is_free = True
        except OSError:
            is_free = False
        yield is_free
    finally:
        os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the half-written folders of runs that were killed."""
    for each in parent.glob(f"{PARTIAL}*"):
        try:
            with locked(each) as is_free:
                if is_free:
                    shutil.rmtree(each, ignore_errors=True)
        except OSError:
            continue


def fill(folder: Path, analysis: "Analysis", summary: dict[str, Any]) -> None:
    """Write every result file into an empty folder, and its time into the summary."""
    from bayes_crlm.figures import draw_figures
    from bayes_crlm.report import render_report

    started = time.perf_counter()
    figures = draw_figures(analysis, summary)
    (folder / "figures").mkdir()
    for name, svg in figures.items():
        write_text(folder / "figures" / f"{name}.svg", svg)
    (folder / "tables").mkdir()
    for name, table in tables(analysis).items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    write_posterior(analysis.fit.posterior, folder / "posterior.nc")
    write_text(folder / "spec.toml", analysis.spec.to_toml())
    write_text(folder / "report.html", render_report(analysis, summary, figures))
    # last, so that it can say how long all the others took
    now = time.perf_counter()
    summary["provenance"]["seconds"] |= {"report": now - started, "total": now - analysis.began}
    write_text(
        folder / "summary.json",
        json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n",
    )


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; half a character pair, which has no UTF-8, becomes a question mark."""
    path.write_bytes(text.encode("utf-8", errors="replace"))


def write_posterior(posterior: Any, path: Path) -> None:
    """Write the DataTree as netCDF; the library's own errors become those of the disk."""
    try:
        posterior.to_netcdf(path, engine="netcdf4")
    except RuntimeError as problem:
        raise OSError(errno.EIO, f"posterior.nc: {problem}") from problem


def tables(analysis: "Analysis") -> dict[str, Any]:
    """Result tables by file name."""
    import pandas as pd

    fit, estimands = analysis.fit, analysis.spec.estimands
    horizons = list(estimands.horizons or [])
    made = {
        "hazard_ratios": fit.hazard_ratios(estimands.hr_thresholds, analysis.spec.success.rule),
        "coefficients": fit.coefficients(estimands.hr_thresholds),
        "log_hazard": fit.log_hazard(),
        "cox": fit.cox.to_table().reset_index(),
        "agreement": pd.DataFrame(analysis.agreement),
        "median_survival": fit.median_survival(),
        "differences": fit.differences(horizons, estimands.rmst),
    }
    if horizons:
        made["survival"] = fit.survival(horizons)
    if estimands.rmst is not None:
        made["rmst"] = fit.rmst(estimands.rmst)
    if analysis.inputs.cohort.is_synthetic:
        made = {
            name: table.assign(data="synthetic, not patient data") for name, table in made.items()
        }
    return made


def put_in_place(partial: Path, folder: Path, is_ours: Callable[[str], bool]) -> None:
    """Swap a filled folder with the old one, so that there is never none nor half of one."""
    if not folder.exists():
        partial.rename(folder)
        return
    for entry in folder.iterdir():
        if entry.name not in SHARED or entry.is_symlink() or not entry.is_dir():
            # what was written anew stands for what was there before
            if not (is_ours(entry.name) or (partial / entry.name).exists()):
                keep(entry, partial / entry.name)
            continue
        for inner in entry.iterdir():
            path = f"{entry.name}/{inner.name}"
            if not is_ours(path):
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
        except OSError:
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
