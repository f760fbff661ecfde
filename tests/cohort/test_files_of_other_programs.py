"""Files that other programs wrote hold the same table, whatever their format."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cli.terminal import describe
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.cohort.table.column_values import level_text
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.specification.spec import Spec

FOLDER = Path(__file__).parents[1] / "reference" / "files"
FILES = sorted(path.name for path in FOLDER.iterdir() if path.suffix not in (".json", ".md"))
LABELLED = [name for name in FILES if name.endswith((".sav", ".zsav", ".dta"))]


def read(name, **more):
    right = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    options = {**right["options"], **more}
    return right, read_cohort(FOLDER / name, time="time", event="event", **options)


def as_written(cohort, column):
    """Values as a JSON file has them: numbers, level texts, or dates."""
    if column in cohort.number_texts:
        return cohort.number_texts[column].tolist()
    values = cohort.table[column]
    if values.dtype.kind == "M":
        return values.dt.strftime("%Y-%m-%d").tolist()
    if values.dtype.kind in "iuf":
        return [None if np.isnan(each) else float(each) for each in values]
    return [None if pd.isna(each) else level_text(each) for each in values]


def design_of(cohort, covariates="age + score + site + C(code)"):
    return PiecewiseExponential("arm", 0, covariates).prepare(cohort).design


@pytest.mark.parametrize("name", FILES)
def test_every_value_is_the_one_that_was_written(name):
    right, cohort = read(name)
    values = right["values"]
    assert cohort.time.tolist() == values["time"]
    assert cohort.event.tolist() == values["event"]
    for column in ("arm", "age", "score", "site", "code", "born"):
        assert as_written(cohort, column) == values[column], column


@pytest.mark.parametrize("name", FILES)
def test_what_was_done_to_a_column_and_what_the_file_says_of_it_is_told(name):
    right, cohort = read(name)
    assert dict(cohort.column_said) == right["said"]
    for column, beginning in right["notes"].items():
        assert any(note.startswith(beginning) for note in cohort.column_notes[column]), column


@pytest.mark.parametrize("name", FILES)
def test_one_spec_means_one_model_in_every_format(name):
    _, cohort = read(name, missing="drop", levels={"score": "number"})
    _, other = read("r_write_csv.csv", missing="drop")
    design, same = design_of(cohort), design_of(other)
    assert design.terms == same.terms
    assert np.array_equal(design.matrix, same.matrix)


@pytest.mark.parametrize("name", LABELLED)
def test_a_labelled_score_is_levels_and_says_how_it_becomes_a_number(name):
    _, cohort = read(name, missing="drop")
    terms = design_of(cohort, "score").terms[1:]
    assert terms == tuple(f"score[T.{each}]" for each in ("mild", "moderate", "severe"))
    said = " ".join(cohort.column_notes["score"])
    assert 'data.levels = {score = "number"}' in said


def said_by_check(name, covariates, **data):
    tables = {
        "title": "A title",
        "data": {
            "source": str(FOLDER / name),
            "time": "time",
            "event": "event",
            "missing": "drop",
            **data,
        },
        "model": {"treatment": "arm", "reference": 0, "covariates": covariates},
    }
    return describe(plan_analysis(Spec.from_mapping(tables))).replace("\n", " ")


@pytest.mark.parametrize("name", LABELLED)
def test_check_says_what_to_write_for_one_model_from_every_format(name):
    said = " ".join(said_by_check(name, "score").split())
    assert "codes are read as their labels" in said
    assert 'data.levels = {score = "number"}' in said
    said = " ".join(said_by_check(name, "score", levels={"score": "number"}).split())
    assert "labels:" not in said and "data.levels = {" not in said


@pytest.mark.parametrize("name", ["haven.sav", "haven.dta", "pyreadstat.zsav"])
def test_check_says_labels_and_reasons_for_missing(name):
    said = " ".join(said_by_check(name, "age").split())
    right = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert right["said"]["age"] in said
