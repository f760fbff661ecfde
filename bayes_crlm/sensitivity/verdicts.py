"""What a refit does to the conclusion, in three states, by the success rule.

A verdict is a function of rows, which stand in the part's table: what a row concludes is a function
of its probability and the rule, and its state one of that and the base's.

========= =====================================================================================
holds     concludes as the base does
weaker    the base concludes a side and this row no longer does, or its interval reaches 1 and
          the base's does not
changes   concludes a side, and the base the other one, or none
========= =====================================================================================
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from bayes_crlm.words.records import record
from bayes_crlm.words.shown import as_written, number, significant, span, whole
from bayes_crlm.words.success import Conclusion, SuccessRule
from bayes_crlm.words.wording import count_of

Values = Mapping[str, Any]
"""Plain values by name: a row of a table, or what a part found."""

State = Literal["holds", "weaker", "changes"]
DEFAULT_RULE = SuccessRule()
STATE_WORDS = {"holds": "", "weaker": " (weaker)", "changes": " (changes)", None: " (not judged)"}
"""What stands behind a row that does not hold."""
ORDER: tuple[State, ...] = ("holds", "weaker", "changes")
# so near 1 a share of draws is not told apart from 1
MOST = 0.999


@record
class Verdict:
    """What some refits do to the conclusion of the base analysis.

    Without any, of a part that asks another question than whether the conclusion holds.

    Attributes
    ----------
    moves : bool or None
        Whether any of them concludes otherwise than the base; None where nothing can say.
    state : {"holds", "weaker", "changes"} or None
        The worst of theirs; None without a row.
    movers : tuple of mapping
        The refits that do not hold, the farthest first, each with `label`, `state`, `median`,
        `eti95` and the probability.
    """

    moves: bool | None = None
    state: State | None = None
    movers: tuple[Values, ...] = ()


@record(eq=False)
class Judge:
    """What refits are judged by: the base analysis's row and the success rule.

    Attributes
    ----------
    base : mapping
        With a probability as of `prob_below`, and `eti95`.
    rule : SuccessRule
        From which probability on anything is concluded.
    """

    base: Values
    rule: SuccessRule = DEFAULT_RULE

    def prob_below(self, row: Values) -> float:
        """P(hazard ratio < the rule's effect) of a row.

        Parameters
        ----------
        row : mapping
            With `prob_below_1`, or `prob_below_effect` where the rule is about another effect.
        """
        return row["prob_below_1"] if self.rule.effect == 1 else row["prob_below_effect"]

    def conclusion(self, row: Values) -> Conclusion:
        """Say what a row concludes: "lower", "higher" or "undecided"."""
        return self.rule.conclusion(self.prob_below(row))

    @property
    def held(self) -> Conclusion:
        """What the base analysis concludes."""
        return self.conclusion(self.base)

    @property
    def side(self) -> Literal["lower", "higher"]:
        """On which side of the rule's effect the base's hazard ratio more probably lies."""
        return "lower" if self.prob_below(self.base) >= 0.5 else "higher"

    def of_side(self, below: Any) -> Any:
        """Turn probabilities below the rule's effect into those of the base's side of it."""
        return below if self.side == "lower" else 1 - below

    def state_of(self, row: Values) -> State:
        """Say what a row does to the base's conclusion."""
        held, found = self.held, self.conclusion(row)
        if found not in (held, "undecided"):
            return "changes"
        if found != held:
            return "weaker"
        is_weaker = held != "undecided" and reaches_1(row) and not reaches_1(self.base)
        return "weaker" if is_weaker else "holds"

    def add_states(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write into rows what they conclude and what they do to the base's conclusion.

        Rows without numbers, and rows that fail their diagnostics, say nothing: both are None.

        Parameters
        ----------
        rows : sequence of dict
            Are given `conclusion` and `state`.
        """
        for row in rows:
            says = row.get("prob_below_1") is not None and row.get("is_reliable") is not False
            row["conclusion"] = self.conclusion(row) if says else None
            row["state"] = self.state_of(row) if says else None

    def is_turned_by(self, row: Values) -> bool:
        """Whether a row passes its diagnostics and concludes otherwise than the base."""
        return row.get("is_reliable") is not False and self.conclusion(row) != self.held

    def verdict(self, rows: Sequence[Values], name: str = "label") -> Verdict:
        """Judge refits against the base.

        Parameters
        ----------
        rows : sequence of mapping
            Those that may change the conclusion; ones that fail their diagnostics are passed over:
            they say nothing either way, and a part says how many there are.
        name : str
            Key of what a row is called.
        """
        trusted = reliable(rows)
        states = [self.state_of(row) for row in trusted]
        movers = [
            mover(str(row.get(name, "")), row, state)
            for row, state in zip(trusted, states, strict=True)
            if state != "holds"
        ]
        start = self.prob_below(self.base)
        movers.sort(
            key=lambda row: (-ORDER.index(row["state"]), -abs(self.prob_below(row) - start))
        )
        return Verdict(
            any(self.is_turned_by(row) for row in trusted) if trusted else None,
            max(states, key=ORDER.index, default=None),
            tuple(movers),
        )

    def states_in_words(self, rows: Sequence[Values]) -> str:
        """Count the states of rows: "9 conclude as the base analysis, 1 is weaker"."""
        states = [self.state_of(row) for row in rows]
        held, weaker, changed = (states.count(each) for each in ORDER)
        said = [f"{whole(held)} conclude{'s' if held == 1 else ''} as the base analysis does"]
        if weaker:
            said.append(f"{whole(weaker)} {'is' if weaker == 1 else 'are'} weaker")
        if changed:
            said.append(f"{whole(changed)} change{'s' if changed == 1 else ''} the conclusion")
        return listed(said)

    def verdict_in_words(self, rows: Sequence[Values]) -> str:
        """Say whether the conclusion holds over some rows, and name those with which it does not.

        Parameters
        ----------
        rows : sequence of mapping
            With `label`.
        """
        said = []
        for state, words in (("changes", "changes with"), ("weaker", "is weaker with")):
            names = [row["label"] for row in rows if self.state_of(row) == state]
            if names:
                said.append(f"{words} {'; '.join(names)}")
        return f"the conclusion {' and '.join(said)}" if said else "the conclusion holds"

    def side_probability_in_words(self, row: Values) -> str:
        """Write the probability of the base's side of the rule's effect, never certain by rounding.

        The base's, so that a large number always speaks for the finding.
        """
        name = self.rule.probability_name(self.side)
        probability = self.of_side(self.prob_below(row))
        if probability > MOST:
            return f"{name} above {as_written(MOST)}"
        if probability < 1 - MOST:
            return f"{name} below {significant(1 - MOST, 3)}"
        return f"{name} = {number(probability, self.rule.digits(probability))}"


def reliable(rows: Sequence[Values]) -> list[Any]:
    """Keep the rows that do not fail their diagnostics (`is_reliable`)."""
    return [row for row in rows if row.get("is_reliable") is not False]


def reaches_1(row: Values) -> bool:
    """Whether a row's interval reaches 1."""
    low, high = row.get("eti95") or (0.0, 0.0)
    return low <= 1 <= high


def mover(label: str, row: Values, state: State) -> dict[str, Any]:
    """Keep of a refit what is told of one that does not hold."""
    kept = ("median", "eti95", "prob_below_1", "prob_below_effect")
    return {"label": label, "state": state} | {key: row[key] for key in kept if key in row}


def ratio_of(row: Values, words: str = "{} ({})") -> str:
    """Write a row's hazard ratio and its limits: "0.74 (0.53 to 1.03)"."""
    return words.format(number(row["median"]), span(*row["eti95"]))


def mover_in_words(mover: Values) -> str:
    """Name a refit with its hazard ratio: "sceptical: 0.74 (0.53 to 1.03)"."""
    return f"{mover['label']}: {ratio_of(mover)}"


def extremes(rows: Sequence[Values]) -> tuple[Values, Values]:
    """Find the rows with the lowest and the highest median."""
    return min(rows, key=lambda row: row["median"]), max(rows, key=lambda row: row["median"])


def range_in_words(rows: Sequence[Values], words: str = "lies between {} and {}") -> str:
    """Say the range of hazard ratios: "lies between 0.50 and 0.71", or "is 0.58" where it is one.

    Parameters
    ----------
    rows : sequence of mapping
        With `median`.
    words : str
        With a place for each end; "is" stands for them where both are written the same.
    """
    low, high = (number(row["median"]) for row in extremes(rows))
    if low != high:
        return words.format(low, high)
    return f"{'are' if words.startswith('reach') else 'is'} {low}"


def failing(number: int, one: str, many: str | None = None) -> str:
    """Say that refits do not count: "1 refit fails its diagnostics and is not counted"."""
    says = "fails its diagnostics and is" if number == 1 else "fail their diagnostics and are"
    return f"{count_of(number, one, many)} {says} not counted"


def failing_note(rows: Sequence[Values], one: str, more: str = ".") -> list[str]:
    """Say how many rows fail their diagnostics and are not counted; nothing where none does.

    Parameters
    ----------
    rows : sequence of mapping
        As they stand in the part's table.
    one : str
        What a row is.
    more : str
        The sentence's end.
    """
    number = len(rows) - len(reliable(rows))
    return [failing(number, one) + more] if number else []


def some(number: int, noun: str) -> str:
    """Write a number of things that change a conclusion: "one patient", "3 patients"."""
    return f"one {noun}" if number == 1 else f"{number} {noun}s"


def listed(names: Sequence[str], last: str = "and") -> str:
    """Join names as a sentence does."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} {last} {names[-1]}"
