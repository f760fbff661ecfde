"""Sections of a fit: what each kind of term, each estimand and each check reports."""

from collections.abc import Callable

from bayes_crlm.fit.effects import baseline, covariates, treatment, trust
from bayes_crlm.fit.estimands import (
    differences,
    median_survival,
    observed,
    rmst,
    survival,
)
from bayes_crlm.fit.findings import Findings
from bayes_crlm.words.section import Section

Reporter = Callable[["Findings"], list[Section]]

# by the name of the kind of term: those that every model has, then those that it may have
EFFECTS: dict[str, Reporter] = {
    "treatment": treatment.sections,
    "covariates": covariates.sections,
    "baseline": baseline.sections,
}
ALWAYS = ("treatment", "covariates", "baseline")
# in the order in which they are read
ESTIMANDS: dict[str, Reporter] = {
    "overview": survival.overview,
    "median_survival": median_survival.sections,
    "survival": survival.sections,
    "rmst": rmst.sections,
    "differences": differences.sections,
    "observed": observed.sections,
}
CHECKS: dict[str, Reporter] = {"diagnostics": trust.sections}


def fit_sections(found: Findings) -> list[Section]:
    """Everything that a fit comes to, in the order in which it is read.

    Parameters
    ----------
    found : Findings
        A fit with all that was found of it.
    """
    asked = {term.name for term in found.fit.model.terms}
    effects = [EFFECTS[name] for name in EFFECTS if name in ALWAYS or name in asked]
    reporters = [*effects, *ESTIMANDS.values(), *CHECKS.values()]
    return [section for report in reporters for section in report(found)]
