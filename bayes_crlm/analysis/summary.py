"""`summary.json`: every number of an analysis, as plain JSON values."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bayes_crlm.analysis.run import Analysis

SCHEMA_VERSION = 1


def to_json_value(value: Any) -> Any:
    """Turn arrays, NumPy scalars and tables into JSON values; what is not finite becomes None."""
    if isinstance(value, Mapping):
        return {str(key): to_json_value(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_value(each) for each in value]
    if isinstance(value, np.ndarray):
        return [to_json_value(each) for each in value.tolist()]
    if isinstance(value, np.generic):
        return to_json_value(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def summarise(analysis: Analysis) -> dict[str, Any]:
    """Gather all results of an analysis in the shape of `summary.json`.

    Parameters
    ----------
    analysis : Analysis
        A finished analysis.

    Returns
    -------
    dict
        JSON values only; what is not estimable or not finite is None.
    """
    spec = analysis.spec
    summary: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "title": spec.title,
        "status": "untrustworthy" if analysis.failures else "ok",
        "study": {"design": spec.study.design},
        "success": spec.success.rule.to_dict(),
    }
    for section in analysis.sections:
        section.put_into(summary)
    return to_json_value(summary | {"provenance": analysis.provenance})
