"""Draws for a seed, starts, and what is kept of the sampler's statistics."""

import numpy as np
import pytest

from bayes_crlm.model import PiecewiseExponential
from bayes_crlm.nuts import (
    TARGET_ACCEPT,
    TARGET_ACCEPT_HORSESHOE,
    TARGET_ACCEPT_RANDOM_WALK,
    compile_density,
    default_target_accept,
    prior_centre,
    sample_nuts,
)
from bayes_crlm.parameters import constrain, effects, log_hazards, sampled_parameters
from bayes_crlm.priors import GammaProcess

INTEGRATED = GammaProcess(1.0, is_integrated=True)


def prepared(cohort, baseline, **settings):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4, baseline=baseline, **settings)
    return model.prepare(cohort)


@pytest.mark.parametrize("baseline", ["independent", INTEGRATED], ids=["independent", "integrated"])
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[3], baseline)
    first, again, other = (
        sample_nuts(inputs, draws=40, tune=60, chains=2, seed=seed) for seed in (9, 9, 10)
    )
    assert first.vectors.shape[:2] == (2, 40)
    np.testing.assert_array_equal(first.vectors, again.vectors)
    assert not np.any(first.vectors == other.vectors)
    # chains differ from each other
    assert not np.any(first.vectors[0] == first.vectors[1])
    for name in ("energy", "tree_depth", "diverging", "acceptance_rate"):
        np.testing.assert_array_equal(first.sample_stats[name], again.sample_stats[name])


def test_statistics_have_the_names_of_arviz(simulated_cohorts):
    inputs = prepared(simulated_cohorts[3], "independent")
    drawn = sample_nuts(inputs, draws=40, tune=60, chains=2, seed=9)
    names = {"diverging", "energy", "tree_depth", "reached_max_treedepth", "step_size", "lp"}
    assert names <= set(drawn.sample_stats.data_vars)
    assert drawn.sample_stats["diverging"].dtype == bool
    density = compile_density(inputs)
    arguments = density.arguments(inputs)
    for chain, draw in ((0, 0), (1, 39)):
        value, _ = density.function(drawn.vectors[chain, draw], *arguments)
        stored = drawn.sample_stats["lp"].values[chain, draw]
        assert stored == pytest.approx(float(value), rel=1e-10)


@pytest.mark.parametrize("baseline", ["independent", "random_walk", "gamma", INTEGRATED])
def test_chains_start_around_no_effects_and_the_overall_rate(simulated_cohorts, baseline):
    inputs = prepared(simulated_cohorts[1], baseline)
    centre = prior_centre(inputs)
    values = constrain(centre, sampled_parameters(inputs))
    assert np.all(effects(values, inputs) == 0)
    if not inputs.is_baseline_integrated:
        np.testing.assert_allclose(log_hazards(values, inputs), inputs.log_rate)
    value, gradient = compile_density(inputs).function(
        centre, *compile_density(inputs).arguments(inputs)
    )
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


def test_scales_that_are_sampled_ask_for_smaller_steps(simulated_cohorts):
    cohort = simulated_cohorts[1]
    assert default_target_accept(prepared(cohort, "independent")) == TARGET_ACCEPT
    assert default_target_accept(prepared(cohort, "random_walk")) == TARGET_ACCEPT_RANDOM_WALK
    shrunken = prepared(cohort, "independent", covariate_prior="horseshoe(1)")
    assert default_target_accept(shrunken) == TARGET_ACCEPT_HORSESHOE
    assert TARGET_ACCEPT < TARGET_ACCEPT_RANDOM_WALK < TARGET_ACCEPT_HORSESHOE
