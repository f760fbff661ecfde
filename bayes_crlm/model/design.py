"""Treatment contrasts and covariate columns, centred and scaled for sampling."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.table.column_values import column_kind, level_text, sorted_levels
from bayes_crlm.likelihood.stacked import Stacked
from bayes_crlm.model.covariates import covariate_table
from bayes_crlm.model.estimable import check_estimable
from bayes_crlm.model.formula import check_formula, evaluate_formula, parse_formula
from bayes_crlm.model.weighted_moments import columns_of, row_shares, weighted_center_and_scale
from bayes_crlm.words.errors import CohortError, DesignError, FormulaError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

    from bayes_crlm.cohort.cohort import Cohort
    from bayes_crlm.model.terms.term import Term

Level = str | int | float | bool
MOST_LEVELS = 20


@record
class Design(Stacked):
    """Columns of the model in original units and on the sampling scale.

    Of many cohorts with the same columns all arrays have the cohorts' axis first.

    Attributes
    ----------
    terms : tuple of str
        Column names; treatment contrasts (``rx[T.Lev]``) first.
    matrix : (rows, terms) ndarray
        Columns in original units.
    center, scale : (terms,) ndarray
        Column means; standard deviations (n - 1) of columns with more than two values,
        1 for the others. Both over patients: a row counts with its share of its patient's
        follow-up.
    treatment : str
        The treatment's column.
    levels : tuple
        Its levels, the reference first.
    treatment_level : (rows,) ndarray of int
        Index into `levels` of every row.
    first_row : (patients,) ndarray of int
        Each patient's earliest row, whose covariates are the baseline ones.
    formula : str
        The right-hand side fitted, treatment included.
    variables : tuple of frozenset of str
        For each column the columns of the cohort's table that it is made of; empty where the
        design was not made from a table.
    """

    terms: tuple[str, ...]
    matrix: NDArray[np.float64]
    center: NDArray[np.float64]
    scale: NDArray[np.float64]
    treatment: str
    levels: tuple[Level, ...]
    treatment_level: NDArray[np.intp]
    first_row: NDArray[np.intp]
    formula: str
    variables: tuple[frozenset[str], ...] = ()

    shared: ClassVar[tuple[str, ...]] = ("terms", "treatment", "levels", "formula", "variables")

    @property
    def n_treatment_terms(self) -> int:
        """Number of treatment contrasts: the first columns."""
        return len(self.levels) - 1

    @property
    def reference(self) -> Level:
        """The treatment's reference level."""
        return self.levels[0]

    @property
    def scaled(self) -> NDArray[np.float64]:
        """The columns on the sampling scale, shape (rows, terms)."""
        return (self.matrix - self.center[..., None, :]) / self.scale[..., None, :]

    def standardised(self, shares: NDArray | None) -> "Design":
        """Centre and scale the columns of every cohort.

        Parameters
        ----------
        shares : (rows,) ndarray or None
            Each row's share of its patient's follow-up; None where every patient has one row.
        """
        center, spread = weighted_center_and_scale(self.matrix, shares)
        is_scaled = np.array([have_more_than_two_values(each) for each in columns_of(self.matrix)])
        return replace(self, center=center, scale=np.where(is_scaled.T, spread, 1.0))

    def treatment_contrast(self, level: int) -> NDArray[np.float64]:
        """Treatment columns of a patient on one level, on the sampling scale.

        Parameters
        ----------
        level : int
            Index into `levels`.

        Returns
        -------
        (treatment terms,) ndarray
        """
        raw = np.zeros(self.n_treatment_terms)
        if level > 0:
            raw[level - 1] = 1.0
        treatment = slice(0, self.n_treatment_terms)
        return (raw - self.center[treatment]) / self.scale[treatment]


def columns_needed(
    treatment: str, covariates: str, terms: "Sequence[Term]" = ()
) -> tuple[str, ...]:
    """Columns of the cohort that a model uses: treatment, the formula's names, other terms'."""
    names = check_formula(covariates)
    if treatment in names:
        raise DesignError(
            f"covariates: {treatment!r} is the treatment already; leave it out of the formula"
        )
    more = [column for term in terms for column in term.columns_needed]
    return tuple(dict.fromkeys([treatment, *sorted(names), *more]))


