"""A survival model with further unknowns in it, sampled in the survival model's coordinates."""

import math
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from bayes_crlm.inference.pymc_sampling import sample_carefully, value_shapes
from bayes_crlm.inference.sample_diagnostics import (
    SamplingDiagnostics,
    diagnose_sample,
    ratio_summary,
)
from bayes_crlm.model.baseline_priors import GammaProcess
from bayes_crlm.model.prepared import PreparedCohort
from bayes_crlm.words.records import record

if TYPE_CHECKING:
    import pymc as pm
    import xarray as xr


@record(eq=False)
class ExtendedFit:
    """Posterior of a survival model with further unknowns.

    Attributes
    ----------
    inputs : PreparedCohort
        The survival model's.
    posterior : xarray.DataTree
        Draws; `log_hazard_ratio` is in original units.
    diagnostics : SamplingDiagnostics
        Where they fail, the result is not to be trusted.
    target_accept : float
        Of the draws that are used.
    """

    inputs: PreparedCohort
    posterior: "xr.DataTree"
    diagnostics: SamplingDiagnostics
    target_accept: float

    @classmethod
    def sample(
        cls,
        model: "pm.Model",
        inputs: PreparedCohort,
        looked_at: list[str],
        *,
        structure: tuple[Any, ...],
        about: dict[str, Any] | None = None,
        **sampling: Any,
    ) -> Self:
        """Sample such a model; again, with smaller steps, when it diverges.

        Parameters
        ----------
        model : pymc.Model
            The survival model with unknowns of its own beside it.
        inputs : PreparedCohort
            The survival model's.
        looked_at : list of str
            Variables that the diagnostics are of, beside hazards and hazard ratios.
        structure : tuple
            Of the model, beside that of the survival model: those with the same one share what is
            compiled.
        about : dict, optional
            Attributes of the fit that are its own kind's.
        **sampling
            `draws`, `tune`, `chains`, `seed`, `progress` of `sample_model`.
        """
        from bayes_crlm.inference.block_coordinates import sampler_coordinates
        from bayes_crlm.inference.native.coordinates import extended_coordinates

        own = sampler_coordinates(inputs.block_model)
        # the survival model's come first
        size = sum(math.prod(shape) for shape in value_shapes(model))
        n_more = size - sum(each.size for each in inputs.block_model.sampled_parameters)
        tree, target_accept = sample_carefully(
            model,
            coordinates=extended_coordinates(own, np.zeros(n_more)),
            structure=(*structure, *inputs.structure),
            **sampling,
        )
        found = diagnose_sample(tree, ["log_hazard", "log_hazard_ratio", *looked_at])
        return cls(inputs, tree, found, target_accept, **(about or {}))

    @cached_property
    def ratios(self) -> list[dict[str, Any]]:
        """What `ratio_summary` gives of every design column's hazard ratio."""
        draws = self.posterior["posterior"]["log_hazard_ratio"].transpose("term", ...)
        return [ratio_summary(each) for each in draws]

    @property
    def hazard_ratios(self) -> list[dict[str, Any]]:
        """The same of every treatment level: `treatment`, against `reference`."""
        reference, *levels = self.inputs.design.levels
        return [
            {"treatment": level, "reference": reference, **summary}
            for level, summary in zip(levels, self.ratios, strict=False)
        ]

    def prob_below(self, effect: float) -> list[float]:
        """Probability that each design column's hazard ratio is below an effect."""
        draws = np.asarray(self.posterior["posterior"]["log_hazard_ratio"])
        return np.mean(draws < np.log(effect), axis=(0, 1)).tolist()


def without_integration(inputs: PreparedCohort) -> PreparedCohort:
    """Keep a gamma process' hazards in the model: given unknown covariates they stay."""
    if isinstance(inputs.baseline, GammaProcess):
        return replace(inputs, baseline=replace(inputs.baseline, is_integrated=False))
    return inputs
