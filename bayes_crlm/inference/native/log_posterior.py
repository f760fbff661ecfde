"""Log posterior density of the model's unconstrained vector, with its gradient, in one function.

It is the density of the `pm.Model` that `ModelDefinition.build` gives, normalising constants
included, for every prior that a spec allows; tests hold it against that model. Which priors a
model has, all lengths, prior parameters and data are arguments, in two flat vectors: one
function, compiled once on a machine, serves every model and cohort.
"""

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bayes_crlm.inference.native.exposure_sums import exposure_sums, sort_rows
from bayes_crlm.inference.native.machine_code import compiled, inlined
from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.priors import Horseshoe, SimplePrior, simple_prior
from bayes_crlm.model.unknowns import HALF_LOG_2_OVER_PI, gamma_parameters

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["DensityData", "density_data", "log_posterior"]

# what the first integers say of a model's priors
NORMAL, STUDENT_T, LAPLACE, HORSESHOE = 0, 1, 2, 3
FAMILIES = {"normal": NORMAL, "student_t": STUDENT_T, "laplace": LAPLACE, "horseshoe": HORSESHOE}
INDEPENDENT, RANDOM_WALK, ONE_INTERVAL, GAMMA, GAMMA_INTEGRATED = 0, 1, 2, 3, 4
N_CODES, N_PRIOR_FLOATS = 8, 10
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class DensityData(NamedTuple):
    """What a density takes beside the point.

    Attributes
    ----------
    floats : (n,) ndarray of float
        Arrays and prior parameters, one after the other.
    integers : (m,) ndarray of int
        Which priors, lengths, and positions.
    """

    floats: NDArray[np.float64]
    integers: NDArray[np.int64]


