"""Rows without time at risk: what becomes of the events in them."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier


def cohort_of(rows, **options):
    table = pd.DataFrame(rows, columns=["id", "start", "stop", "death", "arm"])
    return read_cohort(table, time="stop", event="death", entry="start", id="id", **options)


def died_at_their_last_change(n=120, seed=2):
    """Patients whose death stands in a row that begins at the time of death, and the same exact."""
    rng = np.random.default_rng(seed)
    death, censored = rng.exponential(8, n), rng.uniform(2, 12, n)
    time, died = np.minimum(death, censored).round(2) + 0.01, (death <= censored).astype(int)
    rows, exact = [], []
    for k in range(n):
        exact.append((k, 0.0, time[k], died[k], k % 2))
        if died[k] and k % 3:
            rows += [(k, 0.0, time[k], 0, k % 2), (k, time[k], time[k], 1, 1 - k % 2)]
        else:
            rows.append(exact[-1])
    return rows, exact


def test_an_event_without_time_at_risk_is_that_of_the_row_which_ends_there():
    rows, exact = died_at_their_last_change()
    cohort, right = cohort_of(rows, zero_times="drop"), cohort_of(exact)
    assert cohort.n_events == right.n_events
    assert cohort.time.tolist() == right.time.tolist()
    assert cohort.event.tolist() == right.event.tolist()
    curves = [kaplan_meier(each.entry, each.time, each.event).at([3.0]) for each in (cohort, right)]
    assert curves[0] == pytest.approx(curves[1], abs=1e-12)
    moved = len(rows) - len(exact)
    assert any(
        each.startswith(f"{moved} rows without time at risk hold") for each in cohort.remarks
    )
    fits = [
        PiecewiseExponential("arm", 0).fit(each, engine="laplace", seed=1, draws=200)
        for each in (cohort, right)
    ]
    assert fits[0].hazard_ratios().equals(fits[1].hazard_ratios())


def test_a_patient_whose_event_has_no_place_does_not_stay_as_one_who_lived_on():
    rows = [
        (1, 0.0, 3.0, 0, 0), (1, 5.0, 5.0, 1, 1), (2, 0.0, 0.0, 1, 0), (3, 0.0, 4.0, 1, 0),
        (4, 0.0, 6.0, 1, 1), (5, 0.0, 0.0, 0, 0),
    ]  # fmt: skip
    cohort = cohort_of(rows, zero_times="drop")
    assert cohort.patients.tolist() == [3, 4]
    (gone,) = cohort.dropped
    assert (gone.n_patients, gone.n_rows) == (3, 4)
    assert any('"drop" leaves out 2 of 4 events' in each for each in cohort.remarks)


def test_lost_events_stand_in_the_warnings_and_no_warning_where_none_is_lost():
    n = 60
    rng = np.random.default_rng(1)
    time = np.where(np.arange(n) < 9, 0.0, rng.exponential(5, n) + 0.1)
    for with_event, expected in ((1, True), (0, False)):
        rows = [
            (k, 0.0, time[k], with_event if time[k] == 0 else 1, k % 2) for k in range(n)
        ]  # fmt: skip
        cohort = cohort_of(rows, zero_times="drop")
        fit = PiecewiseExponential("arm", 0).fit(cohort, engine="laplace", seed=1, draws=100)
        said = [each for each in fit.warnings if "leaves out 9 of 60 events" in each]
        assert bool(said) is expected
        assert cohort.n_patients == n - 9


def test_what_becomes_of_events_does_not_depend_on_the_order_of_rows():
    rows, _ = died_at_their_last_change(40, 5)
    rows += [(900, 0.0, 2.0, 0, 0), (900, 3.0, 3.0, 1, 0)]
    order = np.random.default_rng(0).permutation(len(rows))
    one = cohort_of(rows, zero_times="drop")
    other = cohort_of([rows[k] for k in order], zero_times="drop")
    assert one.remarks == other.remarks
    assert sorted(zip(one.time.tolist(), one.event.tolist(), strict=True)) == sorted(
        zip(other.time.tolist(), other.event.tolist(), strict=True)
    )
