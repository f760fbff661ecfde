"""The sections of a sensitivity analysis: its conclusion first, a function of one row a part.

The rows stand in `tables/sensitivity_parts.csv` and in `sensitivity.json` (`conclusion.rows`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from bayes_crlm.model.late_start import waited
from bayes_crlm.sensitivity.parts import Finding, rows_of
from bayes_crlm.sensitivity.registry import TITLES
from bayes_crlm.sensitivity.verdicts import Values, listed, ratio_of
from bayes_crlm.words.section import Section
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

if TYPE_CHECKING:
    from bayes_crlm.sensitivity.run import Sensitivity

PARTS_TABLE = "sensitivity_parts"
NOTHING_TO_CHANGE = "No answer is given that it could change; its numbers are in its tables."
WAIT_COUNTED = (
    "All that follows counts the wait for treatment as treated; treatment counted from its start "
    "on is another analysis, whose answer stands beside it in the report of run."
)


def sections_of(found: "Sensitivity") -> list[Section]:
    """Give the conclusion, then what every part found or why it did not run.

    Parameters
    ----------
    found : Sensitivity
        Its parts say nothing of a conclusion where there is no answer that could change.
    """
    parts = found.parts
    if found.withdrawn:
        nothing = {"verdict": None, "moves": None, "movers": (), "would_move": None, "before": ""}
        parts = {
            name: replace(part, sentence=NOTHING_TO_CHANGE, **nothing)
            for name, part in parts.items()
        }
    sections: list[Section] = [conclusion_section(found, parts)]
    for name, title in TITLES.items():
        if name in parts:
            sections.append(parts[name])
        elif name in found.not_run:
            status, reason = "failed" if name in found.crashes else "not run", found.not_run[name]
            why = {name: {"status": status, "reason": reason}}
            sections.append(Section(name, title, reason, status, summary=why))
    return sections


def conclusion_section(found: "Sensitivity", parts: Mapping[str, Finding]) -> Section:
    """Say what the analysis as a whole comes to."""
    rows = part_rows(parts)

    def names(key: str, value: Any) -> list[str]:
        return [row["part"] for row in rows if row[key] == value]

    sentence = conclusion_sentence(found, parts, rows)
    return Section(
        key="conclusion",
        sentence=sentence,
        rows=(rows_of(PARTS_TABLE, rows),),
        summary={
            "conclusion": {
                "sentence": sentence,
                "conclusion": None if found.withdrawn else found.judge.held,
                "withdrawn": found.withdrawn,
                "changed_by": names("state", "changes"),
                "weakened_by": names("state", "weaker"),
                "held_by": names("state", "holds"),
                "rows": rows,
                "moved_by": names("moves", True),
                "would_be_moved_by": [
                    row["would_be_moved_by"]
                    for row in rows
                    if row["would_be_moved_by"] and not row["moves"]
                ],
                "not_moved_by": names("moves", False),
            }
        },
    )


def base_row(found: "Sensitivity") -> dict[str, Any]:
    """The base analysis, with the probability that the success rule is about."""
    below = found.judge.prob_below(found.base)
    return dict(found.base) | {"prob_below_effect": below, "withdrawn": found.withdrawn}


def conclusion_sentence(
    found: "Sensitivity", parts: Mapping[str, Finding], rows: Sequence[Values]
) -> str:
    """Begin with the conclusion, then say what changes it, weakens it and where it holds.

    Parameters
    ----------
    found : Sensitivity
        What every part has found.
    parts : mapping of str to Finding
        One of them may say what treatment counted from its start on concludes.
    rows : sequence of mapping
        From `part_rows`.
    """
    design = found.plan.inputs.design
    levels, treatment = design.levels, design.treatment
    waits = bool(waited(found.plan.inputs).any())
    counted = ", as treated from time zero on, the wait for treatment included" if waits else ""
    comparison = f"{treatment} {levels[found.level]} against {levels[0]}{counted}"
    said = overall_sentence(base_row(found), rows, found.plan.spec.success.rule, comparison)
    if len(levels) > 2 and not found.withdrawn:
        said = f"{said} {one_level_sentence(treatment, levels, found.level)}"
    before = [part.before for part in parts.values() if part.before]
    return f"{(before or [WAIT_COUNTED])[0]} {said}" if waits else said


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


def part_rows(parts: Mapping[str, Finding]) -> list[dict[str, Any]]:
    """Give every part one row: its state, and the refit that is farthest from the base.

    Parameters
    ----------
    parts : mapping of str to Finding
        Findings by the names of their parts.

    Returns
    -------
    list of dict
        `part`, `in_words`, `state`, `moves`, `n_movers` and, of the farthest of them, `mover`,
        `median`, `eti95`, `prob_below_1`; `would_be_moved_by`.
    """
    rows = []
    for name, part in parts.items():
        first: Mapping[str, Any] = part.movers[0] if part.movers else {}
        rows.append(
            {
                "part": name,
                "in_words": part.title,
                "state": part.verdict,
                "moves": part.moves,
                "n_movers": len(part.movers),
                "mover": first.get("label"),
                "median": first.get("median"),
                "eti95": first.get("eti95"),
                "prob_below_1": first.get("prob_below_1"),
                "would_be_moved_by": part.would_move,
            }
        )
    return rows


def overall_sentence(
    base: Values, rows: Sequence[Values], rule: SuccessRule, comparison: str
) -> str:
    """Begin with the conclusion, then say what changes it, what weakens it and where it holds.

    Parameters
    ----------
    base : mapping
        The base analysis: median, eti95, prob_below_effect, is_reliable, note, withdrawn.
    rows : sequence of mapping
        From `part_rows`.
    rule : SuccessRule
        From which probability on anything is concluded.
    comparison : str
        Which level is compared with which.
    """
    ratio = ratio_of(base, "{}, 95% interval {}")
    if base.get("withdrawn") and base.get("is_reliable") is not False:
        return f"Nothing is concluded: {base['withdrawn']}."
    if base.get("is_reliable") is False:
        return f"Nothing is concluded: the base analysis fails its diagnostics ({base['note']})."
    said = [f"{rule.sentence(base).removesuffix('.')} ({comparison}: hazard ratio {ratio})."]
    is_undecided = rule.conclusion(base["prob_below_effect"]) == "undecided"
    changes, weaker, holds = (
        [row for row in rows if row["state"] == state] for state in ("changes", "weaker", "holds")
    )
    if changes:
        start = "Refits decide under" if is_undecided else "The conclusion changes under"
        said.append(f"{start} {'; '.join(part_in_words(row) for row in changes)}.")
    if weaker:
        said.append(f"The conclusion is weaker under {'; '.join(map(part_in_words, weaker))}.")
    if holds:
        start = "They do not decide either under" if is_undecided else "The conclusion holds under"
        said.append(f"{start} {listed([row['in_words'] for row in holds])}.")
    if not (changes or weaker or holds):
        said.append("No part that was run says whether that holds.")
    would = [
        row["would_be_moved_by"]
        for row in rows
        if row["would_be_moved_by"] and row["state"] in (None, "holds")
    ]
    if would:
        said.append(f"Pushed further, the conclusion would change with {', or with '.join(would)}.")
    return " ".join(said)


def part_in_words(row: Values) -> str:
    """Name a part with its farthest refit: "other readers' priors (sceptical: 0.74, ...)"."""
    if row["mover"] is None:
        return row["in_words"]
    others = row["n_movers"] - 1
    more = f", and {count_of(others, 'other refit')}" if others else ""
    ratio = ratio_of(row, "{}, {}")
    return f"{row['in_words']} ({row['mover']}: {ratio}{more})"
