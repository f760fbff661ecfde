"""The figures of a run's report, each drawn once as SVG."""

from functools import partial
from typing import TYPE_CHECKING, Any

from bayes_crlm.figures.checks import plot_predictive, plot_ranks
from bayes_crlm.figures.drawing import styled, to_svg
from bayes_crlm.figures.hazard_ratios import plot_forest, plot_prior_posterior
from bayes_crlm.figures.starts import plot_starts
from bayes_crlm.figures.survival import plot_hazard, plot_prior_survival, plot_survival

if TYPE_CHECKING:
    from bayes_crlm.analysis.run import Analysis

__all__ = ["draw_figures"]


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
    import matplotlib.pyplot as plt

    fit = analysis.fit
    plots = {
        "forest": partial(plot_forest, failures=analysis.diagnostics.failures),
        "survival": plot_survival,
        "hazard": plot_hazard,
        "prior_posterior": partial(plot_prior_posterior, failures=analysis.diagnostics.failures),
        "prior_survival": plot_prior_survival,
        "ranks": plot_ranks,
        "predictive": plot_predictive,
    }
    start = summary["start"]
    if start is not None and "time_dependent" in start:
        plots["start"] = partial(plot_starts, start=start)
    made = {}
    for name, plot in plots.items():
        with styled():
            ax = plot(fit)
        if ax is not None:
            figure: Any = ax.get_figure()
            made[name] = to_svg(figure)
            plt.close(figure)
    return made
