"""Figures of refits beside each other: curves, forests and surfaces.

A row is a mapping with `median` and `eti95`; where it has `is_reliable` and that is false, its
marker is hollow.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_crlm.figures.drawing import (
    ALARM,
    COLOURS,
    INK,
    MUTED,
    new_figure,
    plain_text,
    ratio_ticks,
    styled,
)
from bayes_crlm.words.shown import as_written

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 8.0
ROW_HEIGHT = 0.27
# the words along the right edge that say that data are synthetic need so much
LEAST_HEIGHT = 3.1
NOT_RELIABLE = "not reliable: fails its diagnostics"
BASE = "the base analysis"
INTERVAL = "hazard ratio (95% interval)"
DASHES: Any = (0, (3, 2))
HOLLOW: dict[str, Any] = {"color": COLOURS[0], "marker": "o", "mfc": "white", "markersize": 5}
# of axes of ratios
STEPS = [digit * 10.0**power for power in range(-4, 5) for digit in (1, 1.5, 2, 3, 5, 7)]


def figure_of(draw: Callable[["Axes"], None], height: float = 4.2) -> "Figure":
    """Make a figure in this package's style and let it be drawn.

    Parameters
    ----------
    draw : callable
        Draws on axes.
    height : float
        In inches; never so low that the mark of synthetic data is cut off.
    """
    with styled():
        figure = new_figure(WIDTH, max(height, LEAST_HEIGHT))
        draw(figure.subplots())
    return figure


def is_reliable(row: Mapping[str, Any]) -> bool:
    """Whether a row passes its diagnostics; rows that have none do."""
    return row.get("is_reliable") is not False


def log_limits(rows: Sequence[Mapping[str, Any]]) -> tuple[Any, Any, Any]:
    """Logarithms of the medians and of both limits of rows, each of shape (rows,)."""
    eti95 = np.log([row["eti95"] for row in rows]).reshape(-1, 2)
    return np.log([row["median"] for row in rows]), eti95[:, 0], eti95[:, 1]


def mark_unreliable(ax: "Axes", x: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Give the rows that fail their diagnostics hollow markers, and say so in the legend."""
    failed = [k for k, row in enumerate(rows) if not is_reliable(row)]
    if failed:
        median = np.log([rows[k]["median"] for k in failed])
        ax.plot(np.asarray(x)[failed], median, linestyle="", label=NOT_RELIABLE, **HOLLOW)