def check_outcome_unused(cohort: "Cohort", treatment: str, covariates: str) -> None:
    """Refuse what says how follow-up ends as its own explanation.

    Parameters
    ----------
    cohort : Cohort
        Whose outcome columns may not be treatment or covariates.
    treatment : str
        Column whose levels are compared.
    covariates : str
        Right-hand side of a formula.

    Raises
    ------
    DesignError
        When either uses the column of times or of events, or the covariates that of starts of
        treatment, which is not known when follow-up begins.
    """
    names = check_formula(covariates)
    itself = "the outcome cannot explain itself"
    unknown = "who is to start is not known when follow-up begins"
    for role, column, why in (
        ("times", cohort.time_column, itself),
        ("events", cohort.event_column, itself),
        ("starts of treatment", cohort.start_column, unknown),
    ):
        for key, used in (("treatment", (treatment,)), ("covariates", names)):
            if column is not None and column in used:
                raise DesignError(f"{key}: {column!r} holds the {role}; {why}, so leave it out")


def build_design(
    cohort: "Cohort",
    treatment: str,
    reference: Level | None,
    covariates: str = "",
    terms: "Sequence[Term]" = (),
) -> Design:
    """Build treatment contrasts and covariate columns, and refuse what cannot be estimated.

    Parameters
    ----------
    cohort : Cohort
        Without missing values in the columns used (see `Cohort.complete`).
    treatment : str
        Column whose levels are compared.
    reference : str, int, float or bool, optional
        The level that the others are compared with; the first one in order without it.
    covariates : str
        Right-hand side of a formula; empty for none.
    terms : sequence of Term
        Others, whose columns stand last.

    Returns
    -------
    Design
        As of `design_in_units`.

    Raises
    ------
    CohortError
        For a column that the cohort lacks.
    DesignError
        For a treatment with one level, a level with one patient, an unknown reference,
        a constant or collinear column, or the outcome among the covariates.
    FormulaError
        For a formula that cannot be evaluated on the cohort.
    """
    design = design_in_units(cohort, treatment, reference, covariates, terms)
    check_estimable(cohort.source, design.matrix, design.terms)
    return design


def design_in_units(
    cohort: "Cohort",
    treatment: str,
    reference: Level | None,
    covariates: str,
    terms: "Sequence[Term]",
) -> Design:
    """Evaluate all columns, whatever can be estimated of them; see `build_design`.

    Returns
    -------
    Design
        In original units, whose means and spreads are not yet taken off (`standardised`).
    """
    check_outcome_unused(cohort, treatment, covariates)
    needed = columns_needed(treatment, covariates, terms)
    known = [str(column) for column in cohort.table.columns]
    for column in needed:
        if column not in known:
            role = "model.treatment" if column == treatment else "model.covariates"
            raise CohortError(
                f"{cohort.source}: {role} names column {column!r}, which is not there"
                f"; {did_you_mean(column, known)}"
            )
    order = np.lexsort((cohort.entry, cohort.patient_index))
    first_row = order[np.diff(cohort.patient_index[order], prepend=-1) > 0]
    levels, treatment_level = treatment_levels(cohort, treatment, reference)
    contrasts, contrast_names = contrast_columns(treatment, levels, treatment_level)
    covariate_matrix, covariate_names, made_of = covariate_columns(cohort, covariates)
    more = [term.columns(cohort) for term in terms]
    matrix = np.column_stack([contrasts, covariate_matrix, *more])
    names = (*contrast_names, *covariate_names, *(name for term in terms for name in term.terms))
    return Design(
        terms=names,
        matrix=matrix,
        center=np.zeros(len(names)),
        scale=np.ones(len(names)),
        treatment=treatment,
        levels=levels,
        treatment_level=treatment_level,
        first_row=first_row,
        formula=right_hand_side(treatment, covariates),
        variables=(
            *[frozenset([treatment])] * len(contrast_names),
            *made_of,
            *(frozenset(term.columns_needed) for term in terms for _ in term.terms),
        ),
    )


