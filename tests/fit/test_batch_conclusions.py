"""What is concluded from many cohorts: the success rule, and no answer where there is none."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, SuccessRule, fit_many, read_cohort, stack_cohorts
from bayes_crlm.cohort.stack import batches_of
from bayes_crlm.fit.many import BlockFits
from bayes_crlm.fit.many_results import Reported, rows_of_block
from bayes_crlm.model.preparing_many import prepare_batch
from bayes_crlm.words.success import Conclusion

MODEL = PiecewiseExponential("arm", 0, "x", cutpoints=3, baseline="independent")


def simulate(seed, log_hr=0.0, rows=60, levels=2):
    rng = np.random.default_rng(seed)
    arm, x = rng.integers(levels, size=rows), rng.normal(size=rows)
    death, end = rng.exponential(10 * np.exp(-log_hr * arm)), rng.uniform(5, 30, size=rows)
    return pd.DataFrame(
        {
            "cohort": seed,
            "time": np.minimum(death, end),
            "death": (death <= end).astype(int),
            "arm": arm,
            "x": x,
        }
    )


def stacked(tables):
    return stack_cohorts(pd.concat(tables), cohort="cohort", time="time", event="death")


@pytest.fixture(scope="module")
def varied():
    """Cohorts with hazard ratios from 1/5 to 5, some of them decided and some not."""
    tables = [simulate(k, log_hr=math.log(5) * (k % 5 - 2) / 2) for k in range(30)]
    return stacked(tables)


@pytest.mark.parametrize(
    "rule", [SuccessRule(), SuccessRule(effect=0.8, probability=0.9), SuccessRule(1.5, 0.95)]
)
def test_every_conclusion_is_the_success_rule_on_its_own_row(varied, rule):
    many = fit_many(MODEL, varied, seeds=1, thresholds=(1.0, 0.8, 1.5), success=rule)
    rows = many.terms
    of_arm = rows["term"] == "arm[T.1]"
    assert set(rows.loc[~of_arm, "conclusion"]) == {""}
    expected = [rule.conclusion(each) for each in rows.loc[of_arm, "prob_below_effect"]]
    assert rows.loc[of_arm, "conclusion"].tolist() == expected
    assert set(expected) == {"lower", "higher", "undecided"}
    np.testing.assert_array_equal(rows["prob_below_effect"], rows[f"prob_below_{rule.effect}"])


def test_the_rule_changes_no_number_and_adds_no_threshold(varied):
    plain = fit_many(MODEL, varied, seeds=1)
    ruled = fit_many(MODEL, varied, seeds=1, success=SuccessRule(effect=0.7))
    named = fit_many(MODEL, varied, seeds=1, thresholds=(0.7,))
    same = [name for name in plain.terms if name not in ("prob_below_effect", "conclusion")]
    pd.testing.assert_frame_equal(plain.terms[same], ruled.terms[same])
    np.testing.assert_array_equal(ruled.terms["prob_below_effect"], named.terms["prob_below_0.7"])


def test_a_conclusion_is_that_of_the_same_cohort_fitted_by_itself(varied):
    many = fit_many(MODEL, varied, seeds=1, draws=4000).of_term()
    for k in (0, 2, 4):
        row = MODEL.fit(varied[k], seed=1, engine="laplace").hazard_ratios().iloc[0]
        error = 5 * math.sqrt(0.25 / 4000 + 0.25 / many["importance_ess"][k])
        assert abs(row["prob_below_effect"] - many["prob_below_effect"][k]) < error


@pytest.mark.parametrize("empty", [0, 1])
def test_an_arm_without_events_has_no_conclusion_but_a_reason(empty):
    tables = [simulate(k, log_hr=1.0) for k in range(6)]
    tables[2].loc[tables[2]["arm"] == empty, "death"] = 0
    many = fit_many(MODEL, stacked(tables), seeds=1).of_term()
    withdrawn = many["conclusion"] == "withdrawn"
    assert withdrawn.tolist() == [k == 2 for k in range(6)]
    n_patients = int((tables[2]["arm"] == empty).sum())
    assert f"none of the {n_patients} patients on arm {empty} had an event" in many["withdrawn"][2]
    assert set(many["withdrawn"][~withdrawn]) == {""}


def test_a_level_without_events_withdraws_its_own_comparison_alone():
    tables = [simulate(k, rows=90, levels=3) for k in range(3)]
    tables[1].loc[tables[1]["arm"] == 2, "death"] = 0
    rows = fit_many(MODEL, stacked(tables), seeds=1).terms
    rows = rows[rows["term"].str.startswith("arm")].set_index(["cohort", "term"])
    assert (rows["conclusion"] == "withdrawn").sum() == 1
    assert rows.loc[(1, "arm[T.2]"), "conclusion"] == "withdrawn"


def test_several_rows_of_a_patient_are_one_patient_of_a_reason():
    table = simulate(1, rows=40).assign(patient=range(40), start=0.0)
    table.loc[table["arm"] == 1, "death"] = 0
    first = table.assign(time=table["time"] / 2, death=0)
    second = table.assign(start=table["time"] / 2)
    cohort = read_cohort(
        pd.concat([first, second]), time="time", event="death", entry="start", id="patient"
    )
    many = fit_many(MODEL, [cohort], seeds=1).of_term()
    assert f"none of the {int(table['arm'].sum())} patients" in many["withdrawn"][0]


def test_draws_that_are_not_to_be_trusted_conclude_nothing(varied):
    (batch,) = batches_of(varied)
    (block,) = prepare_batch(MODEL, batch).blocks
    reported = Reported((1.0,), SuccessRule())
    summary = BlockFits(MODEL, 1000, reported, False).summary(block, np.arange(len(block)))
    doubtful = np.arange(len(block)) % 2 == 1
    summary = replace(summary, pareto_k=np.where(doubtful, 0.9, 0.1))
    rows = rows_of_block(block, summary, None, ("numpy", 1000), reported)
    for k, is_doubtful in enumerate(doubtful):
        concluded, why = rows[k].conclusions(reported.rule)[0], rows[k].withdrawn[0]
        assert (concluded == "withdrawn") == is_doubtful
        assert ("a diagnostic fails: Pareto k of its weights is 0.90" in why) == is_doubtful


def test_a_cohort_that_could_not_be_fitted_concludes_nothing_and_says_why():
    broken = simulate(1).assign(death=0)
    many = fit_many(MODEL, stacked([simulate(0), broken]), seeds=1).of_term()
    assert many["conclusion"][1] == "withdrawn"
    assert many["reason"][1] and many["reason"][1] in many["withdrawn"][1]


def test_a_rule_that_concludes_more_calls_more(varied):
    def called(probability: float) -> set[int]:
        many = fit_many(MODEL, varied, seeds=1, success=SuccessRule(probability=probability))
        sides: tuple[Conclusion, ...] = ("lower", "higher")
        return set(np.flatnonzero(many.of_term()["conclusion"].isin(sides)).tolist())

    assert called(0.999) < called(0.8)
