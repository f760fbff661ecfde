"""One refit: the base analysis with something changed, as a task that any worker can do.

How it draws is in `bayes_crlm.sensitivity.posterior_draws`.
"""

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from bayes_crlm.sensitivity.posterior_draws import DRAWS, sample_posterior
from bayes_crlm.words.errors import BayesCRLMError, SensitivityError
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.model.prepared import PreparedCohort

MODEL_CHANGES = ("treatment_prior", "covariate_prior", "covariates", "cutpoints", "baseline")
CHANGES = (*MODEL_CHANGES, "leave_out", "held_cutpoints")


@record(eq=False)
class Shared:
    """What every task of a sensitivity analysis is given.

    Attributes
    ----------
    cohort : Cohort
        The patients that the base model was fitted to.
    model : PiecewiseExponential
        The base model.
    level : int
        Place of the treatment level in question, from 1.
    full_cohort : Cohort
        With the patients who were left out because they miss a value.
    effect : float
        The hazard ratio that the success rule is about.
    """

    cohort: "Cohort"
    model: "PiecewiseExponential"
    level: int
    full_cohort: "Cohort"
    effect: float = 1.0

    @classmethod
    def of(cls, plan: "Plan", level: int = 1) -> "Shared":
        """Take what tasks need from a plan.

        Nothing else of its spec: finished refits are found again by what is here.
        """
        cohort, reference = plan.inputs.cohort, plan.inputs.design.reference
        model = dataclasses.replace(plan.model, reference=reference)
        return cls(cohort, model, level, plan.full_cohort, plan.spec.success.effect)


def changed_inputs(
    shared: Shared, changes: Mapping[str, Any]
) -> "tuple[PiecewiseExponential, PreparedCohort]":
    """Put the base model with some changes and its cohort together.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    changes : mapping
        Any of: `treatment_prior`, `covariate_prior` (as a spec writes them), `baseline`
        [name, weight], `cutpoints` ("auto", a number or a list), `covariates` (a formula),
        `leave_out` (patients' places in the cohort), `held_cutpoints` (inner cutpoints, of which
        those beyond the follow-up that is left are dropped).

    Raises
    ------
    BayesCRLMError
        When what is asked for cannot be fitted to this cohort.
    ValueError
        For an unknown change.
    """
    from bayes_crlm.model.baseline_priors import baseline_prior

    unknown = set(changes) - set(CHANGES)
    if unknown:
        raise ValueError(f"unknown changes {sorted(unknown)}; there are {', '.join(CHANGES)}")
    asked = {name: changes[name] for name in MODEL_CHANGES if name in changes}
    cohort = shared.cohort
    if changes.get("leave_out"):
        cohort = cohort.without(changes["leave_out"])
    if "held_cutpoints" in changes:
        last = cohort.time.max()
        asked["cutpoints"] = [cut for cut in changes["held_cutpoints"] if cut < last] or 1
    if "baseline" in asked:
        asked["baseline"] = baseline_prior(*asked["baseline"])
    model = dataclasses.replace(shared.model, **asked)
    return model, model.prepare(cohort)


def refit(
    shared: Shared,
    *,
    changes: Mapping[str, Any] | None = None,
    seed: int,
    draws: int = DRAWS,
    parts: Sequence[str] = ("loo", "cox"),
) -> dict[str, Any]:
    """Fit the base model with some changes and summarise the treatment's hazard ratio.

    Parameters
    ----------
    shared : Shared
        What all refits of the part need.
    changes : mapping, optional
        See `changed_inputs`; without it the base model.
    seed : int
        Of the random draws: the same seed gives the same numbers.
    draws : int
        Importance draws.
    parts : sequence of str
        What more is wanted: "loo", "pointwise" (the patients' shares of it), "cox", "draws" (the
        log hazard ratio's draws and weights).

    Returns
    -------
    dict
        median, eti95, prob_below_1, prob_below_effect, mean_log, sd_log, mcse, elpd_loo,
        loo_pareto_k, engine, pareto_k, r_hat, chains (diagnostics of NUTS, a dict), is_reliable,
        note, cox_hr, cox_ci95, n_patients, n_events, n_intervals.

    Raises
    ------
    SensitivityError
        When what is asked for cannot be fitted to this cohort.
    """
    settled: dict[str, Any] = {"seed": seed, "draws": draws, "parts": parts}
    (row,) = refit_each(shared, changes=[changes or {}], **settled)["rows"]
    failure = row.pop("failure")
    if failure is not None:
        raise SensitivityError(failure)
    return row


