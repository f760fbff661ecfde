"""The answer of a `run` that lies in the result folder, as the base of a sensitivity analysis.

One analysis has one answer: where `run` has fitted this very spec to these very data with the same
seed and version, its draws are the spec as it stands, and are not drawn a second time.
"""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayes_crlm.sensitivity.report_section import read_json

if TYPE_CHECKING:
    from bayes_crlm.analysis import Plan

__all__ = ["base_of_run"]

SAME = ("median", "eti95", "prob_below_effect", "mean_log", "sd_log", "r_hat")


def base_of_run(folder: Path, plan: "Plan", level: int) -> dict[str, Any] | None:
    """Take the hazard ratio of a trustworthy run of the same spec, data, seed and version.

    Parameters
    ----------
    folder : Path
        That results go to.
    plan : Plan
    level : int
        Place of the treatment level in question, from 1.

    Returns
    -------
    dict or None
        A row as `bayes_crlm.sensitivity.refit.refit` gives it, of the run's draws and engine, with
        `is_of_run`; None where there is no such run.
    """
    summary = read_json(folder / "summary.json")
    if summary is None:
        return None
    try:
        is_same = (
            summary["status"] == "ok"
            and summary["data"]["sha256"] == plan.inputs.cohort.sha256
            and is_same_version(summary["provenance"])
            and tables_of((folder / "spec.toml").read_text(encoding="utf-8"))
            == tables_of(plan.spec.to_toml())
        )
        return row_of(summary, plan, level) if is_same else None
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        # files of another version, or what is no result at all
        return None


def is_same_version(provenance: dict[str, Any]) -> bool:
    """Whether a run was made by this package with these versions of what draws."""
    from bayes_crlm.analysis import PACKAGES, package_version

    same = {name: package_version(name) for name in PACKAGES}
    is_ours = provenance["bayes_crlm"] == package_version("bayes_crlm")
    return is_ours and provenance["packages"] == same


def tables_of(text: str) -> dict[str, Any]:
    """Tables of a resolved spec by which its numbers are told apart.

    The data's digest stands for their path, and sensitivity analyses change nothing of a run.
    """
    tables = tomllib.loads(text)
    for name in ("title", "question", "caution", "sensitivity"):
        tables.pop(name, None)
    tables["data"].pop("source", None)
    return tables


def row_of(summary: dict[str, Any], plan: "Plan", level: int) -> dict[str, Any] | None:
    """Make the base's row of a summary; None where it lacks the probability of a ratio below 1."""
    found, cox = summary["hazard_ratios"][level - 1], summary["cox"]["terms"][level - 1]
    below_1 = found["prob_below"].get("1.0")
    if below_1 is None and plan.spec.success.effect == 1:
        below_1 = found["prob_below_effect"]
    if below_1 is None or found["median"] is None:
        return None
    diagnostics, cohort = summary["diagnostics"], plan.inputs.cohort
    return {key: found[key] for key in SAME} | {
        "prob_below_1": below_1,
        "mcse": found["mcse_mean_log"],
        "elpd_loo": diagnostics["elpd_loo"],
        "loo_pareto_k": diagnostics["max_pareto_k"],
        "engine": summary["provenance"]["engine"],
        "pareto_k": diagnostics.get("importance_pareto_k"),
        "chains": None,
        "is_reliable": True,
        "note": None,
        "cox_hr": cox["hazard_ratio"],
        "cox_ci95": cox["ci95"],
        "n_patients": cohort.n_patients,
        "n_events": cohort.n_events,
        "n_intervals": plan.inputs.intervals.n_intervals,
        "is_of_run": True,
    }
