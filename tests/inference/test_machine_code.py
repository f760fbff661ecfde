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
import numpy as np
from bayes_crlm.inference.native.exposure_sums import dot
import bayes_crlm.inference.native.callbacks
print(dot(np.arange(9.0), np.ones(9)))
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
        if re.search("^@(compiled|inlined)", path.read_text("utf-8"), re.MULTILINE)
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
    with (tmp_path / "exposure_sums.py").open("a") as file:
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
    assert done.stdout.split() == ["36.0"]


def test_a_damaged_file_is_not_used(tmp_path):
    command = [sys.executable, "-c", "import bayes_crlm.inference.native.callbacks"]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run(command, env=env, check=True)
    (kept,) = tmp_path.rglob("*posterior_callback-*.nbc")
    kept.write_bytes(kept.read_bytes()[:50])
    subprocess.run(command, env=env, check=True, capture_output=True)
    # the second time on, everything is kept again
    subprocess.run(command, env=env, check=True, capture_output=True)
    (kept,) = tmp_path.rglob("*posterior_callback-*.nbc")
    assert kept.stat().st_size > 50


READ_ONLY = """
import errno, os, pathlib
import numba.core.caching
numba.core.caching.CacheImpl._locator_classes = []
def read_only(self, missing_ok=False):
    raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(self))
pathlib.Path.unlink = read_only
import bayes_crlm.inference.native.callbacks
"""


def test_a_filled_folder_that_is_read_only_does_no_harm(tmp_path):
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    subprocess.run(
        [sys.executable, "-c", "import bayes_crlm.inference.native.callbacks"], env=env, check=True
    )
    assert list(tmp_path.rglob("*posterior_callback-*.nbi"))
    done = subprocess.run(
        [sys.executable, "-c", READ_ONLY], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
