"""Tasks on the workers of a Dask scheduler: real programs on loopback, one of which is killed."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import task_functions
from runs import call, wait_for
from sensitivity_runs import SPEC, write
from task_functions import ENVIRONMENT, is_stored, numbered, refits

import bayes_crlm
from bayes_crlm.tasks import dask_workers
from bayes_crlm.tasks.calls import run_chunk
from bayes_crlm.tasks.run import Task, run_tasks
from bayes_crlm.tasks.store import open_store
from bayes_crlm.words.errors import ExecutorError


@contextmanager
def dask(folder, name, *arguments, expected, shown=("--no-dashboard",), **environment):
    """Run one of Dask's command-line programs on loopback; gives it and what it said."""
    log = folder / f"{name}.log"
    with log.open("w") as file:
        program = subprocess.Popen(
            [sys.executable, "-m", "dask", *arguments, "--host", "127.0.0.1", *shown],
            env=ENVIRONMENT | environment, cwd=folder, stdout=file, stderr=file,
        )  # fmt: skip
    try:
        wait_for(lambda: re.search(expected, log.read_text()), 60)
        yield program, re.search(expected, log.read_text())
    finally:
        program.kill()
        program.wait()


@contextmanager
def dask_scheduler(folder, **environment):
    """A scheduler; gives its process and its address."""
    at = r"Scheduler at:\s+(\S+)"
    with dask(folder, "scheduler", "scheduler", "--port", "0", expected=at, **environment) as found:
        yield found[0], found[1][1]


@contextmanager
def dask_workers_of(folder, address, n_workers, **environment):
    """Workers of a scheduler; gives their processes."""
    arguments = ["worker", address, "--no-nanny", "--nthreads", "1", "--memory-limit", "0"]
    with ExitStack() as until_done:
        yield [
            until_done.enter_context(
                dask(folder, f"worker{k}", *arguments, expected="Registered to", **environment)
            )[0]
            for k in range(n_workers)
        ]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """Address of a Dask scheduler without workers."""
    with dask_scheduler(tmp_path_factory.mktemp("dask")) as (_, address):
        yield address


def test_a_dask_worker_killed_in_the_middle_changes_no_number(
    scheduler, tmp_path, simulated_cohorts
):
    shared, store, stored_then = simulated_cohorts[1], tmp_path / "store.jsonl", []

    def kill(worker):
        wait_for(lambda: is_stored(store, 1))
        worker.kill()
        stored_then.append(store.read_bytes().count(b"\n") - 1)

    with dask_workers_of(tmp_path, scheduler, 2) as (first, second):
        killer = threading.Thread(target=kill, args=(first,))
        killer.start()
        tasks = refits(seconds=0.5)
        results = run_tasks(tasks, executor=scheduler, store=store, shared=shared)
        killer.join()
        assert stored_then[0] < len(results) - 1
        assert first.wait(10) == -signal.SIGKILL
        assert second.poll() is None
    assert results == run_tasks(refits(), jobs=1, shared=shared)


def test_a_sensitivity_analysis_by_dask_has_the_numbers_of_a_local_one(scheduler, tmp_path):
    few_steps = "[sensitivity.influence]\nworst = 2\ncandidates = 2\n"
    spec = write(tmp_path, '"multiverse", "influence"', SPEC + few_steps)
    store, stored_then = tmp_path / ".dask.sensitivity-refits", []

    def run(name, *options):
        arguments = ("--only", "multiverse,influence", "--out", tmp_path / name)
        done = call("sensitivity", spec, *arguments, *options)
        assert done.returncode == 0, done.stderr
        found = json.loads((tmp_path / name / "sensitivity.json").read_text())
        # times of day and of calculation
        del found["provenance"]
        return found

    def kill(worker):
        wait_for(lambda: is_stored(store, 3))
        worker.kill()
        stored_then.append(store.exists())

    with dask_workers_of(tmp_path, scheduler, 2) as (first, second):
        killer = threading.Thread(target=kill, args=(first,))
        killer.start()
        by_dask = run("dask", "--executor", scheduler)
        killer.join()
        # the analysis was not done yet
        assert stored_then == [True]
        assert first.wait(10) == -signal.SIGKILL
        assert second.poll() is None
    assert by_dask == run("local", "--jobs", 2)


@pytest.mark.parametrize("address", ["", "localhost:8786", "tcp://host", "http://host:8786", "x"])
def test_a_malformed_address_is_refused(address):
    with pytest.raises(ExecutorError, match=r"is not a scheduler's address; write tcp://HOST:PORT"):
        run_tasks(numbered(task_functions.square, [1]), executor=address)


def test_an_address_where_nothing_answers_is_named(monkeypatch):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # and never listens
        address = f"tcp://127.0.0.1:{listener.getsockname()[1]}"
        monkeypatch.setattr(dask_workers, "CONNECT_SECONDS", 1)
        with pytest.raises(ExecutorError, match=f"executor {address}: no Dask scheduler answers"):
            run_tasks(numbered(task_functions.square, [1]), executor=address)


