"""Columns mean the same whatever their cells' types."""

import datetime
import re
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from column_tables import AGES, K3, N, csv, planned, refused, table, terms

from bayes_crlm.cli.terminal import describe
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.cohort.table.column_values import level_text
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.sensitivity.two_arms import two_arms

NUMBERS = {
    "object of int": pd.Series(AGES, dtype=object),
    "object with None": pd.Series([None, *AGES[1:]], dtype=object),
    "decimal": pd.Series([Decimal(each) for each in AGES], dtype=object),
    "one stored as text": pd.Series([str(AGES[0]), *AGES[1:]], dtype=object),
    "missing values": pd.Series([".", *AGES[1:]], dtype=object),
    "a dash": pd.Series(["-", *AGES[1:]], dtype=object),
    "Int64 with NA": pd.Series([None, *AGES[1:]], dtype="Int64"),
    "arrow decimal": pd.Series([Decimal(each) for each in AGES], dtype=object).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "float32": pd.Series(AGES, dtype="float32"),
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_any_type_are_one_term(kind):
    assert terms(table(x=NUMBERS[kind]), missing="drop") == ("x",)


@pytest.mark.parametrize("mark", ["", ".", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", "-"])
def test_a_mark_of_missing_in_a_text_file_is_counted_and_leaves_numbers(tmp_path, mark):
    path = csv(tmp_path, x=[mark, mark, *map(str, AGES[2:])])
    plan = planned(path, missing="drop")
    assert plan.inputs.design.terms == ("arm[T.1]", "x")
    assert plan.inputs.cohort.n_patients == N - 2
    how = "empty" if mark == "" else repr(mark)
    assert any("'x'" in told and f"{how} in 2 rows" in told for told in plan.warnings)


@pytest.mark.parametrize("word", ["None", "none", "no", "No"])
def test_words_for_none_are_levels(tmp_path, word):
    values = [("mild", word, "severe")[k % 3] for k in range(N)]
    path = csv(tmp_path, x=values)
    assert set(terms(path)) < {f"x[T.{each}]" for each in ("mild", word, "severe")}
    assert len(terms(path)) == len(terms(table(x=values))) == 2


@pytest.mark.parametrize("cell", ["6O", "<0.5", "#DIV/0!", "12%", "1,5"])
def test_text_in_a_column_of_numbers_is_refused_by_row(tmp_path, cell):
    values = [*AGES[:7], cell, *AGES[8:]]
    for source in (csv(tmp_path, x=values), table(x=pd.Series(values, dtype=object))):
        assert f"'x' holds numbers except in row 8 ('{cell}')" in refused(source)


def test_text_codes_of_every_text_type_are_levels():
    codes = [str(1 + k % 3) for k in range(N)]
    for dtype in (object, "str", "string", "string[pyarrow]", "category"):
        assert terms(table(x=pd.Series(codes, dtype=dtype))) == ("x[T.2]", "x[T.3]"), dtype


@pytest.mark.parametrize("pair", [("01", "1"), ("1.10", "1.1"), ("1e5", "100000"), ("+2", "2")])
def test_one_number_in_two_texts_is_two_levels_and_said(tmp_path, pair):
    path = csv(tmp_path, x=[pair[k % 4 == 0] for k in range(N)])
    assert len(terms(path, "C(x)")) == 1
    plan = planned(path, "", treatment="x", reference=pair[1])
    assert plan.inputs.design.reference == pair[1]
    assert [str(each) for each in plan.inputs.design.levels] == [pair[1], pair[0]]
    assert any(repr(pair[0]) in told and repr(pair[1]) in told for told in plan.warnings)


def test_zero_and_zero_point_zero_are_one_level(tmp_path):
    path = csv(tmp_path, x=[("0", "0.0", "1", "2.0")[k // 2 % 4] for k in range(N)])
    assert terms(path, "C(x)") == ("C(x)[T.1]", "C(x)[T.2]")
    assert planned(path, "", treatment="x").inputs.design.levels == (0, 1, 2)


def test_outer_spaces_make_no_levels_and_are_said(tmp_path):
    path = csv(tmp_path, x=["AB"[k % 4 == 0] + " " * (k == 1 or k == 4) for k in range(N)])
    plan = planned(path)
    assert plan.inputs.design.terms[1:] == ("x[T.B]",)
    assert any("spaces around values are removed in 2 rows" in told for told in plan.warnings)


def test_bytes_are_their_text():
    values = [("a", "b", "c")[k // 2 % 3] for k in range(N)]
    assert terms(table(x=[each.encode() for each in values])) == terms(table(x=values))


def test_case_makes_levels():
    assert len(terms(table(x=["A", "A", "a", "a", "B", "B", "b", "b"] * 5))) == 3


def test_two_texts_of_a_number_are_not_called_levels_where_they_are_one_number(tmp_path):
    path = csv(tmp_path, x=["1.10", "1.1", "2", "2", "3.5"] * 8)
    for covariates, n_terms in (("x", 1), ("C(x)", 3)):
        plan = planned(path, covariates=covariates)
        (told,) = [each for each in plan.warnings if "same number" in each]
        assert "'1.1' and '1.10'" in told
        assert "levels of their own" in told
        assert "elsewhere one number" in told
        assert len(plan.inputs.design.terms) == 1 + n_terms


def test_a_level_that_no_row_has_is_forgotten_and_said():
    values = pd.Categorical(["A", "B"] * 20, categories=["A", "B", "C"])
    cohort = read_cohort(table(x=values[np.arange(N) // 2 % 20]), time="time", event="event")
    assert "'C'" in cohort.column_notes["x"][0]
    assert "occur in no row" in cohort.column_notes["x"][0]


@pytest.mark.parametrize("ordered", [True, False])
def test_the_order_of_rows_changes_no_reference(ordered):
    values = [("mid", "low", "high")[k // 2 % 3] for k in range(N)]
    dtype = pd.CategoricalDtype(["low", "mid", "high"], ordered=True) if ordered else None
    found = set()
    for seed in range(6):
        frame = table(x=values).sample(frac=1, random_state=seed, ignore_index=True)
        if ordered:
            frame["x"] = frame["x"].astype(dtype)
        else:
            frame["x"] = pd.Categorical(frame["x"], categories=frame["x"].unique())
        found.add(terms(frame))
    assert found == {("x[T.mid]", "x[T.high]") if ordered else ("x[T.low]", "x[T.mid]")}


def test_check_names_the_reference_of_every_factor(tmp_path):
    path = csv(
        tmp_path,
        x=[("c", "a", "b")[k // 2 % 3] for k in range(N)],
        y=[k // 3 % 3 for k in range(N)],
    )
    said = describe(planned(path, "x + C(y)"))
    assert "x: b, c, against a" in said
    assert "y: 1, 2, against 0" in said


def test_one_level_is_refused_by_name(tmp_path):
    for values, covariates in ((["F"] * N, "x"), ([3] * N, "C(x)"), (["F"] * N, "x + age")):
        source = csv(tmp_path, x=values, age=AGES)
        assert "covariate 'x' is constant" in refused(source, covariates)


def test_levels_have_a_cap_in_one_sentence(tmp_path):
    path = csv(tmp_path, x=[f"level {k}" for k in range(N)])
    frame = pd.concat([table(x=[f"{k} {j}" for k in range(N)]) for j in range(3)])
    assert "has 120 levels" in refused(frame)
    assert refused(path)


def test_mixed_numbers_and_text_are_arms_by_their_text():
    arms = pd.Series([(1, "1", "2b")[k // 3 % 3] for k in range(N)], dtype=object)
    cohort = read_cohort(table(arm=arms), time="time", event="event")
    assert PiecewiseExponential("arm", 1).prepare(cohort).design.levels == ("1", "2b")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (pd.date_range("2020-01-01", periods=N), "dates"),
        ([datetime.date(2020, 1, 1 + k % 20) for k in range(N)], "dates"),
        (pd.to_timedelta(np.arange(N), unit="D"), "durations"),
        ([[k] for k in range(N)], "list"),
        ([(k % 3, "a") for k in range(N)], "lists or records"),
    ],
)
def test_dates_durations_and_other_types_are_no_covariates(values, words):
    assert words in refused(table(x=values))
    assert refused(table(x=values), "", treatment="x")


def test_dates_of_a_text_file_are_no_covariates(tmp_path):
    assert "dates" in refused(csv(tmp_path, x=[f"2020-01-{1 + k % 20:02d}" for k in range(N)]))


IDS = {
    "uuid": [uuid.UUID(int=k) for k in range(N)],
    "date": [datetime.date(2020, 1, 1) + datetime.timedelta(k) for k in range(N)],
    "zone": list(pd.date_range("2020-01-01", periods=N, tz="Europe/Paris")),
    "tuple": [(k, "a") for k in range(N)],
    "bytes": [f"p{k}".encode() for k in range(N)],
    "mixed": [f"{k}A" if k % 7 == 0 else k for k in range(N)],
    "period": list(pd.period_range("2020-01", periods=N, freq="M")),
    "interval": list(pd.interval_range(0, N)),
    "decimal": [Decimal(k) for k in range(N)],
}


@pytest.mark.parametrize("kind", IDS)
def test_ids_of_every_type_can_be_written_to_files(kind, tmp_path):
    import xarray as xr

    frame = table(p=pd.Series(IDS[kind], dtype=object))
    cohort = read_cohort(frame, time="time", event="event", id="p")
    assert cohort.n_patients == N
    data = xr.Dataset({"x": ("patient", np.zeros(N))}, coords={"patient": cohort.patients})
    data.to_netcdf(tmp_path / "data.nc")
    assert xr.open_dataset(tmp_path / "data.nc").patient.to_numpy().tolist() == list(
        cohort.patients
    )


def test_columns_named_by_numbers_are_named_by_their_text():
    frame = table(x=AGES).rename(columns={"x": 7})
    assert terms(frame, "`7`") == ("7",)
    assert "'7' occurs more than once" in refused(frame.assign(**{"7": 1}), "")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "xlsx"])
def test_numbers_among_text_are_levels_and_said(tmp_path, suffix):
    values = [["1", "2", "high", "low", "high"][k % 5] for k in range(N)]
    path = tmp_path / f"data.{suffix}"
    if suffix == "csv":
        table(x=values).to_csv(path, index=False)
    elif suffix == "parquet":
        table(x=values).to_parquet(path)
    else:
        table(x=[int(each) if each.isdigit() else each for each in values]).to_excel(
            path, index=False
        )
    said = " ".join(describe(planned(path)).split())
    assert "holds numbers ('1', '2') and text ('high', 'low'), so that every value is a level" in (
        said
    )


def test_levels_written_alike_as_numbers_stay_apart_in_rebuilt_cohorts(tmp_path):
    path = csv(tmp_path, x=[["01", "1", "2"][k // 2 % 3] for k in range(N)])
    model = PiecewiseExponential("arm", 0, "C(x)")
    inputs = model.prepare(read_cohort(path, time="time", event="event"))
    arms = two_arms(model, inputs)
    every = np.arange(N)
    rebuilt = arms.cohort(every, arms.time, arms.event, arms.is_treated)
    design = arms.model.prepare(rebuilt).design
    assert design.terms[1:] == inputs.design.terms[1:]
    assert np.array_equal(design.matrix, inputs.design.matrix)


PACKED = {
    "numbers packed into bytes": [b"\x00\x01\x00" if k % 3 else b"\x00b\x00" for k in range(N)],
    "complex numbers": [k + 1j for k in range(N)],
    "durations of NumPy": [np.timedelta64(k, "D") for k in range(N)],
    "durations of Python": [datetime.timedelta(k) for k in range(N)],
    "categories of dates": pd.Categorical(pd.Timestamp("2020-01-01") + pd.to_timedelta(K3, "D")),
    "categories of durations": pd.Categorical(pd.to_timedelta(K3, "D")),
    "categories of tuples": pd.Series([(1, k % 2) for k in range(N)]).astype("category"),
}


@pytest.mark.parametrize("kind", PACKED)
def test_what_is_neither_number_nor_level_is_refused(kind):
    said = refused(table(x=pd.Series(PACKED[kind])))
    assert "covariate 'x' holds" in said
    assert ("durations" in kind) == ("durations" in said)


def test_an_interval_of_parquet_makes_no_levels(tmp_path):
    """DuckDB and Spark write one as twelve bytes: months, days, milliseconds."""
    packed = [np.array([0, 40 + k % 5, 0], dtype="<u4").tobytes() for k in range(N)]
    column = pa.array(packed, type=pa.binary(12))
    whole = pa.Table.from_pandas(table()).append_column("x", column)
    pq.write_table(whole, tmp_path / "data.parquet")
    assert "bytes" in refused(tmp_path / "data.parquet")


def test_a_sparse_column_is_the_column():
    sparse = pd.Series(pd.arrays.SparseArray([float(each) for each in AGES]))
    assert terms(table(x=sparse)) == ("x",)


def test_decimal_commas_in_text_make_no_levels(tmp_path):
    sizes = [f"{k % 5},5" if k % 4 else str(k % 5) for k in range(N)]
    assert "decimal comma" in refused(table(x=[f"{k % 5},5" for k in range(N)]))
    assert "'x'" in refused(table(x=sizes))
    assert len(terms(table(x=[f"{k % 5},5" for k in range(N)]), "C(x)")) == 4
    table(x=[f"{k % 5},5" for k in range(N)]).to_excel(tmp_path / "data.xlsx", index=False)
    assert "decimal comma" in refused(tmp_path / "data.xlsx")


def test_values_that_a_condition_could_name_are_listed_in_order_whatever_the_rows():
    wanted = [{"column": "x", "op": "!=", "value": 99}]
    said = read_cohort(table(x=AGES[::-1]), time="time", event="event", where=wanted).remarks
    assert any("it holds 40, 41, 42" in each for each in said)


def test_one_row_and_one_patient_are_said_in_the_singular(tmp_path):
    frame = table(age=[str(each) for each in AGES], sex=["m", "f"] * (N // 2), n=AGES).astype(
        object
    )
    frame.loc[3, "age"], frame.loc[4, "sex"], frame.loc[6, "n"] = ".", "m ", 999
    frame.to_csv(tmp_path / "rows.csv", index=False)
    cohort = read_cohort(
        tmp_path / "rows.csv", time="time", event="event", missing="drop",
        missing_values={"n": [999]},
    )  # fmt: skip
    said = [each for notes in cohort.column_notes.values() for each in notes]
    assert "missing values: '.' in 1 row" in said
    assert "missing by data.missing_values: '999' in 1 row" in said
    assert "spaces around values are removed in 1 row ('m ')" in said
    assert not [each for each in said if re.search(r"\b1 (rows|patients|events|levels)\b", each)]


def test_levels_that_differ_in_capitals_or_unicode_form_stay_and_are_named(tmp_path):
    words = ["yes", "Yes", "caf\u00e9", "cafe\u0301", "no"]
    frame = table(x=[words[k % 5] for k in range(N)], y=["a", "b"] * (N // 2))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    for source in (frame, tmp_path / "rows.csv", frame.astype({"x": "category"})):
        cohort = read_cohort(source, time="time", event="event")
        (told,) = cohort.column_notes["x"]
        assert "'Yes' and 'yes'" in told and "caf" in told and "kept apart" in told
        assert "y" not in cohort.column_notes
        assert len(terms(source)) == 4


@pytest.mark.parametrize("width", [np.float32, np.float64])
def test_times_and_covariates_of_sparse_columns(width):
    times = np.array([1.2, 2.5, 0.1, 4.0])
    frame = pd.DataFrame({"death": [1, 0, 1, 0], "age": pd.arrays.SparseArray(times)})
    frame["months"] = pd.arrays.SparseArray(times.astype(width))
    cohort = read_cohort(frame, time="months", event="death")
    assert cohort.time.tolist() == times.tolist()
    assert cohort.table["age"].tolist() == times.tolist()


def test_a_duration_of_numpy_is_a_level_and_no_number():
    assert level_text(np.timedelta64(36, "h")) == "36 hours"