def density_data(inputs: "PreparedCohort") -> DensityData:
    """Put a cohort and its priors into the order in which `log_posterior` takes them.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    data = inputs.density_data
    rows, baseline = sort_rows(data), inputs.baseline
    n_intervals, split = inputs.intervals.n_intervals, inputs.n_treatment_terms
    parameters = baseline.parameters
    if isinstance(baseline, GammaProcess):
        kind = GAMMA_INTEGRATED if inputs.is_baseline_integrated else GAMMA
        of_baseline = [parameters["weight"], 0.0]
    elif isinstance(baseline, Independent):
        kind, of_baseline = INDEPENDENT, [parameters["sd"], 0.0]
    else:
        kind = RANDOM_WALK if n_intervals > 1 else ONE_INTERVAL
        of_baseline = [parameters["sd"], parameters["step_scale_sd"]]
    level = inputs.level_interval if inputs.has_walk else 0
    variances = inputs.step_variances if inputs.has_walk else np.zeros(n_intervals - 1)
    codes = [
        kind,
        FAMILIES[inputs.treatment_prior.family],
        FAMILIES[inputs.covariate_prior.family],
        split,
        inputs.n_covariate_terms,
        n_intervals,
        len(rows.within),
        level,
    ]
    effect_priors = [inputs.treatment_prior.parameters, inputs.covariate_prior.parameters]
    of_effects = [each.get(name, 0.0) for each in effect_priors for name in ("nu", "mean", "scale")]
    share = inputs.intervals.events / inputs.intervals.events.sum()
    numbers = [log_constant(inputs), inputs.log_rate, *of_baseline, *of_effects]
    return DensityData(
        floats=np.concatenate(
            [
                numbers,
                data.follow_up.width,
                data.events_per_interval,
                share,
                np.sqrt(variances),
                data.event_design,
                rows.within,
                rows.count,
                rows.columns.ravel(),
            ],
            dtype=np.float64,
        ),
        integers=np.concatenate([codes, rows.bounds], dtype=np.int64),
    )


def log_constant(inputs: "PreparedCohort") -> float:
    """All of the log density that depends on no unknown."""
    n_intervals = inputs.intervals.n_intervals
    total = inputs.n_treatment_terms * peak(simple_prior(inputs.treatment_prior))
    n_covariates, prior = inputs.n_covariate_terms, inputs.covariate_prior
    if isinstance(prior, Horseshoe):
        if n_covariates:
            total += math.log(2 / (math.pi * prior.scale))
            total += n_covariates * (math.log(2 / math.pi) - HALF_LOG_2PI)
    else:
        total += n_covariates * peak(prior)
    baseline = inputs.baseline
    if isinstance(baseline, GammaProcess):
        shape, rate = gamma_parameters(inputs)
        total += float(shape @ np.log(rate)) - sum(map(math.lgamma, shape.tolist()))
        if inputs.is_baseline_integrated:
            after = shape + inputs.density_data.events_per_interval
            total += sum(map(math.lgamma, after.tolist()))
    elif isinstance(baseline, Independent):
        total -= n_intervals * (math.log(baseline.sd) + HALF_LOG_2PI)
    else:
        total -= math.log(baseline.level_sd) + HALF_LOG_2PI
        if n_intervals > 1:
            total += HALF_LOG_2_OVER_PI - math.log(baseline.step_scale_sd)
            total -= (n_intervals - 1) * HALF_LOG_2PI
    return total


def peak(prior: SimplePrior) -> float:
    """Log density of a prior where it is largest."""
    return float(prior.log_density(np.array(prior.parameters["mean"])))


@inlined
def effect_prior(
    family: int, nu: float, mean: float, scale: float, effect: float
) -> tuple[float, float]:
    """Log prior density of an effect but for its constant, and its slope."""
    distance = effect - mean
    if family == NORMAL:
        return -0.5 * (distance / scale) ** 2, -distance / scale**2
    if family == STUDENT_T:
        value = -(nu + 1) / 2 * np.log1p((distance / scale) ** 2 / nu)
        return value, -(nu + 1) * distance / (nu * scale**2 + distance**2)
    return -abs(distance) / scale, -np.sign(distance) / scale


@inlined
def log_half_cauchy(log_value: float, scale: float) -> tuple[float, float]:
    """Log density of the log of a half-Cauchy variable but for its constant, and its slope."""
    ratio = np.exp(log_value) / scale
    # 2 r^2 / (1 + r^2), also where r is too large to be squared
    return log_value - np.log1p(ratio**2), 1.0 - 2.0 / (1.0 + ratio**-2)


@compiled
def log_posterior(vector: Any, floats: Any, integers: Any, slope: Any) -> float:
    """Log posterior density of an unconstrained vector, log Jacobian included.

    Parameters
    ----------
    vector : (unknowns,) ndarray
        In the order of `bayes_crlm.model.unknowns.sampled_parameters`.
    floats, integers : ndarray
        Of `density_data`.
    slope : (unknowns,) ndarray
        Filled with the gradient.

    Returns
    -------
    float
    """
    baseline, of_treatment, of_covariates = integers[0], integers[1], integers[2]
    n_treatment, n_covariates = integers[3], integers[4]
    n_intervals, n_rows, level_interval = integers[5], integers[6], integers[7]
    bounds = integers[N_CODES:]
    n_terms = n_treatment + n_covariates
    log_rate = floats[1]
    at = N_PRIOR_FLOATS
    width = floats[at : at + n_intervals]
    at += n_intervals
    events = floats[at : at + n_intervals]
    at += n_intervals
    share = floats[at : at + n_intervals]
    at += n_intervals
    # standard deviations of a walk's steps when their scale is 1
    deviations = floats[at : at + n_intervals - 1]
    at += n_intervals - 1
    event_design = floats[at : at + n_terms]
    at += n_terms
    within = floats[at : at + n_rows]
    at += n_rows
    count = floats[at : at + n_rows]
    columns = floats[at + n_rows :]

    total = floats[0]
    effect = np.empty(n_terms)
    n_shrunk = n_covariates if of_covariates == HORSESHOE else 0
    n_plain = n_terms - n_shrunk
    overall, at_local, at_unit, after_effects = 0.0, 0, 0, n_terms
    # element by element: an assignment of slices takes Numba seconds to compile
    for k in range(n_plain):
        effect[k] = vector[k]
    if n_shrunk:
        overall = np.exp(vector[n_treatment])
        at_local, at_unit = n_treatment + 1, n_treatment + 1 + n_shrunk
        for k in range(n_shrunk):
            scale = overall * np.exp(vector[at_local + k])
            effect[n_treatment + k] = scale * vector[at_unit + k]
        after_effects = at_unit + n_shrunk

    # hazards; 1 where they are integrated out
    hazard, log_hazard = np.empty(n_intervals), np.empty(n_intervals)
    step_scale = walk = centre = 0.0
    at_level = after_effects + n_intervals
    if baseline == RANDOM_WALK:
        step_scale = np.exp(vector[after_effects])
    for j in range(n_intervals):
        if baseline == RANDOM_WALK:
            if j > 0:
                walk += step_scale * deviations[j - 1] * vector[after_effects + j]
            log_hazard[j] = walk
            centre += share[j] * walk
        elif baseline == GAMMA_INTEGRATED:
            log_hazard[j] = 0.0
        else:
            log_hazard[j] = vector[after_effects + j]
    if baseline == RANDOM_WALK:
        for j in range(n_intervals):
            log_hazard[j] += vector[at_level] - centre
    for j in range(n_intervals):
        hazard[j] = np.exp(log_hazard[j])

    # likelihood
    exposure, on_effect = np.empty(n_intervals), np.empty(n_terms)
    cumulative = exposure_sums(
        effect, hazard, columns, bounds, within, count, width, exposure, on_effect
    )
    if baseline == GAMMA_INTEGRATED:
        # Kalbfleisch (1978): interval j contributes -(shape + D) log(rate + S)
        for j in range(n_intervals):
            rate = floats[2] * width[j]
            shape = rate * np.exp(log_rate) + events[j]
            total -= shape * np.log(rate + exposure[j])
            hazard[j] = shape / (rate + exposure[j])
        exposure_sums(effect, hazard, columns, bounds, within, count, width, exposure, on_effect)
    else:
        total -= cumulative
        for j in range(n_intervals):
            total += events[j] * log_hazard[j]
    for k in range(n_terms):
        total += event_design[k] * effect[k]
        on_effect[k] = event_design[k] - on_effect[k]

    # priors of the effects, and how the vector moves them
    for k in range(n_plain):
        if k < n_treatment:
            value, on_prior = effect_prior(of_treatment, floats[4], floats[5], floats[6], effect[k])
        else:
            value, on_prior = effect_prior(
                of_covariates, floats[7], floats[8], floats[9], effect[k]
            )
        total += value
        slope[k] = on_effect[k] + on_prior
    if n_shrunk:
        value, slope[n_treatment] = log_half_cauchy(vector[n_treatment], floats[9])
        total += value
        for k in range(n_shrunk):
            moved = on_effect[n_treatment + k] * effect[n_treatment + k]
            unit = vector[at_unit + k]
            value, of_local = log_half_cauchy(vector[at_local + k], 1.0)
            total += value - 0.5 * unit**2
            slope[n_treatment] += moved
            slope[at_local + k] = of_local + moved
            scale = overall * np.exp(vector[at_local + k])
            slope[at_unit + k] = on_effect[n_treatment + k] * scale - unit

    # priors of the hazards
    if baseline == GAMMA_INTEGRATED:
        return total
    for j in range(n_intervals):
        exposure[j] = events[j] - hazard[j] * exposure[j]
    on_hazard = exposure
    if baseline == GAMMA:
        for j in range(n_intervals):
            rate = floats[2] * width[j]
            shape = rate * np.exp(log_rate)
            total += shape * log_hazard[j] - rate * hazard[j]
            slope[after_effects + j] = on_hazard[j] + shape - rate * hazard[j]
    elif baseline == RANDOM_WALK:
        deviation = (log_hazard[level_interval] - log_rate) / floats[2]
        on_hazard[level_interval] -= deviation / floats[2]
        of_scale = step_scale / floats[3]
        total += vector[after_effects] - 0.5 * of_scale**2 - 0.5 * deviation**2
        on_level = 0.0
        for j in range(n_intervals):
            on_level += on_hazard[j]
        slope[at_level] = on_level
        # what a step moves: all later log-hazards, and the walk's centre
        on_scale, later = 1.0 - of_scale**2, 0.0
        for j in range(n_intervals - 1, 0, -1):
            step = vector[after_effects + j]
            later += on_hazard[j] - share[j] * on_level
            total -= 0.5 * step**2
            moved = step_scale * deviations[j - 1] * later
            slope[after_effects + j] = moved - step
            on_scale += moved * step
        slope[after_effects] = on_scale
    else:
        # log-hazards normal around the overall rate
        for j in range(n_intervals):
            deviation = (log_hazard[j] - log_rate) / floats[2]
            total -= 0.5 * deviation**2
            slope[after_effects + j] = on_hazard[j] - deviation / floats[2]
    return total
