"""Monte Carlo errors: the spread of estimates over seeds is what each fit states."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bayes_crlm import PiecewiseExponential, fit_many, read_cohort, stack_cohorts
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.fit.estimand_draws import rmst_draws, survival_draws
from bayes_crlm.fit.fitting import Sampling, approximate, fit_laplace
from bayes_crlm.inference import groups, scale_grid
from bayes_crlm.inference.effect_proposals import SCRAMBLES
from bayes_crlm.inference.importance import sample_model
from bayes_crlm.inference.monte_carlo import errors_of_chains, errors_of_draws
from bayes_crlm.inference.weighted import PROBABILITIES, most_size, sums_of_draws, sums_with_errors
from bayes_crlm.specification.reading import spec_files
from bayes_crlm.specification.spec import read_spec

SEEDS, DRAWS = 200, 1000
PRIORS = ("normal(0, 1)", "student_t(4, 0, 1)", "laplace(0, 0.5)")
# mean, sd, 2.5% point, median, 97.5% point, P(HR < 1), P(HR < 0.8); survival, restricted mean
N_RATIOS = 7


def check_spread(estimate, stated, n_tests):
    """Hold the spread of estimates (seeds, ...) over seeds against their stated errors.

    The mean square of stated errors is the variance of the estimates: none is too small by more
    than what spread and mean of so many seeds allow (the estimates' kurtosis says how much they
    vary). One run in a hundred of so many tests would fail. Errors of limits are somewhat too
    large, as the density there is measured over some width: not by more than a third.
    """
    square = stated**2
    of_mean = square.std(axis=0, ddof=1) / square.mean(axis=0) / (2 * math.sqrt(SEEDS))
    kurtosis = np.maximum(stats.kurtosis(estimate, axis=0, fisher=False), 3.0)
    of_spread = np.sqrt((kurtosis - 1) / (4 * SEEDS))
    ratio = estimate.std(axis=0, ddof=1) / np.sqrt(square.mean(axis=0))
    too_small = np.log(ratio) / np.hypot(of_mean, of_spread)
    assert too_small.max() < stats.norm.isf(0.01 / n_tests), ratio
    assert ratio.min() > 0.75, ratio


def estimates_and_errors(model, inputs, seed, time):
    """What one fit gives of the treatment and of survival on it, and the errors that it states."""
    sampling = Sampling(draws=DRAWS, chains=1, seed=seed, engine="laplace")
    fit = fit_laplace(model, inputs, sampling, seed, approximate(inputs, DRAWS, seed))
    ratio = fit.log_hazard_ratio_values[:, :1]
    survival = survival_draws(fit, [time]).values[:, -1, :]
    curves = np.column_stack([survival, rmst_draws(fit, time).values[:, -1]])
    error, of_curves = (
        fit.monte_carlo_errors(ratio, np.log([1.0, 0.8])),
        fit.monte_carlo_errors(curves),
    )
    estimate = [
        ratio.mean(),
        ratio.std(),
        *np.quantile(ratio, PROBABILITIES),
        *(ratio < np.log([1.0, 0.8])).mean(axis=0),
        *curves.mean(axis=0),
    ]
    stated = [*error.mean, *error.sd, *error.quantile[0], *error.below[0], *of_curves.mean]
    return estimate, stated


def check(model, inputs, n_tests, time=None):
    time = min(36.0, 0.6 * inputs.intervals.cutpoints[-1]) if time is None else time
    found = np.array([estimates_and_errors(model, inputs, k, time) for k in range(SEEDS)])
    estimate, stated = found[:, 0], found[:, 1]
    probability = estimate[:, N_RATIOS - 2 : N_RATIOS].mean(axis=0)
    is_open = np.ones(estimate.shape[1], dtype=bool)
    # fewer than ten draws of a thousand have no spread that could be measured
    is_open[N_RATIOS - 2 : N_RATIOS] = (probability > 0.01) & (probability < 0.99)
    check_spread(estimate[:, is_open], stated[:, is_open], n_tests)


def simulated(n, hazard, seed):
    """Patients followed for 60 months at most, on two arms, with two covariates."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2))
    arm = np.arange(n) % 2
    time = rng.exponential(1 / (hazard * np.exp(-0.4 * arm + x @ [0.3, -0.2])))
    columns = {"arm": arm, "x": x[:, 0], "z": x[:, 1], "time": np.minimum(time, 60.0)}
    return pd.DataFrame(columns).assign(event=(time < 60).astype(int))


