"""The answer of a `run` that lies in the result folder, as the base of a sensitivity analysis.

One analysis has one answer: where `run` has fitted this very spec to these very data with the same
seed and version, its draws are those of the base analysis, and are not drawn a second time.
"""

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.analysis.earlier_results import read_json
from bayes_crlm.sensitivity.posterior_draws import ENGINE, NUMBERS
from bayes_crlm.sensitivity.verdicts import Values
from bayes_crlm.words.versions import installed_version

if TYPE_CHECKING:
    from bayes_crlm.analysis.plan import Plan
    from bayes_crlm.fit.fit import Fit

SAME = ("median", "eti95", "prob_below_effect", "mean_log", "sd_log")
# what rows of a part take from a fit that is there already
SHOWN = (*NUMBERS, *ENGINE, "chains", "note", "cox_hr", "cox_ci95")


def base_of_run(folder: Path, plan: "Plan", level: int) -> dict[str, Any] | None:
    """Take the hazard ratio of a trustworthy run of the same spec, data, seed and version.

    Parameters
    ----------
    folder : Path
        That results go to.
    plan : Plan
        The spec with its cohort, ready to be fitted.
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
        # files of another version, or what is not a result at all
        return None


def fit_of_run(folder: Path, plan: "Plan", base: dict[str, Any], level: int) -> "Fit | None":
    """Read the chains of the run that `base_of_run` took the answer from.

    Draws of importance sampling are no chains, and come out the same when they are drawn again.

    Parameters
    ----------
    folder : Path
        That results go to.
    plan : Plan
        The spec with its cohort, ready to be fitted.
    base : dict
        From `base_of_run`.
    level : int
        Place of the treatment level in question, from 1.

    Returns
    -------
    Fit or None
        None where the file has no chains of this model, or not those of the answer.
    """
    import xarray as xr

    from bayes_crlm.fit.fit import Fit

    if base["engine"] != "nuts":
        return None
    sampling, asked, inputs = plan.spec.sampling, plan.spec.estimands, plan.inputs
    size = sum(each.size for each in inputs.block_model.parameters)
    settings = {name: getattr(sampling, name) for name in ("chains", "draws", "tune")}
    path = folder / "posterior.nc"
    try:
        vectors = xr.load_dataset(path, group="unconstrained_posterior")["vector"].values
        statistics = xr.load_dataset(path, group="sample_stats")
    except (OSError, ValueError, KeyError):
        return None
    if vectors.shape != (sampling.chains, sampling.draws, size):
        return None
    effect = vectors[..., level - 1] / inputs.design.scale[level - 1]
    if not np.isclose(np.exp(np.median(effect)), base["median"], rtol=1e-9):
        return None
    values = {str(name): each.values for name, each in statistics.items()}
    fit = Fit(plan.model, inputs, vectors, values, "nuts", sampling.seed, settings, {})
    return fit.estimating(origin=asked.origin, population=asked.population)


def start_of_run(folder: Path) -> dict[str, Any] | None:
    """Read what the run that `base_of_run` took the answer from found of starts of treatment."""
    summary = read_json(folder / "summary.json")
    return None if summary is None else summary.get("start")


def as_in_base(row: dict[str, Any], base: Values) -> dict[str, Any]:
    """Give a row that repeats the base analysis the numbers of the base: they are one fit.

    Parameters
    ----------
    row : dict
        Of a part; what only it has, its label for example, stays.
    base : mapping
        Of the sensitivity analysis.
    """
    if row["failure"] is not None or not base.get("is_reliable", False):
        return row
    return row | {name: base[name] for name in SHOWN if name in base}


def with_numbers_of(
    rows: Sequence[dict[str, Any]], base: Values, method: str
) -> list[dict[str, Any]]:
    """Give the row of a method that repeats the base analysis its numbers; see `as_in_base`."""
    return [as_in_base(row, base) if row["method"] == method else row for row in rows]


def is_same_version(provenance: dict[str, Any]) -> bool:
    """Whether a run was made by this package with these versions of what draws."""
    from bayes_crlm.analysis.provenance import PACKAGES

    same = {name: installed_version(name) for name in PACKAGES}
    is_ours = provenance["bayes_crlm"] == installed_version("bayes_crlm")
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


def numbers_of_run(found: Values, below_1: float) -> dict[str, Any]:
    """Numbers of a trustworthy hazard ratio of a run, as rows of refits have them."""
    return {key: found[key] for key in SAME} | {
        "prob_below_1": below_1,
        "mcse": found["mcse_mean_log"],
        "chains": None,
        "is_reliable": True,
        "note": None,
    }


def row_of(summary: dict[str, Any], plan: "Plan", level: int) -> dict[str, Any] | None:
    """Make the base's row of a summary; None where it lacks the probability of a ratio below 1."""
    found, cox = summary["hazard_ratios"][level - 1], summary["cox"]["terms"][level - 1]
    below_1 = found["prob_below"].get("1.0")
    if below_1 is None and plan.spec.success.effect == 1:
        below_1 = found["prob_below_effect"]
    if below_1 is None or found["median"] is None:
        return None
    diagnostics, cohort = summary["diagnostics"], plan.inputs.cohort
    return numbers_of_run(found, below_1) | {
        "r_hat": found["r_hat"],
        "elpd_loo": diagnostics["elpd_loo"],
        "loo_pareto_k": diagnostics["max_pareto_k"],
        "engine": summary["provenance"]["engine"],
        "pareto_k": diagnostics.get("importance_pareto_k"),
        "cox_hr": cox["hazard_ratio"],
        "cox_ci95": cox["ci95"],
        "n_patients": cohort.n_patients,
        "n_events": cohort.n_events,
        "n_intervals": plan.inputs.intervals.n_intervals,
        "is_of_run": True,
    }
