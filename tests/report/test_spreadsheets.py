"""Tables for spreadsheets: what would run there is text, what is a number stays one."""

import io

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from bayes_crlm.report.spreadsheets import for_spreadsheets

cells = st.text(max_size=8) | st.sampled_from(
    ["=1+1", "+SUM(A1)", "@cmd", "-2+3", "\t=1", "\r=1", "\uff1d1+1"]
)


@given(st.lists(cells, min_size=1, max_size=6), cells)
def test_no_cell_of_a_table_begins_as_a_formula(texts, name):
    table = for_spreadsheets(pd.DataFrame({name: texts, "value": [-1.5] * len(texts)}))
    shown = [str(table.columns[0]), *table.iloc[:, 0]]
    assert not any(text.startswith(("=", "+", "-", "@", "\t", "\r", "\uff1d")) for text in shown)
    assert [text.removeprefix("'") for text in table.iloc[:, 0]] == [
        text.removeprefix("'") for text in texts
    ]
    assert (table["value"] == -1.5).all()


def test_numbers_missing_values_and_levels_are_written_as_before():
    table = pd.DataFrame(
        {"a": [-1.0, None], "level": pd.Series([1, None], dtype=object), "t": ["x", None]}
    )
    assert for_spreadsheets(table).to_csv(index=False) == table.to_csv(index=False)
    hostile = for_spreadsheets(pd.DataFrame({"term": ['=HYPERLINK("x")', "age"]}))
    read = pd.read_csv(io.StringIO(hostile.to_csv(index=False)))
    assert read["term"].tolist() == ['\'=HYPERLINK("x")', "age"]
