"""Cox regression: the frequentist baseline that the posterior is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.frequentist.cox_rows import MAX_ITERATIONS, CoxRows
from bayes_crlm.frequentist.firth import fit_firth
from bayes_crlm.frequentist.partial_likelihood import TIES
from bayes_crlm.frequentist.separation import Separation, find_separation
from bayes_crlm.likelihood.tied_times import merge_tied_times
from bayes_crlm.model.priors import HALF_WIDTH_95

if TYPE_CHECKING:
    import pandas as pd
    from survival.regression import CoxPHFit  # ty: ignore[missing-module-member]

    from bayes_crlm.model.prepared import PreparedCohort

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Cox:
    """A fitted Cox regression. What could not be estimated is NaN, and named.

    Attributes
    ----------
    terms : tuple of str
        Names of the columns.
    coef, se : (p,) float
        Log hazard ratios in the columns' own units.
    ci95 : (p, 2) float
        Limits of the hazard ratios: Wald, or profile penalised likelihood after Firth.
    p : (p,) float
        Wald tests, or penalised likelihood ratio tests after Firth.
    covariance : (p, p) float
        Of `coef`.
    loglik : (float, float)
        Log partial likelihood at 0 and at the estimate, never penalised.
    concordance : float
        Harrell's, of the fitted linear predictor.
    ph_test : tuple of (str, float)
        Grambsch and Therneau's test of proportional hazards per column and GLOBAL, on R's default
        "km" time scale; empty after Firth.
    ties : "efron" or "breslow"
        How tied events are treated.
    method : "partial likelihood" or "Firth"
        Whose maximum the estimates are.
    not_estimable : tuple of str
        Columns whose maximum likelihood estimate does not exist. After Firth they have penalised
        estimates; otherwise NaN.
    warnings : tuple of str
        One sentence each.
    """

    terms: tuple[str, ...]
    coef: Floats
    se: Floats
    ci95: Floats
    p: Floats
    covariance: Floats
    loglik: tuple[float, float]
    concordance: float
    ph_test: tuple[tuple[str, float], ...]
    ties: str
    method: str = "partial likelihood"
    not_estimable: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def hazard_ratio(self) -> Floats:
        """(p,) hazard ratios per unit of each column."""
        return _exp(self.coef)

    def to_table(self) -> pd.DataFrame:
        """One row per column of the design."""
        import pandas as pd

        return pd.DataFrame(
            {
                "coef": self.coef,
                "se": self.se,
                "hazard_ratio": self.hazard_ratio,
                "lower": self.ci95[:, 0],
                "upper": self.ci95[:, 1],
                "p": self.p,
            },
            index=pd.Index(self.terms, name="term"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a JSON file; None for what has no finite value."""
        hazard_ratio = self.hazard_ratio
        return {
            "ties": self.ties,
            "method": self.method,
            "not_estimable": list(self.not_estimable),
            "terms": [
                {
                    "term": term,
                    "coef": _finite_or_none(self.coef[k]),
                    "se": _finite_or_none(self.se[k]),
                    "hazard_ratio": _finite_or_none(hazard_ratio[k]),
                    "ci95": [_finite_or_none(limit) for limit in self.ci95[k]],
                    "p": _finite_or_none(self.p[k]),
                }
                for k, term in enumerate(self.terms)
            ],
            "concordance": _finite_or_none(self.concordance),
            "ph_test": [{"term": term, "p": _finite_or_none(p)} for term, p in self.ph_test],
        }


def cox_of(inputs: PreparedCohort) -> Cox:
    """Cox regression of a prepared cohort's columns.

    Raises
    ------
    CohortError
        Where there is none.
    """
    cohort, design = inputs.cohort, inputs.design
    rows = (cohort.entry, cohort.time, cohort.event, design.matrix)
    return fit_cox(*rows, design.terms, patient_index=cohort.patient_index)


