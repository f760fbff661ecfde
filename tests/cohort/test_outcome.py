"""Outcomes as files of the field have them: codes, dates, units, zeros, and R's own data sets."""

import datetime

import numpy as np
import pandas as pd
import pytest
import survival.datasets as shipped

from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import BayesCRLMError, CohortError

LUNG = {"time": "time", "event": {"column": "status", "value": 2}}


def r_data(name):
    return pd.DataFrame(getattr(shipped, f"load_{name}")())


def codes(status, months=None):
    n = len(status)
    months = np.arange(1.0, n + 1) if months is None else months
    return pd.DataFrame({"months": months, "status": status})


def refused(table, **options):
    with pytest.raises(CohortError) as caught:
        read_cohort(table, **({"time": "months", "event": "status"} | options))
    return str(caught.value)


# --- codes of events ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "event", "right"),
    [
        ([1, 2, 1, 2], {"value": 2}, [0, 1, 0, 1]),
        ([1.0, 2.0, 1.0, 2.0], {"value": 2}, [0, 1, 0, 1]),
        (["1", "2", "1", "2"], {"value": 2}, [0, 1, 0, 1]),
        (["Dead", "Alive", " Dead", "Alive"], {"value": "Dead"}, [1, 0, 1, 0]),
        ([0, 1, 2, 0], {"value": [1, 2]}, [0, 1, 1, 0]),
        ([0, 1, 2, 2], {"value": 2, "censored": [0, 1]}, [0, 0, 1, 1]),
        ([0, 1, 0, 1], {"value": 0}, [1, 0, 1, 0]),
        ([True, False, True, False], {"value": False}, [0, 1, 0, 1]),
        (pd.Categorical(["d", "a", "d", "a"]), {"value": "d"}, [1, 0, 1, 0]),
    ],
)
def test_the_event_is_the_code_that_is_said_to_be_it(status, event, right):
    cohort = read_cohort(codes(status), time="months", event={"column": "status", **event})
    assert cohort.event.tolist() == right
    assert any("censored" in each for each in cohort.remarks) == (sum(right) < len(right))


def test_other_codes_are_listed_with_their_counts_and_never_taken_for_censored():
    said = refused(codes([0, 1, 2, 2, 0, 0]), event={"column": "status", "value": 2})
    assert "0 (3 rows), 1 (1 row)" in said
    assert "censored = [0, 1]" in said
    named = {"column": "status", "value": 2, "censored": 0}
    assert "1 (1 row)" in refused(codes([0, 1, 2, 2, 0, 0]), event=named)


def test_an_event_that_no_row_has_is_refused_with_what_the_rows_have():
    said = refused(codes([0, 1, 1, 0]), event={"column": "status", "value": 2})
    assert "no row holds 2" in said
    assert "0 (2 rows), 1 (2 rows)" in said


@pytest.mark.parametrize("mark", ["NA", " . ", ""])
@pytest.mark.parametrize("dead", ["dead", 1])
def test_a_mark_of_missing_is_no_code_unless_it_is_said_to_be_one(mark, dead):
    table = codes(pd.Series([dead, mark, dead, mark] * 5, dtype=object))
    event = {"column": "status", "value": dead}
    message = refused(table, event=event)
    assert "column 'status' (event) is missing in rows 2, 4, 6, 8, 10 and 5 more" in message
    assert "censored" not in message
    if mark.strip():
        cohort = read_cohort(table, time="months", event=event | {"censored": [mark]})
        assert cohort.event.tolist() == [1, 0, 1, 0] * 5


def test_cnsr_without_its_code_is_refused():
    table = codes([0, 1, 0, 1]).rename(columns={"status": "CNSR"})
    said = refused(table, event="CNSR")
    assert 'event = {column = "CNSR", value = 0}' in said
    event = {"column": "CNSR", "value": 0}
    assert read_cohort(table, time="months", event=event).event.tolist() == [1, 0, 1, 0]


@pytest.mark.parametrize("value", [1, "1", [1, 2], True])
def test_cnsr_with_the_code_of_censoring_as_the_event_is_doubted(value):
    table = codes([0, 1, 0, 1]).rename(columns={"status": "CNSR"})
    cohort = read_cohort(table, time="months", event={"column": "CNSR", "value": value})
    assert any("in CDISC's column 0 is the event" in each for each in cohort.remarks)
    cohort = read_cohort(table, time="months", event={"column": "CNSR", "value": 0})
    assert not any("CDISC" in each for each in cohort.remarks)


