"""Draws of survival, restricted means and medians of a fit, by treatment level, with labels."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.estimands.population import Population
from bayes_crlm.estimands.standardised import mean_survival, median_time, restricted_mean
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.groups import Labelled
from bayes_crlm.model.profiles import Profiles
from bayes_crlm.words.arguments import horizon_of, times_of
from bayes_crlm.words.errors import EstimandError


def survival_draws(
    fit: PosteriorDraws, times: Sequence[float] | NDArray, most_draws: int | None = None
) -> Labelled:
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
    n_draws = len(fit.effect_draws)
    at = fit.hazards.draws(slice(None, None, max(1, n_draws // (most_draws or n_draws))))
    if most_draws is None:
        people, weight = fit.people, fit.weights
    else:
        people = fit.people.thinned()
        weight = people.weights(at, cutpoints, origin)

    def of_profiles(profiles: Profiles) -> NDArray:
        return mean_survival(at, profiles, weight, cutpoints, when, origin)

    return once(fit, key, of_profiles, people, time=when)


def rmst_draws(fit: PosteriorDraws, horizon: float) -> Labelled:
    """Area under standardised survival from the origin to a horizon, dims (sample, treatment)."""
    horizon = horizon_of(horizon, "rmst")

    def of_profiles(profiles: Profiles) -> NDArray:
        cutpoints = fit.inputs.intervals.cutpoints
        return restricted_mean(fit.hazards, profiles, fit.weights, cutpoints, horizon, fit.begin)

    return once(fit, ("rmst", horizon), of_profiles, fit.people)


def median_survival_draws(fit: PosteriorDraws) -> Labelled:
    """Time at which standardised survival is one half, dims (sample, treatment)."""

    def of_profiles(profiles: Profiles) -> NDArray:
        cutpoints = fit.inputs.intervals.cutpoints
        return median_time(fit.hazards, profiles, fit.weights, cutpoints, fit.begin)

    return once(fit, ("median_survival",), of_profiles, fit.people)


def once(
    fit: PosteriorDraws,
    key: tuple[object, ...],
    of_profiles: Callable[[Profiles], NDArray],
    people: Population,
    **coords: NDArray,
) -> Labelled:
    """Give what was computed before, or compute it."""
    if key not in fit.made:
        fit.made[key] = by_level(fit, of_profiles, people, **coords)
    return fit.made[key]


def by_level(
    fit: PosteriorDraws,
    of_profiles: Callable[[Profiles], NDArray],
    people: Population,
    **coords: NDArray,
) -> Labelled:
    """Compute draws for a population under every level, stack and label them."""
    design = fit.inputs.design
    levels = range(len(design.levels))
    return Labelled(
        np.stack(
            [of_profiles(fit.inputs.under(level, people.profiles)) for level in levels], axis=1
        ),
        ("sample", "treatment", *coords),
        {"treatment": [str(level) for level in design.levels]} | coords,
    )
