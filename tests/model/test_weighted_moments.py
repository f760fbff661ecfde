"""Splitting a patient's follow-up into rows changes no number."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import fit_many
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.formula import evaluate_formula
from bayes_crlm.model.weighted_moments import (
    row_shares,
    weighted_center_and_scale,
)

ROLES = {"time": "stop", "event": "death", "entry": "start", "id": "id"}
FORMULAS = [
    "x", "log(z)", "center(x) + z", "scale(x)", "scale(x, center=False)", "poly(x, degree=3)",
    "bs(x, df=5)", "bs(x, df=4, degree=2)", "bs(x, knots=[0.1])", "cr(x, df=4)",
    "cr(x, knots=[0.0, 0.5])", "scale(log(z)):x + z",
]  # fmt: skip


def one_row_each(n=80, seed=1):
    rng = np.random.default_rng(seed)
    x = np.round(rng.normal(size=n), 2)
    return pd.DataFrame(
        {"id": range(n), "start": 0.0, "stop": rng.exponential(10, n), "x": x,
         "death": rng.random(n) < 0.7, "arm": rng.integers(2, size=n),
         "z": rng.uniform(1, 9, n)}
    )  # fmt: skip


def split(table, seed=1, most=12):
    """Cut each patient's row into some, those of one arm into more, in any order."""
    rng = np.random.default_rng(seed)
    rows = []
    for row in table.itertuples(index=False):
        n_inner = rng.integers(most if row.arm else 2)
        ends = [*np.sort(rng.uniform(row.start, row.stop, n_inner)), row.stop]
        starts = [row.start, *ends[:-1]]
        for start, stop in zip(starts, ends, strict=True):
            last = stop == row.stop
            rows.append(row._asdict() | {"start": start, "stop": stop, "death": row.death and last})
    return pd.DataFrame(rows).sample(frac=1, random_state=seed)


@pytest.mark.parametrize("formula", FORMULAS)
@pytest.mark.parametrize("seed", range(2))
def test_splitting_rows_changes_no_column_center_or_scale(formula, seed):
    whole = one_row_each(seed=seed)
    model = PiecewiseExponential("arm", 0, formula, cutpoints=[4, 9])
    one = model.prepare(read_cohort(whole, **ROLES))
    many = model.prepare(read_cohort(split(whole, seed), **ROLES))
    assert many.design.center == pytest.approx(one.design.center, abs=1e-9)
    assert many.design.scale == pytest.approx(one.design.scale, rel=1e-9)
    by_patient = many.design.matrix[many.design.first_row]
    order = np.argsort(many.cohort.patients)
    assert by_patient[order] == pytest.approx(one.design.matrix, abs=1e-9)


def test_splitting_rows_moves_no_hazard_ratio_and_no_log_hazard():
    whole = one_row_each(150)
    model = PiecewiseExponential("arm", 0, "x + poly(z, degree=2)", cutpoints=4)
    one, many = (
        model.fit(read_cohort(each, **ROLES), engine="laplace", seed=1, draws=500)
        for each in (whole, split(whole))
    )
    assert many.coefficients()["mean_log"].to_numpy() == pytest.approx(
        one.coefficients()["mean_log"].to_numpy(), abs=1e-6
    )
    assert many.log_hazard()["mean"].to_numpy() == pytest.approx(
        one.log_hazard()["mean"].to_numpy(), abs=1e-6
    )


def test_splitting_rows_moves_nothing_where_many_cohorts_are_fitted():
    cohorts = [one_row_each(60, seed) for seed in range(3)]
    model = PiecewiseExponential("arm", 0, "x + cr(z, df=3)", cutpoints=3)
    found = [
        fit_many(model, [read_cohort(make(each), **ROLES) for each in cohorts], seeds=1)
        for make in (lambda table: table, split)
    ]
    one, many = (each.of_term()["mean_log"].to_numpy() for each in found)
    assert many == pytest.approx(one, abs=1e-6)


def test_moments_are_integrals_over_each_patients_follow_up():
    start = np.array([0.0, 3.0, 0.0, 1.0])
    stop = np.array([3.0, 4.0, 1.0, 5.0])
    patient = np.array([0, 0, 1, 1])
    shares = row_shares(start, stop, patient)
    assert shares.tolist() == [0.75, 0.25, 0.2, 0.8]
    x = np.array([0.0, 1.0, 0.0, 1.0])
    center, scale = weighted_center_and_scale(x[:, None], shares)
    assert center == pytest.approx((0.25 + 0.8) / 2)
    mean = 1.05 / 2
    assert scale**2 == pytest.approx((0.95 * mean**2 + 1.05 * (1 - mean) ** 2) / (2 - 1))


def test_a_value_that_is_0_for_all_at_the_start_keeps_a_scale():
    whole = one_row_each(60)
    cut = whole["stop"] / 2
    first = whole.assign(stop=cut, death=False, dose=0.0)
    later = whole.assign(start=cut, dose=np.arange(60.0) % 7)
    cohort = read_cohort(pd.concat([first, later]), **ROLES)
    design = PiecewiseExponential("arm", 0, "dose").prepare(cohort).design
    dose = np.arange(60.0) % 7
    mean = dose.mean() / 2
    second = ((dose - mean) ** 2 + mean**2).sum() / 2 / 59
    assert design.scale[1] == pytest.approx(np.sqrt(second))


def test_one_row_a_patient_is_transformed_as_formulaic_does():
    table = one_row_each()
    for formula in FORMULAS:
        own = evaluate_formula(formula, table, np.ones(len(table)))
        theirs = evaluate_formula(formula, table)
        assert list(own.columns) == list(theirs.columns)
        assert own.to_numpy() == pytest.approx(theirs.to_numpy(), abs=1e-9)
