"""The README's picture and table, from the same analysis that ``make analysis`` runs.

Usage: ``python benchmarks/readme.py``. Writes ``docs/images/survival.svg`` and
``docs/images/forest.svg``, stores the analysis' ``summary.json`` (without what differs between
runs: times and package versions) in ``benchmarks/results/readme.json``, and puts the table made of
it between the markers of the README.
"""

import json
import math
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "readme.json"
README = HERE.parent / "README.md"
IMAGES = HERE.parent / "docs" / "images"
BEGIN, END = "<!-- result: begin -->", "<!-- result: end -->"

SPEC = "os_repeat_local_vs_systemic"
FIGURES = ("survival", "forest")


def analyse() -> tuple[dict[str, Any], dict[str, str]]:
    """Run the analysis; returns its summary and its figures as SVG."""
    from bayes_crlm import read_spec
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.analysis.run import run_analysis
    from bayes_crlm.analysis.summary import summarise
    from bayes_crlm.report.run import plot_figures

    analysis = run_analysis(plan_analysis(read_spec(SPEC)))
    summary = summarise(analysis)
    figures = plot_figures(analysis.sections)
    for key in ("seconds", "started", "packages", "python"):
        del summary["provenance"][key]
    return summary, {name: figures[name] for name in FIGURES}


def result_of(summary: dict[str, Any]) -> str:
    """Write the answer and a table in Markdown, labelled when data are synthetic."""
    data = summary["data"]
    label = "**Synthetic, not patient data.** " if data["synthetic"] else ""
    answers = [answer["sentence"] for answer in summary["answers"]]
    if any(answer["headline"] != "as_treated" for answer in summary["answers"]):
        answers.append("The table has the analysis as treated from time zero on.")
    lines = [
        f"{label}{summary['title']}: {data['n_patients']} patients, {data['n_events']} deaths.",
        "",
        *(line for answer in answers for line in (answer, "")),
        "| term | Bayes: hazard ratio (95% interval) | P(HR < 1) "
        "| Cox: hazard ratio (95% interval) | verdict |",
        "|---|---|---|---|---|",
    ]
    cox = {row["term"]: row for row in summary["cox"]["terms"]}
    verdict = {row["term"]: row["verdict"] for row in summary["agreement"]}
    for row in summary["coefficients"]:
        term = row["term"]
        low, high = (math.exp(limit) for limit in row["eti95"])
        cox_low, cox_high = cox[term]["ci95"]
        lines.append(
            f"| `{term}` | {math.exp(row['median']):.2f} ({low:.2f}–{high:.2f}) | "
            f"{probability(row['prob_below']['1.0'])} | {cox[term]['hazard_ratio']:.2f} "
            f"({cox_low:.2f}–{cox_high:.2f}) | {verdict[term]} |"
        )
    return "\n".join(lines)


def probability(share: float) -> str:
    """Write a share of draws with no more digits than some thousand draws support."""
    if share > 0.999:
        return "> 0.999"
    return "< 0.001" if share < 0.001 else f"{share:.3f}"


def between_markers(text: str) -> str:
    """Take what the README has between the markers."""
    return text.split(BEGIN)[1].split(END)[0].strip("\n")


def main() -> None:
    """Run, store and write."""
    summary, figures = analyse()
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name, svg in figures.items():
        lines = [line.rstrip() for line in svg.splitlines()]
        (IMAGES / f"{name}.svg").write_text("\n".join(lines) + "\n", encoding="utf-8")
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    README.write_text(f"{before}{BEGIN}\n{result_of(summary)}\n{END}{after}", encoding="utf-8")
    print(result_of(summary))


if __name__ == "__main__":
    main()
