"""The one job that all contenders do, and how each tells what it took.

Needs NumPy only, and ArviZ's statistics for the effective draws, so that it works in every
contender's environment. A contender prints, each as soon as it is known: a line with the
treatment's hazard ratio, a JSON line about the first fit, one about its draws, and one for each
refit.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BASELINE_SD = 2.0
EFFECT_SD = 1.0
NORMAL_975 = 1.959963984540054


@dataclass(frozen=True)
class Settings:
    """How many draws, and from which seed."""

    chains: int
    tune: int
    draws: int
    seed: int


@dataclass(frozen=True)
class Cohort:
    """A simulated cohort; `x` has the treatment first.

    Attributes
    ----------
    time, event : (rows,) ndarray
    x : (rows, columns) ndarray
    inner_cutpoints : (intervals - 1,) ndarray
    """

    time: NDArray[np.float64]
    event: NDArray[np.int8]
    x: NDArray[np.float64]
    inner_cutpoints: NDArray[np.float64]

    @cached_property
    def columns(self) -> list[str]:
        """Names of `x`'s columns."""
        return ["treatment", *(f"x{k}" for k in range(1, self.x.shape[1]))]

    @cached_property
    def cutpoints(self) -> NDArray[np.float64]:
        """Ends of all intervals: 0, the inner cutpoints, the largest time."""
        return np.concatenate([[0.0], self.inner_cutpoints, [self.time.max()]])

    @cached_property
    def design(self) -> NDArray[np.float64]:
        """Columns centred; those with more than two values in standard deviations."""
        centred = self.x - self.x.mean(axis=0)
        is_binary = ((self.x == self.x.min(axis=0)) | (self.x == self.x.max(axis=0))).all(axis=0)
        return centred / np.where(is_binary, 1.0, self.x.std(axis=0, ddof=1))

    @cached_property
    def log_rate(self) -> float:
        """Centre of the baseline's prior: log(events / exposure)."""
        return float(np.log(self.event.sum() / self.time.sum()))

    @cached_property
    def stop_interval(self) -> NDArray[np.intp]:
        """The interval in which each row's follow-up ends, 0-based."""
        return np.searchsorted(self.cutpoints[1:-1], self.time, side="left")

    def long_table(self) -> dict[str, NDArray]:
        """One row for every interval in which a patient is at risk.

        Returns
        -------
        dict
            `interval`, `log_exposure`, `event` (long rows,) and `design` (long rows, columns).
        """
        counts = self.stop_interval + 1
        patient = np.repeat(np.arange(len(self.time)), counts)
        interval = np.arange(len(patient)) - np.repeat(np.cumsum(counts) - counts, counts)
        is_last = interval == self.stop_interval[patient]
        until = np.where(is_last, self.time[patient], self.cutpoints[interval + 1])
        return {
            "interval": interval,
            "log_exposure": np.log(until - self.cutpoints[interval]),
            "event": self.event[patient] * is_last,
            "design": self.design[patient],
        }


@dataclass(frozen=True)
class Outcome:
    """What one fit gave.

    Attributes
    ----------
    mean, sd : (columns,) ndarray
        Posterior mean and standard deviation of the log hazard ratios on the scale of
        `Cohort.design`; a Cox regression's estimate and standard error.
    seconds : float
        Compiling and sampling: from imported packages and arrays in memory to draws in memory.
    seconds_sample : float or None
        Of those, sampling, where the two can be told apart.
    treatment_draws : (chains, draws) ndarray or None
        The treatment's log hazard ratio.
    effective_draws : float or None
        Where the draws' autocorrelation does not tell it: of importance weights.
    gradients : int or None
        Evaluations of the gradient for the kept draws.
    divergences : int or None
        Of the kept draws.
    note : str or None
        What a reader of the figures must know.
    reusable : object
        What the contender keeps for its next fit.
    """

    mean: NDArray[np.float64]
    sd: NDArray[np.float64]
    seconds: float
    seconds_sample: float | None = None
    treatment_draws: NDArray[np.float64] | None = None
    effective_draws: float | None = None
    gradients: int | None = None
    divergences: int | None = None
    note: str | None = None
    reusable: Any = field(default=None, repr=False)


