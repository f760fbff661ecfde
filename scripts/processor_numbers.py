"""Densities and fits of this processor, held against those of another.

Usage: ``processor_numbers.py FILE [--against FILE]``, with the tests' folder ``density`` on the
path. It writes log densities with gradients of the models built by hand, hazard ratios of both
engines, and how far they are from another processor's: densities and ``laplace`` within rounding,
NUTS within its Monte Carlo error.
"""

import argparse
import json
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import bayes_crlm as bc
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import kernels
from models import MODELS

BASELINES = ("log_time_walk", "random_walk", "gamma", "independent")
DRAWS = {"laplace": {}, "nuts": {"draws": 500, "tune": 500}}
# relative to the largest number; of mean log hazard ratios in Monte Carlo errors
ROUNDING, ERRORS = 1e-10, 5.0


def densities() -> dict[str, list[float]]:
    """Log density and gradient of three points of every model."""
    found = {}
    for name, make in MODELS.items():
        model = make()
        size = sum(parameter.size for parameter in model.sampled_parameters)
        density = native_density(model.data, model.blocks)
        for k, vector in enumerate(np.random.default_rng(3).normal(0, 0.5, (3, size))):
            value, slope = density.value_and_slope(vector)
            found[f"{name}, {k}"] = [value, *slope.tolist()]
    return found


def small_cohort() -> Any:
    """Sixty patients."""
    rng = np.random.default_rng(1)
    columns = {
        "arm": rng.integers(2, size=60),
        "x": rng.normal(size=60),
        "time": rng.exponential(size=60),
        "event": rng.integers(2, size=60),
    }
    return bc.read_cohort(pd.DataFrame(columns), time="time", event="event")


def fits(engine: str) -> dict[str, list[float]]:
    """Mean and standard deviation of the log hazard ratio, and the mean's error, by baseline."""
    cohort, found = small_cohort(), {}
    for baseline in BASELINES:
        model = bc.PiecewiseExponential("arm", 0, "x", cutpoints=6, baseline=baseline)
        ratios = model.fit(cohort, engine=engine, seed=1, **DRAWS[engine]).hazard_ratios()
        found[baseline] = ratios.iloc[0][["mean_log", "sd_log", "mcse_mean_log"]].tolist()
    return found


def farthest(here: dict[str, list[float]], there: dict[str, list[float]]) -> float:
    """Largest difference, relative to the largest number of its model."""
    pairs = [(np.array(here[name]), np.array(there[name])) for name in there]
    return max(float(np.abs(one - other).max() / np.abs(other).max()) for one, other in pairs)


def errors_apart(here: dict[str, list[float]], there: dict[str, list[float]]) -> float:
    """Largest difference of two means, in Monte Carlo errors of the difference."""
    pairs = [(here[name], there[name]) for name in there]
    return max(abs(one[0] - other[0]) / np.hypot(one[2], other[2]) for one, other in pairs)


def main() -> int:
    """Compute, store and compare; 1 where another processor's numbers are others."""
    parser = argparse.ArgumentParser(description="numbers of this processor")
    parser.add_argument("file", type=Path)
    parser.add_argument("--against", type=Path)
    asked = parser.parse_args()
    found = {
        "processor": f"{platform.machine()}, {kernels().name}",
        "densities": densities(),
        "laplace": fits("laplace"),
        "nuts": fits("nuts"),
    }
    asked.file.write_text(json.dumps(found), encoding="utf-8")
    if asked.against is None:
        return 0
    other = json.loads(asked.against.read_text(encoding="utf-8"))
    apart = {kind: farthest(found[kind], other[kind]) for kind in ("densities", "laplace")}
    nuts = errors_apart(found["nuts"], other["nuts"])
    print(
        f"{found['processor']} and {other['processor']}: {len(other['densities'])} densities with"
    )
    print(f"gradients within {apart['densities']:.1e}, laplace within {apart['laplace']:.1e},")
    print(f"NUTS within {nuts:.1f} Monte Carlo errors")
    return int(max(apart.values()) > ROUNDING or nuts > ERRORS)


if __name__ == "__main__":
    sys.exit(main())
