"""Closed forms of survival, median and restricted mean against brute force."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import of_one_class
from scipy.integrate import quad
from scipy.optimize import brentq

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.estimands.population import population
from bayes_crlm.estimands.survival import (
    cumulative_hazard_at,
    median_survival,
    restricted_mean_survival,
    standardised_survival,
    time_of_cumulative_hazard,
)
from bayes_crlm.fit.estimands.rows import quantiles_with_infinity
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.likelihood import hazard_table as likelihood
from bayes_crlm.words.errors import EstimandError

CUTPOINTS = np.array([0.0, 2.0, 5.0, 6.0, 12.0])


def setting(seed, draws=4, patterns=5, spread=1.0):
    rng = np.random.default_rng(seed)
    log_hazard = rng.normal(-1.5, 0.8, (draws, len(CUTPOINTS) - 1))
    share = rng.dirichlet(np.ones(patterns))
    return log_hazard, np.exp(rng.normal(0, spread, (draws, patterns))), share


def survival_of(log_hazard, relative, share, time):
    """Standardised survival of one draw at one time, written out."""
    total = 0.0
    for low, high, value in zip(CUTPOINTS[:-1], CUTPOINTS[1:], log_hazard, strict=True):
        total += np.exp(value) * max(0.0, min(time, high) - low)
    return float(np.exp(-total * relative) @ share)


@given(st.integers(0, 2**32 - 1))
def test_survival_is_its_definition_and_falls_from_one(seed):
    log_hazard, relative, share = setting(seed)
    times = np.array([0.0, 0.7, 2.0, 5.5, 6.0, 11.9, 12.0])
    cumulative = cumulative_hazard_at(log_hazard, CUTPOINTS, times)
    found = standardised_survival(cumulative, relative, share)
    expected = [
        [survival_of(log_hazard[d], relative[d], share, time) for time in times]
        for d in range(len(log_hazard))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(found[:, 0], 1.0)
    assert np.all(np.diff(found, axis=1) < 0)
    assert np.all(found > 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.01, 12))
def test_restricted_mean_is_the_area_under_the_curve(seed, horizon):
    log_hazard, relative, share = setting(seed)
    found = restricted_mean_survival(log_hazard, CUTPOINTS, relative, share, horizon)
    inner = [cut for cut in CUTPOINTS[1:-1] if cut < horizon]
    for d in range(len(log_hazard)):
        ends = [0.0, *inner, horizon]
        area = sum(
            quad(lambda t, d=d: survival_of(log_hazard[d], relative[d], share, t), low, high)[0]
            for low, high in pairwise(ends)
        )
        assert found[d] == pytest.approx(area, rel=1e-9)
    assert np.all(found > 0)
    assert np.all(found <= horizon * (1 + 1e-12))


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.1, 1.0, 4.0]))
def test_median_is_where_the_curve_crosses_one_half(seed, spread):
    log_hazard, relative, share = setting(seed, spread=spread)
    found = median_survival(log_hazard, CUTPOINTS, relative, share)
    for d in range(len(log_hazard)):

        def excess(time, d=d):
            return survival_of(log_hazard[d], relative[d], share, time) - 0.5

        if excess(12.0) > 1e-9:
            assert np.isinf(found[d])
        elif excess(12.0) < -1e-9:
            assert found[d] == pytest.approx(brentq(excess, 0, 12, xtol=1e-13), rel=1e-8, abs=1e-9)


def test_median_of_patterns_whose_hazards_lie_far_apart():
    """Two kinds of patients, hazards a million-fold apart: the median is among the slow ones."""
    share = np.array([0.3, 0.7])
    relative = np.array([[1e4, 1e-2]])
    log_hazard = np.full((1, 4), np.log(4.0))
    found = median_survival(log_hazard, CUTPOINTS, relative, share)
    assert found[0] == pytest.approx(np.log(7 / 5) / 0.04, rel=1e-9)


def test_one_pattern_and_a_constant_hazard_are_the_exponential_distribution():
    rate = 0.3
    log_hazard = np.full((1, 4), np.log(rate))
    one, share = np.ones((1, 1)), np.ones(1)
    median = median_survival(log_hazard, CUTPOINTS, one, share)
    assert median[0] == pytest.approx(np.log(2) / rate, rel=1e-12)
    area = restricted_mean_survival(log_hazard, CUTPOINTS, one, share, 7.0)
    assert area[0] == pytest.approx((1 - np.exp(-7 * rate)) / rate, rel=1e-12)
    assert np.isinf(median_survival(np.log([[1e-3] * 4]), CUTPOINTS, one, share)[0])


def test_restricted_mean_of_a_vanishing_hazard_is_the_horizon():
    log_hazard = np.full((1, 4), -700.0)
    area = restricted_mean_survival(log_hazard, CUTPOINTS, np.ones((1, 1)), np.ones(1), 9.0)
    assert area[0] == pytest.approx(9.0, rel=1e-12)


@given(st.integers(0, 2**32 - 1))
def test_time_of_a_cumulative_hazard_undoes_the_cumulative_hazard(seed):
    log_hazard, _, _ = setting(seed)
    times = np.array([0.3, 2.0, 4.9, 5.0, 8.0, 12.0])
    cumulative = cumulative_hazard_at(log_hazard, CUTPOINTS, times)
    # rounding may put the very end of follow-up behind it
    found = time_of_cumulative_hazard(log_hazard, CUTPOINTS, cumulative * (1 - 1e-14))
    np.testing.assert_allclose(found, np.tile(times, (len(log_hazard), 1)), rtol=1e-9)
    beyond = time_of_cumulative_hazard(log_hazard, CUTPOINTS, cumulative[:, -1:] + 0.01)
    assert np.all(np.isinf(beyond))


@pytest.mark.parametrize(("times", "shown"), [([1.0, 12.5], "12.5"), ([-1.0], "-1")])
def test_times_outside_follow_up_are_refused(times, shown):
    with pytest.raises(EstimandError) as caught:
        cumulative_hazard_at(np.zeros((1, 4)), CUTPOINTS, np.array(times))
    assert str(caught.value) == (
        f"time {shown} lies outside follow-up; give times between 0 and 12"
    )


@pytest.mark.parametrize("horizon", [0.0, -1.0, 12.1, float("nan")])
def test_horizons_outside_follow_up_are_refused(horizon):
    with pytest.raises(EstimandError, match="give one above 0 and at most 12"):
        restricted_mean_survival(np.zeros((1, 4)), CUTPOINTS, np.ones((1, 1)), np.ones(1), horizon)


def test_blocks_of_draws_change_nothing(monkeypatch):
    log_hazard, relative, share = setting(3, draws=11)
    cumulative = cumulative_hazard_at(log_hazard, CUTPOINTS, np.array([1.0, 8.0]))

    def everything():
        return (
            standardised_survival(cumulative, relative, share),
            restricted_mean_survival(log_hazard, CUTPOINTS, relative, share, 8.0),
            median_survival(log_hazard, CUTPOINTS, relative, share),
        )

    whole = everything()
    monkeypatch.setattr(likelihood, "BLOCK", 15)
    for found, expected in zip(everything(), whole, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def at_rate(inputs):
    """A constant hazard and no effects."""
    log_hazard = np.full((1, inputs.intervals.n_intervals), inputs.log_rate)
    return of_one_class(log_hazard, np.zeros((1, len(inputs.design.terms))))


def test_population_pools_the_patients_baseline_rows(simulated_cohorts):
    inputs = PiecewiseExponential("arm", 0, "group").prepare(simulated_cohorts[3])
    people = population(inputs, at_rate(inputs))
    table = inputs.cohort.table.drop_duplicates("patient")
    assert people.share.sum() == pytest.approx(1)
    np.testing.assert_allclose(
        np.sort(people.share), np.sort(table["group"].value_counts(normalize=True))
    )
    inputs = PiecewiseExponential("arm", 0).prepare(simulated_cohorts[3])
    nobody = population(inputs, at_rate(inputs))
    assert nobody.profiles.columns.shape == (1, 1)
    assert nobody.share.tolist() == [1.0]


def test_standardisation_is_the_mean_over_patients(simulated_cohorts):
    """Every patient's curve at each level, averaged one by one, from the raw columns."""
    inputs = PiecewiseExponential("arm", 0, "x + group", cutpoints=4).prepare(simulated_cohorts[3])
    rng = np.random.default_rng(2)
    log_hazard, effect = rng.normal(-2, 0.3, (3, 4)), rng.normal(0, 0.5, (3, 4))
    times = np.array([2.0, 9.0])
    cumulative = cumulative_hazard_at(log_hazard, inputs.intervals.cutpoints, times)
    people = population(inputs, at_rate(inputs))
    table = inputs.cohort.table.drop_duplicates("patient")
    for level in (0, 1):
        raw = np.column_stack(
            [np.full(len(table), level), table["x"], table["group"] == "b", table["group"] == "c"]
        ).astype(float)
        scaled = (raw - inputs.design.center) / inputs.design.scale
        each = np.exp(-cumulative[:, :, None] * np.exp(effect @ scaled.T)[:, None, :])
        at = of_one_class(log_hazard, effect)
        relative = inputs.under(level, people.profiles).relative_hazard(at)
        np.testing.assert_allclose(
            standardised_survival(cumulative, relative, people.share), each.mean(axis=2)
        )


