"""Figures of hazard ratios: posterior beside Cox, posterior beside prior."""

import math
from typing import TYPE_CHECKING

import numpy as np

from bayes_crlm.figures.drawing import (
    ALARM,
    COLOURS,
    INK,
    LINE_STYLES,
    MUTED,
    counted_from,
    label_synthetic,
    legend_above,
    new_axes,
    plain_text,
    ratio_ticks,
)
from bayes_crlm.model.priors import simple_prior
from bayes_crlm.model.withdrawn import withdrawal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayes_crlm.figures.drawing import Fitted

# beyond these hazard ratios an interval is drawn with an arrow
RATIO_LIMITS = (math.log(0.02), math.log(50))


def plot_forest(
    fit: "Fitted", ax: "Axes | None" = None, failures: "Sequence[str] | None" = None
) -> "Axes":
    """Posterior and Cox hazard ratios of every term, with 95% intervals.

    In the place of a posterior that gives no answer stands that it gives none: of every term where
    a diagnostic fails, of treatment contrasts where a level has no events.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.
    failures : sequence of str, optional
        Diagnostics that fail; found by `Fit.diagnose` without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table, cox = fit.coefficients(), fit.cox
    n_terms = len(table)
    ax = new_axes(ax, 7, 1.1 + 0.46 * n_terms)
    place = np.arange(n_terms)[::-1].astype(float)
    failures = fit.diagnose().failures if failures is None else failures
    is_withdrawn = np.array(
        [
            bool(failures)
            or (k < fit.inputs.n_treatment_terms and bool(withdrawal(fit.inputs, (), (k + 1, 0))))
            for k in range(n_terms)
        ]
    )
    limits = table[["eti95_low", "eti95_high"]].to_numpy(dtype=float)
    limits = np.where(is_withdrawn[:, None], np.nan, limits)
    with np.errstate(divide="ignore", invalid="ignore"):
        cox_limits = np.log(np.asarray(cox.ci95, dtype=float))
    every = np.concatenate([limits.ravel(), cox_limits.ravel(), [0.0]])
    every = np.clip(every[np.isfinite(every)], *RATIO_LIMITS)
    low, high = every.min(), every.max()
    margin = 0.06 * max(high - low, 0.2)
    low, high = low - margin, high + margin
    ax.set_xlim(low, high)
    for k in range(0, n_terms, 2):
        ax.axhspan(place[k] - 0.5, place[k] + 0.5, color=INK, alpha=0.035, lw=0)
    ax.axvline(0, color=INK, lw=0.8)
    plot_intervals(
        ax,
        place + 0.14,
        np.where(is_withdrawn, np.nan, table["median"].to_numpy(dtype=float)),
        limits,
        "o",
        COLOURS[0],
        "posterior: median, 95% interval",
    )
    plot_intervals(
        ax,
        place - 0.14,
        np.asarray(cox.coef, dtype=float),
        cox_limits,
        "s",
        MUTED,
        f"Cox ({plain_text(cox.method)}): estimate, 95% interval",
    )
    for each in place[is_withdrawn]:
        ax.text(0, each + 0.14, " no answer", color=ALARM, va="center", fontsize=9)
    ratio_ticks(ax)
    ax.set_yticks(place, [plain_text(term, 30) for term in table["term"]])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.5, n_terms - 0.5)
    ax.set_xlabel(f"hazard ratio (log scale), per unit of the covariate{counted_from(fit)}")
    legend_above(ax)
    label_synthetic(fit, ax)
    return ax


def plot_intervals(
    ax: "Axes",
    place: "NDArray",
    middle: "NDArray",
    limits: "NDArray",
    marker: str,
    colour: str,
    label: str,
) -> None:
    """Draw estimates with intervals; arrows where an interval goes on beyond the axis."""
    low, high = ax.get_xlim()
    start = np.clip(np.nan_to_num(limits[:, 0], nan=0, neginf=low), low, high)
    stop = np.clip(np.nan_to_num(limits[:, 1], nan=0, posinf=high), low, high)
    has_interval = np.isfinite(middle) & ~np.isnan(limits).any(axis=1)
    ax.hlines(place[has_interval], start[has_interval], stop[has_interval], color=colour, lw=2)
    for edge, arrow, beyond in ((low, "<", limits[:, 0] < low), (high, ">", limits[:, 1] > high)):
        where = place[has_interval & beyond]
        ax.plot(np.full(len(where), edge), where, arrow, color=colour, ms=6, clip_on=False)
    shown = np.isfinite(middle) & (middle >= low) & (middle <= high)
    ax.plot(middle[shown], place[shown], marker, color=colour, ms=6, label=label)


def plot_prior_posterior(
    fit: "Fitted", ax: "Axes | None" = None, failures: "Sequence[str]" = ()
) -> "Axes":
    """Prior against posterior density of the treatment's log hazard ratios.

    A posterior that gives no answer is dotted, and the legend says that it gives none.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.
    failures : sequence of str
        Diagnostics that fail, which withdraw every answer.

    Returns
    -------
    matplotlib.axes.Axes
    """
    n_treatment = fit.inputs.n_treatment_terms
    ax = new_axes(ax, 7, 3.2 + 0.18 * n_treatment)
    posterior = fit.effect_draws[:, :n_treatment]
    spread = posterior.std(axis=0).max()
    grid = np.linspace(
        max(min(posterior.min() - spread, math.log(0.1)), RATIO_LIMITS[0] - 2),
        min(max(posterior.max() + spread, math.log(10)), RATIO_LIMITS[1] + 2),
        400,
    )
    prior = simple_prior(fit.inputs.treatment_prior)
    density = np.exp(prior.log_density(grid))
    ax.fill_between(grid, density, color=MUTED, alpha=0.3, lw=0, label=f"prior: {prior.describe()}")
    for k in range(n_treatment):
        draws = posterior[:, k]
        # Silverman's rule
        width = 0.9 * min(draws.std(), np.subtract(*np.quantile(draws, [0.75, 0.25])) / 1.34)
        width = max(width * len(draws) ** -0.2, (grid[-1] - grid[0]) / len(grid))
        kernel = np.exp(-0.5 * ((grid[:, None] - draws[None, :]) / width) ** 2)
        curve = kernel.mean(axis=1) / (width * np.sqrt(2 * np.pi))
        is_withdrawn = withdrawal(fit.inputs, failures, (k + 1, 0)) is not None
        style = ":" if is_withdrawn else LINE_STYLES[k // len(COLOURS) % len(LINE_STYLES)]
        name = plain_text(fit.inputs.design.terms[k], 70)
        ax.plot(
            grid,
            curve,
            style,
            color=COLOURS[k % len(COLOURS)],
            lw=2,
            label=f"posterior: {name}{' (no answer)' if is_withdrawn else ''}",
        )
    ax.set_xlim(grid[0], grid[-1])
    ratio_ticks(ax)
    ax.axvline(0, color=INK, lw=0.8)
    ax.set_ylim(0)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    ax.set_xlabel("hazard ratio (log scale)")
    legend_above(ax)
    label_synthetic(fit, ax)
    return ax
