"""Immortal time and overlap: rows counted by hand, no bias where there is none, and balance."""

import math

import numpy as np
import pandas as pd
import pytest

from bayes_crlm import PiecewiseExponential, read_cohort, read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.model.late_start import rows_at_landmark, rows_from_start
from bayes_crlm.sensitivity.comparison_rows import fit_row
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.confounding.balance import overlap_weights, stabilised_weights
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.sensitivity.refit import Shared
from bayes_crlm.sensitivity.run import Runner
from bayes_crlm.sensitivity.timing import immortal_time
from bayes_crlm.sensitivity.timing.delayed_treatment import split_row
from bayes_crlm.sensitivity.two_arms import start_of_treatment, two_arms
from bayes_crlm.sensitivity.verdicts import Judge
from bayes_crlm.words.errors import SensitivityError

# patient:            0    1    2    3    4    5
START = np.array([2.0, 5.0, np.inf, np.inf, 4.0, np.inf])
TIME = np.array([9.0, 8.0, 3.0, 12.0, 20.0, 4.0])
EVENT = np.array([1, 0, 1, 0, 1, 0])


def as_treated():
    table = pd.DataFrame({"months": TIME, "dead": EVENT, "treated": np.isfinite(START).astype(int)})
    cohort = read_cohort(table, time="months", event="dead")
    return two_arms(*prepared(cohort)).as_treated


def prepared(cohort):
    model = PiecewiseExponential("treated", 0, cutpoints=1)
    return model, model.prepare(cohort)


def test_a_landmark_takes_who_is_still_there_as_treated_by_then():
    taken = rows_at_landmark(as_treated(), START, 4.0)
    # 2 has died and 5 is no longer followed; 1 starts later and counts as untreated
    assert taken.row_number.tolist() == [1, 2, 4, 5]
    assert taken.time.tolist() == [5.0, 4.0, 8.0, 16.0]
    assert taken.event.tolist() == [1, 0, 0, 1]
    assert taken.table["treated"].tolist() == [1, 0, 0, 1]


def test_waiting_is_time_without_treatment():
    split = rows_from_start(as_treated(), START)
    rows = sorted(
        zip(
            split.patient_index.tolist(),
            split.entry.tolist(),
            split.time.tolist(),
            split.event.tolist(),
            split.table["treated"].tolist(),
            strict=True,
        )
    )
    assert rows == [
        (0, 0.0, 2.0, 0, 0), (0, 2.0, 9.0, 1, 1),
        (1, 0.0, 5.0, 0, 0), (1, 5.0, 8.0, 0, 1),
        (2, 0.0, 3.0, 1, 0),
        (3, 0.0, 12.0, 0, 0),
        (4, 0.0, 4.0, 0, 0), (4, 4.0, 20.0, 1, 1),
        (5, 0.0, 4.0, 0, 0),
    ]  # fmt: skip


def delayed_arms(seed, n=400, shape=1.0, baseline="independent", cutpoints=4):
    """Treatment that does nothing starts late, sooner in patients with a low x."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    death = 14 * (rng.exponential(size=n) * np.exp(-0.5 * x)) ** (1 / shape)
    start = 0.5 + rng.exponential(5 * np.exp(0.4 * x))
    end = rng.uniform(10, 40, n)
    months = np.minimum(death, end)
    treated = (start < 10) & (start < months)
    table = pd.DataFrame(
        {
            "months": months,
            "dead": (death <= end).astype(int),
            "treated": treated.astype(int),
            "start": np.where(treated, start, np.nan),
            "x": x,
        }
    )
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential("treated", 0, "x", cutpoints=cutpoints, baseline=baseline)
    return two_arms(model, model.prepare(cohort))


@pytest.fixture(scope="module")
def compared():
    """Three cohorts of a treatment without effect, by every method."""
    settings = immortal_time.Settings(start="start", groups=50)
    return [immortal_time.compare_methods(delayed_arms(k), settings, k) for k in range(3)]


def test_only_the_naive_analysis_finds_an_effect_where_there_is_none(compared):
    for found in compared:
        rows = found["rows"]
        assert all(row["failure"] is None for row in rows)
        assert rows[0]["method"] == "naive"
        assert rows[0]["eti95"][1] < 1
    naive = np.mean([found["rows"][0]["mean_log"] for found in compared])
    methods = (
        *("landmark", "time_dependent"),
        *("clone_censor_weight", "clone_censor_weight_adjusted"),
    )
    for method in methods:
        rows = [row for found in compared for row in found["rows"] if row["method"] == method]
        mean = np.mean([row["mean_log"] for row in rows])
        # the mean of three cohorts; landmarks of one cohort count as one
        error = np.mean([row["sd_log"] for row in rows]) / math.sqrt(3)
        assert abs(mean) < 4 * error
        # which tells no effect from the naive one: that is farther away
        assert abs(naive) > 4 * error


def test_waiting_time_does_not_look_safer_than_it_is():
    """Follow-up split at the start agrees with Cox, whose baseline is free, where few die early.

    Means over six cohorts. The posterior's mean may differ from Cox's maximum by the prior's pull,
    sd^2 times the log hazard ratio, by the skew of a log rate, 1 / (2 untreated deaths), and by a
    fifth of its standard deviation for hazards that change within an interval: so much takes half
    a percent from the coverage of a 95% interval. The difference varies by 0.02 over cohorts. A
    random walk on the spec's cutpoints is farther off than all of it.
    """
    differences = []
    for seed in range(6):
        arms = delayed_arms(seed, n=150, shape=1.3, baseline="random_walk", cutpoints="auto")
        start = start_of_treatment(arms, "start")
        row = split_row(arms, start, seed)
        cox = math.log(row["cox_hr"])
        n_dead_untreated = int(np.sum(arms.event[~arms.is_treated]))
        allowed = row["sd_log"] ** 2 * abs(cox) + 0.5 / n_dead_untreated + 0.2 * row["sd_log"]
        cohort = rows_from_start(arms.as_treated, start)
        smooth = fit_row(arms.model, cohort, seed)
        differences.append((row["mean_log"] - cox, allowed, smooth["mean_log"] - cox))
    found, allowed, smooth = np.mean(differences, axis=0)
    assert abs(found) < allowed < smooth


def test_a_landmark_says_how_many_of_its_untreated_start_later(compared):
    arms = delayed_arms(0)
    start = start_of_treatment(arms, "start")
    landmarks = [row for row in compared[0]["rows"] if row["method"] == "landmark"]
    assert len(landmarks) == 3
    for row in landmarks:
        untreated = (arms.time > row["at"]) & (start > row["at"])
        later = int(np.sum(untreated & np.isfinite(start)))
        assert later > 0
        assert f"{later}/{untreated.sum()} untreated start later" in row["label"]
        is_over = arms.time <= row["at"]
        assert row["n_dead_before"] == arms.event[is_over].sum()
        assert row["n_dead_before"] + row["n_censored_before"] == is_over.sum()


@pytest.fixture(scope="module")
def part():
    """The part on the package's own cohort, where only landmarks leave the effect undecided."""
    plan = plan_analysis(read_spec("os_repeat_local_vs_systemic"))
    run = Runner(Shared.of(plan), 1, None, None, False)
    context = Context(plan=plan, base={}, make_fit=None, level=1, seed=1, run=run)
    return immortal_time.analyse(context, immortal_time.Settings(groups=50))


