"""Rows that look like stretches of unnamed patients, and treatments that change."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential

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
    # months of a median of 10: that they are rounded is told as well
    (told,) = (each for each in prepared(table).cautions if "rounded" not in each)
    assert f"each of the {int((cut > 0).sum())} rows that begin after 0" in told
    assert "data.id" in told
    assert not any("data.id" in each for each in prepared(table, id="id").cautions)


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


# --- the same patients in several rows, without a column that names them --------------------------


def recurrent_events(n=60, seed=1):
    """Each patient's stretches end with an event, but for the last."""
    rng = np.random.default_rng(seed)
    rows = []
    for patient in range(n):
        ends = np.cumsum(rng.integers(20, 200, rng.integers(1, 4)))
        starts = [0, *ends[:-1]]
        arm, age = int(rng.integers(2)), int(rng.integers(20, 70))
        for start, stop in zip(starts, ends, strict=True):
            rows.append((f"S-{patient:03d}", start, stop, int(stop != ends[-1]), arm, age))
    return pd.DataFrame(rows, columns=["subject", "start", "stop", "death", "arm", "age"])


def test_a_dose_names_no_patients(simulated_cohorts):
    """Other columns that follow from the treatment are no sign that it does."""
    table = simulated_cohorts[1].table.copy()
    table["schedule"] = np.where(table["arm"] == 1, "weekly", "none")
    table["dose"] = np.where(table["arm"] == 1, 50 + np.arange(len(table)) % 30, 0)
    assert len(table) / 10 <= table["dose"].nunique()
    assert not any("named the patients" in each for each in prepared(table).cautions)


@pytest.mark.parametrize("seed", range(3))
def test_recurrent_events_without_an_id_are_told_with_the_column_that_repeats(seed):
    table = recurrent_events(seed=seed).sample(frac=1, random_state=seed)
    (told,) = prepared(table).cautions
    assert "rows that begin after 0 begins just where another row ends" in told
    assert "with the event, as if they were further events" in told
    assert "column 'subject' has 60 values" in told
    (told,) = prepared(table.drop(columns=["subject", "age"])).cautions
    assert "further events" in told


def test_one_late_entry_silences_nothing():
    late = pd.DataFrame(
        {"subject": ["late"], "start": [7.5], "stop": [500], "death": [1], "arm": [0], "age": [50]}
    )
    (told,) = prepared(pd.concat([recurrent_events(), late])).cautions
    assert "rows that begin after 0" in told


@pytest.mark.parametrize("seed", range(3))
def test_two_outcomes_of_each_patient_in_one_file_are_told(seed):
    rng = np.random.default_rng(seed)
    one = pd.DataFrame(
        {"USUBJID": [f"01-{k:04d}" for k in range(100)], "arm": rng.integers(2, size=100),
         "age": rng.integers(30, 80, 100), "PARAMCD": "OS",
         "AVAL": rng.exponential(20, 100), "dead": rng.integers(2, size=100)}
    )  # fmt: skip
    both = pd.concat([one, one.assign(PARAMCD="PFS", AVAL=one["AVAL"] / 2)])
    roles = {"time": "AVAL", "event": "dead"}
    (told,) = PiecewiseExponential("arm", 0).prepare(read_cohort(both, **roles)).cautions
    assert "column 'USUBJID' has 100 values in 200 rows" in told
    assert "data.id" in told
    assert PiecewiseExponential("arm", 0).prepare(read_cohort(one, **roles)).cautions == ()


@pytest.mark.parametrize("name", ["pt", "kenn", "nr"])
def test_recurrent_events_in_gap_times_are_told_under_any_name_of_patients(name):
    table = recurrent_events().rename(columns={"subject": name})
    table = table.assign(gap=table["stop"] - table["start"])
    cohort = read_cohort(table, time="gap", event="death")
    (told,) = PiecewiseExponential("arm", 0, "age").prepare(cohort).cautions
    assert f"column '{name}' has 60 values" in told


