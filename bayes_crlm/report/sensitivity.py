"""Result files of a sensitivity analysis: what changes the conclusion comes first."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.analysis.data_section import data_section
from bayes_crlm.analysis.summary import to_json_value
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.sensitivity.overall import base_row, sections_of
from bayes_crlm.specification.source_paths import spec_for_readers, spec_seen_from
from bayes_crlm.words.shown import beside_limit, probability_in_words

if TYPE_CHECKING:
    from bayes_crlm.sensitivity.run import Sensitivity
    from bayes_crlm.words.section import Section

SCHEMA_VERSION = 1
BASE_FIELDS = (
    "median", "eti95", "prob_below_1", "prob_below_effect", "mean_log", "sd_log", "elpd_loo",
    "loo_pareto_k", "engine", "pareto_k", "r_hat", "is_reliable", "note", "cox_hr", "cox_ci95",
    "n_patients", "n_events",
)  # fmt: skip


def summarise_sensitivity(found: "Sensitivity") -> dict[str, Any]:
    """Gather everything in the shape of `sensitivity.json`.

    Parameters
    ----------
    found : Sensitivity
        What every part has found.

    Returns
    -------
    dict
        schema_version, title, caution, status, warnings, conclusion, data, model, base, one key
        for each part that was asked for, provenance; JSON values only.
    """
    base, design = base_row(found), found.plan.inputs.design
    failures = [] if base["is_reliable"] else [f"the base model: {base['note']}"]
    remarks = []
    if base.get("loo_pareto_k") is not None and not base["loo_pareto_k"] <= PARETO_K_MOST:
        remarks.append(
            "the base model: Pareto k of leaving one patient out reaches "
            f"{beside_limit(base['loo_pareto_k'], PARETO_K_MOST)}, above {PARETO_K_MOST}: "
            "elpd_loo, and what is compared by it, cannot be trusted"
        )
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "title": found.plan.spec.title,
        "caution": found.plan.spec.caution,
        "status": "untrustworthy" if failures else "ok",
        "warnings": [*failures, *remarks, *found.plan.warnings],
        "study": {"design": found.plan.spec.study.design},
        "success": found.plan.spec.success.rule.to_dict(),
        "data": data_section(found.plan.inputs.cohort),
        "model": {
            "formula": design.formula,
            "treatment": design.treatment,
            "level": design.levels[found.level],
            "reference": design.reference,
        },
        "base": {name: base.get(name) for name in BASE_FIELDS}
        | {"is_of_run": base.get("is_of_run", False)},
    }
    for section in sections_of(found):
        section.put_into(summary)
    return to_json_value(summary | {"provenance": found.provenance})


def write_sensitivity(found: "Sensitivity", summary: dict[str, Any], folder: Path) -> Path:
    """Write all files of a sensitivity analysis at once, beside those of a `run` in the folder.

    Parameters
    ----------
    found : Sensitivity
        What every part has found.
    summary : dict
        From `summarise_sensitivity`.
    folder : Path
        From `bayes_crlm.report.output_folder.check_output`.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    OutputError
        When writing fails; earlier results are then untouched.
    """
    from bayes_crlm.report.folder import replace_folder
    from bayes_crlm.report.output_folder import is_of_sensitivity

    replace_folder(folder, lambda partial: fill(partial, folder, found, summary), is_of_sensitivity)
    return folder / "sensitivity.html"


def fill(folder: Path, earlier: Path, found: "Sensitivity", summary: dict[str, Any]) -> None:
    """Write every file into an empty folder."""
    from bayes_crlm.report.folder import names_of, write_summary, write_text
    from bayes_crlm.report.run import plot_figures, write_figures, write_tables

    sections = sections_of(found)
    check_names(sections)
    pictures = plot_figures(sections, found.plan)
    write_figures(folder, pictures)
    tables = {rows.name: rows for section in sections for rows in section.rows}
    write_tables(folder, tables, is_synthetic=summary["data"]["synthetic"])
    spec = found.plan.spec.model_copy(update={"sensitivity": found.settings.to_mapping()})
    write_text(folder / "sensitivity.toml", spec_seen_from(spec, folder).to_toml())
    page = render(found, summary, pictures, has_report=(earlier / "report.html").exists())
    write_text(folder / "sensitivity.html", page)
    written = {"sensitivity.toml", "sensitivity.html"} | names_of(pictures, tables)
    write_summary(folder, "sensitivity.json", summary, written)


def check_names(sections: Sequence["Section"]) -> None:
    """Hold that tables and figures are called after their part.

    By that `bayes_crlm.report.output_folder.is_of_part` tells them from those of `run` in the same
    folder; a file of another name would outlive the analysis that it belongs to.

    Raises
    ------
    AssertionError
        When a part has given a table or a figure another name.
    """
    for section in sections:
        if not section.title:
            continue
        for each in (*section.rows, *section.figures):
            if each.name != section.key and not each.name.startswith(f"{section.key}_"):
                raise AssertionError(
                    f"table or figure {each.name!r} of {section.key} has to begin with "
                    f"{section.key!r}"
                )


def render(
    found: "Sensitivity",
    summary: dict[str, Any],
    pictures: dict[str, str],
    *,
    has_report: bool,
) -> str:
    """Fill the report's template."""
    from markupsafe import Markup

    from bayes_crlm.report.page import figure, read_template

    return read_template("sensitivity.html").render(
        summary=summary,
        parts=[section for section in sections_of(found) if section.title],
        # made by matplotlib, which escapes the names it draws
        pictures={name: Markup(figure(svg, name)) for name, svg in pictures.items()},
        has_report=has_report,
        question=found.plan.spec.question,
        probability=probability_in_words,
        success=found.plan.spec.success.rule.in_words(),
        spec_text=spec_for_readers(
            found.plan.spec.model_copy(update={"sensitivity": found.settings.to_mapping()})
        ).to_toml(),
    )
