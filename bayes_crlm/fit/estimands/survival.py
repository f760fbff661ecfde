"""Standardised survival at given times."""

from collections.abc import Sequence
from typing import Any

from bayes_crlm.figures import plot_survival
from bayes_crlm.fit.answers import proportionality_warnings
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.entry_weights import entry_weight_rows, entry_weight_warnings
from bayes_crlm.fit.estimand_draws import survival_draws
from bayes_crlm.fit.estimands.rows import estimand_section, given_origin, mean_and_limits
from bayes_crlm.fit.findings import Findings
from bayes_crlm.model.arm_follow_up import note_for
from bayes_crlm.model.origin import given_survival
from bayes_crlm.model.withdrawn import levels_without_events
from bayes_crlm.words.section import Column, Figure, Note, Rows, Section
from bayes_crlm.words.shown import number, significant


def sections(found: Findings) -> list[Section]:
    """Give survival at the horizons that are asked for, after what is said of all estimands.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    horizons = found.asked.horizons
    rows = survival_rows(found.fit, horizons) if horizons else []
    rows = [row | {"_estimand": "survival"} for row in rows]
    columns = (
        Column("treatment", found.fit.inputs.design.treatment),
        Column("_estimand", "estimand", small="note"),
        Column("time", "time", "time", found.unit),
        Column("mean", "estimate", "percent"),
        Column("eti95", "95% interval", "percent_limits"),
    )
    return [estimand_section(found, "survival", rows, columns)]


def overview(found: Findings) -> list[Section]:
    """Say of whom estimands are, given what, and draw the curves.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    fit, start = found.fit, found.start
    unit, cohort = fit.inputs.cohort.unit, fit.inputs.cohort
    given = given_survival(fit.begin, unit) or None
    weights = entry_weight_rows(fit)
    begins = ": curves begin there at 100%, and times are those of the data's scale."
    counted = (
        "It is of the population before entry: each patient counts 1 / survival from "
        f"{significant(fit.begin, 6)} to the first entry, which leaves "
        f"{number(fit.effective_patients, 0)} effective of {cohort.n_patients} patients."
    )
    is_before_entry = fit.population == "before_entry"
    notes = (
        *(cautioned(each, "not-proportional") for each in proportionality_warnings(fit, start)),
        Note(begins if given else "", "", "given", f"All of this section is {given}", True),
        Note(counted if is_before_entry else "", "", "population", "", True),
        *(cautioned(each, "entry-weights") for each in entry_weight_warnings(weights, unit)),
        Note(found.as_treated or "", "caution", "as-treated", "", True),
    )
    return [
        Section(
            "estimands",
            chapter="survival",
            notes=notes,
            figures=(Figure("survival", caption(found, given), plot_survival, {"fit": fit}),),
            rows=(Rows("entry_weights", weights, at=("estimands", "entry_weights")),),
            summary={
                "estimands": {
                    "analysis": found.as_treated,
                    "origin": fit.begin,
                    "given": given,
                    "population": fit.population,
                    "effective_patients": fit.effective_patients,
                }
            },
        )
    ]


def cautioned(text: str, kind: str) -> Note:
    """Set a caution before the curves."""
    return Note(f" {text}.", f"caution {kind}", "", "Caution:", True)


def caption(found: Findings, given: str | None) -> str:
    """Say what is drawn of survival."""
    of_eventless = (
        ", and without a band where no event happened on the arm: the prior decides how high that "
        "curve lies"
        if levels_without_events(found.fit.inputs)
        else ""
    )
    # rows of later stretches of time begin late, too
    is_late = bool((found.fit.inputs.cohort.entry > 0).any())
    late = "; those that begin late are given survival to there" if is_late else ""
    return (
        f"Share without the event{f', {given}' if given else ''}. Smooth lines and bands: the "
        "model, standardised to all patients' covariates (posterior median, 95% band); dotted "
        f"where no patient of the arm was followed so long{of_eventless}. Steps: Kaplan-Meier of "
        f"the patients as treated, not adjusted{late}."
    )


def survival_rows(fit: PosteriorDraws, times: Sequence[float]) -> list[dict[str, Any]]:
    """Standardised survival at given times, given survival to the origin.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    times : sequence of float
        In the cohort's time unit, from the origin to the end of follow-up.

    Returns
    -------
    list of dict
        treatment, time, mean, eti95 limits, origin, note.

    Raises
    ------
    EstimandError
        Without a time, and for one before the origin or beyond the last cutpoint.
    """
    draws = survival_draws(fit, times)
    return [
        {"treatment": level, "time": float(when)}
        | mean_and_limits(draws.values[:, i, k])
        | given_origin(fit, note_for(fit.inputs, [i], when))
        for i, level in enumerate(fit.inputs.design.levels)
        for k, when in enumerate(draws.coords["time"])
    ]
