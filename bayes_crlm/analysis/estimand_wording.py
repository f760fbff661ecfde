"""Estimands in words, for the terminal: what is asked, and what came of it."""

from typing import TYPE_CHECKING, Any

from bayes_crlm.words.late_start import estimands_in_words
from bayes_crlm.words.shown import as_written, significant

if TYPE_CHECKING:
    from bayes_crlm.analysis.run import Plan

__all__ = ["estimand_items", "estimands_asked"]


def estimands_asked(plan: "Plan") -> str:
    """Say which survival estimands a plan has, given what, and of whom.

    Parameters
    ----------
    plan : Plan
        A checked plan.
    """
    from bayes_crlm.model.origin import given_survival

    asked, unit = plan.spec.estimands, plan.inputs.cohort.unit
    times = ", ".join(f"{as_written(time)}" for time in asked.horizons or ())
    given = given_survival(asked.origin or 0.0, unit)
    return (
        f"survival at {times}, mean survival up to {as_written(asked.rmst or 0.0)} "
        f"{unit or 'time units'}"
        + (f", {given}" if given else "")
        + ("; of the population before entry" if asked.population == "before_entry" else "")
    )


def estimand_items(summary: dict[str, Any]) -> list[tuple[str, str]]:
    """Give the terminal's lines of median survival, one for each treatment level, and of whom.

    Parameters
    ----------
    summary : dict
        From `bayes_crlm.analysis.summary.summarise`.

    Returns
    -------
    list of (str, str)
        Names and values; numbers beyond an arm's follow-up say so.
    """
    from bayes_crlm.fit.entry_weights import entry_weight_warnings

    estimands, unit = summary["estimands"], summary["data"]["unit"] or "time units"
    as_treated = estimands_in_words(summary["start"])
    given = f", {estimands['given']}" if estimands["given"] else ""
    items = []
    for row in estimands["median_survival"]:
        low, high = (limit_in_words(each) for each in row["eti95"])
        median = (
            "not reached within follow-up"
            if row["median"] is None
            else f"{significant(row['median'], 3)} {unit}"
        )
        note = f" ({row['note']})" if row["note"] else ""
        items.append(
            (
                "" if items else "median",
                f"{row['treatment']}: {median} (95% interval {low} to {high}){given}{note}",
            )
        )
    if as_treated is not None:
        items.append(("", as_treated))
    if estimands["population"] == "before_entry":
        items.append(
            (
                "patients",
                f"{estimands['effective_patients']:.0f} effective of "
                f"{summary['data']['n_patients']}: survival is of the population before entry",
            )
        )
        told = entry_weight_warnings(estimands["entry_weights"], summary["data"]["unit"])
        items += [("", each) for each in told]
    return items


def limit_in_words(limit: float | None) -> str:
    """Write a limit of a median; one beyond follow-up has no number."""
    return "not reached" if limit is None else f"{significant(limit, 3)}"
