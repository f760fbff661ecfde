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

from bayes_crlm.words.shown import as_written, number, significant, span, whole
from bayes_crlm.words.success import Conclusion, SuccessRule
from bayes_crlm.words.wording import count_of

State = Literal["holds", "weaker", "changes"]
DEFAULT_RULE = SuccessRule()
STATE_WORDS = {"holds": "", "weaker": " (weaker)", "changes": " (changes)", None: " (not judged)"}
"""What stands behind a row that does not hold."""
ORDER: tuple[State, ...] = ("holds", "weaker", "changes")
NOT_JUDGED: dict[str, Any] = {"moves": None, "state": None, "movers": ()}
"""Of a part that asks another question than whether the conclusion holds."""
# so near 1 a share of draws is not told apart from 1
MOST = 0.999


def prob_below(row: Mapping[str, Any], rule: SuccessRule = DEFAULT_RULE) -> float:
    """P(hazard ratio < the rule's effect) of a row.

    Parameters
    ----------
    row : mapping
        With `prob_below_1`, or `prob_below_effect` where the rule is about another effect than 1.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    return row["prob_below_1"] if rule.effect == 1 else row["prob_below_effect"]


def conclusion(row: Mapping[str, Any], rule: SuccessRule = DEFAULT_RULE) -> Conclusion:
    """Say what a row concludes: "lower", "higher" or "undecided".

    Parameters
    ----------
    row, rule
        As of `prob_below`.
    """
    return rule.conclusion(prob_below(row, rule))


def side_of(row: Mapping[str, Any], rule: SuccessRule = DEFAULT_RULE) -> str:
    """On which side of the rule's effect the hazard ratio more probably lies: "below", "above"."""
    return "below" if prob_below(row, rule) >= 0.5 else "above"


def reliable(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Keep the rows that do not fail their diagnostics (`is_reliable`)."""
    return [row for row in rows if row.get("is_reliable") is not False]


def reaches_1(row: Mapping[str, Any]) -> bool:
    """Whether a row's interval reaches 1."""
    low, high = row.get("eti95") or (0.0, 0.0)
    return low <= 1 <= high


def state_of(
    base: Mapping[str, Any], row: Mapping[str, Any], rule: SuccessRule = DEFAULT_RULE
) -> State:
    """Say what a row does to the base's conclusion.

    Parameters
    ----------
    base, row : mapping
        With a probability as of `prob_below`, and `eti95`.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    held, found = conclusion(base, rule), conclusion(row, rule)
    if found not in (held, "undecided"):
        return "changes"
    if found != held:
        return "weaker"
    is_weaker = held != "undecided" and reaches_1(row) and not reaches_1(base)
    return "weaker" if is_weaker else "holds"


def add_states(
    rows: Sequence[dict[str, Any]], base: Mapping[str, Any], rule: SuccessRule = DEFAULT_RULE
) -> None:
    """Write into rows what they conclude and what they do to the base's conclusion.

    Rows without numbers, and rows that fail their diagnostics, say nothing: both are None.

    Parameters
    ----------
    rows : sequence of dict
        Are given `conclusion` and `state`.
    base : mapping
        The base analysis's row.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    for row in rows:
        says = row.get("prob_below_1") is not None and row.get("is_reliable") is not False
        row["conclusion"] = conclusion(row, rule) if says else None
        row["state"] = state_of(base, row, rule) if says else None


def moves_conclusion(
    base: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], rule: SuccessRule = DEFAULT_RULE
) -> bool | None:
    """Whether any of some refits concludes otherwise than the base; None where nothing can say.

    Rows that fail their diagnostics say nothing either way; a part says how many there are.
    """
    trusted = reliable(rows)
    held = conclusion(base, rule)
    return any(conclusion(row, rule) != held for row in trusted) if trusted else None


