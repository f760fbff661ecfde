"""Hazard ratios of a treatment that starts late: landmarks, split follow-up and clones.

Every function fits one cohort whose rows give nobody time in which they could not have died; what
the rows are is in the modules of the methods.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.model.late_start import (
    at_landmark,
    diluted,
    landmark_times,
    rows_from_start,
    waiting_model,
)
from bayes_crlm.sensitivity.comparison_rows import add_problems, fit_row, weighted_row
from bayes_crlm.sensitivity.timing.clone_censor_weight import Clones, WeightModel, weight_model
from bayes_crlm.sensitivity.two_arms import TwoArms, start_of_treatment
from bayes_crlm.sensitivity.weighted_posterior import effective_sample_size, weight_problems
from bayes_crlm.specification.table import Table
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.shown import as_written, p_value_after_p

STRATEGIES = {
    "start": "start within the grace period, when patients with these covariates who start within "
    "it do",
    "never": "never start",
}
STRATEGY_NAMES = {1: "start within the grace period", 0: "never start"}
TRUNCATED_SHARES, TRUNCATED_AT = (0.01, 0.99), "their 1st and 99th percentiles"
START_TEST_P = 0.05
Shape = Callable[[NDArray, NDArray | None], NDArray]
WEIGHT_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
QUANTILE_NAMES = ("min", "q5", "q25", "q50", "q75", "q95", "max")

# without times of the user's: by when these shares of the treated had started
LANDMARK_SHARES, GRACE_SHARE = (0.5, 0.75, 0.9), 0.9
OWN_START = "decision_months"
"""The column of the data sets that ship with this package."""


def increasing(times: tuple[float, ...] | None) -> tuple[float, ...] | None:
    """Refuse landmarks that are not in order."""
    if times is not None and any(b <= a for a, b in pairwise(times)):
        raise ValueError("give increasing times, each once")
    return times


class Settings(Table):
    """The table `[sensitivity.immortal_time]`."""

    start: str | None = Field(
        None, min_length=1, description="the column with the time at which treatment starts"
    )
    landmarks: Annotated[
        tuple[Annotated[float, Field(gt=0)], ...] | None,
        Field(strict=False, min_length=1, description="a list of increasing times after 0"),
        AfterValidator(increasing),
    ] = None
    grace: float | None = Field(
        None, gt=0, description="the time within which treatment has to start, a number above 0"
    )
    groups: int = Field(200, ge=50, le=10_000, description="a whole number from 50 to 10000")


def with_start(settings: Settings, cohort: Cohort) -> Settings:
    """Say in which column the start of treatment is: the part's, the cohort's, or a data set's own.

    Raises
    ------
    SensitivityError
        When nobody says.
    """
    from bayes_crlm.datasets import DATASETS

    own = OWN_START if cohort.source in DATASETS and OWN_START in cohort.table else None
    start = settings.start or cohort.start_column or own
    if start is None:
        raise SensitivityError(
            f"{cohort.source}: when treatment started is not stated; give the column as "
            "data.treatment_start"
        )
    return settings.model_copy(update={"start": start})


def choose_times(
    arms: TwoArms, start: NDArray, settings: Settings
) -> tuple[tuple[float, ...], float]:
    """Take landmarks and grace period as given, or from when the treated started.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    start : (patients,) ndarray
        Infinity for patients who never started.
    settings : Settings
        The part's table of the spec.

    Returns
    -------
    (landmarks, grace)

    Raises
    ------
    SensitivityError
        When nobody waited for treatment, or a time is not before the end of follow-up.
    """
    landmarks = settings.landmarks or tuple(landmark_times(start, LANDMARK_SHARES))
    own_grace = landmark_times(start, (GRACE_SHARE,))
    if not landmarks or not (settings.grace or own_grace):
        raise SensitivityError(
            f"every treated patient started at 0 by column {settings.start!r}: nobody waited for "
            "treatment, so there is no immortal time"
        )
    grace = settings.grace or own_grace[-1]
    last = float(arms.time.max())
    for name, value in (("landmarks", max(landmarks)), ("grace", grace)):
        if value >= last:
            raise SensitivityError(
                f"sensitivity.immortal_time.{name}: {as_written(value)} is not before the end of "
                "follow-up "
                f"at {as_written(last)}; give less"
            )
    return landmarks, grace


def landmark_row(arms: TwoArms, start: NDArray, landmark: float, seed: int) -> dict[str, Any]:
    """Fit the patients still at risk at a landmark, from there on."""
    model, cohort, about = at_landmark(arms.model, arms.as_treated, start, landmark)
    later = f"{about['n_started_later']}/{about['n_untreated']} untreated start later"
    named = {"label": f"landmark at {as_written(landmark)}, {later}", "method": "landmark"}
    return fit_row(model, cohort, seed, arms.effect) | named | about


def split_row(arms: TwoArms, start: NDArray, seed: int) -> dict[str, Any]:
    """Fit follow-up that is untreated before treatment starts."""
    model = waiting_model(arms.model, arms.as_treated, start)
    split = rows_from_start(arms.as_treated, start)
    labels = {"label": "time-dependent treatment", "method": "time_dependent", "at": None}
    return fit_row(model, split, seed, arms.effect) | labels


def clone_rows(
    arms: TwoArms, start: NDArray, weighing: WeightModel, groups: int, seed: int
) -> list[dict[str, Any]]:
    """Fit weighted clones: the strategy alone, the covariates beside it, and weights truncated.

    Rows are not reliable where few clones stand for a strategy, or starting is not proportional in
    the covariates; the row with truncated weights shows what the largest of them do.
    """
    clones, cohort = weighing.clones, clone_cohort(arms, weighing.clones)
    not_proportional = start_problems(start_test(arms, start))
    final = final_weights(weighing, arms.n_patients)
    grace = as_written(weighing.grace)
    about = {
        "at": weighing.grace,
        "n_patients": arms.n_patients,
        "n_events": int(arms.event.sum()),
        "n_treated": int(np.sum(start <= weighing.grace)),
        "n_started_later": int(np.sum((start > weighing.grace) & np.isfinite(start))),
    }

    def row(method: str, label: str, covariates: str, shape: Shape) -> dict[str, Any]:
        def weigh(weights: NDArray) -> NDArray:
            return weights[:, clones.patient] * shape(weighing.weights(weights), clones.arm)

        model = dataclasses.replace(arms.model, covariates=covariates)
        # deaths of clones that still wait are deaths under the other strategy, too
        is_own = clones.has_started | (clones.arm == 0)
        whose = {"is_own": is_own, "cluster": clones.patient}
        fitted = weighted_row(model, arms, cohort, weigh, groups, seed, **whose)
        weights = {name: shape(weight, None) for name, weight in final.items()}
        problems = [*weight_problems(weights, "clones"), *not_proportional]
        named = {
            "label": f"clone-censor-weight, grace {grace}{label}",
            "method": f"clone_censor_weight{method}",
        }
        return add_problems(fitted, problems) | named | about

    rows = [row("", "", "", as_they_are)]
    if arms.model.covariates:
        rows.append(row("_adjusted", ", adjusted too", arms.model.covariates, as_they_are))
    return [*rows, row("_truncated", f", weights truncated at {TRUNCATED_AT}", "", truncated)]


def as_they_are(weight: NDArray, arm: NDArray | None) -> NDArray[np.float64]:
    """Leave weights alone."""
    return weight


def truncated(weight: NDArray, arm: NDArray | None = None) -> NDArray[np.float64]:
    """Bring weights beyond their 1st and 99th percentile, within each arm, to these.

    References
    ----------
    Cole & Hernan (2008), Am J Epidemiol 168:656-664.
    """
    arm = np.zeros(weight.shape[-1]) if arm is None else arm
    kept = weight.copy()
    for each in np.unique(arm):
        own = weight[..., arm == each]
        limits = np.quantile(own, TRUNCATED_SHARES, axis=-1, keepdims=True)
        kept[..., arm == each] = np.clip(own, *limits)
    return kept


def start_test(arms: TwoArms, start: NDArray) -> list[dict[str, Any]]:
    """Test whether the hazard of starting is proportional in the covariates.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    start : (patients,) ndarray
        Infinity for patients who never started.

    Returns
    -------
    list of dict
        term and p, the last of all terms together; empty without covariates, and where Cox
        regression of the starts has no estimate to be tested.

    References
    ----------
    Grambsch & Therneau (1994), Biometrika 81:515-526.
    """
    from bayes_crlm.frequentist.cox import fit_cox

    waits = start > 0
    if not arms.terms or not np.any(np.isfinite(start[waits])):
        return []
    until = np.minimum(start, arms.time)[waits]
    begun = np.isfinite(start[waits]).astype(int)
    cox = fit_cox(np.zeros(len(until)), until, begun, arms.design[waits], arms.terms)
    return [
        {"term": term, "p": float(p)} for term, p in cox.ph_test if p is not None and np.isfinite(p)
    ]


def start_problems(tests: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say that starting is not proportional: a function of the tests' p-values.

    The smallest one of the terms counts once for each term, and half of the error is that of all
    terms together, so that a start that is proportional is refused in 5% of cohorts.

    Parameters
    ----------
    tests : sequence of mapping
        From `start_test`.
    """
    alone = [row for row in tests if row["term"] != "GLOBAL"]
    together = [row["p"] for row in tests if row["term"] == "GLOBAL"]
    if not alone:
        return []
    worst = min(alone, key=lambda row: row["p"])
    p = min(1.0, 2 * min([len(alone) * worst["p"], *together]))
    if p >= START_TEST_P:
        return []
    return [
        f"the hazard of starting treatment is not proportional (most of all in {worst['term']}; p "
        f"{p_value_after_p(p)}), so that the weights are wrong"
    ]


