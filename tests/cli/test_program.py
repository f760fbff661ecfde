"""The command line among other programs: signals, streams, environments, temporary folders."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import runs
from sensitivity_runs import write

from bayes_crlm.cli import program
from bayes_crlm.cli.sensitivity import store_of

# the command line, with a moment at which a test can send a signal
SLOW = """
import sys, time
from pathlib import Path
from bayes_crlm import cli
from bayes_crlm.cli import run
from bayes_crlm.report import run as results

def slowly(function, name):
    def call(*arguments, **options):
        Path(name).touch()
        time.sleep(0.8)
        return function(*arguments, **options)
    return call

moment = sys.argv[1]
if moment == "writing":
    results.fill = slowly(results.fill, moment)
else:
    run.first_answer = slowly(run.first_answer, moment)
sys.argv = sys.argv[1:]
sys.exit(cli.main())
"""


def interrupted(folder, moment, number, *options):
    """Run, send a signal at a moment, and give status, what was said and what is there."""
    spec = runs.write_rows(folder)
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, moment, "run", spec, "--engine", "laplace", "--out", "out",
         *options],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    runs.wait_for(lambda: (folder / moment).exists() or process.poll() is not None)
    time.sleep(0.2)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors, (folder / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_results_are_written_waits_for_them(tmp_path, number):
    assert interrupted(tmp_path, "writing", number) == (0, "", True)
    assert set(os.listdir(tmp_path / "out")) >= {"summary.json", "report.html", "posterior.nc"}
    assert not list(tmp_path.glob(".bayes*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_results_not_to_be_trusted_are_written_ends_with_3(tmp_path, number):
    options = ("--draws", "4", "--chains", "2")
    assert interrupted(tmp_path, "writing", number, *options) == (3, "", True)
    assert set(os.listdir(tmp_path / "out")) >= {"summary.json", "report.html", "posterior.nc"}
    assert not list(tmp_path.glob(".bayes*"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_another_time_ends_with_130_and_nothing_is_written(tmp_path, number):
    said = "bayes-crlm: interrupted; nothing was written\n"
    assert interrupted(tmp_path, "fitting", number) == (130, said, False)
    assert not list(tmp_path.glob(".*"))


def test_a_signal_ends_sensitivity_with_its_workers_and_keeps_its_refits(tmp_path):
    spec, store = write(tmp_path), tmp_path / ".out.sensitivity-refits"
    process = subprocess.Popen(
        [sys.executable, "-m", "bayes_crlm.cli", "sensitivity", spec, "--jobs", "2",
         "--out", tmp_path / "out"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    runs.wait_for(lambda: store.exists() and store.read_bytes().count(b"\n") > 3)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors == (
        "finished refits are kept: the same command goes on\n"
        "bayes-crlm: interrupted; nothing was written\n"
    )
    assert store.exists() and not (tmp_path / "out").exists()


def shell(folder, line, **environment):
    """Run a line of a shell, in which $CRLM is the command line."""
    runs.write_rows(folder)
    return subprocess.run(
        ["sh", "-c", line], cwd=folder, capture_output=True, text=True, timeout=300, check=False,
        env=os.environ | {"CRLM": f"{sys.executable} -m bayes_crlm.cli"} | environment,
    )  # fmt: skip


RUN = "$CRLM run rows.toml --engine laplace --out out"


@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-", ">/dev/full 2>/dev/full", ">&-"])
def test_closed_and_full_streams_lose_no_result(tmp_path, streams):
    done = shell(tmp_path, f"{RUN} {streams}")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize("streams", [">/dev/full", ">&-", "2>&-"])
@pytest.mark.parametrize("command", ["run --help", "--version", "list", "check rows.toml"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_commands_that_only_print_say_that_their_answer_is_lost(
    tmp_path, command, streams, unbuffered
):
    done = shell(tmp_path, f"$CRLM {command} {streams}", PYTHONUNBUFFERED=unbuffered)
    if streams == "2>&-":
        assert (done.returncode, done.stderr) == (0, "") and done.stdout
        return
    why = "No space left on device" if "full" in streams else "it is closed"
    assert done.returncode == 2
    assert f"standard output cannot be written ({why})" in done.stderr
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("bayes-crlm: error: ")


@pytest.mark.parametrize("command", ["run none.toml", "check none.toml", "nonsense"])
def test_a_lost_answer_hides_no_error(tmp_path, command):
    done = shell(tmp_path, f"$CRLM {command} >/dev/full")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "standard output" not in done.stderr


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Figures of a run without settings of matplotlib, by name."""
    folder = tmp_path_factory.mktemp("plain")
    done = shell(folder, f"{RUN} --quiet", MPLBACKEND="agg")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return {figure.name: figure.read_text() for figure in (folder / "out" / "figures").iterdir()}


