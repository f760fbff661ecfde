"""Covariates that follow from the treatment are named; those that do not are left alone."""

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort


def told(covariates, seed=2, n=160, levels=2, **columns):
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % levels
    table = pd.DataFrame(
        {
            "months": rng.exponential(20, n) + 0.01,
            "dead": 1,
            "arm": arm,
            "x": rng.normal(60, 9, n),
            "z": rng.normal(size=n),
            "rare": (rng.random(n) < 0.03).astype(int),
        }
    )
    table.loc[[0, 1], "rare"] = 1
    for name, make in columns.items():
        table[name] = make(table, rng)
    cohort = read_cohort(table, time="months", event="dead")
    cautions = PiecewiseExponential("arm", 0, covariates, cutpoints=3).prepare(cohort).cautions
    return [each for each in cautions if "when the treatment is switched" in each]


MADE = {
    "dose": lambda table, rng: table["arm"] * rng.uniform(20, 60, len(table)),
    "x_treated": lambda table, rng: table["arm"] * table["x"],
    "x_centred": lambda table, rng: (table["arm"] - 0.5) * (table["x"] - 60),
    "cycles": lambda table, rng: np.where(table["arm"] > 0, rng.integers(1, 7, len(table)), 0),
}


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("levels", [2, 3])
def test_a_function_of_the_treatment_is_named(name, levels):
    said = told(f"x + z + {name}", levels=levels, **{name: MADE[name]})
    assert said and any(name in each for each in said)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("covariates", ["x + z + rare", "x*z", "bs(x, df=4) + z", "poly(x, 3)"])
def test_covariates_of_their_own_are_not(seed, covariates):
    assert told(covariates, seed=seed) == []
    assert told(covariates, seed=seed, n=40) == []
