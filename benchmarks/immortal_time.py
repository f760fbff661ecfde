"""Which analyses are free of immortal-time bias? Simulated cohorts whose treatment starts late.

Usage: ``python benchmarks/immortal_time.py [--cohorts 69]``. Every fitted cohort is stored in
``benchmarks/results/immortal_time.json``, so that a run that was stopped goes on where it was; at
the end the tables in ``docs/immortal_time.md`` are written again.

Every cohort has 135 patients who wait for a treatment: it starts between 2 weeks and 8 months
after time zero, the fitter the patient the sooner, and only in those who are still alive. Patients
who die or are lost while they wait count as untreated. The treatment does nothing, or it multiplies
the hazard of death by 0.5 from its start on. About two in three start it, as in the package's own
cohort, or more, so that few are left to say what happens without treatment; or it is first the fit
and then the others who start, which the model of the weights does not know. Cohorts of one number
have the same patients.

What a method should find is known from potential outcomes: of 400,000 patients one half starts by
the method's time and the other half does not, whatever the patients are like, and Cox regression
compares the halves. Cohorts of 20,000 patients show, besides, whether clone-censor-weight errs by
more than chance.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from method_coverage import binomial_band, fit_cohorts, is_counted, table_lines, write_between

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "immortal_time.json"
PAGE = HERE.parent / "docs" / "immortal_time.md"

N_PATIENTS = 135
N_COHORTS = 69
SEED = 20260605
COVARIATES = "age + node_positive + number_of_metastases + log(cea)"
# log hazard ratios per unit, of death and of starting treatment
DEATH = {"age": 0.02, "node_positive": 0.4, "number_of_metastases": 0.12, "log(cea)": 0.25}
START = {"age": -0.02, "node_positive": -0.2, "number_of_metastases": -0.25, "log(cea)": -0.3}
NO_CONFOUNDING = dict.fromkeys(START, 0.0)
CENTRE = {"age": 64, "node_positive": 0.6, "number_of_metastases": 2.6, "log(cea)": 2.3}
FIRST_START, LAST_START, START_HAZARD = 0.5, 8.0, 0.16
MEDIAN_SURVIVAL, SHAPE = 18.0, 1.2
# hazard ratio of treatment, hazard of starting it, and the month from which on the less fit start
# the sooner (None: never)
SCENARIOS = {
    "no_effect": (1.0, START_HAZARD, None),
    "effect": (0.5, START_HAZARD, None),
    "few_untreated": (1.0, 0.22, None),
    "not_proportional": (1.0, START_HAZARD, 2.5),
}
METHODS = {
    "naive": "as treated (naive)",
    "landmark_1": "landmark, half of the treated have started",
    "landmark_2": "landmark, three quarters have started",
    "landmark_3": "landmark, nine in ten have started",
    "time_dependent": "time-dependent treatment",
    "clone_censor_weight": "clone-censor-weight",
    "clone_censor_weight_adjusted": "clone-censor-weight, adjusted too",
    "clone_censor_weight_truncated": "clone-censor-weight, truncated weights (counts for nothing)",
}
TRUTH_SIZE = 200_000
LARGE_SIZE, LARGE_COHORTS, LARGE_EFFECTS = 20_000, 6, (1.0, 0.4)


class Population:
    """Patients with what would happen to them under any start of treatment.

    Parameters
    ----------
    rng : numpy.random.Generator
    n_patients : int
    starting : dict
        Log hazard ratios of starting treatment.
    start_hazard : float
        Of an average patient.
    reversal : float, optional
        The month from which on the log hazard ratios of starting change their sign.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        n_patients: int,
        starting: dict[str, float],
        start_hazard: float,
        reversal: float | None = None,
    ):
        self.table = pd.DataFrame(
            {
                "age": rng.normal(64, 10, n_patients).clip(30, 88).round(),
                "node_positive": rng.binomial(1, 0.6, n_patients),
                "number_of_metastases": 1 + rng.poisson(1.6, n_patients),
                "cea": np.exp(rng.normal(2.3, 1.2, n_patients)).round(1).clip(0.5),
            }
        )
        self.values = self.table.drop(columns="cea").assign(
            **{"log(cea)": np.log(self.table["cea"])}
        )
        # cumulative hazards of the untreated at which patients die, and of starting
        self.death_at = rng.standard_exponential(n_patients) / np.exp(self.predictor(DEATH))
        self.start_hazard = start_hazard * np.exp(self.predictor(starting))
        need = rng.standard_exponential(n_patients)
        self.wait = need / self.start_hazard
        if reversal is not None:
            early = reversal - FIRST_START
            later_hazard = start_hazard**2 / self.start_hazard
            later = early + (need - early * self.start_hazard) / later_hazard
            self.wait = np.where(self.wait <= early, self.wait, later)
        self.followed = np.minimum(
            rng.uniform(6, 100, n_patients), rng.exponential(200, n_patients)
        )

    def predictor(self, effects: dict[str, float]) -> np.ndarray:
        """Log hazard relative to an average patient."""
        return sum(
            effects[name] * (self.values[name] - CENTRE[name]) for name in effects
        ).to_numpy()

    def start(self) -> np.ndarray:
        """When patients start if they live so long; infinity for never."""
        start = FIRST_START + self.wait
        return np.where(start < LAST_START, start, np.inf)

    def start_within(self, first: float, last: float) -> np.ndarray:
        """When they start if all start between two times, as like patients do who start then."""
        low, high = (
            -np.expm1(-self.start_hazard * max(each - FIRST_START, 0.0)) for each in (first, last)
        )
        share = -np.expm1(-self.start_hazard * self.wait)
        return FIRST_START - np.log1p(-(low + share * (high - low))) / self.start_hazard

    def death(self, start: np.ndarray, hazard_ratio: float) -> np.ndarray:
        """When they die if treatment starts at given times."""
        before = math.log(2) * (start / MEDIAN_SURVIVAL) ** SHAPE
        left = np.maximum(self.death_at - before, 0.0)
        hazard = np.minimum(before, self.death_at) + left / hazard_ratio
        return MEDIAN_SURVIVAL * (hazard / math.log(2)) ** (1 / SHAPE)


