"""Tasks: one result whatever runs them, failures that are told, and runs that go on."""

import errno
import fcntl
import importlib
import io
import json
import multiprocessing
import os
import platform
import re
import runpy
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
import task_functions
from runs import wait_for
from task_functions import ENVIRONMENT, is_stored, numbered, refits

from bayes_crlm.tasks import workers
from bayes_crlm.tasks.calls import code_in_use, run_chunk
from bayes_crlm.tasks.run import Task, TaskError, chunk_size, run_tasks
from bayes_crlm.tasks.store import open_store
from bayes_crlm.words.errors import ExecutorError, OutputError


def lines(path):
    """The numbers that `noted` left in a file."""
    return [int(line) for line in path.read_text().split()] if path.exists() else []


@pytest.fixture(scope="module")
def local_refits(simulated_cohorts):
    """What refits give in this process."""
    return run_tasks(refits(), jobs=1, shared=simulated_cohorts[1])


# --- results


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


# --- failures


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


# --- the store


def test_a_finished_task_is_taken_from_the_store(tmp_path):
    store, log = tmp_path / "deep" / "store.jsonl", tmp_path / "log"
    first = run_tasks(numbered(task_functions.noted, range(3), log=str(log)), jobs=1, store=store)
    again = run_tasks(numbered(task_functions.noted, range(5), log=str(log)), jobs=1, store=store)
    assert lines(log) == [0, 1, 2, 3, 4]
    assert again[:3] == first
    assert again[2].value == {"third": 2 / 3}


def test_a_failed_task_is_taken_from_the_store_too(tmp_path):
    store, tasks = tmp_path / "store.jsonl", numbered(task_functions.fussy, range(4))
    first = run_tasks(tasks, jobs=1, store=store)
    size = store.stat().st_size
    assert run_tasks(tasks, jobs=1, store=store) == first
    assert store.stat().st_size == size


def test_other_arguments_data_functions_or_code_make_another_task(tmp_path, monkeypatch):
    from bayes_crlm.tasks import run as room

    store = tmp_path / "store.jsonl"

    def stored(function, arguments, shared=None):
        run_tasks([Task("same key", function, arguments)], jobs=1, store=store, shared=shared)
        with open_store(store) as opened:
            return len(opened.found)

    assert stored(task_functions.square, {"number": 1}) == 1
    assert stored(task_functions.square, {"number": 1}) == 1
    assert stored(task_functions.square, {"number": 2}) == 2
    assert stored(task_functions.fussy, {"number": 1}) == 3
    assert stored(task_functions.spoil, {"number": 1}, {"numbers": [1]}) == 4
    assert stored(task_functions.spoil, {"number": 1}, {"numbers": [2]}) == 5
    monkeypatch.setattr(room, "code_in_use", lambda: code_in_use() | {"bayes_crlm": "9.9"})
    assert stored(task_functions.square, {"number": 1}) == 6


def test_a_store_cut_off_anywhere_loses_the_last_line_only(tmp_path):
    store, log = tmp_path / "store.jsonl", tmp_path / "log"
    tasks = numbered(task_functions.noted, range(3), log=str(log))
    whole = run_tasks(tasks, jobs=1, store=store)
    content = store.read_bytes()
    ends = [k for k, byte in enumerate(content) if byte == ord("\n")]
    for length in [0, 5, ends[0], ends[0] + 1, ends[2] + 1, ends[2] + 30, ends[3], ends[3] + 1]:
        store.write_bytes(content[:length])
        log.unlink()
        log.touch()
        assert run_tasks(tasks, jobs=1, store=store) == whole
        kept = max(sum(end < length for end in ends) - 1, 0)
        assert lines(log) == [0, 1, 2][kept:]
        assert store.read_bytes() == content


def test_a_file_that_is_no_store_is_refused_and_left_alone(tmp_path):
    table = tmp_path / "cohort.csv"
    table.write_text("patient,months\n1,2.5")
    with pytest.raises(OutputError, match=r"cohort.csv: does not hold results of tasks"):
        run_tasks(numbered(task_functions.square, [1]), jobs=1, store=table)
    assert table.read_text() == "patient,months\n1,2.5"
    with pytest.raises(OutputError, match="cannot be written"):
        run_tasks(numbered(task_functions.square, [1]), jobs=1, store=tmp_path)


