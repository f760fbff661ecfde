"""A run that is killed or interrupted leaves nothing behind and goes on where it stopped."""

import os
import signal
import subprocess
import sys

import pytest
import task_functions
from runs import wait_for
from task_functions import ENVIRONMENT, is_stored, numbers_noted

from bayes_crlm.tasks.run import Task, run_tasks
from bayes_crlm.tasks.store import open_store

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
    ran_before = len(numbers_noted(log))
    tasks = [
        Task(f"noted {n}", task_functions.noted, {"number": n, "log": str(log), "seconds": 0.05})
        for n in range(60)
    ]
    results = run_tasks(tasks, jobs=1, store=store)
    assert [result.value for result in results] == [{"third": n / 3} for n in range(60)]
    return stored, len(numbers_noted(log)) - ran_before


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