def simulate_cohort(
    number: int,
    n_patients: int = N_PATIENTS,
    hazard_ratio: float = 1.0,
    starting: dict[str, float] = START,
    start_hazard: float = START_HAZARD,
    reversal: float | None = None,
) -> pd.DataFrame:
    """Simulate a cohort whose treatment starts late.

    Parameters
    ----------
    number : int
        Fixes the cohort.
    n_patients : int
    hazard_ratio : float
        Of death, from the start of treatment on.
    starting : dict
        Log hazard ratios of starting treatment.
    start_hazard : float
        Of an average patient.
    reversal : float, optional
        The month from which on the less fit start the sooner.

    Returns
    -------
    pandas.DataFrame
        `months`, `death`, `treated`, `start_months` (missing for the untreated) and covariates.
    """
    rng = np.random.default_rng([SEED, number])
    patients = Population(rng, n_patients, starting, start_hazard, reversal)
    start, table = patients.start(), patients.table
    death = patients.death(start, hazard_ratio)
    months = np.minimum(death, patients.followed)
    is_treated = start < months
    table["months"] = months
    table["death"] = (death <= patients.followed).astype(int)
    table["treated"] = is_treated.astype(int)
    table["start_months"] = np.where(is_treated, start, np.nan)
    return table


def log_hazard_ratio(
    patients: Population,
    starts: tuple[np.ndarray, np.ndarray],
    hazard_ratio: float,
    *,
    landmark: float = 0.0,
    adjusted: bool = True,
) -> float:
    """Cox's log hazard ratio of one half of the patients against the other, whose starts are set.

    Parameters
    ----------
    patients : Population
    starts : pair of (patients,) ndarray
        When all would start in the first half, and in the second.
    hazard_ratio : float
        From the start of treatment on.
    landmark : float
        Only those followed so long are compared, from there on.
    adjusted : bool
        With the covariates, as a conditional hazard ratio.
    """
    from bayes_crlm.frequentist.cox import fit_cox

    is_first = np.arange(len(patients.wait)) < len(patients.wait) // 2
    death = patients.death(np.where(is_first, *starts), hazard_ratio)
    time = np.minimum(death, patients.followed)
    kept = time > landmark
    columns = [is_first.astype(float)]
    if adjusted:
        columns += [patients.values[name].to_numpy(float) for name in DEATH]
    cox = fit_cox(
        np.zeros(kept.sum()),
        time[kept] - landmark,
        (death <= patients.followed)[kept].astype(np.int8),
        np.column_stack(columns)[kept],
        ["treated", *DEATH][: len(columns)],
        patient_index=np.arange(kept.sum()),
    )
    return float(cox.coef[0])


