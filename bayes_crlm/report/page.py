"""One self-contained HTML page that a clinician and a statistician can both read."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.specification.source_paths import spec_for_readers
from bayes_crlm.words.html import sections_to_html
from bayes_crlm.words.section import Section
from bayes_crlm.words.shown import duration, number
from bayes_crlm.words.wording import SYNTHETIC

if TYPE_CHECKING:
    from jinja2 import Template

    from bayes_crlm.analysis.run import Analysis

TEMPLATES = Path(__file__).parent
# chapters of the report, in their order; others come after the answer
HEADINGS = {
    "answer": "Answer",
    "data": "Data",
    "survival": "Survival",
    "agreement": "Agreement with Cox regression",
    "priors": "Prior against posterior",
    "diagnostics": "Diagnostics",
}


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
    return environment.get_template(name, globals={"SYNTHETIC": SYNTHETIC})


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

    is_synthetic = summary["data"]["synthetic"]
    # made by matplotlib, which escapes the names it draws
    drawn = {name: figure(svg, name) for name, svg in figures.items()}
    chapters = {
        name: Markup(sections_to_html(sections, drawn, is_synthetic=is_synthetic))
        for name, sections in by_chapter(analysis.sections).items()
    }
    return read_template("page.html").render(
        summary=summary,
        question=analysis.spec.question,
        spec_text=spec_for_readers(analysis.spec).to_toml(),
        spec_name=analysis.spec.name,
        headings=HEADINGS | {name: name.capitalize() for name in chapters if name not in HEADINGS},
        chapters=chapters,
        unit=analysis.unit,
    )


def by_chapter(sections: Iterable[Section]) -> dict[str, list[Section]]:
    """Sort sections by the chapter that they stand in; those without one are for files."""
    chapters: dict[str, list[Section]] = {}
    for section in sections:
        if section.chapter:
            chapters.setdefault(section.chapter, []).append(section)
    known = list(HEADINGS)
    order = [known[0], *(name for name in chapters if name not in HEADINGS), *known[1:]]
    return {name: chapters[name] for name in order if name in chapters}
