"""Files to tables: every format says the same; what is not a table is refused in one sentence."""

import base64
import gzip
import hashlib
import io
import zipfile

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from tables import read_table

from bayes_crlm.cohort.table.files import SUFFIXES
from bayes_crlm.words.errors import BayesCRLMError, DataFileError

TABLE = pd.DataFrame(
    {
        "patient": [11, 12, 13, 14],
        "months": [1.5, 2.25, 30.125, 0.1],
        "death": [1, 0, 1, 1],
        "arm": ["local", "systemic", "local", "systemic"],
        "cea": [3.5, np.nan, 12.0, 200.0],
        "site": ["left", None, "right", "left"],
    }
)

SAS7BDAT = (
    "H4sIAAAAAAAC/+2Zz4vTQBTH36Rpm5Wq7ZLDHhYM6yJFaklILSuIttCKYhWhPXgQtNRoA/0h2wgrCLKgJz15cv03"
    "PCkIiyx4FG8e9rBnT550/bGNbWbSZp4burIUFecD4eV98+bNS2aSTlKAMW8+rt54oabevX6qwMxb48nckWTKXADT"
    "JJJBaIgKECGcbpKjJqgqaBHi56kWq9q5C5VyqVgrVss1LQyYwLB9IG5r9fFmMWB5knQjSD6V1XO6celkxe7cXQno"
    "ZtbQs/oJw8jrWcPIGjjdylL+ej7HSVuVy91H/objn73a7KM6BQKBQCAQCAQCgUAg+GtYG7+3clyMsh1pFg4NzIcE"
    "ddMRPm6d6XOoffMAtVclXk8w/ZovsBf29RlqK0gvMf0+0mWmF5C+oSCd8TBEL4Xocoi+EQ/JP0FHZTKOsfDts9R+"
    "YjZRaHUb9ZamaS3rljP+BpJm8RLfzfvtB717Pcdq2w3+28pxGqedKfD506P8y/btpjOKzxSerw15ieqxC35+vh6B"
    "QCAQ7If+d9dDtP9D7WlzN8P8RWZjEB/8XseY57qyp+24fTfKtf/B2jdRXm8JIRNQkJ9Evsb50mgt5R9Po+NBWNfu"
    "0khZBLrkyLDKc0CrPQ0RtkKhtgQyqneH5To/llT8n433n06tfOVO3bGtjgPtbsdp9gBuWnVneP715TY0rDr0bMfa"
    "7SL518jvOz6leyoR58eGjMaUX4fF0LkTVB/2XRQXRXFRNKcIOk/ss6k7ce5+22PcV3d/98K/xucBwXH0+TLAW8Ey"
    "P4mOp/QFz+pofDE4r/9smIfdE2tonrj/2XhM6330d/HvMwn5B5F/GPmzyFemdqZKYM6pgX4S3v78HnuWB5WSX56i"
    "tcDx0Evj8ROqVCVNACAAAA=="
)
"""TABLE as ReadStat's C library writes it (gzip, base64); nothing in Python writes this format."""


def write(path, table=TABLE):
    """Write a table in the format of the path's suffix."""
    suffix = "".join(path.suffixes)
    match suffix:
        case ".csv" | ".txt" | ".csv.gz":
            table.to_csv(path, index=False)
        case ".tsv":
            table.to_csv(path, index=False, sep="\t")
        case ".parquet":
            table.to_parquet(path)
        case ".xlsx":
            table.to_excel(path, index=False)
        case ".dta":
            table.assign(site=table["site"].fillna("")).to_stata(path, write_index=False)
        case ".sav":
            pyreadstat.write_sav(table, path)
        case ".zsav":
            pyreadstat.write_sav(table, path, compress=True)
        case ".por":
            pyreadstat.write_por(table.rename(columns=str.upper), path)
        case ".xpt":
            pyreadstat.write_xport(table, path)
        case ".sas7bdat":
            path.write_bytes(gzip.decompress(base64.b64decode(SAS7BDAT)))
    return path


