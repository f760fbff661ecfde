"""One self-contained HTML page that a clinician and a statistician can both read."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.late_start_words import (
    headline_in_words,
    headline_row,
    landmark_in_words,
    start_rows,
)
from bayes_crlm.source_paths import spec_for_readers
from bayes_crlm.success import SuccessRule

if TYPE_CHECKING:
    from jinja2 import Template

    from bayes_crlm.analysis import Analysis

__all__ = ["probability_in_words", "render_report"]

TEMPLATES = Path(__file__).parent


def probability_in_words(probability: float | None, effective_draws: float | None = None) -> str:
    """Write a probability with no more digits than draws support.

    Parameters
    ----------
    probability : float or None
        Share of draws.
    effective_draws : float, optional
        Effective sample size: a share of 0 or 1 becomes "below" or "above" one over it.
    """
    if probability is None:
        return "not available"
    least = 1 / max(effective_draws or 1000.0, 10.0)
    least = 10 ** math.ceil(math.log10(least))
    if probability < least:
        return f"below {least:g}"
    if probability > 1 - least:
        return f"above {1 - least:g}"
    return (
        f"{probability:.3f}" if probability > 0.99 or probability < 0.01 else f"{probability:.2f}"
    )


def answer(summary: dict[str, Any]) -> list[str]:
    """Say every treatment's result in one sentence with its uncertainty."""
    rule = SuccessRule(**summary["success"])
    sentences = []
    for row in summary["hazard_ratios"]:
        told = headline_row(summary["start"], row)
        low, high = told["eti95"]
        counted = {"time_dependent": "counted from its start on, ", "landmark": "at the landmark, "}
        how = counted.get(told.get("analysis", ""), "")
        sentence = (
            f"{how}with {summary['model']['treatment']} = {row['treatment']} the hazard of the "
            f"event was {number(told['median'])} times that with {row['reference']} (95% credible "
            f"interval {number(low)} to {number(high)})"
        )
        if "1.0" in told["prob_below"]:
            lower = probability_in_words(told["prob_below"]["1.0"], row["ess_bulk"] or 10)
            sentence += f"; probability that the hazard is lower: {lower}"
        if how:
            low, high = row["eti95"]
            sentence += (
                f"; as treated from time zero on it was {number(row['median'])} times "
                f"({number(low)} to {number(high)})"
            )
        concluded = f"{rule.sentence(told)} " if summary["status"] == "ok" else ""
        sentences.append(f"{concluded}{sentence[0].upper()}{sentence[1:]}.")
    return sentences


def landmark_sentences(start: dict[str, Any] | None) -> list[str]:
    """Say of every level what its hazard ratio at the landmark allows to be said."""
    rows = start_rows(start) if start else []
    itself = {row["treatment"]: row for row in rows if row["analysis"] == "time_dependent"}
    return [
        f"{row['treatment']} at the landmark: "
        f"{landmark_in_words(itself.get(row['treatment']), start['landmark'] | row)}."
        for row in rows
        if start and row["analysis"] == "landmark"
    ]


def figure(svg: str, name: str) -> str:
    """Make an SVG file's text fit into a page that holds several.

    Parameters
    ----------
    svg : str
        An SVG file as matplotlib writes it, names in it escaped.
    name : str
        Put before every id, so that no two figures share one.

    Returns
    -------
    str
        The svg element, without prolog and metadata, labelled by the caption's id.
    """
    # matplotlib's metadata name vocabularies by their web addresses; nothing is fetched
    body = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)

    def rename(tag: re.Match[str]) -> str:
        text = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', tag[0])
        text = re.sub(r'\b(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', text)
        return re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", text)

    # only in tags: a level may be called id="x"
    body = re.sub(r"<[^>]+>", rename, body)
    return body.replace("<svg ", f'<svg role="img" aria-labelledby="caption-{name}" ', 1)


def number(value: Any, digits: int = 2) -> str:
    """Write a number with fixed decimals; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if value and abs(value) < 0.5 * 10.0**-digits:
        return f"{'-' if value < 0 else ''}<{10.0**-digits:.{digits}f}"
    return f"{value:,.{digits}f}" if abs(value) < 1e7 else f"{value:.2e}"


def duration(value: Any) -> str:
    """Write a time with three significant digits, whole from 100 on."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"
    return f"{float(f'{value:.3g}'):g}"


def by_treatment(analysis: "Analysis") -> list[dict[str, Any]]:
    """Count patients, events and follow-up on every treatment level."""
    cohort, design = analysis.inputs.cohort, analysis.inputs.design
    rows = []
    for code, level in enumerate(design.levels):
        here = design.treatment_level == code
        rows.append(
            {
                "treatment": level,
                "n_patients": len(set(cohort.patient_index[here].tolist())),
                "n_events": int(cohort.event[here].sum()),
                "exposure": float((cohort.time - cohort.entry)[here].sum()),
            }
        )
    return rows


def read_template(name: str) -> "Template":
    """Read a page's template from this package; it escapes what is put into it."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["duration"] = duration
    return environment.get_template(name)


def render_report(analysis: "Analysis", summary: dict[str, Any], figures: dict[str, str]) -> str:
    """Fill the report's template.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.
    summary : dict
        Its `summary.json`.
    figures : dict of str to str
        SVG text by name.

    Returns
    -------
    str
        HTML that asks nothing from outside; names from the data are escaped.
    """
    from markupsafe import Markup

    template = read_template("report_template.html")
    return template.render(
        summary=summary,
        source=Path(summary["data"]["source"]).name or summary["data"]["source"],
        question=analysis.spec.question,
        spec_text=spec_for_readers(analysis.spec).to_toml(),
        spec_name=analysis.spec.name,
        answers=answer(summary),
        success=analysis.spec.success.rule.in_words(),
        start_rows=start_rows(summary["start"]) if summary["start"] else [],
        start_sentences=headline_in_words(summary["start"]) if summary["start"] else [],
        landmark_sentences=landmark_sentences(summary["start"]),
        levels=by_treatment(analysis),
        unit=summary["data"]["unit"] or "time units",
        # made by matplotlib, which escapes the names it draws
        figures={name: Markup(figure(svg, name)) for name, svg in figures.items()},
        probability=probability_in_words,
        hr=lambda value: None if value is None else math.exp(min(value, 700.0)),
    )
