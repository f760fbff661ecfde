"""How many columns a formula makes, counted before any of them is made.

A product of two factors has a column for every combination of their levels, so a short formula can
ask for more numbers than a computer holds. The combinations are the levels of a factor of its own,
and the bound on the levels of one covariate is theirs: with an event or ten a level, no more than
that can be told apart in a small cohort.
"""

import math
import re
from typing import TYPE_CHECKING

from bayes_crlm.cohort.table.limits import MOST_LEVELS
from bayes_crlm.model.allowed_formulas import POSITIONAL, Reader
from bayes_crlm.model.formula_tokens import tokenize
from bayes_crlm.model.plain_formula import check_fewer_than_rows
from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.shown import whole
from bayes_crlm.words.wording import shown

if TYPE_CHECKING:
    import pandas as pd
    from formulaic.formula import SimpleFormula, StructuredFormula

# after the comma that ends what a basis is of: its number of functions, or its knots
COUNT = re.compile(r"^\s*([0-9]+)|\b(?:df|degree)\s*=\s*([0-9]+)")
KNOTS = re.compile(r"\[([^]]*)\]")


def check_number_of_columns(
    terms: "SimpleFormula | StructuredFormula", data: "pd.DataFrame"
) -> None:
    """Refuse a term of too many columns, and terms of more columns than there are rows.

    Parameters
    ----------
    terms : Formula
        As formulaic has expanded it.
    data : pandas.DataFrame
        The columns that the formula uses.

    Raises
    ------
    FormulaError
        With the term and the numbers that are multiplied.
    """
    widths: dict[str, int] = {}
    least = 0
    for term in terms:
        factors = [str(factor.expr) for factor in term.factors]
        for each in factors:
            if each not in widths:
                widths[each] = width(each, data)
        sizes = [widths[each] for each in factors]
        if len(sizes) > 1 and math.prod(sizes) > MOST_LEVELS:
            parts = " and ".join(f"{n} of {name}" for name, n in zip(factors, sizes, strict=True))
            raise FormulaError(
                f"formula: {shown(':'.join(factors))} has {whole(math.prod(sizes))} columns "
                f"({parts}); a product has at most {MOST_LEVELS}, so merge levels or leave the "
                "product out"
            )
        # of each factor one level is the reference, in a product of theirs too
        least += math.prod(max(1, n - 1) for n in sizes)
    check_fewer_than_rows(least - 1, len(data))


def width(factor: str, data: "pd.DataFrame") -> int:
    """Columns of a factor: its levels, the functions of a basis, or one."""
    from pandas.api.types import is_numeric_dtype

    if factor in data.columns:
        return 1 if is_numeric_dtype(data[factor].dtype) else data[factor].nunique()
    if factor.startswith("C("):
        reader = Reader(tokenize(factor))
        reader.read_sum(depth=0)
        return data[reader.categorical.pop()].nunique()
    if factor.startswith(tuple(f"{name}(" for name in POSITIONAL)):
        options = factor.partition(",")[2]
        counts = [int(first or second) for first, second in COUNT.findall(options)]
        knots = [listed.count(",") + 2 for listed in KNOTS.findall(options)]
        return max([1, *counts, *knots])
    return 1
