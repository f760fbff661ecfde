"""Bad input: exit status 2, one clear sentence on stderr, nothing written, no traceback."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm.cli import main

SPEC = """
title = "A comparison"
[data]
source = "cohort.csv"
time = "months"
event = "death"
[model]
treatment = "arm"
reference = "systemic"
covariates = "age + sex"
"""
ROWS_SPEC = SPEC.replace('event = "death"', 'event = "death"\nentry = "start"\nid = "patient"')


def table(n=60):
    """A cohort that is right."""
    rng = np.random.default_rng(5)
    return pd.DataFrame(
        {
            "patient": np.arange(1, n + 1),
            "start": 0.0,
            "months": (rng.exponential(20, n) + 0.5).round(1),
            "death": np.arange(n) % 3 != 0,
            "arm": np.where(np.arange(n) % 2 == 0, "systemic", "local"),
            "age": rng.normal(60, 8, n).round(1),
            "sex": rng.choice(["f", "m"], n),
        }
    ).astype({"death": int})


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a right spec and a right cohort."""
    monkeypatch.chdir(tmp_path)
    Path("spec.toml").write_text(SPEC, encoding="utf-8")
    table().to_csv("cohort.csv", index=False)
    return tmp_path


def files():
    """Everything below the working folder, with its bytes."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in sorted(Path().rglob("*"))
    }


def refusal(capsys, *arguments):
    """Give the one line with which arguments are refused."""
    before = files()
    try:
        status = main([str(each) for each in arguments])
    except SystemExit as leaving:
        status = leaving.code
    output, errors = capsys.readouterr()
    assert status == 2, (output, errors)
    assert output == ""
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    assert errors.rstrip("\n").isprintable()
    assert "Traceback" not in errors
    assert len(errors) < 5000
    assert files() == before
    return errors


def refused_spec(capsys, old, new, base=SPEC):
    """Give the line for a spec with one text replaced."""
    assert base.count(old) == 1
    Path("spec.toml").write_text(base.replace(old, new), encoding="utf-8")
    return refusal(capsys, "check", "spec.toml")


def refused_table(capsys, cohort, base=SPEC):
    """Give the line for another table."""
    Path("spec.toml").write_text(base, encoding="utf-8")
    cohort.to_csv("cohort.csv", index=False)
    return refusal(capsys, "check", "spec.toml")


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


# treatment and covariates


def test_one_treatment_level_is_refused(place, capsys):
    assert "'systemic'" in refused_table(capsys, table().assign(arm="systemic"))


def test_an_unknown_reference_names_the_levels(place, capsys):
    line = refused_spec(capsys, 'reference = "systemic"', 'reference = "sistemic"')
    assert "'sistemic'" in line
    assert "'systemic'" in line


def test_a_level_with_one_patient_is_refused(place, capsys):
    cohort = table()
    cohort.loc[0, "arm"] = "ablation"
    line = refused_table(capsys, cohort)
    assert "'ablation'" in line
    assert "1 patient" in line


def test_constant_and_collinear_covariates_are_named(place, capsys):
    assert "'age' is constant" in refused_table(capsys, table().assign(age=61))
    cohort = table()
    collinear = SPEC.replace('"age + sex"', '"age + age_years"')
    line = refused_table(capsys, cohort.assign(age_years=2 * cohort["age"] + 1), collinear)
    assert "'age_years'" in line
    assert "'age'" in line
    assert "collinear" in line


# cutpoints, priors, estimands, keys


@pytest.mark.parametrize(
    ("cutpoints", "word"),
    [
        ("[24, 12]", "cutpoints"),
        ("[12, 12]", "cutpoints"),
        ("[-1, 12]", "cutpoints"),
        ("[12, 5000]", "5000"),
        ("0", "cutpoints"),
        ("-3", "cutpoints"),
        ("41", "41"),
        ("1000000", "1000000"),
        ('"many"', "cutpoints"),
        ("[]", "cutpoints"),
        ("[nan]", "cutpoints"),
        ("true", "cutpoints"),
        ("2.5", "cutpoints"),
    ],
)
def test_impossible_cutpoints_are_refused(place, capsys, cutpoints, word):
    line = refused_spec(capsys, "[model]", f"[model.baseline]\ncutpoints = {cutpoints}\n[model]")
    assert word in line


@pytest.mark.parametrize(
    "prior",
    [
        "normal(0, -1)",
        "normal(0, 0)",
        "normal(0)",
        "normal(nan, 1)",
        "hr(0.5, 0.9, 0.7)",
        "hr(-1, 0.2, 3)",
        "student_t(0, 0, 1)",
        "laplace(0, -2)",
        "cauchy(0, 1)",
        "",
        "__import__('os').system('touch broken')",
    ],
)
@pytest.mark.parametrize("role", ["treatment", "covariates"])
def test_impossible_priors_are_refused(place, capsys, prior, role):
    line = refused_spec(capsys, "[model]", f'[model.priors]\n{role} = "{prior}"\n[model]')
    assert f"priors.{role}" in line


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os').system('touch broken')",
        "open('broken', 'w')",
        "age.__class__",
        "log(age).mean()",
        "eval('1')",
        "age + (lambda: 1)()",
        "[open('broken', 'w') for _ in 'a']",
        "exec(chr(120))",
        "{open('broken', 'w')}",
        "C(age, contr.treatment)",
        "Q('age')",
        "age ~ sex",
        "age +",
        "arm + age",
        "death + age",
    ],
)
def test_formulas_that_do_more_than_they_may_are_refused(place, capsys, formula):
    line = refused_spec(capsys, '"age + sex"', '"' + formula + '"')
    assert "formula" in line or "covariates" in line
    assert not Path("broken").exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('time = "months"', 'tme = "months"', ["tme", "time"]),
        ("[model]", "[modle]", ["modle", "model"]),
        ("[model]", "[sampling]\ndraw = 5\n[model]", ["draw", "draws"]),
        ("[model]", '[sampling]\ndraws = "5"\n[model]', ["sampling.draws", "'5'"]),
        ("[model]", "[sampling]\nchains = true\n[model]", ["sampling.chains"]),
        ("[model]", "[sampling]\nseed = -1\n[model]", ["sampling.seed"]),
        ("[model]", "[estimands]\nhorizons = [0]\n[model]", ["estimands.horizons"]),
        ("[model]", "[estimands]\nhorizons = [9999]\n[model]", ["estimands.horizons", "9999"]),
        ("[model]", "[estimands]\nrmst = 9999\n[model]", ["estimands.rmst", "9999"]),
        ("[model]", "[estimands]\nrmst = inf\n[model]", ["estimands.rmst"]),
        ("[model]", "[estimands]\nhr_thresholds = [0]\n[model]", ["hr_thresholds"]),
        ('time = "months"', "time = 3", ["data.time", "3"]),
        ('time = "months"', 'time = "death"', ["death"]),
        ('title = "A comparison"', "", ["title"]),
        ('reference = "systemic"', "reference = []", ["model.reference"]),
        (
            "[model]",
            'where = [{column = "age", op = "~", value = 3}]\n[model]',
            ["where", "'~'"],
        ),
        (
            "[model]",
            'where = [{column = "agee", op = ">", value = 3}]\n[model]',
            ["'agee'", "'age'"],
        ),
        (
            "[model]",
            'where = [{column = "age", op = ">", value = 900}]\n[model]',
            ["cohort.csv"],
        ),
    ],
)
def test_wrong_keys_types_and_values_are_named(place, capsys, old, new, words):
    line = refused_spec(capsys, old, new)
    for word in words:
        assert word in line


# arguments


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "command"),
        (["fit"], "fit"),
        (["run"], "SPEC"),
        (["run", "spec.toml", "--seed", "x"], "'x'"),
        (["run", "spec.toml", "--seed", "-1"], "-1"),
        (["run", "spec.toml", "--draws", "0"], "'0'"),
        (["run", "spec.toml", "--chains", "1e3"], "'1e3'"),
        (["run", "spec.toml", "--engine", "magic"], "magic"),
        (["run", "spec.toml", "--speed\n9"], "--speed 9"),
        (["check", ""], "''"),
        (["check", "spec.toml", "--data", ""], "''"),
        (["check", "\x1b[31mred"], "x1b"),
    ],
)
def test_wrong_arguments_are_named(place, capsys, arguments, word):
    assert word in refusal(capsys, *arguments)


# where results go


def out(capsys, folder):
    """Give the line for a result folder."""
    return refusal(capsys, "run", "spec.toml", "--out", folder)


def test_results_do_not_replace_a_file(place, capsys):
    Path("taken").write_text("mine")
    assert "is a file" in out(capsys, "taken")
    assert "taken/below" in out(capsys, "taken/below")
    assert "taken/below" in out(capsys, "taken/below/deeper")


def test_results_do_not_go_among_other_files(place, capsys):
    Path("notes").mkdir()
    Path("notes/mine.txt").write_text("mine")
    line = out(capsys, "notes")
    assert "mine.txt" in line
    assert "folder you are in" not in line


@pytest.mark.parametrize("folder", ["", "  ", "a\0b", "x" * 300])
def test_impossible_names_of_a_folder_are_refused(place, capsys, folder):
    assert "--out" in out(capsys, folder)


def test_a_folder_where_nobody_may_write_is_refused(place, capsys):
    assert "/proc/results" in out(capsys, "/proc/results")


def test_the_folder_one_is_in_is_not_replaced(place, capsys, monkeypatch):
    Path("here").mkdir()
    monkeypatch.chdir("here")
    line = refusal(capsys, "run", "../spec.toml", "--out", ".")
    assert "folder you are in" in line


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_what_the_system_refuses_is_said_in_its_words(place, capsys, monkeypatch, code):
    def refuse(*_arguments, **_options):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    line = out(capsys, "results")
    assert os.strerror(code) in line
    assert "results" in line


def test_an_interrupted_run_leaves_nothing(place, capsys, monkeypatch):
    def interrupt(*_arguments, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("bayes_crlm.analysis.run.run_analysis", interrupt)
    before = files()
    assert main(["run", "spec.toml", "--out", "deep/results"]) == 130
    assert files() == before
    assert capsys.readouterr().err == "bayes-crlm: interrupted; nothing was written\n"


@pytest.mark.parametrize(
    ("place_of_need", "said"),
    [
        ("bayes_crlm.inference.importance.sample_importance", "for 4,000 draws; ask for fewer"),
        ("bayes_crlm.analysis.run.run_analysis", "ask for fewer draws or chains, or give fewer"),
    ],
)
def test_want_of_memory_is_one_sentence(place, capsys, monkeypatch, place_of_need, said):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(place_of_need, fail)
    arguments = ["run", "spec.toml", "--engine", "laplace", "--quiet", "--out", "out"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "there is not enough memory" in error and said in error and error.count("\n") == 1
    assert not Path("out").exists()


# in a process of its own


def test_a_process_ends_with_2_and_one_line(place):
    done = call("check", "spec.toml", "--data", "gone.csv", cwd=place)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "gone.csv" in done.stderr


def test_an_error_is_told_also_where_the_terminal_knows_only_ascii(place):
    Path("spec.toml").write_text(SPEC.replace("A comparison", "Überleben"), encoding="utf-8")
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(
        [sys.executable, "-m", "bayes_crlm.cli", "check", "spec.toml"],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0
    assert done.stderr == ""
    assert "berleben" in done.stdout