def test_tables_of_a_fit_are_those_of_its_draws(colon_fit):
    horizons, rmst = [180.0, 365.0], 730.0
    survival, area = colon_fit.survival(horizons), colon_fit.rmst(rmst)
    levels = ["Lev", "Lev+5FU", "Obs"]
    assert area["treatment"].tolist() == levels
    assert survival["treatment"].tolist() == [level for level in levels for _ in horizons]
    draws = colon_fit.survival_draws(horizons)
    assert draws.dims == ("sample", "treatment", "time")
    np.testing.assert_allclose(survival["mean"], draws.mean("sample").values.ravel())
    low = draws.quantile(0.025, "sample").values.ravel()
    np.testing.assert_allclose(survival["eti95_low"], low)
    assert np.all(survival["eti95_low"] < survival["mean"])
    assert np.all(survival["mean"] < survival["eti95_high"])
    assert np.all(area["mean"] < rmst)
    median = colon_fit.median_survival()
    for level, row in zip(levels, median.itertuples(), strict=True):
        at_median = colon_fit.survival([row.median])
        mean = at_median.loc[at_median["treatment"] == level, "mean"].item()
        assert mean == pytest.approx(0.5, abs=0.02)
        assert row.share_not_reached == 0
    differences = colon_fit.differences(horizons, rmst)
    assert set(differences["treatment"]) == {"Lev+5FU", "Obs"}
    first = draws.sel(treatment="Lev+5FU", time=180.0) - draws.sel(treatment="Lev", time=180.0)
    row = differences.query("estimand == 'survival' and treatment == 'Lev+5FU' and time == 180")
    assert row["mean"].item() == pytest.approx(float(first.mean()))
    assert row["prob_above_0"].item() == pytest.approx(float((first > 0).mean()))
    with pytest.raises(EstimandError, match="lies outside follow-up"):
        colon_fit.survival([10_000])
    with pytest.raises(EstimandError, match="lies outside follow-up"):
        colon_fit.rmst(10_000)


