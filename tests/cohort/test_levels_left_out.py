"""Levels that go with the rows that are left out, and levels that are too many."""

import numpy as np
import pandas as pd
import pytest
from column_tables import AGES, N, csv, planned, refused, table, terms

from bayes_crlm.cli.terminal import describe
from bayes_crlm.cohort.reading import read_cohort


@pytest.mark.parametrize("dtype", ["str", "category", "csv"])
def test_a_level_whose_rows_are_all_left_out_is_forgotten_and_said(tmp_path, dtype):
    values = [("A", "B", "C")[k // 2 % 3] for k in range(N)]
    ages = [80 if each == "C" else AGES[k] for k, each in enumerate(values)]
    path = csv(tmp_path, x=values, age=ages)
    if dtype != "csv":
        path = tmp_path / "data.parquet"
        table(x=pd.Series(values, dtype=dtype), age=ages).to_parquet(path)
    where = [{"column": "age", "op": "<", "value": 80}]
    plan = planned(path, where=where)
    said = "column 'x': levels that occur in no row used are dropped: 'C'"
    assert said in plan.warnings
    assert said in " ".join(describe(plan).split())
    assert plan.inputs.design.terms[1:] == ("x[T.B]",)
    cohort = read_cohort(path, time="time", event="event")
    assert not any("occur in no row" in each for each in cohort.column_notes.get("x", ()))
    assert any("'C'" in each for each in cohort.where(where).column_notes["x"])
    fit = plan.model.fit(cohort.where(where), engine="laplace", draws=200, chains=1, seed=1)
    assert said in fit.warnings


def test_a_level_whose_rows_all_miss_another_value_is_forgotten_and_said(tmp_path):
    values = [("A", "B", "C")[k // 2 % 3] for k in range(N)]
    ages = [None if each == "C" else AGES[k] for k, each in enumerate(values)]
    plan = planned(csv(tmp_path, x=values, age=ages), "x + age", missing="drop")
    assert "column 'x': levels that occur in no row used are dropped: 'C'" in plan.warnings


@pytest.mark.parametrize(
    ("product", "columns"),
    [
        ("site:ward", "1,600"),
        ("site * ward", "1,600"),
        ("C(code):site", "1,600"),
        ("site:ward:bs(age, df=4)", "6,400"),
        ("site:bs(age, knots=[45, 50])", "120"),
    ],
)
def test_a_product_of_factors_has_the_cap_of_one_factor(product, columns, monkeypatch):
    import formulaic

    frame = pd.concat([table(age=AGES, code=[7 * k for k in range(N)]) for _ in range(40)])
    frame["site"] = [f"site {k % 40}" for k in range(len(frame))]
    frame["ward"] = [f"ward {k // 40}" for k in range(len(frame))]

    def make_columns(*_, **__):
        raise AssertionError("columns are made")

    monkeypatch.setattr(formulaic.ModelSpec, "get_model_matrix", make_columns)
    assert f"has {columns} columns" in refused(frame, product)


def test_a_product_of_few_levels_is_none_too_many():
    frame = pd.concat([table(age=AGES)] * 5)
    frame["size"] = np.arange(len(frame)) ** 2 % 53
    frame["site"] = [f"site {k // 5 % 5}" for k in range(len(frame))]
    frame["stage"] = [f"stage {k // 25 % 4}" for k in range(len(frame))]
    made = terms(frame, "site * stage + bs(age, knots=[45, 50]) + size:stage")
    assert sum(":" in term for term in made) == 4 * 3 + 4


def test_more_columns_than_rows_are_refused_before_they_are_made(monkeypatch):
    import formulaic

    frame = table(**{f"x{j}": [f"{j} {k // 2}" for k in range(N)] for j in range(3)})
    monkeypatch.setattr(formulaic.ModelSpec, "get_model_matrix", None)
    assert "57 columns or more, which 40 rows cannot tell apart" in refused(frame, "x0 + x1 + x2")


WRITTEN = "%d.%m.%Y"


def test_dates_of_the_outcome_are_no_levels_when_rows_are_left_out():
    days = pd.to_datetime("2015-03-01") + pd.to_timedelta(np.arange(N) % 2, unit="D")
    data = table(
        began=days.strftime(WRITTEN),
        treated=(days + pd.Timedelta("3D")).strftime(WRITTEN),
        ended=(days + pd.Timedelta("90D")).strftime(WRITTEN),
        centre=[("north", "south")[k % 2] for k in range(N)],
    )
    cohort = read_cohort(
        data,
        time={"start": "began", "end": "ended"},
        event="event",
        unit="days",
        date_format=WRITTEN,
        treatment_start="treated",
    )
    where = [{"column": "centre", "op": "==", "value": "north"}]
    assert set(cohort.where(where).column_notes) == {"centre"}
