"""The published numbers that the synthetic cohort reproduces, and how each is computed.

Hellingman et al. (2021) report two comparisons of patients whose colorectal liver metastases
recurred within 12 months. The patient data are not public; `make_crlm_synthetic` makes a cohort
in which the same analyses give the same numbers, and this module says which analyses.

References
----------
Hellingman et al. (2021), Clinical Colorectal Cancer 20(4):e263-e272.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

__all__ = [
    "OS_COVARIATES",
    "PFS_COVARIATES",
    "PUBLISHED",
    "CoxEffect",
    "Published",
    "adjusted_effect",
    "median_survival",
    "overall_survival_effect",
    "progression_free_effect",
    "progression_free_rows",
    "reproduce",
]

OS_COVARIATES = (
    "age + node_positive + ras_mutation + extrahepatic + number_of_metastases"
    " + largest_diameter_cm + log(cea)"
)
"""Adjustment set of the overall-survival comparison, as a formula."""

PFS_COVARIATES = "number_of_metastases + largest_diameter_cm + log(cea)"
"""Adjustment set of the progression-free comparison: fewer terms, for there are fewer patients."""

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Published:
    """One published number: what it is, its value, and how near the cohort must come."""

    name: str
    value: float
    tolerance: float
    decimals: int


PUBLISHED: tuple[Published, ...] = (
    Published("patients", 135, 0, 0),
    Published("latest recurrence, months (at most)", 12, 1.5, 1),
    Published("OS repeat local: median, months", 41, 0.5, 1),
    Published("OS repeat local: shortest, months", 4, 0.5, 1),
    Published("OS repeat local: longest, months", 135, 0.5, 1),
    Published("OS systemic: median, months", 24, 0.5, 1),
    Published("OS systemic: shortest, months", 1, 0.5, 1),
    Published("OS systemic: longest, months", 55, 0.5, 1),
    Published("OS repeat local vs systemic: adjusted HR", 0.42, 0.01, 4),
    Published("OS repeat local vs systemic: lower 95% limit", 0.25, 0.03, 4),
    Published("OS repeat local vs systemic: upper 95% limit", 0.72, 0.03, 4),
    Published("OS repeat local vs systemic: P", 0.002, 0.0005, 5),
    Published("PFS neoadjuvant vs upfront, early: adjusted HR", 0.36, 0.01, 4),
    Published("PFS neoadjuvant vs upfront, early: lower 95% limit", 0.15, 0.03, 4),
    Published("PFS neoadjuvant vs upfront, early: upper 95% limit", 0.86, 0.03, 4),
    Published("PFS neoadjuvant vs upfront, early: P", 0.021, 0.0005, 5),
)


@dataclass(frozen=True)
class CoxEffect:
    """A Cox (Efron) log hazard ratio of one comparison, and the other terms of its model.

    `coefficients` maps every term of the model, as R names it, to its log hazard ratio.
    """

    log_hazard_ratio: float
    standard_error: float
    coefficients: dict[str, float]
    model: Any

    @property
    def hazard_ratio(self) -> float:
        """Hazard ratio."""
        return math.exp(self.log_hazard_ratio)

    @property
    def limits(self) -> tuple[float, float]:
        """Wald 95% confidence limits of the hazard ratio."""
        half_width = NormalDist().inv_cdf(0.975) * self.standard_error
        return (
            math.exp(self.log_hazard_ratio - half_width),
            math.exp(self.log_hazard_ratio + half_width),
        )

    @property
    def p_value(self) -> float:
        """Two-sided Wald P value."""
        return 2 * NormalDist().cdf(-abs(self.log_hazard_ratio) / self.standard_error)


def adjusted_effect(
    columns: Columns, time: str, event: str, treatment: str, covariates: str
) -> CoxEffect:
    """Fit a Cox model with Efron's ties and return the effect of `treatment`.

    Parameters
    ----------
    columns : mapping of str to (n_patients,) array
        The cohort; `treatment` is 0/1.
    time, event, treatment : str
        Columns.
    covariates : str
        Right-hand side of the adjustment set.

    Returns
    -------
    CoxEffect
    """
    from survival import coxph

    model = coxph(f"Surv({time}, {event}) ~ {treatment} + {covariates}", dict(columns))
    return CoxEffect(
        log_hazard_ratio=float(model.coefficients[0]),
        standard_error=math.sqrt(float(model.var[0][0])),
        coefficients=dict(zip(model.coef_names, map(float, model.coefficients), strict=True)),
        model=model,
    )


def median_survival(time: np.ndarray, event: np.ndarray) -> float:
    """Kaplan-Meier median, in the unit of `time` (NaN when it is not reached)."""
    from survival import quantile, survfit

    curve = survfit("Surv(time, event) ~ 1", {"time": time, "event": event})
    return float(quantile(curve, [0.5]).quantile[0][0])


def overall_survival_effect(columns: Columns) -> CoxEffect:
    """Repeat local treatment against systemic therapy alone, overall survival."""
    return adjusted_effect(columns, "os_months", "death", "repeat_local", OS_COVARIATES)


def progression_free_rows(columns: Columns) -> np.ndarray:
    """Patients of the progression-free comparison: early recurrence, repeat local treatment."""
    return (columns["early4"] == 1) & (columns["repeat_local"] == 1)


def progression_free_effect(columns: Columns) -> CoxEffect:
    """Neoadjuvant against upfront repeat local treatment, progression-free survival."""
    rows = progression_free_rows(columns)
    subset = {name: values[rows] for name, values in columns.items()}
    subset["neoadjuvant"] = (subset["strategy"] == "neoadjuvant_local").astype(float)
    return adjusted_effect(subset, "pfs_months", "progression", "neoadjuvant", PFS_COVARIATES)


def reproduce(columns: Columns) -> dict[str, float]:
    """Compute every published number from the cohort.

    Parameters
    ----------
    columns : mapping of str to (n_patients,) array
        The cohort without missing values; times in months.

    Returns
    -------
    dict of str to float
        One value per name in `PUBLISHED`.
    """
    values = [float(len(columns["patient"])), columns["recurrence_months"].max()]
    for repeat_local in (1, 0):
        rows = columns["repeat_local"] == repeat_local
        time = columns["os_months"][rows]
        values += [median_survival(time, columns["death"][rows]), time.min(), time.max()]
    for effect in (overall_survival_effect(columns), progression_free_effect(columns)):
        values += [effect.hazard_ratio, *effect.limits, effect.p_value]
    return {number.name: float(value) for number, value in zip(PUBLISHED, values, strict=True)}
