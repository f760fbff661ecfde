"""Rows that look like stretches of unnamed patients, and treatments that change."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort import read_cohort
from bayes_crlm.model import PiecewiseExponential

ROLES = {"time": "stop", "event": "death", "entry": "start"}


def prepared(table, **roles):
    return PiecewiseExponential("arm", 0).prepare(read_cohort(table, **ROLES, **roles))


@pytest.mark.parametrize("seed", range(3))
def test_stretches_of_unnamed_patients_are_told(simulated_cohorts, seed):
    rng = np.random.default_rng(seed)
    time = rng.integers(2, 20, 40).astype(float)
    cut = np.floor(time * rng.uniform(0.2, 0.8, 40))
    whole = pd.DataFrame({"id": range(40), "arm": rng.integers(2, size=40), "start": 0.0,
                          "stop": time, "death": 1})  # fmt: skip
    split = whole[cut > 0].assign(start=cut[cut > 0])
    first = split.assign(stop=split["start"], start=0.0, death=0)
    table = pd.concat([whole[cut == 0], first, split]).sample(frac=1, random_state=seed)
    (told,) = prepared(table).cautions
    assert f"each of the {int((cut > 0).sum())} rows that begin after 0" in told
    assert "data.id" in told
    assert prepared(table, id="id").cautions == ()


def test_late_entry_alone_is_nothing_to_tell(simulated_cohorts):
    table = simulated_cohorts[1].table
    assert (table["start"] > 0).sum() > 10
    assert prepared(table).cautions == ()
    # one row fewer to continue, and not every row continues one of its own
    months = pd.DataFrame(
        {"arm": [0, 1] * 4, "start": [0, 0, 0, 0, 3, 3, 3, 3], "stop": [3, 3, 3, 5, 6, 7, 8, 9],
         "death": [0, 0, 0, 1, 1, 1, 0, 1]}
    )  # fmt: skip
    assert prepared(months).cautions == ()


def test_a_treatment_that_changes_is_told(simulated_cohorts):
    cohort = simulated_cohorts[3]
    assert prepared(cohort.table, id="patient").cautions == ()
    table = cohort.table.copy()
    last = table.groupby("patient").tail(1).index[:7]
    table.loc[last, "arm"] = 1 - table.loc[last, "arm"]
    (told,) = prepared(table, id="patient").cautions
    assert "changes during the follow-up of 7 patients" in told
