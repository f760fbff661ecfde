"""Many independent tasks, run on all CPUs of this machine or on the workers of a Dask scheduler.

A task is a function's name and plain arguments. Its result depends on nothing else: not on
the worker, nor on how many there are, nor on the order.
"""

import json
import math
import multiprocessing
import os
import pickle
import sys
import time
import warnings
from collections import Counter, deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import ExitStack, contextmanager
from typing import Any

from bayes_crlm.tasks.calls import Call, ChunkReport, Outcome, code_in_use, find_function
from bayes_crlm.tasks.dask_workers import DaskWorkers, check_executor
from bayes_crlm.tasks.digests import digest_of_code, digests_of
from bayes_crlm.tasks.store import open_store
from bayes_crlm.tasks.workers import LocalProcesses, ThisProcess, WorkerLostError, available_cpus
from bayes_crlm.words.errors import ExecutorError
from bayes_crlm.words.records import record
from bayes_crlm.words.wording import shown

# tasks go to workers in chunks of about this long: little to lose, and little overhead
CHUNK_SECONDS = 0.5
LOOK_SECONDS = 1.0
KILLED = "each worker that ran it died, killed from outside or by what the task did"


class TaskError(RuntimeError):
    """A task raised what it should not: a bug, with the task's key and the worker's traceback."""


@record
class Task:
    """A call that can be made anywhere.

    Attributes
    ----------
    key : str
        What the task is called in errors and stores; no two of a run have the same.
    function : str or callable
        A module's function, or its name, ``"package.module:function"``.
    arguments : mapping
        Keyword arguments that JSON can hold (a seed among them, where there is chance).

    Raises
    ------
    TypeError
        When the function is not a module's, or the arguments are not plain.
    """

    key: str
    function: str | Callable[..., Mapping[str, Any]]
    arguments: Mapping[str, Any]

    def __post_init__(self) -> None:
        """Look whether the task can be sent anywhere."""
        if not isinstance(self.function, str):
            name = getattr(self.function, "__qualname__", "")
            if not name.isidentifier():
                raise TypeError(
                    f"task {self.key!r}: {shown(self.function)} is not a function of a module"
                )
            object.__setattr__(self, "function", f"{self.function.__module__}:{name}")
        _ = self.call

    @property
    def call(self) -> Call:
        """The task as workers get it."""
        try:
            return Call(str(self.function), json.dumps(dict(self.arguments)))
        except (TypeError, ValueError) as problem:
            raise TypeError(
                f"task {self.key!r}: its arguments are not plain values: {problem}"
            ) from None


@record
class TaskResult:
    """What a task came to.

    Attributes
    ----------
    key : str
        The task's.
    value : dict or None
        What its function returned, as JSON has it (tuples are lists); None where it failed.
    failure : str or None
        Why it failed, in one sentence; None where it did not.
    """

    key: str
    value: dict[str, Any] | None
    failure: str | None = None


def run_tasks(
    tasks: Iterable[Task],
    *,
    jobs: int | None = None,
    executor: str | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool | str = False,
    shared: object = None,
    announce: Callable[[str], None] | None = None,
) -> list[TaskResult]:
    """Run tasks, and give their results in the tasks' order.

    Parameters
    ----------
    tasks : iterable of Task
        Independent of each other. The slowest best come first.
    jobs : int, optional
        Processes on this machine; by default one for each CPU. 1 means this process.
    executor : str, optional
        Address of a running Dask scheduler, ``tcp://HOST:PORT``, whose workers are to be used
        instead.
    store : path or str, optional
        A file for finished results; those it holds of the same task (function, arguments,
        shared value and code) are taken from there.
    progress : bool or str
        Show a bar on a terminal's standard error, under this name.
    shared : object, optional
        A picklable value, sent once to each worker: every function's first argument.
    announce : callable, optional
        Told, in one sentence each, what of the store cannot be used and is computed again, that
        its disk has no locks, and which of Dask's workers are left out; without it these are
        warnings.

    Returns
    -------
    list of TaskResult
        A task that raised a `BayesCRLMError`, or whose worker died each time, is marked as
        failed with its sentence.

    Raises
    ------
    TaskError
        When a task raised anything else; finished results are in the store.
    ExecutorError
        When workers cannot be reached or used.
    OutputError
        When the store cannot be used.
    ValueError
        When two tasks have one key.
    """
    tasks, announce = list(tasks), announce or warn_of
    check_tasks(tasks, jobs, executor)
    calls = [task.call for task in tasks]
    payload = None if shared is None else pickle.dumps(shared)
    opened, digests = None, [""] * len(tasks)
    outcomes: list[Outcome | None] = [None] * len(tasks)
    with ExitStack() as until_done:
        if store is not None:
            code = digest_of_code(code_in_use())
            opened = until_done.enter_context(open_store(store, code))
            for note in opened.notes:
                announce(note)
            digests = digests_of(calls, payload, code)
            outcomes = [opened.found.get(digest) for digest in digests]
        todo = deque(index for index, outcome in enumerate(outcomes) if outcome is None)
        if todo:
            advance = until_done.enter_context(progress_bar(progress, len(tasks), len(todo)))
            workers = until_done.enter_context(
                workers_for(len(todo), jobs, executor, payload, announce)
            )
            for indices, done in finished_chunks(workers, todo, calls):
                finished = dict(zip(indices, done, strict=False))  # a crash ends a chunk early
                if opened is not None:
                    opened.add((digests[index], each) for index, each in finished.items())
                for index, outcome in finished.items():
                    if outcome.status == "crash":
                        raise TaskError(
                            f"task {tasks[index].key!r} stopped with an error:\n{outcome.text}"
                        )
                    outcomes[index] = outcome
                    advance(1)
    return [result_of(task, outcome) for task, outcome in zip(tasks, outcomes, strict=True)]


