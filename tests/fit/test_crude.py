"""The crude hazard ratio beside the adjusted one, and what lies between them."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.fit.crude import crude_sentence, movers


@pytest.fixture(scope="module")
def confounded():
    """Treated patients are younger; age carries the confounding, weight and site carry none."""
    rng = np.random.default_rng(8)
    n = 500
    age = rng.normal(60, 10, n)
    arm = (rng.uniform(size=n) < 1 / (1 + np.exp((age - 60) / 6))).astype(int)
    weight, site = rng.normal(80, 12, n), rng.choice(["a", "b", "c"], n)
    hazard = 0.03 * np.exp(0.06 * (age - 60))
    time, end = rng.exponential(1 / hazard), rng.uniform(12, 80, n)
    table = pd.DataFrame(
        {
            "time": np.minimum(time, end),
            "event": (time <= end).astype(int),
            "arm": arm,
            "age": age,
            "weight": weight,
            "site": site,
        }
    )
    return bc.read_cohort(table, time="time", event="event")


def test_crude_numbers_are_those_of_the_fit_without_covariates(confounded):
    fit = bc.PiecewiseExponential("arm", 0, covariates="age + weight + site").fit(
        confounded, seed=2, engine="laplace"
    )
    rows = fit.crude().set_index("analysis")
    alone = bc.PiecewiseExponential("arm", 0).fit(confounded, seed=3, engine="laplace")
    (crude,) = alone.hazard_ratios().to_dict("records")
    assert rows.loc["crude", "cox_hazard_ratio"] == pytest.approx(alone.cox.hazard_ratio[0])
    # 2,000 and 4,000 draws: four Monte Carlo errors of the log hazard ratio's median
    error = 4 * 1.25 * crude["sd_log"] * (1 / 1500 + 1 / 3000) ** 0.5
    assert abs(np.log(rows.loc["crude", "hazard_ratio"] / crude["median"])) < error
    (adjusted,) = fit.hazard_ratios().to_dict("records")
    assert rows.loc["adjusted", "hazard_ratio"] == adjusted["median"]
    assert rows.loc["crude", "hazard_ratio"] < 0.7 < rows.loc["adjusted", "hazard_ratio"]


def test_the_confounder_is_named_first_and_its_products_go_with_it(confounded):
    fit = bc.PiecewiseExponential("arm", 0, covariates="age * weight + site").fit(
        confounded, seed=2, engine="laplace"
    )
    assert movers(fit.inputs, fit.cox)[0] == "age"
    rows = fit.crude().set_index("analysis")
    without = bc.PiecewiseExponential("arm", 0, covariates="weight + site").prepare(confounded)
    from bayes_crlm.frequentist.cox import cox_of

    assert rows.loc["without age", "cox_hazard_ratio"] == pytest.approx(
        cox_of(without).hazard_ratio[0]
    )


def test_the_order_of_movers_is_that_of_fits_without_them(confounded):
    """To first order: what is left out in earnest moves the log hazard ratio alike."""
    from bayes_crlm.fit.crude import with_columns
    from bayes_crlm.frequentist.cox import cox_of

    fit = bc.PiecewiseExponential("arm", 0, covariates="age + weight + site").fit(
        confounded, seed=2, engine="laplace"
    )
    moves = {}
    for name in ("age", "weight", "site"):
        variables = fit.inputs.design.variables
        kept = [k for k in range(len(variables)) if name not in variables[k]]
        left = cox_of(with_columns(fit.inputs, kept)).coef[0]
        moves[name] = abs(fit.cox.coef[0] - left)
    named = movers(fit.inputs, fit.cox)
    assert named[0] == max(moves, key=moves.get) == "age"
    assert all(moves[name] > 0.005 for name in named)


def test_the_sentence_has_the_rows_numbers(confounded):
    fit = bc.PiecewiseExponential("arm", 0, covariates="age + weight").fit(
        confounded, seed=2, engine="laplace"
    )
    rows = fit.crude().to_dict("records")
    text = crude_sentence(rows, 1)
    crude = next(row for row in rows if row["analysis"] == "crude")
    assert f"hazard ratio {crude['hazard_ratio']:.2f}" in text
    assert f"Cox {crude['cox_hazard_ratio']:.2f}" in text
    assert text.count("without ") == sum(row["analysis"].startswith("without") for row in rows)
    assert crude_sentence([], 1) is None
