"""Draws of survival, restricted means and medians of a fit, by treatment level, with labels."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands import survival as estimands
from bayes_crlm.words.arguments import horizon_of, times_of
from bayes_crlm.words.errors import EstimandError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.fit.draws import PosteriorDraws

__all__ = ["median_survival_draws", "rmst_draws", "survival_draws"]


def survival_draws(
    fit: "PosteriorDraws", times: Sequence[float] | NDArray, most_draws: int | None = None
) -> "xr.DataArray":
    """Standardised survival given survival to the origin, dims (sample, treatment, time).

    Parameters
    ----------
    fit : PosteriorDraws
        A fitted model.
    times : sequence of float
        From the origin to the end of follow-up.
    most_draws : int, optional
        For pictures: no more draws than about this many, and fewer patterns of a sample.

    Raises
    ------
    EstimandError
        Without a time, and for one before the origin or beyond follow-up.
    """
    when = np.array(times_of(times, "survival"))
    if not when.size:
        raise EstimandError("survival: no times are given; give at least one")
    key = ("survival", most_draws, *when.tolist())
    if key in fit.made:
        return fit.made[key]
    cutpoints, origin = fit.inputs.intervals.cutpoints, fit.begin
    n_draws = len(fit.log_hazard_draws)
    thinned = slice(None, None, max(1, n_draws // (most_draws or n_draws)))
    log_hazard, effect = fit.log_hazard_draws[thinned], fit.effect_draws[thinned]
    cumulative = estimands.cumulative_hazard_at(log_hazard, cutpoints, when, origin)
    if most_draws is None:
        people, weight = fit.people, fit.weights
    else:
        people = fit.people.thinned()
        weight = people.weights(log_hazard, effect, cutpoints, origin)

    def of_level(contrast: NDArray) -> NDArray:
        relative = estimands.relative_hazard(effect, contrast, people.covariates)
        return estimands.standardised_survival(cumulative, relative, weight)

    return once(fit, key, of_level, time=when)


def rmst_draws(fit: "PosteriorDraws", horizon: float) -> "xr.DataArray":
    """Area under standardised survival from the origin to a horizon, dims (sample, treatment)."""
    horizon = horizon_of(horizon, "rmst")

    def of_level(contrast: NDArray) -> NDArray:
        return estimands.restricted_mean_survival(
            fit.log_hazard_draws,
            fit.inputs.intervals.cutpoints,
            relative_hazard(fit, contrast),
            fit.weights,
            horizon,
            fit.begin,
        )

    return once(fit, ("rmst", horizon), of_level)


def median_survival_draws(fit: "PosteriorDraws") -> "xr.DataArray":
    """Time at which standardised survival is one half, dims (sample, treatment)."""

    def of_level(contrast: NDArray) -> NDArray:
        return estimands.median_survival(
            fit.log_hazard_draws,
            fit.inputs.intervals.cutpoints,
            relative_hazard(fit, contrast),
            fit.weights,
            fit.begin,
        )

    return once(fit, ("median_survival",), of_level)


def relative_hazard(fit: "PosteriorDraws", contrast: NDArray) -> NDArray[np.float64]:
    """Relative hazards of all patterns with one level's treatment columns, (draws, patterns)."""
    return estimands.relative_hazard(fit.effect_draws, contrast, fit.people.covariates)


def once(
    fit: "PosteriorDraws",
    key: tuple[object, ...],
    of_level: Callable[[NDArray], NDArray],
    **coords: NDArray,
) -> "xr.DataArray":
    """Give what was computed before, or compute it."""
    if key not in fit.made:
        fit.made[key] = by_level(fit, of_level, **coords)
    return fit.made[key]


def by_level(
    fit: "PosteriorDraws", of_level: Callable[[NDArray], NDArray], **coords: NDArray
) -> "xr.DataArray":
    """Compute draws for the treatment columns of every level, stack and label them."""
    import xarray as xr

    design = fit.inputs.design
    levels = range(len(design.levels))
    return xr.DataArray(
        np.stack([of_level(design.treatment_contrast(level)) for level in levels], axis=1),
        dims=("sample", "treatment", *coords),
        coords={"treatment": [str(level) for level in design.levels]} | coords,
    )
