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


class Task(ArrayStructure):
    """What one of the library's functions works through, and where its results go."""

    function: ClassVar[str]

    def run(self, level: int = BEST) -> None:
        """Fill the arrays of results, by the kernels of an instruction set."""
        function = getattr(load_library(), self.function)
        if function(kernels(level).address, ctypes.addressof(self)):
            raise MemoryError("there is no memory for the draws")


class HazardDraws(Task):
    """Log-hazards to be drawn given effects, as `native/draws.h` names it."""

    function = "crlm_sample_hazards"

    _fields_: ClassVar = [
        ("stack", POINTER),
        ("cohort_of", POINTER),
        *((name, INTEGER) for name in (
            "n_cases", "n_pairs", "n_signs", "n_effects", "n_parts", "n_part_signs", "n_modes",
            "n_scale_cells", "hazards", "n_steps", "level", "n_components",
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


class EffectDraws(Task):
    """Effects to be drawn, as `native/draws.h` names it."""

    function = "crlm_sample_effects"
    _fields_: ClassVar = [
        *((name, INTEGER) for name in (
            "n_cohorts", "n_parts", "n_pairs", "n_terms", "n_scrambles", "n_scale_cells",
            "wide_every",
        )),
        *((name, NUMBER) for name in ("wide_scale", "wide_nu", "first_log_scale", "scale_width")),
        *((name, POINTER) for name in (
            "centre", "factor", "nu", "pairs", "scale_share", "seed", "effect", "log_density",
            "log_step_scale", "scramble",
        )),
    ]  # fmt: skip


class EffectDensities(Task):
    """Effects whose densities are wanted, as `native/draws.h` names it."""

    function = "crlm_weigh_effects"
    _fields_: ClassVar = [
        *((name, INTEGER) for name in ("n_cohorts", "n_parts", "n_draws", "n_terms")),
        *((name, NUMBER) for name in ("wide_scale", "wide_nu")),
        *((name, POINTER) for name in (
            "centre", "factor", "nu", "wide_share", "effect", "log_density",
        )),
    ]  # fmt: skip


class PatientsLeftOut(Task):
    """Patients to be left out of draws, as `native/draws.h` names it."""

    function = "crlm_left_out"
    _fields_: ClassVar = [
        *((name, INTEGER) for name in ("n_draws", "n_patients", "tail")),
        *((name, POINTER) for name in (
            "log_likelihood", "log_ratio", "elpd", "pareto_k", "lpd",
        )),
    ]  # fmt: skip


class Summaries(Task):
    """What is summed up, as `native/draws.h` names it."""

    function = "crlm_summarise"

    _fields_: ClassVar = [
        *((name, INTEGER) for name in (
            "n_cohorts", "n_draws", "n_quantities", "n_probabilities", "n_thresholds",
            "n_scrambles",
        )),
        *((name, POINTER) for name in (
            "value", "weight", "scramble", "most_size", "scale", "probability", "threshold",
            "mean", "sd", "tail_size", "quantile", "below", "mean_error", "sd_error",
            "quantile_error", "below_error",
        )),
    ]  # fmt: skip
