"""Figures of hazard ratios: beside Cox, beside the prior, and by how treatment's start is taken."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import (
    ALARM,
    COLOURS,
    INK,
    MUTED,
    counted_from,
    label_synthetic,
    legend_above,
    look_of,
    new_axes,
    plain_text,
    ratio_ticks,
)
from bayes_crlm.model.priors import simple_prior
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.late_start import start_rows
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayes_crlm.figures.drawing import Fitted

# beyond these hazard ratios an interval is drawn with an arrow
RATIO_LIMITS = (math.log(0.02), math.log(50))

POSTERIOR = "posterior: median, 95% interval"


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
    failures = fit.diagnose().failures if failures is None else failures
    is_withdrawn = np.array(
        [
            bool(failures)
            or (k < fit.inputs.n_treatment_terms and bool(withdrawal(fit.inputs, (), (k + 1, 0))))
            for k in range(n_terms)
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        cox_limits = np.log(np.asarray(cox.ci95, dtype=float))
    for k in range(0, n_terms, 2):
        ax.axhspan(*strip(n_terms, k), color=INK, alpha=0.035, lw=0)
    middle = table["median"].to_numpy(dtype=float)
    limits = table[["eti95_low", "eti95_high"]].to_numpy(dtype=float)
    of_cox = f"Cox ({plain_text(cox.method)}): estimate, 95% interval"
    plot_estimates(
        ax,
        Estimates(middle, limits, POSTERIOR),
        Estimates(np.asarray(cox.coef, dtype=float), cox_limits, of_cox),
        [plain_text(term, 30) for term in table["term"]],
        is_withdrawn,
    )
    ax.set_xlabel(f"hazard ratio (log scale), per unit of the covariate{counted_from(fit)}")
    label_synthetic(fit, ax)
    return ax


@record(eq=False)
class Estimates:
    """Log hazard ratios with limits, one a row, as a figure shows them.

    Attributes
    ----------
    middle : (rows,) ndarray
        Medians, or maxima of the likelihood.
    limits : (rows, 2) ndarray
        Lower and upper 95% limits; not finite where there is none.
    label : str
        In the legend.
    """

    middle: "NDArray"
    limits: "NDArray"
    label: str

    def without(self, is_withdrawn: "NDArray") -> "Estimates":
        """The same with nothing in the place of those that are withdrawn."""
        return Estimates(
            np.where(is_withdrawn, np.nan, self.middle),
            np.where(is_withdrawn[:, None], np.nan, self.limits),
            self.label,
        )


def strip(n_rows: int, k: int) -> tuple[float, float]:
    """Where the k-th of some rows from above lies."""
    return n_rows - k - 1.5, n_rows - k - 0.5


def plot_estimates(
    ax: "Axes",
    posterior: Estimates,
    cox: Estimates,
    labels: "Sequence[str]",
    is_withdrawn: "NDArray",
) -> None:
    """Draw the posterior's and Cox's hazard ratios beside each other, one row each.

    In the place of a posterior that is withdrawn stands that there is no answer.
    """
    posterior = posterior.without(is_withdrawn)
    place = np.arange(len(labels))[::-1].astype(float)
    every = np.concatenate([posterior.limits.ravel(), cox.limits.ravel(), [0.0]])
    every = np.clip(every[np.isfinite(every)], *RATIO_LIMITS)
    margin = 0.06 * max(np.ptp(every), 0.2)
    ax.set_xlim(every.min() - margin, every.max() + margin)
    ax.axvline(0, color=INK, lw=0.8)
    plot_intervals(ax, place + 0.14, posterior, "o", COLOURS[0])
    plot_intervals(ax, place - 0.14, cox, "s", MUTED)
    for each in place[is_withdrawn]:
        ax.text(0, each + 0.14, " no answer", color=ALARM, va="center", fontsize=9)
    ratio_ticks(ax)
    ax.set_yticks(place, labels)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.5, len(labels) - 0.5)
    legend_above(ax)


def plot_intervals(
    ax: "Axes", place: "NDArray", shown: Estimates, marker: str, colour: str
) -> None:
    """Draw estimates with intervals; arrows where an interval goes on beyond the axis."""
    (low, high), middle, limits = ax.get_xlim(), shown.middle, shown.limits
    start = np.clip(np.nan_to_num(limits[:, 0], nan=0, neginf=low), low, high)
    stop = np.clip(np.nan_to_num(limits[:, 1], nan=0, posinf=high), low, high)
    has_interval = np.isfinite(middle) & ~np.isnan(limits).any(axis=1)
    ax.hlines(place[has_interval], start[has_interval], stop[has_interval], color=colour, lw=2)
    for edge, arrow, beyond in ((low, "<", limits[:, 0] < low), (high, ">", limits[:, 1] > high)):
        where = place[has_interval & beyond]
        ax.plot(np.full(len(where), edge), where, arrow, color=colour, ms=6, clip_on=False)
    is_inside = np.isfinite(middle) & (middle >= low) & (middle <= high)
    ax.plot(middle[is_inside], place[is_inside], marker, color=colour, ms=6, label=shown.label)


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
        colour, style = look_of(k)
        name = plain_text(fit.inputs.design.terms[k], 70)
        ax.plot(
            grid,
            curve,
            ":" if is_withdrawn else style,
            color=colour,
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


SHORT = {"as_treated": "as treated", "time_dependent": "from its start on", "landmark": "landmark"}


def plot_starts(fit: "Fitted", start: "Mapping[str, Any]", ax: "Axes | None" = None) -> "Axes":
    """Hazard ratios as treated, from the start of treatment on, and at the landmark.

    Parameters
    ----------
    fit : Fit
        As treated.
    start : mapping
        `summary["start"]`, or what `Fit.starts` gives.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    order = {level: k for k, level in enumerate(fit.inputs.design.levels)}
    rows = sorted(start_rows(start), key=lambda row: order[row["treatment"]])
    ax = new_axes(ax, 7, 1.3 + 0.5 * len(rows))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, limits, cox, cox_limits = (
            np.log(np.array([row[name] for row in rows], dtype=float))
            for name in ("median", "eti95", "cox_hr", "cox_ci95")
        )
    for k, row in enumerate(rows):
        if row["is_headline"] and not row["withdrawn"]:
            ax.axhspan(*strip(len(rows), k), color=COLOURS[0], alpha=0.1, lw=0)
    plot_estimates(
        ax,
        Estimates(middle, limits, POSTERIOR),
        Estimates(cox, cox_limits, "Cox: estimate, 95% interval"),
        [row_label(row, len(order) > 2) for row in rows],
        np.array([bool(row["withdrawn"]) for row in rows]),
    )
    ax.set_xlabel("hazard ratio of treatment (log scale)")
    label_synthetic(fit, ax)
    return ax


def row_label(row: "Mapping[str, Any]", has_several_levels: bool) -> str:
    """Name a row: the analysis, the level where there are several, and which is the headline."""
    name = row["label"] if row["analysis"] == "landmark" else SHORT[row["analysis"]]
    level = f"{row['treatment']}: " if has_several_levels else ""
    text = plain_text(f"{level}{name}", 28)
    return f"{text}\n(headline)" if row["is_headline"] and not row["withdrawn"] else text