def usual_times() -> tuple[list[float], float]:
    """Landmarks and grace period that the package chooses in a large cohort."""
    from bayes_crlm.model.late_start import landmark_times
    from bayes_crlm.sensitivity.timing.delayed_treatment import GRACE_SHARE, LANDMARK_SHARES

    start = simulate_cohort(2**31, TRUTH_SIZE)["start_months"].to_numpy()
    return landmark_times(start, LANDMARK_SHARES), landmark_times(start, (GRACE_SHARE,))[0]


def true_log_ratios(hazard_ratio: float) -> dict[str, float]:
    """What every method should find, as a log hazard ratio.

    As treated and with treatment that changes over time, it is that of treatment itself. It is
    conditional on the covariates but for clones without them in the outcome model.
    """
    if hazard_ratio == 1:
        return dict.fromkeys(METHODS, 0.0)
    landmarks, grace = usual_times()
    rng = np.random.default_rng([SEED, 1, 0])
    patients = Population(rng, 2 * TRUTH_SIZE, START, START_HAZARD)
    never = np.full(2 * TRUTH_SIZE, np.inf)
    by_grace = (patients.start_within(0, grace), never)
    found = {
        "naive": math.log(hazard_ratio),
        "time_dependent": math.log(hazard_ratio),
        "clone_censor_weight": log_hazard_ratio(patients, by_grace, hazard_ratio, adjusted=False),
        "clone_censor_weight_adjusted": log_hazard_ratio(patients, by_grace, hazard_ratio),
    }
    found["clone_censor_weight_truncated"] = found["clone_censor_weight"]
    for place, landmark in enumerate(landmarks, start=1):
        later = patients.start_within(landmark, 1e6)
        later = np.where(later < LAST_START, later, np.inf)
        starts = (patients.start_within(0, landmark), later)
        found[f"landmark_{place}"] = log_hazard_ratio(
            patients, starts, hazard_ratio, landmark=landmark
        )
    return {method: round(found[method], 4) for method in METHODS}


def fit_cohort(place: int) -> list[dict[str, Any]]:
    """Fit one simulated cohort by every method, with the package's defaults.

    Parameters
    ----------
    place : int
        Scenarios take turns.
    """
    from bayes_crlm.sensitivity.timing.immortal_time import Settings, compare_methods

    number, scenario = divmod(place, len(SCENARIOS))
    hazard_ratio, start_hazard, reversal = list(SCENARIOS.values())[scenario]
    table = simulate_cohort(
        number, hazard_ratio=hazard_ratio, start_hazard=start_hazard, reversal=reversal
    )
    arms = arms_of(table)
    rows = compare_methods(arms, Settings(start="start_months"), SEED + number)["rows"]
    landmarks = [row for row in rows if row["method"] == "landmark"]
    # two shares of the treated may give one landmark, which then stands for both
    while len(landmarks) < 3:
        landmarks.append(landmarks[-1])
    for place, row in enumerate(landmarks, start=1):
        rows.append(row | {"method": f"landmark_{place}"})
    return [*rows, plain_split_row(arms, SEED + number)]


def plain_split_row(arms: Any, seed: int) -> dict[str, Any]:
    """Fit split follow-up with the model's own cutpoints and baseline, as the package does not."""
    from bayes_crlm.model.late_start import rows_from_start
    from bayes_crlm.sensitivity.comparison_rows import fit_row
    from bayes_crlm.sensitivity.two_arms import start_of_treatment

    cohort = rows_from_start(arms.as_treated, start_of_treatment(arms, "start_months"))
    return fit_row(arms.model, cohort, seed) | {"method": "time_dependent_plain"}