def judge(
    base: Mapping[str, Any],
    rows: Sequence[Mapping[str, Any]],
    rule: SuccessRule = DEFAULT_RULE,
    name: str = "label",
) -> dict[str, Any]:
    """Judge refits against the base.

    Parameters
    ----------
    base : mapping
        The base analysis's row.
    rows : sequence of mapping
        Those that may change the conclusion; ones that fail their diagnostics are passed over.
    rule : SuccessRule
        From which probability on anything is concluded.
    name : str
        Key of what a row is called.

    Returns
    -------
    dict
        `moves` (see `moves_conclusion`), `state` (the worst of the rows'; None without a row) and
        `movers`: the rows that do not hold, the farthest first, each with `label`, `state`,
        `median`, `eti95` and the probability.
    """
    trusted = reliable(rows)
    states = [state_of(base, row, rule) for row in trusted]
    kept = ("median", "eti95", "prob_below_1", "prob_below_effect")
    movers = [
        {"label": str(row.get(name, "")), "state": state}
        | {key: row[key] for key in kept if key in row}
        for row, state in zip(trusted, states, strict=True)
        if state != "holds"
    ]
    start = prob_below(base, rule)
    movers.sort(key=lambda row: (-ORDER.index(row["state"]), -abs(prob_below(row, rule) - start)))
    return {
        "moves": moves_conclusion(base, rows, rule),
        "state": max(states, key=ORDER.index) if states else None,
        "movers": tuple(movers),
    }


def mover_in_words(mover: Mapping[str, Any]) -> str:
    """Name a refit with its hazard ratio: "sceptical: 0.74 (0.53 to 1.03)"."""
    low, high = mover["eti95"]
    return f"{mover['label']}: {number(mover['median'])} ({span(low, high)})"


def states_in_words(
    base: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], rule: SuccessRule = DEFAULT_RULE
) -> str:
    """Count the states of rows: "9 conclude as the base analysis, 1 is weaker"."""
    states = [state_of(base, row, rule) for row in rows]
    held, weaker, changed = (states.count(each) for each in ORDER)
    said = [f"{whole(held)} {'concludes' if held == 1 else 'conclude'} as the base analysis does"]
    if weaker:
        said.append(f"{whole(weaker)} {'is' if weaker == 1 else 'are'} weaker")
    if changed:
        said.append(f"{whole(changed)} {'changes' if changed == 1 else 'change'} the conclusion")
    return listed(said)


def verdict_in_words(
    base: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], rule: SuccessRule = DEFAULT_RULE
) -> str:
    """Say whether the conclusion holds over some rows, and name those with which it does not.

    Parameters
    ----------
    base : mapping
        The base analysis's row.
    rows : sequence of mapping
        With `label`.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    said = []
    for state, words in (("changes", "changes with"), ("weaker", "is weaker with")):
        names = [row["label"] for row in rows if state_of(base, row, rule) == state]
        if names:
            said.append(f"{words} {'; '.join(names)}")
    return f"the conclusion {' and '.join(said)}" if said else "the conclusion holds"


def range_in_words(least: float, most: float, words: str = "lies between {} and {}") -> str:
    """Say a range of hazard ratios: "lies between 0.50 and 0.71", or "is 0.58" where it is one.

    Parameters
    ----------
    least, most : float
    words : str
        With a place for each; "is" stands for them where both are written the same.
    """
    low, high = number(least), number(most)
    if low != high:
        return words.format(low, high)
    return f"{'are' if words.startswith('reach') else 'is'} {low}"


def failing(number: int, one: str, many: str | None = None) -> str:
    """Say that refits do not count: "1 refit fails its diagnostics and is not counted"."""
    says = "fails its diagnostics and is" if number == 1 else "fail their diagnostics and are"
    return f"{count_of(number, one, many)} {says} not counted"


def failing_note(rows: Sequence[Mapping[str, Any]], one: str, more: str = ".") -> list[str]:
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


def side_probability_in_words(
    row: Mapping[str, Any], side: str, rule: SuccessRule = DEFAULT_RULE
) -> str:
    """Write the probability of one side of the rule's effect, never certain by rounding.

    Parameters
    ----------
    row : mapping
        As of `prob_below`.
    side : {"below", "above"}
        Of the base, as a rule, so that a large number always speaks for the finding.
    rule : SuccessRule
        From which probability on anything is concluded.
    """
    name = rule.probability_name("lower" if side == "below" else "higher")
    below = prob_below(row, rule)
    probability = below if side == "below" else 1 - below
    if probability > MOST:
        return f"{name} above {as_written(MOST)}"
    if probability < 1 - MOST:
        return f"{name} below {significant(1 - MOST, 3)}"
    for limit in (rule.probability, 1 - rule.probability):
        # 0.97473 changes a conclusion that 0.975 seems to keep
        if number(probability, 3) == number(limit, 3):
            return f"{name} = {number(probability, 5)}"
    return f"{name} = {number(probability, 3)}"
