"""Do 95% intervals cover the truth? Simulated cohorts of the study's size and shape.

Usage: ``python benchmarks/interval_coverage.py [--cohorts 200]``. Every fitted cohort is stored at
once in ``benchmarks/results/coverage.json``, so that a run that was stopped goes on where it
was; at the end the table in ``docs/coverage.md`` is written again.

Every cohort has 135 patients, seven covariates, a treatment given by indication (fitter
patients get it more often, so that a crude comparison is biased), a known log hazard ratio of
every term, and staggered entry with administrative censoring. Even-numbered cohorts have a
Weibull hazard, which no piecewise-constant hazard equals, odd-numbered ones a hazard that is
piecewise constant on other intervals than the model's.
"""

import argparse
import json
import math
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "coverage.json"
PAGE = HERE.parent / "docs" / "coverage.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"

N_PATIENTS = 135
N_COHORTS = 200
LEVEL = 0.95
SEED = 20211201
# half of the default draws: enough for the ends of a 95% interval, at half the time
SAMPLING = {"chains": 4, "tune": 500, "draws": 500}
# log hazard ratios per unit of each column
TRUTH = {
    "repeat_local": math.log(0.42),
    "age": 0.015,
    "node_positive": 0.35,
    "ras_mutation": 0.40,
    "extrahepatic": 0.55,
    "number_of_metastases": 0.08,
    "largest_diameter_cm": 0.10,
    "log(cea)": 0.15,
}
COVARIATES = " + ".join(list(TRUTH)[1:])


def simulate_cohort(number: int, n_patients: int = N_PATIENTS) -> pd.DataFrame:
    """Simulate one cohort with known hazard ratios.

    Parameters
    ----------
    number : int
        Fixes the cohort; even numbers have a Weibull hazard, odd ones a piecewise-constant one.
    n_patients : int
        Rows.

    Returns
    -------
    pandas.DataFrame
        `months`, `death`, and a column per covariate; months of follow-up after recurrence.
    """
    rng = np.random.default_rng([SEED, number])
    table = pd.DataFrame(
        {
            "age": rng.normal(64, 10, n_patients).clip(30, 88).round(),
            "node_positive": rng.binomial(1, 0.6, n_patients),
            "ras_mutation": rng.binomial(1, 0.4, n_patients),
            "extrahepatic": rng.binomial(1, 0.2, n_patients),
            "number_of_metastases": 1 + rng.poisson(1.6, n_patients),
            "largest_diameter_cm": np.exp(rng.normal(0.9, 0.5, n_patients)).round(1),
            "cea": np.exp(rng.normal(2.3, 1.2, n_patients)).round(1).clip(0.5),
        }
    )
    prognosis = sum(
        TRUTH[name] * (values - values.mean())
        for name, values in table.assign(**{"log(cea)": np.log(table["cea"])}).items()
        if name in TRUTH
    ).to_numpy()
    table.insert(0, "repeat_local", rng.binomial(1, 1 / (1 + np.exp(-(0.4 - 0.8 * prognosis)))))
    relative = np.exp(TRUTH["repeat_local"] * table["repeat_local"].to_numpy() + prognosis)
    target = rng.standard_exponential(n_patients) / relative
    if number % 2 == 0:
        # cumulative hazard ln 2 (t / 22)^1.3: half of the reference patients die within 22 months
        event_time = 22 * (target / math.log(2)) ** (1 / 1.3)
    else:
        event_time = piecewise_times(target)
    # recruited over ten years, followed until a common day, some lost before
    followed = np.minimum(rng.uniform(6, 135, n_patients), rng.exponential(300, n_patients))
    table["months"] = np.maximum(np.minimum(event_time, followed), 0.1).round(2)
    table["death"] = (event_time <= followed).astype(int)
    return table


def piecewise_times(target: NDArray[np.float64]) -> NDArray[np.float64]:
    """Times at which a hazard that steps at 9, 30 and 70 months has accumulated to `target`."""
    ends = np.array([0.0, 9.0, 30.0, 70.0])
    hazard = np.array([0.018, 0.040, 0.028, 0.015])
    start = np.concatenate([[0.0], np.cumsum(hazard[:-1] * np.diff(ends))])
    interval = np.searchsorted(start, target, side="right") - 1
    return ends[interval] + (target - start[interval]) / hazard[interval]


