"""Columns mean the same whatever their cells' types and whatever wrote them."""

import datetime
import re
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cli.terminal import describe
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.sensitivity.two_arms import two_arms
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError

N = 40


def table(**columns):
    """Forty patients on two arms, with further columns."""
    rng = np.random.default_rng(1)
    arm = np.arange(N) % 2
    frame = pd.DataFrame({"arm": arm, "time": 1 + rng.exponential(10, N).round(3)})
    frame["event"] = (np.arange(N) % 3 > 0).astype(int)
    return frame.assign(**columns)


AGES = [40 + k % 17 for k in range(N)]
K3 = [k % 3 for k in range(N)]


def terms(source, covariates="x", **options):
    cohort = read_cohort(source, time="time", event="event", **options)
    return PiecewiseExponential("arm", 0, covariates).prepare(cohort).design.terms[1:]


def refused(source, covariates="x", treatment="arm", **options):
    def prepare():
        cohort = read_cohort(source, time="time", event="event", **options)
        PiecewiseExponential(treatment, None, covariates).prepare(cohort)

    with pytest.raises(BayesCRLMError) as caught:
        prepare()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def planned(path, covariates="x", treatment="arm", reference=0, **data):
    tables = {
        "title": "A title",
        "data": {"source": str(path), "time": "time", "event": "event", **data},
        "model": {"treatment": treatment, "reference": reference, "covariates": covariates},
    }
    return plan_analysis(Spec.from_mapping(tables))


def csv(tmp_path, **columns):
    path = tmp_path / "data.csv"
    table(**columns).to_csv(path, index=False)
    return path


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


# --- said in the spec and in Python ---------------------------------------------------------------


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


# --- dates in where -------------------------------------------------------------------------------


DATES = [datetime.date(2015, 1, 1) + datetime.timedelta(9 * k) for k in range(N)]


@pytest.mark.parametrize("value", ["2015-06-01", "2015-06-01T00:00", datetime.date(2015, 6, 1)])
@pytest.mark.parametrize("kind", ["csv", "date", "datetime", "text"])
def test_iso_dates_choose_the_same_rows_in_every_format(tmp_path, value, kind):
    texts = [each.isoformat() for each in DATES]
    source = {
        "csv": lambda: csv(tmp_path, x=texts),
        "date": lambda: table(x=DATES),
        "datetime": lambda: table(x=pd.to_datetime(DATES)),
        "text": lambda: table(x=texts),
    }[kind]()
    where = [{"column": "x", "op": ">=", "value": value}]
    cohort = read_cohort(source, time="time", event="event", where=where)
    assert cohort.n_rows == sum(each >= datetime.date(2015, 6, 1) for each in DATES)
    assert "2015-06-01" in cohort.excluded[0].reason


@pytest.mark.parametrize(
    "value", ["12/02/2015", "13/02/2015", "1.7.2015", "07/15", "July", "now", "", "NaT", "20150701",
              "2015-02-30", "2015-7-1", 2015]
)  # fmt: skip
def test_other_dates_are_refused(value):
    where = [{"column": "x", "op": ">=", "value": value}]
    assert "where: column 'x' holds dates" in refused(table(x=DATES), "", where=where)


# --- other tables and packed files ----------------------------------------------------------------


def test_arrow_tables_are_taken():
    import pyarrow as pa

    class Stream:
        def __init__(self, frame):
            self.table = pa.Table.from_pandas(frame, preserve_index=False)

        def __arrow_c_stream__(self, requested_schema=None):
            return self.table.__arrow_c_stream__(requested_schema)

    frame = table(x=["b", "a"] * 20, y=AGES).assign(x=lambda f: f["x"].where(f.index % 5 > 0, "c"))
    for source in (Stream(frame), pa.Table.from_pandas(frame, preserve_index=False)):
        assert terms(source, "x + y") == terms(frame, "x + y")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz", "zip"])
def test_packed_text_is_read(tmp_path, packed):
    path = tmp_path / f"data.csv.{packed}"
    table(x=AGES).to_csv(path, index=False)
    assert planned(path).inputs.cohort.n_patients == N
    path.write_bytes(path.read_bytes()[:40])
    assert "not a complete" in refused(path)


def test_a_sheet_is_the_one_that_is_said(tmp_path):
    path = tmp_path / "data.xlsx"
    with pd.ExcelWriter(path) as book:
        table(x=["a"] * N).to_excel(book, sheet_name="first", index=False)
        table(x=AGES).to_excel(book, sheet_name="ages", index=False)
    assert planned(path, sheet="ages").inputs.design.terms == ("arm[T.1]", "x")
    assert "there is no sheet 'age'; did you mean 'ages'?" in refused(path, sheet="age")
    cohort = read_cohort(path, time="time", event="event")
    assert "first sheet" in cohort.column_notes[""][0]
    assert "only Excel" in refused(csv(tmp_path, x=AGES), sheet="ages")


def test_a_far_cell_of_a_sheet_is_refused(tmp_path):
    from openpyxl import load_workbook

    path = tmp_path / "data.xlsx"
    table(x=AGES).to_excel(path, index=False)
    for cell in ("B900000", "XFD5"):
        book = load_workbook(path)
        book.active[cell] = 1
        book.save(tmp_path / "far.xlsx")
        assert "delete what lies beside" in refused(tmp_path / "far.xlsx")


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


# --- one model from every format ------------------------------------------------------------------

