"""Median survival."""

from typing import Any

import numpy as np

from bayes_crlm.fit.draws import ETI95, PosteriorDraws
from bayes_crlm.fit.entry_weights import entry_weight_rows, entry_weight_warnings
from bayes_crlm.fit.estimand_draws import median_survival_draws
from bayes_crlm.fit.estimands.rows import estimand_section, given_origin, quantiles_with_infinity
from bayes_crlm.fit.findings import Findings
from bayes_crlm.model.arm_follow_up import median_note
from bayes_crlm.model.origin import given_survival
from bayes_crlm.words.cells import reached
from bayes_crlm.words.section import Column, Lines, Section
from bayes_crlm.words.shown import probability_in_words, whole


def sections(found: Findings) -> list[Section]:
    """Give every level's median survival.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    name = "median_survival"
    rows = median_rows(found.fit)
    shown = {"_estimand": "median survival", "_time": ""}
    rows = [row | shown | {"_small": small(row)} for row in rows]
    columns = (
        Column("treatment", found.fit.inputs.design.treatment),
        Column("_estimand", "estimand", small="_small"),
        Column("_time", "time", "count", found.unit),
        Column("median", "estimate", "reached"),
        Column("eti95", "95% interval", "reached_limits"),
    )
    is_told = not found.failures and found.has_every_answer
    lines = (Lines("survival", items(found, rows)),) if is_told else ()
    return [estimand_section(found, name, rows, columns, lines=lines)]


def small(row: dict[str, Any]) -> str:
    """Say how many draws do not reach the median, and what else is to be known of it."""
    share = row["share_not_reached"]
    phrase = (
        f"not reached within follow-up in {probability_in_words(share)} of draws" if share else ""
    )
    return "; ".join(each for each in (phrase, row["note"]) if each)


def items(found: Findings, rows: list[dict[str, Any]]) -> tuple[tuple[str, str], ...]:
    """Say medians on the terminal, one for each treatment level, and of whom they are."""
    fit, unit = found.fit, found.fit.inputs.cohort.unit
    given = given_survival(fit.begin, unit)
    phrases = []
    for row in rows:
        low, high = (reached(row[limit]) for limit in ("eti95_low", "eti95_high"))
        median = (
            f"{reached(row['median'])} {found.unit}"
            if np.isfinite(row["median"])
            else "not reached within follow-up"
        )
        note = f" ({row['note']})" if row["note"] else ""
        interval = f"(95% interval {low} to {high}){f', {given}' if given else ''}{note}"
        phrases.append(("" if phrases else "median", f"{row['treatment']}: {median} {interval}"))
    if found.as_treated is not None:
        phrases.append(("", found.as_treated))
    if fit.population == "before_entry":
        n_patients = fit.inputs.cohort.n_patients
        phrases.append(
            (
                "patients",
                f"{whole(fit.effective_patients)} effective of {n_patients}: survival is of the "
                "population before entry",
            )
        )
        phrases += [("", each) for each in entry_weight_warnings(entry_weight_rows(fit), unit)]
    return tuple(phrases)


def median_rows(fit: PosteriorDraws) -> list[dict[str, Any]]:
    """Time of standardised median survival, with the share of draws that do not reach it.

    Returns
    -------
    list of dict
        treatment, median, eti95 limits (infinite when not reached), share_not_reached, origin,
        note.
    """
    draws = median_survival_draws(fit).values
    rows = []
    for i, level in enumerate(fit.inputs.design.levels):
        low, middle, high = quantiles_with_infinity(draws[:, i], [ETI95[0], 0.5, ETI95[1]])
        rows.append(
            {
                "treatment": level,
                "median": middle,
                "eti95_low": low,
                "eti95_high": high,
                "share_not_reached": float(np.isinf(draws[:, i]).mean()),
            }
            | given_origin(fit, median_note(fit.inputs, i, middle, high))
        )
    return rows