FEW_EVENTS, MANY_EVENTS = (50, 0.006, 21), (135, 0.026, 34)
CASES = [
    (shape, prior, baseline)
    for shape in (FEW_EVENTS, MANY_EVENTS)
    for prior in PRIORS
    for baseline in ("random_walk", "independent", "gamma")
]
N_TESTS = 9 * (len(CASES) + len(spec_files()))


@pytest.mark.parametrize(
    ("shape", "prior", "baseline"),
    [
        pytest.param(*case, marks=[] if case in (CASES[3], CASES[11]) else pytest.mark.slow)
        for case in CASES
    ],
)
def test_spread_over_seeds_is_what_fits_state(shape, prior, baseline):
    cohort = read_cohort(simulated(*shape), time="time", event="event")
    n_events, intervals = (15, 10) if shape == FEW_EVENTS else (105, 20)
    assert cohort.n_events == n_events
    model = PiecewiseExponential(
        "arm", 0, "x + z", cutpoints=intervals, treatment_prior=prior, baseline=baseline
    )
    check(model, model.prepare(cohort), N_TESTS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(spec_files()))
def test_spread_over_seeds_is_what_shipped_analyses_state(name):
    plan = plan_analysis(read_spec(spec_files()[name]))
    check(plan.model, plan.inputs, N_TESTS)


def test_spread_over_seeds_is_what_a_table_of_many_fits_states():
    table = pd.concat(simulated(60, 0.02, seed).assign(cohort=seed) for seed in range(6))
    stack = stack_cohorts(table, cohort="cohort", time="time", event="event")
    model = PiecewiseExponential("arm", 0, "x + z", cutpoints=5)
    tables = [fit_many(model, stack, seeds=k, cox=False).terms for k in range(SEEDS)]
    names = ["mean_log", "sd_log", "median", "eti95_low", "eti95_high", "prob_below_1.0"]
    estimate = np.array([each[names].to_numpy() for each in tables])
    stated = np.array([each[[f"mcse_{name}" for name in names]].to_numpy() for each in tables])
    check_spread(estimate, stated, estimate[0].size)


def weighted_values(n, seed=1):
    rng = np.random.default_rng(seed)
    value, weight = rng.normal(size=(1, n, 2)), rng.exponential(size=(1, n))
    return value, weight / weight.sum(), rng.integers(8, size=(1, n))


def test_errors_are_what_residuals_of_scrambles_differ_by():
    value, weight, scramble = weighted_values(999)
    found, error = sums_with_errors(value, weight, scramble, np.array([np.inf]), thresholds=[0.3])

    def expected(deviation):
        of_each = np.bincount(scramble[0], weights=weight[0] * deviation, minlength=8)
        return math.sqrt(8 / 7 * (of_each**2).sum())

    for m in range(2):
        x, mean, sd = value[0, :, m], found.mean[0, m], found.sd[0, m]
        assert error.mean[0, m] == pytest.approx(expected(x - mean), rel=1e-9)
        of_sd = expected(((x - mean) ** 2 - sd**2) / (2 * sd))
        assert error.sd[0, m] == pytest.approx(of_sd, rel=1e-9)
        of_below = expected((x < 0.3) - found.below[0, m, 0])
        assert error.below[0, m, 0] == pytest.approx(of_below, rel=1e-9)
        for p, at, of_quantile in zip(
            PROBABILITIES, found.quantile[0, m], error.quantile[0, m], strict=True
        ):
            of_probability = expected((x < at) - p)
            # twice the error of independent draws away, and not beyond 40% of the tail
            away = min(2 * math.sqrt(p * (1 - p) * (weight**2).sum()), 0.4 * min(p, 1 - p))
            away = max(away, of_probability)
            around = sums_with_errors(
                value, weight, scramble, np.array([np.inf]), probabilities=[p - away, p + away]
            )[0].quantile[0, m]
            slope = (around[1] - around[0]) / (2 * away)
            # the library reads them off bins of a quarter as many as there are draws
            assert of_quantile == pytest.approx(of_probability * slope, rel=0.15)


