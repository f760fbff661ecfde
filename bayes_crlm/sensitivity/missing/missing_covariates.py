"""What misses in a cohort's covariates, and how the design depends on every missing value.

A formula may transform a covariate. What is imputed is then the transformed value, the design's
column, as long as it is a function of that covariate alone: the model's likelihood sees nothing
else of it. Design rows are linear in it, interactions with complete covariates included.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.design import shares_of
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.model.weighted_moments import weighted_center_and_scale
from bayes_crlm.words.errors import SensitivityError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown, shown_names

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["continuous", "binary"]
MOST_BINARY = 8


@record(eq=False)
class MissingCovariate:
    """A covariate that has missing values, on the scale of its design column.

    Attributes
    ----------
    column : str
        In the cohort's table.
    term : str
        Its design column, such as ``log(cea)``.
    kind : {"continuous", "binary"}
        Binary when just two values are seen of it.
    is_missing : (patients,) ndarray of bool
        Who has no value.
    value : (patients,) ndarray
        Seen values, 0 where missing: centred and scaled by the seen patients' mean and standard
        deviation, or 0 and 1.
    shift, span : float
        Design column in original units = shift + span x value.
    slope : (rows, terms) ndarray
        What one unit of the value adds to the design row on the sampling scale; 0 where seen.
    """

    column: str
    term: str
    kind: Kind
    is_missing: NDArray[np.bool_]
    value: NDArray[np.float64]
    shift: float
    span: float
    slope: NDArray[np.float64]


@record(eq=False)
class IncompleteDesign:
    """A cohort with missing covariates as an imputation model sees it.

    Attributes
    ----------
    inputs : PreparedCohort
        All patients; the design holds 0 (on the scale of `MissingCovariate.value`) in place of
        missing values. Its centre and scale are those of rows in which a column is seen.
    covariates : tuple of MissingCovariate
        Those with fewer missing values first.
    predictors : (patients, predictors) ndarray
        Treatment contrasts and design columns in which nothing misses, of every patient's first
        row, on the sampling scale.
    predictor_names : tuple of str
        Of its columns.
    """

    inputs: PreparedCohort
    covariates: tuple[MissingCovariate, ...]
    predictors: NDArray[np.float64]
    predictor_names: tuple[str, ...]

    @property
    def is_incomplete(self) -> NDArray[np.bool_]:
        """Whether a patient misses any covariate, shape (patients,)."""
        return np.logical_or.reduce([each.is_missing for each in self.covariates])


def incomplete_design(model: PiecewiseExponential, cohort: Cohort) -> IncompleteDesign:
    """Find the missing values of a model's covariates, and the design's dependence on them.

    Parameters
    ----------
    model : PiecewiseExponential
        What is to be fitted.
    cohort : Cohort
        Before patients with missing values were left out.

    Returns
    -------
    IncompleteDesign

    Raises
    ------
    SensitivityError
        When nothing misses, or what misses cannot be imputed: a category of more than two
        levels, a covariate in several transforms, a spline, a product of two incomplete
        covariates, or a value that changes over a patient's rows.
    CohortError, DesignError, FormulaError
        As `PiecewiseExponential.prepare`; the treatment must not be missing.
    """
    from bayes_crlm.model.design import columns_needed
    from bayes_crlm.model.formula import parse_formula

    treatment, *names = columns_needed(model.treatment, model.covariates)
    cohort = cohort.complete([treatment])
    there = [name for name in names if name in cohort.table.columns]
    missing = [name for name in there if cohort.table[name].isna().any()]
    if not missing:
        raise SensitivityError(
            f"{cohort.source}: no covariate of the model has missing values; there is nothing to "
            "impute"
        )
    table = cohort.table.copy()
    gaps = {name: fill_within_patients(cohort, table, name) for name in missing}
    # what another row of the same patient says is known, and nothing to impute
    gaps = {name: gap for name, gap in gaps.items() if gap.any()}
    missing = list(gaps)
    if not missing:
        raise SensitivityError(
            f"{cohort.source}: the missing values stand in other rows of the same patients; "
            "there is nothing to impute, so write these values into all rows of those patients"
        )
    levels = parse_formula(model.covariates).categorical
    factors = {name: factor_of(name, model.covariates, missing) for name in missing}
    fillings = {
        name: filling_of(cohort, table[name], name, is_category=name in levels) for name in missing
    }
    for name, gap in gaps.items():
        table.loc[gap, name] = fillings[name][0]
    inputs = model.prepare(replace(cohort, table=table))
    changed = changed_designs(model.covariates, table, gaps, fillings, shares_of(inputs.cohort))
    return assemble(inputs, gaps, factors, changed)


def fill_within_patients(cohort: Cohort, table: "pd.DataFrame", name: str) -> NDArray[np.bool_]:
    """Fill in, in place, what another row of the same patient says; returns the rows still missing.

    Raises
    ------
    SensitivityError
        When seen values change within a patient.
    """
    import pandas as pd

    values, patient = table[name], pd.Series(cohort.patient_index, index=table.index)
    by_patient = values.groupby(patient)
    if (by_patient.nunique(dropna=True) > 1).any():
        raise SensitivityError(
            f"{cohort.source}: {shown(name)} has missing values and changes over the rows of a "
            "patient; only covariates that stay as they are can be imputed"
        )
    table[name] = values.fillna(by_patient.transform("first"))
    return table[name].isna().to_numpy(dtype=bool)


def factor_of(name: str, formula: str, missing: list[str]) -> str:
    """Find the one factor of the formula through which a covariate enters.

    Returns
    -------
    str
        As formulaic writes it; also the term's name.

    Raises
    ------
    SensitivityError
        When there are several, or it holds other columns, or it is multiplied with another
        incomplete covariate, or never stands alone.
    """
    from formulaic import Formula

    parse: Any = Formula
    terms = parse(formula)
    columns = {factor: factor_columns(factor) for term in terms for factor in term.factors}
    mine = sorted({factor.expr for factor, used in columns.items() if name in used})
    if len(mine) > 1:
        raise SensitivityError(
            f"covariate {shown(name)} has missing values and enters the formula in {len(mine)} "
            f"ways ({', '.join(mine)}); only one of them can be imputed, so keep one"
        )
    for term in terms:
        used = {factor.expr: columns[factor] for factor in term.factors}
        if mine[0] not in used:
            continue
        if len(used[mine[0]]) > 1:
            raise SensitivityError(
                f"covariate {shown(name)} has missing values and is computed with others in "
                f"{mine[0]}; only functions of that covariate alone can be imputed"
            )
        others = set().union(*used.values()) & set(missing) - {name}
        if others:
            raise SensitivityError(
                f"term {term} multiplies {shown(name)} with {shown(min(others))}, and both have "
                "missing values; a product of two incomplete covariates cannot be imputed"
            )
    if not any([factor.expr for factor in term.factors] == mine for term in terms):
        raise SensitivityError(
            f"covariate {shown(name)} has missing values and stands in products only; add it as a "
            "term of its own"
        )
    return mine[0]


def factor_columns(factor: Any) -> frozenset[str]:
    """Columns that a factor of a formula uses."""
    from bayes_crlm.model.formula import parse_formula

    method = factor.eval_method.value
    if method == "lookup":
        return frozenset([factor.expr])
    return frozenset() if method == "literal" else parse_formula(factor.expr).columns


def filling_of(
    cohort: Cohort, values: "pd.Series", name: str, *, is_category: bool = False
) -> tuple[Any, Any]:
    """Two seen values, the first near the middle, between which the design's slope is taken.

    Parameters
    ----------
    cohort : Cohort
        Whose rows are used.
    values : pandas.Series, (rows,)
        The covariate.
    name : str
        Its column.
    is_category : bool
        Whether the formula takes its numbers as levels.

    Raises
    ------
    SensitivityError
        For a category of several levels, or a covariate of which one value is seen.
    """
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    seen = values.dropna()
    different = seen.unique()
    if len(different) < 2:
        raise SensitivityError(
            f"{cohort.source}: covariate {shown(name)} is constant where it is seen; leave it out"
        )
    if len(different) == 2:
        first, second = sorted(different, key=str)
        return first, second
    if is_category or not is_numeric_dtype(values) or is_bool_dtype(values):
        raise SensitivityError(
            f"{cohort.source}: covariate {shown(name)} has missing values and {len(different)} "
            "levels; only numbers and covariates with two values can be imputed"
        )
    ordered = np.sort(seen.to_numpy(dtype=float))
    middle = ordered[len(ordered) // 2]
    return middle, ordered[0] if middle != ordered[0] else ordered[-1]


def changed_designs(
    formula: str,
    table: "pd.DataFrame",
    gaps: Mapping[str, NDArray[np.bool_]],
    fillings: Mapping[str, tuple[Any, Any]],
    shares: NDArray[np.float64] | None,
) -> "dict[str, pd.DataFrame]":
    """Design columns after the second filling of each covariate in turn.

    What the formula learns from the data (knots, means) stays that of the first filling.

    Returns
    -------
    dict of str to DataFrame
        By covariate; under the empty name that of the first fillings.
    """
    from formulaic import model_matrix

    from bayes_crlm.model.formula import evaluation_context, formula_data, parse_formula

    context = evaluation_context(shares)
    parsed = parse_formula(formula)
    data = formula_data(parsed, table)
    first: Any = model_matrix(formula, data, context=context, na_action="raise", output="pandas")
    found = {"": first.drop(columns="Intercept", errors="ignore")}
    for name, gap in gaps.items():
        changed = table.copy()
        changed.loc[gap, name] = fillings[name][1]
        columns = first.model_spec.get_model_matrix(formula_data(parsed, changed), context=context)
        found[name] = columns.drop(columns="Intercept", errors="ignore")
    return found


def assemble(
    inputs: PreparedCohort,
    gaps: Mapping[str, NDArray[np.bool_]],
    factors: Mapping[str, str],
    designs: "Mapping[str, pd.DataFrame]",
) -> IncompleteDesign:
    """Put the pieces together: what each value adds to the design, and the design without it."""
    design, patient = inputs.design, inputs.data.patient_index
    split = design.n_treatment_terms
    first_row, shares = design.first_row, shares_of(inputs.cohort)
    base = designs[""].to_numpy(dtype=float)
    matrix, center, scale = design.matrix.copy(), design.center.copy(), design.scale.copy()
    is_touched = np.zeros(len(design.terms), dtype=bool)
    found: list[MissingCovariate] = []
    for name, gap in sorted(gaps.items(), key=lambda item: (int(item[1].sum()), item[0])):
        difference = designs[name].to_numpy(dtype=float) - base
        moved = np.flatnonzero(np.any(difference != 0, axis=0))
        main = main_column(name, factors[name], designs[""], moved)
        seen_rows, seen = ~gap, np.ones(inputs.data.n_patients, dtype=bool)
        seen[patient[gap]] = False
        column = base[:, main]
        kind, shift, span = scale_of(column[first_row[seen]])
        slope = np.zeros_like(matrix)
        slope[np.ix_(gap, split + moved)] = (
            difference[np.ix_(gap, moved)] / difference[gap, main][:, None]
        )
        # the value 0 stands for `shift` in the column
        matrix[gap] += (shift - column[gap])[:, None] * slope[gap]
        for each in split + moved:
            values = design.matrix[seen_rows, each]
            own = None if shares is None else shares[seen_rows]
            middle, spread = weighted_center_and_scale(values[:, None], own)
            center[each] = middle[0]
            scale[each] = spread[0] if len(np.unique(values)) > 2 else 1.0
        is_touched[split + moved] = True
        found.append(
            MissingCovariate(
                column=name,
                term=design.terms[split + main],
                kind=kind,
                is_missing=~seen,
                value=np.where(seen, (column[first_row] - shift) / span, 0.0),
                shift=shift,
                span=span,
                slope=span * slope,
            )
        )
    n_binary = sum(each.kind == "binary" for each in found)
    if n_binary > MOST_BINARY:
        raise SensitivityError(
            f"{n_binary} covariates with two values miss some; at most {MOST_BINARY} can be imputed"
        )
    complete = replace(design, matrix=matrix, center=center, scale=scale)
    return IncompleteDesign(
        inputs=replace(inputs, design=complete, data=replace(inputs.data, design=complete.scaled)),
        covariates=tuple(replace(each, slope=each.slope / scale) for each in found),
        predictors=complete.scaled[first_row][:, ~is_touched],
        predictor_names=tuple(np.array(design.terms)[~is_touched].tolist()),
    )


def main_column(name: str, factor: str, columns: "pd.DataFrame", moved: NDArray[np.intp]) -> int:
    """Place of the covariate's own column; products with others have a colon in their names.

    Raises
    ------
    SensitivityError
        When its transform makes several columns, as a spline does.
    """
    own = [k for k in moved if is_own_column(str(columns.columns[k]), factor)]
    if len(own) != 1:
        raise SensitivityError(
            f"covariate {shown(name)} has missing values and makes {len(own)} columns "
            f"({shown_names([str(columns.columns[k]) for k in own])}); only a transform to one "
            "column can be imputed, no spline or polynomial"
        )
    return int(own[0])


def is_own_column(label: str, factor: str) -> bool:
    """Whether a design column is that of the factor alone: its name, perhaps with a level."""
    return label == factor or (label.startswith(f"{factor}[") and label.endswith("]"))


def scale_of(values: NDArray) -> tuple[Kind, float, float]:
    """Kind of a column, and the shift and span that bring its seen values to a common scale."""
    low, high = float(values.min()), float(values.max())
    if np.all((values == low) | (values == high)):
        return "binary", low, high - low
    return "continuous", float(values.mean()), float(values.std(ddof=1))