def test_an_event_that_no_row_has_is_one_problem():
    table = codes(["Dead", "Alive", "Dead", "Alive"])
    said = refused(table, event={"column": "status", "value": "dead"})
    assert "no row holds 'dead'; it holds 'Alive' (2 rows), 'Dead' (2 rows)" in said
    assert "problems" not in said


@pytest.mark.parametrize(("status", "hint"), [([1, 2, 1, 2], "value = 2}"), ("AABB", '"dead"}')])
def test_the_code_that_is_suggested_is_of_the_columns_type(status, hint):
    assert hint in refused(codes(list(status)))


def test_a_time_of_0_is_refused_with_what_says_what_becomes_of_it():
    table = codes([0, 1, 0, 1], [0.0, 1.0, 2.0, 3.0])
    assert "zero_times says" in refused(table)
    assert "zero_times says" not in refused(table.assign(months=[-1.0, 1.0, 2.0, 3.0]))


def test_a_date_in_a_message_is_written_as_dates_are():
    start = pd.to_datetime(["2018-03-01"] * 4)
    end = pd.to_datetime(["2018-03-01", "2018-05-01", "2018-06-01", "2018-06-02"])
    table = codes([0, 1, 0, 1]).assign(start=start, end=end)
    said = refused(table, time={"start": "start", "end": "end"}, unit="days")
    assert "in row 1 (2018-03-01)" in said
    assert "zero_times says" in said
    noon = end - pd.Timedelta(hours=12)
    said = refused(table.assign(end=noon), time={"start": "start", "end": "end"}, unit="days")
    assert "in row 1 (2018-02-28 12:00:00)" in said


@pytest.mark.parametrize("name", ["Censored", "cens", "cnsr_os", "is_censored", "censoring"])
def test_a_name_that_says_censored_is_doubted_as_the_event(name):
    table = codes([0, 1, 1, 1]).rename(columns={"status": name})
    cohort = read_cohort(table, time="months", event=name)
    (remark,) = cohort.remarks
    assert "1 (3 rows) is taken as the event" in remark
    assert f'event = {{column = "{name}", value = 0}}' in remark
    said = read_cohort(table, time="months", event={"column": name, "value": 1})
    assert not any("name" in each for each in said.remarks)


@pytest.mark.parametrize("name", ["status", "uncensored", "not_censored", "licensed", "recens"])
def test_other_names_of_the_event_are_not_doubted(name):
    table = codes([0, 1, 1, 1]).rename(columns={"status": name})
    assert read_cohort(table, time="months", event=name).remarks == ()


@pytest.mark.parametrize(
    ("event", "words"),
    [
        ({"column": "status"}, "event.value is missing"),
        ({"column": "status", "value": []}, "empty list"),
        ({"column": "status", "value": 1, "censored": [1]}, "is in both value and censored"),
        ({"column": "status", "values": 1}, "'values' is not a part of it; did you mean 'value'"),
        ({"column": 3, "value": 1}, "event.column must be"),
        ({"column": "status", "value": None}, "is not a code"),
    ],
)
def test_a_wrong_event_is_one_sentence(event, words):
    assert words in refused(codes([0, 1, 0, 1]), event=event)


# --- dates and units ----------------------------------------------------------------------------

STARTS = ["2015-01-31", "2016-02-29", "2017-06-01"]
DAYS_LATER = [365, 30, 1000]


def dated(kind):
    starts = pd.to_datetime(pd.Series(STARTS))
    ends = starts + pd.to_timedelta(DAYS_LATER, unit="D")
    make = {
        "datetime": lambda x: x,
        "zone": lambda x: x.dt.tz_localize("UTC"),
        "date": lambda x: pd.Series([each.date() for each in x], dtype=object),
        "iso": lambda x: x.dt.strftime("%Y-%m-%d"),
        "time of day": lambda x: x.dt.strftime("%Y-%m-%dT12:30:00"),
        "arrow": lambda x: x.dt.date.astype("date32[pyarrow]"),
        "format": lambda x: x.dt.strftime("%d/%m/%Y"),
    }[kind]
    return pd.DataFrame({"from": make(starts), "to": make(ends), "status": [1, 0, 1]})


