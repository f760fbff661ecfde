"""Does the default baseline follow hazards of every shape? Simulated cohorts and prior draws.

Usage: ``python benchmarks/baseline.py [--cohorts 160]``. Seven baseline hazards x six numbers of
events x two hazard ratios, each with so many cohorts, are fitted with the default of versions
before 0.3 (`random_walk`, about one interval per twelve events) and with the present one
(`log_time_walk`, min(20, events // 2) intervals): hazard ratios by `fit_many`, the control's
survival from the same approximate engine. Every cell is stored at once in
``benchmarks/results/baseline.json``; another run with the same settings goes on where the last one
stopped. ``--table`` only writes the tables of ``docs/model.md`` again.

Treatment is given by indication: a covariate that raises the hazard makes it rarer. Patients enter
over 36 months, and follow-up ends for all on the day of the last event that is counted.
"""

import argparse
import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from interval_coverage import write_whole
from numpy.typing import NDArray

from bayes_crlm import Cohort, PiecewiseExponential, fit_many, read_cohort, stack_cohorts
from bayes_crlm.inference.importance import weighted_draws
from bayes_crlm.likelihood.intervals import automatic_number, coarse_number
from bayes_crlm.model.density import log_hazards_of, sample_prior

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "baseline.json"
PAGE = HERE.parent / "docs" / "model.md"

SEED, COHORTS, DRAWS, PRIOR_DRAWS = 20211201, 160, 1000, 200_000
EVENTS = (15, 30, 60, 105, 200, 400)
LOG_HAZARD_RATIOS = (-0.7, 0.0)
CONFOUNDING, TAKE_UP = 0.5, -0.6
ACCRUAL, ROWS_PER_EVENT = 36.0, 1.4
# of the control with the covariate at 0: where its survival is looked at
SURVIVAL = (0.85, 0.5, 0.2)
FITS = ("before", "default")
# time, in months, at which every hazard leaves half of the controls alive
MEDIAN = 24.0
GRID = np.concatenate([[0.0], np.geomspace(1e-4, 2000.0, 4000)])
NUMBERS_OF_INTERVALS = (3, 6, 12, 20, 50)

Cumulative = Callable[[NDArray], NDArray]


def steps(inner: tuple[float, ...], hazards: tuple[float, ...]) -> Cumulative:
    """Cumulative hazard of hazards that are constant between times."""
    starts = np.array([0.0, *inner])
    reached = np.concatenate([[0.0], np.cumsum(np.array(hazards[:-1]) * np.diff(starts))])

    def cumulative(times: NDArray) -> NDArray:
        interval = np.searchsorted(starts, times, side="right") - 1
        return reached[interval] + (times - starts[interval]) * np.array(hazards)[interval]

    return cumulative


SHAPES: dict[str, Cumulative] = {
    "constant": lambda t: t,
    "increasing": lambda t: t**1.8,
    "decreasing": lambda t: t**0.65,
    "bathtub": lambda t: (t / MEDIAN) ** 0.4 + (t / MEDIAN) ** 3,
    "late tail": steps((24.0, 48.0), (1.0, 0.5, 0.2)),
    "early spike": steps((2.0,), (5.0, 1.0)),
    "as in CRLM": steps((6.0, 12.0, 30.0, 60.0), (0.012, 0.022, 0.03, 0.02, 0.01)),
}


def cumulative_hazard(name: str) -> NDArray[np.float64]:
    """Cumulative hazard of the control on the grid of times, log 2 at the median."""
    shape = SHAPES[name]
    return math.log(2) * shape(GRID) / shape(np.array([MEDIAN]))


