"""What was observed beside what the model says: Kaplan-Meier, and events of every interval."""

from typing import Any

from bayes_crlm.fit.expected_events import expected_events
from bayes_crlm.fit.findings import Findings
from bayes_crlm.fit.observed_survival import kaplan_meier_distances, kaplan_meier_rows
from bayes_crlm.words.cells import percent
from bayes_crlm.words.section import Column, Note, Rows, Section
from bayes_crlm.words.shown import number, significant


def sections(found: Findings) -> list[Section]:
    """Give Kaplan-Meier and counts of events beside the model's.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    return [kaplan_meier(found), events(found)]


def kaplan_meier(found: Findings) -> Section:
    """Give each arm's Kaplan-Meier curve beside the model's."""
    fit, horizons = found.fit, found.asked.horizons
    rows = kaplan_meier_rows(fit, horizons) if horizons else []
    distances = kaplan_meier_distances(fit)
    rows = [row | {"_small": given(row, fit.begin, 6)} for row in rows]
    treatment = fit.inputs.design.treatment
    phrase = "; ".join(
        f"{treatment} {distance_in_words(row, fit.begin, found.unit)}" for row in distances
    )
    columns = (
        Column("treatment", fit.inputs.design.treatment),
        Column("time", "time", "time", found.unit),
        Column("n_at_risk", "at risk", "count"),
        Column("kaplan_meier", "Kaplan-Meier", "percent", small="_small"),
        Column("model", "model", "percent"),
        Column("difference", "difference, percentage points", "points"),
    )
    name = "kaplan_meier"
    return Section(
        name,
        title="Kaplan-Meier beside the model",
        chapter="survival",
        rows=(
            Rows(name, rows, columns, (name, "rows"), marks=found.marks),
            Rows("kaplan_meier_distance", distances, at=(name, "largest_distance")),
        ),
        notes=(
            Note(f"{phrase}.", is_first=True),
            Note(
                "While at least ten patients of the arm are at risk, or as many as there ever are. "
                "Kaplan-Meier is of the patients as treated and adjusts for nothing.",
                "muted",
                is_first=True,
            ),
        ),
    )


def given(row: dict[str, Any], origin: float, digits: int) -> str:
    """Say to which time both curves are given survival, where that is later than the origin."""
    return f"given survival to {significant(row['given'], digits)}" * (row["given"] > origin)


def distance_in_words(row: dict[str, Any], origin: float, unit: str) -> str:
    """Say how far apart the two curves of an arm come, and where."""
    both = f" (both {given(row, origin, 4)})" if row["given"] > origin else ""
    return (
        f"{row['treatment']}: largest distance {number(100 * row['distance'], 1)} "
        f"percentage points at {significant(row['time'], 4)} {unit}{both} (Kaplan-Meier "
        f"{percent(row['kaplan_meier'])}, model {percent(row['model'])})"
    )


def events(found: Findings) -> Section:
    """Give events observed and expected of every level in every interval."""
    rows = expected_events(found.fit)
    rows = [
        row | {"_is_outside": not row["eti95_low"] <= row["observed"] <= row["eti95_high"]}
        for row in rows
    ]
    columns = (
        Column("treatment", found.fit.inputs.design.treatment),
        Column("from", "interval", "interval", found.unit),
        Column("exposure", "time at risk", "number"),
        Column("observed", "observed", "count", strong="_is_outside"),
        Column("expected", "expected", "tenths"),
        Column("eti95", "95% of predicted counts", "whole_limits"),
    )
    name = "expected_events"
    return Section(
        name,
        title="Events observed and expected",
        chapter="survival",
        rows=(Rows(name, rows, columns, (name,), marks=found.marks),),
        notes=(
            Note(
                "Expected is what the model gives for the time that patients spent at risk on each "
                "level; counts in bold lie outside what it predicts. Arms whose hazards cross have "
                "more events than expected early and fewer late, or the reverse.",
                "muted",
            ),
        ),
    )
