"""The density of a model made of blocks: per draw, with information, and prior draws.

    log hazard of row i in interval j  =  A[c(i), j] + x_i'beta + sum over groupings of u_f[g_f(i)]

Each block adds its values to A, beta or u. The density is that of the `pm.Model` which
`bayes_crlm.model.pymc_model` makes of the same blocks; tests hold one against the other. A sampler
moves an unconstrained vector, in which scales and hazards are their logarithms.

Hazards of a gamma process may be integrated out (`bayes_crlm.model.integrated_hazards`).
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.hazard_table import (
    LogHazards,
    log_likelihood,
    log_likelihood_information,
)
from bayes_crlm.likelihood.survival_data import SurvivalData
from bayes_crlm.model.integrated_hazards import integrated_log_likelihood
from bayes_crlm.model.terms.blocks import Block, Cells, Columns, Parameter, Values
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import Shrunk
from bayes_crlm.words.records import record

Floats = NDArray[np.float64]
AnyBlock = Block | Shrunk | GammaHazards


@record
class BlockModel:
    """A model as blocks of unknowns and the rows that they are to explain.

    Attributes
    ----------
    blocks : tuple of Block, Shrunk or GammaHazards
        In the order of the sampler's vector.
    data : SurvivalData
        Pooled or not: the density of all rows together is the same.
    """

    blocks: tuple[AnyBlock, ...]
    data: SurvivalData

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """The model's random variables, in the order of a complete vector."""
        return tuple(each for block in self.blocks for each in block.parameters)

    @cached_property
    def sampled_parameters(self) -> tuple[Parameter, ...]:
        """What a sampler moves: all variables but integrated hazards."""
        left_out = set() if self.integrated is None else {self.integrated.name}
        return tuple(each for each in self.parameters if each.name not in left_out)

    @property
    def integrated(self) -> GammaHazards | None:
        """The gamma process whose hazards are integrated out, where there is one."""
        for block in self.blocks:
            if isinstance(block, GammaHazards) and block.is_integrated:
                return block
        return None

    @property
    def in_vector(self) -> tuple[AnyBlock, ...]:
        """Blocks whose unknowns a sampler moves."""
        return tuple(block for block in self.blocks if block is not self.integrated)

    def complete(self) -> "BlockModel":
        """Make the same model with no hazards integrated out."""
        blocks = tuple(
            replace(block, is_integrated=False) if isinstance(block, GammaHazards) else block
            for block in self.blocks
        )
        return replace(self, blocks=blocks)


def constrain(vector: NDArray, parameters: Sequence[Parameter]) -> Values:
    """Split unconstrained vectors into named values on their natural scale.

    Parameters
    ----------
    vector : (..., total size) ndarray
        Unconstrained values.
    parameters : sequence of Parameter
        `BlockModel.parameters` or `BlockModel.sampled_parameters`.

    Returns
    -------
    dict of str to (..., size) ndarray
    """
    values, position = {}, 0
    for parameter in parameters:
        part = vector[..., position : position + parameter.size]
        values[parameter.name] = np.exp(part) if parameter.transform == "log" else part
        position += parameter.size
    return values


def log_jacobian(vector: NDArray, parameters: Sequence[Parameter]) -> Floats:
    """Log Jacobian of `constrain`, shape (...)."""
    total = np.zeros(vector.shape[:-1])
    position = 0
    for parameter in parameters:
        if parameter.transform == "log":
            total = total + vector[..., position : position + parameter.size].sum(axis=-1)
        position += parameter.size
    return total


def log_hazards_of(named: Values, model: BlockModel) -> LogHazards:
    """Put the blocks' values where they enter the hazard.

    Parameters
    ----------
    named : dict of str to (..., size) ndarray
        From `constrain`; without integrated hazards, the table holds all but them.
    model : BlockModel
        The blocks, and the rows that they are to explain.

    Returns
    -------
    LogHazards
        With the leading indices of the values.
    """
    data = model.data
    leading = next(iter(named.values())).shape[:-1]
    cells = np.zeros((*leading, data.n_classes, data.n_intervals))
    effect = np.zeros((*leading, data.design.shape[1]))
    groups = tuple(np.zeros((*leading, count)) for count in data.group_counts)
    for block in model.blocks:
        if any(parameter.name not in named for parameter in block.parameters):
            continue
        values = block.values(named)
        if isinstance(block.enters, Cells):
            cells += block.enters.loading @ values.reshape(*leading, -1, data.n_intervals)
        elif isinstance(block.enters, Columns):
            effect[..., block.enters.start : block.enters.stop] += values
        else:
            groups[block.enters.index][...] += values
    return LogHazards(cells, effect, groups)


