"""Treatment that starts late: hazard ratios in which nobody is credited with time before it.

Whoever is counted as treated from time zero on has lived until treatment started: that time cannot
be lost, counts for the treatment, and is called immortal. Two analyses of the same cohort are free
of it. With time-dependent treatment a patient is without treatment until it starts, and on it from
then on (Mantel & Byar). At a landmark, those who have started by then are compared with those who
have not, from there on (Anderson, Cain & Gelber); of those who have not, some start later, so that
this hazard ratio lies nearer to 1 than that of treatment itself.

Both are fitted by importance sampling around the mode, in a fraction of a second.

References
----------
Suissa (2008), Am J Epidemiol 167:492-499; Mantel & Byar (1974), J Am Stat Assoc 69:81-86;
Anderson, Cain & Gelber (1983), J Clin Oncol 1:710-719.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.answers import withdrawal
from bayes_crlm.errors import BayesCRLMError, CohortError
from bayes_crlm.priors import Independent
from bayes_crlm.shown_numbers import significant
from bayes_crlm.success import SuccessRule
from bayes_crlm.tied_times import event_quantiles
from bayes_crlm.wording import shown, shown_name, shown_rows

if TYPE_CHECKING:
    from bayes_crlm.cohort import Cohort
    from bayes_crlm.cox import Cox
    from bayes_crlm.fit import Fit
    from bayes_crlm.intervals import Cutpoints
    from bayes_crlm.model import ModelInputs, PiecewiseExponential

__all__ = [
    "NOT_STATED",
    "check_late_starts",
    "compare_starts",
    "diluted",
    "is_start_stated",
    "landmark_times",
    "share_on_treatment",
    "start_edges",
    "starts_of_treatment",
    "time_dependent",
    "waited",
    "waiting_cautions",
    "waiting_cutpoints",
]

NOT_STATED = (
    "when treatment started is not stated: if it began after time zero, the wait for it counts for "
    "the treatment (immortal time), so give data.treatment_start, the column of starts, or 0 where "
    "treatment began at time zero"
)
# by when this share of the treated had started
LANDMARK_SHARE = 0.9
DRAWS = 4000
STARTS_PER_INTERVAL, FEWEST, MOST = 12, 3, 12


def is_start_stated(inputs: "ModelInputs") -> bool:
    """Whether the cohort says when treatment started: by its column, or by rows that change."""
    from bayes_crlm.cautions import patients_whose_level_changes

    cohort, level = inputs.cohort, inputs.design.treatment_level
    return cohort.start is not None or patients_whose_level_changes(cohort.patient_index, level) > 0


def starts_of_treatment(inputs: "ModelInputs") -> NDArray[np.float64] | None:
    """When every patient's treatment started, on the scale of follow-up.

    Parameters
    ----------
    inputs : ModelInputs

    Returns
    -------
    (patients,) ndarray or None
        Infinity for patients on the reference level, whatever their column says. None where
        nothing is said of starts, or that all of them were at time zero.
    """
    cohort = inputs.cohort
    if cohort.start is None or cohort.start_column is None:
        return None
    return np.where(inputs.design.treatment_level > 0, cohort.start, np.inf)


def waited(inputs: "ModelInputs") -> NDArray[np.bool]:
    """Whether a patient's treatment started after follow-up did, shape (rows,).

    Parameters
    ----------
    inputs : ModelInputs
        As treated.
    """
    start = starts_of_treatment(inputs)
    if start is None:
        return np.zeros(inputs.cohort.n_rows, dtype=bool)
    return np.isfinite(start) & (start > inputs.cohort.entry)


def waiting_cautions(inputs: "ModelInputs") -> list[str]:
    """Say of which analysis all but the headline is, where patients waited for treatment."""
    n_waited = int(waited(inputs).sum())
    if not n_waited:
        return []
    return [
        f"{n_waited} treated patient{'s' * (n_waited > 1)} waited for treatment (column "
        f"{shown(inputs.cohort.start_column)}): curves, estimands and coefficients are of patients "
        "as treated from time zero on, which credits treatment with the wait; the hazard ratio "
        "from its start on stands beside them"
    ]


def check_late_starts(inputs: "ModelInputs") -> None:
    """Refuse treated patients without a start, and those who start when follow-up is over.

    Raises
    ------
    CohortError
        One sentence that names the rows.
    """
    start, cohort = starts_of_treatment(inputs), inputs.cohort
    if start is None:
        return
    where = f"{shown_name(cohort.source)}: column {shown(cohort.start_column)} (treatment_start)"
    treatment, reference = inputs.design.treatment, inputs.design.reference
    for bad, what in (
        (np.isnan(start), "is missing"),
        (np.isfinite(start) & (start >= cohort.time), "is not before the end of follow-up"),
    ):
        if bad.any():
            raise CohortError(
                f"{where} {what} in {shown_rows(cohort.row_number[bad])}, of patients whose "
                f"{treatment} is not {shown(reference)}; every treated patient needs a start "
                "before follow-up ends, and whoever was never treated belongs to the reference"
            )


def start_edges(start: NDArray) -> NDArray[np.float64]:
    """Intervals on which the hazard of starting is constant: quantiles of the starting times.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started.

    Returns
    -------
    (intervals + 1,) ndarray
        From 0 to the last start, after which nobody deviates any more.
    """
    started = start[np.isfinite(start)]
    count = min(max(round(len(started) / STARTS_PER_INTERVAL), FEWEST), MOST)
    inner = event_quantiles(started, np.arange(1, count) / count)
    return np.unique(np.concatenate([[0.0], inner[inner > 0], [started.max()]]))


def landmark_times(start: NDArray, shares: Sequence[float]) -> list[float]:
    """Times by which given shares of the treated had started, rounded up to two digits.

    They depend on when treatment started and on no outcome.

    Parameters
    ----------
    start : (patients,) ndarray
        Infinity for patients who never started.
    shares : sequence of float
        Between 0 and 1.

    Returns
    -------
    list of float
        Increasing, each once.
    """
    started = np.sort(start[np.isfinite(start)])
    times = set()
    for share in shares:
        value = float(started[max(0, math.ceil(share * len(started)) - 1)])
        if value > 0:
            unit = 10.0 ** (math.floor(math.log10(value)) - 1)
            # counted in hundredths of the unit: 0.3 / 0.1 is a little less than 3
            times.add(float(f"{math.ceil(round(value / unit, 9)) * unit:.2g}"))
    return sorted(times)


def waiting_cutpoints(
    entry: NDArray, time: NDArray, event: NDArray, cutpoints: "Cutpoints", start: NDArray
) -> tuple[float, ...]:
    """Cut follow-up also where treatment starts, so that the baseline follows the wait.

    Nearly all waiting falls into the first of the spec's intervals. A hazard that is constant or
    smoothed there stands above the true one just when patients wait, if few die early; they
    die less than it says, and treatment looks bad.

    Parameters
    ----------
    entry, time, event : (patients,) ndarray
        Follow-up, and whether it ends with the event.
    cutpoints
        The model's own, as of `bayes_crlm.intervals.choose_intervals`.
    start : (patients,) ndarray
        Infinity for never; at least one finite, and before `time`.

    Returns
    -------
    tuple of float
        Inner cutpoints, of no more intervals than there are events.
    """
    from bayes_crlm.intervals import choose_intervals

    chosen = choose_intervals(entry, time, event, cutpoints).cutpoints
    # every treated patient is followed beyond the start, so that no edge lies after the last time
    starts = np.setdiff1d(start_edges(start), chosen)
    room = int(event.sum()) - (len(chosen) - 1)
    if len(starts) > room:
        starts = starts[np.linspace(0, len(starts) - 1, max(room, 0)).round().astype(int)]
    return tuple(float(each) for each in np.union1d(chosen, starts)[1:-1])


def share_on_treatment(start: NDArray, time: NDArray, landmark: float) -> float:
    """Share of their follow-up that a landmark's untreated patients are on treatment after all.

    Parameters
    ----------
    start, time : (patients,) ndarray
        Infinity for patients who never started.
    landmark : float
    """
    untreated = (time > landmark) & (start > landmark)
    total = float((time[untreated] - landmark).sum())
    treated = float(np.maximum(time[untreated] - start[untreated], 0.0).sum())
    return treated / total if total > 0 else 0.0


def diluted(ratio: float, share: float) -> float:
    """Hazard ratio of treatment against patients who are on it for a share of their follow-up."""
    return ratio / (1 - share + share * ratio)


def waiting_model(
    model: "PiecewiseExponential", inputs: "ModelInputs", start: NDArray
) -> "PiecewiseExponential":
    """Let the baseline follow the wait: independent hazards, cut also where treatment starts.

    Parameters
    ----------
    model : PiecewiseExponential
        Of the analysis as treated.
    inputs : ModelInputs
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.
    """
    cohort, baseline = inputs.cohort, model.baseline
    return dataclasses.replace(
        model,
        reference=inputs.design.reference,
        cutpoints=waiting_cutpoints(
            cohort.entry, cohort.time, cohort.event, model.cutpoints, start
        ),
        baseline=baseline if isinstance(baseline, Independent) else "independent",
    )


def time_dependent(
    model: "PiecewiseExponential", inputs: "ModelInputs"
) -> "tuple[PiecewiseExponential, ModelInputs] | None":
    """Model and rows in which treatment counts from its start on.

    Parameters
    ----------
    model : PiecewiseExponential
    inputs : ModelInputs
        The cohort as treated.

    Returns
    -------
    (PiecewiseExponential, ModelInputs) or None
        None where nobody waited for treatment, or nothing is said of it.

    Raises
    ------
    CohortError
        When a treated patient has no start, or one that is not before the end of follow-up.
    """
    start = starts_of_treatment(inputs)
    if start is None:
        return None
    check_late_starts(inputs)
    if not waited(inputs).any():
        return None
    waiting = waiting_model(model, inputs, start)
    return waiting, waiting.prepare(rows_from_start(inputs, start))


def rows_from_start(inputs: "ModelInputs", start: NDArray) -> "Cohort":
    """Split every patient's follow-up where treatment starts: before it, the reference level.

    Parameters
    ----------
    inputs : ModelInputs
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.

    Returns
    -------
    Cohort
        A patient's time at risk and events add up to what they were.
    """
    cohort = inputs.cohort
    has_before, has_after = start > cohort.entry, start < cohort.time
    before, after = np.flatnonzero(has_before), np.flatnonzero(has_after)
    patient = np.concatenate([before, after])
    reference_row = int(np.flatnonzero(inputs.design.treatment_level == 0)[0])
    level_from = np.concatenate([np.full(len(before), reference_row), after])
    table = cohort.table.iloc[patient].reset_index(drop=True)
    treatment = inputs.design.treatment
    table[treatment] = cohort.table[treatment].iloc[level_from].reset_index(drop=True)
    return dataclasses.replace(
        cohort,
        table=table,
        entry=np.concatenate([cohort.entry[before], np.maximum(start, cohort.entry)[after]]),
        time=np.concatenate([np.minimum(start, cohort.time)[before], cohort.time[after]]),
        event=np.concatenate([np.where(has_after, 0, cohort.event)[before], cohort.event[after]]),
        patient_index=cohort.patient_index[patient],
        row_number=cohort.row_number[patient],
        start=None,
        start_column=None,
    )


def rows_at_landmark(inputs: "ModelInputs", start: NDArray, landmark: float) -> "Cohort":
    """Take those at risk at a landmark, from there on, on the level that they had begun by then.

    Parameters
    ----------
    inputs : ModelInputs
        One row per patient.
    start : (patients,) ndarray
        From `starts_of_treatment`.
    landmark : float
    """
    cohort, treatment = inputs.cohort, inputs.design.treatment
    kept = np.flatnonzero((cohort.time > landmark) & (cohort.entry <= landmark))
    reference_row = int(np.flatnonzero(inputs.design.treatment_level == 0)[0])
    level_from = np.where(start[kept] <= landmark, kept, reference_row)
    table = cohort.table.iloc[kept].reset_index(drop=True)
    table[treatment] = cohort.table[treatment].iloc[level_from].reset_index(drop=True)
    return dataclasses.replace(
        cohort,
        table=table,
        entry=np.zeros(len(kept)),
        time=cohort.time[kept] - landmark,
        event=cohort.event[kept],
        patient_index=np.arange(len(kept)),
        patients=cohort.patients[cohort.patient_index[kept]],
        row_number=cohort.row_number[kept],
        start=None,
        start_column=None,
    )


def fit_rows(
    model: "PiecewiseExponential",
    cohort: "Cohort",
    seed: int,
    thresholds: Sequence[float],
    rule: SuccessRule,
) -> dict[str, Any]:
    """Fit a cohort of other rows, and summarise every level's hazard ratio.

    Parameters
    ----------
    model : PiecewiseExponential
    cohort : Cohort
    seed : int
    thresholds : sequence of float
        Hazard ratios r whose P(HR < r) is given.
    rule : SuccessRule

    Returns
    -------
    dict
        hazard_ratios (rows as of `summary.json`, with Cox's beside them; the first one's values
        stand beside them too), n_patients, n_rows, n_events, is_reliable, pareto_k, failure.
        Without rows where nothing could be fitted.
    """
    from bayes_crlm.cox import fit_cox
    from bayes_crlm.engines import approximate

    nothing = {"hazard_ratios": [], "is_reliable": False, "pareto_k": None}
    try:
        inputs = model.prepare(cohort)
        cox = fit_cox(
            inputs.cohort.entry,
            inputs.cohort.time,
            inputs.cohort.event,
            inputs.design.matrix,
            inputs.design.terms,
            patient_index=inputs.cohort.patient_index,
        )
    except BayesCRLMError as problem:
        return nothing | {"failure": str(problem)}
    counts = {
        "n_patients": inputs.cohort.n_patients,
        "n_rows": inputs.cohort.n_rows,
        "n_events": inputs.cohort.n_events,
    }
    approximation = approximate(inputs, DRAWS, seed)
    if approximation.drawn is None:
        return nothing | counts | {"failure": approximation.problem}
    split = inputs.n_treatment_terms
    effect = approximation.drawn.vectors[:, :split] / inputs.design.scale[:split]
    found = {"is_reliable": True, "pareto_k": approximation.drawn.pareto_k, "failure": None}
    rows = level_rows(effect, inputs, cox, thresholds, rule)
    for row in rows:
        row["mcse_mean_log"] = row["sd_log"] / math.sqrt(approximation.drawn.ess)
    return rows[0] | {"hazard_ratios": rows} | counts | found


def level_rows(
    effect: NDArray,
    inputs: "ModelInputs",
    cox: "Cox",
    thresholds: Sequence[float],
    rule: SuccessRule,
) -> list[dict[str, Any]]:
    """Summarise the log hazard ratio of every treatment level, Cox's hazard ratio beside it.

    Parameters
    ----------
    effect : (draws, treatment terms) ndarray
        In original units.
    inputs : ModelInputs
        A level on which none of its rows has an event leaves nothing to conclude from.
    cox : Cox
        Of the same rows and columns.
    thresholds : sequence of float
        Hazard ratios r whose P(HR < r) is given.
    rule : SuccessRule
    """
    rows, design = [], inputs.design
    for k, level in enumerate(design.levels[1:]):
        why = withdrawal(inputs, (), (k + 1, 0))
        low, median, high = np.exp(np.quantile(effect[:, k], [0.025, 0.5, 0.975])).tolist()
        below = float(np.mean(effect[:, k] < math.log(rule.effect)))
        rows.append(
            {
                "treatment": level,
                "reference": design.reference,
                "median": median,
                "eti95": [low, high],
                "mean_log": float(effect[:, k].mean()),
                "sd_log": float(effect[:, k].std(ddof=1)),
                "prob_below": {
                    str(each): float(np.mean(effect[:, k] < math.log(each))) for each in thresholds
                },
                "prob_below_effect": below,
                "conclusion": "withdrawn" if why else rule.conclusion(below),
                "withdrawn": why,
                "cox_hr": float(cox.hazard_ratio[k]),
                "cox_ci95": cox.ci95[k].tolist(),
            }
        )
    return rows


def compare_starts(
    fit: "Fit", thresholds: Sequence[float] = (1.0,), success: SuccessRule | None = None
) -> dict[str, Any] | None:
    """Fit the cohort so that treatment counts from its start only, beside the fit as treated.

    Parameters
    ----------
    fit : Fit
        As treated, of a cohort with starts of treatment.
    thresholds : sequence of float
        Hazard ratios r whose P(HR < r) is given.
    success : SuccessRule, optional
        By which is concluded; 0.975 on one side of 1 without it.

    Returns
    -------
    dict or None
        column; n_waited, median_wait (treated patients who started after their entry);
        n_reference_starts (patients on the reference with a start of their own, who count as the
        reference throughout); headline ("as_treated", "time_dependent" or "landmark") and why;
        as_treated, time_dependent and landmark (`fit_rows`; of the landmark also at,
        n_dead_before, n_censored_before, n_untreated, n_started_later, share_on_treatment of the
        untreated's follow-up, and `diluted` in its rows: what the time-dependent hazard ratio comes
        to against such patients); ranges (for every level the lowest and the highest median of
        the three) and range, that of the first. None where the cohort says nothing of starts, or
        that all were at time zero.
    """
    inputs, cohort = fit.inputs, fit.inputs.cohort
    start = starts_of_treatment(inputs)
    if start is None or cohort.start is None:
        return None
    rule, level = success or SuccessRule(), inputs.design.treatment_level
    has_waited = waited(inputs)
    about = {
        "column": cohort.start_column,
        "n_waited": int(has_waited.sum()),
        "median_wait": float(np.median((start - cohort.entry)[has_waited]))
        if has_waited.any()
        else None,
        "n_reference_starts": int(
            np.sum(np.isfinite(cohort.start) & (cohort.start > 0) & (level == 0))
        ),
    }
    split = inputs.n_treatment_terms
    draws = fit.log_hazard_ratio_draws.values
    draws = draws.reshape(-1, draws.shape[-1])[:, :split]
    as_treated = {"hazard_ratios": level_rows(draws, inputs, fit.cox, thresholds, rule)}
    if not has_waited.any():
        why = "every treated patient started when follow-up began, so that nobody waited"
        return about | {"headline": "as_treated", "why": why, "as_treated": as_treated}
    waiting = waiting_model(fit.model, inputs, start)
    changing = fit_rows(waiting, rows_from_start(inputs, start), fit.seed, thresholds, rule)
    landmark = fit_landmark(fit, start, thresholds, rule)
    for row in landmark["hazard_ratios"]:
        same = [each for each in changing["hazard_ratios"] if each["treatment"] == row["treatment"]]
        share = landmark["share_on_treatment"]
        row["diluted"] = diluted(same[0]["median"], share) if same else None
    ranges = range_rows(as_treated, changing, landmark)
    headline, why = choose_headline(about, changing, landmark, cohort.unit or "time units")
    return about | {
        "headline": headline,
        "why": why,
        "as_treated": as_treated,
        "time_dependent": changing,
        "landmark": landmark,
        "range": [ranges[0]["low"], ranges[0]["high"]],
        "ranges": ranges,
    }


def fit_landmark(
    fit: "Fit", start: NDArray, thresholds: Sequence[float], rule: SuccessRule
) -> dict[str, Any]:
    """Fit those at risk when nine in ten of the treated had started, from there on."""
    inputs, cohort = fit.inputs, fit.inputs.cohort
    (at,) = landmark_times(start, (LANDMARK_SHARE,)) or [float(start[np.isfinite(start)].max())]
    cutpoints = fit.model.cutpoints
    if not isinstance(cutpoints, str | int):
        cutpoints = tuple(each - at for each in cutpoints if each > at) or 1
    is_over = cohort.time <= at
    untreated = ~is_over & (start > at)
    counts = {
        "at": at,
        "n_dead_before": int(cohort.event[is_over].sum()),
        "n_censored_before": int(np.sum(cohort.event[is_over] == 0)),
        "n_untreated": int(untreated.sum()),
        "n_started_later": int(np.sum(untreated & np.isfinite(start))),
        "share_on_treatment": share_on_treatment(start, cohort.time, at),
    }
    model = dataclasses.replace(fit.model, reference=inputs.design.reference, cutpoints=cutpoints)
    taken = rows_at_landmark(inputs, start, at)
    return counts | fit_rows(model, taken, fit.seed, thresholds, rule)


def choose_headline(
    about: dict[str, Any], split: dict[str, Any], landmark: dict[str, Any], unit: str
) -> tuple[str, str]:
    """Say which analysis is taken for the headline, and why: a function of what was found.

    Parameters
    ----------
    about : dict
        With n_waited and median_wait.
    split, landmark : dict
        From `fit_rows`.
    unit : str
        Of the wait.

    Returns
    -------
    (headline, why)
    """
    waited = (
        f"{about['n_waited']} treated patients waited for treatment (median "
        f"{significant(about['median_wait'], 3)} {unit}), and as treated this time, in which "
        "they could not "
        "die untreated, counts for the treatment"
    )
    if split["is_reliable"]:
        return "time_dependent", f"{waited}; counted from its start on, nobody has such time"
    failure = f"time-dependent treatment could not be fitted ({split['failure']})"
    if landmark["is_reliable"]:
        return "landmark", f"{waited}, and {failure}"
    return (
        "as_treated",
        f"{failure}, nor the landmark ({landmark['failure']}); beware that {waited}",
    )


def range_rows(*fits: dict[str, Any]) -> list[dict[str, Any]]:
    """Lowest and highest median of every treatment level, over some fits."""
    medians: dict[Any, list[float]] = {}
    for fit in fits:
        for row in fit["hazard_ratios"]:
            medians.setdefault(row["treatment"], []).append(row["median"])
    return [
        {"treatment": level, "low": min(values), "high": max(values)}
        for level, values in medians.items()
    ]
