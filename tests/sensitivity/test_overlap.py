"""The propensity score: draws of its posterior, and one set of scores for all that is shown."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.confounding.propensity import (
    log_posterior,
    propensity_draws,
    propensity_model,
    sample_by_nuts,
)
from bayes_crlm.sensitivity.two_arms import two_arms

TERMS = ("x", "carrier", "z")


def arms_of(n=120, seed=4):
    """Treatment is rarer for large x and for carriers, who die sooner."""
    rng = np.random.default_rng(seed)
    x, carrier, z = rng.normal(size=n), rng.binomial(1, 0.3, n), rng.normal(size=n)
    treated = rng.binomial(1, 1 / (1 + np.exp(1.2 * x + 1.5 * carrier)))
    death = rng.exponential(20 * np.exp(-0.5 * x - 0.4 * carrier))
    table = pd.DataFrame(
        {
            "months": np.minimum(death, 40) + 0.01,
            "dead": (death < 40).astype(int),
            "treated": treated,
            "x": x,
            "carrier": carrier,
            "z": z,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x + carrier + z", cutpoints=3)
    return two_arms(model, model.prepare(cohort), 1)


@pytest.mark.parametrize("n", [120, 30])
def test_importance_draws_agree_with_nuts_on_the_model(n):
    """The definition is a PyMC model; what is drawn without it has to follow it."""
    arms = arms_of(n)
    model = propensity_model(arms.design, arms.terms, arms.is_treated)
    nuts = sample_by_nuts(model, seed=3)
    drawn = propensity_draws(arms.design, arms.terms, arms.is_treated, draws=20_000, seed=3)
    assert nuts.is_reliable and drawn.is_reliable
    assert (nuts.engine, drawn.engine) == ("nuts", "laplace")
    expected, spread = nuts.coefficients.mean(axis=0), nuts.coefficients.std(axis=0)
    mean = drawn.weight @ drawn.coefficients
    sd = np.sqrt(drawn.weight @ (drawn.coefficients - mean) ** 2)
    ess = 1 / np.sum(drawn.weight**2)
    # 4,000 draws of NUTS, a half of them effective at least
    error = math.sqrt(1 / 2000 + 1 / ess)
    assert np.max(np.abs(mean - expected) / spread) < 4 * error
    assert sd == pytest.approx(spread, rel=4 * error / math.sqrt(2) + 0.02)
    assert np.all(spread > 0)


def test_scores_drawn_by_nuts_are_judged_by_every_diagnostic(monkeypatch):
    arms = arms_of(40)
    model = propensity_model(arms.design, arms.terms, arms.is_treated)
    monkeypatch.setattr("bayes_crlm.sensitivity.confounding.propensity.NUTS_DRAWS", 60)
    few = sample_by_nuts(model, seed=3)
    assert few.is_reliable is False
    assert any("effective sample size" in each for each in few.failures)


def test_the_density_is_that_of_the_model():
    arms = arms_of(40)
    model = propensity_model(arms.design, arms.terms, arms.is_treated)
    density = model.compile_logp()
    rng = np.random.default_rng(0)
    for _ in range(3):
        point = rng.normal(size=1 + len(TERMS))
        expected = density({"intercept": point[0], "effect": point[1:]})
        found = log_posterior(point, arms.design, arms.is_treated)
        assert float(found) == pytest.approx(float(expected), rel=1e-7)


def test_weights_that_are_shown_are_those_that_are_used(monkeypatch):
    arms, used = arms_of(), []

    def capture(model, arms, cohort, weigh, groups, seed):
        used.append(weigh(np.ones((1, arms.n_patients)))[0])
        return {"failure": None}

    monkeypatch.setattr(overlap, "weighted_row", capture)
    found = overlap.compare_weights(arms, overlap.Settings(groups=50), 1)
    patients = found["patients"]
    np.testing.assert_allclose(used[0], patients["overlap_weights"])
    np.testing.assert_allclose(used[1], patients["stabilised_weights"])
    score = np.array(patients["propensity"])
    np.testing.assert_allclose(used[0], np.where(arms.is_treated, 1 - score, score))
    inside = (score >= patients["propensity_low"]) & (score <= patients["propensity_high"])
    assert inside.all()
    # at the mode overlap weights balance exactly, but for the prior's pull
    balance = found["balance"]
    assert max(abs(row["unweighted"]) for row in balance) > 0.3
    assert max(abs(row["overlap_weights"]) for row in balance) < 0.03