@pytest.mark.parametrize("seed", range(5))
def test_sites_that_chose_one_arm_each_are_no_patients(seed):
    rng = np.random.default_rng(seed)
    site = rng.integers(20, size=160)
    table = pd.DataFrame(
        {"site": site, "arm": site % 2, "age": rng.integers(30, 80, 160),
         "time": rng.exponential(20, 160), "death": 1}
    )  # fmt: skip
    cohort = read_cohort(table, time="time", event="death")
    assert PiecewiseExponential("arm", 0).prepare(cohort).cautions == ()


@pytest.mark.parametrize("seed", range(5))
def test_columns_that_repeat_by_chance_are_no_names(seed):
    rng = np.random.default_rng(seed)
    n = 300
    table = pd.DataFrame(
        {"arm": rng.integers(2, size=n), "age": rng.integers(30, 80, n),
         "site": rng.integers(90, size=n), "time": rng.exponential(20, n), "death": 1}
    )  # fmt: skip
    cohort = read_cohort(table, time="time", event="death")
    assert PiecewiseExponential("arm", 0).prepare(cohort).cautions == ()


# --- units, and covariates that say what the treatment is -----------------------------------------


def test_days_taken_for_months_are_doubted():
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"arm": np.arange(80) % 2, "time": rng.exponential(900, 80), "death": 1})
    cohort = read_cohort(table, time="time", event="death", unit="months")
    (told,) = PiecewiseExponential("arm", 0).prepare(cohort).cautions
    assert "years if times are in months" in told
    assert "data.time_unit" in told
    cohort = read_cohort(table, time="time", event="death", unit="months", time_unit="days")
    assert PiecewiseExponential("arm", 0).prepare(cohort).cautions == ()


@pytest.mark.parametrize("seed", range(3))
def test_covariates_that_are_part_of_the_treatment_are_told(seed):
    rng = np.random.default_rng(seed)
    n = 200
    arm = rng.integers(2, size=n)
    table = pd.DataFrame(
        {"arm": arm, "dose": arm * rng.choice([50, 75, 100], n), "age": rng.integers(30, 80, n),
         "product": arm * rng.normal(size=n), "rare": rng.random(n) < 0.02,
         "time": rng.exponential(20, n), "death": 1}
    )  # fmt: skip
    cohort = read_cohort(table, time="time", event="death")
    for name in ("dose", "product"):
        (told,) = PiecewiseExponential("arm", 0, name).prepare(cohort).cautions
        assert f"covariate '{name}' is 0" in told
    assert PiecewiseExponential("arm", 0, "age + rare").prepare(cohort).cautions == ()


def late_starts() -> pd.DataFrame:
    """Patients who all wait for their treatment; two in three get it, at time 2."""
    n = 60
    treated = np.arange(n) % 3 > 0
    age = np.random.default_rng(5).normal(60, 9, n)
    end = np.random.default_rng(6).exponential(20, n) + 2.5
    waits = pd.DataFrame({"id": np.arange(n), "start": 0.0, "stop": np.where(treated, 2, end)})
    waits = waits.assign(event=np.where(treated, 0, 1), arm=0, age=age)
    treatments = pd.DataFrame({"id": np.arange(n), "start": 2.0, "stop": end, "event": 1, "arm": 1})
    rows = pd.concat([waits, treatments.assign(age=age)[treated]], ignore_index=True)
    rows["dose"] = np.where(rows["arm"] == 1, 40 + rows["id"] % 7, 0)
    return rows


def cautions_of(rows: pd.DataFrame, covariates: str) -> tuple[str, ...]:
    cohort = read_cohort(rows, time="stop", event="event", entry="start", id="id")
    return PiecewiseExponential("arm", 0, covariates=covariates).prepare(cohort).cautions


def test_a_treatment_that_nobody_has_at_first_is_no_fault():
    told = cautions_of(late_starts(), "age")
    assert not any("part of the treatment" in text or "as if it said" in text for text in told)


def test_a_dose_that_begins_with_a_late_treatment_is_part_of_it():
    told = cautions_of(late_starts(), "age + dose")
    assert sum("covariate 'dose' is 0 for every patient with arm = 0" in text for text in told) == 1
    assert not any("'age'" in text and "part of the treatment" in text for text in told)
