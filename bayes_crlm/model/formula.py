"""Covariate formulas: checked before anything of them is evaluated, then evaluated safely.

`formulaic` evaluates a call in a formula as Python, with the builtins in reach, and looks a
bare name up among its own functions when no column has it. So a formula is first read by the
grammar of `bayes_crlm.model.allowed_formulas`, and then sees the columns it names and nothing else.
"""

import re
from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from bayes_crlm.model.allowed_formulas import Reader
from bayes_crlm.model.formula_columns import check_number_of_columns
from bayes_crlm.model.formula_tokens import END, tokenize
from bayes_crlm.model.plain_formula import guarded, plain_columns, plain_terms
from bayes_crlm.words.errors import FormulaError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import did_you_mean, shown

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from formulaic import SimpleFormula, StructuredFormula
    from numpy.typing import NDArray

MOST_CHARACTERS = 10_000
EVALUATING_RAISES = (
    ValueError, TypeError, ArithmeticError, LookupError, SyntaxError, RecursionError, MemoryError,
)  # fmt: skip


@record
class ParsedFormula:
    """What a formula uses.

    Attributes
    ----------
    columns : frozenset of str
        Every column.
    bare : frozenset of str
        Columns outside of any call.
    categorical : frozenset of str
        Columns inside ``C()``: their values are levels.
    numeric : frozenset of str
        Columns inside of any other call: they have to be numbers.
    functions : frozenset of str
        Functions it calls.
    """

    columns: frozenset[str]
    bare: frozenset[str]
    categorical: frozenset[str]
    numeric: frozenset[str]
    functions: frozenset[str]


def check_formula(text: str) -> frozenset[str]:
    """Refuse a formula that does more than combine columns; evaluates nothing.

    Parameters
    ----------
    text : str
        The right-hand side, such as ``age + node_positive + log(cea)``; an empty text
        is not a covariate.

    Returns
    -------
    frozenset of str
        The columns that it uses.

    Raises
    ------
    FormulaError
        One sentence: what is refused, where, and what may be written.
    """
    return parse_formula(text).columns


def parse_formula(text: str) -> ParsedFormula:
    """Read a formula as `check_formula` does, and say more of what it uses."""
    if not isinstance(text, str):
        raise FormulaError(f"formula {shown(text)} is not text; give for example 'age + log(cea)'")
    if len(text) > MOST_CHARACTERS:
        raise FormulaError(
            f"formula has {len(text)} characters; give at most {MOST_CHARACTERS} characters"
        )
    return read_formula(text)


@lru_cache(maxsize=64)
def read_formula(text: str) -> ParsedFormula:
    """Read a text by the grammar; a fit asks for the same one several times."""
    reader = Reader(tokenize(text))
    if reader.token.kind != END:
        reader.read_sum(depth=0)
        if reader.token.kind != END:
            reader.refuse_here("an operator such as '+' is expected before it")
    clash = reader.columns & reader.functions
    if clash:
        name = min(clash)
        raise FormulaError(
            f"formula uses {name!r} as a function and as a column; rename the column"
        )
    names = [each.name for each in fields(ParsedFormula)]
    return ParsedFormula(**{each: frozenset(getattr(reader, each)) for each in names})


def evaluation_context(
    shares: "NDArray[np.float64] | None" = None,
) -> dict[str, Callable[..., Any]]:
    """Functions that a checked formula may call.

    Parameters
    ----------
    shares : (rows,) ndarray, optional
        With what weight each row counts where a function learns from the data: its share of its
        patient's follow-up. 1 without it.

    Returns
    -------
    dict
        ``log``, ``sqrt`` and ``exp`` refuse values outside of their domain instead of giving an
        infinite or missing one. ``cr`` is centred: uncentred, its columns add up to 1, which
        the baseline hazard already holds. The others are formulaic's own.
    """
    from formulaic.transforms import TRANSFORMS

    transforms: dict[str, Any] = dict(TRANSFORMS)
    uncentred = transforms["cr"]

    def centred_cr(values: Any, *positional: Any, **options: Any) -> Any:
        return uncentred(values, *positional, constraints="center", **options)

    for attribute in ("__is_stateful_transform__", "get_required_variables"):
        setattr(centred_cr, attribute, getattr(uncentred, attribute))
    context = {name: transforms[name] for name in ("C", "I", "bs", "center", "poly", "scale")}
    elementwise = {name: guarded(name) for name in ("log", "sqrt", "exp")}
    if shares is not None:
        from bayes_crlm.model.weighted_moments import weighted_transforms

        return context | elementwise | weighted_transforms(shares, transforms["bs"], uncentred)
    return {**context, **elementwise, "cr": centred_cr}


def evaluate_formula(
    text: str, table: "pd.DataFrame", shares: "NDArray[np.float64] | None" = None
) -> "pd.DataFrame":
    """Turn a formula into the columns of a design, and nothing else of it into anything.

    Parameters
    ----------
    text : str
        The right-hand side; checked first.
    table : DataFrame
        One row per row of the cohort, without missing values in the formula's columns.
        Columns of numbers outside of ``C()`` are taken as floating point, so that powers cannot
        wrap around; columns of true and false are 1 and 0.
    shares : (rows,) ndarray, optional
        As of `evaluation_context`.

    Returns
    -------
    DataFrame
        Named as formulaic names columns, without the intercept, with `table`'s index.
        `attrs["variables"]` holds, for each column, the columns of `table` that it is made of.

    Raises
    ------
    FormulaError
        When a column does not exist, holds text or misses values where it may not, or the
        formula has no finite value for every row.
    """
    import numpy as np

    parsed = parse_formula(text)
    data, terms = formula_data(parsed, table), plain_terms(text)
    matrix = expanded(text, data, shares) if terms is None else plain_columns(terms, data)
    is_finite = np.isfinite(matrix.to_numpy(dtype=float)).all(axis=0)
    if not is_finite.all():
        name = matrix.columns[int(np.flatnonzero(~is_finite)[0])]
        raise FormulaError(
            f"formula: {shown(name)} is not finite in every row; "
            "it divides by 0, or a power is too large"
        )
    return matrix


