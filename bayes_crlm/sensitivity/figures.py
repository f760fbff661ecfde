"""Figures that several sensitivity analyses share: curves, forests and surfaces."""

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
    label_synthetic,
    plain_text,
    ratio_ticks,
    styled,
)
from bayes_crlm.words.shown import as_written, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bayes_crlm.sensitivity.parts import Context

__all__ = [
    "figure_of",
    "log_ratio_axis",
    "plot_forest_rows",
    "plot_hazard_ratio_curve",
    "plot_specification_curve",
    "plot_surface",
]

WIDTH = 8.0
ROW_HEIGHT = 0.27
# the words along the right edge that say that data are synthetic need so much
LEAST_HEIGHT = 3.1
NOT_RELIABLE = "not reliable: fails its diagnostic"
AS_IT_STANDS = "the base analysis"
DASHES: Any = (0, (3, 2))
HOLLOW: dict[str, Any] = {
    "color": COLOURS[0],
    "marker": "o",
    "markerfacecolor": "white",
    "markersize": 5,
}


def figure_of(context: "Context", draw: Callable[["Axes"], None], height: float = 4.2) -> "Figure":
    """Make a figure in this package's style, let it be drawn, and mark synthetic data.

    Parameters
    ----------
    context : Context
    draw : callable
        Draws on axes.
    height : float
        In inches; never so low that the mark of synthetic data is cut off.
    """
    import matplotlib.pyplot as plt

    with styled():
        figure, ax = plt.subplots(figsize=(WIDTH, max(height, LEAST_HEIGHT)))
        draw(ax)
        label_synthetic(context.plan, ax)
    return figure


def is_reliable(row: Mapping[str, Any]) -> bool:
    """Whether a row passes its diagnostic; rows that have none do."""
    return row.get("is_reliable") is not False


