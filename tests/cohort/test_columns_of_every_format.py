"""One column from every file format and kind of table is one column."""

from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from column_tables import AGES, N, csv, planned, refused, table, terms

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.words.errors import CohortError


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


def test_numbers_that_arrow_stores_by_dictionary_are_numbers():
    frame = table()
    columns = {name: pa.array(frame[name]) for name in frame.columns}
    for kind in (pa.int64(), pa.float64(), pa.decimal128(5, 1)):
        numbers = pa.array([Decimal(each) for each in AGES]).cast(kind)
        assert terms(pa.table({**columns, "x": numbers.dictionary_encode()})) == ("x",)
    words = pa.array([str(each % 3) for each in AGES]).dictionary_encode()
    assert len(terms(pa.table({**columns, "x": words}))) == 2


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


@pytest.mark.parametrize("kind", ["csv", "parquet", "xlsx", "object", "category"])
def test_a_patient_has_one_name_in_every_format(tmp_path, kind):
    names = [f"p{k}" for k in range(N)]
    names[3] = " p3 "

    def source(names):
        frame = table(name=names)
        if kind in ("object", "category"):
            return frame.assign(name=frame["name"].astype(kind))
        path = tmp_path / f"data.{kind}"
        writers = {"csv": frame.to_csv, "xlsx": frame.to_excel, "parquet": frame.to_parquet}
        writers[kind](path, index=False)
        return path

    roles = {"time": "time", "event": "event", "id": "name"}
    assert read_cohort(source(names), **roles).patients[3] == "p3"
    names[4] = "p3"
    with pytest.raises(CohortError, match=r"names patient 'p3' in rows 4 and 5;"):
        read_cohort(source(names), **roles)
    names[4], names[6] = "NA", "."
    with pytest.raises(CohortError, match=r"'name' \(id\) is missing in rows 5 and 7;"):
        read_cohort(source(names), **roles)