def refusal(path, **options):
    """Give the one line with which a file is refused."""
    with pytest.raises(DataFileError) as caught:
        read_table(path, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 2000
    return message


def text_file(tmp_path, content, name="cohort.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "suffix",
    [
        ".csv",
        ".tsv",
        ".txt",
        ".csv.gz",
        ".parquet",
        ".xlsx",
        ".dta",
        ".sav",
        ".zsav",
        ".xpt",
        ".sas7bdat",
    ],
)
def test_every_format_gives_the_same_table(tmp_path, suffix):
    path = write(tmp_path / f"cohort{suffix}")
    table, sha256 = read_table(path)
    pd.testing.assert_frame_equal(table, TABLE, check_dtype=False)
    assert [table[column].dtype.kind for column in ("patient", "months", "death")] == list("ifi")
    assert table["site"].isna().tolist() == [False, True, False, False]
    assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_spss_portable_file_is_read(tmp_path):
    # The format knows capitals only, and base-30 fractions to limited digits.
    table, _ = read_table(write(tmp_path / "cohort.por"))
    expected = TABLE.rename(columns=str.upper)
    pd.testing.assert_frame_equal(table, expected, check_dtype=False, rtol=1e-9)


def test_every_suffix_is_dispatched(tmp_path):
    for suffix in SUFFIXES:
        message = refusal(text_file(tmp_path, b"\x00\x01junk", f"junk{suffix}"))
        assert "are not read" not in message


def test_missing_file_suggests_the_nearest_name(tmp_path):
    write(tmp_path / "cohort.csv")
    assert "there is no such file; did you mean 'cohort.csv'?" in refusal(tmp_path / "chort.csv")


def test_missing_file_in_a_missing_folder(tmp_path):
    assert "does not exist either" in refusal(tmp_path / "nowhere" / "cohort.csv")


def test_misspelt_data_set_suggests_the_nearest_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert "did you mean 'crlm-synthetic'?" in refusal("crlm-syntetic")


def test_data_set_is_read_by_name():
    from bayes_crlm.datasets import load_dataset

    table, sha256 = read_table("crlm-synthetic")
    assert len(table) == 135
    assert sha256 == load_dataset("crlm-synthetic")[1]


def test_directory(tmp_path):
    assert f"{tmp_path}: it is a directory" in refusal(tmp_path)


def test_unreadable_permissions(tmp_path, monkeypatch):
    path = write(tmp_path / "cohort.csv")

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    # Permissions bind no superuser, as whom tests may run, so the refusal is acted out.
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert "permission denied; make it readable" in refusal(path)


@pytest.mark.parametrize(
    "name", ["a\0b.csv", "x" * 5000 + ".csv", "/dev/null", "odd\nname.csv", ""]
)
def test_impossible_paths(name):
    refusal(name)


def test_empty_file(tmp_path):
    assert "cohort.csv: the file is empty (0 bytes)" in refusal(text_file(tmp_path, ""))


def test_blank_lines_only(tmp_path):
    assert "empty (blank lines only)" in refusal(text_file(tmp_path, " \n\n  \n"))


def test_header_only(tmp_path):
    assert "a header but no rows" in refusal(text_file(tmp_path, "months,death\n"))


@pytest.mark.parametrize("suffix", [".parquet", ".xlsx", ".dta", ".sav"])
def test_header_only_in_other_formats(tmp_path, suffix):
    empty = pd.DataFrame({"months": pd.Series([], dtype=float), "site": pd.Series([], dtype=float)})
    assert "a header but no rows" in refusal(write(tmp_path / f"cohort{suffix}", empty))


@pytest.mark.parametrize("suffix", [".xls", ".ods", ".xlsb", ".rds", ""])
def test_unknown_suffix_lists_the_known(tmp_path, suffix):
    message = refusal(text_file(tmp_path, "a,b\n1,2\n", f"cohort{suffix}"))
    assert "are not read" in message
    assert ".parquet" in message
    assert ("save an old Excel workbook as .xlsx or CSV" in message) == (suffix == ".xls")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "a JPEG image"),
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"PK\x03\x04rest", "a zip archive or an Office document"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x1f\x8b\x08\x00", "a gzip archive"),
        (b"a,b\n1,2\x00\n", "binary"),
        (bytes(range(256)), "binary"),
        ('{"months": [1, 2], "death": [0, 1]}', "JSON"),
        ('[{"months": 1}]', "JSON"),
        ("<!DOCTYPE html><table></table>", "HTML or XML"),
        ("only one column\n1\n2\n", "the header is one field"),
        ("months death\n1 0\n2 1\n", "commas, semicolons or tabs"),
    ],
)
def test_not_a_table(tmp_path, content, words):
    assert words in refusal(text_file(tmp_path, content))


@pytest.mark.parametrize(
    "suffix", [".parquet", ".xlsx", ".dta", ".sav", ".por", ".sas7bdat", ".xpt"]
)
def test_junk_in_a_binary_format(tmp_path, suffix):
    message = refusal(text_file(tmp_path, b"a,b\n1,2\n" * 50, f"junk{suffix}"))
    assert f"junk{suffix}: it is not a" in message
    assert "export the data as CSV" in message


