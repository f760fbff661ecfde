"""Cohorts and fits that several test modules look at, each made once per worker."""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.model.baseline_priors import GammaProcess

# what runs the tests may say how wide its terminal is; lines are as wide as in a pipe
os.environ.pop("COLUMNS", None)

REFERENCE = Path(__file__).parent / "reference"


@dataclass(frozen=True)
class Reference:
    """A data set with the results that R and Stan gave for it."""

    cohort: Cohort
    results: dict[str, Any]


def simulate_follow_up(n_patients, rows_per_patient, seed):
    """Patients whose constant hazard 0.1 halves on arm 1; some enter late, some have many rows."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n_patients):
        arm, x, group = int(rng.integers(2)), float(rng.normal()), str(rng.choice(list("abc")))
        entry = float(rng.uniform(0, 3)) if patient % 3 == 0 else 0.0
        death = entry + float(rng.exponential(10 * 2**arm))
        end = min(death, entry + float(rng.uniform(5, 40)))
        inner = np.sort(rng.uniform(entry, end, rows_per_patient - 1)).tolist()
        starts, stops = [entry, *inner], [*inner, end]
        for start, stop in zip(starts, stops, strict=True):
            rows.append((patient, start, stop, int(stop == end == death), arm, x, group))
            x += float(rng.normal(0, 0.1))  # a covariate that changes from row to row
    columns = ["patient", "start", "stop", "death", "arm", "x", "group"]
    return pd.DataFrame(rows, columns=columns)


@pytest.fixture(scope="session")
def references():
    """The reference data sets and results by name."""
    found = {}
    for path in sorted(REFERENCE.glob("*.json")):
        table = pd.read_csv(path.with_suffix(".csv"))
        if "celltype" in table:
            for level in ("smallcell", "adeno", "large"):
                table[level] = (table["celltype"] == level).astype(int)
        cohort = read_cohort(table, time="time", event="event")
        found[path.stem] = Reference(cohort, json.loads(path.read_text()))
    return found


@pytest.fixture(scope="session")
def simulated_cohorts():
    """Simulated cohorts with delayed entry, by number of rows per patient."""
    return {
        rows: read_cohort(
            simulate_follow_up(60, rows, seed=rows),
            time="stop", event="death", entry="start", id="patient",
        )
        for rows in (1, 3)
    }  # fmt: skip


@pytest.fixture(scope="session")
def colon_fit(references):
    """The model of the references' random walk on the early recurrences of the colon trial."""
    model = PiecewiseExponential(
        "rx", "Lev", "age + sex + nodes + extent", cutpoints=8, baseline="random_walk"
    )
    cohort = references["colon_early_recurrence"].cohort
    return model.fit(cohort, draws=750, tune=750, seed=20211201)


@pytest.fixture(scope="session")
def rows_fit(simulated_cohorts):
    """Gamma hazards, delayed entry, three rows per patient; a short run."""
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=4, baseline="gamma",
        treatment_prior="student_t(4, 0, 1)", covariate_prior="laplace(0, 0.5)",
    )  # fmt: skip
    return model.fit(simulated_cohorts[3], draws=300, tune=500, chains=2, seed=4)


@pytest.fixture(scope="session")
def horseshoe_fit(simulated_cohorts):
    """Independent hazards, delayed entry, a horseshoe on the covariates; a short run."""
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=4, baseline="independent",
        covariate_prior="horseshoe(0.5)",
    )  # fmt: skip
    return model.fit(simulated_cohorts[1], draws=300, tune=500, chains=2, seed=5, target_accept=0.9)


@pytest.fixture(scope="session")
def integrated_fit(simulated_cohorts):
    """Gamma hazards integrated out of what the sampler sees, and drawn afterwards."""
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=4, baseline=GammaProcess(1.0, is_integrated=True)
    )
    return model.fit(simulated_cohorts[3], draws=300, tune=500, chains=2, seed=6)
