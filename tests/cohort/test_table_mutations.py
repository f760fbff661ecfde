"""However a table is written, no covariate changes its columns or its values in silence."""

import tempfile
from decimal import Decimal
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.words.errors import BayesCRLMError

N = 30
MARKS = ["", ".", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "null", " NA "]
AGES = [40 + 7 * k % 23 for k in range(N)]
DOSES = [round(0.25 + 1.37 * (k * k % 11), 2) for k in range(N)]
SITES = [["B", "A", "none", "C"][k * k % 7 % 4] for k in range(N)]
CODES = [["10", "9", "2"][k * 5 % 7 % 3] for k in range(N)]
COLUMNS = {"age": AGES, "dose": DOSES, "site": SITES, "code": CODES}


def is_factor(name):
    return name in ("site", "code")


def right_columns(name, patients):
    """Columns that a covariate has, from the table as it was made."""
    values = [COLUMNS[name][k] for k in patients]
    if not is_factor(name):
        return ["x"], np.array([[float(each)] for each in values])
    levels = sorted(set(values), key=float if name == "code" else str)
    columns = np.array([[float(each == level) for level in levels[1:]] for each in values])
    return [f"[T.{level}]" for level in levels[1:]], columns


TYPES = {
    "object": lambda cells: pd.Series(cells, dtype=object),
    "inferred": lambda cells: pd.Series(cells),
    "nullable": lambda cells: pd.Series(cells, dtype=object).convert_dtypes(),
    "arrow": lambda cells: pd.Series(cells, dtype=object).convert_dtypes(dtype_backend="pyarrow"),
    "category": lambda cells: pd.Series(cells, dtype=object).astype("category"),
    "decimal": lambda cells: pd.Series(
        [Decimal(str(c)) if isinstance(c, int | float) else c for c in cells], dtype=object
    ),
    "csv": None,
}
EDITS = st.lists(
    st.tuples(
        st.integers(0, N - 1),
        st.sampled_from(["missing", "text of it", "spaces", "other text", "zeros", "exponent"]),
        st.sampled_from(MARKS),
    ),
    max_size=3,
)


def edited(value, edit, mark):
    """Give a cell as another hand might have written it."""
    text = str(value)
    if edit == "missing":
        return mark
    if edit == "other text":
        return "about " + text
    if edit == "spaces":
        return f" {text} "
    if edit == "zeros" and text[:1].isdigit():
        return "0" + text
    if edit == "exponent" and text[:1].isdigit():
        return f"{text}e0"
    return text


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(
    name=st.sampled_from(sorted(COLUMNS)),
    kind=st.sampled_from(sorted(TYPES)),
    edits=EDITS,
    order=st.permutations(range(N)),
)
def test_no_covariate_changes_in_silence(name, kind, edits, order):
    cells = list(COLUMNS[name])
    for k, edit, mark in edits:
        if name == "site" and edit == "other text":
            continue  # among levels, another text is another level
        cells[k] = edited(COLUMNS[name][k], edit, mark)
    cells = [cells[k] for k in order]
    frame = pd.DataFrame(
        {
            "patient": list(order),
            "arm": [k // 2 % 2 for k in order],
            "time": [1 + 0.31 * k for k in order],
            "event": [int(k % 3 > 0) for k in order],
        }
    )
    try:
        cohort, design = designed(frame, cells, kind, name)
    except BayesCRLMError:
        return
    if cohort.column_notes.get("x"):
        return
    patients = [int(each) for each in cohort.table["patient"]]
    assert sorted(patients) == list(range(N))
    terms, columns = right_columns(name, patients)
    found = design.terms[1:]
    assert len(found) == len(terms)
    assert all(term in each for term, each in zip(terms, found, strict=True))
    assert np.array_equal(design.matrix[:, 1:], columns)


def designed(frame, cells, kind, name):
    """Read the table as a file or a frame of some types, and make the design."""
    covariates = "C(x)" if name == "code" else "x"
    if kind == "csv":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "data.csv"
            frame.assign(x=[str(each) for each in cells]).to_csv(path, index=False)
            cohort = read_cohort(path, time="time", event="event")
    else:
        source = frame.assign(x=TYPES[kind](cells))
        cohort = read_cohort(source, time="time", event="event")
    model = PiecewiseExponential("arm", 0, covariates)
    return cohort, model.prepare(cohort).design


WRITTEN = ["1", "01", "2", "2.0", "2.50", "2.5", "1e1", "10", "-1", "+3", "3", "0", "0.0", "007"]


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.sampled_from(WRITTEN), min_size=2, max_size=4, unique=True))
def test_levels_written_as_numbers_mean_one_model_whatever_holds_them(texts):
    cells = [texts[k // 2 % len(texts)] for k in range(N)]
    frame = pd.DataFrame(
        {
            "arm": [k % 2 for k in range(N)],
            "time": [1 + 0.31 * k for k in range(N)],
            "event": [int(k % 3 > 0) for k in range(N)],
        }
    )
    tables = [frame.assign(x=pd.Series(cells, dtype=dtype)) for dtype in ("str", "category")]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.csv"
        frame.assign(x=cells).to_csv(path, index=False)
        for source in (path, *tables):
            cohort = read_cohort(source, time="time", event="event")
            told = any("same number" in note for note in cohort.column_notes.get("x", ()))
            for model in (PiecewiseExponential("arm", 0, "C(x)"), PiecewiseExponential("x")):
                try:
                    design = model.prepare(cohort).design
                    found.append((told, design.terms, design.matrix.tolist()))
                except BayesCRLMError:
                    found.append((told, "refused"))
    assert found[0::2] == [found[0]] * len(found[0::2])
    assert found[1::2] == [found[1]] * len(found[1::2])
