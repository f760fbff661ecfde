"""The part `influence`: patients left out, or events moved, really turn the conclusion."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from one_class import patient_log_likelihood
from runs import call

from bayes_crlm import PiecewiseExponential, read_cohort, read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity import refit as refits
from bayes_crlm.sensitivity.influence.fragility import movable_rows, moved_events, moved_scores
from bayes_crlm.sensitivity.influence.influence import (
    FIELDS,
    Settings,
    leave_out,
    of_whom,
    worst_patients,
)
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.sensitivity.posterior_draws import (
    sample_posterior,
)
from bayes_crlm.sensitivity.refit import Shared, changed_inputs
from bayes_crlm.sensitivity.run import BASE_DRAWS
from bayes_crlm.tasks.run import run_tasks

SPEC = """
title = "A small simulated cohort"
[data]
source = "cohort.csv"
id = "patient"
time = "months"
event = "dead"
[model]
treatment = "arm"
reference = 0
covariates = ""
[model.baseline]
cutpoints = [5, 12]
prior = "gamma"
[sampling]
seed = 8
[sensitivity]
parts = ["influence"]
"""
MODEL = PiecewiseExponential("arm", 0, "", cutpoints=[5, 12], baseline="gamma")


def table_of():
    rng = np.random.default_rng(8)
    arm = np.arange(60) % 2
    death = rng.exponential(20 * np.exp(0.9 * arm))
    return pd.DataFrame(
        {
            "patient": [f"p{k:02d}" for k in range(60)],
            "arm": arm,
            "months": np.minimum(death, 40).round(2) + 0.01,
            "dead": (death < 40).astype(int),
        }
    )


def refit(table):
    cohort = read_cohort(table, id="patient", time="months", event="dead")
    return MODEL.fit(cohort, engine="laplace", draws=2000, chains=2, seed=11)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("influence")
    table_of().to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC)
    done = call("sensitivity", folder / "small.toml", "--out", folder / "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    names = {
        path.stem for kind in ("tables", "figures") for path in (folder / "out" / kind).iterdir()
    }
    return json.loads((folder / "out" / "sensitivity.json").read_text()) | {"files": names}


def test_files_begin_with_the_name_of_the_part(found):
    assert found["files"] == {
        "influence", "influence_worst", "influence_moved", "influence_fragility",
        "sensitivity_parts",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("patients", "events", "said"),
    [
        (1, 1, "who had the event"),
        (1, 0, "who did not have the event"),
        (3, 0, "none of them with the event"),
        (3, 2, "2 of them with the event"),
        (2, 2, "both with the event"),
        (3, 3, "all with the event"),
    ],
)
def test_patients_with_the_event_are_counted_in_words(patients, events, said):
    assert of_whom(patients, events) == said


def test_without_the_named_patients_the_conclusion_turns(found):
    part, table = found["influence"], table_of()
    index = part["deletion_index"]
    named = part["deletion_patients"]
    assert found["base"]["prob_below_1"] >= 0.975
    assert index == len(set(named)) >= 1
    probability = [
        float(refit(table[~table["patient"].isin(gone)]).hazard_ratios().iloc[0]["prob_below_1.0"])
        for gone in ([], named)
    ]
    last = part["worst"][-1]["prob_below_1"]
    assert last < 0.975 <= probability[0]
    # other draws, 4,000 each
    assert probability[1] == pytest.approx(last, abs=3 * math.sqrt(0.975 * 0.025 * 2 / 4000))
    events = table.set_index("patient").loc[named, "dead"].sum()
    assert part["deletion_events"] == events
    # every step moves the result the same way, and one patient fewer does not turn it
    below = [row["prob_below_1"] for row in part["worst"]]
    assert below == sorted(below, reverse=True)
    assert all(each >= 0.975 for each in below[:-1])


def test_every_patient_is_left_out_once_and_exactly(found):
    rows, table = found["influence"]["rows"], table_of()
    assert [row["patient"] for row in rows] == table["patient"].tolist()
    medians = [row["median"] for row in rows]
    assert found["influence"]["median_range"] == [min(medians), max(medians)]
    worst = rows[int(np.argmax(medians))]
    fit = refit(table[table["patient"] != worst["patient"]])
    expected = fit.hazard_ratios().iloc[0]
    # 2,000 and 4,000 draws
    error = 4 * 1.25 * expected["sd_log"] * math.sqrt(1 / 2000 + 1 / 4000)
    assert abs(math.log(worst["median"] / expected["median"])) < error
    assert worst["n_patients"] == 59


@pytest.fixture
def context(tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(SPEC)
    plan = plan_analysis(read_spec(tmp_path / "small.toml"))
    shared = Shared.of(plan)
    base = refits.refit(shared, seed=8, draws=BASE_DRAWS, parts=[])

    def run(name, tasks):
        return run_tasks(tasks, jobs=1, progress=False, shared=shared)

    return Context(plan=plan, base=base, make_fit=None, level=1, seed=8, run=run)


def test_without_nobody_is_the_base(context):
    """Else noise, not the patient, may be what moves the conclusion."""
    (row,) = leave_out(context, "nobody", [[]])
    assert {name: row[name] for name in FIELDS} == {name: context.base[name] for name in FIELDS}


def test_a_step_that_fails_its_diagnostic_does_not_turn_the_conclusion(context):
    row = context.base | {"failure": None, "prob_below_1": 0.5, "is_reliable": False}
    rows = [row] * context.plan.inputs.cohort.n_patients
    (step,) = worst_patients(context, Settings(worst=1), rows)
    assert step["turns_conclusion"] is False


def base_of(folder, table):
    """The ordinary base analysis of a table, as a user runs it."""
    table.to_csv(folder / "cohort.csv", index=False)
    (folder / "small.toml").write_text(SPEC.replace('"influence"', '"reverse_bayes"'))
    done = call("sensitivity", folder / "small.toml", "--out", folder / "out", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "out" / "sensitivity.json").read_text())["base"]


def with_other_status(table, patients):
    changed = table["patient"].isin(patients)
    return table.assign(dead=np.where(changed, 1 - table["dead"], table["dead"]))


def test_moving_the_events_of_the_named_patients_turns_the_conclusion(found, tmp_path):
    """By hand, in the file: all of them turn it, one fewer do not."""
    part, table = found["influence"], table_of()
    index, named = part["fragility_index"], part["fragility_patients"]
    assert index == len(set(named)) >= 2
    status = table.set_index("patient").loc[named]
    # one arm and one direction
    assert status["arm"].nunique() == status["dead"].nunique() == 1
    assert part["fragility_level"] == status["arm"].iloc[0]
    assert part["fragility_adds_events"] == (status["dead"].iloc[0] == 0)
    assert part["fragility_events"] == status["dead"].sum()
    assert found["base"]["prob_below_1"] >= 0.975
    turned = base_of(tmp_path, with_other_status(table, named))
    assert turned["n_events"] == table["dead"].sum() + (1 - 2 * status["dead"]).sum()
    assert turned["prob_below_1"] < 0.975
    assert base_of(tmp_path, with_other_status(table, named[:-1]))["prob_below_1"] >= 0.975
    arm = "treated" if part["fragility_level"] == 1 else "reference"
    assert turned["median"] == part["fragility_paths"][arm]["rows"][-1]["median"]


@pytest.mark.parametrize("arm", ["treated", "reference"])
def test_weighted_draws_choose_the_patient_whom_refits_choose(arm):
    """A covariate makes every patient another; 20,000 draws make noise small."""
    table = table_of()
    table["x"] = np.random.default_rng(3).normal(size=len(table)).round(2)
    table["months"] = (table["months"] * np.exp(-0.7 * table["x"])).clip(upper=40.01)
    model = PiecewiseExponential("arm", 0, "x", cutpoints=[5, 12], baseline="gamma")
    inputs = model.prepare(read_cohort(table, id="patient", time="months", event="dead"))
    drawn = sample_posterior(model, inputs, 1, 20_000)
    rows = movable_rows(inputs, 1, arm, 1.0)
    scores = moved_scores(drawn, 1, rows)
    exact = []
    for row in rows:
        moved = moved_events(model, inputs, [row])
        again = sample_posterior(model, moved, 1, 20_000)
        told = again.row(1)
        exact.append(told["mean_log"] / told["sd_log"])
    before = drawn.row(1)
    # for a higher hazard ratio, all of them
    assert np.all(scores > before["mean_log"] / before["sd_log"])
    # the centre of the baseline's prior, which follows the events, is left out of the weights
    assert np.max(np.abs(scores - exact)) < 0.05
    assert exact[int(np.argmax(scores))] > max(exact) - 0.02


def test_leave_one_out_from_one_fit_has_the_size_of_refits(found):
    rows, base = found["influence"]["rows"], found["base"]
    exact = np.array([(row["mean_log"] - base["mean_log"]) / base["sd_log"] for row in rows])
    assert [row["shift"] for row in rows] == pytest.approx(exact)
    assert all(row["loo_influence_pareto_k"] < 0.7 for row in rows)
    # a distance, which has no sign
    size = [row["loo_influence"] for row in rows]
    assert min(size) >= 0
    assert np.corrcoef(np.abs(exact), size)[0, 1] > 0.9


def test_without_an_early_death_its_own_arm_does_better(found):
    """The shift has a sign, which the distance of leave-one-out has not."""
    table = table_of()
    shift = {row["patient"]: row["shift"] for row in found["influence"]["rows"]}
    for arm, sign in ((1, -1), (0, 1)):
        early = table[(table["arm"] == arm) & (table["dead"] == 1)].nsmallest(5, "months")
        assert all(sign * shift[patient] > 0 for patient in early["patient"])


@pytest.mark.parametrize("line", ["worst = 0", "worst = 1.5", "candidates = 'all'"])
def test_impossible_numbers_are_refused(line, tmp_path):
    table_of().to_csv(tmp_path / "cohort.csv", index=False)
    (tmp_path / "small.toml").write_text(f"{SPEC}[sensitivity.influence]\n{line}\n")
    done = call("sensitivity", tmp_path / "small.toml", "--out", tmp_path / "out")
    assert done.returncode == 2, done.stdout
    assert "sensitivity.influence" in done.stderr


def test_the_first_sentence_says_how_many_patients_would_turn_it(found):
    """One patient may move it; if none does, that several would is said apart."""
    part, told = found["influence"], found["conclusion"]
    if part["moves"]:
        assert part["deletion_index"] == 1
        assert "influence" in told["moved_by"]
    else:
        said = (
            f"leaving out {part['deletion_index']} patients or moving "
            f"{part['fragility_index']} events"
        )
        assert told["would_be_moved_by"] == [said]
        assert said in told["sentence"]


@pytest.mark.parametrize("seed", range(3))
def test_a_cohort_with_moved_events_is_the_cohort_of_the_changed_file(seed):
    rng = np.random.default_rng(seed)
    table = table_of()
    table["age"] = rng.normal(60, 8, len(table))
    model = PiecewiseExponential("arm", 0, "age", cutpoints=[5, 12])
    inputs = model.prepare(read_cohort(table, id="patient", time="months", event="dead"))
    places = rng.choice(len(table), 6, replace=False)
    moved = moved_events(model, inputs, inputs.final_row[places].tolist())
    changed = with_other_status(table, table["patient"].iloc[places])
    expected = model.prepare(read_cohort(changed, id="patient", time="months", event="dead"))
    assert moved.log_rate == pytest.approx(expected.log_rate)
    np.testing.assert_array_equal(moved.intervals.events, expected.intervals.events)
    effect, log_hazard = rng.normal(0, 0.3, (4, 2)), rng.normal(-3, 0.3, (4, 3))
    found = patient_log_likelihood(log_hazard, effect, moved.data)
    assert found == pytest.approx(patient_log_likelihood(log_hazard, effect, expected.data))


def test_cutpoints_are_held_when_patients_are_left_out():
    """Else the number of intervals of "auto" would change with the events that are left."""
    table = table_of()
    cohort = read_cohort(table, id="patient", time="months", event="dead")
    model = PiecewiseExponential("arm", 0, baseline="gamma")
    shared = Shared(cohort, model, 1, cohort)
    _, whole = changed_inputs(shared, {})
    held = whole.intervals.cutpoints[1:-1].tolist()
    gone = np.flatnonzero(table["dead"] == 1)[:9].tolist()
    _, recut = changed_inputs(shared, {"leave_out": gone})
    _, kept = changed_inputs(shared, {"leave_out": gone, "held_cutpoints": held})
    assert kept.intervals.cutpoints[1:-1].tolist() == held
    assert recut.intervals.cutpoints[1:-1].tolist() != held
