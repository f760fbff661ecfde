"""Tables of a fit's estimands, with a note where a number lies beyond an arm's follow-up."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.arm_follow_up import median_note, note_for

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.fit import Fit

__all__ = ["differences_table", "median_table", "rmst_table", "survival_table"]

ETI95 = (0.025, 0.975)


def survival_table(fit: "Fit", times: Sequence[float]) -> "pd.DataFrame":
    """Standardised survival at given times, given survival to the origin.

    Parameters
    ----------
    fit : Fit
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
    draws = fit.survival_draws(times)
    rows = [
        {"treatment": level, "time": float(when)}
        | mean_and_limits(draws.values[:, i, k])
        | {"note": note_for(fit.inputs, [i], when)}
        for i, level in enumerate(fit.inputs.design.levels)
        for k, when in enumerate(draws["time"].values)
    ]
    return told(fit, rows)


def rmst_table(fit: "Fit", horizon: float) -> "pd.DataFrame":
    """Restricted mean survival: the area under the curve from the origin to a horizon.

    Parameters
    ----------
    fit : Fit
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
    draws = fit.rmst_draws(horizon)
    rows = [
        {"treatment": level, "horizon": float(horizon)}
        | mean_and_limits(draws.values[:, i])
        | {"note": note_for(fit.inputs, [i], horizon)}
        for i, level in enumerate(fit.inputs.design.levels)
    ]
    return told(fit, rows)


def median_table(fit: "Fit") -> "pd.DataFrame":
    """Time of standardised median survival, with the share of draws that do not reach it.

    Returns
    -------
    pandas.DataFrame
        treatment, median, eti95 limits (infinite when not reached), share_not_reached, origin,
        note.
    """
    draws = fit.median_survival_draws().values
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


def differences_table(fit: "Fit", horizons: Sequence[float], rmst: float | None) -> "pd.DataFrame":
    """Differences to the reference level in survival and restricted mean survival.

    Parameters
    ----------
    fit : Fit
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
    survival = fit.survival_draws(horizons).values if len(horizons) else None
    area = fit.rmst_draws(rmst).values if rmst is not None else None
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


def told(fit: "Fit", rows: list[dict[str, Any]]) -> "pd.DataFrame":
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