def refit_each(
    shared: Shared,
    *,
    changes: Sequence[Mapping[str, Any]],
    seed: int,
    draws: int = DRAWS,
    parts: Sequence[str] = ("loo", "cox"),
) -> dict[str, Any]:
    """Refit under each of several changes, as a task.

    Where changes differ in priors alone, the cohort is put together, and Cox fitted, only once.

    Parameters
    ----------
    shared, seed, draws, parts
        As of `refit`.
    changes : sequence of mapping
        Each as `changed_inputs` takes it.

    Returns
    -------
    dict
        `rows`, one for each, as `refit` gives it, with `failure`, which is None; of one that cannot
        be fitted `failure` alone, which says why.
    """
    from bayes_crlm.model.baseline_priors import baseline_prior
    from bayes_crlm.model.priors import parse_prior

    @cache
    def prepared(of_data: str) -> tuple[Any, Any, dict[str, Any]]:
        model, inputs = changed_inputs(shared, json.loads(of_data))
        return model, inputs, cox_row(inputs, shared.level) if "cox" in parts else {}

    rows: list[dict[str, Any]] = []
    for change in changes:
        priors: dict[str, Any] = {}
        if "treatment_prior" in change:
            priors["treatment_prior"] = parse_prior(change["treatment_prior"], "treatment")
        if "baseline" in change:
            priors["baseline"] = baseline_prior(*change["baseline"])
        of_data = {name: value for name, value in change.items() if name not in priors}
        try:
            model, inputs, cox = prepared(json.dumps(of_data))
            changed = dataclasses.replace(model, **priors), dataclasses.replace(inputs, **priors)
            row = posterior_row(shared, *changed, seed, draws, parts)
        except BayesCRLMError as problem:
            rows.append({"failure": str(problem)})
        else:
            rows.append(row | cox | {"failure": None})
    return {"rows": rows}


def posterior_row(
    shared: Shared,
    model: "PiecewiseExponential",
    inputs: "PreparedCohort",
    seed: int,
    draws: int,
    parts: Sequence[str],
) -> dict[str, Any]:
    """Draw from one posterior and summarise it."""
    drawn = sample_posterior(model, inputs, seed, draws)
    row = drawn.row(shared.level, shared.effect)
    row |= {
        "n_patients": inputs.cohort.n_patients,
        "n_events": inputs.cohort.n_events,
        "n_intervals": inputs.intervals.n_intervals,
    }
    if "loo" in parts:
        elpd = drawn.left_out.elpd
        row |= {"loo_pareto_k": drawn.left_out.largest_pareto_k, "elpd_loo": float(elpd.sum())}
        if "pointwise" in parts:
            row["elpd_pointwise"] = elpd.tolist()
    if "draws" in parts:
        log_ratio = drawn.log_hazard_ratio(shared.level).tolist()
        row |= {"log_hazard_ratio": log_ratio, "weight": drawn.weight.tolist()}
    return row


def cox_row(inputs: "PreparedCohort", level: int) -> dict[str, Any]:
    """Cox's hazard ratio of the same columns with its 95% limits; None where there is none."""
    from bayes_crlm.frequentist.cox import cox_of

    try:
        cox = cox_of(inputs)
    except BayesCRLMError as problem:
        return {"cox_hr": None, "cox_ci95": [None, None], "cox_failure": str(problem)}
    ratio, limits = float(cox.hazard_ratio[level - 1]), cox.ci95[level - 1].tolist()
    finite = [each if math.isfinite(each) else None for each in (ratio, *limits)]
    return {"cox_hr": finite[0], "cox_ci95": finite[1:]}
