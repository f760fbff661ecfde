"""A late start of treatment where people look: figures, the file of draws, tables, words."""

import json

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from runs import call

import bayes_crlm as bc
from bayes_crlm.words.late_start import estimands_in_words

SPEC = """
title = "A treatment that starts late"
[data]
source = "cohort.csv"
time = {start = "seen", end = "last"}
event = "dead"
unit = "months"
treatment_start = "begun"
[model]
treatment = "arm"
reference = 0
covariates = "x"
[estimands]
horizons = [6, 12]
[sensitivity]
parts = ["immortal_time"]
[sensitivity.immortal_time]
groups = 50
"""


def simulate(seed=4, n=160):
    """Days from a date; treatment that does nothing starts after some 150 days."""
    rng = np.random.default_rng(seed)
    start, time = np.ceil(rng.exponential(150, n)), np.ceil(rng.exponential(500, n)) + 3
    end = rng.integers(400, 1500, n)
    last = np.minimum(time, end)
    treated = (rng.random(n) < 0.7) & (start < last)
    seen = pd.Timestamp("2012-03-05") + pd.to_timedelta(rng.integers(0, 900, n), unit="D")
    begun = (seen + pd.to_timedelta(start, unit="D")).where(treated)
    return pd.DataFrame(
        {
            "seen": seen,
            "last": seen + pd.to_timedelta(last, unit="D"),
            "dead": (time <= end).astype(int),
            "arm": treated.astype(int),
            "begun": begun,
            "begun_days": np.where(treated, start, np.nan),
            "x": rng.normal(size=n).round(3),
        }
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("starts")
    table = simulate()
    for column in ("seen", "last", "begun"):
        table[column] = table[column].dt.strftime("%Y-%m-%d")
    table.to_csv(place / "cohort.csv", index=False)
    (place / "late.toml").write_text(SPEC)
    done = call("run", place / "late.toml", "--engine", "laplace", "--out", place / "out")
    assert done.returncode == 0, done.stderr
    (place / "said.txt").write_text(done.stdout)
    done = call("sensitivity", place / "late.toml", "--out", place / "out")
    assert done.returncode == 0, done.stderr
    (place / "sensitivity.txt").write_text(done.stdout)
    return place


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "out" / "summary.json").read_text())


@pytest.mark.parametrize("written", ["dates", "text", "%d/%m/%Y", "days"])
def test_starts_are_read_as_dates_or_in_the_files_unit(written):
    table, options = simulate(), {}
    if written == "text":
        table = table.assign(**{c: table[c].dt.strftime("%Y-%m-%d") for c in ("seen", "begun")})
    elif written == "%d/%m/%Y":
        dates = {c: table[c].dt.strftime(written) for c in ("seen", "last", "begun")}
        table, options = table.assign(**dates), {"date_format": written}
    elif written == "days":
        options = {"time_unit": "days"}
    column = "begun_days" if written == "days" else "begun"
    cohort = bc.read_cohort(
        table,
        time={"start": "seen", "end": "last"},
        event="dead",
        unit="months",
        treatment_start=column,
        **options,
    )
    expected = simulate()["begun_days"].to_numpy() / (365.25 / 12)
    np.testing.assert_allclose(cohort.start, expected, rtol=1e-12)


def test_a_start_before_time_zero_is_refused_by_its_row():
    table = simulate()
    row = int(np.flatnonzero(table["arm"])[3])
    table.loc[row, "begun"] = table.loc[row, "seen"] - pd.Timedelta(days=2)
    with pytest.raises(bc.BayesCRLMError, match=rf"treatment_start.*row {row + 1}\b"):
        bc.read_cohort(
            table,
            time={"start": "seen", "end": "last"},
            event="dead",
            unit="months",
            treatment_start="begun",
        )


def test_the_figure_of_starts_shows_every_analysis_and_the_headline(folder, summary):
    svg = (folder / "out" / "figures" / "start.svg").read_text()
    for text in ("as treated", "from its start on", "landmark at", "(headline)"):
        assert text in svg
    report = (folder / "out" / "report.html").read_text()
    assert 'id="figure-start"' in report and "figures/start.svg" in summary["files"]