def clone_cohort(arms: TwoArms, clones: Clones) -> Cohort:
    """Make a cohort of the clones: each one's stretches are one follow-up."""
    return arms.cohort(
        clones.patient,
        clones.time,
        clones.event,
        clones.arm,
        entry=clones.entry,
        stretch_of=2 * clones.patient + clones.arm,
    )


def final_weights(weighing: WeightModel, n_patients: int) -> dict[str, NDArray[np.float64]]:
    """Final weights of the clones followed beyond the grace period, by strategy.

    Parameters
    ----------
    weighing : WeightModel
        Clones, and how their weights are made.
    n_patients : int
        How many patients there are.

    Returns
    -------
    dict of str to (clones,) ndarray
        Strategies that no clone follows so long have no entry.
    """
    clones = weighing.clones
    every = weighing.weights(np.ones((1, n_patients)))[0]
    found = {}
    for arm, name in STRATEGY_NAMES.items():
        # rows of one clone follow one another in time
        beyond = np.flatnonzero((clones.arm == arm) & (clones.time > weighing.grace))
        last = np.append(np.diff(clones.patient[beyond]) != 0, True)[: len(beyond)]
        if len(beyond):
            found[name] = every[beyond[last]]
    return found


def weight_rows(weights: Mapping[str, NDArray]) -> list[dict[str, Any]]:
    """Summarise the distribution of weights, a row for each strategy.

    Parameters
    ----------
    weights : mapping of str to (clones,) ndarray
        Of `final_weights`.
    """
    return [
        {
            "strategy": name,
            "n_clones": len(weight),
            **dict(
                zip(QUANTILE_NAMES, np.quantile(weight, WEIGHT_QUANTILES).tolist(), strict=True)
            ),
            "mean": float(weight.mean()),
            "effective_sample_size": effective_sample_size(weight),
        }
        for name, weight in weights.items()
    ]


