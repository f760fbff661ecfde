"""A cohort of `fit_many` whose model has terms of other kinds: drawn from by itself.

Its rows are those of its columns, then what the terms have beside columns: logs of scales, and log
hazard ratios of groups and of intervals.
"""

import numpy as np

from bayes_crlm.inference.importance import sample_model
from bayes_crlm.inference.layout import why_not_approximated
from bayes_crlm.inference.weighted import BlockSummary, summarise
from bayes_crlm.model.density import constrain
from bayes_crlm.model.prepared import PreparedCohort


def names_of_rows(inputs: PreparedCohort) -> tuple[str, ...]:
    """Name what is reported of a cohort: columns, then what terms have beside them."""
    parameters = inputs.block_model.parameters
    size = sum(parameter.size for parameter in parameters)
    others = inputs.values_of_terms(constrain(np.zeros((1, size)), parameters))
    return (*inputs.design.terms, *others)


def summary_of_one(
    inputs: PreparedCohort, draws: int, rng: np.random.Generator, thresholds: tuple[float, ...]
) -> BlockSummary:
    """Draw from one cohort's posterior and summarise, a row for each of `names_of_rows`.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    draws : int
        An even number.
    rng : numpy.random.Generator
        Source of randomness.
    thresholds : tuple of float
        Hazard ratios above 0.
    """
    n_columns, n_rows = len(inputs.design.terms), len(names_of_rows(inputs))
    scale = np.concatenate([inputs.design.scale, np.ones(n_rows - n_columns)])
    drawn = None
    if why_not_approximated(inputs.block_model) is None:
        drawn = sample_model(inputs.block_model, draws, rng)
    if drawn is None:
        nothing = (np.array([np.nan]), np.array([0.0]), np.array([False]))
        values, weight = np.zeros((draws, n_rows)), np.full(draws, 1 / draws)
        alike = np.zeros((1, draws), dtype=np.int64)
        return summarise(values[None], weight[None], scale[None], thresholds, alike, nothing)
    possible = np.isfinite(drawn.log_ratio)
    named = constrain(drawn.vectors[possible], inputs.block_model.parameters)
    others = inputs.values_of_terms(named)
    values = np.column_stack([drawn.effect[possible], *others.values()])
    weight = drawn.weight[possible] / drawn.weight[possible].sum()
    quality = (np.array([drawn.pareto_k]), np.array([drawn.ess]), np.array([True]))
    scramble = drawn.scramble[possible][None]
    return summarise(values[None], weight[None], scale[None], thresholds, scramble, quality)
