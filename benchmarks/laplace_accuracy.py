"""How quick and how right ``engine = "laplace"`` is, on simulated cohorts of 135 patients.

Usage: ``python benchmarks/laplace_accuracy.py [--timed 500] [--cohorts 100] [--nuts-draws 10000]``.
First, for every baseline prior, refits of simulated cohorts: time, importance ESS, Pareto k. Then,
for every kind of baseline and effect prior, the posterior means and standard deviations against
long NUTS runs. Every fit is stored at once in ``benchmarks/results/laplace_accuracy.json``; another
run with the same settings goes on where the last one stopped. ``--table`` only writes the table of
``docs/engines.md`` again.
"""

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# one thread: processor time is then that of one core
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from simulated_cohort import simulate

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.fitting import approximate
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.importance import sample_importance
from bayes_crlm.model.density import hazards_of_vectors
from bayes_crlm.model.prepared import PreparedCohort

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "laplace_accuracy.json"
PAGE = HERE.parent / "docs" / "engines.md"
BEGIN, END = "<!-- laplace_accuracy: begin -->", "<!-- laplace_accuracy: end -->"

ROWS, DRAWS, CHAINS, TUNE = 135, 4000, 4, 1000
CUTPOINTS = (8, "auto")
BASELINES = ("independent", "gamma", "random_walk", "log_time_walk")
# kinds of refits that are timed: baseline, and numbers of intervals that cohorts have in turn
REFITS = (
    *((baseline, CUTPOINTS) for baseline in BASELINES),
    *((baseline, (number,)) for number in (20, 50) for baseline in BASELINES[2:]),
)
EFFECT_PRIORS = {
    "normal": "normal(0, 1)",
    "student_t": "student_t(4, 0, 0.5)",
    "laplace": "laplace(0, 0.5)",
    "horseshoe": "horseshoe(0.5)",
}
# what "right" means: distance of means in posterior standard deviations, and of these as a share
MEAN_WITHIN, SD_WITHIN = 0.05, 0.05


def prepare(
    number: int, baseline: str, effect_prior: str, cutpoints: Sequence[int | str] = CUTPOINTS
) -> PreparedCohort:
    """Simulate a cohort; every other one has eight intervals, the rest as many as by default."""
    drawn = simulate(ROWS, number)
    columns = [f"x{k}" for k in range(1, drawn["x"].shape[1])]
    table = pd.DataFrame(drawn["x"], columns=["arm", *columns])
    table["time"], table["event"] = drawn["time"], drawn["event"]
    # a horseshoe is for covariates only
    treatment_prior = "normal(0, 1)" if effect_prior.startswith("horseshoe") else effect_prior
    model = PiecewiseExponential(
        "arm",
        0,
        " + ".join(columns),
        cutpoints=cutpoints[number % len(cutpoints)],
        baseline=baseline,
        treatment_prior=treatment_prior,
        covariate_prior=effect_prior,
    )
    return model.prepare(read_cohort(table, time="time", event="event"))


def refit(number: int, baseline: str, cutpoints: Sequence[int | str]) -> dict[str, Any]:
    """Refit one cohort and measure it."""
    inputs = prepare(number, baseline, EFFECT_PRIORS["normal"], cutpoints)
    wall, processor = time.perf_counter(), time.process_time()
    drawn = sample_importance(inputs, DRAWS, number)
    return {
        "part": "refit",
        "baseline": baseline,
        "intervals": in_words(cutpoints),
        "cohort": number,
        "seconds": time.perf_counter() - wall,
        "processor_seconds": time.process_time() - processor,
        "ess_share": drawn.ess / DRAWS,
        "pareto_k": drawn.pareto_k,
        "converged": drawn.converged,
    }


def in_words(cutpoints: Sequence[int | str]) -> str:
    """Name the numbers of intervals that cohorts have in turn."""
    return " or ".join(map(str, cutpoints))