def distance_from_cox(cohorts: list[dict[str, Any]], method: str) -> str:
    """Posterior mean minus Cox's log hazard ratio on the same rows, with its Monte Carlo error."""
    rows = [each["methods"][method] for each in cohorts if is_counted(each["methods"][method])]
    found = np.array([row["mean_log"] - math.log(row["cox_hr"]) for row in rows])
    return f"{found.mean():+.3f} ± {found.std(ddof=1) / len(found) ** 0.5:.3f}"


def arms_of(table: pd.DataFrame) -> Any:
    """See a simulated cohort as two arms of the package's default model."""
    import bayes_crlm as bc
    from bayes_crlm.sensitivity.two_arms import two_arms

    cohort = bc.read_cohort(table, time="months", event="death", unit="months")
    model = bc.PiecewiseExponential(treatment="treated", reference=0, covariates=COVARIATES)
    return two_arms(model, model.prepare(cohort))


def large_cohort_estimates(
    number: int, hazard_ratio: float, starting: dict[str, float], grace: float
) -> tuple[float, float]:
    """Log hazard ratio of weighted clones of a large cohort.

    Returns
    -------
    (as the package weighs them, with the probability without covariates in the numerator)
        The second numerator changes with time; it is what the package does not do.
    """
    import dataclasses

    from bayes_crlm.sensitivity.comparison_rows import cut_finely
    from bayes_crlm.sensitivity.timing.clone_censor_weight import (
        fit_start_hazard,
        strategy_weight,
        weight_model,
    )
    from bayes_crlm.sensitivity.timing.delayed_treatment import clone_cohort
    from bayes_crlm.sensitivity.two_arms import start_of_treatment
    from bayes_crlm.sensitivity.weighted_posterior import nearly_flat, weighted_modes

    arms = arms_of(simulate_cohort(number, LARGE_SIZE, hazard_ratio, starting))
    start = start_of_treatment(arms, "start_months")
    weighing = weight_model(start, arms.time, arms.event, arms.design, grace)
    marginal = dataclasses.replace(arms.model, covariates="")
    cohort = clone_cohort(arms, weighing.clones)
    model = cut_finely(marginal, arms, cohort, np.ones(cohort.n_rows))
    inputs = nearly_flat(model.prepare(cohort))
    ones = np.ones((1, arms.n_patients))
    (weight,) = weighing.weights(ones)
    without_columns = dataclasses.replace(weighing.data, design=weighing.data.design[:, :0])
    marginal_hazard = fit_start_hazard(weighing.edges, without_columns, ones)
    relative = np.ones((1, len(weight)))
    (numerator,) = strategy_weight(marginal_hazard, relative, weighing.clones, grace)
    modes = weighted_modes(inputs, np.array([weight, weight / numerator]))
    return tuple((modes.effect[:, 0] / inputs.design.scale[0]).tolist())


def large_cohorts() -> list[dict[str, Any]]:
    """Compare weighted clones of large cohorts with potential outcomes."""
    _, grace = usual_times()
    rows = []
    for hazard_ratio in LARGE_EFFECTS:
        for name, starting in (("no", NO_CONFOUNDING), ("yes", START)):
            rng = np.random.default_rng([SEED, 2, 0])
            patients = Population(rng, 2 * TRUTH_SIZE, starting, START_HAZARD)
            starts = patients.start_within(0, grace), np.full(2 * TRUTH_SIZE, np.inf)
            truth = 0.0
            if hazard_ratio != 1:
                truth = log_hazard_ratio(patients, starts, hazard_ratio, adjusted=False)
            found = np.array(
                [
                    large_cohort_estimates(10_000 + k, hazard_ratio, starting, grace)
                    for k in range(LARGE_COHORTS)
                ]
            )
            mean, error = found.mean(axis=0), found.std(axis=0, ddof=1) / LARGE_COHORTS**0.5
            rows.append(
                {
                    "hazard_ratio": hazard_ratio,
                    "confounding": name,
                    "truth": round(truth, 4),
                    "mean": round(float(mean[0]), 4),
                    "error": round(float(error[0]), 4),
                    "mean_changing_numerator": round(float(mean[1]), 4),
                    "error_changing_numerator": round(float(error[1]), 4),
                }
            )
            print(rows[-1], flush=True)
    return rows