def fit_cox(
    entry: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    matrix: ArrayLike,
    terms: Sequence[str],
    patient_index: ArrayLike | None = None,
    ties: str = "efron",
) -> Cox:
    """Fit a Cox regression, or Firth's penalised one when covariates separate the events.

    The fit, the test of proportional hazards and the concordance are those of the `survival`
    package. Standard errors are model-based, also when a patient has several rows: rows of one
    patient are consecutive stretches of one follow-up, which the partial likelihood treats as one.

    Parameters
    ----------
    entry, time : (n_rows,) float
        A row is at risk over (entry, time].
    event : (n_rows,) 0 or 1
        1 where the row ends with the event.
    matrix : (n_rows, p) float
        p may be 0. Columns are centred and scaled inside, so their units do not matter.
    terms : sequence of str
        The p names of the columns.
    patient_index : (n_rows,) int, optional
        Whose row it is; used to count patients in a message.
    ties : {"efron", "breslow"}
        How tied events are treated.

    Returns
    -------
    Cox

    Raises
    ------
    CohortError
        When a row is at risk for no longer than the rounding of the times.

    References
    ----------
    Cox (1972), JRSS B 34:187-220. Efron (1977), JASA 72:557-565.
    Grambsch & Therneau (1994), Biometrika 81:515-526.
    Heinze & Schemper (2001), Biometrics 57:114-119.
    """
    if ties not in TIES:
        raise ValueError(f"ties is {ties!r}; it must be one of {', '.join(TIES)}")
    terms = tuple(terms)
    matrix = np.asarray(matrix, dtype=np.float64).reshape(len(np.asarray(time)), len(terms))
    rows = CoxRows.of(*merge_tied_times(entry, time), event, matrix, ties)
    fit = rows.fit()
    if rows.is_maximum(fit):
        return _partial_likelihood_cox(fit, rows.scale, terms, ties)

    # The rare path: columns that no risk set tells apart, separation, or a failed search.
    is_identified = rows.identified()
    identified = np.flatnonzero(is_identified)
    names = [terms[k] for k in identified]
    warnings = []
    if not is_identified.all():
        unidentified = ", ".join(terms[k] for k in np.flatnonzero(~is_identified))
        warnings.append(
            f"Cox: {unidentified} cannot be told from the other columns in any risk set, so no "
            "estimate is given"
        )
    separation = find_separation(
        rows.entry, rows.time, rows.event, matrix[:, identified], names, patient_index=patient_index
    )
    rows = rows.with_columns(identified)
    cox = _separated_cox(rows, separation, names) if separation else _searched_cox(rows, names)
    missing = {*cox.not_estimable, *(terms[k] for k in np.flatnonzero(~is_identified))}
    return replace(
        _spread(cox, identified, terms),
        not_estimable=tuple(term for term in terms if term in missing),
        warnings=(*warnings, *cox.warnings),
    )


def _searched_cox(rows: CoxRows, terms: Sequence[str]) -> Cox:
    """The fit of columns that are all identified, or why there is none."""
    fit = rows.fit()
    if rows.is_maximum(fit):
        return _partial_likelihood_cox(fit, rows.scale, terms, rows.ties)
    return replace(
        _nothing(fit, terms, rows.ties),
        not_estimable=tuple(terms),
        warnings=(
            f"Cox: {MAX_ITERATIONS} steps reached no clear maximum of the partial likelihood, "
            "so no estimate is given",
        ),
    )


def _separated_cox(rows: CoxRows, separation: Separation, terms: Sequence[str]) -> Cox:
    """Firth's fit where covariates separate the events, with what has to be said of it."""
    cox, failure = _firth_cox(rows, terms)
    instead = failure or (
        "Firth's penalised estimates are given instead, with no test of proportional hazards"
    )
    warnings = [
        f"Cox: no maximum likelihood estimate exists for {', '.join(separation.terms)}, "
        f"because {separation.reason}; {instead}"
    ]
    without_limit = [
        term
        for term, coef, limits in zip(terms, cox.coef, cox.ci95, strict=True)
        if np.isfinite(coef) and np.any(np.isnan(limits))
    ]
    if without_limit:
        warnings.append(
            f"Cox: no 95% limit on one side was found for {', '.join(without_limit)}, because the "
            "profile of the penalised likelihood is too flat"
        )
    return replace(
        cox,
        not_estimable=separation.terms if failure is None else tuple(terms),
        warnings=tuple(warnings),
    )


