"""The first sentence of a sensitivity analysis, for any number of parts."""

from types import SimpleNamespace

import pytest

from bayes_crlm.sensitivity.parts import PartResult
from bayes_crlm.sensitivity.writing import conclusion_sentence


def sentence_of(parts):
    design = SimpleNamespace(treatment="arm", levels=["a", "b"])
    base = {"prob_below_1": 0.99, "median": 0.5, "eti95": [0.3, 0.8]}
    plan = SimpleNamespace(inputs=SimpleNamespace(design=design))
    return conclusion_sentence(SimpleNamespace(base=base, level=1, plan=plan, parts=parts))


def part(moves, would_move=None):
    return PartResult(result={}, sentence="", moves=moves, would_move=would_move)


@pytest.mark.parametrize(
    ("moves", "said"),
    [
        (
            {"multiverse": False},
            "Nothing that was examined (combinations of analysis choices) moves the conclusion. ",
        ),
        (
            {"influence": False, "overlap": False},
            "Nothing that was examined moves the conclusion: neither single patients nor overlap "
            "and weighting. ",
        ),
        (
            {"influence": True, "overlap": False},
            "What moves the conclusion: single patients. What does not: overlap and weighting. ",
        ),
        ({"influence": True}, "What moves the conclusion: single patients. "),
        ({"reverse_bayes": None}, "No part that was run says whether the conclusion moves. "),
    ],
)
def test_the_first_sentence_is_one_for_any_number_of_parts(moves, said):
    found = sentence_of({name: part(each) for name, each in moves.items()})
    assert found.startswith(f"{said}The conclusion of the spec as it stands")


def test_lists_of_what_would_move_the_conclusion_are_told_apart():
    found = sentence_of(
        {
            "influence": part(False, "leaving out 4 patients or moving 5 events"),
            "cutpoints": part(False, "2 sets of intervals that hardly count in stacking"),
            "priors": part(True, "12 of 63 priors of the grid"),
        }
    )
    assert (
        "Pushed further, the conclusion would be moved by leaving out 4 patients or moving 5 "
        "events; 2 sets of intervals that hardly count in stacking. The conclusion" in found
    )
