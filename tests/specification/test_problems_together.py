"""What is wrong with a spec and what is wrong with its data are told in one message."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cli import main

N = 60
SPEC = """title = "A title"
[data]
source = "lung.csv"
time = "time"
event = "status"
unit = "days"
[model]
treatment = "sex"
reference = 1
covariates = "age + ph.ecog"
[model.baseline]
cutpoints = 4
[estimands]
horizons = [100, 200]
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(1)
    pd.DataFrame(
        {
            "time": rng.integers(5, 400, N),
            "status": 1 + (np.arange(N) % 3 > 0),
            "sex": 1 + np.arange(N) % 2,
            "age": 40 + np.arange(N) % 23,
            "ph.ecog": np.arange(N) // 2 % 3,
        }
    ).to_csv("lung.csv", index=False)
    return tmp_path


def said(place, capsys, *changes, options=(), command="check"):
    text = SPEC.replace("ph.ecog", "`ph.ecog`")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (place / "spec.toml").write_text(text, encoding="utf-8")
    status = main([command, "spec.toml", *options])
    printed = capsys.readouterr().err
    assert status == (2 if printed else 0)
    assert printed.count("\n") <= 1
    return printed


CODES = ('event = "status"', 'event = {column = "status", value = 2}')


def test_every_problem_of_spec_and_data_is_told_at_once(place, capsys):
    message = said(place, capsys, ("age", "agee"), ("unit", "unitt"), ("[100, 200]", "[100, 9000]"))
    assert "spec.toml with lung.csv: 4 problems: (1) unknown key data.unitt" in message
    for part in ("column 'status'", "no column 'agee'", "estimands.horizons"):
        assert message.count(part) == 1, part


@pytest.mark.parametrize(
    "change",
    [
        ("horizons", "horizonz"),
        ("[estimands]", "[estimand]"),
        ("[estimands]", "[sampling]\nchains = 0\n[estimands]"),
        ("[estimands]", "[success]\nprobability = 2\n[estimands]"),
        ("cutpoints = 4", 'cutpoints = "many"'),
        ("cutpoints = 4", "weight = 2"),
        ("reference = 1", ""),
        ('title = "A title"', "title = 3"),
        ("[estimands]", '[sensitivity]\nparts = ["none"]\n[estimands]'),
        ("[model]\n", "[model.priors]\ntreatment = 'normal(0)'\n[model]\n"),
    ],
)
def test_a_wrong_key_hides_no_problem_of_the_data(place, capsys, change):
    message = said(place, capsys, CODES, ("age", "agee"), change)
    assert "2 problems" in message
    assert "there is no column 'agee'; did you mean 'age'?" in message


def test_one_mistake_stays_one_sentence(place, capsys):
    message = said(place, capsys, CODES, ("horizons", "horizonz"))
    assert "problems" not in message
    message = said(place, capsys, CODES, ("age", "time"))
    assert "problems" not in message
    message = said(place, capsys, CODES, ("unit = ", "missing = 'dropp'\nunit = "))
    assert "problems" not in message


def test_a_term_that_fails_is_told_once_and_files_as_they_lie_in_the_folder(place, capsys):
    message = said(place, capsys, CODES, ("age", "bs(age, df=2)"))
    assert message == (
        "bayes-crlm: error: spec.toml with lung.csv: formula 'bs(age, df=2)' cannot be evaluated: "
        "df must be at least 3, the degree\n"
    )


def test_two_terms_that_fail_are_two_problems(place, capsys):
    message = said(place, capsys, CODES, ("age", "bs(age, df=2) + cr(age, df=1)"))
    assert "spec.toml with lung.csv: 2 problems: (1) formula 'bs(age" in message


def test_a_misspelt_key_that_chooses_rows_blames_no_row(place, capsys):
    frame = pd.read_csv("lung.csv").astype({"age": object})
    frame.loc[3, "status"], frame.loc[5, "age"] = 7, ""
    frame.to_csv("lung.csv", index=False)
    where = "where = [{column = 'status', op = '<', value = 3}]\nmissing = 'drop'\nunit = "
    right = said(place, capsys, CODES, ("unit = ", where))
    assert right == ""
    for wrong in (
        where.replace("where", "wheer"),
        where.replace("missing", "misssing"),
        where.replace("op", "opp"),
        where.replace("'<'", "'<<'"),
        where.replace("where", "filter"),
        where.replace("'drop'", "'complete'"),
    ):
        message = said(place, capsys, CODES, ("unit = ", wrong))
        assert "row 4" not in message and "values are missing" not in message
        message = said(place, capsys, CODES, ("unit = ", wrong), ("age", "agee"))
        assert "there is no column 'agee'" in message


def test_a_file_that_is_not_there_is_told_beside_a_wrong_key(place, capsys):
    message = said(place, capsys, ("lung.csv", "lungs.csv"), ("horizons", "horizonz"))
    assert "unknown key estimands.horizonz" in message
    assert "there is no such file; did you mean 'lung.csv'?" in message


@pytest.mark.parametrize("command", ["run", "check", "sensitivity"])
def test_data_of_the_command_line_are_those_that_are_read(place, capsys, command):
    (place / "lung.csv").rename(place / "other.csv")
    message = said(
        place,
        capsys,
        CODES,
        ("horizons", "horizonz"),
        ("age", "agee"),
        options=["--data", "other.csv"],
        command=command,
    )
    assert "2 problems" in message and "no column 'agee'" in message


def test_what_cannot_be_read_without_more_is_told_alone(place, capsys):
    for change in (('treatment = "sex"', ""), ('time = "time"', ""), ('source = "lung.csv"', "")):
        message = said(place, capsys, CODES, ("age", "agee"), change)
        assert "is missing" in message
        assert "agee" not in message
