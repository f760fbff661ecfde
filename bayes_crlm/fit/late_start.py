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

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.fit.draws import PosteriorDraws
from bayes_crlm.fit.groups import Group
from bayes_crlm.frequentist.cox import Cox
from bayes_crlm.inference.monte_carlo import errors_of_draws
from bayes_crlm.inference.ratio_summary import RatioSummary
from bayes_crlm.model.definition import ModelDefinition
from bayes_crlm.model.late_start import (
    at_landmark,
    diluted,
    landmark_times,
    rows_from_start,
    starts_of_treatment,
    waited,
    waiting_model,
)
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.withdrawn import withdrawal
from bayes_crlm.words.arguments import thresholds_of
from bayes_crlm.words.errors import BayesCRLMError
from bayes_crlm.words.frames import flat
from bayes_crlm.words.late_start import ANALYSES, start_rows
from bayes_crlm.words.shown import significant
from bayes_crlm.words.success import SuccessRule, success_rule
from bayes_crlm.words.wording import count_of

# by when this share of the treated had started
LANDMARK_SHARE = 0.9
DRAWS = 4000


def fit_rows(
    model: ModelDefinition,
    cohort: Cohort,
    seed: int,
    thresholds: Sequence[float],
    rule: SuccessRule,
) -> dict[str, Any]:
    """Fit a cohort of other rows, and summarise every level's hazard ratio.

    Parameters
    ----------
    model : ModelDefinition
        What is fitted: formula, intervals and priors.
    cohort : Cohort
        Whose rows are used.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    thresholds : sequence of float
        Hazard ratios r whose P(HR < r) is given.
    rule : SuccessRule
        From which probability on anything is concluded.

    Returns
    -------
    dict
        hazard_ratios (rows as of `summary.json`, with Cox's beside them; the first one's values
        stand beside them too), n_patients, n_rows, n_events, is_reliable, pareto_k, failure.
        Without rows where nothing could be fitted.
    """
    from bayes_crlm.fit.fitting import approximate, ratios_of
    from bayes_crlm.frequentist.cox import cox_of

    nothing = {"hazard_ratios": [], "is_reliable": False, "pareto_k": None}
    try:
        inputs = model.prepare(cohort)
        cox = cox_of(inputs)
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
    drawn, found = approximation.drawn, ratios_of(approximation.drawn, inputs)
    rows = level_rows(found, inputs, cox, thresholds, rule)
    errors = errors_of_draws(found.draws, drawn.scramble, (drawn.pareto_k, drawn.ess))
    for row, error in zip(rows, errors.mean.tolist(), strict=True):
        row["mcse_mean_log"] = error
    quality = {"is_reliable": True, "pareto_k": drawn.pareto_k, "failure": None}
    return rows[0] | {"hazard_ratios": rows} | counts | quality


