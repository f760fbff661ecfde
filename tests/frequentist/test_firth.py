"""Firth's penalised Cox regression: coxphf's numbers, and the definition maximised from scratch."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize
from scipy.stats import chi2

from bayes_crlm.frequentist import firth as firth_fits
from bayes_crlm.frequentist.cox_rows import CoxRows
from bayes_crlm.frequentist.partial_likelihood import PartialLikelihood
from bayes_crlm.likelihood.tied_times import merge_tied_times


def fit_firth(entry, time, event, matrix, ties="efron"):
    rows = CoxRows.of(*merge_tied_times(entry, time), event, np.asarray(matrix), ties)
    return firth_fits.fit_firth(rows)


def test_agrees_with_coxphf():
    # R's coxphf(Surv(time, status) ~ factor(x) + sex), seven patients of ?coxph's first example,
    # as printed in the help page of biostatUtil::prettyCoxph. coxphf stops at a score of 1e-4.
    time = np.array([4.0, 3, 1, 1, 2, 2, 3])
    event = np.array([1, 1, 1, 0, 1, 1, 0])
    x = np.array([0, 2, 1, 1, 1, 0, 0])
    sex = np.array([0, 0, 0, 0, 1, 1, 1])
    matrix = np.column_stack([x == 1, x == 2, sex]).astype(float)
    firth = fit_firth(np.zeros(7), time, event, matrix, ties="breslow")
    assert np.allclose(firth.coef, [1.60161779, 0.67787698, -0.09450898], atol=2e-6)
    assert np.allclose(firth.se, [1.354154, 1.551143, 1.380503], atol=2e-6)
    limits = [[0.56823954, 71.53693], [0.13404776, 39.18328], [0.07179951, 11.88728]]
    assert np.allclose(firth.ci95, np.log(limits), atol=2e-6)
    assert np.allclose(firth.p, [0.1451405, 0.6041722, 0.9365575], atol=1e-6)
    likelihood_ratio = 2 * (firth.penalised_loglik[1] - firth.penalised_loglik[0])
    assert likelihood_ratio == pytest.approx(2.170314, abs=1e-5)


def log_likelihood(coef, entry, time, event, matrix):
    """Breslow's log partial likelihood, event by event; times without ties make it Efron's too."""
    total = 0.0
    for i in np.flatnonzero(event):
        at_risk = (entry < time[i]) & (time >= time[i])
        total += matrix[i] @ coef - np.log(np.exp(matrix[at_risk] @ coef).sum())
    return total


def second_differences(coef, rows, step):
    """Minus the second derivative, by central differences of the log-likelihood alone."""
    p = coef.size
    axes = np.eye(p) * step
    found = np.empty((p, p))
    for a in range(p):
        for b in range(p):
            found[a, b] = (
                log_likelihood(coef + axes[a] - axes[b], *rows)
                + log_likelihood(coef - axes[a] + axes[b], *rows)
                - log_likelihood(coef + axes[a] + axes[b], *rows)
                - log_likelihood(coef - axes[a] - axes[b], *rows)
            ) / (4 * step**2)
    return found


def information(coef, *rows):
    """Second differences, Richardson-extrapolated: good to about 1e-8."""
    return (4 * second_differences(coef, rows, 0.02) - second_differences(coef, rows, 0.04)) / 3


def penalised(coef, *rows):
    return log_likelihood(coef, *rows) + 0.5 * np.linalg.slogdet(information(coef, *rows))[1]


def separated_trial(*, late):
    """A trial whose treated patients have no events."""
    rng = np.random.default_rng(12)
    treated = np.arange(24) % 2
    time = rng.exponential(size=24) + 0.2
    event = ((treated == 0) & (rng.random(24) < 0.8)).astype(int)
    entry = np.where(rng.random(24) < 0.5, time * 0.3, 0.0) * late
    return entry, time, event, treated[:, None].astype(float)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_one_covariate_by_the_definition(late, ties):
    rows = separated_trial(late=late)

    def profile(at):
        return penalised(np.array([at]), *rows)

    best = minimize(lambda b: -profile(b[0]), [-1.0], method="Nelder-Mead", tol=1e-9)
    estimate, maximum = best.x[0], -best.fun
    firth = fit_firth(*rows, ties=ties)
    assert firth.coef[0] == pytest.approx(estimate, abs=1e-4)
    assert firth.se[0] == pytest.approx(information(best.x, *rows)[0, 0] ** -0.5, rel=1e-4)
    assert firth.loglik[1] == pytest.approx(log_likelihood(best.x, *rows), abs=1e-5)

    fall = chi2.ppf(0.95, 1) / 2
    lower = brentq(lambda b: maximum - profile(b) - fall, estimate - 8, estimate)
    upper = brentq(lambda b: maximum - profile(b) - fall, estimate, estimate + 8)
    assert np.allclose(firth.ci95[0], [lower, upper], atol=1e-5)
    assert firth.p[0] == pytest.approx(chi2.sf(2 * (maximum - profile(0.0)), 1), rel=1e-5)


def test_two_covariates_by_the_definition():
    entry, time, event, treated = separated_trial(late=True)
    matrix = np.column_stack([treated, np.sin(np.arange(24.0))])
    rows = entry, time, event, matrix
    best = minimize(lambda b: -penalised(b, *rows), [-1.0, 0.0], method="Nelder-Mead", tol=1e-9)
    firth = fit_firth(*rows)
    assert np.allclose(firth.coef, best.x, atol=1e-4)

    def constrained(at):
        """Penalised likelihood at its best over the second coefficient, the first held."""
        found = minimize(
            lambda b: -penalised(np.array([at, b[0]]), *rows),
            [0.0],
            method="Nelder-Mead",
            tol=1e-9,
        )
        return -found.fun

    falls = [-best.fun - constrained(limit) for limit in firth.ci95[0]]
    assert np.allclose(falls, chi2.ppf(0.95, 1) / 2, atol=1e-5)
    assert firth.p[0] == pytest.approx(chi2.sf(2 * (-best.fun - constrained(0.0)), 1), rel=1e-4)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), factor=st.sampled_from([1e-9, 0.3, 1e6]))
def test_units_and_order_of_rows_do_not_matter(seed, factor):
    rng = np.random.default_rng(seed)
    matrix = np.column_stack([np.arange(40) % 2, rng.normal(size=40)])
    time = np.ceil(rng.exponential(size=40) * 20)
    event = (rng.random(40) < 0.6) & (matrix[:, 0] == 0)
    firth = fit_firth(np.zeros(40), time, event, matrix)
    shuffled = rng.permutation(40)
    units = np.array([1.0, factor])
    moved = (matrix * units + units)[shuffled]
    other = fit_firth(np.zeros(40), time[shuffled], event[shuffled], moved)
    assert firth is not None and other is not None
    assert np.allclose(other.coef * units, firth.coef, rtol=1e-6, atol=1e-6)
    assert np.allclose(other.ci95 * units[:, None], firth.ci95, rtol=1e-4, atol=1e-4)
    assert np.allclose(other.p, firth.p, rtol=1e-4, atol=1e-9)


def test_approaches_maximum_likelihood_as_events_accrue():
    from bayes_crlm.frequentist.cox import fit_cox

    rng = np.random.default_rng(1)
    matrix = rng.normal(size=(4000, 2))
    time = rng.exponential(size=4000) / np.exp(matrix @ [0.5, -0.3])
    rows = np.zeros(4000), time, np.ones(4000), matrix
    firth, cox = fit_firth(*rows), fit_cox(*rows, "ab")
    # Firth's correction is of order 1/events; the standard error here is 0.016.
    assert np.allclose(firth.coef, cox.coef, atol=1e-3)
    assert np.allclose(firth.ci95, np.log(cox.ci95), atol=1e-3)


def test_a_covariate_that_orders_every_event_is_not_given_a_number():
    time = np.arange(1.0, 61.0)
    firth = fit_firth(np.zeros(60), time, np.ones(60), -time[:, None])
    assert firth is None or np.isfinite(firth.coef).all()


@pytest.mark.parametrize("events_seen", [1, 2, 4])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_patient_of_a_rare_level_whom_few_risk_sets_find_is_no_hindrance(seed, events_seen):
    """By the definition, maximised by another routine; the patient is censored without an event."""
    rng = np.random.default_rng(seed)
    n = 60
    x = rng.integers(0, 2, n).astype(float)
    rare = (np.arange(n) == 0).astype(float)
    time, event = rng.exponential(size=n), (rng.random(n) < 0.7).astype(int)
    event[0] = 0
    event_times = np.sort(time[event == 1])
    time[0] = event_times[events_seen - 1 : events_seen + 1].mean()
    rows = (np.zeros(n), time, event, np.column_stack([x, rare]))
    firth = fit_firth(*rows)
    assert firth is not None
    found = minimize(lambda coef: -penalised(coef, *rows), [0.0, 0.0], method="Nelder-Mead")
    assert np.allclose(firth.coef, found.x, atol=2e-3)


def test_one_risk_set_has_its_maximum_in_closed_form():
    # one event among n others and one patient of the level: the penalised likelihood of its share
    # p of the risk is log(1 - p) + log(p (1 - p)) / 2, largest at p = 1/4
    n = 40
    time = np.concatenate([[2.0], np.ones(1), np.full(n - 1, 2.0)])
    event = np.concatenate([[0], [1], np.zeros(n - 1)])
    level = np.concatenate([[1.0], np.zeros(n)])[:, None]
    firth = fit_firth(np.zeros(n + 1), time, event, level)
    assert firth.coef[0] == pytest.approx(np.log(n / 3), abs=1e-6)


def test_many_columns_cost_no_matrix_for_each_event():
    rng = np.random.default_rng(0)
    rows, columns = 2_000, 50
    matrix = rng.normal(size=(rows, columns))
    likelihood = PartialLikelihood(
        np.zeros(rows), rng.exponential(size=rows), rng.random(rows) < 0.6, matrix
    )
    coef = np.zeros(columns)
    tracemalloc.start()
    likelihood.at(coef, with_firth_score=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 * matrix.nbytes


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_derivatives_are_those_of_each_risk_set(ties):
    """Moments of every denominator one by one, with tied events and late entries."""
    rng = np.random.default_rng(3)
    rows, columns = 60, 4
    time = rng.integers(3, 9, rows).astype(float)
    entry = np.where(rng.random(rows) < 0.4, rng.integers(0, 3, rows), 0).astype(float)
    event, matrix = rng.random(rows) < 0.7, rng.normal(size=(rows, columns))
    coef = rng.normal(size=columns)
    value = PartialLikelihood(entry, time, event, matrix, ties).at(coef, with_firth_score=True)

    information, third = np.zeros((columns, columns)), []
    weight = np.exp(matrix @ coef)
    for at in np.unique(time[event]):
        dead = event & (time == at)
        for k in range(dead.sum()):
            left_out = k / dead.sum() if ties == "efron" else 0.0
            probability = weight * ((entry < at) & (at <= time)) - left_out * weight * dead
            probability /= probability.sum()
            apart = matrix - probability @ matrix
            information += np.einsum("i,ij,ik->jk", probability, apart, apart)
            third.append(np.einsum("i,ij,ik,il->jkl", probability, apart, apart, apart))
    inverse = np.linalg.inv(information)
    np.testing.assert_allclose(value.information, information, rtol=1e-9)
    np.testing.assert_allclose(
        value.firth_score, 0.5 * np.einsum("jkl,jk->l", sum(third), inverse), rtol=1e-8, atol=1e-10
    )