def test_a_scramble_without_draws_and_equal_values_do_no_harm():
    value, weight, scramble = weighted_values(400)
    scramble[scramble == 3] = 7
    _, seven = sums_with_errors(value, weight, scramble, np.array([np.inf]))
    _, same = sums_with_errors(
        value,
        weight,
        np.unique(scramble, return_inverse=True)[1].reshape(1, -1),
        np.array([np.inf]),
    )
    for name in ("mean", "sd", "quantile"):
        np.testing.assert_allclose(getattr(seven, name), getattr(same, name), rtol=1e-12)
    _, none = sums_with_errors(
        np.ones_like(value), weight, scramble, np.array([np.inf]), thresholds=[2.0]
    )
    assert none.mean == pytest.approx(0, abs=1e-12) and none.below == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("n", [1, 100])
def test_draws_of_one_scramble_have_no_error_that_could_be_known(n):
    value = np.random.default_rng(2).normal(size=(n, 1))
    error = errors_of_draws(value, np.zeros(n, dtype=np.int64), (0.1, float(n)), [0.0])
    for each in vars(error).values():
        assert np.isnan(each).all()


@pytest.mark.filterwarnings("error")
def test_chains_of_one_value_have_no_error():
    # such as survival at time 0
    for value in (1.0, 0.1):
        error = errors_of_chains(np.full((4, 50, 1), value), [0.5])
        assert [np.abs(each).max() for each in vars(error).values()] == [0.0] * 4


def test_poor_weights_are_not_believed_to_err_by_less_than_independent_draws():
    # a heavy tail that these draws hardly have: scrambles agree although all lack it
    rng = np.random.default_rng(3)
    value = np.tile(np.sort(rng.normal(size=125)), 8)
    scramble = np.repeat(np.arange(8), 125)
    for pareto_k, size, is_believed in (
        (0.3, 600.0, True),
        (0.6, 600.0, False),
        (math.nan, 600.0, False),
        (0.3, 200.0, False),
    ):
        error = errors_of_draws(value[:, None], scramble, (pareto_k, size), [0.0])
        independent = value.std() / math.sqrt(size)
        of_mean, of_share = error.mean[0], error.below[0, 0]
        if is_believed:
            assert of_mean < 1e-9 and of_share < 1e-9
        else:
            assert of_mean == pytest.approx(independent, rel=1e-9)
            p = (value < 0).mean()
            assert of_share == pytest.approx(math.sqrt(p * (1 - p) / size), rel=1e-9)
            assert error.quantile[0, 0] > 0.5 * math.sqrt(0.025 / size)
    found = most_size(np.array([0.5, 0.51, np.nan, 0.5]), np.array([7.0, 8.0, 9.0, 6.0]), 28)
    np.testing.assert_array_equal(found, [np.inf, 8.0, 9.0, 6.0])


def test_intervals_from_few_effective_draws_hold_what_many_draws_give(built_terms, monkeypatch):
    # six centres of 60 patients, and proposals that do not follow the scales: draws are worth a
    # fifth of their number, and a few of them decide over a limit. Without the bound by ESS every
    # fourth interval of one limit misses the truth
    monkeypatch.setattr(scale_grid, "slopes_along", lambda values, *_: np.zeros_like(values))
    monkeypatch.setattr(groups, "WIDTH", 0.4)
    model = built_terms.centres(np.random.default_rng(5), 60)
    sizes = []

    def fit(draws, seed):
        drawn = sample_model(model, draws, np.random.default_rng([seed, draws]))
        quality = np.array([drawn.pareto_k]), np.array([drawn.ess]), draws
        sizes.append(drawn.ess / draws)
        found = sums_with_errors(
            drawn.effect[None], drawn.weight[None], drawn.scramble[None], most_size(*quality)
        )
        return [np.hstack([each.mean[0], each.sd[0], *each.quantile[0]]) for each in found]

    truth = np.mean([fit(20_000, seed)[0] for seed in range(2)], axis=0)
    n = 60
    found = np.array([fit(1000, seed) for seed in range(n)])
    width = stats.t.isf(0.025, SCRAMBLES - 1) * found[:, 1]
    assert np.median(sizes) < 0.25
    misses = (np.abs(found[:, 0] - truth) > width).mean(axis=0)
    assert misses.mean() < 0.05
    # limits have errors of their own that few draws tell of: worse than 5%, and not much
    assert misses.max() < 0.05 + 3 * math.sqrt(0.05 * 0.95 / n)