def simulate(name: str, events: int, log_hazard_ratio: float, number: int) -> pd.DataFrame:
    """Draw a cohort with exactly so many events."""
    places = (list(SHAPES).index(name), events, LOG_HAZARD_RATIOS.index(log_hazard_ratio))
    rng = np.random.default_rng([SEED, *places, number])
    rows = math.ceil(ROWS_PER_EVENT * events)
    x = rng.normal(size=rows)
    arm = (rng.random(rows) < 1 / (1 + np.exp(-TAKE_UP * x))).astype(int)
    relative = np.exp(CONFOUNDING * x + log_hazard_ratio * arm)
    happens = np.interp(rng.exponential(size=rows) / relative, cumulative_hazard(name), GRID)
    entry = rng.uniform(0, ACCRUAL, rows)
    end = np.sort(entry + happens)[events - 1]
    table = pd.DataFrame({"arm": arm, "x": x, "time": np.minimum(happens, end - entry)})
    table["event"] = (entry + happens <= end).astype(int)
    return table[entry < end].assign(cohort=number)


def model_of(fit: str, events: int) -> PiecewiseExponential:
    """Model of the present default, or of the one before."""
    if fit == "default":
        return PiecewiseExponential("arm", 0, "x")
    return PiecewiseExponential(
        "arm", 0, "x", cutpoints=coarse_number(events), baseline="random_walk"
    )


def covers_survival(
    cohort: Cohort, model: PiecewiseExponential, times: NDArray, seed: int
) -> list[bool | None]:
    """Whether 95% intervals of the control's survival hold the truth; None beyond follow-up."""
    inputs = model.prepare(cohort)
    drawn = weighted_draws(inputs, DRAWS, np.random.default_rng([SEED, seed]))
    if drawn is None:
        raise RuntimeError(f"no draws: seed {seed}")
    edges = inputs.intervals.cutpoints
    # the control with the covariate at 0, on the sampling scale
    relative = np.exp(drawn.effect @ (-inputs.design.center / inputs.design.scale))
    covered: list[bool | None] = []
    for level, at in zip(SURVIVAL, times.tolist(), strict=True):
        if at > edges[-1]:
            covered.append(None)
            continue
        inside = np.clip(at - edges[:-1], 0, np.diff(edges))
        survival = np.exp(-(np.exp(drawn.log_hazard) @ inside) * relative)
        below = float(drawn.weight[survival < level].sum())
        covered.append(0.025 <= below <= 0.975)
    return covered


def fit_cell(name: str, events: int, log_hazard_ratio: float, cohorts: int) -> dict[str, Any]:
    """Fit all cohorts of one hazard, number of events and hazard ratio with both defaults."""
    began = time.perf_counter()
    tables = [simulate(name, events, log_hazard_ratio, number) for number in range(cohorts)]
    times = np.interp(-np.log(SURVIVAL), cumulative_hazard(name), GRID)
    columns = {"time": "time", "event": "event"}
    stack = stack_cohorts(pd.concat(tables, ignore_index=True), cohort="cohort", **columns)
    singles = [read_cohort(table.drop(columns="cohort"), **columns) for table in tables]
    cell: dict[str, Any] = {"hazard": name, "events": events, "log_hr": log_hazard_ratio}
    means = {}
    for fit in FITS:
        model = model_of(fit, events)
        many = fit_many(model, stack, seeds=SEED, draws=DRAWS, cox=fit == "default")
        rows = many.terms[many.terms["term"] == many.terms["term"].iloc[0]]
        low, high = rows["eti95_low"], rows["eti95_high"]
        means[fit] = rows["mean_log"].to_numpy()
        covered = [
            covers_survival(cohort, model, times, number) for number, cohort in enumerate(singles)
        ]
        counted = [[each[k] for each in covered if each[k] is not None] for k in range(3)]
        cell[fit] = {
            "untrusted": int((~many.cohorts["is_trustworthy"]).sum()),
            "hr_covered": int(((low <= log_hazard_ratio) & (log_hazard_ratio <= high)).sum()),
            "errors": [round(float(each - log_hazard_ratio), 5) for each in means[fit]],
            "survival_covered": [int(sum(each)) for each in counted],
            "survival_counted": [len(each) for each in counted],
        }
        if fit == "default":
            sd = rows["sd_log"].to_numpy()
            covers = (rows["cox_low"] <= log_hazard_ratio) & (log_hazard_ratio <= rows["cox_high"])
            cell["cox_covered"] = int(covers.sum())
    cell["moved"] = [round(float(each), 5) for each in (means["default"] - means["before"]) / sd]
    cell["seconds"] = round(time.perf_counter() - began, 1)
    return cell


