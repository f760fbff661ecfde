"""Formulas that only add columns: most are such, and need no general library to be expanded.

A term is a column, ``C()`` of a column, or one of the elementwise functions of a column. Importing
formulaic takes longer than everything else that is done before the first answer, so that it is
left to formulas that need it. Names and columns are formulaic's, and tests hold them against it.
"""

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.shown import as_written, whole
from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    import pandas as pd

DOMAINS = {
    "log": "give values above 0, or for example log(x + 1)",
    "sqrt": "give values of 0 or above",
    "exp": "give smaller values, or scale() them first",
}
# a term and the sign after it; a quoted name in a call is left to formulaic, which gives it a name
# of its own
PLAIN = re.compile(
    r"""(?:(?P<function>C|log|sqrt|exp)\((?P<inside>[^\W\d]\w*)\)
         | (?P<column>[^\W\d]\w*)
         | `(?P<quoted>[^`]*)`
        )\s*(?:\+\s*|\Z)""",
    re.VERBOSE,
)


class PlainTerm(NamedTuple):
    """A column, and the function that is applied to it: "", "C" or an elementwise one."""

    column: str
    function: str = ""

    @property
    def name(self) -> str:
        """The term as it is written."""
        return f"{self.function}({self.column})" if self.function else self.column


def plain_terms(text: str) -> list[PlainTerm] | None:
    """Read a formula that only adds columns.

    Parameters
    ----------
    text : str
        A checked formula.

    Returns
    -------
    list of PlainTerm or None
        Each term once, in the order of the formula; None where it has anything else.
    """
    text, terms, place = text.strip(), [], 0
    while place < len(text):
        found = PLAIN.match(text, place)
        if found is None:
            return None
        column = found["inside"] or found["column"] or found["quoted"]
        terms.append(PlainTerm(column, found["function"] or ""))
        place = found.end()
    return list(dict.fromkeys(terms))


def plain_columns(terms: Sequence[PlainTerm], data: "pd.DataFrame") -> "pd.DataFrame":
    """The columns of a design that plain terms make.

    Parameters
    ----------
    terms : sequence of PlainTerm
        Each once.
    data : pandas.DataFrame
        The columns that they use: numbers, text or categories, none of them missing.

    Returns
    -------
    pandas.DataFrame
        As of `bayes_crlm.model.formula.evaluate_formula`; levels of text and categories but the
        first have a column each.

    Raises
    ------
    FormulaError
        When a function has no finite value, and for more columns than there are rows.
    """
    import numpy as np
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    columns: dict[str, Any] = {}
    variables: list[frozenset[str]] = []
    for term in terms:
        values = data[term.column]
        if term.function in DOMAINS:
            columns[term.name] = np.asarray(guarded(term.function)(values), dtype=float)
        elif not term.function and is_numeric_dtype(values.dtype):
            columns[term.name] = values.to_numpy(dtype=float)
        else:
            levels = values.astype("category").cat
            codes = levels.codes.to_numpy()
            for place, level in enumerate(levels.categories[1:], start=1):
                columns[f"{term.name}[T.{level}]"] = (codes == place).astype(float)
        variables += [frozenset({term.column})] * (len(columns) - len(variables))
    check_fewer_than_rows(len(columns), len(data))
    matrix = pd.DataFrame(columns, index=data.index)
    matrix.attrs["variables"] = tuple(variables)
    return matrix


def check_fewer_than_rows(n_columns: int, n_rows: int) -> None:
    """Refuse as many columns as there are rows."""
    if n_columns >= n_rows:
        raise FormulaError(
            f"formula has {whole(n_columns)} columns or more, which {whole(n_rows)} rows cannot "
            "tell apart; use fewer covariates"
        )


def guarded(name: str) -> Callable[[Any], Any]:
    """Make NumPy's function of that name refuse values outside of its domain."""
    import numpy as np

    def function(values: Any) -> Any:
        with np.errstate(all="ignore"):
            result = getattr(np, name)(values)
        numbers = np.asarray(values, dtype=float)
        wrong = ~np.isfinite(np.asarray(result, dtype=float))
        if wrong.any():
            label = getattr(values, "name", None)
            term = "a term" if label is None else f"a term in {shown(label)}"
            rows = int(wrong.sum())
            raise FormulaError(
                f"{name}() of {term} is not finite in {rows} {'row' if rows == 1 else 'rows'}, "
                f"the first with the value {as_written(numbers[wrong][0])}; {DOMAINS[name]}"
            )
        return result

    return function