def fit_cohort(number: int, engine: str = "nuts") -> dict[str, Any]:
    """Fit one simulated cohort with the default model and with Cox.

    Parameters
    ----------
    number : int
        Of the cohort.
    engine : {"nuts", "laplace"}
        The engine that the benchmark reports on, or quick importance sampling.

    Returns
    -------
    dict
        cohort, events, divergences, seconds, and per term mean, sd, low, high (posterior) and
        cox, cox_low, cox_high, all log hazard ratios.
    """
    import bayes_crlm as bc
    from bayes_crlm.fit.fitting import approximate
    from bayes_crlm.frequentist.cox import fit_cox
    from bayes_crlm.inference.nuts import sample_nuts
    from bayes_crlm.model.density import hazards_of_vectors

    started = time.perf_counter()
    cohort = bc.read_cohort(simulate_cohort(number), time="months", event="death", unit="months")
    model = bc.PiecewiseExponential(treatment="repeat_local", reference=0, covariates=COVARIATES)
    inputs = model.prepare(cohort)
    divergences = 0
    if engine == "nuts":
        sampled = sample_nuts(inputs, seed=SEED + number, **SAMPLING)
        vectors = sampled.vectors.reshape(-1, sampled.vectors.shape[-1])
        divergences = int(sampled.statistics["diverging"].sum())
    else:
        found = approximate(inputs, SAMPLING["chains"] * SAMPLING["draws"], SEED + number)
        if found.drawn is None:
            raise RuntimeError(f"cohort {number}: {found.problem}")
        vectors = found.drawn.vectors
    draws = hazards_of_vectors(vectors, inputs.block_model).effect / inputs.design.scale
    low, high = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    cox = fit_cox(
        cohort.entry, cohort.time, cohort.event, inputs.design.matrix, inputs.design.terms
    )
    cox_low, cox_high = np.log(cox.ci95).T
    columns = {
        "mean": draws.mean(axis=0),
        "sd": draws.std(axis=0, ddof=1),
        "low": low,
        "high": high,
        "cox": cox.coef,
        "cox_low": cox_low,
        "cox_high": cox_high,
    }
    return {
        "cohort": number,
        "events": cohort.n_events,
        "divergences": divergences,
        "seconds": round(time.perf_counter() - started, 2),
        **{name: [round(float(v), 6) for v in values] for name, values in columns.items()},
    }


@dataclass(frozen=True)
class Coverage:
    """How one set of intervals did, over cohorts.

    Attributes
    ----------
    n_covered, n_cohorts : int
        Intervals that hold the truth, of how many.
    bias, bias_error : float
        Mean of estimate minus truth, and its Monte Carlo standard error.
    width : float
        Mean width of the intervals.
    """

    n_covered: int
    n_cohorts: int
    bias: float
    bias_error: float
    width: float

    @property
    def share(self) -> float:
        """Share of intervals that hold the truth."""
        return self.n_covered / self.n_cohorts

    @property
    def limits(self) -> tuple[float, float]:
        """Exact (Clopper-Pearson) 95% confidence limits of the coverage."""
        from scipy.stats import binomtest

        found = binomtest(self.n_covered, self.n_cohorts).proportion_ci(0.95, method="exact")
        return float(found.low), float(found.high)

    @property
    def p_value(self) -> float:
        """Exact binomial test that the intervals cover with probability 0.95."""
        from scipy.stats import binomtest

        return float(binomtest(self.n_covered, self.n_cohorts, LEVEL).pvalue)


def coverage(estimate: NDArray, low: NDArray, high: NDArray, truth: float) -> Coverage:
    """Count the intervals that hold the truth; arrays have shape (cohorts,)."""
    error = estimate - truth
    return Coverage(
        n_covered=int(np.sum((low <= truth) & (truth <= high))),
        n_cohorts=len(estimate),
        bias=float(error.mean()),
        bias_error=float(error.std(ddof=1) / math.sqrt(len(error))),
        width=float((high - low).mean()),
    )


def by_term(rows: list[dict[str, Any]]) -> dict[str, dict[str, Coverage]]:
    """Coverage of the posterior's and of Cox's intervals for every term."""
    arrays = {
        key: np.array([row[key] for row in rows], dtype=float)
        for key in ("mean", "low", "high", "cox", "cox_low", "cox_high")
    }
    return {
        term: {
            "posterior": coverage(
                arrays["mean"][:, k], arrays["low"][:, k], arrays["high"][:, k], truth
            ),
            "cox": coverage(
                arrays["cox"][:, k], arrays["cox_low"][:, k], arrays["cox_high"][:, k], truth
            ),
        }
        for k, (term, truth) in enumerate(TRUTH.items())
    }


