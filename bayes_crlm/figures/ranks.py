"""Whether chains have mixed: ranks of each chain's draws among all, and a test of them.

References
----------
Tesso & Vehtari (2026), arXiv:2603.02928; Säilynoja, Bürkner & Vehtari (2022), Stat Comput 32:32.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.figures.drawing import COLOURS, INK, label_synthetic, new_figure, plain_text
from bayes_crlm.words.records import record
from bayes_crlm.words.shown import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bayes_crlm.figures.drawing import Fitted

Floats = NDArray[np.float64]

# the test needs more than a handful of draws
FEWEST_RANKED_DRAWS = 20
# of longer chains the test and the curves are taken at so many evenly spaced ranks
MOST_RANKS = 2_000
LEVEL = 0.01
# standard deviations from the mean beyond which a hypergeometric count has no probability
FARTHEST = 12


@record(eq=False)
class ChainRanks:
    """Ranks of each chain's draws among all draws, against those of chains that have mixed.

    Attributes
    ----------
    at : (ranks,) ndarray
        Ranks as shares of the number of draws.
    excess : (chains, ranks) ndarray
        Share of the chain's draws up to there, minus the share among all.
    p : float
        Of the test that all chains have one distribution.
    is_suspicious : (chains, ranks) ndarray of bool
        Where a failed test comes from.
    """

    at: Floats
    excess: Floats
    p: float
    is_suspicious: NDArray[np.bool_]


def plot_ranks(fit: "Fitted") -> "Axes | None":
    """Plot ranks of the treatment effects, each chain's against those of all.

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
    draws = fit.groups["posterior"]["treatment_effect"]
    if draws.shape[0] < 2 or draws.shape[1] < FEWEST_RANKED_DRAWS:
        return None
    n_terms = draws.shape[2]
    columns = min(n_terms, 2)
    n_rows = math.ceil(n_terms / columns)
    panels = new_figure(7, 0.5 + 2.6 * n_rows).subplots(n_rows, columns, sharex=True, squeeze=False)
    for ax in panels.flat[n_terms:]:
        ax.remove()
    for k, term in enumerate(fit.inputs.design.terms[:n_terms]):
        ax = panels.flat[k]
        plot_chain_ranks(ax, chain_ranks(draws[:, :, k]), draws.shape[1])
        ax.set_title(plain_text(term, 36), fontsize=10, color=INK, pad=16)
    label_synthetic(fit, panels.flat[n_terms - 1])
    return panels.flat[0]


def plot_chain_ranks(ax: "Axes", ranks: ChainRanks, n_draws: int) -> None:
    """Plot the excess of every chain, the test's p, and where a failed test comes from."""
    for k, excess in enumerate(ranks.excess):
        ax.plot(ranks.at, excess, color=COLOURS[k % len(COLOURS)], lw=1.2)
    chain, place = np.nonzero(ranks.is_suspicious)
    if len(chain):
        ax.scatter(ranks.at[place], ranks.excess[chain, place], color=INK, marker=".", zorder=3)
    # Dvoretzky, Kiefer & Wolfowitz's bound for draws that are independent, and some air
    bound = 1.3 * math.sqrt(math.log(2 / LEVEL) / (2 * n_draws))
    height = max(bound, float(np.abs(ranks.excess).max()))
    ax.set_ylim(-height, height)
    ax.text(0, 0.85 * height, f"p={number(ranks.p)} (α={LEVEL})", fontsize=9)
    ax.set_xlabel("rank of the draw (share)")
    ax.yaxis.set_visible(False)
    ax.spines["left"].set_visible(False)
    ax.tick_params(labelbottom=True)


def chain_ranks(draws: NDArray) -> ChainRanks:
    """Test whether the chains of one quantity have one distribution, at every rank.

    At each rank the number of a chain's draws up to there is hypergeometric where chains have
    mixed; two-sided mid-p values of chains and ranks are combined by Cauchy's distribution.

    Parameters
    ----------
    draws : (chains, draws) ndarray
        Of one quantity.

    Returns
    -------
    ChainRanks
    """
    n_draws = draws.shape[1]
    ordered = np.sort(draws, axis=None)
    first, last = (np.searchsorted(ordered, draws, side) for side in ("left", "right"))
    share = np.sort((first + last + 1) / (2 * draws.size), axis=1)
    n_ranks = min(n_draws, MOST_RANKS)

    def up_to(limits: NDArray) -> NDArray[np.intp]:
        return np.stack([np.searchsorted(each, limits, "right") for each in share])

    tested = np.arange(1, n_ranks + 1) / (n_ranks + 1)
    below = hypergeometric_mid_p(
        up_to(tested), np.floor(tested * draws.size).astype(int), n_draws, draws.size
    )
    each = np.tan((0.5 - 2 * np.minimum(below, 1 - below)) * np.pi)
    of_ranks = each.mean(axis=0)
    p = float(0.5 - np.arctan(of_ranks.mean()) / np.pi)
    is_suspicious = (contributions(each, 0) > 0) & (contributions(of_ranks, 0) > 0) & (p < LEVEL)
    at = np.linspace(0, 1, n_ranks)
    return ChainRanks(at, up_to(at) / n_draws - at, p, is_suspicious)


def hypergeometric_mid_p(found: NDArray, drawn: NDArray, n_marked: int, total: int) -> Floats:
    """Probability of fewer marked ones, and half of that of as many.

    Parameters
    ----------
    found : (..., n) ndarray of int
        Marked ones among those drawn.
    drawn : (n,) ndarray of int
        How many are drawn.
    n_marked, total : int
        How many are marked, of how many.

    Returns
    -------
    (..., n) ndarray
    """
    log_factorial = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, total + 1)))])

    def log_choose(n: NDArray | int, k: NDArray) -> Floats:
        return log_factorial[n] - log_factorial[k] - log_factorial[n - k]

    share = n_marked / total
    widest = math.ceil(FARTHEST * math.sqrt(total / 4 * share * (1 - share)))
    counts = np.floor(drawn * share).astype(int)[:, None] + np.arange(-widest, widest + 2)
    left = drawn[:, None] - counts
    is_possible = (counts >= 0) & (counts <= n_marked) & (left >= 0) & (left <= total - n_marked)
    counted, others = np.where(is_possible, counts, 0), np.where(is_possible, left, 0)
    log_mass = log_choose(n_marked, counted) + log_choose(total - n_marked, others)
    mass = np.where(is_possible, np.exp(log_mass - log_choose(total, drawn)[:, None]), 0.0)
    below = np.cumsum(mass, axis=1) - mass / 2
    place = np.clip(found - counts[:, 0], 0, counts.shape[1] - 1)
    return below[np.arange(len(drawn)), place]


def contributions(values: NDArray, axis: int) -> Floats:
    """Shapley values of numbers in their mean."""
    n = values.shape[axis]
    harmonic = (1 / np.arange(1, n + 1)).sum()
    others = (values.sum(axis=axis, keepdims=True) - values) / (n - 1)
    return values / n + (harmonic - 1) / n * (values - others)