def compare(number: int, baseline: str, effect_prior: str, nuts_draws: int) -> dict[str, Any]:
    """Hold one cohort's importance draws against a long NUTS run."""
    inputs = prepare(number, baseline, EFFECT_PRIORS[effect_prior])
    record: dict[str, Any] = {
        "part": "accuracy",
        "baseline": baseline,
        "effect_prior": effect_prior,
        "cohort": number,
        "nuts_draws": nuts_draws,
        "escalated": effect_prior == "horseshoe",
    }
    if record["escalated"]:
        return record
    drawn = approximate(inputs, DRAWS, number).drawn
    if drawn is None:
        return record | {"escalated": True}
    record |= {"pareto_k": drawn.pareto_k, "ess": drawn.ess}
    import arviz_stats as azs
    import xarray as xr

    from bayes_crlm.inference.nuts import sample_nuts

    sampled = sample_nuts(inputs, draws=nuts_draws, tune=TUNE, chains=CHAINS, seed=number)
    quick = hazards_of_vectors(drawn.vectors, inputs.block_model).effect
    long = hazards_of_vectors(sampled.vectors, inputs.block_model).effect
    labelled = xr.DataArray(long, dims=("chain", "draw", "term"))
    long = long.reshape(-1, long.shape[-1])
    sd = long.std(axis=0, ddof=1)
    return record | {
        "mean_difference": ((quick.mean(axis=0) - long.mean(axis=0)) / sd).tolist(),
        "sd_ratio": (quick.std(axis=0, ddof=1) / sd).tolist(),
        "nuts_mean_error": (azs.mcse(labelled, method="mean").values / sd).tolist(),
        "nuts_sd_error": (azs.mcse(labelled, method="sd").values / sd).tolist(),
        "laplace_mean_error": drawn.ess**-0.5,
        "laplace_sd_error": (2 * drawn.ess) ** -0.5,
        "max_r_hat": float(azs.rhat(labelled).max()),
    }


