"""Do intervals cover when covariates are missing? Complete cases against imputation in the model.

Usage: ``python benchmarks/imputation.py [--cohorts 200]``. Every fitted cohort is stored in
``benchmarks/results/imputation.json``, so that a run that was stopped goes on where it was; at the
end the table in ``docs/missing_data.md`` is written again.

Every cohort has 135 patients. A tumour marker and a mutation are measured less often in treated
patients who die early: missing at random, since treatment and follow-up are known, but complete
cases make the treatment look better than it is.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from method_coverage import binomial_band, fit_cohorts, table_lines, write_between

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "imputation.json"
PAGE = HERE.parent / "docs" / "missing_data.md"

N_PATIENTS = 135
N_COHORTS = 200
SEED = 20261124
COVARIATES = "age + mutation + log(marker)"
EFFECT = math.log(0.6)
# log hazard ratios per unit
DEATH = {"age": 0.02, "mutation": 0.5, "log(marker)": 0.4}
MEDIAN_SURVIVAL, EARLY = 20.0, 15.0
# shares whose marker, and mutation, is missing: of treated patients who die early, and of others
MISSING_EARLY, MISSING_OTHERS = 0.6, 0.08
METHODS = {
    "everything": "all values, before any was lost",
    "complete_cases": "complete cases",
    "imputed": "imputed in the model, at random",
}


def simulate_cohort(number: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Simulate a cohort, and what is left of it when values are lost.

    Parameters
    ----------
    number : int
        Fixes the cohort.

    Returns
    -------
    whole, incomplete : pandas.DataFrame
        `months`, `death`, `treated`, `age`, `mutation`, `marker`.
    """
    rng = np.random.default_rng([SEED, number])
    age = rng.normal(64, 10, N_PATIENTS).round()
    mutation = rng.binomial(1, 0.4, N_PATIENTS)
    log_marker = 2.3 + 0.02 * (age - 64) + 0.4 * mutation + rng.normal(0, 1, N_PATIENTS)
    chance = 1 / (1 + np.exp(0.03 * (age - 64) + 0.5 * mutation + 0.4 * (log_marker - 2.5)))
    treated = rng.binomial(1, chance)
    predictor = (
        EFFECT * treated
        + DEATH["age"] * (age - 64)
        + DEATH["mutation"] * (mutation - 0.4)
        + DEATH["log(marker)"] * (log_marker - 2.5)
    )
    death = MEDIAN_SURVIVAL / math.log(2) * rng.standard_exponential(N_PATIENTS)
    death /= np.exp(predictor)
    followed = rng.uniform(12, 90, N_PATIENTS)
    whole = pd.DataFrame(
        {
            "months": np.minimum(death, followed),
            "death": (death <= followed).astype(int),
            "treated": treated,
            "age": age,
            "mutation": mutation.astype(float),
            "marker": np.exp(log_marker),
        }
    )
    is_early = (whole["treated"] == 1) & (whole["death"] == 1) & (whole["months"] < EARLY)
    share = np.where(is_early, MISSING_EARLY, MISSING_OTHERS)
    incomplete = whole.copy()
    for name in ("mutation", "marker"):
        incomplete.loc[rng.random(N_PATIENTS) < share, name] = np.nan
    return whole, incomplete


def fit_cohort(number: int) -> list[dict[str, Any]]:
    """Fit one simulated cohort by every method, with the package's defaults."""
    import bayes_crlm as bc
    from bayes_crlm.sensitivity.comparison_rows import fit_row
    from bayes_crlm.sensitivity.missing.imputation import fit_imputation
    from bayes_crlm.sensitivity.missing.missing_covariates import incomplete_design

    model = bc.PiecewiseExponential(treatment="treated", reference=0, covariates=COVARIATES)
    whole, incomplete = (
        bc.read_cohort(table, time="months", event="death", missing="drop")
        for table in simulate_cohort(number)
    )
    rows = [
        fit_row(model, cohort, SEED + number) | {"method": method}
        for method, cohort in (("everything", whole), ("complete_cases", incomplete))
    ]
    fit = fit_imputation(incomplete_design(model, incomplete), seed=SEED + number)
    row = fit.hazard_ratios[0] | {"is_reliable": fit.diagnostics.is_trustworthy}
    return [*rows, row | {"failure": None, "method": "imputed"}]


def stored_settings() -> dict[str, Any]:
    """Constants that the cohorts and their fits depend on."""
    return {
        "n_patients": N_PATIENTS,
        "seed": SEED,
        "covariates": COVARIATES,
        "effect": EFFECT,
        "death": DEATH,
        "median_survival": MEDIAN_SURVIVAL,
        "missing": [MISSING_EARLY, MISSING_OTHERS, EARLY],
    }


def text_of(cohorts: list[dict[str, Any]]) -> str:
    """Write the table, and what it should be held against."""
    low, high = binomial_band(len(cohorts))
    lines = table_lines(cohorts, METHODS, dict.fromkeys(METHODS, EFFECT))
    return "\n".join(
        [
            f"{len(cohorts)} simulated cohorts of {N_PATIENTS} patients, true hazard ratio "
            f"{math.exp(EFFECT):.1f}. Intervals that cover with probability 95% do so in {low} to "
            f"{high} of {len(cohorts)} cohorts in 95% of such simulations.",
            "",
            *lines,
        ]
    )


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the table."""
    parser = argparse.ArgumentParser(description="Missing covariates over simulated cohorts")
    parser.add_argument("--cohorts", type=int, default=N_COHORTS, help="how many (default: 200)")
    options = parser.parse_args()
    cohorts = fit_cohorts(fit_cohort, options.cohorts, RESULTS, stored_settings())
    text = text_of(cohorts)
    print(text)
    if len(cohorts) >= N_COHORTS:
        write_between(PAGE, "imputation", text)


if __name__ == "__main__":
    main()