@pytest.mark.parametrize("settings", ["backend: nonsense\n", "text.usetex: True\nfont.size: 40\n"])
def test_figures_do_not_depend_on_the_environment(tmp_path, plain, settings):
    (tmp_path / "matplotlibrc").write_text(settings)
    done = shell(tmp_path, f"{RUN} --quiet", MPLBACKEND="module://none.such")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    figures = tmp_path / "out" / "figures"
    assert plain == {figure.name: figure.read_text() for figure in figures.iterdir()}


def test_settings_of_matplotlib_that_cannot_be_read_are_said_before_the_work(tmp_path):
    (tmp_path / "matplotlibrc").write_bytes(b"font.size: \xff\n")
    done = shell(tmp_path, RUN)
    assert (done.returncode, done.stdout) == (2, "")
    assert "matplotlibrc: matplotlib cannot be used with these settings" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_python_without_docstrings_is_refused_before_the_work(tmp_path):
    done = shell(tmp_path, RUN, PYTHONOPTIMIZE="2")
    assert (done.returncode, done.stdout) == (2, "")
    assert "PYTHONOPTIMIZE=2" in done.stderr and done.stderr.count("\n") == 1
    assert shell(tmp_path, "$CRLM check rows.toml", PYTHONOPTIMIZE="2").returncode == 0


FIT = """
from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.words.errors import BayesCRLMError
cohort = read_cohort("crlm-synthetic", time="os_months", event="death")
try:
    PiecewiseExponential("repeat_local", 0).fit(cohort, engine="laplace")
except BayesCRLMError as problem:
    print(problem)
"""


def test_a_fit_in_a_python_without_docstrings_is_refused_before_the_work(tmp_path):
    (tmp_path / "fit.py").write_text(FIT)
    done = shell(tmp_path, f"{sys.executable} fit.py", PYTHONOPTIMIZE="2")
    assert (done.returncode, done.stderr) == (0, "")
    assert "PYTHONOPTIMIZE=2" in done.stdout and done.stdout.count("\n") == 1


@pytest.mark.parametrize(
    "command", ["run rows.toml --out out", "check rows.toml", "run x --out /o"]
)
def test_a_working_folder_that_was_removed_is_one_sentence(tmp_path, command):
    gone = tmp_path / "gone"
    gone.mkdir()
    done = shell(tmp_path, f"cd {gone}; rmdir {gone}; $CRLM {command}")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["list", "check rows.toml"])
def test_lines_fit_on_a_terminal_of_forty_columns(tmp_path, command):
    done = shell(tmp_path, f"$CRLM {command}", COLUMNS="40")
    lines = done.stdout.splitlines()
    assert lines and max(map(len, lines)) <= 40


def test_an_error_is_one_line_on_a_terminal_of_any_width(tmp_path):
    done = shell(tmp_path, "$CRLM check none.toml", COLUMNS="40")
    assert done.returncode == 2
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1


def test_a_store_has_a_name_that_a_disk_can_hold():
    names = {store_of(Path("/a") / ("x" * 240 + end)).name for end in "ab"}
    assert len(names) == 2
    assert all(len(name) <= 255 and name.endswith(".sensitivity-refits") for name in names)


def test_libraries_get_a_temporary_folder_beside_the_results(tmp_path, monkeypatch):
    import tempfile

    def none():
        raise FileNotFoundError

    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "gettempdir", none)
        with program.temporary_folder(tmp_path / "new" / "out"):
            place = Path(os.environ["TMPDIR"])
            assert place.parent == tmp_path and place.is_dir()
            assert Path(tempfile.tempdir) == place
    assert os.listdir(tmp_path) == []
    assert os.environ.get("TMPDIR") != str(place)


# the command line where the system has no folder for temporary files
NO_TEMPORARY = """
import sys, tempfile
tempfile._candidate_tempdir_list = lambda: [os.environ["TMPDIR"]] if "TMPDIR" in os.environ else []
from bayes_crlm import cli
if __name__ == "__main__":
    sys.exit(cli.main())
"""


@pytest.mark.parametrize("command", ["run", "sensitivity"])
def test_without_a_temporary_folder_commands_work_and_end_in_silence(tmp_path, command):
    spec, script = write(tmp_path), tmp_path / "command.py"
    script.write_text("import os" + NO_TEMPORARY)
    options = ["--engine", "laplace"] if command == "run" else ["--jobs", "2"]
    environment = {name: value for name, value in os.environ.items() if name != "TMPDIR"}
    done = subprocess.run(
        [sys.executable, script, command, spec, *options, "--quiet", "--out", tmp_path / "out"],
        capture_output=True, text=True, env=environment, timeout=300, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (tmp_path / "out" / "report.html").exists() or command == "sensitivity"
    assert not list(tmp_path.glob(".*"))
