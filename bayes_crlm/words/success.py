"""The success rule: from which probability on a hazard ratio is said to be lower or higher.

One rule stands behind every sentence, table and figure that concludes anything. It concludes
"lower" when P(hazard ratio < effect) reaches the rule's probability, "higher" when
P(hazard ratio > effect) does, and otherwise that the data do not decide. With the default, 0.975
on either side of 1, a normal posterior concludes where its 95% interval excludes 1, as a
two-sided test at 5% does.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bayes_crlm.words.errors import SpecError
from bayes_crlm.words.shown import as_written, number, probability_in_words
from bayes_crlm.words.wording import shown

Conclusion = Literal["lower", "higher", "undecided"]

# a probability no farther from the rule's has the rule's decimals at least
NEAR = 0.01

UNDECIDED = "These data do not decide"
"""How every sentence begins whose rows conclude nothing."""


@dataclass(frozen=True)
class SuccessRule:
    """From which probability on the hazard ratio is said to lie on one side of an effect.

    Parameters
    ----------
    effect : float
        The hazard ratio that is concluded about, above 0; 1 is no effect.
    probability : float
        Above 0.5 and below 1, so that never both sides have it.

    Raises
    ------
    SpecError
        For an impossible effect or probability.
    """

    effect: float = 1.0
    probability: float = 0.975

    def __post_init__(self) -> None:
        """Refuse what no posterior can be held against."""
        if not (is_number(self.effect) and 0 < self.effect < math.inf):
            raise SpecError(f"success.effect is {shown(self.effect)}; give a hazard ratio above 0")
        if not (is_number(self.probability) and 0.5 < self.probability < 1):
            raise SpecError(
                f"success.probability is {shown(self.probability)}; give a probability above 0.5 "
                "and below 1"
            )

    def conclusion(self, prob_below_effect: float) -> Conclusion:
        """Conclude from P(hazard ratio < effect).

        Parameters
        ----------
        prob_below_effect : float
            Between 0 and 1; nan concludes nothing.
        """
        if prob_below_effect >= self.probability:
            return "lower"
        return "higher" if 1 - prob_below_effect >= self.probability else "undecided"

    def to_dict(self) -> dict[str, float]:
        """The rule as plain values, as in `summary.json`."""
        return {"effect": self.effect, "probability": self.probability}

    def probability_name(self, side: str) -> str:
        """Name the probability of one side: "P(HR < 1)"; `side` is "lower" or "higher"."""
        return f"P(HR {'<' if side == 'lower' else '>'} {as_written(self.effect)})"

    def probability_in_words(
        self, prob_below_effect: float, effective_draws: float | None
    ) -> tuple[str, str]:
        """Name the probability of the likelier side, and write it.

        Parameters
        ----------
        prob_below_effect : float
            Between 0 and 1.
        effective_draws : float or None
            As of `bayes_crlm.words.shown.probability_in_words`; of 10 where it is not known.
        """
        side = "lower" if prob_below_effect >= 0.5 else "higher"
        probability = prob_below_effect if side == "lower" else 1 - prob_below_effect
        return self.probability_name(side), self.written(probability, effective_draws)

    def digits(self, probability: float) -> int:
        """Decimals that tell a probability from the rule's: 0.97473 misses 0.975."""
        limits = (self.probability, 1 - self.probability)
        return 5 if number(probability, 3) in [number(each, 3) for each in limits] else 3

    def written(self, probability: float, effective_draws: float | None) -> str:
        """Write a probability; one next to the rule's as exactly as it takes to see its side.

        Parameters
        ----------
        probability, effective_draws
            As of `probability_in_words`.
        """
        text = probability_in_words(probability, effective_draws or 10)
        distance = min(abs(probability - each) for each in (self.probability, 1 - self.probability))
        if text[0].isalpha() or distance >= NEAR:
            return text
        return number(probability, self.digits(probability))

    def in_words(self) -> str:
        """Say the rule in one sentence."""
        lower, higher = self.probability_name("lower"), self.probability_name("higher")
        return (
            f'The success rule: "lower" when {lower} is at least {as_written(self.probability)}, '
            '"higher" '
            f"when {higher} is, and otherwise the data do not decide."
        )

    def sentence(self, row: Mapping[str, Any]) -> str:
        """Say what a row concludes, in a sentence that begins with it.

        Parameters
        ----------
        row : mapping
            With `prob_below_effect`.
        """
        concluded = self.conclusion(row["prob_below_effect"])
        if concluded == "undecided":
            names = f"{self.probability_name('lower')} nor {self.probability_name('higher')}"
            return f"{UNDECIDED}: neither {names} reaches {as_written(self.probability)}."
        than = "" if self.effect == 1 else f" than {as_written(self.effect)} times the reference's"
        return (
            f"The hazard is {concluded}{than}: {self.probability_name(concluded)} is at least "
            f"{as_written(self.probability)}."
        )


def success_rule(given: SuccessRule | None) -> SuccessRule:
    """Take a rule, or the default one where none is given.

    Raises
    ------
    SpecError
        For what is no rule.
    """
    if given is None:
        return SuccessRule()
    if not isinstance(given, SuccessRule):
        raise SpecError(
            f"success is {shown(given)}; give a rule, such as "
            "SuccessRule(effect=1.0, probability=0.975)"
        )
    return given


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool)
