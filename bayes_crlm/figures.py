"""Figures of a fit: hazard ratios, survival, priors, diagnostics. Each is drawn once as SVG."""

import io
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm import estimands

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
INK, MUTED = "#1a1a1a", "#767676"
SYNTHETIC = "synthetic, not patient data"
STYLE = {
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
}


def new_axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Use the caller's axes, or make a figure that belongs to no window."""
    if ax is not None:
        return ax
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height))
        FigureCanvasSVG(figure)
        return figure.add_subplot()


def label_synthetic(fit: "Fit", ax: "Axes") -> None:
    """Say on the figure that its data are synthetic, when they are."""
    if fit.inputs.cohort.is_synthetic:
        ax.annotate(
            SYNTHETIC,
            (1, 1.01),
            xycoords="axes fraction",
            ha="right",
            va="bottom",
            fontsize=8,
            color="#B00020",
        )


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
    ax = new_axes(ax, 7, 0.8 + 0.5 * len(table))
    place = np.arange(len(table))[::-1].astype(float)
    middle = np.exp(table["median"].to_numpy())
    low, high = (np.exp(table[f"eti95_{end}"].to_numpy()) for end in ("low", "high"))
    ax.hlines(place + 0.13, low, high, color=COLOURS[0], lw=2)
    ax.plot(middle, place + 0.13, "o", color=COLOURS[0], label="posterior (median, 95%)")
    ratio = np.exp(np.asarray(cox.coef, dtype=float))
    limits = np.asarray(cox.ci95, dtype=float)
    ax.hlines(place - 0.13, limits[:, 0], limits[:, 1], color=MUTED, lw=1.5)
    ax.plot(ratio, place - 0.13, "s", color=MUTED, ms=5, label=f"Cox ({cox.method}, 95%)")
    ax.axvline(1, color=INK, lw=0.8, ls=":")
    ax.set_xscale("log")
    finite = np.concatenate([low, high, limits[np.isfinite(limits) & (limits > 0)]])
    ax.set_xlim(max(0.01, finite.min() / 1.2), min(100, finite.max() * 1.2))
    ticks = [t for t in (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)
             if ax.get_xlim()[0] <= t <= ax.get_xlim()[1]]
    ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
    ax.minorticks_off()
    ax.set_yticks(place, [plain_text(term) for term in table["term"]])
    ax.set_ylim(-0.6, len(table) - 0.4)
    ax.set_xlabel("hazard ratio (per unit of the covariate, log scale)")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.9 / (0.8 + 0.5 * len(table))), ncol=2)
    label_synthetic(fit, ax)
    return ax


def plain_text(text: object) -> str:
    """Keep matplotlib from reading dollar signs of a name as mathematics."""
    return str(text).replace("$", r"\$")


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
    from bayes_crlm.kaplan_meier import kaplan_meier

    cohort, design = fit.inputs.cohort, fit.inputs.design
    ax = new_axes(ax, 7, 4.2 + 0.2 * len(design.levels))
    end = float(fit.inputs.intervals.cutpoints[-1])
    times = np.linspace(0, end, 121)
    draws = fit.survival_draws(times).values
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    ticks = [tick for tick in ax.xaxis.get_major_locator().tick_values(0, end) if 0 <= tick <= end]
    for k, level in enumerate(design.levels):
        colour = COLOURS[k % len(COLOURS)]
        ax.fill_between(times, low[k], high[k], color=colour, alpha=0.18, lw=0)
        ax.plot(times, middle[k], color=colour, lw=2, label=f"{plain_text(level)} (model)")
        rows = design.treatment_level == k
        curve = kaplan_meier(cohort.entry[rows], cohort.time[rows], cohort.event[rows])
        ax.step(
            np.concatenate([[0.0], curve.times]),
            np.concatenate([[1.0], curve.survival]),
            where="post",
            color=colour,
            lw=1,
            ls="--",
            label=f"{plain_text(level)} (Kaplan-Meier)",
        )
        if at_risk:
            ax.annotate(
                plain_text(level)[:18],
                (0, -38 - 14 * k),
                xycoords=("axes fraction", "axes points"),
                xytext=(-8, 0),
                textcoords="offset points",
                ha="right",
                va="center",
                fontsize=8,
                color=colour,
            )
            for tick, number in zip(ticks, curve.number_at_risk(np.array(ticks)), strict=True):
                ax.annotate(
                    f"{int(number)}",
                    (tick, -38 - 14 * k),
                    xycoords=("data", "axes points"),
                    ha="center",
                    va="center",
                    fontsize=8,
                    color=colour,
                )
    ax.set_xticks(ticks)
    ax.set_xlim(0, end)
    ax.set_ylim(0, 1.02)
    unit = f" ({cohort.unit})" if cohort.unit else ""
    ax.set_xlabel(
        f"time{unit}; numbers at risk below" if at_risk else f"time{unit}",
        labelpad=8 + 14 * len(design.levels) if at_risk else None,
    )
    ax.set_ylabel("survival")
    ax.legend(loc="upper right", fontsize=8)
    label_synthetic(fit, ax)
    return ax