@pytest.mark.parametrize("kind", ["silent", "HTTP", "dashboard"])
def test_an_address_where_something_else_listens_is_said_within_the_limit(
    monkeypatch, tmp_path, kind
):
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 3)
    began = time.monotonic()
    with ExitStack() as until_done:
        if kind == "silent":
            listener = until_done.enter_context(socket.create_server(("127.0.0.1", 0)))
            port = listener.getsockname()[1]
        elif kind == "HTTP":
            server = ThreadingHTTPServer(("127.0.0.1", 0), SimpleHTTPRequestHandler)
            until_done.callback(server.shutdown)
            threading.Thread(target=server.serve_forever, daemon=True).start()
            port = server.server_address[1]
        else:
            options = ("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
            at = r"dashboard at:\s+http://[^:]+:(\d+)"
            found = until_done.enter_context(
                dask(tmp_path, "dashboard", *options, expected=at, shown=())
            )
            port = found[1][1]
        address = f"tcp://127.0.0.1:{port}"
        with pytest.raises(ExecutorError, match=f"executor {address}: "):
            run_tasks(numbered(task_functions.square, [1]), executor=address)
        assert time.monotonic() - began < 40


def test_an_encrypted_address_without_its_settings_is_one_sentence():
    with pytest.raises(ExecutorError, match="without Dask's settings for TLS"):
        run_tasks(numbered(task_functions.square, [1]), executor="tls://127.0.0.1:9")


def test_a_missing_dask_is_named_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(ExecutorError, match=r"pip install 'bayes_crlm\[dask\]'"):
        run_tasks(numbered(task_functions.square, [1]), executor="tcp://127.0.0.1:1")


def test_jobs_and_an_executor_are_one_too_many():
    with pytest.raises(ExecutorError, match="cannot both be given"):
        run_tasks(numbered(task_functions.square, [1]), jobs=2, executor="tcp://127.0.0.1:1")


def test_a_scheduler_without_workers_is_refused(scheduler, monkeypatch):
    monkeypatch.setattr(dask_workers, "FIRST_WORKER_SECONDS", 0.5)
    with pytest.raises(ExecutorError, match="has no workers; start some with `dask worker"):
        run_tasks(numbered(task_functions.square, [1]), executor=scheduler)


def other_version(folder):
    """A copy of the package that says it is another version; gives the PYTHONPATH to it."""
    other = folder / "other"
    shutil.copytree(Path(bayes_crlm.__file__).parent, other / "bayes_crlm")
    init = other / "bayes_crlm" / "words" / "version.py"
    init.write_text(init.read_text().replace(bayes_crlm.__version__, "0.0.9"))
    return os.pathsep.join([str(other), *sys.path])


def test_a_dask_worker_with_another_version_is_refused(scheduler, tmp_path):
    path = other_version(tmp_path)
    said = rf"has bayes_crlm 0\.0\.9 and this process {re.escape(bayes_crlm.__version__)}"
    with (
        dask_workers_of(tmp_path, scheduler, 1, PYTHONPATH=path),
        pytest.raises(ExecutorError, match=said),
    ):
        run_tasks(numbered(task_functions.square, [1]), executor=scheduler)


def test_a_worker_that_comes_later_with_another_version_is_refused_too():
    call = Task("square", task_functions.square, {"number": 2}).call
    with pytest.raises(ExecutorError, match="has bayes_crlm .* and this process 9.9"):
        run_chunk([call], None, {"bayes_crlm": "9.9"})


def stop(process):
    """Let a process answer nothing any more; `dask` ends it all the same."""
    process.send_signal(signal.SIGSTOP)


def test_a_worker_that_answers_nothing_from_the_start_is_left_out(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "OTHERS_SECONDS", 1)
    tasks = numbered(task_functions.square, range(20))
    with dask_workers_of(tmp_path, scheduler, 2) as (first, second):
        stop(first)
        results = run_tasks(tasks, executor=scheduler)
    assert {each.value["process"] for each in results} == {second.pid}
    assert [each.value["square"] for each in results] == [n * n for n in range(20)]


def test_workers_none_of_which_answers_are_said_within_the_limit(scheduler, tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 3)
    with dask_workers_of(tmp_path, scheduler, 1) as (only,):
        stop(only)
        began = time.monotonic()
        with pytest.raises(ExecutorError, match="none of its workers has answered for 3 seconds"):
            run_tasks(numbered(task_functions.square, [1]), executor=scheduler)
        assert time.monotonic() - began < 20


@pytest.mark.slow
def test_what_a_worker_had_that_stops_answering_is_done_by_another(
    scheduler, tmp_path, monkeypatch, simulated_cohorts
):
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 5)
    store, shared, told = tmp_path / "store.jsonl", simulated_cohorts[1], []
    with dask_workers_of(tmp_path, scheduler, 2) as (first, _):
        stopper = threading.Thread(
            target=lambda: (wait_for(lambda: is_stored(store, 2)), stop(first))
        )
        stopper.start()
        results = run_tasks(
            refits(8, seconds=0.5), executor=scheduler, store=store, shared=shared,
            announce=told.append,
        )  # fmt: skip
        stopper.join()
    assert results == run_tasks(refits(8), jobs=1, shared=shared)
    assert len(told) == 1 and "has not answered for 5 seconds and is left out" in told[0]


