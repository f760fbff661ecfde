"""Tables to cohorts: what is read, from every format, and at what cost."""

import subprocess
import sys
import time as clock
from decimal import Decimal

import numpy as np
import pandas as pd
import pyreadstat
import pytest
from cohort_tables import ROLES, ROWS, several_rows, table

from bayes_crlm.cohort.arguments import CohortArguments
from bayes_crlm.cohort.outcome.outcome import read_outcome
from bayes_crlm.cohort.reading import read_cohort


def test_one_row_per_patient():
    cohort = read_cohort(table(), **ROLES, unit="months")
    assert (cohort.n_patients, cohort.n_rows, cohort.n_events) == (10, 10, 5)
    assert cohort.exposure == 27.5
    assert cohort.patients.tolist() == list(range(1, 11))
    assert cohort.row_number.tolist() == list(range(1, 11))
    assert cohort.patient_index.tolist() == list(range(10))
    assert not cohort.entry.any()
    assert (cohort.event.dtype, cohort.time.dtype) == (np.int8, np.float64)
    assert (cohort.source, cohort.is_synthetic, cohort.unit) == ("DataFrame", False, "months")
    assert len(cohort.sha256) == 64


def test_several_rows_per_patient():
    cohort = read_cohort(several_rows(), **ROWS)
    assert cohort.patients.tolist() == ["A", "B", "C"]
    assert cohort.patient_index.tolist() == [0, 1, 0, 2, 0]
    assert cohort.exposure == 4 + 5 + 2 + 4 + 2
    assert cohort.n_events == 2
    assert cohort.time.tolist() == [9, 7, 2, 4, 4]


def test_a_cohort_does_not_change():
    frame = table()
    cohort = read_cohort(frame, **ROLES)
    for array in (cohort.time, cohort.entry, cohort.event, cohort.patients, cohort.patient_index):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    with pytest.raises(AttributeError):
        cohort.unit = "days"
    frame.loc[0, "months"] = 99
    assert cohort.table.loc[0, "months"] == 0.5
    assert cohort.time[0] == 0.5


def test_repr_is_one_line_with_the_counts():
    text = repr(read_cohort(several_rows(), **ROWS, unit="months"))
    assert text == "<Cohort DataFrame: 3 patients in 5 rows, 2 events in 17 months of follow-up>"


def test_follow_up_of_days_told_in_years_has_no_more_digits_than_anyone_reads():
    days = pd.DataFrame({"days": [1000, 2001], "event": [0, 1]})
    cohort = read_cohort(days, time="days", event="event", time_unit="days", unit="years")
    assert "in 8.216 years of follow-up" in repr(cohort)


def test_synthetic_data_set_is_labelled_also_under_another_name(tmp_path):
    from importlib.resources import files

    options = {"time": "os_months", "event": "death", "id": "patient"}
    cohort = read_cohort("crlm-synthetic", **options)
    assert cohort.is_synthetic
    assert cohort.unit == "months"
    assert "synthetic, not patient data" in repr(cohort)
    [shipped] = [
        each
        for each in files("bayes_crlm.datasets").iterdir()
        if each.name.replace("_", "-") == "crlm-synthetic.csv"
    ]
    (tmp_path / "mine.csv").write_bytes(shipped.read_bytes())
    copy = read_cohort(tmp_path / "mine.csv", **options)
    assert copy.is_synthetic
    assert copy.sha256 == cohort.sha256


