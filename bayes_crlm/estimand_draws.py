"""Draws of survival, restricted means and medians of a fit, by treatment level, with labels."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm import estimands
from bayes_crlm.errors import EstimandError

if TYPE_CHECKING:
    import xarray as xr

    from bayes_crlm.fit import Fit

__all__ = ["median_survival_draws", "rmst_draws", "survival_draws"]


def survival_draws(fit: "Fit", times: NDArray, most_draws: int | None = None) -> "xr.DataArray":
    """Standardised survival given survival to the origin, dims (sample, treatment, time).

    Parameters
    ----------
    fit : Fit
        A fitted model.
    times : (times,) ndarray
        From the origin to the end of follow-up.
    most_draws : int, optional
        For pictures: no more draws than about this many, and fewer patterns of a sample.

    Raises
    ------
    EstimandError
        Without a time, and for one before the origin or beyond follow-up.
    """
    if not times.size:
        raise EstimandError("survival: no times are given; give at least one")
    cutpoints, origin = fit.inputs.intervals.cutpoints, fit.begin
    n_draws = len(fit.log_hazard_draws)
    thinned = slice(None, None, max(1, n_draws // (most_draws or n_draws)))
    log_hazard, effect = fit.log_hazard_draws[thinned], fit.effect_draws[thinned]
    cumulative = estimands.cumulative_hazard_at(log_hazard, cutpoints, times, origin)
    if most_draws is None:
        people, weight = fit.people, fit.weights
    else:
        people = fit.people.thinned()
        weight = people.weights(log_hazard, effect, cutpoints, origin)

    def of_level(contrast: NDArray) -> NDArray:
        relative = estimands.relative_hazard(effect, contrast, people.covariates)
        return estimands.standardised_survival(cumulative, relative, weight)

    return by_level(fit, of_level, time=times)


def rmst_draws(fit: "Fit", horizon: float) -> "xr.DataArray":
    """Area under standardised survival from the origin to a horizon, dims (sample, treatment)."""

    def of_level(contrast: NDArray) -> NDArray:
        return estimands.restricted_mean_survival(
            fit.log_hazard_draws,
            fit.inputs.intervals.cutpoints,
            relative_hazard(fit, contrast),
            fit.weights,
            horizon,
            fit.begin,
        )

    return by_level(fit, of_level)


def median_survival_draws(fit: "Fit") -> "xr.DataArray":
    """Time at which standardised survival is one half, dims (sample, treatment)."""

    def of_level(contrast: NDArray) -> NDArray:
        return estimands.median_survival(
            fit.log_hazard_draws,
            fit.inputs.intervals.cutpoints,
            relative_hazard(fit, contrast),
            fit.weights,
            fit.begin,
        )

    return by_level(fit, of_level)


def relative_hazard(fit: "Fit", contrast: NDArray) -> NDArray[np.float64]:
    """Relative hazards of all patterns with one level's treatment columns, (draws, patterns)."""
    return estimands.relative_hazard(fit.effect_draws, contrast, fit.people.covariates)


def by_level(
    fit: "Fit", of_level: Callable[[NDArray], NDArray], **coords: NDArray
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
