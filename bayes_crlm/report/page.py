"""One self-contained HTML page that a clinician and a statistician can both read."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.fit.answers import proportionality_warnings
from bayes_crlm.fit.entry_weights import entry_weight_warnings
from bayes_crlm.model.withdrawn import levels_without_events
from bayes_crlm.specification.source_paths import spec_for_readers
from bayes_crlm.words.late_start import (
    estimands_in_words,
    headline_in_words,
    landmark_in_words,
    start_rows,
)
from bayes_crlm.words.shown import duration, number, p_value, probability_in_words, significant

if TYPE_CHECKING:
    from jinja2 import Template

    from bayes_crlm.analysis.run import Analysis

__all__ = ["render_report"]

TEMPLATES = Path(__file__).parent


def landmark_sentences(start: dict[str, Any] | None) -> list[str]:
    """Say of every level what its hazard ratio at the landmark allows to be said."""
    rows = start_rows(start) if start else []
    itself = {row["treatment"]: row for row in rows if row["analysis"] == "time_dependent"}
    return [
        f"{row['treatment']} at the landmark: "
        f"{landmark_in_words(itself.get(row['treatment']), start['landmark'] | row)}."
        for row in rows
        if start and row["analysis"] == "landmark" and not row["withdrawn"]
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


def rare_by_term(summary: dict[str, Any]) -> dict[str, list[str]]:
    """What is said of rare levels, by the terms whose estimates rest on them."""
    told: dict[str, list[str]] = {}
    for row in summary["levels"]:
        for term in row["terms"] if row["caution"] else []:
            told.setdefault(term, []).append(row["caution"])
    return told


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
    environment.filters["significant"] = significant
    environment.filters["p_value"] = p_value
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

    template = read_template("page.html")
    return template.render(
        summary=summary,
        source=Path(summary["data"]["source"]).name or summary["data"]["source"],
        question=analysis.spec.question,
        spec_text=spec_for_readers(analysis.spec).to_toml(),
        spec_name=analysis.spec.name,
        adjusted=len(summary["model"]["terms"]) >= len(analysis.fit.inputs.design.levels),
        entry_weights=entry_weight_warnings(
            analysis.fit.entry_weight_rows, analysis.fit.inputs.cohort.unit
        ),
        not_proportional=proportionality_warnings(analysis.fit, summary["start"]),
        rare=rare_by_term(summary),
        success=analysis.spec.success.rule.in_words(),
        start_rows=start_rows(summary["start"]) if summary["start"] else [],
        as_treated=estimands_in_words(summary["start"]),
        start_sentences=headline_in_words(summary["start"]) if summary["start"] else [],
        landmark_sentences=landmark_sentences(summary["start"]),
        levels=by_treatment(analysis),
        eventless=bool(levels_without_events(analysis.inputs)),
        is_left_out=any(row["analysis"].startswith("without ") for row in summary["crude"]),
        unit=summary["data"]["unit"] or "time units",
        # made by matplotlib, which escapes the names it draws
        figures={name: Markup(figure(svg, name)) for name, svg in figures.items()},
        probability=probability_in_words,
        hr=lambda value: None if value is None else math.exp(min(value, 700.0)),
    )
