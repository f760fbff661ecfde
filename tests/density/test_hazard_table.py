"""The likelihood on a hazard table against its definition, row by row and cell by cell."""

import numpy as np
import pytest
from slopes import log_likelihood_slope

from bayes_crlm.likelihood.follow_up import cut_follow_up
from bayes_crlm.likelihood.hazard_table import (
    LogHazards,
    log_likelihood,
    log_likelihood_information,
    patient_log_likelihood,
)
from bayes_crlm.likelihood.survival_data import SurvivalData

CUTPOINTS = np.array([0.0, 1.0, 2.5, 4.0, 7.0])
N_CLASSES, N_TERMS, GROUP_COUNTS = 3, 2, (4, 3)


def rows(seed, n_rows=30, is_coarse=False):
    """Delayed entries, weights, several rows a patient, two groupings, three classes."""
    rng = np.random.default_rng(seed)
    entry = rng.uniform(0, 3, n_rows)
    time = entry + rng.uniform(0.1, 4, n_rows)
    columns = rng.integers(2, size=(n_rows, N_TERMS)) if is_coarse else rng.normal(size=(n_rows, 2))
    weight = rng.uniform(0.2, 2, n_rows)
    patient = np.concatenate([np.arange(20), rng.integers(20, size=n_rows - 20)])
    data = SurvivalData(
        follow_up=cut_follow_up(entry, time, CUTPOINTS),
        event=(rng.random(n_rows) < 0.5).astype(float),
        design=columns.astype(float),
        patient_index=patient,
        n_patients=20,
        row_class=rng.integers(N_CLASSES, size=n_rows),
        stratum_of_class=np.array([0, 0, 1]),
        groups=tuple(rng.integers(count, size=n_rows) for count in GROUP_COUNTS),
        group_counts=GROUP_COUNTS,
    )
    return entry, time, weight, data


def log_hazards(seed):
    rng = np.random.default_rng([seed, 1])
    return LogHazards(
        rng.normal(-1, 0.7, (N_CLASSES, len(CUTPOINTS) - 1)),
        rng.normal(0, 0.5, N_TERMS),
        tuple(rng.normal(0, 0.5, count) for count in GROUP_COUNTS),
    )


def by_definition(at, entry, time, weight, data):
    """Log-likelihood of every row, summed over a table of rows x intervals."""
    low, high = CUTPOINTS[:-1], CUTPOINTS[1:]
    exposure = np.clip(np.minimum(time[:, None], high) - np.maximum(entry[:, None], low), 0, None)
    relative = data.design @ at.effect
    for values, group in zip(at.groups, data.groups, strict=True):
        relative = relative + values[group]
    log_hazard = at.cells[data.row_class] + relative[:, None]
    ends_here = (time[:, None] > low) & (time[:, None] <= high)
    each = data.event[:, None] * ends_here * log_hazard - exposure * np.exp(log_hazard)
    return weight * each.sum(axis=1)


def flat(at):
    return np.concatenate([at.cells.ravel(), at.effect, *at.groups])


def as_hazards(vector, like):
    position, parts = 0, []
    for shape in (like.cells.shape, like.effect.shape, *(each.shape for each in like.groups)):
        size = int(np.prod(shape))
        parts.append(vector[position : position + size].reshape(shape))
        position += size
    return LogHazards(parts[0], parts[1], tuple(parts[2:]))


@pytest.mark.parametrize("seed", range(3))
def test_the_likelihood_is_its_definition(seed):
    entry, time, weight, data = rows(seed)
    at, weighted = log_hazards(seed), data.weighted(weight)
    expected = by_definition(at, entry, time, weight, data)
    assert float(log_likelihood(at, weighted)) == pytest.approx(expected.sum(), rel=1e-12)
    one_draw = as_hazards(flat(at), at)
    one_draw = LogHazards(
        one_draw.cells[None], one_draw.effect[None], tuple(u[None] for u in one_draw.groups)
    )
    by_patient = np.bincount(data.patient_index, expected, data.n_patients)
    found = patient_log_likelihood(one_draw, weighted)[0]
    np.testing.assert_allclose(found, by_patient, rtol=1e-10, atol=1e-10)


def test_pooling_changes_nothing_where_classes_and_groups_differ():
    *_, data = rows(4, n_rows=600, is_coarse=True)
    pooled, at = data.pooled(), log_hazards(4)
    assert pooled.follow_up.n_rows < 590
    for column in (pooled.row_class, *pooled.groups):
        assert len(np.unique(column)) > 1
    assert float(log_likelihood(at, pooled)) == pytest.approx(float(log_likelihood(at, data)))
    np.testing.assert_allclose(
        flat(log_likelihood_slope(at, pooled)), flat(log_likelihood_slope(at, data)), rtol=1e-9
    )


def information_matrix(information):
    cells = information.cells.ravel()
    groups = [np.diag(each) for each in information.groups]
    of_cells = [each.reshape(len(cells), -1) for each in information.cells_groups]
    columns = information.cells_columns.reshape(len(cells), -1)
    between = information.between_groups[0, 1]
    return np.block([
        [np.diag(cells), columns, *of_cells],
        [columns.T, information.columns, *information.columns_groups],
        [of_cells[0].T, information.columns_groups[0].T, groups[0], between],
        [of_cells[1].T, information.columns_groups[1].T, between.T, groups[1]],
    ])  # fmt: skip


@pytest.mark.parametrize("seed", range(2))
def test_slope_and_information_are_those_of_finite_differences(seed):
    *_, weight, data = rows(seed)
    weighted, at = data.weighted(weight), log_hazards(seed)
    vector, step = flat(at), 1e-5
    slope = flat(log_likelihood_slope(at, weighted))
    information = information_matrix(log_likelihood_information(at, weighted))
    for k, shift in enumerate(step * np.eye(len(vector))):
        up, down = (as_hazards(vector + side * shift, at) for side in (1, -1))
        rise = float(log_likelihood(up, weighted) - log_likelihood(down, weighted))
        assert slope[k] == pytest.approx(rise / (2 * step), rel=1e-6, abs=1e-6)
        change = flat(log_likelihood_slope(up, weighted)) - flat(
            log_likelihood_slope(down, weighted)
        )
        np.testing.assert_allclose(-information[k], change / (2 * step), rtol=1e-6, atol=1e-6)
