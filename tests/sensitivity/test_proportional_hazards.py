"""The part `proportional_hazards`: effects that change are found, and only those."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from one_class import patient_log_likelihood
from runs import call

from bayes_crlm import PiecewiseExponential, read_cohort, read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity.choices.periods import (
    common_cutpoints,
    cut_at,
    fit_periods,
    period_contrasts,
    sample_periods,
    split_periods,
)
from bayes_crlm.sensitivity.choices.proportional_hazards import Settings, analyse
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.sensitivity.refit import Shared
from bayes_crlm.tasks.run import TaskResult

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
    """Normal likelihoods of two rates, times the prior of average and deviations."""
    table = table_of()
    estimate, variance, weight = [], [], []
    for row, (low, high) in zip(found["rows"], [(0, CHANGE), (CHANGE, 30)], strict=True):
        at_risk = (table["months"].clip(upper=high) - low).clip(lower=0)
        is_event = (table["dead"] == 1) & (table["months"] > low) & (table["months"] <= high)
        events = is_event.groupby(table["arm"]).sum()
        rate = events / at_risk.groupby(table["arm"]).sum()
        assert row["n_events"] == events.sum()
        estimate.append(math.log(rate[1] / rate[0]))
        variance.append((1 / events).sum())
        weight.append(events.sum())
    # beta ~ normal(0, 1); the periods differ from it by recentred normals of scale 0.5
    recentre = np.eye(2) - np.array(weight) / sum(weight)
    prior = np.ones((2, 2)) + 0.25 * recentre @ recentre.T
    shrink = prior @ np.linalg.inv(prior + np.diag(variance))
    mean, covariance = shrink @ estimate, prior - shrink @ prior
    for k, row in enumerate(found["rows"]):
        assert row["mean_log"] == pytest.approx(mean[k], abs=4 * row["mcse"] + 0.02)
        assert row["sd_log"] == pytest.approx(math.sqrt(covariance[k, k]), rel=0.06)
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


def test_periods_on_both_sides_change_the_conclusion(found):
    assert found["state"] == "changes" and found["moves"] is True
    assert found["periods_disagree"] is True
    assert [each["label"] for each in found["movers"]] == [row["period"] for row in found["rows"]]
    assert found["sentence"].startswith("The hazard ratio changes sides over time")


def part_of(found, folder, below, unreliable=""):
    """The part, told what a fit found: P(HR < 1) of base, average and one, and which one fails."""
    table_of().to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC)
    base, average, one = ({"median": 0.8, "prob_below_1": each} for each in below)
    value = found | {"average": found["average"] | average, "one": found["one"] | one}
    # of periods that cross the average does not matter
    value["rows"] = [row | {"prob_below_1": 0.5} for row in found["rows"]]
    if unreliable:
        value[unreliable] = value[unreliable] | {"is_reliable": False}
    context = Context(
        plan=plan_analysis(read_spec(folder / "small.toml")), base=base, make_fit=None, level=1,
        seed=1, run=lambda name, tasks: [TaskResult(task.key, value) for task in tasks],
    )  # fmt: skip
    return analyse(context, Settings(times=[CHANGE]))


def test_the_average_moves_the_conclusion_unless_the_cutpoints_alone_do(found, tmp_path):
    part = part_of(found, tmp_path, (0.99, 0.5, 0.99))
    assert part.moves is True
    assert "chains" not in part.rows[0].to_frame()
    assert part_of(found, tmp_path, (0.99, 0.5, 0.5)).moves is False
    part = part_of(found, tmp_path, (0.99, 1.0, 0.99))
    assert part.moves is False
    # draws are never so many that a probability is 1
    assert part.sentence.endswith("P(HR < 1) above 0.999.")


@pytest.mark.parametrize("name", ["average", "one"])
@pytest.mark.parametrize("below", [(0.99, 0.5, 0.99), (0.99, 0.99, 0.99)])
def test_a_refit_that_fails_says_nothing_of_the_conclusion(found, tmp_path, below, name):
    assert part_of(found, tmp_path, below, unreliable=name).moves is None


def shared_of(table, cutpoints, treatment_prior="normal(0, 1)", covariate_prior="normal(0, 1)"):
    cohort = read_cohort(table, time="months", event="dead")
    model = PiecewiseExponential(
        "arm",
        0,
        cutpoints=cutpoints,
        baseline="random_walk",
        treatment_prior=treatment_prior,
        covariate_prior=covariate_prior,
    )
    return Shared(cohort, model, 1, cohort)


def proportional(seed, n=400, ratio=0.6):
    """Proportional hazards beside a hazard that falls as a Weibull's of shape 0.6."""
    rng = np.random.default_rng([seed, 17])
    arm = np.arange(n) % 2
    death = 20 * (rng.exponential(size=n) / ratio**arm) ** (1 / 0.6)
    months = np.minimum(death, 60)
    return pd.DataFrame({"arm": arm, "months": months, "dead": (death <= 60).astype(int)})


@pytest.mark.parametrize("cutpoints", [1, 2])
def test_proportional_hazards_show_no_change_however_few_the_intervals(cutpoints):
    """A baseline that does not bend at a period's limit would make the periods' effects differ."""
    changes, better = [], []
    for seed in range(12):
        table = proportional(seed)
        times = np.quantile(table["months"][table["dead"] == 1], [1 / 3, 2 / 3]).tolist()
        shared = shared_of(table, cutpoints)
        found = fit_periods(shared, times=times, deviation_scale=0.5, seed=seed)
        changes.append(found["change"]["mean_log"])
        better.append(found["elpd_difference"])
    error = np.std(changes, ddof=1) / math.sqrt(len(changes))
    assert abs(np.mean(changes)) < 3 * error
    assert error < 0.15
    # what one hazard ratio says needs no periods
    assert np.mean(better) < 0