def test_medians_beyond_follow_up_are_not_reached():
    """One arm's curve stays above one half: infinite, with the share of draws that say so."""
    rng = np.random.default_rng(4)
    n = 240
    arm = np.arange(n) % 2
    time = rng.exponential(np.where(arm == 0, 4.0, 60.0))
    table = pd.DataFrame({"arm": arm, "time": np.minimum(time, 10.0), "event": time <= 10.0})
    cohort = read_cohort(table, time="time", event="event")
    fit = PiecewiseExponential("arm", 0, cutpoints=3).fit(cohort, seed=1, engine="laplace")
    reached, beyond = fit.median_survival().itertuples()
    assert reached.eti95_low < 4.0 * np.log(2) < reached.eti95_high
    assert reached.share_not_reached == 0
    assert beyond.share_not_reached == 1
    assert np.isinf([beyond.median, beyond.eti95_low, beyond.eti95_high]).all()
    draws = fit.median_survival_draws().sel(treatment="1")
    assert beyond.share_not_reached == np.isinf(draws).mean()


@pytest.mark.parametrize("baseline", ["random_walk", "gamma"])
@pytest.mark.parametrize("seed", range(2))
def test_estimands_recover_the_truth_of_a_changing_hazard(baseline, seed):
    """Hazard 0.05 to time 4 and 0.2 after it, a third of it when treated, and a covariate."""
    rng = np.random.default_rng([seed, 11])
    n = 800
    arm, x = rng.integers(2, size=n), rng.normal(size=n)
    relative = np.exp(np.log(1 / 3) * arm + 0.6 * x)
    cutpoints, log_hazard = np.array([0.0, 4.0, 15.0]), np.log([[0.05, 0.2]])
    target = (rng.exponential(1.0, n) / relative)[None]
    time = time_of_cumulative_hazard(log_hazard, cutpoints, target)[0]
    censored = np.minimum(rng.uniform(2, 30, n), 15.0)
    table = pd.DataFrame(
        {"arm": arm, "x": x, "time": np.minimum(time, censored), "event": time <= censored}
    )
    cohort = read_cohort(table, time="time", event="event")
    model = PiecewiseExponential("arm", 0, "x", cutpoints=[4], baseline=baseline)
    fit = model.fit(cohort, seed=seed, engine="laplace")
    times = [3.0, 10.0]
    survival, area = fit.survival_draws(times), fit.rmst_draws(12.0)
    for level in (0, 1):
        each = np.exp(np.log(1 / 3) * level + 0.6 * x)[None]
        share = np.full(n, 1 / n)
        cumulative = cumulative_hazard_at(log_hazard, cutpoints, np.array(times))
        truth = standardised_survival(cumulative, each, share)[0]
        found = survival.isel(treatment=level)
        error = (found.mean("sample") - truth) / found.std("sample")
        assert np.all(np.abs(error.values) < 4)
        truth = restricted_mean_survival(log_hazard, cutpoints, each, share, 12.0)[0]
        found = area.isel(treatment=level)
        assert abs(float((found.mean() - truth) / found.std())) < 4
        # the data are many: a posterior as wide as to hold anything would not do
        assert float(found.std()) < 0.4


@given(st.lists(st.sampled_from([1.0, 2.0, 3.5, np.inf]), min_size=1, max_size=12))
def test_quantiles_of_draws_that_may_be_infinite_are_draws(draws):
    draws = np.array(draws)
    probabilities = [0.025, 0.3, 0.5, 0.6, 0.975]
    found = quantiles_with_infinity(draws, probabilities)
    assert found == sorted(found)
    for probability, quantile in zip(probabilities, found, strict=True):
        assert quantile in draws
        # never less than the order statistics around it: "not reached" is not talked down
        assert quantile == np.sort(draws)[int(np.ceil(probability * (len(draws) - 1) - 1e-9))]
