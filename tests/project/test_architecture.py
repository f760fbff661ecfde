"""Packages import only what is below them, and load what is heavy only when it is needed."""

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = (
    "arviz_base", "arviz_stats", "distributed", "formulaic", "jinja2", "matplotlib", "netCDF4",
    "numba", "numpy", "nutpie", "openpyxl", "pandas", "pyarrow", "pydantic", "pymc", "pyreadstat",
    "pytensor", "scipy", "survival", "xarray",
)  # fmt: skip
# of this package and of Python: what numbers of a posterior do not need, and pandas does not load
NOT_FOR_NUMBERS = (
    "bayes_crlm.figures", "bayes_crlm.sensitivity", "bayes_crlm.words.section", "email.message",
    "html.entities", "importlib.metadata",
)  # fmt: skip
# what the commands may have loaded when they have said what there is to say first
ALLOWED = {
    ("--help",): set(),
    ("list",): {"pydantic"},
    # pandas loads pyarrow; a formula that does more than add columns loads formulaic with SciPy
    ("check", "os_three_strategies"): {"numpy", "pandas", "pydantic", "pyarrow"},
    ("run", "os_three_strategies", "--engine", "laplace"): {
        "numpy", "pandas", "pydantic", "pyarrow",
    },
}  # fmt: skip
LOADED = """
import contextlib, io, json, sys
from bayes_crlm.cli import main, run

class AnsweredError(Exception):
    pass

first_answer = run.first_answer
def then_stop(*arguments):
    first_answer(*arguments)
    raise AnsweredError
run.first_answer = then_stop
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(AnsweredError, SystemExit):
    main(sys.argv[2:])
print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
"""


# a run of the sampler up to its hazard ratios: before anything else is made of the draws
SAMPLED = """
import contextlib, io, json, sys
import bayes_crlm.fit.fit as fit_module
from bayes_crlm.cli import main

class SampledError(Exception):
    pass

fit_model = fit_module.fit_model
def then_stop(*arguments, **settings):
    assert settings["engine"] == "nuts"
    fit_model(*arguments, **settings).hazard_ratios()
    raise SampledError
fit_module.fit_model = then_stop
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SampledError):
    main(["run", "os_three_strategies", "--quiet"])
print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
"""


def check_imports(folder):
    """Run import-linter on a copy of the package; gives its exit status and what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", "import sys; sys.path.insert(0, '.'); "
         "from importlinter.cli import lint_imports_command; lint_imports_command()",
         "--no-cache"],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def copy(tmp_path):
    """A copy of the package's source and of its contract."""
    shutil.copytree(
        ROOT / "bayes_crlm", tmp_path / "bayes_crlm", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_packages_import_only_what_is_below_them():
    status, printed = check_imports(ROOT)
    assert status == 0, printed


@pytest.mark.parametrize(
    "planted",
    [
        "from bayes_crlm.fit.fit import Fit\n",
        "def late():\n    from bayes_crlm.fit.fit import Fit\n\n    return Fit\n",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n"
        "    from bayes_crlm.fit.fit import Fit\n",
    ],
    ids=["at the top", "in a function", "for types alone"],
)
def test_an_upward_import_is_found(copy, planted):
    (copy / "bayes_crlm" / "likelihood" / "planted.py").write_text(planted)
    status, printed = check_imports(copy)
    assert status == 1
    assert "bayes_crlm.likelihood.planted" in printed


def test_a_circle_of_two_files_is_found(copy):
    folder = copy / "bayes_crlm" / "words"
    (folder / "one.py").write_text("def f():\n    from bayes_crlm.words import two\n")
    (folder / "two.py").write_text("from bayes_crlm.words import one\n")
    status, printed = check_imports(copy)
    assert status == 1
    assert "No cycles are allowed in bayes_crlm.words" in printed


@pytest.mark.parametrize("command", ALLOWED, ids=" ".join)
def test_commands_load_no_more_than_they_need(command, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LOADED, json.dumps(HEAVY), *command],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert set(json.loads(done.stdout.splitlines()[-1])) <= ALLOWED[command]


FROM_A_TABLE = """
import json, sys
import pandas as pd
from bayes_crlm import PiecewiseExponential, read_cohort

table = pd.DataFrame({"arm": [0, 1] * 10, "time": range(1, 21), "event": [1, 1, 0, 1] * 5})
cohort = read_cohort(table, time="time", event="event")
fit = PiecewiseExponential("arm", 0).fit(cohort, draws=50, tune=50, chains=1, seed=1)
fit.hazard_ratios()
print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))
"""


def test_hazard_ratios_load_neither_pictures_nor_pages(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FROM_A_TABLE, json.dumps(NOT_FOR_NUMBERS)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_sampler_loads_no_more_than_numbers_need(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAMPLED, json.dumps(HEAVY)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (
        set(json.loads(done.stdout.splitlines()[-1])) <= ALLOWED[("check", "os_three_strategies")]
    )


def test_a_whole_run_loads_what_its_files_need_and_no_more(tmp_path):
    code = (
        "import json, sys; from bayes_crlm.cli import main; "
        "main(['run', 'os_repeat_local_vs_systemic', '--quiet']); "
        "print(json.dumps([name for name in json.loads(sys.argv[1]) if name in sys.modules]))"
    )
    names = [*HEAVY, "arviz_plots", "dask", "matplotlib.pyplot"]
    done = subprocess.run(
        [sys.executable, "-c", code, json.dumps(names)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    allowed = ALLOWED["check", "os_three_strategies"] | {
        "jinja2", "matplotlib", "netCDF4", "survival",
    }  # fmt: skip
    assert set(json.loads(done.stdout.splitlines()[-1])) <= allowed


def test_the_picture_of_the_packages_is_that_of_the_contract():
    path = ROOT / "scripts" / "draw_packages.py"
    spec = importlib.util.spec_from_file_location("draw_packages", path)
    draw_packages = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(draw_packages)
    assert draw_packages.PICTURE.read_text(encoding="utf-8") == draw_packages.picture()
