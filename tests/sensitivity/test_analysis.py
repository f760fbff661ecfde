"""What the parts of a sensitivity analysis run on: workers as asked for, and refits found again."""

import dataclasses
import json
import pickle

import pytest

from bayes_crlm import read_spec
from bayes_crlm.analysis.plan import plan_analysis
from bayes_crlm.sensitivity import run as analysis
from bayes_crlm.sensitivity.confounding import overlap
from bayes_crlm.sensitivity.parts import Context
from bayes_crlm.sensitivity.refit import Shared
from bayes_crlm.sensitivity.timing import immortal_time
from bayes_crlm.sensitivity.two_arms import two_arms
from bayes_crlm.tasks.calls import every_library_on_one_thread


@pytest.fixture(scope="module")
def plan():
    return plan_analysis(read_spec("os_repeat_local_vs_systemic"))


def test_finished_refits_are_found_again_under_another_title(plan):
    spec = plan.spec.model_copy(update={"title": "Another title"})
    first, second = Shared.of(plan), Shared.of(dataclasses.replace(plan, spec=spec))
    assert pickle.dumps(first) == pickle.dumps(second)


@pytest.mark.parametrize(
    ("part", "count", "jobs", "executor", "expected"),
    [
        ("priors", 10, 4, None, 4),
        ("priors", 10, None, None, 1),
        ("priors", 100, None, None, None),
        # every one of them samples by NUTS for seconds
        ("missing_data", 13, None, None, None),
        ("missing_data", 13, 1, None, 1),
        ("missing_data", 13, None, "tcp://here:1", None),
    ],
)
def test_jobs_are_those_asked_for(part, count, jobs, executor, expected, monkeypatch):
    used = []
    monkeypatch.setattr(analysis, "run_tasks", lambda tasks, **how: used.append(how["jobs"]))
    run = analysis.Runner(None, jobs, executor, None, False)
    run(part, [None] * count)
    assert used == [expected]


@pytest.mark.parametrize(
    ("part", "compare"), [(immortal_time, "compare_methods"), (overlap, "compare_weights")]
)
def test_one_task_gives_the_numbers_of_the_plan_and_is_not_done_twice(
    part, compare, plan, tmp_path, monkeypatch
):
    settings = part.Settings(groups=50)
    with every_library_on_one_thread():
        direct = getattr(part, compare)(two_arms(plan.model, plan.inputs, 1), settings, 1)
    shared = Shared.of(plan)
    run = analysis.Runner(shared, None, None, tmp_path / "refits", False)
    context = Context(plan=plan, base={}, make_fit=None, level=1, seed=1, run=run)
    first = part.analyse(context, settings).result
    # what a row concludes is added where parts are compared
    told = ("conclusion", "state")
    found = [{key: row[key] for key in row if key not in told} for row in first["rows"]]
    assert found == json.loads(json.dumps(direct["rows"]))
    assert first["weights"] == json.loads(json.dumps(direct["weights"]))
    monkeypatch.delattr(part, compare)
    assert part.analyse(context, settings).result["rows"] == first["rows"]