def prior_rows() -> list[dict[str, Any]]:
    """What each prior says before the data, by number of intervals."""
    table = simulate("constant", 105, 0.0, 0)
    cohort = read_cohort(table.drop(columns="cohort"), time="time", event="event")
    rows = []
    for baseline in ("random_walk", "independent", "log_time_walk"):
        for number in NUMBERS_OF_INTERVALS:
            model = PiecewiseExponential("arm", 0, cutpoints=number, baseline=baseline)
            inputs = model.prepare(cohort)
            rng = np.random.default_rng([SEED, number])
            unknowns = inputs.block_model
            drawn = sample_prior(unknowns, rng, PRIOR_DRAWS)
            log_hazard = log_hazards_of(drawn, unknowns).cells[:, 0]
            edges = inputs.intervals.cutpoints
            fold = np.exp(np.abs(log_hazard[:, -1] - log_hazard[:, 0]))
            row = {
                "baseline": baseline,
                "intervals": number,
                "fold_95": float(np.quantile(fold, 0.95)),
            }
            for at in (24.0, 60.0):
                inside = np.clip(at - edges[:-1], 0, np.diff(edges))
                inside[-1] += max(at - edges[-1], 0.0)
                row[f"survival_{at:.0f}"] = float(np.median(np.exp(-np.exp(log_hazard) @ inside)))
            rows.append(row)
    return rows


def share_in_words(covered: int, counted: int) -> str:
    """Write a coverage with its Monte Carlo error, in percent."""
    share = covered / counted
    return f"{100 * share:.1f} ({100 * math.sqrt(share * (1 - share) / counted):.1f})"


