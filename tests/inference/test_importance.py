"""Importance draws: against quadrature, against Stan, and never a number that is not one."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_mode import posterior_mode
from scipy import stats
from scipy.integrate import trapezoid
from scipy.special import gammaln

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.cohort.reading import read_cohort
from bayes_crlm.fit.piecewise_exponential import PiecewiseExponential
from bayes_crlm.inference import effect_proposals, importance
from bayes_crlm.inference.hazards_given_effects import (
    SEARCH_STEPS,
    ScaleDraws,
    hazard_draws,
    log_ratios,
)
from bayes_crlm.inference.importance import sample_importance, weighted_draws
from bayes_crlm.inference.mode import find_modes
from bayes_crlm.inference.proposal import proposal_around
from bayes_crlm.inference.proposal_draws import reaches_tails
from bayes_crlm.inference.several_modes import first_step_scales
from bayes_crlm.inference.targets import Targets
from bayes_crlm.likelihood.follow_up import row_cumulative_hazard
from bayes_crlm.likelihood.risk_sums import RiskSums, row_exposures
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.density import hazards_of_vectors, log_density
from bayes_crlm.model.priors import StudentT, simple_prior

BASELINES = ["independent", "gamma", "random_walk", "log_time_walk"]


def treated(n=40, seed=3):
    """A cohort of one treatment with two arms."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    time = rng.exponential(np.where(arm == 1, 25, 12))
    end = rng.uniform(5, 40, n)
    return pd.DataFrame({"t": np.minimum(time, end), "d": (time <= end).astype(int), "arm": arm})