def test_the_file_of_draws_says_what_was_found_of_the_start(folder, summary):
    start = summary["start"]
    tree = xr.open_datatree(folder / "out" / "posterior.nc")
    found = tree["treatment_start"]
    assert found.attrs["headline"] == start["headline"] == "time_dependent"
    assert found.attrs["why"] == start["why"] and found.attrs["column"] == "begun"
    for name in ("as_treated", "time_dependent", "landmark"):
        (row,) = start[name]["hazard_ratios"]
        here = found.to_dataset().sel(analysis=name, treatment="1")
        assert float(here["hazard_ratio"]) == row["median"]
        assert [float(here["eti95_low"]), float(here["eti95_high"])] == row["eti95"]
        assert float(here["cox_hazard_ratio"]) == row["cox_hr"]
        assert str(here["conclusion"].values) == row["conclusion"]
        assert int(here["is_headline"]) == (name == start["headline"])
    for node in tree.children.values():
        assert "as treated" in node.attrs["analysis"] and node.attrs["title"] == summary["title"]
    draws = np.exp(tree["posterior"]["log_hazard_ratio"].values[..., 0])
    assert np.median(draws) == pytest.approx(start["as_treated"]["hazard_ratios"][0]["median"])


def test_whatever_is_of_the_analysis_as_treated_says_so(folder, summary):
    said = estimands_in_words(summary["start"])
    assert "as treated" in said and "headline" in said
    assert summary["estimands"]["analysis"] == said
    told = " ".join((folder / "said.txt").read_text().split())
    report = (folder / "out" / "report.html").read_text()
    assert said in told and said in report
    for name in ("survival", "median_survival", "differences", "coefficients", "hazard_ratios"):
        table = pd.read_csv(folder / "out" / "tables" / f"{name}.csv")
        assert (table["treatment_counts"] == "from time zero on").all()
    for name in ("survival", "forest"):
        assert "as treated from time zero on" in (
            folder / "out" / "figures" / f"{name}.svg"
        ).read_text().replace("\n", " ")
    first = json.loads((folder / "out" / "sensitivity.json").read_text())["conclusion"]["sentence"]
    assert "as treated from time zero on" in first
    assert first in " ".join((folder / "sensitivity.txt").read_text().split())


def test_answer_sentence_and_conclusion_are_those_of_the_headline(summary):
    (answer,), (row,) = summary["answers"], summary["start"]["time_dependent"]["hazard_ratios"]
    assert answer["headline"] == "time_dependent"
    assert answer["conclusion"] == row["conclusion"]
    assert f"{row['median']:.2f}" in answer["sentence"]


def test_without_a_wait_nothing_is_said_of_one():
    table = simulate().drop(columns="begun").assign(begun=simulate()["seen"])
    options = {"time": {"start": "seen", "end": "last"}, "event": "dead", "unit": "months"}
    model = bc.PiecewiseExponential("arm", 0, "x", cutpoints=3)
    late = model.fit(
        bc.read_cohort(simulate(), treatment_start="begun", **options), seed=1, engine="laplace"
    )
    early = model.fit(
        bc.read_cohort(table, treatment_start="begun", **options), seed=1, engine="laplace"
    )
    assert any("waited for treatment" in each for each in late.warnings)
    assert late.plot_starts().has_data()
    assert not any("waited for treatment" in each for each in early.warnings)
    assert estimands_in_words(early.starts()) is None
    with pytest.raises(bc.BayesCRLMError, match="no late start"):
        early.plot_starts()


def test_the_landmark_is_told_with_its_unit(summary):
    from bayes_crlm.fit.effects.treatment import start_items

    start = summary["start"]
    level = start["landmark"]["hazard_ratios"][0]["treatment"]
    said = dict(start_items(start, level, "months"))["landmark"]
    assert f"{start['landmark']['at']:g} months" in said
