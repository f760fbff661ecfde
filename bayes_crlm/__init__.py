"""Bayesian piecewise-exponential survival models for small cohorts."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bayes_crlm.batch.fit_many import fit_many
    from bayes_crlm.batch.stack import stack_cohorts
    from bayes_crlm.cohort import Cohort, read_cohort
    from bayes_crlm.errors import BayesCRLMError
    from bayes_crlm.fit import Fit
    from bayes_crlm.model import PiecewiseExponential
    from bayes_crlm.spec import read_spec
    from bayes_crlm.success import SuccessRule

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

__version__ = "0.2.0"

# found on first use, so that importing the package costs nothing
ROOMS = {
    "BayesCRLMError": "errors",
    "Cohort": "cohort",
    "Fit": "fit",
    "PiecewiseExponential": "model",
    "SuccessRule": "success",
    "fit_many": "batch.fit_many",
    "read_cohort": "cohort",
    "read_spec": "spec",
    "stack_cohorts": "batch.stack",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name in ROOMS:
        return getattr(import_module(f"bayes_crlm.{ROOMS[name]}"), name)
    raise AttributeError(f"module 'bayes_crlm' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*__all__, "__version__"])
