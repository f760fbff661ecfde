"""Restricted mean survival."""

from typing import Any

from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.estimand_draws import rmst_draws
from bayes_crlm.fit.estimands.rows import estimand_section, given_origin, mean_and_limits
from bayes_crlm.fit.findings import Findings
from bayes_crlm.model.arm_follow_up import note_for
from bayes_crlm.words.section import Column, Section
from bayes_crlm.words.shown import as_written


def sections(found: Findings) -> list[Section]:
    """Give the restricted mean up to the horizon that is asked for.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    horizon, name = found.asked.rmst, "rmst"
    rows = [] if horizon is None else rmst_rows(found.fit, horizon)
    rows = [row | {"_estimand": f"mean survival {between(found.fit.begin)}"} for row in rows]
    columns = (
        Column("treatment", found.fit.inputs.design.treatment),
        Column("_estimand", "estimand", small="note"),
        Column("horizon", "time", "time", found.unit),
        Column("mean", "estimate", "duration"),
        Column("eti95", "95% interval", "duration_limits"),
    )
    return [estimand_section(found, name, rows, columns)]


def between(origin: float) -> str:
    """Say from where a mean reaches to its horizon."""
    return f"from {as_written(origin)} up to" if origin > 0 else "up to"


def rmst_rows(fit: PosteriorDraws, horizon: float) -> list[dict[str, Any]]:
    """Restricted mean survival: the area under the curve from the origin to a horizon.

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    horizon : float
        In the cohort's time unit, after the origin and within follow-up.

    Returns
    -------
    list of dict
        treatment, horizon, mean, eti95 limits, origin, note.

    Raises
    ------
    EstimandError
        For a horizon that is not after the origin, or beyond the last cutpoint.
    """
    draws = rmst_draws(fit, horizon)
    return [
        {"treatment": level, "horizon": float(horizon)}
        | mean_and_limits(draws.values[:, i])
        | given_origin(fit, note_for(fit.inputs, [i], horizon))
        for i, level in enumerate(fit.inputs.design.levels)
    ]
