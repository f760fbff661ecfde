"""What all figures share: colours, style, labels, SVG."""

import io
import math
import textwrap
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Protocol

from bayes_crlm.words.shown import as_written
from bayes_crlm.words.wording import SYNTHETIC

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from bayes_crlm.model.prepared import PreparedCohort

# Okabe & Ito's colours, told apart by colour-blind readers
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, MUTED, ALARM = "#1a1a1a", "#6b6b6b", "#b00020"
LINE_STYLES = ("-", "--", "-.", ":")
RATIO_STEPS = ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1,))
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
    # long times are read as 36,500 days, not as 3.65 with a power of ten at the axis' end
    "axes.formatter.limits": [-5, 15],
    "axes.formatter.useoffset": False,
}

_IS_FOR_FILES: ContextVar[bool] = ContextVar("_IS_FOR_FILES", default=False)


def look_of(k: int) -> tuple[str, str]:
    """Colour and line of the k-th level; beyond six colours repeat, with another kind of line."""
    return COLOURS[k % len(COLOURS)], LINE_STYLES[k // len(COLOURS) % len(LINE_STYLES)]


class HasCohort(Protocol):
    """What is of one cohort: a fit, or a plan of one."""

    @property
    def inputs(self) -> "PreparedCohort":
        """The cohort as a model sees it."""


class Fitted(HasCohort, Protocol):
    """What figures ask of a fit; `bayes_crlm.Fit` is one.

    Figures are drawn from tables and draws that these give, and know nothing of how they came.
    """

    @property
    def begin(self) -> float:
        """Where survival curves begin."""

    @property
    def cox(self) -> Any:
        """Cox's fit of the same design."""

    @property
    def effect_draws(self) -> "NDArray":
        """Log hazard ratios on the sampling scale, shape (draws, terms)."""

    @property
    def groups(self) -> Mapping[str, Any]:
        """Arrays of the draws and of what is made of them, by group and name."""

    @property
    def importance(self) -> Any:
        """Quality of importance-sampled draws; None for others."""

    def coefficients(self) -> "pd.DataFrame":
        """Posterior of every log hazard ratio."""

    def diagnose(self) -> Any:
        """Diagnostics with their verdicts."""

    def log_hazard(self) -> "pd.DataFrame":
        """Posterior of every interval's log-hazard."""

    def model_curves(self) -> "tuple[NDArray, NDArray]":
        """Times, and draws of standardised survival there, (draws, levels, times)."""

    def survival_values(self, times: Any, most_draws: int) -> "NDArray":
        """Standardised survival, (draws, levels, times)."""


@contextmanager
def styled(more: dict[Any, Any] | None = None) -> Generator[None]:
    """Draw meanwhile in the style of all figures; `more` settings override it.

    A notebook's backend switches interactive display on when the first figure is made.
    Matplotlib would take that back at the end of the style, and no later figure would be shown.
    """
    import matplotlib as mpl

    is_interactive = mpl.is_interactive()
    try:
        with mpl.rc_context(STYLE | (more or {})):
            try:
                yield
            finally:
                is_interactive = mpl.is_interactive()
    finally:
        mpl.interactive(is_interactive)


@contextmanager
def for_files() -> Generator[None]:
    """Draw meanwhile with matplotlib's own settings: files look alike whoever writes them.

    Figures are then nobody's but the writer's: pyplot, which shows them and takes time to load, is
    not needed.
    """
    import matplotlib.style

    token = _IS_FOR_FILES.set(True)
    try:
        with matplotlib.style.context("default"):
            yield
    finally:
        _IS_FOR_FILES.reset(token)


def new_figure(width: float, height: float) -> "Figure":
    """Make a figure of a width and a height in inches: one that is shown, or one for a file."""
    with styled():
        if _IS_FOR_FILES.get():
            from matplotlib.figure import Figure

            return Figure(figsize=(width, height))
        import matplotlib.pyplot as plt

        return plt.figure(figsize=(width, height))


def new_axes(ax: "Axes | None", width: float, height: float) -> "Axes":
    """Use the caller's axes, or make a figure of a width and a height in inches."""
    if ax is not None:
        return ax
    with styled():
        return new_figure(width, height).subplots()


def label_synthetic(shown: HasCohort, ax: "Axes") -> None:
    """Say on the figure that its data are synthetic, when they are."""
    if shown.inputs.cohort.is_synthetic:
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


def time_label(fit: "Fitted") -> str:
    """Name the axis of time with its unit."""
    unit = fit.inputs.cohort.unit
    return f"time ({plain_text(unit)})" if unit else "time"


def counted_from(fit: "Fitted") -> str:
    """Say that treatment counts from time zero on, where patients waited for it."""
    from bayes_crlm.model.late_start import waited

    return ", as treated from time zero on" if waited(fit.inputs).any() else ""


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
    ax.set_xticks(
        [math.log(ratio) for ratio in ratios], [f"{as_written(ratio)}" for ratio in ratios]
    )
    ax.minorticks_off()


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


def to_svg(figure: "Figure") -> str:
    """Write a figure as an SVG element without a date, so that it repeats exactly."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    buffer = io.StringIO()
    with styled({"figure.constrained_layout.use": False}):
        # savefig would draw twice, the first time only to lay the axes out
        FigureCanvasSVG(figure).print_svg(buffer, metadata={"Date": None, "Creator": None})
    return buffer.getvalue()
