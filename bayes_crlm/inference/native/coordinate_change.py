"""The change of coordinates itself, and its gradient, in machine code."""

from typing import Any

import numpy as np

from bayes_crlm.inference.native.machine_code import compiled

__all__ = ["NONE", "to_model", "to_sampler_gradient"]

NONE = -1


@compiled
def log_scale_of(k: int, scales: Any, scales_of: Any, vector: Any) -> float:
    """Log of the scale of scaled component k, from the model's vector."""
    total = 0.0
    for part in (scales_of[2 * k], scales_of[2 * k + 1]):
        if part >= 0:
            total += vector[scales[part]]
    return total


@compiled
def to_model(point: Any, floats: Any, integers: Any, vector: Any) -> float:
    """Fill in the model's unconstrained vector for a point of the sampler's.

    Parameters
    ----------
    point : (unknowns,) ndarray
        Where the sampler is.
    floats, integers : ndarray
        Of `Coordinates`.
    vector : (unknowns,) ndarray
        Filled.

    Returns
    -------
    float
        Log Jacobian of the map, without its constant.
    """
    n_rest, n_scaled, n_scales = integers[0], integers[1], integers[2]
    rest = integers[3 : 3 + n_rest]
    scaled = integers[3 + n_rest : 3 + n_rest + n_scaled]
    scales = integers[3 + n_rest + n_scaled : 3 + n_rest + n_scaled + n_scales]
    scales_of = integers[3 + n_rest + n_scaled + n_scales :]
    at_root = n_rest
    at_gain = at_root + n_rest * n_rest
    at_rotation = at_gain + n_rest * n_scaled
    at_precision = at_rotation + n_scaled * n_scaled
    at_linear = at_precision + n_scaled
    at_pivot = at_linear + n_scaled
    at_scale = at_pivot + n_scaled
    log_jacobian = 0.0
    for k in range(n_scales):
        vector[scales[k]] = point[scales[k]] + floats[at_scale + k]
    in_basis = np.empty(n_scaled)
    for k in range(n_scaled):
        log_scale = log_scale_of(k, scales, scales_of, vector)
        total = floats[at_precision + k] + np.exp(-2 * log_scale)
        in_basis[k] = floats[at_linear + k] / total + point[scaled[k]] / np.sqrt(total)
        log_jacobian -= log_scale + 0.5 * np.log(total)
    away = np.empty(n_scaled)
    for k in range(n_scaled):
        value = 0.0
        for j in range(n_scaled):
            value += floats[at_rotation + k * n_scaled + j] * in_basis[j]
        away[k] = value - floats[at_pivot + k]
        vector[scaled[k]] = value * np.exp(-log_scale_of(k, scales, scales_of, vector))
    for i in range(n_rest):
        value = floats[i]
        for j in range(i + 1):
            value += floats[at_root + i * n_rest + j] * point[rest[j]]
        for k in range(n_scaled):
            value += floats[at_gain + i * n_scaled + k] * away[k]
        vector[rest[i]] = value
    return log_jacobian


@compiled
def to_sampler_gradient(
    point: Any, vector: Any, slope: Any, floats: Any, integers: Any, gradient: Any
) -> None:
    """Fill in the gradient in the sampler's coordinates, log Jacobian included.

    Parameters
    ----------
    point, vector : (unknowns,) ndarray
        The sampler's point and the model's vector that belongs to it.
    slope : (unknowns,) ndarray
        Gradient of the model's log density.
    floats, integers : ndarray
        Of `Coordinates`.
    gradient : (unknowns,) ndarray
        Filled.
    """
    n_rest, n_scaled, n_scales = integers[0], integers[1], integers[2]
    rest = integers[3 : 3 + n_rest]
    scaled = integers[3 + n_rest : 3 + n_rest + n_scaled]
    scales = integers[3 + n_rest + n_scaled : 3 + n_rest + n_scaled + n_scales]
    scales_of = integers[3 + n_rest + n_scaled + n_scales :]
    at_root = n_rest
    at_gain = at_root + n_rest * n_rest
    at_rotation = at_gain + n_rest * n_scaled
    at_precision = at_rotation + n_scaled * n_scaled
    at_linear = at_precision + n_scaled
    for j in range(n_rest):
        value = 0.0
        for i in range(j, n_rest):
            value += floats[at_root + i * n_rest + j] * slope[rest[i]]
        gradient[rest[j]] = value
    for k in range(n_scales):
        gradient[scales[k]] = slope[scales[k]]
    on_scaled = np.empty(n_scaled)
    for k in range(n_scaled):
        log_scale = log_scale_of(k, scales, scales_of, vector)
        value = slope[scaled[k]] * np.exp(-log_scale)
        for i in range(n_rest):
            value += floats[at_gain + i * n_scaled + k] * slope[rest[i]]
        on_scaled[k] = value
    for k in range(n_scaled):
        slope_in_basis = 0.0
        for j in range(n_scaled):
            slope_in_basis += floats[at_rotation + j * n_scaled + k] * on_scaled[j]
        prior = np.exp(-2 * log_scale_of(k, scales, scales_of, vector))
        total = floats[at_precision + k] + prior
        gradient[scaled[k]] = slope_in_basis / np.sqrt(total)
        moved = 2 * prior * floats[at_linear + k] / total**2
        moved += point[scaled[k]] * prior / total**1.5
        on_scale = -slope[scaled[k]] * vector[scaled[k]] + slope_in_basis * moved
        on_scale += prior / total - 1.0
        for part in (scales_of[2 * k], scales_of[2 * k + 1]):
            if part >= 0:
                gradient[scales[part]] += on_scale
