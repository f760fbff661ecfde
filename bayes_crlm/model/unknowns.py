"""The model's unknowns: their order in one vector, their transforms, prior draws and densities.

Samplers move an unconstrained vector; people read log-hazards and log hazard ratios. The
order and names here are those of the `pm.Model` of `bayes_crlm.fit.piecewise_exponential`.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.likelihood.follow_up import exposure_per_interval
from bayes_crlm.likelihood.hazard_table import LogHazards
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.priors import Horseshoe, Normal, simple_prior

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = [
    "LEAST_LOG_HAZARD",
    "Parameter",
    "Values",
    "constrain",
    "draw_integrated",
    "draw_log_gamma",
    "draw_prior",
    "effects",
    "log_hazards",
    "log_hazards_of",
    "log_jacobian",
    "log_prior",
    "model_parameters",
    "sampled_parameters",
]

Values = dict[str, NDArray[np.float64]]
# a hazard of no more is 0 for every purpose, and still has a logarithm
LEAST_LOG_HAZARD = math.log(np.finfo(float).tiny)
HALF_LOG_2_OVER_PI = 0.5 * math.log(2 / math.pi)


@dataclass(frozen=True)
class Parameter:
    """One random variable of the model.

    Attributes
    ----------
    name : str
        Its name in the `pm.Model` and in the posterior.
    size : int
        Number of entries.
    dim : str or None
        Its dimension's name; None for a scalar.
    transform : {"none", "log"}
        How the sampler's unconstrained value is made.
    """

    name: str
    size: int
    dim: str | None
    transform: Literal["none", "log"] = "none"


def model_parameters(inputs: "PreparedCohort") -> tuple[Parameter, ...]:
    """List the model's random variables in the order of the sampler's vector.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    n_intervals, n_covariates = inputs.intervals.n_intervals, inputs.n_covariate_terms
    listed = [Parameter("treatment_effect", inputs.n_treatment_terms, "treatment_term")]
    if n_covariates and isinstance(inputs.covariate_prior, Horseshoe):
        listed += [
            Parameter("shrinkage_global", 1, None, "log"),
            Parameter("shrinkage_local", n_covariates, "covariate_term", "log"),
            Parameter("covariate_unit_effect", n_covariates, "covariate_term"),
        ]
    elif n_covariates:
        listed.append(Parameter("covariate_effect", n_covariates, "covariate_term"))
    if isinstance(inputs.baseline, Independent):
        listed.append(Parameter("log_hazard", n_intervals, "interval"))
    elif isinstance(inputs.baseline, GammaProcess):
        listed.append(Parameter("hazard", n_intervals, "interval", "log"))
    else:
        if n_intervals > 1:
            listed.append(Parameter("step_scale", 1, None, "log"))
            listed.append(Parameter("unit_step", n_intervals - 1, "step"))
        listed.append(Parameter("log_hazard_level", 1, None))
    return tuple(listed)


def sampled_parameters(inputs: "PreparedCohort") -> tuple[Parameter, ...]:
    """List what the sampler moves: all variables but integrated hazards."""
    return tuple(
        parameter
        for parameter in model_parameters(inputs)
        if not (inputs.is_baseline_integrated and parameter.name == "hazard")
    )


def draw_integrated(
    vectors: NDArray, inputs: "PreparedCohort", rng: np.random.Generator
) -> NDArray[np.float64]:
    """Complete unconstrained vectors by draws of gamma hazards given the effects.

    Parameters
    ----------
    vectors : (..., sampled size) ndarray
        In the order of `sampled_parameters`.
    inputs : PreparedCohort
        With an integrated gamma process.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    (..., total size) ndarray
        In the order of `model_parameters`.
    """
    flat = vectors.reshape(-1, vectors.shape[-1])
    effect = effects(constrain(flat, sampled_parameters(inputs)), inputs)
    data = inputs.density_data
    exposure = np.stack(
        [exposure_per_interval(data.follow_up, np.exp(data.design @ each)) for each in effect]
    )
    shape, rate = gamma_parameters(inputs)
    log_hazard = draw_log_gamma(shape + data.events_per_interval, exposure.shape, rng)
    log_hazard = np.maximum(log_hazard - np.log(rate + exposure), LEAST_LOG_HAZARD)
    full = np.concatenate([flat, log_hazard], axis=1)
    return full.reshape(*vectors.shape[:-1], -1)


