"""Which columns of the design are of which term, under which prior."""

from typing import Any, Protocol

from bayes_crlm.model.priors import EffectPrior
from bayes_crlm.model.terms.term import Term

TermColumns = tuple[str, EffectPrior, slice]


class HasPriors(Protocol):
    """What says the priors of columns: a model's definition, or a cohort prepared for it."""

    @property
    def treatment_prior(self) -> Any:
        """Of the treatment's contrasts."""
        ...

    @property
    def covariate_prior(self) -> Any:
        """Of the columns of the formula."""
        ...

    @property
    def terms(self) -> tuple[Term, ...]:
        """Terms with columns of their own, after those."""
        ...


def columns_of_terms(
    priors: HasPriors, n_treatment: int, n_columns: int
) -> tuple[TermColumns, ...]:
    """Say for every term its name, its prior and its columns, in the order of the columns.

    Parameters
    ----------
    priors : HasPriors
    n_treatment, n_columns : int
        Columns of the treatment, and of the whole design.
    """
    begin = n_columns - sum(len(term.terms) for term in priors.terms)
    found = [("treatment", priors.treatment_prior, slice(0, n_treatment))]
    if begin > n_treatment:
        found.append(("covariate", priors.covariate_prior, slice(n_treatment, begin)))
    for term in priors.terms:
        end = begin + len(term.terms)
        found.append((term.name, term.prior, slice(begin, end)))
        begin = end
    return tuple(found)
