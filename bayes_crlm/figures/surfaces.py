"""A quantity over two choices: coloured fields with lines where it is the same."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from bayes_crlm.figures.comparisons import figure_of, legend_above
from bayes_crlm.figures.drawing import ALARM, MUTED
from bayes_crlm.words.shown import number, significant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# room around the numbers at the edges of a surface
EDGE = 1.2


def plot_surface(
    x: ArrayLike,
    y: ArrayLike,
    values: ArrayLike,
    *,
    xlabel: str,
    ylabel: str,
    levels: Sequence[float],
    thick: float,
    quantity: str,
    log_x: bool = False,
    log_y: bool = False,
    numbers: ArrayLike | None = None,
) -> "Figure":
    """Draw lines of equal value over two numbers; one of them is thick.

    Parameters
    ----------
    x : (columns,) array_like
        Values of the first choice, increasing.
    y : (rows,) array_like
        Values of the second choice, increasing.
    values : (rows, columns) array_like
        The quantity at every pair of them.
    xlabel, ylabel : str
        What the axes show.
    levels : sequence of float
        Of the lines.
    thick : float
        The level at which the conclusion changes.
    quantity : str
        What is equal on a line, for the legend.
    log_x, log_y : bool
        Whether axes are logarithmic.
    numbers : (rows, columns) array_like, optional
        Written beneath every point, with two decimals.
    """
    across, along, table = np.asarray(x), np.asarray(y), np.asarray(values)

    def draw(ax: "Axes") -> None:
        ax.set_xlabel(xlabel)
        ax.set_ylabel(ylabel)
        for each, is_log, axis in ((across, log_x, "x"), (along, log_y, "y")):
            if is_log:
                getattr(ax, f"set_{axis}scale")("log")
                getattr(ax, f"set_{axis}ticks")(each, [significant(tick, 3) for tick in each])
                ax.minorticks_off()
        least, most = float(np.nanmin(table)), float(np.nanmax(table))
        drawn = sorted(each for each in {*levels, thick} if least < each < most)
        if not drawn or min(table.shape) < 2:
            ax.set_xlim(across.min(), across.max())
            ax.set_ylim(along.min(), along.max())
            said = f"{quantity} {significant(least, 3)} to {significant(most, 3)} everywhere"
            ax.text(0.5, 0.5, said, transform=ax.transAxes, ha="center", color=MUTED)
        else:
            plot_contours(ax, (across, along, table), drawn, thick, quantity)
        if numbers is not None:
            write_numbers(ax, across, along, np.asarray(numbers))

    return figure_of(draw, height=4.6)


def plot_contours(
    ax: "Axes", surface: tuple[Any, Any, Any], drawn: Sequence[float], thick: float, quantity: str
) -> None:
    """Draw lines of equal value, and say in the legend what they are."""
    lines = ax.contour(
        *surface,
        levels=drawn,
        colors=[ALARM if each == thick else MUTED for each in drawn],
        linewidths=[2.5 if each == thick else 1 for each in drawn],
    )
    ax.clabel(lines, fmt={each: significant(each, 3) for each in drawn}, fontsize=8)
    if any(each != thick for each in drawn):
        ax.plot([], [], color=MUTED, linewidth=1, label=f"equal {quantity}")
    if thick in drawn:
        changes = f"{quantity} = {significant(thick, 3)}, where the conclusion changes"
        ax.plot([], [], color=ALARM, linewidth=2.5, label=changes)
    legend_above(ax)


def write_numbers(ax: "Axes", x: Any, y: Any, numbers: Any) -> None:
    """Write a number beneath every point of a grid, clear of the labels of lines."""
    for row, column in np.ndindex(numbers.shape):
        ax.annotate(
            number(numbers[row, column]),
            (x[column], y[row]),
            xytext=(0, -9),
            textcoords="offset points",
            ha="center",
            fontsize=7,
        )
    ax.set(xlim=(x.min() / EDGE, x.max() * EDGE), ylim=(y.min() / EDGE, y.max() * EDGE))
