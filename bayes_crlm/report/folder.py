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
from typing import TYPE_CHECKING, Any

from bayes_crlm.report.output_folder import (
    PARTIAL,
    PROOFS,
    SHARED,
    check_output,
    is_of_part,
    is_of_run,
    is_of_sensitivity,
    listed_files,
    reason_of,
    results_of,
)
from bayes_crlm.report.spreadsheets import for_spreadsheets
from bayes_crlm.specification.source_paths import spec_seen_from
from bayes_crlm.tasks.store import HELD
from bayes_crlm.words.errors import OutputError
from bayes_crlm.words.wording import shown_name

if TYPE_CHECKING:
    from bayes_crlm.analysis.run import Analysis

__all__ = [
    "check_output",
    "is_of_part",
    "is_of_run",
    "is_of_sensitivity",
    "names_of",
    "replace_folder",
    "write_results",
    "write_summary",
]

# Linux's renameat2: swap two paths, and paths are taken from the working folder
RENAME_EXCHANGE, AT_FDCWD = 2, -100
# how long to wait for a lock that runs hold for moments only
LOCK_SECONDS = 10.0
# tables of the analysis as treated, which say so where patients waited for treatment
AS_TREATED = (
    *("hazard_ratios", "coefficients", "log_hazard", "cox", "agreement", "crude", "survival"),
    *("median_survival", "rmst", "differences", "expected_events", "kaplan_meier"),
)


def write_results(analysis: "Analysis", summary: dict[str, Any], folder: Path) -> Path:
    """Write all result files beside `folder`, then put them in its place at once.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.
    summary : dict
        From `bayes_crlm.analysis.summary.summarise`.
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
        told = "earlier results, if any, are untouched: make room, or give another folder"
        if isinstance(problem, FileNotFoundError):
            told = "run again when nothing else changes that folder or those around it"
        raise OutputError(
            f"--out {shown_name(folder)}: writing failed ({reason_of(problem)}); {told}"
        ) from problem


def vanished(what: str) -> FileNotFoundError:
    """Say that something else removes files meanwhile."""
    return FileNotFoundError(errno.ENOENT, f"{what} was removed while results were written")


def require_whole(folder: Path, proofs: Iterable[str]) -> None:
    """Hold that every file that a summary lists is there.

    Parameters
    ----------
    folder : Path
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


def fill(folder: Path, analysis: "Analysis", summary: dict[str, Any]) -> None:
    """Write every result file into an empty folder, and its time into the summary."""
    from bayes_crlm.figures.drawing import for_files
    from bayes_crlm.report.page import render_report
    from bayes_crlm.report.run_figures import draw_figures

    started = time.perf_counter()
    with for_files():
        figures = draw_figures(analysis, summary)
    (folder / "figures").mkdir()
    for name, svg in figures.items():
        write_text(folder / "figures" / f"{name}.svg", svg)
    (folder / "tables").mkdir()
    made = tables(analysis)
    for name, table in made.items():
        for_spreadsheets(table).to_csv(folder / "tables" / f"{name}.csv", index=False)
    write_posterior(tree_of(analysis, summary), folder / "posterior.nc")
    write_text(folder / "spec.toml", spec_seen_from(analysis.spec, folder).to_toml())
    write_text(folder / "report.html", render_report(analysis, summary, figures))
    # last, so that it can say how long all the others took
    now = time.perf_counter()
    summary["provenance"]["seconds"] |= {"report": now - started, "total": now - analysis.began}
    written = {"posterior.nc", "spec.toml", "report.html"}
    write_summary(folder, "summary.json", summary, written | names_of(figures, made))


def read_with_draws(summary: dict[str, Any]) -> dict[str, Any]:
    """Gather what has to be read with the draws: attributes of every group of posterior.nc."""
    reasons = [
        f"{row['treatment']} against {row['reference']}: {row['withdrawn']}"
        for row in summary["answers"]
        if row["withdrawn"]
    ]
    return {
        "title": summary["title"],
        "status": summary["status"],
        **({"caution": summary["caution"]} if summary["caution"] else {}),
        **({"withdrawn": "; ".join(reasons)} if reasons else {}),
    }


def tree_of(analysis: "Analysis", summary: dict[str, Any]) -> Any:
    """Complete the DataTree of draws by what is read with it, and by starts of treatment."""
    import xarray as xr

    from bayes_crlm.fit.late_start_tables import start_dataset
    from bayes_crlm.fit.tree import described
    from bayes_crlm.words.late_start import draws_in_words

    tree, told, start = analysis.fit.posterior, read_with_draws(summary), summary["start"]
    if start is None:
        return described(tree, told)
    told["analysis"] = draws_in_words(start)
    groups = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    found = start_dataset(start)
    found = found.assign_attrs(groups["posterior"].attrs | found.attrs)
    return described(xr.DataTree.from_dict(groups | {"treatment_start": found}), told)


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


def write_posterior(posterior: Any, path: Path) -> None:
    """Write the DataTree as netCDF; the library's own errors become those of the disk."""
    try:
        posterior.to_netcdf(path, engine="netcdf4")
    except RuntimeError as problem:
        raise OSError(errno.EIO, f"posterior.nc: {problem}") from problem


def tables(analysis: "Analysis") -> dict[str, Any]:
    """Result tables by file name."""
    import pandas as pd

    from bayes_crlm.fit.late_start_tables import start_table
    from bayes_crlm.fit.observed_survival import kaplan_meier_distances
    from bayes_crlm.fit.prior_meaning import implied_rows
    from bayes_crlm.model.column_counts import column_rows

    fit, estimands = analysis.fit, analysis.spec.estimands
    horizons = list(estimands.horizons or [])
    ratios = fit.hazard_ratios(estimands.hr_thresholds, analysis.spec.success.rule)
    is_withdrawn = [bool(row["withdrawn"]) for row in analysis.beside.answers][: len(ratios)]
    made = {
        "hazard_ratios": ratios.assign(
            conclusion=ratios["conclusion"].mask(is_withdrawn, "withdrawn")
        ),
        "coefficients": fit.coefficients(estimands.hr_thresholds),
        "log_hazard": fit.log_hazard(),
        "cox": fit.cox.to_table().reset_index(),
        "agreement": pd.DataFrame(analysis.agreement),
        "median_survival": fit.median_survival(),
        "differences": fit.differences(horizons, estimands.rmst),
        "expected_events": fit.expected_events(),
        "kaplan_meier_distance": pd.DataFrame(kaplan_meier_distances(fit)),
    }
    made["answers"] = pd.json_normalize(analysis.beside.answers, sep="_", max_level=1)
    made["prior_implied"] = pd.DataFrame(implied_rows(analysis.inputs))
    made["levels"] = pd.DataFrame(column_rows(analysis.inputs)).assign(
        terms=lambda rows: rows["terms"].map(", ".join)
    )
    for name, rows in (
        ("crude", analysis.beside.crude),
        ("finer_intervals", analysis.beside.finer),
    ):
        if rows:
            made[name] = pd.DataFrame(rows)
    if fit.entry_weight_rows:
        made["entry_weights"] = fit.entry_weights()
    if horizons:
        made["survival"] = fit.survival(horizons)
        made["kaplan_meier"] = fit.kaplan_meier(horizons)
    if estimands.rmst is not None:
        made["rmst"] = fit.rmst(estimands.rmst)
    if analysis.start is not None:
        made["start"] = start_table(analysis.start)
    if analysis.start is not None and analysis.start["n_waited"]:
        made |= {
            name: made[name].assign(treatment_counts="from time zero on")
            for name in AS_TREATED
            if name in made
        }
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
