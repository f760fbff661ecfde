"""Differences to the reference level in survival and restricted mean survival."""

from collections.abc import Sequence
from typing import Any

from numpy.typing import NDArray

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.estimand_draws import rmst_draws, survival_draws
from bayes_crlm.fit.estimands.rmst import between
from bayes_crlm.fit.estimands.rows import estimand_section, given_origin, mean_and_limits
from bayes_crlm.fit.findings import Findings
from bayes_crlm.model.arm_follow_up import note_for
from bayes_crlm.words.arguments import times_of
from bayes_crlm.words.section import Column, Section


def sections(found: Findings) -> list[Section]:
    """Give every level's differences to the reference.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    asked, name = found.asked, "differences"
    rows = difference_rows(found.fit, asked.horizons, asked.rmst)
    title = f"mean survival {between(found.fit.begin)}"
    titles = {"survival": "survival, percentage points", "rmst": title}
    # shares in percentage points, means in time
    kinds = {"survival": "points", "rmst": "difference"}
    rows = [
        row | {"_title": titles[row["estimand"]], "_kind": kinds[row["estimand"]]} for row in rows
    ]
    columns = (
        Column("treatment", "comparison", "comparison"),
        Column("_title", "estimand", small="note"),
        Column("time", "time", "time", found.unit),
        Column("mean", "difference", "_kind"),
        Column("eti95", "95% interval", "_kind_limits"),
        Column("prob_above_0", "P(above 0)", "probability"),
    )
    return [estimand_section(found, name, rows, columns, "Differences" if rows else "")]


def difference_rows(
    fit: PosteriorDraws, horizons: Sequence[float], rmst: float | None
) -> list[dict[str, Any]]:
    """Differences to the reference level in survival and restricted mean survival.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    horizons : sequence of float
        Times of the survival differences.
    rmst : float or None
        Horizon of the restricted means.

    Returns
    -------
    list of dict
        estimand, treatment, reference, time, mean, eti95 limits, prob_above_0, origin, note.
    """
    levels, horizons = fit.inputs.design.levels, times_of(horizons, "horizons")
    survival = survival_draws(fit, horizons).values if len(horizons) else None
    area = rmst_draws(fit, rmst).values if rmst is not None else None
    rows = []

    def add(estimand: str, level: int, when: float, draws: NDArray) -> None:
        rows.append(
            {
                "estimand": estimand,
                "treatment": levels[level],
                "reference": levels[0],
                "time": float(when),
            }
            | mean_and_limits(draws)
            | {"prob_above_0": float((draws > 0).mean())}
            | given_origin(fit, note_for(fit.inputs, [level, 0], when))
        )

    for level in range(1, len(levels)):
        if survival is not None:
            for k, when in enumerate(horizons):
                add("survival", level, when, survival[:, level, k] - survival[:, 0, k])
        if area is not None and rmst is not None:
            add("rmst", level, rmst, area[:, level] - area[:, 0])
    return rows
