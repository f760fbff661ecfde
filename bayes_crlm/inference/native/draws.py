"""Draws weighed, and summed up, by the native library, for a chunk of cohorts in one call."""

import ctypes
from typing import ClassVar

from bayes_crlm.inference.native.flat_density import Elements
from bayes_crlm.inference.native.library import (
    BEST,
    INTEGER,
    NUMBER,
    POINTER,
    kernels,
    load_library,
)
from bayes_crlm.inference.native.stacks import ArrayStructure

INDEPENDENT, GAMMA, WALK = 0, 1, 2
SEED_WORDS = 32


class HazardDraws(ArrayStructure):
    """What is drawn, as `native/draws.h` names it."""

    _fields_: ClassVar = [
        ("stack", POINTER),
        ("cohort_of", POINTER),
        *((name, INTEGER) for name in (
            "n_cases", "n_pairs", "n_signs", "n_effects", "n_parts", "n_modes", "n_scale_cells",
            "hazards", "n_steps", "level", "n_components",
        )),
        *((name, NUMBER) for name in (
            "sd", "step_scale_sd", "first_log_scale", "scale_width", "prior_constant",
        )),
        *((name, POINTER) for name in (
            "family", "is_scaled", "location", "precision", "nu", "mixture", "log_rate", "constant",
            "step_variance", "process_shape", "process_rate", "mode", "mode_effect", "mode_of",
            "effect", "part", "log_step_scale", "log_effect_scale", "seed", "log_hazard",
            "log_ratio",
        )),
    ]  # fmt: skip

    def fill_priors(self, elements: Elements) -> None:
        """Set the priors of the effects."""
        self.fill(
            n_components=elements.mixture.shape[1],
            prior_constant=elements.constant,
            family=elements.family,
            location=elements.location,
            precision=elements.precision,
            nu=elements.nu,
            mixture=elements.mixture,
        )

    def sample(self, level: int = BEST) -> None:
        """Fill the arrays of log-hazards and log ratios, by the kernels of an instruction set."""
        if load_library().crlm_sample_hazards(kernels(level).address, ctypes.addressof(self)):
            raise MemoryError("there is no memory for drawing log-hazards")


class Summaries(ArrayStructure):
    """What is summed up, as `native/draws.h` names it."""

    _fields_: ClassVar = [
        *((name, INTEGER) for name in (
            "n_cohorts", "n_draws", "n_quantities", "n_probabilities", "n_thresholds",
        )),
        *((name, POINTER) for name in (
            "value", "weight", "scale", "probability", "threshold", "mean", "sd", "tail_size",
            "quantile", "below",
        )),
    ]  # fmt: skip

    def run(self) -> None:
        """Fill the arrays of what is wanted."""
        if load_library().crlm_summarise(kernels().address, ctypes.addressof(self)):
            raise MemoryError("there is no memory for summing up draws")
