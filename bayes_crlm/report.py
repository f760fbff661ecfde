"""One self-contained HTML page that a clinician and a statistician can both read."""

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_crlm.analysis import Analysis

__all__ = ["probability_in_words", "render_report"]

TEMPLATE = Path(__file__).parent / "report_template.html"


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
    return f"{probability:.3f}" if probability > 0.99 or probability < 0.01 else f"{probability:.2f}"


def answer(summary: dict[str, Any]) -> list[str]:
    """Say every treatment's result in one sentence with its uncertainty."""
    sentences = []
    for row in summary["hazard_ratios"]:
        low, high = row["eti95"]
        inside = row["prob_below"].get("1.0")
        lower = probability_in_words(inside, row["ess_bulk"])
        sentences.append(
            f"With {summary['model']['treatment']} = {row['treatment']} the hazard of the event "
            f"was {row['median']:.2f} times that with {row['reference']} (95% credible interval "
            f"{low:.2f} to {high:.2f}); probability that the hazard is lower: {lower}."
        )
    return sentences


def figure(svg: str, name: str) -> str:
    """Make an SVG file's text fit into a page that holds several: unique ids, no prolog."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(xlink:href|href)="#([^"]+)"', rf'\1="#{name}-\2"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    # matplotlib's metadata name vocabularies by their web addresses; nothing is fetched
    return re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)


def number(value: Any, digits: int = 2) -> str:
    """Write a number for people; a dash where there is none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return "–"
    return f"{value:.{digits}f}"


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
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    return template.render(
        summary=summary,
        question=analysis.spec.question,
        spec_text=analysis.spec.to_toml(),
        spec_name=analysis.spec.name,
        answers=answer(summary),
        unit=summary["data"]["unit"] or "time units",
        # made by matplotlib, which escapes the names it draws
        figures={name: Markup(figure(svg, name)) for name, svg in figures.items()},  # noqa: S704
        probability=probability_in_words,
        hr=lambda value: None if value is None else math.exp(value),
    )
