"""Estimands in words: what is asked."""

from typing import TYPE_CHECKING

from bayes_crlm.words.shown import as_written

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan


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
