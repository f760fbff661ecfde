"""Models built by hand: NumPy's density, slope and information against the `pm.Model`."""

import numpy as np
import pymc as pm
import pytest
from slopes import log_density_slope, slope_of_block

from bayes_crlm.likelihood.hazard_table import log_likelihood
from bayes_crlm.model.density import (
    BlockModel,
    constrain,
    log_density,
    log_hazards_of,
    log_prior,
    sample_prior,
    values_information,
)
from bayes_crlm.model.pymc_blocks import block_data
from bayes_crlm.model.pymc_model import outcome_variables, row_data
from models import MODELS


def size_of(model):
    return sum(parameter.size for parameter in model.sampled_parameters)


def point_of(written, vector):
    """Unconstrained vector as the point that a `pm.Model` takes; the order is that of the model."""
    point, position = {}, 0
    for name, value in written.initial_point().items():
        length = int(np.prod(np.shape(value)))
        point[name] = vector[position : position + length].reshape(np.shape(value))
        position += length
    assert position == len(vector)
    return point


def with_logs(parameters):
    return [f"{each.name}_log__" if each.transform == "log" else each.name for each in parameters]


def build_block_model(model):
    """Write down a model of blocks as a `pm.Model`, without names of what its dims hold."""
    columns = {"design": slice(None)}
    coords = {
        "row": range(model.data.follow_up.n_rows),
        "patient": range(model.data.n_patients),
        "interval": range(model.data.n_intervals),
    }
    with pm.Model(coords=coords) as written:
        data = row_data(model.data, columns) | block_data(model.blocks)
        if model.integrated is not None:
            data["interval_events"] = model.data.events_per_cell
        outcome_variables(model, data, columns)
    return written


@pytest.mark.parametrize("name", MODELS)
def test_the_density_and_its_slope_are_those_of_the_pymc_model(name):
    model = MODELS[name]()
    written = build_block_model(model)
    assert [each.name for each in written.value_vars] == with_logs(model.sampled_parameters)
    density = written.compile_logp(mode="FAST_COMPILE")
    slope = written.compile_dlogp(mode="FAST_COMPILE")
    pooled = BlockModel(model.blocks, model.data.pooled())
    for vector in np.random.default_rng(2).normal(0, 0.5, (2, size_of(model))):
        point = point_of(written, vector)
        expected = float(density(point))
        value, found = log_density_slope(vector, model)
        assert value == pytest.approx(expected, rel=1e-10)
        assert float(log_density(vector, pooled)) == pytest.approx(expected, rel=1e-10)
        np.testing.assert_allclose(found, slope(point), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", MODELS)
def test_many_draws_are_each_draw_alone(name):
    model = MODELS[name]()
    vectors = np.random.default_rng(3).normal(0, 0.5, (2, 3, size_of(model)))
    together = log_density(vectors, model)
    assert together.shape == (2, 3)
    alone = [log_density_slope(each, model)[0] for each in vectors.reshape(6, -1)]
    np.testing.assert_allclose(together.ravel(), alone, rtol=1e-12)


@pytest.mark.parametrize("name", [name for name in MODELS if "integrated" not in name])
def test_information_is_that_of_finite_differences(name):
    """Of the log-likelihood as a function of the blocks' values."""
    model = MODELS[name]()
    vector = np.random.default_rng(4).normal(0, 0.5, size_of(model))
    named = constrain(vector, model.parameters)
    at, step = log_hazards_of(named, model), 1e-4
    information = values_information(named, model)
    directions = np.random.default_rng(5).normal(size=(3, len(information)))

    def moved(direction):
        values, position = [], 0
        for block in model.blocks:
            values.append(direction[position : position + block.size])
            position += block.size
        return hazards_at(model, values)

    def along(direction, share):
        other = moved(direction)
        return float(
            log_likelihood(
                type(at)(
                    at.cells + share * other.cells,
                    at.effect + share * other.effect,
                    tuple(a + share * b for a, b in zip(at.groups, other.groups, strict=True)),
                ),
                model.data,
            )
        )

    for direction in directions:
        up, here, down = (along(direction, share) for share in (step, 0.0, -step))
        bend = -(up - 2 * here + down) / step**2
        assert direction @ information @ direction == pytest.approx(bend, rel=1e-4)


def hazards_at(model, values):
    """What given values of the blocks add to the hazards."""
    from bayes_crlm.likelihood.hazard_table import LogHazards
    from bayes_crlm.model.terms.blocks import Cells, Columns

    data = model.data
    cells = np.zeros((data.n_classes, data.n_intervals))
    effect = np.zeros(data.design.shape[1])
    groups = [np.zeros(count) for count in data.group_counts]
    for block, each in zip(model.blocks, values, strict=True):
        if isinstance(block.enters, Cells):
            cells += block.enters.loading @ each.reshape(-1, data.n_intervals)
        elif isinstance(block.enters, Columns):
            effect[block.enters.start : block.enters.stop] += each
        else:
            groups[block.enters.index] += each
    return LogHazards(cells, effect, tuple(groups))


def prior_slope(named, model):
    slopes = {}
    for block in model.blocks:
        slopes |= slope_of_block(block, named, np.zeros(block.size))
    return np.concatenate([slopes[each.name] for each in model.parameters])


@pytest.mark.parametrize("name", MODELS)
def test_prior_draws_have_the_prior_density(name):
    """Stein's identity in every coordinate: E[tanh(x) (log p)'(x) + 1 - tanh(x)^2] = 0."""
    model, draws = MODELS[name]().complete(), 2000
    drawn = sample_prior(model, np.random.default_rng(6), draws)
    assert list(log_prior(drawn, model)) == [each.name for each in model.parameters]
    vectors = np.concatenate(
        [
            np.log(drawn[each.name]) if each.transform == "log" else drawn[each.name]
            for each in model.parameters
        ],
        axis=1,
    )
    assert vectors.shape == (draws, size_of(model))
    slope = np.array([prior_slope(constrain(each, model.parameters), model) for each in vectors])
    bounded = np.tanh(vectors)
    terms = bounded * slope + 1 - bounded**2
    z = terms.mean(axis=0) / (terms.std(axis=0) / np.sqrt(draws))
    assert np.all(np.abs(z) < 4.5)
