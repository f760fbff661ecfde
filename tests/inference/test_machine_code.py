"""Machine code on disk: of this state of the source only, and never needed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bayes_crlm.inference.native import machine_code

WITHOUT_A_PLACE = """
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
from bayes_crlm.inference.native.compiled_graph import graph_density
print(graph_density.address > 0)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    machine_code.folder_of_machine_code.cache_clear()
    yield machine_code.folder_of_machine_code
    machine_code.folder_of_machine_code.cache_clear()


def test_every_module_with_compiled_functions_decides_the_folder():
    package = Path(machine_code.__file__).parent
    found = {
        path.stem
        for path in package.rglob("*.py")
        if re.search("^@compiled", path.read_text("utf-8"), re.MULTILINE)
    }
    assert found and found <= set(machine_code.MODULES)


def test_another_state_of_the_source_has_another_folder(folder, tmp_path, monkeypatch):
    here = folder()
    assert here.is_relative_to(tmp_path)
    for name in machine_code.MODULES:
        source = Path(machine_code.__file__).with_name(f"{name}.py").read_bytes()
        (tmp_path / f"{name}.py").write_bytes(source)
    monkeypatch.setattr(machine_code, "__file__", str(tmp_path / "machine_code.py"))
    folder.cache_clear()
    assert folder() == here
    with (tmp_path / "compiled_graph.py").open("a") as file:
        file.write("# changed")
    folder.cache_clear()
    assert folder() != here


def test_without_any_place_to_keep_it_code_is_compiled_all_the_same():
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_A_PLACE],
        env={**os.environ, "NUMBA_CACHE_DIR": ""},
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["True"]


# one function that C can call, so that compiling takes no time
CALLBACK = """
import numba
from bayes_crlm.inference.native.machine_code import compiled_callback
@compiled_callback(numba.float64(numba.float64))
def doubled(x):
    return 2 * x
assert doubled.ctypes(3.0) == 6.0
"""

READ_ONLY = """
import errno, os, pathlib
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
def read_only(self, missing_ok=False):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
pathlib.Path.unlink = read_only
import one_callback
print(one_callback.doubled.ctypes(4.0))
"""


@pytest.fixture
def kept(tmp_path):
    """A folder with the code of one function, and how Python is run with it."""
    (tmp_path / "one_callback.py").write_text(CALLBACK)
    paths = os.pathsep.join([str(tmp_path), *sys.path])
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "kept"), "PYTHONPATH": paths}

    def run(code="import one_callback"):
        return subprocess.run(
            [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
        )

    assert run().returncode == 0
    return tmp_path / "kept", run


def test_a_damaged_file_is_not_used(kept):
    folder, run = kept
    (file,) = folder.rglob("*doubled-*.nbc")
    file.write_bytes(file.read_bytes()[:50])
    assert run().returncode == 0
    # the second time on, everything is kept again
    assert run().returncode == 0
    (file,) = folder.rglob("*doubled-*.nbc")
    assert file.stat().st_size > 50


def test_a_filled_folder_that_is_read_only_does_no_harm(kept):
    folder, run = kept
    (index,) = folder.rglob("*doubled-*.nbi")
    done = run(READ_ONLY)
    assert (done.returncode, done.stdout, done.stderr) == (0, "8.0\n", "")
    assert index.exists()


# a model made for one analysis, and the package's own, where the home folder cannot be written to
READ_ONLY_HOME = """
import bayes_crlm
from bayes_crlm.inference.pymc_sampling import sample_model
import pymc as pm
with pm.Model(coords={"group": range(3)}) as model:
    mean = pm.Normal("x", 0.0, 2.0, dims="group")
    pm.Normal("value", mean, 1.0, observed=pm.Data("seen", [0.1, 0.2, 0.3]), dims="group")
print(sample_model(model, draws=20, tune=20, chains=1, seed=1)["posterior"]["x"].shape)
"""


@pytest.mark.slow
def test_a_home_that_cannot_be_written_to_does_no_harm(tmp_path):
    env = {name: value for name, value in os.environ.items() if "CACHE" not in name}
    env |= {"HOME": "/proc/no-home", "TMPDIR": str(tmp_path), "PYTENSOR_FLAGS": ""}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_ONLY_HOME],
        env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "(1, 20, 3)\n"
