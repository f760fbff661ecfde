"""What each column rests on, held against counts by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bayes_crlm as bc
from bayes_crlm.model.column_counts import (
    column_rows,
    count_cautions,
    prior_share,
    sides_of_columns,
)
from bayes_crlm.model.priors import Normal


def prepared(seed=0, n=120, rare=1, covariates="C(ecog) + sex", **model):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "time": rng.exponential(10, n) + 0.1,
            "event": rng.integers(2, size=n),
            "arm": rng.integers(2, size=n),
            "ecog": rng.integers(3, size=n),
            "sex": rng.integers(1, 3, size=n),
        }
    )
    table.loc[: rare - 1, "ecog"] = 3
    table.loc[: rare - 1, "event"] = 1
    cohort = bc.read_cohort(table, time="time", event="event")
    return table, bc.PiecewiseExponential("arm", 0, covariates=covariates, **model).prepare(cohort)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_counts_are_those_of_the_table(seed):
    table, inputs = prepared(seed)
    sides = {each.name: each for each in sides_of_columns(inputs.cohort, inputs.design)}
    groups = {f"arm {k}": table["arm"] == k for k in (0, 1)}
    groups |= {f"ecog {k}": table["ecog"] == k for k in (1, 2, 3)}
    groups |= {"the reference level of ecog": table["ecog"] == 0}
    groups |= {f"sex = {k}": table["sex"] == k for k in (1, 2)}
    assert sides.keys() == groups.keys()
    for name, mask in groups.items():
        side = sides[name]
        assert side.n_patients == mask.sum()
        assert side.n_events == table.loc[mask, "event"].sum()
        assert side.n_without_event == (table.loc[mask, "event"] == 0).sum()
        assert side.n_other_events == table.loc[~mask, "event"].sum()


def test_a_level_of_one_patient_is_named_and_others_are_not():
    _, inputs = prepared()
    told = [each for each in count_cautions(inputs) if "ecog" in each]
    assert told == ["ecog 3 is one patient with one event: the prior decides"]
    _, inputs = prepared(rare=12)
    assert not any("ecog" in each for each in count_cautions(inputs))


def test_a_rare_reference_level_is_named_for_every_contrast_with_it():
    _, inputs = prepared(covariates="C(ecog, levels=[3, 0, 1, 2])")
    (told,) = [each for each in count_cautions(inputs) if "ecog" in each]
    assert told.startswith("the reference level of ecog is one patient with one event")
    assert "every contrast" in told


def test_the_priors_share_is_that_of_the_posteriors_variance():
    """Exact fit by grid: one death in a level, log hazards of the others known."""
    _, inputs = prepared(n=400)
    side = next(
        each for each in sides_of_columns(inputs.cohort, inputs.design) if each.name == "ecog 3"
    )
    # one event: exp(b) - b likelihood, with exposure such that its maximum is at 0
    grid = np.linspace(-8, 8, 4001)
    for sd in (0.3, 1.0, 3.0):
        log_post = grid - np.exp(grid) - 0.5 * (grid / sd) ** 2
        mode = grid[log_post.argmax()]
        share = (1 / sd**2) / (1 / sd**2 + np.exp(mode))
        assert prior_share(side, Normal(0, sd)) == pytest.approx(share, abs=0.08)


def test_the_table_says_which_levels_are_rare():
    _, inputs = prepared()
    rows = {row["level"]: row for row in column_rows(inputs)}
    assert rows["ecog 3"]["caution"].endswith("the prior decides")
    assert [name for name, row in rows.items() if row["caution"]] == ["ecog 3"]
    assert rows["the reference level of ecog"]["terms"] == [
        "C(ecog)[T.1]",
        "C(ecog)[T.2]",
        "C(ecog)[T.3]",
    ]
