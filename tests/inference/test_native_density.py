"""The native density's passes over rows give what plain NumPy gives, in every instruction set."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slopes import log_likelihood_slope

from bayes_crlm.inference.native import library
from bayes_crlm.inference.native.flat_density import native_density
from bayes_crlm.inference.native.library import contiguous, kernels, load_library
from bayes_crlm.likelihood.follow_up import FollowUp
from bayes_crlm.likelihood.hazard_table import LogHazards, log_likelihood
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.families import Normal
from bayes_crlm.model.terms.blocks import Block, Cells, Columns, Grouping
from bayes_crlm.words.errors import BayesCRLMError

LEVELS = (library.BASELINE, library.AVX2, library.AVX512)
# so wide that its density is a constant, its slope nothing
FLAT = Normal(0.0, 1e12)


def has_level(level):
    try:
        return bool(kernels(level))
    except ValueError:
        return False


@pytest.fixture(params=[level for level in LEVELS if has_level(level)])
def level(request):
    """Instruction sets that this processor has."""
    return request.param


def exponentials(values, level):
    padded = np.zeros(-(-len(values) // 8) * 8)
    padded[: len(values)] = values
    found = np.empty_like(padded)
    load_library().crlm_exponentials(
        kernels(level).address, padded.ctypes.data, found.ctypes.data, len(padded)
    )
    return found[: len(values)]


def test_the_exponential_is_right_to_the_last_bit(level):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.uniform(-700, 700, 20_000), rng.normal(size=20_000), [0.0, 1.0]])
    np.testing.assert_allclose(exponentials(values, level), np.exp(values), rtol=4.5e-16)


def test_beyond_the_range_of_floats_the_exponential_is_infinite_or_next_to_nothing(level):
    found = exponentials(np.array([-1e9, -800.0, 800.0, 1e9]), level)
    assert np.all(found[:2] < 1e-300)
    assert np.all(np.isinf(found[2:]))


def test_what_is_not_a_number_stays_none(level):
    assert np.isnan(exponentials(np.array([np.nan]), level)).all()


def simulated(n_rows, n_terms, n_intervals, n_classes, group_counts, *, is_delayed, rng):
    """Rows with classes, groups and weights; some enter late."""
    width = rng.uniform(0.5, 2.0, n_intervals)
    stop = rng.integers(n_intervals, size=n_rows)
    stop_within = rng.uniform(0.05, 1.0, n_rows) * width[stop]
    entry, entry_within = np.zeros(n_rows, dtype=int), np.zeros(n_rows)
    if is_delayed:
        late = rng.random(n_rows) < 0.5
        entry[late] = rng.integers(n_intervals, size=late.sum()) % (stop[late] + 1)
        here = np.where(entry < stop, width[entry], 0.9 * stop_within)
        entry_within[late] = (rng.random(n_rows) * here)[late]
    weight = rng.uniform(0.2, 3.0, n_rows)
    return SurvivalData(
        FollowUp(
            width=width, stop_interval=stop, stop_within=stop_within * weight,
            entry_interval=entry, entry_within=entry_within * weight, count=weight,
            is_delayed=is_delayed,
        ),
        event=weight * (rng.random(n_rows) < 0.6),
        design=rng.normal(size=(n_rows, n_terms)),
        patient_index=np.arange(n_rows),
        n_patients=n_rows,
        row_class=rng.integers(n_classes, size=n_rows),
        stratum_of_class=np.arange(n_classes),
        groups=tuple(rng.integers(count, size=n_rows) for count in group_counts),
        group_counts=group_counts,
    )  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(
    n_rows=st.integers(1, 60) | st.integers(255, 800),
    n_terms=st.integers(1, 15),
    n_intervals=st.integers(1, 6),
    n_classes=st.integers(1, 3),
    group_counts=st.sampled_from([(), (4,), (3, 20)]),
    is_delayed=st.booleans(),
    seed=st.integers(0, 10_000),
)
def test_value_and_slope_are_those_of_the_likelihood(
    n_rows, n_terms, n_intervals, n_classes, group_counts, is_delayed, seed
):
    rng = np.random.default_rng(seed)
    data = simulated(
        n_rows, n_terms, n_intervals, n_classes, group_counts, is_delayed=is_delayed, rng=rng
    )
    cells = n_classes * n_intervals
    blocks = (
        Block("effect", Columns(0, n_terms), (FLAT,) * n_terms),
        Block("log_hazard", Cells.of_strata(data.stratum_of_class), (FLAT,) * cells),
        *(Block(f"u{f}", Grouping(f), (FLAT,) * n) for f, n in enumerate(group_counts)),
    )
    vector = rng.normal(0, 0.5, n_terms + cells + sum(group_counts))
    effect, table, *groups = np.split(vector, np.cumsum([n_terms, cells, *group_counts])[:-1])
    hazards = LogHazards(table.reshape(n_classes, n_intervals), effect, tuple(groups))
    expected = float(log_likelihood(hazards, data))
    slope = log_likelihood_slope(hazards, data)
    expected_slope = np.concatenate([slope.effect, slope.cells.ravel(), *slope.groups])
    constant = len(vector) * float(FLAT.log_density(np.zeros(1))[0])
    scale = 1 + abs(expected) + abs(constant)
    for level in filter(has_level, LEVELS):
        value, found = native_density(data, blocks, level).value_and_slope(vector)
        assert value - constant == pytest.approx(expected, abs=1e-12 * scale)
        np.testing.assert_allclose(found, expected_slope, atol=1e-11 * scale)


def test_a_vector_of_another_length_is_refused():
    with pytest.raises(ValueError, match="3 unknowns"):
        contiguous(np.zeros(2), 3)


def test_an_instruction_set_that_there_is_none_of_is_refused():
    with pytest.raises(ValueError, match="instruction set number 7"):
        kernels(7)


def test_a_missing_library_is_said_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "__file__", str(tmp_path / "library.py"))
    load_library.cache_clear()
    with pytest.raises(BayesCRLMError, match="make setup"):
        load_library()
    monkeypatch.undo()
    load_library.cache_clear()
