"""The store of finished results: what is taken from it, and what of it cannot be used."""

import errno
import fcntl
import os

import pytest
import task_functions
from task_functions import numbered, numbers_noted

from bayes_crlm.tasks.calls import code_in_use
from bayes_crlm.tasks.run import run_tasks
from bayes_crlm.tasks.store import open_store
from bayes_crlm.words.errors import OutputError


def test_a_finished_task_is_taken_from_the_store(tmp_path):
    store, log = tmp_path / "deep" / "store.jsonl", tmp_path / "log"
    first = run_tasks(numbered(task_functions.noted, range(3), log=str(log)), jobs=1, store=store)
    again = run_tasks(numbered(task_functions.noted, range(5), log=str(log)), jobs=1, store=store)
    assert numbers_noted(log) == [0, 1, 2, 3, 4]
    assert again[:3] == first
    assert again[2].value == {"third": 2 / 3}


def test_a_failed_task_is_taken_from_the_store_too(tmp_path):
    store, tasks = tmp_path / "store.jsonl", numbered(task_functions.fussy, range(4))
    first = run_tasks(tasks, jobs=1, store=store)
    size = store.stat().st_size
    assert run_tasks(tasks, jobs=1, store=store) == first
    assert store.stat().st_size == size


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
        assert numbers_noted(log) == [0, 1, 2][kept:]
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
    assert numbers_noted(log) == ([] if place == "header" else [1])
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
    assert numbers_noted(log) == [0, 1]
    monkeypatch.setattr(room, "code_in_use", lambda: code_in_use() | {"NumPy": "9.9"})
    with pytest.warns(UserWarning, match=r"2 of its results come from other code .* again"):
        run_tasks(tasks, jobs=1, store=store)
    assert numbers_noted(log) == [0, 1, 0, 1]


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


def test_two_runs_do_not_share_a_store(tmp_path):
    store = tmp_path / "store.jsonl"
    with open_store(store), pytest.raises(OutputError, match="is in use by another run"):
        run_tasks(numbered(task_functions.square, [1]), jobs=1, store=store)
    assert run_tasks(numbered(task_functions.square, [1]), jobs=1, store=store)[0].value
