"""Figures of a fit: numbers in, axes out; each is drawn once as SVG."""

from bayes_crlm.figures.hazard_ratios import plot_forest, plot_prior_posterior, plot_starts
from bayes_crlm.figures.ranks import plot_ranks
from bayes_crlm.figures.survival import (
    plot_hazard,
    plot_predictive,
    plot_prior_survival,
    plot_survival,
)

__all__ = [
    "plot_forest",
    "plot_hazard",
    "plot_predictive",
    "plot_prior_posterior",
    "plot_prior_survival",
    "plot_ranks",
    "plot_starts",
    "plot_survival",
]
