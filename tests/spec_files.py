"""Specs as files: a minimal and a full one, and how a file is written and refused."""

from pathlib import Path

import pytest
from hypothesis import strategies as st

from bayes_crlm import read_spec
from bayes_crlm.words.errors import SpecError

MINIMAL = """
title = "Overall survival"
[data]
source = "cohort.csv"
time = "os_months"
event = "death"
[model]
treatment = "repeat_local"
reference = 0
"""

FULL = """
title = "Overall survival: repeat local treatment versus systemic therapy"
question = "Does it help?\\nAnd how sure can one be?"
[data]
source = "cohort.csv"
time = "os_months"
event = "death"
entry = "start"
id = "patient"
unit = "months"
where = [
  {column = "recurrence_months", op = "<=", value = 12},
  {column = "centre", op = "not in", value = ["A", "B"]},
]
missing = "drop"
[model]
treatment = "strategy"
reference = "systemic"
covariates = "age + node_positive + log(cea)"
[model.baseline]
cutpoints = [0, 6, 12.5, 24]
prior = "gamma"
weight = 2
[model.priors]
treatment = "hr(0.8, 0.4, 1.6)"
covariates = "student_t(4, 0, 1)"
[sampling]
chains = 2
tune = 500
draws = 700
seed = 4294967295
target_accept = 0.95
[estimands]
horizons = [12, 36, 60]
rmst = 60
hr_thresholds = [1.0, 0.8, 1.25]
[sensitivity]
parts = ["multiverse"]
[sensitivity.multiverse]
scales = [0.5, 1.0]
"""


def message_of(path):
    """The one line that reading a file ends with."""
    with pytest.raises(SpecError) as refused:
        read_spec(path)
    message = str(refused.value)
    assert message.isprintable()
    assert Path(path).name[:20] in message
    return message


def in_order_of_keys(value):
    """Tables in the order of their keys, within lists too: a document's order means nothing."""
    if isinstance(value, dict):
        return {key: in_order_of_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return type(value)(in_order_of_keys(each) for each in value)
    return value


texts = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.one_of(
    texts,
    st.integers(),
    st.floats(),
    st.booleans(),
    st.dates(),
    st.times().map(lambda time: time.replace(fold=0)),
    st.datetimes().map(lambda moment: moment.replace(fold=0)),
)
toml_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)
toml_tables = st.dictionaries(texts, toml_values, max_size=5)
