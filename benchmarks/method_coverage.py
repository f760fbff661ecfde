"""Fit simulated cohorts by several methods, store them one by one, and count what covers.

What `benchmarks/immortal_time.py` and `benchmarks/overlap.py` share: a stopped run goes on where it
was, and the table at the end is put between two markers of a page of the documentation.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from interval_coverage import LEVEL, Coverage, coverage, write_whole

from bayes_crlm.tasks.calls import code_in_use

FIELDS = ("mean_log", "median", "low", "high", "sd_log")


def fit_cohorts(
    fit: Callable[[int], list[dict[str, Any]]],
    n_cohorts: int,
    results: Path,
    settings: dict[str, Any],
    **beside: Any,
) -> list[dict[str, Any]]:
    """Fit the cohorts that are not stored yet.

    Parameters
    ----------
    fit : callable
        From a cohort's number to rows with `method`, `median`, `eti95`, `mean_log`, `sd_log`,
        `failure` and perhaps `is_reliable`.
    n_cohorts : int
    results : Path
        JSON file of what is fitted; replaced where its settings are others, or the package is.
    settings : dict
        All that the cohorts depend on; what is stored beside it says which package fitted them.
    **beside
        What else the file shall hold.

    Returns
    -------
    list of dict
        Per cohort: its number, CPU seconds, and per method mean_log, median, low, high, sd_log of
        the hazard ratio and Cox's where there is one, or `failure`; `is_reliable` where it is
        not.
    """
    # as JSON gives it back, so that a stored tuple is the same as one that is not
    settings = json.loads(json.dumps(settings | {"code": code_in_use()}))
    stored: list[dict[str, Any]] = []
    if results.exists():
        found = json.loads(results.read_text(encoding="utf-8"))
        stored = found["cohorts"] if found["settings"] == settings else []
    for number in range(len(stored), n_cohorts):
        began = time.process_time()
        rows = {row["method"]: summary(row) for row in fit(number)}
        seconds = round(time.process_time() - began, 2)
        stored.append({"cohort": number, "cpu_seconds": seconds, "methods": rows})
        shown = ",\n".join(json.dumps(each) for each in stored)
        head = "".join(
            f'"{name}": {json.dumps(value)},\n'
            for name, value in ({"settings": settings} | beside).items()
        )
        write_whole(results, f'{{{head}"cohorts": [\n{shown}\n]}}\n')
        if number % 20 == 19:
            print(f"{number + 1} cohorts", flush=True)
    return stored[:n_cohorts]


def summary(row: dict[str, Any]) -> dict[str, Any]:
    """Keep what the table needs."""
    if row["failure"] is not None:
        return {"failure": row["failure"]}
    low, high = row["eti95"]
    values = (row["mean_log"], row["median"], low, high, row["sd_log"])
    kept = dict(zip(FIELDS, values, strict=True))
    if row.get("cox_hr"):
        kept["cox_hr"] = row["cox_hr"]
    kept = {name: round(value, 5) for name, value in kept.items()}
    if row.get("is_reliable") is False:
        kept["is_reliable"] = False
    return kept


def is_counted(row: dict[str, Any]) -> bool:
    """Whether a stored row was fitted, and is one that the package lets a reader use."""
    return "failure" not in row and row.get("is_reliable", True)


def method_coverage(
    cohorts: list[dict[str, Any]], method: str, truth: float
) -> tuple[Coverage, str]:
    """Coverage of a method's intervals of the log hazard ratio.

    Returns
    -------
    Coverage
        Of the rows that count.
    str
        How many fits failed, and how many are marked as not reliable; empty where none is.
    """
    rows = [each["methods"][method] for each in cohorts]
    counted = [row for row in rows if is_counted(row)]
    arrays = {name: np.array([row[name] for row in counted]) for name in FIELDS}
    found = coverage(arrays["mean_log"], np.log(arrays["low"]), np.log(arrays["high"]), truth)
    n_failed = sum("failure" in row for row in rows)
    unreliable = [row for row in rows if "failure" not in row and not is_counted(row)]
    others = [f"{n_failed} fit{'s' * (n_failed > 1)} failed"] if n_failed else []
    if unreliable:
        n_covered = sum(row["low"] <= math.exp(truth) <= row["high"] for row in unreliable)
        others.append(f"{len(unreliable)} not reliable, of which {n_covered} cover")
    return found, "; ".join(others)


def binomial_band(n_cohorts: int) -> tuple[int, int]:
    """Counts between which intervals of 95% coverage lie in 95% of such simulations."""
    from scipy.stats import binom

    low, high = binom.interval(0.95, n_cohorts, LEVEL)
    return int(low), int(high)


def table_lines(
    cohorts: list[dict[str, Any]], names: dict[str, str], truths: dict[str, float]
) -> list[str]:
    """Write a coverage table in Markdown, a line per method."""
    lines = [
        "| method | true HR | mean HR | bias of log HR ± error | interval covers | 95% limits |"
        " mean width |",
        "|---|---|---|---|---|---|---|",
    ]
    for method, name in names.items():
        truth = truths[method]
        found, others = method_coverage(cohorts, method, truth)
        low, high = found.limits
        apart = f" ({others})" if others else ""
        lines.append(
            f"| {name} | {math.exp(truth):.3f} | {math.exp(truth + found.bias):.3f} | "
            f"{found.bias:+.3f} ± {found.bias_error:.3f} | {found.n_covered}/{found.n_cohorts} = "
            f"{100 * found.share:.1f}%{apart} | {100 * low:.1f}–{100 * high:.1f}% | "
            f"{found.width:.3f} |"
        )
    return lines


def write_between(page: Path, name: str, text: str) -> None:
    """Put a text between the markers of a page."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = page.read_text(encoding="utf-8").split(begin)
    _, after = rest.split(end)
    write_whole(page, f"{before}{begin}\n{text}\n{end}{after}")
