"""What `fit_many` costs at the same error, in two builds of this package.

Usage: ``python benchmarks/equal_error.py BEFORE [AFTER] [--cohorts 200] [--seeds 100]
[--own-default]``. BEFORE and AFTER are checkouts, each with its own ``.venv``; AFTER is this one
where it is not given. Both fit the same cohorts, 135 simulated patients with a treatment and eight
covariates each, with a random walk over eight intervals (or each build's own default), with one
thread and with two, in turn, once for every seed. Over seeds the 95% limits and P(HR < 1) have a
variance; the time that a build needs for an error is its time times that variance. Beside that
stands what AFTER states of its own error: the spread over seeds / the median Monte Carlo error of
its rows. Prints a table of before / after and stores it in ``benchmarks/results/equal_error.json``.
"""

import argparse
import json
import statistics
import sys
from pathlib import Path
from typing import Any

import numpy as np
from processes import BuildProcess

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "equal_error.json"
QUANTITIES = ("eti95_low", "eti95_high", "prob_below_1.0")
THREADS = (1, 2)
SAME = {"cutpoints": 8, "baseline": "random_walk"}
# probabilities nearer to 0 or 1 have hardly a variance
LEAST_PROBABILITY = 0.01
# runs in a build's own process; one line in, one line out
SERVER = """
n_cohorts, quantities, options = (json.loads(each) for each in sys.argv[2:])
stack = stack_of([table(seed) for seed in range(n_cohorts)])
columns = quantities + ["mcse_" + name for name in quantities]
model = model_of(options)
for line in sys.stdin:
    seed, threads = json.loads(line)
    started = time.perf_counter()
    terms = fit_many(model, stack, seeds=seed, cox=False, jobs=threads).terms
    seconds = time.perf_counter() - started
    # a build that states no errors gives none
    print(json.dumps([seconds, terms.reindex(columns=columns).to_numpy().tolist()]), flush=True)
"""


class Build:
    """A checkout whose package fits many cohorts in a process of its own."""

    def __init__(self, folder: Path, cohorts: int, options: dict[str, Any]) -> None:
        """Start the process."""
        self.process = BuildProcess(folder, SERVER, cohorts, QUANTITIES, options)
        self.seconds: dict[int, list[float]] = {threads: [] for threads in THREADS}
        self.values: list[Any] = []

    def fit(self, seed: int, threads: int) -> None:
        """Fit all cohorts once."""
        seconds, values = self.process.ask([seed, threads])
        self.seconds[threads].append(seconds)
        if threads == THREADS[0]:
            self.values.append(values)


def spreads(build: Build) -> tuple[Any, Any]:
    """Standard deviations over seeds of each row's quantities, and stated errors (seeds, ...)."""
    values, stated = np.split(np.array(build.values), 2, axis=-1)
    return values.std(axis=0, ddof=1), stated


def open_rows(build: Build) -> Any:
    """Rows whose probability is neither nearly 0 nor nearly 1."""
    values = np.array(build.values)
    probability = values[..., QUANTITIES.index("prob_below_1.0")].mean(axis=0)
    return np.abs(probability - 0.5) < 0.5 - LEAST_PROBABILITY


def ratios_of_variances(before: Build, after: Build) -> list[float]:
    """Variance over seeds before / after of each quantity: geometric means over rows."""
    old, new = spreads(before)[0], spreads(after)[0]
    log_ratio = 2 * np.log(old / new)[open_rows(before)]
    return np.exp(log_ratio.mean(axis=0)).tolist()


def spread_of_stated(build: Build) -> list[float]:
    """Spread over seeds / median stated error of each quantity: the median over rows."""
    spread, stated = spreads(build)
    ratio = (spread / np.median(stated, axis=0))[open_rows(build)]
    return np.median(ratio, axis=0).tolist()


def main() -> None:
    """Time, print and store."""
    parser = argparse.ArgumentParser(description="fit_many of two builds at the same error")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=HERE.parent)
    parser.add_argument("--cohorts", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--own-default", action="store_true")
    asked = parser.parse_args()
    options = {} if asked.own_default else SAME
    folders = (asked.before.resolve(), asked.after.resolve())
    builds = [Build(each, asked.cohorts, options) for each in folders]
    for each in builds:
        each.fit(0, THREADS[0])
        each.seconds[THREADS[0]].clear(), each.values.clear()
    for seed in range(1, asked.seeds + 1):
        for threads in THREADS:
            for each in builds if seed % 2 else builds[::-1]:
                each.fit(seed, threads)
    times = {
        threads: statistics.median(
            old / new for old, new in zip(*(each.seconds[threads] for each in builds), strict=True)
        )
        for threads in THREADS
    }
    variances = dict(zip(QUANTITIES, ratios_of_variances(*builds), strict=True))
    of_stated = dict(zip(QUANTITIES, spread_of_stated(builds[1]), strict=True))
    worst = min(variances.values())
    stored = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    stored["own default" if asked.own_default else "eight intervals"] = {
        "cohorts": asked.cohorts,
        "seeds": asked.seeds,
        "time": times,
        "variance": variances,
        "spread / stated error": of_stated,
        "time at the same error": {threads: ratio * worst for threads, ratio in times.items()},
    }
    RESULTS.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    print("| before / after | one thread | two threads |\n|---|---|---|")
    print(f"| time | {times[1]:.2f} | {times[2]:.2f} |")
    for name, ratio in variances.items():
        one, two = (times[threads] * ratio for threads in THREADS)
        print(f"| time at the same error of {name} | {one:.2f} | {two:.2f} |")
    print("\n| after | spread over seeds / stated error |\n|---|---|")
    for name, ratio in of_stated.items():
        print(f"| {name} | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
