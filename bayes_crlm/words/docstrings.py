"""Whether this Python keeps docstrings, which ArviZ writes on in when it is imported."""

import sys

from bayes_crlm.words.errors import BayesCRLMError


def require_docstrings() -> None:
    """Refuse a Python that strips docstrings: ArviZ writes on in them, and fails after the fit.

    Raises
    ------
    BayesCRLMError
        Under ``python -OO`` or ``PYTHONOPTIMIZE=2``.
    """
    if sys.flags.optimize > 1:
        raise BayesCRLMError(
            "Python runs with PYTHONOPTIMIZE=2 (or -OO), under which ArviZ does not work; unset "
            "it, or set it to 1"
        )
