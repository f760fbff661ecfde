"""Dates in conditions choose the same rows whatever wrote them."""

import datetime

import pandas as pd
import pytest
from column_tables import N, csv, refused, table

from bayes_crlm.cohort.reading import read_cohort

DATES = [datetime.date(2015, 1, 1) + datetime.timedelta(9 * k) for k in range(N)]


@pytest.mark.parametrize("value", ["2015-06-01", "2015-06-01T00:00", datetime.date(2015, 6, 1)])
@pytest.mark.parametrize("kind", ["csv", "date", "datetime", "text"])
def test_iso_dates_choose_the_same_rows_in_every_format(tmp_path, value, kind):
    texts = [each.isoformat() for each in DATES]
    source = {
        "csv": lambda: csv(tmp_path, x=texts),
        "date": lambda: table(x=DATES),
        "datetime": lambda: table(x=pd.to_datetime(DATES)),
        "text": lambda: table(x=texts),
    }[kind]()
    where = [{"column": "x", "op": ">=", "value": value}]
    cohort = read_cohort(source, time="time", event="event", where=where)
    assert cohort.n_rows == sum(each >= datetime.date(2015, 6, 1) for each in DATES)
    assert "2015-06-01" in cohort.excluded[0].reason


@pytest.mark.parametrize(
    "value", ["12/02/2015", "13/02/2015", "1.7.2015", "07/15", "July", "now", "", "NaT", "20150701",
              "2015-02-30", "2015-7-1", 2015]
)  # fmt: skip
def test_other_dates_are_refused(value):
    where = [{"column": "x", "op": ">=", "value": value}]
    assert "where: column 'x' holds dates" in refused(table(x=DATES), "", where=where)