def draw_log_gamma(
    shape: NDArray, size: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw logarithms of gamma variables of rate 1, also where those would underflow to 0.

    Parameters
    ----------
    shape : (intervals,) ndarray
        Of the gamma distribution, above 0.
    size : (..., intervals)
        Of what is returned.
    rng : numpy.random.Generator
        Gives the random numbers.

    References
    ----------
    Marsaglia & Tsang (2000), ACM Trans Math Softw 26:363-372, section 6: a variable of shape a is
    one of shape a + 1 times a uniform to the power of 1 / a.
    """
    is_small = shape < 1
    log_draw = np.log(rng.standard_gamma(shape + is_small, size))
    if is_small.any():
        uniform = rng.standard_exponential((*size[:-1], int(is_small.sum())))
        log_draw[..., is_small] -= uniform / shape[is_small]
    return log_draw


def constrain(vector: NDArray, parameters: tuple[Parameter, ...]) -> Values:
    """Split unconstrained vectors into named values on their natural scale.

    Parameters
    ----------
    vector : (..., total size) ndarray
        Unconstrained values.
    parameters : tuple of Parameter
        From `model_parameters`.

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


def log_jacobian(vector: NDArray, parameters: tuple[Parameter, ...]) -> NDArray:
    """Log Jacobian of `constrain`, shape (...)."""
    total = np.zeros(vector.shape[:-1])
    position = 0
    for parameter in parameters:
        if parameter.transform == "log":
            total = total + vector[..., position : position + parameter.size].sum(axis=-1)
        position += parameter.size
    return total


def effects(values: Values, inputs: "PreparedCohort") -> NDArray:
    """Log hazard ratios on the sampling scale, treatment first, shape (..., terms)."""
    treatment = values["treatment_effect"]
    if not inputs.n_covariate_terms:
        return treatment
    if isinstance(inputs.covariate_prior, Horseshoe):
        covariates = (
            values["shrinkage_global"] * values["shrinkage_local"] * values["covariate_unit_effect"]
        )
    else:
        covariates = values["covariate_effect"]
    return np.concatenate([treatment, covariates], axis=-1)


def log_hazards_of(values: Values, inputs: "PreparedCohort") -> LogHazards:
    """Log-hazards of all rows as the likelihood takes them."""
    return LogHazards.of_one_class(log_hazards(values, inputs), effects(values, inputs))


def log_hazards(values: Values, inputs: "PreparedCohort") -> NDArray:
    """Log-hazards at the covariates' means, shape (..., intervals)."""
    if isinstance(inputs.baseline, Independent):
        return values["log_hazard"]
    if isinstance(inputs.baseline, GammaProcess):
        return np.log(values["hazard"])
    level = values["log_hazard_level"]
    if "unit_step" not in values:
        return level
    return level + centred_walk(values, inputs)


def centred_walk(values: Values, inputs: "PreparedCohort") -> NDArray:
    """Walk whose mean weighted by events per interval is 0, shape (..., intervals)."""
    deviation = values["step_scale"] * np.sqrt(inputs.step_variances)
    steps = np.cumsum(deviation * values["unit_step"], axis=-1)
    walk = np.concatenate([np.zeros_like(steps[..., :1]), steps], axis=-1)
    share = inputs.intervals.events / inputs.intervals.events.sum()
    return walk - (walk * share).sum(axis=-1, keepdims=True)


def level_offset(values: Values, inputs: "PreparedCohort") -> NDArray | float:
    """What the log-hazard that has the level's prior lies above the level, shape (..., 1)."""
    if "unit_step" not in values:
        return 0.0
    return centred_walk(values, inputs)[..., inputs.level_interval, None]


def log_prior(values: Values, inputs: "PreparedCohort") -> Values:
    """Log prior density of every random variable's entries, on the natural scale.

    Parameters
    ----------
    values : dict of str to (..., size) ndarray
        From `constrain`.
    inputs : PreparedCohort
        A cohort as the model sees it.

    Returns
    -------
    dict of str to (..., size) ndarray
    """
    density: Values = {}
    for name, value in values.items():
        if name == "treatment_effect":
            density[name] = simple_prior(inputs.treatment_prior).log_density(value)
        elif name == "covariate_effect":
            density[name] = simple_prior(inputs.covariate_prior).log_density(value)
        elif name == "shrinkage_global":
            density[name] = half_cauchy(value, inputs.covariate_prior.parameters["scale"])
        elif name == "shrinkage_local":
            density[name] = half_cauchy(value, 1.0)
        elif name in ("covariate_unit_effect", "unit_step"):
            density[name] = Normal(0.0, 1.0).log_density(value)
        elif name == "log_hazard":
            sd = inputs.baseline.parameters["sd"]
            density[name] = Normal(inputs.log_rate, sd).log_density(value)
        elif name == "log_hazard_level":
            sd = inputs.baseline.parameters["sd"]
            offset = level_offset(values, inputs)
            density[name] = Normal(inputs.log_rate, sd).log_density(value + offset)
        elif name == "step_scale":
            sd = inputs.baseline.parameters["step_scale_sd"]
            density[name] = HALF_LOG_2_OVER_PI - math.log(sd) - 0.5 * (value / sd) ** 2
        elif name == "hazard":
            shape, rate = gamma_parameters(inputs)
            density[name] = (
                shape * np.log(rate)
                - np.array([math.lgamma(entry) for entry in shape])
                + (shape - 1) * np.log(value)
                - rate * value
            )
        else:
            raise KeyError(name)
    return density


def draw_prior(inputs: "PreparedCohort", rng: np.random.Generator, draws: int) -> Values:
    """Draw every random variable from its prior.

    Returns
    -------
    dict of str to (draws, size) ndarray
    """
    values: Values = {}
    for parameter in model_parameters(inputs):
        size = (draws, parameter.size)
        name = parameter.name
        if name == "treatment_effect":
            values[name] = simple_prior(inputs.treatment_prior).draw(rng, size)
        elif name == "covariate_effect":
            values[name] = simple_prior(inputs.covariate_prior).draw(rng, size)
        elif name == "shrinkage_global":
            scale = inputs.covariate_prior.parameters["scale"]
            values[name] = np.abs(scale * rng.standard_cauchy(size))
        elif name == "shrinkage_local":
            values[name] = np.abs(rng.standard_cauchy(size))
        elif name in ("covariate_unit_effect", "unit_step"):
            values[name] = rng.standard_normal(size)
        elif name in ("log_hazard", "log_hazard_level"):
            values[name] = rng.normal(inputs.log_rate, inputs.baseline.parameters["sd"], size)
            if name == "log_hazard_level":
                values[name] = values[name] - level_offset(values, inputs)
        elif name == "step_scale":
            sd = inputs.baseline.parameters["step_scale_sd"]
            values[name] = np.abs(rng.normal(0.0, sd, size))
        elif name == "hazard":
            shape, rate = gamma_parameters(inputs)
            # a tiny shape can underflow to 0, whose logarithm is not a number
            values[name] = np.maximum(rng.gamma(shape, 1 / rate, size), np.finfo(float).tiny)
        else:
            raise KeyError(name)
    return values


def half_cauchy(value: NDArray, scale: float) -> NDArray:
    """Log density of a half-Cauchy distribution."""
    return math.log(2 / (math.pi * scale)) - np.log1p((value / scale) ** 2)


def gamma_parameters(inputs: "PreparedCohort") -> tuple[NDArray, NDArray]:
    """Shape and rate of the gamma process in every interval."""
    rate = inputs.baseline.parameters["weight"] * inputs.intervals.width
    return rate * math.exp(inputs.log_rate), rate
