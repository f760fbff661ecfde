"""R's `gbsg` with entries drawn between 3 and 24 months: all patients tell the survival."""

import numpy as np
import pandas as pd
import pytest
from survival import datasets

import bayes_crlm as bc
from bayes_crlm.estimands.survival import cumulative_hazard_at
from bayes_crlm.likelihood.kaplan_meier import kaplan_meier

# months; the hazard rises steeply in the first year
CUTPOINTS = [6, 9, 12, 18, 24, 36, 48]
TIMES = np.array([12.0, 24.0])


def full_cohort():
    table = pd.DataFrame(datasets.load_gbsg())
    return pd.DataFrame(
        {
            "time": table["rfstime"] * 12 / 365.25,
            "event": table["status"].astype(int),
            "hormon": table["hormon"].astype(int),
        }
    )


def late_entrants(seed):
    """Those who live to an entry that is drawn by lot."""
    table = full_cohort()
    entry = np.random.default_rng(seed).uniform(3, 24, len(table))
    late = table.assign(entry=entry)[table["time"] > entry]
    return bc.read_cohort(late, time="time", event="event", entry="entry", unit="months")


def survival_of_all(origin, rows):
    table = full_cohort()[rows]
    curve = kaplan_meier(np.zeros(len(table)), table["time"].to_numpy(), table["event"].to_numpy())
    return curve.at(TIMES) / curve.at([origin])


@pytest.mark.parametrize("seed", range(4))
def test_survival_of_late_entrants_is_that_of_all_given_survival_to_the_origin(seed):
    model = bc.PiecewiseExponential("hormon", 0, cutpoints=CUTPOINTS, baseline="independent")
    fit = model.fit(late_entrants(seed), engine="laplace", seed=seed)
    assert 3 < fit.begin < 5
    draws, arm = fit.survival_draws(TIMES).values, full_cohort()["hormon"]
    for level in (0, 1):
        truth = survival_of_all(fit.begin, arm == level)
        assert np.all(
            np.abs(draws[:, level].mean(axis=0) - truth) < 3 * draws[:, level].std(axis=0)
        )


@pytest.mark.parametrize("seed", range(4))
def test_a_curve_from_the_origin_is_nearer_to_the_truth_than_one_from_0(seed):
    cohort = late_entrants(seed)
    fit = bc.PiecewiseExponential("hormon", 0).fit(cohort, engine="laplace", seed=seed)
    table = full_cohort()
    share = np.array([1 - table["hormon"].mean(), table["hormon"].mean()])
    from_origin = float(fit.survival_draws(TIMES).values.mean(axis=0)[:, 0] @ share)
    relative = np.exp([fit.effect_draws @ fit.inputs.design.treatment_contrast(k) for k in (0, 1)])
    cutpoints = fit.inputs.intervals.cutpoints
    since_0 = cumulative_hazard_at(fit.log_hazard_draws, cutpoints, TIMES[:1])[:, 0]
    from_0 = float(np.exp(-since_0 * relative).mean(axis=1) @ share)
    everybody = np.ones(len(table), dtype=bool)
    given, whole = survival_of_all(fit.begin, everybody)[0], survival_of_all(0.0, everybody)[0]
    assert abs(from_origin - given) < abs(from_0 - whole)
