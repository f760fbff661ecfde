"""The command line: quick where nothing is fitted, quiet where asked, clear in the end."""

import fcntl
import io
import math
import os
import pty
import struct
import subprocess
import sys
import termios
import tomllib
from pathlib import Path

import pytest
import runs

from bayes_crlm import cli
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.analysis.run import run_analysis
from bayes_crlm.cli import main
from bayes_crlm.cli.terminal import conclude, in_columns, on_one_line, say
from bayes_crlm.specification.spec import read_spec
from bayes_crlm.words.shown import probability_in_words

nasty_run, synthetic_run, short_run = runs.nasty_run, runs.synthetic_run, runs.short_run

FITTING = ("pymc", "pytensor", "arviz", "arviz_stats", "matplotlib", "numba", "nutpie")
TABLES = ("pandas", "formulaic", "scipy")


def modules_after(*arguments, cwd=None):
    """Call the command line in a new process; give its exit status and what it imported."""
    code = (
        "import sys, json\n"
        "from bayes_crlm.cli import main\n"
        "try:\n    status = main(sys.argv[1:])\n"
        "except SystemExit as leaving:\n    status = leaving.code\n"
        "print('\\n' + ' '.join(sorted({name.split('.')[0] for name in sys.modules})))\n"
        "sys.exit(status)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=cwd,
    )
    return done.returncode, set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["--help"], 0),
        (["run", "--help"], 0),
        (["--version"], 0),
        (["list"], 0),
        (["run", "spec.toml", "--draws", "x"], 2),
        (["run", "no_such_spec"], 2),
        (["check", "wrong.toml"], 2),
    ],
)
def test_help_and_errors_in_a_spec_import_nothing_heavy(tmp_path, arguments, status):
    (tmp_path / "wrong.toml").write_text('title = "x"\n[data]\ntme = "y"\n')
    ended, modules = modules_after(*arguments, cwd=tmp_path)
    assert ended == status
    assert not modules & {*FITTING, *TABLES}


def test_check_imports_nothing_that_fits():
    ended, modules = modules_after("check", "os_repeat_local_vs_systemic")
    assert ended == 0
    assert not modules & set(FITTING)


def test_every_spec_in_models_is_listed_and_passes_check(capsys):
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    models = Path(cli.__file__).parents[2] / "models"
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in models.glob("*.toml")
    )
    for line in lines:
        name = line.split()[0]
        title = tomllib.loads((models / f"{name}.toml").read_text(encoding="utf-8"))["title"]
        assert line.endswith(title)
        assert main(["check", name]) == 0
        output, errors = capsys.readouterr()
        assert output.startswith(title)
        assert errors == ""


def test_check_says_what_would_be_fitted_in_columns(capsys):
    assert main(["check", "os_repeat_local_vs_systemic"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 100 for line in lines[1:])
    names = [line[2:14].strip() for line in lines[1:]]
    for name in ("data", "follow-up", "treatment", "formula", "intervals", "events", "priors"):
        assert names.count(name) == 1
    assert "crlm-synthetic (synthetic, not patient data)" in lines[1]
    assert "135 patients" in lines[2]
    assert all(line[13] == " " and line[14] != " " for line in lines[1:])


def test_a_good_run_ends_with_the_result_and_the_report(synthetic_run):
    assert synthetic_run.status == 0
    assert synthetic_run.errors == ""
    assert "TRUST" not in synthetic_run.output
    last = synthetic_run.output.rstrip("\n").splitlines()
    assert last[-1].startswith("Report: ")
    assert "report.html" in last[-1]
    (row,) = synthetic_run.summary["hazard_ratios"]
    low, high = row["eti95"]
    lower = probability_in_words(row["prob_below"]["1.0"], row["ess_bulk"])
    assert "repeat_local 1 against 0" in last
    assert (
        f"  Bayes       hazard ratio {row['median']:.2f} (95% interval {low:.2f} to {high:.2f}), "
        f"P(hazard is lower) {lower}"
    ) in last
    cox = synthetic_run.summary["cox"]["terms"][0]
    assert any(
        line.startswith(f"  Cox         hazard ratio {cox['hazard_ratio']:.2f} (95% interval ")
        for line in last
    )
    assert "Synthetic, not patient data: no clinical conclusion may be drawn." in last


def test_no_progress_bar_in_a_pipe(nasty_run, short_run):
    for run in (nasty_run, short_run):
        assert run.errors == ""
        assert "\x1b" not in run.output
        assert "\r" not in run.output


def test_a_quiet_run_that_fails_its_diagnostics_says_so_on_stderr(tmp_path):
    spec = runs.write_nasty(tmp_path)
    done = runs.call("run", spec, "--draws", "1", "--chains", "1", "--quiet", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stdout == ""
    assert done.stderr.startswith("bayes-crlm: do not trust these results: ")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "results" / "nasty" / "summary.json").is_file()


def test_what_cox_cannot_estimate_is_said():
    plan = plan_analysis(read_spec("os_colon_early_recurrence"))
    found = run_analysis(plan, engine="laplace")
    found.answers[0] |= dict.fromkeys(("cox_hazard_ratio", "cox_low", "cox_high"), math.nan)
    found.agreement[0] |= {"verdict": "differ", "reason": "separation: no maximum"}
    text = conclude(found)
    assert "  Cox         hazard ratio not estimable" in text
    assert "they differ: separation: no maximum" in text


def test_a_reader_that_leaves_is_no_error():
    reader, writer = os.pipe()
    done = subprocess.Popen(
        [sys.executable, "-m", "bayes_crlm.cli", "list"], stdout=writer, stderr=-1
    )
    os.close(reader)
    os.close(writer)
    assert done.communicate(timeout=60)[1] == b""
    assert done.returncode == 0


def test_characters_that_steer_a_terminal_are_not_printed():
    stream = io.StringIO()
    say("a\x1b[31mb\x07\nc", stream=stream)
    assert stream.getvalue() == "a?[31mb?\nc\n"
    assert on_one_line("a\n b\x00c\u202ed") == "a b?c?d"
    ascii_only = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    say("é", stream=ascii_only)
    assert ascii_only.buffer.getvalue() == b"\\xe9\n"


def test_long_values_go_on_under_their_beginning():
    lines = in_columns([("name", "word " * 40)])
    assert len(lines) > 1
    assert lines[0].startswith("  name        word")
    assert all(line.startswith(" " * 14 + "word") for line in lines[1:])


def test_a_terminal_sees_the_lines_as_a_pipe_does(tmp_path):
    primary, secondary = pty.openpty()
    fcntl.ioctl(secondary, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    done = subprocess.Popen(
        [sys.executable, "-m", "bayes_crlm.cli", "list"],
        stdout=secondary, stderr=secondary, env=environment,
    )  # fmt: skip
    os.close(secondary)
    shown = b""
    try:
        while part := os.read(primary, 4096):
            shown += part
    except OSError:  # the other end was closed: Linux says so with an error
        pass
    os.close(primary)
    assert done.wait(timeout=60) == 0
    assert shown.replace(b"\r\n", b"\n").decode() == runs.call("list", cwd=tmp_path).stdout
