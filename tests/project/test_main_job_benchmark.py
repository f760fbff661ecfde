"""The benchmark of the main job measures what it says, and its page shows what it stored."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def main_job():
    """`benchmarks/main_job.py`."""
    path = ROOT / "benchmarks" / "main_job.py"
    spec = importlib.util.spec_from_file_location("main_job", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def stored():
    """What the benchmark stored."""
    path = ROOT / "benchmarks" / "results" / "main_job.json"
    return json.loads(path.read_text(encoding="utf-8"))


def test_peak_memory_is_of_the_process_measured(main_job):
    # measured from a small process, as the script is: a child's peak starts at its parent's size
    code = (
        "import importlib.util, os, sys;"
        f"spec = importlib.util.spec_from_file_location('main_job', {main_job.__file__!r});"
        "job = importlib.util.module_from_spec(spec);"
        "sys.modules['main_job'] = job; spec.loader.exec_module(job);"
        "run = lambda code: job.run_process([sys.executable, '-c', code], dict(os.environ));"
        "print(run('b = bytearray(200 * 2**20)').mebibytes, run('pass').mebibytes)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout
    large, small = map(float, printed.split())
    assert large > 200
    assert small < 100


def test_wall_time_counts_waiting_and_processor_time_does_not(main_job):
    process = main_job.run_process(
        [sys.executable, "-S", "-c", "import time; time.sleep(1)"], dict(os.environ)
    )
    assert process.seconds >= 1
    assert process.processor_seconds < process.seconds


def test_a_failing_job_is_no_measurement(main_job):
    command = [sys.executable, "-c", "raise SystemExit('broken')"]
    with pytest.raises(RuntimeError, match="broken"):
        main_job.run_process(command, dict(os.environ))


def test_cold_caches_are_empty_folders(main_job, tmp_path):
    environment = main_job.cold_environment(tmp_path)
    for key in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR", "XDG_CACHE_HOME"):
        assert list(Path(environment[key]).iterdir()) == []
    assert f"base_compiledir={tmp_path}" in environment["PYTENSOR_FLAGS"]


def test_page_shows_the_stored_measurement(main_job, stored):
    page = main_job.PAGE.read_text(encoding="utf-8")
    shown = page.split(main_job.BEGIN)[1].split(main_job.END)[0]
    assert shown.strip() == main_job.table_of(stored)


def test_stored_measurement_meets_its_targets(main_job, stored):
    assert stored["spec"] == "os_repeat_local_vs_systemic"
    for name, target in main_job.TARGETS.items():
        assert stored[name]["seconds"]["ratio"]["median"] <= target