@pytest.mark.parametrize("place", ["digit", "task", "status", "shape", "brackets", "header", "NUL"])
def test_what_is_damaged_in_a_store_is_computed_again_and_said(tmp_path, place):
    store, log = tmp_path / "store.jsonl", tmp_path / "log"
    tasks = numbered(task_functions.noted, range(4), log=str(log))
    whole = run_tasks(tasks, jobs=1, store=store)
    content = store.read_bytes()
    lines_of_store = content.split(b"\n")
    spoiled = lines_of_store[2]
    spoiled = {
        "digit": spoiled.replace(b"0.3333", b"0.3334"),
        "task": spoiled.replace(b'"task": "', b'"task": "0'),
        "status": spoiled.replace(b'"value"', b'"failure"'),
        "shape": b"[1, 2]",
        "brackets": b"[" * 100_000,
        "header": spoiled,
        "NUL": bytes(len(spoiled)),
    }[place]
    if place == "header":
        lines_of_store[0] = lines_of_store[0].replace(b"tasks", b"tisks")
    else:
        assert spoiled != lines_of_store[2]
        lines_of_store[2] = spoiled
    store.write_bytes(b"\n".join(lines_of_store))
    log.write_text("")
    said = []
    assert run_tasks(tasks, jobs=1, store=store, announce=said.append) == whole
    assert lines(log) == ([] if place == "header" else [1])
    assert len(said) == 1 and "damaged" in said[0] and "computed again" in said[0]
    # what was damaged is gone: nothing is left to say
    assert sorted(store.read_bytes().split(b"\n")) == sorted(content.split(b"\n"))
    assert run_tasks(tasks, jobs=1, store=store, announce=said.append) == whole
    assert len(said) == 1


def test_a_store_of_another_version_is_said_and_computed_again(tmp_path, monkeypatch):
    from bayes_crlm.tasks import run as room

    store, log = tmp_path / "store.jsonl", tmp_path / "log"
    tasks = numbered(task_functions.noted, range(2), log=str(log))
    store.write_text('{"bayes_crlm_tasks": 1}\n{"task": "ab", "status": "value", "result": 5}\n')
    with pytest.warns(UserWarning, match=r"store.jsonl: was written by another version .* again"):
        run_tasks(tasks, jobs=1, store=store)
    assert lines(log) == [0, 1]
    monkeypatch.setattr(room, "code_in_use", lambda: code_in_use() | {"NumPy": "9.9"})
    with pytest.warns(UserWarning, match=r"2 of its results come from other code .* again"):
        run_tasks(tasks, jobs=1, store=store)
    assert lines(log) == [0, 1, 0, 1]


