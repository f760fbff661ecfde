"""Figures of a fit: hazard ratios, survival, priors, diagnostics. Each is drawn once as SVG."""

import io
import math
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.priors import simple_prior

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bayes_crlm.analysis import Analysis
    from bayes_crlm.fit import Fit

__all__ = [
    "draw_figures",
    "plot_forest",
    "plot_hazard",
    "plot_prior_posterior",
    "plot_prior_survival",
    "plot_survival",
]

# Okabe & Ito's colours, told apart by colour-blind readers
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, ALARM = "#1a1a1a", "#6b6b6b", "#b00020"
# enough for the width of a line; tables use every draw
PICTURED_DRAWS = 1000
LINE_STYLES = ("-", "--", "-.", ":")
RATIO_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))
PREDICTED_COHORTS = 50
# ArviZ tests the ranks' uniformity, which a handful of draws cannot show
FEWEST_RANKED_DRAWS = 20
# beyond these hazard ratios an interval is drawn with an arrow
RATIO_LIMITS = (math.log(0.02), math.log(50))
SYNTHETIC = "synthetic, not patient data"
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "font.size": 10,
    "font.family": ["DejaVu Sans"],
    "svg.fonttype": "none",
    "svg.hashsalt": "bayes_crlm",
    "figure.constrained_layout.use": True,
    "legend.frameon": False,
    "figure.max_open_warning": 0,
}


def new_axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Use the caller's axes, or make a figure of a width and a height in inches."""
    if ax is not None:
        return ax
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    with mpl.rc_context(STYLE):
        return plt.subplots(figsize=(width, height))[1]


def label_synthetic(fit: "Fit", ax: "Axes") -> None:
    """Say on the figure that its data are synthetic, when they are."""
    if fit.inputs.cohort.is_synthetic:
        ax.annotate(
            SYNTHETIC,
            # along the right edge, where neither data nor a legend can cover it
            (1, 0.5),
            xycoords="axes fraction",
            xytext=(5, 0),
            textcoords="offset points",
            ha="left",
            va="center",
            rotation=270,
            fontsize=9,
            fontweight="bold",
            color=ALARM,
        )


def plain_text(text: object, width: int = 0) -> str:
    """Make a name from the data fit to be drawn: no mathematics, no endless lines.

    Parameters
    ----------
    text : object
        A level or a column name.
    width : int
        Break after so many characters, at most into two lines; 0 for one line of any length.
    """
    plain = " ".join(str(text).split())
    if width:
        lines = textwrap.wrap(plain, width, max_lines=2, placeholder=" …")
        plain = "\n".join(lines)
    # a leading underscore would keep a label out of the legend
    plain = f" {plain}" if plain.startswith("_") else plain
    return plain.replace("$", r"\$")


def time_label(fit: "Fit") -> str:
    """Name the axis of time with its unit."""
    unit = fit.inputs.cohort.unit
    return f"time ({plain_text(unit)})" if unit else "time"


def ratio_ticks(ax: "Axes") -> None:
    """Label an axis of log ratios with the ratios, as many as can be read."""
    low, high = ax.get_xlim()
    for step in RATIO_STEPS:
        ratios = [
            digit * 10.0**power
            for power in range(-9, 10)
            for digit in step
            if low <= math.log(digit * 10.0**power) <= high
        ]
        if len(ratios) <= 9:
            break
    ax.set_xticks([math.log(ratio) for ratio in ratios], [f"{ratio:g}" for ratio in ratios])
    ax.minorticks_off()


