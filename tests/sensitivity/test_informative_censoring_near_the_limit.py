"""A finding just beyond the limit of the success rule, which completed follow-up turns."""

import json
from pathlib import Path

import pytest
from runs import call

DATA = Path(__file__).parents[1] / "reference" / "informative_censoring_near_the_limit.csv"
SPEC = """
title = "Near the limit"
[data]
source = "{source}"
time = "time"
event = "event"
[model]
treatment = "arm"
reference = 0
covariates = "x"
[success]
probability = {probability}
[sensitivity.informative_censoring]
deltas = [0.5, 1, 2]
completions = 300
"""


@pytest.fixture(scope="module", params=[0.95, 0.975])
def found(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("near")
    text = SPEC.format(source=DATA.as_posix(), probability=request.param)
    (folder / "spec.toml").write_text(text)
    names = ("--only", "informative_censoring", "--out", folder / "out", "--jobs", 1)
    done = call("sensitivity", folder / "spec.toml", *names)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text()) | {"limit": request.param}


def concludes(probability, limit):
    if probability >= limit:
        return "lower"
    return "higher" if 1 - probability >= limit else "undecided"


def test_deltas_are_judged_against_the_base_and_not_against_noise(found):
    """Completions with deltas of 1 may fall below the limit by Monte Carlo error alone."""
    limit, part = found["limit"], found["informative_censoring"]
    assert found["base"]["prob_below_1"] == pytest.approx(0.96, abs=0.01)
    base = concludes(found["base"]["prob_below_1"], limit)
    for row in part["rows"]:
        is_changed = (row["delta_reference"], row["delta_treated"]) != (1.0, 1.0)
        turns = concludes(row["prob_below_1"], limit) != base
        assert row["turns_conclusion"] == (turns and is_changed)
    (alone,) = [
        row for row in part["rows"] if (row["delta_reference"], row["delta_treated"]) == (1.0, 2.0)
    ]
    # an independent computation found 0.825
    assert alone["prob_below_1"] == pytest.approx(0.825, abs=0.04)
    assert alone["turns_conclusion"] == (limit == 0.95)


def test_the_part_moves_the_conclusion_on_either_side_of_the_limit(found):
    assert found["informative_censoring"]["moves"] is True
    assert found["conclusion"]["moved_by"] == ["informative_censoring"]