def legend_above(ax: "Axes", columns: int = 3, size: int = 8) -> None:
    """Put the legend, if there is anything in it, above the axes, where it covers no data."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.01),
            ncols=columns,
            borderaxespad=0,
            fontsize=size,
        )


def ratio_axis(ax: "Axes") -> None:
    """Label a vertical axis of log hazard ratios with the ratios."""
    ax.set_ylabel(INTERVAL)
    low, high = ax.get_ylim()
    ratios = [ratio for ratio in STEPS if low <= math.log(ratio) <= high]
    ax.set_yticks([math.log(ratio) for ratio in ratios], [as_written(ratio) for ratio in ratios])
    ax.minorticks_off()


def plot_specification_curve(
    rows: Sequence[Mapping[str, Any]], order: Sequence[str], names: Mapping[str, str], base: float
) -> "Figure":
    """Draw sorted hazard ratios, and beneath them the options that each comes from.

    Parameters
    ----------
    rows : sequence of mapping
        Sorted, with `choices`.
    order : sequence of str
        Choices to be shown, from above.
    names : mapping of str to str
        What a reader calls a choice.
    base : float
        Hazard ratio of the base analysis.
    """
    options = {name: list(dict.fromkeys(row["choices"][name] for row in rows)) for name in order}
    lines = sum(len(each) + 1 for each in options.values())
    top, beneath = 3.2, max(0.17 * lines, 0.4)
    with styled():
        figure = new_figure(WIDTH + 0.6, top + beneath)
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[top, beneath])
        place = np.arange(len(rows))
        median, low, high = log_limits(rows)
        upper.fill_between(place, low, high, color=COLOURS[0], alpha=0.2, step="mid", linewidth=0)
        upper.plot(place, median, color=COLOURS[0], linewidth=1.5)
        upper.axhline(0, color=INK, linewidth=0.8)
        upper.axhline(math.log(base), color=ALARM, linewidth=0.8, linestyle="--", label=BASE)
        mark_unreliable(upper, place, rows)
        legend_above(upper)
        ratio_axis(upper)
        plot_options(lower, rows, options, names)
        lower.set_xlabel("specification, by its hazard ratio")
        lower.set_xlim(-1, len(rows))
    return figure


def plot_options(
    ax: "Axes",
    rows: Sequence[Mapping[str, Any]],
    options: Mapping[str, Sequence[Any]],
    names: Mapping[str, str],
) -> None:
    """Mark in one line per option the specifications that have it."""
    height, ticks, labels = 0.0, [], []
    for name, each_of in options.items():
        ax.text(0, height, names[name], fontsize=8, fontweight="bold", color=INK, va="center")
        height -= 1
        for option in sorted(each_of, key=lambda each: (not isinstance(each, str), each)):
            here = [k for k, row in enumerate(rows) if row["choices"][name] == option]
            # one line with gaps is a tenth of the size of as many marks
            across = np.repeat(np.asarray(here, dtype=float), 3)
            along = np.tile([height - 0.38, height + 0.38, np.nan], len(here))
            ax.plot(across, along, color=MUTED, linewidth=max(0.3, min(2, 300 / len(rows))))
            ticks.append(height)
            labels.append(plain_text(str(option), 40))
            height -= 1
    ax.set_yticks(ticks, labels, fontsize=7)
    ax.set_ylim(height + 0.4, 0.8)
    ax.tick_params(axis="y", length=0)
    ax.spines[["left"]].set_visible(False)


def plot_forest_rows(rows: Sequence[Mapping[str, Any]], labels: Sequence[str] = ()) -> "Figure":
    """Draw hazard ratios beneath each other; the first is what the others are compared with.

    Parameters
    ----------
    rows : sequence of mapping
        As they stand in the part's table.
    labels : sequence of str
        What stands beside each; the rows' own `label` without it.
    """
    labels = [plain_text(each, 44) for each in labels or [row["label"] for row in rows]]

    def draw(ax: "Axes") -> None:
        for place, row in enumerate(rows):
            colour = INK if place == 0 else COLOURS[0]
            fill, line = (colour, "-") if is_reliable(row) else ("white", DASHES)
            along = [-place, -place]
            ax.plot(np.log(row["eti95"]), along, color=colour, linewidth=1.5, linestyle=line)
            at = [math.log(row["median"])]
            ax.plot(at, [-place], "o", color=colour, markerfacecolor=fill, markersize=5)
        ax.axvline(0, color=INK, linewidth=0.8)
        first = math.log(rows[0]["median"])
        ax.axvline(first, color=MUTED, linewidth=0.8, linestyle=":", label=labels[0])
        if not all(map(is_reliable, rows)):
            ax.plot([], [], linestyle=DASHES, label=NOT_RELIABLE, **HOLLOW)
        legend_above(ax)
        ax.set_yticks([-place for place in range(len(rows))], labels)
        ax.set_ylim(-len(rows) + 0.4, 0.6)
        ax.set_xlabel(INTERVAL)
        ratio_ticks(ax)

    return figure_of(draw, height=1.0 + ROW_HEIGHT * max(len(rows), 3))


def plot_hazard_ratio_curve(
    x: ArrayLike,
    rows: Sequence[Mapping[str, Any]],
    xlabel: str,
    base: float,
    marks: Sequence[tuple[str, bool]] = (),
    quantity: str = "",
) -> "Figure":
    """Draw a hazard ratio with its interval against a count.

    Parameters
    ----------
    x : (n,) array_like
        Where each row is on the axis.
    rows : sequence of n mappings
        With `median` and `eti95`, hazard ratios, in the order of `x`.
    xlabel : str
        What the axis shows.
    base : float
        Hazard ratio of the base analysis.
    marks : sequence of n (str, bool)
        What is written beneath each, and whether in bold.
    quantity : str
        What the marks are.
    """
    from matplotlib.ticker import MaxNLocator

    def draw(ax: "Axes") -> None:
        median, low, high = log_limits(rows)
        ax.fill_between(np.asarray(x), low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
        ax.plot(np.asarray(x), median, "o-", color=COLOURS[0], markersize=4)
        mark_unreliable(ax, x, rows)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.axhline(math.log(base), color=MUTED, linewidth=0.8, linestyle=":", label=BASE)
        legend_above(ax)
        ax.set_xlabel(xlabel)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ratio_axis(ax)
        beneath: dict[str, Any] = {"textcoords": "offset points"}
        ax.annotate(
            quantity, (0, 0), xycoords="axes fraction", xytext=(2, 14), fontsize=7, **beneath
        )
        for place, (text, is_bold) in zip(np.asarray(x).tolist(), marks, strict=False):
            ax.annotate(
                text,
                (place, 0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                ha="center",
                fontsize=6 if len(rows) > 12 else 7,
                fontweight="bold" if is_bold else "normal",
                **beneath,
            )

    return figure_of(draw)


def plot_mirrored(
    groups: Mapping[str, ArrayLike],
    edges: ArrayLike,
    xlabel: str,
    ylabel: str,
    *,
    is_log: bool = False,
) -> "Figure":
    """Draw how two groups are distributed, the first upwards and the second downwards.

    Parameters
    ----------
    groups : mapping of str to (n,) array_like
        Values by what a reader calls the group.
    edges : (bins + 1,) array_like
        Ends of the bins in which both groups are counted, increasing.
    xlabel, ylabel : str
        What the axes show.
    is_log : bool
        Whether the axis of values is logarithmic.
    """
    ends = np.asarray(edges)

    def draw(ax: "Axes") -> None:
        for (name, values), sign, colour in zip(groups.items(), (1, -1), COLOURS, strict=False):
            count, _ = np.histogram(np.asarray(values), ends)
            label = plain_text(name)
            ax.bar(ends[:-1], sign * count, np.diff(ends), align="edge", color=colour, label=label)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xlim(ends[0], ends[-1])
        if is_log:
            ax.set_xscale("log")
            ticks = [each for each in STEPS if ends[0] <= each <= ends[-1]]
            ax.set_xticks(ticks, [as_written(each) for each in ticks])
            ax.minorticks_off()
        # both groups are counted from the line
        counts = [each for each in ax.get_yticks() if float(each).is_integer()]
        ax.set_yticks(counts, [as_written(abs(each)) for each in counts])
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        legend_above(ax, columns=1, size=9)

    return figure_of(draw, height=3.8)


def plot_differences(
    rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, str], balanced: float, xlabel: str
) -> "Figure":
    """Draw several numbers of every row, a marker for each kind.

    Parameters
    ----------
    rows : sequence of mapping
        With `term`, and a number for each kind.
    kinds : mapping of str to str
        What a reader calls a kind.
    balanced : float
        Half the width of the band around 0 in which a number is small.
    xlabel : str
        What the axis shows.
    """

    def draw(ax: "Axes") -> None:
        place = np.arange(len(rows))[::-1]
        looks = zip("xso", (MUTED, COLOURS[1], COLOURS[0]), strict=True)
        for (kind, name), (marker, colour) in zip(kinds.items(), looks, strict=False):
            ax.plot([row[kind] for row in rows], place, marker, color=colour, label=name)
        ax.axvline(0, color=INK, linewidth=0.8)
        ax.axvspan(-balanced, balanced, color=INK, alpha=0.06, linewidth=0)
        ax.set_yticks(place, [plain_text(row["term"], 40) for row in rows])
        ax.set_xlabel(xlabel)
        legend_above(ax)

    return figure_of(draw, height=1.4 + 0.3 * max(len(rows), 3))


def plot_by_placement(
    rows: Sequence[Mapping[str, Any]], stacked: Mapping[str, Any] | None
) -> "Figure":
    """Draw hazard ratios against the number of intervals, by placement of the cutpoints.

    Parameters
    ----------
    rows : sequence of mapping
        With `placement` and `n_intervals`.
    stacked : mapping or None
        All of them stacked: a band.
    """
    from matplotlib.ticker import MaxNLocator

    def draw(ax: "Axes") -> None:
        if stacked is not None:
            ax.axhspan(*np.log(stacked["eti95"]), color=MUTED, alpha=0.15, linewidth=0)
            ax.axhline(np.log(stacked["median"]), color=MUTED, linewidth=0.8, linestyle="--")
        for k, placement in enumerate(dict.fromkeys(row["placement"] for row in rows)):
            here = [row for row in rows if row["placement"] == placement]
            # side by side, so that none hides another
            x = np.array([row["n_intervals"] for row in here]) + 0.15 * (k - 1)
            median, low, high = log_limits(here)
            look: dict[str, Any] = {"color": COLOURS[k], "markersize": 4}
            ax.vlines(x, low, high, color=COLOURS[k], linewidth=1.2)
            ax.plot(x, median, "o", label=placement, **look)
            failed = [j for j, row in enumerate(here) if not is_reliable(row)]
            ax.plot(x[failed], median[failed], "o", markerfacecolor="white", **look)
        if not all(map(is_reliable, rows)):
            ax.plot([], [], "o", color=MUTED, markerfacecolor="white", label=NOT_RELIABLE)
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.set_xlabel("number of intervals")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_above(ax, columns=4)
        ratio_axis(ax)

    return figure_of(draw)
