"""The unknowns of a prepared cohort's model, by name; see `bayes_crlm.model.density`."""

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model import density
from bayes_crlm.model.density import LEAST_LOG_HAZARD, constrain, draw_log_gamma, log_jacobian
from bayes_crlm.model.terms.blocks import Parameter, Values

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "HALF_LOG_2_OVER_PI",
    "LEAST_LOG_HAZARD",
    "Parameter",
    "Values",
    "constrain",
    "draw_integrated",
    "draw_log_gamma",
    "draw_prior",
    "effects",
    "gamma_parameters",
    "log_hazards",
    "log_hazards_of",
    "log_jacobian",
    "log_prior",
    "model_parameters",
    "sampled_parameters",
]

HALF_LOG_2_OVER_PI = 0.5 * math.log(2 / math.pi)


def model_parameters(inputs: "PreparedCohort") -> tuple[Parameter, ...]:
    """List the model's random variables in the order of the sampler's vector."""
    return inputs.block_model.parameters


def sampled_parameters(inputs: "PreparedCohort") -> tuple[Parameter, ...]:
    """List what the sampler moves: all variables but integrated hazards."""
    return inputs.block_model.sampled_parameters


def draw_integrated(
    vectors: NDArray, inputs: "PreparedCohort", rng: np.random.Generator
) -> NDArray[np.float64]:
    """Complete unconstrained vectors by draws of gamma hazards given the effects."""
    return density.complete_hazards(vectors, inputs.block_model, rng)


def log_hazards_of(values: Values, inputs: "PreparedCohort") -> LogHazards:
    """Log-hazards of all rows as the likelihood takes them."""
    return density.log_hazards_of(values, inputs.block_model)


def effects(values: Values, inputs: "PreparedCohort") -> NDArray:
    """Log hazard ratios on the sampling scale, treatment first, shape (..., terms)."""
    return log_hazards_of(values, inputs).effect


def log_hazards(values: Values, inputs: "PreparedCohort") -> NDArray:
    """Log-hazards at the covariates' means, shape (..., intervals)."""
    return log_hazards_of(values, inputs).cells[..., 0, :]


def log_prior(values: Values, inputs: "PreparedCohort") -> Values:
    """Log prior density of every random variable's entries, on the natural scale."""
    return density.log_prior(values, inputs.block_model)


def draw_prior(inputs: "PreparedCohort", rng: np.random.Generator, draws: int) -> Values:
    """Draw every random variable from its prior."""
    return density.draw_prior(inputs.block_model, rng, draws)


def gamma_parameters(inputs: "PreparedCohort") -> tuple[NDArray, NDArray]:
    """Shape and rate of the gamma process in every interval."""
    rate = inputs.baseline.parameters["weight"] * inputs.intervals.width
    return rate * math.exp(inputs.log_rate), rate
