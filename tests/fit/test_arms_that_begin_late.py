"""Arms of which nobody is at risk for a while, and curves read between their points."""

import numpy as np
import pandas as pd
import pytest

import bayes_crlm as bc
from bayes_crlm.fit.observed_survival import kaplan_meier_distances
from bayes_crlm.model.arm_follow_up import gap_cautions, note_for, without_patients


def three_arms(seed, n=240):
    """Equal hazards of 0.05; the second arm is entered from 12 on, the third in two groups."""
    rng = np.random.default_rng(seed)
    arm = np.arange(n) % 3
    second = rng.uniform(12, 30, n)
    third = np.where(rng.random(n) < 0.5, 0.0, 40.0)
    entry = np.where(arm == 1, second, np.where(arm == 2, third, 0.0))
    # those of the first group leave by 20
    longest = np.where(arm == 2, np.where(entry == 0, 20.0, 100.0), 80.0)
    death = entry + rng.exponential(20, n)
    return pd.DataFrame(
        {
            "arm": arm,
            "entry": entry,
            "time": np.minimum(death, longest),
            "event": (death <= longest).astype(int),
        }
    )


@pytest.fixture(scope="module")
def late_fit():
    cohort = bc.read_cohort(three_arms(1), time="time", event="event", entry="entry", unit="months")
    return bc.PiecewiseExponential("arm", 0, cutpoints=5).fit(cohort, engine="laplace", seed=1)


def product_limit(table, begin, when):
    """By loops over the deaths of those at risk, given survival to `begin`."""
    alive = 1.0
    for death in sorted(set(table.loc[table["event"] == 1, "time"])):
        if begin < death <= when:
            at_risk = ((table["entry"] < death) & (table["time"] >= death)).sum()
            deaths = ((table["time"] == death) & (table["event"] == 1)).sum()
            alive *= 1 - deaths / at_risk
    return alive


def test_kaplan_meier_of_an_arm_begins_where_its_first_patient_is_at_risk(late_fit):
    table = three_arms(1)
    own = table[table["arm"] == 1]
    begin = own["entry"].min()
    shown = late_fit.kaplan_meier([6, 24, 40]).query("treatment == 1").reset_index()
    assert np.isnan(shown["kaplan_meier"][0]) and shown["n_at_risk"][0] == 0
    model = late_fit.survival_draws([begin, 24, 40]).values[:, 1].mean(axis=0)
    for j, time in ((1, 24), (2, 40)):
        assert shown["given"][j] == begin
        assert shown["kaplan_meier"][j] == pytest.approx(product_limit(own, begin, time))
        assert shown["model"][j] == pytest.approx(model[j] / model[0])


def test_the_distance_of_such_an_arm_is_of_curves_given_the_same(late_fit):
    """All hazards are equal: no distance is larger than some standard errors of 30 patients."""
    for row in kaplan_meier_distances(late_fit):
        assert row["distance"] < 3 * np.sqrt(0.25 / 30)
    (late,) = (row for row in kaplan_meier_distances(late_fit) if row["treatment"] == 1)
    own = three_arms(1).query("arm == 1")
    at_risk = [((own["entry"] <= t) & (own["time"] > t)).sum() for t in sorted(own["entry"])]
    tenth = next(k for k, number in enumerate(at_risk) if number >= 10)
    assert late["given"] == sorted(own["entry"])[tenth]
    assert late["kaplan_meier"] in (
        pytest.approx(product_limit(own, late["given"], late["time"])),
        pytest.approx(product_limit(own, late["given"], late["time"] - 1e-9)),
    )
    model = late_fit.survival_draws([late["given"], late["time"]]).values[:, 1].mean(axis=0)
    assert late["model"] == pytest.approx(model[1] / model[0], abs=0.003)


def test_kaplan_meier_starts_again_after_a_time_without_anybody_at_risk(late_fit):
    """Carried on, it would say that nobody died between the two groups of the third arm."""
    own = three_arms(1).query("arm == 2")
    shown = late_fit.kaplan_meier([18, 30, 60]).query("treatment == 2").reset_index()
    assert shown["kaplan_meier"][0] == pytest.approx(product_limit(own, 0, 18))
    assert np.isnan(shown["kaplan_meier"][1])
    assert shown["kaplan_meier"][2] == pytest.approx(product_limit(own, 40, 60))
    assert list(shown["given"][[0, 2]]) == [0, 40]
    left = own.query("entry == 0")["time"].max()
    told = f"Kaplan-Meier of arm 2 ends at {left:g} months, from when on nobody is at risk, and st"
    assert sum(each.startswith(told) for each in late_fit.warnings) == 1


def test_stretches_without_anybody_of_an_arm_are_told(late_fit):
    inputs, table = late_fit.inputs, three_arms(1)
    assert without_patients(inputs, 0, 0.0) == []
    first = table.query("arm == 1")["entry"].min()
    assert without_patients(inputs, 1, 0.0) == [(0.0, pytest.approx(first))]
    early = table.query("arm == 2 and entry == 0")["time"].max()
    assert without_patients(inputs, 2, 0.0) == [(pytest.approx(early), 40.0)]
    told = [each for each in late_fit.warnings if "nobody on it is at risk" in each]
    assert told == gap_cautions(inputs, 0.0)
    assert [each.split(":")[0] for each in told] == ["arm 1", "arm 2"]
    assert "at risk from 0 to 12" in told[0] and "to 40 months" in told[1]
    notes = late_fit.survival([6.0, 24.0]).set_index(["treatment", "time"])["note"]
    assert notes[1, 6.0] == "model only; nobody of this arm was at risk so early"
    assert notes[1, 24.0] is None and notes[0, 6.0] is None
    assert note_for(inputs, [1, 0], 6.0) == "model only; nobody of arm 1 was at risk so early"


def test_the_curve_is_dotted_where_nobody_of_the_arm_is_at_risk(late_fit):
    ax = late_fit.plot_survival()
    dotted = [line for line in ax.lines if line.get_linestyle() == ":" and line.get_lw() == 2]
    first = three_arms(1).query("arm == 1")["entry"].min()
    shown = dotted[1]
    drawn = shown.get_xdata()[np.isfinite(shown.get_ydata())]
    (legend,) = [each for each in ax.get_legend().get_texts() if "begin late" in each.get_text()]
    assert legend.get_text() == "steps that begin late: given survival to there"
    assert drawn[drawn < 60].max() <= first + 3 and drawn.min() == 0


@pytest.mark.parametrize("longest", [30.0, 300.0, 3_000.0])
def test_one_patient_followed_for_long_does_not_change_how_a_curve_is_read(longest):
    """Points equally spaced to the end of follow-up would leave none where the curve falls."""
    rng = np.random.default_rng(3)
    arm, time = np.arange(200) % 2, rng.exponential(3, 200)
    event = np.ones(200, dtype=int)
    time[:2], event[:2] = longest, 0
    table = pd.DataFrame({"arm": arm, "time": time, "event": event})
    cohort = bc.read_cohort(table, time="time", event="event")
    fit = bc.PiecewiseExponential("arm", 0, cutpoints=4).fit(cohort, engine="laplace", seed=1)
    for row in kaplan_meier_distances(fit):
        exact = fit.survival_draws([row["time"]]).values[:, row["treatment"]].mean()
        assert row["model"] == pytest.approx(exact, abs=0.004)
