"""Blocks of the model that a cohort is prepared for."""

from typing import TYPE_CHECKING

from bayes_crlm.model.baseline_priors import GammaProcess, Independent
from bayes_crlm.model.terms.baseline import (
    event_shares,
    gamma_hazards,
    independent_log_hazards,
    walking_log_hazards,
)
from bayes_crlm.model.terms.blocks import AnyBlock, Cells, Level
from bayes_crlm.model.terms.effects import effect_block

if TYPE_CHECKING:
    from bayes_crlm.model.prepared import PreparedCohort

__all__ = ["model_blocks"]


def model_blocks(inputs: "PreparedCohort") -> tuple[AnyBlock, ...]:
    """Effects of treatment and covariates, then the baseline, in the order of the vector.

    Parameters
    ----------
    inputs : PreparedCohort
        A cohort as the model sees it.
    """
    split, n_terms = inputs.n_treatment_terms, len(inputs.design.terms)
    effects = [effect_block("treatment", inputs.treatment_prior, 0, split)]
    if n_terms > split:
        effects.append(effect_block("covariate", inputs.covariate_prior, split, n_terms))
    return (*effects, baseline_block(inputs))


def baseline_block(inputs: "PreparedCohort") -> AnyBlock:
    """Block of the baseline's log-hazards."""
    baseline, intervals = inputs.baseline, inputs.intervals
    parameters, log_rate = baseline.parameters, inputs.log_rate
    cells = Cells.of_strata(inputs.data.stratum_of_class)
    if isinstance(baseline, Independent):
        return independent_log_hazards(cells, intervals.n_intervals, log_rate, parameters["sd"])
    if isinstance(baseline, GammaProcess):
        return gamma_hazards(
            cells,
            intervals.width,
            parameters["weight"],
            log_rate,
            is_integrated=inputs.is_baseline_integrated,
        )
    return walking_log_hazards(
        cells,
        inputs.step_variances,
        event_shares(intervals.events[None]),
        Level(inputs.level_interval, log_rate, parameters["sd"]),
        parameters["step_scale_sd"],
    )
