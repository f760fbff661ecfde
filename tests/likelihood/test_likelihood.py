"""The compact likelihood against its definition, row by row and interval by interval."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_class import (
    log_likelihood,
    log_likelihood_gradient,
    log_likelihood_hessian,
    patient_log_likelihood,
)

from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.survival_data import SurvivalData

CUTPOINTS = np.array([0.0, 1.0, 2.5, 4.0, 7.0])
N_TERMS = 3


def random_rows(seed, is_delayed=True, n_rows=25, n_patients=10):
    """Rows in no order; several belong to one patient; some times lie on cutpoints."""
    rng = np.random.default_rng(seed)
    entry = rng.uniform(0, 3, n_rows) * is_delayed
    time = entry + rng.uniform(0.1, 4, n_rows)
    on_cutpoint = rng.random(n_rows) < 0.3
    time[on_cutpoint] = np.where(entry[on_cutpoint] < 2.5, 2.5, 4.0)
    patient = rng.permutation(
        np.concatenate([np.arange(n_patients), rng.integers(n_patients, size=n_rows - n_patients)])
    )
    event = (rng.random(n_rows) < 0.5).astype(float)
    return entry, time, event, rng.normal(size=(n_rows, N_TERMS)), patient


def survival_data(entry, time, event, design, patient):
    return SurvivalData(
        follow_up=cut_follow_up(entry, time, CUTPOINTS),
        event=event,
        design=design,
        patient_index=patient,
        n_patients=int(patient.max()) + 1,
    )


def row_terms(log_hazard, effect, entry, time, event, design):
    """Sum over intervals of d (alpha + x'beta) - e exp(alpha + x'beta), for every row."""
    result = np.zeros(len(time))
    for i in range(len(time)):
        linear_predictor = design[i] @ effect
        for j in range(len(CUTPOINTS) - 1):
            low, high = CUTPOINTS[j], CUTPOINTS[j + 1]
            exposure = max(0.0, min(time[i], high) - max(entry[i], low))
            falls_here = event[i] if low < time[i] <= high else 0.0
            result[i] += falls_here * (log_hazard[j] + linear_predictor)
            result[i] -= exposure * np.exp(log_hazard[j] + linear_predictor)
    return result


def unknowns(seed):
    rng = np.random.default_rng([seed, 1])
    return rng.normal(-1, 0.7, len(CUTPOINTS) - 1), rng.normal(0, 0.5, N_TERMS)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_log_likelihood_is_its_definition(seed, is_delayed):
    rows = random_rows(seed, is_delayed)
    log_hazard, effect = unknowns(seed)
    expected = row_terms(log_hazard, effect, *rows[:4])
    data = survival_data(*rows)
    assert log_likelihood(log_hazard, effect, data) == pytest.approx(expected.sum(), rel=1e-10)
    by_patient = np.bincount(rows[4], weights=expected, minlength=data.n_patients)
    found = patient_log_likelihood(log_hazard[None], effect[None], data)
    assert found.shape == (1, data.n_patients)
    np.testing.assert_allclose(found[0], by_patient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("is_delayed", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_gradient_and_hessian_are_those_of_finite_differences(seed, is_delayed):
    data = survival_data(*random_rows(seed, is_delayed))
    log_hazard, effect = unknowns(seed)
    n_intervals = len(log_hazard)
    both = np.concatenate([log_hazard, effect])

    def value(vector):
        return log_likelihood(vector[:n_intervals], vector[n_intervals:], data)

    def slope(vector):
        return np.concatenate(
            log_likelihood_gradient(vector[:n_intervals], vector[n_intervals:], data)
        )

    diagonal, crossed, block = log_likelihood_hessian(log_hazard, effect, data)
    hessian = np.block([[np.diag(diagonal), crossed], [crossed.T, block]])
    step = 1e-5
    for k, shift in enumerate(step * np.eye(len(both))):
        numerical = (value(both + shift) - value(both - shift)) / (2 * step)
        assert slope(both)[k] == pytest.approx(numerical, rel=1e-6, abs=1e-6)
        numerical = (slope(both + shift) - slope(both - shift)) / (2 * step)
        np.testing.assert_allclose(hessian[k], numerical, rtol=1e-6, atol=1e-6)


def test_one_row_per_patient_in_any_order():
    entry, time, event, design, _ = random_rows(3)
    patient = np.random.default_rng(4).permutation(len(time))
    data = survival_data(entry, time, event, design, patient)
    log_hazard, effect = unknowns(3)
    expected = np.empty(len(time))
    expected[patient] = row_terms(log_hazard, effect, entry, time, event, design)
    found = patient_log_likelihood(log_hazard[None], effect[None], data)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_many_draws_are_each_draw_alone():
    data = survival_data(*random_rows(5))
    log_hazard = np.stack([unknowns(seed)[0] for seed in range(4)])
    effect = np.stack([unknowns(seed)[1] for seed in range(4)])
    together = patient_log_likelihood(log_hazard, effect, data)
    for draw in range(4):
        alone = patient_log_likelihood(log_hazard[draw][None], effect[draw][None], data)[0]
        np.testing.assert_allclose(together[draw], alone, rtol=1e-12)
        total = log_likelihood(log_hazard[draw], effect[draw], data)
        assert together[draw].sum() == pytest.approx(total, rel=1e-10)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_splitting_follow_up_changes_nothing(seed):
    entry, time, event, design, _ = random_rows(seed)
    patient = np.arange(len(time))
    rng = np.random.default_rng([seed, 2])
    inner = entry + rng.uniform(0.05, 0.95, len(time)) * (time - entry)
    # half of the splits fall on a cutpoint where one lies inside
    inside = (entry < 2.5) & (time > 2.5) & (rng.random(len(time)) < 0.5)
    inner[inside] = 2.5
    split = survival_data(
        np.concatenate([entry, inner]),
        np.concatenate([inner, time]),
        np.concatenate([np.zeros_like(event), event]),
        np.concatenate([design, design]),
        np.concatenate([patient, patient]),
    )
    whole = survival_data(entry, time, event, design, patient)
    log_hazard, effect = unknowns(seed)
    np.testing.assert_allclose(
        patient_log_likelihood(log_hazard[None], effect[None], split),
        patient_log_likelihood(log_hazard[None], effect[None], whole),
        rtol=1e-9, atol=1e-9,
    )  # fmt: skip
    for found, expected in zip(
        (*log_likelihood_gradient(log_hazard, effect, split),
         *log_likelihood_hessian(log_hazard, effect, split)),
        (*log_likelihood_gradient(log_hazard, effect, whole),
         *log_likelihood_hessian(log_hazard, effect, whole)),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", ["veteran", "colon_early_recurrence", "ovarian"])
def test_slope_vanishes_at_the_poisson_glm_estimates_of_r(references, name):
    """R's estimates have six digits; the score there is a rounding error in standard errors."""
    reference = references[name]
    cohort, results = reference.cohort, reference.results
    table = cohort.table
    columns = {
        "veteran": ["trt", "karno", "smallcell", "adeno", "large"],
        "ovarian": ["rx", "age", "resid"],
    }.get(name)
    if columns is None:
        design = np.column_stack([
            table["rx"] == "Lev+5FU", table["rx"] == "Obs",
            table[["age", "sex", "nodes", "extent"]],
        ]).astype(float)  # fmt: skip
    else:
        design = table[columns].to_numpy(dtype=float)
    centred = design - design.mean(axis=0)
    estimate = np.array(results["pe_mle"]["coef"])
    data = SurvivalData(
        follow_up=cut_follow_up(cohort.entry, cohort.time, np.array(results["breaks"])),
        event=cohort.event.astype(float),
        design=centred,
        patient_index=cohort.patient_index,
        n_patients=cohort.n_patients,
    )
    log_hazard = np.array(results["pe_mle"]["log_hazard"]) + design.mean(axis=0) @ estimate
    slopes = np.concatenate(log_likelihood_gradient(log_hazard, estimate, data))
    diagonal, crossed, block = log_likelihood_hessian(log_hazard, estimate, data)
    information = -np.block([[np.diag(diagonal), crossed], [crossed.T, block]])
    error = np.sqrt(np.diag(np.linalg.inv(information)))
    newton_step = np.linalg.solve(information, slopes)
    assert np.max(np.abs(newton_step / error)) < 0.002
    np.testing.assert_allclose(error[len(log_hazard) :], results["pe_mle"]["se"], rtol=2e-3)
