"""Sections: one value for files and for people, whatever gives it."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.words.cells import KINDS, cell
from bayes_crlm.words.frames import frame_of
from bayes_crlm.words.html import SectionsByKey, sections_to_html
from bayes_crlm.words.section import Column, Note, Rows, Section, gathered

ROW = {
    "treatment": 1,
    "median": 0.5,
    "eti95_low": 0.3,
    "eti95_high": 0.9,
    "prob_below_0.8": 0.7,
    "prob_below_effect": 0.9,
    "note": None,
    "_shown": "for people",
}


def test_limits_and_thresholds_are_gathered_for_the_summary_and_flat_in_tables():
    found = gathered(ROW)
    assert found["eti95"] == [0.3, 0.9] and found["prob_below"] == {"0.8": 0.7}
    assert found["prob_below_effect"] == 0.9
    table = frame_of([ROW | {"terms": ["a", "b"], "below": {"0.8": 0.7}}])
    assert {"eti95_low", "prob_below_0.8", "below_0.8"} <= set(table.columns)
    assert table.loc[0, "terms"] == "a, b"
    for names in (found, table.columns):
        assert "_shown" not in names


def test_whole_numbers_and_texts_beside_none_stay_what_they_are():
    table = frame_of([{"a": 1, "b": "x", "c": 1.5}, {"a": None, "b": None, "c": None}])
    assert table["a"].tolist() == [1, None] and table["b"].tolist() == ["x", None]
    assert np.isnan(table.loc[1, "c"])


def test_rows_say_where_they_stand_and_nothing_else_is_lost():
    rows = Rows("x", [ROW], at=("estimands", "x"), marks={"data": "made up"})
    section = Section("x", rows=(rows,), summary={"estimands": {"origin": 0.0}})
    summary = {"estimands": {"median": 1}}
    section.put_into(summary)
    assert set(summary["estimands"]) == {"median", "origin", "x"}
    assert rows.to_frame()["data"].tolist() == ["made up"]


def test_what_comes_from_data_is_escaped_on_a_page():
    row = {"treatment": "<b>", "reference": "&", "withdrawn": None, "small": "<i>", "is": True}
    columns = (Column("treatment", "<th>", "comparison", strong="is", small="small"),)
    notes = (Note("<p>", lead="<q>"), Note(items=("<li>",)))
    section = Section("x", "<h3>", "<s>", rows=(Rows("x", [row], columns),), notes=notes)
    page = sections_to_html([section])
    for text in ("<b>", "<i>", "<q>", "<s>"):
        assert text not in page
    assert "&lt;b&gt; against &amp;" in page
    assert SectionsByKey(x=section)._repr_html_() == page


def test_tables_with_the_same_headings_become_one():
    columns = (Column("a", "a", "count"),)
    one, two = (Section(key, rows=(Rows(key, [{"a": 1}], columns),)) for key in "xy")
    assert sections_to_html([one, two]).count("<table") == 1
    other = Section("z", rows=(Rows("z", [{"a": 1}], (Column("a", "b", "count"),)),))
    assert sections_to_html([one, two, other]).count("<table") == 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_column_can_be_written_where_there_is_no_number(kind):
    row = {"x": None, "reference": "r", "from": 0.0, "to": 1.0} | {"x_low": None, "x_high": None}
    if kind in ("time",):
        row["x"] = 1.0
    assert isinstance(cell(row, Column("x", "x", kind)), str)


def test_a_column_may_be_written_by_a_kind_of_its_row():
    column = Column("x", "x", "_kind_limits")
    row = {"x_low": 0.1, "x_high": 0.2}
    assert cell(row | {"_kind": "percent"}, column) == "10.0% to 20.0%"
    assert cell(row | {"_kind": "points"}, column) == "+10.0 to +20.0"


def test_a_table_is_a_data_frame_in_the_order_of_its_rows():
    table = Rows("x", [{"b": 2, "a": 1}]).to_frame()
    pd.testing.assert_frame_equal(table, pd.DataFrame({"b": [2], "a": [1]}))


@pytest.mark.parametrize(
    ("mean", "limits", "written"),
    [
        (4.83, [0.0152, 9.56], ("+4.83", "+0.02 to +9.56")),
        (7.27, [2.34, 11.5], ("+7.3", "+2.3 to +11.5")),
        (-120.4, [-300.2, 0.6], ("-120", "-300 to +1")),
        (0.0, [0.0, 0.0], ("+0.00", "+0.00 to +0.00")),
    ],
)
def test_a_difference_of_times_has_its_sign_and_the_decimals_of_its_row(mean, limits, written):
    row = {"mean": mean, "eti95_low": limits[0], "eti95_high": limits[1]}
    columns = (Column("mean", "", "difference"), Column("eti95", "", "difference_limits"))
    assert tuple(cell(row, column) for column in columns) == written
