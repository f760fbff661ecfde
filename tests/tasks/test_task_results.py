"""Tasks: one result whatever runs them, in the tasks' order."""

import io
import json
import multiprocessing
import os
import re
import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
import task_functions
from task_functions import numbered, refits

from bayes_crlm.tasks import workers
from bayes_crlm.tasks.calls import run_chunk
from bayes_crlm.tasks.run import Task, chunk_size, run_tasks


@pytest.fixture(scope="module")
def local_refits(simulated_cohorts):
    """What refits give in this process."""
    return run_tasks(refits(), jobs=1, shared=simulated_cohorts[1])


def test_a_refit_has_one_result_whoever_runs_it_and_when(local_refits, simulated_cohorts):
    assert len({result.value["median"] for result in local_refits}) == len(local_refits)
    shared = simulated_cohorts[1]
    apart = run_tasks(refits()[::-1], jobs=2, shared=shared)
    assert apart[::-1] == local_refits
    assert run_tasks(refits()[4:5], jobs=1, shared=shared) == local_refits[4:5]


def test_workers_of_the_fast_engine_do_not_import_pymc(simulated_cohorts):
    tasks = [Task(task.key, task_functions.heavy_modules, task.arguments) for task in refits(2)]
    results = run_tasks(tasks, jobs=2, shared=simulated_cohorts[1])
    assert [result.value for result in results] == [{"modules": []}] * 2


def test_what_is_loaded_before_workers_are_forked_exists():
    # the server that imports it says nothing about a name that it does not find
    assert [name for name in workers.PRELOADED if find_spec(name) is None] == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_results_come_in_the_order_of_the_tasks_and_as_json_has_them(jobs):
    results = run_tasks(numbered(task_functions.square, range(200)), jobs=jobs)
    assert [result.key for result in results] == [f"square {n}" for n in range(200)]
    assert [result.value["square"] for result in results] == [n * n for n in range(200)]
    assert results[7].value["pair"] == [7, None]
    processes = {result.value["process"] for result in results}
    assert processes == {os.getpid()} if jobs == 1 else os.getpid() not in processes
    assert len(processes) <= jobs


@pytest.mark.parametrize("jobs", [1, 2])
def test_what_a_task_changes_in_the_shared_value_no_other_sees(jobs):
    shared = {"numbers": [0]}
    results = run_tasks(numbered(task_functions.spoil, range(6)), jobs=jobs, shared=shared)
    assert [result.value["numbers"] for result in results] == [[0, n] for n in range(6)]
    assert shared == {"numbers": [0]}


def test_a_process_runs_one_task_at_a_time():
    call = Task("alone", task_functions.alone, {}).call
    with ThreadPoolExecutor(4) as threads:
        reports = list(threads.map(lambda _: run_chunk([call], None), range(4)))
    assert [json.loads(report.outcomes[0].text) for report in reports] == [{"others": 0}] * 4


def test_linear_algebra_has_one_thread_in_a_task_and_its_own_number_afterwards():
    import scipy.linalg  # noqa: F401

    before = task_functions.blas_threads()["threads"]
    (result,) = run_tasks([Task("threads", task_functions.blas_threads, {})], jobs=1)
    assert result.value["threads"] == [1] * len(before)
    assert task_functions.blas_threads()["threads"] == before


def test_no_tasks_have_no_results():
    assert run_tasks([], jobs=2) == []


def test_chunks_are_short_and_the_last_ones_few():
    assert chunk_size(None, 1000, 2) == 1
    assert chunk_size(0.01, 1000, 2) == 50  # half a second
    assert chunk_size(0.01, 20, 2) == 5  # so that both workers end together
    assert chunk_size(30.0, 1000, 2) == 1
    assert chunk_size(0.0, 3, 2) == 1


def in_a_worker(jobs):
    """What tasks give in a worker of somebody's pool."""
    tasks = numbered(task_functions.square, range(3))
    return [result.value["square"] for result in run_tasks(tasks, jobs=jobs)]


@pytest.mark.parametrize("jobs", [None, 2])
def test_tasks_run_in_a_worker_of_a_pool(jobs):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(in_a_worker, (jobs,)) == [0, 1, 4]


def test_the_example_of_the_docs_runs(tmp_path, monkeypatch, capsys):
    page = Path(__file__).parents[2] / "docs" / "parallel.md"
    module, script = re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL)[:2]
    here = script.replace("run_tasks(tasks, ", "run_tasks(tasks, jobs=1, ")
    assert here != script
    (tmp_path / "refits.py").write_text(module)
    (tmp_path / "script.py").write_text(here)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    runpy.run_path("script.py", run_name="__main__")
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" {")[0] for line in printed] == [f"scale {k}" for k in (0.25, 0.5, 1, 2)]
    assert all("'engine': 'laplace'" in line for line in printed)
    assert (tmp_path / "refits.jsonl").exists()


class Terminal(io.StringIO):
    """Standard error on a terminal."""

    def isatty(self):
        return True


def test_the_bar_counts_on_a_terminal_only(monkeypatch, capfd, tmp_path):
    tasks, store = numbered(task_functions.square, range(3)), tmp_path / "store.jsonl"
    run_tasks(tasks[:2], jobs=1, store=store, progress="refits")
    assert capfd.readouterr() == ("", "")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    run_tasks(tasks, jobs=1, store=store, progress="refits")
    assert "refits" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
