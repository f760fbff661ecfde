"""How much the hazard ratio depends on where follow-up is cut, and stacking over the cuts.

A piecewise-exponential model is refitted with few and many intervals whose ends are quantiles of
the event times, equally spaced times, or quantiles moved by half an interval. All refits predict
the same event times, so their leave-one-out predictive densities can be compared and combined.

References
----------
Friedman (1982), Ann Stat 10:101-113 (cutpoints at event times); Yao, Vehtari, Simpson & Gelman
(2018), Bayesian Anal 13:917-1007 (stacking).
"""

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from bayes_crlm.analysis.plan import Plan
from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.figures.comparisons import plot_by_placement
from bayes_crlm.inference.psis import PARETO_K_MOST
from bayes_crlm.likelihood.intervals import choose_intervals
from bayes_crlm.likelihood.quantiles import sample_quantiles
from bayes_crlm.sensitivity import verdicts
from bayes_crlm.sensitivity.parts import Context, Finding, Variant, finding, rows_of
from bayes_crlm.sensitivity.posterior_draws import summarise_weighted
from bayes_crlm.sensitivity.refit import refit
from bayes_crlm.sensitivity.verdicts import Values
from bayes_crlm.specification.lists import interval_numbers, some_of
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.section import Figure, Rows
from bayes_crlm.words.shown import as_written, number, significant, span
from bayes_crlm.words.wording import count_of

PLACEMENTS = ("events", "equal", "shifted")
# numbers of intervals without the user's own; no more than one interval for two events
NUMBERS = (1, 2, 3, 4, 6, 8, 12, 20, 40)
EVENTS_PER_INTERVAL = 2
# from this stacking weight on a set of intervals may change the conclusion by itself
WEIGHT_LEAST = 0.1


class Settings(Table):
    """The table `[sensitivity.cutpoints]`."""

    numbers: Annotated[Any, interval_numbers()] = Field(
        "auto", description="'auto' or a list of numbers of intervals"
    )
    placements: Annotated[Any, some_of("placements of cutpoints", PLACEMENTS)] = PLACEMENTS
    draws: int = Field(2000, ge=500, le=100_000, description="a whole number from 500 to 100000")


def check(plan: Plan, settings: Settings) -> None:
    """Refuse more intervals than there are events.

    Raises
    ------
    SensitivityError
    """
    n_events = plan.inputs.cohort.n_events
    for count in numbers_of(settings, n_events):
        if count > n_events:
            raise SensitivityError(
                f"sensitivity.cutpoints.numbers: {count_of(count, 'interval')} for "
                f"{count_of(n_events, 'event')}; give at most {n_events}"
            )


def numbers_of(settings: Settings, n_events: int) -> tuple[int, ...]:
    """Numbers of intervals to be tried."""
    if settings.numbers != "auto":
        return settings.numbers
    return tuple(each for each in NUMBERS if each == 1 or each * EVENTS_PER_INTERVAL <= n_events)


def inner_cutpoints(cohort: Cohort, number: int, placement: str) -> NDArray[np.float64]:
    """Inner ends of some intervals.

    Parameters
    ----------
    cohort : Cohort
        Whose rows are used.
    number : int
        Of intervals.
    placement : {"events", "equal", "shifted"}
        At the k/J quantiles of the event times, at equal distances up to the last event, or at
        the (k - 1/2)/J quantiles.

    Returns
    -------
    (number - 1,) ndarray
        Fewer where some coincide.
    """
    event_times = cohort.time[cohort.event == 1]
    step = np.arange(1, number) / number
    if placement == "equal":
        inner = step * event_times.max()
    else:
        shift = 0.5 / number if placement == "shifted" else 0.0
        inner = sample_quantiles(event_times, step - shift)
    inner = np.unique(inner)
    return inner[(inner > 0) & (inner < cohort.time.max())]


