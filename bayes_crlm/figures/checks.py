"""Figures that check a fit: what it predicts, and how its chains mixed."""

import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import (
    COLOURS,
    INK,
    label_synthetic,
    legend_above,
    new_axes,
    plain_text,
    restyle,
    time_label,
)

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayes_crlm.fit import Fit

__all__ = ["plot_predictive", "plot_ranks"]

PREDICTED_COHORTS = 50
# share of follow-up
SHORTEST_AT_RISK = 1e-6
# ArviZ tests the ranks' uniformity, which a handful of draws cannot show
FEWEST_RANKED_DRAWS = 20


def plot_predictive(fit: "Fit") -> "Axes":
    """Kaplan-Meier of the cohort over curves of cohorts that the model predicts.

    Drawn by ArviZ; with delayed entry, which its Kaplan-Meier does not know, by this package.

    Parameters
    ----------
    fit : Fit
        A fitted model.

    Returns
    -------
    matplotlib.axes.Axes
    """
    predicted = fit.posterior["posterior_predictive"].to_dataset()
    # evenly spaced ones: ArviZ would choose at random, and the figure would never repeat
    n_shown = max(1, PREDICTED_COHORTS // predicted.sizes["chain"])
    step = math.ceil(predicted.sizes["draw"] / n_shown)
    predicted = predicted.isel(draw=slice(None, None, step))
    is_delayed = fit.inputs.data.follow_up.is_delayed
    ax = (plot_late_entries if is_delayed else plot_with_arviz)(fit, predicted)
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel("event-free")
    ax.set_xlim(0, float(fit.inputs.intervals.cutpoints[-1]))
    label_synthetic(fit, ax)
    return ax


def plot_late_entries(fit: "Fit", predicted: "xr.Dataset") -> "Axes":
    """Draw the curves over risk sets that patients enter late."""
    from bayes_crlm.kaplan_meier import kaplan_meier

    ax = new_axes(None, 7, 3.4)
    observed = fit.posterior["observed_data"].to_dataset()
    entry, end = observed["entry"].values, float(fit.inputs.intervals.cutpoints[-1])

    def draw(time: "NDArray", event: "NDArray", **style: Any) -> None:
        # times at risk that are but rounding have no place on a curve
        rows = time - entry > SHORTEST_AT_RISK * end
        curve = kaplan_meier(entry[rows], time[rows], event[rows])
        at, survival = np.append(0.0, curve.times), np.append(1.0, curve.survival)
        ax.step(at, survival, where="post", **style)

    cohorts = predicted["time"].values.reshape(-1, len(entry))
    for k, times in enumerate(cohorts):
        label = "predicted cohorts" if k == 0 else None
        draw(times, times < end, color=COLOURS[0], lw=0.5, alpha=0.3, label=label)
    draw(observed["time"].values, observed["event"].values, color=INK, lw=1.5, label="Kaplan-Meier")
    ax.set_ylim(0, 1.01)
    legend_above(ax, columns=2)
    return ax


def plot_with_arviz(fit: "Fit", predicted: "xr.Dataset") -> "Axes":
    """Draw the curves by ArviZ."""
    import arviz_plots as azp
    import xarray as xr

    tree = xr.DataTree.from_dict(
        {
            "posterior_predictive": predicted.assign(time=spread_ends(fit, predicted["time"])),
            "observed_data": fit.posterior["observed_data"].to_dataset(),
            # who is censored
            "constant_data": fit.posterior["constant_data"].to_dataset(),
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collection = azp.plot_ppc_censored(
            tree,
            var_names=["time"],
            backend="matplotlib",
            num_samples=None,
            figure_kwargs={"figsize": (7, 3.4), "figsize_units": "inches"},
        )
    ax = collection.viz["figure"].item().axes[0]
    restyle(ax)
    ax.set_title("")
    return ax


def spread_ends(fit: "Fit", times: "xr.DataArray") -> "xr.DataArray":
    """Set predicted times that reach the end of follow-up a hair apart, beyond it.

    ArviZ steps its predicted curves down by the same share at each distinct time, so
    that patients who share the end would count as one, and every curve would fall too fast.
    """
    end = float(fit.inputs.intervals.cutpoints[-1])
    order = np.arange(1, times.sizes["patient"] + 1)
    return times.where(times < end, end * (1 + 1e-6 * order))


def plot_ranks(fit: "Fit") -> "Axes | None":
    """Rank plots of the treatment effects (ArviZ).

    None for a single chain, for very few draws, and for draws that come from no chains.

    Parameters
    ----------
    fit : Fit
        A fitted model.

    Returns
    -------
    matplotlib.axes.Axes or None
        The first panel.
    """
    if fit.importance is not None:
        return None
    import arviz_plots as azp

    sizes = fit.posterior["posterior"].sizes
    if sizes["chain"] < 2 or sizes["draw"] < FEWEST_RANKED_DRAWS:
        return None
    n_treatment = fit.inputs.n_treatment_terms
    columns = min(n_treatment, 2)
    rows = math.ceil(n_treatment / columns)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collection = azp.plot_rank(
            fit.posterior,
            var_names=["treatment_effect"],
            backend="matplotlib",
            col_wrap=columns,
            figure_kwargs={"figsize": (7, 0.5 + 2.6 * rows), "figsize_units": "inches"},
        )
    figure = collection.viz["figure"].item()
    panels = [ax for ax in figure.axes if ax.lines or ax.collections]
    for ax, term in zip(panels, fit.inputs.design.terms, strict=False):
        restyle(ax)
        ax.set_title(plain_text(term, 36), fontsize=10, color=INK, pad=16)
        ax.set_xlabel("rank of the draw (share)")
    label_synthetic(fit, panels[-1])
    return panels[0]
