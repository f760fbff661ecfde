"""Packed files are their one table, and nothing larger than the memory is unpacked or read."""

import bz2
import gzip
import lzma
import zipfile

import numpy as np
import pandas as pd
import pytest
from openpyxl import load_workbook
from tables import read_table

from bayes_crlm.cohort.table.files import read_file
from bayes_crlm.words.errors import DataFileError

TABLE = pd.DataFrame({"time": [1.5, 2.0, 3.25], "event": [1, 0, 1], "site": ["A", "B", "A"]})


def written(path):
    match path.suffix:
        case ".csv":
            TABLE.to_csv(path, index=False)
        case ".parquet":
            TABLE.to_parquet(path)
        case ".xlsx":
            TABLE.to_excel(path, index=False)
        case ".dta":
            TABLE.to_stata(path, write_index=False)
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def refused(path, **options):
    with pytest.raises(DataFileError) as caught:
        read_file(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".xlsx", ".dta"])
@pytest.mark.parametrize("name", ["data.zip", "study.v2.zip", "data.csv.zip", "DATA.ZIP"])
def test_an_archive_of_one_table_is_the_table(tmp_path, suffix, name):
    content = written(tmp_path / f"data{suffix}").read_bytes()
    members = {"folder/": "", f"folder/any name{suffix}": content, "__MACOSX/._x": b"junk"}
    path = zipped(tmp_path / name, members)
    table, sha256 = read_table(path)
    pd.testing.assert_frame_equal(table, TABLE, check_dtype=False)
    plain = zipped(tmp_path / "other.zip", {f"data{suffix}": content})
    assert sha256 != read_table(plain)[1]


def test_packed_text_within_an_archive_is_read(tmp_path):
    content = gzip.compress(TABLE.to_csv(index=False).encode())
    table, _ = read_table(zipped(tmp_path / "data.zip", {"data.csv.gz": content}))
    assert table["time"].tolist() == TABLE["time"].tolist()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({}, "holds no file"),
        ({"a.csv": "x,y\n1,2\n", "b.csv": "x,y\n1,2\n"}, "holds 'a.csv', 'b.csv'"),
        ({"readme.pdf": "x"}, "holds 'readme.pdf', which is not a table"),
        ({"inner.zip": "x"}, "holds 'inner.zip', which is not a table"),
    ],
)
def test_other_archives_are_refused_in_one_sentence(tmp_path, members, words):
    assert words in refused(zipped(tmp_path / "data.zip", members))


def test_an_archive_leads_to_no_other_place(tmp_path, monkeypatch):
    (tmp_path / "inside").mkdir()
    monkeypatch.chdir(tmp_path / "inside")
    zipped(tmp_path / "inside" / "data.zip", {"../../outside.csv": TABLE.to_csv(index=False)})
    assert len(read_table("data.zip")[0]) == 3
    assert sorted(each.name for each in tmp_path.rglob("*")) == ["data.zip", "inside"]


def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path):
    whole = zipped(tmp_path / "data.zip", {"data.csv": TABLE.to_csv(index=False)}).read_bytes()
    flipped = bytes(each ^ 1 if k == 45 else each for k, each in enumerate(whole))
    for content in (whole[: len(whole) // 2], b"junk", flipped):
        (tmp_path / "data.zip").write_bytes(content)
        assert refused(tmp_path / "data.zip")


@pytest.mark.parametrize("suffix", ["csv.gz", "csv.bz2", "csv.xz", "zip"])
def test_no_more_is_unpacked_than_the_memory_holds(tmp_path, suffix):
    content = b"time,event\n" + b"1,1\n" * 2_000_000
    path = tmp_path / f"data.{suffix}"
    if suffix == "zip":
        zipped(path, {"data.csv": content})
    else:
        pack = {"gz": gzip, "bz2": bz2, "xz": lzma}[suffix[4:]]
        path.write_bytes(pack.compress(content))
    assert path.stat().st_size < 100_000
    assert "unpacked it has more than" in refused(path, memory=3_000_000)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_table_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, suffix):
    n = 20_000
    frame = pd.DataFrame({"time": np.arange(1, n + 1), "event": np.arange(n) % 2, "x": 1})
    path = tmp_path / f"data{suffix}"
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    assert len(read_file(path, memory=10_000_000).table) == n
    said = refused(path, memory=400_000)
    assert "this machine has" in said and "only the columns and rows" in said


def test_a_workbook_of_one_far_cell_costs_no_memory(tmp_path):
    import tracemalloc

    path = written(tmp_path / "data.xlsx")
    book = load_workbook(path)
    book.active["XFD1048576"] = 1
    book.save(path)
    tracemalloc.start()
    said = refused(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "delete what lies beside or below the table" in said
    assert peak < 50_000_000
