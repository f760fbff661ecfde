"""Do weighted intervals cover? Simulated cohorts whose sicker patients are treated less often.

Usage: ``python benchmarks/overlap.py [--cohorts 200]``. Every fitted cohort is stored in
``benchmarks/results/overlap.json``, so that a run that was stopped goes on where it was; at the end
the table in ``docs/sensitivity_methods.md`` is written again.

Treatment has no effect, so that the hazard ratio is 1 whatever the weights: with an effect, hazard
ratios given covariates and averaged over them would be different numbers.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from method_coverage import binomial_band, fit_cohorts, table_lines, write_between

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "overlap.json"
PAGE = HERE.parent / "docs" / "sensitivity_methods.md"

N_PATIENTS = 135
N_COHORTS = 200
SEED = 20261125
COVARIATES = "age + node_positive + number_of_metastases + log(cea)"
# log hazard ratios of death and log odds of treatment, per unit
DEATH = {"age": 0.02, "node_positive": 0.4, "number_of_metastases": 0.12, "log(cea)": 0.25}
TREATED = {"age": -0.02, "node_positive": -0.3, "number_of_metastases": -0.3, "log(cea)": -0.4}
CENTRE = {"age": 64, "node_positive": 0.6, "number_of_metastases": 2.6, "log(cea)": 2.3}
MEDIAN_SURVIVAL = 25.0
METHODS = {
    "crude": "crude",
    "outcome_regression": "outcome regression",
    "overlap_weights": "overlap weights",
    "stabilised_weights": "stabilised inverse-probability weights",
}


def simulate_cohort(number: int) -> pd.DataFrame:
    """Simulate a cohort with confounding and no effect.

    Parameters
    ----------
    number : int
        Fixes the cohort.

    Returns
    -------
    pandas.DataFrame
        `months`, `death`, `treated` and covariates.
    """
    rng = np.random.default_rng([SEED, number])
    table = pd.DataFrame(
        {
            "age": rng.normal(64, 10, N_PATIENTS).clip(30, 88).round(),
            "node_positive": rng.binomial(1, 0.6, N_PATIENTS),
            "number_of_metastases": 1 + rng.poisson(1.6, N_PATIENTS),
            "cea": np.exp(rng.normal(2.3, 1.2, N_PATIENTS)).round(1).clip(0.5),
        }
    )
    values = table.assign(**{"log(cea)": np.log(table["cea"])})

    def predictor(effects: dict[str, float]) -> np.ndarray:
        return sum(effects[name] * (values[name] - CENTRE[name]) for name in effects).to_numpy()

    table["treated"] = rng.binomial(1, 1 / (1 + np.exp(-predictor(TREATED))))
    death = MEDIAN_SURVIVAL / math.log(2) * rng.standard_exponential(N_PATIENTS)
    death /= np.exp(predictor(DEATH))
    followed = rng.uniform(12, 100, N_PATIENTS)
    table["months"] = np.minimum(death, followed)
    table["death"] = (death <= followed).astype(int)
    return table


def fit_cohort(number: int) -> list[dict[str, Any]]:
    """Fit one simulated cohort by every method, with the package's defaults."""
    import bayes_crlm as bc
    from bayes_crlm.sensitivity.confounding.overlap import Settings, compare_weights
    from bayes_crlm.sensitivity.two_arms import two_arms

    table = simulate_cohort(number)
    cohort = bc.read_cohort(table, time="months", event="death", unit="months")
    model = bc.PiecewiseExponential(treatment="treated", reference=0, covariates=COVARIATES)
    arms = two_arms(model, model.prepare(cohort), 1)
    return compare_weights(arms, Settings(), SEED + number)["rows"]


def stored_settings() -> dict[str, Any]:
    """Constants that the cohorts and their fits depend on."""
    return {
        "n_patients": N_PATIENTS,
        "seed": SEED,
        "covariates": COVARIATES,
        "death": DEATH,
        "treated": TREATED,
        "centre": CENTRE,
        "median_survival": MEDIAN_SURVIVAL,
    }


def text_of(cohorts: list[dict[str, Any]]) -> str:
    """Write the table, and what it should be held against."""
    low, high = binomial_band(len(cohorts))
    lines = table_lines(cohorts, METHODS, dict.fromkeys(METHODS, 0.0))
    return "\n".join(
        [
            f"{len(cohorts)} simulated cohorts of {N_PATIENTS} patients, true hazard ratio 1. "
            f"Intervals that cover with probability 95% do so in {low} to {high} of "
            f"{len(cohorts)} cohorts in 95% of such simulations.",
            "",
            *lines,
        ]
    )


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the table."""
    parser = argparse.ArgumentParser(description="Weighted analyses over simulated cohorts")
    parser.add_argument("--cohorts", type=int, default=N_COHORTS, help="how many (default: 200)")
    options = parser.parse_args()
    cohorts = fit_cohorts(fit_cohort, options.cohorts, RESULTS, stored_settings())
    text = text_of(cohorts)
    print(text)
    if len(cohorts) >= N_COHORTS:
        write_between(PAGE, "overlap", text)


if __name__ == "__main__":
    main()
