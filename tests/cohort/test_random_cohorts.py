"""Random tables: what their numbers add up to, or one line of refusal."""

from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pandas as pd
from cohort_tables import ROWS, refusal, several_rows, with_cell
from hypothesis import HealthCheck, given, settings

from bayes_crlm.cohort.cohort import Cohort
from bayes_crlm.cohort.outcome.event_codes import EventCodes, events_by_code
from bayes_crlm.cohort.outcome.follow_up import numbers_of
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.words.errors import BayesCRLMError


@st.composite
def follow_up_tables(draw):
    """Draw valid rows: every patient's rows follow one another, only the last has the event."""
    rows = []
    for patient in range(draw(st.integers(2, 6))):
        n = draw(st.integers(1, 4))
        widths = draw(st.lists(st.integers(1, 50), min_size=2 * n, max_size=2 * n))
        gaps = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n))
        ends = draw(st.booleans()) or patient == 0
        now = 0
        for k in range(n):
            now += gaps[k] * widths[2 * k]
            rows.append((f"P{patient}", now / 4, (now + widths[2 * k + 1]) / 4, 0))
            now += widths[2 * k + 1]
        rows[-1] = (*rows[-1][:3], int(ends))
    order = draw(st.permutations(range(len(rows))))
    columns = ["patient", "start", "months", "death"]
    return pd.DataFrame([rows[k] for k in order], columns=columns)


@given(follow_up_tables())
@settings(max_examples=60, deadline=None)
def test_rows_patients_and_follow_up_add_up(frame):
    cohort = read_cohort(frame, **ROWS)
    assert cohort.patients[cohort.patient_index].tolist() == frame["patient"].tolist()
    assert cohort.n_patients == frame["patient"].nunique()
    assert cohort.n_events == frame["death"].sum()
    assert cohort.exposure == (frame["months"] - frame["start"]).sum()
    per_patient = np.bincount(cohort.patient_index, cohort.time - cohort.entry)
    assert per_patient.sum() == cohort.exposure
    assert np.bincount(cohort.patient_index, cohort.event).max() <= 1


@given(follow_up_tables(), st.data())
@settings(max_examples=60, deadline=None)
def test_one_row_made_to_overlap_is_always_found(frame, data):
    ends = frame.groupby("patient")["months"].max()
    patient = data.draw(st.sampled_from(sorted(ends.index)))
    again = frame[frame["patient"] == patient].sample(1, random_state=0).assign(death=0)
    wider = pd.concat([frame, again], ignore_index=True)
    assert "overlapping rows" in refusal(wider, **ROWS)


CELLS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["0", "1", "true", "12,5", "NA", "", "1e999", '"', "a\nb", ";", "=1+1"]),
    st.dates(),
    st.datetimes(),
    st.timedeltas(),
    st.decimals(allow_nan=False),  # pandas itself fails on a signalling NaN
    st.just(Decimal("NaN")),
    st.complex_numbers(),
    st.binary(max_size=4),
    st.lists(st.integers(), max_size=2),
    st.just(pd.NA),
    st.just(pd.NaT),
)


CONDITIONS = st.fixed_dictionaries(
    {
        "column": st.sampled_from(["age", "arm", "months", "death", "patient", "none"]),
        "op": st.sampled_from(["==", "!=", "<", "<=", ">", ">=", "in", "not in", "~"]),
        "value": st.one_of(CELLS, st.lists(CELLS, max_size=2)),
    }
)


@given(st.data())
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_mutated_table_is_a_cohort_or_refused_in_one_line(data):
    frame = several_rows().assign(age=[60.0, 70, 50, 40, 60]).astype(object)
    for _ in range(data.draw(st.integers(0, 3))):
        column = data.draw(st.sampled_from(list(frame.columns)))
        row = data.draw(st.integers(1, len(frame)))
        frame = with_cell(column, row, data.draw(CELLS), frame)
    if data.draw(st.booleans()):
        frame = frame.infer_objects()
    roles = st.sampled_from(["patient", "start", "months", "death", "arm", "age", "nothing"])
    options = {
        role: data.draw(st.one_of(st.just(column), st.just(column), roles))
        for role, column in ROWS.items()
    }
    for role in ("entry", "id"):
        if data.draw(st.booleans()):
            options[role] = None
    options["where"] = data.draw(st.lists(CONDITIONS, max_size=1))
    options["missing"] = data.draw(st.sampled_from(["error", "drop"]))
    try:
        cohort = read_cohort(frame, **options)
        cohort = cohort.complete(["age", "arm"])
    except BayesCRLMError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 5000
        return
    assert isinstance(cohort, Cohort)
    assert (cohort.entry >= 0).all()
    assert (cohort.entry < cohort.time).all()
    assert np.isfinite(cohort.time).all()
    assert set(cohort.event.tolist()) <= {0, 1}
    assert cohort.n_events >= 1
    assert len(set(cohort.patient_index.tolist())) == cohort.n_patients >= 2
    assert repr(cohort).isprintable()


@given(st.data())
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_a_mutated_file_is_a_cohort_or_refused_in_one_line(tmp_path, data):
    content = bytearray(several_rows().to_csv(index=False).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        where = data.draw(st.integers(0, max(len(content) - 1, 0)))
        length = data.draw(st.integers(0, 6))
        new = data.draw(
            st.one_of(
                st.binary(max_size=4), st.sampled_from([b",", b";", b'"', b"\n", b"\r", b"-"])
            )
        )
        content[where : where + length] = new
    path = tmp_path / "cohort.csv"
    path.write_bytes(content)
    try:
        cohort = read_cohort(path, **ROWS)
    except BayesCRLMError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 5000
        return
    assert (cohort.entry < cohort.time).all()


@given(st.lists(CELLS, max_size=6))
@settings(max_examples=200, deadline=None)
def test_every_cell_is_a_number_or_has_a_kind(cells):
    values = pd.Series(cells, dtype=object)
    numbers, kinds = numbers_of(values)
    event, is_said, is_missing = events_by_code(values, EventCodes("event"))
    assert len(numbers) == len(kinds) == len(event) == len(cells)
    assert (np.isnan(numbers) == (kinds != 0)).all()
    assert not (is_missing & is_said).any()
    assert not event[~is_said].any()
