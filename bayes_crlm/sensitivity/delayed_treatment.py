"""Hazard ratios of a treatment that starts late: landmarks, split follow-up and clones.

Every function fits one cohort whose rows give nobody time in which they could not have died; what
the rows are is in the modules of the methods.
"""

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.late_start import waiting_cutpoints
from bayes_crlm.priors import Independent
from bayes_crlm.sensitivity.clone_censor_weight import Clones, WeightModel
from bayes_crlm.sensitivity.comparison_rows import fit_row, try_row, weighted_row
from bayes_crlm.sensitivity.landmark import take_landmark
from bayes_crlm.sensitivity.treatment_switch import split_at_start
from bayes_crlm.sensitivity.two_arms import TwoArms
from bayes_crlm.sensitivity.weighted_posterior import effective_sample_size

if TYPE_CHECKING:
    from bayes_crlm.cohort import Cohort
    from bayes_crlm.model import PiecewiseExponential

__all__ = [
    "STRATEGIES",
    "clone_rows",
    "final_weights",
    "landmark_row",
    "split_row",
    "weight_rows",
]

STRATEGIES = {
    "start": "start within the grace period, when patients with these covariates who start within "
    "it do",
    "never": "never start",
}
STRATEGY_NAMES = {1: "start within the grace period", 0: "never start"}
WEIGHT_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def landmark_row(arms: TwoArms, start: NDArray, landmark: float, seed: int) -> dict[str, Any]:
    """Fit the patients still at risk at a landmark, from there on."""
    taken = take_landmark(start, arms.time, arms.event, landmark)
    cutpoints = arms.model.cutpoints
    if not isinstance(cutpoints, str | int):
        cutpoints = tuple(each - landmark for each in cutpoints if each > landmark)
    model = dataclasses.replace(arms.model, cutpoints=cutpoints)
    n_untreated = int(np.sum(~taken.is_treated))

    def fit() -> dict[str, Any]:
        cohort = arms.cohort(taken.patient, taken.time, taken.event, taken.is_treated)
        return fit_row(model, cohort, seed, arms.effect)

    return try_row(fit) | {
        "label": f"landmark at {landmark:g}, {taken.n_later}/{n_untreated} untreated start later",
        "method": "landmark",
        "at": landmark,
        "n_dead_before": taken.n_dead,
        "n_censored_before": taken.n_censored,
        "n_untreated": n_untreated,
        "n_started_later": taken.n_later,
    }


def split_row(arms: TwoArms, start: NDArray, seed: int) -> dict[str, Any]:
    """Fit follow-up that is untreated before treatment starts."""
    split = split_at_start(start, arms.time, arms.event)
    model = waiting_model(arms, start)

    def fit() -> dict[str, Any]:
        cohort = arms.cohort(
            split.patient,
            split.time,
            split.event,
            split.is_treated,
            entry=split.entry,
            stretch_of=split.patient,
        )
        return fit_row(model, cohort, seed, arms.effect)

    labels = {"label": "time-dependent treatment", "method": "time_dependent", "at": None}
    return try_row(fit) | labels


def waiting_model(arms: TwoArms, start: NDArray) -> "PiecewiseExponential":
    """Let the baseline follow the time in which patients wait."""
    baseline = arms.model.baseline
    return dataclasses.replace(
        arms.model,
        cutpoints=waiting_cutpoints(
            np.zeros(arms.n_patients), arms.time, arms.event, arms.model.cutpoints, start
        ),
        baseline=baseline if isinstance(baseline, Independent) else Independent(),
    )


def clone_rows(
    arms: TwoArms, start: NDArray, weighing: WeightModel, groups: int, seed: int
) -> list[dict[str, Any]]:
    """Fit weighted clones: the strategy alone, and the covariates beside it."""
    clones, grace = weighing.clones, weighing.grace
    rows = []

    def weigh(patient_weight: NDArray) -> NDArray:
        return patient_weight[clones.patient] * weighing.weights(patient_weight)

    for suffix, covariates in (("", ""), (", adjusted too", arms.model.covariates)):
        if suffix and not covariates:
            continue

        def fit(covariates: str = covariates) -> dict[str, Any]:
            model = dataclasses.replace(arms.model, covariates=covariates)
            model, cohort = clone_model(model, arms, clones)
            inputs = model.prepare(cohort)
            # deaths of clones that still wait are deaths under the other strategy, too
            is_own = clones.has_started | (clones.arm == 0)
            return weighted_row(
                model,
                inputs,
                weigh,
                arms.n_patients,
                groups,
                seed,
                is_own=is_own,
                effect=arms.effect,
            )

        rows.append(
            try_row(fit)
            | {
                "label": f"clone-censor-weight, grace {grace:g}{suffix}",
                "method": "clone_censor_weight" + ("_adjusted" if suffix else ""),
                "at": grace,
                "n_patients": arms.n_patients,
                "n_events": int(arms.event.sum()),
                "n_treated": int(np.sum(start <= grace)),
                "n_started_later": int(np.sum((start > grace) & np.isfinite(start))),
            }
        )
    return rows


def clone_model(
    model: "PiecewiseExponential", arms: TwoArms, clones: Clones
) -> "tuple[PiecewiseExponential, Cohort]":
    """Make a cohort of the clones, and cut its follow-up as that of the patients.

    Deaths count twice while both clones of a patient are followed, so that intervals chosen by
    the clones' deaths would be too many.
    """
    from bayes_crlm.intervals import choose_intervals

    cohort = arms.cohort(
        clones.patient,
        clones.time,
        clones.event,
        clones.arm,
        entry=clones.entry,
        stretch_of=2 * clones.patient + clones.arm,
    )
    entry, longest = np.zeros(arms.n_patients), float(cohort.time.max())
    chosen = choose_intervals(entry, arms.time, arms.event, model.cutpoints).cutpoints
    inner = tuple(float(each) for each in chosen[1:-1] if each < longest)
    return dataclasses.replace(model, cutpoints=inner), cohort


def final_weights(weighing: WeightModel, n_patients: int) -> dict[str, NDArray[np.float64]]:
    """Final weights of the clones followed beyond the grace period, by strategy.

    Parameters
    ----------
    weighing : WeightModel
    n_patients : int

    Returns
    -------
    dict of str to (clones,) ndarray
        Strategies that no clone follows so long have no entry.
    """
    clones = weighing.clones
    every = weighing.weights(np.ones(n_patients))
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
    rows = []
    for name, weight in weights.items():
        quantiles = np.quantile(weight, WEIGHT_QUANTILES)
        rows.append(
            {"strategy": name, "n_clones": len(weight), "min": float(weight.min())}
            | {
                f"q{100 * probability:g}": float(value)
                for probability, value in zip(WEIGHT_QUANTILES, quantiles, strict=True)
            }
            | {
                "max": float(weight.max()),
                "mean": float(weight.mean()),
                "effective_sample_size": effective_sample_size(weight),
            }
        )
    return rows
