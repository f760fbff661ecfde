"""Figures of survival and hazard over time: fitted, before the data, and predicted."""

import itertools
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.figures.drawing import (
    COLOURS,
    INK,
    MUTED,
    counted_from,
    label_synthetic,
    legend_above,
    look_of,
    new_axes,
    plain_text,
    time_label,
)
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier
from bayes_crlm.model.arm_follow_up import (
    CURVE_DRAWS,
    arm_kaplan_meier,
    last_follow_up,
    without_patients,
)
from bayes_crlm.model.origin import given_survival
from bayes_crlm.model.withdrawn import levels_without_events
from bayes_crlm.words.shown import significant, whole_percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from bayes_crlm.figures.drawing import Fitted
    from bayes_crlm.likelihood.kaplan_meier import KaplanMeier

# share of the axis from which on a reader sees where a curve begins
VISIBLE = 0.01
# of the lowest limit of an interval with events: a hazard below it leaves the picture
LEAST_PICTURED = 0.01
# curves of predicted events
PREDICTED_COHORTS = 50
# share of follow-up
SHORTEST_AT_RISK = 1e-6


def plot_survival(fit: "Fitted", ax: "Axes | None" = None, *, at_risk: bool = True) -> "Axes":
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

    design = fit.inputs.design
    n_levels = len(design.levels)
    ax = new_axes(ax, 7, 4.3 + 0.36 * n_levels)
    times, draws = fit.model_curves()
    low, middle, high = np.quantile(draws, [0.025, 0.5, 0.975], axis=0)
    end, last = float(times[-1]), last_follow_up(fit.inputs)
    ax.set_xlim(fit.begin, end)
    in_percent(ax)
    ticks = [tick for tick in ax.get_xticks() if fit.begin <= tick <= end]
    entries, is_beyond, is_in_parts = [], False, False
    eventless = levels_without_events(fit.inputs)
    for k, level in enumerate(design.levels):
        colour, style = look_of(k)
        # without an event the prior decides how high the curve lies: no band that looks certain
        has_events = k not in eventless
        if has_events:
            ax.fill_between(times, low[k], high[k], color=colour, alpha=0.18, lw=0)
        is_observed = (times <= last[k]) & has_events
        for begin, until in without_patients(fit.inputs, k, fit.begin):
            is_observed &= (times < begin) | (times >= until)
        (line,) = ax.plot(
            times, np.where(is_observed, middle[k], np.nan), style, color=colour, lw=2
        )
        entries.append((line, plain_text(level, 40)))
        if not has_events:
            line.set_linestyle(":")
            entries[-1] = (line, f"{plain_text(level, 26)} (no event)")
        if not is_observed.all():
            is_beyond |= has_events
            # dotted from the last point that the arm's own patients reach
            is_dotted = ~is_observed
            is_dotted[:-1] |= ~is_observed[1:]
            is_dotted[1:] |= ~is_observed[:-1]
            ax.plot(times, np.where(is_dotted, middle[k], np.nan), ":", color=colour, lw=2)
        curve = arm_kaplan_meier(fit.inputs, k, fit.begin)
        if curve is not None:
            plot_steps(ax, curve, color=colour, lw=1)
            is_late = curve.origin - fit.begin > VISIBLE * (end - fit.begin)
            is_in_parts |= is_late or bool(curve.restarts)
        if at_risk:
            numbers = [0] * len(ticks) if curve is None else curve.number_at_risk(ticks)
            write_numbers_at_risk(ax, k, level, colour, ticks, np.asarray(numbers))
    entries += [
        (Line2D([], [], color=MUTED, lw=2), "smooth: model, 95% band"),
        (Line2D([], [], color=MUTED, lw=1, drawstyle="steps-post"), "steps: Kaplan-Meier"),
    ]
    if is_in_parts:
        entries.append((Line2D([], [], lw=0), "steps that begin late: given survival to there"))
    if is_beyond:
        entries.append(
            (Line2D([], [], color=MUTED, lw=2, ls=":"), "dotted: model only, beyond the arm")
        )
    if eventless:
        entries.append((Line2D([], [], color=MUTED, lw=2, ls=":"), "no event: the prior's height"))
    ax.set_xticks(ticks)
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(survival_label(fit))
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
        title=plain_text(design.treatment + counted_from(fit), 60),
        title_fontsize=9,
        alignment="left",
    )
    label_synthetic(fit, ax)
    return ax


def in_percent(ax: "Axes") -> None:
    """Let an axis of survival go from 0% to 100%."""
    shares = np.linspace(0, 1, 6)
    ax.set_ylim(0, 1.01)
    ax.set_yticks(shares, [whole_percent(each) for each in shares])


def plot_steps(ax: "Axes", curve: "KaplanMeier", **style: Any) -> None:
    """Draw a Kaplan-Meier curve in steps; one that starts again at 1 is broken there."""
    times, survival = curve.steps
    starts = [0, *(np.flatnonzero(np.diff(survival) > 0) + 1).tolist(), len(times)]
    for first, last in itertools.pairwise(starts):
        ax.step(times[first:last], survival[first:last], where="post", **style)
        # one label for all parts
        style.pop("label", None)


def survival_label(fit: "Fitted", name: str = "survival") -> str:
    """Name the axis of survival, and what it is given."""
    given = given_survival(fit.begin, fit.inputs.cohort.unit)
    return f"{name},\n{plain_text(given, 30)}" if given else name


