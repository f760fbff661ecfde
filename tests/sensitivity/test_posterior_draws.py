"""Refits that are drawn from together."""

import dataclasses

import numpy as np
import pandas as pd

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.sensitivity.posterior_draws import sample_posterior, sample_posteriors


def prepared(n=90):
    rng = np.random.default_rng(8)
    x, treated = rng.normal(size=n), rng.integers(0, 2, n)
    death = rng.exponential(15 * np.exp(0.4 * treated - 0.3 * x))
    table = pd.DataFrame({
        "months": np.minimum(death, 30) + 0.01, "dead": (death < 30).astype(int),
        "treated": treated, "x": x,
    })  # fmt: skip
    model = PiecewiseExponential("treated", 0, "x", cutpoints=5)
    return model, model.prepare(read_cohort(table, time="months", event="dead"))


def test_cohorts_drawn_from_together_have_the_draws_that_each_has_alone():
    model, inputs = prepared()
    weights = np.random.default_rng(3).uniform(0.5, 1.5, (3, 90))
    cohorts = [dataclasses.replace(inputs, data=inputs.data.weighted(each)) for each in weights]
    together = sample_posteriors(model, [*cohorts, inputs], [4, 5, 6, 4])
    for found, each, seed in zip(together, [*cohorts, inputs], (4, 5, 6, 4), strict=True):
        alone = sample_posterior(model, each, seed)
        np.testing.assert_allclose(found.effect, alone.effect, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.weight, alone.weight, rtol=1e-9, atol=1e-15)
        assert found.engine == "laplace" and found.is_reliable