@pytest.mark.parametrize(
    "events",
    [
        [True, False, True],
        [1, 0, 1],
        [1.0, 0.0, 1.0],
        ["1", "0", "1"],
        ["TRUE", "false", " True "],
        [True, 0, "1"],
        pd.array([1, 0, 1], dtype="Int64"),
        pd.array([True, False, True], dtype="boolean"),
        pd.array(["true", "false", "true"], dtype="string"),
        pd.Categorical([1, 0, 1]),
        pd.Categorical(["1", "0", "1"]),
        [Decimal(1), Decimal(0), Decimal(1)],
        pd.array([1, 0, 1], dtype="int64[pyarrow]"),
        pd.array([True, False, True], dtype="bool[pyarrow]"),
    ],
)
def test_events_may_be_written_in_many_ways(events):
    cohort = read_cohort(pd.DataFrame({"months": [1, 2, 3], "death": events}), **ROLES)
    assert cohort.event.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "times",
    [
        [1, 2.5, 3],
        ["1", "2.5", "3"],
        [1, "2.5", Decimal(3)],
        pd.array([1, 2.5, 3], dtype="Float64"),
        pd.array([1, 2.5, 3], dtype="float32"),
        pd.Categorical([1, 2.5, 3]),
        pd.array([1, 2.5, 3], dtype="double[pyarrow]"),
    ],
)
def test_times_may_be_of_many_types(times):
    cohort = read_cohort(pd.DataFrame({"months": times, "death": [1, 0, 1]}), **ROLES)
    assert cohort.time.tolist() == [1, 2.5, 3]


def test_every_format_gives_the_same_cohort(tmp_path):
    frame = several_rows().assign(patient=[101, 102, 101, 103, 101])
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.to_csv(tmp_path / "rows.tsv", index=False, sep="\t")
    frame.to_csv(tmp_path / "rows.csv.gz", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_excel(tmp_path / "rows.xlsx", index=False)
    frame.to_stata(tmp_path / "rows.dta", write_index=False)
    labels = {"death": {0: "alive", 1: "dead"}, "patient": {101: "a", 102: "b", 103: "c"}}
    pyreadstat.write_sav(frame, tmp_path / "rows.sav", variable_value_labels=labels)
    pyreadstat.write_xport(frame, tmp_path / "rows.xpt")
    read = [read_cohort(path, **ROWS) for path in sorted(tmp_path.iterdir())]
    assert len(read) == 8
    for cohort in [*read, read_cohort(frame, **ROWS)]:
        assert cohort.entry.tolist() == frame["start"].tolist()
        assert cohort.time.tolist() == frame["months"].tolist()
        assert cohort.event.tolist() == frame["death"].tolist()
        assert cohort.patients.tolist() == [101, 102, 103]
        assert cohort.patient_index.tolist() == [0, 1, 0, 2, 0]
        assert cohort.table["arm"].tolist() == frame["arm"].tolist()


def test_rows_that_touch_within_rounding_do_not_overlap():
    frame = pd.DataFrame(
        {
            "patient": [1, 1, 2],
            "start": [0, 0.3, 0],
            "months": [0.1 + 0.2, 1, 2],
            "death": [0, 0, 1],
        }
    )
    assert frame.loc[0, "months"] > frame.loc[1, "start"]
    assert read_cohort(frame, **ROWS).n_rows == 3


def test_reading_a_cohort_imports_no_sampler(tmp_path):
    path = tmp_path / "cohort.csv"
    table().to_csv(path, index=False)
    program = (
        "import sys; from bayes_crlm.cohort.reading import read_cohort; "
        f"assert 'pandas' not in sys.modules; read_cohort({str(path)!r}, time='months', "
        "event='death'); heavy = {'pymc', 'arviz', 'matplotlib', 'scipy', 'pandera', "
        "'pyreadstat', 'openpyxl', 'formulaic'}; print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_time_grows_linearly_with_the_rows():
    outcome, _, _ = CohortArguments(**ROWS).checked()

    def seconds(n):
        frame = pd.DataFrame(
            {
                "patient": np.repeat(np.arange(n // 2), 2),
                "start": np.tile([0.0, 1.0], n // 2),
                "months": np.tile([1.0, 2.5], n // 2),
                "death": np.tile([0, 1], n // 2),
            }
        )
        started = clock.process_time()
        problems = read_outcome(frame, np.arange(1, n + 1), outcome).problems
        assert not problems
        return clock.process_time() - started

    seconds(1000)
    # Per-patient Python work on 200,000 patients takes many seconds; this takes a tenth.
    assert seconds(400_000) < 3