@pytest.mark.parametrize(
    "kind", ["datetime", "zone", "date", "iso", "time of day", "arrow", "format"]
)
@pytest.mark.parametrize("unit", ["days", "months", "years"])
def test_time_between_dates_is_in_the_unit(kind, unit):
    per = {"days": 1, "months": 365.25 / 12, "years": 365.25}[unit]
    cohort = read_cohort(
        dated(kind),
        time={"start": "from", "end": "to"},
        event="status",
        unit=unit,
        date_format="%d/%m/%Y" if kind == "format" else None,
    )
    assert cohort.time == pytest.approx(np.array(DAYS_LATER) / per, rel=1e-12)


@pytest.mark.parametrize("form", ["%Q", "%", "%d.%m", "%m/%Y", "%Y", "%H:%M", "dd/mm/yyyy", "%x"])
def test_a_format_that_says_no_whole_date_is_refused(form):
    """%m/%Y would make every date the first of its month."""
    table = dated("format")
    said = refused(table, time={"start": "from", "end": "to"}, unit="days", date_format=form)
    assert "does not say day, month and year" in said


@pytest.mark.parametrize("cell", ["12/02/2015", "13/02/2015", "July", "2015", "2015-2-3"])
def test_text_that_is_no_iso_date_is_refused_by_its_row(cell):
    table = dated("iso")
    table.loc[1, "to"] = cell
    said = refused(table, time={"start": "from", "end": "to"}, unit="months")
    assert "column 'to' (time) is text that is not a date in row 2" in said
    assert "date_format" in said


def test_dates_need_a_unit_and_a_start_before_the_end():
    time = {"start": "from", "end": "to"}
    assert "unit is missing" in refused(dated("iso"), time=time)
    assert "unit 'cycles' is not known" in refused(dated("iso"), time=time, unit="cycles")
    table = dated("iso")
    table.loc[2, "to"] = "2017-05-31"
    said = refused(table, time=time, unit="days")
    assert "is not after the start (column 'from') in row 3" in said
    assert "time = {start, end}" in refused(dated("date"), time="to")


def test_starts_of_treatment_and_entries_may_be_dates_too():
    table = dated("datetime")
    table["treated"] = table["from"] + pd.Timedelta(days=10)
    table["entered"] = table["from"] + pd.Timedelta(days=5)
    cohort = read_cohort(
        table, time={"start": "from", "end": "to"}, event="status", unit="days", entry="entered",
        treatment_start="treated",
    )  # fmt: skip
    assert cohort.start.tolist() == [10, 10, 10]
    assert cohort.entry.tolist() == [5, 5, 5]
    assert cohort.times_of("treated").tolist() == [10, 10, 10]


def test_numbers_are_converted_from_the_files_unit():
    table = codes([0, 1, 1], [365.25, 730.5, 30.4375]).assign(began=[0, 30.4375, 1])
    cohort = read_cohort(
        table, time="months", event="status", unit="months", time_unit="days",
        treatment_start="began",
    )  # fmt: skip
    assert cohort.time == pytest.approx([12, 24, 1], rel=1e-12)
    assert cohort.start == pytest.approx([0, 1, 1 / 30.4375])
    said = refused(table, unit="cycles", time_unit="days")
    assert "unit 'cycles' is not known" in said


# --- times of zero ------------------------------------------------------------------------------


def test_times_of_zero_are_refused_dropped_or_given_a_width():
    table = codes([0, 1, 1, 0], [0.0, 2, 0, 3])
    assert "is zero or negative in rows 1 (0.0) and 3 (0.0)" in refused(table)
    cohort = read_cohort(table, time="months", event="status", zero_times="drop")
    assert cohort.time.tolist() == [2, 3]
    assert cohort.row_number.tolist() == [2, 4]
    (gone,) = cohort.dropped
    assert (gone.n_patients, gone.n_rows) == (2, 2)
    assert "1 of them with the event" in gone.reason
    cohort = read_cohort(table, time="months", event="status", zero_times=0.5)
    assert cohort.time.tolist() == [0.5, 2, 0.5, 3]
    assert "2 rows without time at risk" in cohort.remarks[0]
    assert "is negative in row 1" in refused(codes([0, 1], [-1.0, 2]), zero_times="drop")


@pytest.mark.parametrize("given", ["none", 0, -1, True, None, float("nan"), [1]])
def test_zero_times_is_error_drop_or_a_time(given):
    assert 'zero_times must be "error", "drop" or a number' in refused(
        codes([0, 1]), zero_times=given
    )


