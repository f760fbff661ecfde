"""Which task is another one: other arguments, data, code behind the function, or kernel."""

import importlib
import json
import platform
import subprocess
import sys

import pytest
import task_functions
from task_functions import ENVIRONMENT, numbers_noted

from bayes_crlm.tasks.calls import code_in_use
from bayes_crlm.tasks.run import Task, run_tasks
from bayes_crlm.tasks.store import open_store


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
    assert numbers_noted(log) == [0, 1]
    other, told = run("Sandybridge")
    if other == here:
        pytest.skip("NumPy's linear algebra here is not OpenBLAS with several kernels")
    (sentence,) = told
    assert "2 of its results come from other code" in sentence and "kernel" in sentence
    assert numbers_noted(log) == [0, 1, 0, 1]


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


def run_script(script, store):
    """Run Python text, which has no file, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", script, store],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_a_function_without_a_file_is_told_apart_by_its_code(tmp_path):
    done = run_script(NOTEBOOK, tmp_path / "store.jsonl")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_function_without_a_file_whose_values_cannot_be_told_apart_is_refused(tmp_path):
    script = (
        "import threading, sys\nfrom bayes_crlm.tasks.run import Task, run_tasks\n"
        "held = threading.Lock()\ndef refit(s): return {'v': held.locked()}\n"
        "run_tasks([Task('a', refit, {'s': 1})], jobs=1, store=sys.argv[1])"
    )
    done = run_script(script, tmp_path / "store.jsonl")
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
