"""The probability of one side of 1 in words: never certain, nor at a threshold by rounding."""

from collections.abc import Mapping
from typing import Any

from bayes_crlm.sensitivity.parts import CREDIBLE

__all__ = ["say_side_probability"]

# so near 1 a share of draws is not told apart from 1
MOST = 0.999


def say_side_probability(row: Mapping[str, Any], side: str) -> str:
    """Write the probability of one side of 1.

    Parameters
    ----------
    row : mapping
        With `prob_below_1`.
    side : {"below", "above"}
        Of the base, as a rule, so that a large number always speaks for the finding.
    """
    name = "P(HR < 1)" if side == "below" else "P(HR > 1)"
    probability = row["prob_below_1"] if side == "below" else 1 - row["prob_below_1"]
    if probability > MOST:
        return f"{name} above {MOST:g}"
    if probability < 1 - MOST:
        return f"{name} below {1 - MOST:.3g}"
    for limit in (CREDIBLE, 1 - CREDIBLE):
        # 0.9497 turns a conclusion that 0.950 seems to keep
        if f"{probability:.3f}" == f"{limit:.3f}":
            return f"{name} = {probability:.5f}"
    return f"{name} = {probability:.3f}"
