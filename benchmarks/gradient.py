"""One gradient of the package's compiled density, and the least that it could take.

Usage: ``python benchmarks/gradient.py FILE [FILE ...]`` with files of ``simulated_cohort.py``.
Prints one JSON line per file. The floor is the longer of two times that one core needs: to read the
design and one double a row, and to do the arithmetic (a multiplication and an addition for every
entry of the design, twice, and an exponential a row). Its speeds are measured in the same process,
in turn with the gradient, and the fastest time counts: reading by copying an array of the design's
size, so that caches help it as they help the gradient; arithmetic by a product of matrices.
"""

import argparse
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# one core, as every chain has; read when NumPy is imported
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "contenders"))

from job import Cohort, read_cohort

DOUBLE = 8
FEWEST_COPIED = EXPONENTIALS = 2**12
DOUBLES_AT_ONCE = 2**18
MATRIX = 384
# a polynomial with its range reduction; more exact or portable ones take more
OPERATIONS_OF_EXPONENTIAL = 25
MEASURED_SECONDS = 3.0
FEWEST, MOST = 5, 2000
# a sampler calls the density from machine code: several calls are timed at once, so that the
# one call from Python does not count
ROWS_AT_ONCE = 100_000


def time_in_turn(work: dict[str, Callable[[], Any]]) -> dict[str, dict[str, float]]:
    """Time several callables in turn; seconds of one call each, as median and minimum."""
    for call in work.values():
        call()
    taken: dict[str, list[float]] = {name: [] for name in work}
    until = time.perf_counter() + MEASURED_SECONDS
    for number in range(MOST):
        if number >= FEWEST and time.perf_counter() > until:
            break
        for name, call in work.items():
            began = time.perf_counter()
            call()
            taken[name].append(time.perf_counter() - began)
    return {
        name: {"median": statistics.median(each), "min": min(each)} for name, each in taken.items()
    }


def gradient_calls(cohort: Cohort, times: int) -> Callable[[], Any]:
    """Make calls of the compiled log density and gradient at a point like a posterior's."""
    import pandas as pd

    import bayes_crlm
    from bayes_crlm.inference.block_coordinates import Unknowns
    from bayes_crlm.inference.native.coordinates import plain_coordinates
    from bayes_crlm.inference.native.flat_density import native_density
    from bayes_crlm.inference.native.library import lay_target

    table = pd.DataFrame(cohort.x, columns=cohort.columns)
    table["treatment"] = table["treatment"].astype("int8")
    table["time"], table["event"] = cohort.time, cohort.event
    model = bayes_crlm.PiecewiseExponential(
        treatment="treatment",
        reference=0,
        covariates=" + ".join(cohort.columns[1:]),
        cutpoints=list(cohort.inner_cutpoints),
        baseline="independent",
    )
    inputs = model.prepare(bayes_crlm.read_cohort(table, time="time", event="event"))
    density = native_density(inputs.density_data, inputs.blocks)
    unknowns = Unknowns(inputs.block_model)
    centre = unknowns.centre()[: unknowns.n_sampled]
    target = lay_target(density, plain_coordinates(centre).lay_out())
    # at effects of 0 exponentials would be those of 0, which are quicker
    point = np.random.default_rng(1).normal(scale=0.3, size=target.size)
    return lambda: target.repeat(point, times)


def floor_seconds(rows: int, columns: int, measured: dict[str, float]) -> dict[str, float]:
    """Least time of one gradient when the design is read once, and when it is read twice."""
    operations = rows * (4 * columns + OPERATIONS_OF_EXPONENTIAL)
    arithmetic = operations * measured["seconds_per_operation"]
    reading = rows * DOUBLE * measured["seconds_per_byte"]
    return {
        "once": max((columns + 1) * reading, arithmetic),
        "twice": max((2 * columns + 1) * reading, arithmetic),
    }


def measure(path: Path) -> dict[str, Any]:
    """Time the gradient and what it is held against in turn."""
    cohort = read_cohort(path)
    rows, columns = cohort.x.shape
    times = max(1, ROWS_AT_ONCE // rows)
    copied = max(rows * columns, FEWEST_COPIED)
    copies = max(1, DOUBLES_AT_ONCE // copied)
    source, target = np.ones(copied), np.zeros(copied)
    powers, results = np.linspace(-2, 2, EXPONENTIALS), np.empty(EXPONENTIALS)
    left, right = np.ones((MATRIX, MATRIX)), np.ones((MATRIX, MATRIX))
    product = np.empty_like(left)
    taken = time_in_turn(
        {
            "gradient": gradient_calls(cohort, times),
            "copy": lambda: [np.copyto(target, source) for _ in range(copies)],
            "product": lambda: np.matmul(left, right, out=product),
            "exponentials": lambda: np.exp(powers, out=results),
        }
    )
    measured = {
        # a copy reads and writes
        "seconds_per_byte": taken["copy"]["min"] / (2 * DOUBLE * copied * copies),
        "seconds_per_operation": taken["product"]["min"] / (2 * MATRIX**3),
        "seconds_per_exponential": taken["exponentials"]["min"] / EXPONENTIALS,
    }
    return {
        "rows": rows,
        "columns": columns,
        "gradient": {name: value / times for name, value in taken["gradient"].items()},
        **measured,
        "floor": floor_seconds(rows, columns, measured),
    }


def main() -> None:
    """Measure every file."""
    parser = argparse.ArgumentParser(description="Time one gradient")
    parser.add_argument("files", type=Path, nargs="+")
    for path in parser.parse_args().files:
        print(json.dumps(measure(path)), flush=True)


if __name__ == "__main__":
    main()
