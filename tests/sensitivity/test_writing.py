"""The first sentence of a sensitivity analysis: a function of one row for each part."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import call
from sensitivity_runs import refits

from bayes_crlm.sensitivity.overall import one_level_sentence, overall_sentence, part_rows
from bayes_crlm.sensitivity.parts import finding
from bayes_crlm.sensitivity.registry import PARTS
from bayes_crlm.sensitivity.verdicts import Judge, Verdict
from bayes_crlm.words.success import UNDECIDED, SuccessRule

RULE = SuccessRule()
SPEC = """
title = "Arms given by lot"
[study]
design = "randomised"
[data]
source = "data.csv"
time = "time"
event = "event"
[model]
treatment = "arm"
reference = 0
[sensitivity]
parts = ["reverse_bayes"]
"""
STARTS = {
    "changes": ("The conclusion changes under", "Refits decide under"),
    "weaker": ("The conclusion is weaker under",),
    "holds": ("The conclusion holds under", "They do not decide either under"),
}


def part_of(base, rows, name="priors"):
    return finding(name, "", Judge(base, RULE).verdict(rows))


@given(refits(), st.dictionaries(st.sampled_from(PARTS), st.lists(refits(), max_size=4)))
def test_the_first_sentence_says_what_its_rows_say_and_nothing_else(base, parts):
    rows = part_rows({name: part_of(base, each, name) for name, each in parts.items()})
    said = overall_sentence(base, rows, RULE, "arm b against a")
    if not base["is_reliable"]:
        assert said.startswith("Nothing is concluded") and base["note"] in said
        return
    concluded = RULE.conclusion(base["prob_below_effect"])
    assert said.startswith(UNDECIDED) == (concluded == "undecided")
    assert said.startswith("The hazard is lower") == (concluded == "lower")
    assert said.startswith("The hazard is higher") == (concluded == "higher")
    for state, starts in STARTS.items():
        named = [row for row in rows if row["state"] == state]
        assert any(start in said for start in starts) == bool(named)
        sentence = next((each for each in said.split(". ") if each.startswith(starts)), "")
        for row in rows:
            assert (row["in_words"] in sentence) == (row in named)
            if row in named and state != "holds":
                assert row["mover"] in sentence
    judged = any(row["state"] is not None for row in rows)
    assert ("No part that was run says whether that holds" in said) == (not judged)


@given(refits(), st.lists(refits(), max_size=5))
def test_a_parts_row_is_the_worst_of_its_refits(base, found):
    (row,) = part_rows({"priors": part_of(base, found)})
    trusted = [each for each in found if each["is_reliable"]]
    held = RULE.conclusion(base["prob_below_1"])
    others = [each for each in trusted if RULE.conclusion(each["prob_below_1"]) != held]
    assert (row["state"] is None) == (not trusted)
    assert row["moves"] is (bool(others) if trusted else None)
    decided = [each for each in others if RULE.conclusion(each["prob_below_1"]) != "undecided"]
    assert (row["state"] == "changes") == bool(decided)
    if row["mover"] is not None:
        assert row["mover"] in {each["label"] for each in trusted}
    assert (row["mover"] is None) == (row["state"] in (None, "holds"))


def test_lists_of_what_would_move_the_conclusion_are_told_apart():
    base = {
        "prob_below_effect": 0.99, "median": 0.5, "eti95": [0.3, 0.8], "is_reliable": True,
    }  # fmt: skip
    holds = Verdict(False, "holds")
    changes = Verdict(True, "changes")
    parts = {
        "influence": finding("influence", "", holds, would_move="leaving out 4 patients"),
        "cutpoints": finding("cutpoints", "", holds, would_move="one set of intervals"),
        "priors": finding("priors", "", changes, would_move="12 priors"),
    }
    said = overall_sentence(base, part_rows(parts), RULE, "arm b against a")
    assert said.endswith(
        "Pushed further, the conclusion would change with leaving out 4 patients, or with one "
        "set of intervals."
    )


@given(st.lists(st.text("abc", min_size=1), min_size=3, max_size=5, unique=True), st.data())
def test_of_several_levels_those_are_named_that_were_not_examined(levels, data):
    levels = [f"<{level}>" for level in levels]
    examined = data.draw(st.integers(1, len(levels) - 1))
    said = one_level_sentence("arm", levels, examined)
    named = said.split(", nor about")[0]
    assert [level in named for level in levels] == [
        k not in (0, examined) for k in range(len(levels))
    ]


@pytest.mark.parametrize("arms", [2, 3])
def test_the_first_sentence_says_which_answer_it_is_about(arms, tmp_path):
    rng = np.random.default_rng(2)
    table = {"arm": np.arange(90) % arms, "time": rng.exponential(9, 90) + 0.1, "event": 1}
    pd.DataFrame(table).to_csv(tmp_path / "data.csv", index=False)
    (tmp_path / "arms.toml").write_text(SPEC)
    done = call("sensitivity", tmp_path / "arms.toml", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    said = json.loads((tmp_path / "out" / "sensitivity.json").read_text())["conclusion"]["sentence"]
    assert ("Nothing here is about the answer for arm 2" in said) == (arms == 3)
    assert said in " ".join(done.stdout.split())
