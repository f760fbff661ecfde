"""An answer that is withdrawn stands nowhere as one: only its numbers stay, in tables."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.analysis.run import run_analysis
from bayes_crlm.analysis.summary import summarise
from bayes_crlm.cli.terminal import conclude
from bayes_crlm.figures import plot_forest, plot_prior_posterior
from bayes_crlm.report.page import render_report
from bayes_crlm.report.section import section_of
from bayes_crlm.report.sensitivity import render as render_page
from bayes_crlm.report.sensitivity import summarise_sensitivity
from bayes_crlm.sensitivity.overall import NOTHING_TO_CHANGE
from bayes_crlm.sensitivity.run import run_sensitivity
from bayes_crlm.sensitivity.settings import read_settings
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.late_start import headline_in_words, start_rows

FAILURE = "R-hat is 1.2, above 1.01"


def late_starts(n=120, seed=2, events_on=(0, 1)):
    """A hazard ratio of 1/2 from a start on that half of the patients live to see."""
    rng = np.random.default_rng(seed)
    begun = rng.uniform(0.1, 5, n)
    death = rng.exponential(20, n)
    arm = ((rng.random(n) < 0.6) & (death > begun)).astype(int)
    death = np.where(arm == 1, begun + 2 * (death - begun), death)
    event = (death < 40) & np.isin(arm, events_on)
    table = {"time": np.minimum(death, 40), "event": event.astype(int), "arm": arm}
    return pd.DataFrame(table | {"begun": np.where(arm == 1, begun, np.nan)})


def planned(table, folder, **data):
    table.to_csv(folder / "cohort.csv", index=False)
    return plan_analysis(
        Spec.from_mapping(
            {
                "title": "t",
                "data": {"source": str(folder / "cohort.csv"), "time": "time", "event": "event"}
                | data,
                "model": {"treatment": "arm", "reference": 0},
            }
        )
    )


def analysed(table, folder, failures=(), **data):
    """A run, and its summary; with diagnostics that fail put in."""
    found = run_analysis(planned(table, folder, **data), engine="laplace")
    if failures:
        diagnostics = dataclasses.replace(found.diagnostics, failures=tuple(failures))
        found = dataclasses.replace(found, diagnostics=diagnostics)
    return found, summarise(found)


def texts_of(ax):
    return [each.get_text().strip() for each in ax.texts]


@pytest.mark.parametrize(
    ("failures", "events_on"), [((FAILURE,), (0, 1)), ((), (0,)), ((), (1,)), ((FAILURE,), (0,))]
)
def test_starts_of_a_withdrawn_answer_are_no_headline(tmp_path, failures, events_on):
    table = late_starts(events_on=events_on)
    found, summary = analysed(table, tmp_path, failures, treatment_start="begun")
    assert summary["answers"][0]["withdrawn"]
    for row in start_rows(summary["start"]):
        assert row["conclusion"] == "withdrawn" and row["withdrawn"]
        assert row["median"] > 0
    assert headline_in_words(summary["start"]) == []
    for text in (conclude(found), render_report(found, summary, {})):
        assert "no answer" in text.lower()
        assert "(headline)" not in text
        assert "Headline analysis" not in text
        assert "hazard ratios of these analyses" not in text.lower()


def test_starts_of_an_answer_that_stands_are_concluded_from(tmp_path):
    found, summary = analysed(late_starts(), tmp_path, treatment_start="begun")
    rows = start_rows(summary["start"])
    assert {row["withdrawn"] for row in rows} == {None}
    assert "withdrawn" not in {row["conclusion"] for row in rows}
    assert "(headline)" in conclude(found)


def test_a_landmark_after_which_a_level_has_no_events_concludes_nothing(tmp_path):
    table = late_starts()
    treated = table["arm"] == 1
    late = np.quantile(table.loc[treated, "begun"], 0.8)
    table.loc[treated & (table["time"] > late), "event"] = 0
    early = table.index[treated & (table["begun"] < late / 2)][:6]
    table.loc[early, "time"] = table.loc[early, "begun"] + 0.1
    table.loc[early, "event"] = 1
    found, summary = analysed(table, tmp_path, treatment_start="begun")
    assert not summary["answers"][0]["withdrawn"]
    (row,) = [row for row in start_rows(summary["start"]) if row["analysis"] == "landmark"]
    assert row["conclusion"] == "withdrawn"
    assert "had an event" in row["withdrawn"]
    assert "no answer from" in conclude(found)


def test_the_forest_shows_no_posterior_where_no_answer_is_given():
    table = late_starts(events_on=(0,))
    fit = bc.PiecewiseExponential("arm", 0).fit(
        bc.read_cohort(table, time="time", event="event"), seed=5, engine="laplace"
    )
    assert texts_of(fit.plot_forest()).count("no answer") == 1
    table = late_starts().assign(age=lambda rows: np.linspace(-1, 1, len(rows)))
    fit = bc.PiecewiseExponential("arm", 0, "age").fit(
        bc.read_cohort(table, time="time", event="event"), seed=5, engine="laplace"
    )
    assert "no answer" not in texts_of(fit.plot_forest())
    assert texts_of(plot_forest(fit, failures=[FAILURE])).count("no answer") == 2


@pytest.mark.parametrize(
    ("failures", "events_on", "is_withdrawn"),
    [((FAILURE,), (0, 1), True), ((), (0,), True), ((), (1,), True), ((), (0, 1), False)],
)
def test_a_posterior_that_gives_no_answer_is_drawn_as_one_that_gives_none(
    failures, events_on, is_withdrawn
):
    fit = bc.PiecewiseExponential("arm", 0).fit(
        bc.read_cohort(late_starts(events_on=events_on), time="time", event="event"),
        seed=5,
        engine="laplace",
    )
    ax = plot_prior_posterior(fit, failures=failures)
    told = [text.get_text() for text in ax.get_legend().get_texts()]
    assert any("(no answer)" in each for each in told) == is_withdrawn
    (line,) = [each for each in ax.get_lines() if len(each.get_xdata()) > 2]
    assert (line.get_linestyle() == ":") == is_withdrawn


@pytest.mark.parametrize("is_reliable", [True, False])
def test_sensitivity_of_a_withdrawn_answer_concludes_nothing(tmp_path, is_reliable):
    plan = planned(late_starts(events_on=(0,) if is_reliable else (0, 1)), tmp_path)
    said: list[str] = []
    names = ["priors", "cutpoints"]
    found = run_sensitivity(plan, read_settings({}, names), jobs=1, announce=said.append)
    if not is_reliable:
        found = dataclasses.replace(
            found, base=found.base | {"is_reliable": False, "note": "Pareto k is 0.9"}
        )
    summary = summarise_sensitivity(found)
    told = summary["conclusion"]
    assert told["sentence"].startswith("Nothing is concluded")
    assert told["withdrawn"] and told["conclusion"] is None
    for name in ("changed_by", "weakened_by", "held_by", "moved_by", "not_moved_by"):
        assert told[name] == []
    assert {row["state"] for row in told["rows"]} == {None}
    assert [summary[name]["state"] for name in names] == [None, None]
    assert {summary[name]["sentence"] for name in names} == {NOTHING_TO_CHANGE}
    page = render_page(
        found, summary, dict.fromkeys(figure_names(found), "<svg></svg>"), has_report=False
    )
    section = section_of(summary, is_same=True)
    for text in (page, section):
        assert told["sentence"].removesuffix(".") in text.replace("&#39;", "'")
        for name in names:
            assert found.parts[name].sentence not in text
    if is_reliable:
        assert said == [f"{name}: done; no answer that could change" for name in names]


def figure_names(found):
    return [each.name for part in found.parts.values() for each in part.figures]