def compare_methods(arms: TwoArms, settings: Settings, seed: int) -> dict[str, Any]:
    """Fit the cohort as treated, at landmarks, with split follow-up, and as weighted clones.

    Parameters
    ----------
    arms : TwoArms
        The patients of the two levels that are compared.
    settings : Settings
        The part's table of the spec.
    seed : int
        Of the random draws: the same seed gives the same numbers.

    Returns
    -------
    dict
        `landmarks`, `grace`, `rows` (label, method, at, n_patients, n_events, n_treated, the
        columns of `posterior_draws.Draws.row`, Cox's estimate where rows are
        not weighted, calibration where they are, failure; of landmarks also `n_untreated`,
        `n_started_later`, `share_on_treatment` of the untreated's follow-up, and `diluted`, what
        the time-dependent hazard ratio comes to against them), `start_model` (tests of whether
        starting is proportional: term, p), `strategies` (what the clones follow), `weights` (their
        distribution in each arm), `final_weights` (arrays by strategy) and `reference_starts`
        (what patients on the reference have in the column of starts: n, n_patients, median).

    Raises
    ------
    SensitivityError
        As `check`.
    """
    settings = with_start(settings, arms.source)
    start = start_of_treatment(arms, str(settings.start))
    landmarks, grace = choose_times(arms, start, settings)
    naive = fit_row(arms.model, arms.whole, seed, arms.effect)
    if naive["failure"] is not None:
        raise SensitivityError(naive["failure"])
    split = split_row(arms, start, seed)
    rows = [naive | {"label": "as treated (naive)", "method": "naive", "at": None}]
    for at in landmarks:
        row = landmark_row(arms, start, at, seed)
        is_known = split["median"] is not None
        row["diluted"] = diluted(split["median"], row["share_on_treatment"]) if is_known else None
        rows.append(row)
    rows.append(split)
    weighing = weight_model(start, arms.time, arms.event, arms.design, grace)
    rows += clone_rows(arms, start, weighing, settings.groups, seed)
    weights = final_weights(weighing, arms.n_patients)
    return {
        "landmarks": list(landmarks),
        "grace": grace,
        "strategies": STRATEGIES,
        "rows": rows,
        "weights": weight_rows(weights),
        "final_weights": weights,
        "start_model": start_test(arms, start),
        "reference_starts": starts_of_reference(arms, str(settings.start)),
    }


def starts_of_reference(arms: TwoArms, column: str) -> dict[str, Any]:
    """Count starts that patients on the reference have themselves, and take their median."""
    # rows of the file are numbered; the arms' patients are some of the source's
    own = arms.source.times_of(column)[
        np.isin(arms.source.row_number, arms.row_number[~arms.is_treated])
    ]
    own = own[np.isfinite(own) & (own > 0)]
    return {
        "n": len(own),
        "n_patients": int(np.sum(~arms.is_treated)),
        "median": float(np.median(own)) if len(own) else None,
    }