def hazards_of_vectors(vectors: NDArray, model: BlockModel) -> LogHazards:
    """What complete unconstrained vectors say of the hazards.

    Parameters
    ----------
    vectors : (..., total size) ndarray
        In the order of `BlockModel.parameters`.
    model : BlockModel
        The blocks, and the rows that they are to explain.
    """
    return log_hazards_of(constrain(vectors, model.parameters), model)


def log_prior(named: Values, model: BlockModel) -> Values:
    """Log prior density of every random variable's entries, on the natural scale.

    Parameters
    ----------
    named : dict of str to (..., size) ndarray
        From `constrain`; of integrated hazards nothing is said where they are not there.
    model : BlockModel
        The blocks, and the rows that they are to explain.

    Returns
    -------
    dict of str to (..., size) ndarray
        In the order of the model's variables.
    """
    density: Values = {}
    for block in model.blocks:
        if all(parameter.name in named for parameter in block.parameters):
            density |= block.log_prior(named)
    return density


def sample_prior(model: BlockModel, rng: np.random.Generator, draws: int) -> Values:
    """Draw every random variable from its prior.

    Returns
    -------
    dict of str to (draws, size) ndarray
    """
    drawn: Values = {}
    for block in model.blocks:
        drawn |= block.draw(rng, draws)
    return drawn


def log_density(vectors: NDArray, model: BlockModel) -> Floats:
    """Log posterior density of unconstrained vectors, log Jacobian included.

    Parameters
    ----------
    vectors : (..., sampled size) ndarray
        In the order of `BlockModel.sampled_parameters`.
    model : BlockModel
        The blocks, and the rows that they are to explain.

    Returns
    -------
    (...) ndarray
    """
    parameters = model.sampled_parameters
    named = constrain(vectors, parameters)
    total = log_jacobian(vectors, parameters)
    for each in log_prior(named, model).values():
        total = total + each.sum(axis=-1)
    at = log_hazards_of(named, model)
    if model.integrated is None:
        return total + log_likelihood(at, model.data)
    return total + integrated_log_likelihood(at, model.data, model.integrated)


def values_information(named: Values, model: BlockModel) -> Floats:
    """Information of the log-likelihood on the blocks' values, one block after the other.

    Parameters
    ----------
    named : dict of str to (size,) ndarray
        From `constrain`, for one point of a model without integrated hazards.
    model : BlockModel
        The blocks, and the rows that they are to explain.

    Returns
    -------
    (values, values) ndarray
        Minus the second derivatives.
    """
    data = model.data
    part = log_likelihood_information(log_hazards_of(named, model), data)
    n_cells, n_terms = data.n_classes * data.n_intervals, data.design.shape[1]
    starts = np.cumsum([0, n_cells, n_terms, *data.group_counts])
    full = np.zeros((starts[-1], starts[-1]))
    of = [slice(start, stop) for start, stop in pairwise(starts)]
    full[of[0], of[0]] = np.diag(part.cells.ravel())
    full[of[0], of[1]] = part.cells_columns.reshape(n_cells, n_terms)
    full[of[1], of[1]] = part.columns
    for k in range(len(data.groups)):
        full[of[0], of[2 + k]] = part.cells_groups[k].reshape(n_cells, -1)
        full[of[1], of[2 + k]] = part.columns_groups[k]
        full[of[2 + k], of[2 + k]] = np.diag(part.groups[k])
    for (first, second), between in part.between_groups.items():
        full[of[2 + first], of[2 + second]] = between
    full = np.triu(full) + np.triu(full, 1).T
    entering = np.concatenate([entering_of(block, data, starts) for block in model.blocks], axis=1)
    return entering.T @ full @ entering


def entering_of(block: AnyBlock, data: SurvivalData, starts: NDArray) -> Floats:
    """How a block's values enter cells, columns and groups, shape (starts[-1], size)."""
    entering = np.zeros((starts[-1], block.size))
    if isinstance(block.enters, Cells):
        entering[: starts[1]] = np.kron(block.enters.loading, np.eye(data.n_intervals))
    elif isinstance(block.enters, Columns):
        first = starts[1] + block.enters.start
        entering[first : first + block.size] = np.eye(block.size)
    else:
        first = starts[2 + block.enters.index]
        entering[first : first + block.size] = np.eye(block.size)
    return entering