CODES = {
    "leading zeros beside none": ["01", "1", "2"],
    "leading zeros": ["01", "02", "10"],
    "trailing zeros beside none": ["1.10", "1.1", "2"],
    "trailing zeros": ["1.50", "2.00", "10.25"],
    "zeros after the point": ["0", "0.0", "1"],
    "an exponent": ["1e5", "100000", "7"],
    "plain": ["10", "9", "2"],
    "a sign": ["+2", "2", "-1"],
}


def in_every_format(tmp_path, cells, name="x", **columns):
    """The same cells in a text file, as text of typed files and tables, and mixed with numbers."""
    text = [str(each) for each in cells]
    frame = table(**{name: text}, **columns)
    frame.to_csv(tmp_path / "same.csv", index=False)
    frame.to_csv(tmp_path / "same.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "same.parquet")
    frame.to_excel(tmp_path / "same.xlsx", index=False)
    frame.assign(**{name: [float(t) if t == str(int(float(t))) else t for t in text]}).to_excel(
        tmp_path / "mixed.xlsx", index=False
    )
    frame.to_stata(tmp_path / "same.dta", write_index=False)
    yield from (
        tmp_path / each
        for each in ("same.csv", "same.tsv", "same.parquet", "same.xlsx", "mixed.xlsx", "same.dta")
    )
    for dtype in (object, "str", "string", "category"):
        yield frame.astype({name: dtype})
    yield frame.assign(
        **{name: pd.Series([int(t) if t.isdigit() and t == str(int(t)) else t for t in text])}
    )


@pytest.mark.parametrize("kind", CODES)
def test_levels_written_as_numbers_are_the_same_in_every_format(tmp_path, kind):
    cells = [CODES[kind][k // 2 % 3] for k in range(N)]
    found = []
    for source in in_every_format(tmp_path, cells):
        cohort = read_cohort(source, time="time", event="event")
        factor = PiecewiseExponential("arm", 0, "C(x)").prepare(cohort).design
        arms = PiecewiseExponential("x").prepare(cohort).design
        found.append((factor.terms, factor.matrix.tolist(), arms.terms, arms.matrix.tolist()))
    assert len(found[0][2]) == (1 if kind == "zeros after the point" else 2)
    assert all(each == found[0] for each in found[1:])


def test_one_number_in_two_texts_is_named_in_every_format(tmp_path):
    cells = [("01", "1", "2")[k // 2 % 3] for k in range(N)]
    for source in in_every_format(tmp_path, cells):
        cohort = read_cohort(source, time="time", event="event")
        assert any("'01' and '1'" in note for note in cohort.column_notes["x"]), source


def test_a_whole_number_is_one_level_of_a_factor_whether_a_value_is_missing_or_not():
    values = [1 + k // 2 % 3 for k in range(N)]
    whole = terms(table(x=values), "C(x)")
    missing = terms(table(x=[None, *values[1:]]), "C(x)", missing="drop")
    assert whole == missing == ("C(x)[T.2]", "C(x)[T.3]")


# --- levels that go with their rows ---------------------------------------------------------------


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


def test_numbers_that_arrow_stores_by_dictionary_are_numbers():
    frame = table()
    columns = {name: pa.array(frame[name]) for name in frame.columns}
    for kind in (pa.int64(), pa.float64(), pa.decimal128(5, 1)):
        numbers = pa.array([Decimal(each) for each in AGES]).cast(kind)
        assert terms(pa.table({**columns, "x": numbers.dictionary_encode()})) == ("x",)
    words = pa.array([str(each % 3) for each in AGES]).dictionary_encode()
    assert len(terms(pa.table({**columns, "x": words}))) == 2


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


@pytest.mark.parametrize(
    ("levels", "told"),
    [(["0", "1"], "levels that data.levels does not name"), ("number", "is declared a number")],
)
def test_what_data_levels_does_not_fit_is_one_problem(levels, told):
    frame = table(x=[["0", "1", "two"][k] for k in K3])
    said = refused(frame, levels={"x": levels}, needs=["x"])
    assert told in said and "missing, of" not in said and "problems" not in said


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


def rows_of_text(tmp_path, cell_of_row, separator=","):
    lines = [separator.join(["arm", "x", "time", "event"])]
    lines += [separator.join([str(k % 2), cell_of_row(k), f"{k + 1}.5", "1"]) for k in range(N)]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    return read_cohort(tmp_path / "rows.csv", time="time", event="event")


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_space_before_some_texts_of_a_file_is_taken_off_and_said(tmp_path, separator):
    cohort = rows_of_text(tmp_path, lambda k: " B" if k == 4 else "AB"[k % 2], separator)
    assert cohort.column_notes["x"] == ("spaces around values are removed in 1 row (' B')",)
    assert set(cohort.table["x"]) == {"A", "B"}


@pytest.mark.parametrize("written", [" {}", ' "{}"', ' "{}, too"'])
def test_a_space_behind_every_separator_is_not_said(tmp_path, written):
    cohort = rows_of_text(tmp_path, lambda k: written.format("AB"[k % 2]))
    assert "x" not in cohort.column_notes
    assert all(each[0] in "AB" for each in cohort.table["x"])


def test_spaces_before_some_numbers_of_a_file_change_no_number(tmp_path):
    cohort = rows_of_text(tmp_path, lambda k: f"{k:3d}")
    assert cohort.table["x"].tolist() == list(range(N)) and "x" not in cohort.column_notes
