"""Separation: found exactly when some direction never loses, and said in numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from bayes_crlm.frequentist.separation import find_separation, is_maximum_certain


def trial(n=80, seed=4):
    """Two arms, a continuous covariate and a marker, none of them separating."""
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.arange(n) % 2, rng.normal(size=n), rng.random(n) < 0.3])
    time = np.ceil(rng.exponential(size=n) * 30)
    event = rng.random(n) < 0.6
    return np.zeros(n), time, event.astype(int), matrix.astype(float)


TERMS = ("arm", "age", "marker")


def test_an_ordinary_trial_is_not_separated():
    assert find_separation(*trial(), TERMS) is None


def test_a_level_without_events():
    entry, time, event, matrix = trial()
    event[matrix[:, 0] == 1] = 0
    found = find_separation(entry, time, event, matrix, TERMS)
    assert found.terms == ("arm",)
    assert np.allclose(found.direction, [-1, 0, 0], atol=1e-6)
    n_events = event.sum()
    expected = (
        f"none of the 40 patients with arm = 1 had an event ({n_events} events among the 40 others)"
    )
    assert found.reason.startswith(expected)


def test_patients_are_counted_once_however_many_rows_they_have():
    entry, time, event, matrix = trial()
    event[matrix[:, 0] == 1] = 0
    found = find_separation(
        np.concatenate([entry, time / 2]),
        np.concatenate([time / 2, time]),
        np.concatenate([0 * event, event]),
        np.concatenate([matrix, matrix]),
        TERMS,
        patient_index=np.tile(np.arange(80), 2),
    )
    assert "none of the 40 patients with arm = 1" in found.reason


def test_a_reference_level_without_events():
    entry, time, event, matrix = trial()
    arm = np.arange(80) % 3
    event[arm == 0] = 0
    matrix = np.column_stack([arm == 1, arm == 2, matrix[:, 1]]).astype(float)
    found = find_separation(entry, time, event, matrix, ("rx[T.B]", "rx[T.C]", "age"))
    assert found.terms == ("rx[T.B]", "rx[T.C]")
    n_patients = (arm == 0).sum()
    assert f"none of the {n_patients} patients at the reference level of rx had an event" in (
        found.reason
    )


def test_a_continuous_covariate_that_orders_the_events():
    entry, time, event, matrix = trial(n=300)
    matrix[:, 1] = np.where(event == 1, 200 - time, -50.0)
    found = find_separation(entry, time, event, matrix, TERMS)
    assert "age" in found.terms
    assert "fell on a patient with the highest age of those at risk" in found.reason
    matrix[:, 1] *= -1
    assert "lowest age" in find_separation(entry, time, event, matrix, TERMS).reason


def test_a_linear_combination_that_orders_the_events():
    entry, time, event, matrix = trial(n=300)
    shift = 3 * matrix[:, 2]
    matrix[:, 1] = np.where(event == 1, 200 - time, -50.0) + shift
    assert find_separation(entry, time, event, matrix[:, [0, 1]], TERMS[:2]) is None
    found = find_separation(entry, time, event, matrix, TERMS)
    assert {"age", "marker"} <= set(found.terms)
    assert "a linear combination of" in found.reason


def test_one_wrong_pair_ends_separation():
    """Every event leads its risk set but one, beaten by a single patient at risk with it."""
    time = np.arange(1.0, 41.0)
    event = np.ones(40, dtype=int)
    x = -time.copy()
    assert find_separation(0 * time, time, event, x[:, None], ("x",)) is not None
    x[[20, 21]] = x[[21, 20]]
    assert find_separation(0 * time, time, event, x[:, None], ("x",)) is None


def test_late_entry_can_bring_separation_about():
    # Without late entry the patient with x = 2 outlives and outranks the event with x = 1.
    time, event = np.array([1.0, 2.0, 3.0]), np.array([1, 1, 0])
    x = np.array([[1.0], [2.0], [0.0]])
    assert find_separation(np.zeros(3), time, event, x, ("x",)) is None
    found = find_separation(np.array([0.0, 1.0, 0.0]), time, event, x, ("x",))
    assert found.terms == ("x",)


def test_collinear_and_constant_columns_are_not_separation():
    entry, time, event, matrix = trial()
    spoilt = np.column_stack([matrix, matrix[:, 1] - matrix[:, 0], np.full(80, 3.0)])
    assert find_separation(entry, time, event, spoilt, (*TERMS, "sum", "constant")) is None
    event[matrix[:, 0] == 1] = 0
    with_level = find_separation(entry, time, event, spoilt[:, [0, 1, 2, 4]], (*TERMS, "constant"))
    assert with_level.terms == ("arm",)


def test_no_columns_or_no_events_is_not_separation():
    entry, time, event, matrix = trial()
    assert find_separation(entry, time, event, matrix[:, :0], ()) is None
    assert find_separation(entry, time, 0 * event, matrix, TERMS) is None


def all_pairs(entry, time, event, matrix):
    """Every x_i - x_k of the definition."""
    return np.array(
        [
            matrix[i] - matrix[k]
            for i in np.flatnonzero(event)
            for k in np.flatnonzero((entry < time[i]) & (time >= time[i]))
        ]
    )


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(3, 30),
    p=st.integers(1, 4),
    late=st.booleans(),
    is_continuous=st.booleans(),
)
def test_agrees_with_the_linear_programme_over_all_pairs(seed, n, p, late, is_continuous):
    rng = np.random.default_rng(seed)
    matrix = rng.integers(0, 3, size=(n, p)).astype(float)
    if is_continuous:
        matrix[:, 0] = rng.normal(size=n)
    time = rng.integers(1, 10, n).astype(float)
    entry = np.floor(time * rng.random(n)) * late
    event = (rng.random(n) < 0.3).astype(int)
    found = find_separation(entry, time, event, matrix, [f"x{k}" for k in range(p)])
    pairs = all_pairs(entry, time, event, matrix)
    if not pairs.size:
        assert found is None
        return
    solved = linprog(-pairs.sum(axis=0), A_ub=-pairs, b_ub=np.zeros(len(pairs)), bounds=(-1, 1))
    assert (found is not None) == (-solved.fun > 1e-6)
    if found is not None:
        gains = pairs @ (found.direction / np.where(np.ptp(matrix, 0) > 0, np.ptp(matrix, 0), 1))
        assert gains.min() > -1e-7 and gains.max() > 1e-7
        if np.linalg.matrix_rank(pairs) < p:
            return  # a collinear column moves along the others' null direction for free
        for k in range(p):
            reach = max(
                -linprog(
                    sign * np.eye(p)[k], A_ub=-pairs, b_ub=np.zeros(len(pairs)), bounds=(-1, 1)
                ).fun
                for sign in (1, -1)
            )
            if not 1e-7 < reach < 1e-4:  # between the two, tolerances decide
                assert (f"x{k}" in found.terms) == (reach > 1e-5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(6, 40), p=st.integers(1, 3))
def test_the_certificate_is_never_given_to_separated_data(seed, n, p):
    """On the way up a monotone likelihood no score and information may look like a maximum."""
    from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood

    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, p))
    matrix[:, 0] = np.arange(n) % 2
    time = np.ceil(rng.exponential(size=n) * 10)
    event = ((rng.random(n) < 0.7) & (matrix[:, 0] == 0)).astype(int)
    likelihood = PartialLikelihood(np.zeros(n), time, event, matrix)
    for far in (0.0, 5.0, 15.0, 30.0, 60.0):
        value = likelihood.at(-far * np.eye(p)[0])
        covariance = np.linalg.pinv(value.information, rcond=1e-300)
        assert not is_maximum_certain(value.score, covariance, np.ptp(matrix, axis=0))


def test_the_certificate_is_given_at_an_ordinary_maximum():
    from bayes_crlm.frequentist.cox import fit_cox
    from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood

    rows = trial()
    cox = fit_cox(*rows, TERMS)
    score = PartialLikelihood(*rows).at(cox.coef).score
    ranges = np.ptp(rows[3], axis=0)
    assert is_maximum_certain(score, cox.covariance, ranges)
    assert not is_maximum_certain(score + 10, cox.covariance, ranges)


def test_many_rows_cost_few_pairs():
    """The pairs of 20,000 rows are 10^8; the search must not make them."""
    rng = np.random.default_rng(2)
    n = 20_000
    matrix = np.column_stack([rng.random(n) < 0.2, rng.normal(size=n)]).astype(float)
    time = rng.exponential(size=n)
    event = (rng.random(n) < 0.5) & (matrix[:, 0] == 0)
    found = find_separation(np.zeros(n), time, event, matrix, ("arm", "age"))
    assert found.terms == ("arm",)


@pytest.mark.parametrize("late", [0.0, 0.5])
def test_rows_in_another_order_and_other_units(late):
    entry, time, event, matrix = trial()
    event[matrix[:, 2] == 1] = 0
    entry = time * late
    shuffled = np.random.default_rng(0).permutation(80)
    units = np.array([1e6, 1e-9, 1.0])
    found = find_separation(entry, time, event, matrix, TERMS)
    other = find_separation(
        entry[shuffled], time[shuffled], event[shuffled], (matrix * units)[shuffled], TERMS
    )
    assert found.terms == other.terms == ("marker",)
    assert np.allclose(found.direction, other.direction, atol=1e-6)


def test_a_nearly_singular_information_is_no_certificate():
    """A covariance of 1e11 along (1, -1, 1), whose inverse is rounding noise."""
    direction = np.array([1.0, -1.0, 1.0])
    covariance = 9.8e10 * np.outer(direction, direction) + np.diag([1.0, 2.0, 3.0])
    assert not is_maximum_certain(np.zeros(3), covariance, np.full(3, 2.0))
