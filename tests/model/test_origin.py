"""Delayed entry: where curves begin, whom they average over, and what is then right."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import of_one_class
from scipy.integrate import quad
from scipy.optimize import brentq

import bayes_crlm as bc
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.estimands.population import effective_size, population
from bayes_crlm.estimands.survival import (
    cumulative_hazard_at,
    median_survival,
    restricted_mean_survival,
    standardised_survival,
)
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier
from bayes_crlm.model.origin import default_origin, origin_cautions
from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import EstimandError

CUTPOINTS = np.array([0.0, 2.0, 5.0, 6.0, 12.0])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans())
def test_the_default_origin_is_the_earliest_time_at_which_enough_are_at_risk(seed, n, is_delayed):
    rng = np.random.default_rng(seed)
    time = rng.integers(1, 30, n).astype(float)
    entry = np.floor(time * rng.random(n)) * is_delayed
    found = default_origin(entry, time)
    grid = np.arange(0, 30, 0.5)
    at_risk = ((entry[:, None] <= grid) & (grid < time[:, None])).sum(axis=0)
    enough = at_risk >= min(10, at_risk.max())
    assert found == (grid[np.argmax(enough)] if entry.any() else 0.0)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 8), st.booleans())
def test_estimands_given_survival_to_an_origin_are_their_definitions(seed, origin, by_draw):
    rng = np.random.default_rng(seed)
    log_hazard, relative = rng.normal(-1.5, 0.8, (3, 4)), np.exp(rng.normal(0, 1, (3, 5)))
    share = rng.dirichlet(np.ones(5), 3) if by_draw else rng.dirichlet(np.ones(5))
    each_share = np.broadcast_to(share, (3, 5))

    def survival(d, time):
        total = sum(
            np.exp(value) * max(0.0, min(time, high) - max(low, origin))
            for low, high, value in zip(CUTPOINTS[:-1], CUTPOINTS[1:], log_hazard[d], strict=True)
        )
        return float(np.exp(-total * relative[d]) @ each_share[d])

    horizon = 11.0
    cumulative = cumulative_hazard_at(log_hazard, CUTPOINTS, np.array([origin, horizon]), origin)
    curve = standardised_survival(cumulative, relative, share)
    area = restricted_mean_survival(log_hazard, CUTPOINTS, relative, share, horizon, origin)
    median = median_survival(log_hazard, CUTPOINTS, relative, share, origin)
    ends = [origin, *(cut for cut in CUTPOINTS[1:-1] if origin < cut < horizon), horizon]
    for d in range(3):
        assert curve[d, 0] == pytest.approx(1, rel=1e-14)
        assert curve[d, 1] == pytest.approx(survival(d, horizon), rel=1e-10)
        exact = sum(
            quad(lambda t, d=d: survival(d, t), low, high)[0] for low, high in pairwise(ends)
        )
        assert area[d] == pytest.approx(exact, rel=1e-8)
        if survival(d, 12.0) < 0.5 - 1e-9:
            root = brentq(lambda t, d=d: survival(d, t) - 0.5, origin, 12, xtol=1e-13)
            assert median[d] == pytest.approx(root, rel=1e-8)
        elif survival(d, 12.0) > 0.5 + 1e-9:
            assert np.isinf(median[d])


def late_entrants(n, seed, slope=1.0, rate=0.02, latest=36.0):
    """People whose log hazard rises by `slope` with z; only those alive at their entry are seen."""
    rng = np.random.default_rng(seed)
    rows = []
    while len(rows) < n:
        z, arm, entry = rng.normal(), int(rng.integers(2)), rng.uniform(0, latest)
        death = rng.exponential() / (rate * np.exp(slope * z - 0.5 * arm))
        if death > entry:
            end = entry + rng.uniform(6, 60)
            rows.append((entry, min(death, end), int(death <= end), arm, z))
    return pd.DataFrame(rows, columns=["entry", "time", "event", "arm", "z"])


@pytest.mark.parametrize("seed", range(3))
def test_entrants_and_the_population_they_come_from_have_the_survival_of_each(seed):
    """Of entrants and of the population before entry the truth is known by integration over z."""
    table = late_entrants(600, seed, rate=0.05)
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry")
    fit = bc.PiecewiseExponential("arm", 0, "z", cutpoints=5).fit(
        cohort, engine="laplace", seed=seed
    )
    before = fit.estimating(population="before_entry")
    origin, rate = fit.begin, 0.05 * np.exp(np.random.default_rng(1).normal(size=200_000))
    assert 0 < origin < 3
    alive_at_origin = np.exp(-rate * origin)
    whole = (alive_at_origin @ np.exp(-rate * (24 - origin))) / alive_at_origin.sum()
    own = np.exp(-0.05 * np.exp(table["z"].to_numpy()) * (24 - origin)).mean()
    for made, truth in ((fit, own), (before, whole)):
        draws = made.survival_draws([24]).values[:, 0, 0]
        assert abs(draws.mean() - truth) < 4 * draws.std()
        assert draws.std() < 0.05
    assert own - whole > 0.08
    assert fit.effective_patients == 600
    assert 20 < before.effective_patients < 400


def test_weights_before_entry_are_one_over_survival_from_origin_to_entry():
    cohort = bc.read_cohort(late_entrants(60, 5), time="time", event="event", entry="entry")
    inputs = bc.PiecewiseExponential("arm", 0, "z", cutpoints=3).prepare(cohort)
    rng = np.random.default_rng(0)
    log_hazard, effect = rng.normal(-4, 0.3, (6, 3)), rng.normal(0, 0.5, (6, 2))
    origin = 10.0
    at = of_one_class(log_hazard, effect)
    people = population(inputs, at.mean(), "before_entry", origin)
    weight = people.weights(at, inputs.intervals.cutpoints, origin)
    entry = np.maximum(cohort.entry, origin)
    since = cumulative_hazard_at(log_hazard, inputs.intervals.cutpoints, entry, origin)
    each = np.exp(since * np.exp(effect @ inputs.data.design.T))
    assert np.all(each[:, cohort.entry <= origin] == 1)
    each /= each.sum(axis=1, keepdims=True)
    # in the order of linear predictors, for patterns are in an order of their own
    order = np.argsort(people.profiles.columns[:, 1], kind="stable")
    columns = inputs.data.design[:, 1]
    np.testing.assert_allclose(weight[:, order], each[:, np.argsort(columns)], rtol=1e-10)
    kish = 1 / (each**2).sum(axis=1)
    assert effective_size(weight, people.share, 60) == pytest.approx(np.median(kish))


@pytest.mark.parametrize("seed", range(3))
def test_late_entry_into_a_homogeneous_cohort_gives_the_left_truncated_kaplan_meier(seed):
    table = late_entrants(500, seed, slope=0.0)
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry")
    fit = bc.PiecewiseExponential("arm", 0).fit(cohort, engine="laplace", seed=1)
    origin = fit.begin
    for level in (0, 1):
        rate = 0.02 * np.exp(-0.5 * level)
        draws = fit.survival_draws([12, 30]).values[:, level]
        truth = np.exp(-rate * (np.array([12, 30]) - origin))
        assert np.all(np.abs(draws.mean(axis=0) - truth) < 4 * draws.std(axis=0))
        median = fit.median_survival_draws().values[:, level]
        reached = median[np.isfinite(median)]
        assert abs(np.median(reached) - origin - np.log(2) / rate) < 4 * reached.std()
    table = fit.kaplan_meier([12, 30])
    rows = late = cohort.time > origin
    arm = fit.inputs.design.treatment_level
    for level, some in table.groupby("treatment"):
        rows = late & (arm == level)
        curve = kaplan_meier(cohort.entry[rows], cohort.time[rows], cohort.event[rows])
        at_origin = curve.at([origin])[0]
        np.testing.assert_allclose(some["kaplan_meier"], curve.at([12, 30]) / at_origin)


def test_an_age_scale_has_medians_of_ages(tmp_path):
    """Nobody is seen before 50: constant hazards of 0.06 and 0.036 from there on."""
    rng = np.random.default_rng(11)
    n = 400
    arm, entry = rng.integers(2, size=n), rng.uniform(50, 75, n)
    age = entry + rng.exponential(1 / (0.06 * np.exp(-0.51 * arm)))
    end = entry + rng.uniform(2, 15, n)
    table = pd.DataFrame(
        {"arm": arm, "entry": entry, "age": np.minimum(age, end), "event": (age <= end).astype(int)}
    )
    table.to_csv(tmp_path / "data.csv", index=False)
    spec = Spec.from_mapping(
        {
            "title": "Age",
            "data": {
                "source": str(tmp_path / "data.csv"), "time": "age", "event": "event",
                "entry": "entry", "unit": "years of age",
            },
            "model": {"treatment": "arm", "reference": 0},
        }
    )  # fmt: skip
    plan = plan_analysis(spec)
    origin = plan.spec.estimands.origin
    assert origin == np.sort(entry)[9]
    assert all(time > origin for time in plan.spec.estimands.horizons)
    assert any(f"given survival to {origin:g} years of age" in each for each in plan.warnings)
    fit = plan.model.fit(plan.inputs.cohort, engine="laplace", seed=3)
    assert any(f"given survival to {origin:g} years of age" in each for each in fit.warnings)
    assert not any("before entry" in each for each in fit.warnings)
    before = fit.estimating(population="before_entry")
    left = f"which leaves {before.effective_patients:.0f} effective of 400 patients"
    assert sum(left in each for each in before.warnings) == 1
    medians = fit.median_survival()
    for row, rate in zip(medians.itertuples(), (0.06, 0.06 * np.exp(-0.51)), strict=True):
        assert row.eti95_low < origin + np.log(2) / rate < row.eti95_high
        assert row.origin == origin
    area = fit.rmst(75.0)
    assert np.all(area["mean"] < 75 - origin)


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"origin": 30.0, "horizons": [20.0]}, ["estimands.horizons: 20.0", "estimands.origin"]),
        ({"origin": 30.0, "horizons": [30.0]}, ["estimands.horizons: 30.0", "after 30.0"]),
        ({"origin": 30.0, "rmst": 12.0}, ["estimands.rmst: 12.0", "30.0"]),
        ({"horizons": [0.001]}, ["estimands.horizons: 0.001"]),
        ({"origin": 900.0}, ["estimands.origin: 900.0", "below"]),
    ],
)
def test_times_before_the_origin_are_refused(keys, told, tmp_path):
    late_entrants(80, 1).to_csv(tmp_path / "data.csv", index=False)
    data = {"source": str(tmp_path / "data.csv"), "time": "time", "event": "event"}
    spec = Spec.from_mapping(
        {
            "title": "t",
            "data": data | {"entry": "entry"},
            "model": {"treatment": "arm", "reference": 0},
            "estimands": keys,
        }
    )
    with pytest.raises(EstimandError) as caught:
        plan_analysis(spec)
    for each in told:
        assert each in str(caught.value)


def test_python_takes_the_same_names_and_refuses_the_same_times():
    cohort = bc.read_cohort(late_entrants(80, 1), time="time", event="event", entry="entry")
    model = bc.PiecewiseExponential("arm", 0, cutpoints=3)
    fit = model.fit(cohort, engine="laplace", seed=1, origin=12.0, population="before_entry")
    assert (fit.origin, fit.population) == (12.0, "before_entry")
    for group in fit.posterior.children.values():
        assert (group.attrs["origin"], group.attrs["population"]) == (12.0, "before_entry")
    again = model.fit(cohort, engine="laplace", seed=1)
    np.testing.assert_array_equal(fit.vectors, again.vectors)
    assert again.origin == default_origin(cohort.entry, cohort.time)
    with pytest.raises(EstimandError, match="give times between 12 and"):
        fit.survival([11.0])
    with pytest.raises(EstimandError, match="give one above 12 and"):
        fit.rmst(12.0)
    with pytest.raises(EstimandError, match="origin: -1"):
        model.fit(cohort, origin=-1)
    with pytest.raises(EstimandError, match="population: 'all' is unknown"):
        model.fit(cohort, population="all")


def test_an_origin_long_before_anybody_was_at_risk_is_refused(tmp_path):
    """People could enter from 50 on: curves from 50 are asked for, curves from birth are none."""
    rng = np.random.default_rng(2)
    entry = rng.uniform(50, 75, 60)
    table = pd.DataFrame(
        {
            "arm": np.arange(60) % 2,
            "entry": entry,
            "age": entry + 8,
            "event": rng.integers(2, size=60),
        }
    )
    cohort = bc.read_cohort(table, time="age", event="event", entry="entry")
    model = bc.PiecewiseExponential("arm", 0, cutpoints=3)
    fit = model.fit(cohort, engine="laplace", seed=1, origin=50)
    assert any(f"nobody is at risk before {entry.min():g}" in each for each in fit.warnings)
    for make in (
        lambda: model.fit(cohort, engine="laplace", seed=1, origin=0),
        lambda: fit.estimating(origin=0),
    ):
        with pytest.raises(EstimandError, match="origin: 0 lies long before the first entry, at 5"):
            make()
    table.to_csv(tmp_path / "data.csv", index=False)
    spec = Spec.from_mapping(
        {
            "title": "t",
            "data": {
                "source": str(tmp_path / "data.csv"), "time": "age", "event": "event",
                "entry": "entry",
            },
            "model": {"treatment": "arm", "reference": 0},
            "estimands": {"origin": 30.0},
        }
    )  # fmt: skip
    with pytest.raises(EstimandError, match="nobody was at risk then; give a time from 5"):
        plan_analysis(spec)


def test_without_delayed_entry_curves_begin_at_0_and_nobody_is_weighted(colon_fit):
    assert colon_fit.origin == 0
    weighted = colon_fit.estimating(population="before_entry")
    pd.testing.assert_frame_equal(weighted.survival([180.0]), colon_fit.survival([180.0]))
    assert weighted.effective_patients == pytest.approx(colon_fit.inputs.data.n_patients)


def test_a_reader_is_told_where_curves_begin():
    table = late_entrants(80, 1)
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry", unit="months")
    inputs = bc.PiecewiseExponential("arm", 0, cutpoints=3).prepare(cohort)
    (told,) = origin_cautions(12.0, inputs)
    at_risk = ((table["entry"] <= 12) & (table["time"] > 12)).sum()
    assert told == (
        "survival, its median and restricted means are given survival to 12 months, where curves "
        f"begin with {at_risk} patients at risk"
    )
    (early,) = origin_cautions(0.0, inputs)
    assert early.startswith(f"nobody is at risk before {table['entry'].min():g} months")
