"""Survival of the population before entry: right where it can be, and told where it cannot."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.hermite_e import hermegauss

import bayes_crlm as bc
from bayes_crlm.fit.entry_weights import (
    FARTHEST,
    LARGEST_WEIGHT,
    LEAST_APART,
    LEAST_SHARE,
    LEAST_SIZE,
    entry_weight_warnings,
    weights_over_entries,
)

EFFECT = -0.5


def entrants(n, seed, rate, slope, latest=36.0, entry_by_z=0.0):
    """Those alive at their entry, of people whose log hazard rises by `slope` with z."""
    rng = np.random.default_rng(seed)
    kept = []
    while sum(map(len, kept)) < n:
        z, arm = rng.normal(size=4 * n), rng.integers(0, 2, 4 * n)
        entry = rng.uniform(0, latest, 4 * n)
        if entry_by_z:
            entry = latest * rng.beta(1.0, np.exp(-entry_by_z * z))
        death = rng.exponential(size=4 * n) / (rate * np.exp(slope * z + EFFECT * arm))
        end = entry + rng.uniform(6, 60, 4 * n)
        table = pd.DataFrame(
            {
                "entry": entry,
                "time": np.minimum(death, end),
                "event": (death <= end).astype(int),
                "arm": arm,
                "z": z,
            }
        )
        kept.append(table[death > entry])
    return pd.concat(kept, ignore_index=True)[:n]


def true_survival(rate, slope, level, origin, time):
    """P(T > time | alive at the origin) with everyone on a level, by integration over z."""
    nodes, weight = hermegauss(100)
    hazard = rate * np.exp(slope * nodes + EFFECT * level)
    return (weight @ np.exp(-time * hazard)) / (weight @ np.exp(-origin * hazard))


def fitted(table, seed=1, **keys):
    cohort = bc.read_cohort(table, time="time", event="event", entry="entry", unit="months")
    model = bc.PiecewiseExponential("arm", 0, "z", cutpoints=5)
    return model.fit(cohort, engine="laplace", seed=seed, population="before_entry", **keys)


@pytest.mark.parametrize(
    ("n", "rate", "slope"), [(600, 0.02, 0.7), (600, 0.04, 0.5), (3_000, 0.02, 0.5)]
)
def test_of_mild_weights_survival_is_that_of_the_population_entrants_come_from(n, rate, slope):
    fit = fitted(entrants(n, 3, rate, slope))
    draws = fit.survival_draws([24]).values[:, :, 0]
    for level in (0, 1):
        truth = true_survival(rate, slope, level, fit.begin, 24)
        assert abs(draws[:, level].mean() - truth) < 2.5 * draws[:, level].std()
    assert not any("do not trust survival" in each for each in fit.warnings)


@pytest.mark.slow
def test_limits_hold_the_population_before_entry_as_often_as_they_say():
    inside = []
    for seed in range(40):
        fit = fitted(entrants(400, 100 + seed, 0.02, 0.7), seed)
        low, high = np.quantile(fit.survival_draws([24]).values[:, :, 0], [0.025, 0.975], axis=0)
        for level in (0, 1):
            inside.append(low[level] < true_survival(0.02, 0.7, level, fit.begin, 24) < high[level])
    assert np.mean(inside) > 0.88


@pytest.mark.parametrize("seed", range(3))
def test_weights_that_miss_those_who_are_hardly_ever_seen_are_not_trusted(seed):
    """A log hazard ratio of 2 for each standard deviation: few of those with high z are seen."""
    fit = fitted(entrants(600, seed, 0.05, 2.0))
    table = fit.entry_weights()
    for level, row in enumerate(table.itertuples()):
        truth = true_survival(0.05, 2.0, level, fit.begin, row.time)
        assert abs(row.survival_over_entries - truth) < abs(row.survival - truth)
    assert sum("do not trust survival of the pop" in each for each in fit.warnings) == 1


def test_an_entry_that_depends_on_covariates_is_told_too():
    """The two kinds of weights then ask different things of the data, and one of them is wrong."""
    fit = fitted(entrants(2_000, 1, 0.03, 1.0, entry_by_z=1.0))
    assert any("or entry depends on covariates" in each for each in fit.warnings)


def test_weights_over_entries_and_their_distribution_agree_with_each_other():
    """By loops: each patient's weight is 1 / mean survival over entries, each entry's likewise."""
    fit = fitted(entrants(60, 5, 0.03, 1.0))
    people, cutpoints = fit.people, fit.inputs.intervals.cutpoints
    log_hazard, effect = fit.log_hazard_draws.mean(axis=0), fit.effect_draws.mean(axis=0)
    found = weights_over_entries(people, fit.hazards.mean(), cutpoints, fit.begin)
    n = len(people.share)
    alive = np.empty((n, n))
    for i in range(n):
        columns = people.profiles.columns[i]
        for j in range(n):
            spent = [
                max(0.0, min(people.entry[j], high) - max(low, fit.begin))
                for low, high in pairwise(cutpoints)
            ]
            alive[i, j] = np.exp(-np.exp(columns @ effect) * (np.exp(log_hazard) @ spent))
    chance = people.share / (found @ alive)
    again = people.share / (alive @ (chance / chance.sum()))
    np.testing.assert_allclose(found, again / again.sum(), rtol=1e-3)
    # of everyone at the origin, whoever they are, the share that is seen is the same sum
    weight, entries = found[:, None] * chance[None, :] / chance.sum(), alive
    seen = (weight * entries).sum(axis=1)
    np.testing.assert_allclose(seen / seen.sum(), people.share, rtol=1e-3)


def test_curves_of_the_population_before_entry_are_sums_over_patients(tmp_path):
    """Each patient under the own first treatment to entry, then under each level: by loops."""
    fit = fitted(entrants(50, 8, 0.03, 1.0), origin=4.0)
    cutpoints, begin = fit.inputs.intervals.cutpoints, 4.0
    design, entry = fit.inputs.data.design, fit.inputs.cohort.entry
    draws = fit.survival_draws([12.0, 30.0]).values

    def hazard_between(log_hazard, low, high):
        return sum(
            np.exp(value) * max(0.0, min(high, to) - max(low, start))
            for start, to, value in zip(cutpoints[:-1], cutpoints[1:], log_hazard, strict=True)
        )

    for d in (0, 7, 100):
        log_hazard, effect = fit.log_hazard_draws[d], fit.effect_draws[d]
        for level in (0, 1):
            contrast = fit.inputs.design.treatment_contrast(level)
            for t, time in enumerate((12.0, 30.0)):
                total = alive = 0.0
                for i in range(50):
                    before = hazard_between(log_hazard, begin, max(entry[i], begin))
                    weight = np.exp(before * np.exp(design[i] @ effect))
                    switched = np.exp(contrast @ effect[:1] + design[i, 1:] @ effect[1:])
                    after = hazard_between(log_hazard, begin, time)
                    total += weight
                    alive += weight * np.exp(-after * switched)
                assert draws[d, level, t] == pytest.approx(alive / total, rel=1e-9)


def test_without_late_entries_or_of_entrants_there_is_nothing_to_tell():
    table = entrants(100, 2, 0.03, 1.0)
    assert fitted(table.assign(entry=0.0)).entry_weights().empty
    assert fitted(table).estimating().entry_weights().empty


rows = st.fixed_dictionaries(
    {
        "treatment": st.sampled_from([0, 1]),
        "effective_patients": st.floats(1, 500),
        "n_patients": st.just(500),
        "largest_weight": st.floats(0.002, 1),
        "time": st.floats(1, 100),
        "survival": st.floats(0, 1),
        "survival_over_entries": st.floats(0, 1),
        "sd": st.floats(0.001, 0.1),
        "distance": st.floats(-3, 3),
    }
)


@settings(max_examples=200, deadline=None)
@given(st.lists(rows, min_size=1, max_size=3))
def test_the_sentences_on_weights_say_what_their_rows_say(given_rows):
    told = " / ".join(entry_weight_warnings(given_rows, "months"))
    first = given_rows[0]
    is_small = first["effective_patients"] < max(LEAST_SIZE, LEAST_SHARE * 500)
    assert ("effective size of" in told) == is_small
    assert ("one patient has" in told) == (
        not is_small and first["largest_weight"] > LARGEST_WEIGHT
    )
    assert ("average over all entry times" in told) == any(
        abs(row["distance"]) > FARTHEST
        and abs(row["survival"] - row["survival_over_entries"]) > LEAST_APART
        for row in given_rows
    )
