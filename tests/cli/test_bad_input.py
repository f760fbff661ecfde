"""Bad files and tables: exit status 2, one clear sentence on stderr, nothing written."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bad_input import ROWS_SPEC, SPEC, refusal, refused_spec, refused_table, table

from bayes_crlm.cli import main


def test_the_spec_and_table_that_are_mutated_here_are_right(place, capsys):
    assert main(["check", "spec.toml"]) == 0
    Path("spec.toml").write_text(ROWS_SPEC, encoding="utf-8")
    assert main(["check", "spec.toml"]) == 0
    output, errors = capsys.readouterr()
    assert "60 patients" in output
    assert errors == ""


# the file
def test_missing_files_are_named(place, capsys):
    assert "there_is_none" in refusal(capsys, "check", "there_is_none.toml")
    assert "gone.csv" in refusal(capsys, "check", "spec.toml", "--data", "gone.csv")
    assert "gone.csv" in refused_spec(capsys, "cohort.csv", "gone.csv")


def test_nearest_spec_is_suggested(place, capsys):
    line = refusal(capsys, "run", "os_repeat_local_vs_systemik")
    assert "os_repeat_local_vs_systemic" in line


@pytest.mark.parametrize(
    "content",
    [b"", b"\n\n", b"months,death,arm,age,sex\n", b"\x00\x01\x02\xff" * 50, b"PK\x03\x04 no zip"],
    ids=["empty", "blank", "header", "binary", "no table"],
)
def test_what_is_no_table_is_refused(place, capsys, content):
    Path("cohort.csv").write_bytes(content)
    assert "cohort.csv" in refusal(capsys, "check", "spec.toml")


def test_wrong_encoding_is_named(place, capsys):
    text = table().assign(sex="é").to_csv(index=False)
    Path("cohort.csv").write_bytes(text.encode("latin-1"))
    line = refusal(capsys, "check", "spec.toml")
    assert "cohort.csv" in line
    assert "UTF-8" in line


def test_a_folder_is_neither_spec_nor_data(place, capsys):
    Path("folder").mkdir()
    assert "folder" in refusal(capsys, "check", "folder")
    assert "folder" in refusal(capsys, "check", "spec.toml", "--data", "folder")


@pytest.mark.parametrize("ending", ["xlsx", "parquet", "dta", "sav", "sas7bdat", "xpt", "zip"])
def test_a_wrong_ending_is_refused(place, capsys, ending):
    Path("cohort.csv").rename(f"cohort.{ending}")
    line = refusal(capsys, "check", "spec.toml", "--data", f"cohort.{ending}")
    assert f"cohort.{ending}" in line


def test_a_spec_of_ten_megabytes_is_refused_unread(place, capsys):
    Path("spec.toml").write_bytes(b"# long\n" + b"x" * 10_000_000)
    assert "10.0 MB" in refusal(capsys, "check", "spec.toml")


def test_a_spec_that_is_no_toml_is_refused(place, capsys):
    line = refused_spec(capsys, 'title = "A comparison"', 'title = "A comparison')
    assert "spec.toml" in line
    assert "line 2" in line


# columns and rows
@pytest.mark.parametrize(
    ("wrong", "right"),
    [("months", "month"), ("death", "deaht"), ("arm", "arms"), ("age", "agee")],
)
def test_the_nearest_column_is_suggested(place, capsys, wrong, right):
    line = refused_table(capsys, table().rename(columns={wrong: right}))
    assert repr(wrong) in line
    assert repr(right) in line


def test_a_column_that_occurs_twice_is_named(place, capsys):
    cohort = table()
    line = refused_table(capsys, pd.concat([cohort, cohort[["age"]]], axis=1))
    assert "'age'" in line


@pytest.mark.parametrize("value", [0, -3, "", "NaN", "inf", "-inf", "soon", "1e400", "2020-01-01"])
def test_impossible_times_are_named_with_their_row(place, capsys, value):
    cohort = table().astype({"months": object})
    cohort.loc[4, "months"] = value
    line = refused_table(capsys, cohort)
    assert "'months'" in line
    assert "row 5" in line


@pytest.mark.parametrize("value", [2, -1, 0.5, "yes", "", "inf"])
def test_events_other_than_0_and_1_are_named_with_their_row(place, capsys, value):
    cohort = table().astype({"death": object})
    cohort.loc[7, "death"] = value
    line = refused_table(capsys, cohort)
    assert "'death'" in line
    assert "row 8" in line


def test_all_problems_of_a_table_are_told_at_once(place, capsys):
    cohort = table().astype({"months": object, "death": object})
    cohort.loc[2, "months"], cohort.loc[9, "death"] = -1, 7
    line = refused_table(capsys, cohort)
    assert "'months'" in line and "row 3" in line
    assert "'death'" in line and "row 10" in line


def test_entry_not_before_time_is_refused(place, capsys):
    cohort = table()
    cohort.loc[3, "start"] = cohort.loc[3, "months"]
    line = refused_table(capsys, cohort, ROWS_SPEC)
    assert "'start'" in line
    assert "row 4" in line


def test_overlapping_rows_of_a_patient_are_refused(place, capsys):
    cohort = table()
    cohort.loc[1, "patient"] = 1
    line = refused_table(capsys, cohort, ROWS_SPEC)
    assert "overlap" in line
    assert "patient 1" in line or "'patient'" in line


def test_an_event_before_the_last_row_is_refused(place, capsys):
    cohort = table()
    cohort.loc[0, ["months", "death"]] = [5.0, 1]
    cohort.loc[1, ["patient", "start", "months", "death"]] = [1, 5.0, 9.0, 0]
    line = refused_table(capsys, cohort, ROWS_SPEC)
    assert "event" in line
    assert "row 1" in line or "patient 1" in line


def test_a_cohort_without_events_is_refused(place, capsys):
    assert "'death'" in refused_table(capsys, table().assign(death=0))


def test_missing_covariate_values_are_counted_per_column(place, capsys):
    cohort = table()
    cohort.loc[[1, 2, 3], "age"] = np.nan
    cohort.loc[[3, 4], "sex"] = None
    line = refused_table(capsys, cohort)
    assert "'age' in 3" in line
    assert "'sex' in 2" in line
    assert "drop" in line


def test_missing_values_are_dropped_only_on_request_and_said(place, capsys):
    cohort = table()
    cohort.loc[[1, 2, 3], "age"] = np.nan
    cohort.to_csv("cohort.csv", index=False)
    Path("spec.toml").write_text(
        SPEC.replace('event = "death"', 'event = "death"\nmissing = "drop"'), encoding="utf-8"
    )
    assert main(["check", "spec.toml"]) == 0
    output = capsys.readouterr().out
    assert "57 patients" in output
    assert "3 patients (3 rows) left out: missing 'age'" in output
