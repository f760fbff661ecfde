"""A cohort as two arms: follow-up in several rows in which nothing changes is one follow-up."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity.confounding.overlap import Settings, compare_weights
from bayes_crlm.sensitivity.two_arms import start_of_treatment, two_arms
from bayes_crlm.words.errors import SensitivityError

MODEL = PiecewiseExponential("arm", 0, "x + C(grade)", cutpoints=3)


def patients(n=90, seed=6):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"id": range(n), "entry": np.where(np.arange(n) % 4, 0.0, 0.5), "x": rng.normal(size=n)}
    )
    table["grade"] = rng.integers(1, 4, n)
    table["arm"] = rng.binomial(1, 1 / (1 + np.exp(-table["x"])))
    death = rng.exponential(8 * np.exp(-0.4 * table["x"]), n)
    table["time"] = np.minimum(death, 15).round(2) + 0.6
    table["death"] = (death < 15).astype(int)
    table["start"] = np.where(table["arm"] == 1, table["time"] / 3, np.nan)
    return table


def in_rows(table, seed=1):
    """Follow-up cut at 2 and 5, in any order of rows."""
    parts = []
    for low, high in ((0.0, 2.0), (2.0, 5.0), (5.0, np.inf)):
        here = table[table["time"] > low]
        parts.append(
            here.assign(
                entry=np.maximum(here["entry"], low),
                death=np.where(here["time"] <= high, here["death"], 0),
                time=np.minimum(here["time"], high),
            )
        )
    return pd.concat(parts).sample(frac=1, random_state=seed)


def arms_of(table, level=1):
    cohort = read_cohort(table, time="time", event="death", entry="entry", id="id")
    return two_arms(MODEL, MODEL.prepare(cohort), level)


def by_patient(arms):
    order = np.argsort(arms.source.patients[arms.source.patient_index[rows_of(arms)]])
    columns = (arms.entry, arms.time, arms.event, arms.is_treated, arms.design, arms.covariates)
    return [np.asarray(each)[order] for each in columns]


def rows_of(arms):
    place = {number: k for k, number in enumerate(arms.source.row_number.tolist())}
    return [place[number] for number in arms.row_number.tolist()]


def test_splitting_follow_up_changes_nothing_of_the_arms():
    whole, split = arms_of(patients()), arms_of(in_rows(patients()))
    for one, other in zip(by_patient(whole), by_patient(split), strict=True):
        assert other.astype(float) == pytest.approx(one.astype(float), abs=1e-12)


def test_splitting_follow_up_changes_no_weight_and_no_weighted_hazard_ratio():
    table = patients().sort_values("id")
    found = [
        compare_weights(arms_of(each), Settings(groups=50), 1)
        for each in (table, in_rows(table).sort_values(["id", "entry"]))
    ]
    assert found[1]["common_support"] == found[0]["common_support"]
    for name in ("median", "cox_hr", "is_reliable", "n_events"):
        for one, other in zip(found[0]["rows"], found[1]["rows"], strict=True):
            assert other[name] == pytest.approx(one[name], rel=1e-9)
    for name in ("propensity", "overlap_weights"):
        assert found[1]["patients"][name] == pytest.approx(found[0]["patients"][name], rel=1e-9)


def test_starts_of_treatment_are_those_of_the_same_patients():
    table = patients().assign(entry=0.0)
    rows = in_rows(table)
    # what is asked for is each patient's own start, wherever the first row stands in the file
    arms = arms_of(rows)
    start = start_of_treatment(arms, "start")
    expected = np.where(arms.is_treated, arms.time / 3, np.inf)
    assert start == pytest.approx(expected)


@pytest.mark.parametrize("change", ["arm", "x", "gap"])
def test_what_changes_during_follow_up_is_refused_with_the_patients_name(change):
    rows = in_rows(patients()).sort_values(["id", "entry"]).reset_index(drop=True)
    place = rows.index[(rows["id"] == 7)][-1]
    assert rows.loc[place, "entry"] > 0
    column, value = {"arm": ("arm", 1 - rows["arm"][place]), "x": ("x", 0.3),
                     "gap": ("entry", rows["entry"][place] + 0.1)}[change]  # fmt: skip
    rows.loc[place, column] = value
    with pytest.raises(
        SensitivityError, match=r"change during follow-up, or it has gaps, in 1 pat.*7 "
    ):
        arms_of(rows)