def _partial_likelihood_cox(fit: CoxPHFit, scale: Floats, terms: Sequence[str], ties: str) -> Cox:
    """The library's fit in the columns' own units, with its test of proportional hazards."""
    from survival.regression import cox_zph  # ty: ignore[missing-module-member]

    p = len(terms)
    coef = np.asarray(fit.coefficients, dtype=np.float64) / scale
    covariance = np.asarray(fit.var).reshape(p, p) / np.outer(scale, scale)
    se = np.sqrt(np.diag(covariance))
    ph_test, warnings = (), ()
    if p:
        tested = [*terms, "GLOBAL"]
        try:
            zph = cox_zph(fit, transform="km", terms=False)
        except RuntimeError:
            # R stops here too: too few distinct event times to see an effect change over time.
            ph_test = tuple((term, math.nan) for term in tested)
            warnings = (
                "Cox: the events fall on too few distinct times to test proportional hazards",
            )
        else:
            tests = [*zph.table, zph.global_test]
            ph_test = tuple((term, float(test.p)) for term, test in zip(tested, tests, strict=True))
    return Cox(
        terms=tuple(terms),
        coef=coef,
        se=se,
        ci95=_exp(coef[:, None] + HALF_WIDTH_95 * se[:, None] * np.array([-1.0, 1.0])),
        p=np.array([math.erfc(abs(z) / math.sqrt(2.0)) for z in coef / se]),
        covariance=covariance,
        loglik=(float(fit.loglik[0]), float(fit.loglik[1])),
        concordance=float(fit.concordance.concordance[0]),
        ph_test=ph_test,
        ties=ties,
        warnings=warnings,
    )


def _firth_cox(rows: CoxRows, terms: Sequence[str]) -> tuple[Cox, str | None]:
    """Firth's fit in the columns' own units, and why there is none where it failed."""
    firth, scale = fit_firth(rows.entry, rows.time, rows.event, rows.scaled, rows.ties), rows.scale
    at_estimate = rows.fit(np.nan_to_num(firth.coef))
    if not firth.converged:
        nothing = _nothing(at_estimate, terms, rows.ties)
        return nothing, "and Firth's penalised fit did not converge either"
    found = replace(
        _nothing(at_estimate, terms, rows.ties),
        coef=firth.coef / scale,
        se=firth.se / scale,
        ci95=_exp(firth.ci95 / scale[:, None]),
        p=firth.p,
        covariance=firth.covariance / np.outer(scale, scale),
        loglik=firth.loglik,
        concordance=float(at_estimate.concordance.concordance[0]),
        method="Firth",
    )
    return found, None


def _nothing(fit: CoxPHFit, terms: Sequence[str], ties: str) -> Cox:
    """A fit without an estimate."""
    p = len(terms)
    return Cox(
        terms=tuple(terms),
        coef=np.full(p, np.nan),
        se=np.full(p, np.nan),
        ci95=np.full((p, 2), np.nan),
        p=np.full(p, np.nan),
        covariance=np.full((p, p), np.nan),
        loglik=(float(fit.loglik[0]), math.nan),
        concordance=math.nan,
        ph_test=(),
        ties=ties,
    )


def _spread(cox: Cox, identified: NDArray[np.intp], terms: tuple[str, ...]) -> Cox:
    """The same fit over all columns, NaN for those that were left out."""

    def spread(values: Floats) -> Floats:
        wide = np.full((len(terms), *values.shape[1:]), np.nan)
        wide[identified] = values
        return wide

    tests = dict(cox.ph_test)
    return replace(
        cox,
        terms=terms,
        coef=spread(cox.coef),
        se=spread(cox.se),
        ci95=spread(cox.ci95),
        p=spread(cox.p),
        covariance=spread(spread(cox.covariance).T),
        ph_test=tuple((term, tests.get(term, math.nan)) for term in [*terms, "GLOBAL"] if tests),
    )


def _exp(log_hazard_ratio: Floats) -> Floats:
    """Hazard ratios; NaN where the number is too large to be one."""
    with np.errstate(over="ignore"):
        hazard_ratio = np.exp(log_hazard_ratio)
    return np.where(np.isfinite(hazard_ratio), hazard_ratio, np.nan)


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
