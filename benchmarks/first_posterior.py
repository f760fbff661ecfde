"""Process start to the NUTS posterior of a hazard ratio from one CSV file, beside stanli.

Usage: ``python benchmarks/first_posterior.py [--rounds 5]``. 135 patients, a treatment and eight
covariates, eight intervals, 4 x (1,000 + 2,000) draws. Every contender is a process of its own, in
turn with the others; "cold" ones have a home and caches that were never used. Medians go to
``benchmarks/results/first_posterior.json`` and the table of ``docs/performance.md``.
"""

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
from environments import python_of
from simulated_cohort import simulate

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "first_posterior.json"
PAGE = HERE.parent / "docs" / "performance.md"
BEGIN, END = "<!-- first posterior: begin -->", "<!-- first posterior: end -->"
CONTENDERS = {
    "this package": (None, "package_from_file.py"),
    "stanli": ("stanli", "stanli_compact.py"),
}
TARGETS = {"warm": 1.2, "cold": 1.2}
N_PATIENTS = 135
# apart by more than this share of a standard deviation, posteriors are not the same
APART = 0.05


def write_cohort(path: Path) -> list[str]:
    """Write the cohort; gives its inner cutpoints as arguments."""
    drawn = simulate(N_PATIENTS, seed=1)
    columns = ["arm", *(f"x{k}" for k in range(drawn["x"].shape[1] - 1))]
    table = pd.DataFrame(drawn["x"], columns=columns).astype({"arm": "int8"})
    table.assign(time=drawn["time"], event=drawn["event"]).to_csv(path, index=False)
    return [str(each) for each in drawn["inner_cutpoints"]]


def run_once(call: list[str], home: Path | None) -> tuple[float, list[float]]:
    """Seconds of a process, wall time, and what it prints: mean and standard deviation."""
    # bytecode is kept, as Python does unless it is told otherwise
    env = {name: text for name, text in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if home is not None:
        env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home), "NUMBA_CACHE_DIR": str(home)}
    began = time.perf_counter()
    done = subprocess.run(call, env=env, check=True, capture_output=True, text=True)
    return time.perf_counter() - began, [float(each) for each in done.stdout.split()]


def measure(rounds: int) -> dict[str, Any]:
    """Run all contenders in turn."""
    taken: dict[str, dict[str, list[float]]] = {"warm": {}, "cold": {}}
    found: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cohort.csv")
        cutpoints = write_cohort(path)
        for number in range(rounds + 1):
            for name, (environment, script) in CONTENDERS.items():
                call = [python_of(environment), str(HERE / "contenders" / script), str(path)]
                for state in taken:
                    home = None
                    if state == "cold":
                        home = Path(folder, f"{name} {number}".replace(" ", "_"))
                        home.mkdir()
                    seconds, found[name] = run_once([*call, *cutpoints], home)
                    if number:  # the first round fills caches
                        taken[state].setdefault(name, []).append(seconds)
    (mean, sd), (other, _) = found["this package"], found["stanli"]
    if abs(mean - other) > APART * sd:
        raise RuntimeError(f"the posteriors differ: means {mean:.4f} and {other:.4f}, sd {sd:.4f}")
    return {
        state: {name: statistics.median(each) for name, each in by_name.items()}
        for state, by_name in taken.items()
    }


def table(measured: dict[str, Any]) -> str:
    """Rows of the page's table."""
    lines = [
        "| start to posterior | this package, s | stanli 0.24, s | ratio | wanted | met |",
        "|---|---|---|---|---|---|",
    ]
    for state, target in TARGETS.items():
        ours, theirs = (measured[state][name] for name in CONTENDERS)
        is_met = "yes" if ours / theirs < target else "**no**"
        lines.append(
            f"| {state} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} | < {target} | {is_met} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, keep and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    measured = measure(parser.parse_args().rounds)
    RESULTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    shown = table(measured)
    print(shown)
    text = PAGE.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{shown}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
