"""The mechanism behind the synthetic cohort: covariates, choice of strategy, hazards, follow-up.

Every effect below is invented. Only uniform numbers are drawn from the generator, and turned
into everything else here, so that a cohort does not depend on how a library's version draws its
normals.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

__all__ = ["N_PATIENTS", "Columns", "simulate"]

Columns = dict[str, np.ndarray]

N_PATIENTS = 135
LONGEST_FOLLOW_UP = 135.0

# Share of patients with 1, 2, ... 8 metastases at recurrence.
NUMBER_OF_METASTASES = (0.42, 0.24, 0.13, 0.09, 0.05, 0.04, 0.02, 0.01)

# Piecewise-constant hazards per month, for a patient with average covariates: death under
# systemic therapy alone rises as lines of therapy are used up and falls for those who are left;
# progression peaks in the first year and falls as the cured are left.
DEATH_CUTPOINTS = (0.0, 6.0, 12.0, 24.0, 36.0, 60.0)
DEATH_HAZARDS = (0.005, 0.009, 0.023, 0.060, 0.115, 0.025)
PROGRESSION_CUTPOINTS = (0.0, 3.0, 12.0, 30.0)
PROGRESSION_HAZARDS = (0.06, 0.13, 0.070, 0.015)

# Log hazard ratios of the strategies.
DEATH_EFFECTS = {
    "systemic": 0.0,
    "upfront_local": math.log(0.56),
    "neoadjuvant_local": math.log(0.52),
}
PROGRESSION_EFFECTS = {"systemic": 0.25, "upfront_local": 0.0, "neoadjuvant_local": -0.75}


def _normal(uniform: np.ndarray) -> np.ndarray:
    """Standard normal quantiles."""
    return np.array([NormalDist().inv_cdf(u) for u in uniform])


def _normal_cdf(values: np.ndarray) -> np.ndarray:
    """Standard normal probabilities."""
    return np.array([NormalDist().cdf(value) for value in values])


def _probability(logit: np.ndarray) -> np.ndarray:
    """Inverse logit."""
    return 1 / (1 + np.exp(-logit))


def _survival_time(
    uniform: np.ndarray, log_relative_hazard: np.ndarray, cutpoints: tuple, hazards: tuple
) -> np.ndarray:
    """Invert a piecewise-exponential survival function.

    Parameters
    ----------
    uniform, log_relative_hazard : (n_patients,) float
        Survival probability at the time sought, and the log hazard ratio to the baseline.
    cutpoints, hazards : (n_intervals,) float
        Left ends of the intervals (months) and the baseline hazard in each (per month).

    Returns
    -------
    (n_patients,) float
        Months.
    """
    target = -np.log(uniform) / np.exp(log_relative_hazard)
    widths = np.diff(cutpoints)
    cumulative = np.concatenate([[0.0], np.cumsum(np.asarray(hazards[:-1]) * widths)])
    interval = np.searchsorted(cumulative, target, side="right") - 1
    return (
        np.asarray(cutpoints)[interval]
        + (target - cumulative[interval]) / np.asarray(hazards)[interval]
    )


def _sample_covariates(rng: np.random.Generator) -> Columns:
    """Draw the covariates; a hidden burden of disease ties those of the metastases together."""
    burden = _normal(rng.random(N_PATIENTS))

    def mixture(share: float) -> np.ndarray:
        own = _normal(rng.random(N_PATIENTS))
        return share * burden + math.sqrt(1 - share**2) * own

    def binary(probability: float | np.ndarray) -> np.ndarray:
        return (rng.random(N_PATIENTS) < probability).astype(float)

    age = np.clip(np.round(64 + 9.5 * _normal(rng.random(N_PATIENTS))), 34, 84)
    male, right_sided = binary(0.62), binary(0.30)
    node_positive, ras_mutation = binary(0.58), binary(0.42 + 0.15 * (right_sided - 0.3))
    number = 1.0 + np.searchsorted(np.cumsum(NUMBER_OF_METASTASES)[:-1], _normal_cdf(mixture(0.6)))
    diameter = np.clip(np.round(2.0 * np.exp(0.45 * mixture(0.5)), 1), 0.5, 9.0)
    cea = np.clip(np.round(7.0 * np.exp(1.1 * mixture(0.5)), 1), 0.7, 900.0)
    extrahepatic = binary(_probability(-1.9 + 0.8 * burden))

    # Months from the initial local treatment: lognormal, kept between 1.2 and 12.
    location = math.log(4.8) - 0.10 * burden - 0.10 * (node_positive - 0.58)
    low, high = (_normal_cdf((math.log(x) - location) / 0.55) for x in (1.2, 11.9))
    quantile = _normal(low + (high - low) * rng.random(N_PATIENTS))
    recurrence = np.round(np.exp(location + 0.55 * quantile), 1)
    return {
        "recurrence_months": recurrence,
        "early4": (recurrence <= 4.0).astype(float),
        "age": age,
        "male": male,
        "right_sided": right_sided,
        "node_positive": node_positive,
        "ras_mutation": ras_mutation,
        "number_of_metastases": number,
        "largest_diameter_cm": diameter,
        "cea": cea,
        "extrahepatic": extrahepatic,
    }


def _death_risk(x: Columns) -> np.ndarray:
    """Log relative hazard of death from the covariates, zero for an average patient."""
    return (
        0.022 * (x["age"] - 64)
        + 0.40 * (x["node_positive"] - 0.58)
        + 0.40 * (x["ras_mutation"] - 0.42)
        + 0.15 * (x["right_sided"] - 0.30)
        + 0.60 * (x["extrahepatic"] - 0.16)
        + 0.12 * (x["number_of_metastases"] - 2.4)
        + 0.14 * (x["largest_diameter_cm"] - 2.2)
        + 0.20 * np.log(x["cea"] / 7)
    )


def _progression_risk(x: Columns) -> np.ndarray:
    """Log relative hazard of progression from the covariates."""
    return (
        0.13 * (x["number_of_metastases"] - 2.4)
        + 0.12 * (x["largest_diameter_cm"] - 2.2)
        + 0.15 * np.log(x["cea"] / 7)
        + 0.20 * (x["node_positive"] - 0.58)
        + 0.25 * (x["early4"] - 0.4)
    )


def simulate(seed: int) -> Columns:
    """Simulate one cohort from the mechanism.

    Strategy is *intended* from the covariates. A patient who progresses or dies before the
    intended local treatment never gets it and counts as systemic, as in a real cohort; so the
    neoadjuvant group holds only those who came through the months of systemic therapy.

    Parameters
    ----------
    seed : int
        Seed of NumPy's PCG64 generator.

    Returns
    -------
    dict of str to (135,) array
        The columns of the CSV.
    """
    rng = np.random.default_rng(seed)
    x = _sample_covariates(rng)
    logit_local = (
        1.25
        - 0.40 * (x["number_of_metastases"] - 2.4)
        - 0.40 * (x["largest_diameter_cm"] - 2.2)
        - 1.60 * (x["extrahepatic"] - 0.16)
        - 0.40 * np.log(x["cea"] / 7)
        - 0.035 * (x["age"] - 64)
        - 0.50 * (x["node_positive"] - 0.58)
        - 0.30 * (x["ras_mutation"] - 0.42)
    )
    logit_neoadjuvant = (
        -0.35
        + 0.30 * (x["number_of_metastases"] - 2.4)
        + 0.40 * (x["early4"] - 0.4)
        - 0.03 * (x["age"] - 64)
    )
    is_local = rng.random(N_PATIENTS) < _probability(logit_local)
    is_neoadjuvant = is_local & (rng.random(N_PATIENTS) < _probability(logit_neoadjuvant))
    strategy = np.where(
        is_neoadjuvant, "neoadjuvant_local", np.where(is_local, "upfront_local", "systemic")
    )

    # Death and progression of one patient are tied by a Gaussian copula, correlation 0.6.
    shared = _normal(rng.random(N_PATIENTS))
    death_uniform = _normal_cdf(shared)
    progression_uniform = _normal_cdf(0.6 * shared + 0.8 * _normal(rng.random(N_PATIENTS)))
    start = rng.random(N_PATIENTS)
    is_other_cause = rng.random(N_PATIENTS) < 0.05
    share_before_progression = 0.4 + 0.5 * rng.random(N_PATIENTS)
    follow_up = 8.0 + (LONGEST_FOLLOW_UP - 8.0) * rng.random(N_PATIENTS) ** 0.9

    def times() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        death_effect = np.array([DEATH_EFFECTS[level] for level in strategy])
        progression_effect = np.array([PROGRESSION_EFFECTS[level] for level in strategy])
        death = _survival_time(
            death_uniform, _death_risk(x) + death_effect, DEATH_CUTPOINTS, DEATH_HAZARDS
        )
        progression = _survival_time(
            progression_uniform,
            _progression_risk(x) + progression_effect,
            PROGRESSION_CUTPOINTS,
            PROGRESSION_HAZARDS,
        )
        # Death from the tumour comes after progression, and other causes without it.
        progression = np.minimum(progression, share_before_progression * death)
        progression_free = np.where(is_other_cause, death, progression)
        delay = np.where(strategy == "neoadjuvant_local", 2.8 + 3.2 * start, 0.6 + 1.8 * start)
        return death, progression_free, delay

    death, progression_free, decision = times()
    is_failure = (strategy != "systemic") & (progression_free <= decision + 0.3)
    strategy = np.where(is_failure, "systemic", strategy)
    death, progression_free, decision = times()

    os_months = np.maximum(np.round(np.minimum(death, follow_up), 1), 0.8)
    pfs_months = np.minimum(np.maximum(np.round(progression_free, 1), 0.6), os_months)
    is_systemic = strategy == "systemic"
    decision = np.where(is_systemic, np.minimum(decision, 0.6 * pfs_months), decision)
    is_dead = death <= follow_up
    return {
        "patient": np.array([f"synthetic-{k:03d}" for k in range(1, N_PATIENTS + 1)]),
        "strategy": strategy,
        "repeat_local": (~is_systemic).astype(float),
        "decision_months": np.maximum(np.round(decision, 1), 0.1),
        "os_months": os_months,
        "death": is_dead.astype(float),
        "pfs_months": pfs_months,
        "progression": (is_dead | (pfs_months < os_months)).astype(float),
        **x,
    }