def test_a_diluted_landmark_does_not_move_the_conclusion(part):
    naive, *others = part.result["rows"]
    turned = {row["method"] for row in others if Judge(naive).is_turned_by(row)}
    assert turned == {"landmark"}
    assert part.moves is False
    assert "the conclusion holds" in part.sentence
    worst = max(row["n_started_later"] for row in others if row["method"] == "landmark")
    assert f"{worst} of" in part.sentence


def test_what_turns_the_conclusion_is_named():
    def row(label, prob_below_1):
        return {"label": label, "median": 0.7, "prob_below_1": prob_below_1}

    naive, same, other = row("naive", 0.99), row("same", 0.98), row("other", 0.8)
    said = immortal_time.sentence(Judge(naive), [same, other], [])
    assert said.endswith("the conclusion is weaker with other.")


def test_strategies_and_what_differs_between_rows_are_said(part):
    assert set(part.result["strategies"]) == {"start", "never"}
    notes = " ".join(note.text for note in part.notes)
    for words in ("another question", "marginal hazard ratio", "never start", "Grace period"):
        assert words in notes
    (weights,) = [each.to_frame() for each in part.rows if each.name == "immortal_time_weights"]
    assert len(weights) == 2
    assert (weights["min"] <= weights["max"]).all()


def test_the_start_of_treatment_has_to_be_there():
    arms = delayed_arms(0)
    with pytest.raises(SensitivityError, match="when treatment started is not stated"):
        immortal_time.compare_methods(arms, immortal_time.Settings(), 1)


def test_weights_of_propensities_are_those_of_their_definitions():
    score, treated = np.array([0.2, 0.5, 0.8, 0.4]), np.array([True, False, True, False])
    np.testing.assert_allclose(overlap_weights(score, treated), [0.8, 0.5, 0.2, 0.4])
    found = stabilised_weights(score, treated, np.ones(4))
    np.testing.assert_allclose(found, [0.5 / 0.2, 0.5 / 0.5, 0.5 / 0.8, 0.5 / 0.6])


def test_overlap_weights_balance_covariates():
    rng = np.random.default_rng(3)
    n = 300
    x = rng.normal(size=n)
    treated = rng.uniform(size=n) < 1 / (1 + np.exp(-x))
    death = rng.exponential(10 * np.exp(-0.4 * x))
    table = pd.DataFrame(
        {"months": np.minimum(death, 25), "dead": (death < 25).astype(int), "x": x,
         "treated": treated.astype(int)}
    )  # fmt: skip
    model = PiecewiseExponential("treated", 0, "x", cutpoints=4, baseline="independent")
    inputs = model.prepare(read_cohort(table, time="months", event="dead"))
    found = overlap.compare_weights(two_arms(model, inputs), overlap.Settings(groups=50), 1)
    (balance,) = found["balance"]
    assert abs(balance["unweighted"]) > 0.5
    assert abs(balance["overlap_weights"]) < 0.02
    assert abs(balance["stabilised_weights"]) < 0.2
    # the score is that of the logistic regression which made it
    (slope,) = [row for row in found["propensity"]["terms"] if row["term"] == "x"]
    assert abs(slope["mean"] - x.std()) < 4 * slope["sd"]
    sizes = found["effective_sample_size"]
    assert sizes["unweighted"]["treated"] == treated.sum()
    assert sizes["stabilised_weights"]["treated"] < treated.sum()
    for row in found["rows"]:
        assert row["failure"] is None
        assert 0 < row["eti95"][0] < row["median"] < row["eti95"][1]
