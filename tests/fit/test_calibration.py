"""Simulation-based calibration: ranks of the truth among draws are uniform, whatever draws them.

Parameters come from the prior, a cohort from the parameters, draws from the cohort's posterior.
Everything from the table on is the package's: intervals, design, likelihood, priors, sampler.

References
----------
Talts, Betancourt, Simpson, Vehtari & Gelman (2018), arXiv:1804.06788.
"""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, norm

from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.estimands.survival import time_of_cumulative_hazard
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference.importance import sample_importance
from bayes_crlm.inference.nuts import sample_nuts
from bayes_crlm.model.baseline_priors import GammaProcess, Independent, RandomWalk
from bayes_crlm.model.density import hazards_of_vectors, log_hazards_of, sample_prior

N_PATIENTS, CUTPOINTS, LOG_RATE = 30, [4.0, 9.0, 15.0], math.log(0.06)
N_BINS, N_RANKED = 10, 99
# a right program fails once in some ten thousand seeds; five quantities are looked at
TAIL = 1e-4
BASELINES = {
    "independent": Independent(0.5),
    "random_walk": RandomWalk(0.5, 0.3),
    "gamma": GammaProcess(100.0),
}


def simulated_inputs(model, truth, covariates, rng):
    """A cohort whose hazards are known, its follow-up ended at the last cutpoint."""
    log_hazard, effect, design = truth
    target = rng.standard_exponential((1, N_PATIENTS)) / np.exp(effect @ design.T)[None]
    edges = np.array([0.0, *CUTPOINTS])
    event_time = time_of_cumulative_hazard(log_hazard[None], edges, target)[0]
    table = covariates.assign(
        time=np.minimum(event_time, CUTPOINTS[-1]), event=(event_time < CUTPOINTS[-1]).astype(int)
    )
    # the model's own centre of the baseline's prior is the cohort's rate: here it must be fixed
    return replace(model.prepare(read_cohort(table, time="time", event="event")), log_rate=LOG_RATE)


def draws_of(engine, inputs, seed):
    """Unconstrained draws that are nearly independent."""
    if engine == "laplace":
        drawn = sample_importance(inputs, 400, seed)
        assert drawn.converged
        return drawn.vectors
    vectors = sample_nuts(inputs, draws=500, tune=300, chains=1, seed=seed).vectors[0]
    return vectors[:: len(vectors) // N_RANKED][:N_RANKED]


@pytest.mark.parametrize("baseline", BASELINES)
@pytest.mark.parametrize(("engine", "cohorts"), [("nuts", 250), ("laplace", 500)])
def test_ranks_of_the_truth_are_uniform(engine, cohorts, baseline):
    rng = np.random.default_rng(11)
    covariates = pd.DataFrame({"arm": np.arange(N_PATIENTS) % 2, "x": rng.normal(size=N_PATIENTS)})
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=CUTPOINTS[:-1], baseline=BASELINES[baseline],
        treatment_prior="normal(0.2, 0.8)", covariate_prior="student_t(4, 0, 0.5)",
    )  # fmt: skip
    flat = (np.full(3, LOG_RATE), np.zeros(2), np.zeros((N_PATIENTS, 2)))
    template = simulated_inputs(model, flat, covariates, rng)
    ranks = []
    for seed in range(cohorts):
        prior = sample_prior(template.block_model, rng, 1)
        # the walk's level is centred by events, which are not there before the hazards are
        if baseline == "random_walk":
            steps = prior["step_scale"] * prior["unit_step"]
            start = rng.normal(LOG_RATE, BASELINES[baseline].level_sd, (1, 1))
            log_hazard = start + np.concatenate(
                [np.zeros((1, 1)), np.cumsum(steps, axis=1)], axis=1
            )
        else:
            log_hazard = log_hazards_of(prior, template.block_model).log_hazard
        effect = log_hazards_of(prior, template.block_model).effect
        truth = (log_hazard[0], effect[0], template.design.scaled)
        inputs = simulated_inputs(model, truth, covariates, rng)
        if inputs.intervals.n_intervals < len(CUTPOINTS):
            # follow-up ended before the last cutpoint: rare, and another model
            continue
        vectors = draws_of(engine, inputs, seed)
        at = hazards_of_vectors(vectors, inputs.block_model)
        found = np.concatenate([at.effect, at.log_hazard], axis=1)
        share = (found < np.concatenate([effect, log_hazard], axis=1)).mean(axis=0)
        ranks.append(share)
    assert len(ranks) > 0.9 * cohorts
    ranks = np.array(ranks)
    places = np.minimum((ranks * N_BINS).astype(int), N_BINS - 1)
    expected = len(ranks) / N_BINS
    for quantity in range(places.shape[1]):
        counts = np.bincount(places[:, quantity], minlength=N_BINS)
        statistic = np.sum((counts - expected) ** 2 / expected)
        assert statistic < chi2.ppf(1 - TAIL, N_BINS - 1), (quantity, counts)
    # a shift or a wrong width shows in the first two moments before it does in the bins:
    # a uniform variable has mean 1/2, variance 1/12 and fourth central moment 1/80
    most = norm.ppf(1 - TAIL / 2)
    error = np.sqrt(1 / 12 / len(ranks))
    assert np.all(np.abs(ranks.mean(axis=0) - 1 / 2) < most * error)
    error = np.sqrt((1 / 80 - 1 / 144) / len(ranks))
    assert np.all(np.abs(((ranks - 0.5) ** 2).mean(axis=0) - 1 / 12) < most * error + 1e-3)
