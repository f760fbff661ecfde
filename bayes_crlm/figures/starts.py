"""Figure of a late start: the treatment's hazard ratio by how its start is taken."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import (
    ALARM,
    COLOURS,
    INK,
    MUTED,
    label_synthetic,
    legend_above,
    new_axes,
    plain_text,
    ratio_ticks,
)
from bayes_crlm.figures.hazard_ratios import RATIO_LIMITS, plot_intervals
from bayes_crlm.words.late_start import start_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayes_crlm.figures.drawing import Fitted

SHORT = {"as_treated": "as treated", "time_dependent": "from its start on", "landmark": "landmark"}


def plot_starts(fit: "Fitted", start: Mapping[str, Any], ax: "Axes | None" = None) -> "Axes":
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
    place = np.arange(len(rows))[::-1].astype(float)
    is_withdrawn = np.array([bool(row["withdrawn"]) for row in rows])
    with np.errstate(divide="ignore", invalid="ignore"):
        middle = np.log(np.array([row["median"] for row in rows], dtype=float))
        limits = np.log(np.array([row["eti95"] for row in rows], dtype=float))
        cox = np.log(np.array([row["cox_hr"] for row in rows], dtype=float))
        cox_limits = np.log(np.array([row["cox_ci95"] for row in rows], dtype=float))
    middle = np.where(is_withdrawn, np.nan, middle)
    limits = np.where(is_withdrawn[:, None], np.nan, limits)
    every = np.concatenate([limits.ravel(), cox_limits.ravel(), [0.0]])
    every = np.clip(every[np.isfinite(every)], *RATIO_LIMITS)
    margin = 0.06 * max(np.ptp(every), 0.2)
    ax.set_xlim(every.min() - margin, every.max() + margin)
    ax.axvline(0, color=INK, lw=0.8)
    for each, row in zip(place, rows, strict=True):
        if row["is_headline"] and not row["withdrawn"]:
            ax.axhspan(each - 0.5, each + 0.5, color=COLOURS[0], alpha=0.1, lw=0)
    posterior = "posterior: median, 95% interval"
    plot_intervals(ax, place + 0.14, middle, limits, "o", COLOURS[0], posterior)
    of_cox = "Cox: estimate, 95% interval"
    plot_intervals(ax, place - 0.14, cox, cox_limits, "s", MUTED, of_cox)
    for each in place[is_withdrawn]:
        ax.text(0, each + 0.14, " no answer", color=ALARM, va="center", fontsize=9)
    ratio_ticks(ax)
    ax.set_yticks(place, [row_label(row, len(order) > 2) for row in rows])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.5, len(rows) - 0.5)
    ax.set_xlabel("hazard ratio of treatment (log scale)")
    legend_above(ax)
    label_synthetic(fit, ax)
    return ax


def row_label(row: Mapping[str, Any], has_several_levels: bool) -> str:
    """Name a row: the analysis, the level where there are several, and which is the headline."""
    name = row["label"] if row["analysis"] == "landmark" else SHORT[row["analysis"]]
    level = f"{row['treatment']}: " if has_several_levels else ""
    text = plain_text(f"{level}{name}", 28)
    return f"{text}\n(headline)" if row["is_headline"] and not row["withdrawn"] else text
