"""Hazard ratios by how the start of treatment is taken, as files hold them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_crlm.fit.groups import Group
from bayes_crlm.words.late_start import ANALYSES, start_rows


def start_file_rows(start: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Make one plain row for each level and analysis, limits and probabilities at its end.

    Parameters
    ----------
    start : mapping
        `summary["start"]`, or what `bayes_crlm.fit.late_start.compare_starts` gives.
    """
    rows = []
    for row in start_rows(start):
        plain = {key: value for key, value in row.items() if not isinstance(value, list | dict)}
        last = {name: row[name] for name in ("eti95", "cox_ci95", "prob_below")}
        rows.append(plain | last)
    return rows


def start_group(start: Mapping[str, Any]) -> Group:
    """Make the group `treatment_start` of the file of draws, whose other groups are as treated.

    Parameters
    ----------
    start : mapping
        As of `start_table`.

    Returns
    -------
    Group
        Dims (analysis, treatment): hazard_ratio (posterior median), its limits, mean_log, sd_log,
        prob_below_effect, Cox's hazard ratio with its limits, conclusion; is_headline (analysis),
        1 or 0. Not a number, and no conclusion, where an analysis could not be fitted. The
        attributes say the column, the headline and why, and the landmark.
    """
    rows = {(row["analysis"], str(row["treatment"])): row for row in start_rows(start)}
    analyses = [name for name in ANALYSES if name in start]
    levels = list(dict.fromkeys(level for _, level in rows))
    read = {
        "hazard_ratio": lambda row: row["median"],
        "eti95_low": lambda row: row["eti95"][0],
        "eti95_high": lambda row: row["eti95"][1],
        "mean_log": lambda row: row["mean_log"],
        "sd_log": lambda row: row["sd_log"],
        "prob_below_effect": lambda row: row["prob_below_effect"],
        "cox_hazard_ratio": lambda row: row["cox_hr"],
        "cox_low": lambda row: row["cox_ci95"][0],
        "cox_high": lambda row: row["cox_ci95"][1],
    }
    dims, variables = ("analysis", "treatment"), {}
    for name, value in read.items():
        numbers = [
            [value(rows[one, level]) if (one, level) in rows else np.nan for level in levels]
            for one in analyses
        ]
        variables[name] = (dims, np.array(numbers, dtype=float))
    concluded = [
        [rows[one, level]["conclusion"] if (one, level) in rows else "" for level in levels]
        for one in analyses
    ]
    variables["conclusion"] = (dims, np.array(concluded, dtype=object))
    headline = np.array([name == start["headline"] for name in analyses], dtype=np.int8)
    variables["is_headline"] = (("analysis",), headline)
    landmark = start.get("landmark") or {}
    attributes = {"column": start["column"], "headline": start["headline"], "why": start["why"]}
    if landmark.get("at") is not None:
        attributes["landmark_at"] = landmark["at"]
    labels = {"analysis": analyses, "treatment": levels}
    return Group(variables, {dim: ((dim,), each) for dim, each in labels.items()}, attributes)
