"""Prior values by their texts, under the name that users import."""

from bayes_crlm.model.priors import parse_prior

__all__ = ["parse_prior"]
