"""Cohorts a second of `fit_many`, by baseline prior, engine and how the cohorts are given.

Usage: ``python benchmarks/batches.py [--cohorts 1000]``. Every cohort has 135 patients, a treatment
and eight covariates; eight intervals, 1,000 draws. All variants are timed in turn in one process,
`ROUNDS` times; medians go to ``benchmarks/results/batches.json`` and the table of
``docs/batches.md``. Cohorts come as one stacked table, whose reading is timed, or as a list of
cohorts read before.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import pandas as pd
from simulated_cohort import simulate

from bayes_crlm import Cohort, PiecewiseExponential, fit_many, stack_cohorts
from bayes_crlm.tasks.workers import available_cpus

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "batches.json"
PAGE = HERE.parent / "docs" / "batches.md"
BEGIN, END = "<!-- batches: begin -->", "<!-- batches: end -->"

N_PATIENTS, N_COVARIATES, N_INTERVALS, DRAWS = 135, 8, 8, 1000
ROUNDS = 3
TARGET = 400
COLUMNS = {"cohort": "cohort", "time": "time", "event": "event"}
# baseline, engine, with Cox, cohorts
VARIANTS = (
    ("random_walk", "numpy", True, "stack"),
    ("random_walk", "numpy", False, "stack"),
    ("random_walk", "numpy", True, "list"),
    ("independent", "numpy", True, "stack"),
    ("independent", "numpy", False, "stack"),
    ("independent", "numpy", True, "list"),
    ("gamma", "numpy", True, "stack"),
    ("gamma", "numpy", True, "list"),
)


def table_of_cohorts(count: int) -> pd.DataFrame:
    """Draw all cohorts into one table."""
    names = ["arm", *(f"x{k}" for k in range(N_COVARIATES))]
    tables = []
    for seed in range(count):
        drawn = simulate(N_PATIENTS, seed)
        columns = pd.DataFrame(drawn["x"], columns=names)
        tables.append(columns.assign(time=drawn["time"], event=drawn["event"], cohort=seed))
    return pd.concat(tables, ignore_index=True)


def measure(
    table: pd.DataFrame, cohorts: list[Cohort], baseline: Any, engine: Any, cox: bool, given: str
) -> dict[str, Any]:
    """Fit all cohorts once, from their table or as a list."""
    formula = " + ".join(f"x{k}" for k in range(N_COVARIATES))
    model = PiecewiseExponential("arm", 0, formula, cutpoints=N_INTERVALS, baseline=baseline)
    began, processor_began = time.perf_counter(), time.process_time()
    some = cohorts if given == "list" else stack_cohorts(table, **COLUMNS)
    many = fit_many(model, some, seeds=1, draws=DRAWS, engine=engine, cox=cox)
    seconds = time.perf_counter() - began
    ess = many.cohorts["importance_ess"] / DRAWS
    return {
        "seconds": seconds,
        "processor_seconds": time.process_time() - processor_began,
        "fitted": int(many.cohorts["is_fitted"].sum()),
        "median_ess": float(ess.median()),
        "share_k_to_0.5": float((many.cohorts["pareto_k"] <= 0.5).mean()),
    }


def table_of(stored: dict[str, Any]) -> str:
    """Write the page's table."""
    lines = [
        "| baseline | engine | Cox too | cohorts as | cohorts/s, of this the target "
        "| processor, ms a cohort | importance ESS, median | k ≤ 0.5 | first call, s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in stored["variants"]:
        rate = stored["cohorts"] / statistics.median(each["seconds"] for each in row["runs"])
        processor = statistics.median(each["processor_seconds"] for each in row["runs"])
        first = row["runs"][0]
        lines.append(
            f"| {row['baseline']} | {row['engine']} | {'yes' if row['cox'] else 'no'} "
            f"| {row['given']} | {rate:,.0f} ({rate / TARGET:.2f} × {TARGET}) "
            f"| {1000 * processor / stored['cohorts']:.1f} | {first['median_ess']:.0%} "
            f"| {first['share_k_to_0.5']:.1%} | {first['seconds']:.1f} |"
        )
    lines.append(
        f"\n{stored['cohorts']:,} simulated cohorts of {N_PATIENTS} patients, "
        f"{N_COVARIATES} covariates, {N_INTERVALS} intervals, {DRAWS:,} draws; "
        f"{stored['machine']}, {stored['cpus']} CPUs; medians of {ROUNDS} rounds."
    )
    return "\n".join(lines)


def main() -> None:
    """Time every variant in turn."""
    parser = argparse.ArgumentParser(description="Cohorts a second of fit_many")
    parser.add_argument("--cohorts", type=int, default=1000)
    options = parser.parse_args()
    table = table_of_cohorts(options.cohorts)
    cohorts = list(stack_cohorts(table, **COLUMNS))
    variants: list[dict[str, Any]] = [
        {"baseline": baseline, "engine": engine, "cox": cox, "given": given, "runs": []}
        for baseline, engine, cox, given in VARIANTS
    ]
    for _ in range(ROUNDS):
        for row in variants:
            told = {key: row[key] for key in ("baseline", "engine", "cox", "given")}
            run = measure(table, cohorts, **told)
            row["runs"].append(run)
            print(told, run, flush=True)
    stored = {
        "cohorts": options.cohorts,
        "machine": platform.machine(),
        "cpus": available_cpus(),
        "variants": variants,
    }
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table_of(stored)}\n{END}{after}", encoding="utf-8")
    print(table_of(stored))


if __name__ == "__main__":
    main()