@pytest.mark.parametrize(
    "suffix", [".parquet", ".xlsx", ".dta", ".sav", ".xpt", ".sas7bdat", ".csv.gz"]
)
def test_truncated_file_is_refused_or_read_but_never_crashes(tmp_path, suffix):
    whole = write(tmp_path / f"cohort{suffix}").read_bytes()
    for size in (1, len(whole) // 3, len(whole) // 2, len(whole) - 5):
        path = text_file(tmp_path, whole[:size], f"part{suffix}")
        try:
            read_table(path)
        except BayesCRLMError as error:
            assert "\n" not in str(error)


def test_gz_that_is_not_gzip(tmp_path):
    message = refusal(text_file(tmp_path, "a,b\n1,2\n", "cohort.csv.gz"))
    assert "not a complete gzip file" in message


def archive(files):
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as made:
        for name, text in files.items():
            made.writestr(name, text)
    return whole.getvalue()


@pytest.mark.parametrize("name", ["cohort.zip", "cohort.v2.zip", "COHORT.ZIP", "cohort.csv.zip"])
def test_an_archive_of_one_text_table_may_have_a_name_of_its_own(tmp_path, name):
    table = read_table(text_file(tmp_path, archive({"cohort.csv": "a,b\n1,2\n"}), name))[0]
    assert table.to_dict("list") == {"a": [1], "b": [2]}


@pytest.mark.parametrize("name", ["cohort.zip", "cohort.csv.zip"])
def test_an_archive_of_something_else_is_said_to_hold_that(tmp_path, name):
    message = refusal(text_file(tmp_path, archive({"a.csv": "a\n", "b.csv": "a\n"}), name))
    assert "the archive holds 'a.csv', 'b.csv'; give" in message
    assert "not a complete" not in message
    assert "no file" in refusal(text_file(tmp_path, archive({}), name))


def test_empty_gz(tmp_path):
    assert "empty" in refusal(text_file(tmp_path, gzip.compress(b""), "cohort.csv.gz"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf16_says_how_to_save_again(tmp_path, encoding):
    message = refusal(text_file(tmp_path, "months,death\n1,0\n2,1\n".encode(encoding)))
    assert "UTF-16" in message
    assert "save it again as UTF-8" in message


def test_latin1_names_the_line_and_the_byte(tmp_path):
    message = refusal(text_file(tmp_path, "site,death\nleft,0\nC\xe6cum,1\n".encode("latin-1")))
    assert "line 3" in message
    assert "0xe6" in message
    assert "save it again as UTF-8" in message


def test_byte_order_mark_is_no_part_of_the_first_name(tmp_path):
    table, _ = read_table(text_file(tmp_path, b"\xef\xbb\xbfmonths,death\n1,0\n"))
    assert list(table.columns) == ["months", "death"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_and_blank_lines(tmp_path, ending):
    content = ending.join(["", "months,death", "1,0", "", "2,1", ""])
    table, _ = read_table(text_file(tmp_path, content))
    assert table["months"].tolist() == [1, 2]


def test_duplicate_column(tmp_path):
    message = refusal(text_file(tmp_path, "months,death,months\n1,0,2\n"))
    assert "the column name 'months' occurs more than once" in message


def test_duplicate_column_in_excel_and_parquet(tmp_path):
    twice = pd.DataFrame([[1, 0, 2]], columns=["months", "death", "months"])
    twice.to_excel(tmp_path / "cohort.xlsx", index=False)
    assert "'months' occurs more than once" in refusal(tmp_path / "cohort.xlsx")

    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.array([1]), pa.array([0])]
    pq.write_table(pa.table(arrays, names=["months", "months"]), tmp_path / "cohort.parquet")
    assert "'months' occurs more than once" in refusal(tmp_path / "cohort.parquet")


def test_newline_in_a_column_name_stays_on_one_line(tmp_path):
    assert "'a\\nb' occurs" in refusal(text_file(tmp_path, '"a\nb",c,"a\nb"\n1,2,3\n'))


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        (["1,0,5", "2,1"], "row 1 (3 fields)"),
        (["2,1", "7"], "row 2 (1 fields)"),
        (["2,1", "", "7,1,1"], "row 2 (3 fields)"),
        (["1,2,3"] * 9, "rows 1 (3 fields), 2 (3 fields), 3 (3 fields), 4 (3 fields), "),
    ],
)
def test_ragged_rows(tmp_path, rows, named):
    message = refusal(text_file(tmp_path, "\n".join(["months,death", *rows])))
    assert "the header has 2 fields" in message
    assert named in message
    assert ("and 4 more" in message) == (len(rows) == 9)


def test_ragged_row_far_down_the_file(tmp_path):
    content = "months,death\n" + "1.5,0\n" * 100_000 + "1.5\n"
    assert "row 100001 (1 fields)" in refusal(text_file(tmp_path, content))


def test_open_quotation_mark(tmp_path):
    message = refusal(text_file(tmp_path, 'death,site\n0,"left\n1,right\n'))
    assert "close every quotation mark" in message


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators(tmp_path, separator):
    content = "months,death,site\n1.5,0,left\n2.5,1,right\n".replace(",", separator)
    table, _ = read_table(text_file(tmp_path, content))
    assert table["months"].tolist() == [1.5, 2.5]
    assert table["site"].tolist() == ["left", "right"]


def test_quoted_separators_and_blanks_after_them(tmp_path):
    table, _ = read_table(text_file(tmp_path, 'months , "a, b"\n1, "x; y, z"\n2,w\n'))
    assert list(table.columns) == ["months", "a, b"]
    assert table["a, b"].tolist() == ["x; y, z", "w"]


def test_decimal_commas_between_semicolons(tmp_path):
    table, _ = read_table(text_file(tmp_path, "months;death;site\n12,5;1;a,b\n3;0;c\n;1;d\n"))
    np.testing.assert_array_equal(table["months"], [12.5, 3, np.nan])
    assert table["site"].tolist() == ["a,b", "c", "d"]


def test_decimal_commas_beside_points_are_refused(tmp_path):
    message = refusal(text_file(tmp_path, "months;cea\n12,5;1.5\n3,5;2\n"))
    assert "'months' writes numbers with commas but column 'cea' with points" in message


def test_commas_that_may_be_thousands_are_refused(tmp_path):
    message = refusal(text_file(tmp_path, "months;death\n1,234;1\n12;0\n"))
    assert "'1,234', where the comma could mean thousands or decimals" in message


def test_ambiguous_separator_is_refused(tmp_path):
    message = refusal(text_file(tmp_path, '"time, months";death\n12,5;1\n3,5;0\n'.replace('"', "")))
    assert "could be separated by commas or semicolons" in message


def test_numbers_are_read_to_the_last_digit(tmp_path):
    times = np.random.default_rng(7).exponential(30, 500)
    path = text_file(
        tmp_path, "months,death\n" + "".join(f"{time!r},1\n" for time in times.tolist())
    )
    np.testing.assert_array_equal(read_table(path)[0]["months"], times)


@pytest.mark.parametrize(
    ("ids", "read"),
    [
        (["1", "2"], [1, 2]),
        (["1.1", "1.10"], ["1.1", "1.10"]),
        (["01", "1"], ["01", "1"]),
        (["123456789012345678901", "2"], ["123456789012345678901", "2"]),
        (["A1 ", "B2"], ["A1", "B2"]),
    ],
)
def test_identifiers_that_differ_as_text_stay_different(tmp_path, ids, read):
    content = "patient,months\n" + "".join(f"{each},1\n" for each in ids)
    table, _ = read_table(text_file(tmp_path, content), identifier="patient")
    assert table["patient"].tolist() == read


def test_value_labels_name_categories_but_not_numbers(tmp_path):
    path = tmp_path / "cohort.sav"
    labels = {
        "death": {0: "alive", 1: "dead"},
        "arm": {2: "systemic", 1: "local"},
        "age": {99: "unknown"},
    }
    table = pd.DataFrame({"death": [1, 0, 1], "arm": [2, 1, 2], "age": [60, 70, 99]})
    pyreadstat.write_sav(table, path, variable_value_labels=labels)
    read, _ = read_table(path, numbers=["death"])
    assert read["death"].tolist() == [1, 0, 1]
    assert read["arm"].tolist() == ["systemic", "local", "systemic"]
    assert read["arm"].cat.categories.tolist() == ["local", "systemic"]
    assert read["age"].tolist() == [60, 70, 99]


def test_saved_index_is_a_column_of_a_parquet_file(tmp_path):
    TABLE.set_index("patient").to_parquet(tmp_path / "cohort.parquet")
    table, _ = read_table(tmp_path / "cohort.parquet")
    assert table["patient"].tolist() == [11, 12, 13, 14]


def test_first_sheet_of_a_workbook_is_read(tmp_path):
    with pd.ExcelWriter(tmp_path / "cohort.xlsx") as workbook:
        TABLE.to_excel(workbook, sheet_name="data", index=False)
        pd.DataFrame({"note": ["x"]}).to_excel(workbook, sheet_name="codebook", index=False)
    assert list(read_table(tmp_path / "cohort.xlsx")[0].columns) == list(TABLE.columns)