def plain_level(value: Any) -> Level:
    """Turn a cell into the level people would write: 1 for 1.0, text for a category."""
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, np.timedelta64):  # NumPy's durations call themselves whole numbers
        return str(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return int(value) if float(value).is_integer() else float(value)
    return str(value)


def refuse_nested(column: "pd.Series", where: str) -> None:
    """Refuse lists and records, which Parquet and JSON may hold in a cell."""
    kinds = list | tuple | dict | set | np.ndarray
    nested = next((cell for cell in column if isinstance(cell, kinds)), None)
    if nested is not None:
        raise DesignError(
            f"{where} holds lists or records, such as {shown(nested)}; give a column with one "
            "text, number or truth value in each row"
        )


def treatment_levels(
    cohort: "Cohort", treatment: str, reference: Level | None
) -> tuple[tuple[Level, ...], NDArray[np.intp]]:
    """Find the treatment's levels, reference first, and every row's level."""
    import pandas as pd

    where = f"{cohort.source}: treatment {treatment!r}"
    column = cohort.table[treatment]
    if treatment in cohort.number_texts:
        texts = cohort.number_texts[treatment][cohort.row_number - 1]
        column = pd.Series(texts, dtype="str")
    kind = column_kind(column)
    if kind == "objects":
        refuse_nested(column, where)
    if kind in ("dates", "durations"):
        raise DesignError(f"{where} holds {kind}; give a column that names the treatments")
    is_ordered = kind == "categories"
    found = column.cat.categories if is_ordered else column.dropna().unique()
    if is_ordered:
        found = [each for each in found if (column == each).any()]
    values = list(dict.fromkeys(plain_level(value) for value in found))
    if len(values) > MOST_LEVELS:
        raise DesignError(
            f"{where} has {len(values)} different values; give a column with 2 to "
            f"{MOST_LEVELS} levels"
        )
    if not is_ordered:
        values = sorted_levels(values)
    if len(values) < 2:
        raise DesignError(
            f"{where} has only the level {values[0]!r} in the rows used; "
            "a comparison needs at least two levels"
        )
    if reference is None:
        reference = values[0]
    match = [value for value in values if value == reference or str(value) == level_text(reference)]
    if not match:
        raise DesignError(
            f"{where} has no level {reference!r} (model.reference); "
            f"give one of {', '.join(repr(value) for value in values)}"
        )
    levels = (match[0], *(value for value in values if value != match[0]))
    code_of = {level: code for code, level in enumerate(levels)}
    position, found = pd.factorize(column)
    codes = np.array([code_of[plain_level(value)] for value in found])[position]
    for code, level in enumerate(levels):
        patients = np.count_nonzero(np.bincount(cohort.patient_index[codes == code]))
        if patients < 2:
            raise DesignError(
                f"{where} has only {patients} patient on level {level!r}; every level needs at "
                "least 2, so merge it with another level or leave it out with data.where"
            )
    return levels, codes


def covariate_columns(
    cohort: "Cohort", covariates: str
) -> tuple[NDArray, list[str], tuple[frozenset[str], ...]]:
    """Evaluate the formula; gives (rows, columns), the columns' names and what each is made of."""
    parsed = parse_formula(covariates)
    for name in sorted(parsed.columns):
        if cohort.table[name].dtype == object:
            refuse_nested(cohort.table[name], f"{cohort.source}: covariate {name!r}")
    try:
        columns = evaluate_formula(covariates, covariate_table(cohort, parsed), shares_of(cohort))
    except FormulaError as problem:
        raise FormulaError(f"{cohort.source}: {problem}") from problem
    names = [str(name) for name in columns.columns]
    return columns.to_numpy(dtype=float), names, columns.attrs["variables"]


def shares_of(cohort: "Cohort") -> NDArray[np.float64] | None:
    """Each row's share of its patient's follow-up; None where every patient has one row."""
    return row_shares(cohort.entry, cohort.time, cohort.patient_index)


def have_more_than_two_values(columns: NDArray) -> NDArray[np.bool]:
    """Whether columns have three or more distinct values, (..., rows) to (...)."""
    low, high = columns.min(axis=-1, keepdims=True), columns.max(axis=-1, keepdims=True)
    return np.any((columns != low) & (columns != high), axis=-1)


def right_hand_side(treatment: str, covariates: str) -> str:
    """Formula of treatment and covariates."""
    return f"{treatment} + {covariates.strip()}" if covariates.strip() else treatment


def contrast_columns(
    treatment: str, levels: tuple[Level, ...], code: NDArray[np.intp]
) -> tuple[NDArray[np.float64], list[str]]:
    """Columns of the levels against the first, shape (rows, levels - 1), and their names."""
    columns = (code[:, None] == np.arange(1, len(levels))).astype(float)
    return columns, [f"{treatment}[T.{level}]" for level in levels[1:]]
