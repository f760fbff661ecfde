"""A fit with all that is asked of it: what every section of the results is made from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from bayes_crlm.fit.agreement import compare
from bayes_crlm.fit.answers import answer_rows, answer_sentence, proportionality_warnings
from bayes_crlm.fit.changing_rows import changing_sentence, finer_rows
from bayes_crlm.fit.crude import crude_rows, crude_sentence
from bayes_crlm.fit.diagnostics import Diagnostics
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.late_start import compare_starts
from bayes_crlm.model.column_counts import arm_cautions, rare_cautions, sides_of_columns
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.late_start import estimands_in_words, headline_row, withdraw_starts
from bayes_crlm.words.records import record
from bayes_crlm.words.success import SuccessRule


@record
class Asked:
    """What is asked of a fit.

    Attributes
    ----------
    rule : SuccessRule
        When a hazard counts as lower or higher.
    thresholds : tuple of float
        Hazard ratios r whose probability P(HR < r) is given.
    horizons : tuple of float
        Times at which survival is given.
    rmst : float or None
        Horizon of restricted mean survival.
    caution : str or None
        What its author wants to be read beside the answer.
    is_observational : bool
        Whether treatment was not drawn by lot.
    """

    rule: SuccessRule = field(default_factory=SuccessRule)
    thresholds: tuple[float, ...] = (1.0, 0.8)
    horizons: tuple[float, ...] = ()
    rmst: float | None = None
    caution: str | None = None
    is_observational: bool = True


@dataclass(frozen=True, eq=False)
class Findings:
    """A fit, its diagnostics and what is asked; all else is found when it is first needed.

    Attributes
    ----------
    fit : PosteriorDraws
        A fitted model.
    asked : Asked
        Success rule, thresholds and times of what is reported.
    diagnostics : Diagnostics
        Where one of them fails, every answer is withdrawn.
    planned : tuple of str
        What a reader should know before anything is fitted.
    """

    fit: PosteriorDraws
    asked: Asked
    diagnostics: Diagnostics
    planned: tuple[str, ...] = ()

    @property
    def inputs(self) -> PreparedCohort:
        """The cohort as the model saw it."""
        return self.fit.inputs

    @property
    def failures(self) -> tuple[str, ...]:
        """Diagnostics that fail."""
        return self.diagnostics.failures

    @property
    def unit(self) -> str:
        """Of time, in words."""
        return self.fit.inputs.cohort.unit or "time units"

    @property
    def is_adjusted(self) -> bool:
        """Whether the model has other terms than the treatment."""
        return len(self.inputs.design.terms) > self.inputs.n_treatment_terms

    @cached_property
    def compared_starts(self) -> dict[str, Any] | None:
        """Analyses in which treatment counts from its start, before answers are withdrawn."""
        return compare_starts(self.fit, self.asked.thresholds, self.asked.rule)

    @cached_property
    def start(self) -> dict[str, Any] | None:
        """As `bayes_crlm.fit.late_start.compare_starts`, withdrawn where the answer is."""
        return withdraw_starts(self.compared_starts, self.answers)

    @property
    def has_waited(self) -> bool:
        """Whether patients waited for the treatment that they are counted on from time zero."""
        return self.compared_starts is not None and self.compared_starts["n_waited"] > 0

    @property
    def marks(self) -> dict[str, str]:
        """What files of the analysis as treated say in every row, where patients waited."""
        return {"treatment_counts": "from time zero on"} if self.has_waited else {}

    @cached_property
    def as_treated(self) -> str | None:
        """Of which patients estimands are, where that has to be said."""
        return estimands_in_words(self.start)

    @cached_property
    def agreement(self) -> list[dict[str, Any]]:
        """As `bayes_crlm.fit.agreement.compare`."""
        return compare(self.fit, explain=self.diagnostics.is_trustworthy)

    @cached_property
    def crude(self) -> list[dict[str, Any]]:
        """As `bayes_crlm.fit.crude.crude_rows`."""
        return crude_rows(self.fit)

    @cached_property
    def finer(self) -> list[dict[str, Any]]:
        """As `bayes_crlm.fit.changing_rows.finer_rows`."""
        return finer_rows(self.fit)

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """Every two treatment levels, as `bayes_crlm.fit.answers.answer_rows`, with a sentence."""
        design, rule, start = self.fit.inputs.design, self.asked.rule, self.compared_starts
        rows = answer_rows(self.fit, rule, self.failures, self.asked.thresholds)
        for row in rows:
            is_told = not row["withdrawn"] and row["reference"] == design.reference
            headline: Mapping[str, Any] = headline_row(start, row) if is_told else row
            row["headline"] = headline.get("analysis", "as_treated")
            if is_told:
                row["conclusion"] = rule.conclusion(headline["prob_below_effect"])
            has_wait = self.has_waited and row["headline"] == "as_treated"
            row["sentence"] = answer_sentence(
                row, design.treatment, rule, headline, has_wait=has_wait
            )
            row["crude"] = crude_sentence(self.crude, row["treatment"]) if is_told else None
        return rows

    @cached_property
    def found(self) -> tuple[str, ...]:
        """What only the fit shows: hazards that are not proportional, rows that change."""
        reference = self.fit.inputs.design.reference
        withdrawn = [
            row["treatment"]
            for row in self.answers
            if row["withdrawn"] and row["reference"] == reference
        ]
        changing = changing_sentence(self.finer, withdrawn)
        not_proportional = proportionality_warnings(self.fit, self.compared_starts)
        return (*not_proportional, *([changing] if changing else []))

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """That, and levels on which hardly any data rest, in the order in which they are read."""
        inputs = self.fit.inputs
        sides = sides_of_columns(inputs.cohort, inputs.design)
        rare = rare_cautions(sides, inputs.covariate_prior)
        return (*self.found, *arm_cautions(sides), *rare)

    @property
    def has_every_answer(self) -> bool:
        """Whether no answer is withdrawn."""
        return not any(row["withdrawn"] for row in self.answers)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What has to be read with the results, estimands apart; diagnostics come first."""
        checks = self.diagnostics
        return (
            *checks.failures,
            *checks.concerns,
            *self.found,
            *self.planned,
            *self.fit.notes,
            *self.fit.cox.warnings,
        )
