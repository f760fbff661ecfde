"""The cohort that every contender of ``bench.py`` fits, as a file of NumPy arrays.

Usage: ``python benchmarks/simulated_cohort.py FILE --rows 1000 --seed 1``. A treatment and
eight covariates, four of them yes or no; hazards constant between fixed cutpoints, so that the
piecewise-exponential model is true at every size; follow-up ends by event or by a uniform
censoring time.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

INNER_CUTPOINTS = (3.0, 6.0, 10.0, 15.0, 21.0, 30.0, 42.0)
HAZARDS = (0.022, 0.034, 0.040, 0.036, 0.030, 0.026, 0.022, 0.020)
LOG_HAZARD_RATIOS = (-0.6, 0.3, -0.2, 0.4, 0.1, 0.25, -0.3, 0.0, 0.15)
SHARES = (0.5, 0.4, 0.3, 0.6, 0.2)  # of the treatment and of the four yes-or-no covariates
CENSORED_FROM, CENSORED_UNTIL = 12.0, 72.0


def event_times(cumulative: NDArray[np.float64]) -> NDArray[np.float64]:
    """Time at which the baseline's cumulative hazard reaches each value."""
    starts = np.array([0.0, *INNER_CUTPOINTS])
    hazards = np.array(HAZARDS)
    reached = np.concatenate([[0.0], np.cumsum(hazards[:-1] * np.diff(starts))])
    interval = np.searchsorted(reached, cumulative, side="right") - 1
    return starts[interval] + (cumulative - reached[interval]) / hazards[interval]


def simulate(rows: int, seed: int) -> dict[str, NDArray]:
    """Draw a cohort.

    Returns
    -------
    dict
        `time` and `event`, shape (rows,); `x`, shape (rows, 9), the treatment first;
        `inner_cutpoints`.
    """
    rng = np.random.default_rng(seed)
    x = np.empty((rows, len(LOG_HAZARD_RATIOS)))
    x[:, : len(SHARES)] = rng.uniform(size=(rows, len(SHARES))) < np.array(SHARES)
    x[:, len(SHARES) :] = rng.normal(size=(rows, x.shape[1] - len(SHARES)))
    linear_predictor = x @ np.array(LOG_HAZARD_RATIOS)
    happens = event_times(rng.exponential(size=rows) * np.exp(-linear_predictor))
    censored = rng.uniform(CENSORED_FROM, CENSORED_UNTIL, size=rows)
    return {
        "time": np.minimum(happens, censored),
        "event": (happens <= censored).astype(np.int8),
        "x": x,
        "inner_cutpoints": np.array(INNER_CUTPOINTS),
    }


def main() -> None:
    """Simulate and write."""
    parser = argparse.ArgumentParser(description="Simulate a cohort")
    parser.add_argument("file", type=Path)
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    np.savez(options.file, **simulate(options.rows, options.seed))


if __name__ == "__main__":
    main()
