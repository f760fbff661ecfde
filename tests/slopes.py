"""Slopes of the densities in NumPy, which the native library's are held against."""

from dataclasses import replace

import numpy as np

from bayes_crlm.likelihood.follow_up import exposure_per_cell, row_cumulative_hazard
from bayes_crlm.likelihood.hazard_table import LogHazards, relative_log_hazards
from bayes_crlm.model.density import constrain, log_density, log_hazards_of
from bayes_crlm.model.families import (
    HalfCauchy,
    HalfNormal,
    HalfStudentT,
    Laplace,
    Normal,
    NormalMixture,
    StudentT,
)
from bayes_crlm.model.integrated_hazards import posterior_of_hazards
from bayes_crlm.model.terms.blocks import UNIT, Cells, Columns
from bayes_crlm.model.terms.gamma_process import GammaHazards
from bayes_crlm.model.terms.horseshoe import LOCAL_SCALE, Shrunk


def log_density_slope(vector, model):
    """Log posterior density of one unconstrained vector, and its slope."""
    named = constrain(vector, model.sampled_parameters)
    at = log_hazards_of(named, model)
    if model.integrated is not None:
        # the likelihood falls in all else as with hazards at their mean given it
        _, shape, rate = posterior_of_hazards(at, model.data, model.integrated)
        mean = np.log(shape / rate)
        at = replace(at, cells=at.cells + model.integrated.enters.loading @ mean)
    on = log_likelihood_slope(at, model.data)
    slopes = {}
    for block in model.in_vector:
        slopes |= slope_of_block(block, named, on_values_of(block, on))
    each = [slopes[parameter.name] for parameter in model.sampled_parameters]
    return float(log_density(vector, model)), np.concatenate(each)


def log_likelihood_slope(at, data):
    """Slope of the log-likelihood at one point, as `LogHazards`.

    With R = D - S exp A and m_i = w_i (d_i - cumulative hazard of row i): R for the table, X'm for
    the columns, the sum of m for each group.
    """
    relative = np.exp(relative_log_hazards(at, data.design, data.groups))
    weighted = exposure_per_cell(data.follow_up, relative, data.class_index, data.n_classes)
    cumulative = row_cumulative_hazard(at.cells, data.follow_up, data.class_index) * relative
    return LogHazards(
        cells=data.events_per_cell - np.exp(at.cells) * weighted,
        effect=data.event_design - cumulative @ data.design,
        groups=tuple(
            events - np.bincount(group, cumulative, len(events))
            for group, events in zip(data.groups, data.events_per_group, strict=True)
        ),
    )


def on_values_of(block, on):
    """Slope with regard to a block's values from that with regard to the hazards, (size,)."""
    if isinstance(block.enters, Cells):
        return (block.enters.loading.T @ on.cells).ravel()
    if isinstance(block.enters, Columns):
        return on.effect[block.enters.start : block.enters.stop]
    return on.groups[block.enters.index]


def slope_of_block(block, named, on_values):
    """Slope of the log posterior in the sampler's coordinates, by name.

    `on_values` is the slope of the log-likelihood with regard to the block's values.
    """
    if isinstance(block, Shrunk):
        return slope_of_shrunk(block, named, on_values)
    if isinstance(block, GammaHazards):
        prior = block.shape.ravel() - block.rate.ravel() * named[block.name]
        return {block.name: on_values + prior}
    slope, on_scaled, walk = {}, on_values, block.walk
    if walk is not None:
        on_path = on_values.reshape(-1, walk.n_intervals)
        if walk.level is not None:
            on_path = on_path.copy()
            at_anchor = block.at_anchor(named, walk.level)
            on_path[:, walk.level.anchor] += prior_slope(walk.level.prior, at_anchor)
            slope[block.level_name] = on_path.sum(axis=1)
        moved = on_path - walk.centre * on_path.sum(axis=-1, keepdims=True)
        # a step moves all later intervals
        on_scaled = np.cumsum(moved[..., :0:-1], axis=-1)[..., ::-1]
    if not block.priors:
        return slope
    unit, scale = named[block.unit_name], 1.0
    if block.scale is not None:
        scale = named[block.scale_name]
        moved = (on_scaled * block.scaled(named)).sum()
        slope[block.scale_name] = moved + 1 + scale * prior_slope(block.scale, scale)
    if walk is not None:
        on_scaled = (on_scaled * walk.step_sds).ravel()
    of_prior = [prior_slope(family, x) for family, x in zip(block.priors, unit, strict=True)]
    slope[block.unit_name] = scale * on_scaled + of_prior
    return slope


def slope_of_shrunk(block, named, on_values):
    overall, local, unit = (named[name] for name in block.names)
    moved = on_values * overall * local * unit
    slopes = (
        moved.sum() + 1 + overall * prior_slope(block.global_scale, overall),
        moved + 1 + local * prior_slope(LOCAL_SCALE, local),
        on_values * overall * local + prior_slope(UNIT, unit),
    )
    return dict(zip(block.names, slopes, strict=True))


def prior_slope(family, x):
    """Slope of a prior's log density, elementwise."""
    match family:
        case Normal(mean=mean, sd=sd):
            return -(x - mean) / sd**2
        case StudentT(degrees_of_freedom=nu, location=location, scale=scale):
            return -(nu + 1) * (x - location) / (nu * scale**2 + (x - location) ** 2)
        case Laplace(location=location, scale=scale):
            return -np.sign(x - location) / scale
        case NormalMixture(weights=weights, means=means, sds=sds):
            away = np.asarray(x)[..., None] - means
            part = np.array(weights) / sds * np.exp(-0.5 * (away / sds) ** 2)
            return -(part * away / np.square(sds)).sum(axis=-1) / part.sum(axis=-1)
        case HalfNormal(scale=scale):
            return -x / scale**2
        case HalfStudentT(degrees_of_freedom=nu, scale=scale):
            return -(nu + 1) * x / (nu * scale**2 + x**2)
        case HalfCauchy(scale=scale):
            return -2 * x / (scale**2 + x**2)
    raise TypeError(f"no slope of {family!r}")