def level_rows(
    found: RatioSummary,
    inputs: PreparedCohort,
    cox: Cox,
    thresholds: Sequence[float],
    rule: SuccessRule,
) -> list[dict[str, Any]]:
    """Summarise the log hazard ratio of every treatment level, Cox's hazard ratio beside it.

    Parameters
    ----------
    found : RatioSummary
        Of the treatment's contrasts with the reference.
    inputs : PreparedCohort
        A level on which none of its rows has an event leaves nothing to conclude from.
    cox : Cox
        Of the same rows and columns.
    thresholds : sequence of float
        Hazard ratios r whose P(HR < r) is given.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    rows, design = [], inputs.design
    below = found.prob_below(rule.effect)
    for k, level in enumerate(design.levels[1:]):
        why = withdrawal(inputs, (), (k + 1, 0))
        median, low, high = found.ratios[k]
        rows.append(
            {
                "treatment": level,
                "reference": design.reference,
                "median": median,
                "eti95": [low, high],
                "mean_log": float(found.mean_log[k]),
                "sd_log": float(found.sd_log[k]),
                "prob_below": found.below_by_threshold(thresholds, k),
                "prob_below_effect": float(below[k]),
                "conclusion": "withdrawn" if why else rule.conclusion(float(below[k])),
                "withdrawn": why,
                "cox_hr": float(cox.hazard_ratio[k]),
                "cox_ci95": cox.ci95[k].tolist(),
            }
        )
    return rows


def compare_starts(
    fit: PosteriorDraws, thresholds: Sequence[float] = (1.0,), success: SuccessRule | None = None
) -> dict[str, Any] | None:
    """Fit the cohort so that treatment counts from its start only, beside the fit as treated.

    Parameters
    ----------
    fit : PosteriorDraws
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
    rule, thresholds = success_rule(success), thresholds_of(thresholds)
    start = starts_of_treatment(inputs)
    if start is None or cohort.start is None:
        return None
    level = inputs.design.treatment_level
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
    own = level_rows(fit.treatment_ratios, inputs, fit.cox, thresholds, rule)
    as_treated = {"hazard_ratios": own}
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
    fit: PosteriorDraws, start: NDArray, thresholds: Sequence[float], rule: SuccessRule
) -> dict[str, Any]:
    """Fit those at risk when nine in ten of the treated had started, from there on."""
    (at,) = landmark_times(start, (LANDMARK_SHARE,)) or [float(start[np.isfinite(start)].max())]
    model, cohort, about = at_landmark(fit.model, fit.inputs, start, at)
    return about | fit_rows(model, cohort, fit.seed, thresholds, rule)


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
        f"{count_of(about['n_waited'], 'treated patient')} waited for treatment (median "
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


def start_file_rows(start: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make one plain row for each level and analysis, limits and probabilities at its end.

    Parameters
    ----------
    start : mapping
        `summary["start"]`, or what `compare_starts` gives.
    """
    rows = []
    for row in start_rows(start):
        plain = {key: value for key, value in row.items() if not isinstance(value, list | dict)}
        last = {name: row[name] for name in ("eti95", "cox_ci95", "prob_below")}
        rows.append(plain | last)
    return rows


# variables of the group of the file of draws, and what rows call them
GROUPED = {
    "hazard_ratio": "median",
    **{name: name for name in ("eti95_low", "eti95_high", "mean_log", "sd_log")},
    "prob_below_effect": "prob_below_effect",
    "cox_hazard_ratio": "cox_hr",
    "cox_low": "cox_ci95_low",
    "cox_high": "cox_ci95_high",
    "conclusion": "conclusion",
}


def start_group(start: Mapping[str, Any]) -> Group:
    """Make the group `treatment_start` of the file of draws, whose other groups are as treated.

    Parameters
    ----------
    start : mapping
        As of `start_file_rows`.

    Returns
    -------
    Group
        Dims (analysis, treatment): hazard_ratio (posterior median), its limits, mean_log, sd_log,
        prob_below_effect, Cox's hazard ratio with its limits, conclusion; is_headline (analysis),
        1 or 0. Not a number, and no conclusion, where an analysis could not be fitted. The
        attributes say the column, the headline and why, and the landmark.
    """
    rows = {(row["analysis"], str(row["treatment"])): flat(row) for row in start_rows(start)}
    analyses = [name for name in ANALYSES if name in start]
    levels = list(dict.fromkeys(level for _, level in rows))
    dims, variables = ("analysis", "treatment"), {}
    for name, key in GROUPED.items():
        nothing, dtype = ("", object) if name == "conclusion" else (np.nan, float)
        values = [[rows.get((one, level), {}).get(key, nothing) for level in levels]
                  for one in analyses]  # fmt: skip
        variables[name] = (dims, np.array(values, dtype=dtype))
    headline = np.array([name == start["headline"] for name in analyses], dtype=np.int8)
    variables["is_headline"] = (("analysis",), headline)
    landmark = start.get("landmark") or {}
    attributes = {"column": start["column"], "headline": start["headline"], "why": start["why"]}
    if landmark.get("at") is not None:
        attributes["landmark_at"] = landmark["at"]
    labels = {"analysis": analyses, "treatment": levels}
    return Group(variables, {dim: ((dim,), each) for dim, each in labels.items()}, attributes)
