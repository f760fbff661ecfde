"""How often does the success rule call an effect that is not there? Null cohorts of 135 patients.

Usage: ``python benchmarks/success_rule.py [--cohorts 10000]``. Cohorts are those of
``interval_coverage.py`` (seven covariates, treatment by indication), with a hazard ratio of the
treatment of 1; each is fitted by `fit_many` under the default model. The table in
``docs/coverage.md`` and ``benchmarks/results/success_rule.json`` are written again.
"""

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import interval_coverage
import numpy as np

from bayes_crlm import PiecewiseExponential, SuccessRule, fit_many, read_cohort

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "success_rule.json"
PAGE = HERE.parent / "docs" / "coverage.md"
BEGIN, END = "<!-- success-rule: begin -->", "<!-- success-rule: end -->"
PROBABILITIES = (0.975, 0.95)
DRAWS = 2000


def called(n_cohorts: int) -> dict[str, Any]:
    """Fit null cohorts and count what each rule calls.

    Parameters
    ----------
    n_cohorts : int

    Returns
    -------
    dict
        n_cohorts, mean events, seconds, and per probability the shares called lower and higher.
    """
    interval_coverage.TRUTH["repeat_local"] = 0.0
    cohorts = [
        read_cohort(interval_coverage.simulate_cohort(number), time="months", event="death")
        for number in range(n_cohorts)
    ]
    model = PiecewiseExponential("repeat_local", 0, interval_coverage.COVARIATES)
    began = time.perf_counter()
    table = fit_many(
        model, cohorts, interval_coverage.SEED, draws=DRAWS, thresholds=(), cox=False
    ).of_term()
    is_told = (table["withdrawn"] == "").to_numpy()
    below = table["prob_below_effect"].to_numpy()[is_told]
    rules = []
    for probability in PROBABILITIES:
        rule = SuccessRule(probability=probability)
        concluded = np.array([rule.conclusion(each) for each in below])
        rules.append(
            {
                "probability": probability,
                "lower": float(np.mean(concluded == "lower")),
                "higher": float(np.mean(concluded == "higher")),
            }
        )
    return {
        "n_cohorts": int(is_told.sum()),
        "not_trusted": int((~is_told).sum()),
        "events": float(np.mean([cohort.n_events for cohort in cohorts])),
        "seconds": time.perf_counter() - began,
        "rules": rules,
    }


def table_of(found: dict[str, Any]) -> str:
    """Write the counts as a table, with Monte Carlo errors."""
    number = found["n_cohorts"]

    def share(value: float) -> str:
        error = math.sqrt(max(value * (1 - value), 1 / number) / number)
        return f"{100 * value:.1f}% ({100 * error:.1f})"

    lines = [
        f"{number:,} null cohorts of {interval_coverage.N_PATIENTS} patients, "
        f"{found['events']:.0f} events on average; Monte Carlo errors in brackets.",
        "",
        "| `success.probability` | called lower | called higher | called |",
        "|---|---|---|---|",
    ]
    for row in found["rules"]:
        either = row["lower"] + row["higher"]
        lines.append(
            f"| {row['probability']:g} | {share(row['lower'])} | {share(row['higher'])} | "
            f"{share(either)} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Simulate, fit, count and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cohorts", type=int, default=10_000)
    found = called(parser.parse_args().cohorts)
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table_of(found)}\n{END}{after}", encoding="utf-8")
    print(table_of(found))


if __name__ == "__main__":
    main()
