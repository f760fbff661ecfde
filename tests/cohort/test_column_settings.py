"""What is said of columns, in a spec and in Python: levels, references, marks of missing."""

import pandas as pd
import pytest
from column_tables import AGES, K3, N, csv, planned, refused, table, terms

from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError


def test_levels_have_the_order_that_is_said(tmp_path):
    values = [k // 2 % 4 for k in range(N)]
    levels = {"x": ["3", "0", "1", "2"]}
    for source in (csv(tmp_path, x=values), table(x=values), table(x=list(map(str, values)))):
        assert terms(source, levels=levels) == ("x[T.0]", "x[T.1]", "x[T.2]")
        assert terms(source, levels={"x": [0, 1, 2, 3]}) == ("x[T.1]", "x[T.2]", "x[T.3]")
        assert terms(source, levels={"x": "number"}) == ("x",)


def test_a_level_that_is_not_said_is_refused_by_row(tmp_path):
    path = csv(tmp_path, x=[k // 2 % 4 for k in range(N)])
    assert "does not name, in rows 7 (3), 8 (3), 15 (3)" in refused(path, levels={"x": [0, 1, 2]})


def test_text_that_is_said_to_be_a_number_is_refused_by_row(tmp_path):
    path = csv(tmp_path, x=["b", *AGES[1:]])
    assert "in row 1 ('b')" in refused(path, levels={"x": "number"})


def test_a_reference_is_the_one_that_is_said(tmp_path):
    values = ["ABC"[k // 2 % 3] for k in range(N)]
    for source in (csv(tmp_path, x=values), table(x=pd.Categorical(values))):
        assert terms(source, references={"x": "B"}) == ("x[T.A]", "x[T.C]")
        assert "has no level 'D'" in refused(source, references={"x": "D"})


def test_missing_values_are_those_that_are_said(tmp_path):
    path = csv(tmp_path, x=[999, 999, *AGES[2:]])
    plan = planned(path, missing="drop", missing_values={"x": [999, 998]})
    assert plan.inputs.cohort.n_patients == N - 2
    assert any("'999' in 2" in told for told in plan.warnings)
    assert any("'998', which no row has" in told for told in plan.warnings)
    assert plan.inputs.design.matrix[:, 1].max() < 100


@pytest.mark.parametrize("option", ["levels", "references", "missing_values"])
def test_what_is_said_of_no_column_is_refused(tmp_path, option):
    value = {"levels": ["a", "b"], "references": "a", "missing_values": [9]}[option]
    path = csv(tmp_path, x=AGES)
    assert f"data.{option}: there is no column 'y'" in refused(path, **{option: {"y": value}})
    with pytest.raises(BayesCRLMError, match=f"{option}"):
        planned(path, **{option: {"x": []}})


def test_what_is_said_stands_in_the_resolved_spec(tmp_path):
    path = csv(tmp_path, x=[k // 2 % 4 for k in range(N)])
    said = {
        "levels": {"x": ("3", "0", "1", "2")},
        "references": {"x": "1"},
        "missing_values": {"x": (9,)},
    }
    plan = planned(path, **said)
    import tomllib

    tables = tomllib.loads(plan.spec.to_toml())
    assert Spec.from_mapping(tables).data.levels == said["levels"]
    assert Spec.from_mapping(tables).data.references == said["references"]
    assert Spec.from_mapping(tables).data.missing_values == said["missing_values"]


@pytest.mark.parametrize(
    ("levels", "told"),
    [(["0", "1"], "levels that data.levels does not name"), ("number", "is declared a number")],
)
def test_what_data_levels_does_not_fit_is_one_problem(levels, told):
    frame = table(x=[["0", "1", "two"][k] for k in K3])
    said = refused(frame, levels={"x": levels}, needs=["x"])
    assert told in said and "missing, of" not in said and "problems" not in said