def test_small_centres_beside_strata_have_good_weights_and_right_errors(built_terms):
    # 63 log-hazards and effects, most of them steps whose spread is a scale that is not known; the
    # first grid, around modes, gives a third of the draws' worth, a moved one more than half
    model = built_terms.centres_in_strata(np.random.default_rng(3), 30, 3)

    def fit(seed):
        drawn = sample_model(model, 4000, np.random.default_rng(seed))
        assert drawn.pareto_k <= 0.7 and drawn.ess >= 0.35 * 4000
        most = most_size(np.array([drawn.pareto_k]), np.array([drawn.ess]), 4000)
        found = sums_with_errors(drawn.effect[None], drawn.weight[None], drawn.scramble[None], most)
        return [np.hstack([each.mean[0], each.sd[0]]) for each in found]

    n = 20
    found = np.array([fit(seed) for seed in range(n)])
    stated = np.sqrt((found[:, 1] ** 2).mean(axis=0))
    ratio = found[:, 0].std(axis=0, ddof=1) / stated
    assert np.abs(np.log(ratio)).max() < 3.5 / math.sqrt(2 * (n - 1))


@pytest.mark.parametrize("draws", [4000, 1000, 333, 250])
def test_as_many_draws_as_asked_for_come_from_all_scrambles(draws):
    model = PiecewiseExponential("arm", 0, "x", cutpoints=5)
    inputs = model.prepare(read_cohort(simulated(*MANY_EVENTS), time="time", event="event"))
    drawn = approximate(inputs, draws, 1).drawn
    assert len(drawn.vectors) == len(drawn.scramble) == draws
    counts = np.bincount(drawn.scramble, minlength=SCRAMBLES)
    assert len(counts) == SCRAMBLES
    of_proposals = np.bincount(drawn.weighted.scramble)
    assert of_proposals.max() - of_proposals.min() <= 2
    # each is worth about an eighth of the whole
    assert np.abs(counts / draws - 1 / SCRAMBLES).max() < 0.03


def test_errors_of_chains_are_those_of_their_autocorrelation():
    rng, rho, n = np.random.default_rng(5), 0.6, 4000
    estimates, stated = [], []
    for _ in range(60):
        chains = np.empty((4, n))
        chains[:, 0] = rng.normal(size=4)
        noise = rng.normal(size=(4, n)) * math.sqrt(1 - rho**2)
        for i in range(1, n):
            chains[:, i] = rho * chains[:, i - 1] + noise[:, i]
        error = errors_of_chains(chains[..., None], [0.5])
        estimates.append(
            [
                chains.mean(),
                chains.std(),
                *np.quantile(chains, PROBABILITIES),
                (chains < 0.5).mean(),
            ]
        )
        stated.append([error.mean[0], error.sd[0], *error.quantile[0], error.below[0, 0]])
    ratio = np.std(estimates, axis=0, ddof=1) / np.median(stated, axis=0)
    # of 60 spreads; what is stated hardly varies
    assert np.abs(np.log(ratio)).max() < 3.5 / math.sqrt(2 * 59)


def test_a_probability_is_at_most_1_whatever_rounding_makes_of_the_weights():
    value, weight, _ = weighted_values(999)
    for excess in (0.0, 3e-16, 3e-12):
        below = sums_of_draws(value, weight * (1 + excess), thresholds=[50.0, 0.3]).below
        assert (below[..., 0] <= 1).all() and below[..., 0] == pytest.approx(1, abs=1e-12)
        expected = weight[0] @ (value[0] < 0.3) * (1 + excess)
        np.testing.assert_allclose(below[0, :, 1], expected, rtol=1e-11)
