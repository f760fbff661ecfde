"""Result files of a sensitivity analysis: what moves the conclusion comes first."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.analysis.summary import data_section, to_json_value
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.model.late_start import waited
from bayes_crlm.sensitivity.overall import overall_sentence, part_rows
from bayes_crlm.sensitivity.registry import PARTS, TITLES
from bayes_crlm.sensitivity.table_rows import table_of_rows
from bayes_crlm.sensitivity.verdicts import conclusion, listed, prob_below
from bayes_crlm.specification.source_paths import spec_for_readers, spec_seen_from

if TYPE_CHECKING:
    from bayes_crlm.sensitivity.parts import PartResult
    from bayes_crlm.sensitivity.run import Sensitivity

__all__ = [
    "NOTHING_TO_MOVE",
    "conclusion_sentence",
    "summarise_sensitivity",
    "write_sensitivity",
]

SCHEMA_VERSION = 1
PARTS_TABLE = "sensitivity_parts"
NOTHING_TO_MOVE = "No answer is given that it could move; its numbers are in its tables."
BASE_FIELDS = (
    "median", "eti95", "prob_below_1", "prob_below_effect", "mean_log", "sd_log", "elpd_loo",
    "loo_pareto_k", "engine", "pareto_k", "r_hat", "is_reliable", "note", "cox_hr", "cox_ci95",
    "n_patients", "n_events",
)  # fmt: skip


def conclusion_sentence(found: "Sensitivity") -> str:
    """Begin with the conclusion, then say what changes it, weakens it and where it holds.

    Parameters
    ----------
    found : Sensitivity
    """
    levels = found.plan.inputs.design.levels
    treatment = found.plan.inputs.design.treatment
    waits = bool(waited(found.plan.inputs).any())
    counted = ", as treated from time zero on, the wait for treatment included" if waits else ""
    said = overall_sentence(
        base_row(found),
        part_rows(judged_parts(found), TITLES),
        found.plan.spec.success.rule,
        f"{treatment} {levels[found.level]} against {levels[0]}{counted}",
    )
    if len(levels) > 2 and not found.withdrawn:
        said = f"{said} {one_level_sentence(treatment, levels, found.level)}"
    return f"{from_start_sentence(found)} {said}" if waits else said


def one_level_sentence(treatment: str, levels: Sequence[Any], examined: int) -> str:
    """Say that other levels' answers were not examined, and how they are.

    Parameters
    ----------
    treatment : str
        The treatment's column.
    levels : sequence
        Of it, the reference first.
    examined : int
        Place of the level in question, from 1.
    """
    others = [str(level) for k, level in enumerate(levels) if k not in (0, examined)]
    return (
        f"Nothing here is about the answer for {treatment} {listed(others, 'or')}, nor about any "
        f"two levels other than {levels[0]}: sensitivity.level says which level is examined."
    )


def from_start_sentence(found: "Sensitivity") -> str:
    """Say what treatment counted from its start on concludes, before what counts its wait too.

    Parameters
    ----------
    found : Sensitivity
        Of a cohort in which somebody waited for treatment.
    """
    part = found.parts.get("immortal_time")
    rows = [] if part is None else part.result["rows"]
    row = next((each for each in rows if each["method"] == "time_dependent"), None)
    # of three levels that part makes two arms, which are no answer's
    is_pair = len(found.plan.inputs.design.levels) == 2
    if row is None or not is_pair or not row["is_reliable"] or found.withdrawn:
        return (
            "All that follows counts the wait for treatment as treated; treatment counted from its "
            "start on is another analysis, whose answer stands beside it in the report of run."
        )
    low, high = row["eti95"]
    return (
        f"{found.plan.spec.success.rule.sentence(row).removesuffix('.')}, where treatment counts "
        f"from its start on (hazard ratio {row['median']:.2f}, 95% interval {low:.2f} to "
        f"{high:.2f}). All that follows counts the wait for it as treated, too."
    )


def base_row(found: "Sensitivity") -> dict[str, Any]:
    """The base analysis, with the probability that the success rule is about."""
    rule = found.plan.spec.success.rule
    return dict(found.base) | {
        "prob_below_effect": prob_below(found.base, rule),
        "withdrawn": found.withdrawn,
    }


def judged_parts(found: "Sensitivity") -> dict[str, "PartResult"]:
    """What the parts found; without a verdict where there is no answer that could be moved."""
    if not found.withdrawn:
        return found.parts
    return {
        name: replace(
            part, sentence=NOTHING_TO_MOVE, moves=None, state=None, movers=(), would_move=None
        )
        for name, part in found.parts.items()
    }


def would_move(found: "Sensitivity") -> list[str]:
    """What would turn a conclusion that a part's plausible alternatives do not turn."""
    parts = judged_parts(found).values()
    return [part.would_move for part in parts if part.would_move and not part.moves]


