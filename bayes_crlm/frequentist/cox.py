"""Cox regression: the frequentist baseline that the posterior is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bayes_crlm.frequentist.cox_rows import MAX_ITERATIONS, CoxRows, is_maximum
from bayes_crlm.frequentist.firth import fit_firth
from bayes_crlm.frequentist.partial_likelihood import TIES
from bayes_crlm.frequentist.separation import Separation, find_separation
from bayes_crlm.likelihood.tied_times import merge_tied_times
from bayes_crlm.model.priors import HALF_WIDTH_95
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pandas as pd

    from bayes_crlm.model.prepared import PreparedCohort

Floats = NDArray[np.float64]


@record(eq=False)
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
    cox = _partial_likelihood_cox(rows, terms)
    if not cox.not_estimable:
        return cox

    # The rare path: columns that no risk set tells apart, separation, or a failed search.
    is_identified = rows.identified()
    identified = np.flatnonzero(is_identified)
    names = [terms[k] for k in identified]
    unidentified = [terms[k] for k in np.flatnonzero(~is_identified)]
    warnings = []
    if unidentified:
        warnings.append(
            f"Cox: {', '.join(unidentified)} cannot be told from the other columns in any risk "
            "set, so no estimate is given"
        )
    separation = find_separation(
        rows.entry, rows.time, rows.event, matrix[:, identified], names, patient_index=patient_index
    )
    rows = rows.with_columns(identified)
    cox = (
        _separated_cox(rows, separation, names)
        if separation
        else _partial_likelihood_cox(rows, names)
    )
    missing = {*cox.not_estimable, *unidentified}
    return replace(
        _spread(cox, identified, terms),
        not_estimable=tuple(term for term in terms if term in missing),
        warnings=(*warnings, *cox.warnings),
    )


def _separated_cox(rows: CoxRows, separation: Separation, terms: Sequence[str]) -> Cox:
    """Firth's fit where covariates separate the events, with what has to be said of it."""
    cox = _firth_cox(rows, terms)
    instead = (
        "Firth's penalised estimates are given instead, with no test of proportional hazards"
        if cox.method == "Firth"
        else "and Firth's penalised fit did not converge either"
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
        not_estimable=separation.terms if cox.method == "Firth" else tuple(terms),
        warnings=tuple(warnings),
    )


def _partial_likelihood_cox(rows: CoxRows, terms: Sequence[str]) -> Cox:
    """The library's fit with its test of proportional hazards, or nothing and why."""
    fit = rows.maximised()
    if fit is None or not is_maximum([fit], rows.scaled[None]).all():
        return _nothing(
            rows,
            terms,
            f"Cox: {MAX_ITERATIONS} steps reached no clear maximum of the partial likelihood, "
            "so no estimate is given",
        )
    from survival.regression import cox_zph  # ty: ignore[missing-module-member]

    ph_test, warnings = (), ()
    if terms:
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
    return replace(
        _with_wald_limits(
            rows,
            terms,
            np.asarray(fit.coefficients, dtype=np.float64) / rows.scale,
            np.asarray(fit.var).reshape(2 * (len(terms),)) / np.outer(rows.scale, rows.scale),
        ),
        loglik=(float(fit.loglik[0]), float(fit.loglik[1])),
        concordance=float(fit.concordance.concordance[0]),
        ph_test=ph_test,
        warnings=warnings,
    )


def _firth_cox(rows: CoxRows, terms: Sequence[str]) -> Cox:
    """Firth's fit; nothing where it failed."""
    firth = fit_firth(rows)
    if firth is None:
        return _nothing(rows, terms)
    at_estimate = rows.fit(firth.coef * rows.scale)
    return replace(
        _with_wald_limits(rows, terms, firth.coef, firth.covariance),
        ci95=_exp(firth.ci95),
        p=firth.p,
        loglik=firth.loglik,
        concordance=float(at_estimate.concordance.concordance[0]),
        method="Firth",
    )


def _nothing(rows: CoxRows, terms: Sequence[str], *warnings: str) -> Cox:
    """A fit without an estimate."""
    p = len(terms)
    at_no_effect = rows.fit(np.zeros(p))
    return replace(
        _with_wald_limits(rows, terms, np.full(p, np.nan), np.full((p, p), np.nan)),
        loglik=(float(at_no_effect.loglik[0]), math.nan),
        not_estimable=tuple(terms),
        warnings=warnings,
    )


def _with_wald_limits(rows: CoxRows, terms: Sequence[str], coef: Floats, covariance: Floats) -> Cox:
    """Estimates in the columns' own units with Wald limits and tests, and nothing else yet."""
    se = np.sqrt(np.diag(covariance))
    return Cox(
        terms=tuple(terms),
        coef=coef,
        se=se,
        ci95=_exp(coef[:, None] + HALF_WIDTH_95 * se[:, None] * np.array([-1.0, 1.0])),
        p=np.array([math.erfc(abs(z) / math.sqrt(2.0)) for z in coef / se]),
        covariance=covariance,
        loglik=(math.nan, math.nan),
        concordance=math.nan,
        ph_test=(),
        ties=rows.ties,
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
