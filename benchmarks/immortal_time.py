"""Which analyses are free of immortal-time bias? Simulated cohorts without a treatment effect.

Usage: ``python benchmarks/immortal_time.py [--cohorts 200]``. Every fitted cohort is stored in
``benchmarks/results/immortal_time.json``, so that a run that was stopped goes on where it was; at
the end the table in ``docs/immortal_time.md`` is written anew.

Every cohort has 135 patients who wait for a treatment that does nothing: it starts between
2 weeks and 8 months after time zero, the fitter the patient the sooner, and only in those who
are still alive. Patients who die or are lost while they wait count as untreated.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from method_coverage import binomial_band, fit_cohorts, table_lines, write_between

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "immortal_time.json"
PAGE = HERE.parent / "docs" / "immortal_time.md"

N_PATIENTS = 135
N_COHORTS = 200
SEED = 20260605
COVARIATES = "age + node_positive + number_of_metastases + log(cea)"
# log hazard ratios per unit, of death and of starting treatment
DEATH = {"age": 0.02, "node_positive": 0.4, "number_of_metastases": 0.12, "log(cea)": 0.25}
START = {"age": -0.02, "node_positive": -0.2, "number_of_metastases": -0.25, "log(cea)": -0.3}
FIRST_START, LAST_START, START_HAZARD = 0.5, 8.0, 0.22
MEDIAN_SURVIVAL, SHAPE = 18.0, 1.2
METHODS = {
    "naive": "as treated (naive)",
    "landmark_1": "landmark, half of the treated have started",
    "landmark_2": "landmark, three quarters have started",
    "landmark_3": "landmark, nine in ten have started",
    "time_dependent": "time-dependent treatment",
    "clone_censor_weight": "clone-censor-weight",
    "clone_censor_weight_adjusted": "clone-censor-weight, adjusted too",
}


def simulate_cohort(number: int, n_patients: int = N_PATIENTS) -> pd.DataFrame:
    """Simulate a cohort whose treatment has no effect and starts late.

    Parameters
    ----------
    number : int
        Fixes the cohort.
    n_patients : int

    Returns
    -------
    pandas.DataFrame
        `months`, `death`, `treated`, `start_months` (missing for the untreated) and covariates.
    """
    rng = np.random.default_rng([SEED, number])
    table = pd.DataFrame(
        {
            "age": rng.normal(64, 10, n_patients).clip(30, 88).round(),
            "node_positive": rng.binomial(1, 0.6, n_patients),
            "number_of_metastases": 1 + rng.poisson(1.6, n_patients),
            "cea": np.exp(rng.normal(2.3, 1.2, n_patients)).round(1).clip(0.5),
        }
    )
    values = table.assign(**{"log(cea)": np.log(table["cea"])})
    centre = {"age": 64, "node_positive": 0.6, "number_of_metastases": 2.6, "log(cea)": 2.3}

    def predictor(effects: dict[str, float]) -> np.ndarray:
        return sum(effects[name] * (values[name] - centre[name]) for name in effects).to_numpy()

    target = rng.standard_exponential(n_patients) / np.exp(predictor(DEATH))
    death = MEDIAN_SURVIVAL * (target / math.log(2)) ** (1 / SHAPE)
    wait = rng.standard_exponential(n_patients) / np.exp(predictor(START))
    start = FIRST_START + wait / START_HAZARD
    followed = np.minimum(rng.uniform(6, 100, n_patients), rng.exponential(200, n_patients))
    months = np.minimum(death, followed)
    is_treated = (start < LAST_START) & (start < months)
    table["months"] = months
    table["death"] = (death <= followed).astype(int)
    table["treated"] = is_treated.astype(int)
    table["start_months"] = np.where(is_treated, start, np.nan)
    return table


def fit_cohort(number: int) -> list[dict[str, Any]]:
    """Fit one simulated cohort by every method, with the package's defaults."""
    import bayes_crlm as bc
    from bayes_crlm.sensitivity.immortal_time import Settings, compare_methods
    from bayes_crlm.sensitivity.two_arms import two_arms

    table = simulate_cohort(number)
    cohort = bc.read_cohort(table, time="months", event="death", unit="months")
    model = bc.PiecewiseExponential(treatment="treated", reference=0, covariates=COVARIATES)
    arms = two_arms(model, model.prepare(cohort))
    rows = compare_methods(arms, Settings(start="start_months"), SEED + number)["rows"]
    landmarks = [row for row in rows if row["method"] == "landmark"]
    # two shares of the treated may give one landmark, which then stands for both
    while len(landmarks) < 3:
        landmarks.append(landmarks[-1])
    for place, row in enumerate(landmarks, start=1):
        rows.append(row | {"method": f"landmark_{place}"})
    return rows


def text_of(cohorts: list[dict[str, Any]]) -> str:
    """Write the table, and what it should be held against."""
    low, high = binomial_band(len(cohorts))
    seconds = np.mean([each["cpu_seconds"] for each in cohorts])
    lines = table_lines(cohorts, METHODS, dict.fromkeys(METHODS, 0.0))
    return "\n".join(
        [
            f"{len(cohorts)} simulated cohorts of {N_PATIENTS} patients, true hazard ratio 1; "
            f"{seconds:.1f} s of CPU time a cohort. Intervals that cover with probability 95% "
            f"do so in {low} to {high} of {len(cohorts)} cohorts in 95% of such simulations.",
            "",
            *lines,
        ]
    )


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the table."""
    parser = argparse.ArgumentParser(description="Immortal-time bias over simulated cohorts")
    parser.add_argument("--cohorts", type=int, default=N_COHORTS, help="how many (default: 200)")
    options = parser.parse_args()
    settings = {
        "n_patients": N_PATIENTS,
        "seed": SEED,
        "death": DEATH,
        "start": START,
        "start_months": [FIRST_START, LAST_START, START_HAZARD],
        "survival": [MEDIAN_SURVIVAL, SHAPE],
    }
    cohorts = fit_cohorts(fit_cohort, options.cohorts, RESULTS, settings)
    text = text_of(cohorts)
    print(text)
    if len(cohorts) >= N_COHORTS:
        write_between(PAGE, "immortal-time", text)


if __name__ == "__main__":
    main()