def plot_forest(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Posterior and Cox hazard ratios of every term, with 95% intervals.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    table, cox = fit.coefficients(), fit.cox
    n_terms = len(table)
    ax = new_axes(ax, 7, 1.1 + 0.46 * n_terms)
    place = np.arange(n_terms)[::-1].astype(float)
    limits = table[["eti95_low", "eti95_high"]].to_numpy(dtype=float)
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
    draw_intervals(
        ax,
        place + 0.14,
        table["median"].to_numpy(dtype=float),
        limits,
        "o",
        COLOURS[0],
        "posterior: median, 95% interval",
    )
    draw_intervals(
        ax,
        place - 0.14,
        np.asarray(cox.coef, dtype=float),
        cox_limits,
        "s",
        MUTED,
        f"Cox ({plain_text(cox.method)}): estimate, 95% interval",
    )
    ratio_ticks(ax)
    ax.set_yticks(place, [plain_text(term, 30) for term in table["term"]])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    ax.set_ylim(-0.5, n_terms - 0.5)
    ax.set_xlabel("hazard ratio (log scale), per unit of the covariate")
    legend_above(ax)
    label_synthetic(fit, ax)
    return ax


def draw_intervals(
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


def legend_above(ax: "Axes", columns: int = 1) -> None:
    """Put the legend over the axes, where it covers nothing."""
    ax.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        ncols=columns,
        fontsize=9,
        borderaxespad=0,
        handlelength=1.8,
        columnspacing=1.5,
    )


def plot_survival(fit: "Fit", ax: "Axes | None" = None, *, at_risk: bool = True) -> "Axes":
    """Standardised survival with 95% bands over Kaplan-Meier, numbers at risk below.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.
    at_risk : bool
        Write the numbers at risk under the axis.

    Returns
    -------
    matplotlib.axes.Axes
    """
    from matplotlib.lines import Line2D

    from bayes_crlm.kaplan_meier import kaplan_meier

    cohort, design = fit.inputs.cohort, fit.inputs.design
    n_levels = len(design.levels)
    ax = new_axes(ax, 7, 4.3 + 0.36 * n_levels)
    end = float(fit.inputs.intervals.cutpoints[-1])
    times = np.linspace(0, end, 121)
    draws = fit.survival_draws(times, most_draws=PICTURED_DRAWS).values
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.01)
    ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= end]
    entries = []
    for k, level in enumerate(design.levels):
        colour = COLOURS[k % len(COLOURS)]
        # beyond six levels colours repeat, with another kind of line
        style = LINE_STYLES[k // len(COLOURS) % len(LINE_STYLES)]
        ax.fill_between(times, low[k], high[k], color=colour, alpha=0.18, lw=0)
        (line,) = ax.plot(times, middle[k], style, color=colour, lw=2)
        entries.append((line, plain_text(level, 40)))
        rows = design.treatment_level == k
        curve = kaplan_meier(cohort.entry[rows], cohort.time[rows], cohort.event[rows])
        ax.step(
            np.concatenate([[0.0], curve.times]),
            np.concatenate([[1.0], curve.survival]),
            where="post",
            color=colour,
            lw=1,
        )
        if at_risk:
            write_numbers_at_risk(ax, k, level, colour, ticks, curve.number_at_risk(ticks))
    entries += [
        (Line2D([], [], color=MUTED, lw=2), "smooth: model, 95% band"),
        (Line2D([], [], color=MUTED, lw=1, drawstyle="steps-post"), "steps: Kaplan-Meier"),
    ]
    ax.set_xticks(ticks)
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel("survival")
    ax.set_yticks(np.linspace(0, 1, 6), [f"{each:.0%}" for each in np.linspace(0, 1, 6)])
    ax.grid(axis="y", color=INK, alpha=0.08, lw=0.8)
    handles, labels = zip(*entries, strict=True)
    ax.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0, 1.02),
        ncols=2 if max(len(label) for label in labels) < 36 else 1,
        fontsize=9,
        borderaxespad=0,
        title=plain_text(design.treatment, 60),
        title_fontsize=9,
        alignment="left",
    )
    label_synthetic(fit, ax)
    return ax


def write_numbers_at_risk(
    ax: "Axes", k: int, level: object, colour: str, ticks: list[float], numbers: "NDArray"
) -> None:
    """Write one line of numbers at risk under the axis and its label: the level, then numbers."""
    if k == 0:
        ax.annotate(
            "at risk",
            (0, 0),
            xycoords="axes fraction",
            xytext=(-8, -44),
            textcoords="offset points",
            ha="right",
            va="center",
            fontsize=9,
            color=MUTED,
        )
    below = -60 - 24 * k
    ax.annotate(
        plain_text(level, 16),
        (0, 0),
        xycoords="axes fraction",
        xytext=(-12, below),
        textcoords="offset points",
        ha="right",
        va="center",
        fontsize=9,
        linespacing=1,
        color=colour,
    )
    for tick, number in zip(ticks, numbers, strict=True):
        ax.annotate(
            f"{int(number)}",
            (tick, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, below),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9,
            color=colour,
        )


def plot_hazard(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Posterior hazard of every interval at the covariates' means, with 95% bands.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(ax, 7, 3.2)
    table = fit.log_hazard()
    edges = np.append(table["from"].to_numpy(), table["to"].iloc[-1])
    for start, stop, low, high in table[["from", "to", "eti95_low", "eti95_high"]].to_numpy():
        ax.fill_between(
            [start, stop], np.exp(low), np.exp(high), color=COLOURS[0], alpha=0.18, lw=0
        )
    ax.stairs(np.exp(table["mean"]), edges, color=COLOURS[0], lw=2, baseline=None)
    ax.set_yscale("log")
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:.4g}")
    ax.yaxis.set_minor_formatter(lambda value, _: f"{value:.4g}")
    low, high = ax.get_ylim()
    if high / low > 10:
        ax.yaxis.set_minor_formatter(lambda value, _: "")
    ax.set_xlim(0, edges[-1])
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(
        f"events per {'unit of time' if not fit.inputs.cohort.unit else 'patient and '}"
        f"{unit_singular(fit)}"
    )
    label_synthetic(fit, ax)
    return ax