def variants(cohort: Cohort, settings: Settings) -> list[Variant]:
    """Sets of intervals to be tried, each once.

    Cutpoints of one time are one cutpoint, so that two numbers may come to one set, and, of one
    placement, to different sets of equally many. Of those that come to the same cutpoints the first
    placement and number asked for is kept.
    """
    found: dict[tuple[str, ...], Variant] = {}
    for placement in settings.placements:
        for asked in numbers_of(settings, cohort.n_events):
            inner = inner_cutpoints(cohort, asked, placement)
            edges = choose_intervals(
                cohort.entry, cohort.time, cohort.event, inner.tolist()
            ).cutpoints.tolist()
            variant = Variant(
                # the number asked for: two of a placement may come to equally many intervals
                f"{count_of(asked, 'interval')} ({placement})",
                {"changes": {"cutpoints": edges[1:-1] or 1}},
                {
                    "placement": placement,
                    "asked": asked,
                    "n_intervals": len(edges) - 1,
                    "cutpoints": edges,
                },
            )
            # the same quantile comes out of two grids with other last digits
            found.setdefault(tuple(f"{each:.12g}" for each in edges), variant)
    return list(found.values())


def stack(pointwise: NDArray) -> NDArray[np.float64]:
    """Weights of models that together predict each patient best, left out in turn.

    Parameters
    ----------
    pointwise : (models, patients) ndarray
        Leave-one-out log predictive densities.

    Returns
    -------
    (models,) ndarray
        Adding up to 1.

    References
    ----------
    Yao, Vehtari, Simpson & Gelman (2018), Bayesian Anal 13:917-1007, by `arviz_stats.compare`.
    """
    import warnings

    import arviz_stats as azs
    import xarray as xr
    from arviz_stats.utils import ELPDData

    if len(pointwise) == 1:
        return np.ones(1)
    # only differences between models matter, and a patient's are the same to all
    models = {
        str(k): ELPDData(
            elpd=float(each.sum()),
            se=float(np.sqrt(len(each) * each.var())),
            p=0.0,
            n_samples=1,
            n_data_points=len(each),
            scale="log",
            warning=False,
            good_k=PARETO_K_MOST,
            elpd_i=xr.DataArray(each, dims="patient"),
            pareto_k=xr.DataArray(np.zeros(len(each)), dims="patient"),
        )
        for k, each in enumerate(pointwise)
    }
    with warnings.catch_warnings():
        # that models predict alike is not a fault here: it is what the part asks
        warnings.simplefilter("ignore")
        table = azs.compare({**models}, method="stacking", round_to="none")
    weight = table["weight"].loc[list(models)].to_numpy(dtype=float)
    return np.maximum(weight, 0.0) / np.maximum(weight, 0.0).sum()


def analyse(context: Context, settings: Settings) -> Finding:
    """Refit with every set of intervals and stack the refits."""
    tried = variants(context.plan.inputs.cohort, settings)
    wanted = ["loo", "pointwise", "draws"]
    rows, failures = context.refit_variants(
        "cutpoints", refit, tried, draws=settings.draws, parts=wanted
    )
    stacked = stack_reliable(rows, context.rule.effect)
    context.judge.add_states([*rows, *([] if stacked is None else [stacked])])
    for row in rows:
        row["turns_conclusion"] = context.judge.is_turned_by(row)
        row["label"] = f"{count_of(row['n_intervals'], 'interval')}, {row['placement']}"
        for name in ("elpd_pointwise", "log_hazard_ratio", "weight"):
            del row[name]
    counted = [row for row in verdicts.reliable(rows) if row["stacking_weight"] >= WEIGHT_LEAST]
    if stacked is not None:
        counted.append(stacked)
    band = "; the band is the stacked posterior's 95% interval, the dashed line its median"
    return finding(
        "cutpoints",
        sentence(rows, stacked),
        context.judge.verdict(counted),
        result={"rows": rows, "stacked": stacked, "stacking_weight_least": WEIGHT_LEAST},
        rows=[table_of(rows, stacked)],
        figures=[
            Figure(
                "cutpoints",
                "The hazard ratio against the number of intervals, by placement of the cutpoints"
                f"{'' if stacked is None else band}.",
                plot_by_placement,
                {"rows": rows, "stacked": stacked},
            )
        ],
        notes=notes_of(rows, failures),
        would_move=possible_changes_in_words(rows),
    )