def stored_settings() -> dict[str, Any]:
    """Constants that the cohorts and their fits depend on."""
    return {
        "n_patients": N_PATIENTS,
        "seed": SEED,
        "covariates": COVARIATES,
        "scenarios": SCENARIOS,
        "death": DEATH,
        "start": START,
        "centre": CENTRE,
        "start_months": [FIRST_START, LAST_START],
        "survival": [MEDIAN_SURVIVAL, SHAPE],
    }


def text_of(
    cohorts: list[dict[str, Any]],
    truths: dict[str, dict[str, float]],
    large: list[dict[str, Any]],
) -> str:
    """Write the tables, and what they should be held against."""
    n_cohorts = len(cohorts) // len(SCENARIOS)
    low, high = binomial_band(n_cohorts)
    seconds = np.mean([each["cpu_seconds"] for each in cohorts])
    titles = {
        "no_effect": "Treatment does nothing:",
        "effect": "Treatment multiplies the hazard by "
        f"{SCENARIOS['effect'][0]:g} from its start on:",
        "few_untreated": "Treatment does nothing, and few patients go without it (hazard of "
        f"starting {SCENARIOS['few_untreated'][1]:g} a month instead of {START_HAZARD:g}):",
        "not_proportional": "Treatment does nothing, and starting is not proportional: from "
        f"{SCENARIOS['not_proportional'][2]:g} months on the less fit start the sooner:",
    }
    lines = [
        f"{n_cohorts} simulated cohorts of {N_PATIENTS} patients a table; {seconds:.1f} s of CPU "
        "time a cohort. Intervals that cover with probability 95% do so in "
        f"{low} to {high} of {n_cohorts} cohorts in 95% of such simulations."
    ]
    for place, scenario in enumerate(SCENARIOS):
        some = cohorts[place :: len(SCENARIOS)]
        lines += ["", titles[scenario], "", *table_lines(some, METHODS, truths[scenario])]
        if scenario == "no_effect":
            lines += [
                "",
                "Time-dependent treatment, posterior mean minus Cox's log hazard ratio on the same "
                f"rows: {distance_from_cox(some, 'time_dependent')}; it would be "
                f"{distance_from_cox(some, 'time_dependent_plain')} with the model's own cutpoints "
                "and random walk.",
            ]
    lines += [
        "",
        f"Clone-censor-weight without covariates in the outcome model, {LARGE_COHORTS} cohorts of "
        f"{LARGE_SIZE:,} patients a line, and what it would be with the probability without "
        "covariates in the numerator of the weights (log hazard ratios minus the true one, ± Monte "
        "Carlo error):",
        "",
        "| hazard ratio of treatment | confounding | true HR of the strategies | "
        "clone-censor-weight | error of log HR | with the other numerator | error of log HR |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['hazard_ratio']:g} | {row['confounding']} | {math.exp(row['truth']):.3f} | "
        f"{math.exp(row['mean']):.3f} | {row['mean'] - row['truth']:+.3f} ± {row['error']:.3f} | "
        f"{math.exp(row['mean_changing_numerator']):.3f} | "
        f"{row['mean_changing_numerator'] - row['truth']:+.3f} ± "
        f"{row['error_changing_numerator']:.3f} |"
        for row in large
    ]
    return "\n".join(lines)


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the tables."""
    parser = argparse.ArgumentParser(description="Immortal-time bias over simulated cohorts")
    parser.add_argument(
        "--cohorts", type=int, default=N_COHORTS, help="how many a table (default: 69)"
    )
    options = parser.parse_args()
    truths = {name: true_log_ratios(ratio) for name, (ratio, *_) in SCENARIOS.items()}
    large = large_cohorts()
    cohorts = fit_cohorts(
        fit_cohort,
        len(SCENARIOS) * options.cohorts,
        RESULTS,
        stored_settings(),
        true_log_ratios=truths,
        large_cohorts=large,
    )
    text = text_of(cohorts, truths, large)
    print(text)
    if options.cohorts >= N_COHORTS:
        write_between(PAGE, "immortal-time", text)


if __name__ == "__main__":
    main()