@pytest.mark.parametrize(
    ("treatment_prior", "covariate_prior"),
    [
        ("normal(0, 0.15)", "normal(0, 1)"),
        ("normal(0, 1)", "normal(0, 1)"),
        ("student_t(3, -1, 0.2)", "student_t(4, 0, 0.7)"),
        ("laplace(0, 0.2)", "normal(0, 3)"),
    ],
)
def test_the_average_has_the_prior_of_a_single_hazard_ratio(treatment_prior, covariate_prior):
    table = proportional(3, n=200, ratio=0.5)
    times = np.quantile(table["months"][table["dead"] == 1], [0.25, 0.5, 0.75]).tolist()
    shared = shared_of(table, 3, treatment_prior, covariate_prior)
    found = fit_periods(shared, times=times, deviation_scale=0.5, seed=1)
    one, average = found["one"], found["average"]
    # the likelihoods of the two are not quite the same: a fifth of a standard deviation
    assert average["mean_log"] == pytest.approx(one["mean_log"], abs=0.2 * one["sd_log"])
    assert average["sd_log"] == pytest.approx(one["sd_log"], rel=0.1)
    assert one["is_reliable"] and average["is_reliable"]


def test_deviations_have_the_same_prior_whatever_that_of_covariates_is():
    """Whatever the covariates' prior is, of which there are none."""
    table = proportional(5, n=200)
    times = np.quantile(table["months"][table["dead"] == 1], [0.4]).tolist()
    means = []
    for prior in ("normal(0, 1)", "normal(0.4, 2)", "student_t(3, 0, 1)"):
        model, inputs = cut_at(shared_of(table, 2, covariate_prior=prior), times)
        drawn, log_ratio = sample_periods(model, inputs, 1, times, deviation_scale=0.3, seed=2)
        means.append(drawn.weight @ log_ratio)
        spread = np.sqrt(drawn.weight @ (log_ratio - means[-1]) ** 2)
        assert drawn.ess > 1000
    assert np.max(np.abs(np.diff(means, axis=0)) / spread) < 4 * math.sqrt(2 / 1000)


@pytest.mark.parametrize("events", [[10, 10], [5, 40, 12], [3, 3, 3, 30]])
def test_deviations_average_to_nothing_and_any_two_periods_differ_alike(events):
    contrasts = period_contrasts(np.array(events))
    assert contrasts.shape == (len(events), len(events) - 1)
    assert np.array(events) @ contrasts == pytest.approx(np.zeros(len(events) - 1), abs=1e-9)
    covariance = contrasts @ contrasts.T
    for k in range(len(events)):
        for other in range(k):
            difference = covariance[k, k] + covariance[other, other] - 2 * covariance[k, other]
            assert difference == pytest.approx(2)


def test_every_period_limit_and_every_cutpoint_of_the_spec_cuts_the_baseline():
    event_times = np.arange(1.0, 12.0)
    found = common_cutpoints(np.array([0, 0.5, 2.5, 3.5, 12.0]), [2.5, 8.0], event_times)
    assert found == [0.5, 2.5, 3.5, 8.0]


def test_no_more_intervals_than_events_and_then_none_is_empty():
    event_times = np.array([1.0, 2.0, 3.0, 5.0, 8.0, 9.0])
    found = common_cutpoints(np.array([0, 0.5, 2.5, 3.5, 4.5, 8.5, 12.0]), [4.0, 8.0], event_times)
    # 0.5 leaves an empty interval, as do 3.5 before 4 and 4.5 after it
    assert found == [2.5, 4.0, 8.0]
    edges = np.array([0.0, *found, 12.0])
    assert np.all(np.histogram(event_times, np.nextafter(edges, np.inf))[0] > 0)


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
    contrasts = period_contrasts(np.array([3, 5, 4]))
    held = replace(model, cutpoints=inputs.intervals.cutpoints[1:-1].tolist())
    split = split_periods(held, inputs, 2, times, 0.5 * contrasts)
    assert split.data.n_patients == n
    assert split.cohort.n_events == cohort.n_events
    assert split.cohort.exposure == pytest.approx(cohort.exposure)
    assert split.design.levels == ("a", "b", "c")
    log_hazard = rng.normal(-2.5, 0.3, (4, inputs.intervals.n_intervals))
    effect = rng.normal(0, 0.3, (4, len(inputs.design.terms)))
    # no deviation: the same effect in every period
    several = np.hstack([effect, np.zeros((4, 2))])
    whole = patient_log_likelihood(log_hazard, effect, inputs.data)
    pieces = patient_log_likelihood(log_hazard, several, split.data)
    assert pieces == pytest.approx(whole, abs=1e-9)
    # a deviation adds its period's contrast to the log hazard of that level alone
    period = np.searchsorted(times, split.cohort.time)
    treated = split.cohort.table["arm"].to_numpy() == "c"
    columns = split.data.design[:, -2:] / 0.5
    assert columns[treated] == pytest.approx(contrasts[period[treated]])
    assert np.all(columns[~treated] == 0)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("times = [0]", "0 is impossible"),
        ("times = [29.999999]", "no event after 30"),
        ("times = 'never'", "'never' is not a list of times"),
        ("deviation_scale = 0", "deviation_scale"),
    ],
)
def test_impossible_periods_are_refused(line, told, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    text = f"{SPEC}[sensitivity.proportional_hazards]\n{line}\n"
    (tmp_path / "small.toml").write_text(text)
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert told in done.stderr