def test_all_workers_that_stop_answering_are_said_within_the_limits(
    scheduler, tmp_path, monkeypatch
):
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 6)
    monkeypatch.setattr(dask_workers, "NO_WORKER_SECONDS", 6)
    store, stopped_at = tmp_path / "store.jsonl", []
    tasks = numbered(task_functions.noted, range(400), log=str(tmp_path / "log"), seconds=0.1)

    def stop_it():
        wait_for(lambda: is_stored(store, 3))
        stop(only)
        stopped_at.append(time.monotonic())

    with dask_workers_of(tmp_path, scheduler, 1) as (only,):
        stopper = threading.Thread(target=stop_it)
        stopper.start()
        with pytest.raises(ExecutorError, match="no workers that answer for 6 seconds"):
            run_tasks(tasks, executor=scheduler, store=store, announce=print)
        # one limit in all, not one until it is left out and another one for the next worker
        assert time.monotonic() - stopped_at[0] < 11
        stopper.join()


def test_a_scheduler_that_stops_answering_is_said_within_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "ANSWER_SECONDS", 3)
    store = tmp_path / "store.jsonl"
    tasks = numbered(task_functions.noted, range(400), log=str(tmp_path / "log"), seconds=0.1)
    with (
        dask_scheduler(tmp_path) as (program, address),
        dask_workers_of(tmp_path, address, 1),
    ):
        stopped_at = []
        stopper = threading.Thread(
            target=lambda: (
                wait_for(lambda: is_stored(store, 3)),
                stop(program),
                stopped_at.append(time.monotonic()),
            )
        )
        stopper.start()
        with pytest.raises(ExecutorError, match=f"executor {address}: has not answered for 3"):
            run_tasks(tasks, executor=address, store=store)
        assert time.monotonic() - stopped_at[0] < 30
        stopper.join()


def test_a_worker_of_another_version_that_joins_later_is_left_out(scheduler, tmp_path):
    path, store, told = other_version(tmp_path), tmp_path / "store.jsonl", []
    flag = tmp_path / "told"
    tasks = numbered(task_functions.until_told, range(200), flag=str(flag))
    with ExitStack() as until_done:
        until_done.enter_context(dask_workers_of(tmp_path, scheduler, 1))
        late = tmp_path / "late"
        late.mkdir()

        def join():
            wait_for(lambda: is_stored(store, 3))
            until_done.enter_context(dask_workers_of(late, scheduler, 1, PYTHONPATH=path))

        joiner = threading.Thread(target=join)
        joiner.start()

        def tell(note):
            told.append(note)
            flag.touch()

        results = run_tasks(tasks, executor=scheduler, store=store, announce=tell)
        joiner.join()
    assert [each.value["third"] for each in results] == [n / 3 for n in range(200)]
    assert len(told) == 1 and "has bayes_crlm 0.0.9" in told[0] and "left out" in told[0]


def test_a_function_of_the_script_itself_cannot_go_elsewhere(monkeypatch):
    monkeypatch.setattr(sys.modules["__main__"], "own", task_functions.square, raising=False)
    with pytest.raises(ExecutorError, match="own is a function of the script itself"):
        run_tasks([Task("a", "__main__:own", {"number": 1})], executor="tcp://127.0.0.1:1")


@pytest.mark.slow
def test_a_task_that_kills_dask_workers_fails_by_its_key(tmp_path, monkeypatch):
    monkeypatch.setattr(dask_workers, "MOST_DEATHS", 0)
    allowed = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with dask_scheduler(tmp_path, **allowed) as (_, address), dask_workers_of(tmp_path, address, 3):
        results = run_tasks(numbered(task_functions.deadly, range(8)), executor=address)
    assert [result.key for result in results if result.failure] == ["deadly 3"]
    assert [result.value["number"] for result in results if result.value] == [0, 1, 2, 4, 5, 6, 7]


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_said_and_finished_results_are_kept(tmp_path):
    store = tmp_path / "store.jsonl"
    tasks = numbered(task_functions.noted, range(400), log=str(tmp_path / "log"), seconds=0.1)
    with dask_scheduler(tmp_path) as (program, address), dask_workers_of(tmp_path, address, 1):
        killer = threading.Thread(
            target=lambda: (wait_for(lambda: is_stored(store, 5)), program.kill())
        )
        killer.start()
        with pytest.raises(ExecutorError, match=f"executor {address}: the scheduler has gone"):
            run_tasks(tasks, executor=address, store=store)
        killer.join()
    with open_store(store) as opened:
        assert 5 <= len(opened.found) < 400
