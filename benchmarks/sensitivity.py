"""How long ``bayes-crlm sensitivity`` takes on the main analysis, part by part.

Usage: ``python benchmarks/sensitivity.py [--before CHECKOUT] [--rounds 3]``. It runs the command
with its defaults, then for the multiverse alone, and for missing data alone on the analysis whose
covariates miss values, each from the start of a process to its end in a folder of its own, and
writes the table in ``docs/sensitivity.md`` again.

With a checkout of another build, which has its own ``.venv``, it compares the processor time of
both instead, workers included, in turn: with the same cutpoints, baselines and intervals.
It stores the ratios in ``benchmarks/results/sensitivity_processor.json`` (Linux only).
"""

import argparse
import ctypes
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from method_coverage import write_between

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "sensitivity.md"
RESULTS = HERE / "results" / "sensitivity_processor.json"
# so that both builds refit the same models: of the later one other cutpoints are the default, and
# one more baseline
SAME_MODELS = """
[model.baseline]
prior = "random_walk"
cutpoints = 9

[sensitivity.multiverse]
baselines = ["random_walk", "independent", "gamma"]
intervals = [4, 9, 18]
"""
ADOPT_ORPHANS = 36
SPEC, INCOMPLETE_SPEC = "os_repeat_local_vs_systemic", "os_missing_covariates"


def timed_run(folder: Path, spec: str, *options: str) -> tuple[float, dict]:
    """Run the command; its wall time, and what it wrote."""
    command = [sys.executable, "-m", "bayes_crlm", "sensitivity", spec, "--quiet", *options]
    began = time.perf_counter()
    subprocess.run([*command, "--out", str(folder)], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    return seconds, json.loads((folder / "sensitivity.json").read_text(encoding="utf-8"))


def processor_seconds(python: Path, spec: Path, folder: Path) -> float:
    """User and system time of a run and of all processes that it started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        # safe path: the package is the environment's, wherever this is called from
        [python, "-P", "-m", "bayes_crlm", "sensitivity", spec, "--quiet", "--out", folder],
        check=True,
        capture_output=True,
    )
    while True:
        try:
            # workers' server outlives the run for a moment; it is this process' child by then
            os.wait()
        except ChildProcessError:
            break
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    return now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime


def compare(before: Path, rounds: int) -> None:
    """Run both builds in turn, and store the processor times and their ratios."""
    ctypes.CDLL(None).prctl(ADOPT_ORPHANS, 1, 0, 0, 0)
    seconds: dict[str, list[float]] = {"before": [], "after": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        spec = folder / f"{SPEC}.toml"
        own = (HERE.parent / "models" / spec.name).read_text(encoding="utf-8")
        spec.write_text(own + SAME_MODELS, encoding="utf-8")
        for k in range(rounds):
            for build, checkout in (("before", before), ("after", HERE.parent)):
                python = checkout / ".venv" / "bin" / "python"
                seconds[build].append(processor_seconds(python, spec, folder / f"{build} {k}"))
                print(f"{build}: {seconds[build][-1]:.1f} s", flush=True)
    ratios = [after / first for first, after in zip(*seconds.values(), strict=True)]
    found = {"seconds": seconds, "ratios": ratios, "median_ratio": statistics.median(ratios)}
    RESULTS.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    print(f"after / before: {found['median_ratio']:.2f}")


def main() -> None:
    """Read what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--before", type=Path, help="a checkout of another build")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if asked.before is None:
        write_table()
    else:
        compare(asked.before.resolve(), asked.rounds)


def write_table() -> None:
    """Time all runs and write the table."""
    with tempfile.TemporaryDirectory() as folder:
        whole, found = timed_run(Path(folder) / "whole", SPEC)
        alone, _ = timed_run(Path(folder) / "multiverse", SPEC, "--only", "multiverse")
        imputing, imputed = timed_run(
            Path(folder) / "missing_data", INCOMPLETE_SPEC, "--only", "missing_data"
        )
    seconds = found["provenance"]["seconds"]
    count = len(found["multiverse"]["rows"])
    lines = [
        f"{os.cpu_count()} processors, 135 patients, {count} specifications.",
        "",
        "| what | seconds |",
        "|---|---|",
        f"| every part, from the start of the process to its end | {whole:.0f} |",
        f"| `--only multiverse`, the same | {alone:.0f} |",
        f"| `--only missing_data` on `{INCOMPLETE_SPEC}`, {len(imputed['missing_data']['rows'])} "
        f"imputations, the same | {imputing:.0f} |",
        *(
            f"| `{name}` | {taken:.1f} |"
            for name, taken in seconds.items()
            if name not in ("base", "total")
        ),
    ]
    text = "\n".join(lines)
    print(text)
    write_between(PAGE, "sensitivity-time", text)


if __name__ == "__main__":
    main()
