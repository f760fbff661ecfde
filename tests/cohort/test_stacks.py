"""Cohorts of one table whose outcome is coded, dated or rounded: the numbers of plain columns."""

import datetime

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, fit_many, read_cohort, stack_cohorts
from bayes_crlm.cohort.stack import batches_of
from bayes_crlm.model.preparing_many import prepare_batch
from bayes_crlm.words.errors import CohortError

MODEL = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline="independent")
COHORTS = 6
FIRST_DAY = datetime.date(2015, 2, 27)


def simulate(number, rows=60):
    rng = np.random.default_rng(number)
    arm, x = rng.integers(2, size=rows), rng.normal(size=rows)
    days = np.ceil(rng.exponential(np.exp(0.5 * arm) * 300)) + 1
    status = rng.choice([1, 2], size=rows, p=[0.3, 0.7])
    first = pd.to_datetime([FIRST_DAY + datetime.timedelta(int(k)) for k in range(rows)])
    return pd.DataFrame(
        {
            "cohort": f"c{number}", "days": days, "status": status,
            "death": (status == 2).astype(int), "months": days / (365.25 / 12),
            "start": first, "end": first + pd.to_timedelta(days, unit="D"), "arm": arm, "x": x,
        }
    )  # fmt: skip


TABLE = pd.concat([simulate(k) for k in range(COHORTS)], ignore_index=True)


def fitted(table=TABLE, **outcome):
    return fit_many(MODEL, stack_cohorts(table, cohort="cohort", **outcome), seeds=1)


@pytest.fixture(scope="module")
def plain():
    return fitted(time="months", event="death", unit="months")


DATES = {"start": "start", "end": "end"}
OUTCOMES = {
    "code of the event": {"time": "months", "event": {"column": "status", "value": 2}},
    "both codes": {
        "time": "months", "event": {"column": "status", "value": [2], "censored": [1]},
    },
    "other unit": {"time": "days", "event": "death", "unit": "months", "time_unit": "days"},
    "dates": {"time": DATES, "event": "death", "unit": "months"},
    "dates and codes": {
        "time": DATES, "event": {"column": "status", "value": 2}, "unit": "months",
    },
}  # fmt: skip


