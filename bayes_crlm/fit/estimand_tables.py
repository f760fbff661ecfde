"""Tables of a fit's estimands, with a note where a number lies beyond an arm's follow-up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.fit.draws import ETI95
from bayes_crlm.fit.entry_weights import entry_weight_rows, entry_weight_warnings
from bayes_crlm.fit.estimand_draws import median_survival_draws, rmst_draws, survival_draws
from bayes_crlm.model.arm_follow_up import (
    NO_EVENT,
    eventless_cautions,
    last_follow_up,
    median_note,
    note_for,
)
from bayes_crlm.words.shown import significant

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit.draws import PosteriorDraws

__all__ = ["differences_table", "estimand_warnings", "median_table", "rmst_table", "survival_table"]


def survival_table(fit: "PosteriorDraws", times: Sequence[float]) -> "pd.DataFrame":
    """Standardised survival at given times, given survival to the origin.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    times : sequence of float
        In the cohort's time unit, from the origin to the end of follow-up.

    Returns
    -------
    pandas.DataFrame
        treatment, time, mean, eti95 limits, origin, note.

    Raises
    ------
    EstimandError
        Without a time, and for one before the origin or beyond the last cutpoint.
    """
    draws = survival_draws(fit, times)
    rows = [
        {"treatment": level, "time": float(when)}
        | mean_and_limits(draws.values[:, i, k])
        | {"note": note_for(fit.inputs, [i], when)}
        for i, level in enumerate(fit.inputs.design.levels)
        for k, when in enumerate(draws["time"].values)
    ]
    return told(fit, rows)


def rmst_table(fit: "PosteriorDraws", horizon: float) -> "pd.DataFrame":
    """Restricted mean survival: the area under the curve from the origin to a horizon.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    horizon : float
        In the cohort's time unit, after the origin and within follow-up.

    Returns
    -------
    pandas.DataFrame
        treatment, horizon, mean, eti95 limits, origin, note.

    Raises
    ------
    EstimandError
        For a horizon that is not after the origin, or beyond the last cutpoint.
    """
    draws = rmst_draws(fit, horizon)
    rows = [
        {"treatment": level, "horizon": float(horizon)}
        | mean_and_limits(draws.values[:, i])
        | {"note": note_for(fit.inputs, [i], horizon)}
        for i, level in enumerate(fit.inputs.design.levels)
    ]
    return told(fit, rows)


def median_table(fit: "PosteriorDraws") -> "pd.DataFrame":
    """Time of standardised median survival, with the share of draws that do not reach it.

    Returns
    -------
    pandas.DataFrame
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
                "note": median_note(fit.inputs, i, middle, high),
            }
        )
    return told(fit, rows)


def differences_table(
    fit: "PosteriorDraws", horizons: Sequence[float], rmst: float | None
) -> "pd.DataFrame":
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
    pandas.DataFrame
        estimand, treatment, reference, time, mean, eti95 limits, prob_above_0, origin, note.
    """
    levels = fit.inputs.design.levels
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
            | {
                "prob_above_0": float((draws > 0).mean()),
                "note": note_for(fit.inputs, [level, 0], when),
            }
        )

    for level in range(1, len(levels)):
        if survival is not None:
            for k, when in enumerate(horizons):
                add("survival", level, when, survival[:, level, k] - survival[:, 0, k])
        if area is not None and rmst is not None:
            add("rmst", level, rmst, area[:, level] - area[:, 0])
    return told(fit, rows)


def told(fit: "PosteriorDraws", rows: list[dict[str, Any]]) -> "pd.DataFrame":
    """Make a table of rows, each with the origin that it is given survival to, then its note."""
    import pandas as pd

    table = pd.DataFrame(rows)
    if not rows:
        return table
    # None stays None: pandas would make it into a number
    note = pd.Series([row["note"] for row in rows], dtype=object)
    return table.drop(columns="note").assign(origin=fit.begin, note=note)


def mean_and_limits(draws: NDArray) -> dict[str, float]:
    """Mean and equal-tailed 95% limits of draws."""
    low, high = np.quantile(draws, ETI95)
    return {"mean": float(draws.mean()), "eti95_low": float(low), "eti95_high": float(high)}


def quantiles_with_infinity(draws: NDArray, probabilities: Sequence[float]) -> list[float]:
    """Quantiles of draws of which some are infinite (order statistics, no interpolation)."""
    return [float(np.quantile(draws, each, method="higher")) for each in probabilities]


def estimand_warnings(fit: "PosteriorDraws") -> list[str]:
    """Say which medians lie beyond follow-up, which arms have no event, and what weights leave.

    What is known before fitting - horizons beyond an arm, the origin - is in the plan's warnings.
    """
    cohort, treatment = fit.inputs.cohort, fit.inputs.design.treatment
    unit, last = cohort.unit or "time units", last_follow_up(fit.inputs)
    table = median_table(fit)
    told = eventless_cautions(fit.inputs)
    for k, (level, median, high, note) in enumerate(
        zip(table["treatment"], table["median"], table["eti95_high"], table["note"], strict=True)
    ):
        if note is not None and note != NO_EVENT:
            where = (
                f"{significant(median, 4)}"
                if median > last[k]
                else f"{significant(median, 4)} (to {significant(high, 4)})"
            )
            told.append(
                f"{treatment} {level}, median survival {where} {unit}: {note} "
                f"(the longest: {significant(last[k], 4)})"
            )
    if fit.population == "before_entry":
        told.append(
            "survival, its median and restricted means are those of the population before entry: "
            "each patient counts 1 / survival from the origin to the first entry, which leaves "
            f"{fit.effective_patients:.0f} effective of {cohort.n_patients} patients"
        )
    return [*told, *entry_weight_warnings(entry_weight_rows(fit), unit)]
