"""Tasks that fail or kill their worker, told by their key, and those that cannot be sent."""

import pytest
import task_functions
from task_functions import numbered

from bayes_crlm.tasks.run import Task, TaskError, run_tasks
from bayes_crlm.tasks.store import open_store
from bayes_crlm.words.errors import ExecutorError


@pytest.mark.parametrize("jobs", [1, 2])
def test_an_error_of_the_users_is_a_result_with_its_sentence(jobs):
    results = run_tasks(numbered(task_functions.fussy, range(5)), jobs=jobs)
    assert [result.key for result in results if result.failure] == ["fussy 2"]
    assert results[2].failure == "column 'age': is missing"
    assert results[2].value is None
    assert [result.value for result in results if not result.failure] == [
        {"number": n} for n in (0, 1, 3, 4)
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_bug_is_raised_with_the_tasks_key_and_keeps_what_was_finished(jobs, tmp_path):
    store = tmp_path / "store.jsonl"
    with pytest.raises(TaskError, match="task 'fussy 5' stopped with an error") as raised:
        run_tasks(numbered(task_functions.fussy, range(6)), jobs=jobs, store=store)
    assert "ZeroDivisionError: a bug" in str(raised.value)
    assert "task_functions.py" in str(raised.value)
    with open_store(store) as opened:
        assert len(opened.found) >= 4
        assert {outcome.status for outcome in opened.found.values()} == {"value", "failure"}


def test_a_result_that_json_cannot_hold_is_a_bug():
    with pytest.raises(TaskError, match="task 'set'.*\n(.*\n)*.*not JSON serializable"):
        run_tasks([Task("set", task_functions.not_plain, {})], jobs=1)


def test_a_task_that_kills_its_worker_fails_by_its_key_and_the_others_are_done(tmp_path):
    store = tmp_path / "store.jsonl"
    results = run_tasks(numbered(task_functions.deadly, range(8)), jobs=2, store=store)
    assert [result.key for result in results if result.failure] == ["deadly 3"]
    assert "died" in results[3].failure
    assert [result.value["number"] for result in results if result.value] == [0, 1, 2, 4, 5, 6, 7]
    with open_store(store) as opened:  # the next run tries it again
        assert len(opened.found) == 7


def test_a_worker_that_dies_once_costs_no_result(tmp_path):
    flag = tmp_path / "flag"
    tasks = numbered(task_functions.deadly_once, range(8), flag=str(flag))
    results = run_tasks(tasks, jobs=2)
    assert flag.exists()
    assert [result.value for result in results] == [{"number": n} for n in range(8)]


def test_tasks_that_cannot_be_sent_are_refused_at_once():
    with pytest.raises(TypeError, match=r"task 'a': .* is not a function of a module"):
        Task("a", lambda: {}, {})
    with pytest.raises(TypeError, match=r"task 'a': its arguments are not plain"):
        Task("a", task_functions.square, {"number": {1}})
    with pytest.raises(ValueError, match="two tasks have the key 'square 1'"):
        run_tasks(numbered(task_functions.square, [1, 1]))
    with pytest.raises(ValueError, match=r"task_functions:missing is not a function of a module"):
        run_tasks([Task("a", "task_functions:missing", {})])


@pytest.mark.parametrize("jobs", [0, -2])
def test_a_number_of_jobs_is_positive(jobs):
    with pytest.raises(ExecutorError, match=f"jobs {jobs}: must be a whole number from 1"):
        run_tasks(numbered(task_functions.square, [1]), jobs=jobs)
