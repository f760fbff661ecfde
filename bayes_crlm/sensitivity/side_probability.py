"""The probability of one side of the success rule's effect in words.

It is never certain, nor at a threshold by rounding.
"""

from collections.abc import Mapping
from typing import Any

from bayes_crlm.sensitivity.verdicts import DEFAULT_RULE, prob_below
from bayes_crlm.words.shown import significant
from bayes_crlm.words.success import SuccessRule

__all__ = ["say_side_probability"]

# so near 1 a share of draws is not told apart from 1
MOST = 0.999


def say_side_probability(
    row: Mapping[str, Any], side: str, rule: SuccessRule = DEFAULT_RULE
) -> str:
    """Write the probability of one side of the rule's effect.

    Parameters
    ----------
    row : mapping
        As of `bayes_crlm.sensitivity.verdicts.prob_below`.
    side : {"below", "above"}
        Of the base, as a rule, so that a large number always speaks for the finding.
    rule : SuccessRule
    """
    name = rule.probability_name("lower" if side == "below" else "higher")
    below = prob_below(row, rule)
    probability = below if side == "below" else 1 - below
    if probability > MOST:
        return f"{name} above {MOST:g}"
    if probability < 1 - MOST:
        return f"{name} below {significant(1 - MOST, 3)}"
    for limit in (rule.probability, 1 - rule.probability):
        # 0.97473 turns a conclusion that 0.975 seems to keep
        if f"{probability:.3f}" == f"{limit:.3f}":
            return f"{name} = {probability:.5f}"
    return f"{name} = {probability:.3f}"
