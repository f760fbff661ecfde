"""The success rule: what is concluded from which probability."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bayes_crlm.specification.spec import Spec
from bayes_crlm.words.errors import SpecError
from bayes_crlm.words.success import UNDECIDED, SuccessRule

TABLES = {
    "title": "t",
    "data": {"source": "a.csv", "time": "t", "event": "e"},
    "model": {"treatment": "x", "reference": 0},
}
rules = st.builds(
    SuccessRule,
    effect=st.floats(0.1, 10),
    probability=st.floats(0.5, 1, exclude_min=True, exclude_max=True),
)


def test_the_default_is_975_per_mille_on_either_side_of_one():
    rule = SuccessRule()
    assert rule.conclusion(0.975) == "lower"
    assert rule.conclusion(0.9749) == "undecided"
    assert rule.conclusion(0.0251) == "undecided"
    assert rule.conclusion(0.025) == "higher"


@given(rules, st.floats(0, 1))
def test_a_side_is_concluded_exactly_where_its_probability_reaches_the_rules(rule, below):
    concluded = rule.conclusion(below)
    assert (concluded == "lower") == (below >= rule.probability)
    assert (concluded == "higher") == (1 - below >= rule.probability)


@given(rules, st.floats(0, 1))
def test_the_sentence_begins_with_what_is_concluded(rule, below):
    said = rule.sentence({"prob_below_effect": below})
    concluded = rule.conclusion(below)
    assert said.startswith(UNDECIDED) == (concluded == "undecided")
    assert said.startswith("The hazard is lower") == (concluded == "lower")
    assert said.startswith("The hazard is higher") == (concluded == "higher")


def test_nan_concludes_nothing():
    assert SuccessRule().conclusion(math.nan) == "undecided"


@pytest.mark.parametrize(
    "wrong",
    [{"effect": 0.0}, {"effect": math.inf}, {"effect": True}]
    + [{"probability": each} for each in (0.5, 1.0, math.nan, "0.9")],
)
def test_an_impossible_rule_is_refused_by_its_key(wrong):
    with pytest.raises(SpecError, match=next(iter(wrong))):
        SuccessRule(**wrong)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"success": {"probability": 0.5}}, "success.probability is 0.5; give a probability"),
        ({"success": {"effect": -1.0}}, "success.effect is -1.0; give the hazard ratio"),
        ({"success": {"efect": 1.0}}, "unknown key success.efect; did you mean 'effect'"),
        ({"study": {"design": "randomized"}}, "did you mean 'randomised'"),
    ],
)
def test_a_wrong_key_is_named(table, said):
    with pytest.raises(SpecError, match=said):
        Spec.from_mapping(TABLES | table)


def test_the_resolved_spec_spells_the_rule_and_the_design_out():
    text = Spec.from_mapping(TABLES).to_toml()
    assert "[success]\neffect = 1.0\nprobability = 0.975" in text
    assert '[study]\ndesign = "observational"' in text


def test_a_fit_concludes_by_the_rule_it_is_given(colon_fit):
    table = colon_fit.hazard_ratios()
    below = table["prob_below_1.0"].iloc[0]
    assert table["prob_below_effect"].iloc[0] == below
    assert table["conclusion"].iloc[0] == SuccessRule().conclusion(below)
    stricter = SuccessRule(effect=table["median"].iloc[0], probability=0.9)
    assert colon_fit.hazard_ratios(success=stricter)["conclusion"].iloc[0] == "undecided"


@given(rules, st.floats(0, 1))
def test_the_side_that_is_named_with_its_probability_is_the_likelier_one(rule, below):
    name, written = rule.probability_in_words(below, 4000.0)
    side = "lower" if below >= 0.5 else "higher"
    assert name == rule.probability_name(side)
    probability = below if side == "lower" else 1 - below
    assert float(written.split()[-1]) == pytest.approx(probability, abs=0.0051)


@given(rules, st.floats(0, 1), st.floats(1000, 1e6))
@example(SuccessRule(probability=0.95), 0.9493, 4000.0)
@example(SuccessRule(), 0.97525, 8000.0)
def test_a_probability_is_not_written_on_the_other_side_of_the_rules(rule, below, draws):
    words = rule.written(below, draws)
    if words[0].isalpha():
        return
    for limit in (rule.probability, 1 - rule.probability):
        is_told = abs(below - limit) > 1e-5
        assert not is_told or (float(words) >= limit) == (below >= limit)


def test_a_probability_that_just_meets_the_rule_is_seen_to_meet_it():
    rule = SuccessRule()
    written = [rule.written(each, 8000.0) for each in (0.97525, 0.9742, 0.9824, 0.9934, 0.84)]
    assert written == ["0.97525", "0.974", "0.982", "0.993", "0.84"]


def test_a_probability_of_unknown_effective_draws_has_one_digit_at_most():
    assert SuccessRule(0.8).probability_in_words(1.0, None) == ("P(HR < 0.8)", "above 0.9")
