"""When treatment started: read and checked with the cohort, sayable in spec and Python alike."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.batch.fit_many import fit_many
from bayes_crlm.errors import CohortError, DesignError, SpecError
from bayes_crlm.spec import Spec


def table_of(**columns):
    table = {
        "months": [9.0, 8.0, 3.0, 12.0, 20.0, 4.0],
        "dead": [1, 0, 1, 0, 1, 0],
        "treated": [1, 1, 0, 0, 1, 0],
        "begun": [2.0, 5.0, None, None, 0.0, None],
    }
    return pd.DataFrame(table | columns)


def read(table, **options):
    options = {"treatment_start": "begun"} | options
    return read_cohort(table, time="months", event="dead", **options)


def test_starts_are_read_with_gaps_for_patients_who_never_started():
    cohort = read(table_of())
    assert cohort.start_column == "begun"
    assert cohort.start.tolist()[:2] == [2.0, 5.0] and np.isnan(cohort.start[2])
    assert read(table_of(), where=[{"column": "months", "op": ">", "value": 5}]).start.tolist()[
        :2
    ] == [2.0, 5.0]


def test_a_start_of_0_says_that_treatment_began_with_follow_up():
    cohort = read(table_of(), treatment_start=0)
    assert cohort.start_column is None and cohort.start.tolist() == [0.0] * 6
    assert read(table_of(), treatment_start=None).start is None


@pytest.mark.parametrize(
    ("begun", "said"),
    [
        ([2.0, -5.0, None, None, 0.0, None], "is negative in row 2"),
        (["2", "soon", None, None, "0", None], "is text in row 2"),
        ([np.inf, 5.0, None, None, 0.0, None], "is infinite in row 1"),
    ],
)
def test_what_is_no_start_is_refused_by_its_row(begun, said):
    with pytest.raises(CohortError, match=said) as refused:
        read(table_of(begun=begun))
    assert "treatment_start" in str(refused.value)


@pytest.mark.parametrize("value", [True, 1, 2.5, "no such column"])
def test_treatment_start_is_a_column_or_0(value):
    with pytest.raises(CohortError, match=r"treatment_start|no such column"):
        read(table_of(), treatment_start=value)


def test_rows_that_say_it_themselves_need_no_start():
    table = table_of(patient=[1, 1, 2, 3, 4, 5], entry=[0.0, 0, 0, 0, 0, 0])
    table.loc[0, ["months", "dead"]] = [2.0, 0]
    table.loc[1, "entry"] = 2.0
    with pytest.raises(CohortError, match="several rows"):
        read(table, id="patient", entry="entry")


def spec_of(covariates="", **data):
    source = {"source": "x.csv", "time": "months", "event": "dead"}
    return Spec.from_mapping(
        {
            "title": "t",
            "data": source | data,
            "model": {"treatment": "treated", "reference": 0, "covariates": covariates},
        }
    )


def test_the_spec_has_the_same_key_and_writes_it_down():
    assert 'treatment_start = "begun"' in spec_of(treatment_start="begun").to_toml()
    assert "treatment_start = 0" in spec_of(treatment_start=0).to_toml()
    assert "treatment_start" not in spec_of().to_toml()


@pytest.mark.parametrize("value", [3, True, "", ["begun"], 0.5])
def test_the_spec_refuses_what_is_neither_column_nor_0(value):
    with pytest.raises(SpecError, match=r"data\.treatment_start"):
        spec_of(treatment_start=value)


def test_the_start_has_a_column_of_its_own_and_explains_nothing():
    with pytest.raises(SpecError, match="a column of its own"):
        spec_of(treatment_start="months")
    with pytest.raises(SpecError, match=r"data\.treatment_start"):
        spec_of("begun", treatment_start="begun")


@pytest.mark.parametrize(
    ("treatment", "covariates"),
    [
        ("treated", "months"),
        ("treated", "log(months)"),
        ("treated", "C(dead)"),
        ("treated", "begun"),
        ("dead", ""),
        ("months", ""),
    ],
)
def test_the_outcome_explains_nothing_in_python_either(treatment, covariates):
    cohort = read(table_of(begun=[2.0, 5.0, 0, 0, 0, 0]))
    model = PiecewiseExponential(treatment, None, covariates, cutpoints=1)
    with pytest.raises(DesignError, match="leave it out"):
        model.prepare(cohort)
    reasons = fit_many(model, [cohort, cohort]).cohorts["reason"]
    assert len(reasons) == 2 and all("leave it out" in each for each in reasons)