def quadrature(inputs, effect):
    """Log of the posterior density of one effect, with hazards summed out on grids."""
    sums = RiskSums.of(inputs.data)
    events = sums.events[0]
    total = np.empty(len(effect))
    offset = np.linspace(-7, 7, 281 if inputs.baseline.name == "independent" else 141)
    for i, value in enumerate(effect):
        weighted = sums.weighted_exposure(np.array([[value]]))[0]
        total[i] = value * sums.event_design[0, 0]
        total[i] += simple_prior(inputs.treatment_prior).log_density(np.array([value]))[0]
        grid = np.log(events / weighted)[:, None] + offset
        likelihood = events[:, None] * grid - weighted[:, None] * np.exp(grid)
        prior = inputs.baseline
        if inputs.baseline.name == "gamma":
            rate = prior.weight * inputs.intervals.width
            shape = rate * math.exp(inputs.log_rate)
            total[i] += (
                shape * np.log(rate) - gammaln(shape) + gammaln(shape + events)
                - (shape + events) * np.log(rate + weighted)
            ).sum()  # fmt: skip
            continue
        level_sd = prior.sd if prior.name == "independent" else prior.level_sd
        start = -0.5 * ((grid - inputs.log_rate) / level_sd) ** 2
        start -= math.log(level_sd * math.sqrt(2 * math.pi))
        if inputs.baseline.name == "independent":
            total[i] += np.log(trapezoid(np.exp(likelihood + start), grid, axis=1)).sum()
            continue
        # two intervals: sum over the step scale, then over both log-hazards
        sd = prior.step_scale_sd
        log_scale = np.linspace(math.log(1e-3), math.log(5 * sd), 120)
        scale = np.exp(log_scale)
        steps = grid[1][None, :] - grid[0][:, None]
        density = np.exp(-0.5 * (steps[..., None] / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
        half_normal = math.sqrt(2 / math.pi) / sd * np.exp(-0.5 * (scale / sd) ** 2) * scale
        walk = trapezoid(density * half_normal, log_scale, axis=-1)
        joint = np.exp(likelihood[0] + start[0])[:, None] * np.exp(likelihood[1]) * walk
        total[i] += np.log(trapezoid(trapezoid(joint, grid[1], axis=1), grid[0]))
    return total


@pytest.mark.parametrize(
    ("baseline", "prior"),
    [
        *((baseline, "normal(0, 1)") for baseline in BASELINES),
        ("gamma", "laplace(0, 0.05)"),
        ("independent", "laplace(0, 0.3)"),
        ("gamma", "student_t(2, 0, 0.1)"),
    ],
)
def test_evidence_and_moments_are_those_of_quadrature(baseline, prior):
    cohort = read_cohort(treated(), time="t", event="d")
    model = PiecewiseExponential("arm", 0, cutpoints=2, baseline=baseline, treatment_prior=prior)
    inputs = model.prepare(cohort)
    grid = np.linspace(-4, 3, 57 if baseline.endswith("walk") else 4001)
    log_density = quadrature(inputs, grid)
    evidence = np.log(trapezoid(np.exp(log_density - log_density.max()), grid))
    density = np.exp(log_density - log_density.max() - evidence)
    mean = trapezoid(density * grid, grid)
    sd = math.sqrt(trapezoid(density * (grid - mean) ** 2, grid))
    drawn = weighted_draws(inputs, 40_000, np.random.default_rng(1))
    effect = drawn.effect[:, 0]
    found = drawn.weight @ effect
    error = 1 / math.sqrt(drawn.ess)
    assert drawn.pareto_k < 0.5
    assert found == pytest.approx(mean, abs=4 * sd * error)
    assert math.sqrt(drawn.weight @ (effect - found) ** 2) == pytest.approx(sd, rel=4 * error)
    ratio = np.exp(drawn.log_ratio - drawn.log_ratio.max())
    # mirrored draws are not independent of each other: their means are
    pairs = ratio.reshape(2, -1).mean(axis=0)
    spread = pairs.std() / pairs.mean() / math.sqrt(len(pairs))
    # step scales below the grid's and the proposal's smallest have a probability of 0.1%
    slack = 0.004 if baseline.endswith("walk") else 1e-4
    assert math.log(ratio.mean()) + drawn.log_ratio.max() == pytest.approx(
        evidence + log_density.max(), abs=4 * spread + slack
    )


@pytest.mark.parametrize("baseline", BASELINES)
def test_ratios_change_with_the_target_and_not_with_the_proposal(
    simulated_cohorts, baseline, monkeypatch
):
    model = PiecewiseExponential("arm", 0, "x + group", cutpoints=4, baseline=baseline)
    inputs = model.prepare(simulated_cohorts[3])
    evidence, spread = [], []
    for degrees_of_freedom in (50.0, 4.0):
        monkeypatch.setattr(effect_proposals, "DEGREES_OF_FREEDOM", degrees_of_freedom)
        drawn = weighted_draws(inputs, 20_000, np.random.default_rng(2))
        ratio = np.exp(drawn.log_ratio - drawn.log_ratio.max())
        evidence.append(math.log(ratio.mean()) + drawn.log_ratio.max())
        # mirrored draws are not independent of each other: their means are
        pairs = ratio.reshape(2, -1).mean(axis=0)
        spread.append(pairs.std() / pairs.mean() / math.sqrt(len(pairs)))
    assert evidence[0] == pytest.approx(evidence[1], abs=4 * math.hypot(*spread))


@pytest.mark.parametrize("baseline", BASELINES)
def test_the_evidence_is_that_of_the_density_that_is_held_against_the_model(
    simulated_cohorts, baseline
):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline=baseline)
    inputs = model.prepare(simulated_cohorts[3])
    drawn = weighted_draws(inputs, 20_000, np.random.default_rng(2))
    # another way to the same number: a normal around the draws as proposal for `log_density`
    vectors = drawn.vectors
    centre = drawn.weight @ vectors
    deviation = vectors - centre
    covariance = (deviation * drawn.weight[:, None]).T @ deviation
    other = stats.multivariate_t(centre, covariance, df=8, seed=3)
    points = other.rvs(20_000)
    with np.errstate(over="ignore", invalid="ignore"):
        target = np.nan_to_num(log_density(points, inputs.block_model), nan=-np.inf)
    evidence, spread = [], []
    for log_ratio in (drawn.log_ratio, target - other.logpdf(points)):
        ratio = np.exp(log_ratio - log_ratio.max())
        evidence.append(math.log(ratio.mean()) + log_ratio.max())
        spread.append(ratio.std() / ratio.mean() / math.sqrt(len(ratio) / 2))
    assert evidence[0] == pytest.approx(evidence[1], abs=4 * math.hypot(*spread))


def test_exposures_of_rows_add_up_to_their_cumulative_hazard(simulated_cohorts):
    inputs = PiecewiseExponential("arm", 0, cutpoints=4).prepare(simulated_cohorts[3])
    log_hazard = np.random.default_rng(1).normal(-2, 0.5, inputs.intervals.n_intervals)
    for data in (inputs.data, inputs.data.pooled()):
        exposure = row_exposures(data.follow_up, slice(None))
        np.testing.assert_allclose(
            exposure @ np.exp(log_hazard),
            row_cumulative_hazard(log_hazard[None], data.follow_up),
            rtol=1e-10,
        )


def test_pooled_rows_give_the_same_draws():
    table = pd.concat([treated()] * 6)
    cohort = read_cohort(table, time="t", event="d")
    inputs = PiecewiseExponential("arm", 0, cutpoints=4).prepare(cohort)
    assert inputs.density_data.follow_up.n_rows < inputs.data.follow_up.n_rows
    apart = replace(inputs)
    apart.__dict__["density_data"] = inputs.data
    pooled, rows = (sample_importance(each, 1000, seed=1) for each in (inputs, apart))
    np.testing.assert_allclose(pooled.vectors, rows.vectors, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("delayed", [False, True])
@pytest.mark.parametrize("baseline", ["gamma", "random_walk", "log_time_walk"])
def test_hazards_too_large_for_a_number_are_impossible(baseline, delayed):
    table = treated().assign(start=0.0)
    table["start"] = table["t"] / 2 if delayed else 0.0
    cohort = read_cohort(table, time="t", event="d", entry="start")
    model = PiecewiseExponential("arm", 0, cutpoints=3, baseline=baseline)
    targets = Targets.of_cohort(model.prepare(cohort))
    effect = np.array([0.0, 2000.0, -2000.0]).reshape(1, 1, 3, 1)
    found = hazard_draws(targets, effect, ScaleDraws(np.zeros((1, 3))))
    found.fill(n_steps=SEARCH_STEPS)
    log_ratio = log_ratios(found, (1, 1, 3), None).ravel()
    assert np.isfinite(log_ratio[0])
    # exposures before entry are differences, of two infinite numbers here
    assert not np.any(log_ratio[1:] > log_ratio[0] - 1000)


@pytest.mark.parametrize("baseline", ["random_walk", "log_time_walk"])
def test_a_walk_may_have_steps_of_any_size(baseline):
    """Half of the patients die within a few days, others live for thousands of years."""
    rng = np.random.default_rng(4)
    table = pd.DataFrame({"arm": np.arange(100) % 2, "d": 1})
    short, long = rng.exponential(1.0, 100), 10 ** rng.uniform(0, 5.95, 100)
    table["t"] = np.where(np.arange(100) <= 50, short, long) + 1e-3
    model = PiecewiseExponential("arm", 0, cutpoints=5, baseline=baseline)
    drawn = weighted_draws(
        model.prepare(read_cohort(table, time="t", event="d")), 2000, np.random.default_rng(1)
    )
    assert drawn is not None
    assert drawn.pareto_k < 0.5
    assert drawn.ess > 500


@st.composite
def small_cohorts(draw):
    """Ties, few events, several rows a patient, delayed entry, huge and tiny times, separation."""
    n = draw(st.integers(6, 30))
    unit = 10.0 ** draw(st.integers(-8, 8))
    ties = draw(st.booleans())
    seed = draw(st.integers(0, 2**31))
    one_event = draw(st.booleans())
    separated = draw(st.booleans())
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 2
    length = rng.integers(1, 5, n).astype(float) if ties else rng.exponential(1, n) + 1e-6
    event = (rng.random(n) < 0.6).astype(int)
    if separated:
        event[arm == 1] = 0
    if one_event or not event.any():
        event[:] = 0
        event[0] = 1
    entry = np.where(rng.random(n) < 0.3, rng.random(n), 0.0) if draw(st.booleans()) else 0.0
    table = pd.DataFrame({"patient": np.arange(n), "arm": arm, "x": rng.normal(size=n)})
    table["start"], table["d"] = entry * unit, event
    table["t"] = table["start"] + length * unit
    if draw(st.booleans()):
        # half of the patients in two rows, the covariate changing between them
        again = table[table["patient"] % 2 == 0].copy()
        middle = (again["start"] + again["t"]) / 2
        table.loc[again.index, "t"] = middle
        table.loc[again.index, "d"] = 0
        again["start"], again["x"] = middle, again["x"] + 0.5
        table = pd.concat([table, again], ignore_index=True)
    return table


@given(
    table=small_cohorts(),
    baseline=st.sampled_from(BASELINES),
    prior=st.sampled_from(
        ["normal(0, 1)", "normal(0, 100)", "laplace(0, 0.1)", "laplace(0, 10)",
         "student_t(1, 0, 2.5)", "student_t(3, 2, 0.05)"]
    ),
    cutpoints=st.sampled_from(["auto", 1, 2]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_draws_are_finite_or_it_is_said_that_there_are_none(table, baseline, prior, cutpoints):
    if cutpoints == 2 and table["d"].sum() < 2:
        cutpoints = 1
    cohort = read_cohort(table, time="t", event="d", entry="start", id="patient")
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=cutpoints, baseline=baseline,
        treatment_prior=prior, covariate_prior=prior,
    )  # fmt: skip
    inputs = model.prepare(cohort)
    drawn = sample_importance(inputs, 400, seed=1)
    if not drawn.converged:
        assert drawn.pareto_k == math.inf
        assert len(drawn.vectors) == 0
        return
    assert drawn.vectors.shape == (400, sum(each.size for each in inputs.block_model.parameters))
    assert np.all(np.isfinite(drawn.vectors))
    assert math.isfinite(drawn.pareto_k) or math.isnan(drawn.pareto_k)
    assert 0 < drawn.ess <= 400
    assert drawn.weighted.weight.sum() == pytest.approx(1)


def test_a_kink_at_the_mode_costs_no_more_steps_than_other_priors(simulated_cohorts):
    model = PiecewiseExponential(
        "arm", 0, "x + group", cutpoints=4, baseline="independent",
        treatment_prior="laplace(0, 0.02)", covariate_prior="laplace(0, 0.02)",
    )  # fmt: skip
    inputs = model.prepare(simulated_cohorts[3])
    mode = posterior_mode(inputs)
    assert mode.converged
    assert np.all(np.linalg.eigvalsh(mode.information) > 0)
    # the prior outweighs the data: the posterior is nearly the prior, sd sqrt(2) x 0.02
    drawn = weighted_draws(inputs, 20_000, np.random.default_rng(1))
    sd = np.sqrt(drawn.weight @ (drawn.effect - drawn.weight @ drawn.effect) ** 2)
    assert np.all((sd > 0.015) & (sd < 0.04))


def test_a_proposal_that_is_too_narrow_for_a_tail_is_noticed(simulated_cohorts):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=4)
    inputs = model.prepare(simulated_cohorts[1])
    targets = Targets.of_cohort(inputs)
    around = proposal_around(targets, find_modes(targets, first_step_scales(targets)), 500)
    assert reaches_tails(around).all()
    assert around.pairs.shape[1] == 2
    for part in range(2):
        factor = around.effects.factor.copy()
        factor[:, part] *= 0.3
        narrow = replace(around, effects=replace(around.effects, factor=factor))
        assert not reaches_tails(narrow).any()


@pytest.mark.parametrize("prior", ["normal(0, 10)", "student_t(3, 0, 1)", "student_t(1, 0, 1)"])
def test_without_events_on_one_arm_the_prior_decides(prior):
    """Where the likelihood hardly falls, the posterior's tail is the prior's."""
    table = treated()
    table.loc[table["arm"] == 1, "d"] = 0
    model = PiecewiseExponential(
        "arm", 0, cutpoints=2, baseline=Independent(1000.0), treatment_prior=prior
    )
    inputs = model.prepare(read_cohort(table, time="t", event="d"))
    sums = RiskSums.of(inputs.density_data)
    half = np.geomspace(1e-4, 600.0, 8001)
    grid = np.concatenate([-half[::-1], half[half < 50]])
    # hazards under so vague a prior integrate to the power of events
    exposure = np.array([sums.weighted_exposure(np.array([[each]]))[0] for each in grid])
    log_density = simple_prior(inputs.treatment_prior).log_density(grid)
    log_density += grid * sums.event_design[0, 0] - np.log(exposure) @ sums.events[0]
    density = np.exp(log_density - log_density.max())
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    for seed in range(3):
        drawn = weighted_draws(inputs, 20_000, np.random.default_rng(seed))
        for probability in (0.05, 0.25, 0.5, 0.75, 0.95):
            below = drawn.effect[:, 0] < np.interp(probability, mass / mass[-1], grid)
            error = math.sqrt(np.sum((drawn.weight * (below - probability)) ** 2))
            # what lies beyond the grid: 0.1% of a Cauchy tail
            assert drawn.weight @ below == pytest.approx(probability, abs=4 * error + 0.001)


def test_few_draws_come_from_enough_proposals():
    inputs = PiecewiseExponential("arm", 0, cutpoints=2).prepare(
        read_cohort(treated(), time="t", event="d")
    )
    drawn = sample_importance(inputs, 3, seed=1)
    assert drawn.vectors.shape[0] == 3
    assert drawn.ess == 3
    assert len(drawn.weighted.weight) == importance.LEAST_PROPOSALS
    odd = weighted_draws(inputs, 1001, np.random.default_rng(1))
    assert len(odd.effect) == len(odd.weight) == len(odd.log_hazard) == 1001


def test_the_same_seed_gives_the_same_draws(simulated_cohorts):
    inputs = PiecewiseExponential("arm", 0, "x", cutpoints=4).prepare(simulated_cohorts[1])
    one, two, other = (sample_importance(inputs, 500, seed=seed).vectors for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_small_cohorts_agree_with_nuts(seed):
    from bayes_crlm.inference.nuts import sample_nuts

    prior = ["normal(0, 1)", "student_t(3, 0, 0.5)", "laplace(0, 0.3)", "normal(0, 1)"][seed - 1]
    table = treated(n=24, seed=seed)
    table["t"] = np.ceil(table["t"] / 5) * 1e-7  # ties, in a unit of ten million
    table["x"] = np.random.default_rng(seed).normal(size=len(table))
    model = PiecewiseExponential(
        "arm", 0, "x", cutpoints=2, baseline=BASELINES[seed % 3],
        treatment_prior=prior, covariate_prior=prior,
    )  # fmt: skip
    inputs = model.prepare(read_cohort(table, time="t", event="d"))
    drawn = sample_importance(inputs, 20_000, seed)
    assert drawn.pareto_k < 0.7
    sampled = sample_nuts(inputs, draws=5000, tune=1000, chains=4, seed=seed)
    fast = hazards_of_vectors(drawn.vectors, inputs.block_model)
    slow = hazards_of_vectors(sampled.vectors.reshape(20_000, -1), inputs.block_model)
    for quick, long in ((fast.effect, slow.effect), (fast.log_hazard, slow.log_hazard)):
        sd = long.std(axis=0)
        # of 20,000 draws each at least 4,000 count: 4 combined errors of means are 0.09 sd
        assert np.max(np.abs(quick.mean(axis=0) - long.mean(axis=0)) / sd) < 0.09
        np.testing.assert_allclose(quick.std(axis=0), sd, rtol=0.09)


@pytest.mark.parametrize("name", ["os_repeat_local_vs_systemic", "os_colon_early_recurrence"])
def test_no_seed_fails_by_chance(name):
    """Whether a tail is reached is a property of the posterior, not of the draws."""
    inputs = plan_analysis(read_spec(name)).inputs
    for seed in range(40):
        drawn = sample_importance(inputs, 1000, seed)
        assert drawn.converged and drawn.pareto_k < 0.7


@pytest.mark.parametrize("degrees_of_freedom", [1, 2, 3])
def test_a_heavy_tailed_prior_keeps_its_tail(degrees_of_freedom):
    """One event says little: the posterior has the prior's tail, known here by quadrature."""
    rng = np.random.default_rng(5)
    table = pd.DataFrame({"arm": np.arange(48) % 2, "time": rng.exponential(10, 48) + 0.1})
    table["event"] = (np.arange(48) == 7).astype(int)
    prior = StudentT(degrees_of_freedom, 0.0, 1.0)
    model = PiecewiseExponential(
        "arm", 0, cutpoints=1, baseline=GammaProcess(1.0), treatment_prior=prior
    )
    inputs = model.prepare(read_cohort(table, time="time", event="event"))
    half = np.geomspace(1e-5, 690.0, 20_001)
    grid = np.concatenate([-half[::-1], half])
    sums, rate = RiskSums.of(inputs.density_data), inputs.intervals.width
    shape = rate * math.exp(inputs.log_rate)
    exposure = np.array([sums.weighted_exposure(np.array([[x]]))[0, 0] for x in grid])
    log_density = grid * sums.event_design[0, 0] + prior.log_density(grid)
    log_density = log_density - np.log(rate + exposure) * (shape + sums.events[0])
    density = np.exp(log_density - log_density.max())
    mass = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    mass /= mass[-1]
    drawn = weighted_draws(inputs, 20_000, np.random.default_rng(3))
    assert drawn.pareto_k < 0.7
    # probabilities beyond quantiles far out: 4 Monte Carlo errors of a weighted share
    for probability in (0.005, 0.025, 0.5, 0.975, 0.995):
        below = drawn.effect[:, 0] < np.interp(probability, mass, grid)
        error = math.sqrt(np.sum((drawn.weight * (below - probability)) ** 2))
        assert drawn.weight @ below == pytest.approx(probability, abs=4 * error)