def unit_singular(fit: "Fit") -> str:
    """The time unit for a rate: "month" of "months"; nothing without a unit."""
    unit = fit.inputs.cohort.unit or ""
    return plain_text(unit[:-1] if unit.endswith("s") and len(unit) > 2 else unit)


def plot_prior_posterior(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Prior against posterior density of the treatment's log hazard ratios.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

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
        ax.plot(
            grid,
            curve,
            LINE_STYLES[k // len(COLOURS) % len(LINE_STYLES)],
            color=COLOURS[k % len(COLOURS)],
            lw=2,
            label=f"posterior: {plain_text(fit.inputs.design.terms[k], 70)}",
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


def plot_prior_survival(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Survival curves of the reference level that the prior alone implies.

    Parameters
    ----------
    fit : Fit
        A fitted model.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure without it.

    Returns
    -------
    matplotlib.axes.Axes
    """
    ax = new_axes(ax, 7, 3.5)
    curves = fit.variable("survival", "prior").isel(treatment=0)
    times, values = curves["time"].values, curves.values.reshape(-1, curves.shape[-1])
    ax.plot(times, values[:40].T, color=MUTED, lw=0.5, alpha=0.4)
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
    ax.fill_between(times, low, high, color=MUTED, alpha=0.15, lw=0, label="prior: 95% of curves")
    ax.plot(times, middle, "--", color=INK, lw=1.5, label="prior: median")
    draws = fit.survival_draws(times, most_draws=PICTURED_DRAWS).values[:, 0]
    ax.plot(times, np.median(draws, axis=0), color=COLOURS[0], lw=2, label="posterior: median")
    ax.set_ylim(0, 1.01)
    ax.set_yticks(np.linspace(0, 1, 6), [f"{each:.0%}" for each in np.linspace(0, 1, 6)])
    ax.set_xlim(0, times[-1])
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(f"survival with\n{plain_text(fit.inputs.design.reference, 26)}")
    legend_above(ax, columns=3)
    label_synthetic(fit, ax)
    return ax


def plot_predictive(fit: "Fit") -> "Axes":
    """Kaplan-Meier of the cohort over curves of cohorts that the model predicts (ArviZ).

    Parameters
    ----------
    fit : Fit
        A fitted model without delayed entry, which ArviZ's Kaplan-Meier does not know.

    Returns
    -------
    matplotlib.axes.Axes
    """
    import arviz_plots as azp
    import xarray as xr

    predicted = fit.posterior["posterior_predictive"].to_dataset()
    # evenly spaced ones: ArviZ would choose at random, and the figure would never repeat
    n_shown = max(1, PREDICTED_COHORTS // predicted.sizes["chain"])
    step = math.ceil(predicted.sizes["draw"] / n_shown)
    predicted = predicted.isel(draw=slice(None, None, step))
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
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel("event-free")
    ax.set_xlim(0, float(fit.inputs.intervals.cutpoints[-1]))
    label_synthetic(fit, ax)
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
    """Rank plots of the treatment effects (ArviZ); None for a single chain or very few draws.

    Parameters
    ----------
    fit : Fit
        A fitted model.

    Returns
    -------
    matplotlib.axes.Axes or None
        The first panel.
    """
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


def restyle(ax: "Axes") -> None:
    """Give an ArviZ figure the letter sizes of the others."""
    ax.tick_params(labelsize=10)
    for text in (ax.xaxis.label, ax.yaxis.label):
        text.set_fontsize(10)
    for text in ax.texts:
        text.set_fontsize(9)
    ax.spines[["top", "right"]].set_visible(False)


def to_svg(figure: "Figure") -> str:
    """Write a figure as an SVG element without a date, so that it repeats exactly."""
    import matplotlib as mpl

    buffer = io.StringIO()
    with mpl.rc_context(STYLE | {"figure.constrained_layout.use": False}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def draw_figures(analysis: "Analysis", summary: dict[str, Any]) -> dict[str, str]:
    """Draw every figure of the report.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.
    summary : dict
        Its `summary.json`.

    Returns
    -------
    dict of str to str
        SVG text by figure name.
    """
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    fit = analysis.fit
    plots = {
        "forest": plot_forest,
        "survival": plot_survival,
        "hazard": plot_hazard,
        "prior_posterior": plot_prior_posterior,
        "prior_survival": plot_prior_survival,
        "ranks": plot_ranks,
    }
    if not fit.inputs.data.follow_up.is_delayed:
        plots["predictive"] = plot_predictive
    made = {}
    for name, plot in plots.items():
        with mpl.rc_context(STYLE):
            ax = plot(fit)
        if ax is not None:
            figure: Any = ax.get_figure()
            made[name] = to_svg(figure)
            plt.close(figure)
    return made
