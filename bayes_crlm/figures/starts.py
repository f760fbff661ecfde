"""Figure of a late start: the treatment's hazard ratio by how its start is taken."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import COLOURS, label_synthetic, new_axes, plain_text
from bayes_crlm.figures.hazard_ratios import POSTERIOR, Estimates, plot_estimates, strip
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


def row_label(row: Mapping[str, Any], has_several_levels: bool) -> str:
    """Name a row: the analysis, the level where there are several, and which is the headline."""
    name = row["label"] if row["analysis"] == "landmark" else SHORT[row["analysis"]]
    level = f"{row['treatment']}: " if has_several_levels else ""
    text = plain_text(f"{level}{name}", 28)
    return f"{text}\n(headline)" if row["is_headline"] and not row["withdrawn"] else text
