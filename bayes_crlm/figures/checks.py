"""The figure that checks what a fit predicts."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import (
    COLOURS,
    INK,
    label_synthetic,
    legend_above,
    new_axes,
    time_label,
)
from bayes_crlm.figures.survival import plot_steps, survival_label
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayes_crlm.figures.drawing import Fitted

PREDICTED_COHORTS = 50
# share of follow-up
SHORTEST_AT_RISK = 1e-6


def plot_predictive(fit: "Fitted") -> "Axes":
    """Kaplan-Meier of the cohort over curves of the events that the model predicts for it.

    Every patient is followed along the own rows and no longer; ArviZ's Kaplan-Meier of predictions
    knows neither patients who leave without the event nor late entry.

    Parameters
    ----------
    fit : Fit
        A fitted model.

    Returns
    -------
    matplotlib.axes.Axes
    """
    predicted = fit.groups["posterior_predictive"]
    chains, draws, patients = predicted["time"].shape
    # evenly spaced ones, so that the figure repeats
    step = math.ceil(draws / max(1, PREDICTED_COHORTS // chains))
    times, events = (predicted[name][:, ::step].reshape(-1, patients) for name in ("time", "event"))
    rows = fit.groups["constant_data"]
    entry, end, event = (rows[f"row_{name}"] for name in ("entry", "time", "event"))
    patient = rows["row_patient"]
    ax = new_axes(None, 7, 3.4)

    def draw(time: "NDArray", event: "NDArray", **style: Any) -> None:
        # times at risk that are but rounding have no place on a curve
        kept = (time - entry > SHORTEST_AT_RISK * end.max()) & (time > fit.begin)
        if kept.any():
            curve = kaplan_meier(entry[kept], time[kept], event[kept], origin=fit.begin)
            plot_steps(ax, curve, **style)

    for k in range(len(times)):
        reached = np.minimum(end, times[k, patient])
        # the row in which the predicted follow-up ends has its event
        has_event = (events[k, patient] == 1) & (end >= times[k, patient])
        draw(
            reached,
            has_event,
            color=COLOURS[0],
            lw=0.5,
            alpha=0.3,
            **({"label": "predicted for these patients"} if k == 0 else {}),
        )
    draw(end, event, color=INK, lw=1.5, label="Kaplan-Meier")
    ax.set_ylim(0, 1.01)
    ax.set_xlim(fit.begin, float(fit.inputs.intervals.cutpoints[-1]))
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(survival_label(fit, "event-free"))
    legend_above(ax, columns=2)
    label_synthetic(fit, ax)
    return ax
