"""Two builds of this package beside each other: refits, batches and commands timed in turn.

Usage: ``python benchmarks/two_builds.py BEFORE [AFTER] [--rounds 24]``. BEFORE and AFTER are
checkouts, each with its own ``.venv``; AFTER is this one where it is not given. Prints a table of
medians and of ratios (after / before, each of one round) and stores it in
``benchmarks/results/two_builds.json``. Every build fits the same cohorts: 135 simulated patients, a
treatment and eight covariates.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from processes import BuildProcess

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "two_builds.json"
# what is timed, and the keywords of the model: eight intervals, or each build's own default
EIGHT = '"cutpoints": 8, "baseline": '
MODELS = {
    "random_walk": f'{{{EIGHT}"random_walk"}}',
    "random_walk, Student t": f'{{{EIGHT}"random_walk", "treatment_prior": "student_t(3, 0, 1)"}}',
    "independent": f'{{{EIGHT}"independent"}}',
    "gamma": f'{{{EIGHT}"gamma"}}',
    "each build's default": "{}",
}
JOBS = ("laplace refit", "fit_many, 100 cohorts", "NUTS refit")
COMMANDS = (["--help"], ["check", "os_repeat_local_vs_systemic"])
# runs in a build's own process; one line in, one line out
SERVER = """
tables = [table(seed) for seed in range(100)]
stack = stack_of(tables)
cohort = read_cohort(tables[0].drop(columns="cohort"), time="time", event="event")
for line in sys.stdin:
    job, options, seed = json.loads(line)
    model = model_of(json.loads(options))
    started = time.perf_counter()
    if job.startswith("fit_many"):
        fit_many(model, stack, seeds=seed, cox=False)
    else:
        engine = "laplace" if job.startswith("laplace") else "nuts"
        model.fit(cohort, engine=engine, seed=seed).hazard_ratios()
    print(time.perf_counter() - started, flush=True)
"""


class Build:
    """A checkout whose package fits in a process of its own."""

    def __init__(self, folder: Path) -> None:
        """Start the process."""
        self.folder = folder
        self.process = BuildProcess(folder, SERVER)

    def fit(self, job: str, options: str, seed: int) -> float:
        """Seconds of one job."""
        return self.process.ask([job, options, seed])

    def command(self, arguments: list[str]) -> float:
        """Seconds of one command."""
        started = time.perf_counter()
        call = [self.folder / ".venv" / "bin" / "bayes-crlm", *arguments]
        subprocess.run(call, capture_output=True, check=True, cwd=self.folder)
        return time.perf_counter() - started


def in_turn(before: Any, after: Any, rounds: int) -> dict[str, float]:
    """Time two functions of the round's number, who goes first changing every round."""
    seconds: tuple[list[float], list[float]] = ([], [])
    before(0), after(0)
    for k in range(1, rounds + 1):
        pairs = [(before, seconds[0]), (after, seconds[1])]
        for function, found in pairs if k % 2 else pairs[::-1]:
            found.append(function(k))
    ratios = [new / old for old, new in zip(*seconds, strict=True)]
    return {
        "before": statistics.median(seconds[0]),
        "after": statistics.median(seconds[1]),
        "ratio": statistics.median(ratios),
    }


def main() -> None:
    """Time, print and store."""
    parser = argparse.ArgumentParser(description="two builds of this package, timed in turn")
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path, nargs="?", default=HERE.parent)
    parser.add_argument("--rounds", type=int, default=24)
    asked = parser.parse_args()
    old, new = Build(asked.before.resolve()), Build(asked.after.resolve())
    rows = {}
    for job in JOBS:
        rounds = asked.rounds if job.startswith("laplace") else max(3, asked.rounds // 3)
        for name, options in MODELS.items():
            rows[f"{job}: {name}"] = in_turn(
                lambda k, job=job, options=options: old.fit(job, options, k),
                lambda k, job=job, options=options: new.fit(job, options, k),
                rounds,
            )
    for arguments in COMMANDS:
        rows[" ".join(arguments)] = in_turn(
            lambda _, arguments=arguments: old.command(arguments),
            lambda _, arguments=arguments: new.command(arguments),
            max(3, asked.rounds // 3),
        )
    print("| what | before, s | after, s | after / before |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['before']:.4f} | {row['after']:.4f} | {row['ratio']:.2f} |")
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
