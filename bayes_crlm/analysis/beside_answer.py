"""What stands beside the answer, so that nobody reads a hazard ratio without it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bayes_crlm.fit.answers import answer_rows, answer_sentence, proportionality_warnings
from bayes_crlm.fit.changing_rows import changing_sentence, finer_rows
from bayes_crlm.fit.crude import crude_rows, crude_sentence
from bayes_crlm.model.column_counts import arm_cautions, rare_cautions
from bayes_crlm.words.late_start import headline_row

if TYPE_CHECKING:
    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.words.success import SuccessRule

__all__ = ["BesideAnswer", "beside_answer"]


@dataclass(frozen=True)
class BesideAnswer:
    """The answers of a fit and what has to be read with them.

    Attributes
    ----------
    answers : list of dict
        Every two treatment levels, as in `bayes_crlm.fit.answers.answer_rows`, each with its
        sentence.
    crude : list of dict
        As in `bayes_crlm.fit.crude.crude_rows`.
    finer : list of dict
        As in `bayes_crlm.fit.changing_rows.finer_rows`.
    found : tuple of str
        What only the fit shows: hazards that are not proportional, rows that change.
    notes : tuple of str
        That, and levels on which hardly any data rest, in the order in which they are read.
    """

    answers: list[dict[str, Any]]
    crude: list[dict[str, Any]]
    finer: list[dict[str, Any]]
    found: tuple[str, ...]
    notes: tuple[str, ...]


def beside_answer(
    fit: "Fit",
    rule: "SuccessRule",
    failures: Sequence[str] = (),
    thresholds: Sequence[float] = (),
    start: Mapping[str, Any] | None = None,
) -> BesideAnswer:
    """Gather the answers of a fit and what stands beside them.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    rule : SuccessRule
        When a hazard counts as lower or higher.
    failures : sequence of str
        Diagnostics that fail, which withdraw every answer.
    thresholds : sequence of float
        Hazard ratios r whose probability P(HR < r) is given too.
    start : mapping, optional
        From `bayes_crlm.fit.late_start.compare_starts`; its headline is what is concluded
        from.
    """
    treatment, reference = fit.inputs.design.treatment, fit.inputs.design.reference
    answers = answer_rows(fit, rule, failures, thresholds)
    crude = crude_rows(fit)
    finer = finer_rows(fit)
    waited = start is not None and start["n_waited"] > 0
    for row in answers:
        is_told = not row["withdrawn"] and row["reference"] == reference
        told = headline_row(start, row) if is_told else row
        row["headline"] = told.get("analysis", "as_treated")
        if is_told:
            row["conclusion"] = rule.conclusion(told["prob_below_effect"])
        has_wait = waited and row["headline"] == "as_treated"
        row["sentence"] = answer_sentence(row, treatment, rule, told, has_wait=has_wait)
        row["crude"] = crude_sentence(crude, row["treatment"]) if is_told else None
    withdrawn = [
        row["treatment"] for row in answers if row["withdrawn"] and row["reference"] == reference
    ]
    changing = changing_sentence(finer, withdrawn)
    found = (*proportionality_warnings(fit, start), *([changing] if changing else []))
    notes = (*found, *arm_cautions(fit.inputs), *rare_cautions(fit.inputs))
    return BesideAnswer(answers, crude, finer, found, notes)
