"""Tables of few patients, and how they are refused, for tests of cohorts."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import CohortError

ROLES = {"time": "months", "event": "death"}


ROWS = {**ROLES, "entry": "start", "id": "patient"}


def table(n=10):
    """One row per patient."""
    return pd.DataFrame(
        {
            "patient": [f"P{k}" for k in range(n)],
            "months": np.arange(1, n + 1) / 2,
            "death": [0, 1] * (n // 2),
            "age": np.arange(50.0, 50 + n),
            "arm": ["local", "systemic"] * (n // 2),
        }
    )


def several_rows():
    """Patient A has three rows with a gap, in no order; B enters late."""
    return pd.DataFrame(
        {
            "patient": ["A", "B", "A", "C", "A"],
            "start": [5.0, 2, 0, 0, 2],
            "months": [9.0, 7, 2, 4, 4],
            "death": [1, 0, 0, 1, 0],
            "arm": ["local", "local", "none", "none", "none"],
        }
    )


def refusal(source, **options):
    """Give the one line with which a table is refused."""
    with pytest.raises(CohortError) as caught:
        read_cohort(source, **{**ROLES, **options})
    message = str(caught.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 4000
    return message


def with_cell(column, row, value, frame=None):
    """Give a table with one cell changed, whatever its column's type."""
    frame = table() if frame is None else frame
    cells = frame[column].astype(object).tolist()
    cells[row - 1] = value
    return frame.assign(**{column: pd.Series(cells, dtype=object)})


def condition(column, op, value):
    return {"column": column, "op": op, "value": value}
