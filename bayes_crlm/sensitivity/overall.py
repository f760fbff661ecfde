"""The first sentence of a sensitivity analysis: a function of one row for each part.

The rows stand in `tables/sensitivity_parts.csv` and in `sensitivity.json` (`conclusion.rows`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bayes_crlm.sensitivity.parts import PartResult
from bayes_crlm.sensitivity.verdicts import listed
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

__all__ = ["overall_sentence", "part_rows"]


def part_rows(parts: Mapping[str, PartResult], in_words: Mapping[str, str]) -> list[dict[str, Any]]:
    """Give every part one row: its state, and the refit that is farthest from the base.

    Parameters
    ----------
    parts : mapping of str to PartResult
    in_words : mapping of str to str
        What a reader calls a part.

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
                "in_words": in_words[name],
                "state": part.state,
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
    base: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], rule: SuccessRule, comparison: str
) -> str:
    """Begin with the conclusion, then say what changes it, what weakens it and where it holds.

    Parameters
    ----------
    base : mapping
        The base analysis: median, eti95, prob_below_effect, is_reliable, note, withdrawn.
    rows : sequence of mapping
        From `part_rows`.
    rule : SuccessRule
    comparison : str
        Which level is compared with which.
    """
    low, high = base["eti95"]
    found = f"{comparison}: hazard ratio {base['median']:.2f}, 95% interval {low:.2f} to {high:.2f}"
    if base.get("withdrawn") and base.get("is_reliable") is not False:
        return f"Nothing is concluded: {base['withdrawn']}."
    if base.get("is_reliable") is False:
        return f"Nothing is concluded: the base analysis fails its diagnostic ({base['note']})."
    said = [f"{rule.sentence(base).removesuffix('.')} ({found})."]
    is_undecided = rule.conclusion(base["prob_below_effect"]) == "undecided"
    by_state = {
        state: [row for row in rows if row["state"] == state]
        for state in ("changes", "weaker", "holds")
    }
    if by_state["changes"]:
        start = "Refits decide under" if is_undecided else "The conclusion changes under"
        said.append(f"{start} {'; '.join(say_part(row) for row in by_state['changes'])}.")
    if by_state["weaker"]:
        weaker = "; ".join(say_part(row) for row in by_state["weaker"])
        said.append(f"The conclusion is weaker under {weaker}.")
    if by_state["holds"]:
        start = "They decide nothing either under" if is_undecided else "The conclusion holds under"
        said.append(f"{start} {listed([row['in_words'] for row in by_state['holds']])}.")
    if not any(by_state.values()):
        said.append("No part that was run says whether that holds.")
    would = [
        row["would_be_moved_by"]
        for row in rows
        if row["would_be_moved_by"] and row["state"] in (None, "holds")
    ]
    if would:
        # each is a list of its own, as a rule
        said.append(f"Pushed further, the conclusion would be moved by {'; '.join(would)}.")
    return " ".join(said)


def say_part(row: Mapping[str, Any]) -> str:
    """Name a part with its farthest refit: "other readers' priors (sceptical: 0.74, ...)"."""
    if row["mover"] is None:
        return row["in_words"]
    low, high = row["eti95"]
    others = row["n_movers"] - 1
    more = f", and {count_of(others, 'other refit')}" if others else ""
    said = f"{row['mover']}: {row['median']:.2f}, {low:.2f} to {high:.2f}"
    return f"{row['in_words']} ({said}{more})"
