"""The section of a `run`'s report that says what would change its answer.

A result folder may hold the results of `run` and of `sensitivity`. Whichever is written last puts
the section into `report.html`, when both are of the same data and model; when they are not, the
report says so instead.
"""

import tomllib
from pathlib import Path
from typing import Any

from bayes_crlm.analysis.earlier_results import read_json

BEGIN, END = "<!-- sensitivity: begin -->", "<!-- sensitivity: end -->"


def with_section(report: str, section: str) -> str:
    """Put a section between the marks of a report.

    Parameters
    ----------
    report : str
        HTML of a `run`.
    section : str
        HTML; nothing for no section.

    Raises
    ------
    ValueError
        When the report has no marks: it is of an earlier version.
    """
    before, marked, rest = report.partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not (marked and closed):
        raise ValueError("the report has no place for a section on sensitivity")
    return f"{before}{BEGIN}{section}{END}{after}"


def report_with_section(new: Path, folder: Path) -> str | None:
    """The report of a result folder with the section on its sensitivity analysis.

    Parameters
    ----------
    new : Path
        Folder with the results of one of the two commands, which are going to `folder`.
    folder : Path
        May hold earlier results of the other one; it need not exist.

    Returns
    -------
    str or None
        None where not both are there, or the report has no place for the section.
    """

    def newest(name: str) -> Path:
        return new / name if (new / name).exists() else folder / name

    summary, found = read_json(newest("summary.json")), read_json(newest("sensitivity.json"))
    if summary is None or found is None:
        return None
    try:
        mine, theirs = (
            tomllib.loads(newest(name).read_text(encoding="utf-8"))
            for name in ("spec.toml", "sensitivity.toml")
        )
        for spec in (mine, theirs):
            # the same file may lie elsewhere: its digest tells
            spec["data"].pop("source", None)
        is_same = all(mine[table] == theirs[table] for table in ("data", "model"))
        is_same = is_same and summary["data"]["sha256"] == found["data"]["sha256"]
        report = newest("report.html").read_text(encoding="utf-8")
        return with_section(report, section_of(found, is_same=is_same))
    except (OSError, ValueError, KeyError):
        # files of another version, or what is not a result at all
        return None


def section_of(found: dict[str, Any], *, is_same: bool) -> str:
    """Write the section.

    Parameters
    ----------
    found : dict
        `sensitivity.json`.
    is_same : bool
        Whether it is of the report's data and model.

    Returns
    -------
    str
        HTML, names in it escaped.
    """
    from bayes_crlm.report.page import read_template
    from bayes_crlm.sensitivity.registry import PARTS, TITLES

    return read_template("section.html").render(
        summary=found,
        is_same=is_same,
        parts=[(name, TITLES[name], found[name]) for name in PARTS if name in found],
    )
