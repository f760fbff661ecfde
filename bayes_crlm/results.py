"""The one place that writes files: a result folder, whole or not at all."""

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.errors import OutputError

if TYPE_CHECKING:
    from bayes_crlm.analysis import Analysis

__all__ = ["check_output", "write_results"]

OURS = ("summary.json", "posterior.nc", "report.html", "tables", "figures", "spec.toml")


def check_output(folder: Path) -> None:
    """Refuse, before any work is done, a folder that results cannot be written to.

    Parameters
    ----------
    folder : Path
        Where results are to go; it need not exist yet.

    Raises
    ------
    OutputError
        When it is a file, holds other files and no earlier results, or cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--out {folder}: is a file; give a folder")
    if folder.is_dir():
        try:
            held = [entry.name for entry in folder.iterdir()]
        except OSError as problem:
            raise OutputError(
                f"--out {folder}: cannot be read ({problem.strerror}); give another folder"
            ) from problem
        if held and "summary.json" not in held:
            raise OutputError(
                f"--out {folder}: holds other files ({held[0]!r}) and no earlier results; "
                "give a new or empty folder"
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        probe = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        probe.rmdir()
        if folder.is_dir() and not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as problem:
        raise OutputError(
            f"--out {folder}: cannot be written ({problem.strerror}); give a folder you may write"
        ) from problem


def write_results(analysis: "Analysis", summary: dict[str, Any], folder: Path) -> Path:
    """Write all result files beside `folder`, then put them in its place at once.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.
    summary : dict
        From `bayes_crlm.summary.summarise`.
    folder : Path
        Where the results go; earlier results there are replaced, other files kept.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    OutputError
        When writing fails, a full disk included; earlier results are then untouched.
    """
    try:
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            fill(partial, analysis, summary)
            partial.chmod(0o755)
            put_in_place(partial, folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as problem:
        raise OutputError(
            f"--out {folder}: writing failed ({problem.strerror or problem}); "
            "earlier results, if any, are untouched: make room or give another folder"
        ) from problem
    return folder / "report.html"


def fill(folder: Path, analysis: "Analysis", summary: dict[str, Any]) -> None:
    """Write every result file into an empty folder."""
    from bayes_crlm.figures import draw_figures
    from bayes_crlm.report import render_report

    figures = draw_figures(analysis, summary)
    (folder / "figures").mkdir()
    for name, svg in figures.items():
        (folder / "figures" / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / "tables").mkdir()
    for name, table in tables(analysis).items():
        table.to_csv(folder / "tables" / f"{name}.csv", index=False)
    analysis.fit.posterior.to_netcdf(folder / "posterior.nc", engine="netcdf4")
    (folder / "spec.toml").write_text(analysis.spec.to_toml(), encoding="utf-8")
    (folder / "report.html").write_text(
        render_report(analysis, summary, figures), encoding="utf-8"
    )
    (folder / "summary.json").write_text(
        json.dumps(summary, indent=2, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def tables(analysis: "Analysis") -> dict[str, Any]:
    """Result tables by file name."""
    import pandas as pd

    fit, estimands = analysis.fit, analysis.spec.estimands
    horizons = list(estimands.horizons or [])
    made = {
        "hazard_ratios": fit.hazard_ratios(estimands.hr_thresholds),
        "coefficients": fit.coefficients(estimands.hr_thresholds),
        "log_hazard": fit.log_hazard(),
        "cox": fit.cox.to_table(),
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


def put_in_place(partial: Path, folder: Path) -> None:
    """Swap a filled folder in for the old one; what is not a result file is carried over."""
    if not folder.exists():
        partial.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    old.rmdir()
    folder.rename(old)
    try:
        partial.rename(folder)
    except BaseException:
        old.rename(folder)
        raise
    for entry in old.iterdir():
        if entry.name not in OURS:
            entry.rename(folder / entry.name)
    shutil.rmtree(old)