def todo(options: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Go through all fits: kinds take turns, so that a run cut short holds some of each."""
    for number in range(options.timed):
        for baseline, cutpoints in REFITS:
            yield ("refit", baseline, number, cutpoints)
    for number in range(options.cohorts):
        for baseline in BASELINES:
            for effect_prior in EFFECT_PRIORS:
                yield ("accuracy", baseline, number, effect_prior)


def key_of(record: dict[str, Any]) -> tuple[Any, ...]:
    """Identify a stored fit, as `todo` does."""
    last = record["effect_prior"] if record["part"] == "accuracy" else record["intervals"]
    return (record["part"], record["baseline"], record["cohort"], last)


def store(stored: dict[str, Any]) -> None:
    """Replace the results file at once, so that a killed run leaves a whole one."""
    RESULTS.parent.mkdir(exist_ok=True)
    partial = RESULTS.with_suffix(".part")
    partial.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")
    partial.replace(RESULTS)


def load(options: argparse.Namespace) -> dict[str, Any]:
    """Read what an earlier run with the same settings stored."""
    settings: dict[str, Any] = {
        "rows": ROWS,
        "draws": DRAWS,
        "nuts_draws": options.nuts_draws,
    }
    settings["refits"] = [[baseline, in_words(cutpoints)] for baseline, cutpoints in REFITS]
    if RESULTS.exists():
        stored = json.loads(RESULTS.read_text(encoding="utf-8"))
        if options.table or stored["settings"] == settings:
            return stored
    machine = {"processor": platform.processor() or platform.machine(), "cpus": os.cpu_count()}
    return {"settings": settings, "machine": machine, "fits": []}


def is_right(fit: dict[str, Any], terms: slice) -> bool:
    """Whether means and standard deviations are within the limits; NUTS' own always are."""
    if fit["escalated"]:
        return True
    difference = np.abs(fit["mean_difference"][terms])
    ratio = np.abs(np.array(fit["sd_ratio"][terms]) - 1)
    return bool(np.all(difference <= MEAN_WITHIN) and np.all(ratio <= SD_WITHIN))


def refit_table(fits: list[dict[str, Any]]) -> list[str]:
    """One line for each kind of refit: time, effective size, Pareto k."""
    lines = [
        "| baseline | intervals | cohorts | refit, ms of processor time: median (99%) | "
        "importance ESS, % of draws: median (1%) | Pareto k: median (99%) | k ≤ 0.5 | "
        "no approximation |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for baseline, cutpoints in REFITS:
        kind = (baseline, in_words(cutpoints))
        here = [each for each in fits if (each["baseline"], each["intervals"]) == kind]
        good = [each for each in here if each["converged"]]
        if not good:
            continue
        milliseconds = [1e3 * each["processor_seconds"] for each in here]
        share = [100 * each["ess_share"] for each in good]
        k = [each["pareto_k"] for each in good]
        within = sum(each <= 0.5 for each in k) / len(here)
        lines.append(
            f"| `{baseline}` | {kind[1]} | {len(here)} | {statistics.median(milliseconds):.1f} "
            f"({np.quantile(milliseconds, 0.99):.1f}) | {statistics.median(share):.0f} "
            f"({np.quantile(share, 0.01):.0f}) | {statistics.median(k):.2f} "
            f"({np.quantile(k, 0.99):.2f}) | {100 * within:.1f}% | {len(here) - len(good)} |"
        )
    return lines


def accuracy_table(fits: list[dict[str, Any]]) -> list[str]:
    """One line for each kind of prior: how often right, how often escalated, which failed."""
    lines = [
        "| baseline | effects | cohorts | escalated | treatment right | all coefficients right | "
        "Monte Carlo error of means, laplace (as of independent draws) and NUTS (sd) | of sds | "
        "not right (treatment) |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for baseline in BASELINES:
        for effect_prior in EFFECT_PRIORS:
            here = [
                each
                for each in fits
                if (each["baseline"], each["effect_prior"]) == (baseline, effect_prior)
            ]
            if not here:
                continue
            drawn = [each for each in here if not each["escalated"]]
            wrong = [each["cohort"] for each in here if not is_right(each, slice(1))]
            every = sum(is_right(each, slice(None)) for each in here)
            errors = ["–", "–"]
            if drawn:
                errors = [
                    f"{np.median([each[f'laplace_{of}_error'] for each in drawn]):.3f}, "
                    f"{np.median([each[f'nuts_{of}_error'][0] for each in drawn]):.3f}"
                    for of in ("mean", "sd")
                ]
            lines.append(
                f"| `{baseline}` | `{EFFECT_PRIORS[effect_prior]}` | {len(here)} | "
                f"{100 * (1 - len(drawn) / len(here)):.0f}% | "
                f"{100 * (1 - len(wrong) / len(here)):.1f}% | {100 * every / len(here):.1f}% | "
                f"{errors[0]} | {errors[1]} | {', '.join(map(str, wrong[:10])) or 'none'} |"
            )
    return lines


def table(stored: dict[str, Any]) -> str:
    """Write both tables."""
    refits = [each for each in stored["fits"] if each["part"] == "refit"]
    compared = [each for each in stored["fits"] if each["part"] == "accuracy"]
    lines = refit_table(refits) if refits else []
    if compared:
        lines += [
            "",
            f"Right: mean within {MEAN_WITHIN} posterior standard deviations of that of "
            f"{CHAINS} x {stored['settings']['nuts_draws']:,} NUTS draws, and standard deviation "
            f"within {100 * SD_WITHIN:.0f}%; fits that escalate are NUTS' own and count as right.",
            "",
            *accuracy_table(compared),
        ]
    return "\n".join(lines)


def write_page(text: str) -> None:
    """Put the tables between the markers of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def main() -> None:
    """Fit what is not stored yet, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--timed", type=int, default=500, help="cohorts refitted and timed")
    parser.add_argument("--cohorts", type=int, default=100, help="cohorts compared with NUTS")
    parser.add_argument("--nuts-draws", type=int, default=10_000, help="per chain")
    parser.add_argument("--hours", type=float, default=24.0, help="stop after about this long")
    parser.add_argument("--table", action="store_true", help="only write the table again")
    options = parser.parse_args()
    stored = load(options)
    done = {key_of(fit) for fit in stored["fits"]}
    until = time.monotonic() + 3600 * options.hours
    saved, is_warm = time.monotonic(), False
    for part, baseline, number, kind in [] if options.table else todo(options):
        last = kind if part == "accuracy" else in_words(kind)
        if (part, baseline, number, last) in done:
            continue
        if time.monotonic() > until:
            break
        if part == "refit":
            if not is_warm:
                # the first call of a process pays for what Python has not loaded yet
                refit(number, baseline, kind)
                is_warm = True
            stored["fits"].append(refit(number, baseline, kind))
        else:
            fit = compare(number, baseline, kind, options.nuts_draws)
            stored["fits"].append(fit)
        if part == "accuracy" or time.monotonic() > saved + 10:
            store(stored)
            saved = time.monotonic()
    if not options.table:
        store(stored)
    text = table(stored)
    print(text)
    write_page(text)


if __name__ == "__main__":
    main()