def legend_above(ax: "Axes") -> None:
    """Put the legend, if there is anything in it, above the axes, where it covers no data."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1.01),
            ncols=3,
            borderaxespad=0,
            fontsize=8,
        )


def log_ratio_axis(ax: "Axes", *, vertical: bool) -> None:
    """Label an axis of log hazard ratios with the ratios."""
    if not vertical:
        ratio_ticks(ax)
        return
    low, high = ax.get_ylim()
    ratios = [
        digit * 10.0**power
        for power in range(-4, 5)
        for digit in (1, 1.5, 2, 3, 5, 7)
        if low <= math.log(digit * 10.0**power) <= high
    ]
    ax.set_yticks(
        [math.log(ratio) for ratio in ratios], [f"{as_written(ratio)}" for ratio in ratios]
    )
    ax.minorticks_off()


def plot_specification_curve(
    context: "Context",
    rows: Sequence[Mapping[str, Any]],
    order: Sequence[str],
    names: Mapping[str, str],
) -> "Figure":
    """Draw sorted hazard ratios, and beneath them the options that each comes from.

    Parameters
    ----------
    context : Context
    rows : sequence of mapping
        Sorted, with `choices`, `median` and `eti95`.
    order : sequence of str
        Choices to be shown, from above.
    names : mapping of str to str
        What a reader calls a choice.
    """
    import matplotlib.pyplot as plt

    options = {name: list(dict.fromkeys(row["choices"][name] for row in rows)) for name in order}
    lines = sum(len(each) + 1 for each in options.values())
    top, beneath = 3.2, max(0.17 * lines, 0.4)
    with styled():
        figure, (upper, lower) = plt.subplots(
            2, 1, figsize=(WIDTH + 0.6, top + beneath), sharex=True, height_ratios=[top, beneath]
        )
        place = np.arange(len(rows))
        median, low, high = (
            np.log([row["median"] for row in rows]),
            np.log([row["eti95"][0] for row in rows]),
            np.log([row["eti95"][1] for row in rows]),
        )
        upper.fill_between(place, low, high, color=COLOURS[0], alpha=0.2, step="mid", linewidth=0)
        upper.plot(place, median, color=COLOURS[0], linewidth=1.5)
        upper.axhline(0, color=INK, linewidth=0.8)
        base = math.log(context.base["median"])
        upper.axhline(base, color=ALARM, linewidth=0.8, linestyle="--", label=AS_IT_STANDS)
        failed = [k for k, row in enumerate(rows) if not is_reliable(row)]
        if failed:
            upper.plot(failed, median[failed], linestyle="", label=NOT_RELIABLE, **HOLLOW)
        upper.set_ylabel("hazard ratio (95% interval)")
        legend_above(upper)
        log_ratio_axis(upper, vertical=True)
        draw_options(lower, rows, options, names)
        lower.set_xlabel("specification, by its hazard ratio")
        lower.set_xlim(-1, len(rows))
        label_synthetic(context.plan, upper)
    return figure


def draw_options(
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


def plot_forest_rows(
    context: "Context",
    rows: Sequence[Mapping[str, Any]],
    labels: Sequence[str],
) -> "Figure":
    """Draw hazard ratios beneath each other; the first is the base.

    Rows that fail their diagnostic have hollow markers and dashed intervals.

    Parameters
    ----------
    context : Context
    rows : sequence of mapping
        With `median` and `eti95`, and perhaps `is_reliable`.
    labels : sequence of str
        What stands beside each.
    """

    def draw(ax: "Axes") -> None:
        for place, row in enumerate(rows):
            colour = INK if place == 0 else COLOURS[0]
            fill, line = (colour, "-") if is_reliable(row) else ("white", DASHES)
            across, along = np.log(row["eti95"]), [-place, -place]
            ax.plot(across, along, color=colour, linewidth=1.5, linestyle=line)
            ax.plot(
                [math.log(row["median"])],
                [-place],
                "o",
                color=colour,
                markerfacecolor=fill,
                markersize=5,
            )
        ax.axvline(0, color=INK, linewidth=0.8)
        first = math.log(rows[0]["median"])
        label = plain_text(labels[0], 44)
        ax.axvline(first, color=MUTED, linewidth=0.8, linestyle=":", label=label)
        if not all(map(is_reliable, rows)):
            ax.plot([], [], linestyle=DASHES, label=NOT_RELIABLE, **HOLLOW)
        legend_above(ax)
        ax.set_yticks([-place for place in range(len(rows))], [plain_text(x, 44) for x in labels])
        ax.set_ylim(-len(rows) + 0.4, 0.6)
        ax.set_xlabel("hazard ratio (95% interval)")
        log_ratio_axis(ax, vertical=False)

    return figure_of(context, draw, height=1.0 + ROW_HEIGHT * max(len(rows), 3))


def plot_hazard_ratio_curve(
    context: "Context",
    x: ArrayLike,
    rows: Sequence[Mapping[str, Any]],
    xlabel: str,
) -> "Figure":
    """Draw a hazard ratio with its interval against a number.

    Parameters
    ----------
    context : Context
    x : (n,) array_like
    rows : sequence of n mappings
        With `median` and `eti95`, and perhaps `is_reliable`: markers are hollow where it fails.
    xlabel : str
    """

    def draw(ax: "Axes") -> None:
        low, high = (np.log([row["eti95"][k] for row in rows]) for k in (0, 1))
        ax.fill_between(np.asarray(x), low, high, color=COLOURS[0], alpha=0.2, linewidth=0)
        median = np.log([row["median"] for row in rows])
        ax.plot(np.asarray(x), median, "o-", color=COLOURS[0], markersize=4)
        failed = [k for k, row in enumerate(rows) if not is_reliable(row)]
        if failed:
            ax.plot(
                np.asarray(x)[failed], median[failed], linestyle="", label=NOT_RELIABLE, **HOLLOW
            )
        ax.axhline(0, color=INK, linewidth=0.8)
        base = math.log(context.base["median"])
        ax.axhline(base, color=MUTED, linewidth=0.8, linestyle=":", label=AS_IT_STANDS)
        legend_above(ax)
        ax.set_xlabel(xlabel)
        ax.set_ylabel("hazard ratio (95% interval)")
        log_ratio_axis(ax, vertical=True)

    return figure_of(context, draw)


def plot_surface(
    context: "Context",
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    xlabel: str,
    ylabel: str,
    levels: Sequence[float],
    thick: float,
    label: Callable[[float], str],
    log_x: bool = False,
    log_y: bool = False,
    quantity: str = "probability",
) -> "Figure":
    """Draw lines of equal value over two numbers; one of them is thick.

    Parameters
    ----------
    context : Context
    x : (columns,) array_like
    y : (rows,) array_like
    values : (rows, columns) array_like
    xlabel, ylabel : str
    levels : sequence of float
        Of the lines.
    thick : float
        The level at which the conclusion turns.
    label : callable
        From a level to what is written on its line.
    log_x, log_y : bool
        Whether axes are logarithmic.
    quantity : str
        What is equal on a line, for the legend.
    """

    def draw(ax: "Axes") -> None:
        across, along, table = np.asarray(x), np.asarray(y), np.asarray(values)
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        for numbers, is_log, axis in ((across, log_x, "x"), (along, log_y, "y")):
            if is_log:
                getattr(ax, f"set_{axis}scale")("log")
                getattr(ax, f"set_{axis}ticks")(
                    numbers, [f"{significant(each, 3)}" for each in numbers]
                )
                ax.minorticks_off()
        least, most = float(np.nanmin(table)), float(np.nanmax(table))
        drawn = [each for each in levels if least < each < most]
        if not drawn or min(table.shape) < 2:
            ax.set_xlim(across.min(), across.max())
            ax.set_ylim(along.min(), along.max())
            said = f"{quantity} {label(least)} to {label(most)} everywhere"
            ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", color=MUTED)
            return
        lines = ax.contour(
            across,
            along,
            table,
            levels=drawn,
            colors=[ALARM if each == thick else MUTED for each in drawn],
            linewidths=[2.5 if each == thick else 1 for each in drawn],
        )
        ax.clabel(lines, fmt={each: label(each) for each in drawn}, fontsize=8)
        if any(each != thick for each in drawn):
            ax.plot([], [], color=MUTED, linewidth=1, label=f"equal {quantity}")
        if thick in drawn:
            turns = f"{quantity} {label(thick)}, where the conclusion turns"
            ax.plot([], [], color=ALARM, linewidth=2.5, label=turns)
        legend_above(ax)

    return figure_of(context, draw, height=4.6)
