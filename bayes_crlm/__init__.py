"""Bayesian piecewise-exponential survival models for small cohorts."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.loading import collector_resting
from bayes_crlm.words.version import VERSION

if TYPE_CHECKING:
    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.cohort.reading import read_cohort
    from bayes_crlm.cohort.stack import stack_cohorts
    from bayes_crlm.fit.fit import Fit
    from bayes_crlm.fit.many import fit_many
    from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
    from bayes_crlm.sensitivity.spec import read_spec
    from bayes_crlm.words.errors import BayesCRLMError
    from bayes_crlm.words.success import SuccessRule

__all__ = [
    "BayesCRLMError",
    "Cohort",
    "Fit",
    "PiecewiseExponential",
    "SuccessRule",
    "fit_many",
    "read_cohort",
    "read_spec",
    "stack_cohorts",
]

__version__ = VERSION

# found on first use, so that importing the package costs nothing
HOMES = {
    "BayesCRLMError": "words.errors",
    "Cohort": "cohort.cohort",
    "Fit": "fit.fit",
    "PiecewiseExponential": "fit.piecewise_exponential",
    "SuccessRule": "words.success",
    "fit_many": "fit.many",
    "read_cohort": "cohort.reading",
    "read_spec": "sensitivity.spec",
    "stack_cohorts": "cohort.stack",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in HOMES:
        with collector_resting():
            return getattr(import_module(f"bayes_crlm.{HOMES[name]}"), name)
    raise AttributeError(f"module 'bayes_crlm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