@pytest.mark.parametrize("told", list(OUTCOMES))
def test_the_same_outcome_told_otherwise_gives_the_same_fits(plain, told):
    found = fitted(**OUTCOMES[told])
    assert found.cohorts["is_fitted"].all()
    names = ["mean_log", "eti95_low", "eti95_high", "cox_log_hr"]
    np.testing.assert_allclose(found.terms[names], plain.terms[names], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("told", list(OUTCOMES))
def test_coded_and_dated_outcomes_are_prepared_together(told):
    stack = stack_cohorts(TABLE, cohort="cohort", **OUTCOMES[told])
    (batch,) = batches_of(stack)
    assert batch.rows is not None and batch.rows.is_plain.all()
    assert [len(block) for block in prepare_batch(MODEL, batch).blocks] == [COHORTS]
    for k in range(COHORTS):
        own = slice(batch.rows.starts[k], batch.rows.starts[k + 1])
        np.testing.assert_array_equal(batch.rows.cohort.time[own], stack[k].time)
        np.testing.assert_array_equal(batch.rows.cohort.event[own], stack[k].event)


def test_text_dates_are_read_as_their_format_says(plain):
    text = TABLE.assign(
        start=TABLE["start"].dt.strftime("%d/%m/%Y"), end=TABLE["end"].dt.strftime("%d/%m/%Y")
    )
    found = fitted(text, time=DATES, event="death", unit="months", date_format="%d/%m/%Y")
    np.testing.assert_allclose(found.terms["mean_log"], plain.terms["mean_log"], rtol=1e-6)
    unread = fitted(text, time=DATES, event="death", unit="months")
    assert unread.cohorts["reason"].str.contains("text that is not a date").all()


def test_the_code_of_censoring_is_that_of_the_whole_table():
    # c0 alone has 1 and 2, and would take 1 as censored; the table has a third code
    third = TABLE.assign(status=TABLE["status"].where(TABLE["cohort"] != "c3", TABLE["status"] - 1))
    assert sorted(third["status"].unique()) == [0, 1, 2]
    with pytest.raises(CohortError, match="name the codes that are censored"):
        stack_cohorts(third, cohort="cohort", time="days", event={"column": "status", "value": 2})
    named = {"column": "status", "value": 2, "censored": [1]}
    found = fitted(third, time="days", event=named).cohorts.set_index("cohort")
    assert not found["is_fitted"]["c3"] and found["is_fitted"].drop("c3").all()
    assert "cohort c3" in found["reason"]["c3"] and "0 (" in found["reason"]["c3"]


def test_a_column_in_which_0_is_the_event_is_refused():
    cnsr = TABLE.assign(CNSR=1 - TABLE["death"])
    with pytest.raises(CohortError, match="value = 0"):
        stack_cohorts(cnsr, cohort="cohort", time="months", event="CNSR")


@pytest.mark.parametrize(("zero_times", "n_fitted"), [("error", 5), ("drop", 6), (0.5, 6)])
def test_times_of_zero_are_settled_in_each_cohort(zero_times, n_fitted):
    zero = TABLE.assign(days=TABLE["days"].where(TABLE.index != 7, 0))
    found = fitted(zero, time="days", event="death", zero_times=zero_times)
    assert found.cohorts["is_fitted"].sum() == n_fitted
    told = {"time": "days", "event": "death"}
    if zero_times == "error":
        assert "cohort c0" in found.cohorts["reason"][0]
        assert "row 8" in found.cohorts["reason"][0]
    else:
        own = read_cohort(zero[zero["cohort"] == "c0"], zero_times=zero_times, **told)
        (alone,) = fit_many(MODEL, [own], seeds=[int(found.cohorts["seed"][0])]).terms[
            "mean_log"
        ].iloc[:1]  # fmt: skip
        assert found.terms["mean_log"][0] == alone


def test_rounded_times_are_drawn_in_each_cohort_by_its_place():
    years = TABLE.assign(years=np.ceil(TABLE["days"] / 365.25))
    told = {"time": "years", "event": "death", "rounded": {"unit": 1, "to": "up"}}
    stack = stack_cohorts(years, cohort="cohort", seed=4, **told)
    again = stack_cohorts(years, cohort="cohort", seed=4, **told)
    for k in range(COHORTS):
        written = years.loc[years["cohort"] == f"c{k}", "years"].to_numpy()
        assert ((stack[k].time <= written) & (stack[k].time > written - 1)).all()
        np.testing.assert_array_equal(stack[k].time, again[k].time)
    within = [stack[k].time - np.floor(stack[k].time) for k in range(2)]
    assert not np.isin(within[0], within[1]).any()
    assert fit_many(MODEL, stack, seeds=1).cohorts["is_fitted"].all()
    with pytest.raises(CohortError, match="seed"):
        stack_cohorts(years, cohort="cohort", **told)


def test_marks_of_missing_and_levels_are_those_of_the_table():
    rng = np.random.default_rng(1)
    table = TABLE.assign(stage=rng.choice(["III", "I", "II"], size=len(TABLE)))
    table.loc[[3, 70], "x"] = 999.0
    told = {
        "time": "days", "event": "death", "missing": "drop", "missing_values": {"x": [999]},
        "levels": {"stage": ["II", "I", "III"]},
    }  # fmt: skip
    stack = stack_cohorts(table, cohort="cohort", **told)
    model = PiecewiseExponential("arm", 0, "x + stage", cutpoints=3)
    found = fit_many(model, stack, seeds=1)
    assert found.cohorts["n_patients"].tolist() == [59, 59, 60, 60, 60, 60]
    assert set(found.terms["term"]) == {"arm[T.1]", "x", "stage[T.I]", "stage[T.III]"}
    told = {"time": "days", "event": "death", "references": {"stage": "III"}}
    found = fit_many(model, stack_cohorts(table, cohort="cohort", **told), seeds=1)
    assert set(found.terms["term"]) == {"arm[T.1]", "x", "stage[T.I]", "stage[T.II]"}


def test_arguments_wrong_for_every_cohort_are_refused_together():
    with pytest.raises(CohortError, match="zero_times") as told:
        stack_cohorts(TABLE, cohort="cohort", time="days", event="death", zero_times="dorp",
                      missing="skip", time_unit="fortnights")  # fmt: skip
    assert "missing must be" in str(told.value) and "fortnights" in str(told.value)
    with pytest.raises(CohortError, match="did you mean"):
        stack_cohorts(TABLE, cohort="cohort", time={"start": "strt", "end": "end"}, event="death",
                      unit="months")  # fmt: skip
    with pytest.raises(CohortError, match="each needs a column of its own"):
        stack_cohorts(TABLE, cohort="cohort", time="days", event="cohort")


def test_tables_of_arrow_are_taken():
    pa = pytest.importorskip("pyarrow")
    told = {"time": "months", "event": {"column": "status", "value": 2}}
    from_arrow = fitted(pa.Table.from_pandas(TABLE), **told).terms["mean_log"]
    np.testing.assert_array_equal(from_arrow, fitted(**told).terms["mean_log"])


@pytest.mark.parametrize("factor", [9e5, 2e6])
def test_a_time_of_another_study_is_refused_in_a_stack_as_in_one_cohort(factor):
    outcome = {"time": "months", "event": "death"}
    table = TABLE.copy()
    months = table.loc[table["cohort"] == "c2", "months"]
    table.loc[months.index[0], "months"] = factor * months.median()
    alone = None
    try:
        read_cohort(table[table["cohort"] == "c2"], **outcome)
    except CohortError as error:
        alone = str(error)
    assert (alone is None) == (factor < 1e6)
    found = fitted(table, **outcome).cohorts.set_index("cohort")["reason"]
    assert ("more than a million times its median" in found["c2"]) == (factor > 1e6)
    assert not any("median" in reason for name, reason in found.items() if name != "c2")