def stack_reliable(rows: Sequence[dict[str, Any]], effect: float = 1.0) -> dict[str, Any] | None:
    """Stack the rows that pass their diagnostic; None where no row does.

    Parameters
    ----------
    rows : sequence of dict
        They are given their `stacking_weight` and the `elpd_difference` from the best of those that
        are stacked; None where a row is not.
    effect : float
        The hazard ratio that the success rule is about.
    """
    stacked = [row for row in rows if row["is_reliable"]]
    for row in rows:
        row |= dict.fromkeys(("stacking_weight", "elpd_difference"))
    if not stacked:
        return None
    weights = stack(np.array([row["elpd_pointwise"] for row in stacked]))
    best = max(row["elpd_loo"] for row in stacked)
    for row, weight in zip(stacked, weights, strict=True):
        row["stacking_weight"] = float(weight)
        row["elpd_difference"] = row["elpd_loo"] - best
    return stacked_summary(stacked, weights, effect)


def possible_changes_in_words(rows: Sequence[Values]) -> str | None:
    """Name the sets of intervals that change the conclusion and predict too badly to count."""
    count = sum(
        row["turns_conclusion"] and row["stacking_weight"] < WEIGHT_LEAST
        for row in verdicts.reliable(rows)
    )
    if not count:
        return None
    return f"{verdicts.some(count, 'set')} of intervals with next to no weight in stacking"


def stacked_summary(rows: Sequence[Values], weights: NDArray, effect: float) -> dict[str, Any]:
    """Summarise the mixture of the rows' posteriors."""
    value = np.concatenate([row["log_hazard_ratio"] for row in rows])
    share = np.concatenate(
        [weight * np.array(row["weight"]) for row, weight in zip(rows, weights, strict=True)]
    )
    return {
        "label": "all sets of intervals stacked",
        **summarise_weighted(value, share, effect),
        "effective_models": float(1 / np.sum(weights**2)),
    }


def sentence(rows: Sequence[Values], stacked: Values | None) -> str:
    """Say how far the hazard ratio moves with the intervals, by the refits that can be trusted."""
    if stacked is None:
        return f"None of {len(rows)} sets of intervals has a refit that passes its diagnostics."
    trusted = verdicts.reliable(rows)
    least, most = verdicts.extremes(trusted)
    low, high = stacked["eti95"]
    numbers = [row["n_intervals"] for row in trusted]
    if number(least["median"]) == number(most["median"]):
        text = f"is {number(least['median'])}"
    else:
        text = (
            f"lies between {number(least['median'])} ({least['n_intervals']}, "
            f"{least['placement']}) and {number(most['median'])} ({most['n_intervals']}, "
            f"{most['placement']})"
        )
    tried = (
        count_of(numbers[0], "interval")
        if min(numbers) == max(numbers)
        else f"{min(numbers)} to {max(numbers)} intervals"
    )
    return (
        f"With {tried} the hazard ratio {text}; stacked over all, it "
        f"is {number(stacked['median'])} ({span(low, high)})."
    )


def notes_of(rows: Sequence[Values], failures: Sequence[str]) -> tuple[str, ...]:
    """What a reader should know of the refits."""
    notes = [
        "Intervals without an event stay; those of no width are dropped, and equal sets of "
        "intervals are fitted once.",
        "The part changes the conclusion when the stacked posterior does, or a set of intervals "
        f"with a stacking weight of at least {as_written(WEIGHT_LEAST)}: others predict worse.",
    ]
    notes += verdicts.failing_note(rows, "refit", ", nor stacked.")
    high = sum(row["loo_pareto_k"] > PARETO_K_MOST for row in rows)
    if high:
        notes.append(
            f"In {count_of(high, 'refit')} a patient's leave-one-out density is uncertain (Pareto "
            f"k above {as_written(PARETO_K_MOST)}), and so is the weight."
        )
    notes += [f"Not fitted: {each}" for each in failures]
    return tuple(notes)


def table_of(rows: Sequence[Values], stacked: Values | None) -> Rows:
    """One row for every set of intervals, and one for all of them stacked."""
    written = [
        {**row, "cutpoints": " ".join(significant(each, 6) for each in row["cutpoints"])}
        for row in rows
    ]
    if stacked is not None:
        written.append({"placement": "stacked", **stacked})
    return rows_of("cutpoints", written, ["placement", "asked", "n_intervals", "cutpoints"])
