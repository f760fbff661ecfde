"""A survival model with further unknowns in it, sampled in the survival model's coordinates."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bayes_crlm.inference.pymc_sampling import sample_carefully
from bayes_crlm.model.baseline_priors import GammaProcess

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr

    from bayes_crlm.model.prepared import PreparedCohort


def sample_extended(
    model: "pm.Model",
    inputs: "PreparedCohort",
    n_more: int,
    *,
    structure: tuple[Any, ...],
    **sampling: Any,
) -> "tuple[xr.DataTree, float]":
    """Sample a survival model with further unknowns; again, with smaller steps, when it diverges.

    Parameters
    ----------
    model : pymc.Model
    inputs : PreparedCohort
        The survival model's.
    n_more : int
        Unknowns beside those of the survival model, which come first.
    structure : tuple
        Of the model: those with the same one share what is compiled.
    **sampling
        `draws`, `tune`, `chains`, `seed`, `progress` of `sample_carefully`.

    Returns
    -------
    xarray.DataTree, float
        Draws, and the acceptance rate that they aimed at.
    """
    from bayes_crlm.inference.native.block_coordinates import sampler_coordinates
    from bayes_crlm.inference.native.coordinates import extended_coordinates

    coordinates = extended_coordinates(sampler_coordinates(inputs.block_model), np.zeros(n_more))
    return sample_carefully(model, coordinates=coordinates, structure=structure, **sampling)


def without_integration(inputs: "PreparedCohort") -> "PreparedCohort":
    """Keep a gamma process' hazards in the model: given unknown covariates they stay."""
    if isinstance(inputs.baseline, GammaProcess):
        return replace(inputs, baseline=replace(inputs.baseline, is_integrated=False))
    return inputs


def level_summaries(
    summaries: Sequence[Mapping[str, Any]], inputs: "PreparedCohort"
) -> list[dict[str, Any]]:
    """Say of which treatment level, against which reference, each of the first terms is."""
    reference, *levels = inputs.design.levels
    return [
        {"treatment": level, "reference": reference, **summary}
        for level, summary in zip(levels, summaries, strict=False)
    ]
