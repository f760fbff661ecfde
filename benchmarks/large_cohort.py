"""Time and memory against the number of rows, up to a million.

Usage: ``python benchmarks/large_cohort.py [--sizes 10000 100000] [--engines laplace nuts]``. For
every size two cohorts are simulated, with a treatment and eight covariates: two of them
continuous, or all yes-or-no, so that rows can be pooled. A process of its own measures the
parts on one core (read, prepare, one gradient, Cox, Kaplan-Meier), and another the whole of
`bayes-crlm run` with each engine; peak memory is the largest resident set of that process.
The growth exponent is the slope of log seconds in log rows between the smallest and largest size.
Results go to ``benchmarks/results/large_cohort.json`` and the table of ``docs/large_cohorts.md``.
"""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "large_cohort.json"
PAGE = HERE.parent / "docs" / "large_cohorts.md"
BEGIN, END = "<!-- large_cohort: begin -->", "<!-- large_cohort: end -->"

SIZES = (10_000, 100_000, 1_000_000)
KINDS = {"two continuous": 2, "all yes or no": 0}
COVARIATES, INTERVALS = 8, 10
GRADIENTS = 11
SPEC = """title = "A large simulated cohort"
[data]
source = "{source}"
time = "time"
event = "event"
[model]
treatment = "arm"
reference = 0
covariates = "{formula}"
[model.baseline]
cutpoints = {intervals}
"""
PARTS = ("read", "prepare", "gradient", "cox", "kaplan_meier")
TRUSTED_OR_NOT = (0, 3)


def simulate(rows: int, continuous: int, seed: int) -> Any:
    """Draw a cohort with a constant hazard and uniform censoring, as a table."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {"arm": rng.integers(2, size=rows)}
    for k in range(COVARIATES):
        columns[f"x{k}"] = rng.normal(size=rows) if k < continuous else rng.integers(2, size=rows)
    effects = np.array([-0.4, *(0.2 * (-1) ** k for k in range(COVARIATES))])
    predictor = sum(each * effect for each, effect in zip(columns.values(), effects, strict=True))
    happens = rng.exponential(size=rows) / (0.02 * np.exp(predictor))
    censored = rng.uniform(12, 72, rows)
    # of a million exponential times some are shorter than the rounding of the others
    columns["time"] = np.maximum(np.minimum(happens, censored), 1e-3)
    columns["event"] = (happens <= censored).astype(np.int8)
    return pd.DataFrame(columns)


def peak_mebibytes() -> float:
    """Largest resident set of this process."""
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def measure_parts(spec: Path) -> dict[str, Any]:
    """Time the parts of a fit in this process, imports apart."""
    import formulaic  # noqa: F401
    import numpy as np
    import pymc  # noqa: F401

    from bayes_crlm import read_spec
    from bayes_crlm.analysis.plan import plan_analysis
    from bayes_crlm.cohort.reading import read_cohort
    from bayes_crlm.frequentist.cox import fit_cox
    from bayes_crlm.inference.native.flat_density import native_density
    from bayes_crlm.likelihood.kaplan_meier import kaplan_meier

    taken: dict[str, float] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        result = call()
        taken[name] = time.perf_counter() - began
        return result

    read = read_spec(str(spec))
    timed("read", lambda: read_cohort(read.data_path(), time="time", event="event"))
    plan = timed("prepare", lambda: plan_analysis(read))
    taken["prepare"] = max(taken["prepare"] - taken["read"], 0.0)
    inputs = plan.inputs
    timed("pool", lambda: inputs.density_data)
    density = native_density(inputs.density_data, inputs.blocks)
    vector = np.zeros(sum(parameter.size for parameter in inputs.block_model.sampled_parameters))
    vector[-1] = inputs.log_rate
    density.value_and_slope(vector)
    gradients = []
    for _ in range(GRADIENTS):
        timed("gradient", lambda: density.value_and_slope(vector))
        gradients.append(taken["gradient"])
    taken["gradient"] = statistics.median(gradients)
    cohort, design = inputs.cohort, inputs.design
    timed(
        "cox",
        lambda: fit_cox(cohort.entry, cohort.time, cohort.event, design.matrix, design.terms),
    )
    timed("kaplan_meier", lambda: kaplan_meier(cohort.entry, cohort.time, cohort.event))
    return {
        "seconds": taken,
        "rows_of_the_density": inputs.density_data.follow_up.n_rows,
        "mebibytes": peak_mebibytes(),
    }


def measure_run(spec: Path, engine: str) -> dict[str, Any]:
    """Time the whole main job in this process."""
    from bayes_crlm.cli import main

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "results"
        began = time.perf_counter()
        status = main(["run", str(spec), "--engine", engine, "--quiet", "--out", str(out)])
        seconds = time.perf_counter() - began
        if status not in TRUSTED_OR_NOT:
            raise RuntimeError(f"the main job ended with {status}")
        summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
        posterior = (out / "posterior.nc").stat().st_size / 2**20
    return {
        "seconds": seconds,
        "stages": summary["provenance"]["seconds"],
        "status": summary["status"],
        "warnings": summary["warnings"],
        "posterior_mebibytes": posterior,
        "mebibytes": peak_mebibytes(),
    }


def in_a_process(spec: Path, what: str, *, one_core: bool) -> dict[str, Any]:
    """Measure in a process of its own, so that its peak memory is its own."""
    environment = dict(os.environ)
    if one_core:
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--child", what, str(spec)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{what} of {spec.stem}: {done.stderr[-1000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(sizes: list[int], engines: list[str]) -> dict[str, Any]:
    """Measure every size and kind of cohort."""
    found: dict[str, Any] = {kind: {} for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        for rows in sizes:
            for kind, continuous in KINDS.items():
                path = Path(folder) / f"cohort_{rows}_{continuous}.parquet"
                simulate(rows, continuous, seed=rows).to_parquet(path)
                formula = " + ".join(f"x{k}" for k in range(COVARIATES))
                spec = path.with_suffix(".toml")
                spec.write_text(SPEC.format(source=path.name, formula=formula, intervals=INTERVALS))
                measured = {"parts": in_a_process(spec, "parts", one_core=True)}
                for engine in engines:
                    measured[engine] = in_a_process(spec, engine, one_core=False)
                found[kind][str(rows)] = measured
                print(f"{rows:,} rows, {kind}: {json.dumps(measured)}", flush=True)
    return found


def seconds_of(measured: dict[str, Any], what: str) -> float | None:
    """Seconds of a part or of an engine's main job; None where it was not measured."""
    if what in PARTS:
        return measured["parts"]["seconds"][what]
    return measured[what]["seconds"] if what in measured else None


