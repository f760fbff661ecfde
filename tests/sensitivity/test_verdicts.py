"""Verdict sentences of the parts against the rows that stand in their tables, both ways."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sensitivity_runs import refits

from bayes_crlm.sensitivity.choices.proportional_hazards import judge_periods, periods_disagree
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.priors.priors import sentence as priors_sentence
from bayes_crlm.sensitivity.timing import immortal_time
from bayes_crlm.sensitivity.verdicts import Judge, failing, range_in_words, reliable
from bayes_crlm.words.success import SuccessRule
from bayes_crlm.words.wording import count_of

RULES = st.builds(
    SuccessRule, effect=st.sampled_from([1.0, 0.8, 1.3]), probability=st.sampled_from([0.9, 0.975])
)
ROWS = st.lists(refits(), max_size=5)


@given(refits(), refits(), RULES)
def test_a_refit_is_in_one_of_three_states(base, row, rule):
    judge = Judge(base, rule)
    held, found = judge.held, judge.conclusion(row)
    state = judge.state_of(row)
    assert (state == "changes") == (found != "undecided" and found != held)
    is_less = held != "undecided" and found == "undecided"
    low, high = row["eti95"]
    reaches = low <= 1 <= high and not base["eti95"][0] <= 1 <= base["eti95"][1]
    reaches = reaches and found == held != "undecided"
    assert (state == "weaker") == (is_less or reaches)


def test_a_sceptics_interval_that_reaches_1_is_weaker():
    base = {"prob_below_1": 0.998, "eti95": [0.27, 0.78]}
    sceptic = {"prob_below_1": 0.966, "eti95": [0.53, 1.03]}
    judge = Judge(base)
    assert judge.state_of(sceptic) == "weaker"
    assert judge.state_of(base) == "holds"
    assert judge.state_of({"prob_below_1": 0.01, "eti95": [1.1, 2.0]}) == "changes"


@given(refits(), ROWS, RULES)
def test_rows_that_fail_say_nothing_and_others_their_state(base, rows, rule):
    judge = Judge(base, rule)
    judge.add_states(rows)
    for row in rows:
        expected = judge.state_of(row) if row["is_reliable"] else None
        assert row["state"] == expected
        assert (row["conclusion"] is None) == (not row["is_reliable"])
    judged = judge.verdict(rows)
    states = [row["state"] for row in rows if row["is_reliable"]]
    assert judged.state == max(states, key=("holds", "weaker", "changes").index, default=None)
    assert len(judged.movers) == sum(each != "holds" for each in states)


@given(refits(), ROWS, RULES)
def test_counts_of_states_are_those_of_the_rows(base, rows, rule):
    said = Judge(base, rule).states_in_words(rows)
    states = [Judge(base, rule).state_of(row) for row in rows]
    assert said.startswith(f"{states.count('holds')} conclude")
    assert ("weaker" in said) == ("weaker" in states)
    assert ("the conclusion" in said) == ("changes" in states)


@given(refits(), ROWS, RULES)
def test_a_verdict_names_exactly_the_rows_that_do_not_hold(base, rows, rule):
    rows = [row | {"label": f"row {k} "} for k, row in enumerate(rows)]
    judge = Judge(base, rule)
    said = judge.verdict_in_words(rows)
    states = {row["label"]: judge.state_of(row) for row in rows}
    assert (said == "the conclusion holds") == (set(states.values()) <= {"holds"})
    assert ("changes with" in said) == ("changes" in states.values())
    assert ("is weaker with" in said) == ("weaker" in states.values())
    for label, state in states.items():
        assert (label in said) == (state != "holds")


@given(refits(), st.lists(refits(), min_size=1, max_size=4))
def test_the_sentences_of_immortal_time_and_overlap_end_with_that_verdict(base, rows):
    judge = Judge(base)
    said = immortal_time.sentence(judge, rows, [])
    assert said.endswith(f": {judge.verdict_in_words(rows)}.")
    found = {
        "balance": [{"unweighted": 0.5, "overlap_weights": 0.1}],
        "effective_sample_size": {"overlap_weights": {"treated": 30.0, "reference": 40.0}},
        "common_support": {"treated": 30, "reference": 40},
    }
    assert overlap.sentence(found, judge, rows).endswith(f": {judge.verdict_in_words(rows)}.")


@given(refits(), st.lists(refits(), min_size=1, max_size=4), st.integers(0, 72))
def test_each_readers_prior_is_told_with_its_state(base, rows, turned):
    rows = [row | {"name": f"reader {k}"} for k, row in enumerate(rows)]
    judge = Judge(base)
    judge.add_states(rows)
    told = priors_sentence(judge, rows, turned, 72).split("; ")
    for row, said in zip(rows, told, strict=True):
        assert said.startswith(f"{row['name']}: ")
        assert ("(weaker)" in said) == (row["state"] == "weaker")
        assert ("(changes)" in said) == (row["state"] == "changes")
    assert f" {turned} change{'s' if turned == 1 else ''} the conclusion." in told[-1]


@given(refits(), st.lists(refits(), min_size=2, max_size=3), refits(), refits(), RULES)
def test_periods_change_the_conclusion_when_they_lie_beyond_both_limits(
    base, periods, average, one, rule
):
    periods = [row | {"period": f"period {k}"} for k, row in enumerate(periods)]
    found = {"rows": periods, "average": average, "one": one}
    judge = Judge(base, rule)
    judged = judge_periods(judge, found)
    concluded = [judge.conclusion(row) for row in periods]
    disagree = periods_disagree(judge, periods)
    if len(reliable(periods)) < len(periods):
        assert disagree is None
    else:
        assert disagree == ("lower" in concluded and "higher" in concluded)
    if disagree:
        assert judged.state == "changes" and judged.moves is True
        named = {row["label"] for row in judged.movers}
        expected = {
            row["period"] for row in periods if judge.conclusion(row) in ("lower", "higher")
        }
        assert named == expected


def test_crossing_hazards_change_the_conclusion():
    """Hazard ratios of 2.25 and 0.36 in the two periods, 1.12 on average."""
    row = {"eti95": [0.9, 1.4], "median": 1.12, "is_reliable": True}
    base = row | {"prob_below_1": 0.15}
    found = {
        "average": base,
        "one": base,
        "rows": [
            {"period": "up to 6", "median": 2.25, "eti95": [1.7, 3.0], "prob_below_1": 0.0}
            | {"is_reliable": True},
            {"period": "after 6", "median": 0.36, "eti95": [0.25, 0.5], "prob_below_1": 1.0}
            | {"is_reliable": True},
        ],
    }
    judged = judge_periods(Judge(base), found)
    assert judged.state == "changes"
    assert [each["label"] for each in judged.movers] == ["up to 6", "after 6"]


@pytest.mark.parametrize(
    ("least", "most", "said"),
    [(0.5, 0.71, "lies between 0.50 and 0.71"), (0.581, 0.579, "is 0.58")],
)
def test_a_range_of_one_number_is_no_range(least, most, said):
    assert range_in_words([{"median": least}, {"median": most}]) == said


def test_numbers_and_nouns_agree():
    assert count_of(1, "quantity", "quantities") == "1 quantity"
    assert count_of(2, "quantity", "quantities") == "2 quantities"
    assert count_of(1200, "event") == "1,200 events"


def test_one_that_fails_its_diagnostic_is_said_in_the_singular():
    assert failing(1, "refit") == "1 refit fails its diagnostics and is not counted"
    assert failing(2, "pair of deltas", "pairs of deltas") == (
        "2 pairs of deltas fail their diagnostics and are not counted"
    )
