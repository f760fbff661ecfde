"""Result files of a run: every section's rows and figures, the draws, the report."""

import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.report.folder import names_of, replace_folder, write_summary, write_text
from bayes_crlm.report.netcdf import write_groups
from bayes_crlm.report.output_folder import is_of_run
from bayes_crlm.report.spreadsheets import for_spreadsheets
from bayes_crlm.specification.source_paths import spec_seen_from
from bayes_crlm.words.section import Rows, Section
from bayes_crlm.words.wording import SYNTHETIC

if TYPE_CHECKING:
    from bayes_crlm.analysis.run import Analysis
    from bayes_crlm.figures.drawing import HasCohort
    from bayes_crlm.fit.groups import Group


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


def fill(folder: Path, analysis: "Analysis", summary: dict[str, Any]) -> None:
    """Write every result file into an empty folder, and its time into the summary."""
    from bayes_crlm.report.page import render_report

    figures = plot_figures(analysis.sections)
    write_figures(folder, figures)
    tables = tables_of(analysis.sections)
    write_tables(folder, tables, is_synthetic=summary["data"]["synthetic"])
    write_groups(*groups_of_run(analysis, summary), folder / "posterior.nc")
    write_text(folder / "spec.toml", spec_seen_from(analysis.spec, folder).to_toml())
    write_text(folder / "report.html", render_report(analysis, summary, figures))
    # last, so that it can say how long all the others took
    seconds, total = summary["provenance"]["seconds"], time.perf_counter() - analysis.began
    seconds |= {"report": total - seconds["total"], "total": total}
    written = {"posterior.nc", "spec.toml", "report.html"}
    write_summary(folder, "summary.json", summary, written | names_of(figures, tables))


def plot_figures(sections: Iterable[Section], marked: "HasCohort | None" = None) -> dict[str, str]:
    """Draw every figure of some sections.

    Parameters
    ----------
    sections : iterable of Section
        Whose figures are drawn, in their order.
    marked : HasCohort, optional
        Whose data every figure shows, for figures that do not say themselves that data are
        synthetic.

    Returns
    -------
    dict of str to str
        SVG text by figure name.
    """
    from bayes_crlm.figures.drawing import for_files, label_synthetic, styled, to_svg

    made = {}
    for figure in (each for section in sections for each in section.figures):
        with for_files(), styled():
            drawn = figure.draw()
            if drawn is None:
                continue
            whole: Any = drawn.get_figure()
            if marked is not None:
                label_synthetic(marked, whole.axes[0])
            made[figure.name] = to_svg(whole)
        # what a library draws by pyplot stays open there
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close(whole)
    return made


def write_figures(folder: Path, figures: Mapping[str, str]) -> None:
    """Write figures as files: SVG text by name."""
    (folder / "figures").mkdir()
    for name, svg in figures.items():
        write_text(folder / "figures" / f"{name}.svg", svg)


def tables_of(sections: Iterable[Section]) -> dict[str, Rows]:
    """Rows that have a file, by its name; the same rows set for readers have none of their own."""
    found: dict[str, Rows] = {}
    for rows in (each for section in sections for each in section.rows):
        if rows.name and rows.rows:
            found.setdefault(rows.name, rows)
    return found


def write_tables(folder: Path, tables: Mapping[str, Rows], *, is_synthetic: bool) -> None:
    """Write rows as files that spreadsheets open.

    Parameters
    ----------
    folder : Path
        Of the results.
    tables : mapping of str to Rows
        By file name.
    is_synthetic : bool
        Whether every row says that its data are made up.
    """
    (folder / "tables").mkdir()
    for name, rows in tables.items():
        table = rows.to_frame()
        if is_synthetic:
            table = table.assign(data=SYNTHETIC)
        for_spreadsheets(table).to_csv(folder / "tables" / f"{name}.csv", index=False)


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


def groups_of_run(
    analysis: "Analysis", summary: dict[str, Any]
) -> tuple[dict[str, "Group"], dict[str, Any]]:
    """Complete the groups of draws by what is read with them, and by starts of treatment.

    Returns
    -------
    groups : dict of str to Group
    attributes : dict
        Of the whole file.
    """
    from bayes_crlm.fit.late_start import start_group
    from bayes_crlm.fit.tree import origin_of
    from bayes_crlm.words.late_start import draws_in_words

    fit, attributes, start = analysis.fit, read_with_draws(summary), summary["start"]
    groups = dict(fit.groups)
    if start is not None:
        attributes["analysis"] = draws_in_words(start)
        groups["treatment_start"] = start_group(start).described(groups["posterior"].attributes)
    described = {name: group.described(attributes) for name, group in groups.items()}
    return described, origin_of(fit) | attributes
