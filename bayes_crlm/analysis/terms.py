"""Kinds of terms that a spec may ask for by a table of their own."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from bayes_crlm.words.errors import BayesCRLMError

if TYPE_CHECKING:
    from bayes_crlm.model.terms.term import Term
    from bayes_crlm.specification.spec import Spec

# from the name of a table to what makes a term of it, or refuses it in one sentence; what is
# reported of the term stands under the same name in `bayes_crlm.fit.sections.EFFECTS`
TERMS: dict[str, "Callable[[Mapping[str, Any]], Term]"] = {}


def problems_of(name: str, table: Any) -> list[str]:
    """Say what is wrong with a term's table."""
    if not isinstance(table, Mapping):
        return [f"{name} must be a table [{name}]"]
    try:
        TERMS[name](table)
    except (BayesCRLMError, ValueError) as problem:
        return [f"{name}: {problem}"]
    return []


def term_checks() -> dict[str, Callable[[Any], list[str]]]:
    """Checks of all terms' tables, by name."""
    return {name: partial(problems_of, name) for name in TERMS}


def terms_of(spec: "Spec") -> "tuple[Term, ...]":
    """Make the terms that a spec asks for."""
    return tuple(TERMS[name](table) for name, table in spec.more.items() if name in TERMS)