def write_whole(path: Path, text: str) -> None:
    """Put a text in a file's place at once, so that a stopped run leaves a whole file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, delete=False, encoding="utf-8"
    ) as partial:
        partial.write(text)
    os.chmod(partial.name, 0o644)
    os.replace(partial.name, path)


def table_of(rows: list[dict[str, Any]]) -> str:
    """Write the coverage table in Markdown."""
    lines = [
        f"{len(rows)} simulated cohorts of {N_PATIENTS} patients, "
        f"{np.mean([row['events'] for row in rows]):.0f} events on average "
        f"({min(row['events'] for row in rows)} to {max(row['events'] for row in rows)}); "
        f"{SAMPLING['chains']} chains of {SAMPLING['draws']} draws; "
        f"{sum(row['divergences'] > 0 for row in rows)} fits with a divergence.",
        "",
        "| term | true HR | posterior covers | 95% limits | p | bias ± error | width "
        "| Cox covers | bias ± error | width |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    found = by_term(rows)
    for term, both in found.items():
        ours, cox = both["posterior"], both["cox"]
        low, high = ours.limits
        lines.append(
            f"| `{term}` | {math.exp(TRUTH[term]):.2f} | {ours.n_covered}/{ours.n_cohorts} = "
            f"{100 * ours.share:.1f}% | {100 * low:.1f}–{100 * high:.1f}% | {ours.p_value:.2f} | "
            f"{ours.bias:+.4f} ± {ours.bias_error:.4f} | {ours.width:.3f} | "
            f"{100 * cox.share:.1f}% | {cox.bias:+.4f} ± {cox.bias_error:.4f} | {cox.width:.3f} |"
        )
    total = sum(both["posterior"].n_covered for both in found.values())
    intervals = sum(both["posterior"].n_cohorts for both in found.values())
    cox_total = sum(both["cox"].n_covered for both in found.values())
    lines.append(
        f"| all | | {total}/{intervals} = {100 * total / intervals:.1f}% | | | | | "
        f"{100 * cox_total / intervals:.1f}% | | |"
    )
    lines.append("")
    term, both = min(found.items(), key=lambda each: each[1]["posterior"].p_value)
    smallest = both["posterior"].p_value
    lines.append(
        f"- The smallest of {len(found)} p-values is {smallest:.3f} (`{term}`; "
        f"{min(1.0, len(found) * smallest):.2f} after Bonferroni's correction); there Cox covers "
        f"in {both['cox'].n_covered} of the same cohorts."
    )
    for hazard, parity in (("Weibull", 0), ("piecewise", 1)):
        half = by_term([row for row in rows if row["cohort"] % 2 == parity])["repeat_local"]
        ours, cox = half["posterior"], half["cox"]
        lines.append(
            f"- {hazard} hazard: the treatment's interval covers in {ours.n_covered} of "
            f"{ours.n_cohorts} cohorts (p = {ours.p_value:.2f}), bias {ours.bias:+.4f} ± "
            f"{ours.bias_error:.4f}; Cox {cox.n_covered}, {cox.bias:+.4f} ± {cox.bias_error:.4f}."
        )
    return "\n".join(lines)


def write_page(rows: list[dict[str, Any]]) -> None:
    """Put the table between the markers of docs/coverage.md."""
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    write_whole(PAGE, f"{before}{BEGIN}\n{table_of(rows)}\n{END}{after}")


def main() -> None:
    """Fit the cohorts that are not stored yet, then write the table."""
    parser = argparse.ArgumentParser(description="Coverage of 95% intervals over simulated cohorts")
    parser.add_argument("--cohorts", type=int, default=N_COHORTS, help="how many (default: 200)")
    parser.add_argument("--fresh", action="store_true", help="forget stored cohorts")
    options = parser.parse_args()
    settings = {
        "n_patients": N_PATIENTS,
        "seed": SEED,
        "level": LEVEL,
        "sampling": SAMPLING,
        "truth": {term: round(value, 6) for term, value in TRUTH.items()},
    }
    rows: list[dict[str, Any]] = []
    if RESULTS.exists() and not options.fresh:
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))
        # cohorts simulated or fitted in another way are not mixed in
        rows = stored["cohorts"] if stored["settings"] == settings else []
    for number in range(len(rows), options.cohorts):
        rows.append(fit_cohort(number))
        shown = ",\n".join(json.dumps(row) for row in rows)
        write_whole(RESULTS, f'{{"settings": {json.dumps(settings)},\n"cohorts": [\n{shown}\n]}}\n')
        row = rows[-1]
        print(
            f"cohort {number}: {row['events']} events, HR {math.exp(row['mean'][0]):.2f} "
            f"({math.exp(row['low'][0]):.2f} to {math.exp(row['high'][0]):.2f}), "
            f"{row['seconds']} s",
            flush=True,
        )
    rows = rows[: options.cohorts]
    print(table_of(rows))
    if len(rows) >= N_COHORTS:
        write_page(rows)


if __name__ == "__main__":
    main()
