"""What becomes of a first proposal whose draws are poor: it is made again, by its own weights."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference import importance
from bayes_crlm.inference.draws import LEAST_ESS, SURE_ESS, BatchDraws
from bayes_crlm.inference.importance import sample_model, weighted_draws
from bayes_crlm.inference.weighted import tail_effective_sizes

DRAWS = 2000


def small_cohort(seed, n=20, effects=9):
    """As many patients as a pilot study has, and more effects than their events can tell of."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, effects))
    x[:, 0] = np.arange(n) % 2
    time = rng.exponential(20 * np.exp(0.5 * x[:, 0] - 0.3 * x[:, 1]))
    stop = rng.uniform(10, 60, n)
    columns = [f"x{k}" for k in range(1, effects)]
    table = pd.DataFrame(x, columns=["arm", *columns])
    return table.assign(t=np.minimum(time, stop), d=(time <= stop).astype(int)), columns


def prepared(seed, prior="normal(0, 10)", n=20, effects=9):
    table, columns = small_cohort(seed, n, effects)
    model = PiecewiseExponential(
        "arm", 0, " + ".join(columns), treatment_prior=prior, covariate_prior=prior
    )
    return model.prepare(read_cohort(table, time="t", event="d"))


def of_weights(weight, effect):
    one = BatchDraws.none(1, len(weight), effect.shape[1], None, False)
    size = np.array([1 / (weight**2).sum()])
    good, k = np.ones(1, dtype=bool), np.array([0.2])
    return replace(
        one, effect=effect[None], weight=weight[None], ess=size, pareto_k=k, converged=good
    )


def test_most_small_cohorts_with_vague_priors_have_draws_that_may_be_used():
    # 51 of 60; 40 without more Newton steps for walks, and where limits are not looked at
    found = [weighted_draws(prepared(k), DRAWS, np.random.default_rng(k)) for k in range(60)]
    assert sum(each is not None and each.problem is None for each in found) >= 46


def test_good_first_draws_are_kept_as_they_are(monkeypatch):
    inputs = prepared(1, "normal(0, 1)", n=135, effects=4)
    drawn = weighted_draws(inputs, DRAWS, np.random.default_rng(1))
    monkeypatch.setattr(importance, "MOVED_DEGREES_OF_FREEDOM", ())
    alone = weighted_draws(inputs, DRAWS, np.random.default_rng(1))
    np.testing.assert_array_equal(drawn.vectors, alone.vectors)


def test_limits_that_a_few_draws_decide_over_make_draws_poor():
    rng = np.random.default_rng(2)
    effect = rng.normal(size=(DRAWS, 2))
    even = np.full(DRAWS, 1 / DRAWS)
    # four draws hold the lower tail of the second effect
    lean = np.where(effect[:, 1] < -1.5, 1e-6, 1.0)
    lean[np.argsort(effect[:, 1])[:4]] = 20.0
    lean /= lean.sum()
    sizes = tail_effective_sizes(effect, lean)
    assert sizes[1] < LEAST_ESS * DRAWS < sizes[0]
    good, poor = of_weights(even, effect), of_weights(lean, effect)
    assert LEAST_ESS < poor.ess[0] / DRAWS < SURE_ESS < good.ess[0] / DRAWS
    assert good.is_good(0.5, 0.5)[0]
    assert not poor.is_good(0.5, 0.3)[0]
    # what may be used is better than what may not, whatever its size
    smaller = replace(good, ess=poor.ess / 2)
    assert smaller.is_better(poor)[0] and not poor.is_better(smaller)[0]


@pytest.mark.parametrize("seed", [0, 1])
def test_a_second_attempt_is_the_cohort_s_own(seed):
    """Whatever other cohorts are drawn from in the same batch."""
    inputs = prepared(seed)
    first, again = (weighted_draws(inputs, DRAWS, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(first.vectors, again.vectors)
    np.testing.assert_array_equal(first.weight, again.weight)


def test_cells_of_a_grid_are_moved_alike_where_draws_are_poor(built_terms):
    # 40 patients, five baselines and six subgroups
    trusted = 0
    for k in range(15):
        model = built_terms.subgroups(np.random.default_rng([k, 77]), 40, 6, 5)
        drawn = sample_model(model, DRAWS, np.random.default_rng(k))
        trusted += drawn is not None and drawn.problem is None
    assert trusted == 15
