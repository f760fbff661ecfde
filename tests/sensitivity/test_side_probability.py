"""Probabilities in sentences: neither certain nor at the threshold by rounding."""

import pytest

from bayes_crlm.sensitivity.verdicts import Judge


@pytest.mark.parametrize(
    ("below", "side", "said"),
    [
        (0.9661, "below", "P(HR < 1) = 0.966"),
        (0.9661, "above", "P(HR > 1) = 0.034"),
        (1.0, "below", "P(HR < 1) above 0.999"),
        (0.99996, "below", "P(HR < 1) above 0.999"),
        (1.0, "above", "P(HR > 1) below 0.001"),
        # on which side of 0.95 it is, decides
        (0.97476, "below", "P(HR < 1) = 0.97476"),
        (0.97513, "below", "P(HR < 1) = 0.97513"),
        (0.0247, "above", "P(HR > 1) = 0.97530"),
    ],
)
def test_a_probability_is_told_as_exactly_as_it_matters(below, side, said):
    base = {"prob_below_1": 0.9 if side == "below" else 0.1}
    assert Judge(base).side_probability_in_words({"prob_below_1": below}) == said