def plot_hazard(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Posterior hazard of every interval at the covariates' means, with 95% bands."""
    ax = new_axes(ax, 7, 3.2)
    table = fit.log_hazard()
    edges = np.append(table["from"].to_numpy(), table["to"].iloc[-1])
    ax.stairs(np.exp(table["mean"]), edges, color=COLOURS[0], lw=2, baseline=None)
    for start, stop, low, high in table[["from", "to", "eti95_low", "eti95_high"]].to_numpy():
        ax.fill_between([start, stop], np.exp(low), np.exp(high), color=COLOURS[0], alpha=0.18, lw=0)
    ax.set_yscale("log")
    unit = fit.inputs.cohort.unit or "time unit"
    ax.set_xlabel(f"time ({unit})")
    ax.set_ylabel("hazard per unit of time")
    label_synthetic(fit, ax)
    return ax


def plot_prior_posterior(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Prior against posterior density of the treatment's log hazard ratios."""
    ax = new_axes(ax, 7, 3.2)
    n_treatment = fit.inputs.n_treatment_terms
    posterior = fit.effect_draws[:, :n_treatment]
    spread = 4 * posterior.std(axis=0).max()
    grid = np.linspace(
        min(posterior.min(), -2.0) - spread / 4, max(posterior.max(), 2.0) + spread / 4, 400
    )
    prior = fit.inputs.treatment_prior
    density = np.exp(prior.log_density(grid))  # type: ignore[union-attr]
    ax.fill_between(grid, density, color=MUTED, alpha=0.25, lw=0, label=f"prior {prior.describe()}")
    for k in range(n_treatment):
        draws = posterior[:, k]
        # Silverman's rule
        width = 0.9 * min(draws.std(), np.subtract(*np.quantile(draws, [0.75, 0.25])) / 1.34)
        width *= len(draws) ** -0.2
        kernel = np.exp(-0.5 * ((grid[:, None] - draws[None, :]) / width) ** 2)
        curve = kernel.mean(axis=1) / (width * np.sqrt(2 * np.pi))
        ax.plot(grid, curve, color=COLOURS[k % len(COLOURS)], lw=2,
                label=f"posterior {plain_text(fit.inputs.design.terms[k])}")
    ratios = [r for r in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20) if grid[0] <= np.log(r) <= grid[-1]]
    ax.set_xticks(np.log(ratios), [f"{ratio:g}" for ratio in ratios])
    ax.axvline(0, color=INK, lw=0.8, ls=":")
    ax.set_ylim(0)
    ax.set_yticks([])
    ax.set_xlabel("hazard ratio (log scale)")
    ax.legend(fontsize=8)
    label_synthetic(fit, ax)
    return ax


def plot_prior_survival(fit: "Fit", ax: "Axes | None" = None) -> "Axes":
    """Survival curves of the reference level that the prior alone implies."""
    ax = new_axes(ax, 7, 3.2)
    curves = fit.posterior["prior"]["survival"].isel(treatment=0)
    times, values = curves["time"].values, curves.values.reshape(-1, curves.shape[-1])
    ax.plot(times, values[:50].T, color=MUTED, lw=0.5, alpha=0.4)
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
    ax.fill_between(times, low, high, color=MUTED, alpha=0.15, lw=0, label="prior, 95% of curves")
    ax.plot(times, middle, color=MUTED, lw=2, label="prior median")
    draws = estimands.standardised_survival(
        estimands.cumulative_hazard_at(
            fit.log_hazard_draws, fit.inputs.intervals.cutpoints, times
        ),
        fit.relative_hazard(0),
        fit.population.share,
    )
    ax.plot(times, np.median(draws, axis=0), color=COLOURS[0], lw=2, label="posterior median")
    ax.set_ylim(0, 1.02)
    ax.set_xlim(0, times[-1])
    unit = f" ({fit.inputs.cohort.unit})" if fit.inputs.cohort.unit else ""
    ax.set_xlabel(f"time{unit}")
    ax.set_ylabel(f"survival, {plain_text(fit.inputs.design.reference)}")
    ax.legend(fontsize=8)
    label_synthetic(fit, ax)
    return ax


def plot_predictive(fit: "Fit") -> Any:
    """Kaplan-Meier of the cohort over curves of predicted cohorts (ArviZ)."""
    import arviz_plots as azp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return azp.plot_ppc_censored(
            fit.posterior, var_names=["time"], backend="matplotlib", num_samples=50
        )


def plot_ranks(fit: "Fit") -> Any:
    """Rank plots of the treatment effects (ArviZ)."""
    import arviz_plots as azp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return azp.plot_rank(
            fit.posterior, var_names=["treatment_effect"], backend="matplotlib"
        )


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

    fit = analysis.fit
    with mpl.rc_context(STYLE):
        made = {
            "forest": plot_forest(fit).get_figure(),
            "survival": plot_survival(fit).get_figure(),
            "hazard": plot_hazard(fit).get_figure(),
            "prior_posterior": plot_prior_posterior(fit).get_figure(),
            "prior_survival": plot_prior_survival(fit).get_figure(),
            "ranks": arviz_figure(fit, plot_ranks(fit)),
        }
        if not fit.inputs.data.follow_up.is_delayed:
            # ArviZ's Kaplan-Meier knows no delayed entry and would be wrong with it
            made["predictive"] = arviz_figure(fit, plot_predictive(fit))
    return {name: to_svg(figure) for name, figure in made.items()}


def arviz_figure(fit: "Fit", collection: Any) -> "Figure":
    """Take the matplotlib figure out of an ArviZ plot and close its window."""
    import matplotlib.pyplot as plt

    figure = collection.viz["figure"].item()
    for ax in figure.axes[:1]:
        label_synthetic(fit, ax)
    plt.close(figure)
    return figure