def expanded(
    text: str, data: "pd.DataFrame", shares: "NDArray[np.float64] | None"
) -> "pd.DataFrame":
    """Let formulaic expand a checked formula."""
    import warnings

    from formulaic import ModelSpec
    from formulaic.errors import DataMismatchWarning, FormulaicError

    try:
        with warnings.catch_warnings():
            # formulaic would turn levels left out of C(levels=[...]) into missing values
            warnings.simplefilter("error", DataMismatchWarning)
            terms = formulaic_terms(text)
            check_number_of_columns(terms, data)
            design = ModelSpec.from_spec(terms, na_action="raise", output="pandas")
            matrix = design.get_model_matrix(data, context=evaluation_context(shares))
    except (FormulaicError, DataMismatchWarning, *EVALUATING_RAISES) as error:
        raise FormulaError(evaluation_error_in_words(text, error)) from None
    spec = matrix.model_spec
    places = spec.variable_indices if isinstance(spec, ModelSpec) else {}
    kept = [k for k, column in enumerate(matrix.columns) if column != "Intercept"]
    matrix = matrix.iloc[:, kept]
    matrix.attrs["variables"] = tuple(
        frozenset(name for name in data.columns if k in places.get(name, ())) for k in kept
    )
    return matrix


@lru_cache(maxsize=64)
def formulaic_terms(text: str) -> "SimpleFormula | StructuredFormula":
    """Terms of a checked formula as formulaic holds them; kept, since fits repeat a formula."""
    from formulaic import Formula

    return Formula.from_spec(text if text.strip() else "1")


def formula_data(parsed: ParsedFormula, table: "pd.DataFrame") -> "pd.DataFrame":
    """Take a formula's columns out of a table, numbers as floating point."""
    import pandas as pd
    from pandas.api.types import is_numeric_dtype

    for name in sorted(parsed.columns):
        if name not in table.columns:
            raise FormulaError(
                f"formula uses {shown(name)}, which is not a column; "
                f"{did_you_mean(name, table.columns)}"
            )
    columns = {}
    for name in sorted(parsed.columns):
        column = table[name]
        missing = int(column.isna().sum())
        if missing:
            raise FormulaError(
                f"formula uses {shown(name)}, which is missing in {missing} "
                f"{'row' if missing == 1 else 'rows'}; give every row a value"
            )
        if is_numeric_dtype(column.dtype):
            if name not in parsed.categorical:
                column = column.astype(float)
            elif column.dtype.kind == "f":
                column = named_as_levels(column, name in parsed.bare | parsed.numeric)
        elif name in parsed.numeric:
            raise FormulaError(
                f"formula computes with {shown(name)}, which holds no numbers; give it outside "
                "of a call or in C()"
            )
        elif not isinstance(column.dtype, pd.CategoricalDtype):
            column = sorted_by_number(column)
        columns[name] = column
    return pd.DataFrame(columns, index=table.index)


def named_as_levels(values: "pd.Series", is_number_too: bool) -> "pd.Series":
    """Give floating-point levels the names that they have as whole numbers or text: 2, not 2.0."""
    import numpy as np
    import pandas as pd

    from bayes_crlm.cohort.table.column_values import EXACT_WHOLE, level_text, sorted_levels

    if ((values % 1 == 0) & (values.abs() < EXACT_WHOLE)).all():
        return values.astype("int64")
    if is_number_too or not np.isfinite(values).all():
        return values
    levels = sorted_levels(values.unique())
    texts = values.map({each: level_text(each) for each in levels})
    categories = [level_text(each) for each in levels]
    return pd.Series(pd.Categorical(texts, categories), index=values.index, name=values.name)


def sorted_by_number(values: "pd.Series") -> "pd.Series":
    """Give text that is numbers throughout its order as numbers, in which 9 goes before 10."""
    import pandas as pd

    from bayes_crlm.cohort.table.column_values import is_number, sorted_levels

    levels = values.unique()
    if not all(isinstance(each, str) and is_number(each) for each in levels):
        return values
    categories = pd.Index(sorted_levels(levels), dtype="str")
    return pd.Series(pd.Categorical(values, categories), index=values.index, name=values.name)


def basis_in_words(reason: str) -> str:
    """Say what a spline's df has to be, of which formulaic says less than is true, or nothing."""
    wrapped = re.fullmatch(r"Unable to evaluate factor `(.*?)`\. \[\w+: (.*)\]", reason)
    if wrapped is None:
        return reason
    factor, inner = wrapped.groups()
    # it refuses a df below the degree, and calls that "must be greater than" the degree
    least = re.search(r"`df` must be greater than (\d+)", inner)
    if least:
        return f"df must be at least {least[1]}, the degree"
    if re.search(r"^cr\(.*\bdf=1\b|^cr\([^,]*, 1\b", factor):
        return "df must be at least 2"
    return inner


def evaluation_error_in_words(text: str, error: BaseException) -> str:
    """Say why formulaic could not evaluate a formula; our own sentences go before its."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, FormulaError):
            return str(cause)
        cause = cause.__cause__
    reason = basis_in_words(" ".join(str(error).split()))
    reason = reason if len(reason) <= 300 else f"{reason[:299]}…"
    return f"formula {shown(text)} cannot be evaluated: {reason}"