def exponent(by_size: dict[str, Any], what: str) -> float | None:
    """Slope of log seconds in log rows from the smallest to the largest size."""
    sizes = sorted(by_size, key=int)
    first, last = (seconds_of(by_size[size], what) for size in (sizes[0], sizes[-1]))
    if len(sizes) < 2 or first is None or last is None:
        return None
    if min(first, last) <= 0:
        # "prepare" is a difference of two times, and can drown in their noise
        return None
    return math.log(last / first) / math.log(int(sizes[-1]) / int(sizes[0]))


def table_of(stored: dict[str, Any]) -> str:
    """Write the measurements in Markdown."""
    machine = stored["machine"]
    lines = [
        f"{machine['processors']} processors, Python {machine['python']}, load before the first "
        f"process {machine['load_before']:g}; {COVARIATES} covariates, {INTERVALS} intervals."
    ]
    engines = [each for each in ("laplace", "nuts") if each in stored["engines"]]
    heads = ["read, s", "prepare, s", "one gradient, ms", "Cox, s", "Kaplan-Meier, s"]
    heads += [f"whole run, {engine}, s" for engine in engines]
    heads += [f"its peak memory, {engine}, MiB" for engine in engines]
    for kind, by_size in stored["cohorts"].items():
        lines += ["", f"Covariates: {kind}.", ""]
        lines.append("| rows | rows of the density | " + " | ".join(heads) + " |")
        lines.append("|---" * (len(heads) + 2) + "|")
        for size, measured in by_size.items():
            taken = measured["parts"]["seconds"]
            cells = [f"{int(size):,}", f"{measured['parts']['rows_of_the_density']:,}"]
            cells += [
                f"{1000 * taken[part]:.2f}" if part == "gradient" else f"{taken[part]:.2f}"
                for part in PARTS
            ]
            cells += [f"{measured[engine]['seconds']:.1f}" for engine in engines]
            cells += [f"{measured[engine]['mebibytes']:.0f}" for engine in engines]
            lines.append("| " + " | ".join(cells) + " |")
        slopes = [exponent(by_size, what) for what in (*PARTS, *engines)]
        shown = ["" if slope is None else f"{slope:.2f}" for slope in slopes]
        lines.append("| growth exponent | | " + " | ".join(shown) + " |" + " |" * len(engines))
    return "\n".join(lines)


def main() -> None:
    """Measure, store and write the table."""
    parser = argparse.ArgumentParser(description="Time and memory against the number of rows")
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="rows")
    parser.add_argument(
        "--engines", nargs="*", default=["laplace", "nuts"], choices=["laplace", "nuts"]
    )
    parser.add_argument("--child", nargs=2, metavar=("WHAT", "SPEC"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        what, spec = options.child[0], Path(options.child[1])
        measured = measure_parts(spec) if what == "parts" else measure_run(spec, what)
        print(json.dumps(measured))
        return
    load = os.getloadavg()[0]
    stored = {
        "machine": {
            "processors": os.cpu_count(),
            "python": platform.python_version(),
            "load_before": round(load, 2),
        },
        "engines": options.engines,
        "cohorts": measure(options.sizes, options.engines),
    }
    table = table_of(stored)
    print(table)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(stored, indent=2) + "\n", encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