def outcome_of_draws(draws: NDArray, **others: Any) -> Outcome:
    """Summarise draws of shape (chains, draws, columns)."""
    flat = draws.reshape(-1, draws.shape[-1])
    return Outcome(
        mean=flat.mean(axis=0),
        sd=flat.std(axis=0, ddof=1),
        treatment_draws=draws[:, :, 0],
        **others,
    )


def read_cohort(path: Path) -> Cohort:
    """Read a file of `simulated_cohort.py`."""
    with np.load(path) as arrays:
        return Cohort(**{name: arrays[name] for name in arrays.files})


def peak_mebibytes() -> float:
    """Largest resident set so far of this process, or of a larger worker that has ended."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(which).ru_maxrss for which in of) / unit


def hazard_ratio_in_words(outcome: Outcome) -> str:
    """Say the treatment's hazard ratio, which is what a user waits for."""
    mean, sd = outcome.mean[0], outcome.sd[0]
    low, high = np.exp(mean - NORMAL_975 * sd), np.exp(mean + NORMAL_975 * sd)
    return f"hazard ratio {np.exp(mean):.3f} (95% interval {low:.3f} to {high:.3f})"


def bulk_effective_draws(outcome: Outcome) -> float | None:
    """Bulk effective sample size of the treatment's log hazard ratio."""
    if outcome.effective_draws is not None or outcome.treatment_draws is None:
        return outcome.effective_draws
    from arviz_stats.base import array_stats

    return float(array_stats.ess(outcome.treatment_draws, chain_axis=0, draw_axis=1, method="bulk"))


def say(**entries: Any) -> None:
    """Print one JSON line at once."""
    print(json.dumps(entries), flush=True)


def contend(load: Callable[[], None], fit: Callable[[Cohort, Settings, Any], Outcome]) -> None:
    """Do the job of the command line with one contender.

    Parameters
    ----------
    load : callable
        Imports what the contender needs.
    fit : callable
        (cohort, settings, what the last fit kept or None) to an `Outcome`.
    """
    parser = argparse.ArgumentParser(description="Fit one simulated cohort")
    parser.add_argument("cohort", type=Path, help="file of simulated_cohort.py")
    parser.add_argument("--other", type=Path, help="another one of the same shape, for refits")
    parser.add_argument("--refits", type=int, default=0)
    for name, default in (("chains", 4), ("tune", 1000), ("draws", 1000), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    settings = Settings(given.chains, given.tune, given.draws, given.seed)
    started = time.perf_counter()
    load()
    imported = time.perf_counter()
    cohort = read_cohort(given.cohort)
    read = time.perf_counter()
    outcome = fit(cohort, settings, None)
    print(hazard_ratio_in_words(outcome), flush=True)
    say(
        part="first",
        seconds_import=imported - started,
        seconds_read=read - imported,
        seconds=outcome.seconds,
        seconds_sample=outcome.seconds_sample,
        mebibytes=peak_mebibytes(),
        mean=outcome.mean.tolist(),
        sd=outcome.sd.tolist(),
        gradients=outcome.gradients,
        divergences=outcome.divergences,
        note=outcome.note,
    )
    say(part="draws", effective_draws=bulk_effective_draws(outcome))
    other = read_cohort(given.other) if given.refits else cohort
    for number in range(given.refits):
        began = time.perf_counter()
        turn = (other, cohort)[number % 2]
        # what an earlier fit worked out about a cohort is not there in a real refit
        turn = Cohort(turn.time, turn.event, turn.x, turn.inner_cutpoints)
        outcome = fit(turn, settings, outcome.reusable)
        say(
            part="refit",
            seconds=time.perf_counter() - began,
            seconds_sample=outcome.seconds_sample,
        )