KERNEL_RUN = """
import json, sys, warnings
from bayes_crlm.tasks.digests import kernel
from bayes_crlm.tasks.run import run_tasks
import task_functions
tasks = task_functions.numbered(task_functions.noted, range(2), log=sys.argv[2])
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    run_tasks(tasks, jobs=1, store=sys.argv[1])
print(json.dumps([kernel(), [str(each.message) for each in told]]))
"""


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the kernels named are of x86-64")
def test_results_of_another_kernel_of_linear_algebra_are_computed_again_and_said(tmp_path):
    store, log = tmp_path / "store.jsonl", tmp_path / "log"

    def run(kernel):
        found = subprocess.run(
            [sys.executable, "-c", KERNEL_RUN, str(store), str(log)],
            env=ENVIRONMENT | {"OPENBLAS_CORETYPE": kernel},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return json.loads(found.stdout.splitlines()[-1])

    (here, told), (again, told_again) = run("Nehalem"), run("Nehalem")
    assert here == again and told == told_again == []
    assert lines(log) == [0, 1]
    other, told = run("Sandybridge")
    if other == here:
        pytest.skip("NumPy's linear algebra here is not OpenBLAS with several kernels")
    (sentence,) = told
    assert "2 of its results come from other code" in sentence and "kernel" in sentence
    assert lines(log) == [0, 1, 0, 1]


NOTEBOOK = """
import sys
from bayes_crlm.tasks.run import Task, run_tasks
def cell(text):
    exec(text, globals())
    result = run_tasks([Task("a", refit, {"s": 1})], jobs=1, store=sys.argv[1])[0].value
    assert result == refit(1), (text, result, refit(1))
cell("def refit(s): return {'v': s}")
cell("def refit(s): return {'v': s * 100}")
cell("K = 2\\ndef helper(s): return s * K\\ndef refit(s): return {'v': helper(s)}")
cell("K = 3")
cell("def helper(s): return s - K")
cell("def refit(s, k=1): return {'v': k}")
cell("def refit(s, k=2): return {'v': k}")
cell("def refit(s, *, k=3): return {'v': k}")
cell("class C:\\n    a = 1\\n    def f(self): return self.a\\ndef refit(s): return {'v': C().f()}")
cell("class C:\\n    a = 2\\n    def f(self): return self.a")
cell("class C:\\n    a = 2\\n    def f(self): return self.a + 7")
cell("table = {'f': helper}\\ndef refit(s): return {'v': [table['f'](x) for x in range(3)]}")
cell("def helper(s): return s * 9\\ntable = {'f': helper}")
cell("from functools import partial\\npart = partial(helper, 3)")
cell("def refit(s): return {'v': part()}")
cell("part = partial(helper, 4)")
cell("def outer(n):\\n    def inner(s): return s + n\\n    return inner\\n"
     "add = outer(1)\\ndef refit(s): return {'v': add(s)}")
cell("add = outer(2)")
"""


def test_a_function_without_a_file_is_told_apart_by_its_code(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, tmp_path / "store.jsonl"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_without_a_file_whose_values_cannot_be_told_apart_is_refused(tmp_path):
    script = (
        "import threading, sys\nfrom bayes_crlm.tasks.run import Task, run_tasks\n"
        "held = threading.Lock()\ndef refit(s): return {'v': held.locked()}\n"
        "run_tasks([Task('a', refit, {'s': 1})], jobs=1, store=sys.argv[1])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "store.jsonl"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "ExecutorError: refit is not a function of a file and uses a value of type lock" in (
        done.stderr
    )


def test_an_edited_and_reloaded_module_is_another_task(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    file, store = tmp_path / "edited_refits.py", tmp_path / "store.jsonl"
    file.write_text("K = 1\ndef refit(s):\n    return {'v': s * K}\n")
    edited_refits = importlib.import_module("edited_refits")

    def value():
        tasks = [Task("a", edited_refits.refit, {"s": 1})]
        (result,) = run_tasks(tasks, jobs=1, store=store)
        assert result.value == edited_refits.refit(1)
        return result.value["v"]

    assert value() == 1
    # edited only: what runs here is what was loaded
    file.write_text("K = 100\ndef refit(s):\n    return {'v': s * K}\n# longer\n")
    assert value() == 1
    importlib.reload(edited_refits)
    assert value() == 100


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_said_and_used(tmp_path, monkeypatch, code):
    def no_locks(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.warns(UserWarning, match=r"store.jsonl: is on a disk without file locks"):
        results = run_tasks(
            numbered(task_functions.square, [3]), jobs=1, store=tmp_path / "store.jsonl"
        )
    assert results[0].value["square"] == 9


def in_a_worker(jobs):
    """What tasks give in a worker of somebody's pool."""
    tasks = numbered(task_functions.square, range(3))
    return [result.value["square"] for result in run_tasks(tasks, jobs=jobs)]


@pytest.mark.parametrize("jobs", [None, 2])
def test_tasks_run_in_a_worker_of_a_pool(jobs):
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(in_a_worker, (jobs,)) == [0, 1, 4]


def test_two_runs_do_not_share_a_store(tmp_path):
    store = tmp_path / "store.jsonl"
    with open_store(store), pytest.raises(OutputError, match="is in use by another run"):
        run_tasks(numbered(task_functions.square, [1]), jobs=1, store=store)
    assert run_tasks(numbered(task_functions.square, [1]), jobs=1, store=store)[0].value


# --- a run that is killed

RUN = """
import sys
import task_functions
from task_functions import ENVIRONMENT, is_stored, numbered, refits
from bayes_crlm.tasks import workers
from bayes_crlm.tasks.run import Task, run_tasks

if __name__ == "__main__":
    workers.PRELOADED = ()
    log, store = sys.argv[1:]
    tasks = [
        Task(f"noted {n}", task_functions.noted, {"number": n, "log": log, "seconds": 0.05})
        for n in range(400)
    ]
    run_tasks(tasks, jobs=2, store=store)
"""


@pytest.fixture
def running(tmp_path):
    """A script that runs slow tasks in two processes, with some of them finished."""
    script, log, store = tmp_path / "run.py", tmp_path / "log", tmp_path / "store.jsonl"
    script.write_text(RUN)
    run = subprocess.Popen(
        [sys.executable, script, log, store],
        env=ENVIRONMENT,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a group of its own, which gets signals as from a terminal
    )
    try:
        wait_for(lambda: run.poll() is not None or is_stored(store, 20))
        assert run.poll() is None, run.stderr.read()
        yield run, log, store
    finally:
        run.kill()
        run.communicate()


def is_gone(group):
    """Whether no process of a group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return True
    return False


def go_on(log, store):
    """The rest of the run, in this process: what was stored, and what was run now."""
    with open_store(store) as opened:
        stored = len(opened.found)
    ran_before = len(lines(log))
    tasks = [
        Task(f"noted {n}", task_functions.noted, {"number": n, "log": str(log), "seconds": 0.05})
        for n in range(60)
    ]
    results = run_tasks(tasks, jobs=1, store=store)
    assert [result.value for result in results] == [{"third": n / 3} for n in range(60)]
    return stored, len(lines(log)) - ran_before


def test_a_killed_run_leaves_no_process_and_goes_on_where_it_stopped(running):
    run, log, store = running
    run.kill()
    run.communicate(timeout=30)
    wait_for(lambda: is_gone(run.pid), 20)
    stored, ran_now = go_on(log, store)
    assert stored >= 20
    assert ran_now == max(60 - stored, 0)


def test_an_interrupted_run_ends_at_once_quietly_and_keeps_its_results(running):
    run, log, store = running
    os.killpg(run.pid, signal.SIGINT)
    _, errors = run.communicate(timeout=20)
    assert run.returncode == -signal.SIGINT
    assert errors.count("Traceback") == 1  # the script's own: no worker says anything
    wait_for(lambda: is_gone(run.pid), 20)
    assert go_on(log, store)[0] >= 20


def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "run.py"
    script.write_text(
        RUN.replace('if __name__ == "__main__":', "if True:").replace("range(400)", "range(3)")
    )
    done = subprocess.run(
        [sys.executable, script, tmp_path / "log", tmp_path / "store.jsonl"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "worker processes do not start; a script that runs tasks must do so" in done.stderr


# --- the progress bar


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
