"""What the approximate engine evaluates on stacked arrays is the model's own log density."""

import itertools

import numpy as np
import pytest
from test_product_models import BASELINES, COHORTS, PRIORS, prepared

from bayes_crlm.inference.mode import posterior_slopes
from bayes_crlm.inference.targets import Targets
from bayes_crlm.model.density import log_density
from bayes_crlm.model.families import HalfNormal
from bayes_crlm.model.terms.blocks import Block

LOG_SCALE = -0.4


@pytest.mark.parametrize(
    ("rows", "baseline", "prior"), list(itertools.product(COHORTS, BASELINES, PRIORS[:3]))
)
def test_the_engines_density_is_the_models(rows, baseline, prior):
    inputs = prepared(rows, baseline, prior)
    targets, model = Targets.of_cohort(inputs), inputs.block_model
    rng = np.random.default_rng(7)
    log_hazard = inputs.log_rate + rng.normal(0, 0.5, targets.n_intervals)
    effect = rng.normal(0, 0.4, targets.n_effects)
    both = np.concatenate([log_hazard, effect])[None]
    n_treatment = inputs.n_treatment_terms
    named = {"treatment_effect": effect[:n_treatment], "covariate_effect": effect[n_treatment:]}
    if targets.has_walk:
        value = walk_value(both, inputs, targets)
        named |= walk_unknowns(log_hazard, inputs)
    else:
        value = posterior_slopes(both, targets, None)[0][0]
        named["log_hazard"] = named["hazard"] = log_hazard
    vector = np.concatenate([named[each.name] for each in model.parameters])
    assert value == pytest.approx(log_density(vector, model), rel=1e-10)


def walk_of(inputs):
    return next(
        block.walk for block in inputs.blocks if isinstance(block, Block) and block.walk is not None
    )


def walk_unknowns(log_hazard, inputs):
    walk = walk_of(inputs)
    return {
        "step_scale": np.array([LOG_SCALE]),
        "unit_step": np.diff(log_hazard) / walk.step_sds / np.exp(LOG_SCALE),
        "log_hazard_level": walk.centre @ log_hazard,
    }


def walk_value(both, inputs, targets):
    """The engine's density given the step scale, that of the scale, and the change of unknowns."""
    n_intervals = targets.n_intervals
    value = posterior_slopes(both, targets, np.exp([LOG_SCALE]))[0][0]
    prior = HalfNormal(inputs.baseline.step_scale_sd)
    value += prior.log_density(np.exp(LOG_SCALE)) + LOG_SCALE
    return value + (n_intervals - 1) * LOG_SCALE + np.log(walk_of(inputs).step_sds).sum()
