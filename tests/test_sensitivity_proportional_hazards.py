"""The part `proportional_hazards`: effects that change are found, and splitting changes nothing."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from runs import call

from bayes_crlm import PiecewiseExponential, read_cohort
from bayes_crlm.likelihood import patient_log_likelihood
from bayes_crlm.sensitivity.proportional_hazards import split_periods

SPEC = """
title = "A simulated cohort"
[data]
source = "cohort.csv"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
[model.baseline]
cutpoints = [10]
prior = "independent"
"""
CHANGE = 10.0


def table_of(n=600):
    """Hazard 0.05; treatment halves it up to month 10 and doubles it afterwards."""
    rng = np.random.default_rng(2)
    arm = np.arange(n) % 2
    early, late = 0.05 * np.where(arm == 1, 0.5, 1.0), 0.05 * np.where(arm == 1, 2.0, 1.0)
    cumulative = rng.exponential(size=n)
    death = np.where(
        cumulative < early * CHANGE,
        cumulative / early,
        CHANGE + (cumulative - early * CHANGE) / late,
    )
    return pd.DataFrame(
        {"arm": arm, "months": np.minimum(death, 30), "dead": (death < 30).astype(int)}
    )


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("periods")
    table_of().to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(
        f"{SPEC}[sensitivity.proportional_hazards]\ntimes = [{CHANGE}]\n"
    )
    names = ("--only", "proportional_hazards", "--out", folder / "out")
    done = call("sensitivity", folder / "small.toml", *names)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())["proportional_hazards"]


def test_a_changing_effect_is_found_as_rates_say(found):
    table = table_of()
    for row, (low, high) in zip(found["rows"], [(0, CHANGE), (CHANGE, 30)], strict=True):
        at_risk = (table["months"].clip(upper=high) - low).clip(lower=0)
        is_event = (table["dead"] == 1) & (table["months"] > low) & (table["months"] <= high)
        events = is_event.groupby(table["arm"]).sum()
        rate = events / at_risk.groupby(table["arm"]).sum()
        assert row["n_events"] == events.sum()
        # normal approximation of the likelihood, shrunk by the prior normal(0, 1)
        precision = 1 / (1 / events).sum()
        expected = math.log(rate[1] / rate[0]) * precision / (precision + 1)
        assert row["mean_log"] == pytest.approx(expected, abs=4 * row["mcse"] + 0.02)
        assert row["sd_log"] == pytest.approx((precision + 1) ** -0.5, rel=0.06)
    change = found["rows"][1]["mean_log"] - found["rows"][0]["mean_log"]
    assert found["change"]["mean_log"] == pytest.approx(change, abs=1e-9)
    assert found["change"]["prob_below_1"] < 0.01
    # two hazard ratios predict better, and Cox's test sees the same
    assert found["elpd_difference"] > 2 * found["elpd_difference_se"]
    assert all(each["p"] < 0.001 for each in found["grambsch_therneau"])


def test_the_average_is_weighted_by_events(found):
    events = np.array([row["n_events"] for row in found["rows"]])
    mean = np.array([row["mean_log"] for row in found["rows"]])
    expected = (mean * events).sum() / events.sum()
    assert found["average"]["mean_log"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_split_rows_have_the_likelihood_of_whole_ones(seed):
    """Late entry, several rows of a patient, three strategies, transforms of covariates."""
    rng = np.random.default_rng(seed)
    n = 80
    end = rng.exponential(12, n) + 0.5
    middle = end * rng.uniform(0.2, 0.8, n)
    first = pd.DataFrame(
        {
            "id": range(n),
            "start": middle * rng.choice([0, 0.3], n),
            "stop": middle,
            "dead": 0,
            "arm": rng.choice(["a", "b", "c"], n),
            "age": rng.normal(60, 9, n),
        }
    )
    second = first.assign(start=middle, stop=end, dead=rng.choice([0, 1], n, p=[0.3, 0.7]))
    cohort = read_cohort(
        pd.concat([first, second], ignore_index=True),
        time="stop",
        event="dead",
        entry="start",
        id="id",
    )
    model = PiecewiseExponential("arm", "a", "bs(age, df=4)", cutpoints=5)
    inputs = model.prepare(cohort)
    times = np.quantile(end, [0.2, 0.5])
    split = split_periods(inputs, 2, times)
    assert split.data.n_patients == n
    assert split.cohort.n_events == cohort.n_events
    assert split.cohort.exposure == pytest.approx(cohort.exposure)
    assert split.design.levels[0] == "a"
    assert split.design.levels[-1] == "b"
    log_hazard = rng.normal(-2.5, 0.3, (4, inputs.intervals.n_intervals))
    effect = rng.normal(0, 0.3, (4, len(inputs.design.terms)))
    # the same effect in every period; the columns' means move only the baseline's level
    several = np.hstack([effect[:, [1, 1, 1]], effect[:, [0]], effect[:, 2:]])
    moved = several @ (split.design.center / split.design.scale)
    moved -= effect @ (inputs.design.center / inputs.design.scale)
    whole = patient_log_likelihood(log_hazard, effect, inputs.data)
    pieces = patient_log_likelihood(log_hazard + moved[:, None], several, split.data)
    assert pieces == pytest.approx(whole, abs=1e-9)
    level = np.array(split.design.levels)[split.design.treatment_level]
    is_first = split.cohort.time <= times[0]
    treated = split.cohort.table["arm"].to_numpy() == "c"
    assert set(level[treated & is_first]) == {split.design.levels[1]}
    assert set(level[~treated]) == {"a", "b"}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("times = [0]", "0 is impossible"),
        ("times = [29.999999]", "no event after 30"),
        ("times = 'never'", "'never' is not a list of times"),
    ],
)
def test_impossible_periods_are_refused(line, told, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    text = f"{SPEC}[sensitivity.proportional_hazards]\n{line}\n"
    (tmp_path / "small.toml").write_text(text)
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
