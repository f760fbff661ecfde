"""Wrong arguments, folders and systems: exit status 2, one clear sentence on stderr."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from bad_input import SPEC, files, refusal
from runs import call

from bayes_crlm.cli import main


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
