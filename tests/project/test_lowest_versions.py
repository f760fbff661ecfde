"""A smoke test of every command and file format; `make test-lowest` runs it with old versions.

It stands alone (no fixtures of the other tests), because it runs in an environment that has the
package with the lowest versions of what it needs, and pytest.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc

pytestmark = pytest.mark.slow

SPEC = """
title = "Smoke test of synthetic data"
[data]
source = "{source}"
time = "months"
event = "death"
id = "patient"
unit = "months"
[model]
treatment = "arm"
reference = "control"
covariates = "age + site"
[sampling]
draws = 300
tune = 300
chains = 2
[sensitivity]
parts = ["reverse_bayes", "power_scaling", "proportional_hazards"]
"""


def simulated_table(n_patients: int = 60) -> pd.DataFrame:
    """A table with numbers, text and whole numbers."""
    rng = np.random.default_rng(7)
    arm = rng.integers(0, 2, n_patients)
    return pd.DataFrame(
        {
            "patient": np.arange(1, n_patients + 1),
            "months": np.round(rng.exponential(20 * np.exp(0.5 * arm)) + 0.5, 2),
            "death": rng.integers(0, 2, n_patients),
            "arm": np.where(arm == 1, "new", "control"),
            "age": np.round(rng.normal(62, 9, n_patients), 1),
            "site": rng.choice(["A", "B", "C"], n_patients),
        }
    )


def write_xpt(table: pd.DataFrame, path: Path) -> None:
    """Write a SAS transport file."""
    import pyreadstat

    pyreadstat.write_xport(table, str(path), file_format_version=8)


def write_sav(table: pd.DataFrame, path: Path) -> None:
    """Write an SPSS file."""
    import pyreadstat

    pyreadstat.write_sav(table, str(path))


WRITERS = {
    "csv": lambda table, path: table.to_csv(path, index=False),
    "csv.gz": lambda table, path: table.to_csv(path, index=False),
    "tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "parquet": lambda table, path: table.to_parquet(path),
    "xlsx": lambda table, path: table.to_excel(path, index=False),
    "dta": lambda table, path: table.to_stata(path, write_index=False),
    "sav": write_sav,
    "xpt": write_xpt,
}


def command(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line in a folder."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "bayes_crlm", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


def write_spec(folder: Path, source: str) -> Path:
    """Write a spec beside its data."""
    path = folder / "spec.toml"
    path.write_text(SPEC.format(source=source))
    return path


@pytest.mark.parametrize("suffix", WRITERS)
def test_every_file_format_is_the_same_cohort(tmp_path, suffix):
    table = simulated_table()
    path = tmp_path / f"cohort.{suffix}"
    WRITERS[suffix](table, path)
    cohort = bc.read_cohort(path, time="months", event="death", id="patient")
    assert cohort.n_patients == len(table)
    np.testing.assert_allclose(cohort.time, table["months"])
    np.testing.assert_array_equal(cohort.event, table["death"])
    done = command("check", write_spec(tmp_path, path.name), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"{len(table)} patients" in done.stdout


@pytest.mark.parametrize("engine", ["laplace", "nuts"])
def test_run_writes_its_results(tmp_path, engine):
    simulated_table().to_csv(tmp_path / "cohort.csv", index=False)
    spec = write_spec(tmp_path, "cohort.csv")
    done = command("run", spec, "--engine", engine, "--out", "out", folder=tmp_path)
    assert done.returncode in (0, 3), done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert np.isfinite(summary["hazard_ratios"][0]["median"])
    assert (tmp_path / "out" / "posterior.nc").is_file()
    assert (tmp_path / "out" / "report.html").is_file()


def test_sensitivity_and_list_run(tmp_path):
    simulated_table().to_csv(tmp_path / "cohort.csv", index=False)
    spec = write_spec(tmp_path, "cohort.csv")
    done = command("sensitivity", spec, "--out", "out", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "sensitivity.json").is_file()
    assert command("list", folder=tmp_path).returncode == 0
