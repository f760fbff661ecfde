"""A latent confounder in the model: whether the truth comes back, and the bias factor agrees.

Usage: ``nice python benchmarks/latent_confounder.py [--cohorts 100]``. Every fitted cohort is
stored in ``benchmarks/results/latent_confounder_*.json``, so that a run that was stopped goes on
where it was; at the end the tables in ``docs/sensitivity_methods.md`` are written again.

Two arms whose fitter patients are treated more often; what makes them fit is not in the data. The
beliefs that the model is given are centred at what is true. Deaths are common in one setting, and
rare in the other, where the bias factor of the tipping surface is exact.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from method_coverage import binomial_band, fit_cohorts, is_counted, table_lines, write_between

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "sensitivity_methods.md"

N_COHORTS = 100
SEED = 20261126
HAZARD_RATIO, CONFOUNDER, PREVALENCE = 0.7, 3.0, {0: 0.5, 1: 0.2}
# 95% of the beliefs
BELIEFS = {"hazard_ratio": (2.25, 4.0), "prevalence": ((0.42, 0.58), (0.14, 0.277))}
SETTINGS: dict[str, dict[str, Any]] = {
    "common": {"n_patients": 300, "mean_survival": 20.0, "until": 60.0},
    "rare": {"n_patients": 1000, "mean_survival": 400.0, "until": 20.0},
}
METHODS = {
    "without": "confounder left out",
    "bias_factor": "left out, then divided by the bias factor",
    "latent": "confounder in the model",
}
# enough for nearly all; cohorts that they are not enough for have the package's own number
FEW_DRAWS = {"draws": 500, "tune": 500, "chains": 4}


def simulate_cohort(name: str, number: int) -> pd.DataFrame:
    """Simulate a cohort with a confounder that is not in the table.

    Parameters
    ----------
    name : {"common", "rare"}
    number : int
        Fixes the cohort.

    Returns
    -------
    pandas.DataFrame
        `months`, `death`, `treated` and the measured covariate `x`.
    """
    setting = SETTINGS[name]
    rng = np.random.default_rng([SEED, number, setting["n_patients"]])
    treated = rng.integers(2, size=setting["n_patients"])
    share = np.where(treated == 1, PREVALENCE[1], PREVALENCE[0])
    carries = rng.uniform(size=len(treated)) < share
    x = rng.normal(size=len(treated))
    relative = HAZARD_RATIO**treated * CONFOUNDER**carries * np.exp(0.4 * x)
    death = rng.exponential(setting["mean_survival"] / relative)
    return pd.DataFrame(
        {
            "months": np.minimum(death, setting["until"]),
            "death": (death <= setting["until"]).astype(int),
            "treated": treated,
            "x": x,
        }
    )


def fit_cohort(name: str, number: int) -> list[dict[str, Any]]:
    """Fit one cohort without the confounder, and with it in the model."""
    import bayes_crlm as bc
    from bayes_crlm.sensitivity.confounding.latent_confounder import (
        ConfounderPrior,
        fit_latent_confounder,
    )
    from bayes_crlm.sensitivity.posterior_draws import (
        sample_posterior,
    )
    from bayes_crlm.sensitivity.tipping_points import bias_factor

    cohort = bc.read_cohort(simulate_cohort(name, number), time="months", event="death")
    model = bc.PiecewiseExponential("treated", 0, "x", cutpoints=4)
    inputs = model.prepare(cohort)
    drawn = sample_posterior(model, inputs, SEED + number, 4000)
    log_ratio = drawn.log_hazard_ratio(1)
    bias = math.log(float(bias_factor(CONFOUNDER, PREVALENCE[1], PREVALENCE[0])))
    prior = ConfounderPrior(**BELIEFS)
    latent = fit_latent_confounder(inputs, prior, seed=SEED + number, **FEW_DRAWS)
    if not latent.diagnostics.is_trustworthy:
        latent = fit_latent_confounder(inputs, prior, seed=SEED + number)
    return [
        drawn.row(1) | {"method": "without", "failure": None},
        drawn.row_of(log_ratio - bias) | {"method": "bias_factor", "failure": None},
        latent.hazard_ratios[0]
        | {"method": "latent", "failure": None}
        | {"is_reliable": latent.diagnostics.is_trustworthy},
    ]


def agreement(cohorts: list[dict[str, Any]]) -> str:
    """Say how far the bias factor's and the model's log hazard ratios lie apart."""
    pairs = [
        (each["methods"]["bias_factor"], each["methods"]["latent"])
        for each in cohorts
        if is_counted(each["methods"]["bias_factor"]) and is_counted(each["methods"]["latent"])
    ]
    difference = np.array([bias["mean_log"] - latent["mean_log"] for bias, latent in pairs])
    error = difference.std(ddof=1) / math.sqrt(len(difference))
    return (
        "Log hazard ratio by the bias factor minus that of the model: mean "
        f"{difference.mean():+.3f} ± {error:.3f}, standard deviation over cohorts "
        f"{difference.std(ddof=1):.3f}."
    )


def stored_settings(name: str) -> dict[str, Any]:
    """Constants that the cohorts of a setting and their fits depend on."""
    return SETTINGS[name] | {
        "seed": SEED,
        "hazard_ratio": HAZARD_RATIO,
        "confounder": CONFOUNDER,
        "prevalence": PREVALENCE,
        "beliefs": BELIEFS,
        "few_draws": FEW_DRAWS,
    }


def text_of(name: str, cohorts: list[dict[str, Any]]) -> str:
    """Write a setting's table, and what it should be held against."""
    setting, n_patients = SETTINGS[name], SETTINGS[name]["n_patients"]
    tables = [simulate_cohort(name, each["cohort"]) for each in cohorts]
    died = np.mean([table["death"].mean() for table in tables])
    low, high = binomial_band(len(cohorts))
    truths = dict.fromkeys(METHODS, math.log(HAZARD_RATIO))
    return "\n".join(
        [
            f"{len(cohorts)} simulated cohorts of {n_patients} patients followed to "
            f"{setting['until']:g} months, of whom {died:.0%} die; intervals that cover with "
            f"probability 95% do so in {low} to {high} of {len(cohorts)} cohorts in 95% of such "
            "simulations.",
            "",
            *table_lines(cohorts, METHODS, truths),
            "",
            agreement(cohorts),
        ]
    )


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the tables."""
    parser = argparse.ArgumentParser(description="A latent confounder over simulated cohorts")
    parser.add_argument("--cohorts", type=int, default=N_COHORTS, help="how many (default: 100)")
    options = parser.parse_args()
    texts = []
    for name in SETTINGS:
        results = HERE / "results" / f"latent_confounder_{name}.json"
        cohorts = fit_cohorts(
            lambda number, name=name: fit_cohort(name, number),
            options.cohorts,
            results,
            stored_settings(name),
        )
        texts.append(text_of(name, cohorts))
    text = "\n\n".join(texts)
    print(text)
    if options.cohorts >= N_COHORTS:
        write_between(PAGE, "latent-confounder", text)


if __name__ == "__main__":
    main()