def write_numbers_at_risk(
    ax: "Axes", k: int, level: object, colour: str, ticks: list[float], numbers: "NDArray"
) -> None:
    """Write one line of numbers at risk under the axis and its label: the level, then numbers."""
    below = -60 - 24 * k
    if k == 0:
        write_below(ax, "at risk", 0, (-8, -44), MUTED, ha="right")
    write_below(ax, plain_text(level, 16), 0, (-12, below), colour, ha="right", linespacing=1)
    for tick, number in zip(ticks, numbers, strict=True):
        place = ("data", "axes fraction")
        write_below(ax, f"{int(number)}", tick, (0, below), colour, ha="center", xycoords=place)


def write_below(
    ax: "Axes",
    text: str,
    x: float,
    points: tuple[float, float],
    colour: str,
    xycoords: Any = "axes fraction",
    **style: Any,
) -> None:
    """Write under the axis, some points from a place on it."""
    ax.annotate(
        text,
        (x, 0),
        xytext=points,
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
        xycoords=xycoords,
        **style,
    )


def plot_hazard(fit: "Fitted", ax: "Axes | None" = None) -> "Axes":
    """Posterior hazard of every interval at the covariates' means, with 95% bands, by stratum.

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
    table, edges = fit.log_hazard(), fit.inputs.intervals.cutpoints
    strata = fit.inputs.kinds.strata
    for k, stratum in enumerate(strata):
        own = table if len(strata) == 1 else table[table["stratum"] == stratum]
        colour, style = look_of(k)
        for start, stop, low, high in own[["from", "to", "eti95_low", "eti95_high"]].to_numpy():
            ax.fill_between(
                [start, stop], np.exp(low), np.exp(high), color=colour, alpha=0.18, lw=0
            )
        name = plain_text(stratum, 40) or None
        ax.stairs(
            np.exp(own["median"]), edges, color=colour, lw=2, ls=style, baseline=None, label=name
        )
    if len(strata) > 1:
        legend_above(ax)
    ax.set_yscale("log")
    # the hazard of an interval without an event may be next to 0, below any axis
    has_events = fit.inputs.events_per_stratum.ravel() > 0
    floor = LEAST_PICTURED * np.exp(table["eti95_low"][has_events].min())
    ax.set_ylim(bottom=max(ax.get_ylim()[0], floor))
    ax.yaxis.set_major_formatter(lambda value, _: f"{significant(value, 4)}")
    ax.yaxis.set_minor_formatter(lambda value, _: f"{significant(value, 4)}")
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


def unit_singular(fit: "Fitted") -> str:
    """The time unit for a rate: "month" of "months"; nothing without a unit."""
    unit = fit.inputs.cohort.unit or ""
    return plain_text(unit[:-1] if unit.endswith("s") and len(unit) > 2 else unit)


def plot_prior_survival(fit: "Fitted", ax: "Axes | None" = None) -> "Axes":
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
    prior = fit.groups["prior"]
    times, values = prior["time"], prior["survival"][0, :, 0]
    ax.plot(times, values[:40].T, color=MUTED, lw=0.5, alpha=0.4)
    low, middle, high = np.quantile(values, [0.025, 0.5, 0.975], axis=0)
    ax.fill_between(times, low, high, color=MUTED, alpha=0.15, lw=0, label="prior: 95% of curves")
    ax.plot(times, middle, "--", color=INK, lw=1.5, label="prior: median")
    draws = fit.survival_values(times, CURVE_DRAWS)[:, 0]
    ax.plot(times, np.median(draws, axis=0), color=COLOURS[0], lw=2, label="posterior: median")
    in_percent(ax)
    ax.set_xlim(times[0], times[-1])
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(f"survival with\n{plain_text(fit.inputs.design.reference, 26)}")
    legend_above(ax, columns=3)
    label_synthetic(fit, ax)
    return ax


def plot_predictive(fit: "Fitted") -> "Axes":
    """Kaplan-Meier of the cohort over curves of the events that the model predicts for it.

    Every patient is followed along the own rows and no longer; ArviZ's Kaplan-Meier of predictions
    knows neither patients who leave without the event nor late entry.

    Parameters
    ----------
    fit : Fit
        A fitted model.

    Returns
    -------
    matplotlib.axes.Axes
    """
    predicted = fit.groups["posterior_predictive"]
    chains, draws, patients = predicted["time"].shape
    # evenly spaced ones, so that the figure repeats
    step = math.ceil(draws / max(1, PREDICTED_COHORTS // chains))
    times, events = (predicted[name][:, ::step].reshape(-1, patients) for name in ("time", "event"))
    rows = fit.groups["constant_data"]
    entry, end, event = (rows[f"row_{name}"] for name in ("entry", "time", "event"))
    patient = rows["row_patient"]
    ax = new_axes(None, 7, 3.4)

    def draw(time: "NDArray", event: "NDArray", **style: Any) -> None:
        # times at risk that are but rounding have no place on a curve
        kept = (time - entry > SHORTEST_AT_RISK * end.max()) & (time > fit.begin)
        if kept.any():
            curve = kaplan_meier(entry[kept], time[kept], event[kept], origin=fit.begin)
            plot_steps(ax, curve, **style)

    for k in range(len(times)):
        reached = np.minimum(end, times[k, patient])
        # the row in which the predicted follow-up ends has its event
        has_event = (events[k, patient] == 1) & (end >= times[k, patient])
        draw(
            reached,
            has_event,
            color=COLOURS[0],
            lw=0.5,
            alpha=0.3,
            **({"label": "predicted for these patients"} if k == 0 else {}),
        )
    draw(end, event, color=INK, lw=1.5, label="Kaplan-Meier")
    ax.set_ylim(0, 1.01)
    ax.set_xlim(fit.begin, float(fit.inputs.intervals.cutpoints[-1]))
    ax.set_xlabel(time_label(fit))
    ax.set_ylabel(survival_label(fit, "event-free"))
    legend_above(ax, columns=2)
    label_synthetic(fit, ax)
    return ax
