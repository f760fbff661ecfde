"""Log hazard ratios of columns that do not change with time: treatment and covariates."""

from bayes_crlm.model.families import HalfCauchy
from bayes_crlm.model.priors import EffectPrior, Horseshoe
from bayes_crlm.model.terms.blocks import Block, Columns
from bayes_crlm.model.terms.horseshoe import Shrunk


def effect_block(role: str, prior: EffectPrior, start: int, stop: int) -> Block | Shrunk:
    """Make the block of the columns of one role, all under one prior.

    Parameters
    ----------
    role : str
        "treatment" or "covariate"; names the unknowns.
    prior : EffectPrior
        Of each log hazard ratio on the sampling scale.
    start, stop : int
        The design's columns from `start` to `stop` - 1.
    """
    name, dim, enters = f"{role}_effect", f"{role}_term", Columns(start, stop)
    data_names = {key: f"{role}_prior_{key}" for key in prior.parameters}
    if isinstance(prior, Horseshoe):
        scale = HalfCauchy(prior.scale)
        return Shrunk(name, enters, scale, dim, data_names=data_names)
    return Block(name, enters, (prior,) * (stop - start), dim=dim, data_names=data_names)