# --- everything at once -------------------------------------------------------------------------


def test_what_is_wrong_with_outcome_and_covariates_is_told_together(tmp_path):
    r_data("lung").to_csv(tmp_path / "lung.csv", index=False)
    spec = {
        "title": "Lung",
        "data": {"source": str(tmp_path / "lung.csv"), "time": "time", "event": "status"},
        "model": {"treatment": "sex", "reference": 1, "covariates": "age + ph.karno + `wt.loss`"},
    }
    with pytest.raises(CohortError) as caught:
        plan_analysis(Spec.from_mapping(spec | {"model": spec["model"] | {
            "covariates": "age + missing_column + `wt.loss`"}}))  # fmt: skip
    said = str(caught.value)
    for words in ("(event) is not 0 or 1", "no column 'missing_column'", "'wt.loss' in 14"):
        assert words in said


MISTAKES = {
    "time": ({"data": {"time": "tiem"}}, "no column 'tiem'"),
    "event": ({"data": {"event": "status"}}, "(event) is not 0 or 1"),
    "id": ({"data": {"id": "patient"}}, "no column 'patient'"),
    "reference": ({"model": {"reference": "male"}}, "no level 'male' (model.reference)"),
    "unknown covariate": ({"model": {"covariates": "age + agee"}}, "no column 'agee'"),
    "formula": ({"model": {"covariates": "age + log(`ph.karno` - 100)"}}, "log() of a term"),
    "horizons": ({"estimands": {"horizons": [5000]}}, "estimands.horizons: 5000.0 lies beyond"),
    "rmst": ({"estimands": {"rmst": 2000.0}}, "estimands.rmst: 2000.0 lies beyond"),
    "cutpoints": (
        {"model": {"baseline": {"cutpoints": [100, 3000]}}}, "model.baseline.cutpoints: 3000",
    ),
    "where": (
        {"data": {"where": [{"column": "ecog", "op": "==", "value": 1}]}},
        "where: there is no column 'ecog'",
    ),
}  # fmt: skip


def lung_with(tmp_path, *mistakes):
    r_data("lung").to_csv(tmp_path / "lung.csv", index=False)
    spec = {
        "title": "Lung",
        "data": {"source": str(tmp_path / "lung.csv"), "time": "time", "missing": "drop"}
        | {"event": {"column": "status", "value": 2}},
        "model": {"treatment": "sex", "reference": 1, "covariates": "age"},
        "estimands": {},
    }
    for mistake in mistakes:
        for table, keys in MISTAKES[mistake][0].items():
            for key, value in keys.items():
                former = spec[table].get(key)
                both = key == "covariates" and former != "age"
                spec[table][key] = f"{former} + {value}" if both else value
    return spec


@pytest.mark.parametrize("mistake", MISTAKES)
def test_one_mistake_is_one_sentence(tmp_path, mistake):
    with pytest.raises(BayesCRLMError) as caught:
        plan_analysis(Spec.from_mapping(lung_with(tmp_path, mistake)))
    assert MISTAKES[mistake][1] in str(caught.value)
    assert "problems" not in str(caught.value)


@pytest.mark.parametrize(
    "mistakes",
    [
        ("event", "reference", "unknown covariate", "formula", "horizons", "rmst"),
        ("time", "event", "id", "reference", "unknown covariate", "formula"),
        ("reference", "formula", "horizons", "cutpoints"),
        ("event", "cutpoints", "rmst"),
        ("where", "reference", "id"),
        ("horizons", "rmst", "cutpoints"),
    ],
)
def test_all_mistakes_of_a_spec_and_its_file_are_told_in_one_message(tmp_path, mistakes):
    with pytest.raises(BayesCRLMError) as caught:
        plan_analysis(Spec.from_mapping(lung_with(tmp_path, *mistakes)))
    said = str(caught.value)
    for mistake in mistakes:
        assert MISTAKES[mistake][1] in said
    assert f"{len(mistakes)} problems: (1)" in said
    assert "\n" not in said