def check_tasks(tasks: Sequence[Task], jobs: int | None, executor: str | None) -> None:
    """Refuse, before anything starts, tasks and settings that cannot work."""
    keys = [task.key for task in tasks]
    if len(set(keys)) < len(keys):
        twice = next(key for key, count in Counter(keys).items() if count > 1)
        raise ValueError(f"two tasks have the key {twice!r}")
    if jobs is not None and jobs < 1:
        raise ExecutorError(f"jobs {jobs}: must be a whole number from 1")
    check_executor(executor, jobs)
    for name in {str(task.function) for task in tasks}:
        try:
            find_function(name)
        except (ImportError, AttributeError, ValueError) as problem:
            raise ValueError(f"{name} is not a function of a module: {problem}") from problem
        if executor is not None and name.startswith("__main__:"):
            raise ExecutorError(
                f"{name.removeprefix('__main__:')} is a function of the script itself, which "
                "workers elsewhere do not have; put it into a module that is installed there"
            )


def result_of(task: Task, outcome: Outcome | None) -> TaskResult:
    """Read an outcome."""
    assert outcome is not None
    found, is_value = json.loads(outcome.text), outcome.status == "value"
    return TaskResult(task.key, found if is_value else None, None if is_value else found)


def warn_of(note: str) -> None:
    """Say what a user has to know of store and workers, where nobody else is told."""
    warnings.warn(note, UserWarning, stacklevel=3)


def finished_chunks(
    workers: ThisProcess, todo: deque[int], calls: Sequence[Call]
) -> Iterator[tuple[list[int], list[Outcome]]]:
    """Keep workers busy with chunks of calls, and give each chunk's outcomes when it is done.

    Calls whose worker was lost are made again; those that were with too many dying workers one by
    one while nothing else runs, so that the one that kills them is found.

    Parameters
    ----------
    workers : ThisProcess, LocalProcesses or DaskWorkers
        Open ones.
    todo : deque of int
        Indices into `calls`; it is emptied.
    calls : sequence of Call
        Of all tasks.
    """
    in_flight: dict[Future[ChunkReport], list[int]] = {}
    deaths: Counter[int] = Counter()
    suspects: list[int] = []
    seconds: float | None = None
    while todo or suspects or in_flight:
        workers.check()
        while len(in_flight) < workers.most_in_flight and (todo or suspects):
            if suspects and in_flight:
                break
            size = chunk_size(seconds, len(todo), workers.most_in_flight)
            chunk = suspects[:1] or [todo.popleft() for _ in range(size)]
            in_flight[workers.submit([calls[index] for index in chunk])] = chunk
        for future in first_finished(in_flight):
            chunk = in_flight.pop(future)
            suspects = [index for index in suspects if index not in chunk]
            try:
                report = workers.report(future)
            except WorkerLostError as problem:
                if problem.has_died:
                    deaths.update(chunk)
            else:
                seconds = report.seconds_per_call
                yield chunk, report.outcomes
                continue
            for index in reversed(chunk):
                if deaths[index] > 2 * workers.most_deaths + 1:
                    yield [index], [Outcome("killed", json.dumps(KILLED))]
                elif deaths[index] > workers.most_deaths:
                    suspects.append(index)
                else:
                    todo.appendleft(index)


def first_finished(futures: Collection[Future[ChunkReport]]) -> set[Future[ChunkReport]]:
    """Wait a moment for some futures to be done; none are, where there are no workers now."""
    if not futures:
        time.sleep(LOOK_SECONDS)
        return set()
    return wait(futures, timeout=LOOK_SECONDS, return_when=FIRST_COMPLETED).done


def chunk_size(seconds: float | None, n_todo: int, n_workers: int) -> int:
    """Choose how many tasks a chunk holds: few at the end, so that no worker stays behind."""
    if seconds is None:
        return 1
    at_most = math.ceil(n_todo / (2 * n_workers))
    return max(1, min(int(CHUNK_SECONDS / max(seconds, 1e-6)), at_most))


def workers_for(
    n_tasks: int,
    jobs: int | None,
    executor: str | None,
    payload: bytes | None,
    announce: Callable[[str], None],
) -> ThisProcess:
    """Start workers, no more than there are tasks; see `run_tasks`."""
    if executor is not None:
        return DaskWorkers(executor, payload, announce)
    # a worker of somebody's pool may have no processes of its own; numbers are the same without
    is_worker = multiprocessing.current_process().daemon
    count = 1 if is_worker else min(jobs or available_cpus(), n_tasks)
    return ThisProcess(payload) if count == 1 else LocalProcesses(count, payload)


@contextmanager
def progress_bar(
    progress: bool | str, n_tasks: int, n_todo: int
) -> Generator[Callable[[int], None]]:
    """Show on a terminal how many tasks are done and how long the rest takes.

    Gives a function that takes how many more are done.
    """
    if not progress or sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft

    name = progress if isinstance(progress, str) else "tasks"
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeLeft())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        shown_as = bar.add_task(name, total=n_tasks, completed=n_tasks - n_todo)
        yield lambda count: bar.advance(shown_as, count)
