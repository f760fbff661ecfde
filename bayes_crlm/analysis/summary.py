"""`summary.json`: every number of an analysis, as plain JSON values."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.fit.estimand_tables import estimand_warnings
from bayes_crlm.fit.observed_survival import kaplan_meier_distances
from bayes_crlm.fit.prior_meaning import implied_rows
from bayes_crlm.model.column_counts import column_rows
from bayes_crlm.model.origin import given_survival
from bayes_crlm.words.late_start import estimands_in_words

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.analysis.run import Analysis
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.cohort.eligibility import Dropped

__all__ = ["SCHEMA_VERSION", "data_section", "model_section", "summarise", "to_json_value"]

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


def rows_of(table: "pd.DataFrame", thresholds: Sequence[float] = ()) -> list[dict[str, Any]]:
    """Rows of a table with eti95 limits and threshold probabilities gathered."""
    rows = []
    for record in table.to_dict("records"):
        row: dict[str, Any] = {str(key): value for key, value in record.items()}
        row["eti95"] = [row.pop("eti95_low"), row.pop("eti95_high")]
        if thresholds:
            row["prob_below"] = {
                str(threshold): row.pop(f"prob_below_{threshold}") for threshold in thresholds
            }
        rows.append(row)
    return rows


def with_limits(row: dict[str, Any]) -> dict[str, Any]:
    """Gather each pair of limits of a row, such as cox_low and cox_high, into one value."""
    gathered = dict(row)
    for name, low, high in (
        ("eti95", "eti95_low", "eti95_high"),
        ("cox_ci95", "cox_low", "cox_high"),
        ("finer_eti95", "finer_low", "finer_high"),
    ):
        if low in gathered:
            gathered[name] = [gathered.pop(low), gathered.pop(high)]
    return gathered


def withdraw(
    rows: list[dict[str, Any]], answers: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Withdraw the conclusions of hazard ratios where the answer is withdrawn.

    The answers begin with the levels against the reference, in the order of the rows.
    """
    return [
        row | ({"conclusion": "withdrawn"} if answer["withdrawn"] else {})
        for row, answer in zip(rows, answers, strict=False)
    ]


def counts(left_out: Sequence["Dropped"]) -> dict[str, int]:
    """Count patients by the reason for which they were left out."""
    total: dict[str, int] = {}
    for each in left_out:
        total[each.reason] = total.get(each.reason, 0) + each.n_patients
    return total


def data_section(cohort: "Cohort") -> dict[str, Any]:
    """Describe the rows that were used and those that were not."""
    return {
        "source": cohort.source,
        "synthetic": cohort.is_synthetic,
        "sha256": cohort.sha256,
        "n_patients": cohort.n_patients,
        "n_rows": cohort.n_rows,
        "n_events": cohort.n_events,
        "exposure": cohort.exposure,
        "n_censored_at_end": None
        if cohort.censoring_end is None
        else int(cohort.is_administrative.sum()),
        "unit": cohort.unit,
        "n_dropped": sum(each.n_patients for each in cohort.dropped),
        "dropped_why": counts(cohort.dropped),
        "excluded_why": counts(cohort.excluded),
    }


def model_section(analysis: "Analysis") -> dict[str, Any]:
    """Describe what was fitted."""
    inputs = analysis.inputs
    return {
        "formula": inputs.design.formula,
        "treatment": inputs.design.treatment,
        "reference": inputs.design.reference,
        "cutpoints": inputs.intervals.cutpoints,
        "events_per_interval": inputs.intervals.events,
        "exposure_per_interval": inputs.intervals.exposure,
        "log_rate": inputs.log_rate,
        "baseline": inputs.baseline.name,
        "priors": {
            "treatment": inputs.treatment_prior.describe(),
            "covariates": inputs.covariate_prior.describe(),
            "baseline": inputs.baseline.describe(),
        },
        "terms": list(inputs.design.terms),
        "center": inputs.design.center,
        "scale": inputs.design.scale,
    }


def summarise(analysis: "Analysis") -> dict[str, Any]:
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
    spec, fit = analysis.spec, analysis.fit
    thresholds = spec.estimands.hr_thresholds
    horizons = list(spec.estimands.horizons or [])
    rmst = spec.estimands.rmst
    diagnostics = analysis.diagnostics
    return to_json_value(
        {
            "schema_version": SCHEMA_VERSION,
            "title": spec.title,
            "status": "untrustworthy" if diagnostics.failures else "ok",
            "warnings": [
                *diagnostics.failures,
                *diagnostics.concerns,
                *analysis.warnings,
                *estimand_warnings(fit),
            ],
            "caution": spec.caution,
            "data": data_section(analysis.inputs.cohort),
            "model": model_section(analysis),
            "study": {"design": spec.study.design},
            "success": spec.success.rule.to_dict(),
            "answers": [with_limits(row) for row in analysis.beside.answers],
            "beside_answer": list(analysis.beside.notes),
            "crude": [with_limits(row) for row in analysis.beside.crude],
            "finer_intervals": [with_limits(row) for row in analysis.beside.finer],
            "levels": column_rows(analysis.inputs),
            "prior_implied": implied_rows(analysis.inputs),
            "hazard_ratios": withdraw(
                rows_of(fit.hazard_ratios(thresholds, spec.success.rule), thresholds),
                analysis.beside.answers,
            ),
            "coefficients": rows_of(fit.coefficients(thresholds), thresholds),
            "log_hazard": rows_of(fit.log_hazard()),
            "cox": fit.cox.to_dict(),
            "agreement": analysis.agreement,
            "start": analysis.start,
            "diagnostics": diagnostics.to_dict(),
            "estimands": {
                "analysis": estimands_in_words(analysis.start),
                "origin": fit.begin,
                "given": given_survival(fit.begin, fit.inputs.cohort.unit) or None,
                "population": fit.population,
                "effective_patients": fit.effective_patients,
                "entry_weights": fit.entry_weight_rows,
                "median_survival": rows_of(fit.median_survival()),
                "survival": rows_of(fit.survival(horizons)) if horizons else [],
                "rmst": rows_of(fit.rmst(rmst)) if rmst is not None else [],
                "differences": rows_of(fit.differences(horizons, rmst)),
            },
            "expected_events": rows_of(fit.expected_events()),
            "kaplan_meier": {
                "rows": fit.kaplan_meier(horizons).to_dict("records") if horizons else [],
                "largest_distance": kaplan_meier_distances(fit),
            },
            "provenance": analysis.provenance,
        }
    )
