"""Runs of the command line that several test modules look at, each made once per test session."""

import fcntl
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

LEVELS = (
    'systemic <b>chemo</b> & "co"',
    "repeat local treatment after neoadjuvant therapy",
    "$up_$",
)
COVARIATE = "<script>alert(1)</script>"

NASTY_SPEC = """
title = "Names with <i>markup</i> & signs"
question = "Does <script>alert(2)</script> matter?"
[data]
source = "nasty.csv"
time = "months"
event = "dead"
unit = "months"
where = [{column = "site", op = "!=", value = "elsewhere"}]
missing = "drop"
[model]
treatment = "arm"
reference = 'systemic <b>chemo</b> & "co"'
covariates = "`<script>alert(1)</script>` + sex"
[model.baseline]
cutpoints = 4
[estimands]
hr_thresholds = [1.0, 0.8, 0.5]
"""

ROWS_SPEC = """
title = "Treatment that begins after recurrence"
[data]
source = "rows.csv"
id = "patient"
entry = "start"
time = "stop"
event = "dead"
[model]
treatment = "local"
reference = 0
covariates = "age"
[model.baseline]
cutpoints = [6, 12]
prior = "independent"
[estimands]
horizons = [6, 12]
rmst = 12
"""


def simulate(levels=LEVELS, n=90, seed=1):
    """Patients whose hazard halves with treatment; some are outside, some miss a value."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % len(levels)
    time = rng.exponential(np.where(arm == 0, 20, 40))
    end = rng.uniform(10, 80, n)
    table = pd.DataFrame(
        {
            "arm": [levels[k] for k in arm],
            COVARIATE: rng.normal(size=n),
            "sex": rng.choice(["f", "m"], n),
            "site": ["elsewhere" if k >= n - 3 else "here" for k in range(n)],
            "months": np.minimum(time, end).round(2) + 0.01,
            "dead": (time <= end).astype(int),
        }
    )
    table.loc[:1, COVARIATE] = np.nan
    return table


def simulate_rows(n=70, seed=2):
    """Patients who enter late and change to local treatment while under observation."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n):
        entry, age = rng.uniform(0, 2), rng.normal(60, 10)
        change, end = entry + rng.uniform(0.5, 8), entry + rng.uniform(6, 30)
        death = entry + rng.exponential(14)
        stop = min(death, end)
        if change < stop:
            rows.append((patient, entry, change, 0, 0, age))
            rows.append((patient, change, stop, int(death <= end), 1, age))
        else:
            rows.append((patient, entry, stop, int(death <= end), 0, age))
    return pd.DataFrame(rows, columns=["patient", "start", "stop", "dead", "local", "age"])


@dataclass(frozen=True)
class Run:
    """A finished call of the command line."""

    status: int
    output: str
    errors: str
    folder: Path

    @property
    def summary(self):
        """Its summary.json; NaN and infinities in it are an error."""

        def refuse(constant):
            raise AssertionError(f"summary.json holds {constant}")

        text = (self.folder / "summary.json").read_text(encoding="utf-8")
        return json.loads(text, parse_constant=refuse)

    @property
    def report(self):
        """Its report's text."""
        return (self.folder / "report.html").read_text(encoding="utf-8")


def call(*arguments, cwd=None, **options):
    """Call the command line in a process of its own."""
    environment = os.environ | {"PYTHONWARNINGS": "default"}
    return subprocess.run(
        [sys.executable, "-m", "bayes_crlm.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
        check=False,
        **options,
    )


def run_once(request, factory, name, write, *arguments):
    """Make a run in the first worker that asks for it; the others wait and share it.

    Parameters
    ----------
    request, factory : pytest fixtures
        `request` and `tmp_path_factory`.
    name : str
        Of the run.
    write : callable
        Writes spec and data into a folder; gives the spec's path.
    arguments : str
        More arguments of `bayes-crlm run`.
    """
    base = factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        base = base.parent  # that of all workers of this session
    folder = base / f"run-{name}"
    folder.mkdir(exist_ok=True)
    with (base / f"run-{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        record = folder / "record.json"
        if not record.exists():
            spec = write(folder)
            done = call("run", spec, "--out", folder / "out", *arguments, cwd=folder)
            partial = record.with_suffix(".part")
            partial.write_text(json.dumps([done.returncode, done.stdout, done.stderr]))
            partial.rename(record)
    status, output, errors = json.loads(record.read_text())
    return Run(status, output, errors, folder / "out")


def write_nasty(folder):
    """Write the cohort and the spec whose names hold markup."""
    simulate().to_csv(folder / "nasty.csv", index=False)
    (folder / "nasty.toml").write_text(NASTY_SPEC, encoding="utf-8")
    return "nasty.toml"


def write_rows(folder):
    """Write the cohort and the spec with several rows a patient."""
    simulate_rows().to_csv(folder / "rows.csv", index=False)
    (folder / "rows.toml").write_text(ROWS_SPEC, encoding="utf-8")
    return folder / "rows.toml"


@pytest.fixture(scope="session")
def nasty_run(request, tmp_path_factory):
    """A run on names with markup, three levels, excluded and incomplete patients."""
    return run_once(request, tmp_path_factory, "nasty", write_nasty, "--draws", "1000")


@pytest.fixture(scope="session")
def rows_run(request, tmp_path_factory):
    """A run with delayed entry and a treatment that changes."""
    return run_once(request, tmp_path_factory, "rows", write_rows)


@pytest.fixture(scope="session")
def synthetic_run(request, tmp_path_factory):
    """The main job: the first spec in models/ on the synthetic cohort."""
    return run_once(request, tmp_path_factory, "synthetic", lambda _: "os_repeat_local_vs_systemic")


@pytest.fixture(scope="session")
def short_run(request, tmp_path_factory):
    """A run made to fail its diagnostics: four draws."""
    return run_once(request, tmp_path_factory, "short", write_nasty, "--draws", "4")


def wait_for(condition, seconds=120):
    """Wait until a condition holds; fail when it never does."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