def summarise_sensitivity(found: "Sensitivity") -> dict[str, Any]:
    """Gather everything in the shape of `sensitivity.json`.

    Parameters
    ----------
    found : Sensitivity

    Returns
    -------
    dict
        schema_version, title, caution, status, warnings, conclusion, data, model, base, one key
        for each part that was asked for, provenance; JSON values only.
    """
    base, design = base_row(found), found.plan.inputs.design
    rule, parts = found.plan.spec.success.rule, judged_parts(found)
    failures = [] if base["is_reliable"] else [f"the base model: {base['note']}"]
    remarks = []
    if base.get("loo_pareto_k") is not None and not base["loo_pareto_k"] <= PARETO_K_MOST:
        remarks.append(
            "the base model: Pareto k of leaving one patient out reaches "
            f"{base['loo_pareto_k']:.2f}, above {PARETO_K_MOST}: elpd_loo, and what is compared by "
            "it, is not to be trusted"
        )
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "title": found.plan.spec.title,
        "caution": found.plan.spec.caution,
        "status": "untrustworthy" if failures else "ok",
        "warnings": [*failures, *remarks, *found.plan.warnings],
        "study": {"design": found.plan.spec.study.design},
        "success": rule.to_dict(),
        "conclusion": {
            "sentence": conclusion_sentence(found),
            "conclusion": None if found.withdrawn else conclusion(base, rule),
            "withdrawn": found.withdrawn,
            "changed_by": [name for name, part in parts.items() if part.state == "changes"],
            "weakened_by": [name for name, part in parts.items() if part.state == "weaker"],
            "held_by": [name for name, part in parts.items() if part.state == "holds"],
            "rows": part_rows(parts, TITLES),
            "moved_by": [name for name, part in parts.items() if part.moves is True],
            "would_be_moved_by": would_move(found),
            "not_moved_by": [name for name, part in parts.items() if part.moves is False],
        },
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
    for name in PARTS:
        if name in found.parts:
            part = parts[name]
            told = {
                "sentence": part.sentence,
                "moves": part.moves,
                "state": part.state,
                "movers": list(part.movers),
                "notes": list(part.notes),
            }
            summary[name] = {"status": "done"} | told | part.result
        elif name in found.crashes:
            summary[name] = {"status": "failed", "reason": found.not_run[name]}
        elif name in found.not_run:
            summary[name] = {"status": "not run", "reason": found.not_run[name]}
    return to_json_value(summary | {"provenance": found.provenance})


def write_sensitivity(found: "Sensitivity", summary: dict[str, Any], folder: Path) -> Path:
    """Write all files of a sensitivity analysis at once, beside those of a `run` in the folder.

    Parameters
    ----------
    found : Sensitivity
    summary : dict
        From `summarise_sensitivity`.
    folder : Path
        From `bayes_crlm.report.folder.check_output`.

    Returns
    -------
    Path
        Of the report.

    Raises
    ------
    OutputError
        When writing fails; earlier results are then untouched.
    """
    from bayes_crlm.report.folder import is_of_sensitivity, replace_folder

    replace_folder(folder, lambda partial: fill(partial, folder, found, summary), is_of_sensitivity)
    return folder / "sensitivity.html"