def test_what_is_not_wrong_is_not_told(tmp_path):
    # the times are not known, so nothing is said of times; rows that where leaves out are not read
    spec = lung_with(tmp_path, "time", "horizons")
    with pytest.raises(BayesCRLMError) as caught:
        plan_analysis(Spec.from_mapping(spec))
    assert "horizons" not in str(caught.value)
    table = r_data("lung")
    table.loc[3, "sex"] = 7
    table.to_csv(tmp_path / "lung.csv", index=False)
    spec = lung_with(tmp_path, "unknown covariate")
    table.to_csv(tmp_path / "lung.csv", index=False)
    spec["data"]["where"] = [{"column": "sex", "op": "<", "value": 3}]
    with pytest.raises(BayesCRLMError) as caught:
        plan_analysis(Spec.from_mapping(spec))
    assert "problems" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "keys", "model", "patients", "events"),
    [
        ("lung", {"event": {"column": "status", "value": 2}}, ("sex", 1, "age"), 228, 165),
        ("veteran", {"event": "status"}, ("trt", 1, "karno"), 137, 128),
        (
            "pbc",
            {"event": {"column": "status", "value": 2, "censored": [0, 1]}, "missing": "drop"},
            ("trt", 1, "age + log(bili)"), 312, 125,
        ),
        (
            "colon",
            {"event": "status", "id": "id",
             "where": [{"column": "etype", "op": "==", "value": 2}]},
            ("rx", "Obs", "age"), 929, 452,
        ),
        (
            "mgus2",
            {"time": "futime", "event": "death", "unit": "months", "missing": "drop"},
            ("sex", "F", "age + hgb"), 1371, 957,
        ),
    ],
)  # fmt: skip
def test_rs_data_sets_work_with_one_line_each(tmp_path, name, keys, model, patients, events):
    # counts: R's documentation and table(status), complete cases of the columns used
    r_data(name).to_csv(tmp_path / f"{name}.csv", index=False)
    treatment, reference, covariates = model
    spec = Spec.from_mapping(
        {
            "title": name,
            "data": {"source": str(tmp_path / f"{name}.csv"), "time": "time"} | keys,
            "model": {"treatment": treatment, "reference": reference, "covariates": covariates},
        }
    )
    plan = plan_analysis(spec)
    cohort = plan.inputs.cohort
    assert (cohort.n_patients, cohort.n_events) == (patients, events)
    # the resolved spec says the same
    import tomllib

    again = Spec.from_mapping(tomllib.loads(plan.spec.to_toml()))
    assert plan_analysis(again).inputs.cohort.event.tolist() == cohort.event.tolist()


def test_a_spec_says_dates_units_zeros_and_rounding(tmp_path):
    rng = np.random.default_rng(1)
    starts = pd.Timestamp("2010-01-01") + pd.to_timedelta(rng.integers(0, 900, 60), unit="D")
    ends = starts + pd.to_timedelta(rng.integers(0, 1500, 60), unit="D")
    table = pd.DataFrame({"a": starts, "b": ends, "dead": 1, "arm": rng.integers(2, size=60)})
    table.loc[5, "b"] = table.loc[5, "a"]
    table.assign(a=table["a"].dt.strftime("%d.%m.%Y"), b=table["b"].dt.strftime("%d.%m.%Y")).to_csv(
        tmp_path / "d.csv", index=False
    )
    data = {
        "source": str(tmp_path / "d.csv"), "time": {"start": "a", "end": "b"}, "event": "dead",
        "unit": "months", "date_format": "%d.%m.%Y", "zero_times": 0.25,
    }  # fmt: skip
    spec = Spec.from_mapping(
        {"title": "d", "data": data, "model": {"treatment": "arm", "reference": 0}}
    )
    plan = plan_analysis(spec)
    days = (table["b"] - table["a"]).dt.days.to_numpy()
    right = np.where(days == 0, 0.25, days / (365.25 / 12))
    assert plan.inputs.cohort.time == pytest.approx(right)
    assert any("without time at risk" in each for each in plan.warnings)
    assert 'start = "a"' in plan.spec.to_toml()


def test_values_of_a_condition_that_no_row_holds_are_named():
    table = codes([0, 1, 1, 1]).assign(site=["A", "A", "B", "B"])
    where = [{"column": "site", "op": "in", "value": ["A", "b", "B"]}]
    (said,) = read_cohort(table, time="months", event="status", where=where).remarks
    assert said == "where: no row holds 'b' in column 'site'; it holds 'A', 'B'"


def test_a_date_is_never_a_time_by_itself():
    table = codes([0, 1], [datetime.date(2020, 1, 1), datetime.date(2021, 1, 1)])
    assert "is a date in rows 1" in refused(table)