def table_of_fits(cells: list[dict[str, Any]]) -> str:
    """Write what became of coverage and bias, by number of events, over all hazards."""
    lines = [
        "| events | intervals | log HR -0.7: bias | mean moved, SE | HR covered, % | S = 0.85 | "
        "S = 0.5 | S = 0.2 | Cox: HR covered, % |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for events in EVENTS:
        here = [cell for cell in cells if cell["events"] == events]
        if not here:
            continue
        n_cohorts = sum(len(cell["moved"]) for cell in here)
        for fit in FITS:
            errors = [e for cell in here if cell["log_hr"] < 0 for e in cell[fit]["errors"]]
            bias, spread = np.mean(errors), np.std(errors) / math.sqrt(len(errors))
            survival = [
                share_in_words(
                    sum(cell[fit]["survival_covered"][k] for cell in here),
                    sum(cell[fit]["survival_counted"][k] for cell in here),
                )
                for k in range(len(SURVIVAL))
            ]
            moved = np.mean([each for cell in here for each in cell["moved"]])
            number = coarse_number(events) if fit == "before" else automatic_number(events)
            is_new = fit == "default"
            entries = [
                str(events) if not is_new else "",
                f"{number} ({'before' if not is_new else 'now'})",
                f"{bias:+.3f} ({spread:.3f})",
                f"{moved:+.3f}" if is_new else "",
                share_in_words(sum(cell[fit]["hr_covered"] for cell in here), n_cohorts),
                *survival,
                share_in_words(sum(cell["cox_covered"] for cell in here), n_cohorts)
                if is_new
                else "",
            ]
            lines.append(f"| {' | '.join(entries)} |")
    return "\n".join(lines)


def table_of_hazards(cells: list[dict[str, Any]]) -> str:
    """Write the coverage of the control's early survival, by hazard and number of events."""
    lines = [
        f"| S = 0.85 covered, % | {' | '.join(f'{events} events' for events in EVENTS)} |",
        f"|---|{'---|' * len(EVENTS)}",
    ]
    for name in SHAPES:
        entries = []
        for events in EVENTS:
            here = [each for each in cells if (each["hazard"], each["events"]) == (name, events)]
            shares = []
            for fit in FITS:
                covered = sum(cell[fit]["survival_covered"][0] for cell in here)
                counted = sum(cell[fit]["survival_counted"][0] for cell in here)
                shares.append(f"{100 * covered / counted:.0f}" if counted else "")
            entries.append(" → ".join(shares))
        lines.append(f"| {name} | {' | '.join(entries)} |")
    return "\n".join(lines)


def table_of_priors(rows: list[dict[str, Any]]) -> str:
    """Write median survival at 24 and 60 months, and how far hazards may change, by prior."""
    names = list(dict.fromkeys(row["baseline"] for row in rows))
    lines = [f"| intervals | {' | '.join(f'`{name}`' for name in names)} |"]
    lines.append(f"|---|{'---|' * len(names)}")
    for number in dict.fromkeys(row["intervals"] for row in rows):
        entries = [
            f"{row['survival_24']:.2f} / {row['survival_60']:.2f} / {row['fold_95']:,.0f}"
            for row in rows
            if row["intervals"] == number
        ]
        lines.append(f"| {number} | {' | '.join(entries)} |")
    return "\n".join(lines)


def write_page(stored: dict[str, Any]) -> None:
    """Put the tables between their markers in docs/model.md."""
    page = PAGE.read_text(encoding="utf-8")
    tables = {
        "baseline fits": table_of_fits(stored["cells"]),
        "baseline hazards": table_of_hazards(stored["cells"]),
        "baseline priors": table_of_priors(stored["priors"]),
    }
    for name, table in tables.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, rest = page.split(begin)
        _, after = rest.split(end)
        page = f"{before}{begin}\n{table}\n{end}{after}"
    write_whole(PAGE, page)


def store(stored: dict[str, Any]) -> None:
    """Keep what was found, a cell a line."""
    cells = ",\n".join(json.dumps(cell) for cell in stored["cells"])
    settings, priors = (json.dumps(stored[name]) for name in ("settings", "priors"))
    text = f'{{"settings": {settings},\n"priors": {priors},\n"cells": [\n{cells}\n]}}\n'
    write_whole(RESULTS, text)


def main() -> None:
    """Fit the cells that are not stored yet, then write the tables."""
    parser = argparse.ArgumentParser(description="The default baseline on hazards of every shape")
    parser.add_argument("--cohorts", type=int, default=COHORTS, help="of every cell (default: 160)")
    parser.add_argument("--fresh", action="store_true", help="forget what is stored")
    parser.add_argument("--table", action="store_true", help="only write the tables again")
    options = parser.parse_args()
    settings = {"seed": SEED, "cohorts": options.cohorts, "draws": DRAWS}
    stored: dict[str, Any] = {"settings": settings, "priors": [], "cells": []}
    if RESULTS.exists() and not options.fresh:
        found = json.loads(RESULTS.read_text(encoding="utf-8"))
        if options.table or found["settings"] == settings:
            stored = found
    if not options.table:
        stored["priors"] = stored["priors"] or prior_rows()
        done = {(cell["hazard"], cell["events"], cell["log_hr"]) for cell in stored["cells"]}
        for events in EVENTS:
            for name in SHAPES:
                for log_hazard_ratio in LOG_HAZARD_RATIOS:
                    if (name, events, log_hazard_ratio) in done:
                        continue
                    cell = fit_cell(name, events, log_hazard_ratio, options.cohorts)
                    stored["cells"].append(cell)
                    store(stored)
                    print(name, events, log_hazard_ratio, f"{cell['seconds']} s", flush=True)
    print(table_of_fits(stored["cells"]), table_of_hazards(stored["cells"]), sep="\n\n")
    print(table_of_priors(stored["priors"]))
    write_page(stored)


if __name__ == "__main__":
    main()