def fill(folder: Path, earlier: Path, found: "Sensitivity", summary: dict[str, Any]) -> None:
    """Write every file into an empty folder."""
    from bayes_crlm.report.folder import names_of, write_summary, write_text
    from bayes_crlm.report.spreadsheets import for_spreadsheets

    check_names(found)
    is_synthetic = summary["data"]["synthetic"]
    for kind in ("tables", "figures"):
        (folder / kind).mkdir()
    pictures = draw(found)
    for name, svg in pictures.items():
        write_text(folder / "figures" / f"{name}.svg", svg)
    tables = {PARTS_TABLE: table_of_rows(part_rows(judged_parts(found), TITLES))}
    for part in found.parts.values():
        tables |= part.tables
    for name, table in tables.items():
        if is_synthetic:
            table = table.assign(data="synthetic, not patient data")
        for_spreadsheets(table).to_csv(folder / "tables" / f"{name}.csv", index=False)
    spec = found.plan.spec.model_copy(update={"sensitivity": found.settings.to_mapping()})
    write_text(folder / "sensitivity.toml", spec_seen_from(spec, folder).to_toml())
    page = render(found, summary, pictures, has_report=(earlier / "report.html").exists())
    write_text(folder / "sensitivity.html", page)
    written = {"sensitivity.toml", "sensitivity.html"} | names_of(pictures, list(tables))
    write_summary(folder, "sensitivity.json", summary, written)


def check_names(found: "Sensitivity") -> None:
    """Hold that tables and figures are called after their part.

    By that `bayes_crlm.report.folder.is_of_part` tells them from those of `run` in the same folder;
    a file of another name would outlive the analysis that it belongs to.

    Raises
    ------
    AssertionError
        When a part has given a table or a figure another name.
    """
    for name, part in found.parts.items():
        for each in (*part.tables, *part.figures):
            if each != name and not each.startswith(f"{name}_"):
                raise AssertionError(
                    f"table or figure {each!r} of {name} has to begin with {name!r}"
                )


def draw(found: "Sensitivity") -> dict[str, str]:
    """Draw every part's figures: SVG text by name."""
    import matplotlib.pyplot as plt

    from bayes_crlm.figures.drawing import for_files, to_svg

    pictures = {}
    for part in found.parts.values():
        for name, (_, make) in part.figures.items():
            with for_files():
                figure = make()
                pictures[name] = to_svg(figure)
            plt.close(figure)
    return pictures


def render(
    found: "Sensitivity", summary: dict[str, Any], pictures: dict[str, str], *, has_report: bool
) -> str:
    """Fill the report's template."""
    from markupsafe import Markup

    from bayes_crlm.report.page import figure, read_template
    from bayes_crlm.words.shown import probability_in_words

    parts = []
    for name in PARTS:
        if name not in summary:
            continue
        part = found.parts.get(name)
        figures = [] if part is None else list(part.figures.items())
        parts.append(
            {
                "name": name,
                "heading": TITLES[name][0].upper() + TITLES[name][1:],
                "summary": summary[name],
                "tables": [] if part is None else list(part.tables),
                # made by matplotlib, which escapes the names it draws
                "figures": [
                    (key, caption, Markup(figure(pictures[key], key)))
                    for key, (caption, _) in figures
                ],
            }
        )
    return read_template("sensitivity.html").render(
        summary=summary,
        parts=parts,
        in_words=TITLES,
        has_report=has_report,
        question=found.plan.spec.question,
        probability=probability_in_words,
        success=found.plan.spec.success.rule.in_words(),
        spec_text=spec_for_readers(
            found.plan.spec.model_copy(update={"sensitivity": found.settings.to_mapping()})
        ).to_toml(),
    )
